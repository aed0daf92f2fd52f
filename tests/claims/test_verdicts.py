"""Intervals and verdicts, by published tables and by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from claims.made_up import claimed

from fc2conv.claims.claim import Comparison, effect, equal, ratio
from fc2conv.claims.evidence import Arm, Check, Evidence, Run
from fc2conv.claims.verdicts import combined, image_variance, judge, order_statistic, outcome
from fc2conv.errors import ConfigError
from fc2conv.report.intervals import t_quantile


def arm(name: str, values: Sequence[float] | dict[int, float], of: str = "test.acc") -> Arm:
    by_seed = values if isinstance(values, dict) else dict(enumerate(values))
    return Arm(name, tuple(name.split()), tuple(Run(seed, {of: value}) for seed, value in by_seed.items()))


def of(*arms: Arm, **more: object) -> Evidence:
    return Evidence("made_up", arms, **more)  # type: ignore[arg-type]


# --- Student's t, where several comparisons share the 5 %


@pytest.mark.parametrize(
    ("df", "m", "published"),
    [
        *((4, 1, 2.776), (4, 2, 3.495), (4, 3, 3.961), (4, 4, 4.315)),
        *((9, 1, 2.262), (9, 2, 2.685), (9, 3, 2.933), (9, 4, 3.111)),
    ],
)
def test_quantiles_are_those_of_the_published_bonferroni_table(df: int, m: int, published: float) -> None:
    """Bailey (1977), Tables of the Bonferroni t statistic: the quantile 1 - .025 / m."""
    assert round(t_quantile(df, 1 - 0.05 / m), 3) == published


# --- the estimate and its interval


def test_a_difference_is_paired_by_seed() -> None:
    """Differences 1, 2, 3 hundredths: mean .02, deviation .01; 4.3027 * .01 / sqrt(3) = .024842."""
    evidence = of(arm("a", [0.91, 0.82, 0.73]), arm("b", {2: 0.70, 1: 0.80, 0: 0.90}))
    found = outcome(effect("", "a", "b"), evidence)
    assert (found.mean, found.std, found.n) == (pytest.approx(0.02), pytest.approx(0.01), 3)
    assert (found.low, found.high) == (pytest.approx(0.02 - 0.024842, abs=1e-6), pytest.approx(0.044842, abs=1e-6))


def test_only_seeds_that_all_arms_have_count() -> None:
    evidence = of(arm("a", {0: 0.5, 1: 0.6, 2: 0.7}), arm("b", {1: 0.5, 2: 0.5, 3: 0.0}))
    assert combined(effect("", "a", "b"), evidence) == pytest.approx([0.1, 0.2])


def test_an_interaction_is_a_linear_combination() -> None:
    """(.9 - .8) - (.7 - .5) = -.1 for seed 0, (.9 - .8) - (.7 - .65) = .05 for seed 1."""
    evidence = of(arm("a", [0.9, 0.9]), arm("b", [0.8, 0.8]), arm("c", [0.7, 0.7]), arm("d", [0.5, 0.65]))
    interaction = Comparison("", "effect", ((1, "a"), (-1, "b"), (-1, "c"), (1, "d")), 0.003)
    assert combined(interaction, evidence) == pytest.approx([-0.1, 0.05])


def test_one_seed_is_too_few() -> None:
    with pytest.raises(ConfigError, match=r"one wins: 1 seeds have test\.acc"):
        outcome(effect("one wins", "a", "b"), of(arm("a", [0.5]), arm("b", [0.5])))


def test_few_test_images_widen_the_interval() -> None:
    """Of four images, both seeds of a get three right, and of b the first seed one, the second three.

    a is right on 1, 1, 1, 0 of the seeds, b on 1, 1/2, 1/2, 0: the difference 0, 1/2, 1/2, 0 has the mean 1/4 and the
    variance (4 * 1/16) / 3 = 1/12, and v / N = 1/48. Of the seeds' differences .5 and 0 the variance is 1/8, over n
    it is 1/16.
    """
    counts = {"a": np.array([2, 2, 2, 0], np.uint8), "b": np.array([2, 1, 1, 0], np.uint8)}
    evidence = of(arm("a", [0.75, 0.75]), arm("b", [0.25, 0.75]), correct=counts)
    comparison = effect("", "a", "b")
    assert image_variance(comparison, evidence) == pytest.approx(1 / 48)
    found = outcome(comparison, evidence)
    assert found.mean == pytest.approx(0.25)
    assert found.high - found.mean == pytest.approx(12.7062 * math.sqrt(1 / 16 + 1 / 48), rel=1e-5)


@pytest.mark.parametrize("comparison", [effect("", "a", "b", of="train.acc"), effect("", "a", "c")])
def test_test_images_count_only_where_they_are_the_same(comparison: Comparison) -> None:
    counts = {"a": np.array([2, 0], np.uint8), "b": np.array([0, 2], np.uint8)}
    arms = [Arm(name, (name,), (Run(0, {"test.acc": 0.5, "train.acc": 0.5}),) * 2) for name in "abc"]
    assert image_variance(comparison, of(*arms, correct=counts)) == 0


def test_more_comparisons_are_judged_more_strictly() -> None:
    """The same differences: with four comparisons the interval is wider by 3.1109 / 2.2622."""
    evidence = of(arm("a", [i / 100 for i in range(10)]), arm("b", [0] * 10))
    one, four = (outcome(effect("", "a", "b"), evidence, m) for m in (1, 4))
    assert (four.high - four.mean) / (one.high - one.mean) == pytest.approx(3.1109 / 2.2622, rel=1e-4)


# --- verdicts, where an interval meets a margin

WIDE = 12.7062 * 0.001
"""Half the interval of two seeds that are .001 from their mean: t(1) s / sqrt(2), and s = .001 sqrt(2)."""


@pytest.mark.parametrize(
    ("mean", "verdict"),
    [
        *((0.0031 + WIDE, "supported"), (0.003 + WIDE, "undecided"), (0.003, "undecided")),
        *((0.003 - WIDE, "undecided"), (0.0029 - WIDE, "refuted")),
    ],
)
def test_an_effect_lies_wholly_above_its_margin(mean: float, verdict: str) -> None:
    mean += {"undecided": math.copysign(1e-6, 0.003 - mean)}.get(verdict, 0)  # inside the edge, whatever is rounded
    evidence = of(arm("a", [0.5 + mean - 0.001, 0.5 + mean + 0.001]), arm("b", [0.5, 0.5]))
    assert outcome(effect("", "a", "b"), evidence).verdict == verdict


@pytest.mark.parametrize(
    ("mean", "verdict"),
    [
        *((0.0, "supported"), (0.0072, "supported"), (0.0074, "undecided"), (0.0326, "undecided"), (0.0328, "refuted")),
        *((-0.0072, "supported"), (-0.0074, "undecided"), (-0.0328, "refuted")),
    ],
)
def test_equals_lie_wholly_within_their_margin(mean: float, verdict: str) -> None:
    """Half the interval is .012706, the margin .02: supported up to .007294, refuted from .032706."""
    evidence = of(arm("a", [0.5 + mean - 0.001, 0.5 + mean + 0.001]), arm("b", [0.5, 0.5]))
    assert outcome(equal("", "a", "b", 0.02), evidence).verdict == verdict


def test_an_interval_that_holds_the_whole_margin_decides_nothing() -> None:
    evidence = of(arm("a", [0.4, 0.6]), arm("b", [0.5, 0.5]))
    assert outcome(equal("", "a", "b"), evidence).verdict == "undecided"


def test_an_edge_itself_decides_nothing() -> None:
    evidence = of(arm("a", [0.75, 0.75]), arm("b", [0.5, 0.5]))
    assert outcome(effect("", "a", "b", 0.25), evidence).verdict == "undecided"
    assert outcome(equal("", "a", "b", 0.25), evidence).verdict == "undecided"


# --- ratios


@pytest.mark.parametrize(
    ("n", "covered", "k"),
    [(5, 0.95, None), (6, 0.95, 0), (7, 0.95, 0), (9, 0.95, 1), (10, 0.95, 1), (20, 0.95, 5), (7, 0.9875, None)],
)
def test_order_statistics_cover_the_median(n: int, covered: float, k: int | None) -> None:
    """By the binomial distribution: at most 5 of 20 lie below the median with probability .0207, so that the 6th and
    the 15th cover it with 95.86 %. Of seven the least and the largest do with 1 - 2 / 2^7 = 98.44 %, of five with
    93.75 %.
    """
    assert order_statistic(n, covered) == k


def test_order_statistics_cover_at_least_as_much_as_they_say() -> None:
    """By counting all 2^n ways in which n values can lie below or above their median."""
    for n in range(6, 15):
        k = order_statistic(n)
        assert k is not None
        below = [bin(pattern).count("1") for pattern in range(2**n)]
        covers = [sum(at < count < n - at for count in below) / 2**n for at in (k, k + 1)]
        assert covers[0] >= 0.95 > covers[1]


@pytest.mark.parametrize(("margin", "verdict"), [(1.1, "supported"), (1.5, "undecided"), (2.3, "refuted")])
def test_a_ratio_is_the_median_of_paired_repetitions(margin: float, verdict: str) -> None:
    """Seven ratios, 1.2 to 2.2 with the median 2: their least and largest are the interval."""
    ratios = [2.0, 1.2, 2.1, 1.9, 2.2, 2.0, 1.8]
    base = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    evidence = of(arm("a", [x * r for x, r in zip(base, ratios, strict=True)], "seconds"), arm("b", base, "seconds"))
    found = outcome(ratio("", "a", "b", margin, "seconds"), evidence)
    assert (found.mean, found.low, found.high) == (pytest.approx(2.0), pytest.approx(1.2), pytest.approx(2.2))
    assert (found.verdict, found.n) == (verdict, 7)


def test_too_few_repetitions_decide_nothing() -> None:
    evidence = of(arm("a", [2.0] * 5, "seconds"), arm("b", [1.0] * 5, "seconds"))
    assert outcome(ratio("", "a", "b", 1.5, "seconds"), evidence).verdict == "undecided"


# --- claims

CERTAIN = of(arm("a", [0.9, 0.9]), arm("b", [0.8, 0.8]))
MORE, LESS = effect("a wins", "a", "b"), effect("b wins", "b", "a")
UNKNOWN = effect("by just so much", "a", "b", 0.1)
HOLDS, FAILS = Check("four", 4, 4), Check("close", 1.1e-5, 0, 1e-5)


@pytest.mark.parametrize(
    ("comparisons", "checks", "verdict"),
    [
        ([MORE, MORE], [], "supported"),
        ([MORE, LESS], [], "refuted"),
        ([LESS, UNKNOWN], [], "refuted"),
        ([MORE], [HOLDS, HOLDS], "supported"),
        ([MORE], [HOLDS, FAILS], "refuted"),
        ([], [HOLDS], "supported"),
        ([], [Check("no number", float("nan"), 0, 1)], "refuted"),
    ],
)
def test_a_claim_is_what_its_parts_are(comparisons: list[Comparison], checks: list[Check], verdict: str) -> None:
    claim = claimed(comparisons=(*comparisons,), checks=(lambda: checks) if checks else None)
    assert judge(claim, of(*CERTAIN.arms, checks=tuple(checks))).verdict == verdict


def test_what_is_not_decided_leaves_the_claim_undecided() -> None:
    evidence = of(arm("a", [0.9, 0.9]), arm("b", [0.8, 0.8]), arm("c", [0.7, 0.98]))
    assert (
        judge(
            claimed(
                comparisons=(
                    MORE,
                    effect("", "a", "c"),
                )
            ),
            evidence,
        ).verdict
        == "undecided"
    )


@pytest.mark.parametrize("evidence", [None, of(*CERTAIN.arms, quick=True)])
def test_without_whole_evidence_there_is_no_verdict(evidence: Evidence | None) -> None:
    assert judge(claimed(comparisons=(MORE,)), evidence).verdict == "not run"
    assert judge(claimed(comparisons=(MORE,), checks=lambda: [HOLDS]), CERTAIN).verdict == "not run"


def test_the_figures_are_said_in_one_form() -> None:
    found = outcome(MORE, CERTAIN)
    assert found.interval == "+0.1000 [+0.1000, +0.1000]"
    times = of(arm("a", [3.0] * 7, "seconds"), arm("b", [2.0] * 7, "seconds"))
    assert outcome(ratio("", "a", "b", 1.2, "seconds"), times).interval == "1.5 [1.5, 1.5]"
