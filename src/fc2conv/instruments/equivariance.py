"""Equivariance: whether a layer's response moves with the image.

For the layer f of a network (all layers up to it), images x and a shift T:

    error = ||f(T x) - T f(x)|| / ||f(x)||

0: equivariant. About sqrt(2): as far apart as unrelated responses. A convolution with circular padding and stride 1 is
exactly equivariant (D2L 7.1, the first principle); padding of another kind breaks it at the border, a stride for every
shift that is no multiple of it. For a layer without positions T does nothing, and the error says how far it is from
invariant.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fc2conv.fields import Pair, require
from fc2conv.instruments.drawing import lines
from fc2conv.instruments.layers import Output, copied, place_of, watched

if TYPE_CHECKING:
    from altair import Chart

BATCH = 64
"""Images at a time: all layers' responses to them are kept, twice."""
SHIFTS: tuple[Pair, ...] = tuple((0, dx) for dx in range(9))


@dataclass(frozen=True)
class Equivariance:
    """The errors of each layer for each shift."""

    layers: list[str]
    strides: list[Pair]
    """Total stride of each layer: input pixels between neighbouring units."""
    shifts: list[Pair]
    """(down, right) in input pixels."""
    errors: NDArray[np.float64]
    """(layers, shifts). NaN: no unit lies inside both maps, with edges=inside."""

    def error(self, layer: str, shift: Pair) -> float:
        return float(self.errors[self.layers.index(layer), self.shifts.index(shift)])

    def chart(self) -> Chart:
        """The error against the length of the shift, a line a layer."""
        lengths = [math.hypot(*shift) for shift in self.shifts]
        errors = {layer: row.tolist() for layer, row in zip(self.layers, self.errors, strict=True)}
        return lines("Equivariance by layer", ("shift (pixels)", lengths), ("relative error", errors))


def equivariance(
    model: nn.Module,
    images: Tensor,
    shifts: Sequence[Pair] = SHIFTS,
    edges: Literal["wrap", "inside"] = "wrap",
) -> Equivariance:
    """The errors of every layer, in float64.

    A map of total stride s moves by a fraction of a unit when the image moves by no multiple of s. Each unit is then
    drawn as the s x s pixels it stands for, and the drawing moves by whole pixels (as Zhang 2019 compares maps).

    Args:
        model: a Classifier, or any module (B, C, H, W) -> (B, classes)
        images: (N, C, H, W) as the network sees them
        shifts: (down, right) in pixels; what leaves the image at one side enters at the other
        edges: wrap: maps are shifted likewise, as on a torus; exact where each map is as large as image / stride.
            inside: only units that lie inside both maps are compared, whatever their size; exact without padding

    Raises:
        ConfigError: no images, or no shifts
    """
    require(images.ndim == 4 and len(images) > 0, "images", tuple(images.shape), "(N, C, H, W) with at least one image")
    require(len(shifts) > 0, "shifts", list(shifts), "at least one (down, right)")
    net = copied(model, torch.float64)
    names: list[str] = []
    strides: list[Pair] = []
    sums: dict[tuple[str, Pair], Tensor] = {}
    for batch in torch.split(images.to(**place_of(net)), BATCH):
        plain = _responses(net, batch)
        if not names:
            names, strides = list(plain), [output.stride for output in plain.values()]
        for shift in shifts:
            moved = _responses(net, torch.roll(batch, shift, (2, 3)))
            for name in names:
                found = _squares(moved[name].value, plain[name], shift, edges)
                sums[name, shift] = sums.get((name, shift), torch.zeros(2).to(found)) + found
    errors = [[_ratio(*sums[name, shift].tolist()) for shift in shifts] for name in names]
    return Equivariance(names, strides, list(shifts), np.array(errors))


@torch.no_grad()
def _responses(net: nn.Module, images: Tensor) -> dict[str, Output]:
    with watched(net) as found:
        net(images)
    return dict(found)


def _squares(moved: Tensor, plain: Output, shift: Pair, edges: str) -> Tensor:
    """(2,): ||f(T x) - T f(x)||^2 and ||T f(x)||^2, the mean over a unit's pixels."""
    total = torch.zeros(2).to(moved)
    if not plain.is_map:
        return total + torch.stack([(moved - plain.value).square().sum(), plain.value.square().sum()])
    for down, right, part in _moves(shift, plain.stride):
        if edges == "wrap":
            here, there = moved, torch.roll(plain.value, (down, right), (2, 3))
        else:
            here, there = _inside(moved, down, right), _inside(plain.value, -down, -right)
        if not here.numel():
            return total + float("nan")
        total += part * torch.stack([(here - there).square().sum(), there.square().sum()])
    return total


def _moves(shift: Pair, stride: Pair) -> Iterator[tuple[int, int, float]]:
    """(units down, units right, fraction of a unit's pixels that move so far)."""
    axes = []
    for pixels, step in zip(shift, stride, strict=True):
        whole, rest = divmod(pixels, step)
        axes.append([(whole, 1 - rest / step), (whole + 1, rest / step)])
    for down, vertical in axes[0]:
        for right, horizontal in axes[1]:
            if vertical * horizontal > 0:
                yield down, right, vertical * horizontal


def _inside(maps: Tensor, down: int, right: int) -> Tensor:
    """The units of (B, C, H, W) that are still units when the map is shifted by (-down, -right)."""
    h, w = maps.shape[2:]
    return maps[:, :, max(down, 0) : max(h + min(down, 0), 0), max(right, 0) : max(w + min(right, 0), 0)]


def _ratio(difference: float, norm: float) -> float:
    if norm == 0:
        return 0.0 if difference == 0 else math.inf
    return math.sqrt(difference / norm)
