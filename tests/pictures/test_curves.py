"""Learning curves: the numbers are those of metrics.csv, the chart one that Vega-Lite takes."""

from __future__ import annotations

from pathlib import Path

import altair
import pandas as pd
import pytest

from fc2conv.pictures.curves import Curves, Spec, chart, read_metrics

METRICS = """epoch,step,lr,train/loss,train/acc,val/loss,val/acc,seconds
1,10,0.01,2.1,0.3,,,1.5
2,20,0.005,1.2,0.5,1.4,0.45,3.1
3,30,0.001,nan,0.55,1.3,0.5,4.4
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "metrics.csv").write_text(METRICS)
    return tmp_path


def panels(spec: Spec) -> list[Spec]:
    return [*spec["vconcat"][0]["hconcat"], spec["vconcat"][1]]


def values(panel: Spec, split: str, run: str) -> dict[float, float]:
    return {v["epoch"]: v["value"] for v in panel["data"]["values"] if (v["split"], v["run"]) == (split, run)}


@pytest.mark.parametrize("runs", [1, 2, 9])
def test_the_numbers_are_those_of_the_file(folder: Path, runs: int) -> None:
    frame = pd.read_csv(folder / "metrics.csv").set_index("epoch")
    labels = [f"run {i}" for i in range(runs)]
    spec = chart([Curves(label, read_metrics(folder), 3) for label in labels], "title")
    altair.VConcatChart.from_dict(spec).to_dict()  # Vega-Lite's schema
    loss, accuracy, rate = panels(spec)
    for label in labels:
        for panel, metric in ((loss, "loss"), (accuracy, "acc")):
            for split, column in (("training", f"train/{metric}"), ("validation", f"val/{metric}")):
                assert values(panel, split, label) == frame[column].dropna().to_dict()
        assert values(rate, "training", label) == frame["lr"].to_dict()


def test_a_single_run_s_best_epoch_is_marked(folder: Path) -> None:
    def marked(runs: int) -> list[float]:
        spec = chart([Curves(f"{i}", read_metrics(folder), 2) for i in range(runs)], "")
        layers = [layer for panel in panels(spec) for layer in panel["layer"] if layer["mark"]["type"] == "rule"]
        return [value["epoch"] for layer in layers for value in layer["data"]["values"]]

    assert marked(1) == [2, 2]
    assert marked(2) == []


def test_runs_of_one_label_keep_their_colours(folder: Path) -> None:
    rows = read_metrics(folder)
    spec = chart([Curves("a\nb", rows), Curves("a b", rows), Curves("c", rows)], "")
    colour = panels(spec)[0]["layer"][0]["encoding"]["color"]["scale"]
    assert colour["domain"] == ["a b", "a b (2)", "c"]
    assert len(set(colour["range"])) == 3


@pytest.mark.parametrize(("last", "ticks"), [(1, [1]), (3, [1, 2, 3]), (30, [1, *range(3, 31, 3)])])
def test_epochs_are_whole_numbers(last: int, ticks: list[int]) -> None:
    rows = [{"epoch": float(n), "train/loss": 1.0} for n in range(1, last + 1)]
    spec = chart([Curves("a", rows)], "")
    assert panels(spec)[0]["layer"][0]["encoding"]["x"]["axis"]["values"] == ticks


@pytest.mark.parametrize("content", [None, b"", b"epoch,step\n", b"\xff\xfe", b"a,b\n1,2\n", b"epoch\n\x00\n"])
def test_a_file_without_epochs_has_no_curves(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "metrics.csv").write_bytes(content)
    assert read_metrics(tmp_path) == []
