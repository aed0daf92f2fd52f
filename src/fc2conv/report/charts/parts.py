"""What charts have in common: colours, scales, axes, tooltips, legends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fc2conv.report.configurations import Value

if TYPE_CHECKING:
    import altair as alt

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C8C8C")
"""Okabe and Ito (2008), which colour-blind readers tell apart, but for their yellow and black, which need a dark or a
light ground."""
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
LOG_FROM = 20
"""A numeric axis is logarithmic where its largest value is so many times its least."""
LEGEND = 24
"""Most entries of a legend."""
MANY = 60
"""From so many marks on, they are small and see-through."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Drawn:
    """A chart and the rows that it brings, by their names in it."""

    chart: Any
    rows: dict[str, list[Row]] = field(default_factory=dict)


def looked_up(*fields: str) -> alt.LookupData:
    """These of the configuration that a row names."""
    import altair as alt

    return alt.LookupData(data=alt.NamedData("configurations"), key="configuration", fields=list(fields))


def pinned() -> alt.Parameter:
    import altair as alt

    return alt.param(name="pinned", value=[])


def pinned_size(size: int = 70) -> Any:
    import altair as alt

    pinned = alt.when("indexof(pinned, datum.configuration) >= 0")
    return pinned.then(alt.value(4 * size)).otherwise(alt.value(size))


def path(field: str) -> str:
    """A field's name, in which Vega-Lite takes no dot or bracket for a path."""
    return "".join(f"\\{mark}" if mark in ".[]'\"\\" else mark for mark in field)


def legend(labels: Sequence[Value]) -> alt.Legend:
    """Below the chart; long labels have a line each."""
    import altair as alt

    return alt.Legend(
        orient="bottom",
        columns=1 if max((len(str(label)) for label in labels), default=0) > 36 else 3,
        symbolLimit=2 * LEGEND,
    )


def percent(field: str) -> alt.Tooltip:
    import altair as alt

    titles = {"val": "val acc", "test": "test acc", "acc": "test acc"}
    return alt.Tooltip(f"{field}:Q", title=titles.get(field, field), format=".2%")


def scale(values: Sequence[float], log: bool | None = None) -> alt.Scale:
    import altair as alt

    if log is None:
        log = min(values) > 0 and max(values) >= LOG_FROM * min(values)
    return alt.Scale(type="log", nice=False, padding=16) if log else alt.Scale(zero=False, padding=16)


def axis(values: Sequence[float], scale: alt.Scale) -> alt.Axis:
    """Of counts, seconds and rates on their scale: 10k, 100k, 1M."""
    import altair as alt

    if scale.to_dict().get("type") == "log":
        return alt.Axis(format="~s", values=log_ticks(min(values), max(values)))
    return alt.Axis(format="~s")


def accuracy(field: str, title: str, sideways: bool = False) -> alt.X | alt.Y:
    """The axis of accuracies, from the least to the largest."""
    import altair as alt

    channel = alt.X if sideways else alt.Y
    axis = alt.Axis(format="~%", tickCount=6) if sideways else alt.Axis(format="~%")
    return channel(f"{field}:Q", title=title, scale=alt.Scale(zero=False, padding=12), axis=axis)


def log_ticks(low: float, high: float) -> list[float]:
    """Ticks for a logarithmic axis: at powers of ten alone, or as many more as it takes to have three.

    Example:
        >>> log_ticks(3000, 4e6), log_ticks(3000, 40_000)
        ([10000.0, 100000.0, 1000000.0], [3000.0, 10000.0, 30000.0])
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10))):
        found = [tick for e in decades for step in steps if low <= (tick := step * 10.0**e) <= high]
        if len(found) >= 3:
            return found
    if low == high:
        return [low]
    step = next(s * 10.0**e for e in range(-3, 20) for s in (1, 2, 5) if (high - low) / (s * 10.0**e) <= 5)
    return [n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1)]
