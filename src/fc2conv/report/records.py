"""The runs that a report is about, read from their folders: records, learning curves, and what could not be read."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from fc2conv.config.identity import configuration_of, decides, hashed
from fc2conv.config.schema import CALLBACK, DATASETS, WATCHES, dotted, plain
from fc2conv.config.unused import key_of
from fc2conv.errors import ConfigError
from fc2conv.record.result import FILE, Result
from fc2conv.record.runs import collect, find, folders_of_runs, names_of

METRICS = "metrics.csv"
COLUMNS = ("train/acc", "train/loss", "val/acc", "val/loss", "lr")
"""Of metrics.csv, besides its epoch."""
LARGEST = 2**24
"""Bytes of a metrics.csv; what is larger is none."""
EPOCHS = 200
"""Most points of a curve: of a longer one, evenly spaced epochs are kept, the last among them."""

IMPOSSIBLE = 1e15
"""No count, time or loss is so large."""

Curve = dict[int, dict[str, float]]
"""Epoch -> column -> value; what is missing, or no finite number, is left out."""


@dataclass(frozen=True)
class Run:
    """One run's record, as reports need it."""

    folder: Path
    name: str
    """In the folder of all runs, without its identity."""
    result: Result
    configuration: str
    """Hash of what it has in common with those that differ in their seed only."""
    values: dict[str, Any]
    """Dotted key -> value: what decides its outcome, but for the seed."""
    curve: Curve = field(default_factory=dict)

    def accuracy(self, split: str) -> float | None:
        """Of train, val or test; None if it has none yet, or no finite one."""
        metrics: dict[str, float] | None = getattr(self.result, split)
        value = metrics["acc"] if metrics else None
        return value if value is not None and 0 <= value <= 1 else None

    @property
    def seconds(self) -> float | None:
        """All that it took."""
        return possible(self.result.seconds.get("total"))

    @property
    def images_per_second(self) -> float | None:
        return possible(self.result.images_per_second)


def possible(value: float | None) -> float | None:
    """None for what no run can have taken or counted: a record may hold any number."""
    return value if isinstance(value, (int, float)) and 0 <= value < IMPOSSIBLE else None


@dataclass
class Records:
    """What was found."""

    runs: list[Run] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    """Folder or file -> why it is left out."""
    debug: int = 0
    """Runs made with debug=, left out: they are to look at, not to compare."""
    lr_find: int = 0
    """Runs of task=lr_find, left out likewise."""


def read(names: Sequence[str], runs_dir: Path) -> Records:
    """The runs that `names` mean: folders of runs or sweeps, or names of such in `runs_dir`; without any, all there.

    Raises:
        ConfigError: nothing bears the name
    """
    found: dict[Path, Result] = {}
    records = Records()
    for top in places(names, runs_dir):
        collected = collect(top)
        found |= collected.runs
        for name in collected.unreadable:
            reason = collected.reasons.get(name, f"holds no run ({FILE})")
            records.skipped[os.path.normpath(top / name)] = reason
    kept: dict[Path, tuple[Path, Result]] = {}
    for folder, result in found.items():
        if result.debug:
            records.debug += 1
        elif result.suggested_lr is not None or result.config.get("task") == "lr_find":
            records.lr_find += 1
        else:
            kept.setdefault(folder.resolve(), (folder, result))
    decisive = _Decisive()
    shown = names_of([_relative(folder, runs_dir) for folder in kept])
    for name, (folder, result) in zip(shown, kept.values(), strict=True):
        curve, wrong = read_curve(folder / METRICS)
        if wrong:
            records.skipped[str(folder / METRICS)] = wrong
        records.runs.append(Run(folder, name, result, *decisive(result), curve))
    return records


def places(names: Sequence[str], runs_dir: Path) -> list[Path]:
    """The folders to look for runs in."""
    return [_meant(name, runs_dir) for name in names] or [runs_dir]


def _meant(name: str, runs_dir: Path) -> Path:
    for folder in (Path(name), runs_dir / name):
        if name and folder.is_dir() and any(folders_of_runs(folder)):
            return folder
    return find(name, runs_dir)


def _relative(folder: Path, runs_dir: Path) -> str:
    top = runs_dir.resolve()
    return str(folder.relative_to(top)) if top in folder.parents else str(folder)


# --- what decides the outcome


class _Decisive:
    """(hash, dotted values) of all that decides a run's outcome, but for the seed."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, dict[str, Any]]] = {}
        """By what differs among runs of one configuration at most where or how fast they ran."""

    def __call__(self, result: Result) -> tuple[str, dict[str, Any]]:
        config = {k: v for k, v in result.config.items() if k not in ("seed", "name")}
        key = json.dumps([result.format, result.family, config or [o for o in result.overrides if key_of(o) != "seed"]])
        if key not in self._known:
            self._known[key] = _decisive(result)
        return self._known[key]


def _decisive(result: Result) -> tuple[str, dict[str, Any]]:
    config = result.typed()
    if config:
        values, key = _values(plain(config)), configuration_of(config)
        if config.data.train_size is None and config.data.name in DATASETS:  # all of them; it is a number like others
            with suppress(ConfigError):  # a record may say what no run can have been
                values["data.train_size"] = config.data.split(DATASETS[config.data.name].train)[0]
        return hashed({"format": result.format, "configuration": key}), values
    # of a plugin that is not loaded, or of a later version; or its overrides made no config
    values = _values(result.config) if result.config else dict(_overridden(result.overrides))
    return hashed({"format": result.format, "family": result.family, "values": values}), values


def _values(config: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in dotted(config).items() if decides(key) and key != "model.family"}
    callbacks = config.get("callbacks")
    if isinstance(callbacks, Mapping):
        acting = {k: v for k, v in callbacks.items() if isinstance(v, Mapping) and not v.get(WATCHES)}
        found["callbacks"] = list(acting)
        found |= {k: v for k, v in dotted({"callbacks": acting}).items() if not k.endswith((CALLBACK, WATCHES))}
    return found


def _overridden(overrides: Sequence[str]) -> Iterator[tuple[str, Any]]:
    for override in overrides:
        key, text = key_of(override), override.partition("=")[2]
        if decides(key):
            try:
                yield key, yaml.safe_load(text)
            except (yaml.YAMLError, ValueError):
                yield key, text


# --- learning curves


def read_curve(path: Path) -> tuple[Curve, str | None]:
    """A run's metrics by epoch, and what is wrong with them, if something is. No file is nothing wrong: the first epoch
    may not be over."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return {}, "is no file"
        if status.st_size > LARGEST:
            return {}, f"is larger than {LARGEST >> 20} MiB; the run has no curve"
        rows = list(csv.DictReader(io.StringIO(path.read_text(errors="replace"))))
    except FileNotFoundError:
        return {}, None
    except (OSError, csv.Error) as error:
        return {}, f"cannot be read ({error}); the run has no curve"
    curve: Curve = {}
    for row in rows:
        epoch = _number(row.get("epoch"))
        if epoch is not None and epoch.is_integer():
            values = {column: _number(row.get(column)) for column in COLUMNS}
            curve[int(epoch)] = {k: v for k, v in values.items() if v is not None}
    wrong = None if len(curve) == len(rows) else f"{len(rows) - len(curve)} of {len(rows)} lines are no epoch's"
    return _thinned(curve), wrong


def _number(text: object) -> float | None:
    try:
        value = float(text) if isinstance(text, str) else math.nan
    except ValueError:
        return None
    return value if abs(value) < IMPOSSIBLE else None  # NaN is not


def _thinned(curve: Curve) -> Curve:
    epochs = sorted(curve)
    if len(epochs) > EPOCHS:
        epochs = [epochs[round((i + 1) * len(epochs) / EPOCHS) - 1] for i in range(EPOCHS)]
    return {epoch: curve[epoch] for epoch in epochs}
