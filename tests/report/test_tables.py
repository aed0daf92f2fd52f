"""table.csv and table.md."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from fc2conv.errors import ConfigError
from fc2conv.record.result import Result
from fc2conv.report import records, tables
from fc2conv.report.payload import Report

Add = Callable[..., Result]


def report_of(runs_dir: Path, baseline: int | None = None, name: str = "kernels") -> Report:
    return replace(Report.of(records.read([], runs_dir), name, runs_dir), baseline=baseline)


def rows(report: Report) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(tables.to_csv(report))))


def test_csv_has_all_digits(sweep: Path, runs_dir: Path) -> None:
    frame = pd.read_csv(io.StringIO(tables.to_csv(report_of(runs_dir))))
    values = pd.Series([0.7, 0.8, 0.9])
    assert list(frame["model.kernel_size"]) == [3, 5, 7]
    assert frame["val_acc_mean"][0] == values.mean()
    assert frame["val_acc_std"][0] == pytest.approx(values.std(), abs=1e-15)
    assert list(frame["n"]) == [3, 3, 2]
    assert list(frame["not_done"].fillna("")) == ["", "", "1 failed"]


def test_differences_are_paired(sweep: Path, runs_dir: Path) -> None:
    """Kernel 3 is .1 better than 5 with each seed; 7 is .2 and .1 worse, in two pairs: -.15 -/+ 12.7062 * .05."""
    three, five, seven = rows(report_of(runs_dir, baseline=1))
    assert float(three["val_difference_mean"]) == pytest.approx(0.1)
    assert (three["val_difference_n"], three["val_difference_tie"]) == ("3", "")
    assert five["val_difference_mean"] == five["val_difference_n"] == ""
    assert float(seven["test_difference_mean"]) == pytest.approx(-0.15)
    assert float(seven["test_difference_low"]) == pytest.approx(-0.15 - 0.635310, abs=1e-5)
    assert (seven["test_difference_n"], seven["test_difference_tie"]) == ("2", "tie")


def test_markdown_is_rounded_the_best_first(sweep: Path, runs_dir: Path) -> None:
    lines = tables.to_markdown(report_of(runs_dir, baseline=1)).splitlines()
    assert lines[0] == "# kernels"
    assert lines[2].startswith("9 runs; mean ± standard deviation over n seeds. The difference is that to lenet kernel")
    assert lines[4:] == [
        r"| model | kernel\_size | parameters | MACs | n | val acc % | test acc % | difference % | not done |",
        "|---|---|---:|---:|---:|---:|---:|---:|---|",
        "| lenet | 3 | 106,154 | 316,680 | 3 | 80.00 ± 10.00 | 70.00 ± 10.00 | +10.00 \\[+10.00, +10.00\\] |  |",
        "| lenet | 5 | 107,786 | 693,000 | 3 | 70.00 ± 10.00 | 60.00 ± 10.00 | baseline |  |",
        "| lenet | 7 | 110,234 | 1,257,480 | 2 | 50.00 ± 14.14 | 40.00 ± 14.14 "
        "| -15.00 \\[-78.53, +48.53\\] tie | 1 failed |",
    ]


def test_what_comes_from_runs_is_text(add: Add, runs_dir: Path) -> None:
    add(3, model="=cmd|' /C calc'!A0", folder="a")
    add(5, model="<script>alert(1)</script> [x](http://e) `c`", folder="b")
    report = report_of(runs_dir, name="<img src=x>|")
    cells = [row["model"] for row in rows(report)]
    assert cells == ["<script>alert(1)</script> [x](http://e) `c`", "'=cmd|' /C calc'!A0"]
    text = tables.to_markdown(report)
    assert "<" not in text
    assert text.startswith("# &lt;img src=x&gt;\\|\n")
    assert "| &lt;script&gt;alert(1)&lt;/script&gt; \\[x\\](http://e) \\`c\\` |" in text
    assert all(line.replace("\\|", "").count("|") == 8 for line in text.splitlines() if line.startswith("|"))


def test_a_baseline_that_is_none_is_told(sweep: Path, runs_dir: Path) -> None:
    report = report_of(runs_dir)
    assert tables.find_baseline(report, "lenet kernel_size=5") == 1
    with pytest.raises(ConfigError, match=r"--baseline: got kernel_size=5, .*; did you mean 'lenet kernel_size=5'"):
        tables.find_baseline(report, "kernel_size=5")
