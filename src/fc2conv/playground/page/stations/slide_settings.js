// What can be set on the bench: the image, the operation, and its window with its weights.

import { el } from "pages/dom.js";
import { picker } from "playground/picker.js";
import { choice, numbers } from "playground/stations/slide_controls.js";
import { EDGE, IMAGES, kernels, planes } from "playground/stations/slide_images.js";
import { kernelEditor } from "playground/stations/slide_kernel.js";
import { channelNames, deep, letter } from "playground/stations/slide_words.js";

const OWN = "your own";
const FIRST = "vertical edges";
const OPERATIONS = [
  ["conv", "convolution"],
  ["max", "max-pooling"],
  ["average", "average pooling"],
];
const CHANNELS = [
  [1, "one: grey"],
  [3, "three: a tint"],
];
const PADDINGS = [["valid", "valid: none"], ["same", "same: keeps the size, at stride 1"], ...numbers(1, EDGE)];
const MODES = ["zeros", "reflect", "replicate", "circular"].map((mode) => [mode, mode]);

const OF_CONV = ["preset", "height", "width", "padding", "mode", "stride", "dilation"];
const OF_POOL = ["window", "step"];
/** What the suite names in an error -> the controls that set it. */
const CULPRITS = {
  "model.padding": ["padding"],
  "model.kernel_size": ["height", "width"],
  "model.pool_after": ["window"],
};

/**
 * @param page as main.js makes it
 * @param {function(): void} onWindow called when another window slides, or over another picture
 * @param {function(): void} onValues called when only weights, bias or the garment are others
 */
export function settings(page, onWindow, onValues) {
  const presets = kernels(page.networks);
  const state = { operation: "conv", channels: 1, image: "garment", bias: 0, weights: [] };
  Object.assign(state, { padding: "valid", mode: "zeros", stride: 1, dilation: 1, size: [3, 3], window: 2, step: 2 });

  const pick = (key, label, options, symbol = null, read = String) =>
    choice(
      label,
      options,
      state[key],
      (value) => {
        state[key] = read(value);
        onWindow();
      },
      symbol,
    );
  const images = Object.entries(IMAGES).map(([key, [title]]) => [key, title]);
  const titles = [...presets.keys(), OWN].map((title) => [title, title]);
  const controls = {
    operation: pick("operation", "Operation", OPERATIONS),
    image: pick("image", "Picture", images, "X"),
    channels: choice("Channels", CHANNELS, state.channels, setChannels),
    preset: choice("Kernel", titles, FIRST, choose, "V"),
    height: choice("Kernel height", numbers(1, 5), 3, (value) => resize(0, Number(value)), "k"),
    width: choice("Kernel width", numbers(1, 5), 3, (value) => resize(1, Number(value)), "k"),
    padding: pick("padding", "Padding", PADDINGS, "p", (value) => (Number(value) ? Number(value) : value)),
    mode: pick("mode", "Padding mode", MODES, "p"),
    stride: pick("stride", "Stride", numbers(1, 4), "s", Number),
    dilation: pick("dilation", "Dilation", numbers(1, 4), "d", Number),
    window: pick("window", "Window", numbers(1, EDGE + 2), "k", Number),
    step: pick("step", "Stride", numbers(1, 4), "s", Number),
  };
  const editor = kernelEditor(() => {
    controls.preset.select.value = OWN;
    onValues();
  });
  const caption = el("figcaption", {});
  const bias = el("input", { type: "number", step: 0.25, value: 0, class: "bias" });
  bias.addEventListener("input", () => {
    state.bias = Number(bias.value) || 0;
    onValues();
  });

  const eachChannel = (weightsOf) => channelNames(state.channels).flatMap((_, c) => weightsOf(c));

  function showKernel() {
    editor.show(state.size, state.weights, channelNames(state.channels));
    caption.replaceChildren(letter("V"), ` ${state.size.join("×")}${deep(state.channels)}`);
  }

  /** A kernel of the list. */
  function load(title) {
    const rows = presets.get(title);
    state.size = [rows.length, rows[0].length];
    controls.height.select.value = rows.length;
    controls.width.select.value = rows[0].length;
    state.weights = eachChannel(() => rows.flat());
    showKernel();
  }

  function choose(title) {
    if (!presets.has(title)) return;
    load(title);
    onWindow();
  }

  /** The kernel keeps the weights that are in both sizes; new ones are 0. */
  function resize(axis, n) {
    const [[height, width], before] = [state.size, state.weights];
    state.size = state.size.with(axis, n);
    state.weights = eachChannel((c) =>
      Array.from({ length: state.size[0] * state.size[1] }, (_, t) => {
        const [i, j] = [Math.floor(t / state.size[1]), t % state.size[1]];
        return i < height && j < width ? before[(c * height + i) * width + j] : 0;
      }),
    );
    controls.preset.select.value = OWN;
    showKernel();
    onWindow();
  }

  function setChannels(value) {
    const [taps, before] = [state.size[0] * state.size[1], state.weights];
    state.channels = Number(value);
    state.weights = eachChannel((c) => Array.from({ length: taps }, (_, t) => before[(c * taps + t) % before.length]));
    showKernel();
    onWindow();
  }

  const isConv = () => state.operation === "conv";

  /** The window as MovingWindow wants it. */
  const ofWindow = () => ({
    ...state,
    ...(isConv() ? { kernel: state.size } : { kernel: [state.window, state.window], stride: state.step }),
  });

  /** What it slides over. */
  const picture = () => planes(IMAGES[state.image][1](page.image.pixels), state.channels);

  /** Show the operation's own controls, and none of them as wrong. */
  function show() {
    for (const key of OF_CONV) controls[key].element.hidden = !isConv();
    for (const key of OF_POOL) controls[key].element.hidden = isConv();
    kernel.hidden = !isConv();
    controls.mode.select.disabled = state.padding === "valid";
    for (const { select } of Object.values(controls)) select.removeAttribute("aria-invalid");
  }

  /** Mark what a ConfigError speaks of. */
  function accuse({ key }) {
    for (const culprit of CULPRITS[key] ?? []) controls[culprit].select.setAttribute("aria-invalid", "true");
  }

  page.onImage(() => {
    state.image = "garment";
    controls.image.select.value = "garment";
    onValues();
  });
  const elements = (keys) => keys.map((key) => controls[key].element);
  const field = el("label", { class: "control across", "data-symbol": "u" }, el("span", {}, "Bias u"), bias);
  const kernel = el("figure", { class: "kernel-figure" }, editor.element, caption, field);
  load(FIRST);
  return {
    state,
    rows: [
      el("div", { class: "settings" }, picker(page), ...elements(["image", "channels", "operation"])),
      el("div", { class: "settings" }, ...elements([...OF_CONV, ...OF_POOL])),
    ],
    /** The editor of the weights, with the bias. */
    kernel,
    isConv,
    ofWindow,
    picture,
    show,
    accuse,
  };
}
