// Station 4: all maps of a network on the current image, and what each of its units sees of it.

import { el } from "pages/dom.js";
import { entry, equation, index, op, sub, sum, sym } from "playground/equation.js";
import { guess } from "playground/guess.js";
import { layout } from "playground/layout.js";
import { Network } from "playground/network.js";
import { picker } from "playground/picker.js";
import { range, signs } from "playground/raster.js";
import { fields, gradientOf, spread } from "playground/stations/inside_field.js";
import { layerRow } from "playground/stations/inside_layers.js";
import { question } from "playground/stations/inside_question.js";
import { spectacles } from "playground/stations/inside_spectacles.js";
import { number, working } from "playground/stations/inside_unit.js";
import { effective, middleOf, normalisation, theoretical, unitOf } from "playground/stations/inside_words.js";
import { verdict } from "playground/verdict.js";

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
    {
      X: "what the layer reads",
      V: "its weights",
      H: "its maps",
      a: ["a, b", "the place in the window"],
      c: "the map that is read",
      d: "the map that is written",
    },
  );

/**
 * The unit that is shown first, after `forward`: the one with the largest value in the last convolution, which a garment
 * excites. Without a convolution, the middle unit of the first layer with weights.
 */
function firstUnit({ layers, outputs }) {
  const last = layers.findLastIndex(isConv);
  if (last >= 0) return { at: last, index: outputs[last].indexOf(range(outputs[last]).high) };
  const first = Math.max(
    0,
    layers.findIndex(({ weight }) => weight),
  );
  return { at: first, index: middleOf(layers[first]) };
}

/** A network taken apart. */
class Inside {
  constructor(page, description) {
    this.page = page;
    this.network = new Network(description);
    this.image = this.network.input.slice(1);
    const { layers } = this.network;
    this.run(page.image);
    Object.assign(this, firstUnit(this.network));
    this.rows = layers.flatMap((layer, at) =>
      layer.kind === "flatten" ? [] : [layerRow(this.network, at, page.classes, (...where) => this.point(...where))],
    );
    this.spectacles = spectacles(this.network.input);
    this.working = working();
    this.title = el("h3", { class: "unit" });
    this.told = el("dl", { class: "told" });
    this.hint = el("p", { class: "soft figures hint-hold" });
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
      el(
        "div",
        { class: "layers" },
        el("div", { class: "reading" }, signs(), el("p", { class: "soft" }, normalisation(description))),
        ...this.rows.map((row) => row.element),
      ),
    );
    this.hold(false);
    this.paint();
  }

  run({ pixels }) {
    this.network.forward(this.network.prepare(pixels));
  }

  /** Run the network on another image. */
  take(image) {
    this.run(image);
    this.paint();
  }

  paint() {
    const { network } = this;
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
      "the theoretical field. The effective field is the part of it that counts on this image: the pixels that change the " +
      "unit's value most, by the size of the gradient. On average over units and images the middle counts most, because " +
      "many paths lead there (Luo et al. 2016). That of one unit can lie at an edge: nothing goes through units that a " +
      "ReLU has switched off. Only a dense layer, or a global average, sees the whole image at once.",
    verdicts: [verdict(page.result("receptive_field"))],
  });
}
