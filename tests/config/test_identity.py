"""What makes two runs the same one: every default is pinned, and only what differs from it is hashed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pytest

from fc2conv.architectures import ARCHITECTURES
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.config import identity
from fc2conv.config.identity import FORMAT, TRAINER_KEYS, differing, hashed, identity_of
from fc2conv.config.parsing import modernised, parse
from fc2conv.config.schema import Config, DataConfig, LoggerConfig, OptimConfig, TensorBoardConfig, TrainerConfig, plain
from fc2conv.errors import ConfigError

DEFAULTS: dict[str, dict[str, Any]] = {
    "data": {
        "name": "fashion_mnist",
        "path": None,
        "size": None,
        "colour": None,
        "test_size": 0.2,
        "batch_size": 128,
        "val_size": 5000,
        "train_size": None,
        "seed": 0,
        "normalise": "standard",
        "flip": False,
        "translate": 0,
        "erase": 0.0,
        "canvas": None,
        "place": "center",
        "shift": [0, 0],
        "permutation": "none",
        "block": 7,
        "bands": None,
        "distance": 24,
    },
    "optim": {
        "name": "adamw",
        "lr": 0.01,
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 0.0,
        "schedule": "onecycle",
        "warmup": 0.2,
        "label_smoothing": 0.0,
        "arguments": {},
    },
    "trainer": {
        "max_epochs": 10,
        "max_steps": None,
        "max_time": None,
        "accumulate_grad_batches": 1,
        "check_val_every_n_epoch": 1,
        "patience": None,
        "test_weights": "best",
        "limit_train_batches": None,
        "limit_val_batches": None,
        "limit_test_batches": None,
        "overfit_batches": None,
        "precision": "32",
        "gradient_clip": None,
    },
}
FAMILIES: dict[str, dict[str, Any]] = {
    "convnet": {
        "channels": [24, 32, 32, 40, 40, 48],
        "pool_after": [2, 4],
        "activation": "relu",
        "residual": True,
        "dropout": 0.0,
        "init": "xavier",
    },
    "ladder": {"constraint": "conv", "half_width": 2, "channels": 1, "activation": "relu", "init": "xavier"},
    "lenet": {
        "channels": [6, 16],
        "kernel_size": 5,
        "padding": [2, 0],
        "padding_mode": "zeros",
        "stride": 1,
        "dilation": 1,
        "activation": "sigmoid",
        "pool": "average",
        "pool_size": 2,
        "pool_after": None,
        "norm": "none",
        "bias": True,
        "dropout": 0.0,
        "head": "dense",
        "hidden": [120, 84],
        "separable": False,
        "coordinates": False,
        "init": "xavier",
    },
    "lenet1": {"init": "xavier"},
    "lenet5": {"train_rbf": False, "garbage": 1.0, "init": "xavier"},
    "mlp": {"hidden": [256, 256], "activation": "relu", "dropout": 0.0, "norm": "none", "init": "xavier"},
    "nin": {"channels": [32, 64], "kernel_size": [5, 3, 3], "norm": "none", "dropout": 0.0, "init": "xavier"},
    "resnet": {"n": 1, "width": 16, "init": "xavier"},
    "softmax": {"init": "xavier"},
}
DECISION = "a changed default, or a changed meaning of a value, needs a new identity.FORMAT; a new key joins this table"


@pytest.mark.parametrize(("group", "config"), [("data", DataConfig()), ("optim", OptimConfig())])
def test_every_default_is_pinned(group: str, config: Any) -> None:
    found = {k: v for k, v in plain(config).items() if k != "dir"}
    assert found == DEFAULTS[group], DECISION


def test_every_default_of_the_trainer_that_changes_weights_is_pinned() -> None:
    assert {k: plain(TrainerConfig())[k] for k in TRAINER_KEYS} == DEFAULTS["trainer"], DECISION


@pytest.mark.parametrize("family", FAMILIES)
def test_every_default_of_a_family_is_pinned(family: str) -> None:
    assert plain(ARCHITECTURES[family].config()) == FAMILIES[family] | {"family": family}, DECISION


def test_every_family_of_ours_is_pinned() -> None:
    ours = {f for f, a in ARCHITECTURES.items() if a.config.__module__.startswith("fc2conv.architectures")}
    assert ours - {"module"} == set(FAMILIES)


def test_the_format_is_pinned() -> None:
    """The empty config's identity, written out: whoever changes it makes all runs strangers."""
    assert FORMAT == 2
    text = '{"data": {}, "family": "lenet", "format": 2, "model": {}, "optim": {}, "seed": 0, "trainer": {}}'
    assert hashed(identity_of(Config())) == hashlib.sha256(text.encode()).hexdigest()[:16]


# --- what is in it


def test_only_what_differs_from_the_defaults_is_in_it() -> None:
    config = Config(
        model=LeNetConfig(kernel_size=3, activation="relu"),
        data=DataConfig(train_size=1000, dir="elsewhere"),
        optim=OptimConfig(lr=0.02),
        trainer=TrainerConfig(max_epochs=3, threads=2, accelerator="cpu"),
        seed=7,
    )
    assert identity_of(config) == {
        "format": 2,
        "family": "lenet",
        "model": {"kernel_size": 3, "activation": "relu"},
        "data": {"train_size": 1000},
        "optim": {"lr": 0.02},
        "trainer": {"max_epochs": 3},
        "seed": 7,
    }


@pytest.mark.parametrize(
    "config",
    [
        Config(model=LeNetConfig(bias=False)),
        Config(data=DataConfig(flip=True)),
        Config(data=DataConfig(seed=1)),
        Config(optim=OptimConfig(warmup=0.1)),
        Config(trainer=TrainerConfig(max_epochs=11)),
        Config(trainer=TrainerConfig(precision="bf16-mixed")),
        Config(trainer=TrainerConfig(gradient_clip=1.0)),
        Config(trainer=TrainerConfig(patience=3)),
        Config(trainer=TrainerConfig(max_steps=100)),
        Config(trainer=TrainerConfig(max_time="00:00:01:00")),
        Config(trainer=TrainerConfig(accumulate_grad_batches=2)),
        Config(trainer=TrainerConfig(check_val_every_n_epoch=2)),
        Config(trainer=TrainerConfig(limit_train_batches=1)),
        Config(trainer=TrainerConfig(limit_val_batches=1)),
        Config(trainer=TrainerConfig(limit_test_batches=0.5)),
        Config(trainer=TrainerConfig(overfit_batches=1)),
        Config(optim=OptimConfig(arguments={"eps": 1e-6})),
        Config(debug="fast"),
        Config(seed=1),
        *(Config(model=ARCHITECTURES[family].config()) for family in FAMILIES if family != "lenet"),
    ],
)
def test_what_decides_the_outcome_changes_it(config: Config) -> None:
    assert hashed(identity_of(config)) != hashed(identity_of(Config()))


def test_where_and_how_fast_it_runs_does_not() -> None:
    trainer = TrainerConfig(
        accelerator="cpu",
        devices=2,
        strategy="ddp",
        threads=3,
        kernels=False,
        compile=True,
        profiler="simple",
        log_every_n_steps=1,
        progress=False,
    )
    elsewhere = Config(
        trainer=trainer,
        logger=LoggerConfig(tensorboard=TensorBoardConfig()),
        name="x",
        runs_dir="y",
        data=DataConfig(dir="z"),
    )
    assert identity_of(elsewhere) == identity_of(Config())


def test_an_optimisers_capitals_do_not() -> None:
    assert OptimConfig(name="RMSprop") == OptimConfig(name="rmsprop")


# --- callbacks

EMA = {"_target_": "lightning.pytorch.callbacks.EMAWeightAveraging", "decay": 0.999}


def test_callbacks_that_watch_change_nothing() -> None:
    assert identity_of(Config(callbacks={"a": {"_target_": "nowhere.A", "_watches_": True}})) == identity_of(Config())


def test_other_callbacks_change_it_with_their_arguments_and_order_but_not_by_name() -> None:
    ema = Config(callbacks={"ema": EMA})
    assert identity_of(ema) == identity_of(Config()) | {"callbacks": [EMA]}
    assert identity_of(Config(callbacks={"average": {**EMA, "_watches_": False}})) == identity_of(ema)
    assert differing(ema, Config(callbacks={"ema": EMA | {"decay": 0.9}})) == ["callbacks"]
    timer = {"_target_": "lightning.pytorch.callbacks.Timer"}
    one, other = Config(callbacks={"a": EMA, "b": timer}), Config(callbacks={"b": timer, "a": EMA})
    assert hashed(identity_of(one)) != hashed(identity_of(other))


def test_a_callback_of_the_users_own_brings_its_source(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("raise AssertionError('nobody imports it for an identity')")
    (found,) = identity_of(Config(callbacks={"mine": {"_target_": f"{file}:Mine"}}))["callbacks"]
    assert found["source"] == hashlib.sha256(file.read_bytes()).hexdigest()
    with pytest.raises(ConfigError, match=r"callbacks\.mine: got no\.py:Mine, but there is no such file"):
        identity_of(Config(callbacks={"mine": {"_target_": "no.py:Mine"}}))


def test_the_keys_of_a_folder_count_for_a_folder_only() -> None:
    """A colour is left over from another choice of data, and read by nobody."""
    assert identity_of(Config(data=DataConfig(colour=True))) == identity_of(Config())
    folder = Config(data=DataConfig(name="folder", path="images", size=32))
    assert identity_of(folder)["data"] == {"name": "folder", "path": "images", "size": 32}
    oblong = Config(data=DataConfig(name="folder", path="images", size=(40, 100)))
    assert identity_of(oblong)["data"] == {"name": "folder", "path": "images", "size": [40, 100]}


@pytest.mark.parametrize(
    "data",
    [{}, {"name": "cifar10"}, {"name": "emnist"}, {"name": "folder", "path": "p"}, {"name": "arrays", "path": "p"}],
)
@pytest.mark.parametrize("size", [28, None])
def test_the_size_of_earlier_records_changes_nothing(data: dict[str, Any], size: int | None) -> None:
    """It was 28 for all, and read by folders only."""
    found = parse(Config, modernised({"data": {**data, "size": size}}))
    assert found == parse(Config, {"data": data})
    assert identity_of(found)["data"] == data


def test_a_size_has_one_spelling() -> None:
    assert DataConfig(size=(14, 14)) == DataConfig(size=14) != DataConfig()
    assert DataConfig(size=(28, 28)) == DataConfig(size=28) == DataConfig()
    assert identity_of(Config(data=DataConfig(size=14)))["data"] == {"size": 14}
    assert identity_of(Config(data=DataConfig(size=(14, 7))))["data"] == {"size": [14, 7]}
    # of a folder, the two numbers cut what one refuses to
    assert DataConfig(name="folder", path="p", size=28) == DataConfig(name="folder", path="p")
    assert DataConfig(name="folder", path="p", size=(28, 28)) != DataConfig(name="folder", path="p")


def test_a_new_key_at_its_default_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Later(LeNetConfig):
        attention: int = 0

    @dataclass(frozen=True)
    class LaterData(DataConfig):
        rotate: float = 0.0

    monkeypatch.setattr(identity, "DataConfig", LaterData)
    later = Config(model=Later(stride=2), data=LaterData(flip=True))
    assert identity_of(later) == identity_of(Config(model=LeNetConfig(stride=2), data=DataConfig(flip=True)))
    assert identity_of(replace(later, model=Later(stride=2, attention=1)))["model"] == {"stride": 2, "attention": 1}
    assert "attention" in {f.name for f in fields(Later)}


def test_foreign_code_brings_its_source_and_all_its_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "source_of", lambda model: "abc")
    found = identity_of(Config(model=LeNetConfig(kernel_size=3)))
    assert found["source"] == "abc"
    assert found["model"] == FAMILIES["lenet"] | {"kernel_size": 3}
    changed = identity_of(Config(model=LeNetConfig(kernel_size=3)))
    monkeypatch.setattr(identity, "source_of", lambda model: "abd")
    assert hashed(identity_of(Config(model=LeNetConfig(kernel_size=3)))) != hashed(changed)


# --- telling two apart


def test_names_the_keys_that_differ_whichever_run_has_them() -> None:
    """A key that went back to its default is in one identity only."""
    one = Config(optim=OptimConfig(lr=0.02), seed=1)
    assert differing(one, Config()) == differing(Config(), one) == ["optim.lr", "seed"]
    assert differing(Config(model=ARCHITECTURES["mlp"].config()), Config()) == ["family"]
    assert differing(Config(), Config(runs_dir="x")) == []
