// Accuracy against shift, as it was recorded, with dots where the image is.

import { el } from "pages/dom.js";
import { lines } from "playground/chart.js";
import { recorded } from "playground/stations/shift_words.js";

/**
 * @param {object[]} descriptions
 * @param {string[]} colours of each
 * @returns {?{element: HTMLElement, show: function}} null where no network has a curve
 */
export function curves(descriptions, colours) {
  const drawn = descriptions.filter((each) => each.curve);
  if (!drawn.length) return null;
  const farthest = Math.max(...drawn.map(({ curve }) => curve.x.at(-1)));
  const chart = lines({
    series: [],
    x: { title: "shift (pixels)", unit: "px", ticks: Array.from({ length: farthest + 1 }, (_, x) => x) },
    y: { title: "test accuracy", min: 0, max: 1 },
    label: "Accuracy against shift, as recorded",
  });
  const note = el("p", { class: "soft note" });
  let known = "";

  /**
   * @param {object[]} shown networks
   * @param {boolean} isPermuted whether the pixels are: a network has a dot while they are as in its training
   * @param {{right: number, down: number}} shift
   */
  function show(shown, isPermuted, { right, down }) {
    chart.setDot(Math.min(Math.max(Math.abs(right), Math.abs(down)), farthest));
    const now = `${shown.map(({ id }) => id)} ${isPermuted}`;
    if (now === known) return;
    known = now;
    chart.update(shown.filter((each) => each.curve).map((each) => series(each, isPermuted)));
    note.textContent = recorded(shown);
  }

  function series(network, isPermuted) {
    const { title, curve, permutation } = network;
    const i = descriptions.indexOf(network);
    return {
      name: title,
      points: curve.x.map((x, k) => [x, curve.accuracy[k]]),
      colour: colours[i],
      dash: i,
      isFaint: Boolean(permutation) !== isPermuted,
    };
  }

  return { element: el("div", { class: "recorded" }, chart.element, note), show };
}
