"""`fc2conv plot RUN...`: draws the pictures of a run again, or the learning curves of several in one chart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from fc2conv.cli import screen
from fc2conv.cli.arguments import in_runs_dir, recorded, run_argument
from fc2conv.cli.keys import labels
from fc2conv.errors import ConfigError
from fc2conv.fields import usable
from fc2conv.pictures.curves import FILE, Curves, Spec, chart, read_metrics
from fc2conv.pictures.folder import draw, save_chart
from fc2conv.record.result import Result

SUFFIXES = (".png", ".svg")
TOGETHER = Path("curves.png")
"""Where the curves of several runs go, unless told otherwise."""
MOST = 16
"""Runs in one chart: with more, nobody finds a line's name."""


@click.command()
@run_argument("runs", nargs=-1, required=True)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE.png|FILE.svg",
    help=f"Only the learning curves, into this file.  [of several runs: {TOGETHER}]",
)
@in_runs_dir
def plot(runs: Sequence[str], out: Path | None, runs_dir: Path) -> None:
    """A run's pictures again, or the curves of several.

    They are drawn from what lies in the runs' folders; no checkpoint is read. Those of one run go into its folder
    pictures/, the learning curves of several into one chart.
    """
    if out and out.suffix not in SUFFIXES:
        raise ConfigError("--out", f"got {out}, expected a name that ends in .png or .svg")
    found = dict(recorded(run, runs_dir) for run in runs)  # one that is named twice is there once
    if len(found) > MOST:
        raise ConfigError("RUNS", f"got {len(found)}, expected at most {MOST}, whose colours can still be told apart")
    (folder, result), *others = found.items()
    if not others and out is None:
        with usable("RUNS", folder):
            paths = draw(folder, result)
        if not paths:
            raise _nothing(folder)
    else:
        out = out or TOGETHER
        with usable("--out", out):
            paths = save_chart(_together(found), out)
    for path in paths:
        screen.line(path)


def _together(found: dict[Path, Result]) -> Spec:
    curves = []
    for (folder, result), label in zip(found.items(), labels(list(found.values())), strict=True):
        rows = read_metrics(folder)
        if not rows:
            raise _nothing(folder)
        curves.append(Curves(label, rows, result.best_epoch))
    return chart(curves, curves[0].label if len(curves) == 1 else "Learning curves")


def _nothing(folder: Path) -> ConfigError:
    return ConfigError("RUNS", f"{folder} has no epoch in its {FILE}, so there is nothing to draw")
