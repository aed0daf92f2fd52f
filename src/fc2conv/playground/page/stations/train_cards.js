// The four networks as they learn: how large they are, how good, and what weights a unit in the middle has.

import { el } from "pages/dom.js";
import { count, plural } from "pages/format.js";
import { raster } from "playground/raster.js";
import { rowOf } from "playground/stations/constrain_matrix.js";
import { windowsOf } from "playground/stations/train_words.js";

const SHOWN = 4; // maps
const EDGE = 128; // CSS pixels, of two maps beside each other

/** @returns {{element: HTMLElement, build: function(Race), show: function(Race)}} */
export function rungCards() {
  const element = el("div", { class: "cards" });
  let cards = [];

  /** Cards for a new race. */
  function build({ runners, options }) {
    cards = runners.map(({ rung, network }, i) => {
      const hidden = network.layers[0];
      const maps = hidden.output[0];
      const n = hidden.input[1];
      const columns = Math.min(2, maps);
      const rows = Math.ceil(Math.min(SHOWN, maps) / columns);
      const wide = columns * (n + 1) - 1;
      const high = rows * (n + 1) - 1;
      const picture = raster({
        ...{ width: wide, height: high, scale: EDGE / (2 * n + 1) },
        label: `Weights of the unit in the middle, ${rung}`,
      });
      const [tested, learned] = [el("strong", {}, "–"), el("span", {}, "–")];
      const head = network.layers.at(-1).params;
      const sizes = [
        `${plural(maps, "map")}, ${windowsOf(rung, options.match)}`,
        `${count(network.params)} parameters, of which ${count(head)} make the class scores`,
      ];
      const card = el(
        "div",
        { class: "contender", role: "group", "aria-label": rung, style: `--series: var(--series${i + 1})` },
        el("h4", {}, rung),
        ...sizes.map((text) => el("p", { class: "soft" }, text)),
        picture.element,
        el("p", {}, "test ", tested, el("span", { class: "soft" }, ", training ", learned)),
      );
      return { card, picture, tested, learned, n, columns, rows, wide, high };
    });
    element.replaceChildren(...cards.map(({ card }) => card));
  }

  function show({ runners }) {
    runners.forEach(({ network, curve }, i) => {
      const { picture, tested, learned, n, columns, rows, wide, high } = cards[i];
      const layer = network.layers[0];
      const middle = [Math.floor(n / 2), Math.floor(n / 2)];
      const values = new Float32Array(wide * high).fill(Number.NaN);
      let most = 0;
      for (let map = 0; map < Math.min(columns * rows, layer.output[0]); map++) {
        const corner = Math.floor(map / columns) * (n + 1) * wide + (map % columns) * (n + 1);
        rowOf(layer, map, middle).forEach((weight, p) => {
          values[corner + Math.floor(p / n) * wide + (p % n)] = weight;
          most = Math.max(most, Math.abs(weight));
        });
      }
      picture.paint(values, { kind: "signed", low: -most, high: most });
      const last = curve.at(-1);
      tested.textContent = last ? last.test.toFixed(3) : "–";
      learned.textContent = last?.train ? last.train.toFixed(3) : "–";
    });
  }

  return { element, build, show };
}
