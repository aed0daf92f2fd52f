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

/**
 * out[r, p] = bias[r] + sum over k of weight[r, k] seen[p, k].
 *
 * Each row of weights meets each row of what is seen: a linear layer sees the whole input once, a convolution each of
 * its windows. Four rows of weights at a time, so that what is seen is read once for all four.
 */
function multiply(weight, bias, seen, rows, positions, out) {
  const n = weight.length / rows;
  let r = 0;
  for (; r + 4 <= rows; r += 4) {
    const [a, b, c, d] = [r * n, (r + 1) * n, (r + 2) * n, (r + 3) * n];
    for (let p = 0; p < positions; p++) {
      let [sumA, sumB, sumC, sumD] = [0, 0, 0, 0];
      const start = p * n;
      for (let k = 0; k < n; k++) {
        const x = seen[start + k];
        sumA += weight[a + k] * x;
        sumB += weight[b + k] * x;
        sumC += weight[c + k] * x;
        sumD += weight[d + k] * x;
      }
      out[r * positions + p] = sumA;
      out[(r + 1) * positions + p] = sumB;
      out[(r + 2) * positions + p] = sumC;
      out[(r + 3) * positions + p] = sumD;
    }
  }
  for (; r < rows; r++) {
    for (let p = 0; p < positions; p++) {
      let sum = 0;
      for (let k = 0; k < n; k++) sum += weight[r * n + k] * seen[p * n + k];
      out[r * positions + p] = sum;
    }
  }
  if (bias) for (let i = 0; i < out.length; i++) out[i] += bias[(i / positions) | 0];
}

/** The derivative of `multiply` by the weights: weightGradient[r, k] += sum over p of gradient[r, p] seen[p, k]. */
function addWeightGradient(gradient, seen, rows, positions, weightGradient) {
  const n = weightGradient.length / rows;
  for (let r = 0; r < rows; r++) {
    for (let p = 0; p < positions; p++) {
      const g = gradient[r * positions + p];
      if (g === 0) continue;
      const [to, from] = [r * n, p * n];
      for (let k = 0; k < n; k++) weightGradient[to + k] += g * seen[from + k];
    }
  }
}

/** And by what is seen: seenGradient[p, k] = sum over r of gradient[r, p] weight[r, k]. */
function setSeenGradient(gradient, weight, rows, positions, seenGradient) {
  const n = weight.length / rows;
  seenGradient.fill(0);
  for (let r = 0; r < rows; r++) {
    for (let p = 0; p < positions; p++) {
      const g = gradient[r * positions + p];
      if (g === 0) continue;
      const [to, from] = [p * n, r * n];
      for (let k = 0; k < n; k++) seenGradient[to + k] += g * weight[from + k];
    }
  }
}

/** biasGradient[r] += the sum of what reaches its units. */
function addBiasGradient(gradient, biasGradient) {
  const positions = gradient.length / biasGradient.length;
  for (let i = 0; i < gradient.length; i++) biasGradient[(i / positions) | 0] += gradient[i];
}

/** Each output is a weighted sum of all inputs. Weights [out, in]. */
class Linear extends Layer {
  get fans() {
    return [this.inputGradient.length, this.out.length];
  }

  forward(x) {
    this.x = x;
    multiply(this.weight, this.bias, x, this.out.length, 1, this.out);
    return this.out;
  }

  backward(gradient, { weights = true, input = true } = {}) {
    if (weights) {
      addWeightGradient(gradient, this.x, this.out.length, 1, this.weightGradient);
      if (this.bias) addBiasGradient(gradient, this.biasGradient);
    }
    if (input) setSeenGradient(gradient, this.weight, this.out.length, 1, this.inputGradient);
    return this.inputGradient;
  }
}

/** The same from an image to an image of hidden units (7.1.1): weights [O H W, C H W], a bias for each unit. */
class DenseImage extends Linear {}

/** Locally connected (7.1.3 without sharing): each unit has weights of its own, for the pixels near it only.
 *
 * Weights lie offset by offset, (a, b) from (-D, -D) to (D, D), each a block [O, C, units' rows, units' columns] of
 * those units that have a pixel there; a bias for each unit.
 */
class Local extends Layer {
  constructor(description) {
    super(description);
    const [, height, width] = this.input;
    const reach = [height, width].map((n) => Math.min(description.half_width, n - 1));
    this.blocks = [];
    let start = 0;
    for (let a = -reach[0]; a <= reach[0]; a++) {
      for (let b = -reach[1]; b <= reach[1]; b++) {
        this.blocks.push({ a, b, start });
        start += this.output[0] * this.input[0] * (height - Math.abs(a)) * (width - Math.abs(b));
      }
    }
  }

  get fans() {
    return [this.input[0] * this.blocks.length, this.output[0] * this.blocks.length];
  }

  /** Calls visit(weight, unit, pixel, n) for each run of n weights, units and pixels that lie side by side. */
  eachRun(visit) {
    const [channels, height, width] = this.input;
    for (const { a, b, start } of this.blocks) {
      const n = width - Math.abs(b);
      let weight = start;
      for (let o = 0; o < this.output[0]; o++) {
        for (let c = 0; c < channels; c++) {
          for (let i = Math.max(-a, 0); i < height - Math.max(a, 0); i++) {
            const unit = (o * height + i) * width + Math.max(-b, 0);
            const pixel = (c * height + i + a) * width + Math.max(b, 0);
            visit(weight, unit, pixel, n);
            weight += n;
          }
        }
      }
    }
  }

  forward(x) {
    this.x = x;
    const { weight, out } = this;
    out.set(this.bias);
    this.eachRun((w, unit, pixel, n) => {
      for (let j = 0; j < n; j++) out[unit + j] += weight[w + j] * x[pixel + j];
    });
    return out;
  }

  backward(gradient, { weights = true, input = true } = {}) {
    const { weight, weightGradient, inputGradient, x } = this;
    if (weights) {
      addBiasGradient(gradient, this.biasGradient);
      this.eachRun((w, unit, pixel, n) => {
        for (let j = 0; j < n; j++) weightGradient[w + j] += gradient[unit + j] * x[pixel + j];
      });
    }
    if (input) {
      inputGradient.fill(0);
      this.eachRun((w, unit, pixel, n) => {
        for (let j = 0; j < n; j++) inputGradient[pixel + j] += gradient[unit + j] * weight[w + j];
      });
    }
    return inputGradient;
  }
}

/** One kernel for all units that reaches over the whole image (7.1.2): unit (i, j) uses V[k - i, l - j] on pixel (k, l).
 *
 * Weights [O, C, 2H - 1, 2W - 1], V[0, 0] in the middle; a bias for each map.
 */
class SharedImage extends Layer {
  get fans() {
    return [this.inputGradient.length, this.out.length];
  }

  /** Calls visit(weight, unit, pixel, n): of a unit the n weights and pixels of one row of the image. */
  eachRun(visit) {
    const [channels, height, width] = this.input;
    const [rows, columns] = [2 * height - 1, 2 * width - 1];
    let unit = 0;
    for (let o = 0; o < this.output[0]; o++) {
      for (let i = 0; i < height; i++) {
        for (let j = 0; j < width; j++) {
          for (let c = 0; c < channels; c++) {
            const corner = ((o * channels + c) * rows + height - 1 - i) * columns + width - 1 - j;
            for (let k = 0; k < height; k++) visit(corner + k * columns, unit, (c * height + k) * width, width);
          }
          unit++;
        }
      }
    }
  }

  forward(x) {
    this.x = x;
    const { weight, bias, out } = this;
    const positions = out.length / bias.length;
    for (let i = 0; i < out.length; i++) out[i] = bias[(i / positions) | 0];
    this.eachRun((w, unit, pixel, n) => {
      let sum = 0;
      for (let l = 0; l < n; l++) sum += weight[w + l] * x[pixel + l];
      out[unit] += sum;
    });
    return out;
  }

  backward(gradient, { weights = true, input = true } = {}) {
    const { weight, weightGradient, inputGradient, x } = this;
    if (weights) {
      addBiasGradient(gradient, this.biasGradient);
      this.eachRun((w, unit, pixel, n) => {
        const g = gradient[unit];
        if (g !== 0) for (let l = 0; l < n; l++) weightGradient[w + l] += g * x[pixel + l];
      });
    }
    if (input) {
      inputGradient.fill(0);
      this.eachRun((w, unit, pixel, n) => {
        const g = gradient[unit];
        if (g !== 0) for (let l = 0; l < n; l++) inputGradient[pixel + l] += g * weight[w + l];
      });
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
    const [channels, ...size] = this.input;
    this.windows = windows(size, description);
    this.output = [this.output[0], ...this.windows.size];
    this.seen = new Float32Array(this.windows.pixels.length * channels);
    this.seenGradient = new Float32Array(this.seen.length);
  }

  get fans() {
    return [this.input[0] * this.windows.taps, this.output[0] * this.windows.taps];
  }

  forward(x) {
    this.x = x;
    look(x, this.windows, this.input[0], this.seen);
    multiply(this.weight, this.bias, this.seen, this.output[0], product(this.windows.size), this.out);
    return this.out;
  }

  backward(gradient, { weights = true, input = true } = {}) {
    const [maps, positions] = [this.output[0], product(this.windows.size)];
    if (weights) {
      addWeightGradient(gradient, this.seen, maps, positions, this.weightGradient);
      if (this.bias) addBiasGradient(gradient, this.biasGradient);
    }
    if (input) {
      setSeenGradient(gradient, this.weight, maps, positions, this.seenGradient);
      gather(this.seenGradient, this.windows, this.input[0], this.inputGradient);
    }
    return this.inputGradient;
  }
}

/** Each map has a kernel of its own and stays by itself. Weights [C, 1, h, w]. */
class Depthwise extends Conv {
  get fans() {
    return [this.windows.taps, this.output[0] * this.windows.taps];
  }

  /** As a convolution of each map: calls visit(kernel and bias, map, its windows) with parts of the arrays. */
  eachMap(visit) {
    const { taps, pixels } = this.windows;
    const area = product(this.input.slice(1));
    for (let c = 0; c < this.input[0]; c++) {
      const of = (array, n) => array?.subarray(c * n, (c + 1) * n);
      visit((array, per) =>
        of(array, { tap: taps, map: 1, pixel: area, unit: pixels.length / taps, seen: pixels.length }[per]),
      );
    }
  }

  forward(x) {
    this.x = x;
    const positions = product(this.windows.size);
    this.eachMap((of) => {
      look(of(x, "pixel"), this.windows, 1, of(this.seen, "seen"));
      multiply(of(this.weight, "tap"), of(this.bias, "map"), of(this.seen, "seen"), 1, positions, of(this.out, "unit"));
    });
    return this.out;
  }

  backward(gradient, { weights = true, input = true } = {}) {
    const positions = product(this.windows.size);
    this.eachMap((of) => {
      const g = of(gradient, "unit");
      if (weights) {
        addWeightGradient(g, of(this.seen, "seen"), 1, positions, of(this.weightGradient, "tap"));
        if (this.bias) addBiasGradient(g, of(this.biasGradient, "map"));
      }
      if (input) {
        setSeenGradient(g, of(this.weight, "tap"), 1, positions, of(this.seenGradient, "seen"));
        gather(of(this.seenGradient, "seen"), this.windows, 1, of(this.inputGradient, "pixel"));
      }
    });
    return this.inputGradient;
  }
}

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
    const { taps, pixels } = this.windows;
    const [area, positions] = [product(this.input.slice(1)), pixels.length / taps];
    const isMax = this.description.mode === "max";
    for (let unit = 0; unit < this.out.length; unit++) {
      const map = Math.floor(unit / positions) * area;
      const first = (unit % positions) * taps;
      let [sum, largest] = [0, map + pixels[first]];
      for (let t = first; t < first + taps; t++) {
        const pixel = map + pixels[t];
        sum += x[pixel];
        if (x[pixel] > x[largest]) largest = pixel;
      }
      this.largest[unit] = largest;
      this.out[unit] = isMax ? x[largest] : sum / taps;
    }
    return this.out;
  }

  backward(gradient) {
    const { taps, pixels } = this.windows;
    const [area, positions] = [product(this.input.slice(1)), pixels.length / taps];
    this.inputGradient.fill(0);
    for (let unit = 0; unit < gradient.length; unit++) {
      if (this.description.mode === "max") {
        this.inputGradient[this.largest[unit]] += gradient[unit];
        continue;
      }
      const map = Math.floor(unit / positions) * area;
      const first = (unit % positions) * taps;
      for (let t = first; t < first + taps; t++) this.inputGradient[map + pixels[t]] += gradient[unit] / taps;
    }
    return this.inputGradient;
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
  multiply(kernel, null, seen, maps, product(found.size), answer);
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
    const area = x.length / this.weight.length;
    for (let i = 0; i < x.length; i++) this.out[i] = this.weight[(i / area) | 0] * x[i] + this.bias[(i / area) | 0];
    return this.out;
  }

  backward(gradient, { weights = true } = {}) {
    const { x, weight, weightGradient, inputGradient } = this;
    const area = x.length / weight.length;
    for (let i = 0; i < x.length; i++) {
      const c = (i / area) | 0;
      if (weights) weightGradient[c] += gradient[i] * x[i];
      inputGradient[i] = gradient[i] * weight[c];
    }
    if (weights) addBiasGradient(gradient, this.biasGradient);
    return inputGradient;
  }
}

/** An image becomes its values in one row, which it is already. */
class Flatten extends Layer {
  forward(x) {
    return x;
  }

  backward(gradient) {
    return gradient;
  }
}

/** The mean of each map. */
class GlobalAverage extends Layer {
  forward(x) {
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
