"""A sweep's tables: means and standard deviations over the seeds, what is missing, and the plan's estimates."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from fc2conv.architectures import plan
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.architectures.mlp import MLPConfig
from fc2conv.architectures.softmax import SoftmaxConfig
from fc2conv.config.schema import Config, DataConfig, TrainerConfig, headings
from fc2conv.record.result import Result, Status
from fc2conv.sweep import table
from fc2conv.sweep.search_space import Parameter, SweepFile
from fc2conv.sweep.trials import Trial

SHAPE = (1, 28, 28)
SOFTMAX = (784 * 10 + 10, 784 * 10)
"""(parameters, MACs)"""
MLP = (784 * 20 + 20 + 20 * 10 + 10, 784 * 20 + 20 * 10)
"""Of one hidden layer of 20 units."""


def trial(sweep: Path, config: Config, *point: str, impossible: str | None = None) -> Trial:
    """As the sweeper makes it, but for Hydra; its constants are left out."""
    made = Trial.of(config, sweep, point, point, dict(o.split("=", 1) for o in point).get("model", ""))
    return replace(made, geometry=None, impossible=impossible) if impossible else made


def train(trial: Trial, status: Status, val: float | None, test: float | None, **more: Any) -> None:
    """The record that a job leaves."""
    trial.folder.mkdir(parents=True, exist_ok=True)
    metrics = [{"loss": 1.0, "acc": a, "n": 100.0} if a is not None else None for a in (val, test)]
    name = trial.folder.name
    record = Result(status, name, name, "", 0, [], {}, {}, 0, 0, val=metrics[0], test=metrics[1])
    replace(record, **more).write(trial.folder)


Outcome = tuple[Status, float | None, float | None]
MODELS = {"softmax": SoftmaxConfig(), "mlp": MLPConfig(hidden=(20,))}
OUTCOMES: dict[str, list[Outcome | None]] = {
    # mean (4 + 5 + 6) / 8 / 3 = 0.625, deviation sqrt((1 + 0 + 1) / 2) / 8 = 0.125; of the tests a quarter less
    "softmax": [("done", 0.5, 0.25), ("done", 0.625, 0.375), ("done", 0.75, 0.5)],
    # of two: (0.875 + 0.625) / 2 = 0.75, deviation sqrt(2 * 0.125^2) = 0.1767767; the failed one does not count
    "mlp": [("done", 0.875, 0.125), ("failed", 0.9, None), ("done", 0.625, 0.125)],
}


def sweep_of(folder: Path, outcomes: dict[str, list[Outcome | None]]) -> list[Trial]:
    """Models times seeds, seeds innermost; None was not run."""
    trials = []
    for name, runs in outcomes.items():
        for seed, outcome in enumerate(runs):
            trials.append(trial(folder, Config(model=MODELS[name], seed=seed), f"model={name}", f"seed={seed}"))
            if outcome:
                train(trials[-1], *outcome)
    return trials


def rows(found: Table) -> list[dict[str, str]]:
    """Heading -> what is in the column, for each row."""
    headings = [str(column.header) for column in found.columns]
    cells = zip(*[column.cells for column in found.columns], strict=True)
    return [dict(zip(headings, map(str, row), strict=True)) for row in cells]


def shown(found: Table) -> str:
    """On a screen."""
    console = Console(file=io.StringIO(), width=200)
    console.print(found)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def written(trials: list[Trial], folder: Path) -> list[dict[str, str]]:
    path = table.write_csv(table.groups(trials), folder)
    assert path == folder / "table.csv"
    return list(csv.DictReader(path.read_text().splitlines()))


# --- groups


def test_groups_are_trials_that_differ_in_their_seed(tmp_path: Path) -> None:
    trials = sweep_of(tmp_path, OUTCOMES)
    # in the order of the sweep, wherever the seeds stand
    for order in (trials, [trials[i] for i in (0, 3, 1, 4, 2, 5)]):
        groups = table.groups(order)
        assert [g.point for g in groups] == [{"model": "softmax"}, {"model": "mlp"}]
        assert [g.name for g in groups] == ["model=softmax", "model=mlp"]
        assert [len(g.trials) for g in groups] == [3, 3]
        assert [g.accuracies("val") for g in groups] == [[0.5, 0.625, 0.75], [0.875, 0.625]]
        assert [g.accuracies("test") for g in groups] == [[0.25, 0.375, 0.5], [0.125, 0.125]]


def test_seeds_alone_are_one_group(tmp_path: Path) -> None:
    (group,) = table.groups([trial(tmp_path, Config(seed=seed), f"seed={seed}") for seed in range(3)])
    assert (group.point, group.name, len(group.trials), group.results) == ({}, "(defaults)", 3, ())
    assert group.accuracies("val") == []


def test_a_key_without_its_group_where_that_is_clear() -> None:
    keys = ["model.kernel_size", "data.batch_size", "model.dropout", "other.dropout", "model", "optim"]
    want = ["kernel_size", "batch_size", "model.dropout", "other.dropout", "model", "optim"]
    assert headings(keys) == want


# --- the results


def test_mean_deviation_and_n(tmp_path: Path) -> None:
    found = rows(table.results_table(table.groups(sweep_of(tmp_path, OUTCOMES))))
    assert found == [
        {
            "model": "softmax",
            "parameters": "7,850",
            "MACs": "7,840",
            "n": "3",
            "val acc": "0.6250 ± 0.1250",
            "test acc": "0.3750 ± 0.1250",
            "note": "",
        },
        {
            "model": "mlp",
            "parameters": "15,910",  # 15,700 + 210
            "MACs": "15,880",
            "n": "2",
            "val acc": "0.7500 ± 0.1768",
            "test acc": "0.1250 ± 0.0000",
            "note": "1 failed",
        },
    ]


def test_one_run_has_no_deviation(tmp_path: Path) -> None:
    trials = sweep_of(tmp_path, {"softmax": [("done", 0.9123456789, 1 / 3)]})
    (row,) = rows(table.results_table(table.groups(trials)))
    assert (row["n"], row["val acc"], row["test acc"]) == ("1", "0.9123", "0.3333")
    (row,) = written(trials, tmp_path)
    assert (row["n"], row["val_acc_std"], row["test_acc_std"]) == ("1", "", "")
    assert (row["val_acc_mean"], float(row["test_acc_mean"])) == ("0.9123456789", 1 / 3)


@pytest.mark.parametrize(
    ("outcomes", "n", "note"),
    [
        ([None, None, None], "", "3 not run"),
        ([("done", 0.5, 0.5), None, None], "1", "2 not run"),
        ([("done", 0.5, 0.5), ("failed", None, None), ("failed", 0.1, None)], "1", "2 failed"),
        ([("pruned", 0.5, None), ("interrupted", 0.5, None), ("pruned", 0.1, None)], "", "2 pruned, 1 interrupted"),
        ([("running", None, None), ("done", 0.5, 0.5), None], "1", "1 running, 1 not run"),
    ],
)
def test_says_what_is_missing(outcomes: list[Outcome | None], n: str, note: str, tmp_path: Path) -> None:
    trials = sweep_of(tmp_path, {"softmax": outcomes})
    (row,) = rows(table.results_table(table.groups(trials)))
    assert (row["n"], row["note"]) == (n, note)
    assert row["val acc"] == ("0.5000" if n else "")
    (row,) = written(trials, tmp_path)
    assert (row["n"], row["note"]) == (n or "0", note)
    assert row["val_acc_mean"] == ("0.5" if n else "")


def test_an_impossible_trial_is_skipped_and_says_why_in_the_csv(tmp_path: Path) -> None:
    reason = "conv2: kernel 17 does not fit"
    trials = [
        trial(tmp_path, Config(), "model.kernel_size=5"),
        trial(tmp_path, Config(model=LeNetConfig(kernel_size=17)), "model.kernel_size=17", impossible=reason),
    ]
    trials[1].end("skipped", reason)
    groups = table.groups(trials)
    assert [g.reason for g in groups] == [None, reason]
    row = rows(table.results_table(groups))[1]
    assert (row["kernel_size"], row["parameters"], row["n"], row["note"]) == ("17", "", "", "skipped")
    row = written(trials, tmp_path)[1]
    assert (row["model.kernel_size"], row["parameters"], row["n"], row["note"]) == ("17", "", "0", reason)


def test_the_csv_has_all_digits(tmp_path: Path) -> None:
    found = written(sweep_of(tmp_path, OUTCOMES), tmp_path)
    assert list(found[0]) == [
        *("model", "parameters", "macs", "receptive_field", "n"),
        *("val_acc_mean", "val_acc_std", "test_acc_mean", "test_acc_std", "note"),
    ]
    assert [row["model"] for row in found] == ["softmax", "mlp"]
    assert [(int(row["parameters"]), int(row["macs"])) for row in found] == [SOFTMAX, MLP]
    assert [row["n"] for row in found] == ["3", "2"]
    assert [row["val_acc_mean"] for row in found] == ["0.625", "0.75"]
    assert float(found[0]["val_acc_std"]) == 0.125
    assert float(found[1]["val_acc_std"]) == pytest.approx(0.125 * 2**0.5, rel=1e-15)
    assert [row["note"] for row in found] == ["", "1 failed"]


def test_the_csv_names_the_keys_that_vary_and_the_model(tmp_path: Path) -> None:
    trials = [
        trial(tmp_path, Config(model=LeNetConfig(channels=(a, b))), f"model.channels=[{a}, {b}]", "data.bands=None")
        for a, b in ((6, 16), (2, 4))
    ]
    found = written(trials, tmp_path)
    assert list(found[0])[:4] == ["model", "model.channels", "data.bands", "parameters"]
    assert [row["model.channels"] for row in found] == ["[6, 16]", "[2, 4]"]
    assert [row["model"] for row in found] == ["lenet", "lenet"]
    # D2L's LeNet: 5x5 kernels seen through two 2x2 poolings: 5 + 1 + 2 * 4 + 2
    assert found[0]["receptive_field"] == "16"
    assert int(found[0]["parameters"]) == 156 + 2416 + 48120 + 10164 + 850


def test_values_are_shown_as_they_are_written(tmp_path: Path) -> None:
    """Brackets are markup to the screen's library."""
    trials = [trial(tmp_path, Config(), "model.padding=[same]", "model.channels=[6, 16]")]
    for found in (table.results_table(table.groups(trials)), table.plan_table(table.groups(trials))):
        assert "[same]" in shown(found)
        assert "[6, 16]" in shown(found)


def test_a_search_is_ranked_by_validation(tmp_path: Path) -> None:
    """Not by the test, which says the contrary; a pruned run comes after those that went to the end."""
    outcomes: list[Outcome | None] = [
        ("done", 0.7, 0.9),
        ("pruned", 0.95, None),
        ("done", 0.9, 0.6),
        ("failed", None, None),
        None,
        ("pruned", 0.97, None),
        ("done", 0.8, 0.8),
    ]
    trials = [trial(tmp_path, Config(data=DataConfig(batch_size=i + 1)), f"data.batch_size={i}") for i in range(7)]
    for c, outcome in zip(trials, outcomes, strict=True):
        if outcome:
            train(c, *outcome)
    groups = table.groups(trials)
    assert [row["batch_size"] for row in rows(table.results_table(groups, by_accuracy=True))] == [*"2605134"]
    assert [row["batch_size"] for row in rows(table.results_table(groups))] == [*"0123456"]


# --- the plan


def test_the_plan(tmp_path: Path) -> None:
    """3 MACs a multiplication forwards (and twice backwards) at 8e9 a second, 12 microseconds an image besides:
    10 epochs of 55,000 images are 550,000 * (3 * 7,840 / 8e9 + 12e-6) = 8.2 s."""
    trials = sweep_of(tmp_path, {"softmax": [None] * 3})
    trials.append(trial(tmp_path, Config(model=LeNetConfig(kernel_size=17)), "model=lenet", impossible="no"))
    softmax, lenet = rows(table.plan_table(table.groups(trials)))
    assert softmax == {
        "model": "softmax",
        "output shapes": "1x28x28 784 10",
        "parameters": "7,850",
        "MACs": "7,840",
        "receptive field": "28",
        "runs": "3",
        "a run": "~ 8 s",
    }
    assert (lenet["model"], lenet["parameters"]) == ("lenet", "")
    assert "impossible" in lenet["output shapes"]


def test_the_plan_of_a_single_trial(tmp_path: Path) -> None:
    (row,) = rows(table.plan_table(table.groups([trial(tmp_path, Config())])))
    assert row["trial"] == "(defaults)"
    assert row["output shapes"] == "1x28x28 6x28x28 6x14x14 16x10x10 16x5x5 400 120 84 10"


@pytest.mark.parametrize(
    ("config", "images"),
    [
        (Config(), 10 * 55_000),
        (Config(trainer=TrainerConfig(max_epochs=3)), 3 * 55_000),
        (Config(trainer=TrainerConfig(limit_train_batches=43)), 55_000),  # a tenth of 430 batches, ten times
        (Config(trainer=TrainerConfig(overfit_batches=0.1)), 55_000),
        (Config(trainer=TrainerConfig(max_steps=860)), 2 * 55_000),
        (Config(trainer=TrainerConfig(max_steps=860, accumulate_grad_batches=2)), 4 * 55_000),
        (Config(data=DataConfig(train_size=1000)), 10 * 1000),
        (Config(data=DataConfig(name="cifar10", val_size=0.1)), 10 * 45_000),
        (Config(data=DataConfig(name="folder", path="x")), 10 * 10_000),  # not counted before it is read
        (Config(data=DataConfig(name="folder", path="x", train_size=50)), 10 * 50),
    ],
)
def test_seconds_by_multiplications(config: Config, images: int, tmp_path: Path) -> None:
    made = Trial((), (), tmp_path, config, geometry=plan(SoftmaxConfig(), SHAPE, 10))
    (group,) = table.groups([made])
    assert table.seconds(group, 1e6) == pytest.approx(images * (3 * 7840 / 1e6 + 12e-6), rel=1e-12)


def test_seconds_of_its_own_finished_runs(tmp_path: Path) -> None:
    trials = sweep_of(tmp_path, {"softmax": [None] * 4})
    for c, seconds in zip(trials, (10.0, 20.0, 90.0), strict=False):
        train(c, "done", 0.5, 0.5, seconds={"total": seconds})
    train(trials[3], "interrupted", 0.5, None, seconds={"total": 1.0})
    (group,) = table.groups(trials)
    assert table.seconds(group, 1e6) == 20.0


def test_macs_per_second_of_the_records(tmp_path: Path) -> None:
    """3 * MACs, over an image's time less the 12 microseconds that it costs besides; their median."""
    trials = sweep_of(tmp_path, {"softmax": [None] * 4})
    assert table.macs_per_second(table.groups(trials)) == 8e9
    for c, macs in zip(trials, (1000, 2000, 9000), strict=False):
        train(c, "done", 0.5, 0.5, macs=macs, images_per_second=1 / 112e-6)
    assert table.macs_per_second(table.groups(trials)) == pytest.approx(3 * 2000 / 100e-6)


def test_macs_per_second_of_a_network_that_costs_next_to_nothing(tmp_path: Path) -> None:
    trials = sweep_of(tmp_path, {"softmax": [None]})
    train(trials[0], "done", 0.5, 0.5, macs=1000, images_per_second=1e6)
    assert table.macs_per_second(table.groups(trials)) == pytest.approx(3 * 1000 / 1e-6)


def test_the_space_of_a_search(tmp_path: Path) -> None:
    parameters = (
        Parameter("model", values=("softmax",)),
        Parameter("optim.lr", low=0.001, high=0.05, log=True),
        Parameter("optim.label_smoothing", low=0.0, high=0.2),
        Parameter("model.width", low=2.0, high=9.0, whole=True),
        Parameter("model.edge", low=2.0, high=10.0, step=4.0, whole=True),
        Parameter("model.padding", values=("same", ["same", 0], None)),
    )
    file = SweepFile(tmp_path / "question.yaml", "bayes", parameters, run_cap=40)
    found = table.space_table(file, trial(tmp_path, Config(model=SoftmaxConfig()), "optim.lr=0.001"))
    text = shown(found)
    assert "question.yaml: 40 runs, method bayes" in " ".join(text.split())
    lines = [" ".join(line.replace("│", " ").split()) for line in text.splitlines()]
    for line in (
        "optim.lr 0.001 to 0.05, logarithmic",
        "optim.label_smoothing 0 to 0.2",
        "model.width 2 to 9, whole numbers",
        "model.edge 2 to 10, in steps of 4",
        "model.padding same, ['same', 0], None",
    ):
        assert line in lines
    assert "e.g. optim.lr=0.001: 7,850 parameters, 7,840 MACs" in " ".join(lines)
    assert "model softmax" not in lines  # a constant is not searched
