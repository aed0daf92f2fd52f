"""What a sweep shows while it runs: plain lines where output is no terminal, a live table where it is."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.text import Text

from fc2conv.architectures import plan
from fc2conv.architectures.softmax import SoftmaxConfig
from fc2conv.architectures.trace import Geometry
from fc2conv.config.schema import Config, DataConfig, OptimConfig, TrainerConfig, plain
from fc2conv.record.result import Result, Status
from fc2conv.record.terminal import duration
from fc2conv.sweep import live_table as module
from fc2conv.sweep.live_table import RECENT, LiveTable
from fc2conv.sweep.slots import Slot
from fc2conv.sweep.trials import Trial

Screen = Callable[[], str]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The live table's own clock, which stands still until it is set."""
    found = SimpleNamespace(now=100.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: found.now))
    return found


def screen_of(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> Screen:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=100, height=40, highlight=False, _environ={})
    monkeypatch.setattr(module, "console", console)
    return lambda: Text.from_ansi(file.getvalue()).plain.rstrip("\n")


@pytest.fixture
def plain_screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    return screen_of(monkeypatch, terminal=False)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Screen:
    return screen_of(monkeypatch, terminal=True)


@pytest.fixture
def geometry() -> Geometry:
    return plan(SoftmaxConfig(), (1, 28, 28), 10)


@pytest.fixture
def trials(tmp_path: Path, geometry: Geometry) -> list[Trial]:
    """Eight, with learning rates 1 to 8 and brackets in their labels, which are no markup."""
    configs = [
        Config(SoftmaxConfig(), DataConfig(), OptimConfig(lr=lr), TrainerConfig(max_epochs=4)) for lr in range(1, 9)
    ]
    points = [(f"optim.lr={c.optim.lr:g}", "model.padding=[same,2]") for c in configs]
    return [Trial.of(c, tmp_path, p, p) for p, c in zip(points, configs, strict=True)]


def record(trial: Trial, status: Status, epochs: int = 0, acc: float | None = None, error: str | None = None) -> None:
    """The record that a job has written so far: 10 s an epoch."""
    assert trial.config is not None
    trial.folder.mkdir(exist_ok=True)
    Result(
        status=status,
        identity=trial.folder.name,
        name=trial.folder.name,
        model="softmax",
        seed=0,
        overrides=list(trial.overrides),
        config=plain(trial.config),
        params={},
        macs=0,
        receptive_field=0,
        epochs=epochs,
        val={"loss": 0.1, "acc": acc, "n": 10} if acc is not None else None,
        test={"loss": 0.1, "acc": acc - 0.01, "n": 10} if acc is not None and status == "done" else None,
        seconds={"fit": 10.0 * epochs, "total": 10.0 * epochs + 2} if epochs else {},
        error=error,
    ).write(trial.folder)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((None, ""), (0, "0 s"), (8.4, "8 s"), (89, "89 s"), (150.1, "3 min"), (600, "10 min")),
        *((5399, "90 min"), (5400, "1.5 h"), (90000, "25.0 h")),
    ],
)
def test_duration(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_the_first_line_says_what_there_is_and_what_is_left(
    plain_screen: Screen, trials: list[Trial], tmp_path: Path
) -> None:
    record(trials[0], "done", 4, 0.9)
    record(trials[1], "pruned", 1, 0.1)
    record(trials[2], "failed", error="lost")  # not finished: it is tried again
    impossible = Trial(("a=1",), ("a=1",), tmp_path / "no", impossible="does not fit")
    LiveTable([*trials[:4], impossible], 4, [Slot(3)] * 2)
    assert plain_screen() == "4 runs, 2 finished before, 1 impossible; 2 at a time, 3 CPU threads each"


def test_the_first_line_without_history_and_on_gpus(plain_screen: Screen, trials: list[Trial]) -> None:
    LiveTable(trials, 8, [Slot(4, ("0", "1")), Slot(4, ("2", "3"))])
    assert plain_screen() == "8 runs; 2 at a time, GPUs 0 1, ..."


def test_a_line_for_each_event(plain_screen: Screen, trials: list[Trial], clock: SimpleNamespace) -> None:
    live_table = LiveTable([], 8, [Slot(1)])
    events: list[tuple[Status, int, float | None, str | None]] = [
        ("done", 4, 0.9, None),
        ("failed", 1, 0.5, "the loss became nan"),
        ("interrupted", 2, 0.6, "stopped by SIGINT"),
        ("pruned", 1, 0.2, None),
    ]
    with live_table.shown():
        for trial, event in zip(trials, events, strict=False):
            live_table.started(trial)
            record(trial, *event)
            live_table.refresh()
            live_table.ended(trial)
        live_table.started(trials[4])
        live_table.elsewhere(trials[4])
        live_table.started(trials[5])
        live_table.ended(trials[5])  # without a record: it cannot have gone well
    label = "optim.lr={} model.padding=[same,2]".format
    assert plain_screen().splitlines()[1:] == [
        f"started      {label(1)}",
        f"done         {label(1)}  val 0.9000  test 0.8900  42 s",
        f"started      {label(2)}",
        f"failed       {label(2)}  the loss became nan",
        f"             its log: {trials[1].folder / 'train.log'}",
        f"started      {label(3)}",
        f"interrupted  {label(3)}  val 0.6000  22 s",
        f"started      {label(4)}",
        f"pruned       {label(4)}  val 0.2000  12 s",
        f"started      {label(5)}",
        f"elsewhere    {label(5)} (another process trains it)",
        f"started      {label(6)}",
        f"failed       {label(6)}  ",
        f"             its log: {trials[5].folder / 'train.log'}",
    ]


def test_trials_that_others_train_are_not_waiting(
    terminal: Screen, trials: list[Trial], clock: SimpleNamespace
) -> None:
    live_table = LiveTable([], 3, [Slot(1)] * 2)
    with live_table.shown():
        for trial in trials[:2]:
            live_table.started(trial)
            live_table.elsewhere(trial)
        live_table.started(trials[1])  # the other one has died
        live_table.refresh()
    assert "3 trials: 1 elsewhere, 1 running, 1 waiting" in terminal()


def test_one_run_is_no_runs(plain_screen: Screen) -> None:
    LiveTable([], 1, [Slot(1)])
    assert plain_screen() == "1 run; 1 at a time, 1 CPU thread each"


def test_the_live_table(terminal: Screen, trials: list[Trial], clock: SimpleNamespace) -> None:
    live_table = LiveTable([], 8, [Slot(1)] * 2)
    with live_table.shown():
        live_table.started(trials[0])
        clock.now += 50
        record(trials[0], "done", 4, 0.9)
        live_table.ended(trials[0])
        live_table.started(trials[1])
        record(trials[1], "running", 1, 0.75)
        live_table.started(trials[2])  # it has no record yet, so nobody knows how long it takes
        live_table.refresh()
    shown = terminal()
    assert "started" not in shown, "a line for each start is for where there is no table"
    rows = [line.split() for line in shown.splitlines()]
    label = ["optim.lr={}", "model.padding=[same,2]"]
    assert ["job", "state", "epoch", "val", "acc", "left"] in rows
    assert [label[0].format(1), label[1], "done", "4/4", "0.9000"] in rows
    assert [label[0].format(2), label[1], "running", "1/4", "0.7500", "30", "s"] in rows
    assert [label[0].format(3), label[1], "running"] in rows
    assert "8 trials: 1 done, 2 running, 5 waiting" in shown
    assert "about" not in shown


def test_the_live_table_says_how_long_the_rest_takes(
    terminal: Screen, trials: list[Trial], clock: SimpleNamespace
) -> None:
    live_table = LiveTable([], 8, [Slot(1)] * 2)
    with live_table.shown():
        live_table.started(trials[0])
        clock.now += 50
        record(trials[0], "done", 4, 0.9)
        live_table.ended(trials[0])
        for trial, epochs in zip(trials[1:3], (1, 3), strict=True):
            live_table.started(trial)
            record(trial, "running", epochs, 0.5)
        live_table.refresh()
    # 30 s and 10 s of the two, 50 s for each of five others, two at a time: (30 + 10 + 5 * 50) / 2
    assert "8 trials: 1 done, 2 running, 5 waiting, about 2 min left" in terminal()


def test_failures_stay_above_the_table_and_only_the_last_jobs_in_it(terminal: Screen, trials: list[Trial]) -> None:
    live_table = LiveTable([], 8, [Slot(1)])
    with live_table.shown():
        for trial in trials:
            live_table.started(trial)
            record(trial, "failed" if trial is trials[0] else "done", 4, 0.9, "lost" if trial is trials[0] else None)
            live_table.ended(trial)
        live_table.refresh()
        assert [trial for trial, _ in live_table.recent] == trials[-RECENT:]
    shown = terminal()
    assert "failed       optim.lr=1 model.padding=[same,2]  lost" in shown
    assert f"its log: {trials[0].folder / 'train.log'}" in shown.replace("\n", "")
    assert "done         optim.lr" not in shown, "a line for each end is for where there is no table"
    assert "8 trials: 1 failed, 7 done, 0 running" in shown
