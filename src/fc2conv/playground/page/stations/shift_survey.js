// All garments of the page, moved like the one that is shown: how many each network gets right, with the pixels in the
// order of its training.

import { el } from "pages/dom.js";
import { prediction } from "playground/network.js";

const BUDGET = 12; // ms between two frames

export class Survey {
  #run = 0;

  /**
   * @param page as main.js makes it
   * @param {Viewers} viewers
   * @param {object[]} cards one for each network, with showShare(text)
   * @param {function(): {right: number, down: number}} shift as it is now
   */
  constructor(page, viewers, cards, shift) {
    Object.assign(this, { page, viewers, cards, shift });
    this.button = el(
      "button",
      { type: "button", onclick: () => this.start() },
      `Ask for all ${page.images.length} garments`,
    );
    this.progress = el("progress", { max: page.images.length, value: 0, hidden: true, "aria-label": "Garments asked" });
    this.element = el(
      "div",
      { class: "buttons survey" },
      this.button,
      this.progress,
      el("span", { class: "soft" }, "moved as the one above; each network in the order of its training"),
    );
  }

  /** What was counted is no longer true. */
  forget() {
    this.#run += 1;
    this.progress.hidden = true;
    for (const card of this.cards) card.showShare(null);
  }

  start() {
    this.forget();
    const run = this.#run;
    const { images } = this.page;
    const shift = this.shift();
    const right = this.cards.map(() => 0);
    let next = 0;
    this.progress.hidden = false;
    const go = () => {
      if (run !== this.#run) return;
      const end = performance.now() + BUDGET;
      while (next < images.length && performance.now() < end) this.#ask(images[next++], shift, right);
      this.progress.value = next;
      if (next < images.length) setTimeout(go);
      else this.#finish(right, shift.right || shift.down ? "in this direction" : "in the middle");
    };
    go();
  }

  #ask({ pixels, label }, shift, right) {
    const { viewers } = this;
    viewers.trained.forEach((permuted, i) => {
      right[i] += prediction(viewers.view(i, pixels, shift, permuted).logits) === label;
    });
  }

  #finish(right, where) {
    const n = this.page.images.length;
    this.progress.hidden = true;
    const told = [where];
    for (const [i, card] of this.cards.entries()) {
      card.showShare(`${where}: ${right[i]} of ${n} right`);
      if (!card.element.hidden) told.push(`${this.viewers.networks[i].title}: ${right[i]} of ${n} right`);
    }
    this.page.announce(told.join(". "));
  }
}
