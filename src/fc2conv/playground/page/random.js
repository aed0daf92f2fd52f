// Random numbers that a seed repeats.

/**
 * A generator of numbers in [0, 1) (mulberry32, by Tommy Ettinger).
 *
 * @param {number} seed an integer
 * @returns {() => number}
 */
export function generator(seed) {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The numbers 0 to n - 1 in a random order. @returns {Uint16Array} */
export function shuffled(n, random) {
  const order = Uint16Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}
