// The geometry calculator: what a LeNet costs and sees, while its keys are typed, and what the nearest runs reached.

import { el, svg, table } from "pages/dom.js";
import { count, spread } from "pages/format.js";
import { ConfigError, LENET, plan } from "pages/geometry.js";
import { command } from "report/made.js";
import { pinButton } from "report/pin_button.js";
import * as view from "report/view.js";

const NEAREST = 5;
const IMAGE = { height: 28, width: 28, bands: 1, classes: 10 };
const LIMITS = { height: 4096, width: 4096, bands: 512, classes: 100000 };

// name -> [label, how it is typed, what is meant]
const FIELDS = {
  height: ["image height", "count", "pixels"],
  width: ["image width", "count", "pixels"],
  bands: ["bands", "count", "1 grey, 3 colours"],
  classes: ["classes", "count", "outputs"],
  channels: ["channels", "list", "one a convolution: 6,16"],
  kernel_size: ["kernel_size", "each", "one, or one a convolution"],
  padding: ["padding", "pads", "number, same, valid"],
  padding_mode: ["padding_mode", ["zeros", "reflect", "circular", "replicate"], ""],
  stride: ["stride", "each", "one, or one a convolution"],
  dilation: ["dilation", "each", "one, or one a convolution"],
  pool: ["pool", ["average", "max", "blur", "strided", "none"], ""],
  pool_after: ["pool_after", "some", "convolutions; empty: all"],
  norm: ["norm", ["none", "batch"], ""],
  head: ["head", ["dense", "gap"], ""],
  hidden: ["hidden", "list", "widths, or empty"],
  bias: ["bias", "switch", ""],
  separable: ["separable", "switch", ""],
  coordinates: ["coordinates", "switch", ""],
};

const GROUPS = [
  ["Image", ["height", "width", "bands", "classes"]],
  ["Convolutions", ["channels", "kernel_size", "padding", "padding_mode", "stride", "dilation"]],
  ["Pooling and head", ["pool", "pool_after", "norm", "head", "hidden"]],
  ["Switches", ["bias", "separable", "coordinates"]],
];

const DEFAULTS = { ...LENET, ...IMAGE };

export function calculator(report) {
  const typed = view.get("calculator") ?? {};
  const inputs = {};
  const answer = el("div", { class: "answer" });
  const form = el("form", { class: "card", onsubmit: (event) => event.preventDefault(), oninput: () => change() });
  for (const [title, names] of GROUPS) {
    const fields = names.map((name) => field(name, typed[name], inputs));
    form.append(el("fieldset", {}, el("legend", {}, title), ...fields));
  }
  const reset = el("button", { type: "button", onclick: () => back() }, "Back to LeNet");
  form.append(reset);
  const total = el("div", { role: "status", class: "totals" });

  function change() {
    const now = Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, spelled(input)]));
    const changed = Object.entries(now).filter(([name, text]) => text !== written(DEFAULTS[name]));
    view.set("calculator", changed.length ? Object.fromEntries(changed) : null);
    show(now);
  }

  function back() {
    for (const [name, input] of Object.entries(inputs)) put(input, written(DEFAULTS[name]));
    change();
  }

  function show(now) {
    inputs.hidden.disabled = now.head === "gap";
    inputs.pool_after.disabled = now.pool === "none";
    for (const input of Object.values(inputs)) input.removeAttribute("aria-invalid");
    try {
      const { height, width, bands, classes, ...config } = parsed(now);
      const geometry = plan(config, [bands, height, width], classes);
      const totals = [
        ["parameters", count(geometry.params)],
        ["MACs", count(geometry.macs)],
        ["receptive field", `${geometry.receptive_field} px`],
      ];
      total.replaceChildren(...totals.map(([name, value]) => el("p", {}, el("strong", {}, value), ` ${name}`)));
      answer.replaceChildren(
        total,
        ...geometry.remarks.map((remark) => el("p", { class: "notice" }, remark)),
        drawing(geometry, [bands, height, width]),
        layers(geometry),
        nearest(report, geometry),
        el("h4", {}, "Train it"),
        command(commandOf(config)),
      );
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      inputs[error.key.replace("model.", "")]?.setAttribute("aria-invalid", "true");
      total.replaceChildren(el("p", { class: "error" }, error.message));
      answer.replaceChildren(total);
    }
  }

  show(Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, spelled(input)])));
  return el("div", { class: "calculator" }, form, el("div", { class: "card" }, answer));
}

// --- the form

function field(name, typed, inputs) {
  const [label, kind, hint] = FIELDS[name];
  const id = `calculator-${name}`;
  const input = Array.isArray(kind)
    ? el("select", { id }, ...kind.map((option) => el("option", {}, option)))
    : el("input", { id, type: kind === "switch" ? "checkbox" : "text", autocomplete: "off", spellcheck: "false" });
  if (kind === "count") input.inputMode = "numeric";
  inputs[name] = input;
  put(input, typed ?? written(DEFAULTS[name]));
  const text = el("span", {}, label);
  if (kind === "switch") return el("label", { class: "switch" }, input, text);
  if (hint) input.setAttribute("aria-describedby", `${id}-hint`);
  return el("label", {}, text, input, hint ? el("small", { id: `${id}-hint`, class: "soft" }, hint) : null);
}

function put(input, text) {
  if (input.type === "checkbox") input.checked = text === "true";
  else input.value = text;
}

const spelled = (input) => (input.type === "checkbox" ? String(input.checked) : input.value.trim());

const written = (value) => (value === null ? "" : Array.isArray(value) ? value.join(",") : String(value));

/** Typed texts -> values. Throws ConfigError naming the key. */
function parsed(texts) {
  return Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, value(name, text)]));
}

function value(name, text) {
  const kind = FIELDS[name][1];
  if (Array.isArray(kind)) return text;
  const inner = text.replace(/^\[|\]$/g, "");
  const parts = inner.trim() === "" ? [] : inner.split(",").map((part) => part.trim());
  if (kind === "switch") return text === "true";
  if (kind === "count") {
    const number = whole(name, text);
    const fits = number >= 1 && number <= LIMITS[name];
    if (!fits) throw new ConfigError(name, `got ${text}, expected a whole number from 1 to ${LIMITS[name]}`);
    return number;
  }
  const words = kind === "pads" ? ["same", "valid"] : [];
  const values = parts.map((part) => (words.includes(part) ? part : whole(`model.${name}`, part, words)));
  if (kind === "list") return values;
  if (kind === "some") return values.length ? values : null;
  if (!values.length) throw new ConfigError(`model.${name}`, "got '', expected a whole number");
  return values.length === 1 ? values[0] : values;
}

function whole(key, text, words = []) {
  if (/^-?\d{1,9}$/.test(text)) return Number(text);
  const or = words.map((word) => `, ${word}`).join("");
  throw new ConfigError(key, `got ${text || "''"}, expected a whole number${or}`);
}

/** The command that trains it: keys that differ from the book's LeNet. */
function commandOf(config) {
  const spell = (v) => (Array.isArray(v) ? `[${v.join(",")}]` : v === null ? "null" : String(v));
  const changed = Object.entries(config).filter(([key, v]) => spell(v) !== spell(LENET[key]));
  const left = (key) => (key === "hidden" && config.head === "gap") || (key === "pool_after" && config.pool === "none");
  const words = changed.filter(([key]) => !left(key)).map(([key, v]) => `model.${key}=${spell(v)}`);
  return ["python train.py model=lenet", ...words.map((w) => (w.includes("[") ? `'${w}'` : w))].join(" ");
}

// --- the answer

const shaped = (shape) => (shape.length === 3 ? `${shape[1]}×${shape[2]}×${shape[0]}` : count(shape[0]));

/** Nothing where it is none, as in the suite's own table of layers. */
const some = (n) => (n ? count(n) : "");

function layers(geometry) {
  const number = (text) => ({ text, number: true });
  const heads = ["layer", number("output"), number("parameters"), number("MACs"), number("receptive field")];
  const rows = geometry.rows.map((row) => [
    row.name,
    shaped(row.output),
    some(row.params),
    some(row.macs),
    row.output.length === 3 ? count(row.receptive_field) : "",
  ]);
  const region = { class: "scroll", tabindex: "0", role: "region", "aria-label": "Layers" };
  return el("div", region, table("Layers", heads, rows, { id: "calculator-layers" }));
}

/** The image as it shrinks: a stack of maps for each shape, then bars for features. */
function drawing(geometry, shape) {
  const steps = [{ name: "image", output: shape }, ...geometry.rows.filter(changes)];
  const edge = Math.max(...geometry.rows.filter((r) => r.output.length === 3).flatMap((r) => r.output.slice(1)));
  const largest = Math.max(edge, ...shape.slice(1));
  return el(
    "ol",
    { class: "drawing", "aria-label": "The image as it goes through the layers" },
    ...steps.map((step) => el("li", {}, picture(step.output, largest), el("b", {}, step.name), shaped(step.output))),
  );
}

const changes = (row) => row.input.join() !== row.output.join() || row.params > 0;

const BOX = 76;

function picture(shape, largest) {
  const sheets = shape.length === 3 ? Math.min(6, 1 + Math.floor(Math.log2(shape[0]))) : 1;
  const offset = 3;
  const room = BOX - 6 * offset;
  const frame = svg("svg", { width: BOX, height: BOX, viewBox: `0 0 ${BOX} ${BOX}`, "aria-hidden": "true" });
  if (shape.length === 1) {
    const height = Math.min(BOX - 8, 8 + 16 * Math.log10(shape[0]));
    frame.append(svg("rect", { x: BOX / 2 - 4, y: (BOX - height) / 2, width: 8, height, rx: 2, class: "features" }));
    return frame;
  }
  const [height, width] = shape.slice(1).map((n) => Math.max(2, (room * n) / largest));
  const left = (BOX - width - (sheets - 1) * offset) / 2;
  const top = (BOX - height + (sheets - 1) * offset) / 2;
  for (let i = sheets - 1; i >= 0; i--) {
    frame.append(svg("rect", { x: left + i * offset, y: top - i * offset, width, height, class: "map" }));
  }
  return frame;
}

/** Configurations of the same family, nearest by logarithms of parameters and of MACs. */
function nearestOf(report, { params, macs }) {
  const far = (c) => Math.hypot(Math.log10(c.params / params), Math.log10(c.macs / macs));
  const known = report.configurations.filter((c) => c.family === "lenet" && c.params && c.macs && c.val);
  return known.sort((a, b) => far(a) - far(b)).slice(0, NEAREST);
}

function nearest(report, geometry) {
  const found = nearestOf(report, geometry);
  if (!found.length) return el("p", { class: "soft" }, "No LeNet in this report has been measured.");
  const number = (text) => ({ text, number: true });
  const heads = ["", number("parameters"), number("MACs"), number("validation"), number("test")];
  const rows = found.map((c) => [pinButton(c.label), count(c.params), count(c.macs), spread(c.val), spread(c.test)]);
  const region = { class: "scroll", tabindex: "0", role: "region", "aria-label": "Nearest runs" };
  return el(
    "div",
    {},
    el("h4", {}, "Measured: the nearest runs by parameters and MACs"),
    el("div", region, table("Nearest runs", heads, rows, { id: "calculator-nearest" })),
  );
}
