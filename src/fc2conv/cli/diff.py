"""`fc2conv diff RUN RUN`: what two runs differ in, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from fc2conv.cli import screen
from fc2conv.cli.arguments import in_runs_dir, recorded, run_argument
from fc2conv.cli.keys import keys_of
from fc2conv.record.result import Result

FIGURES: dict[str, tuple[str, Callable[[Result], float | None]]] = {
    "parameters": ("params", lambda r: r.params.get("total")),
    "MACs": ("macs", lambda r: r.macs),
    "receptive field": ("receptive_field", lambda r: r.receptive_field if isinstance(r.receptive_field, int) else None),
    "val acc": ("val.acc", lambda r: (r.val or {}).get("acc")),
    "val loss": ("val.loss", lambda r: (r.val or {}).get("loss")),
    "test acc": ("test.acc", lambda r: (r.test or {}).get("acc")),
    "test loss": ("test.loss", lambda r: (r.test or {}).get("loss")),
    "epochs": ("epochs", lambda r: r.epochs),
    "time": ("seconds", lambda r: r.seconds.get("total")),
    "images/s": ("images_per_second", lambda r: r.images_per_second),
    "memory": ("peak_memory", lambda r: r.peak_memory),
}
"""Title -> (column of fc2conv.results(), which says how it is written; the figure)."""


@click.command()
@run_argument("run_a")
@run_argument("run_b")
@in_runs_dir
def diff(run_a: str, run_b: str, runs_dir: Path) -> None:
    """What two runs differ in.

    The keys of their configs with both values, and their figures with difference and ratio.
    """
    (folder_a, a), (folder_b, b) = recorded(run_a, runs_dir), recorded(run_b, runs_dir)
    screen.line(f"A  {folder_a} ({a.model}, {a.status})\nB  {folder_b} ({b.model}, {b.status})\n")
    keys = differing(a, b)
    if keys:
        screen.print_table(_keys_table(keys))
    else:
        same = a.identity == b.identity
        screen.line(
            "no key differs" + ("" if same else ", but the code of the model or the version of the record does")
        )
    screen.line()
    screen.print_table(_figures_table(a, b))


def differing(a: Result, b: Result) -> dict[str, tuple[str, str]]:
    """Key -> both values, of the keys that say what a run is; a key that a run does not have is "-"."""
    one, other = keys_of(a), keys_of(b)
    return {
        key: (_written(key, one), _written(key, other))
        for key in dict.fromkeys([*one, *other])
        if key not in one or key not in other or one[key] != other[key]
    }


def _written(key: str, values: dict[str, Any]) -> str:
    return screen.spell(key, values[key]) or "null" if key in values else screen.MISSING


def _keys_table(keys: dict[str, tuple[str, str]]) -> Table:
    made = screen.table("key", "A", "B")
    for each in made.columns[1:]:
        screen.hold_text(each)
    for key, values in keys.items():
        made.add_row(screen.text(key), *map(screen.text, values))
    return made


def _figures_table(a: Result, b: Result) -> Table:
    """A figure that a run does not have is left empty."""
    made = screen.table("", "A", "B", "B - A", "B / A")
    for title, (column, figure) in FIGURES.items():
        one, other = figure(a), figure(b)
        if one is None and other is None:
            continue
        both = one is not None and other is not None
        change = _signed(column, other - one) if both else ""  # type: ignore[operator]
        ratio = f"{other / one:.4g}" if both and one else ""  # type: ignore[operator]
        made.add_row(title, screen.spell(column, one), screen.spell(column, other), change, ratio)
    return made


def _signed(column: str, difference: float) -> str:
    sign = "+" if difference > 0 else "-" if difference < 0 else ""
    return sign + screen.spell(column, abs(difference))
