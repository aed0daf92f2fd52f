// What the layers and fields of "Look inside" are called. No DOM.

import { count } from "pages/format.js";
import { placeOf } from "playground/stations/inside_field.js";

export const size = ([height, width]) => `${height}×${width}`;

/** An activation's name. */
export const functionOf = ({ function: name }) =>
  ({ relu: "ReLU", elu: "ELU", silu: "SiLU" })[name] ?? name.replace("_", " ");

/** What a layer does. */
export function kindOf({ kind, description: d, input, output }) {
  const plain = {
    local: "locally connected",
    dense_image: "dense, image-shaped",
    shared_image: "one kernel as large as the image allows",
    linear: `dense: each of ${count(output[0])} units reads all ${count(input.reduce((a, b) => a * b))} values`,
    affine: "batch norm",
    global_average: "the mean of each map",
  };
  if (kind === "pool") return `${d.mode === "max" ? "maximum" : "mean"} of ${size(d.size)}, stride ${d.stride[0]}`;
  if (kind === "activation") return `${functionOf(d)}, value by value`;
  if (kind !== "conv") return plain[kind];
  const pads = d.padding.flat();
  const parts = [`${d.depthwise ? "depthwise " : ""}convolution ${size(d.kernel_size)}`];
  if (Math.max(...d.stride) > 1) parts.push(`stride ${d.stride[0]}`);
  if (Math.max(...d.dilation) > 1) parts.push(`dilation ${d.dilation[0]}`);
  if (Math.max(...pads) > 0)
    parts.push(`padding ${Math.max(...pads)}${d.padding_mode === "zeros" ? "" : `, ${d.padding_mode}`}`);
  return parts.join(", ");
}

/** Shape, parameters and receptive field of a layer. */
export function figuresOf({ output, params, receptive_field: field }) {
  const [n, ...spatial] = output;
  const shape = spatial.length ? `${count(n)} map${n === 1 ? "" : "s"} of ${size(spatial)}` : `${count(n)} units`;
  const sees = Array.isArray(field) ? size(field) : field && size([field, field]);
  return [shape, params ? `${count(params)} parameters` : null, sees ? `field ${sees}` : null]
    .filter(Boolean)
    .join(" · ");
}

/** "conv2, map 3, row 4, column 5", "linear3, unit 17": maps and units count from 1, rows and columns from 0. */
export function unitOf({ name, output }, index, classes = null) {
  if (output.length === 1) return classes ? `${name}, ${classes[index]}` : `${name}, unit ${index + 1}`;
  const { map, row, column } = placeOf(output, index);
  return `${name}, map ${map + 1}, row ${row}, column ${column}`;
}

/** Index of the unit in the middle of a layer's first map, or of its features. */
export function middleOf({ output: [n, height = null, width = null] }) {
  return height === null ? Math.floor(n / 2) : Math.floor(height / 2) * width + Math.floor(width / 2);
}

/** What the first layer reads of a pixel. */
export function normalisation({ mean, std }) {
  const black = (-mean / std).toFixed(2).replace("-", "−");
  return `The network reads (pixel − ${mean.toFixed(2)}) / ${std.toFixed(2)}, pixels from 0 to 1: black is ${black}, not 0.`;
}

/**
 * A unit's theoretical field in numbers.
 *
 * @param {object} box as of extentOf
 * @param {object} layer the unit's
 * @param {number[]} image [height, width]
 */
export function theoretical(box, { receptive_field: field, output }, image) {
  const share = box.pixels / (image[0] * image[1]);
  const full = Array.isArray(field) ? field : [field, field];
  const isCut = output.length === 3 && field && (box.height < full[0] || box.width < full[1]);
  const of = `${size([box.height, box.width])} of ${size(image)} pixels (${Math.round(100 * share)} %)`;
  return isCut ? `${of}; the border cuts it off, farther inside it is ${size(full)}` : of;
}

/** And its effective one. */
export function effective({ half, most }, box) {
  if (most === 0) return "the gradient is 0 everywhere: no small change of the image changes this unit";
  const hold = (n) => (n === 1 ? "holds" : "hold");
  const first = `${count(half)} of ${count(box.pixels)} pixels ${hold(half)} half of the gradient`;
  return `${first}, ${count(most)} ${hold(most)} nine tenths`;
}
