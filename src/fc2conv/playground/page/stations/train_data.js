// The images that the rungs learn from and are tested on: small ones, placed, permuted and normalised as the options
// say. No DOM.

import { generator, shuffled } from "playground/random.js";

/** Edge of the canvas on which images are placed at random, as in the claim. */
export const CANVAS = 20;

export class Images {
  /**
   * @param {{pixels: Uint8Array, labels: Uint8Array, n: number}} split
   * @param {object} options
   * @param {number} options.edge of the images
   * @param {boolean} options.random place each at random on a canvas of 20x20
   * @param {boolean} options.permuted the same order of the pixels for all images, from the seed
   * @param {number} options.seed
   * @param {number} options.mean of pixels from 0 to 1
   * @param {number} options.std
   * @param {number} [options.limit] only the first so many
   */
  constructor(split, { edge, random, permuted, seed, mean, std, limit = split.n }) {
    Object.assign(this, { pixels: split.pixels, labels: split.labels, n: Math.min(limit, split.n), edge, random });
    this.canvas = random ? CANVAS : edge;
    this.order = permuted ? shuffled(this.canvas ** 2, generator(seed)) : null;
    // of all 256 values that a pixel can have
    this.normalised = Float32Array.from({ length: 256 }, (_, pixel) => (pixel / 255 - mean) / std);
    this.placed = new Uint8Array(this.canvas ** 2);
    this.seen = new Uint8Array(this.canvas ** 2);
    this.x = new Float32Array(this.canvas ** 2);
  }

  /** A corner for each image, drawn now: [top, left, top, left, ...]. */
  places(random) {
    const spare = this.canvas - this.edge + 1;
    return Uint8Array.from({ length: 2 * this.n }, () => (this.random ? Math.floor(random() * spare) : 0));
  }

  /** What a network sees of image i, as pixels; the next call overwrites it. */
  look(i, places) {
    const { edge, canvas, order, placed, seen } = this;
    const corner = places[2 * i] * canvas + places[2 * i + 1];
    placed.fill(0);
    for (let y = 0; y < edge; y++) {
      const from = (i * edge + y) * edge;
      placed.set(this.pixels.subarray(from, from + edge), corner + y * canvas);
    }
    for (let p = 0; p < seen.length; p++) seen[p] = placed[order ? order[p] : p];
    return seen;
  }

  /** The same, normalised: a network's input; the next call overwrites it. */
  input(i, places) {
    const seen = this.look(i, places);
    for (let p = 0; p < seen.length; p++) this.x[p] = this.normalised[seen[p]];
    return this.x;
  }
}
