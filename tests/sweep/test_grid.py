"""Who trains what under force=true, when others are at the same grid."""

from __future__ import annotations

from pathlib import Path

import pytest

from fc2conv.architectures.mlp import MLPConfig
from fc2conv.config.schema import Config
from fc2conv.record.lock import claim
from fc2conv.sweep.sweeper import Grid
from fc2conv.sweep.trials import Trial


@pytest.fixture
def trials(tmp_path: Path) -> list[Trial]:
    """Three that are finished."""
    made = [Trial.of(Config(model=MLPConfig(), seed=seed), tmp_path / "sweep", (f"seed={seed}",)) for seed in range(3)]
    for trial in made:
        trial.end("done", "")
    return made


def test_what_another_has_trained_meanwhile_is_not_trained_again(trials: list[Trial]) -> None:
    """Even if nobody has seen it at work."""
    a, b, c = trials
    grid = Grid(trials, force=True)
    assert grid.take() == a
    b.end("done", "by another")
    assert grid.take() == c
    assert grid.take() is None
    assert not grid.left()


def test_a_lock_alone_trains_nothing(trials: list[Trial]) -> None:
    """It may be held for a moment by who only asks whether it is free."""
    a, b, c = trials
    grid = Grid(trials, force=True)
    with claim(a.folder):
        assert grid.take() == b
    assert grid.take() == a
    grid.back(a)  # its job found the lock taken
    assert [grid.take(), grid.take(), grid.take()] == [c, a, None]


def test_what_another_gave_up_is_trained(trials: list[Trial]) -> None:
    a, _, _ = trials
    grid = Grid([a], force=True)
    a.end("interrupted", "by another")
    assert grid.take() == a
