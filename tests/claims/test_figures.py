"""Figures and descriptions of claims are made of evidence alone."""

from __future__ import annotations

from fc2conv.claims.arms import arms_of
from fc2conv.claims.claim import Claim
from fc2conv.claims.drawing import spec
from fc2conv.claims.evidence import Arm, Evidence, Figure, Run
from fc2conv.claims.invariance import EQUIVARIANCE, SHIFT
from fc2conv.claims.pixel_order import NEIGHBOURS, PERMUTATION


def evidence_of(claim: Claim, figures: dict[Figure, float], names: list[str]) -> Evidence:
    """Three seeds of each arm, whose figures differ a little."""
    arms = [
        Arm(
            name,
            tuple(name.split()),
            tuple(Run(seed, {f: v + seed / 1000 for f, v in figures.items()}) for seed in range(3)),
        )
        for name in names
    ]
    return Evidence(claim.name, tuple(arms))


def test_figures_and_descriptions_are_made_of_evidence() -> None:
    shift: dict[Figure, float] = {
        f"shift.{n}_{d}": 1 - d / 10 for n in ("accuracy", "relative", "consistency") for d in range(9)
    }
    errors: dict[Figure, float] = {
        f"equivariance.{n}_{d}": d / 9 for n in ("conv", "stage1", "stage2") for d in range(9)
    }
    names = [f"data.permutation={o} distance={d}" for o in ("none", "fixed") for d in (1, 14, "any")]
    for claim, figures, arms in (
        (PERMUTATION, {"test.acc": 0.8}, [arm.name for arm in arms_of(PERMUTATION)]),
        (EQUIVARIANCE, {"test.acc": 0.8, **errors}, [arm.name for arm in arms_of(EQUIVARIANCE)]),
        (SHIFT, {"shift.consistency": 0.5, **shift}, [arm.name.replace(", ", ",") for arm in arms_of(SHIFT)]),
        (NEIGHBOURS, {"neighbours.correlation": 0.5}, names),
    ):
        evidence = evidence_of(claim, figures, arms)
        assert claim.figure
        assert claim.describe
        assert spec(claim.figure(evidence))["config"]
        told = claim.describe(evidence)
        rows = [line for line in told if line.startswith("|")]
        assert rows
        assert {line.count("|") for line in rows} == {rows[0].count("|")}
        assert "nan" not in "\n".join(told)
