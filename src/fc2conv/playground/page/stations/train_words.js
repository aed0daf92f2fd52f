// What the options are called, and what came out of a race, beside the suite's own runs.

import { count, plural } from "pages/format.js";
import { isLocal, RUNGS } from "playground/stations/constrain_ladder.js";
import { MATCHES } from "playground/stations/train_race.js";

/**
 * Differences below this say nothing in a single race. Over 10 seeds, 100 steps on 1,000 images, the accuracies of the
 * rungs deviate by 0.012 to 0.024, 0.017 in the mean square; the difference of two runs by √2 times that, and twice
 * this deviation is 0.05.
 */
const LUCK = 0.05;

const windows = (match) => {
  const edge = 2 * MATCHES[match].delta + 1;
  return `${edge}×${edge} windows`;
};

/** How the rungs are matched. @param {"maps"|"params"} match */
export const matchName = (match) =>
  `${{ maps: `${MATCHES.maps.maps.dense} maps each`, params: "about 40,400 parameters" }[match]}, ${windows(match)}`;

/** What the units of a rung look through. */
export const windowsOf = (rung, match) => (isLocal(rung) ? windows(match) : "no windows");

/** "dense 0.790, local 0.802, ..." with the best first. */
const ranked = (values, places) =>
  RUNGS.map((rung, i) => [rung, values[i]])
    .sort((a, b) => b[1] - a[1])
    .map(([rung, value]) => `${rung} ${value.toFixed(places)}`)
    .join(", ");

/**
 * What a race has come to, and what the suite's own runs say about it.
 *
 * @param {Race} race
 * @param {?object} result of the claim `constraints`
 */
export function outcome(race, result) {
  const last = race.runners.map(({ curve }) => curve.at(-1).test);
  const epochs = race.epochs(race.measured);
  const time = Number.isInteger(epochs) ? plural(epochs, "epoch") : `${epochs.toFixed(1)} epochs`;
  return (
    `After ${time} (${race.measured} steps): ${ranked(last, 3)} on ${race.test.n} test images. ` +
    `One run with one seed: differences below ${LUCK} say nothing${claimed(result, race.options)}.`
  );
}

/** The claim's accuracies for such a race, or that there are none: the end of a sentence. */
function claimed(result, { images, permuted, random, match }) {
  if (permuted) return ". The suite has not trained the ladder on permuted pixels; claim 1 has an MLP and LeNet";
  const found = matched(result, match, random ? 20 : 14, images);
  if (!found) return ". The suite has no runs of the ladder with these options";
  return (
    `; the claim’s runs (n = ${found.n} seeds, ${count(images)} images, 400 steps of 128 images, 10,000 test images) ` +
    `have ${ranked(
      RUNGS.map((rung) => found.means[rung]),
      4,
    )}`
  );
}

/** The claim's accuracies where the rungs are matched so, on so many images of a canvas, or undefined. */
export const matched = (result, match, canvas, images) =>
  result?.matchings?.find((m) => m.match === match && m.canvas === canvas && m.images === images);
