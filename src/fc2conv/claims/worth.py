"""How much data a prior is worth: k(n), such that the network with it at n images equals the one without at k n.

The accuracy of the network without is interpolated linearly over log n between the sizes at which it was trained, and
never beyond: where the other is better than all of them, k is larger than the largest allows, and nothing more is said.

The interval is of 1,000 bootstrap samples, in which both the seeds and the test images are drawn anew, the same for all
arms: the seeds have their subset, and all of them the test images, in common.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fc2conv.claims.evidence import Arm, Evidence

SAMPLES = 1000
ENDS = (0.025, 0.975)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Worth:
    """Of the prior at one number of images."""

    images: int
    k: float
    low: float
    high: float
    """0: less than the smallest size of the network without allows; inf: more than the largest does."""
    least: float
    most: float
    """Between which k can be told: the smallest and largest size of the network without, over `images`."""

    def __str__(self) -> str:
        interval = f"{self._spelled(self.low)} to {self._spelled(self.high)}"
        return f"{self._spelled(self.k)} ({interval})"

    def _spelled(self, k: float) -> str:
        if k == 0:
            return f"< {self.least:.2g}"
        return f"> {self.most:.3g}" if math.isinf(k) else f"{k:.2f}" if k < 10 else f"{k:.0f}"


def worth(evidence: Evidence, with_prior: Sequence[Arm], without: Sequence[Arm]) -> list[Worth]:
    """k(n) of each arm of `with_prior`, by the curve of `without`; both by their data.train_size."""
    with_prior, without = (sorted(arms, key=size_of) for arms in (with_prior, without))
    sizes = [size_of(arm) for arm in without]
    found = []
    samples = [_needed_by(each, sizes, len(with_prior)) for each in _samples(evidence, [*with_prior, *without])]
    means = np.array([np.mean(list(arm.values("test.acc").values())) for arm in (*with_prior, *without)])
    for i, (arm, needed) in enumerate(zip(with_prior, _needed_by(means, sizes, len(with_prior)), strict=True)):
        n = size_of(arm)
        ordered = sorted(sample[i] for sample in samples)
        low, high = (ordered[round(end * (len(ordered) - 1))] for end in ENDS)
        found.append(Worth(n, needed / n, low / n, high / n, sizes[0] / n, sizes[-1] / n))
    return found


def size_of(arm: Arm) -> int:
    """Its data.train_size."""
    return int(arm.value_of("data.train_size") or 0)


def needed(sizes: Sequence[int], accuracies: Sequence[float], accuracy: float) -> float:
    """The fewest images with which a network of this curve has the accuracy; 0 where fewer than the smallest size would
    do, inf where it never has it.

    Example:
        >>> needed([100, 10_000], [0.5, 0.7], 0.6)
        1000.0
    """
    if accuracy < accuracies[0]:
        return 0.0
    if accuracy == accuracies[0]:
        return float(sizes[0])
    for (n, below), (m, above) in pairwise(zip(sizes, accuracies, strict=True)):
        if below < accuracy <= above:
            part = (accuracy - below) / (above - below)
            return round(math.exp((1 - part) * math.log(n) + part * math.log(m)), 6)
    return math.inf


def _needed_by(means: Floats, sizes: Sequence[int], n: int) -> list[float]:
    """Of each of the first n accuracies, by the curve of the others."""
    return [needed(sizes, means[n:].tolist(), accuracy) for accuracy in means[:n].tolist()]


def _samples(evidence: Evidence, arms: Sequence[Arm]) -> list[Floats]:
    """SAMPLES of the arms' mean accuracies."""
    random = np.random.default_rng(0)
    by_seed = [arm.values("test.acc") for arm in arms]
    seeds = sorted(set.intersection(*map(set, by_seed)))
    accuracies = np.array([[values[seed] for seed in seeds] for values in by_seed])
    rates = None
    if all(arm.name in evidence.correct for arm in arms):
        rates = np.array([evidence.correct[arm.name] / len(arm.runs) for arm in arms])
        rates -= rates.mean(1, keepdims=True)
    found = []
    for _ in range(SAMPLES):
        sample = accuracies[:, random.integers(len(seeds), size=len(seeds))].mean(1)
        if rates is not None:
            images = rates.shape[1]
            drawn = np.bincount(random.integers(images, size=images), minlength=images)
            sample = sample + rates @ drawn / images
        found.append(sample)
    return found
