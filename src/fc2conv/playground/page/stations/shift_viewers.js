// Networks that look at a moved image, with its pixels in order or permuted. No DOM.

import { Network } from "playground/network.js";
import { orders } from "playground/stations/shift_order.js";

export class Viewers {
  /** @param {object[]} descriptions as the payload holds them */
  constructor(descriptions) {
    this.networks = descriptions.map((description) => new Network(description));
    this.orders = orders(this.networks);
    /** Of each, whether it was trained on permuted pixels. */
    this.trained = this.networks.map((network) => network.permutation !== null);
  }

  /** Whether network `i` was trained on another order of the pixels. */
  isForeign(i, permuted) {
    return this.trained[i] !== permuted;
  }

  /**
   * @param {number} i number of the network
   * @param {Uint8Array} pixels of a garment
   * @param {{right: number, down: number}} shift from the middle, in pixels
   * @param {boolean} permuted
   * @returns {{looks: Uint8Array, logits: Float32Array}} what it looks at, and its answer; the network's own arrays,
   *   which the next call overwrites
   */
  view(i, pixels, { right, down }, permuted) {
    const network = this.networks[i];
    const [, high, wide] = network.input;
    const [, height, width] = network.description.image;
    const smaller = width / Math.sqrt(pixels.length); // a network of smaller images moves them by fewer pixels
    const middle = [wide - width, high - height].map((spare) => Math.floor(spare / 2));
    network.permutation = permuted ? this.orders[i] : null;
    const [x, y] = [middle[0] + Math.round(right * smaller), middle[1] + Math.round(down * smaller)];
    const logits = network.forward(network.prepare(pixels, x, y));
    return { looks: network.looks, logits };
  }
}
