"""What each key does: main effects, interactions, importance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fc2conv.report import effects
from fc2conv.report.charts import parts
from fc2conv.report.charts.parts import COLOURS, MANY
from fc2conv.report.configurations import MODEL, Key
from fc2conv.report.payload import Report

if TYPE_CHECKING:
    import altair as alt

MEAN = "#D55E00"
LEVELS = 20
"""Most values of a key that have a mean."""
NUMBERED = 12
"""Most columns of a heat map with numbers in it."""
TICKS = 8
"""Most values of a key that have a tick each."""
LETTERS = 70
"""Most of all values of a key that stand side by side; more stand one above the other."""
SLICES = 150
"""Most lines of an effect: of more, the mean says it better."""


def effect(report: Report, found: effects.Effect | None) -> parts.Drawn | None:
    """Of one key: a point a configuration, those that differ in nothing else joined, and the mean with its interval."""
    import altair as alt

    if found is None:
        return None
    key, sideways = found.key, _is_long(found.key)
    axis = _value_axis(found, alt.Y if sideways else alt.X)
    mean, low, high = (
        (alt.X("mean:Q"), alt.X("low:Q"), alt.X2("high:Q"))
        if sideways
        else (alt.Y("mean:Q"), alt.Y("low:Q"), alt.Y2("high:Q"))
    )
    rows: list[parts.Row] = [
        {"configuration": i, "value": report.configurations[i].point[key.key], "slice": n}
        for n, members in enumerate(found.slices)
        for i in members
    ]
    accuracy = parts.accuracy("val", "validation accuracy", sideways)
    base = alt.Chart(alt.NamedData("points")).transform_lookup("configuration", parts.looked_up("label", "val"))
    many = len(rows) > MANY
    layers: list[alt.Chart] = []
    if found.controlled and key.kind == "number" and len(found.slices) <= SLICES:
        thin = base.mark_line(strokeWidth=1, color=COLOURS[0], strokeOpacity=0.15 if many else 0.4)
        layers.append(thin.encode(axis, accuracy, detail="slice:N"))
    points = base.mark_point(filled=True, color=COLOURS[0], opacity=1, fillOpacity=0.4 if many else 0.8)
    layers.append(
        points.encode(
            axis, accuracy, size=parts.pinned_size(40), tooltip=[alt.Tooltip("label:N"), parts.percent("val")]
        )
    )
    levels: list[parts.Row] = []
    if 0 < len(found.levels) <= LEVELS:
        levels = [{"value": v.value, "mean": v.mean, **_within_bounds(v)} for v in found.levels]
        means = alt.Chart(alt.NamedData("levels"))
        tooltip = [alt.Tooltip("value:N", title=key.label), *map(parts.percent, ("mean", "low", "high"))]
        if any(level["low"] is not None for level in levels):
            interval = means.transform_filter("isValid(datum.low)").mark_rule(color=MEAN, strokeWidth=2.5)
            layers.append(interval.encode(axis, low, high))
        if key.kind == "number":
            layers.append(means.mark_line(color=MEAN, strokeWidth=2).encode(axis, mean))
        big = means.mark_point(color=MEAN, filled=True, shape="diamond", size=110, opacity=1)
        layers.append(big.encode(axis, mean, tooltip=tooltip))
    height = 24 * len(key.values) + 20 if sideways else 260
    drawn = alt.layer(*layers).add_params(parts.pinned()).properties(height=height)
    return parts.Drawn(drawn, {"points": rows} | ({"levels": levels} if levels else {}))


def _within_bounds(level: effects.Level) -> parts.Row:
    """The interval as far as an accuracy can be there."""
    if level.low is None or level.high is None:
        return {"low": None, "high": None}
    return {"low": max(0.0, level.low), "high": min(1.0, level.high)}


def interaction(found: effects.Interaction | None) -> parts.Drawn | None:
    """Of two keys: a heat map of the means, wider than high."""
    import altair as alt

    if found is None:
        return None
    wide, high = found.columns, found.rows
    cells = [{"column": str(c), "row": str(r), "val": acc} for (r, c), acc in found.means.items()]
    if len(wide.values) < len(high.values):
        wide, high = high, wide
        cells = [{"column": cell["row"], "row": cell["column"], "val": cell["val"]} for cell in cells]
    base = alt.Chart(alt.NamedData("cells")).encode(
        alt.X("column:N", title=wide.label, sort=_spelled(wide), axis=alt.Axis(labelAngle=0)),
        alt.Y("row:N", title=high.label, sort=_spelled(high)),
        tooltip=[
            alt.Tooltip("row:N", title=high.label),
            alt.Tooltip("column:N", title=wide.label),
            parts.percent("val"),
        ],
    )
    colour = alt.Color("val:Q", title="val acc", scale=alt.Scale(scheme="viridis"), legend=alt.Legend(format="~%"))
    layers: list[alt.Chart] = [base.mark_rect().encode(colour)]
    if len(wide.values) <= NUMBERED:
        middle = (min(found.means.values()) + max(found.means.values())) / 2
        ink = alt.when(f"datum.val > {middle}").then(alt.value("black")).otherwise(alt.value("white"))
        numbers = base.transform_calculate(percent="datum.val * 100").mark_text(fontSize=12)
        layers.append(numbers.encode(text=alt.Text("percent:Q", format=".1f"), color=ink))
    return parts.Drawn(alt.layer(*layers).properties(height=max(90, 34 * len(high.values))), {"cells": cells})


def importance(report: Report) -> parts.Drawn | None:
    """A bar a key: its share of the variance."""
    import altair as alt

    if report.importance is None:
        return None
    labels = {key.key: key.label for key in report.keys}
    left = {effects.INTERACTIONS: "interactions", effects.SEEDS: "seeds"}
    rows: list[parts.Row] = [
        {"key": labels.get(k, left.get(k, k)), "share": share, "kind": "rest" if k in left else "key"}
        for k, share in report.importance.shares.items()
    ]
    order = [r["key"] for r in sorted(rows, key=lambda r: (str(r["kind"]), -float(r["share"])))]
    colour = alt.Color("kind:N", legend=None, scale=alt.Scale(domain=["key", "rest"], range=[COLOURS[0], COLOURS[6]]))
    spread = report.importance.method == "spread"
    title = "difference in validation accuracy" if spread else "share of the variance"
    axis = alt.Axis(format="~%", tickCount=6)
    x = alt.X("share:Q", title=title, axis=axis, scale=alt.Scale(domainMin=0))
    y = alt.Y("key:N", title=None, sort=order)
    tooltip = [alt.Tooltip("key:N"), parts.percent("share")]
    bars = alt.Chart(alt.NamedData("shares")).mark_bar().encode(x, y, colour, tooltip=tooltip)
    return parts.Drawn(bars.properties(height=26 * len(rows) + 20), {"shares": rows})


def _is_long(key: Key) -> bool:
    return key.kind == "text" and sum(map(len, _spelled(key))) > LETTERS


def _value_axis(found: effects.Effect, channel: type[alt.X] | type[alt.Y]) -> alt.X | alt.Y:
    """Numbers on a linear or logarithmic axis with a tick at each value where these are few; text in its order, models
    by their means, the best to the right, or at the top."""
    import altair as alt

    key = found.key
    if key.kind == "text":
        by_mean = sorted(found.levels, key=lambda level: level.mean, reverse=channel is alt.Y)
        order = [str(level.value) for level in by_mean] if key.key == MODEL and by_mean else _spelled(key)
        return channel("value:N", title=key.label, sort=order, axis=alt.Axis(labelAngle=0))
    numbers = [float(value) for value in key.values]
    axis = alt.Axis(format="~s" if min(numbers) >= 1 else "~g", labelOverlap=True)
    if len(numbers) <= TICKS:
        axis.values = numbers
    return channel("value:Q", title=key.label, scale=parts.scale(numbers), axis=axis)


def _spelled(key: Key) -> list[str]:
    return [str(value) for value in key.values]
