// A window that moves over a small image: a convolution or a pooling, with all that can be said of it.

import { el } from "pages/dom.js";
import { plural } from "pages/format.js";
import { ConfigError } from "pages/geometry.js";
import { picker } from "playground/picker.js";
import { range, raster } from "playground/raster.js";
import { choice, numbers } from "playground/stations/slide_controls.js";
import { EDGE, IMAGES, kernels, planes, written } from "playground/stations/slide_images.js";
import { kernelEditor } from "playground/stations/slide_kernel.js";
import { player } from "playground/stations/slide_player.js";
import { parameters, sizeEquation, sizeInNumbers } from "playground/stations/slide_size.js";
import { pooled, products } from "playground/stations/slide_sums.js";
import { MovingWindow } from "playground/stations/slide_window.js";

const SCALE = 16; // CSS pixels a cell
const COLOURS = ["red", "green", "blue"];
const PADDED = [70, 130, 210]; // the colour that lies over padded pixels
const OWN = "your own";
const OPERATIONS = [
  ["conv", "convolution"],
  ["max", "max-pooling"],
  ["average", "average pooling"],
];
const PADDINGS = [["valid", "valid: none"], ["same", "same: keeps the size"], ...numbers(1, EDGE)];
const MODES = ["zeros", "reflect", "replicate", "circular"].map((mode) => [mode, mode]);

const HINT = "Point at an output pixel to move the window there, or at an input pixel to see which outputs read it.";
/** What the suite names in an error -> the controls that set it. */
const CULPRITS = {
  "model.padding": ["padding"],
  "model.kernel_size": ["height", "width"],
  "model.pool_after": ["window"],
};
const FREE = () => [
  el("strong", {}, "0 parameters"),
  ": a pooling has nothing to learn, and keeps the channels apart.",
];
const letter = (symbol) => el("strong", { "data-symbol": symbol, class: "letter" }, symbol);

/** A raster for each size that was needed, so that a new size costs nothing the second time. */
function rasters(make) {
  const made = new Map();
  return (height, width) => {
    const key = `${height}x${width}`;
    if (!made.has(key)) made.set(key, make(height, width));
    return made.get(key);
  };
}

/** The bench of this station. */
export function bench(page) {
  const presets = kernels(page.networks);
  const state = { operation: "conv", channels: 1, image: "garment", bias: 0 };
  Object.assign(state, { padding: "valid", mode: "zeros", stride: 1, dilation: 1, size: [3, 3], window: 2, step: 2 });
  let weights = [];
  let now = null; // what the present configuration makes; null where it is refused
  let reached = 0; // output pixels are drawn up to this one
  let at = 0;

  // --- controls

  const pick = (key, label, options, symbol = null, read = String) =>
    choice(
      label,
      options,
      state[key],
      (value) => {
        state[key] = read(value);
        configure();
      },
      symbol,
    );
  const controls = {
    operation: pick("operation", "Operation", OPERATIONS),
    image: pick(
      "image",
      "Picture",
      Object.entries(IMAGES).map(([key, [title]]) => [key, title]),
      "X",
    ),
    channels: choice(
      "Channels",
      [
        [1, "one: grey"],
        [3, "three: a tint"],
      ],
      1,
      setChannels,
    ),
    preset: choice(
      "Kernel",
      [...presets.keys(), OWN].map((title) => [title, title]),
      "vertical edges",
      load,
      "V",
    ),
    height: choice("Kernel height", numbers(1, 5), 3, (value) => resize(0, Number(value)), "k"),
    width: choice("Kernel width", numbers(1, 5), 3, (value) => resize(1, Number(value)), "k"),
    padding: pick("padding", "Padding", PADDINGS, "p", (value) => (Number(value) ? Number(value) : value)),
    mode: pick("mode", "Padding mode", MODES, "p"),
    stride: pick("stride", "Stride", numbers(1, 4), "s", Number),
    dilation: pick("dilation", "Dilation", numbers(1, 4), "d", Number),
    window: pick("window", "Window", numbers(1, EDGE + 2), "k", Number),
    step: pick("step", "Stride", numbers(1, 4), "s", Number),
  };
  const ofConv = ["preset", "height", "width", "padding", "mode", "stride", "dilation"];
  const ofPool = ["window", "step"];
  const editor = kernelEditor(() => {
    controls.preset.select.value = OWN;
    compute();
  });
  const bias = el("input", { type: "number", step: 0.25, value: 0, class: "bias" });
  bias.addEventListener("input", () => {
    state.bias = Number(bias.value) || 0;
    compute();
  });

  function names() {
    return state.channels === 3 ? COLOURS : ["grey"];
  }

  function load(title) {
    const rows = presets.get(title);
    if (!rows) return;
    state.size = [rows.length, rows[0].length];
    controls.height.select.value = rows.length;
    controls.width.select.value = rows[0].length;
    weights = names().flatMap(() => rows.flat());
    editor.show(state.size, weights, names());
    configure();
  }

  /** The kernel keeps the weights that are in both sizes; new ones are 0. */
  function resize(axis, n) {
    const [height, width] = state.size;
    state.size = state.size.with(axis, n);
    weights = names().flatMap((_, c) =>
      Array.from({ length: state.size[0] * state.size[1] }, (_, t) => {
        const [i, j] = [Math.floor(t / state.size[1]), t % state.size[1]];
        return i < height && j < width ? weights[(c * height + i) * width + j] : 0;
      }),
    );
    controls.preset.select.value = OWN;
    editor.show(state.size, weights, names());
    configure();
  }

  function setChannels(value) {
    const taps = state.size[0] * state.size[1];
    state.channels = Number(value);
    weights = names().flatMap((_, c) =>
      Array.from({ length: taps }, (_, t) => weights[(c * taps + t) % weights.length]),
    );
    editor.show(state.size, weights, names());
    configure();
  }

  // --- pictures

  const inputs = rasters((height, width) => {
    const label = `Input, ${height} by ${width} with its padding`;
    const made = raster({ width, height, scale: SCALE, label, symbol: "X", describe: sayInput });
    made.onPoint(pointInput);
    return made;
  });
  const outputs = rasters((height, width) => {
    const label = `Output, ${height} by ${width}. Point at a pixel to see its window.`;
    const made = raster({ width, height, scale: SCALE, label, symbol: "H", describe: (x, y) => say(y * width + x) });
    made.onPoint((cell) => {
      if (cell && now) play.move(cell.y * width + cell.x);
    });
    return made;
  });
  const places = { input: el("div", {}), output: el("div", {}) };
  const captions = {
    input: el("figcaption", {}),
    kernel: el("figcaption", {}),
    output: el("figcaption", {}),
    work: el("figcaption", {}),
  };
  const refusal = el("p", { class: "refusal", role: "alert", hidden: true });
  const grids = el("div", { class: "grids" });
  const sum = el("p", { class: "sum" });
  const size = el("div", { class: "size" });
  const cost = el("p", { class: "cost" });
  const readers = el("p", { class: "soft readers" });
  const play = player(moved, say);

  const cellOf = (p) => now.placeOf(p);

  function say(p) {
    if (!now?.output) return "";
    const [i, j] = cellOf(p);
    return `output row ${i}, column ${j}: ${now.values(p).map(written).join(", ")}`;
  }

  function sayInput(x, y) {
    const pixel = now.pixelAt(x, y);
    const [top, left] = now.pads.map(([before]) => before);
    const values = names().map((_, c) => (pixel < 0 ? "0" : written(now.image[c * EDGE * EDGE + pixel])));
    const copied = pixel < 0 ? "" : `, a copy of pixel ${Math.floor(pixel / EDGE)}, ${pixel % EDGE}`;
    const where = now.isPadding(x, y) ? `Padding${copied}` : `Pixel ${y - top}, ${x - left}`;
    const n = now.readers(x, y).length;
    const read = n ? `${plural(n, "output")} read${n === 1 ? "s" : ""} it` : "no output reads it";
    return `${where}: ${values.join(", ")}; ${read}.`;
  }

  function pointInput(cell) {
    if (!now) return;
    readers.textContent = cell ? sayInput(cell.x, cell.y) : HINT;
    mark(cell ? now.readers(cell.x, cell.y).map((each) => ({ ...each, kind: "reader" })) : []);
  }

  // --- what follows from the configuration

  function configure() {
    const isConv = state.operation === "conv";
    for (const key of ofConv) controls[key].element.hidden = !isConv;
    for (const key of ofPool) controls[key].element.hidden = isConv;
    kernelFigure.hidden = !isConv;
    controls.mode.select.disabled = state.padding === "valid";
    element.classList.toggle("pooling", !isConv);
    for (const { select } of Object.values(controls)) select.removeAttribute("aria-invalid");
    const isWhole = now !== null && reached === now.places - 1;
    const ofWindow = isConv ? { kernel: state.size } : { kernel: [state.window, state.window], stride: state.step };
    try {
      now = new MovingWindow({ ...state, ...ofWindow });
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      return refuse(error);
    }
    refusal.hidden = true;
    for (const part of [desk, size, cost]) part.classList.remove("refused");
    desk.inert = false;
    at = Math.min(at, now.places - 1);
    reached = isWhole ? now.places - 1 : at;
    return compute();
  }

  function refuse(error) {
    now = null;
    play.stop();
    for (const key of CULPRITS[error.key] ?? []) controls[key].select.setAttribute("aria-invalid", "true");
    refusal.textContent = error.message;
    refusal.hidden = false;
    for (const part of [desk, size, cost]) part.classList.add("refused");
    desk.inert = true;
  }

  /** The output of the present image and weights. */
  function compute() {
    if (!now) return;
    now.run(planes(IMAGES[state.image][1](page.image.pixels), state.channels), weights, state.bias);
    play.reset(now.places, at);
    drawInput();
    describe();
    draw();
  }

  function show(kind, made) {
    if (places[kind].firstChild !== made.element) places[kind].replaceChildren(made.element);
  }

  function drawInput() {
    const [height, width] = now.padded.size;
    const shown = inputs(height, width);
    const picture = new Float32Array(3 * height * width);
    for (let at = 0; at < picture.length; at++) {
      const [c, cell] = [Math.floor(at / (height * width)), at % (height * width)];
      const pixel = now.padded.pixels[cell];
      const grey = pixel < 0 ? 0 : 255 * now.image[(state.channels === 3 ? c : 0) * EDGE * EDGE + pixel];
      const isPadding = now.isPadding(cell % width, Math.floor(cell / width));
      picture[at] = isPadding ? 0.6 * grey + 0.4 * PADDED[c] : grey;
    }
    shown.paint(picture, { kind: "rgb" });
    show("input", shown);
  }

  function describe() {
    const [height, width] = now.padded.size;
    const [, rows, columns] = now.shape;
    const isPadded = height !== EDGE || width !== EDGE;
    const deep = state.channels === 3 ? ", three channels" : "";
    const isConv = state.operation === "conv";
    const { low, high } = range(now.output);
    captions.input.replaceChildren(
      letter("X"),
      ` ${EDGE}×${EDGE}${deep}${isPadded ? `, padded to ${height}×${width}` : ""}`,
    );
    captions.kernel.replaceChildren(letter("V"), ` ${state.size.join("×")}${deep}`);
    captions.output.replaceChildren(letter("H"), ` ${rows}×${columns}, from ${written(low)} to ${written(high)}`);
    captions.work.textContent = isConv ? "weight · pixel, and their product" : "the pixels of the window";
    const axes = [0, 1].map((axis) => ({
      n: EDGE,
      before: now.pads[axis][0],
      after: now.pads[axis][1],
      k: now.kernel[axis],
      d: now.dilation[axis],
      s: now.stride[axis],
      out: now.shape[axis + 1],
    }));
    size.replaceChildren(...sizeInNumbers(axes));
    cost.replaceChildren(...(isConv ? parameters(state.size, state.channels, now.shape, EDGE) : FREE()));
  }

  function moved(to, again) {
    at = to;
    reached = again ? to : Math.max(reached, to);
    draw();
  }

  /** Output, window and sums for the present place. */
  function draw() {
    const [channels, rows, columns] = now.shape;
    const shown = outputs(rows, columns);
    const drawn = now.output.map((v, i) => (i % now.places <= reached ? v : Number.NaN));
    const { low, high } = range(now.output);
    if (channels === 3)
      shown.paint(
        drawn.map((v) => 255 * v),
        { kind: "rgb" },
      );
    else if (low < 0) shown.paint(drawn, { kind: "signed", low, high });
    else shown.paint(drawn, { kind: "grey", low: 0, high });
    show("output", shown);
    mark();
    write();
  }

  function mark(read = []) {
    const [, rows, columns] = now.shape;
    const [i, j] = cellOf(at);
    const { taps, ...frame } = now.frame(at);
    const [top, left] = now.pads.map(([before]) => before);
    const border = { x: left, y: top, width: EDGE, height: EDGE, kind: "border", symbol: "p" };
    const next = { ...frame, x: frame.x + now.stride[1], kind: "next", symbol: "s" };
    inputs(...now.padded.size).mark(
      now.padded.size.some((n) => n !== EDGE) ? border : [],
      j + 1 < columns ? next : [],
      taps.map((tap) => ({ ...tap, symbol: "a", kind: "tap" })),
      { ...frame, symbol: "V", kind: "window" },
    );
    outputs(rows, columns).mark(read, { x: j, y: i, symbol: "i" });
  }

  /** The sum of the present place. */
  function write() {
    const isConv = state.operation === "conv";
    const { taps } = now.windows;
    const weightsOf = names().map((_, c) => weights.slice(c * taps, (c + 1) * taps));
    const found = isConv
      ? products(now.seen(at), weightsOf, now.kernel[1], state.bias, names())
      : pooled(now.seen(at), now.kernel[1], state.operation, names());
    grids.replaceChildren(...found.grids);
    sum.replaceChildren(
      el("span", { "data-symbol": "i" }, "H", el("sub", {}, cellOf(at).join(","))),
      ` = ${found.sum} = `,
      el("output", {}, now.values(at).map(written).join(", ")),
    );
  }

  // --- the whole

  const shown = (keys) => keys.map((key) => controls[key].element);

  readers.textContent = HINT;
  const field = el("label", { class: "control across", "data-symbol": "u" }, el("span", {}, "Bias u"), bias);
  const kernelFigure = el("figure", { class: "kernel-figure" }, editor.element, captions.kernel, field);
  const desk = el(
    "div",
    { class: "desk" },
    el(
      "div",
      { class: "pictures" },
      el("figure", {}, places.input, captions.input),
      kernelFigure,
      el("figure", {}, places.output, captions.output),
      el("figure", { class: "work" }, grids, captions.work),
    ),
    sum,
    play.element,
    readers,
  );
  const element = el(
    "div",
    { class: "bench" },
    el("div", { class: "settings" }, picker(page), ...shown(["image", "channels", "operation"])),
    el("div", { class: "settings" }, ...shown([...ofConv, ...ofPool])),
    refusal,
    desk,
    el("h4", {}, "Size and parameters"),
    sizeEquation(),
    size,
    cost,
  );
  page.onImage(() => {
    state.image = "garment";
    controls.image.select.value = "garment";
    compute();
  });
  load("vertical edges");
  return element;
}
