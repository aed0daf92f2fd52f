// Lines over x with their names at their ends, and the same numbers in a table for those who hear the page.

import { el, svg, table } from "pages/dom.js";

const HEIGHT = 260; // px
const WIDE = 460; // px; below it there is no room for names beside the lines
const DASHES = ["", "7 3", "2 3", "9 3 2 3", "4 2", "9 3 2 3 2 3"];
const CHARACTER = 7.2; // px, of a name

/** Round numbers from low to high, about `n` of them. */
export function ticks(low, high, n = 5) {
  const raw = (high - low) / n || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => +((first + i) * step).toPrecision(12));
}

/** y of the line through sorted `points` at x, or null outside of them. */
function along(points, x) {
  const after = points.findIndex(([at]) => at >= x);
  if (after < 0) return null;
  const [x1, y1] = points[after];
  if (x1 === x) return y1;
  if (after === 0) return null;
  const [x0, y0] = points[after - 1];
  return y0 + ((y1 - y0) * (x - x0)) / (x1 - x0);
}

const dashesOf = ({ dash }, i) => DASHES[(dash ?? i) % DASHES.length];
const colourOf = ({ colour }, i) => `--series: ${colour ?? `var(--series${i + 1})`}`;

/** Places for labels that want to be at `wanted`, at least `gap` apart, in order. */
function spread(wanted, gap, low, high) {
  const order = wanted.map((y, i) => [y, i]).sort((a, b) => a[0] - b[0]);
  let last = low - gap;
  for (const entry of order) {
    entry[0] = Math.max(entry[0], last + gap);
    last = entry[0];
  }
  let next = high + gap;
  for (const entry of order.toReversed()) {
    entry[0] = Math.min(entry[0], next - gap);
    next = entry[0];
  }
  return order.reduce((places, [y, i]) => Object.assign(places, { [i]: y }), []);
}

/**
 * A chart of lines.
 *
 * @param {object} c
 * @param {{name: string, points: number[][], earlier?: number[][][], colour?: string, dash?: number, isFaint?: boolean}[]}
 *   c.series points [x, y] by rising x, and those of earlier runs, which are drawn faintly; dash: which dashes, 0 to 5,
 *   by default the position; isFaint: drawn faintly itself, without a dot
 * @param {{title: string, ticks?: number[], min?: number, max?: number, unit?: string}} c.x
 * @param {{title: string, min?: number, max?: number, format?: function(number): string}} c.y
 * @param {string} c.label what it shows, for those who hear the page
 */
export function lines({ series, x, y, label }) {
  const format = y.format ?? ((value) => value.toFixed(2));
  const holder = el("div", { class: "plot" });
  const key = el("ul", { class: "key" });
  const numbers = el("div", { class: "hidden" });
  const element = el("figure", { class: "chart", role: "group", "aria-label": label }, key, holder, numbers);
  let dot = null;
  let width = 0;

  function extent(axis, pick) {
    const all = series.flatMap((s) => [s.points, ...(s.earlier ?? [])].flat().map(pick));
    const [low, high] = [axis.min ?? Math.min(...all), axis.max ?? Math.max(...all)];
    return Number.isFinite(low) && Number.isFinite(high) ? [low, high > low ? high : low + 1] : [0, 1];
  }

  function draw() {
    if (!width) return;
    const beside = width >= WIDE;
    const values = series.map((s) => (s.isFaint || dot === null ? null : along(s.points, dot)));
    const longest = Math.max(...series.map((s, i) => s.name.length + said(values[i]).length));
    const right = beside ? 30 + CHARACTER * longest : 12;
    const box = { left: 46, right: width - right, top: 14, bottom: HEIGHT - 40 };
    const [x0, x1] = extent({ min: x.ticks?.[0], max: x.ticks?.at(-1), ...x }, (p) => p[0]);
    const [y0, y1] = extent(y, (p) => p[1]);
    const atX = (value) => box.left + ((value - x0) / (x1 - x0)) * (box.right - box.left);
    const atY = (value) => box.bottom - ((value - y0) / (y1 - y0)) * (box.bottom - box.top);
    const text = (at, to, anchor, content) => svg("text", { x: at, y: to, "text-anchor": anchor }, content);
    const marks = [];
    for (const value of ticks(y0, y1)) {
      marks.push(svg("line", { class: "rule", x1: box.left, x2: box.right, y1: atY(value), y2: atY(value) }));
      marks.push(text(box.left - 8, atY(value) + 4, "end", String(value)));
    }
    for (const value of x.ticks ?? ticks(x0, x1))
      marks.push(text(atX(value), box.bottom + 18, "middle", String(value)));
    marks.push(text((box.left + box.right) / 2, HEIGHT - 4, "middle", x.title));
    if (dot !== null) {
      marks.push(svg("line", { class: "here", x1: atX(dot), x2: atX(dot), y1: box.top, y2: box.bottom }));
    }
    const ends = series.map((s) => s.points.at(-1)?.[1] ?? y0);
    const places = spread(ends.map(atY), 16, box.top, box.bottom);
    series.forEach((s, i) => {
      const look = { style: colourOf(s, i) };
      const path = (points) => points.map(([a, b]) => `${atX(a)},${atY(b)}`).join(" ");
      for (const old of s.earlier ?? [])
        marks.push(svg("polyline", { class: "line earlier", points: path(old), ...look }));
      marks.push(
        svg("polyline", {
          class: s.isFaint ? "line faint" : "line",
          points: path(s.points),
          "stroke-dasharray": dashesOf(s, i),
          ...look,
        }),
      );
      const lone = dot === null && s.points.length === 1 ? s.points[0] : null; // a line of one point is not seen
      const [at, value] = lone ?? [dot, values[i]];
      if (value !== null) marks.push(svg("circle", { class: "dot", cx: atX(at), cy: atY(value), r: 4.5, ...look }));
      if (!beside || !s.points.length) return;
      const last = s.points.at(-1);
      marks.push(
        svg("line", {
          class: "lead",
          x1: atX(last[0]) + 3,
          y1: atY(last[1]),
          x2: box.right + 14,
          y2: places[i],
          ...look,
        }),
        svg(
          "text",
          { class: s.isFaint ? "name faint" : "name", x: box.right + 18, y: places[i] + 4, ...look },
          s.name,
          svg("tspan", { class: "at" }, said(values[i])),
        ),
      );
    });
    holder.replaceChildren(
      el("p", { class: "axis" }, y.title),
      svg("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, "aria-hidden": "true" }, ...marks),
    );
    key.hidden = beside;
    key.replaceChildren(...(beside ? [] : series.map((s, i) => swatch(s, i, values[i]))));
  }

  /** A line's value at the dot. */
  const said = (value) => (value === null ? "" : ` ${format(value)} at ${dot}${x.unit ? ` ${x.unit}` : ""}`);

  function swatch(s, i, value) {
    const stroke = svg("line", {
      class: "line",
      x1: 1,
      x2: 23,
      y1: 5,
      y2: 5,
      "stroke-dasharray": dashesOf(s, i),
    });
    const picture = svg("svg", { width: 24, height: 10, "aria-hidden": "true" }, stroke);
    return el("li", { style: colourOf(s, i) }, picture, ` ${s.name}`, el("span", { class: "soft" }, said(value)));
  }

  function list() {
    const all = [...new Set(series.flatMap((s) => s.points.map((p) => p[0])))].sort((a, b) => a - b);
    const cell = (s, at) => {
      const value = along(s.points, at);
      return value === null ? "–" : format(value);
    };
    const rows = all.map((at) => [String(at), ...series.map((s) => cell(s, at))]);
    numbers.replaceChildren(table(label, [x.title, ...series.map((s) => s.name)], rows));
  }

  /** Show these series instead, and on another axis if one is given. */
  function update(next, axes = {}) {
    series = next;
    Object.assign(x, axes.x);
    Object.assign(y, axes.y);
    draw();
    list();
  }

  /** A dot on every line at x, with its values beside the names; null: none. */
  function setDot(at) {
    dot = at;
    draw();
  }

  new ResizeObserver(() => {
    if (element.clientWidth === width) return;
    width = element.clientWidth;
    draw();
  }).observe(element);
  list();
  return { element, setDot, update };
}
