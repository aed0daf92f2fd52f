// A question that is asked before something is shown.

import { announce } from "pages/announce.js";
import { el } from "pages/dom.js";

let asked = 0;

/**
 * @param {object} q
 * @param {string} q.question
 * @param {string[]} q.answers
 * @param {number} q.right position of the right answer
 * @param {string} q.because why, in one or two sentences; said after the guess
 * @param {function(?number)} q.onDone called once with the answer chosen, or null where the reader skipped
 * @returns {HTMLElement} it has data-done once it was answered or skipped
 */
export function guess({ question, answers, right, because, onDone = () => {} }) {
  asked += 1;
  const name = `guess${asked}`;
  const radios = answers.map((_, i) => el("input", { type: "radio", name, value: i }));
  const options = answers.map((text, i) => el("label", { class: "option" }, radios[i], el("span", {}, text)));
  const outcome = el("p", { class: "outcome", tabindex: "-1", hidden: true });
  const buttons = el("div", { class: "buttons" });
  const missing = el("span", { class: "soft", hidden: true }, "Choose an answer first, or skip.");
  const fieldset = el("fieldset", {}, el("legend", {}, question), el("div", { class: "options" }, ...options));
  const element = el("form", { class: "guess", onsubmit: submit }, fieldset, buttons, outcome);
  buttons.append(
    el("button", { type: "submit", class: "primary" }, "Show me"),
    el("button", { type: "button", class: "plain", onclick: () => done(null) }, "Skip"),
    missing,
  );

  function submit(event) {
    event.preventDefault();
    const chosen = radios.findIndex((radio) => radio.checked);
    if (chosen >= 0) return done(chosen);
    radios[0].focus();
    missing.hidden = false;
    return announce(missing.textContent);
  }

  function done(chosen, focus = true) {
    element.dataset.done = "";
    for (const radio of radios) radio.disabled = true;
    options[right].classList.add("right");
    if (chosen !== null && chosen !== right) options[chosen].classList.add("wrong");
    buttons.remove();
    const opening = { null: `${answers[right]}. `, [right]: "Right. " }[chosen] ?? `No: ${answers[right]}. `;
    outcome.replaceChildren(el("strong", {}, opening), because);
    outcome.hidden = false;
    if (focus) outcome.focus({ preventScroll: true });
    onDone(chosen);
    element.dispatchEvent(new CustomEvent("done"));
  }

  // with #open the page starts with all stages open
  if (location.hash.includes("open")) done(null, false);
  return element;
}
