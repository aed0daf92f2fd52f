"""How fast the playground's networks answer and learn in headless Chromium, which has one core.

python benchmarks/playground.py docs/playground.html [--answers 300] [--epochs 3]

The answer: milliseconds for all networks of station 1 together, from pixels to probabilities, after one call that is
not counted; the garment moves from call to call. Learning: images per second of each rung, with AdamW in batches of 50.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
from pathlib import Path
from typing import Any

ANSWERS = """async n => {
    const { Network } = await import("playground/network.js")
    const { bytes } = await import("playground/half.js")
    const payload = JSON.parse(document.getElementById("payload").textContent)
    const pixels = bytes(payload.images.pixels)
    const networks = payload.networks.map(description => new Network(description))
    const answer = i => {
        const image = pixels.subarray(784 * (i % 200), 784 * (i % 200 + 1))
        for (const network of networks) {
            network.forward(network.prepare(image, i % 17, (i >> 4) % 17))
            network.probabilities()
        }
    }
    answer(0)
    const times = [], each = networks.map(() => 0)
    for (let i = 1; i <= n; i++) {
        const began = performance.now()
        answer(i)
        times.push(performance.now() - began)
        await new Promise(done => setTimeout(done))
    }
    networks.forEach((network, j) => {
        const x = network.prepare(pixels.subarray(0, 784))
        const began = performance.now()
        for (let i = 0; i < n; i++) network.forward(x)
        each[j] = [network.id, (performance.now() - began) / n]
    })
    return { times, each }
}"""

TRAINING = """async ([rung, epochs]) => {
    const { Network, describe, crossEntropy } = await import("playground/network.js")
    const { AdamW } = await import("playground/optimizer.js")
    const { bytes } = await import("playground/half.js")
    const { generator, shuffled } = await import("playground/random.js")
    const payload = JSON.parse(document.getElementById("payload").textContent)
    const { mean, std } = payload.rungs[0]
    const network = Network.fresh({ ...describe(rung, 4, 2, [1, 14, 14], 10), mean, std }, 0)
    const { pixels, labels, n } = payload.small.train
    const all = bytes(pixels), classes = bytes(labels)
    const images = Array.from({ length: n }, (_, i) => network.prepare(all.subarray(196 * i, 196 * (i + 1))).slice())
    const optimizer = new AdamW(network, { lr: 0.003 })
    const random = generator(0)
    const seconds = []
    let correct = 0
    for (let epoch = 0; epoch < epochs; epoch++) {
        const began = performance.now()
        correct = 0
        shuffled(n, random).forEach((i, at) => {
            const logits = network.forward(images[i])
            correct += logits.indexOf(Math.max(...logits)) === classes[i]
            network.backward(crossEntropy(logits, classes[i]).gradient, undefined, { input: false })
            if (at % 50 === 49) {
                optimizer.step(50)
                network.zeroGradients()
            }
        })
        seconds.push((performance.now() - began) / 1000)
    }
    return { seconds, correct: correct / n }
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("--answers", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # of the browser, too, which this process starts

    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("FC2CONV_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(offline=True, bypass_csp=True)  # so that modules can be imported from here
        page.goto(arguments.page.resolve().as_uri())
        page.wait_for_selector("html[data-ready]", state="attached")
        _tell_answers(page.evaluate(ANSWERS, arguments.answers))
        for rung in ("dense", "local", "shared", "conv"):
            found = page.evaluate(TRAINING, [rung, arguments.epochs])
            rate = 1000 / statistics.median(found["seconds"])
            print(f"{rung:8} {rate:8,.0f} images/s, {found['correct']:.3f} correct in epoch {arguments.epochs}")
        browser.close()


def _tell_answers(found: dict[str, Any]) -> None:
    times = sorted(found["times"])
    print(f"all networks: median {statistics.median(times):.1f} ms, 95 % under {times[int(0.95 * len(times))]:.1f} ms")
    for name, milliseconds in found["each"]:
        print(f"{name:16} {milliseconds:6.2f} ms, mean of many")


if __name__ == "__main__":
    main()
