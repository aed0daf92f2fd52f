// A 1x1 convolution: at each pixel the same small dense layer, from the pixel's channels to new ones. Its weights can be
// typed.

import { el } from "pages/dom.js";
import { raster } from "playground/raster.js";
import { choice } from "playground/stations/slide_controls.js";
import { EDGE, IMAGES, planes, written } from "playground/stations/slide_images.js";
import { meant } from "playground/stations/slide_kernel.js";

const SCALE = 14;
const CHANNELS = ["red", "green", "blue"];
const OUTPUTS = 2;
const N = EDGE * EDGE;
const OWN = "your own";

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

const bracket = (symbol, rows) =>
  el(
    "table",
    { class: "bracket", "data-symbol": symbol },
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((cell) => el("td", {}, cell))))),
  );

/** A column of numbers. */
const column = (symbol, values) =>
  bracket(
    symbol,
    values.map((v) => [written(v)]),
  );

/** Fields for the numbers of `rows`, which are written into it; `spell` shows what is there. */
function fields(rows, name, onChange) {
  const inputs = rows.map((row, o) =>
    row.map((_, c) => {
      const input = el("input", {
        ...{ type: "text", inputmode: "decimal", autocomplete: "off", "aria-label": name(o, c) },
        oninput: () => {
          const value = meant(input.value);
          if (value === null) return input.setAttribute("aria-invalid", "true");
          row[c] = value;
          input.removeAttribute("aria-invalid");
          return onChange();
        },
        onblur: spell,
      });
      return input;
    }),
  );
  function spell() {
    inputs.forEach((each, o) => {
      each.forEach((input, c) => {
        input.value = written(rows[o][c]);
        input.removeAttribute("aria-invalid");
      });
    });
  }
  return { inputs, spell };
}

export function pointwise(page) {
  const state = { image: "garment", matrix: Object.keys(MATRICES)[0] };
  const matrix = Array.from({ length: OUTPUTS }, () => CHANNELS.map(() => 0));
  const biases = Array.from({ length: OUTPUTS }, () => [0]);
  const at = { x: 6, y: 7 };
  const picture = (label, symbol, caption) =>
    raster({ width: EDGE, height: EDGE, scale: SCALE, label, symbol, caption });
  const input = picture("Image with three channels. Point at a pixel.", "X", "X: red, green, blue");
  const outputs = Array.from({ length: OUTPUTS }, (_, o) =>
    picture(`Output channel ${o + 1}`, "H", `H, channel ${o + 1}`),
  );
  const [read, made, place] = [el("div", {}), el("div", {}), el("span", { class: "soft" })];
  const first = el("p", { class: "soft" });
  const images = Object.entries(IMAGES).map(([key, [title]]) => [key, title]);
  const titles = [...Object.keys(MATRICES), OWN].map((title) => [title, title]);
  const preset = choice("Matrix", titles, state.matrix, load, "V");
  const chosen = choice(
    "Image",
    images,
    state.image,
    (value) => {
      state.image = value;
      show();
    },
    "X",
  );
  const edited = () => {
    preset.select.value = OWN;
    show();
  };
  const [weightFields, biasFields] = [
    fields(matrix, (o, c) => `Weight of ${CHANNELS[c]} in channel ${o + 1}`, edited),
    fields(biases, (o) => `Bias of channel ${o + 1}`, edited),
  ];
  let image = null;

  const pixel = (x, y) => CHANNELS.map((_, c) => image[c * N + y * EDGE + x]);

  /** A matrix of the list. */
  function load(title) {
    if (!(title in MATRICES)) return;
    const [rows, shifts] = MATRICES[title];
    rows.forEach((row, o) => {
      row.forEach((value, c) => {
        matrix[o][c] = value;
      });
      biases[o][0] = shifts[o];
    });
    weightFields.spell();
    biasFields.spell();
    show();
  }

  /** ReLU(V x + u) */
  function outputOf(x, y) {
    const channels = pixel(x, y);
    return matrix.map((row, o) =>
      Math.max(
        0,
        row.reduce((sum, v, c) => sum + v * channels[c], biases[o][0]),
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
    for (const shown of [input, ...outputs]) shown.mark({ ...at, symbol: "i" });
    const [channels, found] = [pixel(at.x, at.y), outputOf(at.x, at.y)];
    read.replaceChildren(column("X", channels));
    made.replaceChildren(column("H", found));
    place.textContent = `at row ${at.y}, column ${at.x}`;
    const terms = channels.map((x, c) => `${written(matrix[0][c])} · ${written(x)}`);
    first.textContent =
      `Channel 1: ReLU(${terms.join(" + ")} + ${written(biases[0][0])}) = ${written(found[0])}`.replaceAll("+ −", "− ");
  }

  page.onImage(show);
  load(state.matrix);
  const work = [
    ...[el("span", {}, "ReLU"), bracket("V", weightFields.inputs), el("span", {}, "·"), read],
    ...[el("span", {}, "+"), bracket("u", biasFields.inputs), el("span", {}, "="), made, place],
  ];
  return el(
    "div",
    { class: "pointwise" },
    el("div", { class: "settings" }, chosen.element, preset.element),
    el("div", { class: "pictures" }, input.element, ...outputs.map((o) => o.element)),
    el("div", { class: "scroll" }, el("div", { class: "matrix" }, ...work)),
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
