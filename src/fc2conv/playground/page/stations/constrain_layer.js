// The hidden layer as a matrix, and what its constraints cost: imposed on the trained dense layer, or trained with.

import { el } from "pages/dom.js";
import { count } from "pages/format.js";
import { raster, signs } from "playground/raster.js";
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
        const rest = other(view.rung);
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
  const classes = ladder.trained.dense.layers.at(-1).output[0];
  const heads = ["", "imposed afterwards", `trained under it (Δ = ${ladder.delta})`];
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
      el(
        "caption",
        {},
        `Accuracy on ${ladder.test.n} test images (guessing: ${100 / classes} %); the head stays as it was trained. One training of each; station 5 has means over seeds`,
      ),
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
    local.checked = isLocal(rung);
    shared.checked = isShared(rung);
    slider.value = delta;
    slider.disabled = !(isImposed && isLocal(rung));
    chosen.textContent = delta;
    const connected = connections(rung, ladder.n, delta);
    caption.textContent =
      `Map ${map + 1}: ${units}×${units} entries, of which ${count(units * units - connected)} are zero (left empty) ` +
      `and ${count(connected)} hold ${count(weights(rung, ladder.n, delta))} different weights. ` +
      `Framed: the row of unit (${unit.join(", ")}).`;
    showAccuracies();
  }

  function showAccuracies() {
    const { rung, delta, isImposed } = view;
    const of = (rung, imposed) => ladder.accuracy({ rung, isImposed: imposed, delta: imposed ? delta : ladder.delta });
    const bar = (each, imposed) => {
      const share = of(each, imposed);
      const isChosen = each === rung && (imposed === isImposed || each === "dense");
      const fill = el("span", { class: "bar", style: `--share: ${share ?? 0}` });
      return el("td", { class: isChosen ? "chosen" : null }, fill, percent(share));
    };
    body.replaceChildren(
      ...RUNGS.map((each) => el("tr", {}, el("th", { scope: "row" }, each), bar(each, true), bar(each, false))),
    );
    const accuracies = { dense: of("dense", false), after: of(rung, true), within: of(rung, false) };
    const isTrained = !isLocal(rung) || delta === ladder.delta; // with such windows
    verdict.textContent = costSays(rung, accuracies, isTrained, ladder.test.n);
  }

  return {
    element: el("div", { class: "layer" }, el("div", {}, picture.element, signs()), controls),
    show,
    showAccuracies,
  };
}

const points = (share) => `${(100 * Math.abs(share)).toFixed(1)} points`;

/**
 * What a rung's constraints cost.
 *
 * @param {string} rung
 * @param {{dense: ?number, after: ?number, within: ?number}} accuracies of the dense network, of it under the
 *   constraints, and of the one that learned under them; null: not counted yet
 * @param {boolean} isTrained whether the last one has windows of the same size
 * @param {number} n test images
 */
export function costSays(rung, { dense, after, within }, isTrained, n) {
  if (rung === "dense") return "Take a constraint, and see what it costs the trained dense layer.";
  if ([dense, after, within].includes(null)) return "The networks are answering …";
  const words = { local: "locality", shared: "sharing", conv: "locality and sharing" }[rung];
  const imposed =
    `Imposed on the trained dense layer, ${words} ${after > dense ? "gains" : "costs"} ${points(after - dense)} of ` +
    "accuracy: its units were not made for it.";
  if (!isTrained) return imposed;
  const gain = within - dense;
  const learned =
    Math.abs(gain) < CHANCE
      ? `differs from the dense one by no more than luck with ${n} test images would`
      : `is ${points(gain)} ${gain < 0 ? "below" : "above"} the dense one`;
  return `${imposed} A network that learned under it ${learned}.`;
}
