"""Evidence -> verdict: pure functions of what was recorded.

A comparison's estimate is the mean, over seeds, of a linear combination of arms that were trained with equal seeds. Its
interval is

    mean +- t(n - 1, 1 - .025 / m) sqrt(s^2 / n + v / N)

for n seeds with the sample variance s^2, m comparisons of the claim (Bonferroni), and N test images: v is the variance
over these of the seed-averaged combination of correctness. The seeds share the test set, so that more seeds say no more
about other images. Where each seed has a test set of its own, or another figure than test accuracy is compared, v is 0.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fc2conv.claims.claim import COVERED, Claim, Comparison
from fc2conv.claims.evidence import Evidence
from fc2conv.errors import ConfigError
from fc2conv.report.intervals import t_quantile

Verdict = Literal["supported", "refuted", "undecided"]
OPEN: Literal["not run"] = "not run"
"""In place of a verdict."""


@dataclass(frozen=True)
class Outcome:
    """Of one comparison."""

    comparison: Comparison
    mean: float
    """Of a ratio, the median."""
    std: float
    """Over seeds."""
    n: int
    low: float
    high: float
    verdict: Verdict

    @property
    def interval(self) -> str:
        """The estimate with its interval: +0.0312 [+0.0270, +0.0354], or of a ratio 1.42 [1.38, 1.47]."""
        values = (self.mean, self.low, self.high)
        sign = "" if self.comparison.kind == "ratio" else "+"
        large = self.comparison.kind == "ratio" or max(map(abs, values)) >= 10
        mean, low, high = (format(value, f"{sign},.3g" if large else f"{sign}.4f") for value in values)
        return f"{mean} [{low}, {high}]"


@dataclass(frozen=True)
class Finding:
    """Of a claim."""

    verdict: Verdict | Literal["not run"]
    outcomes: tuple[Outcome, ...]


def judge(claim: Claim, evidence: Evidence | None) -> Finding:
    """Supported if all comparisons and checks are, refuted if one is, else undecided; not run where a part is missing.

    Raises:
        ConfigError: a comparison names no arm of the evidence
    """
    if evidence is None or evidence.quick or (claim.checks and not evidence.checks):
        return Finding(OPEN, ())
    outcomes = tuple(outcome(each, evidence, len(claim.comparisons)) for each in claim.comparisons)
    verdicts: list[Verdict] = [each.verdict for each in outcomes]
    verdicts += ["supported" if check.holds else "refuted" for check in evidence.checks]
    if "refuted" in verdicts:
        return Finding("refuted", outcomes)
    return Finding("undecided" if "undecided" in verdicts or not verdicts else "supported", outcomes)


def outcome(comparison: Comparison, evidence: Evidence, m: int = 1) -> Outcome:
    """What evidence says of one of `m` comparisons."""
    covered = 1 - (1 - COVERED) / m
    if comparison.kind == "ratio":
        return _ratio(comparison, evidence, covered)
    by_seed = combined(comparison, evidence)
    n, mean, std = len(by_seed), statistics.fmean(by_seed), statistics.stdev(by_seed)
    half = t_quantile(n - 1, covered) * math.sqrt(std**2 / n + image_variance(comparison, evidence))
    low, high = mean - half, mean + half
    edges = (comparison.margin, math.inf) if comparison.kind == "effect" else (-comparison.margin, comparison.margin)
    return Outcome(comparison, mean, std, n, low, high, _verdict(low, high, *edges))


def combined(comparison: Comparison, evidence: Evidence) -> list[float]:
    """The linear combination for each seed that all of its arms have, in the seeds' order.

    Raises:
        ConfigError: fewer than two have it
    """
    values = [(weight, evidence.arm(arm).values(comparison.of)) for weight, arm in comparison.terms]
    seeds = set.intersection(*(set(found) for _, found in values))
    if len(seeds) < 2:
        raise ConfigError("claims", f"{evidence.claim}: {comparison.says}: {len(seeds)} seeds have {comparison.of}")
    return [sum(weight * found[seed] for weight, found in values) for seed in sorted(seeds)]


def image_variance(comparison: Comparison, evidence: Evidence) -> float:
    """v / N: how uncertain the mean is because there are only N test images."""
    arms = [(weight, evidence.arm(arm)) for weight, arm in comparison.terms]
    if comparison.of != "test.acc" or any(arm.name not in evidence.correct for _, arm in arms):
        return 0.0
    combination = np.sum([weight * (evidence.correct[arm.name] / len(arm.runs)) for weight, arm in arms], axis=0)
    return float(np.var(combination, ddof=1) / len(combination))


def _ratio(comparison: Comparison, evidence: Evidence, covered: float) -> Outcome:
    """The median of paired ratios, with the order statistics that cover it (sign test); of too few, any interval."""
    more, less = (evidence.arm(arm).values(comparison.of) for _, arm in comparison.terms)
    ratios = sorted(more[i] / less[i] for i in more.keys() & less.keys())
    n, median, std = len(ratios), statistics.median(ratios), statistics.stdev(ratios)
    k = order_statistic(n, covered)
    low, high = (0.0, math.inf) if k is None else (ratios[k], ratios[n - 1 - k])
    return Outcome(comparison, median, std, n, low, high, _verdict(low, high, comparison.margin, math.inf))


def order_statistic(n: int, covered: float = COVERED) -> int | None:
    """The largest k such that the k-th smallest and the k-th largest (from 0) of n values cover the median with at
    least that probability; None where even the smallest and the largest do not.

    Example:
        >>> order_statistic(9)  # of nine, the second smallest and largest cover it with 96.1 %
        1
    """
    k = -1
    while 2 * sum(math.comb(n, i) for i in range(k + 2)) / 2**n <= 1 - covered:
        k += 1
    return k if k >= 0 else None


def _verdict(low: float, high: float, least: float, most: float) -> Verdict:
    """Supported if the interval lies inside, refuted if it lies outside."""
    if least < low and high < most:
        return "supported"
    return "refuted" if high < least or low > most else "undecided"


def names(outcomes: Sequence[Outcome]) -> str:
    """How many came out how, for a line."""
    found = [each.verdict for each in outcomes]
    return ", ".join(f"{found.count(v)} {v}" for v in ("supported", "refuted", "undecided") if v in found)
