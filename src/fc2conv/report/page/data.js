// The payload with what is looked up in it, and the arithmetic that depends on the reader's choices.

export class Report {
  /** @param payload as report/payload.py makes it */
  constructor(payload) {
    Object.assign(this, payload);
    /** Label -> position of a configuration. */
    this.position = new Map(this.configurations.map((c, i) => [c.label, i]));
    const validated = this.configurations.map((c, i) => [c.val?.mean, i]).filter(([mean]) => Number.isFinite(mean));
    /** Positions of the configurations that have a validation accuracy, the best first. */
    this.ranked = validated.sort((a, b) => b[0] - a[0]).map(([, i]) => i);
  }

  /** Seed -> accuracy of the run that counts for it. */
  bySeed(c, split) {
    const runs = this.configurations[c].runs.map((r) => this.runs[r]);
    return new Map(runs.filter((run) => run.counted && run[split] !== null).map((run) => [run.seed, run[split]]));
  }

  /**
   * Accuracy of configuration c less that of `baseline`, seed by seed.
   *
   * @returns {{n: number, mean: number, low: ?number, high: ?number, tie: ?boolean}|null} a 95 % interval of the mean
   *   difference by Student's t, null with one pair; a tie where it holds 0; null without pairs
   */
  difference(c, baseline, split) {
    const theirs = this.bySeed(baseline, split);
    const pairs = [...this.bySeed(c, split)].filter(([seed]) => theirs.has(seed));
    return interval(
      pairs.map(([seed, value]) => value - theirs.get(seed)),
      this.t,
    );
  }
}

/** Mean of `values` with its 95 % interval; t[i] is the 97.5 % quantile for i + 1 degrees of freedom. */
export function interval(values, t) {
  const n = values.length;
  if (n === 0) return null;
  const mean = values.reduce((a, b) => a + b, 0) / n;
  if (n === 1) return { n, mean, low: null, high: null, tie: null };
  const variance = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (n - 1);
  const half = t[Math.min(n - 1, t.length) - 1] * Math.sqrt(variance / n);
  return { n, mean, low: mean - half, high: mean + half, tie: mean - half <= 0 && mean + half >= 0 };
}
