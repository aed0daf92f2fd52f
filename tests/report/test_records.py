"""Which runs a report reads, and what it skips."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fc2conv.config.schema import Config
from fc2conv.errors import ConfigError
from fc2conv.record.result import Result
from fc2conv.report import records
from fc2conv.report.configurations import group

Add = Callable[..., Result]


def names(found: records.Records) -> list[str]:
    return [run.name for run in found.runs]


def edit(folder: Path, **values: Any) -> None:
    """Change a record's values as another version might have written them."""
    path = folder / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_runs_are_meant_by_name_folder_or_sweep(add: Add, runs_dir: Path, sweep: Path) -> None:
    add(folder="single")
    assert len(records.read([], runs_dir).runs) == 10
    assert names(records.read(["single"], runs_dir)) == ["single"]
    assert len(records.read(["sweep"], runs_dir).runs) == 9
    assert len(records.read([str(sweep), "sweep/kernel_size=3,seed=0", "single"], runs_dir).runs) == 10, "each once"
    with pytest.raises(ConfigError, match=r"got singel, but no run lies there .*; did you mean single"):
        records.read(["singel"], runs_dir)


def test_what_is_no_run_is_skipped_with_its_reason(add: Add, runs_dir: Path) -> None:
    add(folder="good")
    for name, text in (("cut", '{"status": "do'), ("list", "[]"), ("empty", ""), ("wrong", '{"status": "done"}')):
        (runs_dir / name).mkdir()
        (runs_dir / name / "result.json").write_text(text)
    (runs_dir / "photos" / "deep").mkdir(parents=True)
    (runs_dir / "photos" / "deep" / "a.jpg").write_bytes(b"\xff")
    (runs_dir / "loop").symlink_to(runs_dir)
    (runs_dir / "pipe").mkdir()
    os.mkfifo(runs_dir / "pipe" / "result.json")
    (runs_dir / "huge").mkdir()
    with (runs_dir / "huge" / "result.json").open("w") as file:
        file.truncate(2**40)
    (runs_dir / "knot").mkdir()
    (runs_dir / "knot" / "result.json").symlink_to(runs_dir / "knot" / "result.json")
    found = records.read([], runs_dir)
    assert names(found) == ["good"]
    reasons = {Path(folder).name: reason for folder, reason in found.skipped.items()}
    assert reasons.keys() == {"cut", "list", "empty", "wrong", "photos", "pipe", "huge", "knot"}
    assert reasons["photos"] == reasons["knot"] == "holds no run (result.json)"
    assert "is damaged" in reasons["cut"]
    assert "is no file" in reasons["pipe"]
    assert "larger than 64 MiB" in reasons["huge"]


def test_runs_to_look_at_are_left_out(add: Add, runs_dir: Path) -> None:
    add(folder="good")
    add(folder="debug", config=replace(Config(), debug="fast"))
    add(folder="search", seed=1)
    edit(runs_dir / "search", suggested_lr=0.1)
    found = records.read([], runs_dir)
    assert (names(found), found.debug, found.lr_find) == (["good"], 1, 1)


@pytest.mark.parametrize(
    ("text", "epochs", "wrong"),
    [
        ("epoch,val/acc\n1,0.5\n2,nan\n3,inf\n", {1: {"val/acc": 0.5}, 2: {}, 3: {}}, None),
        ("epoch,val/acc\n1,0.5\nx,0.6\n", {1: {"val/acc": 0.5}}, "1 of 2 lines are no epoch's"),
        ("epoch,val/acc,lr\n1,0.5\n2,many,0.1,9,9\n", {1: {"val/acc": 0.5}, 2: {"lr": 0.1}}, None),
        ("\x00\x01garbage\nmore\n", {}, "1 of 1 lines are no epoch's"),
        ("", {}, None),
        (
            "epoch\n" + "1" * 200_000 + "\n",
            {},
            "cannot be read (field larger than field limit (131072)); the run has no curve",
        ),
    ],
)
def test_curves_of_broken_files(tmp_path: Path, text: str, epochs: records.Curve, wrong: str | None) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(text)
    assert records.read_curve(path) == (epochs, wrong)


def test_curves_that_cannot_be_files(tmp_path: Path) -> None:
    assert records.read_curve(tmp_path / "none.csv") == ({}, None), "the first epoch may not be over"
    assert records.read_curve(tmp_path)[1] == "is no file"
    with (tmp_path / "huge.csv").open("w") as file:
        file.truncate(2**30)
    assert records.read_curve(tmp_path / "huge.csv") == ({}, "is larger than 16 MiB; the run has no curve")


def test_a_broken_curve_costs_the_curve_only(add: Add, runs_dir: Path) -> None:
    add(folder="good")
    (runs_dir / "good" / "metrics.csv").write_bytes(b"epoch\n\xff\xfe\n")
    found = records.read([], runs_dir)
    assert (names(found), found.runs[0].curve) == (["good"], {})
    assert list(found.skipped.values()) == ["1 of 1 lines are no epoch's"]


def test_long_curves_are_thinned_evenly_up_to_the_last(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,val/acc\n" + "".join(f"{e},0.5\n" for e in range(1, 1001)))
    curve, _ = records.read_curve(path)
    assert list(curve) == list(range(5, 1001, 5))


def test_seeds_loggers_and_devices_make_no_configuration(add: Add, runs_dir: Path) -> None:
    add(folder="a")
    add(folder="b", seed=1)
    config = json.loads((runs_dir / "b" / "result.json").read_text())["config"]
    config["trainer"]["threads"] = 1
    edit(runs_dir / "b", config=config)
    add(3, folder="c")
    a, b, c = records.read([], runs_dir).runs
    assert a.configuration == b.configuration != c.configuration


def test_a_network_of_a_plugin_that_is_not_loaded_is_told_by_what_its_record_says(add: Add, runs_dir: Path) -> None:
    for folder, width in (("a", 3), ("b", 3), ("c", 4)):
        add(folder=folder)
        config = json.loads((runs_dir / folder / "result.json").read_text())["config"]
        config["model"] = {"family": "not_there", "width": width}
        edit(runs_dir / folder, config=config, family="not_there", model="not_there")
    a, b, c = records.read([], runs_dir).runs
    assert a.configuration == b.configuration != c.configuration
    assert (a.values["model.width"], c.values["model.width"]) == (3, 4)


def test_figures_that_no_run_can_have_are_missing(add: Add, runs_dir: Path) -> None:
    """They are of the right types, so the record is read."""
    add(folder="odd")
    high = {"loss": 1.0, "acc": 5.0, "n": 1}
    edit(runs_dir / "odd", seconds={"total": -1.0}, images_per_second=1e308, val=high, test=None)
    (run,) = records.read([], runs_dir).runs
    assert (run.seconds, run.images_per_second, run.accuracy("val"), run.accuracy("test")) == (None, None, None, None)


@pytest.mark.parametrize("count", [None, -5, {"a": 1}, "many", 2**80])
def test_a_count_that_is_none_is_not_known(add: Add, runs_dir: Path, count: Any) -> None:
    add(folder="odd")
    edit(runs_dir / "odd", params={"total": count})
    _, (found,) = group(records.read([], runs_dir).runs)
    assert found.params is None
