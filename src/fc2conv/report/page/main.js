// Builds the page from its payload, and, where it is served while a sweep runs, again from each new one.

import { el, whenSeen } from "pages/dom.js";
import { isDark, onTheme, setTheme } from "pages/theme.js";
import { calculator } from "report/calculator.js";
import { chart, finalize } from "report/charts.js";
import { compare } from "report/compare.js";
import { confusion } from "report/confusion.js";
import { Report } from "report/data.js";
import { made, runsTable } from "report/made.js";
import * as pins from "report/pins.js";
import { summary } from "report/summary.js";
import { configurationTable } from "report/table.js";
import * as view from "report/view.js";

const POLL = 2000; // ms between two questions to a server that watches

const byId = (id) => document.getElementById(id);
let report = new Report(JSON.parse(byId("payload").textContent));

// Section -> [title, what it says, what fills it]
const SECTIONS = {
  summary: ["Summary", "", (holder) => holder.append(...summary(report).filter(Boolean))],
  accuracy: [
    "Accuracy against cost",
    "A mark is a configuration, its line the 95 % interval over seeds. Click a mark to pin it, a name in the legend to see it alone.",
    (holder) => holder.append(grid(charts("accuracy"))),
  ],
  table: [
    "Table",
    "Mean ± standard deviation over seeds. A difference is the mean over paired seeds, with its 95 % interval; it is a tie where the interval holds 0.",
    (holder) => configurationTable(report, holder.appendChild(el("div", { class: "card" }))),
  ],
  effects: ["Effects of the keys", "", (holder) => holder.append(grid(charts("effects")))],
  curves: [
    "Learning curves",
    "Means over seeds; a band is one standard deviation to each side. Of the pinned configurations, or else of the best few.",
    (holder) => holder.append(grid(charts("curves"))),
  ],
  time: ["Time", "", (holder) => holder.append(grid(charts("time")))],
  classes: ["Classes", "", (holder) => holder.append(grid([...charts("classes"), confusion(report)]))],
  pinned: ["Pinned, side by side", "", (holder) => compare(report, holder)],
  calculator: [
    "Geometry calculator",
    "What a LeNet of your own would cost and see, by the arithmetic that the suite plans with.",
    (holder) => holder.append(calculator(report)),
  ],
  made: ["What made it", "", fillMade],
};
const KNOWN = new Set(Object.keys(SECTIONS));

const grid = (found) => el("div", { class: "grid" }, ...found.filter(Boolean));

/** The charts of a section; those of a section that the page does not know are effects. */
function entries(section) {
  const at = (entry) => (KNOWN.has(entry.section) ? entry.section : "effects");
  return report.charts.filter((entry) => at(entry) === section);
}

const charts = (section) => entries(section).map((entry) => chart(entry, report));

function fillMade(holder) {
  const runs = el("div");
  holder.append(...made(report), el("div", { class: "card wide" }, el("h3", {}, "Runs"), runs));
  whenSeen(runs, () => runsTable(report, runs));
}

function isEmpty(section) {
  if (section === "classes" && report.configurations.some((c) => c.confusion)) return false;
  return ["accuracy", "effects", "curves", "time", "classes"].includes(section) && !entries(section).length;
}

/** Fill the page. */
function build() {
  finalize();
  view.silence();
  const title = report.name;
  document.title = `${title} · fc2conv report`;
  byId("name").textContent = title;
  byId("about").textContent =
    `From ${report.runs_dir}, ${report.created.replace("T", " ")}${report.live ? ", live" : ""}`;
  const main = byId("main");
  main.style.minHeight = `${main.offsetHeight}px`; // a page built anew stays where it was scrolled to
  const links = [];
  const sections = [];
  for (const [id, [name, intro, fillSection]] of Object.entries(SECTIONS)) {
    if (isEmpty(id)) continue;
    const heading = el("h2", { id: `${id}-title`, tabindex: "-1" }, name);
    const holder = el("div", { class: "content" });
    const said = intro ? el("p", { class: "intro soft" }, intro) : null;
    sections.push(el("section", { id, "aria-labelledby": heading.id }, heading, said, holder));
    links.push(el("a", { href: `#${id}`, onclick: (event) => go(event, heading) }, name));
    fillSection(holder);
  }
  byId("sections").replaceChildren(...links);
  main.replaceChildren(...sections);
  main.style.minHeight = "";
  tray();
  pins.onChange(tray);
}

/** To a heading, without its name in the address: that holds the view. */
function go(event, heading) {
  event.preventDefault();
  heading.scrollIntoView();
  heading.focus({ preventScroll: true });
}

/** What is pinned, at the window's lower edge. */
function tray() {
  const labels = pins.labels().filter((label) => report.position.has(label));
  const chip = (label) =>
    el("button", { type: "button", "aria-label": `Unpin ${label}`, onclick: () => pins.toggle(label) }, label, " ×");
  const beside = el(
    "a",
    { href: "#pinned", onclick: (event) => go(event, byId("pinned-title")) },
    `Side by side (${labels.length})`,
  );
  const clear = el("button", { type: "button", onclick: () => pins.clear() }, "Clear");
  byId("tray").hidden = labels.length === 0;
  byId("tray").replaceChildren(el("div", { class: "chips" }, ...labels.map(chip)), beside, clear);
}

// --- light and dark

const applyTheme = () => setTheme(["light", "dark"].find((theme) => theme === view.get("theme")) ?? null);

onTheme(() => {
  byId("theme").textContent = isDark() ? "Light" : "Dark";
  byId("theme").setAttribute("aria-label", isDark() ? "Show in light colours" : "Show in dark colours");
});

byId("theme").addEventListener("click", () => {
  view.set("theme", isDark() ? "light" : "dark");
  applyTheme();
});

// --- news from a server that watches

async function poll() {
  try {
    const answer = await fetch("./data.json", { cache: "no-cache" });
    const payload = answer.ok ? await answer.json() : report;
    // not while somebody types
    if (
      payload.created !== report.created &&
      !byId("main").contains(document.activeElement?.closest("input, select"))
    ) {
      report = new Report(payload);
      build();
    }
  } catch {
    // the server has ended: what is shown stays
  }
  setTimeout(poll, POLL);
}

byId("skip").addEventListener("click", (event) => go(event, byId("main")));
view.onAddress(() => {
  applyTheme();
  build();
});
applyTheme();
build();
if (report.live) setTimeout(poll, POLL);
document.documentElement.dataset.ready = "";
performance.mark("ready");
