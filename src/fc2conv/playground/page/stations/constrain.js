// Station 2: from a dense layer to a convolution, one constraint at a time (D2L 7.1.2).

import { el, whenSeen } from "pages/dom.js";
import { count } from "pages/format.js";
import { guess } from "playground/guess.js";
import { bytes } from "playground/half.js";
import { layout } from "playground/layout.js";
import { picker } from "playground/picker.js";
import { inSlices } from "playground/slices.js";
import { surprise } from "playground/stations/constrain_claim.js";
import { countsPanel, fallingCount } from "playground/stations/constrain_counts.js";
import { equationOf, reindexed } from "playground/stations/constrain_equations.js";
import { RUNGS, weights } from "playground/stations/constrain_ladder.js";
import { layerPanel } from "playground/stations/constrain_layer.js";
import { Ladder } from "playground/stations/constrain_networks.js";
import { unitPanel } from "playground/stations/constrain_unit.js";
import { verdict } from "playground/verdict.js";

const SAYS = {
  dense: "Every unit reads every pixel, with weights of its own.",
  local: "Every unit reads only a window around it, no pixel more than Δ away, with weights of its own.",
  shared:
    "Every unit reads every pixel. Weights with the same offset (a, b) are equal, and all units have one bias, u.",
  conv: "Every unit reads only a window around it, and all windows have the same weights: a convolution.",
};

export function station(page) {
  const { test } = page.data.small;
  const ladder = new Ladder(page.rungs, { n: test.n, pixels: bytes(test.pixels), labels: bytes(test.labels) });
  const { n, maps } = ladder;
  const view = {
    rung: "dense",
    isImposed: false, // the constraint, on the trained dense layer
    delta: ladder.delta,
    map: 0,
    unit: [8, 9], // row and column
    kept: [4, 4],
    pixel: null,
  };

  const unit = unitPanel(page, ladder, view, change);
  const layer = layerPanel(ladder, view, change);
  const counts = countsPanel(ladder, view);
  const own = el("div", { class: "own formula" });
  const falling = fallingCount();
  const says = el("p", {});
  const steps = RUNGS.map((rung) => el("input", { type: "radio", name: "rung", onchange: () => change({ rung }) }));
  const sizes = RUNGS.map(() => el("span", { class: "soft" })); // weights of each
  const mapChoice = Array.from({ length: maps }, (_, map) =>
    el("input", { type: "radio", name: "map", "aria-label": `Map ${map + 1}`, onchange: () => change({ map }) }),
  );
  let measuring = null;
  let shown = null; // the rung whose equation is shown

  function change(what) {
    const before = view.delta;
    Object.assign(view, what);
    if (!view.isImposed) view.delta = ladder.delta; // what the rungs were trained with
    show();
    if (view.delta !== before) measure();
  }

  function show() {
    if (view.rung !== shown) own.replaceChildren(equationOf(view.rung));
    shown = view.rung;
    falling.show(maps * weights(view.rung, n, view.delta));
    says.textContent = SAYS[view.rung];
    RUNGS.forEach((rung, i) => {
      steps[i].checked = rung === view.rung;
      sizes[i].textContent = `${count(maps * weights(rung, n, view.delta))} weights`;
    });
    mapChoice.forEach((radio, map) => {
      radio.checked = map === view.map;
    });
    const chosen = ladder.layer(view, view.map);
    unit.show(chosen);
    layer.show(chosen);
    counts.show();
  }

  /** Accuracies that are not known yet, between frames. */
  function measure() {
    measuring?.stop();
    const choices = [false, true].flatMap((isImposed) =>
      RUNGS.map((rung) => ({ rung, isImposed, delta: isImposed ? view.delta : ladder.delta })),
    );
    measuring = inSlices(ladder.measure(choices), { onFrame: layer.showAccuracies });
  }

  const step = (rung, i) => el("label", { class: "rung" }, steps[i], el("strong", {}, rung), sizes[i]);
  const choice = el(
    "fieldset",
    { class: "choice-of-map" },
    el("legend", { class: "hidden" }, "Map"),
    "Map",
    ...mapChoice.map((radio, i) => el("label", { class: "switch" }, radio, i + 1)),
  );
  const stage = [
    el("fieldset", { class: "ladder" }, el("legend", { class: "hidden" }, "The ladder"), ...RUNGS.map(step)),
    el("div", { class: "says" }, falling.element, says, own),
    el("div", { class: "buttons" }, picker(page), choice),
    unit.element,
    el("h3", {}, "How many there are"),
    counts.element,
    el("h3", {}, "The layer as a matrix"),
    layer.element,
  ];
  const element = layout({
    lead: "A dense layer with two constraints is a convolution. Step down the ladder, and see what goes.",
    equation: reindexed(),
    guess: question(ladder),
    stage,
    shows: lesson(ladder, page.result("constraints")),
    verdicts: ["counts", "constraints"].map((name) => verdict(page.result(name))),
  });
  page.onImage(show);
  show();
  whenSeen(element, measure);
  return element;
}

/** What it shows. @param {?object} result of the claim `constraints` */
function lesson({ n, maps, delta }, result) {
  const [before, after] = ["dense", "conv"].map((rung) => count(maps * weights(rung, n, delta)));
  const says = [
    "Locality makes zero every weight between a unit and a pixel more than Δ away. Sharing makes equal all weights with " +
      "the same offset (a, b) = (k − i, l − j): those along a diagonal of the matrix; and one bias, u, is left for each map. " +
      `Of the ${before} weights of the dense layer ${after} are left, and their number no longer depends on the size of the image.`,
    "Imposed on a dense layer that was trained without them, the constraints cost much; a network that learns under " +
      "them differs little from the dense one. The head, which reads every unit at its place, has most of the parameters then.",
    surprise(result),
  ];
  return el("div", {}, ...says.filter(Boolean).map((text) => el("p", {}, text)));
}

function question(ladder) {
  const { n, maps, delta } = ladder;
  const [edge, units] = [2 * delta + 1, maps * n * n];
  const window = edge * edge;
  const [dense, local, shared, conv] = RUNGS.map((rung) => maps * weights(rung, n, delta));
  return guess({
    question:
      `A layer has ${maps} maps. A map is a grid of ${n}×${n} units, one at each pixel, with weights of its own. ` +
      `Dense, that is ${count(dense)} weights. How many different ones does the convolution of ${edge}×${edge} keep?`,
    answers: [conv, shared, local, units * window].map(count),
    right: 0,
    because:
      `Each map has one kernel of ${edge}×${edge} weights for all its units, and there are ${maps} maps. ` +
      `Only sharing leaves ${count(shared)}, only locality ${count(local)}. ` +
      `${count(units * window)} would be ${window} for each of the ${units} units; at the border a part of the window ` +
      `lies outside the image, and ${count(units * window - local)} fall away.`,
  });
}
