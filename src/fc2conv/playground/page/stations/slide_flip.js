// Cross-correlation and convolution with the same kernel, side by side.

import { el } from "pages/dom.js";
import { entry, formula, index, op, sum } from "playground/equation.js";
import { convolve } from "playground/layers.js";
import { range, raster } from "playground/raster.js";
import { choice } from "playground/stations/slide_controls.js";
import { EDGE, IMAGES, kernels, written } from "playground/stations/slide_images.js";

const SCALE = 14;
const CHOSEN = { image: "point", kernel: "corner" };

/** Neither symmetric nor antisymmetric, so that each flip shows. */
const CORNER = [
  [3, 2, 1],
  [2, 1, 0],
  [1, 0, 0],
];

/** Turned by half a turn: both axes reversed. */
const flipped = (rows) => rows.toReversed().map((row) => row.toReversed());

function slid(image, rows) {
  const [height, width] = [rows.length, rows[0].length];
  // as much on each side as puts the kernel's middle over each pixel
  const padding = [height, width].map((n) => [Math.floor((n - 1) / 2), Math.ceil((n - 1) / 2)]);
  const options = { kernel_size: [height, width], padding };
  return convolve(image, [1, EDGE, EDGE], Float32Array.from(rows.flat()), options);
}

/** The flipped kernel of even size reaches the other way. */
function convolved(image, rows) {
  const [height, width] = [rows.length, rows[0].length];
  const padding = [height, width].map((n) => [Math.ceil((n - 1) / 2), Math.floor((n - 1) / 2)]);
  return convolve(image, [1, EDGE, EDGE], Float32Array.from(flipped(rows).flat()), {
    kernel_size: [height, width],
    padding,
  });
}

/** A kernel as a small picture with its numbers. */
function kernelTable(caption) {
  const body = el("tbody", {});
  const show = (rows) =>
    body.replaceChildren(...rows.map((row) => el("tr", {}, ...row.map((v) => el("td", {}, written(v))))));
  return {
    element: el("table", { class: "small-kernel", "data-symbol": "V" }, el("caption", {}, caption), body),
    show,
  };
}

function equationOf(sign, label) {
  const both = { j: "i", b: "a" };
  return formula(label, [
    entry("H", "i,j", both),
    op("="),
    sum(...index("a,b", both)),
    entry("V", "a,b", both),
    entry("X", `i${sign}a,j${sign}b`, both),
  ]);
}

export function flip(page) {
  const known = new Map([[CHOSEN.kernel, CORNER], ...kernels(page.networks)]);
  const picture = (label, symbol) => raster({ width: EDGE, height: EDGE, scale: SCALE, label, symbol });
  const input = picture("Image", "X");
  const ways = [
    { title: "Cross-correlation", sign: "+", apply: slid, turn: (rows) => rows, says: "V as it is" },
    { title: "Convolution", sign: "−", apply: convolved, turn: flipped, says: "V flipped, then slid" },
  ];
  const images = Object.entries(IMAGES).map(([key, [title]]) => [key, title]);
  const state = { ...CHOSEN };
  const set = (key) => (value) => {
    state[key] = value;
    show();
  };
  const image = choice("Image", images, state.image, set("image"), "X");
  const kernel = choice(
    "Kernel",
    [...known.keys()].map((title) => [title, title]),
    state.kernel,
    set("kernel"),
    "V",
  );
  const said = el("p", { class: "answer", role: "status" });
  const cards = ways.map((way) => {
    const output = picture(`${way.title}: output`, "H");
    const turned = kernelTable(way.says);
    const sum = el("p", { class: "soft" });
    const element = el(
      "div",
      { class: "way" },
      el("h4", {}, way.title),
      equationOf(way.sign, `${way.title}: i ${way.sign} a, j ${way.sign} b`),
      el("div", { class: "pair" }, turned.element, output.element),
      sum,
    );
    return { ...way, output, turned, element, sum };
  });

  function point(cell) {
    for (const { output, values, sum } of cards) {
      output.mark(cell ? { ...cell, symbol: "i" } : []);
      sum.textContent = cell ? `row ${cell.y}, column ${cell.x}: ${written(values[cell.y * EDGE + cell.x])}` : "";
    }
    input.mark(cell ? { ...cell, symbol: "i" } : []);
  }
  for (const { output } of cards) output.onPoint(point);

  function show() {
    const values = IMAGES[state.image][1](page.image.pixels);
    const rows = known.get(state.kernel);
    input.paint(values, { low: 0, high: 1 });
    for (const card of cards) {
      card.values = card.apply(values, rows);
      card.turned.show(card.turn(rows));
    }
    const both = range(cards.flatMap((card) => Array.from(card.values)));
    for (const card of cards)
      card.output.paint(card.values, both.low < 0 ? { kind: "signed", ...both } : { low: 0, high: both.high });
    const most = Math.max(...cards[0].values.map((v, i) => Math.abs(v - cards[1].values[i])));
    said.textContent =
      most < 1e-5
        ? "The outputs are the same: this kernel does not change when it is flipped, or the image hides it."
        : `The outputs differ by up to ${written(most)}.`;
  }

  page.onImage(show);
  show();
  return el(
    "div",
    { class: "flip" },
    el("div", { class: "settings" }, image.element, kernel.element),
    el(
      "div",
      { class: "ways" },
      el("figure", {}, el("h4", {}, "Image X"), input.element),
      ...cards.map((c) => c.element),
    ),
    said,
  );
}
