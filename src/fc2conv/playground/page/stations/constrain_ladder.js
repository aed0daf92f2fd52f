// The ladder of D2L 7.1 for an n x n image and one hidden map of the same size: which pixels a unit reads, with which
// weights, and how many there are. The formulas are those of architectures/ladder.py.

export const RUNGS = ["dense", "local", "shared", "conv"];

export const isLocal = (rung) => rung === "local" || rung === "conv";
export const isShared = (rung) => rung === "shared" || rung === "conv";

/** The rung that has these constraints. */
export const rungOf = (local, shared) => (shared ? (local ? "conv" : "shared") : local ? "local" : "dense");

/** Weights of one map, without biases. @param {number} delta half width of a window; dense and shared have none */
export function weights(rung, n, delta) {
  const window = 2 * delta + 1;
  switch (rung) {
    case "dense":
      return n ** 4;
    case "local":
      return (n * window - delta * (delta + 1)) ** 2;
    case "shared":
      return (2 * n - 1) ** 2;
    case "conv":
      return window ** 2;
  }
}

/** Entries of one map's matrix that connect a unit with a pixel. */
export const connections = (rung, n, delta) => weights(isLocal(rung) ? "local" : "dense", n, delta);

/** Biases of one map: U has one for each unit, u is shared. */
export const biases = (rung, n) => (isShared(rung) ? 1 : n * n);

/** The formula of `weights`, and the same with the numbers put in. */
export function formula(rung, n, delta) {
  const size = n.toLocaleString("en-US");
  return {
    dense: ["n⁴", `${size}⁴`],
    local: ["(n(2Δ + 1) − Δ(Δ + 1))²", `(${size} · ${2 * delta + 1} − ${delta} · ${delta + 1})²`],
    shared: ["(2n − 1)²", `(2 · ${size} − 1)²`],
    conv: ["(2Δ + 1)²", `(2 · ${delta} + 1)²`],
  }[rung];
}

/** Whether unit (i, j) reads pixel (k, l). */
export const reads = (rung, delta, [i, j], [k, l]) =>
  !isLocal(rung) || (Math.abs(k - i) <= delta && Math.abs(l - j) <= delta);

/**
 * What two units have in common.
 *
 * @returns {{pixels: number, same: number}} pixels that the second one reads, each with a weight; and how many of these
 *   weights the first one uses, too
 */
export function common(rung, n, delta, [i, j], [p, q]) {
  let [pixels, same] = [0, 0];
  for (let k = 0; k < n; k++) {
    for (let l = 0; l < n; l++) {
      if (!reads(rung, delta, [p, q], [k, l])) continue;
      pixels++;
      if (isSame(rung, n, [i, j], [p, q], [k, l])) same++;
    }
  }
  return { pixels, same };
}

/** Whether the weight of unit (p, q) for pixel (k, l), which it reads, is one that unit (i, j) uses. */
export function isSame(rung, n, [i, j], [p, q], [k, l]) {
  if (i === p && j === q) return true;
  if (!isShared(rung)) return false;
  const [row, column] = [i + k - p, j + l - q];
  return row >= 0 && row < n && column >= 0 && column < n;
}
