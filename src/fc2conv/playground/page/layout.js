// The form that all stations have: lead, equation, guess, stage, what it shows, verdicts.

import { el } from "pages/dom.js";

/**
 * @param {object} parts
 * @param {string} parts.lead one sentence
 * @param {?HTMLElement} parts.equation
 * @param {?HTMLElement} parts.guess the stage is in view, but inert, until it is done
 * @param {Node[]} parts.stage
 * @param {string|Node[]|HTMLElement} parts.shows two or three sentences, or an element that holds them
 * @param {HTMLElement[]} parts.verdicts
 */
export function layout({ lead, equation = null, guess = null, stage, shows, verdicts = [] }) {
  const platform = el("div", { class: "card stage" }, ...stage);
  const conclusion = el(
    "div",
    { class: "conclusion" },
    el("div", { class: "shows" }, el("h3", {}, "What it shows"), shows instanceof Element ? shows : el("p", {}, shows)),
    ...verdicts.filter(Boolean),
  );
  const open = (isOpen) => {
    platform.inert = !isOpen;
    conclusion.hidden = !isOpen;
  };
  open(guess === null || "done" in guess.dataset);
  guess?.addEventListener("done", () => open(true));
  return el("div", { class: "station" }, el("p", { class: "lead" }, lead), equation, guess, platform, conclusion);
}
