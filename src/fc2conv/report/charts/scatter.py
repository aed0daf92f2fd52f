"""Accuracy against what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fc2conv.report.charts import parts
from fc2conv.report.charts.parts import COLOURS, MANY, SHAPES
from fc2conv.report.configurations import MODEL, Value
from fc2conv.report.payload import Report

if TYPE_CHECKING:
    import altair as alt


def against(report: Report, cost: str, figure: str = "val") -> parts.Drawn | None:
    """Accuracy, or another figure, against a cost: one mark a configuration with its interval, the Pareto front drawn;
    the legend selects."""
    import altair as alt

    timed = bool({"seconds", "images_per_second"} & {cost, figure})
    shown = report.usual_device[1] if timed else range(len(report.configurations))
    rows = [r for r in report.rows if r[cost] and r[figure] and r["configuration"] in shown]
    if not rows:
        return None
    titles = {"params": "parameters", "macs": "MACs", "seconds": "seconds", "images_per_second": "images/s"}
    costs = [row[cost] for row in rows]
    scale = parts.scale(costs, log=cost in ("params", "macs") or None)
    x = alt.X(f"{cost}:Q", title=titles[cost], scale=scale, axis=parts.axis(costs, scale))
    if figure == "val":
        y = parts.accuracy("val", "validation accuracy")
    else:
        values = [row[figure] for row in rows]
        scale = parts.scale(values)
        y = alt.Y(f"{figure}:Q", title=titles[figure], scale=scale, axis=parts.axis(values, scale))
    known = f"isValid(datum['{cost}']) && isValid(datum['{figure}'])"
    if len(shown) < len(report.configurations):
        known += f" && indexof({sorted(shown)}, datum.configuration) >= 0"
    base = alt.Chart(alt.NamedData("configurations")).transform_filter(known)
    field, values_of = _told_apart(report)
    selected = alt.selection_point(fields=[field], bind="legend", name="selected")
    colour, shape = _colour(field, values_of), _shape(field, values_of)
    many = len(rows) > MANY
    faded = alt.when(selected).then(alt.value(0.6 if many else 0.9)).otherwise(alt.value(0.08))
    size = parts.pinned_size(30 if many else 70)
    points = base.mark_point(filled=True, opacity=1).encode(
        x, y, colour, shape, tooltip=_tooltip(figure), fillOpacity=faded, size=size
    )
    layers: list[alt.Chart] = []
    if figure == "val" and cost in ("params", "macs"):
        front = base.transform_filter(f"datum.pareto_{cost}")
        line = front.mark_line(interpolate="step-after", strokeDash=[4, 3], strokeWidth=1.5, color="#8C8C8C")
        layers.append(line.encode(x, y))
    if figure == "val" and any(row["val_low"] is not None for row in rows):
        there = base.transform_filter("isValid(datum.val_low)")
        whiskers = there.transform_calculate(low="max(0, datum.val_low)", high="min(1, datum.val_high)")
        rules = whiskers.mark_rule(strokeWidth=0.5 if many else 1.5)
        layers.append(rules.encode(x, alt.Y("low:Q"), alt.Y2("high:Q"), colour, strokeOpacity=faded))
    chart = alt.layer(*layers, points.add_params(selected)).add_params(parts.pinned())
    return parts.Drawn(chart.properties(height=320))


def _told_apart(report: Report) -> tuple[str, list[Value]]:
    """(field, values) by which colours tell configurations apart: their model, or, where that is one, the most
    important key with few values."""
    models: list[Value] = [*sorted({c.model for c in report.configurations})]
    keys = [k for k in report.keys if k.key != MODEL and len(k.values) <= len(COLOURS)]
    if len(models) > 1 or not keys:
        return "model", models
    return keys[0].label, list(keys[0].values)


def _colour(field: str, values: Sequence[Value]) -> alt.Color:
    import altair as alt

    scale = alt.Scale(domain=list(values), range=[COLOURS[i % len(COLOURS)] for i in range(len(values))])
    legend = parts.legend(values) if len(values) > 1 else None
    title = None if field == "model" else field
    return alt.Color(field=parts.path(field), type="nominal", title=title, scale=scale, legend=legend)


def _shape(field: str, values: Sequence[Value]) -> alt.Shape:
    import altair as alt

    scale = alt.Scale(domain=list(values), range=[SHAPES[i % len(SHAPES)] for i in range(len(values))])
    title = None if field == "model" else field
    return alt.Shape(
        field=parts.path(field),
        type="nominal",
        title=title,
        scale=scale,
        legend=parts.legend(values) if len(values) > 1 else None,
    )


def _tooltip(figure: str) -> list[alt.Tooltip]:
    import altair as alt

    counts = [alt.Tooltip("params:Q", title="parameters", format=","), alt.Tooltip("macs:Q", title="MACs", format=",")]
    more = [alt.Tooltip("images_per_second:Q", title="images/s", format=",.0f")] if figure != "val" else []
    return [
        alt.Tooltip("label:N"),
        *counts,
        alt.Tooltip("n:Q", title="seeds"),
        parts.percent("val"),
        parts.percent("test"),
        *more,
    ]
