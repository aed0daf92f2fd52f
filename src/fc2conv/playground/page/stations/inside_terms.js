// What a unit adds up: the values that it reads, its weights, their products. No DOM.

import { product } from "playground/layers.js";
import { placeOf } from "playground/stations/inside_field.js";

/**
 * @param {object} network after `forward`
 * @param {number} at number of a layer
 * @param {number} index of a unit in its output
 * @returns {{kind: string, shape: ?number[], reads: number[], weights: ?number[], products: ?number[], bias: ?number,
 *   value: number}} shape: [maps, height, width] that `reads`, `weights` and `products` fill; null where they are
 *   features
 */
export function termsOf(network, at, index) {
  const layer = network.layers[at];
  const terms = { windowed, dense, whole }[formOf(layer)](network, at, index);
  return { kind: layer.kind, bias: null, ...terms, value: network.outputs[at][index] };
}

function formOf({ kind, windows }) {
  if (windows) return "windowed";
  return kind === "linear" || kind === "dense_image" ? "dense" : "whole";
}

/** A convolution or a pooling: the window of each map that it reads. */
function windowed(network, at, index) {
  const layer = network.layers[at];
  const { taps, pixels } = layer.windows;
  const [channels, height, width] = layer.input;
  const { map } = placeOf(layer.output, index);
  const window = index % product(layer.windows.size);
  const { kernel_size, size, depthwise } = layer.description;
  const isOwn = layer.kind === "pool" || depthwise; // it reads its own map only
  const read = isOwn ? [map] : Array.from({ length: channels }, (_, c) => c);
  const reads = read.flatMap((c) =>
    Array.from(pixels.subarray(window * taps, (window + 1) * taps), (pixel) =>
      pixel < 0 ? 0 : layer.x[c * height * width + pixel],
    ),
  );
  const shape = [read.length, ...(kernel_size ?? size)];
  if (layer.kind === "pool") return { shape, reads };
  const weights = Array.from(layer.weight.subarray(map * reads.length, (map + 1) * reads.length));
  return { shape, reads, ...multiplied(reads, weights), bias: layer.bias?.[map] ?? null };
}

/** A linear layer: all of its input, as the maps that were flattened before it where there were any. */
function dense(network, at, index) {
  const layer = network.layers[at];
  const before = network.layers[at - 1];
  const shape = layer.input.length === 3 ? layer.input : before?.kind === "flatten" ? before.input : null;
  const reads = Array.from(layer.x);
  const weights = Array.from(layer.weight.subarray(index * reads.length, (index + 1) * reads.length));
  return { shape, reads, ...multiplied(reads, weights), bias: layer.bias?.[index] ?? null };
}

/** A layer without weights to show: the value at the unit's own place, or the map that it averages. */
function whole(network, at, index) {
  const layer = network.layers[at];
  if (layer.kind !== "global_average") return { shape: null, reads: layer.x ? [layer.x[index]] : [] };
  const [, height, width] = layer.input;
  const area = height * width;
  return { shape: [1, height, width], reads: Array.from(layer.x.subarray(index * area, (index + 1) * area)) };
}

const multiplied = (reads, weights) => ({ weights, products: reads.map((value, i) => value * weights[i]) });
