"""What a claim still lacks, and what that would cost: counted from the sweep files and results/, so it is quick."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from fc2conv.claims.arms import arms_of
from fc2conv.claims.claim import SEARCHED, Claim
from fc2conv.claims.evidence import Arm, Evidence

Seconds = dict[str | None, float]
"""Model -> seconds of one of its runs on one core; None: of any model."""


@dataclass(frozen=True)
class Missing:
    """Runs that are in no result."""

    runs: int
    seconds: float | None
    """That they would take one after the other on one core; None where nothing like them has been recorded."""


def missing(claim: Claim, evidence: Evidence | None, known: Seconds) -> Missing:
    """What is not in the claim's own results; runs that other claims share with it may be on disk all the same.

    Args:
        known: from `seconds_by_model`

    Raises:
        ConfigError: a sweep file cannot be read
    """
    recorded = {frozenset(arm.overrides): arm for arm in evidence.arms} if evidence else {}
    searched = len(SEARCHED) * len(claim.rates) if len(claim.rates) > 1 else 0
    runs, seconds = 0, 0.0
    for planned in arms_of(claim):
        arm = recorded.get(frozenset(planned.overrides)) or Arm(planned.name, planned.overrides)
        left = max(0, claim.seeds - len(arm.runs)) + max(0, searched - len(arm.search))
        runs += left
        seconds += left * known.get(arm.value_of("model"), known.get(None, float("nan"))) if left else 0
    return Missing(runs, None if seconds != seconds else seconds)


def seconds_by_model(found: Iterable[Evidence]) -> Seconds:
    """Of an arm its fastest run, which was disturbed least by what else the machine did; of a model the mean arm."""
    by_model: dict[str | None, list[float]] = {}
    for evidence in found:
        for arm in evidence.arms:
            if times := arm.values("seconds").values():
                for model in (arm.value_of("model"), None):
                    by_model.setdefault(model, []).append(min(times))
    return {model: statistics.fmean(times) for model, times in by_model.items()}
