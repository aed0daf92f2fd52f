"""The report's table: as CSV with all digits, as Markdown rounded."""

from __future__ import annotations

import csv
import difflib
import io
from collections import Counter
from typing import Any, Literal

from fc2conv.errors import ConfigError
from fc2conv.report.configurations import MODEL, Configuration
from fc2conv.report.intervals import Difference, Estimate, paired
from fc2conv.report.payload import Report

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What begins a formula in a spreadsheet."""


def find_baseline(report: Report, label: str) -> int:
    """The position of the configuration with the label.

    Raises:
        ConfigError: there is none
    """
    labels = [c.label for c in report.configurations]
    if label in labels:
        return labels.index(label)
    close = difflib.get_close_matches(label, labels, n=1, cutoff=0.0)
    hint = f"did you mean {close[0]!r}?" if close else "there are no runs"
    raise ConfigError("--baseline", f"got {label}, but no configuration is called so; {hint}")


def differences(report: Report, i: int) -> dict[str, Difference | None]:
    """Split -> that of a configuration to the baseline; empty without a baseline, or for itself."""
    if report.baseline is None or i == report.baseline:
        return {}
    ours, base = report.configurations[i], report.configurations[report.baseline]
    return {"val": paired(ours.val, base.val), "test": paired(ours.test, base.test)}


def columns(report: Report) -> list[str]:
    """The columns of the varying keys, but for the model, which is always there."""
    return [key.key for key in report.keys if key.key != MODEL]


# --- CSV


def to_csv(report: Report) -> str:
    """A row for each configuration, in the order of their values; accuracies are fractions."""
    keys = columns(report)
    names = ["configuration", "model", *keys, "parameters", "macs", "receptive_field", "n"]
    for split in ("val", "test"):
        names += [f"{split}_acc_{s}" for s in ("mean", "std", "low", "high")]
    if report.baseline is not None:
        for split in ("val", "test"):
            names += [f"{split}_difference_{s}" for s in ("mean", "low", "high", "n", "tie")]
    names += ["seconds", "images_per_second", "done", "not_done"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for i, c in enumerate(report.configurations):
        row: list[Any] = [c.label, c.model, *(c.point.get(key) for key in keys)]
        row += [c.params, c.macs, c.receptive_field, len(c.val)]
        for split in ("val", "test"):
            row += _figures(_estimate(c, split))
        if report.baseline is not None:
            found = differences(report, i)
            for split in ("val", "test"):
                row += _difference_figures(found.get(split))
        row += [report.seconds(i), report.images_per_second(i), len(c.counted), _not_done(report, c)]
        writer.writerow([_cell(value) for value in row])
    return text.getvalue()


def _cell(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula gets an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _estimate(c: Configuration, split: str) -> Estimate | None:
    which: Literal["val", "test"] = "val" if split == "val" else "test"
    return c.estimate(which)


def _figures(e: Estimate | None) -> list[float | None]:
    return [None] * 4 if e is None else [e.mean, e.std if e.n > 1 else None, e.low, e.high]


def _difference_figures(d: Difference | None) -> list[Any]:
    if d is None:
        return [None] * 5
    return [d.estimate.mean, d.estimate.low, d.estimate.high, d.estimate.n, {None: None, True: "tie", False: ""}[d.tie]]


def _not_done(report: Report, c: Configuration) -> str:
    others = Counter(report.runs[r].result.status for r in c.runs if report.runs[r].result.status != "done")
    return ", ".join(f"{n} {status}" for status, n in others.items())


# --- Markdown


def to_markdown(report: Report) -> str:
    """The best validation accuracy first; accuracies in percent. The difference to the baseline is that of the test
    accuracy, where there is one."""
    keys = columns(report)
    labels = {key.key: key.label for key in report.keys}
    heads = ["model", *(labels[key] for key in keys), "parameters", "MACs", "n", "val acc %", "test acc %"]
    right = len(heads) - 5
    base = report.configurations[report.baseline] if report.baseline is not None else None
    heads += ["difference %"] if base else []
    noted = any(_not_done(report, c) for c in report.configurations)
    ranked = report.ranked()
    rest = [i for i in range(len(report.configurations)) if i not in set(ranked)]
    rows = []
    for i in (*ranked, *rest):
        c = report.configurations[i]
        row = [c.model, *(_text(c.point.get(key)) for key in keys), _count(c.params), _count(c.macs)]
        row += [str(len(c.val)), _percent(c.estimate("val")), _percent(c.estimate("test"))]
        row += [_difference(report, i)] if base else []
        rows.append([*row, *([_not_done(report, c)] if noted else [])])
    n = len(report.runs)
    lines = [f"# {_escaped(report.name)}", "", f"{n} run{'s' * (n != 1)}; mean ± standard deviation over n seeds."]
    if base:
        lines[-1] += (
            f" The difference is that to {_escaped(base.label)}, in percentage points, from runs with equal seeds, with"
            " its 95 % interval (Student's t); a tie where that holds 0."
        )
    heads += ["not done"] if noted else []
    marks = ["---:" if right <= column < right + (6 if base else 5) else "---" for column in range(len(heads))]
    lines += ["", _line(heads), f"|{'|'.join(marks)}|"]
    return "\n".join([*lines, *map(_line, rows)]) + "\n"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(map(_escaped, cells)) + " |"


def _escaped(text: str) -> str:
    """Text that Markdown takes as nothing but text, in one line."""
    for mark in "\\`*_[]|#~$":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split())


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _percent(e: Estimate | None) -> str:
    if e is None:
        return ""
    return f"{100 * e.mean:.2f}" + (f" ± {100 * e.std:.2f}" if e.n > 1 else "")


def _difference(report: Report, i: int) -> str:
    if i == report.baseline:
        return "baseline"
    found = differences(report, i)
    d = found.get("test") or found.get("val")
    if d is None:
        return ""
    e = d.estimate
    text = f"{100 * e.mean:+.2f}"
    if e.low is not None and e.high is not None:
        text += f" [{100 * e.low:+.2f}, {100 * e.high:+.2f}]"
    return text + (" tie" if d.tie else "") + (f" (n={e.n})" if e.n != len(report.configurations[i].val) else "")
