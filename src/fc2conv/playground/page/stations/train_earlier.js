// Earlier races whose curves stay in view beside the present one's. No DOM.

import { plural } from "pages/format.js";
import { matchName } from "playground/stations/train_words.js";

/** Of as many: the lines of more could not be told apart. */
const KEPT = 2;

/** How an option is named where it differs from the present race's. */
const NAMES = {
  images: (n) => plural(n, "image"),
  permuted: (isPermuted) => (isPermuted ? "permuted" : "not permuted"),
  match: matchName,
  lr: (lr) => `learning rate ${lr}`,
  seed: (seed) => `seed ${seed}`,
};

const differing = (options, others) => Object.keys(NAMES).filter((key) => options[key] !== others[key]);

export class Earlier {
  #races = []; // the newest first: its options, and a curve for each rung

  /**
   * `race` takes the place of `former`, which is kept if its curves have a point. Races on another canvas are
   * forgotten: another task, whose numbers cannot be compared.
   *
   * @param {?Race} former
   * @param {Race} race
   */
  replace(former, race) {
    const { random } = race.options;
    const kept = this.#races.filter(({ options }) => !former || differing(options, former.options).length);
    if (former?.measured) {
      kept.unshift({ options: former.options, curves: former.runners.map(({ curve }) => curve) });
    }
    this.#races = kept.filter(({ options }) => options.random === random).slice(0, KEPT);
  }

  forget() {
    this.#races = [];
  }

  /** The earlier curves of rung i. */
  curves(i) {
    return this.#races.map(({ curves }) => curves[i]);
  }

  /** What the faint lines are: how each race differs from the present one; empty where there are none. */
  says(present) {
    if (!this.#races.length) return "";
    const names = this.#races.map(({ options }) => {
      const keys = differing(options, present);
      return keys.length ? keys.map((key) => NAMES[key](options[key])).join(", ") : "the same options";
    });
    return `Faint: earlier runs: ${names.join("; ")}.`;
  }
}
