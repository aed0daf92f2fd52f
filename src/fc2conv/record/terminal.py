"""What the terminal shows: the layer table before a run, its progress, its outcome. Needs no torch."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from fc2conv.architectures import ARCHITECTURES
from fc2conv.architectures.layers import Residual
from fc2conv.architectures.trace import Geometry, Row, Shape, trace
from fc2conv.fields import Pair, pair, spelled
from fc2conv.record.figure_table import FigureTable
from fc2conv.record.result import Result

console = Console(highlight=False, soft_wrap=False)
if not console.is_terminal:
    console = Console(highlight=False, width=100)


class _TerminalFile(io.FileIO):
    """What is written to a terminal that is gone is dropped."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return memoryview(data).nbytes


def outlive_terminal() -> None:
    """Let this process write to its terminal as before, and go on where that is closed, whoever writes."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if os.name == "posix" and isinstance(stream, io.TextIOWrapper) and stream.isatty():
            stream.flush()
            file = io.BufferedWriter(_TerminalFile(stream.fileno(), "w", closefd=False))
            setattr(sys, name, io.TextIOWrapper(file, stream.encoding, stream.errors, line_buffering=True))


def spell(shape: Shape) -> str:
    """A shape as people write it: 1x28x28."""
    return "x".join(map(str, shape))


def layer_table(name: str, geometry: Geometry, notes: Sequence[str] = ()) -> FigureTable:
    """Each layer's output shape, parameters, multiply-accumulates and receptive field, their totals, and `notes`."""
    table = FigureTable(title=f"{escape(name)} on {spell(geometry.input)}", title_justify="left", show_footer=True)
    table.caption, table.caption_justify = escape("\n".join(notes)) or None, "left"
    table.add_column("layer", footer="total")
    table.add_column("output", justify="right")
    for heading, total in (("parameters", geometry.params), ("MACs", geometry.macs)):
        table.add_column(heading, justify="right", footer=f"{total:,}")
    table.add_column("receptive field", justify="right", footer=_known(geometry.receptive_field))
    for row, depth in _expanded(geometry.rows):
        counts = [f"{n:,}" if n else "" for n in (row.params, row.macs)]
        seen = _known(row.receptive_field) if len(row.output) == 3 else ""
        table.add_row("  " * depth + escape(row.name), spell(row.output), *counts, seen, style="dim" if depth else None)
    return table


def _known(receptive_field: int | Pair | None) -> str:
    return "" if receptive_field is None else spelled(pair(receptive_field))


def _expanded(rows: list[Row], depth: int = 0) -> Iterator[tuple[Row, int]]:
    for row in rows:
        yield row, depth
        if isinstance(row.layer, Residual):
            yield from _expanded(trace(row.layer.body, row.input).rows, depth + 1)


def result_table(result: Result) -> FigureTable:
    """What came of a run."""
    table = FigureTable(show_header=True)
    for column in ("", "accuracy", "loss", "images"):
        table.add_column(column, justify="left" if not column else "right")
    for split, label in (
        ("train", "train (last epoch)"),
        ("val", f"validation (epoch {result.best_epoch})"),
        ("test", "test"),
    ):
        values = getattr(result, split)
        if values:
            table.add_row(label, *(_number(values[k]) for k in ("acc", "loss")), f"{values['n']:,.0f}")
    table.caption, table.caption_justify = smoothing_note(result.family, result.config), "left"
    return table


def smoothing_note(family: str, config: Mapping[str, Any]) -> str | None:
    """Which losses are not alike, where some are smoothed. `config` is the run's, as plain values."""
    smoothing = config.get("optim", {}).get("label_smoothing", 0.0)
    if not smoothing or (family in ARCHITECTURES and ARCHITECTURES[family].loss is not None):
        return None
    return f"train loss with label smoothing {smoothing:g}, val and test loss without"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def epoch_line(
    at: str, train: Mapping[str, float], val: Mapping[str, float] | None, is_best: bool, seconds: float
) -> str:
    """An epoch in at most 80 characters. `at` is which one, e.g. 3/10; `val` is None where nothing was validated."""
    of_train, of_val = (f"loss {m['loss']:.4f} acc {m['acc']:.4f}" if m else " " * 22 for m in (train, val))
    return f"epoch {at}  train {of_train}  {'val' if val else '   '} {of_val} {'*' if is_best else ' '}{seconds:5.0f} s"


class EpochProgress:
    """A bar over the epoch's steps on a terminal, a line an epoch elsewhere."""

    def __init__(self, epochs: int, shown: bool):
        self.epochs, self.shown = epochs, shown
        self.bar: Progress | None = None

    @property
    def has_bar(self) -> bool:
        """Whether there will be a bar while the epochs are running."""
        return self.shown and console.is_terminal

    @contextmanager
    def running(self) -> Iterator[None]:
        """Holds the bar on the screen."""
        if not self.has_bar:
            yield
            return
        columns = (
            *(TextColumn("{task.description}"), BarColumn(bar_width=12), TextColumn("{task.completed}/{task.total}")),
            *(TextColumn("{task.fields[text]}"), TimeRemainingColumn(compact=True)),
        )
        with Progress(*columns, console=console, transient=True, refresh_per_second=5) as self.bar:
            yield
        self.bar = None

    def start(self, epoch: int, steps: int, done: int = 0) -> None:
        """Epoch `epoch` (from 1) begins, `done` of its steps behind it."""
        if self.bar:
            for task in self.bar.task_ids:
                self.bar.remove_task(task)
            self.bar.add_task(f"epoch {epoch}/{self.epochs}", total=steps, completed=done, text="")

    def step(self, done: int, text: str) -> None:
        if self.bar and self.bar.task_ids:
            self.bar.update(self.bar.task_ids[0], completed=done, text=text)

    def line(self, text: str) -> None:
        """Something that stays on the screen."""
        if self.shown:
            (self.bar.console if self.bar else console).print(Text(text))


def duration(seconds: float | None) -> str:
    """Short: 8 s, 3 min, 2.5 h."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
