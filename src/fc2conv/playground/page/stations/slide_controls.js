// Controls with a visible name.

import { el } from "pages/dom.js";

/**
 * A choice from a list.
 *
 * @param {string} label
 * @param {[string|number, string][]} options [value, text]
 * @param {string|number} value chosen at first
 * @param {function(string): void} onChange
 * @param {?string} symbol what it is in the equation
 * @returns {{element: HTMLElement, select: HTMLSelectElement}}
 */
export function choice(label, options, value, onChange, symbol = null) {
  const select = el("select", { onchange: () => onChange(select.value) }, ...entries(options));
  select.value = String(value);
  const name = symbol ? el("span", { "data-symbol": symbol }, label) : el("span", {}, label);
  return { element: el("label", { class: "control", "data-symbol": symbol }, name, select), select };
}

const entries = (options) => options.map(([value, text]) => el("option", { value }, text));

/** Numbers from `low` to `high` as options. */
export const numbers = (low, high) => Array.from({ length: high - low + 1 }, (_, i) => [low + i, String(low + i)]);
