// When the convolution wins and when it loses, by the suite's own runs.

import { el, table } from "pages/dom.js";
import { accuracy, count, signed } from "pages/format.js";
import { MATCHES } from "playground/stations/train_race.js";
import { matched, matchName } from "playground/stations/train_words.js";

/** [matched by, edge of the canvas, training images], in the order in which they are shown. */
const ROWS = [
  ["maps", 14, 1000],
  ["maps", 14, 10000],
  ["params", 14, 1000],
  ["params", 14, 10000],
  ["maps", 20, 1000],
  ["maps", 20, 10000],
];
/** Comparisons of the claims `permutation` and `constraints`, by what they say. */
const LENET = "the convolutional network loses by it";
const AT_RANDOM = "sharing gains where images lie at random, at equal maps and 1,000 images";

const found = (result, says) => result?.comparisons?.find((c) => c.says === says && c.estimate !== null);

/** What permuted pixels cost a LeNet, in words. @param {?object} result of the claim `permutation` */
export function lenetLoses(result) {
  const loss = found(result, LENET)?.estimate;
  return loss === undefined ? "loses accuracy" : `loses ${(100 * loss).toFixed(1)} points of accuracy`;
}

/** By a difference in accuracy: what one may say of the convolution. */
function outcomeOf(difference, margin) {
  if (Math.abs(difference) < margin) return el("span", {}, "neither");
  return difference > 0 ? el("strong", { class: "wins" }, "conv wins") : el("strong", { class: "loses" }, "conv loses");
}

/**
 * @param {?object} constraints result of the claim `constraints`
 * @param {?object} permutation result of the claim `permutation`
 * @returns {HTMLElement}
 */
export function lesson(constraints, permutation) {
  const rows = ROWS.map(([match, canvas, images]) => matched(constraints, match, canvas, images)).filter(Boolean);
  return el(
    "div",
    { class: "lesson" },
    el(
      "p",
      {},
      "A dense weight learns from one place, a shared one from all places at once. When does the convolution win, and when does it lose?",
    ),
    ...(rows.length ? compared(rows, constraints) : [el("p", {}, "The suite has no recorded runs of the ladder.")]),
    el("p", {}, reasons(constraints, permutation)),
  );
}

/** The table, and how to read it. */
function compared(rows, { comparisons }) {
  const { margin } = comparisons[0];
  const number = (text) => ({ text, number: true });
  const cells = rows.map(({ match, canvas, images, means }) => {
    const difference = means.conv - means.dense;
    return [
      `${matchName(match)}${canvas > 14 ? ", placed at random" : ""}`,
      ...[count(images), accuracy(means.dense), accuracy(means.conv), signed(difference)],
      outcomeOf(difference, margin),
    ];
  });
  const heads = ["matched", number("images"), number("dense"), number("conv"), number("difference"), "who wins"];
  const label = "Dense or convolution: accuracies of the claim’s runs";
  const seeds = Math.min(...rows.map(({ n }) => n));
  return [
    el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": label }, table(label, heads, cells)),
    el("p", { class: "soft" }, `Means over n = ${seeds} seeds. Neither: closer than ${margin}, the claim’s margin.`),
  ];
}

function reasons(constraints, permutation) {
  const { dense, conv } = MATCHES.params.maps;
  const sharing = found(constraints, AT_RANDOM);
  const lenet = found(permutation, LENET);
  const expected = sharing
    ? `: claim 3 expects sharing to gain there, and found ${signed(sharing.estimate)} with 1,000 images (sharing alone; the table has both constraints)`
    : "";
  return (
    `With equal maps the constraints only take weights away; with equal parameters they pay for ${conv} maps instead of ` +
    `${dense}. At random places the last layer (the head) still reads every unit at its own place, and must learn each ` +
    `place anew${expected}. On permuted pixels a LeNet ${lenetLoses(permutation)} ` +
    `(claim 1${lenet ? `, n = ${lenet.n}` : ""}), for it builds on neighbours, layer by layer.`
  );
}
