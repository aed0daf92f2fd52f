// Vega-Lite charts: drawn when they come into view, in the colours of the theme. A click on a mark that stands for a
// configuration pins it.

import { announce } from "pages/announce.js";
import { el, whenSeen } from "pages/dom.js";
import { colour, onTheme } from "pages/theme.js";
import * as pins from "report/pins.js";

const CURVES = 5; // without pins: that many of the best
const MANY = 1500; // marks, from which on a canvas is quicker than SVG
const NARROW = 600; // CSS pixels of a chart without room for a legend beside it

let drawn = [];

onTheme(() => {
  for (const chart of drawn) chart.draw();
});

/** Forget the charts of a page that is built anew. */
export function finalize() {
  for (const chart of drawn) chart.vega?.finalize();
  drawn = [];
}

/** A figure of `entry`, one of the payload's charts. */
export function chart(entry, report) {
  const holder = el("div", { class: "chart", role: "group", "aria-label": entry.title });
  const caption = entry.caption ? el("p", { class: "soft caption" }, entry.caption) : null;
  const figure = el(
    "figure",
    { class: entry.wide ? "card wide" : "card", id: `chart-${entry.id}` },
    el("figcaption", {}, el("h3", {}, entry.title), caption),
    holder,
  );
  const chart = new Chart(entry, report, holder);
  whenSeen(figure, () => {
    drawn.push(chart);
    pins.onChange(() => chart.update());
    chart.draw();
  });
  return figure;
}

class Chart {
  constructor(entry, report, holder) {
    Object.assign(this, { entry, report, holder, vega: null, drawing: Promise.resolve() });
  }

  /** One drawing after the other: a pin may come while another is on its way. */
  draw() {
    this.drawing = this.drawing
      .then(() => this.embed())
      .catch((error) => {
        this.holder.textContent = `This chart cannot be drawn: ${error.message}`;
        announce(this.holder.textContent);
      });
  }

  async embed() {
    const { embed } = await import("vega");
    const spec = structuredClone(this.entry.spec);
    const concatenated = ["facet", "hconcat", "vconcat", "concat", "repeat"].some((key) => key in spec);
    if (!concatenated && spec.width === undefined) spec.width = "container";
    if (!concatenated) spec.autosize = { type: "fit-x", contains: "padding" };
    const data = this.rows();
    if (data) spec.datasets = { ...spec.datasets, [this.entry.data]: data };
    fitLegends(spec, this.holder.clientWidth, data);
    const marks = this.report.configurations.length;
    const options = {
      ast: true, // no eval: the page's policy forbids it
      actions: false,
      config: config(this.holder.clientWidth),
      renderer: marks > MANY ? "canvas" : "svg",
      tooltip: { theme: "custom" },
    };
    const { view } = await embed(this.holder, spec, options);
    this.vega?.finalize();
    this.vega = view;
    view.addEventListener("click", (_, item) => {
      const label = this.report.configurations[item?.datum?.configuration]?.label;
      if (label !== undefined) pins.toggle(label);
    });
    this.mark();
    this.holder.dataset.drawn = "";
  }

  /** Rows for the data that the chart leaves to the page. */
  rows() {
    if (this.entry.data === "curves") return curves(this.report);
    return this.entry.data === "configurations" ? configurations(this.report) : null;
  }

  update() {
    if (!this.vega) return;
    if (this.entry.data === "curves") this.draw();
    else this.mark();
  }

  mark() {
    if ((this.entry.spec.params ?? []).some((param) => param.name === "pinned")) {
      this.vega.signal("pinned", pins.pinned(this.report)).runAsync();
    }
  }
}

/** A row an epoch, of the pinned configurations or of the best few. */
function curves(report) {
  const chosen = pins.pinned(report);
  const shown = chosen.length ? chosen : report.ranked.slice(0, CURVES);
  const labels = shortened(shown.map((c) => report.configurations[c].label));
  return shown.flatMap((c, n) => {
    const { curve } = report.configurations[c];
    const columns = Object.keys(curve);
    return curve.epoch.map((_, i) => ({
      configuration: c,
      label: labels[n],
      ...Object.fromEntries(columns.map((name) => [name, curve[name][i]])),
    }));
  });
}

/** Labels without the words that all of them share, so that a legend shows what tells them apart. */
function shortened(labels) {
  const words = labels.map((label) => label.split(" "));
  const shared = new Set(words[0]?.filter((word) => words.every((other) => other.includes(word))));
  const short = words.map((own) => own.filter((word) => !shared.has(word)).join(" "));
  return short.every((label) => label !== "") ? short : labels;
}

function configurations(report) {
  return report.configurations.map((c, i) => ({
    configuration: i,
    ...c,
    val: c.val?.mean,
    val_low: c.val?.low,
    val_high: c.val?.high,
    test: c.test?.mean,
    test_low: c.test?.low,
    test_high: c.test?.high,
    ...Object.fromEntries(report.keys.map(({ key, label }) => [label, c.point[key]])),
  }));
}

/** As many columns in the legends below a chart as its width has room for. */
function fitLegends(spec, width, rows) {
  const { color, shape } = spec.encoding ?? {};
  for (const channel of [color, shape]) {
    if (channel?.legend?.orient !== "bottom" || !channel.field) continue;
    const texts = channel.scale?.domain ?? (rows ?? []).map((row) => row[channel.field]);
    const longest = Math.max(0, ...texts.map((text) => String(text).length));
    delete channel.legend.labelLimit;
    channel.legend.columns = Math.max(1, Math.floor((width - 60) / (7.5 * longest + 30)));
  }
  for (const layer of spec.layer ?? []) fitLegends(layer, width, rows);
}

/** Vega's config: the theme's colours; legends below where there is no room beside. */
function config(width) {
  const [ink, soft, line] = ["--ink", "--soft", "--line"].map(colour);
  const font = getComputedStyle(document.body).fontFamily;
  return {
    background: "transparent",
    font,
    view: { stroke: null },
    axis: {
      labelColor: soft,
      titleColor: ink,
      gridColor: line,
      domainColor: line,
      tickColor: line,
      labelFontSize: 12,
      titleFontSize: 13,
      titleFontWeight: 500,
      titlePadding: 10,
      labelPadding: 5,
    },
    legend: {
      ...(width < NARROW ? { orient: "bottom", columns: 1 } : {}),
      labelColor: ink,
      titleColor: soft,
      labelFontSize: 13,
      titleFontSize: 12,
      labelLimit: Math.max(160, width - 90),
    },
    header: { labelColor: ink, titleColor: soft, labelFontSize: 13 },
    text: { color: ink },
    rule: { color: soft },
    title: { color: ink },
  };
}
