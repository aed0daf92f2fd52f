"""All that the page shows, as plain JSON values."""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from fc2conv.record.arrays import Arrays
from fc2conv.record.result import finite, per_class
from fc2conv.report import effects
from fc2conv.report.configurations import Configuration, Key, group
from fc2conv.report.intervals import Estimate, t_quantiles
from fc2conv.report.records import Records, Run

BUDGETS = tuple(f * 10**e for e in range(3, 10) for f in (1, 3))
"""Parameters: 1k, 3k, 10k, ..."""
DETAILED = 300
"""Most configurations, the best first, that have confusion matrix, per-class accuracy and filters in the page."""
CONFUSION_CELLS, FILTER_BYTES = 400_000, 2_000_000
"""Most that all of them may have together."""
ERROR = 2000
"""Characters of an error."""


@dataclass(frozen=True)
class Report:
    """What is known of the runs: what page, tables and charts are made of."""

    name: str
    runs_dir: Path
    records: Records
    keys: list[Key]
    """The most important first."""
    configurations: list[Configuration]
    importance: effects.Importance | None
    baseline: int | None = None
    """Position of the configuration that tables compare with."""

    @classmethod
    def of(cls, records: Records, name: str, runs_dir: Path) -> Report:
        keys, configurations = group(records.runs)
        importance = effects.importance(keys, configurations)
        shares = importance.shares if importance else {}
        keys.sort(key=lambda key: -shares.get(key.key, 0.0))
        return cls(name, runs_dir, records, keys, configurations, importance)

    @property
    def runs(self) -> list[Run]:
        return self.records.runs

    def mean(self, i: int, of: Callable[[Run], float | None]) -> float | None:
        """Over the runs of a configuration that count, of a figure that they have."""
        found = [v for r in self.configurations[i].counted.values() if (v := of(self.runs[r])) is not None]
        return fmean(found) if found else None

    @cached_property
    def usual_device(self) -> tuple[str | None, Collection[int]]:
        """(the device of most configurations, the positions of those that ran there alone). Where all ran on one, or
        nothing is known of it: (None, all)."""
        devices = [{self.runs[r].result.device for r in c.counted.values()} for c in self.configurations]
        single = {i: next(iter(found)) for i, found in enumerate(devices) if len(found) == 1}
        if len(set().union(*devices)) < 2 or not single:
            return None, range(len(self.configurations))
        device = Counter(single.values()).most_common(1)[0][0]
        return device or "an unknown device", {i for i, its in single.items() if its == device}

    def seconds(self, i: int) -> float | None:
        return self.mean(i, lambda run: run.seconds)

    def images_per_second(self, i: int) -> float | None:
        return self.mean(i, lambda run: run.images_per_second)

    @cached_property
    def fronts(self) -> dict[str, set[int]]:
        """params, macs -> the Pareto front."""
        return {cost: self.front(cost) for cost in ("params", "macs")}

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """One for each configuration, flat, varying keys by their labels: what charts have as `configurations`."""
        rows = []
        for i, c in enumerate(self.configurations):
            row: dict[str, Any] = {"configuration": i, "label": c.label, "model": c.model, "family": c.family}
            row |= {k.label: c.point[k.key] for k in self.keys if k.key in c.point}
            row |= {"params": c.params, "macs": c.macs, "receptive_field": c.receptive_field, "n": len(c.val)}
            for split, e in (("val", c.estimate("val")), ("test", c.estimate("test"))):
                row |= {split: e and e.mean, f"{split}_low": e and e.low, f"{split}_high": e and e.high}
            row |= {"seconds": self.seconds(i), "images_per_second": self.images_per_second(i)}
            rows.append(row | {f"pareto_{cost}": i in front for cost, front in self.fronts.items()})
        return rows

    def front(self, cost: str) -> set[int]:
        """The Pareto front of validation accuracy and `cost` (params or macs): nothing is better in one of the two and
        no worse in the other."""
        known = [
            (c, e.mean, i) for i, e in self.validated() if (c := getattr(self.configurations[i], cost)) is not None
        ]
        best, found = -math.inf, set()
        known.sort(key=lambda k: (k[0], -k[1]))
        for n, (c, acc, i) in enumerate(known):
            equal = n > 0 and known[n - 1][2] in found and known[n - 1][:2] == (c, acc)
            if acc > best or equal:
                found.add(i)
                best = acc
        return found

    def validated(self) -> list[tuple[int, Estimate]]:
        """Positions of configurations with their validation accuracies, where they have one."""
        return [(i, e) for i, c in enumerate(self.configurations) if (e := c.estimate("val"))]

    def ranked(self) -> list[int]:
        """Positions of those, the best first."""
        return [i for i, e in sorted(self.validated(), key=lambda found: -found[1].mean)]


def payload(report: Report, charts: Sequence[Mapping[str, Any]], command: str, live: bool = False) -> dict[str, Any]:
    """What the page gets. All text is as it was recorded: the page escapes it.

    Args:
        charts: as charts.py makes them
        command: that makes the report again
        live: it is served, and the page asks for news
    """
    made = _Made()
    owners = {r: i for i, c in enumerate(report.configurations) for r in c.runs}
    runs = [_run(report, r, owners[r], made) for r in range(len(report.runs))]
    values = {
        "name": report.name,
        "created": datetime.now().isoformat(timespec="seconds"),
        "runs_dir": str(report.runs_dir),
        "live": live,
        "summary": _summary(report),
        "keys": [{"key": k.key, "label": k.label, "kind": k.kind, "values": list(k.values)} for k in report.keys],
        "configurations": _configurations(report),
        "runs": runs,
        "made": {**made.lists, "command": command},
        "t": t_quantiles(),
        "baseline": report.baseline,
        "charts": list(charts),
    }
    return dict(finite(values))


def estimated(estimate: Estimate | None) -> dict[str, float | None] | None:
    if estimate is None:
        return None
    return {"mean": estimate.mean, "std": estimate.std, "low": estimate.low, "high": estimate.high}


# --- parts


def _summary(report: Report) -> dict[str, Any]:
    results = [run.result for run in report.runs]
    return {
        "runs": len(results),
        "by_status": dict(Counter(r.status for r in results)),
        "models": list(dict.fromkeys(c.model for c in report.configurations)),
        "seeds": sorted({r.seed for r in results}),
        "seconds": math.fsum(run.seconds or 0.0 for run in report.runs),
        "failures": [
            {"run": i, "error": (r.error or "")[:ERROR]} for i, r in enumerate(results) if r.status == "failed"
        ],
        "skipped_folders": [{"folder": f, "reason": reason} for f, reason in report.records.skipped.items()],
        "debug": report.records.debug,
        "lr_find": report.records.lr_find,
        "budgets": budgets(report),
    }


def budgets(report: Report) -> list[dict[str, Any]]:
    """The best model for each parameter budget: chosen by validation accuracy, its test accuracy told. A budget that
    admits no more models than a smaller one is left out."""
    known = [(c, e, i) for i, e in report.validated() if (c := report.configurations[i].params) is not None]
    found: list[dict[str, Any]] = []
    admitted = 0
    for budget in BUDGETS:
        within = [(e, i) for params, e, i in known if params <= budget]
        if len(within) > admitted:
            admitted = len(within)
            estimate, best = max(within, key=lambda w: w[0].mean)
            test = report.configurations[best].estimate("test")
            found.append(
                {
                    "params": budget,
                    "configuration": best,
                    "params_of_it": report.configurations[best].params,
                    "val": estimate.mean,
                    "test": test.mean if test else None,
                    "n": estimate.n,
                }
            )
    return found


def _configurations(report: Report) -> list[dict[str, Any]]:
    found = []
    for i, c in enumerate(report.configurations):
        val = c.estimate("val")
        found.append(
            {
                "label": c.label,
                "model": c.model,
                "family": c.family,
                "point": c.point,
                "params": c.params,
                "macs": c.macs,
                "receptive_field": c.receptive_field,
                "runs": list(c.runs),
                "by_status": dict(Counter(report.runs[r].result.status for r in c.runs)),
                "n": val.n if val else 0,
                "val": estimated(val),
                "test": estimated(c.estimate("test")),
                "seconds": report.seconds(i),
                "images_per_second": report.images_per_second(i),
                **{f"pareto_{cost}": i in front for cost, front in report.fronts.items()},
                "curve": curve(report, i),
                "confusion": None,
                "classes": None,
                "per_class": None,
                "filters": None,
            }
        )
    _add_details(report, found)
    return found


def curve(report: Report, i: int) -> dict[str, list[float | None]]:
    """Means over the seeds by epoch; low and high are a standard deviation from the mean. Of the runs that count, or,
    as long as none is done, of all."""
    c = report.configurations[i]
    curves = [report.runs[r].curve for r in (c.counted.values() or c.runs)]
    epochs = sorted({epoch for found in curves for epoch in found})
    columns: dict[str, list[float | None]] = {"epoch": list(epochs)}
    names = {"val_acc": "val/acc", "train_acc": "train/acc", "val_loss": "val/loss", "train_loss": "train/loss"}
    for name, column in {**names, "lr": "lr"}.items():
        estimates = [Estimate.of([f[e][column] for f in curves if column in f.get(e, {})]) for e in epochs]
        columns[name] = [None if e is None else _short(e.mean) for e in estimates]
        if name == "val_acc":
            columns["val_acc_low"] = [None if e is None else _short(e.mean - e.std) for e in estimates]
            columns["val_acc_high"] = [None if e is None else _short(e.mean + e.std) for e in estimates]
    return columns


def _short(value: float) -> float:
    """Six digits, as in metrics.csv."""
    return float(f"{value:.6g}")


def _add_details(report: Report, found: Sequence[dict[str, Any]]) -> None:
    """Confusion and filters, of the best ones as far as they fit."""
    cells, size = CONFUSION_CELLS, FILTER_BYTES
    for i in report.ranked()[:DETAILED]:
        matrix, classes = confusion(report, i)
        if matrix and len(matrix) ** 2 <= cells:
            cells -= len(matrix) ** 2
            found[i] |= {"confusion": matrix, "classes": classes, "per_class": per_class(matrix, classes)}
        filters = _filters(report, i)
        if filters and len(filters["data"]) <= size:
            size -= len(filters["data"])
            found[i]["filters"] = filters


def confusion(report: Report, i: int) -> tuple[list[list[int]], list[str]]:
    """(test images of each true class by predicted class, summed over the seeds; the classes). Empty where there is
    none, or where the seeds have different classes."""
    results = [report.runs[r].result for r in report.configurations[i].counted.values()]
    matrices = [r.confusion for r in results if r.confusion and r.per_class]
    classes = {tuple(r.per_class) for r in results if r.confusion and r.per_class}
    if len(classes) != 1:
        return [], []
    names = list(classes.pop())
    if any(len(m) != len(names) or any(len(row) != len(names) for row in m) for m in matrices):
        return [], []
    size = range(len(names))
    return [[sum(m[row][column] for m in matrices) for column in size] for row in size], names


def _filters(report: Report, i: int) -> dict[str, Any] | None:
    """The first convolution's weights of the first seed, as whole numbers from -127 to 127 on one scale."""
    counted = report.configurations[i].counted
    if not counted:
        return None
    arrays = Arrays.read(report.runs[counted[min(counted)]].folder, only={"filters"})
    weights = np.asarray(arrays.filters) if arrays else np.zeros(0)
    if weights.ndim != 4 or not weights.size or weights.dtype.kind != "f" or not np.isfinite(weights).all():
        return None
    scale = float(np.abs(weights).max()) / 127 or 1.0
    numbers = np.rint(weights / scale).astype(np.int8)
    data = base64.b64encode(numbers.tobytes()).decode("ascii")
    return {"shape": list(weights.shape), "scale": scale, "data": data}


class _Made:
    """What made the runs: each version, commit and hash once."""

    def __init__(self) -> None:
        self.lists: dict[str, list[Any]] = {"versions": [], "git": [], "data_sha256": []}
        self._known: dict[Hashable, int] = {}

    def position(self, name: str, value: Mapping[str, Any] | None) -> int | None:
        if value is None:
            return None
        key = (name, repr(sorted(value.items(), key=lambda item: item[0])))
        if key not in self._known:
            self._known[key] = len(self.lists[name])
            self.lists[name].append(dict(value))
        return self._known[key]


def _run(report: Report, r: int, c: int, made: _Made) -> dict[str, Any]:
    run, result = report.runs[r], report.runs[r].result
    return {
        "name": run.name,
        "folder": str(run.folder),
        "configuration": c,
        "counted": report.configurations[c].counted.get(result.seed) == r,
        "seed": result.seed,
        "status": result.status,
        **{split: run.accuracy(split) for split in ("val", "test", "train")},
        **{f"{split}_loss": (getattr(result, split) or {}).get("loss") for split in ("val", "test")},
        "seconds": run.seconds,
        "images_per_second": run.images_per_second,
        "epochs": result.epochs,
        "best_epoch": result.best_epoch,
        "device": result.device,
        "error": result.error[:ERROR] if result.error else None,
        "command": result.again(),
        "identity": result.identity,
        "versions": made.position("versions", result.versions),
        "git": made.position("git", result.git),
        "data_sha256": made.position("data_sha256", result.data_sha256),
    }
