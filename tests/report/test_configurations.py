"""Runs that differ in their seed only, and the keys that vary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from generated_runs import Outcome

from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.architectures.mlp import MLPConfig
from fc2conv.config.schema import Config, DataConfig, OptimConfig
from fc2conv.record.result import Result
from fc2conv.report import effects, records
from fc2conv.report.configurations import group, sort_values, varying

Add = Callable[..., Result]


def test_seeds_are_one_configuration(sweep: Path, runs_dir: Path) -> None:
    keys, found = group(records.read([], runs_dir).runs)
    assert [(k.key, k.label, k.kind, k.values) for k in keys] == [
        ("model.kernel_size", "kernel_size", "number", (3, 5, 7))
    ]
    assert [c.label for c in found] == [f"lenet kernel_size={k}" for k in (3, 5, 7)]
    assert [c.val for c in found] == [{0: 0.7, 1: 0.8, 2: 0.9}, {0: 0.6, 1: 0.7, 2: 0.8}, {0: 0.4, 1: 0.6}]
    assert [len(c.runs) for c in found] == [3, 3, 3]
    three = found[0].estimate("val")
    assert three is not None
    assert (three.mean, three.std, three.n) == (pytest.approx(0.8), pytest.approx(0.1), 3)
    # 3x3 kernels, 28 pixels: 6 * 10 and 16 * 55 in the convolutions; 7 * 7 * 16 * 120, 120 * 84, 84 * 10, and biases
    assert found[0].params == 60 + 880 + 94_200 + 10_164 + 850


def test_a_receptive_field_may_have_two_edges(add: Add, runs_dir: Path) -> None:
    add(config=Config(model=LeNetConfig(kernel_size="1x5", padding="same", pool="none")))  # type: ignore[arg-type]
    _, (found,) = group(records.read([], runs_dir).runs)
    assert found.receptive_field == "1x9"


def test_a_seed_that_was_run_twice_counts_once(add: Add, runs_dir: Path) -> None:
    add(val=0.5, folder="a")
    add(val=0.75, folder="b")
    add(outcome=Outcome(status="failed"), folder="c")
    _, (found,) = group(records.read([], runs_dir).runs)
    assert (found.val, found.counted, found.runs) == ({0: 0.75}, {0: 1}, (0, 1, 2))


def test_equal_labels_are_told_apart(add: Add, runs_dir: Path) -> None:
    add(folder="a")
    result = add(folder="b", seed=1)
    result.format = 1  # of an earlier version, whose defaults may have been others
    result.write(runs_dir / "b")
    _, found = group(records.read([], runs_dir).runs)
    assert [c.label for c in found] == ["lenet", "lenet (2)"]


def test_a_key_of_another_model_is_none_of_mine(sweep: Path, add: Add, runs_dir: Path) -> None:
    for width in (16, 32):
        add(config=Config(model=MLPConfig(hidden=(width,))), model="mlp", folder=f"mlp{width}")
    keys, found = group(records.read([], runs_dir).runs)
    assert {k.key for k in keys} == {"model", "model.kernel_size", "model.hidden"}
    assert [c.label for c in found if c.model == "mlp"] == ["mlp hidden=[16]", "mlp hidden=[32]"]
    assert all("model.hidden" not in c.point for c in found if c.model == "lenet")


def test_what_follows_from_a_choice_is_left_out() -> None:
    sgd = {"model": "lenet", "optim.name": "sgd", "optim.lr": 0.1, "optim.nesterov": True}
    adam = {"model": "lenet", "optim.name": "adam", "optim.lr": 0.01, "optim.nesterov": False}
    assert varying([sgd, adam], []) == ["optim.name"]
    assert varying([sgd, adam], ["optim.lr"]) == ["optim.lr"], "the one that somebody wrote tells them apart"
    assert varying([sgd, adam, adam | {"optim.lr": 0.1}], []) == ["optim.name", "optim.lr"]
    assert varying([sgd, sgd | {"model": "mlp", "optim.lr": 0.5}], []) == ["model"]


def test_values_are_in_their_order() -> None:
    assert sort_values(["null", 10, 2, 0.5]) == (0.5, 2, 10, "null")
    assert sort_values(["[12,2]", "[6,16]", "[6,8]"]) == ("[6,8]", "[6,16]", "[12,2]")
    assert sort_values(["valid", "same", 2]) == (2, "same", "valid")


def test_a_run_without_a_config_has_the_keys_that_were_written(sweep: Path, runs_dir: Path, add: Add) -> None:
    result = add(folder="impossible", outcome=Outcome(status="skipped", error="too large"))
    result.config, result.params = {}, {}
    result.overrides = ["model=lenet", "model.kernel_size=40", "seed=0"]
    result.write(runs_dir / "impossible")
    _, found = group(records.read([], runs_dir).runs)
    assert [c.label for c in found][-1] == "lenet kernel_size=40"
    assert (found[-1].params, found[-1].val) == (None, {})


def test_all_images_are_a_number_like_others(add: Add, runs_dir: Path) -> None:
    """60,000 but for the 5,000 that validate."""
    for size in (1000, None):
        add(config=Config(data=DataConfig(train_size=size)), folder=f"{size}")
    keys, _ = group(records.read([], runs_dir).runs)
    assert [(k.key, k.values, k.kind) for k in keys] == [("data.train_size", (1000, 55_000), "number")]


def test_optimisers_vary_too(add: Add, runs_dir: Path) -> None:
    for rate in (0.01, 0.1):
        config = Config()
        add(config=replace(config, optim=OptimConfig(lr=rate)), folder=f"{rate}")
    keys, _ = group(records.read([], runs_dir).runs)
    assert [(k.key, k.values) for k in keys] == [("optim.lr", (0.01, 0.1))]


def test_a_label_leaves_out_what_is_usual_and_models_are_alike_where_both_are_usual(add: Add, runs_dir: Path) -> None:
    """Sweeps that vary a key each around one point: most have its values."""
    for kernel, pool in ((5, "average"), (3, "average"), (7, "average"), (5, "max"), (5, "none")):
        network = LeNetConfig(kernel_size=kernel, pool=pool, padding="same")
        add(kernel, config=Config(model=network), folder=f"{kernel}{pool}")
    add(config=Config(model=MLPConfig()), model="mlp", folder="mlp")
    keys, found = group(records.read([], runs_dir).runs)
    labels = [c.label for c in found]
    assert sorted(labels) == [
        *("lenet", "lenet kernel_size=3", "lenet kernel_size=7", "lenet pool=max", "lenet pool=none", "mlp"),
    ]
    model = effects.effect(next(k for k in keys if k.key == "model"), found)
    assert model is not None
    assert model.slices == ((labels.index("lenet"), labels.index("mlp")),)
