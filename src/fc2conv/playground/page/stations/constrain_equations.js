// The equations of D2L 7.1: the layer re-indexed, which holds for every rung, and what each rung makes of it.

import { el } from "pages/dom.js";
import { entry, equation, formula, index, op, sum, sym } from "playground/equation.js";
import { isLocal, isShared } from "playground/stations/constrain_ladder.js";

/** A dense layer on an image, and the same with the offset (a, b) in place of the pixel (k, l): D2L 7.1.1. */
export function reindexed() {
  const first = [entry("H", "i,j"), op("="), entry("U", "i,j"), op("+"), sum(...index("k,l"))];
  const again = [op("="), entry("U", "i,j"), op("+"), sum(...index("a,b"))];
  const legend = {
    H: "the hidden unit",
    i: ["i, j", "its place"],
    U: "its bias",
    W: "its weights, by pixel",
    X: "a pixel",
    k: ["k, l", "the pixel’s place"],
    V: "the same weights, by offset",
    a: ["a, b", "the offset from the unit to the pixel: k = i + a, l = j + b"],
  };
  return el(
    "div",
    { class: "equations" },
    equation("A dense layer on an image", [...first, entry("W", "i,j,k,l"), entry("X", "k,l")]),
    equation("The same, by offset", [...again, entry("V", "i,j,a,b"), entry("X", "i+a,j+b")], legend),
  );
}

/** What a rung computes. */
export function equationOf(rung) {
  const isDense = rung === "dense";
  const own = isShared(rung) ? "" : "i,j,";
  const offset = isDense ? "k,l" : "a,b";
  const far = (letter) => [op("|"), sym(letter), op("|"), op("≤"), sym("Δ")];
  const parts = [
    entry("H", "i,j"),
    op("="),
    isShared(rung) ? sym("u") : entry("U", "i,j"),
    op("+"),
    sum(...(isLocal(rung) ? [...far("a"), op(","), ...far("b")] : index(offset))),
    entry(isDense ? "W" : "V", own + offset),
    entry("X", isDense ? offset : "i+a,j+b"),
  ];
  return formula(`The ${rung} layer`, parts);
}
