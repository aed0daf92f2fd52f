"""What the page gets: fronts, budgets, curves, matrices, filters."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from generated_runs import Outcome

from fc2conv.record.arrays import Arrays
from fc2conv.record.result import Result
from fc2conv.report import records
from fc2conv.report.configurations import Configuration
from fc2conv.report.payload import Report, budgets, payload

Add = Callable[..., Result]


def made(runs_dir: Path) -> dict[str, Any]:
    report = Report.of(records.read([], runs_dir), "name", runs_dir)
    return payload(report, [], "fc2conv report")


def with_costs(*costs: tuple[int | None, float | None]) -> Report:
    """Configurations of so many parameters and such validation accuracies."""
    blank = Configuration("", "lenet", "lenet", {}, {}, ())
    found = [replace(blank, label=str(n), params=n, val={} if acc is None else {0: acc}) for n, acc in costs]
    return Report("name", Path("runs"), records.Records(), [], found, None)


def test_the_pareto_front() -> None:
    """Position 1 is dominated by 0, 3 by 2; 4 and 5 are equal; 6 has no accuracy, 7 no count."""
    report = with_costs((100, 0.5), (200, 0.4), (200, 0.6), (300, 0.6), (400, 0.7), (400, 0.7), (50, None), (None, 0.9))
    assert report.front("params") == {0, 2, 4, 5}


def test_the_best_for_each_budget() -> None:
    """1k admits nobody; 3k and 10k the same two; 100k one more, who is worse; 300k one who is better."""
    report = with_costs((1001, 0.5), (2000, 0.6), (50_000, 0.55), (250_000, 0.7))
    found = [(b["params"], b["configuration"], b["params_of_it"], b["val"], b["test"], b["n"]) for b in budgets(report)]
    assert found == [
        (3000, 1, 2000, 0.6, None, 1),
        (100_000, 1, 2000, 0.6, None, 1),
        (300_000, 3, 250_000, 0.7, None, 1),
    ]


def test_the_payload_is_plain_json_of_what_was_recorded(sweep: Path, runs_dir: Path) -> None:
    found = made(runs_dir)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["summary"] | {"budgets": 0} == {
        "runs": 9,
        "by_status": {"done": 8, "failed": 1},
        "models": ["lenet"],
        "seeds": [0, 1, 2],
        "seconds": 90.0,
        "failures": [{"run": 8, "error": "NonFiniteLoss: the loss became <nan>"}],
        "skipped_folders": [],
        "debug": 0,
        "lr_find": 0,
        "budgets": 0,
    }
    seven = found["configurations"][2]
    assert (seven["label"], seven["n"], seven["by_status"]) == ("lenet kernel_size=7", 2, {"done": 2, "failed": 1})
    assert seven["val"]["mean"] == pytest.approx(0.5)
    assert seven["val"]["std"] == pytest.approx(0.02**0.5)
    # std / sqrt(2) is .1
    assert (seven["val"]["low"], seven["val"]["high"]) == (
        pytest.approx(0.5 - 1.27062, abs=1e-4),
        pytest.approx(1.77062, abs=1e-4),
    )
    run = found["runs"][0]
    assert (run["seed"], run["val"], run["test"], run["configuration"], run["counted"]) == (0, 0.7, 0.6, 0, True)
    assert run["command"] == "python train.py model=lenet model.kernel_size=3 model.padding=same seed=0"
    assert run["folder"] == f"{runs_dir}/sweep/kernel_size=3,seed=0"
    assert not found["runs"][8]["counted"]
    assert len(found["made"]["versions"]) == len(found["made"]["git"]) == 1, "each once"


def test_curves_are_means_over_the_seeds(sweep: Path, runs_dir: Path) -> None:
    """metrics.csv has val * epoch / (epoch + 1): .35 .4 .45 at first, with a standard deviation of .05."""
    curve = made(runs_dir)["configurations"][0]["curve"]
    assert curve["epoch"] == [1, 2, 3]
    assert curve["val_acc"] == pytest.approx([0.4, 0.8 * 2 / 3, 0.6], abs=1e-5)
    assert (curve["val_acc_low"][0], curve["val_acc_high"][0]) == (pytest.approx(0.35), pytest.approx(0.45))
    assert curve["lr"] == pytest.approx([0.01, 0.005, 0.00333333])


def test_curves_of_unequal_length_and_of_runs_that_are_not_done(add: Add, runs_dir: Path) -> None:
    add(seed=0, outcome=Outcome(0.6, epochs=1, status="running"))
    add(seed=1, outcome=Outcome(0.8, epochs=2, status="running"))
    (found,) = made(runs_dir)["configurations"]
    assert (found["n"], found["val"]) == (0, None)
    assert found["curve"]["val_acc"] == pytest.approx([0.35, 0.8 * 2 / 3], abs=1e-5)


def test_confusion_is_summed_over_the_seeds(sweep: Path, runs_dir: Path) -> None:
    """Of 1000 images of a class 600, 700, 800 are right, the others taken for the next class."""
    found = made(runs_dir)["configurations"][0]
    assert found["confusion"][0] == [2100, 900, *[0] * 8]
    assert found["confusion"][9] == [900, *[0] * 8, 2100]
    assert found["per_class"]["Trouser"] == 0.7
    assert found["classes"][:2] == ["T-shirt/top", "Trouser"]


def test_filters_are_those_of_the_first_seed_to_a_half_step(sweep: Path, runs_dir: Path) -> None:
    weights = np.random.default_rng(0).normal(size=(6, 1, 3, 3)).astype(np.float32)
    Arrays(filters=weights).write(runs_dir / "sweep" / "kernel_size=3,seed=0")
    found = made(runs_dir)["configurations"][0]["filters"]
    numbers = np.frombuffer(base64.b64decode(found["data"]), np.int8).reshape(found["shape"])
    assert found["shape"] == [6, 1, 3, 3]
    np.testing.assert_allclose(numbers * found["scale"], weights, atol=found["scale"] / 2 + 1e-7)
    assert np.abs(numbers).max() == 127


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY garbage"])
def test_broken_arrays_cost_the_filters_only(sweep: Path, runs_dir: Path, content: bytes) -> None:
    (runs_dir / "sweep" / "kernel_size=3,seed=0" / "arrays.npz").write_bytes(content)
    found = made(runs_dir)["configurations"]
    assert (found[0]["filters"], found[0]["n"]) == (None, 3)
    assert found[1]["filters"] is not None


def test_a_matrix_of_other_classes_is_not_added(sweep: Path, runs_dir: Path) -> None:
    folder = runs_dir / "sweep" / "kernel_size=3,seed=0"
    result = Result.read(folder)
    result.per_class, result.confusion = {"cat": 1.0}, [[5]]
    result.write(folder)
    assert made(runs_dir)["configurations"][0]["confusion"] is None
