"""Records -> a saved workspace and a report of W&B, as objects. Nothing here asks a server.

The specification is PANELS: one list for both. A metric or a key that a panel names is one that runs log (shown.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import wandb_workspaces.reports.v2 as reports
import wandb_workspaces.workspaces as workspaces
from wandb_workspaces import expr
from wandb_workspaces.reports.v2 import Config, Layout, SummaryMetric
from wandb_workspaces.reports.v2.interface import PanelTypes

from fc2conv.config.identity import decides
from fc2conv.config.unused import key_of
from fc2conv.record.result import Result
from fc2conv.record.shown import (
    CHOICES,
    CLASS_CHART,
    CLASS_COLUMNS,
    CONFUSION,
    CONFUSION_CHART,
    CONFUSION_COLUMNS,
    MISCLASSIFIED,
    PER_CLASS,
    flat_name,
)

TITLE = "fc2conv"
"""Of both."""
SINGLE = "Single runs"
"""The section of runs that belong to no sweep."""
ACCURACY = "val/acc"
"""What is compared: of the best epoch, as W&B's summary has it. The test set chooses nothing."""
COLUMNS = ("parameters", "macs", "receptive_field")
RESULTS = ("val/acc", "test/acc", "best_epoch", "seconds")
"""Config keys and summary metrics that the table of runs shows besides the keys that vary."""
PICTURES = ("pictures/filters", "pictures/features_1", "pictures/misclassified")
WIDTH = 24
"""Columns of a report's grid."""


@dataclass(frozen=True)
class Sweep:
    """Runs that are compared: a W&B group, or all that have none."""

    name: str
    group: str | None
    runs: tuple[Result, ...]

    def varied(self) -> list[str]:
        """The config keys, as W&B shows them, that tell its configurations apart."""
        said = [{key_of(o): o.partition("=")[2] for o in run.overrides} for run in self.runs]
        keys = dict.fromkeys(key for overrides in said for key in overrides if key in CHOICES or decides(key))
        found = [flat_name(key) for key in keys if len({overrides.get(key) for overrides in said}) > 1]
        if "model" not in found and len({run.model for run in self.runs}) > 1:
            found.insert(0, "model")
        return found


def sweeps_of(runs: Iterable[Result]) -> list[Sweep]:
    """Runs that W&B has, by their groups; single runs come last."""
    groups: dict[str | None, list[Result]] = {}
    for run in runs:
        if run.wandb_id:
            groups.setdefault(group_of(run), []).append(run)
    names = sorted((name for name in groups if name is not None), key=str.casefold)
    order: list[str | None] = [*names, *([None] if None in groups else [])]
    return [Sweep(group or SINGLE, group, tuple(groups[group])) for group in order]


def group_of(run: Result) -> str | None:
    """The W&B group that a run is in."""
    group = ((run.config.get("logger") or {}).get("wandb") or {}).get("group")
    return group if isinstance(group, str) else None


# --- the panels

Make = Callable[[Sweep, str], PanelTypes]
"""(sweep, title) -> the panel."""


@dataclass(frozen=True)
class Spec:
    """A panel of each sweep."""

    title: str
    make: Make
    size: tuple[int, int]
    """In a report's grid: (columns, rows)"""
    applies: Callable[[Sweep], bool] = lambda sweep: True


def _against(key: str) -> Make:
    return lambda sweep, title: reports.ScatterPlot(
        title=title, x=Config(key), y=SummaryMetric(ACCURACY), log_x=True, font_size="small"
    )


def _curve(metric: str, axis: str = "epoch") -> Make:
    """The mean over seeds with its standard deviation, a line for each configuration."""
    return lambda sweep, title: reports.LinePlot(
        title=title,
        x=axis,
        y=[metric],
        groupby=Config("configuration"),
        groupby_aggfunc="mean",
        groupby_rangefunc="stddev",
        max_runs_to_show=100,
        smoothing_type="none",
    )


def _parallel(sweep: Sweep, title: str) -> PanelTypes:
    columns = [reports.ParallelCoordinatesPlotColumn(Config(key)) for key in sweep.varied()]
    columns.append(reports.ParallelCoordinatesPlotColumn(Config("parameters"), log=True))
    columns.append(reports.ParallelCoordinatesPlotColumn(SummaryMetric(ACCURACY)))
    return reports.ParallelCoordinatesPlot(title=title, columns=columns)


def _chart(drawing: str, table: str, fields: Mapping[str, str]) -> Make:
    """A chart that the runs have logged the table of."""
    query = {"id": None, "name": None, "_defaultColorIndex": None, "summaryTable": {"tableKey": f"{table}_table"}}
    return lambda sweep, title: reports.CustomChart(
        query=query, chart_name=drawing, chart_fields=dict(fields), chart_strings={"title": title}
    )


PANELS = (
    Spec("Parameters and accuracy", _against("parameters"), (12, 8)),
    Spec("MACs and accuracy", _against("macs"), (12, 8)),
    Spec("Configurations and accuracy", _parallel, (16, 8), lambda sweep: bool(sweep.varied())),
    Spec(
        "What decides the accuracy",
        lambda sweep, title: reports.ParameterImportancePlot(with_respect_to=ACCURACY),
        (8, 8),
    ),
    Spec("Validation accuracy", _curve("val/acc"), (8, 8)),
    Spec("Training loss", _curve("train/loss"), (8, 8)),
    Spec("Images per second", _curve("images_per_second"), (8, 8)),
    Spec(
        "Confusion of the test images", _chart(CONFUSION_CHART, CONFUSION, {c: c for c in CONFUSION_COLUMNS}), (12, 10)
    ),
    Spec(
        "Test accuracy of each class",
        _chart(CLASS_CHART, PER_CLASS, dict(zip(("label", "value"), CLASS_COLUMNS, strict=True))),
        (12, 10),
    ),
    Spec(
        "Filters, feature maps, mistakes",
        lambda sweep, title: reports.MediaBrowser(title=title, media_keys=list(PICTURES), num_columns=3),
        (WIDTH, 10),
    ),
    Spec(
        "Misclassified test images",
        lambda sweep, title: reports.WeavePanelSummaryTable(table_name=MISCLASSIFIED),
        (WIDTH, 12),
    ),
)
"""What each sweep's section shows, from its top."""


def panels(sweep: Sweep) -> list[PanelTypes]:
    """Those of a section, placed row by row. Their ids stay the same, so that what a reader has changed in one stays
    with it."""
    found: list[PanelTypes] = []
    x = y = height = 0
    for each in PANELS:
        if not each.applies(sweep):
            continue
        panel: Any = each.make(sweep, each.title)
        w, h = each.size
        if x + w > WIDTH:
            x, y, height = 0, y + height, 0
        panel.layout = Layout(x, y, w, h)
        panel._id = _id(sweep.name, each.title)
        x, height = x + w, max(height, h)
        found.append(panel)
    return found


def _id(*parts: str) -> str:
    """11 characters, as W&B's own ids have."""
    return hashlib.sha256("\0".join(parts).encode(errors="replace")).hexdigest()[:11]


# --- the whole


def workspace(entity: str, project: str, sweeps: Sequence[Sweep]) -> workspaces.Workspace:
    """A saved workspace with a section for each sweep."""
    made = workspaces.Workspace(entity=entity, project=project, name=TITLE)
    renew_workspace(made, sweeps)
    return made


def renew_workspace(known: workspaces.Workspace, sweeps: Sequence[Sweep]) -> None:
    """Bring the sections of the sweeps up to date. Those that a reader has added stay, behind them."""
    ours = [
        workspaces.Section(
            name=sweep.name,
            panels=panels(sweep),
            is_open=True,
            layout_settings=workspaces.SectionLayoutSettings(columns=3, rows=3),
        )
        for sweep in sweeps
    ]
    names = {section.name for section in ours}
    known.sections = [*ours, *(section for section in known.sections if section.name not in names)]
    known.settings.max_runs = 100
    keys = dict.fromkeys(key for sweep in sweeps for key in sweep.varied())
    known.runset_settings = workspaces.RunsetSettings(
        order=[expr.Ordering(expr.Summary(ACCURACY), ascending=False)], pinned_columns=_columns(keys)
    )
    _filter(known, [sweep.group for sweep in sweeps])


def report(entity: str, project: str, sweeps: Sequence[Sweep]) -> reports.Report:
    """A report with a section for each sweep: how many runs, what varies, the panels, the table of runs."""
    made = reports.Report(entity=entity, project=project, title=TITLE)
    renew_report(made, sweeps)
    return made


def renew_report(known: reports.Report, sweeps: Sequence[Sweep]) -> None:
    """Bring it up to date, from its beginning to its end."""
    known.width = "fluid"  # which is not loaded
    known.description = "Written by fc2conv publish, which writes it anew each time: copy it to change it."
    known.blocks = [reports.TableOfContents(), *(block for sweep in sweeps for block in _section(sweep))]


def _section(sweep: Sweep) -> list[Any]:
    keys = sweep.varied()
    runs, seeds = len(sweep.runs), len({run.seed for run in sweep.runs})
    text = f"{runs} run{'s' * (runs != 1)}, {seeds} seed{'s' * (seeds != 1)}. "
    text += f"What varies: {', '.join(keys)}." if keys else "Nothing but the seed varies."
    runset = reports.Runset(
        name=sweep.name,
        order=[reports.OrderBy(SummaryMetric(ACCURACY), ascending=False)],
        visible_columns=_columns(keys),
    )
    runset._id = _id(sweep.name, "runs")
    _filter(runset, [sweep.group])
    return [
        reports.H1(sweep.name),
        reports.P(text),
        reports.PanelGrid(runsets=[runset], panels=panels(sweep)),
    ]


def _columns(keys: Iterable[str]) -> list[str]:
    shown = dict.fromkeys([*keys, "seed", *COLUMNS])
    return ["run:displayName", *(f"config:{key}.value" for key in shown), *(f"summary:{name}" for name in RESULTS)]


def _filter(holder: Any, groups: Iterable[str | None]) -> None:
    """Have a runset show the runs of these groups only. Not by its `filters`: a name with = or < changes on the way
    through that text, and one with a quote does not come through."""
    key = expr.Key(section="run", name="group")
    chosen = list(groups)
    conditions = []
    if named := [group for group in chosen if group is not None]:
        conditions.append(expr.Filters(op="IN", key=key, value=named, disabled=False))
    if None in chosen:
        conditions.append(expr.Filters(op="=", key=key, value=None, disabled=False))
    tree = expr.Filters(op="OR", filters=[expr.Filters(op="AND", filters=[each]) for each in conditions])
    holder._stashed_filters_v2 = expr.filters_tree_to_v2(tree)
    holder._stashed_filter_string = ""  # of the text that the JSON stands for
