"""Parallel coordinates: all keys at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import fmean

from fc2conv.report.charts import parts
from fc2conv.report.charts.parts import LOG_FROM, MANY
from fc2conv.report.configurations import Key, Value
from fc2conv.report.payload import Report

PARALLEL = 250
"""Most lines: of more, so many evenly over their accuracies."""
ABSENT, LAST = -0.12, "val acc"
"""Where a line passes an axis that it has no value on; the axis at the right."""
AXES = 10
"""Most keys."""


def parallel(report: Report) -> parts.Drawn | None:
    """A line a configuration through its values of all keys, its parameters and its accuracy."""
    import altair as alt

    ranked = report.ranked()[::-1]  # the best are drawn on top
    if not report.keys or len(ranked) < 2:
        return None
    step = max(1.0, (len(ranked) - 1) / (PARALLEL - 1))
    best = [ranked[round(i * step)] for i in range(min(PARALLEL, len(ranked)))]
    axes: dict[str, dict[int, tuple[float, str]]] = {}
    for key in report.keys[:AXES]:
        there = {i: c.point[key.key] for i in best if key.key in (c := report.configurations[i]).point}
        axes[key.label] = _evenly(there, key) | {i: (ABSENT, "–") for i in best if i not in there}
    params = {i: c.params for i in best if (c := report.configurations[i]).params}
    if len(set(params.values())) > 1:
        axes["parameters"] = _continuous(params, log=True)
    accuracies = {i: fmean(report.configurations[i].val.values()) for i in best}
    axes[LAST] = {i: (at, f"{accuracies[i]:.1%}") for i, (at, _) in _continuous(accuracies, log=False).items()}
    lines = [
        {"configuration": i, "axis": axis, "at": round(at, 4), "value": text}
        for i in best
        for axis, found in axes.items()
        if i in found
        for at, text in [found[i]]
    ]
    ticks: list[parts.Row] = [
        {"axis": axis, "at": at, "value": text} for axis, found in axes.items() for at, text in _ticks(found)
    ]
    lowest = min(row["at"] for row in ticks)
    axis = alt.Axis(labelAngle=0, orient="top", grid=True, domain=False, ticks=False, labelPadding=10)
    x = alt.X("axis:N", sort=list(axes), title=None, scale=alt.Scale(padding=0.4), axis=axis)
    y = alt.Y("at:Q", axis=None, scale=alt.Scale(domain=[lowest - 0.02, 1.02]))
    colour = alt.Color("val:Q", title="val acc", scale=alt.Scale(scheme="viridis"), legend=alt.Legend(format="~%"))
    tooltip = [alt.Tooltip("label:N"), alt.Tooltip("axis:N"), alt.Tooltip("value:N"), parts.percent("val")]
    opacity = 0.4 if len(best) > MANY else 0.8
    width = alt.when("indexof(pinned, datum.configuration) >= 0").then(alt.value(5)).otherwise(alt.value(1.5))
    base = alt.Chart(alt.NamedData("lines")).transform_lookup("configuration", parts.looked_up("label", "val"))
    drawn = base.mark_line(strokeOpacity=opacity)
    drawn = drawn.encode(x, y, colour, detail="configuration:N", tooltip=tooltip, strokeWidth=width)
    marks = alt.Chart(alt.NamedData("ticks")).encode(x, y, text="value:N")
    left = marks.transform_filter(f"datum.axis != '{LAST}'").mark_text(align="right", dx=-6, dy=-8, fontSize=11)
    right = marks.transform_filter(f"datum.axis == '{LAST}'").mark_text(align="left", dx=6, fontSize=11)
    chart = alt.layer(drawn, left, right).add_params(parts.pinned()).properties(height=320)
    return parts.Drawn(chart, {"lines": lines, "ticks": ticks})


def _evenly(values: Mapping[int, Value], key: Key) -> dict[int, tuple[float, str]]:
    """Few values are spaced evenly, many numbers by their size."""
    order = [value for value in key.values if value in set(values.values())]
    if key.kind == "number" and len(order) > 10:
        return _continuous({i: float(v) for i, v in values.items()}, log=None)
    last = max(1, len(order) - 1)
    return {i: (order.index(value) / last, str(value)) for i, value in values.items()}


def _continuous(values: Mapping[int, float], log: bool | None) -> dict[int, tuple[float, str]]:
    low, high = min(values.values()), max(values.values())
    log = low > 0 and high >= LOG_FROM * low if log is None else log
    scaled = math.log if log else float
    width = (scaled(high) - scaled(low)) or 1.0
    return {i: ((scaled(v) - scaled(low)) / width, _brief(v)) for i, v in values.items()}


def _brief(value: float) -> str:
    for size, mark in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{mark}"
    return f"{value:.3g}"


def _ticks(found: dict[int, tuple[float, str]]) -> list[tuple[float, str]]:
    """Each value, or, where there are many, some that lie apart."""
    ticks: list[tuple[float, str]] = []
    for at, text in sorted(set(found.values())):
        if not ticks or at - ticks[-1][0] >= 0.08:
            ticks.append((at, text))
    return ticks
