// Station 4: all maps of a network on the current image, and what each of its units sees of it.

import { el } from "pages/dom.js";
import { entry, equation, index, op, sub, sum, sym } from "playground/equation.js";
import { guess } from "playground/guess.js";
import { layout } from "playground/layout.js";
import { Network } from "playground/network.js";
import { picker } from "playground/picker.js";
import { raster } from "playground/raster.js";
import { bars } from "playground/stations/inside_bars.js";
import { classList } from "playground/stations/inside_classes.js";
import { extentOf, fields, gradientOf, spread } from "playground/stations/inside_field.js";
import { maps } from "playground/stations/inside_maps.js";
import { number, working } from "playground/stations/inside_unit.js";
import { effective, figuresOf, kindOf, size, theoretical, unitOf } from "playground/stations/inside_words.js";
import { verdict } from "playground/verdict.js";

const PIXEL = 4; // CSS pixels for one of the image
const DIM = 0.25; // of a pixel's brightness outside of the field
const MOST = 32; // maps of a layer whose filters are shown all at once
const FILTER = 4; // CSS pixels for a weight

const isConv = (layer) => layer.kind === "conv";

const formula = () =>
  equation(
    "H i j d is u d plus the sum over a, b and c of V a b c d times X i plus a, j plus b, c",
    [
      entry("H", "i,j,d"),
      op("="),
      sub(sym("u"), sym("d")),
      op("+"),
      sum(...index("a,b,c")),
      entry("V", "a,b,c,d"),
      entry("X", "i+a,j+b,c"),
    ],
    { X: "what the layer reads", V: "its weights", H: "its maps" },
  );

/** The unit in the middle of a layer's first map. */
function middleOf({ output: [, height = 1, width = 1] }) {
  return Math.floor(height / 2) * width + Math.floor(width / 2);
}

/** How many pixels does a unit of the last convolution see? null for a network with fewer than two. */
function question(network) {
  const at = network.layers.findLastIndex(isConv);
  const first = network.layers.findIndex(isConv);
  if (at <= first) return null;
  const layer = network.layers[at];
  const [, ...image] = network.input;
  const box = extentOf(fields(network.layers, at, middleOf(layer))[0].mask, image[1]);
  const texts = [layer.description.kernel_size, [box.height, box.width], image].map(size);
  if (new Set(texts).size < 3) return null;
  const before = network.layers.slice(0, at).filter((each) => each.windows).length;
  return {
    question: `A unit of ${network.title}'s ${layer.name} reads a window of ${texts[0]}. How much of the ${texts[2]} image is it connected with?`,
    answers: [`${texts[0]} pixels`, `${texts[1]} pixels`, `all ${texts[2]} pixels`],
    right: 1,
    because:
      `What it reads are units, and each of them has read a window itself. ${before} layers with windows lie below, ` +
      "so the field has grown from one to the next.",
  };
}

/** One layer as a row: its name, what it does, its maps or bars. */
function layerRow(network, at, classes, onPoint) {
  const layer = network.layers[at];
  const isLast = at === network.layers.length - 1;
  const point = (index, how) => onPoint(at, index, how);
  const what = layer.output.length === 3 ? "maps" : "units";
  const label = `${what} of ${layer.name}: ${figuresOf(layer)}. Arrow keys point at units${what === "maps" ? ", Page Up and Page Down go to other maps" : ""}.`;
  const view =
    layer.output.length === 3
      ? maps({ shape: layer.output, label, onPoint: point })
      : isLast && layer.output[0] === classes.length
        ? classList({ classes, onPoint: point })
        : bars({ shape: layer.output, label, onPoint: point });
  const filters = isConv(layer) && layer.output[0] <= MOST ? filtersOf(layer) : null;
  const element = el(
    "div",
    { class: "floor" },
    el("h4", {}, layer.name, el("span", { class: "soft" }, ` ${kindOf(layer)}`)),
    el("p", { class: "soft figures" }, figuresOf(layer)),
    view.element,
    filters,
  );
  return { at, element, view };
}

/** All weights of a convolution: a column for each of its maps, a row for each map that it reads. */
function filtersOf({ weight, output: [count], description, input: [channels] }) {
  const [height, width] = description.kernel_size;
  const read = description.depthwise ? 1 : channels;
  const area = height * width;
  const ordered = new Float32Array(weight.length);
  for (let c = 0; c < read; c++) {
    for (let o = 0; o < count; o++) {
      ordered.set(weight.subarray((o * read + c) * area, (o * read + c + 1) * area), (c * count + o) * area);
    }
  }
  const label = `Its filters: ${count} columns, one for each map; ${read} rows, one for each map that is read`;
  const picture = maps({ shape: [read * count, height, width], label, scale: FILTER, perRow: count, symbol: "V" });
  picture.paint(ordered);
  const caption =
    read > 1 ? "filters: a column for each of its maps, a row for each map that it reads" : "filters, one for each map";
  return el("div", { class: "filters" }, picture.element, el("p", { class: "soft figures" }, caption));
}

/** The image, lit where the unit sees it, and the gradient beside it. */
function spectacles([, height, width]) {
  const seen = raster({
    width,
    height,
    scale: PIXEL,
    label: "Theoretical field",
    caption: "theoretical field",
    symbol: "X",
  });
  const felt = raster({ width, height, scale: PIXEL, label: "Effective field", caption: "effective field" });

  function show(looks, mask, weights) {
    const box = extentOf(mask, width);
    const frame = box.pixels ? [{ x: box.left, y: box.top, width: box.width, height: box.height, kind: "field" }] : [];
    seen.paint(
      looks.map((value, p) => (mask[p] ? value : DIM * value)),
      { low: 0, high: 255 },
    );
    felt.paint(weights, { kind: "signed", low: 0, high: Math.max(...weights) || 1 });
    seen.mark(...frame);
    felt.mark(...frame);
    return box;
  }

  return { element: el("div", { class: "spectacles" }, seen.element, felt.element), show };
}

/** A network taken apart. */
class Inside {
  constructor(page, description) {
    this.page = page;
    this.network = new Network(description);
    this.image = this.network.input.slice(1);
    const { layers } = this.network;
    this.rows = layers.flatMap((layer, at) =>
      layer.kind === "flatten" ? [] : [layerRow(this.network, at, page.classes, (...where) => this.point(...where))],
    );
    this.spectacles = spectacles(this.network.input);
    this.working = working();
    this.title = el("h3", { class: "unit" });
    this.told = el("dl", { class: "told" });
    this.hint = el("p", { class: "soft figures hint-hold" });
    const convolutions = layers.findLastIndex(isConv);
    this.at = convolutions < 0 ? 0 : convolutions;
    this.index = middleOf(layers[this.at]);
    this.isHeld = false;
    this.frame = null; // the pointer moves more often than the page is drawn
    this.element = el(
      "div",
      { class: "inside", onkeydown: (event) => event.key === "Escape" && this.hold(false) },
      el(
        "div",
        { class: "side" },
        el("div", { class: "look" }, this.title, this.spectacles.element, this.told, this.hint),
        this.working.element,
      ),
      el("div", { class: "layers" }, ...this.rows.map((row) => row.element)),
    );
    this.hold(false);
    this.take(page.image);
  }

  /** Run the network on an image. */
  take({ pixels }) {
    const { network } = this;
    network.forward(network.prepare(pixels));
    const probabilities = network.probabilities();
    for (const { at, view } of this.rows) view.paint(network.outputs[at], probabilities);
    this.show();
  }

  /** The unit `index` of layer `at`. A press holds it, so that the pointer can leave; a second one lets it go. */
  point(at, index, how) {
    const isSame = at === this.at && index === this.index;
    if (how === "hover" && (this.isHeld || isSame)) return;
    if (how === "press") this.hold(!(this.isHeld && isSame));
    Object.assign(this, { at, index });
    if (how === "key") {
      this.show();
      this.page.announce(this.said);
    } else {
      this.frame ??= requestAnimationFrame(() => {
        this.frame = null;
        this.show();
      });
    }
  }

  hold(isHeld) {
    this.isHeld = isHeld;
    this.hint.textContent = isHeld ? "Held. Press it again, or Escape, to let it go." : "Press a unit to hold it.";
  }

  show() {
    const { network, at, index } = this;
    const layer = network.layers[at];
    const seen = fields(network.layers, at, index);
    const found = spread(gradientOf(network, at, index), network.input);
    const box = this.spectacles.show(network.looks, seen[0].mask, found.weights);
    const classes = at === network.layers.length - 1 ? this.page.classes : null;
    const name = unitOf(layer, index, classes);
    const value = number(network.outputs[at][index]);
    const numbers = [
      ["Value", value],
      ["Theoretical field", theoretical(box, layer, this.image)],
      ["Effective field", effective(found, box)],
    ];
    this.title.textContent = name;
    this.told.replaceChildren(...numbers.flatMap(([term, text]) => [el("dt", {}, term), el("dd", {}, text)]));
    this.said = `${name}. ${numbers.map(([term, text]) => `${term}: ${text}`).join(". ")}`;
    this.working.show(network, at, index);
    for (const row of this.rows) row.view.mark(seen[row.at + 1] ?? null, row.at === at ? index : null);
  }
}

export function station(page) {
  const { networks } = page.data;
  const order = networks.toSorted((a, b) => b.layers.some(isConv) - a.layers.some(isConv));
  const choice = el(
    "select",
    { onchange: () => open(order[choice.selectedIndex]) },
    ...order.map(({ title }) => el("option", {}, title)),
  );
  const holder = el("div", {});
  let inside = null;

  function open(description) {
    inside = new Inside(page, description);
    holder.replaceChildren(inside.element);
  }

  open(order[0]);
  page.onImage((image) => inside.take(image));
  const asked = question(inside.network);
  return layout({
    lead: "A network layer by layer: what each unit answers, and how far it sees.",
    equation: formula(),
    guess: asked ? guess(asked) : null,
    stage: [el("div", { class: "buttons" }, el("label", { class: "switch" }, "Network", choice), picker(page)), holder],
    shows:
      "Each layer with a window adds to the field of the one below it, and pooling makes all later steps wider: this is " +
      "the theoretical field. The gradient says what a unit uses of it on this image: mostly the middle, where many paths " +
      "meet, and nothing through units that a ReLU has switched off (Luo et al. 2016). Only a dense layer, or a global " +
      "average, sees the whole image at once.",
    verdicts: [verdict(page.result("receptive_field"))],
  });
}
