// The networks of the station: the four trained rungs, and the trained dense one with constraints imposed afterwards.

import { Network, prediction } from "playground/network.js";
import { isLocal, RUNGS } from "playground/stations/constrain_ladder.js";
import { biasesOf, matrixOf, project, projectBiases, strength } from "playground/stations/constrain_matrix.js";

/** Differences in accuracy below this may be chance: about twice their standard error on 500 test images. */
export const CHANCE = 0.03;

export class Ladder {
  #made = new Map();
  #layers = new Map();
  #accuracies = new Map();

  /**
   * @param {Network[]} rungs dense, local, shared, conv
   * @param {{pixels: Uint8Array, labels: Uint8Array, n: number}} test images of the networks' size
   */
  constructor(rungs, test) {
    this.trained = Object.fromEntries(RUNGS.map((rung, i) => [rung, rungs[i]]));
    this.test = test;
    const [maps, n] = rungs[0].layers[0].output;
    this.maps = maps;
    this.n = n;
    /** Half width that local and conv were trained with. */
    this.delta = rungs[1].layers[0].description.half_width;
  }

  /** @param {{rung: string, isImposed: boolean, delta: number}} choice isImposed: on the trained dense layer */
  network({ rung, isImposed, delta }) {
    if (!isImposed || rung === "dense") return this.trained[rung];
    const key = `${rung} ${isLocal(rung) ? delta : ""}`;
    if (!this.#made.has(key)) this.#made.set(key, this.#imposed(rung, delta));
    return this.#made.get(key);
  }

  #imposed(rung, delta) {
    const network = new Network(this.trained.dense.description);
    const dense = this.trained.dense.layers[0];
    const hidden = network.layers[0];
    for (let map = 0; map < this.maps; map++) {
      hidden.weight.set(project(matrixOf(dense, map), this.n, rung, delta), map * this.n ** 4);
      hidden.bias.set(projectBiases(biasesOf(dense, map), rung), map * this.n ** 2);
    }
    return network;
  }

  /** One map: its matrix, its units' biases, and which weight is drawn in full colour. */
  layer(choice, map) {
    const network = this.network(choice);
    const known = this.#layers.get(network) ?? [];
    this.#layers.set(network, known);
    if (!known[map]) {
      const matrix = matrixOf(network.layers[0], map);
      known[map] = { matrix, biases: biasesOf(network.layers[0], map), most: strength(matrix) };
    }
    return known[map];
  }

  /** Share of the test images that a choice classifies correctly, or null where that was not counted yet. */
  accuracy(choice) {
    return this.#accuracies.get(this.network(choice)) ?? null;
  }

  /** Count for all `choices`, and yield after each image. */
  *measure(choices) {
    const size = this.n ** 2;
    for (const choice of choices) {
      const network = this.network(choice);
      if (this.#accuracies.has(network)) continue;
      let correct = 0;
      for (let i = 0; i < this.test.n; i++) {
        const x = network.prepare(this.test.pixels.subarray(i * size, (i + 1) * size));
        correct += prediction(network.forward(x)) === this.test.labels[i];
        yield;
      }
      this.#accuracies.set(network, correct / this.test.n);
    }
  }
}
