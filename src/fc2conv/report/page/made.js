// What made the report: the command that repeats each run, versions, commits, hashes of the data.

import DataTable from "datatables";
import { announce } from "pages/announce.js";
import { el, table } from "pages/dom.js";
import { accuracy, duration, NONE, plural } from "pages/format.js";
import { escaped } from "report/table.js";

const PAGE = 10;

/** Everything but the table of runs. */
export function made(report) {
  const { made: m } = report;
  return [
    el("div", { class: "card wide" }, el("h3", {}, "This report again"), command(m.command)),
    el(
      "div",
      { class: "grid small" },
      group(report, "Versions", "versions"),
      group(report, "Commit", "git"),
      group(report, "Data (SHA-256)", "data_sha256"),
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

/** The records of a kind that runs were made with, each with how many. */
function group(report, title, kind) {
  const records = report.made[kind].map((record, i) => [Object.entries(record), uses(report, kind, i)]);
  const known = records.filter(([entries]) => entries.length);
  if (!known.length) return null;
  const tables = known.map(([entries, n]) => {
    const rows = entries.map(([name, value]) => [name, el("code", {}, shown(value))]);
    const heading = el("p", { class: "soft caption" }, plural(n, "run"));
    return el("div", {}, heading, el("div", { class: "scroll" }, table(title, ["", ""], rows, { class: "facts" })));
  });
  return el("div", { class: "card" }, el("h3", {}, title), ...tables);
}

const uses = (report, kind, i) => report.runs.filter((run) => run[kind] === i).length;

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
      { ...text("name", "run"), className: "name", createdCell: (td, name) => td.setAttribute("title", name) },
      text("status", "status"),
      number("seed", "seed", (v) => v),
      number("val", "validation", accuracy),
      number("test", "test", accuracy),
      number("best_epoch", "best epoch", (v) => v ?? NONE),
      number("seconds", "time", duration),
      {
        ...text("device", "device"),
        visible: new Set(report.runs.map((run) => run.device)).size > 1,
        className: "name",
      },
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
    if (button) copy(runs.row(button.closest("tr")).data().command, button.nextElementSibling, button);
  });
}

function commandHtml(value, type) {
  if (type !== "display") return value ?? "";
  if (!value) return NONE;
  const button = el("button", { type: "button", class: "copy" }, "Copy");
  return el("span", { class: "command-cell" }, button, el("code", {}, value)).outerHTML;
}
