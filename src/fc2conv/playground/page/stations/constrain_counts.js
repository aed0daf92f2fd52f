// How many weights each rung has: here, with what goes with them, and on an image of one megapixel.

import { el } from "pages/dom.js";
import { count } from "pages/format.js";
import { biases, formula, isLocal, RUNGS, weights } from "playground/stations/constrain_ladder.js";

/** Pixels on each side of an image of one megapixel. */
const MEGAPIXEL = 1000;
/** Half width that the chapter says windows rarely exceed. */
const TYPICAL = 10;

/** Where the formulas come from. */
const DERIVED = {
  dense: "n² units, each with weights for n² pixels.",
  local:
    "along one axis n windows of 2Δ + 1, less what lies outside the image, 1 + 2 + … + Δ = Δ(Δ + 1) / 2 at either border; squared, for two axes.",
  shared: "2n − 1 offsets of rows, from −(n − 1) to n − 1, times as many of columns.",
  conv: "2Δ + 1 offsets of rows times as many of columns.",
};

/**
 * @param {Ladder} ladder
 * @param {object} view the station's state
 * @returns {{element: HTMLElement, show: function()}}
 */
export function countsPanel(ladder, view) {
  const { n, maps } = ladder;
  const classes = ladder.trained.dense.layers.at(-1).output[0];
  const head = (maps * n * n + 1) * classes;
  let megapixelDelta = TYPICAL;

  const body = el("tbody", {});
  const heads = [
    ...["", "weights of a map", `n = ${n}`, `${maps} maps, with biases`, "and the head"],
    `megapixel: n = ${count(MEGAPIXEL)}`,
  ];
  const table = el(
    "table",
    { class: "counts" },
    el("caption", { class: "hidden" }, "Parameters of each rung"),
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        ...heads.map((text, i) => el("th", { scope: "col", class: [null, "formula-of"][i] ?? "number" }, text)),
      ),
    ),
    body,
  );
  const chosen = el("output", {}, String(TYPICAL));
  const slider = el("input", {
    ...{ type: "range", min: 0, max: 20, value: TYPICAL, "aria-label": "Δ on the megapixel, in pixels" },
    oninput: () => {
      megapixelDelta = Number(slider.value);
      chosen.textContent = slider.value;
      show();
    },
  });

  const number = (...content) => el("td", { class: "number" }, ...content);
  const worked = (text) => el("span", { class: "worked" }, text);

  function show() {
    body.replaceChildren(
      ...RUNGS.map((rung) => {
        const own = weights(rung, n, view.delta);
        const hidden = maps * (own + biases(rung, n));
        const [letters, numbers] = formula(rung, n, view.delta);
        const [, large] = formula(rung, MEGAPIXEL, megapixelDelta);
        return el(
          "tr",
          { class: rung === view.rung ? "chosen" : null, "aria-current": rung === view.rung ? "true" : null },
          el("th", { scope: "row" }, rung),
          el("td", { class: "formula-of", "data-symbol": isLocal(rung) ? "Δ" : null }, letters),
          number(count(own), worked(numbers)),
          number(count(hidden)),
          number(count(hidden + head)),
          number(count(weights(rung, MEGAPIXEL, megapixelDelta)), worked(large)),
        );
      }),
    );
  }

  const element = el(
    "div",
    { class: "counted" },
    el(
      "p",
      {},
      `The head is the last dense layer: it makes ${classes} scores, one for each class, of the ${count(maps * n * n)} units of the maps.`,
    ),
    el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Parameters of each rung" }, table),
    el("label", { class: "slider" }, el("span", { "data-symbol": "Δ" }, "Δ on the megapixel"), slider, chosen),
    el(
      "ul",
      { class: "derived" },
      ...RUNGS.map((rung) => el("li", {}, el("strong", {}, rung), ` ${formula(rung, n, 0)[0]}: ${DERIVED[rung]}`)),
    ),
  );
  return { element, show };
}

const FALL = 600; // ms

/** A number of weights that runs to its new value. @returns {{element: HTMLElement, show: function(number)}} */
export function fallingCount() {
  const shown = el("span", { class: "falling", "aria-hidden": "true" });
  const said = el("span", { class: "hidden", role: "status" });
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  let [from, to, started] = [null, null, 0];

  function frame(now) {
    const share = Math.min(1, (now - started) / FALL);
    // evenly through the orders of magnitude
    shown.textContent = count(from * (to / from) ** share);
    if (share < 1) requestAnimationFrame(frame);
  }

  function show(value) {
    if (value === to) return;
    [from, to, started] = [to ?? value, value, performance.now()];
    said.textContent = `${count(value)} weights`;
    if (still.matches || from === to) shown.textContent = count(value);
    else requestAnimationFrame(frame);
  }

  return { element: el("p", {}, shown, said, el("span", { "aria-hidden": "true" }, " weights")), show };
}
