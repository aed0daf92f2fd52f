"""Runs per hour of a sweep, three ways side by side: 12 runs of lenet_modern, one epoch each, on Fashion-MNIST.

1  this suite: python train.py -m (jobs side by side, forked from a warm server)
2  this suite with Hydra's own sweeper and launcher (one run after the other in one process)
3  the usual pipeline (per-image transforms, benchmarks/throughput.py) with Hydra's own sweeper and launcher

All validate, test and write CSV logs. Times are of the whole commands, start-up included.

    python benchmarks/sweep.py [--runs 12] [--rounds 1]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from throughput import DATA, torchvision_files

from fc2conv.data.image_data import ImageData

ROOT = Path(__file__).parent.parent


def seconds(*command: str) -> float:
    """Wall-clock seconds of a command that must succeed."""
    # importing throughput has set it here, for torch to read; the suite sets it itself, and the usual way does not
    environment = {k: v for k, v in os.environ.items() if k != "GOMP_SPINCOUNT"}
    began = time.perf_counter()
    done = subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    took = time.perf_counter() - began
    print(f"{command[0]} {'stock' if 'hydra/launcher=basic' in command else ''}: {took:.0f} s", flush=True)
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    seeds = ",".join(map(str, range(arguments.runs)))
    settings = ("model=lenet_modern", "trainer.max_epochs=1", f"data.batch_size={DATA.batch_size}", "logger=csv")
    stock = ("hydra/sweeper=basic", "hydra/launcher=basic")
    data = ImageData(DATA)
    data.setup()
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        torchvision_files(data, Path(folder) / "torchvision")
        for i in range(arguments.rounds):
            out = f"{folder}/{i}"
            rounds.append(
                (
                    seconds("train.py", "-m", *settings, f"seed={seeds}", f"runs_dir={out}/ours"),
                    seconds("train.py", "-m", *stock, *settings, f"seed={seeds}", f"runs_dir={out}/stock"),
                    seconds(
                        *("benchmarks/usual_app.py", "-m", f"+seed={seeds}", f"+folder={folder}"),
                        f"hydra.sweep.dir={out}/usual",
                    ),
                )
            )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(
        f"\n{arguments.runs} runs of one epoch, batch {DATA.batch_size}, {cores} cores; medians of {len(rounds)} rounds"
    )
    for i, name in enumerate(("1 this launcher", "2 Hydra's launcher", "3 usual pipeline")):
        times = [r[i] for r in rounds]
        rate = statistics.median(3600 * arguments.runs / s for s in times)
        over = statistics.median(r[i] / r[0] for r in rounds)
        print(f"{name:20}{rate:8.0f} runs/hour   this launcher is {over:.2f} times as fast")


if __name__ == "__main__":
    main()
