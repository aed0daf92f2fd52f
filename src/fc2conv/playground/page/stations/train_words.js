// What came out of a race, and what the suite's own runs say about it.

import { count, plural, signed } from "pages/format.js";
import { RUNGS } from "playground/stations/constrain_ladder.js";
import { CHANCE } from "playground/stations/constrain_networks.js";

/** "dense 0.790, local 0.802, ..." with the best first. */
const ranked = (values, places) =>
  RUNGS.map((rung, i) => [rung, values[i]])
    .sort((a, b) => b[1] - a[1])
    .map(([rung, value]) => `${rung} ${value.toFixed(places)}`)
    .join(", ");

/** What a race has come to. @param {Race} race */
export function outcome(race) {
  const last = race.runners.map(({ curve }) => curve.at(-1).test);
  const epochs = race.epochs(race.measured);
  const time = Number.isInteger(epochs) ? plural(epochs, "epoch") : `${epochs.toFixed(1)} epochs`;
  const isChance = Math.max(...last) - Math.min(...last) < CHANCE;
  return (
    `After ${time} (${race.measured} steps): ${ranked(last, 3)} on ${race.test.n} test images. ` +
    "This is one run with one seed. " +
    (isChance ? "The four are within chance of each other." : `Differences below ${CHANCE} may be chance.`)
  );
}

/** The claim's accuracies where the rungs are matched so, or undefined. */
const matched = (result, match, canvas, images) =>
  result?.matchings?.find((m) => m.match === match && m.canvas === canvas && m.images === images);

/**
 * The claim's own numbers for such a race, or that there are none.
 *
 * @param {?object} result of the claim `constraints`
 * @param {object} options of the race
 */
export function claimed(result, { images, permuted, random, match }) {
  if (permuted) return "The suite has not trained the ladder on permuted pixels; claim 1 has an MLP and LeNet.";
  const found = matched(result, match, random ? 20 : 14, images);
  if (!found) return "The suite has no runs of the ladder with these options.";
  const means = RUNGS.map((rung) => found.means[rung]);
  return (
    `The claim's runs (n = ${found.n} seeds, ${count(images)} images, 400 steps of 128 images, 10,000 test images) have ` +
    `${ranked(means, 4)}.`
  );
}

/**
 * When the convolution wins, and when it loses.
 *
 * @param {?object} result of the claim `constraints`
 */
export function lesson(result) {
  const gain = (match, canvas, images) => {
    const found = matched(result, match, canvas, images);
    return found
      ? ` (${signed(found.means.conv - found.means.dense)} with ${count(images)} images, n = ${found.n})`
      : "";
  };
  return (
    "A dense weight learns from one place, a shared one from all places at once. Does that pay? " +
    `At four maps each, the convolution loses a little accuracy${gain("maps", 14, 1000)}: of its layer's 153,664 weights ` +
    "100 are left. With as many parameters as the dense network it has 20 maps for the dense one's single map, and wins" +
    `${gain("params", 14, 1000)}, the more so with more images${gain("params", 14, 10000)}. ` +
    "Where images lie at random one expects sharing to gain, but it does not" +
    `${gain("maps", 20, 1000)}: the head, with most of the parameters, reads every unit at its place, and has to ` +
    "learn every place anew. That refutes claim 3."
  );
}
