"""What a sweep shows while it runs: plain lines where output is no terminal, a live table where it is."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.text import Text

from fc2conv.config import Config, DataConfig, OptimConfig, SoftmaxConfig, TrainerConfig, plain
from fc2conv.geometry import Geometry
from fc2conv.models import plan
from fc2conv.result import Result, Status
from fc2conv.show import duration
from fc2conv.sweep import board as module
from fc2conv.sweep.board import RECENT, Board
from fc2conv.sweep.cells import Cell
from fc2conv.sweep.share import Share

Screen = Callable[[], str]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The board's own clock, which stands still until it is set."""
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
def cells(tmp_path: Path, geometry: Geometry) -> list[Cell]:
    """Eight, with learning rates 1 to 8 and brackets in their labels, which are no markup."""
    configs = [
        Config(SoftmaxConfig(), DataConfig(), OptimConfig(lr=lr), TrainerConfig(max_epochs=4)) for lr in range(1, 9)
    ]
    points = [(f"optim.lr={c.optim.lr:g}", "model.padding=[same,2]") for c in configs]
    return [Cell.of(p, p, tmp_path, c, geometry) for p, c in zip(points, configs, strict=True)]


def record(cell: Cell, status: Status, epochs: int = 0, acc: float | None = None, error: str | None = None) -> None:
    """The record that a job has written so far: 10 s an epoch."""
    assert cell.config is not None
    cell.folder.mkdir(exist_ok=True)
    Result(
        status=status,
        identity=cell.folder.name,
        name=cell.folder.name,
        model="softmax",
        seed=0,
        overrides=list(cell.overrides),
        config=plain(cell.config),
        params={},
        macs=0,
        receptive_field=0,
        epochs=epochs,
        val={"loss": 0.1, "acc": acc, "n": 10} if acc is not None else None,
        test={"loss": 0.1, "acc": acc - 0.01, "n": 10} if acc is not None and status == "done" else None,
        seconds={"fit": 10.0 * epochs, "total": 10.0 * epochs + 2} if epochs else {},
        error=error,
    ).write(cell.folder)


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
    plain_screen: Screen, cells: list[Cell], tmp_path: Path
) -> None:
    record(cells[0], "done", 4, 0.9)
    record(cells[1], "pruned", 1, 0.1)
    record(cells[2], "failed", error="lost")  # not finished: it is tried again
    impossible = Cell(("a=1",), ("a=1",), tmp_path / "no", impossible="does not fit")
    Board([*cells[:4], impossible], 4, [Share(3)] * 2)
    assert plain_screen() == "4 runs, 2 finished before, 1 impossible; 2 at a time, 3 CPU threads each"


def test_the_first_line_without_history_and_on_gpus(plain_screen: Screen, cells: list[Cell]) -> None:
    Board(cells, 8, [Share(4, ("0", "1")), Share(4, ("2", "3"))])
    assert plain_screen() == "8 runs; 2 at a time, GPUs 0 1, ..."


def test_a_line_for_each_event(plain_screen: Screen, cells: list[Cell], clock: SimpleNamespace) -> None:
    board = Board([], 8, [Share(1)])
    events: list[tuple[Status, int, float | None, str | None]] = [
        ("done", 4, 0.9, None),
        ("failed", 1, 0.5, "the loss became nan"),
        ("interrupted", 2, 0.6, "stopped by SIGINT"),
        ("pruned", 1, 0.2, None),
    ]
    with board.shown():
        for cell, event in zip(cells, events, strict=False):
            board.started(cell)
            record(cell, *event)
            board.refresh()
            board.ended(cell)
        board.started(cells[4])
        board.elsewhere(cells[4])
        board.started(cells[5])
        board.ended(cells[5])  # without a record: it cannot have gone well
    label = "optim.lr={} model.padding=[same,2]".format
    assert plain_screen().splitlines()[1:] == [
        f"started      {label(1)}",
        f"done         {label(1)}  val 0.9000  test 0.8900  42 s",
        f"started      {label(2)}",
        f"failed       {label(2)}  the loss became nan",
        f"             its log: {cells[1].folder / 'train.log'}",
        f"started      {label(3)}",
        f"interrupted  {label(3)}  val 0.6000  22 s",
        f"started      {label(4)}",
        f"pruned       {label(4)}  val 0.2000  12 s",
        f"started      {label(5)}",
        f"elsewhere    {label(5)} (another process trains it)",
        f"started      {label(6)}",
        f"failed       {label(6)}  ",
        f"             its log: {cells[5].folder / 'train.log'}",
    ]


def test_cells_that_others_train_are_not_waiting(terminal: Screen, cells: list[Cell], clock: SimpleNamespace) -> None:
    board = Board([], 3, [Share(1)] * 2)
    with board.shown():
        for cell in cells[:2]:
            board.started(cell)
            board.elsewhere(cell)
        board.started(cells[1])  # the other one has died
        board.refresh()
    assert "3 cells: 1 elsewhere, 1 running, 1 waiting" in terminal()


def test_one_run_is_no_runs(plain_screen: Screen) -> None:
    Board([], 1, [Share(1)])
    assert plain_screen() == "1 run; 1 at a time, 1 CPU thread each"


def test_the_live_table(terminal: Screen, cells: list[Cell], clock: SimpleNamespace) -> None:
    board = Board([], 8, [Share(1)] * 2)
    with board.shown():
        board.started(cells[0])
        clock.now += 50
        record(cells[0], "done", 4, 0.9)
        board.ended(cells[0])
        board.started(cells[1])
        record(cells[1], "running", 1, 0.75)
        board.started(cells[2])  # it has no record yet, so nobody knows how long it takes
        board.refresh()
    shown = terminal()
    assert "started" not in shown, "a line for each start is for where there is no table"
    rows = [line.split() for line in shown.splitlines()]
    label = ["optim.lr={}", "model.padding=[same,2]"]
    assert ["job", "state", "epoch", "val", "acc", "left"] in rows
    assert [label[0].format(1), label[1], "done", "4/4", "0.9000"] in rows
    assert [label[0].format(2), label[1], "running", "1/4", "0.7500", "30", "s"] in rows
    assert [label[0].format(3), label[1], "running"] in rows
    assert "8 cells: 1 done, 2 running, 5 waiting" in shown
    assert "about" not in shown


def test_the_live_table_says_how_long_the_rest_takes(
    terminal: Screen, cells: list[Cell], clock: SimpleNamespace
) -> None:
    board = Board([], 8, [Share(1)] * 2)
    with board.shown():
        board.started(cells[0])
        clock.now += 50
        record(cells[0], "done", 4, 0.9)
        board.ended(cells[0])
        for cell, epochs in zip(cells[1:3], (1, 3), strict=True):
            board.started(cell)
            record(cell, "running", epochs, 0.5)
        board.refresh()
    # 30 s and 10 s of the two, 50 s for each of five others, two at a time: (30 + 10 + 5 * 50) / 2
    assert "8 cells: 1 done, 2 running, 5 waiting, about 2 min left" in terminal()


def test_failures_stay_above_the_table_and_only_the_last_jobs_in_it(terminal: Screen, cells: list[Cell]) -> None:
    board = Board([], 8, [Share(1)])
    with board.shown():
        for cell in cells:
            board.started(cell)
            record(cell, "failed" if cell is cells[0] else "done", 4, 0.9, "lost" if cell is cells[0] else None)
            board.ended(cell)
        board.refresh()
        assert [cell for cell, _ in board.recent] == cells[-RECENT:]
    shown = terminal()
    assert "failed       optim.lr=1 model.padding=[same,2]  lost" in shown
    assert f"its log: {cells[0].folder / 'train.log'}" in shown.replace("\n", "")
    assert "done         optim.lr" not in shown, "a line for each end is for where there is no table"
    assert "8 cells: 1 failed, 7 done, 0 running" in shown
