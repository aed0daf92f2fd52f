// Station 5: the four rungs of the ladder learn, here and now (D2L 7.1.2).

import { el } from "pages/dom.js";
import { lines } from "playground/chart.js";
import { entry, equation, frac, index, op, sum, sym } from "playground/equation.js";
import { guess } from "playground/guess.js";
import { bytes } from "playground/half.js";
import { layout } from "playground/layout.js";
import { signs } from "playground/raster.js";
import { inSlices } from "playground/slices.js";
import { rungCards } from "playground/stations/train_cards.js";
import { Earlier } from "playground/stations/train_earlier.js";
import { lenetLoses, lesson } from "playground/stations/train_lesson.js";
import { optionsPanel } from "playground/stations/train_options.js";
import { BATCH, Race } from "playground/stations/train_race.js";
import { outcome } from "playground/stations/train_words.js";
import { verdict } from "playground/verdict.js";

/** Steps after which it stops by itself, and as many more at each further start. */
const STEPS = 100;
/** Loss that the axis always reaches: a little more than ln 10, that of guessing one of ten classes. */
const HIGHEST = 2.4;

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
  const earlier = new Earlier();

  // both axes stay as they are, whatever is trained, so that races can be compared
  const chart = (key, max, title, label) => {
    const panel = lines({ series: [], x: { title: `steps of ${BATCH} images` }, y: { title, min: 0 }, label });
    return { key, max, panel };
  };
  const charts = [
    chart("test", 1, "accuracy on test images", "Accuracy on the test images, of the four rungs"),
    chart("loss", HIGHEST, "loss (cross-entropy) on training images", "Loss on the training images, of the four rungs"),
  ];
  const faint = el("p", { class: "soft faint" });
  const start = el("button", { type: "button", class: "primary", onclick: toggle }, "Start");
  const clock = el("span", { class: "soft" });
  const words = el("div", { class: "came-out", role: "status" });
  const options = optionsPanel(begin);
  const cards = rungCards();

  /** A new race with these options; the curves of the last one stay as shadows. */
  function begin(chosen) {
    pause();
    const former = race;
    race = new Race(data, chosen);
    earlier.replace(former, race);
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
      words.replaceChildren(el("p", {}, outcome(race, page.result("constraints"))));
    }
  }

  /** @param {boolean} all also what has not changed since the last step */
  function show(all = false) {
    if (all || race.step !== shown.step) cards.show(race);
    clock.textContent = `Step ${race.step} of ${goal}, epoch ${race.epochs().toFixed(1)}`;
    shown.step = race.step;
    if (!all && race.measured === shown.measured) return;
    shown.measured = race.measured;
    faint.textContent = earlier.says(race.options);
    for (const { key, max, panel } of charts) {
      const points = (curve) => curve.map((p) => [p.step, p[key]]);
      const series = race.runners.map(({ rung, curve }, i) => ({
        ...{ name: rung, points: points(curve), earlier: earlier.curves(i).map(points) },
      }));
      const all = series.flatMap((each) => [each.points, ...each.earlier].flat());
      const highest = Math.max(max, ...all.map(([, value]) => value)); // a high learning rate loses more than guessing
      panel.update(series, { x: { min: 0, max: Math.max(goal, ...all.map(([step]) => step)) }, y: { max: highest } });
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
      earlier.forget();
      show(true);
    }),
    clock,
  );
  return layout({
    lead: "Four networks that differ in one layer learn from the same images, in the same order, in this page.",
    equation: gradients(),
    guess: guess({
      question: `A LeNet that learns permuted pixels ${lenetLoses(page.result("permutation"))} (claim 1). Which rung of the ladder loses most?`,
      answers: [
        "Conv: its windows no longer hold neighbours",
        "Dense: it has the most weights to learn anew",
        "None of them loses much",
      ],
      right: 2,
      because:
        "The dense layer does not know which pixels are neighbours, so nothing changes for it. The windows of conv hold pixels from anywhere now. But they are only one layer, and the last layer, which makes the class scores, still reads every unit at its own place. A LeNet builds windows on windows: it needs neighbours in every layer.",
    }),
    stage: [
      options.element,
      controls,
      el("div", {}, el("div", { class: "races" }, ...charts.map((c) => c.panel.element)), faint),
      words,
      el("h3", {}, "The four networks, and the weights of the unit in the middle of each map"),
      el("div", {}, cards.element, signs()),
    ],
    shows: lesson(page.result("constraints"), page.result("permutation")),
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
