// The layers of a network, one image at a time. Values are Float32Arrays, row by row: an image of shape [C, H, W] has
// its pixel (c, i, j) at (c H + i) W + j. Nothing here knows of the page.
//
// `forward(x)` gives a layer's output and remembers x. `backward(gradient)` takes the derivative of some number with
// respect to the output, adds that with respect to weights and biases to weightGradient and biasGradient, and gives
// that with respect to the input. Both answer with an array of the layer's own, which the next call overwrites.

import { halves } from "playground/half.js";

export const product = (numbers) => numbers.reduce((a, b) => a * b, 1);

/** What all layers have in common. */
class Layer {
  /** @param {object} description of one layer, as playground/networks.py writes it */
  constructor(description) {
    const { name, kind, input, output, params, macs, receptive_field } = description;
    Object.assign(this, { description, name, kind, input, output, params, macs, receptive_field });
    this.out = new Float32Array(product(output));
    this.inputGradient = new Float32Array(product(input));
    this.x = null;
    for (const part of ["weight", "bias"]) {
      const given = description[part];
      this[part] = given ? (given.data ? halves(given.data) : new Float32Array(product(given.shape))) : null;
      this[`${part}Gradient`] = given ? new Float32Array(this[part].length) : null;
    }
  }

  /** [fan in, fan out]: how many inputs a unit sees, and how many units see an input, as nets/build.py counts them. */
  get fans() {
    return null;
  }

  zeroGradients() {
    this.weightGradient?.fill(0);
    this.biasGradient?.fill(0);
  }
}

// --- products of weights with what they see
//
// A linear layer sees its whole input once, a convolution each of its windows. Loops take several rows at a time, so that
// a number is read once for several products: two to three times faster than one by one.

/**
 * out[r, p] = bias[r] + sum over k of weight[r, k] seen[p, k], for four rows r and two windows p at a time. Where fewer
 * are left, the last one is computed again in their place.
 */
function multiply(weight, bias, seen, out) {
  const rows = bias.length;
  const windows = out.length / rows;
  const n = weight.length / rows;
  for (let r = 0; r < rows; r += 4) {
    const [s, t, u] = [Math.min(r + 1, rows - 1), Math.min(r + 2, rows - 1), Math.min(r + 3, rows - 1)];
    const [a, b, c, d] = [r * n, s * n, t * n, u * n];
    for (let p = 0; p < windows; p += 2) {
      const q = Math.min(p + 1, windows - 1);
      const [first, second] = [p * n, q * n];
      let [a1, b1, c1, d1] = [bias[r], bias[s], bias[t], bias[u]];
      let [a2, b2, c2, d2] = [a1, b1, c1, d1];
      for (let k = 0; k < n; k++) {
        const x = seen[first + k];
        const y = seen[second + k];
        a1 += weight[a + k] * x;
        a2 += weight[a + k] * y;
        b1 += weight[b + k] * x;
        b2 += weight[b + k] * y;
        c1 += weight[c + k] * x;
        c2 += weight[c + k] * y;
        d1 += weight[d + k] * x;
        d2 += weight[d + k] * y;
      }
      out[r * windows + p] = a1;
      out[r * windows + q] = a2;
      out[s * windows + p] = b1;
      out[s * windows + q] = b2;
      out[t * windows + p] = c1;
      out[t * windows + q] = c2;
      out[u * windows + p] = d1;
      out[u * windows + q] = d2;
    }
  }
}

/** The same for one window: out[r] = bias[r] + sum over k of weight[r, k] x[k]. */
function multiplyOne(weight, bias, x, out) {
  const n = x.length;
  for (let r = 0; r < out.length; r += 4) {
    const [s, t, u] = [
      Math.min(r + 1, out.length - 1),
      Math.min(r + 2, out.length - 1),
      Math.min(r + 3, out.length - 1),
    ];
    const [a, b, c, d] = [r * n, s * n, t * n, u * n];
    let [sumA, sumB, sumC, sumD] = [bias[r], bias[s], bias[t], bias[u]];
    for (let k = 0; k < n; k++) {
      sumA += weight[a + k] * x[k];
      sumB += weight[b + k] * x[k];
      sumC += weight[c + k] * x[k];
      sumD += weight[d + k] * x[k];
    }
    out[r] = sumA;
    out[s] = sumB;
    out[t] = sumC;
    out[u] = sumD;
  }
}

/** out[i, k] += sum over j of factors[i, j] rows[j, k], four rows j at a time; `down` and `across`: between factors. */
function addRows(factors, down, across, rows, out, n) {
  for (let i = 0; i < out.length / n; i++) {
    const to = i * n;
    let j = 0;
    for (; j + 4 <= rows.length / n; j += 4) {
      const at = i * down + j * across;
      const [a, b, c, d] = [factors[at], factors[at + across], factors[at + 2 * across], factors[at + 3 * across]];
      if (a === 0 && b === 0 && c === 0 && d === 0) continue;
      const [first, second, third, fourth] = [j * n, (j + 1) * n, (j + 2) * n, (j + 3) * n];
      for (let k = 0; k < n; k++) {
        out[to + k] += a * rows[first + k] + b * rows[second + k] + c * rows[third + k] + d * rows[fourth + k];
      }
    }
    for (; j < rows.length / n; j++) {
      const factor = factors[i * down + j * across];
      if (factor !== 0) for (let k = 0; k < n; k++) out[to + k] += factor * rows[j * n + k];
    }
  }
}

/** The derivative of the product by the weights: weightGradient[r, k] += sum over p of gradient[r, p] seen[p, k]. */
function addWeightGradient(gradient, seen, weightGradient, rows) {
  addRows(gradient, gradient.length / rows, 1, seen, weightGradient, weightGradient.length / rows);
}

/** And by what is seen: seenGradient[p, k] = sum over r of gradient[r, p] weight[r, k]. */
function setSeenGradient(gradient, weight, seenGradient, rows) {
  seenGradient.fill(0);
  addRows(gradient, 1, gradient.length / rows, weight, seenGradient, weight.length / rows);
}

/** biasGradient[r] += the sum of what reaches its units. */
function addBiasGradient(gradient, biasGradient) {
  const each = gradient.length / biasGradient.length;
  for (let r = 0, i = 0; r < biasGradient.length; r++) {
    let sum = 0;
    for (const end = i + each; i < end; i++) sum += gradient[i];
    biasGradient[r] += sum;
  }
}

/** Each output is a weighted sum of all inputs. Weights [out, in]. */
class Linear extends Layer {
  constructor(description) {
    super(description);
    this.added = this.bias ?? new Float32Array(this.out.length);
  }

  get fans() {
    return [this.inputGradient.length, this.out.length];
  }

  forward(x) {
    this.x = x;
    multiplyOne(this.weight, this.added, x, this.out);
    return this.out;
  }

  backward(gradient, { weights = true, input = true } = {}) {
    const rows = this.out.length;
    if (weights) {
      addWeightGradient(gradient, this.x, this.weightGradient, rows);
      if (this.bias) addBiasGradient(gradient, this.biasGradient);
    }
    if (input) setSeenGradient(gradient, this.weight, this.inputGradient, rows);
    return this.inputGradient;
  }
}

/** The same from an image to an image of hidden units (7.1.1): weights [O H W, C H W], a bias for each unit. */
class DenseImage extends Linear {}

/**
 * Locally connected (7.1.3 without sharing): each unit has weights of its own, for the pixels near it only.
 *
 * Weights lie offset by offset, (a, b) from (-D, -D) to (D, D), each a block [O, C, units' rows, units' columns] of
 * those units that have a pixel there; a bias for each unit.
 */
class Local extends Layer {
  constructor(description) {
    super(description);
    this.runs = Int32Array.from(this.findRuns());
  }

  /** [rows, columns] from a unit to the farthest pixel that it reads. */
  get reach() {
    return this.input.slice(1).map((n) => Math.min(this.description.half_width, n - 1));
  }

  get fans() {
    const offsets = product(this.reach.map((n) => 2 * n + 1));
    return [this.input[0] * offsets, this.output[0] * offsets];
  }

  /** Where n weights, units and pixels lie side by side: the first weight, unit and pixel, and n, run after run. */
  *findRuns() {
    const [channels, height, width] = this.input;
    const [down, across] = this.reach;
    let weight = 0;
    for (let a = -down; a <= down; a++) {
      for (let b = -across; b <= across; b++) {
        const n = width - Math.abs(b);
        for (let o = 0; o < this.output[0]; o++) {
          for (let c = 0; c < channels; c++) {
            for (let i = Math.max(-a, 0); i < height - Math.max(a, 0); i++) {
              const unit = (o * height + i) * width + Math.max(-b, 0);
              const pixel = (c * height + i + a) * width + Math.max(b, 0);
              yield* [weight, unit, pixel, n];
              weight += n;
            }
          }
        }
      }
    }
  }

  forward(x) {
    this.x = x;
    const { weight, out, runs } = this;
    out.set(this.bias);
    for (let r = 0; r < runs.length; r += 4) {
      const [w, unit, pixel] = [runs[r], runs[r + 1], runs[r + 2]];
      for (let j = 0; j < runs[r + 3]; j++) out[unit + j] += weight[w + j] * x[pixel + j];
    }
    return out;
  }

  backward(gradient, { weights = true, input = true } = {}) {
    const { weight, weightGradient, inputGradient, runs, x } = this;
    if (weights) addBiasGradient(gradient, this.biasGradient);
    inputGradient.fill(0);
    for (let r = 0; r < runs.length; r += 4) {
      const [w, unit, pixel, n] = [runs[r], runs[r + 1], runs[r + 2], runs[r + 3]];
      if (weights) for (let j = 0; j < n; j++) weightGradient[w + j] += gradient[unit + j] * x[pixel + j];
      if (input) for (let j = 0; j < n; j++) inputGradient[pixel + j] += gradient[unit + j] * weight[w + j];
    }
    return inputGradient;
  }
}

/**
 * One kernel for all units that reaches over the whole image (7.1.2): unit (i, j) uses V[k - i, l - j] on pixel (k, l).
 *
 * Weights [O, C, 2H - 1, 2W - 1], V[0, 0] in the middle; a bias for each map.
 */
class SharedImage extends Layer {
  constructor(description) {
    super(description);
    this.starts = Int32Array.from(this.findStarts());
  }

  get fans() {
    return [this.inputGradient.length, this.out.length];
  }

  /** Of each unit and each row of the image: the weight that meets the row's first pixel. The others follow. */
  *findStarts() {
    const [channels, height, width] = this.input;
    const [rows, columns] = [2 * height - 1, 2 * width - 1];
    for (let o = 0; o < this.output[0]; o++) {
      for (let i = 0; i < height; i++) {
        for (let j = 0; j < width; j++) {
          for (let c = 0; c < channels; c++) {
            for (let k = 0; k < height; k++) {
              yield ((o * channels + c) * rows + k - i + height - 1) * columns + width - 1 - j;
            }
          }
        }
      }
    }
  }

  forward(x) {
    this.x = x;
    const { weight, bias, out, starts } = this;
    const width = this.input[2];
    const positions = out.length / bias.length;
    for (let unit = 0, at = 0; unit < out.length; unit++) {
      let sum = bias[Math.floor(unit / positions)];
      for (let pixel = 0; pixel < x.length; pixel += width, at++) {
        const w = starts[at];
        for (let l = 0; l < width; l++) sum += weight[w + l] * x[pixel + l];
      }
      out[unit] = sum;
    }
    return out;
  }

  backward(gradient, { weights = true, input = true } = {}) {
    const { weight, weightGradient, inputGradient, starts, x } = this;
    const width = this.input[2];
    const rows = x.length / width;
    if (weights) addBiasGradient(gradient, this.biasGradient);
    inputGradient.fill(0);
    for (let unit = 0; unit < gradient.length; unit++) {
      const g = gradient[unit];
      if (g === 0) continue;
      for (let row = 0; row < rows; row++) {
        const w = starts[unit * rows + row];
        const pixel = row * width;
        if (weights) for (let l = 0; l < width; l++) weightGradient[w + l] += g * x[pixel + l];
        if (input) for (let l = 0; l < width; l++) inputGradient[pixel + l] += g * weight[w + l];
      }
    }
    return inputGradient;
  }
}

// --- windows

/** Where a pixel outside of n pixels is taken from; -1: nowhere, it is zero. */
const OUTSIDE = {
  zeros: () => -1,
  reflect: (i, n) => (i < 0 ? -i : 2 * (n - 1) - i),
  circular: (i, n) => (i + n) % n,
  replicate: (i, n) => (i < 0 ? 0 : n - 1),
};

/**
 * The windows of a convolution or a pooling over an image.
 *
 * @param {number[]} size [H, W] of the image
 * @param {object} options kernel_size, stride, dilation: each [down, across]; padding [[top, bottom], [left, right]];
 *   padding_mode
 * @returns {{size: number[], taps: number, pixels: Int32Array}} size: [H', W'], how many windows there are. pixels[p
 *   taps + t]: the pixel of a map under tap t of window p, row by row both, or -1 where that is padded with zeros
 * @throws {RangeError} the window is larger than the padded image, or the padding has no pixels to repeat
 */
export function windows(
  size,
  {
    kernel_size,
    stride = [1, 1],
    padding = [
      [0, 0],
      [0, 0],
    ],
    padding_mode = "zeros",
    dilation = [1, 1],
  },
) {
  const counts = size.map((n, axis) => {
    const most = { reflect: n - 1, circular: n }[padding_mode] ?? Infinity;
    if (Math.max(...padding[axis]) > most) throw new RangeError(`${padding_mode} padding of more than ${most} pixels`);
    const padded = n + padding[axis][0] + padding[axis][1];
    const extent = dilation[axis] * (kernel_size[axis] - 1) + 1;
    if (extent > padded) throw new RangeError(`a window of ${extent} pixels over ${padded}`);
    return Math.floor((padded - extent) / stride[axis]) + 1;
  });
  // of each axis: the row (column) of the image under each tap of each window
  const [rows, columns] = counts.map((count, axis) =>
    Array.from({ length: count }, (_, at) =>
      Array.from({ length: kernel_size[axis] }, (_, tap) => {
        const i = at * stride[axis] - padding[axis][0] + tap * dilation[axis];
        return i >= 0 && i < size[axis] ? i : OUTSIDE[padding_mode](i, size[axis]);
      }),
    ),
  );
  const taps = product(kernel_size);
  const pixels = new Int32Array(product(counts) * taps);
  let at = 0;
  for (const inRows of rows) {
    for (const inColumns of columns) {
      for (const row of inRows) {
        for (const column of inColumns) pixels[at++] = row < 0 || column < 0 ? -1 : row * size[1] + column;
      }
    }
  }
  return { size: counts, taps, pixels };
}

/** seen[p, c, t] = the pixel of map c under tap t of window p. */
function look(x, { taps, pixels }, channels, seen) {
  const area = x.length / channels;
  const positions = pixels.length / taps;
  let to = 0;
  for (let p = 0; p < positions; p++) {
    for (let c = 0; c < channels; c++) {
      for (let t = p * taps; t < (p + 1) * taps; t++) seen[to++] = pixels[t] < 0 ? 0 : x[c * area + pixels[t]];
    }
  }
}

/** The way back: each pixel's gradient is the sum over all windows that see it. */
function gather(seenGradient, { taps, pixels }, channels, inputGradient) {
  const area = inputGradient.length / channels;
  const positions = pixels.length / taps;
  let from = 0;
  inputGradient.fill(0);
  for (let p = 0; p < positions; p++) {
    for (let c = 0; c < channels; c++) {
      for (let t = p * taps; t < (p + 1) * taps; t++, from++) {
        if (pixels[t] >= 0) inputGradient[c * area + pixels[t]] += seenGradient[from];
      }
    }
  }
}

/** Convolution (7.1.3 and 7.2): a linear layer that looks at each window. Weights [O, C, h, w], a bias for each map. */
class Conv extends Layer {
  constructor(description) {
    super(description);
    this.windows = windows(this.input.slice(1), description);
    this.output = [this.output[0], ...this.windows.size];
    this.seen = new Float32Array(this.windows.pixels.length * this.input[0]);
    this.seenGradient = new Float32Array(this.seen.length);
    this.added = this.bias ?? new Float32Array(this.output[0]);
  }

  get fans() {
    return [this.input[0] * this.windows.taps, this.output[0] * this.windows.taps];
  }

  forward(x) {
    this.x = x;
    look(x, this.windows, this.input[0], this.seen);
    multiply(this.weight, this.added, this.seen, this.out);
    return this.out;
  }

  backward(gradient, { weights = true, input = true } = {}) {
    const maps = this.output[0];
    if (weights) {
      addWeightGradient(gradient, this.seen, this.weightGradient, maps);
      if (this.bias) addBiasGradient(gradient, this.biasGradient);
    }
    if (input) {
      setSeenGradient(gradient, this.weight, this.seenGradient, maps);
      gather(this.seenGradient, this.windows, this.input[0], this.inputGradient);
    }
    return this.inputGradient;
  }
}

/** Each map has a kernel of its own and stays by itself. Weights [C, 1, h, w]. */
class Depthwise extends Layer {
  constructor(description) {
    super(description);
    const { kind, input, output, weight, bias } = description;
    const one = {
      ...description,
      kind,
      depthwise: false,
      input: [1, ...input.slice(1)],
      output: [1, ...output.slice(1)],
    };
    const empty = { weight: { shape: [1, ...weight.shape.slice(1)] }, ...(bias && { bias: { shape: [1] } }) };
    this.maps = Array.from({ length: input[0] }, () => new Conv({ ...one, ...empty }));
    this.windows = this.maps[0].windows;
    // one array for all of them, of which each convolution has a part
    for (const [c, map] of this.maps.entries()) {
      for (const key of ["weight", "bias", "weightGradient", "biasGradient", "out", "inputGradient"]) {
        if (this[key]) map[key] = part(this[key], c, this.maps.length);
      }
      map.added = map.bias ?? map.added;
    }
  }

  get fans() {
    return [this.windows.taps, this.input[0] * this.windows.taps];
  }

  forward(x) {
    this.x = x;
    for (const [c, map] of this.maps.entries()) map.forward(part(x, c, this.maps.length));
    return this.out;
  }

  backward(gradient, wanted) {
    for (const [c, map] of this.maps.entries()) map.backward(part(gradient, c, this.maps.length), wanted);
    return this.inputGradient;
  }
}

/** Part c of an array of n equal ones: no copy. */
const part = (array, c, n) => array.subarray((c * array.length) / n, ((c + 1) * array.length) / n);

/** The largest value of each window, or their mean, map by map. */
class Pool extends Layer {
  constructor(description) {
    super(description);
    this.windows = windows(this.input.slice(1), { ...description, kernel_size: description.size });
    this.output = [this.input[0], ...this.windows.size];
    this.largest = new Int32Array(this.out.length); // the pixel that each unit took
  }

  forward(x) {
    this.x = x;
    const { out, largest } = this;
    const { taps, pixels } = this.windows;
    const [maps, height, width] = this.input;
    const isMax = this.description.mode === "max";
    for (let map = 0, unit = 0; map < maps; map++) {
      const corner = map * height * width;
      for (let t = 0; t < pixels.length; unit++) {
        let best = corner + pixels[t];
        let sum = 0;
        for (const end = t + taps; t < end; t++) {
          const pixel = corner + pixels[t];
          sum += x[pixel];
          if (x[pixel] > x[best]) best = pixel;
        }
        largest[unit] = best;
        out[unit] = isMax ? x[best] : sum / taps;
      }
    }
    return out;
  }

  backward(gradient) {
    const { largest, inputGradient } = this;
    const { taps, pixels } = this.windows;
    const [maps, height, width] = this.input;
    inputGradient.fill(0);
    if (this.description.mode === "max") {
      for (let unit = 0; unit < gradient.length; unit++) inputGradient[largest[unit]] += gradient[unit];
      return inputGradient;
    }
    for (let map = 0, unit = 0; map < maps; map++) {
      for (let t = 0; t < pixels.length; unit++) {
        for (const end = t + taps; t < end; t++) {
          inputGradient[map * height * width + pixels[t]] += gradient[unit] / taps;
        }
      }
    }
    return inputGradient;
  }
}

/**
 * The cross-correlation of an image with a kernel, without a bias.
 *
 * @param {Float32Array} input an image of `shape` [C, H, W]
 * @param {Float32Array} kernel [O, C, h, w]
 * @param {object} options as of `windows`
 * @param {Float32Array} [out] [O, H', W'], as long as the answer
 * @returns {Float32Array} [O, H', W']
 * @throws {RangeError} as `windows`
 */
export function convolve(input, [channels, ...size], kernel, options, out) {
  const found = windows(size, options);
  const maps = kernel.length / (channels * found.taps);
  const seen = new Float32Array(found.pixels.length * channels);
  const answer = out ?? new Float32Array(maps * product(found.size));
  look(input, found, channels, seen);
  multiply(kernel, new Float32Array(maps), seen, answer);
  return answer;
}

// --- without weights, or with few

const sigmoid = (x) => 1 / (1 + Math.exp(-x));

/** Name -> [the function, its derivative at x where it is y]. */
const FUNCTIONS = {
  identity: [(x) => x, () => 1],
  relu: [(x) => (x > 0 ? x : 0), (x) => (x > 0 ? 1 : 0)],
  leaky_relu: [(x) => (x > 0 ? x : 0.01 * x), (x) => (x > 0 ? 1 : 0.01)],
  elu: [(x) => (x > 0 ? x : Math.expm1(x)), (x, y) => (x > 0 ? 1 : y + 1)],
  sigmoid: [sigmoid, (_, y) => y * (1 - y)],
  tanh: [Math.tanh, (_, y) => 1 - y * y],
  scaled_tanh: [(x) => 1.7159 * Math.tanh((2 / 3) * x), (_, y) => ((2 / 3) * (1.7159 ** 2 - y * y)) / 1.7159],
  silu: [(x) => x * sigmoid(x), (x, y) => y + sigmoid(x) * (1 - y)],
};

/** A nonlinearity, value by value. */
class Activation extends Layer {
  constructor(description) {
    super(description);
    [this.of, this.slope] = FUNCTIONS[description.function];
  }

  forward(x) {
    this.x = x;
    for (let i = 0; i < x.length; i++) this.out[i] = this.of(x[i]);
    return this.out;
  }

  backward(gradient) {
    const { x, out, inputGradient } = this;
    for (let i = 0; i < x.length; i++) inputGradient[i] = gradient[i] * this.slope(x[i], out[i]);
    return inputGradient;
  }
}

/** Batch norm as it is in evaluation: each channel (or feature) times a scale, plus a shift. */
class Affine extends Layer {
  forward(x) {
    this.x = x;
    const { weight, bias, out } = this;
    const area = x.length / weight.length;
    for (let c = 0, i = 0; c < weight.length; c++) {
      for (const end = i + area; i < end; i++) out[i] = weight[c] * x[i] + bias[c];
    }
    return out;
  }

  backward(gradient, { weights = true } = {}) {
    const { x, weight, inputGradient } = this;
    const area = x.length / weight.length;
    for (let c = 0, i = 0; c < weight.length; c++) {
      let sum = 0;
      for (const end = i + area; i < end; i++) {
        sum += gradient[i] * x[i];
        inputGradient[i] = gradient[i] * weight[c];
      }
      if (weights) this.weightGradient[c] += sum;
    }
    if (weights) addBiasGradient(gradient, this.biasGradient);
    return inputGradient;
  }
}

/** An image becomes its values in one row, which it is already. */
class Flatten extends Layer {
  forward(x) {
    this.x = x;
    return x;
  }

  backward(gradient) {
    return gradient;
  }
}

/** The mean of each map. */
class GlobalAverage extends Layer {
  forward(x) {
    this.x = x;
    const area = x.length / this.out.length;
    this.out.fill(0);
    for (let i = 0; i < x.length; i++) this.out[(i / area) | 0] += x[i] / area;
    return this.out;
  }

  backward(gradient) {
    const area = this.inputGradient.length / gradient.length;
    for (let i = 0; i < this.inputGradient.length; i++) this.inputGradient[i] = gradient[(i / area) | 0] / area;
    return this.inputGradient;
  }
}

const KINDS = {
  activation: Activation,
  affine: Affine,
  conv: Conv,
  dense_image: DenseImage,
  flatten: Flatten,
  global_average: GlobalAverage,
  linear: Linear,
  local: Local,
  pool: Pool,
  shared_image: SharedImage,
};

/** The layer that a description says. */
export function build(description) {
  const kind = description.kind === "conv" && description.depthwise ? Depthwise : KINDS[description.kind];
  return new kind(description);
}
