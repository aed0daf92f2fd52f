// Confusion matrices: which classes a network takes for which, as shares of the true class.

import { el } from "pages/dom.js";
import { count, plural } from "pages/format.js";
import * as pins from "report/pins.js";
import * as view from "report/view.js";

const HALF = 10; // most classes that half of the page's width has room for

/** A matrix of the configuration that the reader chooses; the best one at first. */
export function confusion(report) {
  const known = report.ranked.filter((c) => report.configurations[c].confusion);
  if (!known.length) return null;
  const holder = el("div");
  const wide = known.some((c) => report.configurations[c].classes.length > HALF);
  const select = el("select", { id: "confusion-of", onchange: () => view.set("confusion", select.value) });
  select.append(...known.map((c) => el("option", {}, report.configurations[c].label)));
  const show = () => {
    const wanted = report.position.get(view.get("confusion"));
    const chosen = known.includes(wanted) ? wanted : (pins.pinned(report).find((c) => known.includes(c)) ?? known[0]);
    select.value = report.configurations[chosen].label;
    holder.replaceChildren(matrix(report.configurations[chosen]));
  };
  view.on("confusion", show);
  pins.onChange(show);
  show();
  return el(
    "div",
    { class: wide ? "card wide" : "card", id: "confusion" },
    el("h3", {}, "Confusion matrix"),
    el("p", { class: "controls" }, el("label", { for: "confusion-of" }, "Of"), select),
    holder,
  );
}

/** Rows are true classes; the last column is the accuracy of each. */
export function matrix({ confusion: counts, classes, label, n }) {
  const all = counts.flat().reduce((a, b) => a + b, 0);
  const caption = `${plural(all, "test image")}, over ${plural(n, "seed")}; each row is a true class, by predicted class, in percent`;
  const head = el(
    "tr",
    {},
    el("th", { scope: "col" }, "true"),
    ...classes.map((name) => el("th", { scope: "col", class: "turned" }, el("span", {}, name))),
  );
  const body = counts.map((row, i) => {
    const total = row.reduce((a, b) => a + b, 0);
    const cells = row.map((n, j) => cell(n, total, i === j, `${classes[i]} taken for ${classes[j]}`));
    return el("tr", {}, el("th", { scope: "row" }, classes[i]), ...cells);
  });
  const region = { class: "scroll", tabindex: "0", role: "region", "aria-label": `Confusion matrix of ${label}` };
  return el(
    "div",
    {},
    el("p", { class: "soft caption" }, caption),
    el(
      "div",
      region,
      el(
        "table",
        { class: "confusion" },
        el("caption", { class: "hidden" }, region["aria-label"]),
        el("thead", {}, head),
        el("tbody", {}, ...body),
      ),
    ),
  );
}

function cell(n, total, right, what) {
  const share = total ? n / total : 0;
  const percent = 100 * share;
  const text = n === 0 ? "" : percent < 0.95 ? percent.toFixed(1) : percent.toFixed(0);
  const td = el("td", { title: `${what}: ${count(n)} of ${count(total)}`, class: right ? "right" : "wrong" }, text);
  // errors are few: the square root makes them visible
  td.style.setProperty("--share", `${100 * (right ? share : Math.sqrt(share))}%`);
  return td;
}
