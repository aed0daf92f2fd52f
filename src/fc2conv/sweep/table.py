"""What a sweep says at its beginning (the plan) and at its end (means and standard deviations over the seeds)."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape

from fc2conv.architectures.trace import Geometry
from fc2conv.config.schema import DATASETS, headings
from fc2conv.record.figure_table import FigureTable
from fc2conv.record.result import Result, seen_by, spread, write_atomically
from fc2conv.record.terminal import duration, spell
from fc2conv.sweep.search_space import SweepFile
from fc2conv.sweep.trials import Trial

FILE = "table.csv"
MACS_PER_SECOND = 8e9
"""Speed of training on one core, assumed where no record of this machine says better."""
SECONDS_PER_IMAGE = 12e-6
"""What a training image costs beyond its multiplications."""


@dataclass(frozen=True)
class Group:
    """Trials that differ in their seed only."""

    point: dict[str, str]
    """Key -> value as on the command line, of the keys that vary, but for the seed."""
    trials: tuple[Trial, ...]
    results: tuple[Result, ...]

    @property
    def name(self) -> str:
        return " ".join(f"{k}={v}" for k, v in self.point.items()) or "(defaults)"

    @property
    def reason(self) -> str | None:
        return self.trials[0].impossible

    def accuracies(self, split: str) -> list[float]:
        """One metric of the finished runs, by seed; `split` is train, val or test."""
        found = [r for r in self.results if r.status == "done"]
        return [values["acc"] for r in found if (values := getattr(r, split))]


def groups(trials: Sequence[Trial]) -> list[Group]:
    """In the order of the sweep."""
    by: dict[str, list[Trial]] = {}
    for trial in trials:
        by.setdefault(trial.group, []).append(trial)
    return [
        Group(
            dict(o.split("=", 1) for o in members[0].point if not o.startswith("seed=")),
            tuple(members),
            tuple(r for t in members if (r := t.result()) is not None),
        )
        for members in by.values()
    ]


def keys(found: Sequence[Group]) -> list[str]:
    """Those that vary, but for the seed."""
    return list(dict.fromkeys(key for group in found for key in group.point))


def _point(group: Group, names: Sequence[str]) -> list[str]:
    return [escape(group.point.get(name, "")) for name in names]


def results_table(found: Sequence[Group], by_accuracy: bool = False) -> FigureTable:
    """Model, parameters, MACs, validation and test accuracy as mean ± standard deviation over n seeds."""
    table = FigureTable(title_justify="left")
    names = keys(found)
    for name in (*headings(names), *([] if "model" in names else ["model"])):
        table.add_column(escape(name))
    for column in ("parameters", "MACs", "n", "val acc", "test acc"):
        table.add_column(column, justify="right")
    noted = any(_note(group) for group in found)
    if noted:
        table.add_column("note")
    for group in _ordered(found) if by_accuracy else found:
        shown = [_mean(group.accuracies(split)) for split in ("val", "test")]
        counts = [f"{n:,}" if n is not None else "" for n in _counts(group)[:2]]
        row = [*_point(group, names), *([] if "model" in names else [group.trials[0].model]), *counts]
        row += [str(len(group.accuracies("val")) or ""), *shown, *([escape(_note(group))] if noted else [])]
        table.add_row(*row)
    return table


def _ordered(found: Sequence[Group]) -> list[Group]:
    """Best validation accuracy first; a pruned run comes by what it had reached, after those that went to the end."""

    def key(group: Group) -> tuple[float, float]:
        done = group.accuracies("val")
        seen = [r.val["acc"] for r in group.results if r.val]
        return -(statistics.fmean(done) if done else -1.0), -max(seen, default=-1.0)

    return sorted(found, key=key)


def _counts(group: Group) -> tuple[int | None, int | None, int | str | None]:
    """(parameters, MACs, receptive field), of the plan, or as a run has recorded them."""
    for trial in group.trials:
        if trial.geometry:
            return trial.geometry.params, trial.geometry.macs, seen_by(trial.geometry)
    for result in group.results:
        if result.params:
            return result.params.get("total"), result.macs, result.receptive_field
    return None, None, None


def _mean(values: list[float]) -> str:
    if not values:
        return ""
    mean, std, n = spread(values)
    return f"{mean:.4f}" + (f" ± {std:.4f}" if n > 1 else "")


def _note(group: Group) -> str:
    if group.reason:
        return "skipped"
    others = [r.status for r in group.results if r.status != "done"]
    missing = len(group.trials) - len(group.results)
    parts = [f"{others.count(s)} {s}" for s in dict.fromkeys(others)] + ([f"{missing} not run"] if missing else [])
    return ", ".join(parts)


def write_csv(found: Sequence[Group], folder: Path) -> Path:
    """The same with all digits, a row for each group, into `folder`."""
    varied = [name for name in keys(found) if name != "model"]
    columns = ("model", *varied, "parameters", "macs", "receptive_field", "n")
    names = [*columns, *(f"{split}_acc_{s}" for split in ("val", "test") for s in ("mean", "std")), "note"]
    folder.mkdir(parents=True, exist_ok=True)  # a sweep stopped before its first job has none yet
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for group in found:
        row: list[object] = [group.trials[0].model, *(group.point.get(name, "") for name in varied)]
        row += ["" if n is None else n for n in _counts(group)]
        row.append(len(group.accuracies("val")))
        for split in ("val", "test"):
            values = group.accuracies(split)
            mean, std, n = spread(values) if values else (None, None, 0)
            row += [mean if n else "", std if n > 1 else ""]
        writer.writerow([*row, group.reason or _note(group)])
    path = folder / FILE
    write_atomically(path, text.getvalue())
    return path


# --- the plan


def plan_table(found: Sequence[Group]) -> FigureTable:
    """Each trial's output shapes, counts, receptive field and a run's estimated time, or why it is impossible."""
    speed = macs_per_second(found)
    table = FigureTable(title_justify="left", show_lines=True)
    names = keys(found)
    for name in headings(names) or ["trial"]:
        table.add_column(escape(name))
    table.add_column("output shapes")
    for column in ("parameters", "MACs", "receptive field", "runs", "a run"):
        table.add_column(column, justify="right")
    for group in found:
        trial, point = group.trials[0], _point(group, names) or ["(defaults)"]
        if trial.geometry is None:
            table.add_row(*point, "[yellow]impossible[/]")
            continue
        counts = [f"{n:,}" for n in (trial.geometry.params, trial.geometry.macs)]
        time = f"~ {duration(max(1.0, seconds(group, speed)))}"
        runs = str(len(group.trials))
        table.add_row(*point, shapes(trial.geometry), *counts, str(seen_by(trial.geometry) or ""), runs, time)
    return table


def space_table(file: SweepFile, first: Trial) -> FigureTable:
    """What a search draws from, and the network that it starts around."""
    table = FigureTable(
        title=f"{escape(str(file.path))}: {file.run_cap} runs, method {file.method}", title_justify="left"
    )
    table.add_column("key")
    table.add_column("values")
    for p in file.varied():
        if p.values is not None:
            values = ", ".join(str(v) for v in p.values)
        else:
            values = f"{p.low:g} to {p.high:g}" + (", logarithmic" if p.log else "")
            values += f", in steps of {p.step:g}" if p.step else ", whole numbers" if p.whole else ""
        table.add_row(escape(p.key), escape(values))
    if first.geometry:
        table.caption = (
            f"e.g. {escape(first.label)}: {first.geometry.params:,} parameters, {first.geometry.macs:,} MACs"
        )
    return table


def shapes(geometry: Geometry) -> str:
    """Where the shape changes: 1x28x28 6x28x28 6x14x14 ... 10"""
    found = [spell(geometry.input)]
    for row in geometry.rows:
        if found[-1] != spell(row.output):
            found.append(spell(row.output))
    return " ".join(found)


def macs_per_second(found: Sequence[Group]) -> float:
    """Speed of training on this machine, from its records."""
    rates = []
    for group in found:
        for result in group.results:
            if result.images_per_second and result.macs:
                left = max(1 / result.images_per_second - SECONDS_PER_IMAGE, 1e-6)
                rates.append(3 * result.macs / left)
    return statistics.median(rates) if rates else MACS_PER_SECOND


def seconds(group: Group, speed: float) -> float:
    """Estimated time of one of its runs: its own finished ones', or by its multiplications."""
    known = [r.seconds["total"] for r in group.results if r.status == "done" and "total" in r.seconds]
    if known:
        return statistics.median(known)
    config, geometry = group.trials[0].config, group.trials[0].geometry
    assert config is not None
    assert geometry is not None
    data = config.data
    images = data.split(DATASETS[data.name].train)[0] if data.name in DATASETS else data.train_size or 10_000
    batches = math.ceil(images / data.batch_size)
    read = config.trainer.epochs(batches) * config.trainer.of_epoch(batches) / batches * images
    return read * (3 * geometry.macs / speed + SECONDS_PER_IMAGE)
