// A window that moves over a small image: a convolution or a pooling, with all that can be said of it.

import { el } from "pages/dom.js";
import { ConfigError } from "pages/geometry.js";
import { range, signs } from "playground/raster.js";
import { EDGE, written } from "playground/stations/slide_images.js";
import { pictures } from "playground/stations/slide_pictures.js";
import { player } from "playground/stations/slide_player.js";
import { settings } from "playground/stations/slide_settings.js";
import { parameters, sizeEquation, sizeInNumbers } from "playground/stations/slide_size.js";
import { pooled, products } from "playground/stations/slide_sums.js";
import { MovingWindow } from "playground/stations/slide_window.js";
import { channelNames, deep, inputSays, letter, outputSays } from "playground/stations/slide_words.js";

const HINT = "Point at an output pixel to move the window there, or at an input pixel to see which outputs read it.";
const FREE = () => [
  el("strong", {}, "0 parameters"),
  ": a pooling has nothing to learn, and keeps the channels apart.",
];

/** The bench of this station. */
export function bench(page) {
  let now = null; // what the present settings make; null where they are refused
  let reached = 0; // output pixels are drawn up to this one
  let at = 0;

  const chosen = settings(page, configure, compute);
  const { state, isConv } = chosen;
  const shown = pictures(pointInput, (p) => now && play.move(p));
  const play = player(moved, (p) => (now?.output ? outputSays(now, p) : ""));
  const [inputCaption, outputCaption, workCaption] = ["", "", ""].map(() => el("figcaption", {}));
  const refusal = el("p", { class: "refusal", role: "alert", hidden: true });
  const grids = el("div", { class: "grids" });
  const sum = el("p", { class: "sum" });
  const size = el("div", { class: "size" });
  const cost = el("p", { class: "cost" });
  const sign = signs();
  const readers = el("p", { class: "soft readers" }, HINT);

  function pointInput(cell) {
    if (!now) return;
    readers.textContent = cell ? inputSays(now, cell.x, cell.y) : HINT;
    shown.mark(at, cell ? now.readers(cell.x, cell.y) : []);
  }

  /** The window is another one. */
  function configure() {
    chosen.show();
    element.classList.toggle("pooling", !isConv());
    const isWhole = now !== null && reached === now.places - 1;
    try {
      now = new MovingWindow(chosen.ofWindow());
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      return refuse(error);
    }
    refusal.hidden = true;
    for (const part of [desk, size, cost]) part.classList.remove("refused");
    desk.inert = false;
    at = Math.min(at, now.places - 1);
    reached = isWhole ? now.places - 1 : at;
    return compute();
  }

  function refuse(error) {
    now = null;
    play.stop();
    chosen.accuse(error);
    refusal.textContent = error.message;
    refusal.hidden = false;
    for (const part of [desk, size, cost]) part.classList.add("refused");
    desk.inert = true;
  }

  /** The output of the present image and weights. */
  function compute() {
    if (!now) return;
    now.run(chosen.picture(), state.weights, state.bias);
    play.reset(now.places, at);
    shown.show(now);
    describe();
    draw();
  }

  function describe() {
    const [height, width] = now.padded.size;
    const [, rows, columns] = now.shape;
    const padded = height !== EDGE || width !== EDGE ? `, padded to ${height}×${width}` : "";
    const { low, high } = range(now.output);
    inputCaption.replaceChildren(letter("X"), ` ${EDGE}×${EDGE}${deep(now.channels)}${padded}`);
    sign.hidden = low >= 0; // then it is grey, or has the image's colours
    outputCaption.replaceChildren(letter("H"), ` ${rows}×${columns}, from ${written(low)} to ${written(high)}`);
    workCaption.textContent = isConv() ? "weight · pixel, and their product" : "the pixels of the window";
    const axes = [0, 1].map((axis) => ({
      n: EDGE,
      before: now.pads[axis][0],
      after: now.pads[axis][1],
      k: now.kernel[axis],
      d: now.dilation[axis],
      s: now.stride[axis],
      out: now.shape[axis + 1],
    }));
    size.replaceChildren(...sizeInNumbers(axes));
    cost.replaceChildren(...(isConv() ? parameters(state.size, state.channels, now.shape, EDGE) : FREE()));
  }

  function moved(to, again) {
    at = to;
    reached = again ? to : Math.max(reached, to);
    draw();
  }

  /** Output, window and sums for the present place. */
  function draw() {
    shown.draw(reached);
    shown.mark(at);
    write();
  }

  /** The sum of the present place. */
  function write() {
    const names = channelNames(now.channels);
    const { taps } = now.windows;
    const weightsOf = names.map((_, c) => state.weights.slice(c * taps, (c + 1) * taps));
    const found = isConv()
      ? products(now.seen(at), weightsOf, now.kernel[1], state.bias, names)
      : pooled(now.seen(at), now.kernel[1], state.operation, names);
    grids.replaceChildren(...found.grids);
    sum.replaceChildren(
      el("span", { "data-symbol": "i" }, "H", el("sub", {}, now.placeOf(at).join(","))),
      ` = ${found.sum} = `,
      el("output", {}, now.values(at).map(written).join(", ")),
    );
  }

  const desk = el(
    "div",
    { class: "desk" },
    el(
      "div",
      { class: "pictures" },
      el("figure", {}, shown.input, inputCaption),
      chosen.kernel,
      el("figure", {}, shown.output, outputCaption, sign),
      el("figure", { class: "work" }, grids, workCaption),
    ),
    sum,
    play.element,
    readers,
  );
  const element = el(
    "div",
    { class: "bench" },
    ...chosen.rows,
    refusal,
    desk,
    el("h4", {}, "Size and parameters"),
    sizeEquation(),
    size,
    cost,
  );
  configure();
  return element;
}
