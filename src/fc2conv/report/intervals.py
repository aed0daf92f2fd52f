"""Means with their intervals, and differences of runs with equal seeds. Student's t, 95 %."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

from fc2conv.record.result import spread

COVERED = 0.95
"""Of the intervals."""
TABULATED = 100
"""From so many degrees of freedom on, the normal's quantile is taken: it is less by 1.3 % at most."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds; one value has no interval."""

    mean: float
    std: float
    """Sample standard deviation; 0 of a single value."""
    n: int
    low: float | None
    high: float | None
    """The interval of the mean."""

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate | None:
        """None without values."""
        if not values:
            return None
        mean, std, n = spread(values)
        half = t_quantile(n - 1) * std / math.sqrt(n) if n > 1 else None
        return cls(mean, std, n, None if half is None else mean - half, None if half is None else mean + half)


@dataclass(frozen=True)
class Difference:
    """Of two configurations, from the seeds that both have."""

    estimate: Estimate

    @property
    def tie(self) -> bool | None:
        """Whether it may be none: the interval holds 0. None: a single pair says nothing of that."""
        low, high = self.estimate.low, self.estimate.high
        return None if low is None or high is None else low <= 0 <= high


def paired(ours: Mapping[int, float], baseline: Mapping[int, float]) -> Difference | None:
    """`ours` minus `baseline`, both by seed; None without a common seed.

    Example:
        >>> found = paired({0: 0.5, 1: 0.75, 2: 0.9}, {0: 0.25, 1: 0.5})
        >>> found.estimate.mean, found.estimate.n, found.tie
        (0.25, 2, False)
    """
    estimate = Estimate.of([ours[seed] - baseline[seed] for seed in sorted(ours.keys() & baseline.keys())])
    return None if estimate is None else Difference(estimate)


def t_quantiles() -> list[float]:
    """The factors for 1, 2, ... degrees of freedom, the normal's last: for whoever has no t_quantile."""
    return [t_quantile(df) for df in range(1, TABULATED + 2)]


@cache
def t_quantile(df: int, covered: float = COVERED) -> float:
    """The t that |T|, of Student's with `df` degrees of freedom, stays below with probability `covered`."""
    if df > TABULATED:
        return NormalDist().inv_cdf((1 + covered) / 2)
    low, high = 0.0, 16.0
    while _within(high, df) < covered:
        high *= 2
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if _within(middle, df) < covered else (low, middle)
    return high


def _within(t: float, df: int) -> float:
    """P(|T| < t): the finite sums of Abramowitz and Stegun, Handbook of Mathematical Functions (1964), 26.7.3 and 4."""
    angle = math.atan(t / math.sqrt(df))
    square, odd = math.cos(angle) ** 2, df % 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0
    for k in range(1 + odd, df, 2):  # df // 2 terms
        total += term
        term *= square * k / (k + 1)
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total
