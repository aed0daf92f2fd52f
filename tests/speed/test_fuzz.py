"""2,000 networks of one or some layers, drawn by a fixed seed, against torch in double precision.

Pixels and the weights of convolutions are multiples of 1/8, so that convolutions are exact and pixels equal in double
precision or not at all: else the largest pixel of a window could be another one by a rounding error.
"""

from __future__ import annotations

import copy
from random import Random
from typing import Any

import pytest
import torch
from speed.networks import gradients
from torch import Tensor, nn
from torch.testing import assert_close

from fc2conv.speed import accelerate

pytestmark = pytest.mark.usefixtures("one_thread", "instructions")

CASES, PARTS = 2000, 20


def grid(random: Random, shape: tuple[int, ...], most: int) -> Tensor:
    """Multiples of 1/8 up to `most` of them, from few levels to many, so that some are equal."""
    levels = random.choice([2, most])
    return torch.randint(-levels, levels + 1, shape) / 8


def laid_out(random: Random, x: Tensor) -> Tensor:
    """The same numbers with other strides, or at another place."""
    how = random.choice(["as it is", "channels_last", "sliced", "transposed", "repeated", "moved"])
    if how == "channels_last":
        return x.contiguous(memory_format=torch.channels_last)
    if how == "sliced":
        return x.repeat_interleave(2, 3)[..., ::2]
    if how == "transposed":
        return x.transpose(2, 3).contiguous().transpose(2, 3)
    if how == "repeated":
        return x[:1].expand_as(x)
    if how == "moved":
        return torch.cat([x.new_zeros(1), x.flatten()])[1:].view_as(x)
    return x


def draw(random: Random) -> tuple[nn.Sequential, Tensor]:
    """A network and its images."""
    kind = random.choice(["stage", "stage", "norm", "conv", "alone"])
    channels = (
        random.choice([1, 2, 3, 4, 5, 6, 7, 8, 16, 31, 64, 65]) if kind in ("stage", "norm") else random.randint(1, 7)
    )
    images = random.choice([1, 2, 3, 7, 8, 9, 17])
    norm = nn.BatchNorm2d(channels, eps=random.choice([1e-5, 1e-3]), momentum=random.choice([0.1, 0.5, None]))
    size: Any = random.choice([2, 2, 2, (2, 2)])
    pool = nn.MaxPool2d(size, random.choice([None, None, 1]))
    behind: list[nn.Module] = random.choice([[], [nn.ReLU()], [nn.ReLU()], [nn.Sigmoid()]])
    tail: list[nn.Module] = [norm, pool, *behind]
    if kind == "stage":
        rows, columns = random.randint(1, 6), random.randint(1, 6)
        padding = random.choice([(0, 0), (rows // 2, columns // 2), (random.randint(0, 3), random.randint(0, 3))])
        height, width = rows + random.choice([1, 3, 4, 5, 9]), columns + random.choice([1, 3, 4, 7, 11])
        layers = [nn.Conv2d(1, channels, (rows, columns), padding=padding, bias=False), *tail]
        shape = (images, 1, height, width)
    elif kind == "norm":
        layers, shape = tail, (images, channels, random.choice([2, 3, 4, 6, 10]), random.choice([2, 4, 5, 8, 14]))
    elif kind == "conv":
        rows, columns = random.randint(1, 5), random.randint(1, 17)
        layers = [nn.Conv2d(channels, random.choice([1, 2, 5, 8, 16]), (rows, columns), bias=random.random() < 0.5)]
        shape = (images, channels, rows + random.randint(0, 7), columns + random.randint(0, 12))
    else:
        layers, shape = [norm], (images, channels, random.randint(2, 9), random.randint(1, 9))
    net = nn.Sequential(*layers)
    with torch.no_grad():
        for layer in net:
            if isinstance(layer, nn.Conv2d):
                layer.weight.copy_(grid(random, tuple(layer.weight.shape), 8))
                layer.to(memory_format=random.choice([torch.contiguous_format, torch.channels_last]))
            elif isinstance(layer, nn.BatchNorm2d):
                layer.weight.uniform_(0.5, 1.5).mul_(torch.randint(0, 2, layer.weight.shape) * 2 - 1)
                layer.weight[torch.rand(channels) < 0.1] = 0
                layer.bias.uniform_(-1, 1)
    return net, laid_out(random, grid(random, shape, 16))


def near_a_bend(net: nn.Module, x: Tensor) -> bool:
    """Whether a ReLU sees a number so small that it may have another sign in single precision."""
    seen: list[float] = []
    for module in net.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].abs().min().item()))
    net(x)
    return bool(seen) and min(seen) < 1e-4


@pytest.mark.parametrize("part", range(PARTS))
def test_networks_that_were_drawn(part: int) -> None:
    random = Random(part)
    torch.manual_seed(part)
    for number in range(CASES // PARTS):
        net, x = draw(random)
        training, leaf = random.random() < 0.8, random.random() < 0.7
        net.train(training)
        wanted = copy.deepcopy(net).double()
        graded = training and not near_a_bend(copy.deepcopy(wanted), x.double())
        where = f"case {part}.{number}: {net}, {tuple(x.shape)} {x.stride()}, training={training}, leaf={leaf}".replace(
            "{", "{{"
        ).replace("}", "}}")
        results: list[list[Tensor]] = []
        with torch.set_grad_enabled(training):
            for n, t in ((accelerate(net), x.detach()), (wanted, x.detach().double())):
                out = n(t.requires_grad_(leaf and training))
                leaves = [*[t] * leaf, *n.parameters()]
                results.append([out, *(gradients(out, *leaves) if graded else ())])
        for a, b in zip(*results, strict=True):
            assert_close(a.double(), b, atol=1e-4 * max(1.0, b.abs().max().item()), rtol=0, msg=f"{where}: {{}}".format)
        for name, value in wanted.state_dict().items():
            state = net.state_dict()[name].to(value.dtype)
            assert_close(state, value, atol=1e-5, rtol=1e-5, msg=f"{where}, {name}: {{}}".format)
