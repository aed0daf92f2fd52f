"""The memory that training takes: the estimate by arithmetic and against what runs took, and what the system has."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fc2conv.architectures.layers import (
    ActivationLayer,
    Conv,
    DropoutLayer,
    Flatten,
    Layer,
    Linear,
    PoolLayer,
    Residual,
)
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.architectures.mlp import MLPConfig
from fc2conv.compose import plan_of
from fc2conv.config.schema import Config, DataConfig, OptimConfig, TrainerConfig
from fc2conv.errors import ConfigError
from fc2conv.training import memory
from fc2conv.training.memory import check, estimate, spell

ROOT = Path(__file__).parents[2]
GIB = 2**30


def of(config: Config) -> memory.Memory:
    return estimate(config, plan_of(config), memory.processes(config))


@pytest.mark.parametrize(
    ("layer", "shape", "kept"),
    [
        (Conv("conv", 6, 5, padding="same"), (1, 28, 28), 6 * 28 * 28),
        (ActivationLayer("relu", "relu"), (6, 28, 28), 6 * 28 * 28),
        (PoolLayer("pool", "average"), (6, 28, 28), 6 * 14 * 14),
        (PoolLayer("pool", "max"), (6, 28, 28), 3 * 6 * 14 * 14),  # with eight bytes for each place
        (Flatten("flatten"), (16, 5, 5), 0),
        (Linear("linear", 120), (400,), 120),
        (DropoutLayer("dropout", 0.5), (84,), 2 * 84),
        (Residual("block", (Conv("a", 4, 3, padding=1), Conv("b", 4, 3, padding=1))), (4, 7, 7), 3 * 4 * 7 * 7),
    ],
)
def test_what_a_layer_keeps(layer: Layer, shape: tuple[int, ...], kept: int) -> None:
    assert layer.kept(shape) == kept


@pytest.mark.parametrize(
    ("optim", "copies"),
    [
        (OptimConfig(name="sgd", momentum=0, nesterov=False), 2),
        (OptimConfig(name="sgd", momentum=0.9), 3),
        (OptimConfig(name="adam"), 4),
        (OptimConfig(name="adamw"), 4),
    ],
)
def test_weights_gradients_and_moments(optim: OptimConfig, copies: int) -> None:
    """Four bytes each; DDP has the gradients twice."""
    config = Config(optim=optim)
    assert of(config).weights == 4 * copies * 61706
    ranks = replace(config, trainer=TrainerConfig(strategy="ddp", devices=2))
    assert of(ranks).weights == 4 * (copies + 1) * 61706


def test_a_batch() -> None:
    """784-8-10: an image twice, what the layers keep, and the two sides of the widest. 512 are evaluated at a time."""
    config = Config(MLPConfig(hidden=(8,), activation="relu"), DataConfig(batch_size=1024))
    assert of(config).batch == 4 * 1024 * (2 * 784 + (8 + 8 + 10) + 2 * 784)
    small = replace(config, data=DataConfig(batch_size=2))
    assert of(small).batch == 4 * 512 * (2 * 784 + 2 * 784)
    few = replace(config, data=DataConfig(batch_size=1024, train_size=700))
    assert of(few).batch == 4 * 1024 * (2 * 784 + 2 * 784), "of evaluation"


def test_a_folder_is_counted(image_folder: Path) -> None:
    config = Config(MLPConfig(), DataConfig(name="folder", path=str(image_folder), size=12, val_size=0.2))
    assert of(config).dataset == 60 * 12 * 12


LARGE: list[tuple[Config, str]] = [
    (Config(LeNetConfig(channels=(10**9,))), "model.channels: got [1000000000]"),
    (Config(MLPConfig(hidden=(10**6, 10**6))), "model.hidden: got [1000000,1000000]"),
    (Config(data=DataConfig(canvas=10**6)), "data.canvas: got 1000000"),
    (Config(data=DataConfig(bands=10**8)), "data.bands: got 100000000"),
    (Config(LeNetConfig(channels=(64,)), DataConfig(batch_size=60000)), "data.batch_size: got 60000"),
]


def test_a_key_that_the_rest_needs_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of 28 pixels do not lie on a canvas of 20."""
    monkeypatch.setattr(memory, "available_memory", lambda: 8 * GIB)
    config = Config(LeNetConfig(channels=(10**9,)), DataConfig(size=14, canvas=20, shift=(16, 0)))
    with pytest.raises(ConfigError, match=r"model\.channels: got \[1000000000\], and training"):
        check(config, plan_of(config), plan_of)


@pytest.mark.parametrize(("config", "message"), LARGE, ids=[message for _, message in LARGE])
def test_the_key_that_costs_most_is_named(config: Config, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 8 * GIB)
    with pytest.raises(ConfigError) as caught:
        check(config, plan_of(config), plan_of)
    assert str(caught.value).startswith(f"{message}, and training would need about ")
    assert str(caught.value).endswith("of memory; 8 GiB are available, so make it smaller")


def test_what_fits_is_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config()
    needed = of(config).needed
    for available in (needed, None):
        monkeypatch.setattr(memory, "available_memory", lambda available=available: available)
        check(config, plan_of(config), plan_of)
    monkeypatch.setattr(memory, "available_memory", lambda: needed - 1)
    with pytest.raises(ConfigError):
        check(config, plan_of(config), plan_of)


def test_each_process_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    ranks = Config(trainer=TrainerConfig(strategy="ddp", devices=4))
    monkeypatch.setattr(memory, "available_memory", lambda: 3 * of(ranks).needed)
    with pytest.raises(ConfigError):
        check(ranks, plan_of(ranks), plan_of)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (725 * 2**20, "725 MiB"),
        (1.8 * GIB, "1.8 GiB"),
        (3.19 * 2**50, "3.19 PiB"),
        (2**70, "1,024 EiB"),
    ],
)
def test_sizes_are_spelled(size: float, text: str) -> None:
    assert spell(size) == text


# --- what the system has


@pytest.fixture
def groups(tmp_path: Path) -> Callable[[str, str, dict[str, Any]], list[int]]:
    def left(proc: str, path: str, files: dict[str, Any]) -> list[int]:
        (tmp_path / "cgroup").write_text(proc)
        folder = tmp_path / "sys" / path
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(f"{text}\n")
        return list(memory._left_in_groups(tmp_path / "cgroup", tmp_path / "sys"))

    return left


def test_a_limit_of_version_2(groups: Callable[[str, str, dict[str, Any]], list[int]]) -> None:
    """Of a group above ours; the files that were read last can be read again."""
    files = {"memory.max": 1000, "memory.current": 700, "memory.stat": "anon 5\ninactive_file 50"}
    assert groups("0::/user/one\n", "user", files) == [350]
    assert groups("0::/user/one\n", "user/one", files | {"memory.max": "max"}) == [350]
    assert groups("0::/../outside\n", "", files | {"memory.max": 400}) == [0]


def test_a_limit_of_version_1(groups: Callable[[str, str, dict[str, Any]], list[int]]) -> None:
    files = {"memory.limit_in_bytes": 1000, "memory.usage_in_bytes": 700, "memory.stat": "total_inactive_file 50"}
    assert groups("5:cpu:/x\n4:memory:/job/one\n", "memory/job/one", files) == [350]


def test_here() -> None:
    found = memory.available_memory()
    assert found is None or 0 < found < 2**50


# --- what runs took

RUNS = [
    ("model=lenet",),
    ("model=lenet_modern", "data.batch_size=8192"),
    ("model=lenet", "data.batch_size=8192", "trainer.kernels=false"),
    ("model=mlp", "model.hidden=[8000,8000]"),
    ("model=lenet", "model.channels=[64,128]", "model.padding=same", "data.batch_size=2048"),
    ("model=resnet", "data.batch_size=1024"),
]


@pytest.mark.slow
@pytest.mark.parametrize("overrides", RUNS, ids=[" ".join(overrides) for overrides in RUNS])
def test_the_estimate_is_within_a_factor_of_2(overrides: tuple[str, ...], tmp_path: Path, data_dir: str) -> None:
    size = 8192 if "data.batch_size=8192" in overrides else 2048
    where = (f"runs_dir={tmp_path}", "name=run", f"data.dir={data_dir}", "logger=csv", "trainer=cpu")
    short = (f"data.train_size={size}", "trainer.max_epochs=1")
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *overrides, *where, *short],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    planned = done.stdout.partition("memory for training, estimated: ")[2].split("\n")[0].split()
    guess = float(planned[0]) * {"MiB": 2**20, "GiB": GIB}[planned[1]]
    peak = json.loads((tmp_path / "run" / "result.json").read_text())["peak_memory"]
    assert abs(math.log2(guess / peak)) < 1
