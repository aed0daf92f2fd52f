// A window that moves over an image: where it stands, what it reads, and what comes out. Nothing here knows of the page.

import { Conv, Pool } from "pages/geometry.js";
import { convolve, windows } from "playground/layers.js";
import { EDGE } from "playground/stations/slide_images.js";

const N = EDGE * EDGE;
const both = (n) => [n, n];

const mean = (numbers) => numbers.reduce((a, b) => a + b) / numbers.length;

function layerOf({ operation, kernel, padding, mode, stride, dilation }) {
  if (operation !== "conv") return new Pool("pool", { kind: operation, size: kernel, stride: both(stride) });
  return new Conv("conv", {
    kernel,
    stride: both(stride),
    padding: typeof padding === "number" ? both(padding) : padding,
    padding_mode: mode,
    dilation: both(dilation),
    bias: true,
    out_channels: 1,
  });
}

export class MovingWindow {
  /**
   * @param {object} c
   * @param {"conv"|"max"|"average"} c.operation
   * @param {number} c.channels of the image
   * @param {number[]} c.kernel [height, width]
   * @param {number|"same"|"valid"} c.padding of a convolution, as are mode and dilation
   * @throws {ConfigError} in the suite's words, where the window does not fit
   */
  constructor(c) {
    const layer = layerOf(c);
    this.operation = c.operation;
    this.channels = c.channels;
    this.kernel = c.kernel;
    this.stride = both(c.stride);
    this.dilation = c.operation === "conv" ? both(c.dilation) : [1, 1];
    this.pads = c.operation === "conv" ? layer.pads : both([0, 0]);
    /** [channels, rows, columns] of the output. */
    this.shape = layer.output([c.channels, EDGE, EDGE]);
    this.places = this.shape[1] * this.shape[2];
    this.how = { padding: this.pads, padding_mode: c.operation === "conv" ? c.mode : "zeros" };
    const { kernel, stride, dilation } = this;
    this.windows = windows([EDGE, EDGE], { ...this.how, kernel_size: kernel, stride, dilation });
    this.padded = windows([EDGE, EDGE], { ...this.how, kernel_size: [1, 1] });
  }

  /** Slide over an image of 14x14 pixels a channel; weights: of all channels, one after another. */
  run(image, weights, bias) {
    this.image = image;
    if (this.operation === "conv") {
      const { kernel, stride, dilation, how } = this;
      const options = { ...how, kernel_size: kernel, stride, dilation };
      const products = convolve(image, [this.channels, EDGE, EDGE], Float32Array.from(weights), options);
      this.output = products.map((sum) => sum + bias);
      return;
    }
    const keep = this.operation === "max" ? (pixels) => Math.max(...pixels) : mean;
    this.output = new Float32Array(this.channels * this.places);
    for (let p = 0; p < this.places; p++) {
      this.seen(p).forEach((pixels, c) => {
        this.output[c * this.places + p] = keep(pixels);
      });
    }
  }

  /** Of each channel of the output: its value at place p. */
  values(p) {
    return Array.from({ length: this.shape[0] }, (_, c) => this.output[c * this.places + p]);
  }

  /** [row, column] of place p in the output. */
  placeOf(p) {
    return [Math.floor(p / this.shape[2]), p % this.shape[2]];
  }

  /** Of each channel of the image: the pixels that place p reads. */
  seen(p) {
    const { taps, pixels } = this.windows;
    const read = Array.from(pixels.subarray(p * taps, (p + 1) * taps));
    return Array.from({ length: this.channels }, (_, c) =>
      read.map((pixel) => (pixel < 0 ? 0 : this.image[c * N + pixel])),
    );
  }

  /** The image's pixel that stands at a cell of the padded image; -1: none, but a zero. */
  pixelAt(x, y) {
    return this.padded.pixels[y * this.padded.size[1] + x];
  }

  isPadding(x, y) {
    const [[top], [left]] = this.pads;
    return y < top || y >= top + EDGE || x < left || x >= left + EDGE;
  }

  /** The window at place p in the padded image: its frame, and the cells that it reads. */
  frame(p) {
    const [i, j] = this.placeOf(p);
    const [y, x] = [i * this.stride[0], j * this.stride[1]];
    const [height, width] = this.kernel.map((k, axis) => this.dilation[axis] * (k - 1) + 1);
    const taps = Array.from({ length: this.kernel[0] * this.kernel[1] }, (_, t) => ({
      y: y + Math.floor(t / this.kernel[1]) * this.dilation[0],
      x: x + (t % this.kernel[1]) * this.dilation[1],
    }));
    return { x, y, width, height, taps };
  }

  /** The places of the output that read a cell of the padded image: {x, y}. */
  readers(x, y) {
    const reads = (p) => this.frame(p).taps.some((tap) => tap.x === x && tap.y === y);
    return Array.from({ length: this.places }, (_, p) => p)
      .filter(reads)
      .map((p) => ({ x: this.placeOf(p)[1], y: this.placeOf(p)[0] }));
  }
}
