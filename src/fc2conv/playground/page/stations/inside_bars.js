// The features of a layer as bars, up and down from zero.

import { el, svg } from "pages/dom.js";
import { range } from "playground/raster.js";
import { pointing } from "playground/stations/inside_pointing.js";

const STEP = 7; // px from one bar to the next, at least
const WIDEST = 26;
const HIGH = 56; // px of a row of bars
const GAP = 8;

/**
 * @param {object} b
 * @param {number[]} b.shape [features]
 * @param {string} b.label what they are, for those who hear the page
 * @param {function(number, string): void} b.onPoint as of `pointing`
 */
export function bars({ shape: [count], label, onPoint }) {
  const picture = svg("svg", { "aria-label": label, tabindex: "0" });
  const element = el("div", { class: "bars" }, picture);
  let [columns, step, chosen] = [0, STEP, null];
  let values = new Float32Array(count);

  function draw() {
    if (!element.clientWidth) return;
    columns = Math.min(count, Math.floor(element.clientWidth / STEP));
    step = Math.min(WIDEST, element.clientWidth / columns);
    const rows = Math.ceil(count / columns);
    const [wide, high] = [columns * step, rows * (HIGH + GAP) - GAP];
    const { low, high: top } = range([...values, 0]);
    const toY = (value) => ((top - value) / (top - low || 1)) * HIGH;
    const drawn = [];
    for (let row = 0; row < rows; row++) {
      const y = row * (HIGH + GAP) + toY(0);
      drawn.push(svg("line", { class: "rule", x1: 0, x2: wide, y1: y, y2: y }));
    }
    values.forEach((value, i) => {
      const [x, y] = [(i % columns) * step, Math.floor(i / columns) * (HIGH + GAP)];
      if (i === chosen) drawn.push(svg("rect", { class: "unit", x, y: y - 2, width: step, height: HIGH + 4 }));
      const [from, to] = [toY(Math.max(value, 0)), toY(Math.min(value, 0))];
      const size = { x: x + 1, y: y + from, width: step - 2, height: Math.max(to - from, 0.5) };
      drawn.push(svg("rect", { class: value < 0 ? "minus" : "plus", ...size }));
    });
    picture.setAttribute("viewBox", `0 -2 ${wide} ${high + 4}`);
    picture.style.width = `${wide}px`;
    picture.replaceChildren(...drawn);
  }

  function paint(next) {
    values = Float32Array.from(next);
    draw();
  }

  /** Frame the feature `index`, or none. */
  function mark(_, index = null) {
    if (index === chosen) return;
    chosen = index;
    draw();
  }

  function under(event) {
    const box = picture.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top - 2];
    const index = Math.floor(y / (HIGH + GAP)) * columns + Math.min(columns - 1, Math.floor(x / step));
    return x >= 0 && index >= 0 && index < count ? index : null;
  }

  new ResizeObserver(draw).observe(element);
  pointing(picture, [count], under, onPoint);
  return { element, paint, mark };
}
