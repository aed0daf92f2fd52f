"""optim.name is any optimiser of torch.optim that can train these networks; the rest is refused before it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from fc2conv import LeNet
from fc2conv.config.schema import Config, DataConfig, LoggerConfig, OptimConfig, TrainerConfig
from fc2conv.errors import ConfigError
from fc2conv.training.optimizers import UNFIT, optimizer_for
from fc2conv.training.run import Request, run

pytestmark = pytest.mark.usefixtures("one_thread")
NAMES = sorted(n for n in torch.optim.__all__ if n[0].isupper() and n != "Optimizer")
FIT = [n for n in NAMES if n.lower() not in UNFIT and n != "Muon"]


def steps(net: nn.Module, optimizer: torch.optim.Optimizer, n: int = 3) -> dict[str, torch.Tensor]:
    """The weights after `n` steps on the same images."""
    images = torch.randn(8, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    for _ in range(n):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(images), torch.arange(8)).backward()
        optimizer.step()
    return net.state_dict()


def lenet(norm: Any = "none") -> LeNet:
    torch.manual_seed(0)
    return LeNet(channels=[2, 3], activation="relu", norm=norm)


@pytest.mark.parametrize("name", FIT)
def test_each_steps_as_torchs_own(name: str) -> None:
    """With the rate that is said, which is no optimiser's default."""
    ours, theirs = lenet().net, lenet().net
    optimizer = optimizer_for(OptimConfig(name=name, lr=0.003, momentum=0.0), ours)
    assert type(optimizer) is getattr(torch.optim, name)
    steps(ours, optimizer)
    steps(theirs, getattr(torch.optim, name)(theirs.parameters(), lr=0.003, **NOT_THEIRS.get(name, {})))
    assert_close(ours.state_dict(), theirs.state_dict(), rtol=1e-4, atol=1e-5)
    assert not torch.equal(ours.conv1.weight, lenet().net.conv1.weight)


NOT_THEIRS: dict[str, dict[str, Any]] = {"AdamW": {"weight_decay": 0.0}}
"""Where torch's default is another than ours. Adafactor and RMSprop have none."""


@pytest.mark.parametrize("name", [n for n in FIT if n != "Rprop"])
def test_weights_decay_and_biases_and_norms_do_not(name: str) -> None:
    net = lenet(norm="batch").net
    optimizer = optimizer_for(OptimConfig(name=name, weight_decay=0.1), net)
    decay = {p: group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    for key, parameter in net.named_parameters():
        assert decay[parameter] == (0 if key.endswith("bias") or "norm" in key else 0.1), key


def test_its_arguments_are_torchs() -> None:
    ours, theirs = lenet().net, lenet().net
    arguments = {"alpha": 0.5, "momentum": 0.3, "centered": True}
    steps(ours, optimizer_for(OptimConfig(name="rmsprop", lr=0.01, arguments=arguments), ours))
    steps(theirs, torch.optim.RMSprop(theirs.parameters(), 0.01, alpha=0.5, momentum=0.3, centered=True))
    assert_close(ours.state_dict(), theirs.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["adamw", "AdamW", "NAdam"])
def test_lists_are_tuples_to_torch(name: str) -> None:
    optimizer = optimizer_for(OptimConfig(name=name, arguments={"betas": [0.5, 0.9], "eps": 1e-6}), lenet().net)
    assert {(group["betas"], group["eps"]) for group in optimizer.param_groups} == {((0.5, 0.9), 1e-6)}


REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        {"name": "rmsprob"},
        "optim.name: got rmsprob, which torch.optim does not have; did you mean rmsprop? Known: adad",
    ),
    ({"name": "optimizer"}, "optim.name: got optimizer, which torch.optim does not have"),
    ({"name": "LBFGS"}, "optim.name: got lbfgs, but it takes all parameters as one group"),
    ({"name": "SparseAdam"}, "optim.name: got sparseadam, but it takes sparse gradients only"),
    ({"name": "muon"}, "optim: Muon cannot train this network as told: Muon only supports 2D parameters"),
    (
        {"name": "rmsprop", "arguments": {"alfa": 1}},
        "optim.arguments: RMSprop has no argument alfa; did you mean alpha?",
    ),
    ({"name": "rmsprop", "arguments": {"params": 1}}, "optim.arguments: RMSprop has no argument params"),
    (
        {"name": "rmsprop", "arguments": {"alpha": -1}},
        "optim: RMSprop cannot train this network as told: Invalid alpha",
    ),
    ({"name": "adam", "arguments": {"betas": 3}}, "optim: Adam cannot train this network as told: "),
    ({"name": "rprop", "weight_decay": 0.1}, "optim.weight_decay: got 0.1, but Rprop has none; set it to 0"),
]


@pytest.mark.parametrize(("values", "message"), REFUSED, ids=[m[:40] for _, m in REFUSED])
def test_what_is_refused_leaves_nothing_behind(
    values: dict[str, Any], message: str, image_folder: Path, tmp_path: Path
) -> None:
    images = DataConfig(name="folder", path=str(image_folder), dir=str(tmp_path), size=28, train_size=32, val_size=10)
    config = Config(
        data=images,
        optim=OptimConfig(**values),
        trainer=TrainerConfig(max_epochs=1, accelerator="cpu", threads=1, progress=False),
        logger=LoggerConfig(),
        runs_dir=str(tmp_path / "runs"),
    )
    with pytest.raises(ConfigError) as caught:
        run(Request(config))
    assert str(caught.value).startswith(message)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("key", ["lr", "weight_decay"])
def test_an_argument_with_a_key_of_its_own_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=f"optim.arguments: got {key}, which has a key of its own: optim.{key}"):
        OptimConfig(arguments={key: 1})
