// What came out of a race, and what the suite's own runs say about it.

import { plural } from "pages/format.js";
import { RUNGS } from "playground/stations/constrain_ladder.js";

/** Differences below this may well be chance: about twice their standard error on 500 test images. */
const CHANCE = 0.03;

/** "dense 0.790, local 0.802, ..." with the best first. */
const ranked = (values, places) =>
  RUNGS.map((rung, i) => [rung, values[i]])
    .sort((a, b) => b[1] - a[1])
    .map(([rung, value]) => `${rung} ${value.toFixed(places)}`)
    .join(", ");

/** @param {Race} race */
export function outcome({ runners, step, epochs, test }) {
  const last = runners.map(({ curve }) => curve.at(-1).test);
  const spread = Math.max(...last) - Math.min(...last);
  const said = spread < CHANCE ? "The four are within chance of each other" : "Differences below 0.03 may be chance";
  return (
    `After ${plural(Math.round(epochs), "epoch")} (${step} steps): ${ranked(last, 3)} on ${test.n} test images. ` +
    `This is one run with one seed. ${said}.`
  );
}

/**
 * The claim's own numbers for such a race, or that there are none.
 *
 * @param {?object} result of the claim `constraints`
 * @param {object} options of the race
 */
export function claimed(result, { images, permuted, random, match }) {
  if (permuted) return "The suite has not trained the ladder on permuted pixels; claim 1 has an MLP and LeNet.";
  const canvas = random ? 20 : 14;
  const same = (m) => m.images === images && m.canvas === canvas && m.match === match;
  const found = result?.matchings?.find(same);
  if (!found) return "The suite has no runs of the ladder that are matched so.";
  const means = RUNGS.map((rung) => found.means[rung]);
  return (
    `Claim 3, n = ${found.n} seeds, ${images.toLocaleString("en-US")} images, 400 steps of 128 with a better schedule, ` +
    `10,000 test images: ${ranked(means, 4)}.`
  );
}
