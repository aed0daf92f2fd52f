"""What the charts say, by their specifications."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from generated_runs import Outcome

from fc2conv.record.result import Result
from fc2conv.report import effects, records
from fc2conv.report.charts.curves import curve_rows, epoch_ticks, learning
from fc2conv.report.charts.effects import effect, interaction
from fc2conv.report.charts.listing import charts
from fc2conv.report.charts.parallel import parallel
from fc2conv.report.charts.parts import log_ticks, path
from fc2conv.report.charts.scatter import against
from fc2conv.report.payload import Report

Add = Callable[..., Result]


def report_of(runs_dir: Path) -> Report:
    return Report.of(records.read([], runs_dir), "name", runs_dir)


def marks(spec: dict[str, Any]) -> list[str]:
    return [layer["mark"]["type"] for layer in spec["layer"]]


def test_a_mark_a_configuration_with_interval_front_and_legend(sweep: Path, runs_dir: Path) -> None:
    drawn = against(report_of(runs_dir), "params")
    assert drawn is not None
    spec = drawn.chart.to_dict()
    assert marks(spec) == ["line", "rule", "point"]
    assert spec["layer"][0]["mark"]["interpolate"] == "step-after"
    points = spec["layer"][2]["encoding"]
    assert points["x"]["scale"]["type"] == "log"
    # one model: the key tells the colours apart
    assert (points["color"]["field"], points["color"]["scale"]["domain"]) == ("kernel_size", [3, 5, 7])
    assert {p.get("bind") for p in spec["params"]} == {None, "legend"}
    assert next(p for p in spec["params"] if p["name"] == "pinned")["value"] == []


def test_the_front_is_marked_in_the_rows(sweep: Path, runs_dir: Path) -> None:
    """Kernel 3 has the fewest parameters and the best accuracy."""
    rows = report_of(runs_dir).rows
    assert [(row["label"], row["pareto_params"]) for row in rows] == [
        ("lenet kernel_size=3", True),
        ("lenet kernel_size=5", False),
        ("lenet kernel_size=7", False),
    ]
    assert (rows[0]["configuration"], rows[0]["kernel_size"], rows[0]["params"]) == (0, 3, 106_154)


def test_only_keys_that_vary_have_charts(sweep: Path, runs_dir: Path) -> None:
    names = [chart["id"] for chart in charts(report_of(runs_dir))]
    assert [name for name in names if name.startswith(("effect", "interaction"))] == ["effect-kernel_size"]


def test_a_single_run_has_what_one_can_have(add: Add, runs_dir: Path) -> None:
    add()
    names = [chart["id"] for chart in charts(report_of(runs_dir))]
    assert names == ["params", "macs", "curves-accuracy", "curves-loss", "time", "speed", "classes"]


@pytest.mark.parametrize("status", ["failed", "running", "skipped"])
def test_runs_without_accuracies_have_no_charts(add: Add, runs_dir: Path, status: Any) -> None:
    for kernel in (3, 5):
        add(kernel, outcome=Outcome(status=status, epochs=0))
    assert charts(report_of(runs_dir)) == []


def test_an_effect_joins_slices_and_ends_intervals_at_the_bounds(sweep: Path, runs_dir: Path) -> None:
    """Kernel 7 has .5 -/+ 1.27."""
    report = report_of(runs_dir)
    drawn = effect(report, effects.effect(report.keys[0], report.configurations))
    assert drawn is not None
    assert [(row["value"], row["slice"]) for row in drawn.rows["points"]] == [(3, 0), (5, 0), (7, 0)]
    level = drawn.rows["levels"][2]
    assert (level["value"], level["mean"], level["low"], level["high"]) == (7, pytest.approx(0.5), 0.0, 1.0)
    spec = drawn.chart.to_dict()
    assert marks(spec) == ["line", "point", "rule", "line", "point"]
    assert spec["layer"][0]["encoding"]["x"]["axis"]["values"] == [3, 5, 7]


def test_no_interaction_no_chart() -> None:
    assert interaction(None) is None


def test_parallel_coordinates(sweep: Path, runs_dir: Path) -> None:
    """Accuracies .5 .7 .8: the middle lies at two thirds. Kernels are evenly spaced."""
    drawn = parallel(report_of(runs_dir))
    assert drawn is not None
    at = {(row["configuration"], row["axis"]): row["at"] for row in drawn.rows["lines"]}
    assert [at[i, "kernel_size"] for i in range(3)] == [0, 0.5, 1]
    assert [at[i, "val acc"] for i in range(3)] == [1, pytest.approx(2 / 3, abs=1e-4), 0]
    assert (at[0, "parameters"], at[2, "parameters"]) == (0, 1)


def test_curves_have_one_row_an_epoch(sweep: Path, runs_dir: Path) -> None:
    report = report_of(runs_dir)
    rows = curve_rows(report)
    assert [(row["configuration"], row["epoch"]) for row in rows] == [(c, e) for c in range(3) for e in (1, 2, 3)]
    drawn = learning(report, "acc")
    assert drawn is not None
    assert marks(drawn.chart.to_dict()) == ["area", "line", "line"]


def test_ticks_are_few_and_round() -> None:
    assert log_ticks(3000, 4e6) == [1e4, 1e5, 1e6]
    assert log_ticks(3000, 40_000) == [3000, 10_000, 30_000]
    assert log_ticks(268_800, 416_520) == [300_000, 350_000, 400_000]
    assert log_ticks(61_706, 61_706) == [61_706]
    assert epoch_ticks(3) == [1, 2, 3]
    assert epoch_ticks(100) == [1, *range(10, 101, 10)]


def test_a_dotted_label_is_a_name_and_no_path() -> None:
    assert path("model.dropout") == "model\\.dropout"


def test_times_of_one_device_are_compared(sweep: Path, add: Add, runs_dir: Path) -> None:
    result = add(9, 0)
    result.device = "NVIDIA H100"
    result.write(runs_dir / "sweep" / "kernel_size=9,seed=0")
    report = report_of(runs_dir)
    found = {chart["id"]: chart for chart in charts(report)}
    assert found["time"]["caption"].endswith("On cpu (3 of 4 configurations).")
    assert "indexof([0, 1, 2], datum.configuration) >= 0" in str(found["time"]["spec"])
    assert "[0, 1, 2]" not in str(found["params"]["spec"])


def test_categories_are_not_joined(add: Add, runs_dir: Path) -> None:
    for model in ("a", "b"):
        for seed in range(2):
            add(seed=seed, val=0.5 + 0.1 * seed, model=model, folder=f"{model}{seed}")
    report = report_of(runs_dir)
    drawn = effect(report, effects.effect(report.keys[0], report.configurations))
    assert drawn is not None
    assert marks(drawn.chart.to_dict()) == ["point", "rule", "point"]
