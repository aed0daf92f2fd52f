// The table of configurations: sorted, filtered by any key, with the columns that the reader chooses, and differences to
// a baseline from paired seeds.

import DataTable from "datatables";
import { el } from "pages/dom.js";
import { count, duration, edgeOf, extent, NONE, signed, spread } from "pages/format.js";
import * as pins from "report/pins.js";
import * as view from "report/view.js";

const HIDDEN = ["label", "receptive_field", "test_difference", "images_per_second"];
const PAGE = 25;

/** Text as HTML that shows it: DataTables takes titles and cells for HTML. */
export const escaped = (text) => el("span", {}, String(text)).innerHTML;

/** Put the table into `holder`. */
export function configurationTable(report, holder) {
  const columns = columnsOf(report);
  const names = columns.map((column) => column.name);
  const choosable = names.flatMap((name, i) => (name === "pin" ? [] : [i]));
  const baseline = baselineOf(report);
  const rows = report.configurations.map((c, i) => row(report, c, i, baseline));
  const element = el("table", { class: "display compact", "aria-label": "Configurations" });
  holder.replaceChildren(
    controls(report, () => compare()),
    el("div", {}, element),
  );

  const shown = view.get("columns");
  const table = new DataTable(element, {
    data: rows,
    columns: columns.map((c) => ({
      ...c,
      title: escaped(c.title),
      orderSequence: ["asc", "desc"],
      visible: shown ? shown.includes(c.name) || c.name === "pin" : !isHidden(c.name, report),
      searchBuilder: { orthogonal: { display: "filter", search: "filter" } },
    })),
    order: orderOf(names),
    search: { search: view.get("search") ?? "" },
    pageLength: PAGE,
    paging: rows.length > PAGE,
    autoWidth: false,
    deferRender: true,
    layout: {
      topStart: {
        buttons: [
          { extend: "searchBuilder", background: false, config: { columns: choosable, depthLimit: 1 } },
          { extend: "colvis", background: false, text: "Columns", columns: choosable },
        ],
      },
      topEnd: { search: { placeholder: "in any column" } },
      bottomStart: "info",
      bottomEnd: rows.length > PAGE ? "paging" : null,
    },
    language: {
      search: "Search",
      searchBuilder: {
        button: { 0: "Filter", _: "Filter (%d)" },
        title: { 0: "Show what fulfils", _: "Show what fulfils" },
        add: "Add a condition",
        clearAll: "Clear",
        data: "Column",
        delete: "×",
      },
      info: "_START_ to _END_ of _TOTAL_ configurations",
      infoEmpty: "no configuration",
      infoFiltered: "(out of _MAX_)",
      zeroRecords: "No configuration is like that",
    },
    createdRow: (tr, data) => tr.classList.toggle("pinned", pins.labels().includes(data.label)),
  });

  if (view.get("filter")) table.searchBuilder.rebuild(view.get("filter"));
  element.addEventListener("click", (event) => {
    const button = event.target.closest("button.pin");
    if (button) pins.toggle(table.row(button.closest("tr")).data().label);
  });
  pins.onChange(() => mark(table));
  table.on("draw column-visibility", () => remember(table, names, report));

  function compare() {
    const chosen = baselineOf(report);
    for (const data of table.rows().data().toArray()) {
      Object.assign(data, differences(report, data.position, chosen));
    }
    table.rows().invalidate("data").draw(false);
  }
  return table;
}

/** What the reader may have changed, into the address; what is as it was at first is left out of it. */
function remember(table, names, report) {
  const order = table.order().map(([i, direction]) => [names[i], direction]);
  view.set("sort", isFirst(order) ? null : order);
  view.set("search", table.search() || null);
  const filter = table.searchBuilder.getDetails(true);
  view.set("filter", filter?.criteria?.length ? filter : null);
  const shown = names.filter((_, i) => table.column(i).visible());
  const first = names.filter((name) => !isHidden(name, report));
  view.set("columns", shown.join() === first.join() ? null : shown);
}

const FIRST = [["val", "desc"]];
const isFirst = (order) => JSON.stringify(order) === JSON.stringify(FIRST);

function orderOf(names) {
  const wanted = (view.get("sort") ?? FIRST).map(([name, direction]) => [names.indexOf(name), direction]);
  return wanted.filter(([i]) => i >= 0);
}

/** Labels repeat the keys; without keys there is nothing else to tell configurations by. */
const isHidden = (name, report) => HIDDEN.includes(name) && !(name === "label" && report.keys.length === 0);

/** Position of the configuration that others are compared with; the first one until the reader chooses. */
export function baselineOf(report) {
  const label = view.get("baseline");
  return report.position.get(label) ?? (report.baseline || 0);
}

function controls(report, changed) {
  const select = el("select", {
    id: "baseline",
    onchange: () => {
      view.set("baseline", select.value);
      changed();
    },
  });
  select.append(...report.configurations.map((c) => el("option", { value: c.label }, c.label)));
  select.value = report.configurations[baselineOf(report)]?.label;
  return el("p", { class: "controls" }, el("label", { for: "baseline" }, "Differences are to"), select);
}

const number = (name, title, display, more = {}) => ({
  name,
  title,
  data: (row) => row[name], // a name with dots would be a path
  type: "num",
  searchBuilderType: "num",
  className: "number",
  render: (value, type, row) => (type === "display" ? display(value, row) : value),
  ...more,
});

const text = (name, title) => ({
  name,
  title,
  data: (row) => row[name],
  type: "string",
  searchBuilderType: "string",
  render: (value, type) => (type === "display" ? escaped(value === "" ? NONE : value) : value),
});

function columnsOf(report) {
  const pin = {
    name: "pin",
    title: "Pin",
    data: "pin",
    orderable: true,
    searchable: false,
    className: "pin-cell",
    render: (value, type, row) => (type === "display" ? pinHtml(row.label, value) : Number(value)),
  };
  const keys = report.keys.map(({ key, label, kind }) =>
    kind === "number" ? number(`key ${key}`, label, (v) => (v === "" ? NONE : v)) : text(`key ${key}`, label),
  );
  if (!report.keys.some((key) => key.key === "model")) keys.unshift(text("model", "model"));
  return [
    pin,
    text("label", "configuration"),
    ...keys,
    number("val", "validation", (_, row) => spread(row.estimates.val)),
    number("test", "test", (_, row) => spread(row.estimates.test)),
    number("val_difference", "Δ validation", (_, row) => differenceHtml(row.pairs.val, row.is_baseline)),
    number("test_difference", "Δ test", (_, row) => differenceHtml(row.pairs.test, row.is_baseline)),
    number("params", "parameters", count),
    number("macs", "MACs", count),
    number("receptive_field", "receptive field", extent, {
      render: (value, type) => (type === "display" ? extent(value) : edgeOf(value)),
    }),
    number("n", "seeds", count),
    number("seconds", "time", duration),
    number("images_per_second", "images/s", count),
    text("status", "runs"),
  ];
}

function row(report, c, position, baseline) {
  const status = Object.entries(c.by_status ?? {}).map(([name, n]) => `${n} ${name}`);
  const keys = report.keys.map(({ key }) => [`key ${key}`, c.point[key] ?? ""]);
  return {
    position,
    pin: pins.labels().includes(c.label),
    label: c.label,
    model: c.model,
    ...Object.fromEntries(keys),
    params: c.params,
    macs: c.macs,
    receptive_field: c.receptive_field,
    n: c.n,
    val: c.val?.mean ?? null,
    test: c.test?.mean ?? null,
    estimates: { val: c.val, test: c.test },
    seconds: c.seconds,
    images_per_second: c.images_per_second,
    status: status.join(", "),
    ...differences(report, position, baseline),
  };
}

function differences(report, position, baseline) {
  const is_baseline = position === baseline;
  const pair = (split) => (is_baseline ? null : report.difference(position, baseline, split));
  const pairs = { val: pair("val"), test: pair("test") };
  return {
    is_baseline,
    pairs,
    val_difference: is_baseline ? 0 : (pairs.val?.mean ?? null),
    test_difference: is_baseline ? 0 : (pairs.test?.mean ?? null),
  };
}

/** The difference with its interval, and whether it is a tie, in words. */
function differenceHtml(pair, is_baseline) {
  const alone = (text) => el("span", { class: "soft" }, text).outerHTML;
  if (is_baseline) return alone("baseline");
  if (!pair) return alone(NONE);
  const kind = pair.tie === null ? "soft" : pair.tie ? "tie" : pair.mean > 0 ? "better" : "worse";
  const range = pair.low === null ? "one pair" : `[${signed(pair.low)}, ${signed(pair.high)}]`;
  const pairs = pair.n === 1 ? "one pair of seeds: no interval" : `${pair.n} pairs of seeds; 95 % interval`;
  const word = { tie: " tie", better: " better", worse: " worse", soft: "" }[kind];
  return el(
    "span",
    { class: `difference ${kind}`, title: pairs },
    el("span", {}, signed(pair.mean), el("em", {}, word)),
    el("small", {}, `${range}${pair.n > 1 ? ` n=${pair.n}` : ""}`),
  ).outerHTML;
}

const pinHtml = (label, pressed) =>
  el("button", { type: "button", class: "pin dot", "aria-pressed": String(pressed), "aria-label": `Pin ${label}` })
    .outerHTML;

function mark(table) {
  const labels = new Set(pins.labels());
  for (const i of table.rows().indexes().toArray()) {
    const data = table.row(i).data();
    const pressed = labels.has(data.label);
    if (data.pin === pressed) continue;
    data.pin = pressed;
    const tr = table.row(i).node(); // null until it has been shown
    tr?.classList.toggle("pinned", pressed);
    tr?.querySelector("button.pin")?.setAttribute("aria-pressed", String(pressed));
  }
}
