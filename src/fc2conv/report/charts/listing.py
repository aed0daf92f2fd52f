"""Which charts a report has, with their titles and captions."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, islice
from typing import Any

from fc2conv.report import effects
from fc2conv.report.charts import parts
from fc2conv.report.charts.classes import classes
from fc2conv.report.charts.curves import learning
from fc2conv.report.charts.effects import effect, importance, interaction
from fc2conv.report.charts.parallel import parallel
from fc2conv.report.charts.scatter import against
from fc2conv.report.payload import Report

SECTIONS = {
    **dict.fromkeys(("params", "macs"), "accuracy"),
    **dict.fromkeys(("time", "speed"), "time"),
    "curves": "curves",
    "classes": "classes",
}
"""Where a chart stands on the page; the others among the effects."""
EFFECTS, INTERACTIONS = 12, 6
"""Most charts of main effects and of interactions."""


def charts(report: Report) -> list[dict[str, Any]]:
    """All of them: {id, section, title, caption, wide, data, spec}. `data` names the rows that the spec expects."""
    return [chart for chart in _made(report) if chart["spec"] is not None]


def _made(report: Report) -> Iterator[dict[str, Any]]:
    whiskers = "Means over the seeds with 95 % intervals; the line is the Pareto front."
    named = "configurations"
    yield _entry("params", "Accuracy against parameters", whiskers, against(report, "params"), named)
    yield _entry("macs", "Accuracy against MACs", whiskers, against(report, "macs"), named)
    for key in report.keys[:EFFECTS]:
        found = effects.effect(key, report.configurations)
        title = f"Effect of {key.label}"
        yield _entry(f"effect-{key.label}", title, _about(found), effect(report, found), named)
    pairs = (effects.interaction(a, b, report.configurations) for a, b in combinations(report.keys, 2))
    for both in islice(filter(None, pairs), INTERACTIONS):
        name, caption = f"{both.rows.label}-{both.columns.label}", "Mean validation accuracy in percent, over all else."
        title = f"{both.rows.label} and {both.columns.label} together"
        yield _entry(f"interaction-{name}", title, caption, interaction(both))
    caption = "A line a configuration; colour and the last axis are its validation accuracy."
    yield _entry("parallel", "All keys together", caption, parallel(report), named)
    yield _entry("importance", "Importance of the keys", _method(report), importance(report))
    caption = "Means over the seeds; solid: validation, with a band of one standard deviation, dashed: training."
    yield _entry("curves-accuracy", "Learning curves: accuracy", caption, learning(report, "acc"), "curves")
    caption = "Means over the seeds; solid: validation, dashed: training."
    yield _entry("curves-loss", "Learning curves: loss", caption, learning(report, "loss"), "curves")
    caption = _on_device(report, "Mean seconds of a run, validation and test included.")
    yield _entry("time", "Accuracy against time", caption, against(report, "seconds"), named)
    caption = _on_device(report, "Training images per second of a run, validation included.")
    yield _entry("speed", "Speed against MACs", caption, against(report, "macs", "images_per_second"), named)
    caption = "Test accuracy of each class, the hardest first, of the best configurations by validation."
    yield _entry("classes", "Accuracy of each class", caption, classes(report))


def _entry(name: str, title: str, caption: str, drawn: parts.Drawn | None, data: str | None = None) -> dict[str, Any]:
    kind = name.partition("-")[0]
    spec = None
    if drawn is not None:
        spec = drawn.chart.to_dict()
        spec.pop("config", None)
        if drawn.rows:
            spec["datasets"] = drawn.rows
    section = SECTIONS.get(kind, "effects")
    return {
        "id": name,
        "section": section,
        "title": title,
        "caption": caption,
        "wide": kind == "parallel",
        "data": data,
        "spec": spec,
    }


def _about(found: effects.Effect | None) -> str:
    if found is None:
        return ""
    if not found.controlled:
        return "A point a configuration, whatever else differs among them."
    means = " Diamonds: their mean, with its 95 % interval over the seeds." if found.levels else ""
    return f"Configurations that differ in this key only{'' if found.key.kind == 'text' else ', joined'}.{means}"


def _method(report: Report) -> str:
    if report.importance is None:
        return ""
    return {
        "anova": "Shares of the validation accuracy's sum of squares on the full grid: main effects, and what is left.",
        "spread": "How far the mean validation accuracies of a key's values lie apart, all else alike.",
        "ped-anova": "Estimated from the search by PED-ANOVA (Watanabe et al. 2023), relative to each other.",
    }[report.importance.method]


def _on_device(report: Report, what: str) -> str:
    """Times of different devices do not compare: the caption names the one that is shown."""
    device, shown = report.usual_device
    return f"{what} On {device} ({len(shown)} of {len(report.configurations)} configurations)." if device else what
