// The same shift and order for all garments of the page: how many each network gets right.

import { el } from "pages/dom.js";
import { prediction } from "playground/network.js";

const BUDGET = 12; // ms between two frames

export class Survey {
  #run = 0;

  /**
   * @param page as main.js makes it
   * @param {Viewers} viewers
   * @param {object[]} cards one for each network, with showShare(text)
   * @param {function(): {shift: object, permuted: boolean}} situation as it is now
   */
  constructor(page, viewers, cards, situation) {
    Object.assign(this, { page, viewers, cards, situation });
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
      el("span", { class: "soft" }, "moved, and permuted, as the one above"),
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
    const { shift, permuted } = this.situation();
    const right = this.cards.map(() => 0);
    let next = 0;
    this.progress.hidden = false;
    const go = () => {
      if (run !== this.#run) return;
      const end = performance.now() + BUDGET;
      while (next < images.length && performance.now() < end) {
        const { pixels, label } = images[next++];
        right.forEach((n, i) => {
          right[i] = n + (prediction(this.viewers.view(i, pixels, shift, permuted).logits) === label);
        });
      }
      this.progress.value = next;
      if (next < images.length) setTimeout(go);
      else this.#finish(right);
    };
    go();
  }

  #finish(right) {
    const n = this.page.images.length;
    this.progress.hidden = true;
    for (const [i, card] of this.cards.entries()) card.showShare(`${right[i]} of ${n} garments right`);
    const { networks } = this.viewers;
    this.page.announce(networks.map(({ title }, i) => `${title}: ${right[i]} of ${n} right`).join(". "));
  }
}
