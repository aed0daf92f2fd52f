// How many runs there were, how they ended, and the best model for each budget of parameters.

import { el, table } from "pages/dom.js";
import { accuracy, count, duration, plural } from "pages/format.js";
import { pinButton } from "report/pin_button.js";

export function summary(report) {
  const { summary: s } = report;
  const ended = Object.entries(s.by_status).map(([status, n]) => `${count(n)} ${status}`);
  return [
    el(
      "dl",
      { class: "tiles" },
      tile("Runs", count(s.runs), ended.join(", ")),
      tile("Configurations", count(report.configurations.length), varied(report)),
      tile("Models", count(s.models.length), list(s.models)),
      tile("Seeds", count(s.seeds.length), list(s.seeds)),
      tile("Time", duration(s.seconds), "of all runs together"),
    ),
    budgets(report),
    failures(report),
    skipped(s),
  ];
}

const tile = (name, value, more) =>
  el("div", { class: "card" }, el("dt", {}, name), el("dd", {}, el("strong", {}, value), el("span", {}, more)));

const list = (values) => (values.length > 6 ? `${values.slice(0, 6).join(", ")}, …` : values.join(", "));

function varied(report) {
  const labels = report.keys.map((key) => key.label);
  return labels.length ? `by ${list(labels)}` : "nothing varies";
}

function budgets(report) {
  const found = report.summary.budgets;
  if (!found.length) return null;
  const heads = [
    { text: "At most", number: true },
    "Best configuration",
    { text: "Parameters", number: true },
    { text: "Validation", number: true },
    { text: "Test", number: true },
    { text: "Seeds", number: true },
  ];
  const rows = found.map((b) => [
    count(b.params),
    pinButton(report.configurations[b.configuration].label),
    count(b.params_of_it),
    accuracy(b.val),
    accuracy(b.test),
    count(b.n),
  ]);
  return el(
    "div",
    { class: "card" },
    el("h3", {}, "Best model for each budget of parameters"),
    el("p", { class: "soft caption" }, "Chosen by mean validation accuracy; the test accuracy is told, not chosen by."),
    el(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "Budgets" },
      table("Budgets", heads, rows),
    ),
  );
}

function failures(report) {
  const found = report.summary.failures;
  if (!found.length) return null;
  return details(
    `${plural(found.length, "run")} failed`,
    found.map((f) => el("li", {}, el("code", {}, report.runs[f.run].name), el("pre", {}, f.error))),
  );
}

function skipped(s) {
  const left = [
    s.debug ? `${plural(s.debug, "run")} made with debug=` : null,
    s.lr_find ? `${plural(s.lr_find, "run")} of task=lr_find` : null,
  ].filter(Boolean);
  if (!s.skipped_folders.length && !left.length) return null;
  return details(`${plural(s.skipped_folders.length + left.length, "entry").replace("entrys", "entries")} left out`, [
    ...left.map((text) => el("li", {}, text)),
    ...s.skipped_folders.map(({ folder, reason }) => el("li", {}, el("code", {}, folder), `: ${reason}`)),
  ]);
}

const details = (title, items) => el("details", { class: "card" }, el("summary", {}, title), el("ul", {}, ...items));
