"""Learning curves."""

from __future__ import annotations

from typing import Literal

from fc2conv.report.charts import parts
from fc2conv.report.charts.parts import COLOURS
from fc2conv.report.payload import Report, curve

LINES = 7
"""Most configurations, the best, whose curves are drawn at first."""


def curve_rows(report: Report) -> list[parts.Row]:
    """One an epoch of each of the best configurations."""
    rows = []
    for i in report.ranked()[:LINES]:
        columns = curve(report, i)
        for n in range(len(columns["epoch"])):
            values = {name: column[n] for name, column in columns.items()}
            rows.append({"configuration": i, "label": report.configurations[i].label, **values})
    return rows


def learning(report: Report, metric: Literal["acc", "loss"]) -> parts.Drawn | None:
    """Curves of accuracy or loss, validation and training; of accuracy with its band."""
    import altair as alt

    if not any(run.curve for run in report.runs):
        return None
    base = alt.Chart(alt.NamedData("curves"))
    last = max((epoch for run in report.runs for epoch in run.curve), default=1)
    x = alt.X("epoch:Q", axis=alt.Axis(values=epoch_ticks(last), format="d"), scale=alt.Scale(nice=False))
    title, spelling = ("accuracy", "~%") if metric == "acc" else ("loss", "~g")
    y = alt.Y(f"val_{metric}:Q", title=title, axis=alt.Axis(format=spelling), scale=alt.Scale(zero=False))
    selected = alt.selection_point(fields=["label"], bind="legend", name="selected")
    legend = parts.legend([report.configurations[i].label for i in report.ranked()[:LINES]])
    colour = alt.Color("label:N", title=None, scale=alt.Scale(range=list(COLOURS)), legend=legend)
    faded = alt.when(selected).then(alt.value(1)).otherwise(alt.value(0.1))
    tooltip = [alt.Tooltip("label:N"), alt.Tooltip("epoch:Q")]
    tooltip += [alt.Tooltip(f"{split}_{metric}:Q", format=".4f") for split in ("val", "train")]
    layers: list[alt.Chart] = []
    if metric == "acc":
        band = base.mark_area(opacity=1, fillOpacity=0.18).transform_filter(selected)
        layers.append(band.encode(x, alt.Y("val_acc_low:Q"), alt.Y2("val_acc_high:Q"), colour))
    dashed = base.mark_line(strokeWidth=1.5, strokeDash=[5, 4])
    layers.append(dashed.encode(x, alt.Y(f"train_{metric}:Q"), colour, strokeOpacity=faded))
    line = base.mark_line(strokeWidth=2, point={"filled": True, "size": 25})
    layers.append(line.encode(x, y, colour, strokeOpacity=faded, tooltip=tooltip).add_params(selected))
    return parts.Drawn(alt.layer(*layers).properties(height=320))


def epoch_ticks(last: int) -> list[int]:
    """The first epoch, and at most ten more at equal distances.

    Example:
        >>> epoch_ticks(4), epoch_ticks(30)
        ([1, 2, 3, 4], [1, 5, 10, 15, 20, 25, 30])
    """
    step = next(step * 10**e for e in range(10) for step in (1, 2, 5) if last <= 10 * step * 10**e)
    return sorted({1, *range(step, last + 1, step)})
