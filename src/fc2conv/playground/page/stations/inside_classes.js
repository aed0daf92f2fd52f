// The last layer: a bar for each class's probability, and its logit.

import { el } from "pages/dom.js";

/**
 * @param {object} c
 * @param {string[]} c.classes
 * @param {function(number, "hover"|"press"|"key"): void} c.onPoint
 */
export function classList({ classes, onPoint }) {
  const rows = classes.map((name, i) => {
    const [share, logit] = [el("span", { class: "number" }), el("span", { class: "number soft" })];
    const button = el(
      "button",
      {
        type: "button",
        onpointermove: () => onPoint(i, "hover"),
        onclick: () => onPoint(i, "press"),
        onfocus: () => onPoint(i, "key"),
      },
      el("span", {}, name),
      share,
      logit,
    );
    return { button, share, logit };
  });
  const heads = el(
    "div",
    { class: "heads soft", "aria-hidden": "true" },
    el("span", {}),
    "probability",
    el("span", {}, "logit"),
  );
  const element = el("div", { class: "classlist" }, heads, ...rows.map((row) => row.button));

  /** @param {ArrayLike<number>} logits @param {ArrayLike<number>} probabilities */
  function paint(logits, probabilities) {
    rows.forEach(({ button, share, logit }, i) => {
      share.textContent = `${(100 * probabilities[i]).toFixed(1)} %`;
      logit.textContent = logits[i].toFixed(2).replace("-", "−");
      button.style.setProperty("--share", `${100 * probabilities[i]}%`);
    });
  }

  /** Frame the class `index`, or none. */
  function mark(_, index = null) {
    rows.forEach(({ button }, i) => {
      button.classList.toggle("chosen", i === index);
    });
  }

  return { element, paint, mark };
}
