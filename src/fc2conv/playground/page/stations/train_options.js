// What the rungs are trained on, and how; and what they see then.

import { el } from "pages/dom.js";
import { generator } from "playground/random.js";
import { raster } from "playground/raster.js";
import { CANVAS } from "playground/stations/train_data.js";
import { MATCHES } from "playground/stations/train_race.js";
import { matchName } from "playground/stations/train_words.js";

const SHOWN = 6; // training images
const EDGE = 56; // CSS pixels of an image

/**
 * @param {function(object)} change called with all options when one of them is changed
 * @returns {{element: HTMLElement, show: function(Race)}}
 */
export function optionsPanel(change) {
  const select = (label, values, words = (value) => value) => {
    const input = el(
      "select",
      { "aria-label": label, onchange: tell },
      ...values.map((value) => el("option", { value }, words(value))),
    );
    return { input, element: el("label", { class: "labelled" }, el("span", {}, label), input) };
  };
  const checkbox = (label) => {
    const input = el("input", { type: "checkbox", onchange: tell });
    return { input, element: el("label", { class: "switch" }, input, label) };
  };
  const images = select("Images", [1000, 300, 100], (n) => Number(n).toLocaleString("en-US"));
  const match = select("Matched", Object.keys(MATCHES), matchName);
  const lr = select("Learning rate", [0.001, 0.003, 0.01, 0.03]);
  const seed = select("Seed", [0, 1, 2, 3, 4]);
  const permuted = checkbox("Permute the pixels");
  const random = checkbox(`Place at random, on ${CANVAS}×${CANVAS} (takes longest)`);
  const looks = el("div", { class: "looks" });

  function tell() {
    change({
      images: Number(images.input.value),
      match: match.input.value,
      lr: Number(lr.input.value),
      seed: Number(seed.input.value),
      permuted: permuted.input.checked,
      random: random.input.checked,
    });
  }

  function show({ options, train }) {
    for (const [key, { input }] of Object.entries({ images, match, lr, seed })) input.value = options[key];
    permuted.input.checked = options.permuted;
    random.input.checked = options.random;
    const places = train.places(generator(options.seed));
    const step = train.canvas + 1; // a pixel between them
    const wide = SHOWN * step - 1;
    const picture = raster({
      ...{ width: wide, height: train.canvas, scale: EDGE / train.canvas },
      ...{ label: "Training images as the networks see them", caption: "What the networks see" },
    });
    const strip = new Float32Array(wide * train.canvas).fill(Number.NaN);
    for (let i = 0; i < SHOWN; i++) {
      train.look(i, places).forEach((pixel, p) => {
        strip[Math.floor(p / train.canvas) * wide + i * step + (p % train.canvas)] = pixel;
      });
    }
    picture.paint(strip, { kind: "grey", low: 0, high: 255 });
    looks.replaceChildren(picture.element);
  }

  const element = el(
    "div",
    { class: "training" },
    el("div", { class: "choices" }, ...[images, match, lr, seed, permuted, random].map((each) => each.element)),
    looks,
  );
  return { element, show };
}
