// What the station says of a unit, of a pixel that it reads, and of two units.

import { el } from "pages/dom.js";
import { plural } from "pages/format.js";
import { common, isShared, reads } from "playground/stations/constrain_ladder.js";

/** +0.123 */
const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`;
const plain = (value) => String(value).replace("-", "−");

/** A word that lights up with its symbol, here and in the equation. */
const lit = (symbol, ...content) => el("span", { "data-symbol": symbol, class: "quantity" }, ...content);
const indexed = (symbol, ...index) => lit(symbol, symbol, el("sub", {}, index.map(plain).join(", ")));

/** The letter of a rung's weights. */
export const letterOf = (rung) => (rung === "dense" ? "W" : "V");

/** The value of unit (i, j), before its activation, is its bias and the sum of its products. */
export function unitSays({ rung, delta }, n, [i, j], bias, value) {
  const { pixels } = common(rung, n, delta, [i, j], [i, j]);
  const u = isShared(rung) ? lit("u", "u") : indexed("U", i, j);
  const products = +value.toFixed(3) - +bias.toFixed(3); // the rounded numbers add up
  const sum = `${signed(bias)} ${products < 0 ? "−" : "+"} ${Math.abs(products).toFixed(3)}`;
  const what = [indexed("H", i, j), " = ", u, ` + the sum of ${plural(pixels, "product")}`];
  return el("span", {}, ...what, ` = ${sum} = ${signed(value)}.`);
}

/** What pixel (k, l) adds to the present unit. */
export function pixelSays({ rung, delta, unit }, [k, l], weight, pixel) {
  const [i, j] = unit;
  const [a, b] = [k - i, l - j];
  const x = () => indexed("X", k, l);
  if (!reads(rung, delta, unit, [k, l])) {
    const far = ` is ${Math.max(Math.abs(a), Math.abs(b))} away, more than `;
    return el("span", {}, "Pixel ", x(), far, lit("Δ", "Δ"), ` = ${delta}: not read.`);
  }
  const index = { dense: [i, j, k, l], local: [i, j, a, b] }[rung] ?? [a, b];
  const offset = [", at ", lit("a", "a"), ` = ${plain(a)}, `, lit("b", "b"), ` = ${plain(b)}: `];
  const product = [indexed(letterOf(rung), ...index), " · ", x()];
  const numbers = ` = ${signed(weight)} · ${signed(pixel)} = ${signed(weight * pixel)}.`;
  return el("span", {}, "Pixel ", x(), ...offset, ...product, numbers);
}

/** Which weights stay the same from the unit that is kept to the present one. */
export function sameSays({ rung, delta, unit, kept }, n) {
  const [from, to] = [kept, unit].map((each) => `(${each.join(", ")})`);
  if (from === to) return "Now point at another unit, and see which weights stay the same.";
  const { pixels, same } = common(rung, n, delta, kept, unit);
  const beginning = `From unit ${from} to ${to}: `;
  if (!isShared(rung)) return `${beginning}none of the ${pixels} weights is the same. Each unit has its own.`;
  const which = same === pixels ? `all ${pixels}` : `${same} of ${pixels}`;
  const moved = same ? " They have moved along." : "";
  const others = same < pixels ? " The others met nothing but the outside of the image at the first unit." : "";
  return `${beginning}${which} weights are the same.${moved}${others}`;
}
