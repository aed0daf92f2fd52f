"""equivariance.py: what is exactly equivariant, what is not, and by how much, by arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fc2conv.architectures import plan
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.errors import ConfigError
from fc2conv.instruments.equivariance import equivariance
from fc2conv.nets.build import net_of

pytestmark = pytest.mark.usefixtures("one_thread")
SHIFTS = [(0, 0), (0, 1), (1, 0), (2, 3), (-3, 2), (0, 4), (4, 8)]


@pytest.fixture
def images() -> Tensor:
    return torch.randn(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def lenet(**fields: Any) -> nn.Module:
    torch.manual_seed(0)
    config = LeNetConfig(activation="relu", kernel_size=3, padding="same", head="gap", **fields)
    return net_of(config, plan(config, (1, 16, 16), 10))


@pytest.mark.parametrize("kernel", [3, 4, (5, 1)])
def test_circular_padding_with_stride_1_is_exact(images: Tensor, kernel: Any) -> None:
    """In every layer, whatever the shift; behind the global average the network is invariant."""
    torch.manual_seed(0)
    config = LeNetConfig(kernel_size=kernel, padding="same", padding_mode="circular", pool="none", head="gap")
    found = equivariance(net_of(config, plan(config, (1, 16, 16), 10)), images, SHIFTS)
    assert found.layers == ["conv1", "sigmoid1", "conv2", "sigmoid2", "average", "output"]
    assert set(found.strides) == {(1, 1)}
    assert found.errors.max() < 1e-12


@pytest.mark.parametrize("pool", ["average", "max", "strided"])
def test_a_stride_is_exact_for_its_multiples_only(images: Tensor, pool: Any) -> None:
    """Two poolings by 2: after the first, even shifts; after the second, multiples of 4."""
    found = equivariance(lenet(padding_mode="circular", pool=pool), images, [(0, dx) for dx in range(9)])
    first, second = ("conv1", "conv2") if pool == "strided" else ("pool1", "pool2")
    for layer, stride in ((first, 2), (second, 4)):
        assert found.strides[found.layers.index(layer)] == (stride, stride)
        for dx in range(9):
            error = found.error(layer, (0, dx))
            assert error < 1e-12 if dx % stride == 0 else error > 0.1, (layer, dx)
    assert found.error("output", (0, 4)) < 1e-12
    # the average over all averages of four is that of all units, which lie 2 pixels apart
    assert (found.error("output", (0, 2)) < 1e-12) == (pool == "average")


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate"])
def test_other_padding_breaks_it_at_the_border(images: Tensor, mode: Any) -> None:
    found = equivariance(lenet(padding_mode=mode, pool="none"), images, SHIFTS)
    assert (found.errors[:, 0] == 0).all()  # the shift by nothing
    assert (found.errors[:4, 1:] > 0.01).all()


def test_the_error_of_zero_padding_by_hand() -> None:
    """A row of three pixels, the first one lit, under the kernel [1, 1, 1] with a zero on each side.

    The response is (1, 1, 0), shifted (0, 1, 1). The shifted image is lit in the middle: (1, 1, 1).
    They differ by 1 in one place; ||f(x)||^2 = 2.
    """
    conv = nn.Conv2d(1, 1, (1, 3), padding=(0, 1), bias=False)
    nn.init.ones_(conv.weight)
    image = torch.tensor([1.0, 0, 0]).view(1, 1, 1, 3)
    assert equivariance(nn.Sequential(conv), image, [(0, 1)]).error("0", (0, 1)) == pytest.approx(0.5**0.5, abs=1e-12)


def test_the_error_of_pooling_by_hand() -> None:
    """Lit pixel 0 of four, maximum over pairs: (1, 0), as pixels (1, 1, 0, 0); shifted by one, (0, 1, 1, 0).

    The shifted image is lit in pixel 1: (1, 0) again. Two of four pixels differ, two are lit: error 1.
    """
    image = torch.tensor([1.0, 0, 0, 0]).view(1, 1, 1, 4)
    found = equivariance(nn.Sequential(nn.MaxPool2d((1, 2))), image, [(0, 1), (0, 2)])
    assert found.strides == [(1, 2)]
    assert found.errors.tolist() == [[1.0, 0.0]]


def test_without_padding_it_is_exact_inside() -> None:
    """On the torus a smaller map is not: it has no place for what comes in."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3))
    images = torch.randn(2, 1, 20, 20)
    shifts = [(0, 2), (-2, 4), (6, -2)]
    assert equivariance(net, images, shifts, edges="inside").errors.max() < 1e-12
    assert equivariance(net, images, shifts).errors.min() > 0.1
    odd = equivariance(net, images, [(0, 1)], edges="inside").errors[:, 0]
    assert odd[:2].max() < 1e-12
    assert odd[2:].min() > 0.1


def test_no_unit_inside_both_maps() -> None:
    net = nn.Sequential(nn.Conv2d(1, 1, 3))
    errors = equivariance(net, torch.randn(1, 1, 5, 5), [(0, 2), (0, 3)], edges="inside").errors[0]
    assert np.isnan(errors).tolist() == [False, True]


class Branches(nn.Module):
    """Two ways of one stride, joined by what is no module; one activation serves both, and overwrites its input."""

    def __init__(self) -> None:
        super().__init__()
        options: dict[str, Any] = {"padding": 1, "padding_mode": "circular"}
        self.first = nn.Conv2d(1, 3, 3, stride=2, **options)
        self.act = nn.ReLU(inplace=True)
        self.left, self.right = nn.Conv2d(3, 3, 3, **options), nn.Conv2d(3, 3, 3, stride=(2, 1), **options)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.first(x))
        out: Tensor = self.right(self.act(self.left(x)) + x).mean((2, 3))
        return out


def test_any_module(images: Tensor) -> None:
    torch.manual_seed(0)
    net = Branches().train()
    weight = net.first.weight.clone()
    found = equivariance(net, images, [(4, 2), (2, 1)])
    assert found.layers == ["first", "act", "left", "right"]
    assert found.strides == [(2, 2), (2, 2), (2, 2), (4, 2)]
    assert found.errors[:, 0].max() < 1e-12
    assert found.errors[:, 1].min() > 0.1
    # the network itself is as it was
    assert net.training
    assert net.act.inplace
    assert net.first.weight.requires_grad
    assert torch.equal(net.first.weight, weight)


def test_what_cannot_be_measured() -> None:
    with pytest.raises(ConfigError, match=r"images: got \[0,1,4,4\], expected \(N, C, H, W\)"):
        equivariance(nn.Conv2d(1, 1, 1), torch.zeros(0, 1, 4, 4))
    with pytest.raises(ConfigError, match="shifts"):
        equivariance(nn.Conv2d(1, 1, 1), torch.zeros(1, 1, 4, 4), [])


def test_its_chart_has_a_line_a_layer(images: Tensor) -> None:
    chart = equivariance(lenet(), images, [(0, 0), (3, 4)]).chart().to_dict()
    (rows,) = chart["datasets"].values()
    assert {row["x"] for row in rows} == {0.0, 5.0}
    assert [row["line"] for row in rows[:4]] == ["conv1", "conv1", "relu1", "relu1"]
