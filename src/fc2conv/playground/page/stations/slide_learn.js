// A kernel is learnt from an image and its edges, as in D2L 7.2.4: by gradient descent on the squared error.

import { el } from "pages/dom.js";
import { lines } from "playground/chart.js";
import { convolve } from "playground/layers.js";
import { generator } from "playground/random.js";
import { raster } from "playground/raster.js";
import { choice } from "playground/stations/slide_controls.js";
import { written } from "playground/stations/slide_images.js";

const [HEIGHT, WIDTH] = [6, 8];
const OUT = WIDTH - 1;
const SCALE = 22;
const TRUE_KERNEL = [1, -1];
const OPTIONS = { kernel_size: [1, 2] };
const RATES = [0.003, 0.01, 0.03, 0.05, 0.1];

const IMAGE = Float32Array.from({ length: HEIGHT * WIDTH }, (_, at) => (at % WIDTH >= 2 && at % WIDTH < 6 ? 0 : 1));

const slide = (kernel) => convolve(IMAGE, [1, HEIGHT, WIDTH], Float32Array.from(kernel), OPTIONS);
const TARGET = slide(TRUE_KERNEL);

/** The squared error, summed over the output, and its derivative by the kernel's two weights. */
export function error(kernel) {
  const found = slide(kernel);
  const gradient = [0, 0];
  let loss = 0;
  found.forEach((value, at) => {
    const difference = value - TARGET[at];
    const pixel = Math.floor(at / OUT) * WIDTH + (at % OUT);
    loss += difference ** 2;
    gradient[0] += 2 * difference * IMAGE[pixel];
    gradient[1] += 2 * difference * IMAGE[pixel + 1];
  });
  return { loss, gradient, found };
}

export function learn(page) {
  let [seed, kernel, losses, rate] = [0, [], [], 0.03];

  const picture = (width, label, caption, symbol) =>
    raster({ width, height: HEIGHT, scale: SCALE, label, caption, symbol });
  const image = picture(WIDTH, "Image of 6 by 8: ones, with zeros in the middle", "the image X, 6×8", "X");
  const wanted = picture(
    OUT,
    "What the kernel 1, −1 makes of it: 1 and −1 at the two edges",
    "wanted: what [1, −1] makes of it",
    "Y",
  );
  const output = picture(OUT, "What the learnt kernel makes of it", "found: what V makes of it", "H");
  image.paint(IMAGE, { low: 0, high: 1 });
  wanted.paint(TARGET, { kind: "signed", low: -1, high: 1 });

  const chart = lines({
    series: [{ name: "loss", points: [] }],
    x: { title: "steps", min: 0 },
    y: { title: "squared error, summed", min: 0 },
    label: "Loss against steps",
  });
  const kernelText = el("output", { class: "learnt" });
  const update = el("p", { class: "soft" });
  const said = el("p", {});

  function show() {
    const { loss, gradient, found } = error(kernel);
    output.paint(found, { kind: "signed", low: -1, high: 1 });
    kernelText.textContent = `V = [${kernel.map((v) => v.toFixed(4).replace("-", "−")).join(", ")}]`;
    const next = gradient.map((g, t) => `${written(kernel[t])} − ${rate} · (${written(g)})`);
    update.textContent = `Next: V − ${rate} · gradient = [${next.join(",  ")}]`;
    const steps = losses.length - 1;
    said.replaceChildren(
      el("strong", {}, `Loss ${loss < 1000 ? written(loss) : loss.toExponential(2)}`),
      ` after ${steps} step${steps === 1 ? "" : "s"}. `,
      loss > losses[0] ? "The learning rate is too large: each step jumps over the valley." : "",
    );
    chart.update([{ name: "loss", points: losses.map((value, i) => [i, Math.min(value, 1e6)]) }], {
      x: { max: Math.max(10, steps) },
    });
  }

  function step(n) {
    for (let i = 0; i < n && losses.at(-1) < 1e6; i++) {
      const { gradient } = error(kernel);
      kernel = kernel.map((v, t) => v - rate * gradient[t]);
      losses.push(error(kernel).loss);
    }
    show();
    page.announce(`Loss ${losses.at(-1).toPrecision(3)} after ${losses.length - 1} steps, ${kernelText.textContent}`);
  }

  function restart() {
    const random = generator(seed);
    seed += 1;
    kernel = [2 * random() - 1, 2 * random() - 1].map((v) => +v.toFixed(2));
    losses = [error(kernel).loss];
    show();
  }

  const button = (text, onclick, primary = false) =>
    el("button", { type: "button", class: primary ? "primary" : null, onclick }, text);
  const rates = choice(
    "Learning rate",
    RATES.map((value) => [value, String(value)]),
    rate,
    (value) => {
      rate = Number(value);
      show();
    },
  );
  restart();
  return el(
    "div",
    { class: "learn" },
    el("div", { class: "pictures" }, image.element, wanted.element, output.element),
    el(
      "div",
      { class: "buttons" },
      button("One step", () => step(1), true),
      button("Ten steps", () => step(10)),
      button("New start", restart),
      rates.element,
    ),
    el("div", { class: "beside" }, el("div", { class: "texts" }, el("p", {}, kernelText), said, update), chart.element),
  );
}
