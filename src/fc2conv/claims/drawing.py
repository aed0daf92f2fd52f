"""The figures of claims, drawn from evidence alone, as Altair charts that can stand side by side."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from fc2conv.claims.claim import Claim
from fc2conv.claims.evidence import Arm, Evidence, Figure
from fc2conv.claims.verdicts import Outcome, outcome
from fc2conv.pictures.curves import CONFIG, Spec
from fc2conv.pictures.style import INK, MUTED, RUNS
from fc2conv.report.intervals import Estimate

if TYPE_CHECKING:
    import altair as alt

    Layers = alt.LayerChart | alt.FacetChart

WIDTH = 560
"""Pixels of a chart that stands alone, its labels not counted."""
HEIGHT = 260
ROW = 24
"""Pixels of an arm's row."""
PANEL = 34
"""Height of a comparison."""
FONT = "Roboto, sans-serif"
"""vl-convert brings it along, so that a figure is the same on every machine."""
VERDICTS = {"supported": "#009e73", "refuted": "#d55e00", "undecided": MUTED}
SUPPORTS = "#d9efe6"
"""Where a whole interval supports its comparison."""
FEWEST = 3
"""Values that have an interval: that of two would be wider than the picture."""
SPELLED = 9
"""Most values of an axis that have a tick each."""
Row = dict[str, Any]
Point = tuple[float, float, float, float]
"""x, mean, and the interval's ends."""


class Said(TypedDict, total=False):
    """What a chart says beside its lines."""

    x_title: str
    y_title: str
    title: str
    """What one should see."""
    log: bool
    """Whether x is logarithmic."""


TITLES = {
    "test.acc": "Test accuracy",
    "val.acc": "Validation accuracy",
    "train.acc": "Training accuracy",
    "params": "Parameters",
    "macs": "MACs",
    "seconds": "Seconds",
}


def spec(chart: alt.TopLevelMixin) -> Spec:
    """The chart as Vega-Lite with this house's fonts and colours, for pictures.folder.save_chart."""
    made = chart.to_dict()
    return made | {"config": {**made.get("config", {}), **CONFIG, "font": FONT}}


def short(name: str) -> str:
    """An arm's name as charts and tables show it: the model first, words without their keys, figures with them.

    Example:
        >>> short("data.permutation=fixed model=lenet_modern model.kernel_size=5")
        'lenet_modern, fixed, kernel_size 5'
        >>> short("model.channels=[6, 16]")
        'channels [6,16]'
    """
    overrides = sorted(name.replace(", ", ",").split(), key=lambda override: not override.startswith("model="))
    return ", ".join(_said(*override.partition("=")[::2]) for override in overrides)


def _said(key: str, value: str) -> str:
    told = re.split(r"[./]", key.lstrip("+~"))[-1]
    plain = value.strip("\"'")
    return plain if re.match(r"[a-z]+\d*(_|$)", plain) and plain not in _UNTOLD else f"{told} {plain}".strip()


_UNTOLD = ("true", "false", "null", "none")
"""Values that say nothing without their key."""


def forest(claim: Claim, evidence: Evidence) -> alt.VConcatChart:
    """Each comparison's estimate with its interval, each on a scale of its own; shaded where it supports the claim."""
    import altair as alt

    found = [outcome(each, evidence, len(claim.comparisons)) for each in claim.comparisons]
    return alt.vconcat(*map(_compared, found), spacing=18, title=_title(claim.title))


def _compared(found: Outcome) -> Layers:
    import altair as alt

    comparison = found.comparison
    none = 1.0 if comparison.kind == "ratio" else 0.0
    margin = comparison.margin
    named = TITLES.get(comparison.of, comparison.of)
    axis = f"{named}: factor" if comparison.kind == "ratio" else f"{named}: difference"
    edges = [none, margin, -margin if comparison.kind == "equal" else none, found.mean]
    edges += [end for end in (found.low, found.high) if math.isfinite(end)]
    room = 0.06 * (max(edges) - min(edges)) or 1.0
    domain = [min(edges) - room, max(edges) + room]
    scale = alt.Scale(domain=domain, nice=False, zero=False)
    x = alt.X("mean:Q", title=axis, scale=scale, axis=alt.Axis(tickCount=7, grid=False, titleFontSize=11))
    shaded = (max(domain[0], -margin), margin) if comparison.kind == "equal" else (margin, domain[1])
    colour = VERDICTS[found.verdict]
    area = _chart([{"from": shaded[0], "to": shaded[1]}]).mark_rect(color=SUPPORTS, opacity=1)
    zero = _chart([{"mean": none}]).mark_rule(color=MUTED, strokeDash=[3, 3])
    low, high = max(found.low, domain[0]), min(found.high, domain[1])
    estimate = _chart([{"mean": found.mean, "low": low, "high": high}])
    interval = estimate.mark_rule(color=colour, strokeWidth=3).encode(alt.X("low:Q"), alt.X2("high:Q"))
    point = estimate.mark_point(color=colour, filled=True, size=90, opacity=1).encode(x)
    layers = alt.layer(
        area.encode(alt.X("from:Q", scale=scale, title=axis), alt.X2("to:Q")), zero.encode(x), interval, point
    )
    words = [*wrap(comparison.says, 80), f"{found.verdict}: {found.interval}, n = {found.n}"]
    title = alt.TitleParams(
        words[:-1],
        subtitle=words[-1],
        anchor="start",
        fontSize=13,
        fontWeight="normal",
        color=INK,
        subtitleColor=colour,
        subtitleFontSize=12,
        offset=6,
    )
    return layers.properties(width=WIDTH, height=PANEL, title=title)


def dots(
    evidence: Evidence,
    arms: Sequence[Arm] | None = None,
    of: Figure = "test.acc",
    label: Callable[[Arm], str] | None = None,
    **said: Unpack[Said],
) -> Layers:
    """A row an arm, a dot a seed, the mean in figures and with its 95 % interval.

    Args:
        arms: all that have the figure, without
        label: what a row is called; its short name, without
        said: the titles
    """
    import altair as alt

    label = label or (lambda arm: short(arm.name))
    shown = [arm for arm in (evidence.arms if arms is None else arms) if arm.values(of)]
    means = [_estimate(list(arm.values(of).values())) for arm in shown]
    names = [f"{label(arm)}: {_number(of, mean['value'])}" for arm, mean in zip(shown, means, strict=True)]
    names = [f"{name} ({n})" if (n := names[:i].count(name) + 1) > 1 else name for i, name in enumerate(names)]
    seeds = [{"arm": n, "value": v} for n, arm in zip(names, shown, strict=True) for v in arm.values(of).values()]
    scale = alt.Scale(zero=False, nice=False, padding=14)
    axis = alt.Axis(labelLimit=0, ticks=False, domain=False)
    y = alt.Y("arm:N", title=None, sort=names, axis=axis)
    x = alt.X("value:Q", title=said.get("x_title", _title_of(of)), scale=scale, axis=alt.Axis(tickCount=6))
    points = _chart(seeds).mark_point(filled=True, color=RUNS[0], opacity=0.6, size=40).encode(x, y)
    estimates = _chart([{"arm": name, **mean} for name, mean in zip(names, means, strict=True)])
    rule = estimates.mark_rule(color=MUTED, strokeWidth=2).encode(alt.X("low:Q"), alt.X2("high:Q"), y)
    mean = estimates.mark_tick(color=INK, thickness=3, size=14).encode(alt.X("value:Q"), y)
    height = ROW * max(1, len(shown))
    return alt.layer(rule, points, mean).properties(width=WIDTH, height=height, title=_title(said.get("title", "")))


def curves(
    evidence: Evidence,
    x: Callable[[Arm], float],
    colour: Callable[[Arm], str],
    of: Figure = "test.acc",
    arms: Sequence[Arm] | None = None,
    **said: Unpack[Said],
) -> Layers:
    """A line a colour through the means, a dot a seed, and the 95 % interval of each mean.

    Args:
        x: where an arm stands
        colour: the line that it belongs to
        arms: all that have the figure, without
        said: the titles, and whether x is logarithmic
    """
    shown = [arm for arm in (evidence.arms if arms is None else arms) if arm.values(of)]
    series: dict[str, list[Point]] = {colour(arm): [] for arm in shown}
    for arm in sorted(shown, key=x):
        series[colour(arm)].append(estimated(x(arm), list(arm.values(of).values())))
    seeds = [{"line": colour(arm), "x": x(arm), "mean": value} for arm in shown for value in arm.values(of).values()]
    said.setdefault("y_title", _title_of(of))
    return _lines(series, said, seeds)


def lines(
    series: Mapping[str, Sequence[Point]], x_title: str, y_title: str, log: bool = False, title: str = ""
) -> Layers:
    """A line a name through means, with their intervals, e.g. accuracy against shift from `measured`.

    Args:
        series: name -> (x, mean, low, high) of each point; what is not finite is left out
        log: whether x is logarithmic
        title: what one should see
    """
    return _lines(series, Said(x_title=x_title, y_title=y_title, log=log, title=title), [])


def measured(arm: Arm, prefix: Figure) -> list[Point]:
    """What an arm's figures say over a number that ends their name: "shift.accuracy_" finds shift.accuracy_0,
    shift.accuracy_1, ...; each with the interval of its mean over seeds."""
    names = {name for run in arm.runs for name in run.figures if name.startswith(prefix)}
    numbers = {name: name.removeprefix(prefix) for name in names}
    at = {float(number): name for name, number in numbers.items() if re.fullmatch(r"-?\d+(\.\d+)?", number)}
    return [estimated(x, list(arm.values(name).values())) for x, name in sorted(at.items())]


def estimated(x: float, values: Sequence[float]) -> Point:
    """A point of `lines`: the mean of at least one value, and its interval."""
    found = _estimate(values)
    return x, found["value"], found["low"], found["high"]


def side_by_side(*charts: Layers | alt.Chart, title: str = "") -> alt.HConcatChart:
    """Charts in a row that together are about as wide as one."""
    import altair as alt

    width = max(200, (WIDTH - 50 * (len(charts) - 1)) // max(1, len(charts)))
    narrow = [chart.properties(width=width) for chart in charts]
    apart = alt.Resolve(scale=alt.ScaleResolveMap(color="independent"))
    return alt.hconcat(*narrow, spacing=24, title=_title(title), resolve=apart)


def stacked(*charts: Layers) -> alt.VConcatChart:
    """Charts below each other, whose titles begin where their figures do."""
    import altair as alt

    aligned = []
    for chart in charts:
        title = chart.title.copy()
        title.frame = "group"
        aligned.append(chart.properties(title=title))
    return alt.vconcat(*aligned, spacing=26)


def _lines(series: Mapping[str, Sequence[Point]], said: Said, seeds: Sequence[Row]) -> Layers:
    import altair as alt

    points = [(name, point) for name, found in series.items() for point in found if all(map(math.isfinite, point[:2]))]
    rows = [dict(zip(("line", "x", "mean", "low", "high"), (name, *point), strict=True)) for name, point in points]
    at = sorted({point[0] for _, point in points})
    ticks = at if 1 < len(at) <= SPELLED else alt.Undefined
    axis = alt.Axis(grid=False, values=ticks, labelExpr="format(datum.value, datum.value < 1000 ? '~g' : '~s')")
    scale = alt.Scale(type="log" if said.get("log") else "linear", zero=False, nice=False, padding=14)
    x = alt.X("x:Q", title=said.get("x_title", ""), scale=scale, axis=axis)
    y = alt.Y("mean:Q", title=said.get("y_title", ""), scale=alt.Scale(zero=False, padding=8))
    colour = _colour(list(series))
    base = _chart(rows)
    interval = base.mark_rule(strokeWidth=2, opacity=0.55).encode(x, alt.Y("low:Q"), alt.Y2("high:Q"), colour)
    line = base.mark_line(strokeWidth=2).encode(x, y, colour)
    mean = base.mark_point(filled=True, size=42, opacity=1).encode(x, y, colour)
    each = [_chart(seeds).mark_point(filled=True, size=16, opacity=0.5).encode(x, y, colour)] if seeds else []
    layers = alt.layer(*each, interval, line, mean)
    return layers.properties(width=WIDTH, height=HEIGHT, title=_title(said.get("title", "")))


def _colour(names: Sequence[str]) -> alt.Color:
    import altair as alt

    if len(names) < 2:
        return alt.Color("line:N", scale=alt.Scale(domain=list(names), range=[RUNS[0]]), legend=None)
    longest = max(map(len, names))
    columns = max(1, min(len(names), 80 // (longest + 6)))
    legend = alt.Legend(
        orient="bottom", title=None, columns=columns, labelLimit=0, symbolType="stroke", symbolOpacity=1
    )
    spread = {"range": list(RUNS[: len(names)])} if len(names) <= len(RUNS) else {"scheme": "tableau20"}
    return alt.Color("line:N", scale=alt.Scale(domain=list(names), **spread), legend=legend)


def _chart(rows: Sequence[Row]) -> alt.Chart:
    import altair as alt

    return alt.Chart(alt.InlineData(values=list(rows)))


def _estimate(values: Sequence[float]) -> dict[str, float]:
    found = Estimate.of(values)
    if found is None:
        raise ValueError("no values")
    if found.n < FEWEST or found.low is None or found.high is None:
        return {"value": found.mean, "low": found.mean, "high": found.mean}
    return {"value": found.mean, "low": found.low, "high": found.high}


def _title(text: str) -> alt.TitleParams:
    import altair as alt

    return alt.TitleParams(wrap(text, 76) or "", anchor="start", fontSize=15, color=INK, offset=12 if text else 0)


def _title_of(of: Figure) -> str:
    return TITLES.get(of) or of.replace("_", " ").replace(".", ": ")


def _number(of: Figure, value: float) -> str:
    return f"{value:.4f}" if of.endswith(".acc") else f"{value:,.0f}" if of in ("params", "macs") else f"{value:.4g}"
