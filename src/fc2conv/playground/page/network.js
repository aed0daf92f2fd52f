// A network from its description: what it sees of an image, its answer, and the way back.

import { shorts } from "playground/half.js";
import { build, product } from "playground/layers.js";
import { generator } from "playground/random.js";

export class Network {
  /** @param {object} description as playground/networks.py or `describe` writes it */
  constructor(description) {
    const { id, title, says, input, params, macs } = description;
    Object.assign(this, { description, id, title, says, input, params, macs });
    this.layers = description.layers.map(build);
    this.permutation = description.permutation ? shorts(description.permutation) : null;
    /** After `forward`: the output of each layer, which the next call overwrites. */
    this.outputs = [];
    this.canvas = new Uint8Array(product(input));
    this.looks = new Uint8Array(product(input));
    this.x = new Float32Array(product(input));
    this.likely = new Float32Array(product(description.layers.at(-1).output));
  }

  /**
   * What the network looks at, before it is normalised: the image at (x0, y0) of the canvas, its pixels permuted.
   *
   * @param {Uint8Array} pixels of a square image, larger ones averaged down to the network's own; or of a whole canvas
   * @param {number} [x0] column of the image's left edge, which may lie outside; in the middle if it is left out
   * @param {number} [y0] row of its upper edge
   * @returns {Uint8Array} of the size of the network's input; the next call overwrites it
   */
  seen(pixels, x0, y0) {
    this.place(pixels, x0, y0);
    const { canvas, looks, permutation } = this;
    for (let i = 0; i < looks.length; i++) looks[i] = canvas[permutation ? permutation[i] : i];
    return looks;
  }

  /** The same, normalised: the network's input. @returns {Float32Array} the next call overwrites it */
  prepare(pixels, x0, y0) {
    const { mean, std } = this.description;
    const looks = this.seen(pixels, x0, y0);
    for (let i = 0; i < looks.length; i++) this.x[i] = (looks[i] / 255 - mean) / std;
    return this.x;
  }

  place(pixels, x0, y0) {
    const [, high, wide] = this.input;
    if (pixels.length === this.canvas.length && x0 === undefined) {
      this.canvas.set(pixels);
      return;
    }
    const [, height, width] = this.description.image ?? this.input;
    const image = pixels.length > height * width ? averaged(pixels, width) : pixels;
    const left = x0 ?? Math.floor((wide - width) / 2);
    const top = y0 ?? Math.floor((high - height) / 2);
    this.canvas.fill(this.description.fill ?? 0);
    for (let i = Math.max(top, 0); i < Math.min(top + height, high); i++) {
      for (let j = Math.max(left, 0); j < Math.min(left + width, wide); j++) {
        this.canvas[i * wide + j] = image[(i - top) * width + j - left];
      }
    }
  }

  /**
   * @param {Float32Array} x as `prepare` gives it
   * @returns {Float32Array} a logit for each class
   */
  forward(x) {
    let values = x;
    for (let i = 0; i < this.layers.length; i++) {
      values = this.layers[i].forward(values);
      this.outputs[i] = values;
    }
    return values;
  }

  /** Of the classes, from the last logits. @returns {Float32Array} the next call overwrites it */
  probabilities() {
    return softmax(this.outputs.at(-1), this.likely);
  }

  /**
   * The way back from a layer's output to the image, after `forward`. Gradients of weights and biases are added up.
   *
   * @param {Float32Array} gradient with respect to the output of layer `from`
   * @param {number} [from] number of the layer; the last
   * @param {object} [wanted] weights: false leaves those gradients alone; input: false spares the first layer's
   * @returns {Float32Array} with respect to the network's input; the next call overwrites it
   */
  backward(gradient, from = this.layers.length - 1, { weights = true, input = true } = {}) {
    let values = gradient;
    for (let i = from; i >= 0; i--) values = this.layers[i].backward(values, { weights, input: input || i > 0 });
    return values;
  }

  zeroGradients() {
    for (const layer of this.layers) layer.zeroGradients();
  }

  /**
   * A network of the same shapes that has learned nothing: weights by Glorot's uniform, biases by torch's default.
   *
   * @param {object} description its weights are not looked at
   * @param {number} seed
   */
  static fresh(description, seed) {
    const layers = description.layers.map(({ weight, bias, ...layer }) => ({
      ...layer,
      ...(weight && { weight: { shape: weight.shape } }),
      ...(bias && { bias: { shape: bias.shape } }),
    }));
    const network = new Network({ ...description, layers });
    const random = generator(seed);
    const draw = (values, bound) => {
      for (let i = 0; i < values.length; i++) values[i] = bound * (2 * random() - 1);
    };
    for (const layer of network.layers) {
      if (layer.kind === "affine") layer.weight.fill(1);
      if (!layer.fans) continue;
      draw(layer.weight, Math.sqrt(6 / (layer.fans[0] + layer.fans[1])));
      if (layer.bias) draw(layer.bias, 1 / Math.sqrt(layer.fans[0]));
    }
    return network;
  }
}

/** A square image whose blocks are averaged so that it is `edge` pixels wide; halves go to the even number, as in torch. */
export function averaged(pixels, edge) {
  const wide = Math.sqrt(pixels.length);
  const block = wide / edge;
  const found = new Uint8Array(edge * edge);
  for (let at = 0; at < found.length; at++) {
    const corner = Math.floor(at / edge) * block * wide + (at % edge) * block;
    let sum = 0;
    for (let i = 0; i < block; i++) for (let j = 0; j < block; j++) sum += pixels[corner + i * wide + j];
    const mean = sum / (block * block);
    const below = Math.floor(mean);
    found[at] = mean - below === 0.5 ? below + (below % 2) : Math.round(mean);
  }
  return found;
}

/** @returns {Float32Array} out */
export function softmax(logits, out = new Float32Array(logits.length)) {
  const largest = Math.max(...logits);
  let sum = 0;
  for (let i = 0; i < out.length; i++) {
    out[i] = Math.exp(logits[i] - largest);
    sum += out[i];
  }
  for (let i = 0; i < out.length; i++) out[i] /= sum;
  return out;
}

/** In nats, of one image. @returns {{loss: number, gradient: Float32Array}} gradient: with respect to the logits */
export function crossEntropy(logits, label) {
  const gradient = softmax(logits);
  const largest = Math.max(...logits);
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - largest), 0);
  gradient[label] -= 1;
  return { loss: Math.log(sum) + largest - logits[label], gradient };
}

/** The class with the largest logit. */
export function prediction(logits) {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i] > logits[best]) best = i;
  return best;
}

/**
 * The share of images that a network classifies correctly.
 *
 * @param {Network} network
 * @param {Float32Array[]} inputs as `prepare` gives them
 * @param {Uint8Array} labels
 */
export function accuracy(network, inputs, labels) {
  let correct = 0;
  inputs.forEach((x, i) => {
    correct += prediction(network.forward(x)) === labels[i];
  });
  return correct / inputs.length;
}

/**
 * A rung of the ladder (7.1): one hidden layer of image-shaped units, ReLU, a linear output. It has shapes, and no
 * weights: for Network.fresh. Pixels are not normalised unless mean and std are set.
 *
 * @param {"dense"|"local"|"shared"|"conv"} constraint
 * @param {number} channels hidden maps
 * @param {number} halfWidth Delta of equation 7.1.3: windows are 2 Delta + 1 pixels wide
 * @param {number[]} input [C, H, W]
 * @param {number} classes
 */
export function describe(constraint, channels, halfWidth, input, classes) {
  const [bands, height, width] = input;
  const output = [channels, height, width];
  const units = product(output);
  const reach = [height, width].map((n) => Math.min(halfWidth, n - 1));
  // a row offset a exists for n - |a| rows: n(2D + 1) - D(D + 1) pairs of rows in all, likewise for columns
  const pairs = [height, width].map((n, axis) => n * (2 * reach[axis] + 1) - reach[axis] * (reach[axis] + 1));
  const kernel = [2 * halfWidth + 1, 2 * halfWidth + 1];
  const pads = [halfWidth, halfWidth];
  const hidden = {
    dense: { kind: "dense_image", weight: [units, product(input)], bias: [units] },
    local: { kind: "local", half_width: halfWidth, weight: [channels * bands * product(pairs)], bias: output },
    shared: { kind: "shared_image", weight: [channels, bands, 2 * height - 1, 2 * width - 1], bias: [channels] },
    conv: {
      kind: "conv",
      kernel_size: kernel,
      stride: [1, 1],
      padding: [pads, pads],
      padding_mode: "zeros",
      dilation: [1, 1],
      depthwise: false,
      weight: [channels, bands, ...kernel],
      bias: [channels],
    },
  }[constraint];
  const macs = { dense: units * product(input), local: product(hidden.weight), shared: units * product(input) };
  const widest = Math.max(height, width);
  const sees = { local: Math.min(2 * Math.min(halfWidth, widest - 1) + 1, widest), conv: Math.min(kernel[0], widest) };
  const field = sees[constraint] ?? widest;
  const layer = (name, values, from, to, weights = {}, count = 0) => ({
    name,
    ...values,
    input: from,
    output: to,
    params: Object.values(weights).reduce((sum, shape) => sum + product(shape), 0),
    macs: count,
    ...Object.fromEntries(Object.entries(weights).map(([part, shape]) => [part, { shape }])),
  });
  const { weight, bias, ...values } = hidden;
  const layers = [
    layer("hidden", values, input, output, { weight, bias }, macs[constraint] ?? product(weight) * height * width),
    layer("relu", { kind: "activation", function: "relu" }, output, output),
    layer("flatten", { kind: "flatten" }, output, [units]),
    layer(
      "output",
      { kind: "linear" },
      [units],
      [classes],
      { weight: [classes, units], bias: [classes] },
      units * classes,
    ),
  ].map((each, i) => ({ ...each, receptive_field: i < 2 ? field : widest }));
  const total = (key) => layers.reduce((sum, each) => sum + each[key], 0);
  return {
    ...{ id: constraint, title: constraint, says: "", input, image: input, mean: 0, std: 1, fill: 0 },
    ...{ permutation: null, params: total("params"), macs: total("macs"), layers },
  };
}
