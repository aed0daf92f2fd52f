"""`fc2conv show RUN`: what a run is, what came out, where it lies."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from rich.filesize import decimal
from rich.table import Table

from fc2conv.cli import screen
from fc2conv.cli.arguments import in_runs_dir, recorded, run_argument
from fc2conv.cli.keys import changed
from fc2conv.record import terminal
from fc2conv.record.folder import CHECKPOINTS, LOG, RUN_LOCK
from fc2conv.record.lock import LOCK, is_claimed
from fc2conv.record.result import Result
from fc2conv.record.runs import disk_usage

LOG_LINES = 10
"""Of the end of a failed run's log."""
CLASSES = 10
"""Most classes whose confusion matrix fits the screen."""


@click.command()
@run_argument()
@in_runs_dir
def show(run: str, runs_dir: Path) -> None:
    """What a run is, and what came out.

    And where it lies, and the command that repeats it. Of a failed run also its error, and the end of its log.
    """
    folder, result = recorded(run, runs_dir)
    facts = [*_what(folder, result), *_outcome(result), *_where(folder, result)]
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts:
        grid.add_row(screen.text(name), screen.text(value))
    screen.print_table(grid)
    if any((result.train, result.val, result.test)):
        screen.line()
        terminal.console.print(terminal.result_table(result))
    if result.confusion and result.per_class:
        screen.line()
        screen.print_table(_classes(result.confusion, result.per_class))
    if result.status == "failed":
        _print_log(folder / LOG)
    screen.line(f"\nagain: {result.again()}")


def _what(folder: Path, result: Result) -> list[tuple[str, str]]:
    family = "" if result.family == result.model else f" ({result.family})"
    differs = [f"{key}={screen.spell(key, value) or 'null'}" for key, value in changed(result).items()]
    facts = [("run", result.name), ("model", result.model + family), ("status", _status(folder, result))]
    facts += [("error", result.error)] if result.error else []
    return [
        *facts,
        ("overrides", shlex.join(result.overrides) or "none"),
        ("not default", " ".join(differs) or "nothing"),
    ]


def _status(folder: Path, result: Result) -> str:
    try:
        if result.status != "running" or is_claimed(folder, LOCK) or is_claimed(folder, RUN_LOCK):
            return result.status
    except PermissionError:  # someone else's, whose lock cannot be tried
        return result.status
    return "running, but no process is at work here: it was killed"


def _outcome(result: Result) -> list[tuple[str, str]]:
    seconds = result.seconds
    parts = ", ".join(f"{k} {terminal.duration(v)}" for k, v in seconds.items() if k != "total")
    best = f", the best is {result.best_epoch}" if result.best_epoch else ""
    found = {
        "parameters": _count(result.params.get("total")),
        "MACs": _count(result.macs),
        "receptive field": _count(result.receptive_field),
        "epochs": f"{result.epochs}{best}" if result.epochs else "",
        "time": terminal.duration(seconds.get("total")) + (f" ({parts})" if parts else ""),
        "speed": f"{result.images_per_second:,.0f} images/s" if result.images_per_second else "",
        "memory": decimal(result.peak_memory) if result.peak_memory else "",
        "kernels": result.kernels or "none: torch alone",
    }
    return [(k, v) for k, v in found.items() if v]


def _count(value: int | str | None) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else f"{value:,}"


def _where(folder: Path, result: Result) -> list[tuple[str, str]]:
    kept = sorted((folder / CHECKPOINTS).glob("*.ckpt"))
    commit = f"{result.git['commit']}{' with changes' if result.git.get('modified') else ''}" if result.git else ""
    found = {
        "folder": f"{folder} ({decimal(disk_usage(folder))})",
        "checkpoints": ", ".join(f"{path.name} {decimal(path.stat().st_size)}" for path in kept) or "none",
        "device": result.device and result.device + (f" x {result.world_size}" if result.world_size > 1 else ""),
        "versions": ", ".join(f"{k} {v}" for k, v in result.versions.items()),
        "commit": commit,
        "identity": result.identity,
        "W&B": result.wandb_id,
    }
    return [(k, v) for k, v in found.items() if v]


def _classes(confusion: Sequence[Sequence[int]], accuracies: Mapping[str, float | None]) -> Table:
    """Test accuracy of each class, and what its images were taken for: the matrix, or of many classes the worst."""
    if len(accuracies) <= CLASSES:
        screen.line("test images of each class, and how many were taken for which")
        made = screen.table("class", "acc", *map(str, range(len(confusion))), gap=1)
        for i, (name, accuracy) in enumerate(accuracies.items()):
            made.add_row(
                screen.text(f"{i} {name}"), screen.spell("acc", accuracy), *(str(n or "") for n in confusion[i])
            )
        return made
    made = screen.table(f"the {CLASSES} worst of {len(accuracies)} classes", "acc", "images", "most often taken for")
    screen.hold_text(made.columns[-1])
    names = list(accuracies)
    known = [(a, i) for i, a in enumerate(accuracies.values()) if a is not None]
    for accuracy, i in sorted(known)[:CLASSES]:
        n, other = max((n, j) for j, n in enumerate(confusion[i]) if j != i)
        taken = screen.text(f"{names[other]} ({n})" if n else "")
        made.add_row(screen.text(names[i]), screen.spell("acc", accuracy), str(sum(confusion[i])), taken)
    return made


def _print_log(path: Path) -> None:
    """The end of a log, if there is one."""
    if not path.exists():
        return
    lines = path.read_text(errors="replace").rstrip("\n").splitlines()
    screen.line(f"\n{path} ends:")
    for each in lines[-LOG_LINES:]:
        screen.line(f"  {each}")
