// What a unit sees: the image, lit where the unit is connected with it, and beside it how much each pixel counts.

import { el } from "pages/dom.js";
import { raster } from "playground/raster.js";
import { extentOf } from "playground/stations/inside_field.js";

const PIXEL = 4; // CSS pixels for one of the image
const DIM = 0.25; // of a pixel's brightness outside of the field

const caption = (name, meaning) => [name, el("span", { class: "meaning" }, `: ${meaning}`)];

/**
 * @param {number[]} shape of the image, [bands, height, width]
 * @returns {{element: HTMLElement, show: function(Uint8Array, Uint8Array, Float64Array): object}} show: the image, the
 *   mask of the theoretical field, and the effective one as of `spread`; gives the extent of the mask
 */
export function spectacles([, height, width]) {
  const seen = raster({
    width,
    height,
    scale: PIXEL,
    label: "Theoretical field",
    caption: caption("theoretical field", "the pixels that the unit is connected with"),
    symbol: "X",
  });
  const felt = raster({
    width,
    height,
    scale: PIXEL,
    label: "Effective field",
    caption: caption("effective field", "the pixels that change its value most, by the size of the gradient"),
  });

  function show(looks, mask, weights) {
    const box = extentOf(mask, width);
    const frame = box.pixels ? [{ x: box.left, y: box.top, width: box.width, height: box.height, kind: "field" }] : [];
    seen.paint(
      looks.map((value, p) => (mask[p] ? value : DIM * value)),
      { low: 0, high: 255 },
    );
    felt.paint(weights, { kind: "signed", low: 0, high: Math.max(...weights) || 1 });
    seen.mark(...frame);
    felt.mark(...frame);
    return box;
  }

  return { element: el("div", { class: "spectacles" }, seen.element, felt.element), show };
}
