"""Accuracy of each class."""

from __future__ import annotations

from statistics import fmean

from fc2conv.report.charts import parts
from fc2conv.report.charts.parts import COLOURS, SHAPES
from fc2conv.report.payload import Report, confusion

CONFIGURATIONS, CLASSES = 5, 30
"""Most configurations, the best, and most classes, the hardest, that are drawn."""


def classes(report: Report) -> parts.Drawn | None:
    """Test accuracy of each class, for some of the best configurations."""
    import altair as alt

    accuracies = _accuracies(report)
    if not accuracies:
        return None
    by_class: dict[str, list[float]] = {}
    for found in accuracies.values():
        for name, acc in found.items():
            by_class.setdefault(name, []).append(acc)
    hardest = sorted(by_class, key=lambda name: fmean(by_class[name]))[:CLASSES]
    labels = {i: report.configurations[i].label for i in accuracies}
    rows: list[parts.Row] = [
        {"configuration": i, "label": labels[i], "class": name, "acc": found[name]}
        for i, found in accuracies.items()
        for name in hardest
        if name in found
    ]
    domain, legend = list(labels.values()), parts.legend(list(labels.values()))
    colours = alt.Scale(domain=domain, range=list(COLOURS[: len(domain)]))
    shapes = alt.Scale(domain=domain, range=list(SHAPES[: len(domain)]))
    selected = alt.selection_point(fields=["label"], bind="legend", name="selected")
    x = alt.X("acc:Q", title="test accuracy", scale=alt.Scale(zero=False, nice=False, padding=8))
    points = alt.Chart(alt.NamedData("classes")).mark_point(filled=True, opacity=1)
    chart = points.encode(
        x.axis(format="~%"),
        alt.Y("class:N", title=None, sort=hardest, axis=alt.Axis(grid=True)),
        alt.Color("label:N", title=None, scale=colours, legend=legend),
        alt.Shape("label:N", title=None, scale=shapes, legend=legend),
        fillOpacity=alt.when(selected).then(alt.value(0.9)).otherwise(alt.value(0.1)),
        size=parts.pinned_size(70),
        tooltip=[alt.Tooltip("label:N"), alt.Tooltip("class:N"), parts.percent("acc")],
    )
    layered = alt.layer(chart.add_params(selected)).add_params(parts.pinned())
    return parts.Drawn(layered.properties(height=26 * len(hardest) + 20), {"classes": rows})


def _accuracies(report: Report) -> dict[int, dict[str, float]]:
    """Position of a configuration -> class -> accuracy, of the best that have one."""
    found: dict[int, dict[str, float]] = {}
    for i in report.ranked():
        matrix, names = confusion(report, i)
        if names:
            found[i] = {
                name: row[n] / sum(row) for n, (name, row) in enumerate(zip(names, matrix, strict=True)) if sum(row)
            }
        if len(found) == CONFIGURATIONS:
            break
    return found
