// The maps of a layer, or any stack of pictures of one size, side by side on one canvas.

import { el, svg } from "pages/dom.js";
import { onTheme } from "pages/theme.js";
import { range, shade } from "playground/raster.js";
import { extentOf } from "playground/stations/inside_field.js";
import { pointing } from "playground/stations/inside_pointing.js";

const GAP = 4; // px
const ROOM = 640;

/** CSS pixels for a cell, so that all maps fit side by side on a wide screen, or are large enough to be seen. */
function scaleOf([maps, , width]) {
  const wanted = Math.min(132, Math.max(28, ROOM / maps - GAP));
  return Math.max(1, Math.floor(wanted / width));
}

/**
 * @param {object} m
 * @param {number[]} m.shape [maps, height, width]
 * @param {string} m.label what they are, for those who hear the page
 * @param {number} m.scale CSS pixels a cell
 * @param {?number} m.perRow maps side by side; as many as fit
 * @param {?string} m.symbol what they are in the equation
 * @param {?function(number, string): void} m.onPoint as of `pointing`; without it, it is only a picture
 */
export function maps({ shape, label, scale = scaleOf(shape), perRow = null, symbol = null, onPoint = null }) {
  const [count, height, width] = shape;
  const canvas = el("canvas", { role: "img", "aria-label": label });
  const frames = svg("svg", { "aria-hidden": "true" });
  const sheet = el("div", { class: "sheet", "data-symbol": symbol }, canvas, frames);
  const element = el("div", { class: "maps" }, sheet);
  const [stepX, stepY] = [width * scale + GAP, height * scale + GAP];
  const tiles = el("canvas", { width, height: height * count }); // below each other, a pixel a cell
  let columns = 0;
  let painted = null;
  let marks = { units: null, index: null };

  const corner = (map) => [(map % columns) * stepX, Math.floor(map / columns) * stepY];

  function lay() {
    const fitting = Math.max(1, Math.floor((element.clientWidth + GAP) / stepX));
    const now = perRow ?? Math.min(count, fitting);
    if (!element.clientWidth || now === columns) return;
    columns = now;
    canvas.width = columns * stepX - GAP;
    canvas.height = Math.ceil(count / columns) * stepY - GAP;
    frames.setAttribute("viewBox", `0 0 ${canvas.width} ${canvas.height}`);
    sheet.style.width = `${canvas.width}px`;
    draw();
    frame();
  }

  function draw() {
    if (!painted || !columns) return;
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.clearRect(0, 0, canvas.width, canvas.height);
    const picture = new ImageData(width, height * count);
    painted.values.forEach((value, i) => {
      picture.data.set([...shade(value, painted.how), 255], 4 * i);
    });
    tiles.getContext("2d").putImageData(picture, 0, 0);
    for (let map = 0; map < count; map++) {
      const from = [0, map * height, width, height];
      context.drawImage(tiles, ...from, ...corner(map), width * scale, height * scale);
    }
  }

  function frame() {
    if (!columns) return;
    const rect = (kind, x, y, wide, high) => svg("rect", { class: kind, x, y, width: wide, height: high });
    const drawn = Array.from({ length: count }, (_, map) =>
      rect("tile", ...corner(map), width * scale, height * scale),
    );
    const { units, index } = marks;
    if (units?.mask) {
      const box = extentOf(units.mask, width);
      for (let map = 0; map < count && box.pixels; map++) {
        if (units.map !== null && units.map !== map) continue;
        const [x, y] = corner(map);
        drawn.push(rect("field", x + box.left * scale, y + box.top * scale, box.width * scale, box.height * scale));
      }
    }
    if (index !== null) {
      const within = index % (height * width);
      const [x, y] = corner(Math.floor(index / (height * width)));
      const [left, top] = [x + (within % width) * scale, y + Math.floor(within / width) * scale];
      drawn.push(rect("unit", left - 1, top - 1, scale + 2, scale + 2));
    }
    frames.replaceChildren(...drawn);
  }

  /** @param {ArrayLike<number>} values [maps, height, width]; 0 has the paper's colour, and each sign its own */
  function paint(values, how = {}) {
    painted = { values: Float32Array.from(values), how: { ...range(values), kind: "signed", ...how } };
    draw();
  }

  /** Frame `units` ({map, mask}, as of `fields`, or null) and the unit `index` (or null). */
  function mark(units, index = null) {
    marks = { units, index };
    frame();
  }

  function under(event) {
    const box = canvas.getBoundingClientRect();
    const shrunk = canvas.width / box.width;
    const [x, y] = [(event.clientX - box.left) * shrunk, (event.clientY - box.top) * shrunk];
    const map = Math.floor(y / stepY) * columns + Math.floor(x / stepX);
    const [row, column] = [Math.floor((y % stepY) / scale), Math.floor((x % stepX) / scale)];
    const isOn = x >= 0 && y >= 0 && map < count && row < height && column < width;
    return isOn ? (map * height + row) * width + column : null;
  }

  onTheme(draw);
  new ResizeObserver(lay).observe(element);
  if (onPoint) pointing(canvas, shape, under, onPoint);
  return { element, canvas, paint, mark };
}
