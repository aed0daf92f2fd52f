// Plays a window over its places: one by one at first, then faster.

import { el } from "pages/dom.js";

const SLOW = 240; // ms a step
const FAST = 24;
const SLOW_STEPS = 8;

const calm = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * @param {function(number): void} onMove called with the new place
 * @param {function(number): string} describe what a place is called
 */
export function player(onMove, describe) {
  let [n, at, timer] = [1, 0, null];
  const slider = el("input", { type: "range", min: 0, step: 1, "aria-label": "Place of the window" });
  slider.addEventListener("input", () => move(Number(slider.value)));
  const button = (text, onclick) => el("button", { type: "button", onclick }, text);
  const play = button("Play", () => (timer === null ? start() : stop()));
  play.classList.add("primary");
  const element = el(
    "div",
    { class: "player" },
    el(
      "div",
      { class: "buttons" },
      play,
      button("Back", () => move(at - 1)),
      button("Step", () => move(at + 1)),
      button("To the end", () => move(n - 1)),
      button("Start again", () => move(0, true)),
    ),
    slider,
  );

  function stop() {
    clearTimeout(timer);
    timer = null;
    play.textContent = "Play";
  }

  function show() {
    slider.max = n - 1;
    slider.value = at;
    slider.setAttribute("aria-valuetext", describe(at));
  }

  function move(to, again = false) {
    stop();
    at = Math.min(n - 1, Math.max(0, to));
    show();
    onMove(at, again);
  }

  function start() {
    if (calm.matches) return move(n - 1);
    if (at >= n - 1) move(0, true);
    play.textContent = "Pause";
    let steps = 0;
    const tick = () => {
      at += 1;
      steps += 1;
      show();
      onMove(at, false);
      if (at >= n - 1) stop();
      else timer = setTimeout(tick, steps < SLOW_STEPS ? SLOW : FAST);
    };
    timer = setTimeout(tick, SLOW);
    return undefined;
  }

  /** So many places, from this one on. */
  function reset(places, from = 0) {
    stop();
    [n, at] = [places, Math.min(from, places - 1)];
    show();
  }

  return { element, reset, move, stop };
}
