// The hidden layer as a matrix, and what its constraints cost: imposed on the trained dense layer, or trained with.

import { el } from "pages/dom.js";
import { isLocal, isShared, RUNGS, rungOf } from "playground/stations/constrain_ladder.js";
import { raster } from "playground/raster.js";

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

  const kinds = [
    ["Trained under the constraints", false],
    ["The trained dense layer, constrained afterwards", true],
  ];
  const radios = kinds.map(([, isImposed]) =>
    el("input", { type: "radio", name: "weights", onchange: () => change({ isImposed, delta: ladder.delta }) }),
  );
  const constraint = (has, other) =>
    el("input", {
      type: "checkbox",
      onchange: (event) => {
        const on = event.target.checked;
        change({ isImposed: true, rung: has === isLocal ? rungOf(on, other(view.rung)) : rungOf(other(view.rung), on) });
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
  const heads = ["", "imposed afterwards", "trained with it"];
  const controls = el(
    "div",
    { class: "imposing" },
    el(
      "fieldset",
      {},
      el("legend", {}, "Weights"),
      ...kinds.map(([text], i) => labelled(radios[i], text)),
    ),
    el(
      "fieldset",
      {},
      el("legend", {}, "Constrain the trained dense layer"),
      labelled(local, "Zero what is far (locality)"),
      el("label", { class: "slider" }, el("span", { "data-symbol": "Δ" }, "Δ"), slider, chosen),
      labelled(shared, "Average along the diagonals (sharing)"),
    ),
    el(
      "table",
      { class: "accuracies" },
      el("caption", {}, `Accuracy on ${ladder.test.n} test images`),
      el("thead", {}, el("tr", {}, ...heads.map((text) => el("th", { scope: "col" }, text)))),
      body,
    ),
    verdict,
  );

  function show({ matrix }) {
    const { rung, isImposed, delta, unit, map } = view;
    const most = matrix.reduce((max, weight) => Math.max(max, Math.abs(weight)), 0);
    picture.paint(matrix, { kind: "signed", low: -most, high: most });
    const row = unit[0] * ladder.n + unit[1];
    picture.mark({ x: 0, y: row, width: units, symbol: "H" });
    picture.place({ x: row, y: row });
    radios.forEach((radio, i) => {
      radio.checked = kinds[i][1] === isImposed;
    });
    local.checked = isLocal(rung);
    shared.checked = isShared(rung);
    slider.value = delta;
    slider.disabled = !isLocal(rung) || !isImposed;
    chosen.textContent = delta;
    const zeros = matrix.reduce((n, weight) => n + (weight === 0), 0);
    const distinct = new Set(matrix.filter((weight) => weight !== 0)).size;
    caption.textContent =
      `Map ${map + 1}: ${units} x ${units} entries, of which ${zeros.toLocaleString("en-US")} are zero (paper), and ` +
      `${distinct.toLocaleString("en-US")} different weights. Framed: the row of unit (${unit.join(", ")}).`;
    showAccuracies();
  }

  function showAccuracies() {
    const { delta, isImposed } = view;
    const of = (rung, imposed) =>
      ladder.accuracy({ rung, isImposed: imposed, delta: imposed ? delta : ladder.delta });
    const bar = (rung, imposed) => {
      const share = of(rung, imposed);
      const isChosen = rung === view.rung && (imposed === isImposed || rung === "dense");
      const fill = el("span", { class: "bar", style: `--share: ${share ?? 0}` });
      return el("td", { class: isChosen ? "chosen" : null }, fill, percent(share));
    };
    body.replaceChildren(
      ...RUNGS.map((rung) => el("tr", {}, el("th", { scope: "row" }, rung), bar(rung, true), bar(rung, false))),
    );
    const [dense, imposed, trained] = [of("dense", false), of(view.rung, true), of(view.rung, false)];
    if (view.rung === "dense" || imposed === null || trained === null || dense === null) {
      verdict.textContent = "Take a constraint, and see what it costs the trained dense layer.";
      return;
    }
    const points = (share) => `${(100 * Math.abs(share)).toFixed(1)} points`;
    const change = (share) => (share < 0 ? `costs ${points(share)}` : share > 0 ? `gains ${points(share)}` : "costs nothing");
    const words = { local: "locality", shared: "sharing", conv: "both" }[view.rung];
    verdict.textContent =
      `Imposed on the trained dense layer, ${words} ${change(imposed - dense)} of accuracy. ` +
      `A network that learned under the same constraint ${change(trained - dense)} against dense.`;
  }

  return { element: el("div", { class: "layer" }, picture.element, controls), show, showAccuracies };
}
