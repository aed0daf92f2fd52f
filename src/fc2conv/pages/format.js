// How numbers are written, everywhere on a page: 61,706; 0.9155 ± 0.0023; 1 h 5 min.

export const NONE = "–";

const known = (value) => value !== null && value !== undefined && Number.isFinite(value);
const grouped = new Intl.NumberFormat("en-US");

export const count = (value) => (known(value) ? grouped.format(Math.round(value)) : NONE);

/** An edge in pixels; or text, HEIGHTxWIDTH, where both differ. */
export const extent = (value) => (typeof value === "string" ? value : count(value));

/** What an extent is sorted and filtered by: the edge of the square of as many pixels. */
export const edgeOf = (value) =>
  typeof value === "string" ? Math.sqrt(value.split("x").reduce((a, b) => a * b)) : value;

export const accuracy = (value) => (known(value) ? value.toFixed(4) : NONE);

/** 0.9155 ± 0.0023, for {mean, std, low}; without the deviation where there is one value, which has no interval. */
export function spread(estimate) {
  if (!known(estimate?.mean)) return NONE;
  return known(estimate.low) ? `${accuracy(estimate.mean)} ± ${accuracy(estimate.std)}` : accuracy(estimate.mean);
}

/** With its sign: +0.0012, −0.0031. */
export function signed(value) {
  if (!known(value)) return NONE;
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(4)}`;
}

export function duration(seconds) {
  if (!known(seconds)) return NONE;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** 1 run, 2 runs. */
export const plural = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;
