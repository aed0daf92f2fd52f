// The size of the output and the number of weights, by the formula with its numbers put in.

import { el } from "pages/dom.js";
import { count } from "pages/format.js";
import { equation, fenced, formula, frac, num, op, sub, sym, word } from "playground/equation.js";

const size = (base, axis) => sub(sym(base), word(axis));

/** ⌊(n + p + p′ − d (k − 1) − 1) / s⌋ + 1, in letters. */
const LETTERS = equation.bind(
  null,
  "output size: n, plus padding before and after, minus d times k minus 1, minus 1; divided by s and rounded down; plus 1",
);

export function sizeEquation() {
  const above = [sym("n"), op("+"), size("p", "before"), op("+"), size("p", "after"), op("−"), sym("d")];
  above.push(fenced("(", sym("k"), op("−"), num(1)), op("−"), num(1));
  return LETTERS([word("size"), op("="), fenced("⌊", frac(above, sym("s"))), op("+"), num(1)], {
    n: "pixels of the image",
    p: "padding",
    k: "kernel",
    d: "dilation",
    s: "stride",
  });
}

/** The same with numbers, of one axis. */
function inNumbers(name, { n, before, after, k, d, s, out }) {
  const put = (symbol, value) => {
    const number = num(value);
    number.dataset.symbol = symbol;
    return number;
  };
  const above = [put("n", n), op("+"), put("p", before), op("+"), put("p", after), op("−"), put("d", d)];
  above.push(op("·"), fenced("(", put("k", k), op("−"), num(1)), op("−"), num(1));
  const said = `${name}: floor of (${n} + ${before} + ${after} − ${d} · (${k} − 1) − 1) / ${s}, plus 1, is ${out}`;
  const parts = [fenced("⌊", frac(above, put("s", s))), op("+"), num(1), op("="), put("H", out)];
  return el("p", { class: "numbers" }, el("span", { class: "soft" }, name), formula(said, parts));
}

/** @param {object[]} axes {n, before, after, k, d, s, out} down and across */
export function sizeInNumbers(axes) {
  const same = JSON.stringify(axes[0]) === JSON.stringify(axes[1]);
  return same ? [inNumbers("Each side", axes[0])] : ["Height", "Width"].map((name, i) => inNumbers(name, axes[i]));
}

/** How many weights there are, and how many a dense layer between the same images would have. */
export function parameters([height, width], channels, [, rows, columns], edge) {
  const own = height * width * channels + 1;
  const dense = (edge * edge * channels + 1) * rows * columns;
  return [
    el("strong", {}, `${height} · ${width} · ${channels} + 1 = ${count(own)} parameters`),
    ", at each place the same, however large the image is. A dense layer between the same two images has ",
    el("strong", {}, count(dense)),
    ".",
  ];
}
