"""A tiny claim, from its sweep file to a verdict: interrupted, and gone on with."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from claims.made_up import claimed

from fc2conv.claims import arms, running
from fc2conv.claims.claim import Claim, Measure, Observation, effect, ratio
from fc2conv.claims.evidence import Check
from fc2conv.claims.running import best_rate, correct_counts
from fc2conv.claims.verdicts import judge
from fc2conv.config.schema import Config, OptimConfig
from fc2conv.errors import ConfigError, SweepEnded
from fc2conv.record.arrays import Arrays
from fc2conv.record.result import Result
from fc2conv.sweep.live_table import LiveTable
from fc2conv.sweep.trials import Trial

SWEEP = """\
method: grid
parameters:
  model: {values: [softmax, ladder]}
  data.train_size: {value: 128}
  data.val_size: {value: 64}
  data.dir: {value: "FOLDER"}
  trainer.max_steps: {value: 1}
  trainer.max_epochs: {value: 1}
  trainer.test_weights: {value: last}
  logger: {value: csv}
"""
LOOKED: list[str] = []
"""At which networks the instrument has looked."""


def look(module: Any, data: Any) -> Mapping[str, float]:
    LOOKED.append(type(module.net).__name__)
    return {"weights": np.float64(sum(p.numel() for p in module.net.parameters()))}


CLAIM = claimed(
    sweeps=("tiny",),
    comparisons=(effect("more weights", "model=softmax", "model=ladder", 0.1),),
    seeds=2,
    rates=(0.01, 0.03),
    measures=(Measure("size", look, "model=softmax"),),
    checks=lambda: [Check("two and two", 2 + 2, 4)],
)
SEARCH, MAIN = 2 * 2 * 2, 2 * 2
"""Runs: two arms at two rates with two seeds; and with two seeds each at the best."""


class Watched(LiveTable):
    """Counts what is trained, and is interrupted after so many runs."""

    ended_runs: ClassVar[Counter[str]] = Counter()
    stop_after: int | None = None

    def ended(self, trial: Trial) -> None:
        super().ended(trial)
        result = trial.result()
        if result and result.status == "done":
            self.ended_runs[trial.folder.name] += 1
        if self.ended_runs.total() == self.stop_after:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(scope="module")
def _server() -> Iterator[None]:
    yield
    forkserver._forkserver._stop()  # type: ignore[attr-defined]


@pytest.fixture
def tiny(_server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data_dir: str) -> Claim:
    (tmp_path / "tiny.yaml").write_text(SWEEP.replace("FOLDER", data_dir))
    monkeypatch.setattr(arms, "folder", lambda: tmp_path)
    monkeypatch.setattr(running, "LiveTable", Watched)
    monkeypatch.setattr(Watched, "ended_runs", Counter())
    monkeypatch.setattr(arms, "QUICK", ("data.val_size=32",))
    LOOKED.clear()
    return CLAIM


def lacking(claim: Claim, runs_dir: Path) -> int:
    """How many of its runs are still to be trained."""
    runs = runs_dir / arms.RUNS
    missing = 0
    for arm in arms.arms_of(claim):
        searched = arms.search_trials(arm, claim.rates, runs, False)
        left = sum(not each.finished() for each in searched)
        if left:
            missing += left + claim.seeds
            continue
        rate = running.best_rate(searched) if searched else next(iter(claim.rates), None)
        missing += sum(not arms.trial(arm, rate, seed, runs, False).finished() for seed in arms.seeds_of(claim))
    return missing


def test_a_claim_is_run_interrupted_and_gone_on_with(
    tiny: Claim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lacking(tiny, tmp_path) == SEARCH + MAIN
    monkeypatch.setattr(Watched, "stop_after", 3)
    with pytest.raises(SweepEnded, match="stopped by SIGINT; the same command goes on from here") as ended:
        running.run(tiny, tmp_path)
    assert ended.value.exit_code == 128 + signal.SIGINT
    begun = dict(Watched.ended_runs)
    assert 3 <= len(begun) < SEARCH

    monkeypatch.setattr(Watched, "stop_after", SEARCH + 1)  # and again, after the search
    with pytest.raises(SweepEnded):
        running.run(tiny, tmp_path)
    assert 0 < lacking(tiny, tmp_path) < MAIN

    monkeypatch.setattr(Watched, "stop_after", None)
    evidence = running.run(tiny, tmp_path)
    assert set(Watched.ended_runs.values()) == {1}, "nothing is trained twice"
    assert len(Watched.ended_runs) == SEARCH + MAIN
    assert lacking(tiny, tmp_path) == 0

    assert [arm.name for arm in evidence.arms] == ["model=softmax", "model=ladder"]
    for arm in evidence.arms:
        assert [run.seed for run in arm.runs] == [0, 1]
        assert [(run.lr, run.seed) for run in arm.search] == [(0.01, 100), (0.01, 101), (0.03, 100), (0.03, 101)]
        means = [(arm.search[i].figures["val.acc"] + arm.search[i + 1].figures["val.acc"]) / 2 for i in (0, 2)]
        assert arm.lr == (0.01, 0.03)[means[1] > means[0]]
        right = evidence.correct[arm.name]
        assert right.sum() / (2 * len(right)) == pytest.approx(np.mean([run.figures["test.acc"] for run in arm.runs]))
    softmax, ladder = evidence.arms
    assert [run.figures["size.weights"] for run in softmax.runs] == [7850, 7850]
    assert softmax.values("size.weights") == softmax.values("params")
    assert ladder.values("size.weights") == {}
    assert len(LOOKED) == 2
    assert evidence.checks == (Check("two and two", 4, 4),)
    assert judge(tiny, evidence).verdict in ("supported", "refuted", "undecided")

    again = running.run(tiny, tmp_path)  # all of it is there: nothing is trained, and no network looked at
    assert again == evidence
    assert (len(LOOKED), Watched.ended_runs.total()) == (2, SEARCH + MAIN)

    quick = running.run(replace(tiny, measures=()), tmp_path, quick=True)
    assert quick.quick
    assert judge(tiny, quick).verdict == "not run"
    assert [(run.seed, run.lr) for arm in quick.arms for run in arm.runs] == [(0, 0.03), (1, 0.03)] * 2
    assert all(arm.search == () for arm in quick.arms)
    assert Watched.ended_runs.total() == SEARCH + MAIN + 4


def test_a_claim_of_timings_and_identities_trains_nothing(tmp_path: Path) -> None:
    seconds = {"model=mlp": 2.0, "model=lenet": 5.0}
    claim = claimed(
        comparisons=(ratio("it takes longer", "model=lenet", "model=mlp", 2, "seconds"),),
        observe=lambda: [Observation(a, i, {"seconds": s}) for i in range(7) for a, s in seconds.items()],
    )
    evidence = running.run(claim, tmp_path)
    assert evidence.arm("model=lenet").values("seconds") == dict.fromkeys(range(7), 5.0)
    assert {"cpu", "cores", "torch"} <= evidence.machine.keys()
    assert judge(claim, evidence).outcomes[0].mean == 2.5
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_run_is_said_before_anything_is_trained(tiny: Claim, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(
        "method: grid\nparameters:\n  model: {values: [softmax, lenet]}\n  model.kernel_size: {value: 50}\n"
    )
    with pytest.raises(ConfigError):
        running.run(tiny, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


# --- parts


def trial(folder: Path, lr: float, accuracy: float) -> Trial:
    config = Config(optim=OptimConfig(lr=lr))
    result = Result.of(config, None, folder.name, "mlp", ())
    folder.mkdir()
    replace(result, status="done", val={"acc": accuracy, "loss": 1.0, "n": 10}).write(folder)
    return Trial((), (), folder, config)


def test_the_best_rate_has_the_best_mean_and_of_equals_the_smallest_wins(tmp_path: Path) -> None:
    found = {0.003: (0.5, 0.75), 0.01: (0.875, 0.375), 0.03: (0.25, 0.25), 0.1: (0.75, 0.5)}
    trials = [trial(tmp_path / f"{lr}-{i}", lr, acc) for lr, both in found.items() for i, acc in enumerate(both)]
    assert best_rate(trials[::-1]) == 0.003


def test_correct_predictions_are_counted_image_by_image(tmp_path: Path) -> None:
    labels = np.array([0, 1, 2, 1])
    for name, predictions in {"a": [0, 1, 1, 1], "b": [0, 2, 1, 1]}.items():
        (tmp_path / name).mkdir()
        Arrays(test_labels=labels, test_predictions=np.array(predictions)).write(tmp_path / name)
    counts = correct_counts([tmp_path / "a", tmp_path / "b"])
    assert counts is not None
    assert counts.tolist() == [2, 1, 0, 2]


def test_other_test_images_are_not_counted_together(tmp_path: Path) -> None:
    for name, labels in {"a": [0, 1], "b": [1, 1]}.items():
        (tmp_path / name).mkdir()
        Arrays(test_labels=np.array(labels), test_predictions=np.array([0, 1])).write(tmp_path / name)
    assert correct_counts([tmp_path / "a", tmp_path / "b"]) is None
    assert correct_counts([tmp_path / "a", tmp_path / "none"]) is None
    assert correct_counts([]) is None
