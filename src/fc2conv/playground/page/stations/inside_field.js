// Receptive fields. The theoretical one: which pixels a unit is connected with, traced back layer by layer. The effective
// one: how much each of them counts, from the unit's gradient. No DOM.

import { product } from "playground/layers.js";

const ELEMENTWISE = new Set(["activation", "affine"]);

/**
 * Where a unit lies.
 *
 * @param {number[]} shape of its layer's output, [maps, height, width] or [features]
 * @param {number} index in it
 * @returns {{map: number, row: number, column: number}} of features: {map: feature, row: 0, column: 0}
 */
export function placeOf([, height = 1, width = 1], index) {
  const within = index % (height * width);
  return { map: Math.floor(index / (height * width)), row: Math.floor(within / width), column: within % width };
}

/** The pixels of a map that the units of `mask` read, through the layer's windows. */
function read({ windows: { taps, pixels }, input }, mask) {
  const found = new Uint8Array(product(input.slice(1)));
  mask.forEach((isIn, unit) => {
    if (!isIn) return;
    for (let t = unit * taps; t < (unit + 1) * taps; t++) if (pixels[t] >= 0) found[pixels[t]] = 1;
  });
  return found;
}

/** The same of a locally connected layer, which has no windows: each unit reads what is within its half width. */
function near({ description: { half_width }, input: [, height, width] }, mask) {
  const found = new Uint8Array(height * width);
  mask.forEach((isIn, unit) => {
    if (!isIn) return;
    const [i, j] = [Math.floor(unit / width), unit % width];
    for (let k = Math.max(0, i - half_width); k <= Math.min(height - 1, i + half_width); k++) {
      found.fill(1, k * width + Math.max(0, j - half_width), k * width + Math.min(width - 1, j + half_width) + 1);
    }
  });
  return found;
}

const whole = ([, height, width]) => new Uint8Array(height * width).fill(1);
const only = (at, n) => new Uint8Array(n).fill(1, at, at + 1);

/** What units read of their layer's input. `units` and the answer are as `fields` gives them. */
function back(layer, units) {
  const { kind, input } = layer;
  if (ELEMENTWISE.has(kind)) return units;
  if (input.length === 1) return { map: null, mask: null };
  if (kind === "flatten") {
    if (units.map === null) return { map: null, mask: whole(input) };
    const { map, row, column } = placeOf(input, units.map);
    return { map, mask: only(row * input[2] + column, input[1] * input[2]) };
  }
  const map = kind === "pool" || kind === "global_average" || layer.description.depthwise ? units.map : null;
  if (layer.windows) return { map, mask: read(layer, units.mask) };
  if (kind === "local") return { map, mask: near(layer, units.mask) };
  return { map, mask: whole(input) };
}

/**
 * What a unit is connected with, in its own layer and every one below.
 *
 * @param {object[]} layers of a Network
 * @param {number} at number of its layer
 * @param {number} index in the layer's output
 * @returns {{map: ?number, mask: ?Uint8Array}[]} of the inputs of layers 0 (the image) to `at`: the map, null for all
 *   maps, and the places of it, [height * width]; of features: map is the feature, null for all, and mask is null
 */
export function fields(layers, at, index) {
  const { output } = layers[at];
  const { map, row, column } = placeOf(output, index);
  let units = { map, mask: output.length === 3 ? only(row * output[2] + column, output[1] * output[2]) : null };
  const found = [];
  for (let i = at; i >= 0; i--) {
    units = back(layers[i], units);
    found[i] = units;
  }
  return found;
}

/** {top, left, height, width, pixels} of the smallest window around a mask, and how many pixels are in it. */
export function extentOf(mask, width) {
  const box = { top: Infinity, left: Infinity, bottom: -1, right: -1 };
  let pixels = 0;
  mask.forEach((isIn, at) => {
    if (!isIn) return;
    const [row, column] = [Math.floor(at / width), at % width];
    pixels += 1;
    box.top = Math.min(box.top, row);
    box.left = Math.min(box.left, column);
    box.bottom = Math.max(box.bottom, row);
    box.right = Math.max(box.right, column);
  });
  if (!pixels) return { top: 0, left: 0, height: 0, width: 0, pixels };
  const { top, left } = box;
  return { top, left, height: box.bottom - top + 1, width: box.right - left + 1, pixels };
}

/**
 * The gradient of one unit by the network's input, after `forward`.
 *
 * @returns {Float32Array} the network's own array, which its next call overwrites
 */
export function gradientOf(network, at, index) {
  const start = new Float32Array(product(network.layers[at].output));
  start[index] = 1;
  return network.backward(start, at, { weights: false });
}

/**
 * How a gradient spreads over the pixels.
 *
 * @param {Float32Array} gradient by the image
 * @param {number[]} shape [bands, height, width]
 * @returns {{weights: Float64Array, half: number, most: number}} absolute values, summed over the bands and scaled so
 *   that they sum to 1 (all 0 for a unit without a gradient); and how few pixels hold a half, and nine tenths, of them
 */
export function spread(gradient, [, height, width]) {
  const pixels = height * width;
  const weights = new Float64Array(pixels);
  gradient.forEach((value, i) => {
    weights[i % pixels] += Math.abs(value);
  });
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  if (total === 0) return { weights, half: 0, most: 0 };
  for (let p = 0; p < pixels; p++) weights[p] /= total;
  const falling = weights.slice().sort().reverse();
  const holding = (share) => {
    let [sum, n] = [0, 0];
    while (n < pixels && sum < share - 1e-9) sum += falling[n++];
    return n;
  };
  return { weights, half: holding(0.5), most: holding(0.9) };
}
