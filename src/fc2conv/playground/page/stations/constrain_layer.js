// The hidden layer as a matrix, and what its constraints cost: imposed on the trained dense layer, or trained with.

import { el } from "pages/dom.js";
import { count } from "pages/format.js";
import { raster } from "playground/raster.js";
import { connections, isLocal, isShared, RUNGS, rungOf, weights } from "playground/stations/constrain_ladder.js";
import { CHANCE } from "playground/stations/constrain_networks.js";

/** CSS pixels of an entry. */
const ENTRY = 2;
/** The largest half width to choose from. */
const WIDEST = 6;

const percent = (share) => (share === null ? "…" : `${(100 * share).toFixed(1)} %`);

/**
 * @param {Ladder} ladder
 * @param {object} view the station's state
 * @param {function(object)} change called with what changes of it
 * @returns {{element: HTMLElement, show: function(object), showAccuracies: function()}}
 */
export function layerPanel(ladder, view, change) {
  const units = ladder.n ** 2;
  const caption = el("span", {});
  const picture = raster({
    ...{ width: units, height: units, scale: ENTRY, caption },
    label: `The layer as a matrix: a row for each of ${units} units, a column for each of ${units} pixels`,
    describe: (column, row) => `unit (${place(row).join(", ")}), pixel (${place(column).join(", ")})`,
  });
  const place = (index) => [Math.floor(index / ladder.n), index % ladder.n];
  picture.onPoint((cell) => cell && change({ unit: place(cell.y), pixel: place(cell.x) }));

  const kind = (isImposed) =>
    el("input", { type: "radio", name: "weights", onchange: () => change({ isImposed, delta: ladder.delta }) });
  const [trained, imposed] = [kind(false), kind(true)];
  const constraint = (has, other) =>
    el("input", {
      type: "checkbox",
      onchange: (event) => {
        const on = event.target.checked;
        const rest = view.isImposed && other(view.rung);
        change({ isImposed: true, rung: has === isLocal ? rungOf(on, rest) : rungOf(rest, on) });
      },
    });
  const local = constraint(isLocal, isShared);
  const shared = constraint(isShared, isLocal);
  const chosen = el("output", {});
  const slider = el("input", {
    ...{ type: "range", min: 0, max: WIDEST, "aria-label": "Δ of the windows, in pixels" },
    oninput: () => change({ delta: Number(slider.value) }),
  });
  const body = el("tbody", {});
  const verdict = el("p", { class: "reading" });

  const labelled = (input, ...text) => el("label", { class: "option" }, input, el("span", {}, ...text));
  const heads = ["", "imposed afterwards", "trained under it"];
  const controls = el(
    "div",
    { class: "imposing" },
    el(
      "fieldset",
      {},
      el("legend", {}, "Weights"),
      labelled(trained, "Trained under the constraints"),
      labelled(imposed, "Those of the trained dense layer, constrained afterwards:"),
      el(
        "div",
        { class: "nested", role: "group", "aria-label": "Imposed on the trained dense layer" },
        labelled(local, "Zero what is far (locality)"),
        el("label", { class: "slider" }, el("span", { "data-symbol": "Δ" }, "Δ"), slider, chosen),
        labelled(shared, "Average along the diagonals (sharing)"),
      ),
    ),
    el(
      "table",
      { class: "accuracies" },
      el("caption", {}, `Accuracy on ${ladder.test.n} test images; the head stays as it was trained`),
      el("thead", {}, el("tr", {}, ...heads.map((text) => el("th", { scope: "col" }, text)))),
      body,
    ),
    verdict,
  );

  let painted = null; // it does not change as one points at units

  function show({ matrix, most }) {
    const { rung, isImposed, delta, unit, map } = view;
    if (matrix !== painted) picture.paint(matrix, { kind: "signed", low: -most, high: most });
    painted = matrix;
    const row = unit[0] * ladder.n + unit[1];
    picture.mark({ x: 0, y: row - 0.5, width: units, height: 2, symbol: "H", kind: "row" });
    picture.place({ x: row, y: row });
    trained.checked = !isImposed;
    imposed.checked = isImposed;
    local.checked = isImposed && isLocal(rung);
    shared.checked = isImposed && isShared(rung);
    slider.value = delta;
    slider.disabled = !local.checked;
    chosen.textContent = delta;
    const connected = connections(rung, ladder.n, delta);
    caption.textContent =
      `Map ${map + 1}: ${units}×${units} entries, of which ${count(units * units - connected)} are zero (left empty) ` +
      `and ${count(connected)} hold ${count(weights(rung, ladder.n, delta))} different weights. ` +
      `Framed: the row of unit (${unit.join(", ")}).`;
    showAccuracies();
  }

  function showAccuracies() {
    const { delta, isImposed } = view;
    const of = (rung, imposed) => ladder.accuracy({ rung, isImposed: imposed, delta: imposed ? delta : ladder.delta });
    const bar = (rung, imposed) => {
      const share = of(rung, imposed);
      const isChosen = rung === view.rung && (imposed === isImposed || rung === "dense");
      const fill = el("span", { class: "bar", style: `--share: ${share ?? 0}` });
      return el("td", { class: isChosen ? "chosen" : null }, fill, percent(share));
    };
    body.replaceChildren(
      ...RUNGS.map((rung) => el("tr", {}, el("th", { scope: "row" }, rung), bar(rung, true), bar(rung, false))),
    );
    const [dense, after, within] = [of("dense", false), of(view.rung, true), of(view.rung, false)];
    if (view.rung === "dense") {
      verdict.textContent = "Take a constraint, and see what it costs the trained dense layer.";
      return;
    }
    if ([dense, after, within].includes(null)) {
      verdict.textContent = "The networks are answering …";
      return;
    }
    const words = { local: "locality", shared: "sharing", conv: "locality and sharing" }[view.rung];
    const points = (share) => `${(100 * Math.abs(share)).toFixed(1)} points`;
    const against = (share) => {
      if (Math.abs(share) < CHANCE) return "is within chance of the dense one";
      return `is ${points(share)} ${share < 0 ? "below" : "above"} the dense one`;
    };
    verdict.textContent =
      `Imposed on the trained dense layer, ${words} ${after > dense ? "gains" : "costs"} ${points(after - dense)} of ` +
      `accuracy: its units were not made for it. A network that learned under it ${against(within - dense)}.`;
  }

  return { element: el("div", { class: "layer" }, picture.element, controls), show, showAccuracies };
}
