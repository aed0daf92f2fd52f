// What the bench says of an output pixel and of an input pixel.

import { el } from "pages/dom.js";
import { plural } from "pages/format.js";
import { EDGE, written } from "playground/stations/slide_images.js";

/** What the channels of an image are called. */
export const channelNames = (channels) => (channels === 3 ? ["red", "green", "blue"] : ["grey"]);

/** Ends a picture's size: ", three channels", or nothing. */
export const deep = (channels) => (channels === 3 ? ", three channels" : "");

/** A symbol of the equation in a caption. */
export const letter = (symbol) => el("strong", { "data-symbol": symbol, class: "letter" }, symbol);

/** Place p of the output. @param {MovingWindow} now */
export function outputSays(now, p) {
  const [i, j] = now.placeOf(p);
  return `output row ${i}, column ${j}: ${now.values(p).map(written).join(", ")}`;
}

/** A cell of the padded image. @param {MovingWindow} now */
export function inputSays(now, x, y) {
  const pixel = now.pixelAt(x, y);
  const [top, left] = now.pads.map(([before]) => before);
  const values = channelNames(now.channels).map((_, c) =>
    pixel < 0 ? "0" : written(now.image[c * EDGE * EDGE + pixel]),
  );
  const copied = pixel < 0 ? "" : `, a copy of pixel ${Math.floor(pixel / EDGE)}, ${pixel % EDGE}`;
  const where = now.isPadding(x, y) ? `Padding${copied}` : `Pixel ${y - top}, ${x - left}`;
  const n = now.readers(x, y).length;
  const read = n ? `${plural(n, "output")} read${n === 1 ? "s" : ""} it` : "no output reads it";
  return `${where}: ${values.join(", ")}; ${read}.`;
}
