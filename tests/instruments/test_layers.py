"""layers.py: what is kept of each layer, and the strides, against the plan's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fc2conv.architectures import plan
from fc2conv.architectures.convnet import ConvNetConfig
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.architectures.lenet1 import LeNet1Config
from fc2conv.architectures.lenet5 import LeNet5Config
from fc2conv.architectures.resnet import ResNetConfig
from fc2conv.instruments.layers import copied, network_of, watched
from fc2conv.nets.build import net_of
from fc2conv.training.classifier import class_named

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    "config",
    [
        LeNetConfig(),
        LeNetConfig(stride=(2, 1), padding="same", pool="blur"),
        LeNetConfig(kernel_size=3, padding=2, pool="strided", head="gap"),
        LeNet1Config(),
        LeNet5Config(),
        ResNetConfig(width=2),
        ConvNetConfig(),
    ],
    ids=lambda c: f"{c.family}-{getattr(c, 'pool', '')}",
)
@pytest.mark.parametrize("size", [28, 31])
def test_strides_are_those_of_the_plan(config: Any, size: int) -> None:
    geometry = plan(config, (1, size, size), 10)
    net = net_of(config, geometry)
    with watched(net) as found:
        net(torch.zeros(2, 1, size, size))
    maps = {row.name: (row.jump, row.jump) for row in geometry.rows if len(row.output) == 3}
    assert {name: output.stride for name, output in found.items() if output.is_map} == maps


class Twice(nn.Module):
    """An activation that serves twice and overwrites its input, and a layer that gives neither maps nor features."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act, self.tokens = nn.Conv2d(1, 2, 1), nn.ReLU(inplace=True), nn.Flatten(2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.tokens(self.act(self.act(self.conv(x)) - 0.5)).mean(2)
        return out


def test_each_layers_own_output_is_kept() -> None:
    torch.manual_seed(0)
    original = Twice()
    net, images = copied(original), torch.randn(3, 1, 4, 4)
    with watched(net) as found:
        net(images)
    assert list(found) == ["conv", "act"]
    plain = original.conv(images)
    assert (plain < 0).any()
    torch.testing.assert_close(found["conv"].value, plain)
    torch.testing.assert_close(found["act"].value, plain.relu())
    assert original.act.inplace
    assert not any(module._forward_hooks for module in net.modules())  # nobody watches any more


def test_a_classifiers_network_is_measured() -> None:
    model = class_named("LeNet")(channels=[2])
    assert network_of(model) is model.net
    net = copied(model, torch.float64)
    assert list(dict(net.named_children())) == list(dict(model.net.named_children()))
    assert next(net.parameters()).dtype == torch.float64
    assert next(model.parameters()).dtype == torch.float32


def test_a_module_that_has_a_net_of_its_own_is_one() -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Linear(2, 2)

    model = Wrapped()
    assert network_of(model) is model
