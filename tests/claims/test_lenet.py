"""What each change to the book's LeNet gains, of accuracies that are a formula."""

from __future__ import annotations

import pytest

from fc2conv.claims.arms import arms_of
from fc2conv.claims.evidence import Arm, Evidence, Run
from fc2conv.claims.lenet import (
    CHANGES,
    RECIPES,
    TRAINING,
    changed,
    describe_training,
    draw_training,
    gain,
    interaction,
    made,
    mean_gain,
)

EVERY = frozenset(CHANGES)
ADDED = {"rectifiers": 0.1, "maximum pooling": 0.02, "batch norm": 0.05, "AdamW": 0.03}
TOGETHER = -0.04
"""Of rectifiers and batch norm, beyond what each adds."""


def accuracy(arm: Arm, seed: int) -> float:
    changes = made(arm)
    both = {"rectifiers", "batch norm"} <= changes
    return 0.5 + sum(ADDED[change] for change in changes) + TOGETHER * both + 0.001 * seed


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    planned = [Arm(arm.name, arm.overrides) for arm in arms_of(TRAINING)]
    return Evidence(
        "training",
        tuple(
            Arm(arm.name, arm.overrides, tuple(Run(seed, {"test.acc": accuracy(arm, seed)}) for seed in range(3)))
            for arm in planned
        ),
    )


def test_all_combinations_are_there_once(evidence: Evidence) -> None:
    assert len(changed(evidence)) == 16 == len(evidence.select("trainer.max_epochs=3"))
    assert {evidence.arm(selector).name for selector in RECIPES}


def test_gains(evidence: Evidence) -> None:
    found = changed(evidence)
    for change, added in ADDED.items():
        together = TOGETHER if change in ("rectifiers", "batch norm") else 0.0
        assert gain(found, change, frozenset()) == pytest.approx(dict.fromkeys(range(3), added))
        assert gain(found, change, EVERY) == pytest.approx(dict.fromkeys(range(3), added + together))
        assert mean_gain(found, change) == pytest.approx(dict.fromkeys(range(3), added + together / 2))


def test_interactions(evidence: Evidence) -> None:
    found = changed(evidence)
    for one, other in (("rectifiers", "batch norm"), ("batch norm", "rectifiers")):
        assert interaction(found, one, other) == pytest.approx(dict.fromkeys(range(3), TOGETHER))
    assert interaction(found, "AdamW", "rectifiers") == pytest.approx(dict.fromkeys(range(3), 0.0))


def test_words_and_figure(evidence: Evidence) -> None:
    lines = describe_training(evidence)
    assert "| rectifiers | +10.0 (+10.0 to +10.0) | +6.0 (+6.0 to +6.0) | +8.0 (+8.0 to +8.0) |" in lines
    assert "| rectifiers and batch norm | -4.0 (-4.0 to -4.0) |" in lines
    drawn = draw_training(evidence).to_json()
    for name in ("the book's LeNet: 0.5010", "rectifiers + maximum pooling + batch norm + AdamW: 0.6610"):
        assert name in drawn
