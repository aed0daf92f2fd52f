"""batches.py: the smallest batch against torch's own splitting, and the refusal of batch norm against torch's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fc2conv.architectures import ModelConfig, plan
from fc2conv.architectures.convnet import ConvNetConfig
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.architectures.mlp import MLPConfig
from fc2conv.architectures.module import ModuleConfig
from fc2conv.architectures.resnet import ResNetConfig
from fc2conv.compose import plan_of
from fc2conv.config.batches import check_batch_norm, count_batches, has_single_valued_norm, smallest_batch
from fc2conv.config.schema import Config, DataConfig, TrainerConfig
from fc2conv.errors import ConfigError
from fc2conv.nets.build import net_of
from fc2conv.training.run import Request, run

CASES = [(12, 4), (13, 4), (129, 128), (3, 2), (1, 1), (101, 1), (7, 64)]


@pytest.mark.parametrize(("images", "batch_size"), CASES)
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_smallest_batch(images: int, batch_size: int, processes: int) -> None:
    batches = torch.arange(images).tensor_split(count_batches(images, batch_size))
    assert max(map(len, batches)) <= batch_size
    shards = [len(shard) for batch in batches for shard in batch.tensor_split(processes)]
    assert smallest_batch(images, batch_size, processes) == min(shards)


NORMS: list[tuple[ModelConfig, tuple[int, int, int]]] = [
    (MLPConfig(hidden=(5,), norm="batch"), (1, 8, 8)),
    (LeNetConfig(norm="batch"), (1, 14, 14)),  # 14, 7, 3 and no pooling left but 1x1
    (LeNetConfig(norm="batch", pool_after=(1,)), (1, 10, 10)),  # 10, 5, 1
    (LeNetConfig(norm="batch"), (1, 28, 28)),
    (ResNetConfig(width=2), (1, 3, 4)),  # 3x4, 2x2, 1x1: within a residual body
    (ResNetConfig(width=2), (1, 3, 5)),  # 1x2
    (ConvNetConfig(channels=(2, 3, 4), pool_after=(1, 2)), (1, 4, 7)),
    (MLPConfig(hidden=(5,), norm="layer"), (1, 8, 8)),
    (ModuleConfig(target=f"{__file__}:Normed", arguments={"window": 8}), (1, 8, 8)),
    (ModuleConfig(target=f"{__file__}:Normed", arguments={"window": 3}), (1, 8, 8)),
]


class Normed(torch.nn.Sequential):
    """Somebody's own network."""

    def __init__(self, window: int):
        conv, average = torch.nn.Conv2d(1, 3, window), torch.nn.AdaptiveAvgPool2d(1)
        super().__init__(conv, torch.nn.BatchNorm2d(3), average, torch.nn.Flatten(), torch.nn.Linear(3, 10))


@pytest.mark.parametrize(("config", "shape"), NORMS)
def test_what_torch_refuses_is_refused(config: ModelConfig, shape: tuple[int, int, int]) -> None:
    geometry = plan(config, shape, 10)
    net = net_of(config, geometry).train()
    try:
        net(torch.randn(1, *shape))
        refused = False
    except ValueError as error:
        refused = "more than 1 value per channel" in str(error)
    assert has_single_valued_norm(geometry) == refused
    if refused:
        with pytest.raises(ConfigError, match=r"^data\.batch_size: got 1, so that a training step sees a single image"):
            check_batch_norm(geometry, 100, 1)
    else:
        check_batch_norm(geometry, 100, 1)
    check_batch_norm(geometry, 100, 2)


@pytest.mark.parametrize(
    ("images", "batch_size", "processes", "key", "want"),
    [
        (100, 1, 1, "data.batch_size", "use data.batch_size=2"),
        (3, 2, 1, "data.batch_size", "use data.batch_size=3"),  # 2 and 1
        (100, 3, 2, "data.batch_size", "one of the 2 processes sees a single image"),  # 3 are 2 and 1
        (100, 3, 2, "data.batch_size", "use data.batch_size=4"),
        (7, 4, 2, "data.batch_size", "use data.batch_size=7"),  # 4 and 3; 3 are 2 and 1
        (1, 128, 1, "data.train_size", "use 2 images or more"),
        (3, 128, 2, "data.train_size", "use 4 images or more"),
    ],
)
def test_the_message_says_what_would_do(images: int, batch_size: int, processes: int, key: str, want: str) -> None:
    geometry = plan(MLPConfig(norm="batch"), (1, 28, 28), 10)
    with pytest.raises(ConfigError) as refused:
        check_batch_norm(geometry, images, batch_size, processes)
    assert refused.value.key == key
    assert "norm1, a batch norm, one value a channel" in str(refused.value)
    assert want in str(refused.value)
    if key == "data.batch_size":
        check_batch_norm(geometry, images, int(str(refused.value).rpartition("=")[2]), processes)


def test_a_norm_within_a_block_is_named() -> None:
    with pytest.raises(ConfigError, match=r" stage3_block1\.conv1_norm, a batch norm"):
        check_batch_norm(plan(ResNetConfig(), (1, 4, 4), 10), 100, 1)  # 4, 2, 1


NORMED = MLPConfig(norm="batch")


@pytest.mark.parametrize(
    ("data", "trainer", "message"),
    [
        ({"batch_size": 1}, {}, r"data\.batch_size: got 1, .* data\.batch_size=2$"),
        ({"batch_size": 2, "train_size": 3}, {}, r"data\.batch_size: got 2, .* data\.batch_size=3$"),
        ({"val_size": 59_999}, {}, r"data\.train_size: got 1, .* use 2 images or more$"),
        ({"batch_size": 3}, {"strategy": "ddp", "devices": 2}, r"data\.batch_size: got 3, .* 2 processes"),
    ],
)
def test_the_plan_refuses_it(data: dict[str, Any], trainer: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_of(Config(model=NORMED, data=DataConfig(**data), trainer=TrainerConfig(**trainer)))


def test_a_test_has_no_smallest_batch() -> None:
    config = Config(model=NORMED, data=DataConfig(batch_size=1), task="test", ckpt="x")
    assert has_single_valued_norm(plan_of(config))


def test_the_plan_counts_a_folders_images(image_folder: Path) -> None:
    """60 images, 12 of them for the test: 47 for validation leave one."""
    settings: dict[str, Any] = {"name": "folder", "path": str(image_folder)}
    with pytest.raises(ConfigError, match=r"^data\.train_size: got 1,"):
        plan_of(Config(model=NORMED, data=DataConfig(**settings, val_size=47)))
    plan_of(Config(model=NORMED, data=DataConfig(**settings, val_size=46)))


def test_a_run_knows_its_processes(image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As torchrun starts two; nothing is written."""
    for key, value in (("TORCHELASTIC_RUN_ID", "x"), ("RANK", "0"), ("WORLD_SIZE", "2"), ("LOCAL_WORLD_SIZE", "2")):
        monkeypatch.setenv(key, value)
    data = DataConfig(name="folder", path=str(image_folder), dir=str(tmp_path / "data"), val_size=12, batch_size=3)
    trainer = TrainerConfig(strategy="ddp", devices="auto", accelerator="cpu")
    config = Config(model=NORMED, data=data, trainer=trainer, runs_dir=str(tmp_path / "runs"))
    with pytest.raises(ConfigError, match=r"one of the 2 processes sees a single image"):
        run(Request(config))
    assert not (tmp_path / "runs").exists()
