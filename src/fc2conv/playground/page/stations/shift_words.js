// What "Shift it" asks and says of its networks. No DOM.

import { count } from "pages/format.js";

const ASKED = 4; // pixels, in the first question

export const percent = (share) => `${Math.round(100 * share)} %`;

/** Titles have commas. */
export const listed = (texts) => texts.join("; ");

/**
 * Which network changes its mind most when the image moves? From the recorded curves.
 *
 * @param {object[]} descriptions
 * @returns {?object} what `guess` takes; null where there are too few curves
 */
export function shiftQuestion(descriptions) {
  const kept = ({ curve }) => curve.consistency[curve.x.indexOf(ASKED)];
  const asked = descriptions.filter((each) => !each.permutation && each.curve && kept(each) !== undefined);
  if (asked.length < 2) return null;
  const ranked = [...asked].sort((a, b) => kept(a) - kept(b));
  const told = ranked.map((each) => `${each.title} ${percent(kept(each))}`);
  return {
    question: `The garment moves ${ASKED} pixels. Which network changes its mind most often?`,
    answers: asked.map((each) => each.title),
    right: asked.indexOf(ranked[0]),
    because:
      `Moved by ${ASKED} pixels (mean of four directions), they repeat the answer that they gave in the middle for so ` +
      `many of the test images: ${listed(told)}. Try it below.`,
  };
}

/**
 * Who does not care for a permutation?
 *
 * @param {?object} result that of the claim about it
 * @returns {object} what `guess` takes
 */
export function orderQuestion(result) {
  return {
    question:
      "All pixels change places, the same way in every image. Which network does not care, if it is trained anew?",
    answers: ["The MLP, and softmax regression", "LeNet", "Both", "Neither"],
    right: 0,
    because:
      "A sum over all pixels has no order: move each weight along with its pixel, and every sum is what it was. A " +
      "convolution sums over neighbours, with the same weights everywhere; permuted, neighbours have nothing to do with " +
      `each other.${measured(result)}`,
  };
}

/** What the claim's runs say of it. */
function measured(result) {
  if (!result?.changes?.length) return "";
  const points = (change) => `${change < 0 ? "−" : "+"}${Math.abs(100 * change).toFixed(1)} points`;
  const told = result.changes.map(({ title, change }) => `${title} ${points(change)}`);
  const n = Math.min(...result.changes.map((each) => each.n));
  return ` Measured, in test accuracy: ${told.join(", ")} (claim ${result.number}; means of ${n} trainings each).`;
}

/** How the curves were recorded, and where the dots stand. */
export function recorded(descriptions) {
  const having = descriptions.filter((each) => each.curve);
  const titles = (isMean) => listed(having.filter(({ curve }) => curve.n > 1 === isMean).map((each) => each.title));
  const runs = Math.max(...having.map(({ curve }) => curve.n));
  const images = having.find(({ curve }) => curve.images)?.curve.images;
  const without = descriptions.filter((each) => !each.curve).map((each) => each.title);
  return [
    `Recorded${images ? ` on ${count(images)} test images` : ""}, moved up, down, left and right: the mean of the four. `,
    titles(true) ? `${titles(true)}: mean of ${runs} trainings. ` : "",
    titles(false) ? `${titles(false)}: one training. ` : "",
    without.length ? `${listed(without)}: no curve was recorded. ` : "",
    "The dots stand where your image is; if you move it both ways, at the longer one.",
    descriptions.some((each) => each.permutation)
      ? " Each curve is of pixels in the order of the network's own training; faint: another order than the one above."
      : "",
  ].join("");
}

/** Which networks know this order of the pixels. */
export function comparable(titles, isPermuted) {
  const order = isPermuted ? "this permuted order" : "their own order";
  if (!titles.length) return `No network here was trained on pixels in ${order}.`;
  return `Trained on pixels in ${order}, so that you can compare them: ${listed(titles)}.`;
}
