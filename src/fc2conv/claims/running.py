"""Runs what a claim still lacks, through the sweep engine: what is interrupted goes on, what is there is not trained
again. Then collects what was found."""

from __future__ import annotations

import json
import platform
import signal
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fc2conv.claims.arms import RUNS, Planned, arms_of, rates_of, search_trials, seeds_of, trial
from fc2conv.claims.claim import Claim, Measure
from fc2conv.claims.evidence import Arm, Counts, Evidence, Run
from fc2conv.config.schema import Config
from fc2conv.errors import ConfigError, SweepEnded
from fc2conv.record.arrays import Arrays
from fc2conv.record.folder import CHECKPOINTS, check_writable
from fc2conv.record.result import Result, write_atomically
from fc2conv.record.terminal import console
from fc2conv.sweep.live_table import LiveTable
from fc2conv.sweep.pool import Pool
from fc2conv.sweep.slots import slots_for
from fc2conv.sweep.sweeper import Grid
from fc2conv.sweep.trials import Trial

MEASURED = "measured.json"
"""What the instruments found on a run, in its folder: {measure: {name: number}}."""


def run(claim: Claim, runs_dir: Path, quick: bool = False) -> Evidence:
    """Train, measure and check all that the claim lacks.

    Raises:
        ConfigError: an arm that cannot be run
        SweepEnded: a run failed, or a signal came; the same call goes on
    """
    runs = runs_dir / (f"{RUNS}-quick" if quick else RUNS)
    arms = arms_of(claim)
    rates = rates_of(claim, quick)
    searched = {arm: search_trials(arm, rates, runs, quick) for arm in arms}
    train([trial for trials in searched.values() for trial in trials], runs)
    chosen = {arm: best_rate(trials) if trials else next(iter(rates), None) for arm, trials in searched.items()}
    trials = {arm: [trial(arm, chosen[arm], seed, runs, quick) for seed in seeds_of(claim, quick)] for arm in arms}
    train([each for found in trials.values() for each in found], runs)
    measured = {arm: [_measured(claim.measures, arm, each) for each in found] for arm, found in trials.items()}
    found, correct = [], {}
    for arm in arms:
        main = tuple(_run(t, figures) for t, figures in zip(trials[arm], measured[arm], strict=True))
        found.append(Arm(arm.name, arm.overrides, main, tuple(map(_searched, searched[arm]))))
        if (counts := correct_counts([t.folder for t in trials[arm]])) is not None:
            correct[arm.name] = counts
    return Evidence(
        claim.name,
        tuple(found) + _observed(claim),
        tuple(claim.checks()) if claim.checks else (),
        machine(),
        quick,
        correct,
    )


def best_rate(trials: Sequence[Trial]) -> float:
    """The learning rate with the best mean validation accuracy; of equals the smallest."""
    found: dict[float, list[float]] = {}
    for each in trials:
        result = each.result()
        assert each.config
        assert result
        assert result.val
        found.setdefault(each.config.optim.lr, []).append(result.val["acc"])
    return max(sorted(found), key=lambda rate: statistics.fmean(found[rate]))


def train(trials: Sequence[Trial], runs: Path) -> None:
    """Train those that are not trained yet.

    Args:
        runs: the folder that all of them lie in

    Raises:
        ConfigError: one of them cannot be run
        SweepEnded: a run failed, or a signal came; the same call goes on
    """
    trials = list({each.folder: each for each in trials}.values())
    if impossible := [each for each in trials if each.impossible]:
        raise ConfigError("claims", f"{impossible[0].label}: {impossible[0].impossible}")
    if all(each.finished() for each in trials):
        return
    check_writable(Config(runs_dir=str(runs)))
    source = Grid(trials)
    slots = slots_for([each.config.trainer for each in trials if each.config], None, len(trials))
    table = LiveTable(trials, len(trials), slots)
    with table.shown():
        stopped = Pool().run(source, slots, table)
    if stopped:
        name = signal.Signals(stopped).name
        raise SweepEnded(f"stopped by {name}; the same command goes on from here", 128 + stopped)
    if failed := [each for each in trials if not each.finished()]:
        raise SweepEnded(f"{len(failed)} of {len(trials)} runs failed, the first in {failed[0].folder}", 1)


def _run(each: Trial, measured: Mapping[str, float]) -> Run:
    result = each.result()
    assert result
    assert each.config
    return Run(result.seed, figures_of(result) | dict(measured), each.config.optim.lr)


def _searched(each: Trial) -> Run:
    """A run of the search, without its test accuracy, which nobody is to choose by."""
    run = _run(each, {})
    return Run(run.seed, {k: v for k, v in run.figures.items() if k != "test.acc"}, run.lr)


def figures_of(result: Result) -> dict[str, float]:
    """The figures of a record that evidence keeps."""
    found: dict[str, float | None] = {
        **{f"{split}.acc": values["acc"] for split in ("train", "val", "test") if (values := getattr(result, split))},
        "params": result.params.get("total"),
        "macs": result.macs,
        "seconds": result.seconds.get("fit"),
    }
    return {name: value for name, value in found.items() if value is not None}


def correct_counts(folders: Sequence[Path]) -> Counts | None:
    """(N,) how many of the runs classify each test image correctly; None where they were not tested on the same."""
    found = [Arrays.read(folder, {"test_labels", "test_predictions"}) for folder in folders]
    arrays = [each for each in found if each is not None and each.test_labels.size]
    if len(arrays) < len(folders) or not arrays:
        return None
    if any(not np.array_equal(each.test_labels, arrays[0].test_labels) for each in arrays):
        return None
    counts: Counts = np.sum([each.test_predictions == each.test_labels for each in arrays], axis=0, dtype=np.uint8)
    return counts


# --- instruments


def _measured(measures: Sequence[Measure], arm: Planned, each: Trial) -> dict[str, float]:
    """What the claim's instruments find on a run, by MEASURE.NAME; kept in the run's folder."""
    wanted = [measure for measure in measures if set(measure.arms.split()) <= set(arm.overrides)]
    path = each.folder / MEASURED
    known: dict[str, dict[str, float]] = json.loads(path.read_text()) if path.exists() else {}
    missing = [measure for measure in wanted if measure.name not in known]
    if missing:
        from fc2conv.data.image_data import ImageData
        from fc2conv.training.classifier import Classifier

        assert each.config
        console.print(f"measures     {each.label}", markup=False, soft_wrap=True)
        module = Classifier.load(str(each.folder / CHECKPOINTS / "best.ckpt"))
        data = ImageData(each.config.data, each.config.seed)
        data.setup()
        for measure in missing:
            known[measure.name] = {name: float(value) for name, value in measure.look(module, data).items()}
        write_atomically(path, json.dumps(known, indent=1) + "\n")
    return {f"{m.name}.{name}": value for m in wanted for name, value in known[m.name].items()}


def _observed(claim: Claim) -> tuple[Arm, ...]:
    """What was found without training, by its arms."""
    by_arm: dict[str, list[Run]] = {}
    for each in claim.observe() if claim.observe else []:
        by_arm.setdefault(each.arm, []).append(Run(each.repetition, dict(each.figures)))
    return tuple(Arm(name, tuple(name.split()), tuple(runs)) for name, runs in by_arm.items())


def machine() -> dict[str, Any]:
    """What it runs on."""
    import torch

    from fc2conv.training.distributed import cores

    return {"cpu": _cpu(), "cores": cores(), "torch": torch.__version__, "python": platform.python_version()}


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
