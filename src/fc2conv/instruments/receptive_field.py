"""Receptive fields: which pixels a unit can see, and how much each of them counts.

The theoretical field is where a unit is connected at all. It is found without arithmetic: a row of pixels becomes NaN,
and so does every unit that depends on it. The effective field is the gradient of the middle unit by the image, which in
deep networks is far smaller, and near a Gaussian (Luo et al. 2016).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fc2conv.architectures import ModelConfig
from fc2conv.architectures.trace import Geometry, Shape
from fc2conv.fields import Pair, require
from fc2conv.instruments.drawing import heat
from fc2conv.instruments.layers import copied, layers_of, place_of, watched
from fc2conv.nets.build import net_of
from fc2conv.nets.modules import LocallyConnected

if TYPE_CHECKING:
    from PIL.Image import Image

BATCH = 64
COUNTS = 1 - 0.9545
"""A pixel is in the effective field if it counts at least so much of the strongest: what a Gaussian has outside two
standard deviations (Luo et al. 2016)."""


@dataclass(frozen=True)
class TheoreticalField:
    """What the units of a layer are connected with."""

    rows: NDArray[np.bool_]
    """(H', H): which rows of the image a row of units depends on; for features, (1, H)."""
    columns: NDArray[np.bool_]
    """(W', W), likewise."""
    size: Pair
    """(height, width) in pixels of the largest window of a unit; of what lies in the image, padding is no part."""


@dataclass(frozen=True)
class EffectiveField:
    """How much each pixel counts for the middle unit of a layer."""

    weights: NDArray[np.float64]
    """(H, W): the root mean square of the gradients, scaled so that they sum to 1; all 0 for a unit without one."""

    @property
    def size(self) -> float:
        """Edge in pixels of a square as large as the area that counts, as Luo et al. have it."""
        strongest = self.weights.max()
        return math.sqrt((self.weights >= COUNTS * strongest).sum()) if strongest else 0.0

    @property
    def deviation(self) -> tuple[float, float]:
        """Standard deviation down and across, in pixels. For n convolutions with uniform kernels of width k it is
        sqrt(n (k^2 - 1) / 12). NaN for a unit without a gradient."""
        return _deviation(self.weights.sum(1)), _deviation(self.weights.sum(0))

    def picture(self) -> Image:
        """As an image: the stronger the red, the more a pixel counts."""
        return heat(self.weights)


def theoretical(model: nn.Module, shape: Shape) -> dict[str, TheoreticalField]:
    """The theoretical receptive field of each layer, in the order of the calls.

    Args:
        model: a Classifier, or any module (B, C, H, W) -> (B, classes)
        shape: (C, H, W) of its images
    """
    # on the CPU and in float64 torch computes convolutions directly; its faster ways would let a NaN spread
    net = copied(model, torch.float64, "cpu")
    for layer in net.modules():
        if isinstance(layer, LocallyConnected):  # nor may it be multiplied by the zeros of what is far
            layer.where = None
    wraps = any(getattr(module, "padding_mode", None) == "circular" for module in net.modules())
    rows, columns = _connected(net, shape, 0), _connected(net, shape, 1)
    return {
        name: TheoreticalField(rows[name], columns[name], (_extent(rows[name], wraps), _extent(columns[name], wraps)))
        for name in rows
    }


def effective(model: nn.Module, images: Tensor, layer: str, seed: int = 0) -> EffectiveField:
    """The effective receptive field of a layer's middle unit, over images and all its maps.

    The squared gradients of the maps are summed by one backward pass for each image, which starts from random signs:
    exact for one map, and without bias for many.

    Args:
        model: a Classifier, or any module (B, C, H, W) -> (B, classes)
        images: (N, C, H, W) as the network sees them
        layer: its name in the network, e.g. conv2
        seed: of the signs

    Raises:
        ConfigError: no such layer, or no images
    """
    net = copied(model, torch.float64)
    require(layer in layers_of(net), "layer", layer, f"one of {', '.join(layers_of(net))}")
    require(images.ndim == 4 and len(images) > 0, "images", list(images.shape), "(N, C, H, W) with at least one image")
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(images.shape[2:], dtype=torch.float64)
    for batch in torch.split(images.to(**place_of(net)), BATCH):
        batch = batch.clone().requires_grad_()
        with watched(net) as found:
            net(batch)
        maps = found[layer].value
        middle = maps[:, :, maps.shape[2] // 2, maps.shape[3] // 2] if found[layer].is_map else maps
        signs = torch.randint(2, middle.shape, generator=generator).to(middle) * 2 - 1
        (gradient,) = torch.autograd.grad((middle * signs).sum(), batch)
        total += gradient.square().sum((0, 1)).cpu()
    weights = total.sqrt().numpy()
    return EffectiveField(weights / (weights.sum() or 1.0))


def at_initialisation(config: ModelConfig, geometry: Geometry, seed: int = 0) -> nn.Module:
    """The network of a config and its plan with new weights, to compare a trained one with."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return net_of(config, geometry)


@torch.no_grad()
def _connected(net: nn.Module, shape: Shape, axis: int) -> dict[str, NDArray[np.bool_]]:
    """Layer -> (units, pixels) along an axis, 0 down and 1 across: which depend on which."""
    pixels = shape[1 + axis]
    image = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    spoilt = image.repeat(pixels, 1, 1, 1)
    at = torch.arange(pixels)
    spoilt.movedim(2 + axis, 1)[at, at] = torch.nan
    parts: dict[str, list[Tensor]] = {}
    for batch in torch.split(spoilt, BATCH):
        with watched(net) as found:
            net(batch)
        for name, output in found.items():
            reached = output.value.isnan()
            units = reached.any(1).any(2 - axis) if output.is_map else reached.any(1, keepdim=True)
            parts.setdefault(name, []).append(units)
    return {name: torch.cat(units).T.numpy() for name, units in parts.items()}


def _extent(connected: NDArray[np.bool_], wraps: bool) -> int:
    """Pixels of the largest window along an axis. On a torus one at the edge is torn apart; the middle one is whole."""
    middle = len(connected) // 2
    extents = [0]
    for seen in connected[middle : middle + 1] if wraps else connected:
        where = np.flatnonzero(seen)
        extents.append(int(where[-1] - where[0]) + 1 if len(where) else 0)
    return max(extents)


def _deviation(weights: NDArray[np.float64]) -> float:
    if not weights.sum():
        return math.nan
    at = np.arange(len(weights))
    mean = np.average(at, weights=weights)
    return math.sqrt(np.average((at - mean) ** 2, weights=weights))
