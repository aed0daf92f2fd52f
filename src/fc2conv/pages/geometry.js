// Shapes, parameters, multiply-accumulates and receptive fields of LeNet and its variants: the arithmetic of
// architectures/trace.py, layers.py and lenet.py, so that a page can answer at once. A test holds both to the same
// numbers and the same errors. Windows are square here, and poolings 2x2; on signals, images one pixel high, they are
// 1 pixel high.
//
// Shapes are [channels, height, width], or [features] once flattened. Numbers are exact up to 2^53.

export class ConfigError extends Error {
  /**
   * @param {string} key dotted name as written on the command line, e.g. model.kernel_size
   * @param {string} message what was found and what would be right
   */
  constructor(key, message) {
    super(`${key}: ${message}`);
    this.key = key;
  }
}

const geometryError = (layer, message, key) => new ConfigError(key, `${layer}: ${message}`);

/** The defaults of architectures/lenet.py: LeNet as in D2L 7.6. */
export const LENET = {
  channels: [6, 16],
  kernel_size: 5,
  padding: [2, 0],
  padding_mode: "zeros",
  stride: 1,
  dilation: 1,
  activation: "sigmoid",
  pool: "average",
  pool_after: null,
  norm: "none",
  bias: true,
  dropout: 0,
  head: "dense",
  hidden: [120, 84],
  separable: false,
  coordinates: false,
};

/** Activations that never decrease: a maximum may be taken ahead of them. */
const MONOTONE = new Set(["sigmoid", "tanh", "scaled_tanh", "relu", "leaky_relu", "elu", "identity"]);

const product = (numbers) => numbers.reduce((a, b) => a * b, 1);

/** (height, width) as people write it: 28 for 28x28. */
const spelled = ([height, width]) => (height === width ? `${height}` : `${height}x${width}`);

/** A value as it is written on the command line. */
function written(value) {
  if (Array.isArray(value)) return `[${value.map(written).join(",")}]`;
  return value === "" ? "''" : String(value);
}

function require(condition, key, got, want) {
  if (!condition) throw new ConfigError(key, `got ${written(got)}, expected ${want}`);
}

/** One value for each of n convolutions: a single value goes to all, a short list goes on with its last one. */
function perLayer(key, value, n) {
  if (!Array.isArray(value)) return Array(n).fill(value);
  const want = `one value, or at most one for each of the ${n} convolutions in model.channels`;
  require(value.length > 0 && value.length <= n, key, value, want);
  return [...value, ...Array(n - value.length).fill(value.at(-1))];
}

/** `shape` as [channels, height, width]. */
function image(shape, layer) {
  if (shape.length !== 3) throw geometryError(layer, `needs an image, gets ${shape[0]} features`, "model");
  return shape;
}

/** [height, width] of a window of n pixels, or of another number that is for both; `across` is that of a signal's one. */
const sides = (n, signal, across = 1) => (signal ? [across, n] : [n, n]);

/** How many places a window has that moves by `stride` over `size` pixels, padding included. */
function positions(size, window, stride, misfit) {
  if (window[0] > size[0] || window[1] > size[1]) throw misfit();
  return size.map((n, axis) => Math.floor((n - window[axis]) / stride[axis]) + 1);
}

/** One step of an architecture; what it does to a shape and what it costs. */
class Layer {
  constructor(name, values = {}) {
    Object.assign(this, { name, ...values });
  }
  output(shape) {
    return shape;
  }
  params() {
    return 0;
  }
  macs() {
    return 0;
  }
  /** [extent, stride], each [height, width], of what an output unit sees of the layer's input. */
  window() {
    return [
      [1, 1],
      [1, 1],
    ];
  }
  remark() {
    return null;
  }
}

/**
 * A convolution: out_channels, bias, depthwise, padding_mode; kernel, stride and dilation [down, across]; padding likewise,
 * or same or valid.
 */
export class Conv extends Layer {
  get extent() {
    return this.kernel.map((n, axis) => this.dilation[axis] * (n - 1) + 1);
  }
  /** [[top, bottom], [left, right]], in pixels; `same` puts the odd pixel of an even kernel below and to the right. */
  get pads() {
    if (this.padding === "same") return this.extent.map((n) => [Math.floor((n - 1) / 2), Math.ceil((n - 1) / 2)]);
    const pads = this.padding === "valid" ? [0, 0] : this.padding;
    return pads.map((pad) => [pad, pad]);
  }
  output(shape) {
    const [channels, height, width] = image(shape, this.name);
    const pads = this.pads;
    const [kernel, stride] = [spelled(this.kernel), spelled(this.stride)];
    if (Math.max(...this.stride) > 1 && pads.some(([before, after]) => before !== after)) {
      const what = `same is not defined for the even kernel ${kernel} with stride ${stride}; use a number`;
      throw geometryError(this.name, what, "model.padding");
    }
    const limit = { reflect: -1, circular: 0 }[this.padding_mode];
    if (limit !== undefined) {
      for (const [axis, n] of [height, width].entries()) {
        const pad = Math.max(...pads[axis]);
        if (pad > n + limit) {
          const what =
            `${this.padding_mode} padding ${pad} does not fit the ${height}x${width} input ` +
            `it gets; use at most ${n + limit}, or model.padding_mode=zeros`;
          throw geometryError(this.name, what, "model.padding");
        }
      }
    }
    const added = pads.map(([before, after]) => before + after);
    const padded = [height + added[0], width + added[1]];
    const misfit = () => {
      const dilated = Math.max(...this.dilation) > 1 ? ` with dilation ${spelled(this.dilation)}` : "";
      const grown = Math.max(...added) > 0 ? ` (padded to ${padded[0]}x${padded[1]})` : "";
      const what = `kernel ${kernel}${dilated} does not fit the ${height}x${width} input it gets${grown}`;
      return geometryError(this.name, `${what}; use padding or a smaller kernel`, "model.kernel_size");
    };
    return [this.maps(channels), ...positions(padded, this.extent, this.stride, misfit)];
  }
  maps(channels) {
    return this.depthwise ? channels : this.out_channels;
  }
  taps(channels) {
    return product(this.kernel) * this.maps(channels) * (this.depthwise ? 1 : channels);
  }
  params([channels]) {
    return this.taps(channels) + (this.bias ? this.maps(channels) : 0);
  }
  macs(shape) {
    return this.taps(shape[0]) * product(this.output(shape).slice(1));
  }
  window() {
    return [this.extent, this.stride];
  }
  remark(shape) {
    const [before, after] = [shape.slice(1), this.output(shape).slice(1)];
    if (after[0] <= before[0] && after[1] <= before[1]) return null;
    const padding = spelled(this.pads.map(([pad]) => pad));
    return (
      `${this.name}: padding ${padding} is more than the kernel ${spelled(this.kernel)} takes away, so that the ` +
      `image grows from ${before.join("x")} to ${after.join("x")}; model.padding=same keeps its size`
    );
  }
}

/** A window of `size` [down, across] that moves by `stride`, its size if that is not said; kind: average, max or blur. */
export class Pool extends Layer {
  constructor(name, values) {
    super(name, { stride: values.size, ...values });
  }
  output(shape) {
    const [channels, height, width] = image(shape, this.name);
    const misfit = () => {
      const what = `window ${spelled(this.size)} does not fit the ${height}x${width} input it gets`;
      return geometryError(this.name, `${what}; use padding, or fewer poolings (model.pool_after)`, "model.pool_after");
    };
    return [channels, ...positions([height, width], this.size, this.stride, misfit)];
  }
  window() {
    return [this.kind === "blur" ? this.size.map((n) => (n > 1 ? n + 2 : 1)) : this.size, this.stride];
  }
}

class Coordinates extends Layer {
  output(shape) {
    const [channels, height, width] = image(shape, this.name);
    return [channels + 2, height, width];
  }
}

class Norm extends Layer {
  params(shape) {
    return 2 * shape[0];
  }
}

class Activation extends Layer {}

class Flatten extends Layer {
  output(shape) {
    return [product(shape)];
  }
}

class GlobalAverage extends Layer {
  output(shape) {
    return [image(shape, this.name)[0]];
  }
}

class Linear extends Layer {
  output() {
    return [this.out_features];
  }
  params(shape) {
    return (shape[0] + 1) * this.out_features;
  }
  macs(shape) {
    return shape[0] * this.out_features;
  }
}

/** The config with its defaults; throws ConfigError for values that cannot work, as LeNetConfig does. */
function checked(values) {
  const config = { ...LENET, ...values };
  const n = config.channels.length;
  require(n >= 1, "model.channels", config.channels, "at least one convolution, e.g. [6,16]");
  require(config.channels.every((c) => c > 0), "model.channels", config.channels, "at least 1 in each layer");
  if (written(config.padding) === written(LENET.padding)) config.padding = config.padding.slice(0, n);
  for (const [key, least] of [
    ["kernel_size", 1],
    ["stride", 1],
    ["dilation", 1],
    ["padding", 0],
  ]) {
    for (const value of perLayer(`model.${key}`, config[key], n)) {
      require(typeof value === "string" || value >= least, `model.${key}`, value, `${least} or more`);
    }
  }
  const after = config.pool_after;
  require((after ?? []).every((i) => i >= 1 && i <= n), "model.pool_after", after, `numbers from 1 to ${n}`);
  require(config.hidden.every((h) => h > 0), "model.hidden", config.hidden, "widths of at least 1");
  const probability = config.dropout >= 0 && config.dropout < 1;
  require(probability, "model.dropout", config.dropout, "a probability from 0 up to, not including, 1");
  return config;
}

/** The layers of a LeNet, in the order in which they compute. */
function lenet(config, classes, signal) {
  const n = config.channels.length;
  const [kernel, stride, dilation, padding] = ["kernel_size", "stride", "dilation", "padding"].map((key) =>
    perLayer(`model.${key}`, config[key], n),
  );
  const pools = (i) => config.pool_after === null || config.pool_after.includes(i);
  const layers = config.coordinates ? [new Coordinates("coordinates")] : [];
  config.channels.forEach((channels, at) => {
    const i = at + 1;
    const window = {
      kernel: sides(kernel[at], signal),
      stride: sides(stride[at] * (config.pool === "strided" && pools(i) ? 2 : 1), signal),
      padding: typeof padding[at] === "string" ? padding[at] : sides(padding[at], signal, 0),
      padding_mode: config.padding_mode,
      dilation: sides(dilation[at], signal),
      bias: config.bias,
    };
    if (config.separable) {
      const pointwise = { kernel: [1, 1], stride: [1, 1], padding: [0, 0], dilation: [1, 1], bias: config.bias };
      layers.push(new Conv(`conv${i}_depthwise`, { ...window, depthwise: true, out_channels: 0 }));
      layers.push(new Conv(`conv${i}_pointwise`, { ...pointwise, out_channels: channels }));
    } else {
      layers.push(new Conv(`conv${i}`, { ...window, out_channels: channels }));
    }
    if (config.norm === "batch") layers.push(new Norm(`norm${i}`));
    const activation = new Activation(`${config.activation}${i}`);
    if (pools(i) && ["average", "max", "blur"].includes(config.pool)) {
      const pool = new Pool(`pool${i}`, { kind: config.pool, size: sides(2, signal) });
      const first = config.pool === "max" && MONOTONE.has(config.activation);
      layers.push(...(first ? [pool, activation] : [activation, pool]));
    } else {
      layers.push(activation);
    }
  });
  if (config.head === "gap") {
    layers.push(new GlobalAverage("average"));
  } else {
    layers.push(new Flatten("flatten"));
    config.hidden.forEach((width, at) => {
      const j = n + 1 + at;
      if (config.dropout && at > 0) layers.push(new Layer(`dropout${j}`));
      layers.push(new Linear(`linear${j}`, { out_features: width }), new Activation(`${config.activation}${j}`));
    });
  }
  if (config.dropout) layers.push(new Layer("dropout"));
  layers.push(new Linear("output", { out_features: classes }));
  return layers;
}

/**
 * Walk an image of `shape` through a LeNet.
 *
 * @param {object} values keys of LENET that differ from it
 * @param {number[]} shape [bands, height, width]
 * @param {number} classes
 * @returns {{rows: object[], params: number, macs: number, receptive_field: number, remarks: string[]}} a row a layer:
 *   {name, input, output, params, macs, receptive_field}
 * @throws {ConfigError} in the words of the suite
 */
export function plan(values, shape, classes) {
  const rows = [];
  const remarks = [];
  const edge = Math.max(...shape.slice(1));
  const signal = shape[1] === 1 && shape[2] > 1;
  let [input, reach, jump] = [shape, 1, 1]; // along the width: on images both sides are the same
  for (const layer of lenet(checked(values), classes, signal)) {
    const output = layer.output(input);
    const spatial = output.length === 3;
    if (spatial) {
      const [extent, stride] = layer.window();
      reach += (extent[1] - 1) * jump;
      jump *= stride[1];
    }
    const remark = layer.remark(input);
    if (remark) remarks.push(remark);
    rows.push({
      name: layer.name,
      input,
      output,
      params: layer.params(input),
      macs: layer.macs(input),
      receptive_field: Math.min(spatial ? reach : edge, edge),
    });
    input = output;
  }
  const total = (key) => rows.reduce((sum, row) => sum + row[key], 0);
  const last = rows.filter((row) => row.output.length === 3).at(-1);
  return { rows, remarks, params: total("params"), macs: total("macs"), receptive_field: last.receptive_field };
}
