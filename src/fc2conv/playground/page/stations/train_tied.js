// The shared rung computes as the dense layer that it is, with tied weights: its matrix is written out once for a whole
// batch, and the gradient of each weight is the sum along its diagonal. Twice as fast as kernel by kernel.

import { describe, Network } from "playground/network.js";

export class Tied {
  /** @param {Network} shared with a hidden layer of the kind shared_image, on one channel */
  constructor(shared) {
    this.hidden = shared.layers[0];
    const [maps, n] = this.hidden.output;
    const classes = shared.layers.at(-1).output[0];
    /** Computes what `shared` does, and has its layers but for the first. */
    this.network = new Network(describe("dense", maps, 0, shared.input, classes));
    this.network.layers.splice(1, Infinity, ...shared.layers.slice(1));
    this.dense = this.network.layers[0];
    this.n = n;
  }

  /** Calls visit(weight, entry, n) for runs of n weights of V, and the n entries of the matrix where they stand. */
  eachRun(visit) {
    const { n } = this;
    const edge = 2 * n - 1;
    const maps = this.hidden.output[0];
    for (let map = 0, entry = 0; map < maps; map++) {
      for (let i = 0; i < n; i++) {
        for (let j = 0; j < n; j++) {
          const corner = (map * edge + n - 1 - i) * edge + n - 1 - j;
          for (let k = 0; k < n; k++, entry += n) visit(corner + k * edge, entry, n);
        }
      }
    }
  }

  /** Before a batch: V and u become the matrix and its biases. */
  spread() {
    const { dense, hidden } = this;
    const units = this.n ** 2;
    this.eachRun((weight, entry, n) => {
      for (let l = 0; l < n; l++) dense.weight[entry + l] = hidden.weight[weight + l];
    });
    for (let unit = 0; unit < dense.bias.length; unit++) dense.bias[unit] = hidden.bias[Math.floor(unit / units)];
    dense.zeroGradients();
  }

  /** After a batch: the gradients of V and u. */
  gather() {
    const { dense, hidden } = this;
    const units = this.n ** 2;
    this.eachRun((weight, entry, n) => {
      for (let l = 0; l < n; l++) hidden.weightGradient[weight + l] += dense.weightGradient[entry + l];
    });
    for (let unit = 0; unit < dense.bias.length; unit++) {
      hidden.biasGradient[Math.floor(unit / units)] += dense.biasGradient[unit];
    }
  }
}
