// The four rungs of the ladder learn side by side: the same images in the same order, the same optimiser. No DOM and no
// clock: what comes out is decided by the options, of which the seed is one.

import { crossEntropy, describe, Network, prediction } from "playground/network.js";
import { AdamW } from "playground/optimizer.js";
import { generator, shuffled } from "playground/random.js";
import { RUNGS } from "playground/stations/constrain_ladder.js";
import { Images } from "playground/stations/train_data.js";
import { Tied } from "playground/stations/train_tied.js";

/** Images of a step. */
export const BATCH = 50;
/** Whether the curves have a point after a step: most is learned in the first. */
const isPoint = (step) => step === 10 || step % 20 === 0;

/** Hidden maps of each rung, and the half width of the windows of local and conv, as the claim matches them. */
export const MATCHES = {
  maps: { maps: { dense: 4, local: 4, shared: 4, conv: 4 }, delta: 2 },
  params: { maps: { dense: 1, local: 3, shared: 15, conv: 20 }, delta: 4 },
};

export const DEFAULTS = { images: 1000, permuted: false, random: false, match: "maps", lr: 0.003, seed: 0 };

export class Race {
  /**
   * @param {object} data edge; train, test: {pixels, labels, n}; classes; mean, std
   * @param {Partial<typeof DEFAULTS>} options
   */
  constructor(data, options = {}) {
    this.options = { ...DEFAULTS, ...options };
    const { images, permuted, random, match, lr, seed } = this.options;
    const common = { edge: data.edge, random, permuted, seed, mean: data.mean, std: data.std };
    this.train = new Images(data.train, { ...common, limit: images });
    this.test = new Images(data.test, common);
    const { maps, delta } = MATCHES[match];
    const shape = [1, this.train.canvas, this.train.canvas];
    this.runners = RUNGS.map((rung) => {
      const network = Network.fresh(describe(rung, maps[rung], delta, shape, data.classes), seed);
      const tied = rung === "shared" ? new Tied(network) : null;
      return { rung, network, tied, optimizer: new AdamW(network, { lr }), curve: [], loss: 0, correct: 0 };
    });
    this.step = 0;
    this.met = 0; // images that were trained on since the last point of the curves
    this.random = generator(seed + 1);
    this.testPlaces = this.test.places(generator(0)); // the same for all seeds
  }

  /** Epochs that some steps are; a whole number at their ends. */
  epochs(steps = this.step) {
    return steps / Math.ceil(this.train.n / BATCH);
  }

  /** The step of the last point of the curves. */
  get measured() {
    return this.runners[0].curve.at(-1)?.step ?? 0;
  }

  /** Train without an end, a little at a time: yields after each image that a network has seen. */
  *work() {
    for (;;) {
      const places = this.train.places(this.random);
      const order = shuffled(this.train.n, this.random);
      for (let start = 0; start < order.length; start += BATCH) {
        const batch = order.subarray(start, start + BATCH);
        for (const runner of this.runners) yield* this.learn(runner, batch, places);
        this.met += batch.length;
        this.step++;
        if (isPoint(this.step)) yield* this.measure();
      }
    }
  }

  /** One step of one network. */
  *learn(runner, batch, places) {
    const { network, tied, optimizer } = runner;
    const computing = tied?.network ?? network;
    network.zeroGradients();
    tied?.spread();
    for (const i of batch) {
      const logits = computing.forward(this.train.input(i, places));
      const { loss, gradient } = crossEntropy(logits, this.train.labels[i]);
      runner.loss += loss;
      runner.correct += prediction(logits) === this.train.labels[i];
      computing.backward(gradient, undefined, { input: false });
      yield;
    }
    tied?.gather();
    optimizer.step(batch.length);
  }

  /** A point of each curve: of the test images now, and of the training images as they were met since the last one. */
  *measure() {
    const tested = [];
    for (const { network, tied } of this.runners) {
      const computing = tied?.network ?? network;
      let correct = 0;
      tied?.spread();
      for (let i = 0; i < this.test.n; i++) {
        correct += prediction(computing.forward(this.test.input(i, this.testPlaces))) === this.test.labels[i];
        yield;
      }
      tested.push(correct / this.test.n);
    }
    this.runners.forEach((runner, r) => {
      const [loss, train] = [runner.loss / this.met, runner.correct / this.met];
      runner.curve.push({ step: this.step, loss, train, test: tested[r] });
      runner.loss = runner.correct = 0;
    });
    this.met = 0;
  }
}
