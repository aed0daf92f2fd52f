// The pinned configurations side by side: their numbers, what differs, and their first layer's filters on one scale.

import { el } from "pages/dom.js";
import { count, duration, spread } from "pages/format.js";
import * as pins from "report/pins.js";

const EDGE = 42; // pixels of a filter's edge, about
const GAP = 5;
const FRAME = "rgb(128 128 128 / 60%)"; // around each filter, whose weights may all be near zero
const TILES = 64; // most filters drawn of a configuration

// From blue over white to orange, told apart by colour-blind readers, too; as fc2conv's pictures have it.
const NEGATIVE = [0, 90, 160];
const ZERO = [247, 247, 247];
const POSITIVE = [200, 85, 0];

/** Keeps `holder` up to date with the pins. */
export function compare(report, holder) {
  const show = () => {
    const chosen = pins.pinned(report);
    holder.replaceChildren(...(chosen.length ? [cards(report, chosen)] : [hint()]));
  };
  pins.onChange(show);
  show();
}

const hint = () =>
  el(
    "p",
    { class: "card soft" },
    `Nothing is pinned. Click a mark in a chart or the dot in front of a row of the table: up to ${pins.MOST} `,
    "configurations are shown here side by side, and their learning curves above.",
  );

function cards(report, chosen) {
  const weights = chosen.map((c) => decoded(report.configurations[c].filters));
  const limit = Math.max(...weights.filter(Boolean).map((w) => w.limit), 0);
  const found = chosen.map((c, i) => card(report, report.configurations[c], weights[i], limit));
  return el("div", {}, limit ? legend(limit) : null, el("div", { class: "cards" }, ...found));
}

function card(report, c, weights, limit) {
  const rows = [
    ...report.keys.map(({ key, label }) => [label, c.point[key] ?? "–"]),
    ["parameters", count(c.params)],
    ["MACs", count(c.macs)],
    ["receptive field", c.receptive_field === null ? "–" : `${c.receptive_field} px`],
    ["validation", spread(c.val)],
    ["test", spread(c.test)],
    ["seeds", count(c.n)],
    ["time of a run", duration(c.seconds)],
  ];
  const facts = rows.map(([name, value]) =>
    el("tr", {}, el("th", { scope: "row" }, name), el("td", { class: "number" }, value)),
  );
  return el(
    "article",
    { class: "card" },
    el(
      "header",
      {},
      el("h3", {}, c.label),
      el("button", { type: "button", "aria-label": `Unpin ${c.label}`, onclick: () => pins.toggle(c.label) }, "×"),
    ),
    el("table", { class: "facts" }, el("tbody", {}, ...facts)),
    weights ? filters(c, weights, limit) : el("p", { class: "soft caption" }, "No filters are recorded."),
  );
}

/** Weights of {shape, scale, data} as numbers, with the largest magnitude; null without any. */
function decoded(packed) {
  if (!packed) return null;
  const bytes = Int8Array.from(atob(packed.data), (c) => c.charCodeAt(0));
  const values = Float32Array.from(bytes, (b) => b * packed.scale);
  const limit = values.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
  return { shape: packed.shape, values, limit };
}

/** Filters as pictures in a grid: an output channel after the other, each with all its input channels. */
function filters({ label }, { shape, values }, limit) {
  const [outputs, inputs, height, width] = shape;
  const shown = Math.min(outputs * inputs, TILES);
  const edge = Math.max(1, Math.round(EDGE / Math.max(height, width)));
  const columns = Math.min(shown, inputs > 1 && inputs <= 8 ? inputs * Math.max(1, Math.floor(6 / inputs)) : 6);
  const lines = Math.ceil(shown / columns);
  const canvas = el("canvas", {
    role: "img",
    "aria-label": `First-layer filters of ${label}: ${outputs} of ${height} by ${width} pixels`,
    width: columns * (width * edge + GAP) - GAP + 2,
    height: lines * (height * edge + GAP) - GAP + 2,
  });
  const context = canvas.getContext("2d");
  for (let tile = 0; tile < shown; tile++) {
    const left = (tile % columns) * (width * edge + GAP) + 1;
    const top = Math.floor(tile / columns) * (height * edge + GAP) + 1;
    context.fillStyle = FRAME;
    context.fillRect(left - 1, top - 1, width * edge + 2, height * edge + 2);
    for (let pixel = 0; pixel < height * width; pixel++) {
      context.fillStyle = signedColour(values[tile * height * width + pixel] / (limit || 1));
      context.fillRect(left + (pixel % width) * edge, top + Math.floor(pixel / width) * edge, edge, edge);
    }
  }
  const many = outputs * inputs > shown ? `, the first ${shown} of ${count(outputs * inputs)}` : "";
  const caption = `Filters of the first layer, ${height}×${width}${many}`;
  return el("figure", { class: "filters" }, canvas, el("figcaption", { class: "soft caption" }, caption));
}

function signedColour(share) {
  const end = share < 0 ? NEGATIVE : POSITIVE;
  const part = Math.min(1, Math.abs(share));
  return `rgb(${ZERO.map((zero, i) => Math.round(zero + (end[i] - zero) * part)).join(" ")})`;
}

function legend(limit) {
  const text = limit.toPrecision(2);
  return el(
    "p",
    { class: "soft caption scale" },
    "Weights from ",
    `−${text} `,
    el("span", { class: "ramp", "aria-hidden": "true" }),
    ` +${text}, on one scale for all`,
  );
}
