// How many pixels is a unit of the last convolution connected with? No DOM.

import { extentOf, fields } from "playground/stations/inside_field.js";
import { middleOf, size } from "playground/stations/inside_words.js";

const isConv = (layer) => layer.kind === "conv";

/** @returns {?object} what `guess` takes; null for a network with fewer than two convolutions, or too small an image */
export function question(network) {
  const at = network.layers.findLastIndex(isConv);
  if (at <= network.layers.findIndex(isConv)) return null;
  const layer = network.layers[at];
  const [, ...image] = network.input;
  const box = extentOf(fields(network.layers, at, middleOf(layer))[0].mask, image[1]);
  const texts = [layer.description.kernel_size, [box.height, box.width], image].map(size);
  if (new Set(texts).size < 3) return null;
  const grown = derivation(network.layers.slice(0, at + 1));
  const isWhole = grown?.field === box.height && grown.field === box.width; // the image's border cuts nothing off
  return {
    question: `A unit of ${network.title}'s ${layer.name} reads a window of ${texts[0]}. How much of the ${texts[2]} image is it connected with?`,
    answers: [`${texts[0]} pixels`, `${texts[1]} pixels`, `all ${texts[2]} pixels`],
    right: 1,
    because: [
      "What it reads are units, and each of them has read a window itself.",
      ...(isWhole ? ["Layer by layer, the field's width in pixels:", grown.text] : []),
    ].join(" "),
  };
}

/**
 * The width of a unit's receptive field, layer by layer: each window of k units adds k - 1 steps, and a stride widens
 * all later steps (Araujo et al. 2019, "Computing receptive fields of convolutional neural networks").
 *
 * @param {object[]} layers
 * @returns {?{field: number, text: string}} null where a window is no square
 */
export function derivation(layers) {
  let [field, step] = [1, 1];
  const lines = [];
  for (const { name, windows, description: d } of layers) {
    if (!windows) continue;
    const [high, wide] = (d.kernel_size ?? d.size).map((k, axis) => (k - 1) * (d.dilation?.[axis] ?? 1));
    const [stride, other] = d.stride;
    if (high !== wide || stride !== other) return null;
    const before = field;
    field += wide * step;
    const added = step > 1 ? `${wide} · ${step}` : wide;
    lines.push(lines.length ? `${name}: ${before} + ${added} = ${field}` : `${name}: ${field}`);
    step *= stride;
    if (stride > 1) lines.push(`${lines.pop()}, and from here each step is ${step} pixels`);
  }
  return { field, text: `${lines.join(". ")}.` };
}
