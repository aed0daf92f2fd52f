"""matrix.py: each layer is its matrix; what a matrix has in it, by arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from fc2conv.architectures import plan
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.architectures.lenet1 import PAIRS
from fc2conv.architectures.lenet5 import LeNet5Config
from fc2conv.errors import ConfigError
from fc2conv.instruments.matrix import bias_of, connections, matrix_of, picture
from fc2conv.nets.build import net_of
from fc2conv.nets.modules import DenseImage, LocallyConnected, SharedImage, TableConv

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_lenets_first_convolution() -> None:
    """5x5 with padding 2 on 28x28: 28 5 - 2 (1 + 2) = 134 pairs of rows, 134^2 of pixels, for 6 maps 107,736; of 6 25
    weights. And a batch of images gets the same responses."""
    net = net_of(LeNetConfig(), plan(LeNetConfig(), (1, 28, 28), 10))
    conv = net.conv1
    assert isinstance(conv, nn.Conv2d)
    found = connections(conv, (1, 28, 28))
    assert found.shape == (4704, 784)
    assert found.out_shape == (6, 28, 28)
    assert found.nonzeros == 107_736
    assert found.distinct == 150
    matrix, bias = matrix_of(conv, (1, 28, 28)), bias_of(conv, found.out_shape)
    assert int((matrix != 0).sum()) == 107_736
    assert matrix[matrix != 0].unique().numel() == 150
    images = torch.rand(4, 1, 28, 28)
    assert_close(images.flatten(1) @ matrix.T + bias, conv(images).flatten(1), rtol=0, atol=1e-5)


def test_lenet_5s_connections_are_the_published_ones() -> None:
    """LeCun et al. 1998, section II.B: C1 has 122,304 and C3 151,600, with a bias for each unit."""
    net = net_of(LeNet5Config(), plan(LeNet5Config(), (1, 32, 32), 10))
    c1, c3 = (connections(getattr(net, name), shape) for name, shape in (("c1", (1, 32, 32)), ("c3", (6, 14, 14))))
    assert c1.nonzeros + c1.shape[0] == 122_304
    assert c3.nonzeros + c3.shape[0] == 151_600


LAYERS: list[tuple[Any, tuple[int, int, int]]] = [
    (nn.Conv2d(2, 3, 3), (2, 6, 7)),
    (nn.Conv2d(2, 3, (2, 5), padding=(1, 0)), (2, 6, 7)),
    (nn.Conv2d(2, 3, (3, 1), stride=(2, 3), padding=(1, 2)), (2, 7, 5)),
    (nn.Conv2d(2, 3, 3, dilation=(1, 2), padding=2, bias=False), (2, 6, 7)),
    (nn.Conv2d(4, 6, 3, groups=2, padding=1), (4, 5, 5)),
    (nn.Conv2d(3, 6, 3, groups=3, padding=1, stride=2), (3, 5, 6)),
    (nn.Conv2d(2, 3, (4, 2), padding="same"), (2, 6, 7)),
    (nn.Conv2d(2, 3, 4, padding="same", dilation=3), (2, 12, 11)),
    (nn.Conv2d(2, 3, 3, padding="valid"), (2, 6, 7)),
    (nn.Conv2d(1, 2, (1, 5), padding=(0, 2)), (1, 1, 9)),
    *(
        (nn.Conv2d(2, 3, (3, 5), padding=(2, 4), stride=(1, 2), padding_mode=mode), (2, 6, 5))
        for mode in ("circular", "reflect", "replicate")
    ),
    (nn.Conv2d(1, 2, 4, padding="same", padding_mode="circular"), (1, 3, 5)),  # the kernel is larger than the image
    (TableConv(4, PAIRS, (3, 3), stride=2, padding=1), (4, 6, 6)),
    (LocallyConnected((2, 4, 5), 3, 1), (2, 4, 5)),
    (LocallyConnected((1, 3, 3), 2, 9), (1, 3, 3)),
    (SharedImage((2, 3, 4), 3), (2, 3, 4)),
    (DenseImage((2, 3, 4), 2), (2, 3, 4)),
    (nn.Linear(12, 5, bias=False), (1, 3, 4)),
]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
@pytest.mark.parametrize(("layer", "shape"), LAYERS)
def test_a_layer_is_its_matrix(layer: Any, shape: tuple[int, int, int]) -> None:
    layer = layer.double()
    images = torch.randn(5, *shape, dtype=torch.float64)
    want = layer(images.flatten(1) if type(layer) is nn.Linear else images)
    found = connections(layer, shape)
    assert found.out_shape == tuple(want.shape[1:])
    assert found.n_weights == layer.weight.numel()
    got = images.flatten(1) @ matrix_of(layer, shape).T + bias_of(layer, found.out_shape)
    assert_close(got, want.flatten(1), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("layer", "shape", "nonzeros", "distinct"),
    [
        (nn.Conv2d(2, 3, 3), (2, 6, 7), 3 * 2 * 9 * 4 * 5, 54),
        (nn.Conv2d(4, 6, 3, groups=2), (4, 5, 5), 6 * 2 * 9 * 9, 108),
        (nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"), (1, 5, 5), 9 * 25, 9),
        (nn.Conv2d(1, 1, 3, padding=1, padding_mode="replicate"), (1, 5, 5), 13 * 13, 9),  # 15 - 2 meet at the edges
        (nn.Conv2d(1, 1, 5, padding=2), (1, 2, 2), 16, 9),  # 16 weights meet padding only
        (TableConv(4, PAIRS, (3, 3)), (4, 3, 3), 20 * 9, 180),
        (LocallyConnected((1, 28, 28), 1, 2), (1, 28, 28), 17_956, 17_956),
        (SharedImage((1, 8, 8), 1), (1, 8, 8), 8**4, 15**2),
        (DenseImage((1, 8, 8), 1), (1, 8, 8), 8**4, 8**4),
    ],
)
def test_entries_and_weights(layer: Any, shape: tuple[int, int, int], nonzeros: int, distinct: int) -> None:
    found = connections(layer, shape)
    assert (found.nonzeros, found.distinct) == (nonzeros, distinct)


def test_the_matrix_by_hand() -> None:
    """The kernel (1, 2, 3) on four pixels, a zero on each side: its weights on three diagonals."""
    conv = nn.Conv2d(1, 1, (1, 3), padding=(0, 1), bias=False)
    conv.weight.data = torch.tensor([1.0, 2, 3]).view(1, 1, 1, 3)
    want = [[2, 3, 0, 0], [1, 2, 3, 0], [0, 1, 2, 3], [0, 0, 1, 2]]
    assert matrix_of(conv, (1, 1, 4)).tolist() == want
    conv.padding_mode = "circular"
    want = [[2, 3, 0, 1], [1, 2, 3, 0], [0, 1, 2, 3], [3, 0, 1, 2]]
    assert matrix_of(conv, (1, 1, 4)).tolist() == want


def test_the_matrix_is_differentiable() -> None:
    """The weight of a kernel gets the gradients of all its entries: here, how many there are."""
    conv = nn.Conv2d(1, 1, 3, padding=1)
    connections(conv, (1, 4, 5)).matrix(conv.weight).sum().backward()
    rows, columns = torch.tensor([3.0, 4, 3]), torch.tensor([4.0, 5, 4])
    assert conv.weight.grad is not None
    assert torch.equal(conv.weight.grad[0, 0], rows[:, None] * columns)


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (nn.Conv2d(2, 3, 3), (1, 6, 7), r"shape: got \[1, 6, 7\], expected \[2,height,width\]"),
        (nn.Conv2d(2, 3, 9), (2, 6, 7), "shape: got 6 pixels, which the kernel 9 does not fit"),
        (nn.Linear(5, 3), (1, 2, 3), r"shape: got \[1, 2, 3\], expected one of 5 inputs in all"),
        (nn.ReLU(), (1, 2, 3), "layer: got a ReLU, expected a convolution"),
    ],
)
def test_what_has_no_matrix(layer: Any, shape: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        matrix_of(layer, shape)


def test_its_picture_shows_the_diagonals() -> None:
    conv = nn.Conv2d(1, 1, (1, 3), padding=(0, 1), bias=False)
    nn.init.ones_(conv.weight)
    pixels = np.asarray(picture(matrix_of(conv, (1, 1, 4))))[80::160, 80::160]
    assert ((pixels != 255).any(-1) == (abs(np.subtract.outer(range(4), range(4))) <= 1)).all()
