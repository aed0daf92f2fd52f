// What made the report: the command that repeats each run, versions, commits, hashes of the data.

import DataTable from "datatables";
import { el, table } from "pages/dom.js";
import { accuracy, duration, NONE } from "pages/format.js";
import { announce } from "report/announce.js";
import { escaped } from "report/table.js";

const PAGE = 10;

/** Everything but the table of runs. */
export function made(report) {
  const { made: m } = report;
  return [
    el("div", { class: "card wide" }, el("h3", {}, "This report again"), command(m.command)),
    el(
      "div",
      { class: "grid" },
      group("Versions", m.versions),
      group("Commit", m.git),
      group("Data (SHA-256)", m.data_sha256),
    ),
  ];
}

/** A command with a button that copies it. */
export function command(text) {
  const code = el("code", {}, text);
  return el(
    "div",
    { class: "command" },
    el("pre", { tabindex: "0" }, code),
    copyButton(() => text, code),
  );
}

function copyButton(text, code) {
  const button = el("button", { type: "button", onclick: () => copy(text(), code, button) }, "Copy");
  return button;
}

async function copy(text, code, button) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    announce("Copied");
  } catch {
    // not allowed: then it is selected, and Ctrl-C copies it
    if (code) getSelection().selectAllChildren(code);
    button.textContent = "Selected";
    announce("Selected; Ctrl-C copies it");
  }
}

function group(title, records) {
  if (!records.length) return null;
  const tables = records.map((record, i) => {
    const rows = Object.entries(record).map(([name, value]) => [name, el("code", {}, shown(value))]);
    const heading = records.length > 1 ? el("p", { class: "soft caption" }, `${i + 1} of ${records.length}`) : null;
    return el("div", {}, heading, el("div", { class: "scroll" }, table(title, ["", ""], rows, { class: "facts" })));
  });
  return el("div", { class: "card" }, el("h3", {}, title), ...tables);
}

const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value));

/** Put the table of runs into `holder`. */
export function runsTable(report, holder) {
  const element = el("table", { class: "display compact", "aria-label": "Runs" });
  holder.replaceChildren(element);
  const text = (data, title) => ({
    data,
    title,
    type: "string",
    render: (value, type) => (type === "display" ? escaped(value ?? NONE) : (value ?? "")),
  });
  const number = (data, title, format) => ({
    data,
    title,
    type: "num",
    className: "number",
    render: (value, type) => (type === "display" ? format(value) : value),
  });
  const runs = new DataTable(element, {
    data: report.runs,
    columns: [
      { ...text("name", "run"), className: "name" },
      text("status", "status"),
      number("seed", "seed", (v) => v),
      number("val", "validation", accuracy),
      number("test", "test", accuracy),
      number("best_epoch", "best epoch", (v) => v ?? NONE),
      number("seconds", "time", duration),
      text("device", "device"),
      { data: "command", title: "command", orderable: false, render: commandHtml },
    ],
    order: [],
    pageLength: PAGE,
    paging: report.runs.length > PAGE,
    autoWidth: false,
    deferRender: true,
    layout: {
      topStart: null,
      topEnd: report.runs.length > PAGE ? "search" : null,
      bottomStart: report.runs.length > PAGE ? "info" : null,
      bottomEnd: report.runs.length > PAGE ? "paging" : null,
    },
    language: { search: "Search", info: "_START_ to _END_ of _TOTAL_ runs", infoFiltered: "(out of _MAX_)" },
  });
  element.addEventListener("click", (event) => {
    const button = event.target.closest("button.copy");
    if (button) copy(runs.row(button.closest("tr")).data().command, button.previousElementSibling, button);
  });
}

function commandHtml(value, type) {
  if (type !== "display") return value ?? "";
  if (!value) return NONE;
  const button = el("button", { type: "button", class: "copy" }, "Copy");
  return el("span", { class: "command-cell" }, el("code", { title: value }, value), button).outerHTML;
}
