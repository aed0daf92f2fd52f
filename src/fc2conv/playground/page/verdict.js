// What a claim's experiment found, with its numbers.

import { el, table } from "pages/dom.js";

const MARKS = { supported: "✔", refuted: "✘", undecided: "~", "not run": "–" };

const places = (comparison) => (comparison.kind === "ratio" || Math.abs(comparison.estimate) >= 10 ? 2 : 4);

function written(value, comparison) {
  if (value === null || value === undefined) return "–";
  const sign = comparison.kind === "ratio" ? "" : value < 0 ? "−" : "+";
  return `${sign}${Math.abs(value).toFixed(places(comparison))}`;
}

/** Where the whole interval must lie. */
const margin = (c) => `${c.kind === "equal" ? "±" : ">"} ${String(+c.margin.toPrecision(6)).replace("-", "−")}`;

const interval = (c) => `${written(c.low, c)} to ${written(c.high, c)}`;

/**
 * The verdict of a claim: how it was decided, and by what differences.
 *
 * @param {?object} result as the payload holds it; null: nothing is shown
 */
export function verdict(result) {
  if (!result) return null;
  const { number, title, sentence, comparisons = [] } = result;
  const found = result.verdict;
  const heading = el(
    "summary",
    {},
    el("span", { class: `mark ${found.replace(" ", "-")}`, "aria-hidden": "true" }, MARKS[found] ?? "–"),
    ` Claim ${number}, ${title}: `,
    el("strong", {}, found),
  );
  const rows = comparisons.map((c) => [c.says, written(c.estimate, c), interval(c), margin(c), c.n, c.verdict]);
  const numbers = ["found", "interval", "margin", "n"].map((text) => ({ text, number: true }));
  const heads = ["compared", ...numbers, "verdict"];
  return el(
    "details",
    { class: "verdict" },
    heading,
    sentence ? el("p", {}, sentence) : null,
    rows.length
      ? el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": title }, table(title, heads, rows))
      : null,
    rows.length
      ? el(
          "p",
          { class: "soft" },
          "n: seeds, each in both arms. Supported: the whole interval (95 %, over seeds and test images) is within the margin; refuted: the whole of it is outside; else undecided.",
        )
      : null,
  );
}
