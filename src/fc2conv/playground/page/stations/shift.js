// Station 1: the image moves, or its pixels change places, and the networks answer at once.

import { el } from "pages/dom.js";
import { count } from "pages/format.js";
import { lines } from "playground/chart.js";
import { entry, equation, index, op, sum, sym, word } from "playground/equation.js";
import { guess } from "playground/guess.js";
import { layout } from "playground/layout.js";
import { prediction, softmax } from "playground/network.js";
import { picker } from "playground/picker.js";
import { arena, spelled } from "playground/stations/shift_arena.js";
import { card } from "playground/stations/shift_card.js";
import { Survey } from "playground/stations/shift_survey.js";
import { Viewers } from "playground/stations/shift_viewers.js";
import { verdict } from "playground/verdict.js";

const ASKED = 4; // pixels, in the guess
const SERIES = 5; // colours
const HOME = { right: 0, down: 0 };

const percent = (share) => `${Math.round(100 * share)} %`;
const listed = (texts) => texts.join("; "); // titles have commas

const formula = () => {
  const dense = [
    word("dense:  "),
    entry("H", "i,j"),
    op("="),
    entry("U", "i,j"),
    op("+"),
    sum(...index("k,l")),
    entry("W", "i,j,k,l"),
    entry("X", "k,l"),
  ];
  const conv = [
    word("convolution:  "),
    entry("H", "i,j"),
    op("="),
    sym("u"),
    op("+"),
    sum(...index("a,b")),
    entry("V", "a,b"),
    entry("X", "i+a,j+b"),
  ];
  const legend = { X: "the image", W: "a weight for each pixel", V: "weights for neighbours, the same everywhere" };
  const first = equation("H i j is U i j plus the sum over k and l of W i j k l times X k l", dense);
  const second = equation("H i j is u plus the sum over a and b of V a b times X i plus a, j plus b", conv, legend);
  return el("div", { class: "equations" }, first, second);
};

const PERMUTED =
  "Every pixel of the canvas goes to another place, the same for all images: that of the permuted MLP's training. The " +
  "other networks were trained on pixels in their order.";

/** Which network changes its mind most when the image moves? From the recorded curves; null where there are none. */
function question(descriptions) {
  const kept = ({ curve }) => curve.consistency[curve.x.indexOf(ASKED)];
  const asked = descriptions.filter((each) => !each.permutation && each.curve && kept(each) !== undefined);
  if (asked.length < 2) return null;
  const ranked = [...asked].sort((a, b) => kept(a) - kept(b));
  const told = ranked.map((each) => `${each.title} ${percent(kept(each))}`);
  return {
    question: `The garment moves ${ASKED} pixels. Which network changes its mind most often?`,
    answers: asked.map((each) => each.title),
    right: asked.indexOf(ranked[0]),
    because: `Of the answers that they give in the middle, these are left: ${listed(told)}. Try it below.`,
  };
}

/** How the curves were recorded, and where the dot stands. */
function recorded(descriptions) {
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
    "The dot stands where your image is; if you move it both ways, at the longer one.",
  ].join("");
}

/** Who does not care for a permutation? */
function orderQuestion() {
  return guess({
    question:
      "All pixels change places, the same way in every image. Which network does not care, if it is trained anew?",
    answers: ["The MLP, and softmax regression", "LeNet", "Both", "Neither"],
    right: 0,
    because:
      "A sum over all pixels has no order: move each weight along with its pixel, and every sum is what it was. " +
      "A convolution sums over neighbours, with the same weights everywhere; permuted, neighbours have nothing to do " +
      "with each other, and it loses.",
  });
}

export function station(page) {
  const descriptions = page.data.networks;
  const viewers = new Viewers(descriptions);
  const colours = descriptions.map((_, i) => `var(--series${(i % SERIES) + 1})`);
  const cards = descriptions.map((description, i) => card(description, page.classes, colours[i]));
  let shift = HOME;
  let centred = []; // each network's answer in the middle, with the pixels in the order of its training

  // where the cards do not fit beside the canvas, the same in short
  const glance = el("ul", { class: "glance", "aria-hidden": "true" });
  const permute = el("input", { type: "checkbox", onchange: switched });
  const isPermuted = () => permute.checked;

  /** Puts the page's image on the canvas. */
  function take({ pixels }) {
    place.paint(pixels);
    centred = cards.map((_, i) => prediction(viewers.view(i, pixels, HOME, viewers.trained[i]).logits));
    show();
  }

  function show(isSaid = false) {
    const { pixels, label } = page.image;
    const said = cards.map((each, i) => {
      const { looks, logits } = viewers.view(i, pixels, shift, isPermuted());
      return each.show({
        looks,
        probabilities: softmax(logits),
        centred: centred[i],
        label,
        isForeign: viewers.trained[i] !== isPermuted(),
      });
    });
    survey.forget();
    curves?.setDot(Math.min(Math.max(Math.abs(shift.right), Math.abs(shift.down)), farthest));
    glance.replaceChildren(
      ...said.map(({ title, answer, isKept }) =>
        el("li", { class: isKept ? null : "changed" }, `${title}: `, el("strong", {}, answer)),
      ),
    );
    if (isSaid) {
      const texts = said.map(({ text }) => text).join(". ");
      page.announce(`${spelled(shift)}${isPermuted() ? ", pixels permuted" : ""}. ${texts}`);
    }
  }

  const place = arena((next, isSaid) => {
    shift = next;
    show(isSaid);
  });

  const drawn = descriptions.filter((each) => each.curve);
  const farthest = Math.max(0, ...drawn.map(({ curve }) => curve.x.at(-1)));
  const curves = drawn.length
    ? lines({
        series: drawn.map((each) => ({
          name: each.title,
          points: each.curve.x.map((x, k) => [x, each.curve.accuracy[k]]),
          colour: colours[descriptions.indexOf(each)],
        })),
        x: { title: "shift (pixels)", ticks: Array.from({ length: farthest + 1 }, (_, x) => x) },
        y: { title: "test accuracy", min: 0, max: 1 },
        label: "Accuracy against shift, as recorded",
      })
    : null;
  const survey = new Survey(page, viewers, cards, () => ({ shift, permuted: isPermuted() }));
  const second = orderQuestion();
  second.addEventListener("done", () => {
    permute.checked = true;
    show(true);
  });
  const isAsked = () => "done" in second.dataset;
  second.hidden = !isAsked();

  /** The switch asks first. */
  function switched() {
    if (isAsked()) return show(true);
    permute.checked = false;
    second.hidden = false;
    return second.querySelector("input").focus();
  }

  page.onImage(take);
  take(page.image);

  const asked = question(descriptions);
  const controls = el(
    "div",
    { class: "switches" },
    el("label", { class: "switch" }, permute, "Permute the pixels"),
    survey.element,
    el("p", { class: "soft note" }, PERMUTED),
  );
  return layout({
    lead: "What something is does not depend on where it is. Move it, and see which network knows that.",
    equation: formula(),
    guess: asked ? guess(asked) : null,
    stage: [
      picker(page),
      el(
        "div",
        { class: "shifting" },
        el("div", {}, place.element, glance),
        curves
          ? el("div", { class: "recorded" }, curves.element, el("p", { class: "soft note" }, recorded(descriptions)))
          : null,
      ),
      controls,
      second,
      el("div", { class: "viewers" }, ...cards.map((each) => each.element)),
    ],
    shows:
      "A dense layer has a weight of its own for each pixel: what it has learned in one place, it does not know in " +
      "another. A convolution uses the same weights everywhere, and a global average forgets the place altogether. For " +
      "the order of the pixels it is the other way round: an MLP trained on permuted pixels is as good as before, and a " +
      "convolutional network loses, because it is built on neighbours.",
    verdicts: [verdict(page.result("shift")), verdict(page.result("permutation"))],
  });
}
