"""schema.py and parsing.py: what a call may say, what is refused by name, and what makes two runs the same run."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from fc2conv.architectures import ARCHITECTURES
from fc2conv.architectures.convnet import ConvNetConfig
from fc2conv.architectures.ladder import LadderConfig
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.architectures.lenet5 import LeNet5Config
from fc2conv.architectures.mlp import MLPConfig
from fc2conv.architectures.module import ModuleConfig
from fc2conv.architectures.nin import NiNConfig
from fc2conv.architectures.resnet import ResNetConfig
from fc2conv.config.identity import hashed, identity_of
from fc2conv.config.parsing import modernised, parse, parse_model
from fc2conv.config.schema import (
    DATASETS,
    Config,
    DataConfig,
    LoggerConfig,
    OptimConfig,
    TrainerConfig,
    WandbConfig,
    plain,
)
from fc2conv.errors import ConfigError
from fc2conv.fields import per_layer


def nested(key: str, value: Any) -> dict[str, Any]:
    """{"a": {"b": value}} of "a.b"; a key of a model goes into the family in front of it: "lenet.pool"."""
    group, _, name = key.partition(".")
    if group in ARCHITECTURES:
        return {"model": {"family": group, name: value}}
    return {group: nested(name, value)} if name else {group: value}


def at(config: Any, key: str) -> Any:
    group, _, name = key.partition(".")
    found = getattr(config, "model" if group in ARCHITECTURES else group)
    return at(found, name) if name else found


# --- what is refused


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        # unknown keys, with what was probably meant, or at least with what there is
        ("sead", 1, "sead: no such key; did you mean seed? Known: model, data, optim, "),
        ("lenet.kernal_size", 3, "model.kernal_size: no such key; did you mean kernel_size? Known: family, channels, "),
        ("mlp.kernel_size", 3, "model.kernel_size: no such key. Known: family, hidden, activation, "),
        ("logger.wanbd", {}, "logger.wanbd: no such key; did you mean wandb? Known: wandb, tensorboard, mlflow"),
        ("logger.wandb.projekt", "x", "logger.wandb.projekt: no such key; did you mean project? Known: project, "),
        # keys of earlier versions
        ("logger.project", "x", "logger.project: is written logger.wandb.project now"),
        ("logger.name", "csv", "logger.name: is written logger=NAME or logger=[NAME,NAME] now"),
        # callbacks
        ("callbacks", [1], "callbacks: got [1], expected a group of plain values"),
        ("callbacks.ema", None, "callbacks.ema: got null, expected {_target_: my_code.Callback, ...}; ~callbacks.ema "),
        (
            "callbacks.em",
            {"decay": 0.9},
            "callbacks.em: has no _target_; choose a ready one (callbacks=[ema]), or say ",
        ),
        ("callbacks.a", {"_target_": 3}, "callbacks.a._target_: got 3, expected a class, e.g. my_code.Callback"),
        ("callbacks.a", {"_target_": "a.B", "_watches_": 1}, "callbacks.a._watches_: got 1, expected true or false"),
        (
            "callbacks.a",
            {"_target_": "a.B", "_partial_": True},
            "callbacks.a._partial_: no such key. Known: _target_, ",
        ),
        ("data.batchsize", 3, "data.batchsize: no such key; did you mean batch_size?"),
        ("trainer.xyz", 3, "trainer.xyz: no such key. Known: max_epochs, "),
        # wrong types
        ("seed", "7", "seed: got 7, expected a whole number"),
        ("seed", True, "seed: got true, expected a whole number"),
        ("seed", 1.5, "seed: got 1.5, expected a whole number"),
        ("seed", None, "seed: got null, expected a whole number"),
        ("seed", [1], "seed: got [1], expected a whole number"),
        ("optim.lr", "fast", "optim.lr: got fast, expected a number"),
        ("optim.lr", False, "optim.lr: got false, expected a number"),
        ("optim.lr", math.nan, "optim.lr: got nan, expected a number"),
        ("data.flip", 1, "data.flip: got 1, expected true or false"),
        ("data.flip", "yes", "data.flip: got yes, expected true or false"),
        ("runs_dir", None, "runs_dir: got null, expected text"),
        ("runs_dir", True, "runs_dir: got true, expected text"),
        ("data.train_size", "all", "data.train_size: got all, expected a whole number or null"),
        ("trainer.devices", "two", "trainer.devices: got two, expected a whole number or auto"),
        ("lenet.pool", "median", "model.pool: got median, expected one of average, max, blur, strided, none"),
        ("lenet.pool", None, "model.pool: got null, expected one of average, max, blur, strided, none"),
        ("task", "tset", "task: got tset, expected one of train, test, inspect, plan"),
        # lists
        ("lenet.channels", 6, "model.channels: got 6, expected a list, each a whole number"),
        ("lenet.channels", [6, "x"], "model.channels: got [6,x], expected a list, each a whole number"),
        ("lenet.kernel_size", [5, 2.5], "model.kernel_size: got [5,2.5], expected a whole number or HEIGHTxWIDTH or "),
        ("data.shift", [1], "data.shift: got [1], expected a list of 2 values"),
        ("data.shift", [1, 2, 3], "data.shift: got [1,2,3], expected a list of 2 values"),
        # mappings of the user's own keys
        ("module.arguments", 3, "model.arguments: got 3, expected a group of plain values, e.g. '{num_classes: 10}'"),
        ("module.arguments", {"a": {1}}, "model.arguments: got {'a': {1}}, expected a group of plain values"),
        ("plugins", "a.py", "plugins: got a.py, expected a list, each text"),
        # groups
        ("model", "lenet", "model: got lenet, expected a model, e.g. model=lenet"),
        ("model", {"family": "lenett"}, "model.family: got lenett, expected one of convnet, ladder, lenet, "),
        ("model", {}, "model.family: got null, expected one of convnet, "),
        ("data", 3, "data: got 3, expected a group of keys"),
        ("optim", None, "optim: got null, expected a group of keys"),
    ],
)
def test_refuses_what_does_not_belong(key: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(Config, nested(key, value))
    assert str(refused.value).startswith(message)
    assert refused.value.key == message.split(":")[0]


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("seed", [-1, 2**32]),
        ("name", ["", ".", "..", "a/b", "a\\b"]),
        ("mlp.hidden", [[0], [256, -1]]),
        ("mlp.dropout", [-0.1, 1, [0.5, 1.0]]),
        ("ladder.half_width", [-1]),
        ("ladder.channels", [0]),
        ("lenet.channels", [[], [6, 0]]),
        ("lenet.kernel_size", [0, [5, 0], []]),
        ("lenet.stride", [0]),
        ("lenet.dilation", [0]),
        ("lenet.padding", [-1, ["same", -1]]),
        ("lenet.pool_after", [[0], [1, 3]]),
        ("lenet.hidden", [[120, 0]]),
        ("lenet.dropout", [1, -1]),
        ("lenet5.garbage", [0, -1]),
        ("nin.channels", [[0]]),
        ("nin.kernel_size", [0]),
        ("nin.dropout", [1]),
        ("resnet.n", [0]),
        ("resnet.width", [0]),
        ("convnet.channels", [[], [0]]),
        ("convnet.pool_after", [[0], [99]]),
        ("convnet.dropout", [1]),
        ("data.batch_size", [0]),
        ("data.val_size", [0, -1, 5000.5, 60_000, math.inf]),
        ("data.train_size", [0, -5]),
        ("data.translate", [-1]),
        ("data.erase", [-0.1, 1.1]),
        ("data.bands", [0]),
        ("data.size", [0]),
        ("data.test_size", [0, 1]),
        ("optim.lr", [0, -0.1, math.inf]),
        ("optim.momentum", [-0.1, 1]),
        ("optim.weight_decay", [-1e-4]),
        ("optim.warmup", [-0.1, 1]),
        ("optim.label_smoothing", [-0.1, 1]),
        ("trainer.max_epochs", [0]),
        ("trainer.devices", [0]),
        ("trainer.num_nodes", [0]),
        ("trainer.threads", [0]),
        ("trainer.patience", [0]),
        ("trainer.accumulate_grad_batches", [0]),
        ("trainer.check_val_every_n_epoch", [0]),
        ("trainer.max_steps", [0, -1]),
        ("trainer.log_every_n_steps", [0]),
        ("trainer.max_time", ["00:00:00:00", "1:30", "00:00:30", 30, ""]),
        ("trainer.limit_train_batches", [0, -1, 0.0, 1.0, 1.5]),  # 1.0 is all in Lightning, and might be meant as one
        ("trainer.limit_val_batches", [0, 1.0]),
        ("trainer.limit_test_batches", [0, 1.0]),
        ("trainer.overfit_batches", [0, 1.0]),
    ],
)
def test_refuses_values_out_of_range(key: str, values: list[object]) -> None:
    group, _, name = key.rpartition(".")
    for value in values:
        with pytest.raises(ConfigError) as refused:
            parse(Config, nested(key, value))
        assert refused.value.key == (f"model.{name}" if group in ARCHITECTURES else key), value


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"task": "test"}, "ckpt: got null, expected a checkpoint to test: task=test ckpt=PATH"),
        ({"ckpt": "x.ckpt"}, "ckpt: got x.ckpt, but task=train reads none"),
        ({"task": "plan", "resume": "a"}, "resume: got a, expected null with task=plan"),
        ({"trainer": {"devices": 2}}, "trainer.devices: got 2, but trainer.strategy=single; use trainer=ddp"),
        (
            {"trainer": {"overfit_batches": 1, "limit_val_batches": 2}},
            "trainer.limit_val_batches: got 2, but overfit_batches limits it already",
        ),
        (
            {"task": "lr_find", "trainer": {"strategy": "ddp"}},
            "trainer.strategy: got ddp, but task=lr_find takes one device",
        ),
        ({"data": {"canvas": 27}}, "data.canvas: got 27, expected at least the image's 28 pixels"),
        ({"data": {"name": "cifar10", "canvas": 28}}, "data.canvas: got 28, expected at least the image's 32 pixels"),
        ({"data": {"permutation": "block", "block": 5}}, "data.block: got 5, expected a divisor of the image's 28"),
        ({"data": {"permutation": "block", "block": 0}}, "data.block: got 0, expected a divisor of the image's 28"),
        ({"data": {"permutation": "block", "canvas": 30}}, "data.block: got 7, expected a divisor of the image's 30"),
        ({"data": {"train_size": 55_001}}, "data.train_size: got 55001, but data.val_size=5000 leaves 55000"),
        (
            {"data": {"train_size": 54_001, "val_size": 0.1}},
            "data.train_size: got 54001, but data.val_size=0.1 leaves 54000",
        ),
        ({"data": {"name": "cifar10", "bands": 5}}, "data.bands: got 5, expected at most 3 (only grey images"),
        (
            {"data": {"name": "folder", "path": "x", "size": 40, "canvas": 32}},
            "data.canvas: got 32, expected at least the image's 40 pixels",
        ),
        (
            {"data": {"name": "folder", "path": "x", "colour": True, "bands": 5}},
            "data.bands: got 5, expected at most 3 (only grey images",
        ),
        ({"data": {"name": "folder"}}, "data.path: got null, expected the folder of your images: data.path=DIR"),
        (
            {"model": {"family": "lenet", "kernel_size": [5, 3, 3]}},
            "model.kernel_size: got [5,3,3], expected one value, or at most one for each of the 2 convolutions",
        ),
        (
            {"model": {"family": "mlp", "hidden": [9], "dropout": [0.1, 0.2]}},
            "model.dropout: got [0.1,0.2], expected one value, or at most one for each of the 1 hidden layers",
        ),
        (
            {"model": {"family": "nin", "kernel_size": [5, 3, 3, 3]}},
            "model.kernel_size: got [5,3,3,3], expected one value, or at most one for each of the 3 blocks",
        ),
    ],
)
def test_refuses_values_that_cannot_work_together(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(Config, values)
    assert str(refused.value).startswith(message)


# --- what is accepted


@pytest.mark.parametrize(
    ("key", "value", "want"),
    [
        ("seed", 1e3, 1000),
        ("seed", 2**32 - 1, 4_294_967_295),
        ("optim.lr", 1, 1.0),
        ("trainer.precision", 32, "32"),  # YAML reads 32 as a number
        ("trainer.devices", "auto", "auto"),
        ("data.val_size", 0.1, 0.1),
        ("data.val_size", 1e4, 10_000),
        ("data.train_size", None, None),
        ("data.train_size", "None", None),  # as a W&B sweep writes null
        ("logger.wandb.entity", "None", None),
        ("lenet.pool_after", "None", None),
        ("lenet.pool_after", [], ()),
        ("lenet.padding", "same", "same"),
        ("lenet.padding", [1, "valid"], (1, "valid")),
        ("lenet.kernel_size", [5.0, 3], (5, 3)),
        ("mlp.dropout", [0, 0.5], (0.0, 0.5)),
        ("module.arguments", {"a": {"b": (1, 2.5, None)}}, {"a": {"b": [1, 2.5, None]}}),
        ("name", 2026, "2026"),
        ("data.shift", [-1, 2], (-1, 2)),
        ("data.canvas", 28, 28),
        ("data.train_size", 55_000, 55_000),
    ],
)
def test_converts_what_means_the_same(key: str, value: object, want: object) -> None:
    got = at(parse(Config, nested(key, value)), key)
    assert got == want
    assert type(got) is type(want)


def test_the_books_padding_goes_with_one_convolution() -> None:
    """It has two values, and nobody wrote them."""
    assert LeNetConfig(channels=(8,)).padding == (2,)
    assert LeNetConfig(channels=(8, 8, 8)).padding == (2, 0)
    with pytest.raises(ConfigError, match=r"^model\.padding: got \[1,0\]"):
        LeNetConfig(channels=(8,), padding=(1, 0))


def test_no_values_mean_the_defaults() -> None:
    assert parse(Config, {}) == Config()
    assert parse(Config, {"model": {"family": "mlp"}, "data": {}}) == Config(model=MLPConfig())


@pytest.mark.parametrize(
    ("value", "n", "want"),
    [(5, 3, [5, 5, 5]), ("same", 2, ["same", "same"]), ((5, 3), 2, [5, 3]), ((5, 3), 4, [5, 3, 3, 3]), (5, 0, [])],
)
def test_per_layer(value: object, n: int, want: list[object]) -> None:
    assert per_layer("model.kernel_size", value, n, "convolutions") == want


@pytest.mark.parametrize(("value", "n"), [((5, 3, 1), 2), ((), 2), ((5,), 0)])
def test_per_layer_names_the_key_of_a_list_that_does_not_fit(value: tuple[int, ...], n: int) -> None:
    with pytest.raises(ConfigError, match=r"^model\.kernel_size: got \[.*one for each of the \d convolutions$"):
        per_layer("model.kernel_size", value, n, "convolutions")


@pytest.mark.parametrize(
    ("config", "images", "want"),
    [
        (DataConfig(), 60_000, (55_000, 5_000)),
        (DataConfig(val_size=0.1), 60_000, (54_000, 6_000)),
        (DataConfig(train_size=100), 60_000, (100, 5_000)),
        (DataConfig(val_size=0.25), 10, (8, 2)),  # 2.5 rounds to the even neighbour
    ],
)
def test_split(config: DataConfig, images: int, want: tuple[int, int]) -> None:
    assert config.split(images) == want


def test_published_sizes() -> None:
    """As the datasets' own pages have them; EMNIST is its balanced split."""
    sizes = {
        name: (*d.shape, d.classes, d.train, d.test) for name, d in DATASETS.items() if not name.startswith("world_")
    }
    assert sizes == {
        "fashion_mnist": (1, 28, 28, 10, 60_000, 10_000),
        "mnist": (1, 28, 28, 10, 60_000, 10_000),
        "kmnist": (1, 28, 28, 10, 60_000, 10_000),
        "emnist": (1, 28, 28, 47, 112_800, 18_800),
        "cifar10": (3, 32, 32, 10, 50_000, 10_000),
        "cifar100": (3, 32, 32, 100, 50_000, 10_000),
        "mnist1d": (1, 1, 40, 10, 4_000, 1_000),
    }


# --- plain values and back

MODEL_CONFIGS = [
    *(a.config() for a in ARCHITECTURES.values()),
    MLPConfig(hidden=(), dropout=0.0),
    MLPConfig(hidden=(300, 100), dropout=(0.5, 0.2), norm="layer"),
    LadderConfig(constraint="local", half_width=27, channels=3),
    LeNetConfig(kernel_size=(5, 3), padding=("same", 1), pool_after=(2,), head="gap", coordinates=True),
    LeNet5Config(train_rbf=True),
    NiNConfig(norm="batch"),
    ResNetConfig(n=3),
    ConvNetConfig(channels=(8, 8), pool_after=(1,), residual=False),
    ModuleConfig(target="torchvision.models.squeezenet1_1", arguments={"num_classes": 10, "dropout": None}),
]


@pytest.mark.parametrize("model", MODEL_CONFIGS, ids=lambda model: model.family)
def test_plain_values_and_back(model: Any) -> None:
    """Through JSON, so that nothing but lists, dicts and scalars can be in it."""
    config = Config(
        model=model, data=DataConfig(shift=(1, -1)), logger=LoggerConfig(wandb=WandbConfig(tags=("a", "b"))), name="x"
    )
    stored = json.loads(json.dumps(plain(config), allow_nan=False))
    assert stored == plain(config)
    assert parse(Config, stored) == config
    assert parse_model(stored["model"]) == model


BASE = Config(name="a")
# of another value than the default, for each key that decides the outcome
OUTCOME = [
    replace(BASE, seed=1),
    *(replace(BASE, model=m) for m in MODEL_CONFIGS if m != BASE.model),
    *(
        replace(BASE, data=DataConfig(**{k: v}))  # type: ignore[arg-type]
        for k, v in {
            "name": "mnist",
            "batch_size": 64,
            "val_size": 6000,
            "train_size": 1000,
            "seed": 1,
            "normalise": "unit",
            "flip": True,
            "translate": 2,
            "erase": 0.5,
            "canvas": 32,
            "shift": (1, 0),
            "permutation": "fixed",
            "bands": 3,
        }.items()
    ),
    *(
        replace(BASE, optim=OptimConfig(**{k: v}))  # type: ignore[arg-type]
        for k, v in {
            "name": "adam",
            "lr": 0.2,
            "momentum": 0.5,
            "nesterov": False,
            "weight_decay": 0.1,
            "schedule": "cosine",
            "warmup": 0.1,
            "label_smoothing": 0.1,
        }.items()
    ),
    *(
        replace(BASE, trainer=TrainerConfig(**{k: v}))  # type: ignore[arg-type]
        for k, v in {"max_epochs": 3, "precision": "bf16-mixed", "gradient_clip": 1.0, "patience": 2}.items()
    ),
]


def test_identity_tells_outcomes_apart() -> None:
    identities = [hashed(identity_of(config)) for config in (BASE, *OUTCOME)]
    assert len(set(identities)) == len(identities)


@pytest.mark.parametrize(
    "config",
    [
        replace(BASE, name="b"),
        replace(BASE, runs_dir="/elsewhere"),
        replace(BASE, resume="a"),
        replace(BASE, task="test", ckpt="x.ckpt"),
        replace(BASE, data=DataConfig(dir="/elsewhere")),
        replace(BASE, logger=LoggerConfig(wandb=WandbConfig(project="p", group="g", tags=("t",), mode="offline"))),
        replace(BASE, trainer=TrainerConfig(devices=2, strategy="ddp")),
        replace(BASE, trainer=TrainerConfig(accelerator="gpu", num_nodes=2, cluster="slurm", devices="auto")),
        replace(BASE, trainer=TrainerConfig(threads=1, progress=False)),
        # stored and read again, as a sweep finds a job that is done
        parse(Config, json.loads(json.dumps(plain(BASE)))),
    ],
)
def test_identity_leaves_out_where_it_runs_and_is_written(config: Config) -> None:
    assert hashed(identity_of(config)) == hashed(identity_of(BASE))


def test_a_folders_path_is_part_of_its_identity_only() -> None:
    a, b = (replace(BASE, data=DataConfig(name="folder", path=p)) for p in "ab")
    assert identity_of(a) != identity_of(b)
    assert identity_of(replace(BASE, data=DataConfig(path="a"))) == identity_of(BASE)


def test_a_call_is_checked_without_torch() -> None:
    """Importing torch and lightning takes seconds; help and a wrong key must not wait for them."""
    program = (
        "import sys, fc2conv.architectures, fc2conv.config.parsing, fc2conv.record.result, fc2conv.entry\n"
        "print(*({'torch', 'lightning', 'wandb'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


# --- what earlier versions have recorded


@pytest.mark.parametrize(
    ("recorded", "today"),
    [
        ({"name": "wandb", "project": "p", "tags": ["t"]}, {"wandb": {"project": "p", "tags": ["t"]}}),
        ({"name": "csv", "project": "p"}, {}),
        ({"wandb": None, "tensorboard": {"flush_seconds": 3}}, {"wandb": None, "tensorboard": {"flush_seconds": 3}}),
    ],
)
def test_recorded_loggers_are_read_in_todays_words(recorded: dict[str, Any], today: dict[str, Any]) -> None:
    found = modernised({"seed": 3, "logger": recorded})
    assert found == {"seed": 3, "logger": today}
    parse(Config, found)
