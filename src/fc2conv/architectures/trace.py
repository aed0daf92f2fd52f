"""Shapes, parameters, multiply-accumulates and receptive fields, by arithmetic alone.

`trace` walks an image's shape through a list of layers; the same walk tells the torch modules their input channels
(nets/build.py), so that what is planned is what is built. Nothing here imports torch: a plan takes milliseconds, for a
network of 10^12 weights too.

Shapes are (channels, height, width), or (features,) once flattened. MACs are the multiply-accumulates of convolutions
and linear layers for one image, those on padding included, as is usual. A receptive field is the edge, in input
pixels, of the square that one unit can see (Dumoulin & Visin 2016, relationship 8 and after).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING

from fc2conv.errors import GeometryError

if TYPE_CHECKING:
    from torch import nn

Shape = tuple[int, ...]
"""(channels, height, width), or (features,) once flattened."""


@dataclass(frozen=True)
class Layer:
    """One step of an architecture; what it does to a shape, and what it costs."""

    name: str

    def output(self, shape: Shape) -> Shape:
        """Shape after the layer. Raises GeometryError where it does not fit."""
        return shape

    def params(self, shape: Shape) -> int:
        """Trainable parameters for an input of `shape`."""
        return 0

    def macs(self, shape: Shape) -> int:
        """Multiply-accumulates for one image of `shape`."""
        return 0

    def kept(self, shape: Shape) -> int:
        """Values of four bytes that one image of `shape` leaves for the backward pass, the output among them."""
        return prod(self.output(shape))

    def window(self, shape: Shape) -> tuple[int, int] | None:
        """(extent, stride) of what an output unit sees of the layer's input, for the receptive field. None: unknown."""
        return 1, 1

    def remark(self, shape: Shape) -> str | None:
        """What people should know of the layer on an input of `shape`, where it does what they may not expect."""
        return None

    def module(self, shape: Shape) -> nn.Module:
        """The layer in torch, for an input of `shape` (without the batch). nets/build.py has those of layers.py."""
        raise NotImplementedError(f"{type(self).__name__} has no module; define module(self, shape)")


def image(shape: Shape, layer: str) -> tuple[int, int, int]:
    """`shape` as (channels, height, width). Raises GeometryError for flattened features."""
    if len(shape) != 3:
        raise GeometryError(layer, f"needs an image, gets {shape[0]} features")
    return shape[0], shape[1], shape[2]


@dataclass(frozen=True)
class Row:
    """One layer in a network: what it gets, gives, costs and sees."""

    layer: Layer
    input: Shape
    output: Shape
    params: int
    macs: int
    receptive_field: int | None
    """None where it is not known."""
    jump: int = field(repr=False)
    """Input pixels between neighbouring units: the product of the strides so far."""

    @property
    def name(self) -> str:
        """The layer's."""
        return self.layer.name


@dataclass(frozen=True)
class Geometry:
    """A network, layer by layer, for one input shape."""

    input: Shape
    rows: list[Row]

    @property
    def params(self) -> int:
        """Trainable parameters."""
        return sum(row.params for row in self.rows)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return sum(row.macs for row in self.rows)

    @property
    def receptive_field(self) -> int | None:
        """In pixels, of a unit in the last layer with height and width; without one, the whole image. None: unknown."""
        spatial = [row for row in self.rows if len(row.output) == 3]
        return (spatial or self.rows)[-1].receptive_field

    @property
    def remarks(self) -> list[str]:
        """What the layers have to say."""
        return [text for row in self.rows if (text := row.layer.remark(row.input))]

    def layer_params(self) -> dict[str, int]:
        """Trainable parameters of each layer that has any."""
        return {row.name: row.params for row in self.rows if row.params}


def trace(layers: Iterable[Layer], shape: Shape) -> Geometry:
    """Walk an input of `shape` through `layers`.

    Raises:
        GeometryError: naming the first layer that does not fit
    """
    start, rows = shape, []
    reach: int | None = 1
    jump, edge = 1, max(shape[1:], default=1)
    for layer in layers:
        output = layer.output(shape)
        window = layer.window(shape) if len(output) == 3 else (1, 1)
        if window is None or reach is None:
            reach = None
        else:
            reach, jump = reach + (window[0] - 1) * jump, jump * window[1]
        seen = reach if len(output) == 3 else edge
        seen = None if seen is None else min(seen, edge)
        rows.append(Row(layer, shape, output, layer.params(shape), layer.macs(shape), seen, jump))
        shape = output
    return Geometry(start, rows)
