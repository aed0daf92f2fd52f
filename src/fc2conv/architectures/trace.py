"""Shapes, parameters, multiply-accumulates and receptive fields, by arithmetic alone.

`trace` walks an image's shape through a list of layers; the same walk tells the torch modules their input channels
(nets/build.py), so that what is planned is what is built. Nothing here imports torch: a plan takes milliseconds, for a
network of 10^12 weights too.

Shapes are (channels, height, width), or (features,) once flattened. MACs are the multiply-accumulates of convolutions
and linear layers for one image, those on padding included, as is usual. A receptive field is the edge, in input
pixels, of the square that one unit can see (Dumoulin & Visin 2016, relationship 8 and after); where kernels or strides
are not square, its (height, width). A signal is an image one pixel high, and its receptive field a length.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING

from fc2conv.errors import GeometryError
from fc2conv.fields import Pair, pair

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

    def window(self, shape: Shape) -> tuple[int | Pair, int | Pair] | None:
        """(extent, stride) of what an output unit sees of the layer's input, for the receptive field; each a number, or
        (height, width). None: unknown."""
        return 1, 1

    def along_signal(self) -> Layer:
        """The layer for signals, (C, 1, W): what it says with one number for height and width is 1 x that number."""
        return self

    def remark(self, shape: Shape) -> str | None:
        """What people should know of the layer on an input of `shape`, where it does what they may not expect."""
        return None

    def module(self, shape: Shape) -> nn.Module:
        """The layer in torch, for an input of `shape` (without the batch). nets/build.py has those of layers.py."""
        raise NotImplementedError(f"{type(self).__name__} has no module; define module(self, shape)")


def is_signal(shape: Shape) -> bool:
    """Whether an input of `shape`, (C, H, W), has one dimension."""
    return len(shape) == 3 and shape[1] == 1 < shape[2]


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
    receptive_field: int | Pair | None
    """(height, width) where these are not the same; None where it is not known."""
    jump: int | Pair = field(repr=False)
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
    def receptive_field(self) -> int | Pair | None:
        """In pixels, of a unit in the last layer with height and width; without one, the whole image. As of a Row."""
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
    reach: Pair | None = (1, 1)
    jump: Pair = (1, 1)
    for layer in layers:
        output = layer.output(shape)
        window = layer.window(shape) if len(output) == 3 else (1, 1)
        if window is None or reach is None:
            reach = None
        else:
            extent, stride = pair(window[0]), pair(window[1])
            reach = reach[0] + (extent[0] - 1) * jump[0], reach[1] + (extent[1] - 1) * jump[1]
            jump = jump[0] * stride[0], jump[1] * stride[1]
        seen = _seen(reach if len(output) == 3 else WHOLE, start)
        rows.append(Row(layer, shape, output, layer.params(shape), layer.macs(shape), seen, _one(jump)))
        shape = output
    return Geometry(start, rows)


WHOLE = (2**62, 2**62)
"""More pixels than any image has."""


def _seen(reach: Pair | None, image: Shape) -> int | Pair | None:
    """A receptive field, no larger than the image."""
    if reach is None:
        return None
    edges = image[1:] or (1, 1)
    if reach[0] == reach[1] or edges[0] == 1:
        return min(reach[1], max(edges))
    return _one((min(reach[0], edges[0]), min(reach[1], edges[1])))


def _one(value: Pair) -> int | Pair:
    """A number for two that are the same."""
    return value[0] if value[0] == value[1] else value
