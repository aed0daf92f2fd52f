// The canvas on which the image is dragged.

import { el } from "pages/dom.js";
import { raster } from "playground/raster.js";

/** Pixels that the image can move to each side. */
export const REACH = 8;
const EDGE = 28;
const CANVAS = EDGE + 2 * REACH;
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const clipped = (pixels) => Math.min(REACH, Math.max(-REACH, Math.round(pixels)));

/** "4 right, 2 up"; "in the middle". */
export function spelled({ right, down }) {
  const part = (n, more, less) => (n ? [`${Math.abs(n)} ${n > 0 ? more : less}`] : []);
  return [...part(right, "right", "left"), ...part(down, "down", "up")].join(", ") || "in the middle";
}

/**
 * @param {function({right: number, down: number}, boolean): void} onMove called after each move, with whether it is one
 *   step that should be said
 * @returns {{element: HTMLElement, paint: function(Uint8Array): void, move: function(number, number): void}}
 */
export function arena(onMove) {
  const shift = { right: 0, down: 0 };
  const picture = raster({ width: CANVAS, height: CANVAS, scale: 8, label: "", symbol: "X" });
  const { canvas } = picture;
  const where = el("output", { class: "where" });
  let pixels = new Uint8Array(EDGE * EDGE);

  function draw() {
    const values = new Uint8Array(CANVAS * CANVAS);
    const [top, left] = [REACH + shift.down, REACH + shift.right];
    for (let i = 0; i < EDGE; i++) {
      values.set(pixels.subarray(i * EDGE, (i + 1) * EDGE), (top + i) * CANVAS + left);
    }
    picture.paint(values, { low: 0, high: 255 });
    picture.mark(
      { x: REACH, y: REACH, width: EDGE, height: EDGE, kind: "home" },
      { x: left, y: top, width: EDGE, height: EDGE, kind: "garment" },
    );
    where.value = spelled(shift);
    canvas.setAttribute(
      "aria-label",
      `The image on its canvas, ${spelled(shift)}. Arrow keys move it, Home centres it.`,
    );
  }

  function move(right, down, isStep = false) {
    const [x, y] = [clipped(right), clipped(down)];
    if (x === shift.right && y === shift.down) return;
    Object.assign(shift, { right: x, down: y });
    draw();
    onMove({ ...shift }, isStep);
  }

  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-roledescription", "image that can be moved");
  canvas.tabIndex = 0;
  let grip = null; // where the drag began
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    grip = { x: event.clientX, y: event.clientY, ...shift };
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!grip) return;
    const pixel = canvas.getBoundingClientRect().width / CANVAS;
    move(grip.right + (event.clientX - grip.x) / pixel, grip.down + (event.clientY - grip.y) / pixel);
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(kind, () => {
      if (grip && (grip.right !== shift.right || grip.down !== shift.down)) onMove({ ...shift }, true);
      grip = null;
    });
  }
  canvas.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step && event.key !== "Home") return;
    event.preventDefault();
    if (step) move(shift.right + step[0], shift.down + step[1], true);
    else move(0, 0, true);
  });

  const button = (sign, label, act) => el("button", { type: "button", "aria-label": label, onclick: act }, sign);
  const step = (sign, label, [x, y]) => button(sign, label, () => move(shift.right + x, shift.down + y, true));
  const pad = el(
    "div",
    { class: "steps", role: "group", "aria-label": "Move the image by one pixel" },
    step("↑", "Up", [0, -1]),
    step("←", "Left", [-1, 0]),
    button("•", "To the middle", () => move(0, 0, true)),
    step("→", "Right", [1, 0]),
    step("↓", "Down", [0, 1]),
  );
  picture.element.classList.add("arena");
  draw();
  return {
    element: el("div", { class: "mover" }, picture.element, el("div", { class: "moves" }, pad, where)),
    paint(next) {
      pixels = next;
      draw();
    },
    move,
  };
}
