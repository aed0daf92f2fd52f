// A hidden layer of the ladder as the matrix that it is: one map's, (n² units, n² pixels), row by row. What
// instruments/matrix.py does for any layer, for the ladder's own.

import { isLocal, isShared } from "playground/stations/constrain_ladder.js";

/**
 * Where the weights of one map lie in its layer.
 *
 * @param {object} layer of a Network: kind dense_image, local, shared_image or conv, on one channel
 * @returns {{delta: number, at: function(number, number, number, number): number}} delta: how far a unit sees;
 *   at(i, j, k, l): position in layer.weight of the weight of unit (i, j) for pixel (k, l), which it sees
 */
function entries(layer, map) {
  const n = layer.input[1];
  const everywhere = n - 1;
  switch (layer.kind) {
    case "dense_image": // (maps * n², n²)
      return { delta: everywhere, at: (i, j, k, l) => ((map * n + i) * n + j) * n * n + k * n + l };
    case "shared_image": // (maps, 1, 2n - 1, 2n - 1), the smallest offset first
      return { delta: everywhere, at: byOffset(map, everywhere) };
    case "conv": {
      // (maps, 1, kernel, kernel), padded by half of it
      const delta = (layer.description.kernel_size[0] - 1) / 2;
      return { delta, at: byOffset(map, delta) };
    }
    case "local": {
      // a block (maps, 1, n - |a|, n - |b|) for each offset (a, b), one behind the other
      const delta = Math.min(layer.description.half_width, everywhere);
      const [maps, edge] = [layer.output[0], 2 * delta + 1];
      const starts = [];
      let start = 0;
      for (let a = -delta; a <= delta; a++) {
        for (let b = -delta; b <= delta; b++) {
          starts.push(start);
          start += maps * (n - Math.abs(a)) * (n - Math.abs(b));
        }
      }
      const at = (i, j, k, l) => {
        const [a, b] = [k - i, l - j];
        const [high, wide] = [n - Math.abs(a), n - Math.abs(b)];
        const inBlock = (map * high + i - Math.max(-a, 0)) * wide + j - Math.max(-b, 0);
        return starts[(a + delta) * edge + b + delta] + inBlock;
      };
      return { delta, at };
    }
  }
  throw new Error(`a layer of kind ${layer.kind} is no rung of the ladder`);
}

function byOffset(map, delta) {
  const edge = 2 * delta + 1;
  return (i, j, k, l) => (map * edge + k - i + delta) * edge + l - j + delta;
}

/** The weights of unit (i, j) of a map, one for each of n² pixels; zeros where it does not look. */
export function rowOf(layer, map, [i, j], row = new Float32Array(layer.input[1] ** 2)) {
  const n = layer.input[1];
  const { delta, at } = entries(layer, map);
  for (let k = Math.max(0, i - delta); k <= Math.min(n - 1, i + delta); k++)
    for (let l = Math.max(0, j - delta); l <= Math.min(n - 1, j + delta); l++)
      row[k * n + l] = layer.weight[at(i, j, k, l)];
  return row;
}

/** The matrix of one map of a rung, (n² * n²). */
export function matrixOf(layer, map) {
  const n = layer.input[1];
  const matrix = new Float32Array(n ** 4);
  for (let unit = 0; unit < n * n; unit++) {
    rowOf(layer, map, [Math.floor(unit / n), unit % n], matrix.subarray(unit * n * n, (unit + 1) * n * n));
  }
  return matrix;
}

/**
 * The nearest matrix, in the sum of squares, that has a rung's constraints: what is far becomes zero, and what shares a
 * weight becomes its mean, along the diagonals.
 *
 * @param {Float32Array} matrix (n² * n²)
 * @param {number} delta half width of the windows of local and conv
 */
export function project(matrix, n, rung, delta) {
  const projected = Float32Array.from(matrix);
  const edge = 2 * n - 1;
  const sums = new Float64Array(edge * edge);
  const eachEntry = (visit) => {
    for (let i = 0, at = 0; i < n; i++)
      for (let j = 0; j < n; j++) for (let k = 0; k < n; k++) for (let l = 0; l < n; l++, at++) visit(at, k - i, l - j);
  };
  eachEntry((at, a, b) => {
    if (isLocal(rung) && (Math.abs(a) > delta || Math.abs(b) > delta)) projected[at] = 0;
    else sums[(a + n - 1) * edge + (b + n - 1)] += matrix[at];
  });
  if (!isShared(rung)) return projected;
  eachEntry((at, a, b) => {
    // an offset is met at (n - |a|)(n - |b|) units
    projected[at] = sums[(a + n - 1) * edge + (b + n - 1)] / ((n - Math.abs(a)) * (n - Math.abs(b)));
  });
  return projected;
}

/** The weight that is drawn in full colour: few are larger. */
export function strength(weights) {
  let [squares, n, most] = [0, 0, 0];
  for (const weight of weights) {
    if (weight === 0) continue;
    squares += weight * weight;
    n++;
    most = Math.max(most, Math.abs(weight));
  }
  return Math.min(most, 3 * Math.sqrt(squares / n)) || 1;
}

/** A map's biases, one for each unit, under a rung's constraints: shared, they become their mean. */
export function projectBiases(biases, rung) {
  if (!isShared(rung)) return Float32Array.from(biases);
  return new Float32Array(biases.length).fill(biases.reduce((sum, u) => sum + u, 0) / biases.length);
}

/** A map's biases in a trained rung, one for each unit. */
export function biasesOf(layer, map) {
  const units = layer.output[1] * layer.output[2];
  const own = layer.bias.length === layer.output[0];
  return own
    ? new Float32Array(units).fill(layer.bias[map])
    : Float32Array.from(layer.bias.subarray(map * units, (map + 1) * units));
}
