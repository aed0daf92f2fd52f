// Pointing at the units of a layer, by mouse, touch or keys.

import { placeOf } from "playground/stations/inside_field.js";

const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
const OTHER_MAP = { PageUp: -1, PageDown: 1 };

const within = (n, size) => Math.min(size - 1, Math.max(0, n));

/** Index of the unit that a key leads to from another, or null. */
function next(key, index, [maps, height = null, width = null]) {
  const { map, row, column } = placeOf([maps, height ?? 1, width ?? 1], index);
  const [down, right] = MOVES[key] ?? [0, 0];
  if (height === null) return key in MOVES ? within(map + right + down, maps) : null;
  if (key in OTHER_MAP) return within(map + OTHER_MAP[key], maps) * height * width + (index % (height * width));
  if (!(key in MOVES)) return null;
  return (map * height + within(row + down, height)) * width + within(column + right, width);
}

/** Where keys begin: in the middle of a layer's first map, or at its first feature. */
function middle([, height = 1, width = 1]) {
  return Math.floor(height / 2) * width + Math.floor(width / 2);
}

/**
 * Make an element one control for all units of a layer.
 *
 * @param {HTMLElement} element
 * @param {number[]} shape of the layer's output
 * @param {function(PointerEvent): ?number} under index of the unit under the pointer, or null
 * @param {function(number, "hover"|"press"|"key"): void} onPoint
 */
export function pointing(element, shape, under, onPoint) {
  let at = middle(shape);
  element.tabIndex = 0;
  element.setAttribute("role", "application");
  element.setAttribute("aria-roledescription", "units that keys point at");
  const point = (event, how) => {
    const index = under(event);
    if (index === null) return;
    at = index;
    onPoint(index, how);
  };
  element.addEventListener("pointermove", (event) => point(event, "hover"));
  element.addEventListener("pointerdown", (event) => point(event, "press"));
  element.addEventListener("focus", () => {
    if (element.matches(":focus-visible")) onPoint(at, "key");
  });
  element.addEventListener("keydown", (event) => {
    const index = next(event.key, at, shape);
    if (index === null) return;
    event.preventDefault();
    at = index;
    onPoint(index, "key");
  });
}
