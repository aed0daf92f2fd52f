// The bench's two pictures: the padded image with the window on it, and the output as far as it is drawn.

import { el } from "pages/dom.js";
import { range, raster } from "playground/raster.js";
import { EDGE } from "playground/stations/slide_images.js";
import { inputSays, outputSays } from "playground/stations/slide_words.js";

const SCALE = 14; // CSS pixels a cell
const PADDED = [70, 130, 210]; // the colour that lies over padded pixels

/** A raster for each size that was needed, so that a new size costs nothing the second time. */
function rasters(make) {
  const made = new Map();
  return (height, width) => {
    const key = `${height}x${width}`;
    if (!made.has(key)) made.set(key, make(height, width));
    return made.get(key);
  };
}

function put(place, { element }) {
  if (place.firstChild !== element) place.replaceChildren(element);
}

/**
 * @param {function(?{x: number, y: number}): void} onInput called with the cell of the padded image that is pointed at
 * @param {function(number): void} onOutput called with the place of the output that is pointed at
 */
export function pictures(onInput, onOutput) {
  let now = null;
  const [input, output] = [el("div", {}), el("div", {})];
  const inputs = rasters((height, width) => {
    const label = `Input, ${height} by ${width} with its padding`;
    const describe = (x, y) => inputSays(now, x, y);
    const made = raster({ width, height, scale: SCALE, label, symbol: "X", describe });
    made.onPoint(onInput);
    return made;
  });
  const outputs = rasters((height, width) => {
    const label = `Output, ${height} by ${width}. Point at a pixel to see its window.`;
    const describe = (x, y) => outputSays(now, y * width + x);
    const made = raster({ width, height, scale: SCALE, label, symbol: "H", describe });
    made.onPoint((cell) => cell && onOutput(cell.y * width + cell.x));
    return made;
  });

  /** Another window, or other values under it. @param {MovingWindow} next after `run` */
  function show(next) {
    now = next;
    const [height, width] = now.padded.size;
    const shown = inputs(height, width);
    const picture = new Float32Array(3 * height * width);
    for (let at = 0; at < picture.length; at++) {
      const [c, cell] = [Math.floor(at / (height * width)), at % (height * width)];
      const pixel = now.padded.pixels[cell];
      const grey = pixel < 0 ? 0 : 255 * now.image[(now.channels === 3 ? c : 0) * EDGE * EDGE + pixel];
      const isPadding = now.isPadding(cell % width, Math.floor(cell / width));
      picture[at] = isPadding ? 0.6 * grey + 0.4 * PADDED[c] : grey;
    }
    shown.paint(picture, { kind: "rgb" });
    put(input, shown);
  }

  /** The output up to the place `reached`. */
  function draw(reached) {
    const [channels, rows, columns] = now.shape;
    const shown = outputs(rows, columns);
    const drawn = now.output.map((v, i) => (i % now.places <= reached ? v : Number.NaN));
    const { low, high } = range(now.output);
    if (channels === 3)
      shown.paint(
        drawn.map((v) => 255 * v),
        { kind: "rgb" },
      );
    else if (low < 0) shown.paint(drawn, { kind: "signed", low, high });
    else shown.paint(drawn, { kind: "grey", low: 0, high });
    put(output, shown);
  }

  /** Frame the window at the place `at`, what it reads and makes, and the places `readers` of the output. */
  function mark(at, readers = []) {
    const [, rows, columns] = now.shape;
    const [i, j] = now.placeOf(at);
    const { taps, ...frame } = now.frame(at);
    const [top, left] = now.pads.map(([before]) => before);
    const border = { x: left, y: top, width: EDGE, height: EDGE, kind: "border", symbol: "p" };
    const next = { ...frame, x: frame.x + now.stride[1], kind: "next", symbol: "s" };
    inputs(...now.padded.size).mark(
      now.padded.size.some((n) => n !== EDGE) ? border : [],
      j + 1 < columns ? next : [],
      taps.map((tap) => ({ ...tap, symbol: "a", kind: "tap" })),
      { ...frame, symbol: "V", kind: "window" },
    );
    const reading = readers.map((each) => ({ ...each, kind: "reader" }));
    outputs(rows, columns).mark(reading, { x: j, y: i, symbol: "i" });
  }

  return { input, output, show, draw, mark };
}
