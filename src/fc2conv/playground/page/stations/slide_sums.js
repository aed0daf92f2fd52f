// One output pixel, written out: each product, and their sum.

import { el } from "pages/dom.js";
import { written } from "playground/stations/slide_images.js";

/** Longer sums are not written out below the grid, which holds their terms. */
const SPELLED = 9;

/** A grid of cells, `width` in a row. */
function grid(cells, width, name) {
  const rows = Array.from({ length: cells.length / width }, (_, i) =>
    el("tr", {}, ...cells.slice(i * width, (i + 1) * width)),
  );
  return el("table", { class: "products" }, name ? el("caption", {}, name) : null, el("tbody", {}, ...rows));
}

const add = (numbers) => numbers.reduce((a, b) => a + b, 0);

/** Terms joined by + and −: 0.5 + 1 − 0.25. */
function joined(numbers) {
  return numbers.map((n, i) => (i === 0 ? written(n) : `${n < 0 ? "−" : "+"} ${written(Math.abs(n))}`)).join(" ");
}

/**
 * The products of a convolution's window.
 *
 * @param {number[][]} seen of each channel: the pixels under the window
 * @param {number[][]} weights of each channel, likewise
 * @param {number} width of the kernel
 * @param {number} bias
 * @param {string[]} names of the channels
 * @returns {{grids: HTMLElement[], sum: string}} a grid a channel, and their sum in words or numbers
 */
export function products(seen, weights, width, bias, names) {
  const most = Math.max(...seen.flatMap((values, c) => values.map((x, t) => Math.abs(x * weights[c][t])))) || 1;
  const cell = (x, v) => {
    const product = x * v;
    const share = `--share: ${Math.round((100 * Math.abs(product)) / most)}%`;
    return el(
      "td",
      { class: product < 0 ? "minus" : "plus", style: share },
      el(
        "small",
        {},
        el("span", { "data-symbol": "V" }, written(v)),
        " · ",
        el("span", { "data-symbol": "X" }, written(x)),
      ),
      el("b", {}, written(product)),
    );
  };
  const sums = seen.map((values, c) => add(values.map((x, t) => x * weights[c][t])));
  const grids = seen.map((values, c) =>
    grid(
      values.map((x, t) => cell(x, weights[c][t])),
      width,
      names.length > 1 ? `${names[c]}: ${written(sums[c])}` : null,
    ),
  );
  const terms = names.length > 1 ? sums : seen[0].map((x, t) => x * weights[0][t]);
  const shown = terms.filter((n) => Math.abs(n) >= 0.00005);
  const offset = bias ? ` ${bias < 0 ? "−" : "+"} ${written(Math.abs(bias))}` : "";
  if (shown.length > SPELLED) return { grids, sum: `the sum of these ${terms.length} products${offset}` };
  return { grids, sum: (shown.length ? joined(shown) : "0") + offset };
}

/** What a pooling's window holds; the maximum is marked. */
export function pooled(seen, width, kind, names) {
  const values = seen.map((pixels) => (kind === "max" ? Math.max(...pixels) : add(pixels) / pixels.length));
  const grids = seen.map((pixels, c) =>
    grid(
      pixels.map((x) =>
        el("td", { class: kind === "max" && x === values[c] ? "largest" : null }, el("b", {}, written(x))),
      ),
      width,
      names.length > 1 ? `${names[c]}: ${written(values[c])}` : null,
    ),
  );
  const n = seen[0].length;
  return { grids, sum: kind === "max" ? `the largest of ${n} numbers` : `the mean of ${n} numbers` };
}
