// A network's answer: what it sees, its three most likely classes, and whether it changed its mind since the middle. Of a
// network that was trained on another order of the pixels, nothing is judged.

import { el } from "pages/dom.js";
import { prediction } from "playground/network.js";
import { raster } from "playground/raster.js";

const SHOWN = 3; // classes
const PIXEL = 3; // CSS pixels for one of the image
const FOREIGN = "Trained on another order of pixels: its answer means nothing here.";

const percent = (share) => (share > 0 && share < 0.005 ? "<1 %" : `${Math.round(100 * share)} %`);

/**
 * @param {object} network its description
 * @param {string[]} classes
 * @param {string} colour that of its curve
 */
export function card({ title, says, input: [, height, width] }, classes, colour) {
  const picture = raster({ width, height, scale: PIXEL, label: `What the network ${title} sees` });
  const rows = Array.from({ length: SHOWN }, () => {
    const [name, share] = [el("span", {}), el("span", { class: "number" })];
    return { name, share, element: el("li", {}, name, share) };
  });
  const mind = el("p", { class: "mind" });
  const counted = el("p", { class: "counted", hidden: true });
  const element = el(
    "article",
    { class: "viewer", "aria-label": title, style: `--series: ${colour}` },
    el("h4", {}, title),
    picture.element,
    el("div", { class: "answer" }, el("ol", {}, ...rows.map((row) => row.element)), mind, counted),
    el("p", { class: "soft about" }, says),
  );

  /**
   * @param {object} found
   * @param {Uint8Array} found.looks what it looks at
   * @param {Float32Array} found.probabilities
   * @param {number} found.centred the class that it chose in the middle
   * @param {?number} found.label of the garment
   * @param {boolean} found.isForeign the pixels have another order than in its training
   * @returns {{title: string, answer: string, isKept: boolean, text: string}} the same in words; text: a sentence
   */
  function show({ looks, probabilities, centred, label, isForeign }) {
    picture.paint(looks.slice(), { low: 0, high: 255 });
    const ranked = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]);
    rows.forEach((row, i) => {
      const which = ranked[i];
      row.name.textContent = classes[which];
      row.share.textContent = percent(probabilities[which]);
      row.element.style.setProperty("--share", `${100 * probabilities[which]}%`);
    });
    const chosen = prediction(probabilities);
    const isKept = chosen === centred;
    element.classList.toggle("foreign", isForeign);
    element.classList.toggle("changed", !isKept && !isForeign);
    const judged = label === null ? "" : chosen === label ? " Right." : " Wrong.";
    const changed = isKept ? "as in the middle" : `${classes[centred]} in the middle`;
    if (isForeign) mind.textContent = FOREIGN;
    else mind.replaceChildren(el("strong", {}, `${isKept ? "=" : "≠"} ${changed}.`), judged);
    const text = `${title}: ${classes[chosen]}, ${percent(probabilities[chosen])}, ${isKept ? "" : "not "}${changed}`;
    return { title, answer: classes[chosen], isKept, text };
  }

  /** What was counted over all garments, in the order of its training; null: nothing yet. */
  function showShare(text) {
    counted.hidden = text === null;
    if (text === null) return;
    const isForeign = element.classList.contains("foreign");
    counted.textContent = isForeign ? `In its own order, ${text}` : `${text[0].toUpperCase()}${text.slice(1)}`;
  }

  return { element, show, showShare };
}
