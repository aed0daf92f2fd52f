// A 1x1 convolution: at each pixel the same small dense layer, from the pixel's channels to new ones.

import { el } from "pages/dom.js";
import { raster } from "playground/raster.js";
import { choice } from "playground/stations/slide_controls.js";
import { EDGE, IMAGES, planes, written } from "playground/stations/slide_images.js";

const SCALE = 14;
const CHANNELS = ["red", "green", "blue"];
const OUTPUTS = 2;
const N = EDGE * EDGE;

/** title -> [matrix, biases]: a row an output */
const MATRICES = {
  "brightness, and red against blue": [
    [
      [0.3, 0.6, 0.1],
      [1, 0, -1],
    ],
    [0, 0],
  ],
  "is it red? is it blue?": [
    [
      [2, -1, -1],
      [-1, -1, 2],
    ],
    [-0.2, -0.2],
  ],
  "the same twice": [
    [
      [1, 1, 1],
      [1, 1, 1],
    ],
    [0, 0],
  ],
};

export function pointwise(page) {
  const state = { image: "garment", matrix: Object.keys(MATRICES)[0] };
  const at = { x: 6, y: 7 };
  const picture = (label, symbol, caption) =>
    raster({ width: EDGE, height: EDGE, scale: SCALE, label, symbol, caption });
  const input = picture("Image with three channels. Point at a pixel.", "X", "X: red, green, blue");
  const outputs = Array.from({ length: OUTPUTS }, (_, o) =>
    picture(`Output channel ${o + 1}`, "H", `H, channel ${o + 1}`),
  );
  const work = el("div", { class: "matrix" });
  const first = el("p", { class: "soft" });
  const [images, matrices] = [Object.entries(IMAGES).map(([key, [title]]) => [key, title]), Object.keys(MATRICES)];
  const set = (key) => (value) => {
    state[key] = value;
    show();
  };
  const controls = [
    choice("Image", images, state.image, set("image"), "X"),
    choice(
      "Matrix",
      matrices.map((title) => [title, title]),
      state.matrix,
      set("matrix"),
      "V",
    ),
  ];
  const inputTable = (className, rows, symbol) =>
    el(
      "table",
      { class: className, "data-symbol": symbol },
      el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((v) => el("td", {}, written(v)))))),
    );
  let image = null;

  const pixel = (x, y) => CHANNELS.map((_, c) => image[c * N + y * EDGE + x]);

  /** ReLU(V x + u) */
  function outputOf(x, y) {
    const [matrix, biases] = MATRICES[state.matrix];
    const channels = pixel(x, y);
    return matrix.map((row, o) =>
      Math.max(
        0,
        row.reduce((sum, v, c) => sum + v * channels[c], biases[o]),
      ),
    );
  }

  function point(cell) {
    if (cell) Object.assign(at, cell);
    write();
  }
  for (const shown of [input, ...outputs]) shown.onPoint(point);

  function show() {
    image = planes(IMAGES[state.image][1](page.image.pixels), 3);
    input.paint(
      image.map((v) => 255 * v),
      { kind: "rgb" },
    );
    const values = outputs.map(() => new Float32Array(N));
    for (let p = 0; p < N; p++)
      outputOf(p % EDGE, Math.floor(p / EDGE)).forEach((v, o) => {
        values[o][p] = v;
      });
    outputs.forEach((shown, o) => {
      shown.paint(values[o], { low: 0 });
    });
    write();
  }

  function write() {
    const [matrix, biases] = MATRICES[state.matrix];
    for (const shown of [input, ...outputs]) shown.mark({ ...at, symbol: "i" });
    work.replaceChildren(
      el("span", {}, "ReLU"),
      inputTable("bracket", matrix, "V"),
      el("span", {}, "·"),
      inputTable(
        "bracket",
        pixel(at.x, at.y).map((v) => [v]),
        "X",
      ),
      el("span", {}, "+"),
      inputTable(
        "bracket",
        biases.map((v) => [v]),
        "u",
      ),
      el("span", {}, "="),
      inputTable(
        "bracket",
        outputOf(at.x, at.y).map((v) => [v]),
        "H",
      ),
      el("span", { class: "soft" }, `at row ${at.y}, column ${at.x}`),
    );
    const terms = pixel(at.x, at.y).map((x, c) => `${written(matrix[0][c])} · ${written(x)}`);
    first.textContent =
      `Channel 1: ${terms.join(" + ")} + ${written(biases[0])} = ${written(outputOf(at.x, at.y)[0])}`.replaceAll(
        "+ −",
        "− ",
      );
  }

  page.onImage(show);
  show();
  return el(
    "div",
    { class: "pointwise" },
    el("div", { class: "settings" }, ...controls.map((c) => c.element)),
    el("div", { class: "pictures" }, input.element, ...outputs.map((o) => o.element)),
    el("div", { class: "scroll" }, work),
    first,
    el(
      "p",
      {},
      el(
        "strong",
        {},
        `${CHANNELS.length} · ${OUTPUTS} + ${OUTPUTS} = ${CHANNELS.length * OUTPUTS + OUTPUTS} parameters`,
      ),
      " for the whole image: the pixel's neighbours are never read.",
    ),
  );
}
