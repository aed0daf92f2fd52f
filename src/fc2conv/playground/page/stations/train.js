// Station 5: the four rungs of the ladder learn, here and now (D2L 7.1.2).

import { el } from "pages/dom.js";
import { lines } from "playground/chart.js";
import { entry, equation, frac, index, op, sum, sym } from "playground/equation.js";
import { guess } from "playground/guess.js";
import { bytes } from "playground/half.js";
import { layout } from "playground/layout.js";
import { inSlices } from "playground/slices.js";
import { rungCards } from "playground/stations/train_cards.js";
import { optionsPanel } from "playground/stations/train_options.js";
import { BATCH, Race } from "playground/stations/train_race.js";
import { claimed, lesson, outcome } from "playground/stations/train_words.js";
import { verdict } from "playground/verdict.js";

/** Steps after which it stops by itself, and as many more at each further start. */
const STEPS = 100;
/** Earlier runs whose curves stay in view. */
const KEPT = 3;

export function station(page) {
  const { small } = page.data;
  const split = ({ n, pixels, labels }) => ({ n, pixels: bytes(pixels), labels: bytes(labels) });
  const { mean, std } = page.rungs[0].description;
  const data = {
    ...{ edge: small.shape[1], train: split(small.train), test: split(small.test) },
    ...{ classes: page.classes.length, mean, std },
  };
  let race = null;
  let work = null; // of the race
  let running = null;
  let goal = STEPS;
  const shown = { step: -1, measured: -1 };
  let earlier = []; // of former races, the newest first: a curve for each rung

  const chart = (key, title, label) => {
    const panel = lines({ series: [], x: { title: `steps of ${BATCH} images` }, y: { title }, label });
    return { key, panel };
  };
  const charts = [
    chart("test", "accuracy on test images", "Accuracy on the test images, of the four rungs"),
    chart("loss", "loss on training images, in nats", "Loss on the training images, of the four rungs"),
  ];
  const start = el("button", { type: "button", class: "primary", onclick: toggle }, "Start");
  const clock = el("span", { class: "soft" });
  const words = el("div", { class: "came-out", role: "status" });
  const options = optionsPanel(begin);
  const cards = rungCards();

  /** A new race with these options; the curves of the last one stay as shadows. */
  function begin(chosen) {
    pause();
    if (race?.step) earlier = [race.runners.map((runner) => runner.curve), ...earlier].slice(0, KEPT);
    race = new Race(data, chosen);
    work = race.work();
    goal = STEPS;
    start.textContent = "Start";
    words.replaceChildren();
    options.show(race);
    cards.build(race);
    show(true);
  }

  function toggle() {
    if (running) return pause();
    if (race.measured >= goal) goal += STEPS;
    start.textContent = "Pause";
    words.replaceChildren();
    running = inSlices(towards(goal), { onFrame: () => show(), onEnd: pause });
  }

  function* towards(step) {
    while (race.measured < step) {
      work.next();
      yield;
    }
  }

  function pause() {
    if (!running) return;
    running.stop();
    running = null;
    start.textContent = "Go on";
    show(true);
    if (race.measured > 0) {
      const result = page.result("constraints");
      words.replaceChildren(...[outcome(race), claimed(result, race.options)].map((text) => el("p", {}, text)));
    }
  }

  /** @param {boolean} all also what has not changed since the last step */
  function show(all = false) {
    if (all || race.step !== shown.step) cards.show(race);
    clock.textContent = `Step ${race.step}, epoch ${race.epochs().toFixed(1)}`;
    shown.step = race.step;
    if (!all && race.measured === shown.measured) return;
    shown.measured = race.measured;
    for (const { key, panel } of charts) {
      const points = (curve) => curve.map((p) => [p.step, p[key]]);
      panel.update(
        race.runners.map(({ rung, curve }, i) => ({
          ...{ name: rung, points: points(curve), earlier: earlier.map((curves) => points(curves[i])) },
        })),
        { x: { min: 0, max: goal } },
      );
    }
  }

  begin({});
  const button = (text, onclick) => el("button", { type: "button", onclick }, text);
  const controls = el(
    "div",
    { class: "buttons" },
    start,
    button("Reset", () => begin(race.options)),
    button("Forget earlier runs", () => {
      earlier = [];
      show(true);
    }),
    clock,
  );
  return layout({
    lead: "Four networks that differ in one layer learn from the same images, in the same order, in this page.",
    equation: gradients(),
    guess: guess({
      question: "The pixels are permuted, in the same way in all images. Which rung loses most accuracy?",
      answers: [
        "Conv: its windows no longer hold neighbours",
        "Dense: it has the most weights to learn anew",
        "None of them loses much",
      ],
      right: 2,
      because:
        "The dense layer does not know which pixels are neighbours, so nothing changes for it. The windows of conv hold pixels from anywhere now; but the head still reads every unit at its place, and with four maps and 1,000 images little had come from neighbourhood. A LeNet, which builds on it layer by layer, does lose (claim 1).",
    }),
    stage: [
      options.element,
      controls,
      el("div", { class: "races" }, ...charts.map((c) => c.panel.element)),
      words,
      el("h3", {}, "The four networks, and the weights of the unit in the middle of each map"),
      cards.element,
    ],
    shows: lesson(page.result("constraints")),
    verdicts: ["constraints", "permutation"].map((name) => verdict(page.result(name))),
  });
}

/** How a weight of the dense layer learns, and how a shared one does. */
function gradients() {
  const slope = (of) => frac([op("∂"), sym("L")], [op("∂"), of]);
  const dense = [slope(entry("W", "i,j,k,l")), op("="), slope(entry("H", "i,j")), entry("X", "k,l")];
  const shared = [
    slope(entry("V", "a,b")),
    op("="),
    sum(...index("i,j")),
    slope(entry("H", "i,j")),
    entry("X", "i+a,j+b"),
  ];
  const legend = {
    L: "the loss",
    W: "a weight of one unit",
    V: "a weight of all units: a sum over all places",
    H: "a hidden unit",
    X: "a pixel",
  };
  return el(
    "div",
    { class: "equations" },
    equation("How a dense weight learns: from one place", dense),
    equation("How a shared weight learns: from all places", shared, legend),
  );
}
