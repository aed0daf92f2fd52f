// Small images to slide over, their channels, and kernels to slide. Values have at most two decimals, so that the sums
// on the page can be done by hand.

import { averaged } from "playground/network.js";

export const EDGE = 14;

const hundredths = (value) => Math.round(value * 100) / 100;

function drawn(value) {
  return Float32Array.from({ length: EDGE * EDGE }, (_, at) => value(Math.floor(at / EDGE), at % EDGE));
}

const garment = (pixels) => Float32Array.from(averaged(pixels, EDGE), (v) => hundredths(v / 255));

/** One pixel to the right; on the left comes black. */
const moved = (values) => values.map((_, at) => (at % EDGE ? values[at - 1] : 0));

/** name -> [title, values of 14x14 pixels from 0 to 1, made from the page's current image] */
export const IMAGES = {
  garment: ["the garment", garment],
  moved: ["the garment, moved", (pixels) => moved(garment(pixels))],
  block: ["a bright block", () => drawn((i, j) => (i >= 4 && i < 10 && j >= 4 && j < 10 ? 1 : 0))],
  stripes: ["stripes", () => drawn((_, j) => (j % 4 < 2 ? 1 : 0))],
  diagonal: ["a diagonal", () => drawn((i, j) => (Math.abs(i - j) <= 1 ? 1 : 0))],
  point: ["one bright pixel", () => drawn((i, j) => (i === 6 && j === 6 ? 1 : 0))],
};

/** The image as `channels` planes: itself, or tinted red at the top, blue at the bottom, and green to the right. */
export function planes(values, channels) {
  if (channels === 1) return values;
  const tint = [(i) => 1 - i / (EDGE - 1), (_, j) => j / (EDGE - 1), (i) => i / (EDGE - 1)];
  return Float32Array.from({ length: 3 * values.length }, (_, at) => {
    const pixel = at % values.length;
    const share = tint[Math.floor(at / values.length)](Math.floor(pixel / EDGE), pixel % EDGE);
    return hundredths(values[pixel] * share);
  });
}

/** title -> rows of weights */
const MADE = {
  "edge [1, −1]": [[1, -1]],
  "vertical edges": [
    [1, 0, -1],
    [1, 0, -1],
    [1, 0, -1],
  ],
  "horizontal edges": [
    [1, 1, 1],
    [0, 0, 0],
    [-1, -1, -1],
  ],
  blur: [
    [0.0625, 0.125, 0.0625],
    [0.125, 0.25, 0.125],
    [0.0625, 0.125, 0.0625],
  ],
  sharpen: [
    [0, -1, 0],
    [-1, 5, -1],
    [0, -1, 0],
  ],
  identity: [
    [0, 0, 0],
    [0, 1, 0],
    [0, 0, 0],
  ],
};

const LARGEST = 5;

/**
 * Kernels to choose from: those of textbooks, and the filters of the first network that starts with a convolution.
 *
 * @returns {Map<string, number[][]>} title -> rows of weights
 */
export function kernels(networks) {
  const found = new Map(Object.entries(MADE));
  const fits = (n) => n.layers[0].kind === "conv" && Math.max(...n.layers[0].description.kernel_size) <= LARGEST;
  const network = networks.find((n) => fits(n) && n.layers[0].input[0] === 1);
  if (!network) return found;
  const [{ weight, output, description }] = network.layers;
  const [height, width] = description.kernel_size;
  for (let map = 0; map < output[0]; map++) {
    const from = (row) => (map * height + row) * width;
    const rows = Array.from({ length: height }, (_, row) =>
      Array.from(weight.subarray(from(row), from(row) + width), hundredths),
    );
    found.set(`${network.title}, filter ${map + 1}`, rows);
  }
  return found;
}

/** A number as it is written in a sum: at most four decimals, a real minus. */
export const written = (value) => String(+value.toFixed(4)).replace("-", "−");
