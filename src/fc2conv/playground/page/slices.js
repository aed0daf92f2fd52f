// Long computations beside a page that answers: a generator is run between frames, a few milliseconds at a time.

/** Milliseconds of computing in each frame, of which there are 60 in a second: the rest is the page's. */
const BUDGET = 12;

/**
 * Run a generator to its end, or until it is stopped.
 *
 * @param {Iterator} work each of its steps should take less than a millisecond or two
 * @param {function()} [onFrame] called after each slice: draw what is new
 * @param {function()} [onEnd] called when the work is done
 * @returns {{stop: function()}}
 */
export function inSlices(work, { onFrame = () => {}, onEnd = () => {} } = {}) {
  let stopped = false;

  function slice() {
    if (stopped) return;
    const until = performance.now() + BUDGET;
    let done = false;
    while (!done && !stopped && performance.now() < until) done = work.next().done;
    if (stopped) return;
    onFrame();
    if (done) onEnd();
    else requestAnimationFrame(slice);
  }

  requestAnimationFrame(slice);
  return {
    stop: () => {
      stopped = true;
    },
  };
}
