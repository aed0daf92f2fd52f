"""Learning curves: loss and accuracy after each epoch, and the learning rate, of one run or of several.

Written as Vega-Lite, since building the same with Altair takes more than twice as long as drawing it.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fc2conv.pictures.style import INK, MUTED, RULE, RUNS, TRAIN, VAL, clean

FILE = "metrics.csv"
SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
WIDTH, HEIGHT, LOW = 360, 250, 70
"""Pixels of a panel; LOW is the height of the learning rate's."""
SPLITS = {"train": "training", "val": "validation"}
TICKS = 10
"""Epochs with a number, about."""
POINTS = 30
"""Epochs up to which each has a point."""
Spec = dict[str, Any]
"""A chart, or a part of one, in Vega-Lite's JSON."""


@dataclass(frozen=True)
class Curves:
    """What is drawn of a run."""

    label: str
    rows: Sequence[Mapping[str, float]]
    """Of metrics.csv: what is missing, or no number, has no key."""
    best_epoch: int | None = None


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """The rows of the run's metrics.csv, one an epoch; none where there is no such file, or another."""
    try:
        with open(folder / FILE, newline="", encoding="utf-8") as file:
            rows = [dict(_numbers(row)) for row in csv.DictReader(file)]
    except (OSError, ValueError, csv.Error):
        return []
    return [row for row in rows if "epoch" in row]


def _numbers(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for key, text in row.items():
        try:
            value = float(text)
        except (TypeError, ValueError):
            continue
        if math.isfinite(value):
            yield key, value


def chart(runs: Sequence[Curves], title: str) -> Spec:
    """Loss and accuracy side by side, the learning rate below. One run's best epoch is marked; of several, each has its
    colour.

    Args:
        runs: each with at least one row
    """
    labels = _distinct([clean(run.label) for run in runs])
    by_label = dict(zip(labels, runs, strict=True))
    x = _epochs(max(row["epoch"] for run in runs for row in run.rows))
    encoding = {"x": x} | (_by_run(labels) if len(runs) > 1 else _by_split())
    points = max(len(run.rows) for run in runs) <= POINTS

    def panel(heading: str, height: int, columns: Mapping[str, str], encoding: Spec = encoding) -> Spec:
        values = [
            {"run": label, "split": split, "epoch": row["epoch"], "value": row[column]}
            for label, run in by_label.items()
            for split, column in columns.items()
            for row in run.rows
            if column in row
        ]
        y = {"field": "value", "type": "quantitative", "title": heading, "scale": {"zero": False}}
        y["axis"] = {"format": "~g"} if height == LOW else {}
        layer: list[Spec] = [{"mark": {"type": "line", "strokeWidth": 2}, "encoding": encoding | {"y": y}}]
        if points:
            solid = {key: channel for key, channel in encoding.items() if key != "strokeDash"} | {"y": y}
            layer.append({"mark": {"type": "point", "size": 28, "filled": True, "opacity": 1}, "encoding": solid})
        if len(runs) == 1 and height > LOW:
            layer += _best(runs[0], x, 4 if heading == "loss" else height - 16)
        return {"width": WIDTH, "height": height, "data": {"values": values}, "layer": layer}

    above = [
        panel(heading, HEIGHT, {said: f"{split}/{metric}" for split, said in SPLITS.items()})
        for metric, heading in (("loss", "loss"), ("acc", "accuracy"))
    ]
    plain = {"x": x, "color": encoding["color"] if len(runs) > 1 else {"value": INK}}
    below = panel("learning rate", LOW, {"training": "lr"}, plain)
    return {
        "$schema": SCHEMA,
        "title": {"text": clean(title), "anchor": "start", "fontSize": 15, "color": INK, "offset": 12},
        "vconcat": [{"hconcat": above}, below | {"width": 2 * WIDTH + 62}],
        "config": CONFIG,
    }


CONFIG: Spec = {
    "background": "white",
    "padding": 16,
    "view": {"stroke": None},
    "axis": {
        "labelFontSize": 12,
        "titleFontSize": 13,
        "titleFontWeight": "normal",
        "labelColor": INK,
        "titleColor": INK,
        "gridColor": "#eceff3",
        "domainColor": RULE,
        "tickColor": RULE,
    },
    "legend": {"labelFontSize": 12, "labelColor": INK, "symbolStrokeWidth": 3, "orient": "bottom", "title": None},
}


def _epochs(last: float) -> Spec:
    step = math.ceil(last / TICKS)
    axis = {"values": [1, *range(max(2, step), int(last) + 1, step)], "format": "d", "grid": False}
    scale = {"domain": [1, last] if last > 1 else [0.5, 1.5], "nice": False}
    return {"field": "epoch", "type": "quantitative", "title": "epoch", "axis": axis, "scale": scale}


def _by_split() -> Spec:
    scale = {"domain": list(SPLITS.values()), "range": [TRAIN, VAL]}
    return {"color": {"field": "split", "type": "nominal", "scale": scale}}


def _by_run(labels: list[str]) -> Spec:
    scale = {"domain": labels, "range": [RUNS[i % len(RUNS)] for i in range(len(labels))]}
    legend = {"columns": 1 if max(map(len, labels)) > 50 else 2, "labelLimit": 700}
    lines = {"symbolType": "stroke", "symbolSize": 500, "symbolStrokeColor": INK}
    dashes = {"domain": list(SPLITS.values()), "range": [[4, 3], [1, 0]]}
    return {
        "color": {"field": "run", "type": "nominal", "scale": scale, "legend": legend},
        "strokeDash": {"field": "split", "type": "nominal", "scale": dashes, "legend": lines},
    }


def _best(run: Curves, x: Spec, at: int) -> list[Spec]:
    """A line at the best epoch, with its number `at` so many pixels from the top."""
    epochs = [row["epoch"] for row in run.rows]
    data = {"values": [{"epoch": n, "text": f"best: epoch {n:.0f}"} for n in epochs if n == run.best_epoch]}
    side = -1 if (run.best_epoch or 0) > epochs[-1] / 2 else 1
    rule = {"type": "rule", "color": MUTED, "strokeDash": [3, 3]}
    text = {"type": "text", "align": "right" if side < 0 else "left", "dx": 6 * side, "baseline": "top"}
    text |= {"fontSize": 12, "color": MUTED}
    return [
        {"data": data, "mark": rule, "encoding": {"x": x}},
        {"data": data, "mark": text, "encoding": {"x": x, "y": {"value": at}, "text": {"field": "text"}}},
    ]


def _distinct(labels: list[str]) -> list[str]:
    """Runs of one label keep their own colours: a, a (2)."""
    return [f"{each} ({n})" if (n := labels[:i].count(each) + 1) > 1 else each for i, each in enumerate(labels)]
