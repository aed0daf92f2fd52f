// How the unit that is pointed at gets its value: the window it reads, times its weights, summed.

import { el } from "pages/dom.js";
import { count } from "pages/format.js";
import { maps } from "playground/stations/inside_maps.js";
import { termsOf } from "playground/stations/inside_terms.js";
import { functionOf } from "playground/stations/inside_words.js";

const ROOM = 330; // px for the pictures of one row
const LARGEST = 96; // px of one picture: the sum below them is to be seen without scrolling
const WRITTEN = 9; // values of a window that are written out
const LISTED = 5; // terms of a layer that reads features

export const number = (value) => `${value < 0 ? "−" : ""}${Math.abs(value).toFixed(3)}`;

/** CSS pixels a cell, so that the pictures of a row fit side by side where they can. */
function scaleOf([n, , width]) {
  return Math.max(2, Math.min(12, Math.floor((ROOM / Math.min(n, 8) - 4) / width), Math.floor(LARGEST / width)));
}

const total = (values) => values.reduce((sum, value) => sum + value, 0);

/** @returns {{element: HTMLElement, show: function(object, number, number): void}} */
export function working() {
  const element = el("div", { class: "working" });
  const pictures = new Map(); // by what they show and their shape: most units of a layer share them

  function row(title, symbol, shape, values) {
    const key = `${title} ${shape}`;
    if (!pictures.has(key)) pictures.set(key, maps({ shape, label: title, scale: scaleOf(shape), symbol }));
    const picture = pictures.get(key);
    picture.paint(values);
    const isSingle = shape[0] === 1; // such pictures lie side by side
    return el(
      "div",
      { class: isSingle ? "single" : null },
      el("p", { class: "soft", "data-symbol": symbol }, title),
      picture.element,
    );
  }

  /** How the unit `index` of layer `at` is computed; after `forward`. */
  function show(network, at, index) {
    const terms = termsOf(network, at, index);
    const layer = network.layers[at];
    element.replaceChildren(el("h4", {}, "How it is computed"), ...parts(terms, layer));
  }

  function parts({ kind, shape, reads, weights, products, bias, value }, layer) {
    if (weights) {
      const sum = total(products);
      const added = bias === null ? "" : `, plus bias ${number(bias)}`;
      const said = `Sum of ${count(products.length)} products ${number(sum)}${added}: ${number(value)}`;
      const shown = shape
        ? [
            row(shape[0] === 1 ? "what it reads" : `what it reads, in ${shape[0]} maps`, "X", shape, reads),
            row("its weights", "V", shape, weights),
            row("their products", "H", shape, products),
          ]
        : [strongest(reads, weights, products)];
      return [...shown, el("p", { class: "total" }, said)];
    }
    if (kind === "pool" || kind === "global_average") {
      const mode = layer.description.mode === "max" ? "The largest" : "The mean";
      return [
        row("what it reads", "X", shape, reads),
        reads.length <= WRITTEN ? el("p", { class: "soft values" }, reads.map(number).join(", ")) : "",
        el("p", { class: "total" }, `${mode} of these ${reads.length} values: ${number(value)}`),
      ];
    }
    if (kind === "activation") {
      return [el("p", { class: "total" }, `${functionOf(layer.description)}(${number(reads[0])}) = ${number(value)}`)];
    }
    const said =
      kind === "affine" ? `${number(reads[0])}, scaled and shifted: ${number(value)}` : `Its value: ${number(value)}`;
    return [el("p", { class: "total" }, said)];
  }

  /** The terms that weigh most, where a layer reads features. */
  function strongest(reads, weights, products) {
    const order = [...products.keys()].sort((a, b) => Math.abs(products[b]) - Math.abs(products[a]));
    const lines = order
      .slice(0, LISTED)
      .map((i) =>
        el(
          "li",
          {},
          `${number(reads[i])} × ${number(weights[i])} = ${number(products[i])}`,
          el("span", { class: "soft" }, ` from unit ${i + 1}`),
        ),
      );
    return el("div", {}, el("p", { class: "soft" }, "its strongest terms, value times weight"), el("ol", {}, ...lines));
  }

  return { element, show };
}
