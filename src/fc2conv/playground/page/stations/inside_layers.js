// A layer as a row of "Look inside": its name, what it does, its maps or bars, and its filters.

import { el } from "pages/dom.js";
import { bars } from "playground/stations/inside_bars.js";
import { classList } from "playground/stations/inside_classes.js";
import { maps } from "playground/stations/inside_maps.js";
import { figuresOf, kindOf } from "playground/stations/inside_words.js";

const MOST = 32; // maps of a layer whose filters are shown all at once
const FILTER = 4; // CSS pixels for a weight

/**
 * @param {object} network
 * @param {number} at number of the layer
 * @param {string[]} classes
 * @param {function(number, number, string): void} onPoint called with the layer and as of `pointing`
 * @returns {{at: number, element: HTMLElement, view: object}} view: with paint and mark
 */
export function layerRow(network, at, classes, onPoint) {
  const layer = network.layers[at];
  const element = el(
    "div",
    { class: "floor" },
    el("h4", {}, layer.name, el("span", { class: "soft" }, ` ${kindOf(layer)}`)),
    el("p", { class: "soft figures" }, figuresOf(layer)),
  );
  const isLast = at === network.layers.length - 1;
  const view = viewOf(layer, isLast ? classes : null, (index, how) => onPoint(at, index, how));
  element.append(view.element);
  if (layer.kind === "conv" && layer.output[0] <= MOST) element.append(filtersOf(layer));
  return { at, element, view };
}

/** Its units, to point at. */
function viewOf(layer, classes, onPoint) {
  const { name, output } = layer;
  const areMaps = output.length === 3;
  if (!areMaps && output[0] === classes?.length) return classList({ classes, onPoint });
  const keys = areMaps ? ", Page Up and Page Down go to other maps" : "";
  const label = `${areMaps ? "maps" : "units"} of ${name}: ${figuresOf(layer)}. Arrow keys point at units${keys}.`;
  return (areMaps ? maps : bars)({ shape: output, label, onPoint });
}

/** All weights of a convolution: a column for each of its maps, a row for each map that it reads. */
function filtersOf({ weight, output: [count], description, input: [channels] }) {
  const [height, width] = description.kernel_size;
  const read = description.depthwise ? 1 : channels;
  const area = height * width;
  const ordered = new Float32Array(weight.length);
  for (let c = 0; c < read; c++) {
    for (let o = 0; o < count; o++) {
      ordered.set(weight.subarray((o * read + c) * area, (o * read + c + 1) * area), (c * count + o) * area);
    }
  }
  const label = `Its filters: ${count} columns, one for each map; ${read} rows, one for each map that is read`;
  const picture = maps({ shape: [read * count, height, width], label, scale: FILTER, perRow: count, symbol: "V" });
  picture.paint(ordered);
  const caption =
    read > 1 ? "filters: a column for each of its maps, a row for each map that it reads" : "filters, one for each map";
  return el("div", { class: "filters" }, picture.element, el("p", { class: "soft figures" }, caption));
}
