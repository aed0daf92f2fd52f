"""receptive_field.py: against the plan's arithmetic, and stacks of convolutions whose gradients are known."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fc2conv.architectures import plan
from fc2conv.architectures.convnet import ConvNetConfig
from fc2conv.architectures.ladder import LadderConfig
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.architectures.lenet1 import LeNet1Config
from fc2conv.architectures.mlp import MLPConfig
from fc2conv.architectures.resnet import ResNetConfig
from fc2conv.errors import ConfigError
from fc2conv.instruments.receptive_field import at_initialisation, effective, theoretical
from fc2conv.nets.build import net_of

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


LENET = LeNetConfig()


@pytest.mark.parametrize(
    "config",
    [
        LENET,
        replace(LENET, pool="max", activation="relu", dilation=2, padding="same"),
        replace(LENET, padding="same", padding_mode="circular", kernel_size=3),
        replace(LENET, padding="same", padding_mode="reflect", pool="strided"),
        replace(LENET, separable=True, norm="batch", head="gap", pool="blur"),
        LeNet1Config(),
        ConvNetConfig(),
        ResNetConfig(width=2),
        MLPConfig(hidden=(5,)),
        *(LadderConfig(constraint=c) for c in ("local", "conv")),
    ],
    ids=lambda c: f"{c.family}-{getattr(c, 'padding_mode', '')}-{getattr(c, 'pool', '')}",
)
def test_theoretical_is_what_the_plan_computes(config: Any) -> None:
    geometry = plan(config, (1, 28, 28), 10)
    found = theoretical(net_of(config, geometry), (1, 28, 28))
    want = {row.name: row.receptive_field for row in geometry.rows}
    assert {name: max(field.size) for name, field in found.items()} == want


def test_which_rows_a_unit_sees() -> None:
    """A 3x2 convolution with padding 1 and stride 2, on 5 x 4 pixels."""
    net = nn.Sequential(nn.Conv2d(2, 3, (3, 2), stride=2, padding=(1, 0)))
    field = theoretical(net, (2, 5, 4))["0"]
    assert field.rows.astype(int).tolist() == [[1, 1, 0, 0, 0], [0, 1, 1, 1, 0], [0, 0, 0, 1, 1]]
    assert field.columns.astype(int).tolist() == [[1, 1, 0, 0], [0, 0, 1, 1]]
    assert field.size == (3, 2)


def test_circular_padding_looks_around_the_edge() -> None:
    net = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"))
    field = theoretical(net, (1, 5, 5))["0"]
    assert field.rows[0].astype(int).tolist() == [1, 1, 0, 0, 1]
    assert field.size == (3, 3)


# --- effective


def box(width: int, n: int) -> nn.Sequential:
    """n convolutions with uniform kernels, and no bias."""
    net = nn.Sequential(*(nn.Conv2d(1, 1, width, padding=width // 2, bias=False) for _ in range(n)))
    for conv in net:
        nn.init.constant_(conv.weight, width**-2)  # type: ignore[arg-type]
    return net


@pytest.mark.parametrize(("width", "n"), [(3, 1), (3, 4), (5, 3)])
def test_uniform_kernels(width: int, n: int) -> None:
    """Their gradient is the n-fold convolution of a box with itself, along each axis."""
    field = effective(box(width, n), torch.randn(2, 1, 31, 31), str(n - 1))
    row = np.array([1.0])
    for _ in range(n):
        row = np.convolve(row, np.full(width, 1 / width))
    want = np.zeros(31)
    reach = n * (width // 2)
    want[15 - reach : 16 + reach] = row
    np.testing.assert_allclose(field.weights, np.outer(want, want), atol=1e-12)
    assert field.deviation == pytest.approx([math.sqrt(n * (width**2 - 1) / 12)] * 2)
    assert field.size == pytest.approx(math.sqrt((np.outer(row, row) >= 0.0455 * row.max() ** 2).sum()))


def test_it_grows_with_the_root_of_the_depth_only() -> None:
    """Luo et al. 2016: the theoretical field of 9 convolutions is 19 wide, that of one 3."""
    images = torch.randn(1, 1, 41, 41)
    one, nine = effective(box(3, 1), images, "0"), effective(box(3, 9), images, "8")
    assert nine.deviation[0] / one.deviation[0] == pytest.approx(3)
    assert theoretical(box(3, 9), (1, 41, 41))["8"].size == (19, 19)


def test_several_maps_add_up() -> None:
    """One map sees the middle pixel with weight 3, another the two beside it with 4 and 5: roots of squares."""
    net = nn.Sequential(nn.Conv2d(1, 2, (1, 3), padding=(0, 1), bias=False))
    net[0].weight.data = torch.tensor([[0.0, 3, 0], [4, 0, 5]]).view(2, 1, 1, 3)
    weights = effective(net, torch.zeros(200, 1, 1, 5), "0").weights[0]
    np.testing.assert_allclose(weights, np.array([0, 4, 3, 5, 0]) / 12, atol=1e-12)


def test_of_features_it_is_the_whole_layers() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 1, bias=False))
    net[1].weight.data = torch.tensor([[1.0, -2, 3, 4]])
    field = effective(net, torch.zeros(3, 1, 2, 2), "1")
    np.testing.assert_allclose(field.weights, [[0.1, 0.2], [0.3, 0.4]])


def test_a_unit_without_a_gradient() -> None:
    net = nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU())
    nn.init.constant_(net[0].weight, -1.0)  # type: ignore[arg-type]
    field = effective(net, torch.ones(2, 1, 5, 5), "1")
    assert field.size == 0
    assert np.isnan(field.deviation).all()
    assert (np.asarray(field.picture()) == 255).all()


def test_it_lies_within_the_theoretical_field() -> None:
    net = net_of(LENET, plan(LENET, (1, 28, 28), 10))
    seen = theoretical(net, (1, 28, 28))["pool2"]
    field = effective(net, torch.rand(4, 1, 28, 28), "pool2")
    assert (field.weights[~np.outer(seen.rows[2], seen.columns[2])] == 0).all()
    assert 0 < field.size <= 16


def test_the_network_at_initialisation_has_the_same_layers_and_leaves_the_generator_alone() -> None:
    geometry = plan(LENET, (1, 28, 28), 10)
    trained = net_of(LENET, geometry)
    before = torch.get_rng_state()
    first, again, other = (at_initialisation(LENET, geometry, seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert list(first) == list(trained.state_dict())
    assert torch.equal(first["conv1.weight"], again["conv1.weight"])
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])


def test_what_is_refused() -> None:
    with pytest.raises(ConfigError, match="layer: got conv9, expected one of 0"):
        effective(box(3, 1), torch.zeros(1, 1, 5, 5), "conv9")
    with pytest.raises(ConfigError, match=r"images: got \[0,1,5,5\], expected"):
        effective(box(3, 1), torch.zeros(0, 1, 5, 5), "0")
