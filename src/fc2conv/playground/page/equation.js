// Equations whose symbols light up together with what they stand for in the pictures.
//
// In a station every element with data-symbol="V" belongs to the symbol V: the letter in the equation, its word in the
// legend, a frame on a picture. Pointing at one of them, or moving the focus to it, lights them all.

import { el } from "pages/dom.js";

function math(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/1998/Math/MathML", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.flat());
  return element;
}

const row = (parts) => (Array.isArray(parts) ? math("mrow", {}, ...parts) : parts);

/** A letter that lights up as `symbol`. */
export const sym = (symbol, text = symbol) => math("mi", { "data-symbol": symbol }, text);

/** A matrix or an image: a bold letter. */
const bold = (symbol, text = symbol) => math("mi", { "data-symbol": symbol, class: "bold" }, text);

/** A word, upright. */
export const word = (text) => math("mtext", {}, text);

export const num = (value) => math("mn", {}, String(value));
export const op = (text) => math("mo", {}, text);

/**
 * An index: the letters of "i+a,j+b", each of which lights up as itself or as `as` says, and the signs between them.
 *
 * @param {string} text
 * @param {Object<string, string>} as letter -> symbol
 */
export const index = (text, as = {}) =>
  [...text].map((letter) => ("+−,".includes(letter) ? op(letter) : sym(as[letter] ?? letter, letter)));

/** An element of a matrix or an image, as the chapter writes it: entry("X", "k,l") is [X] with the index k, l. */
export const entry = (letter, text, as) => sub(fenced("[", bold(letter)), ...index(text, as));

/** Base with an index of any parts. */
export const sub = (base, ...index) => math("msub", {}, row(base), math("mrow", {}, ...index));

/** A sum with what stands below it. */
export const sum = (...below) =>
  math("munder", {}, math("mo", { movablelimits: "false" }, "∑"), math("mrow", {}, ...below));

export const frac = (above, below) => math("mfrac", {}, row(above), row(below));

/** Parts between brackets that grow with them: "(", "[", "|"; "⌊": rounded down. */
export function fenced(open, ...parts) {
  if (open === "⌊") return math("mrow", { class: "floor" }, ...parts);
  const close = { "(": ")", "[": "]", "|": "|" }[open];
  return math("mrow", {}, math("mo", { fence: "true" }, open), ...parts, math("mo", { fence: "true" }, close));
}

/** A formula without a frame of its own: `label` is how it is read aloud. */
export const formula = (label, parts) =>
  math("math", { "aria-label": label, displaystyle: "true" }, math("mrow", {}, ...parts));

/**
 * An equation with a legend of its symbols.
 *
 * @param {string} label how it is read aloud
 * @param {Node[]} parts made by the functions above
 * @param {Object<string, string|string[]>} legend symbol -> what it stands for, in few words, or [how it is written,
 *   what it stands for]; these words light the symbol, too
 */
export function equation(label, parts, legend = {}) {
  const shown = formula(label, parts);
  shown.setAttribute("display", "block");
  const entries = Object.entries(legend).map(([symbol, meaning]) => {
    const [letters, text] = Array.isArray(meaning) ? meaning : [symbol, meaning];
    return el("li", {}, el("button", { type: "button", "data-symbol": symbol }, el("i", {}, letters), ` ${text}`));
  });
  const words = entries.length ? el("ul", { class: "legend", "aria-label": "Symbols" }, ...entries) : null;
  return el("figure", { class: "equation" }, el("div", { class: "formula" }, shown), words);
}

/** Light all that belongs to `symbol` in the station that holds `within`; null: nothing. */
export function light(within, symbol) {
  const station = within.closest("section");
  if (!station || (station.dataset.lit ?? null) === symbol) return;
  if (symbol === null) delete station.dataset.lit;
  else station.dataset.lit = symbol;
  for (const lit of station.querySelectorAll(".lit")) lit.classList.remove("lit");
  for (const each of station.querySelectorAll("[data-symbol]")) {
    if (each.dataset.symbol === symbol) each.classList.add("lit");
  }
  station.dispatchEvent(new CustomEvent("light", { detail: symbol, bubbles: true }));
}

/** Call `listener` with the symbol that is lit in the station that holds `within`, or null. */
export function onLight(within, listener) {
  document.addEventListener("light", (event) => {
    if (event.target.contains(within)) listener(event.detail);
  });
}

/** Make a station's symbols light up under the pointer and the focus. */
export function lighting(station) {
  const symbolOf = (target) => target.closest?.("[data-symbol]")?.dataset.symbol ?? null;
  for (const kind of ["pointerover", "focusin", "pointerdown"]) {
    station.addEventListener(kind, (event) => light(station, symbolOf(event.target)));
  }
  station.addEventListener("pointerleave", () => light(station, null));
  station.addEventListener("focusout", () => light(station, null));
}
