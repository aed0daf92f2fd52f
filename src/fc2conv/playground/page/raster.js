// A grid of numbers as a picture of crisp pixels, whose cells can be pointed at.

import { announce } from "pages/announce.js";
import { el, svg } from "pages/dom.js";
import { colour, onTheme } from "pages/theme.js";

const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

let palette = null;
onTheme(() => {
  palette = null;
});

const rgb = (name) =>
  colour(name)
    .match(/[\d.]+/g)
    .slice(0, 3)
    .map(Number);

function colours() {
  palette ??= {
    zero: rgb("--panel"),
    plus: rgb("--plus"),
    minus: rgb("--minus"),
    on: rgb("--accent"),
    off: rgb("--tint"),
  };
  return palette;
}

const mix = (a, b, share) => a.map((from, i) => from + (b[i] - from) * share);

/** [red, green, blue] of a value: `scale` is {kind, low, high}. */
export function shade(value, { kind = "grey", low, high }) {
  if (kind === "mask") return value ? colours().on : colours().off;
  if (kind === "signed") {
    const most = Math.max(Math.abs(low), Math.abs(high)) || 1;
    return mix(colours().zero, value < 0 ? colours().minus : colours().plus, Math.min(1, Math.abs(value) / most));
  }
  const grey = 255 * Math.min(1, Math.max(0, (value - low) / (high - low || 1)));
  return [grey, grey, grey];
}

/** The least and the largest of the numbers among `values`. */
export function range(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? { low, high } : { low: 0, high: 1 };
}

/** What the two colours of "signed" mean. */
export const signs = () =>
  el("p", { class: "signs soft" }, "negative ", el("span", { class: "ramp", "aria-hidden": "true" }), " positive");

/**
 * A picture of width x height cells.
 *
 * @param {object} r
 * @param {number} r.width
 * @param {number} r.height
 * @param {string} r.label what it is, for those who hear the page
 * @param {number} r.scale CSS pixels a cell; less where the column is narrow
 * @param {?string} r.caption shown below
 * @param {?string} r.symbol what it is in the equation
 * @param {?function(number, number, number): string} r.describe (x, y, value) -> what a cell says when it is reached by keyboard
 */
export function raster({ width, height, label, scale = 8, caption = null, symbol = null, describe = null }) {
  const canvas = el("canvas", { width, height, role: "img", "aria-label": label });
  const frames = svg("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  const cells = el("div", { class: "cells", "data-symbol": symbol }, canvas, frames);
  const element = el("figure", { class: "raster", style: `--width: ${width * scale}px` }, cells);
  if (caption) element.append(el("figcaption", {}, caption));
  const listeners = [];
  let painted = null;
  let cursor = { x: 0, y: 0 };

  function draw() {
    if (!painted) return;
    const { values, scale: how } = painted;
    const picture = new ImageData(width, height);
    const { data } = picture;
    const n = width * height;
    const factor = 255 / (how.high - how.low || 1);
    for (let i = 0; i < n; i++) {
      if (Number.isNaN(values[i])) continue; // not known yet: the paper shows
      const at = 4 * i;
      if (how.kind === "grey") {
        data[at] = data[at + 1] = data[at + 2] = factor * (values[i] - how.low); // clamped by the array
      } else if (how.kind === "rgb") {
        for (let c = 0; c < 3; c++) data[at + c] = values[i + c * n];
      } else {
        data.set(shade(values[i], how), at);
      }
      data[at + 3] = 255;
    }
    canvas.getContext("2d").putImageData(picture, 0, 0);
  }
  onTheme(draw);

  /**
   * @param {ArrayLike<number>} values row by row; NaN: not known yet
   * @param {{kind?: "grey"|"signed"|"mask"|"rgb", low?: number, high?: number}} how grey: black at low, white at high;
   *   signed: 0 has the paper's colour; mask: 0 or not; rgb: three planes of 0 to 255. low, high: by default the values' own
   */
  function paint(values, how = {}) {
    painted = { values, scale: { kind: "grey", ...range(values), ...how } };
    draw();
  }

  /** Frame cells: {x, y, width = 1, height = 1, symbol, kind} with kind a class. Replaces what was marked. */
  function mark(...marks) {
    frames.replaceChildren(
      ...marks.flat().map((m) =>
        svg("rect", {
          x: m.x,
          y: m.y,
          width: m.width ?? 1,
          height: m.height ?? 1,
          class: m.kind ?? "frame",
          "data-symbol": m.symbol,
        }),
      ),
    );
  }

  const tell = (cell) => {
    for (const listener of listeners) listener(cell);
  };

  function under(event) {
    const box = canvas.getBoundingClientRect();
    const at = (offset, extent, n) => Math.min(n - 1, Math.max(0, Math.floor((offset / extent) * n)));
    return { x: at(event.clientX - box.left, box.width, width), y: at(event.clientY - box.top, box.height, height) };
  }

  function say() {
    const value = painted?.values[cursor.y * width + cursor.x];
    const plain = () => `row ${cursor.y}, column ${cursor.x}: ${Number.isFinite(value) ? +value.toFixed(3) : "empty"}`;
    announce(describe ? describe(cursor.x, cursor.y, value) : plain());
  }

  function press(event) {
    if (event.key === "Escape") return tell(null);
    const move = MOVES[event.key];
    if (!move) return undefined;
    event.preventDefault();
    const within = (n, most) => Math.min(most - 1, Math.max(0, n));
    return setCursor({ x: within(cursor.x + move[0], width), y: within(cursor.y + move[1], height) });
  }

  function setCursor(cell) {
    cursor = cell;
    tell(cell);
    say();
  }

  /** Call `listener` with the cell {x, y} that is pointed at, by pointer or arrow keys, or null when that ends. */
  function onPoint(listener) {
    listeners.push(listener);
    if (listeners.length > 1) return;
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-roledescription", "picture whose cells the arrow keys point at");
    canvas.tabIndex = 0;
    cells.classList.add("live");
    canvas.addEventListener("keydown", press);
    canvas.addEventListener("focus", () => {
      if (canvas.matches(":focus-visible")) setCursor(cursor);
    });
    const point = (event) => {
      cursor = under(event);
      tell(cursor);
    };
    canvas.addEventListener("pointermove", point);
    canvas.addEventListener("pointerdown", point);
    canvas.addEventListener("pointerleave", () => tell(null));
  }

  /** From which cell the arrow keys go on. */
  function place({ x, y }) {
    cursor = { x, y };
  }

  return { element, canvas, paint, mark, onPoint, place };
}
