// One hidden unit: the pixels that it reads, the weights that it uses, its value; and a second unit to compare it with.

import { el } from "pages/dom.js";
import { raster, signs } from "playground/raster.js";
import { isLocal, isShared } from "playground/stations/constrain_ladder.js";
import { letterOf, pixelSays, sameSays, unitSays } from "playground/stations/constrain_words.js";

const CELL = 13; // CSS pixels of a pixel

/**
 * @param {Playground} page
 * @param {Ladder} ladder
 * @param {object} view the station's state
 * @param {function(object)} change called with what changes of it
 * @returns {{element: HTMLElement, show: function(object)}} show(layer) draws the present state: layer as Ladder.layer
 */
export function unitPanel(page, ladder, view, change) {
  const { n } = ladder;
  let layer = null;
  let values = new Float32Array(n * n);
  let x = new Float32Array(n * n);

  const unitText = ([i, j]) => unitSays(view, n, [i, j], layer.biases[i * n + j], values[i * n + j]);
  const pixelText = (k, l) => pixelSays(view, [k, l], weightAt(view.unit, k, l), x[k * n + l]);
  const weightAt = ([i, j], k, l) => layer.matrix[(i * n + j) * n * n + k * n + l];
  const rowOf = ([i, j]) => layer.matrix.subarray((i * n + j) * n * n, (i * n + j + 1) * n * n);
  const caption = () => el("span", {});
  const names = { x: caption(), hidden: caption(), here: caption(), there: caption() };

  const grid = (label, name, describe, symbol) =>
    raster({ width: n, height: n, scale: CELL, label, caption: names[name], describe, symbol });
  const image = grid("The image: a pixel", "x", (l, k) => pixelText(k, l).textContent, "X");
  const hidden = grid(
    "The hidden map: a unit",
    "hidden",
    (j, i) => `${unitText([i, j]).textContent} ${sameSays(view, n)}`,
    "H",
  );
  const here = grid("The unit's weights: a pixel", "here", (l, k) => pixelText(k, l).textContent, "W");
  const there = grid("The weights of the unit that is kept", "there", null, "W");
  const kernel = el("div", {});
  const reading = el("p", { class: "reading" });
  const same = el("p", { class: "reading" });
  const keep = el(
    "button",
    { type: "button", onclick: () => change({ kept: view.unit }) },
    "Keep this unit to compare with",
  );

  hidden.onPoint((cell) => cell && change({ unit: [cell.y, cell.x], pixel: null }));
  for (const each of [image, here]) each.onPoint((cell) => change({ pixel: cell && [cell.y, cell.x] }));

  /** The frame around the pixels that unit `unit` reads. */
  function windowOf([i, j], symbol) {
    const reach = isLocal(view.rung) ? view.delta : n;
    const [top, left] = [Math.max(0, i - reach), Math.max(0, j - reach)];
    const [bottom, right] = [Math.min(n - 1, i + reach), Math.min(n - 1, j + reach)];
    return { x: left, y: top, width: right - left + 1, height: bottom - top + 1, symbol };
  }

  /** The frame around those pixels of unit `to` whose weights unit `from` uses, too; null: there are none. */
  function sameFrame(from, to) {
    if (!isShared(view.rung) || from.join() === to.join()) return null;
    const all = windowOf(to, "V");
    const other = windowOf(from);
    const [down, across] = [to[0] - from[0], to[1] - from[1]];
    const left = Math.max(all.x, other.x + across);
    const top = Math.max(all.y, other.y + down);
    const right = Math.min(all.x + all.width, other.x + other.width + across);
    const bottom = Math.min(all.y + all.height, other.y + other.height + down);
    return right > left && bottom > top
      ? { x: left, y: top, width: right - left, height: bottom - top, symbol: "V", kind: "same" }
      : null;
  }

  /** All weights of the map, those of the present unit framed. */
  function showKernel() {
    const { rung, delta, unit } = view;
    if (!isShared(rung)) {
      kernel.replaceChildren(el("p", { class: "soft" }, `Each of the ${n * n} units has weights of its own.`));
      return;
    }
    const reach = isLocal(rung) ? delta : n - 1;
    const edge = 2 * reach + 1;
    const weights = new Float32Array(edge * edge);
    for (let a = -reach; a <= reach; a++) {
      for (let b = -reach; b <= reach; b++) {
        const [i, j] = [Math.max(0, -a), Math.max(0, -b)]; // a unit that has this offset
        weights[(a + reach) * edge + b + reach] = weightAt([i, j], i + a, j + b);
      }
    }
    const picture = raster({
      ...{ width: edge, height: edge, scale: (CELL * n) / edge, symbol: "V" },
      label: `The kernel V, ${edge}×${edge}`,
      caption: `V, all ${edge}×${edge} weights of the map: framed, what the unit uses`,
    });
    picture.paint(weights, scaled());
    const frame = windowOf(unit, "H");
    picture.mark({ ...frame, x: frame.x - unit[1] + reach, y: frame.y - unit[0] + reach });
    kernel.replaceChildren(picture.element);
  }

  const scaled = () => ({ kind: "signed", low: -layer.most, high: layer.most });

  function show(next) {
    layer = next;
    const { rung, unit, kept, pixel, map } = view;
    const network = ladder.network(view);
    const pixels = network.seen(page.image.pixels);
    image.paint(Uint8Array.from(pixels), { kind: "grey", low: 0, high: 255 });
    x = Float32Array.from(network.prepare(page.image.pixels));
    network.forward(x);
    values = network.outputs[0].slice(map * n * n, (map + 1) * n * n);
    const most = values.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
    hidden.paint(values, { kind: "signed", low: -most, high: most });
    here.paint(rowOf(unit), scaled());
    there.paint(rowOf(kept), scaled());
    showKernel();

    const at = ([i, j], symbol, kind) => ({ x: j, y: i, symbol, kind });
    const pointed = pixel ? [at(pixel, "X", "pixel")] : [];
    const window = isLocal(rung) ? [windowOf(unit, "Δ")] : [];
    image.mark(...window, ...pointed);
    here.mark(sameFrame(kept, unit) ?? window, ...pointed);
    there.mark(sameFrame(unit, kept) ?? []);
    hidden.mark(at(kept, "H", "kept"), at(unit, "H"));
    hidden.place({ x: unit[1], y: unit[0] });
    for (const each of [here, there]) each.element.querySelector(".cells").dataset.symbol = letterOf(rung);

    names.x.textContent = isLocal(rung)
      ? "X, the image: framed, what the unit reads"
      : "X, the image: the unit reads all of it";
    names.hidden.textContent = "H, a map of hidden units: point at one";
    names.here.textContent = `Weights of unit (${unit.join(", ")})`;
    names.there.textContent = `Weights of unit (${kept.join(", ")}), kept`;
    reading.replaceChildren(pixel ? pixelText(...pixel) : unitText(unit));
    same.textContent = sameSays(view, n);
  }

  const pictures = [image, hidden, here, there].map((each) => each.element);
  const element = el("div", {}, el("div", { class: "pictures" }, ...pictures, kernel), signs(), reading, same, keep);
  return { element, show };
}
