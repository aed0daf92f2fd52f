// Station 1: the image moves, or its pixels change places, and the networks answer at once.

import { el } from "pages/dom.js";
import { entry, equation, index, op, sum, sym, word } from "playground/equation.js";
import { guess } from "playground/guess.js";
import { layout } from "playground/layout.js";
import { prediction, softmax } from "playground/network.js";
import { picker } from "playground/picker.js";
import { arena, spelled } from "playground/stations/shift_arena.js";
import { card } from "playground/stations/shift_card.js";
import { curves } from "playground/stations/shift_curves.js";
import { Survey } from "playground/stations/shift_survey.js";
import { Viewers } from "playground/stations/shift_viewers.js";
import { comparable, orderQuestion, shiftQuestion } from "playground/stations/shift_words.js";
import { verdict } from "playground/verdict.js";

// the fifth is the text's grey, which says here that a network cannot be compared
const COLOURS = [1, 2, 3, 4, 6, 7].map((n) => `var(--series${n})`);
const HOME = { right: 0, down: 0 };

const PERMUTED =
  "Every pixel of the canvas goes to another place, the same for all images. The canvas above shows the image before, the " +
  "cards below what the networks see. Untick to go back.";
const OF_SHIFT =
  "A dense layer has a weight of its own for each pixel: what it has learned in one place, it does not know in another. " +
  "A convolution uses the same weights everywhere, so its maps move along with the garment; but in LeNet dense layers read " +
  "these maps, each value at its place. A global average does not ask for the place, and keeps most answers. At the border " +
  "it loses, too: what lies there is in fewer of the windows that it averages. ";
const OF_ORDER =
  "For the order of the pixels it is the other way round: an MLP trained on permuted pixels is as good as before, and a " +
  "convolutional network loses, because it is built on neighbours.";

const formula = () => {
  const dense = [
    word("dense:\u00a0\u00a0"), // MathML drops a plain space at the end
    entry("H", "i,j"),
    op("="),
    entry("U", "i,j"),
    op("+"),
    sum(...index("k,l")),
    entry("W", "i,j,k,l"),
    entry("X", "k,l"),
  ];
  const conv = [
    word("convolution:\u00a0\u00a0"),
    entry("H", "i,j"),
    op("="),
    sym("u"),
    op("+"),
    sum(...index("a,b")),
    entry("V", "a,b"),
    entry("X", "i+a,j+b"),
  ];
  const legend = {
    X: "the image",
    W: "a weight for each pixel",
    V: "weights for neighbours, the same everywhere",
    U: "a bias for each unit",
    u: "one for all",
  };
  const first = equation("H i j is U i j plus the sum over k and l of W i j k l times X k l", dense);
  const second = equation("H i j is u plus the sum over a and b of V a b times X i plus a, j plus b", conv, legend);
  return el("div", { class: "equations" }, first, second);
};

/** The networks at one image: its place, the order of its pixels, and what they answer. */
class Shifting {
  constructor(page) {
    this.page = page;
    this.viewers = new Viewers(page.data.networks);
    const colours = page.data.networks.map((_, i) => COLOURS[i % COLOURS.length]);
    this.cards = page.data.networks.map((each, i) => card(each, page.classes, colours[i]));
    this.shift = HOME;
    this.centred = []; // each network's answer in the middle, with the pixels in the order of its training
    this.curves = curves(page.data.networks, colours);
    this.place = arena((shift, isSaid) => {
      this.shift = shift;
      this.show(isSaid);
    });
    // what the cards say, in short, beside the canvas
    this.glance = el("ul", { class: "glance", "aria-hidden": "true" });
    this.compared = el("p", { class: "compared" });
    this.survey = new Survey(page, this.viewers, this.cards, () => this.shift);
    this.second = guess({ ...orderQuestion(page.result("permutation")) });
    this.permute = el("input", { type: "checkbox", onchange: () => this.show(true) });
    this.switches = el(
      "div",
      { class: "switches" },
      el("label", { class: "switch" }, this.permute, "Permute the pixels"),
      el("p", { class: "soft note" }, PERMUTED),
    );
    /** What tells the answer to the second question. */
    this.later = [el("span", {}, OF_ORDER), verdict(page.result("permutation"))];
    this.open("done" in this.second.dataset);
    this.second.addEventListener("done", () => {
      this.permute.checked = true;
      this.open(true);
      this.show(true);
    });
    page.onImage((image) => this.take(image));
    this.take(page.image);
  }

  get isPermuted() {
    return this.permute.checked;
  }

  /** Networks trained on permuted pixels are there once the second question was asked. */
  open(isAsked) {
    const { trained } = this.viewers;
    this.shown = trained.map((isPermuted) => isAsked || !isPermuted || trained.every(Boolean));
    this.cards.forEach(({ element }, i) => {
      element.hidden = !this.shown[i];
    });
    this.switches.inert = !isAsked;
    for (const each of this.later.filter(Boolean)) each.hidden = !isAsked;
  }

  /** Puts an image on the canvas. */
  take({ pixels }) {
    const { viewers } = this;
    this.place.paint(pixels);
    this.centred = this.cards.map((_, i) => prediction(viewers.view(i, pixels, HOME, viewers.trained[i]).logits));
    this.show();
  }

  show(isSaid = false) {
    const { viewers, shift, isPermuted } = this;
    const { networks } = this.page.data;
    this.survey.forget();
    this.curves?.show(
      networks.filter((_, i) => this.shown[i]),
      isPermuted,
      shift,
    );
    const said = this.cards.map((_, i) => this.answer(i));
    const fitting = said.filter((_, i) => this.shown[i] && !viewers.isForeign(i, isPermuted));
    this.compared.textContent = comparable(
      fitting.map(({ title }) => title),
      isPermuted,
    );
    this.glance.replaceChildren(
      ...fitting.map(({ title, answer, isKept }) =>
        el("li", { class: isKept ? null : "changed" }, `${title}: `, el("strong", {}, answer)),
      ),
    );
    if (!isSaid) return;
    const texts = fitting.map(({ text }) => text).join(". ");
    this.page.announce(`${spelled(shift)}${isPermuted ? ", pixels permuted" : ""}. ${texts}`);
  }

  /** What network `i` says now, on its card and in words. */
  answer(i) {
    const { viewers, shift, isPermuted } = this;
    const { pixels, label } = this.page.image;
    const { looks, logits } = viewers.view(i, pixels, shift, isPermuted);
    const isForeign = viewers.isForeign(i, isPermuted);
    return this.cards[i].show({ looks, probabilities: softmax(logits), centred: this.centred[i], label, isForeign });
  }
}

export function station(page) {
  const shifting = new Shifting(page);
  const { place, glance, curves: recorded, second, switches, survey, compared, cards, later } = shifting;
  const asked = shiftQuestion(page.data.networks);
  return layout({
    lead: "What something is does not depend on where it is. Move it, and see which network knows that.",
    equation: formula(),
    guess: asked ? guess(asked) : null,
    stage: [
      picker(page),
      el("div", { class: "shifting" }, el("div", {}, place.element, glance), recorded?.element),
      el("div", { class: "order" }, el("h3", {}, "And if its pixels change places?"), second, switches),
      el("div", { class: "answers" }, compared, survey.element),
      el("div", { class: "viewers" }, ...cards.map((each) => each.element)),
    ],
    shows: [OF_SHIFT, later[0]],
    verdicts: [verdict(page.result("shift")), later[1]],
  });
}
