"""correlation.py: both operations by hand, by torch and by NumPy; what is a law of which."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from fc2conv.errors import ConfigError
from fc2conv.instruments.correlation import (
    TrueConv2d,
    convolve,
    correlate,
    flipped,
    laws,
    learn_kernel,
    true_convolution,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_both_by_hand() -> None:
    """1 2 3 under the kernel 1 10."""
    x, k = torch.tensor([[1.0, 2, 3]]), torch.tensor([[1.0, 10]])
    assert convolve(x, k).tolist() == [[1, 12, 23, 30]]
    assert correlate(x, k).tolist() == [[10, 21, 32, 3]]


@pytest.mark.parametrize(("size", "kernel"), [((5, 6), (3, 2)), ((1, 7), (1, 3)), ((2, 2), (4, 3)), ((4, 4), (1, 1))])
def test_against_torch_and_numpy(size: Any, kernel: Any) -> None:
    """torch's convolution correlates; a product of spectra convolves, and so does NumPy, along one axis."""
    x, k = torch.randn(size).double(), torch.randn(kernel).double()
    whole = (size[0] + kernel[0] - 1, size[1] + kernel[1] - 1)
    padded = F.conv2d(x[None, None], k[None, None], padding=(kernel[0] - 1, kernel[1] - 1))[0, 0]
    assert_close(correlate(x, k), padded)
    spectra = torch.fft.rfft2(x, s=whole) * torch.fft.rfft2(k, s=whole)
    assert_close(convolve(x, k), torch.fft.irfft2(spectra, s=whole))
    if size[0] == 1:
        np.testing.assert_allclose(convolve(x, k)[0], np.convolve(x[0], k[0]))
    assert_close(convolve(x, k), correlate(x, flipped(k)))
    assert_close(correlate(x, k), convolve(x, flipped(k)))


def test_what_holds_of_which() -> None:
    found = laws(*(torch.randn(size).double() for size in ((6, 7), (3, 4), (2, 5))))
    assert found["commutative_convolution"] < 1e-12
    assert found["associative_convolution"] < 1e-12
    assert found["commutative_correlation"] > 0.1
    assert found["associative_correlation"] > 0.1


def test_how_far_correlation_is_from_the_laws_by_hand() -> None:
    """K * X is 10 21 32 3, X * K the same backwards: 11 apart, of at most 32.

    With L = 1 0: L * (K * X) = 0 10 21 32 3, and L * K = 0 1 10, with which X gives 10 21 32 3 0: 29 apart, of 32.
    """
    found = laws(torch.tensor([[1.0, 2, 3]]), torch.tensor([[1.0, 10]]), torch.tensor([[1.0, 0]]))
    assert found["commutative_correlation"] == pytest.approx(11 / 32)
    assert found["associative_correlation"] == pytest.approx(29 / 32)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(2, 4, (3, 5), padding=2),
        nn.Conv2d(2, 4, 3, stride=2, dilation=2, groups=2, bias=False),
        nn.Conv2d(2, 4, 3, padding="same", padding_mode="circular"),
    ],
)
def test_both_layers_compute_the_same_functions(layer: nn.Conv2d) -> None:
    layer = layer.double()
    x = torch.randn(2, 2, 9, 8, dtype=torch.float64)
    true = true_convolution(layer)
    assert_close(true(x), layer(x))
    assert torch.equal(true.weight, layer.weight.flip(2, 3))
    assert not torch.allclose(layer.weight, true.weight)


def edges() -> tuple[Tensor, Tensor]:
    """(image, its vertical edges): 6 x 8 pixels, 1 but for the four columns in the middle (D2L 7.2.3)."""
    image = torch.ones(1, 1, 6, 8, dtype=torch.float64)
    image[..., 2:6] = 0
    return image, image[..., :-1] - image[..., 1:]


def test_the_edge_detector_is_learned() -> None:
    """1 on the left, -1 on the right, for the layer that correlates; the other way round for the one that convolves."""
    image, target = edges()
    for kind, kernel in ((nn.Conv2d, [1.0, -1.0]), (TrueConv2d, [-1.0, 1.0])):
        layer = kind(1, 1, (1, 2), bias=False).double()
        errors = learn_kernel(layer, image, target, steps=60)
        assert all(b < a for a, b in pairwise(errors))
        assert layer.weight.flatten().tolist() == pytest.approx(kernel, abs=1e-3)


def test_what_is_learned_is_the_turned_kernel_at_every_step() -> None:
    """From turned beginnings: the gradients are turned, too."""
    layer = nn.Conv2d(1, 2, 3, padding=1).double()
    true = true_convolution(layer)
    images, target = torch.randn(2, 1, 6, 6).double(), torch.randn(2, 2, 6, 6).double()
    for _ in range(4):
        before = layer.weight.detach().clone()
        learn_kernel(layer, images, target, lr=0.003, steps=1)
        learn_kernel(true, images, target, lr=0.003, steps=1)
        assert not torch.allclose(layer.weight, before, atol=1e-3)
        assert_close(true.weight, flipped(layer.weight))
        assert_close(true.bias, layer.bias)


def test_one_map_at_a_time() -> None:
    with pytest.raises(ConfigError, match=r"kernel: got \[1,2,2\], expected two axes"):
        convolve(torch.ones(2, 2), torch.ones(1, 2, 2))
