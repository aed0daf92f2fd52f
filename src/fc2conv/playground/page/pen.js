// A pad of 28x28 pixels to draw on, by mouse, finger, or keyboard.

import { el } from "pages/dom.js";
import { raster } from "playground/raster.js";

const SIZE = 28;
const RADIUS = 1.5; // of the brush, pixels
const SOFT = 1; // pixels over which its border fades

/**
 * @param {function(Uint8Array): void} onDraw called with the pixels after each stroke's step
 * @returns {{element: HTMLElement, load: function(ArrayLike<number>): void}} load: go on from these pixels
 */
export function pen(onDraw) {
  const pixels = new Uint8Array(SIZE * SIZE);
  const pad = raster({
    width: SIZE,
    height: SIZE,
    scale: 8,
    label: "Drawing pad. Arrow keys move the brush, space draws, shift and arrows draw a line.",
    describe: (x, y, value) => `row ${y}, column ${x}, ${value ? "bright" : "dark"}`,
  });
  const erase = el("input", { type: "checkbox" });
  let last = null;
  pad.element.classList.add("pad");

  function blot(cx, cy) {
    const radius = RADIUS + (erase.checked ? SOFT : 0); // so that a line is erased along itself
    for (let y = 0; y < SIZE; y++) {
      for (let x = 0; x < SIZE; x++) {
        const share = Math.min(1, Math.max(0, (radius + SOFT - Math.hypot(x - cx, y - cy)) / SOFT));
        const at = y * SIZE + x;
        pixels[at] = erase.checked ? Math.min(pixels[at], 255 * (1 - share)) : Math.max(pixels[at], 255 * share);
      }
    }
  }

  /** From where the brush was last to here, without gaps. */
  function stroke(x, y) {
    const from = last ?? { x, y };
    const steps = Math.max(1, Math.ceil(Math.hypot(x - from.x, y - from.y)));
    for (let i = 1; i <= steps; i++) blot(from.x + ((x - from.x) * i) / steps, from.y + ((y - from.y) * i) / steps);
    last = { x, y };
    changed();
  }

  function changed() {
    pad.paint(pixels, { low: 0, high: 255 });
    onDraw(pixels.slice());
  }

  function load(values) {
    pixels.set(values);
    pad.paint(pixels, { low: 0, high: 255 });
  }

  const { canvas } = pad;
  let cursor = { x: SIZE / 2, y: SIZE / 2 };
  pad.place(cursor);
  pad.onPoint((cell) => {
    if (cell) cursor = cell;
    pad.mark(cell ? { ...cell } : []);
  });
  const point = (event) => {
    const box = canvas.getBoundingClientRect();
    const at = (offset, extent) => (offset / extent) * SIZE - 0.5;
    stroke(at(event.clientX - box.left, box.width), at(event.clientY - box.top, box.height));
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    last = null;
    point(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.buttons) point(event);
  });
  canvas.addEventListener("keydown", (event) => {
    if (event.key === " ") {
      event.preventDefault();
      last = null;
      stroke(cursor.x, cursor.y);
    } else if (event.key.startsWith("Arrow") && event.shiftKey) {
      stroke(cursor.x, cursor.y); // the raster has moved the cursor
    } else {
      last = null;
    }
  });
  const clear = () => {
    pixels.fill(0);
    changed();
  };
  const controls = el(
    "div",
    { class: "buttons" },
    el("button", { type: "button", onclick: clear }, "Clear"),
    el("label", { class: "switch" }, erase, "Erase"),
  );
  load(pixels);
  return { element: el("div", { class: "pen" }, pad.element, controls), load };
}
