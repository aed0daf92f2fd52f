"""The layers that architectures are made of, as descriptions: what each does to a shape, and what it costs.

nets/build.py makes torch modules of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Literal, Union

from fc2conv.architectures.trace import Layer, Row, Shape, image, trace
from fc2conv.errors import GeometryError
from fc2conv.fields import Extent, Pair, pair, spelled

Activation = Literal["sigmoid", "tanh", "scaled_tanh", "relu", "leaky_relu", "elu", "gelu", "silu", "identity"]
Pool = Literal["average", "max", "blur", "strided", "none"]
Padding = Union[Extent, Literal["same", "valid"]]
PaddingMode = Literal["zeros", "reflect", "circular", "replicate"]
Norm = Literal["none", "batch", "layer"]
Init = Literal["torch", "xavier"]


def _positions(size: Pair, window: Pair, stride: Pair, misfit: GeometryError) -> Pair:
    """How many places a window of `window` pixels has that moves by `stride` over `size` pixels (padding included).

    Raises:
        `misfit`, if the window is larger than that
    """
    if window[0] > size[0] or window[1] > size[1]:
        raise misfit
    return (size[0] - window[0]) // stride[0] + 1, (size[1] - window[1]) // stride[1] + 1


def _along(value: int | Pair, across: int = 1) -> int | Pair:
    """What a number means on a signal: so much along it, and `across` it 1, or nothing to pad."""
    return (across, value) if isinstance(value, int) and value != across else value


@dataclass(frozen=True)
class Conv(Layer):
    """Convolution (cross-correlation, D2L 7.2).

    `depthwise`: each channel has a kernel of its own and stays by itself; `out_channels` does not matter then.
    `table`: for each output map the input maps it takes (LeNet-1 and -5).
    """

    out_channels: int
    kernel_size: int | Pair
    stride: int | Pair = 1
    padding: int | Pair | Literal["same", "valid"] = 0
    padding_mode: PaddingMode = "zeros"
    dilation: int | Pair = 1
    depthwise: bool = False
    bias: bool = True
    table: tuple[tuple[int, ...], ...] | None = None

    @property
    def kernel(self) -> Pair:
        """(height, width)"""
        return pair(self.kernel_size)

    @property
    def extent(self) -> Pair:
        """Pixels from one end of the kernel to the other, with what dilation leaves out between them."""
        height, width = (d * (k - 1) + 1 for k, d in zip(self.kernel, pair(self.dilation), strict=True))
        return height, width

    @property
    def pads(self) -> tuple[Pair, Pair]:
        """((top, bottom), (left, right)). `same` puts the odd pixel of an even kernel below and to the right."""
        if self.padding == "same":
            totals = [e - 1 for e in self.extent]
            return (totals[0] // 2, -(-totals[0] // 2)), (totals[1] // 2, -(-totals[1] // 2))
        p = 0 if self.padding == "valid" else self.padding
        vertical, horizontal = pair(p)
        return (vertical, vertical), (horizontal, horizontal)

    @property
    def symmetric(self) -> bool:
        """Whether as much is padded on opposite sides: all but `same` for an even kernel with an odd dilation."""
        return all(before == after for before, after in self.pads)

    def along_signal(self) -> Conv:
        padding = self.padding if isinstance(self.padding, str) else _along(self.padding, across=0)
        window = (_along(n) for n in (self.kernel_size, self.stride, self.dilation))
        kernel_size, stride, dilation = window
        return replace(self, kernel_size=kernel_size, stride=stride, dilation=dilation, padding=padding)

    def output(self, shape: Shape) -> Shape:
        channels, *size = image(shape, self.name)
        if max(pair(self.stride)) > 1 and not self.symmetric:
            stride = spelled(pair(self.stride))
            raise GeometryError(
                self.name,
                f"same is not defined for the even kernel {spelled(self.kernel)} with stride {stride}; use a number",
                "model.padding",
            )
        limit = {"reflect": -1, "circular": 0}.get(self.padding_mode)
        if limit is not None:
            for n, pad in zip(size, self.pads, strict=True):
                if max(pad) > n + limit:
                    raise GeometryError(
                        self.name,
                        f"{self.padding_mode} padding {max(pad)} does not fit the {size[0]}x{size[1]} input it gets; "
                        f"use at most {n + limit}, or model.padding_mode=zeros",
                        "model.padding",
                    )
        padded = (size[0] + sum(self.pads[0]), size[1] + sum(self.pads[1]))
        kernel, dilation = spelled(self.kernel), pair(self.dilation)
        kernel += f" with dilation {spelled(dilation)}" if max(dilation) > 1 else ""
        what = f"kernel {kernel} does not fit the {size[0]}x{size[1]} input it gets"
        if any(sum(p) for p in self.pads):
            what += f" (padded to {padded[0]}x{padded[1]})"
        misfit = GeometryError(self.name, f"{what}; use padding or a smaller kernel", "model.kernel_size")
        height, width = _positions(padded, self.extent, pair(self.stride), misfit)
        return self.maps(channels), height, width

    def maps(self, channels: int) -> int:
        """Output channels for an input of `channels`."""
        return channels if self.depthwise else self.out_channels

    def _taps(self, channels: int) -> int:
        """Weights of the layer."""
        pairs = sum(map(len, self.table)) if self.table else self.maps(channels) * (1 if self.depthwise else channels)
        return prod(self.kernel) * pairs

    def params(self, shape: Shape) -> int:
        return self._taps(shape[0]) + (self.maps(shape[0]) if self.bias else 0)

    def macs(self, shape: Shape) -> int:
        return self._taps(shape[0]) * prod(self.output(shape)[1:])

    def window(self, shape: Shape) -> tuple[Pair, Pair]:
        return self.extent, pair(self.stride)

    def remark(self, shape: Shape) -> str | None:
        before, after = (shape[1], shape[2]), self.output(shape)[1:]
        if all(n <= m for n, m in zip(after, before, strict=True)):
            return None
        return (
            f"{self.name}: padding {spelled((self.pads[0][0], self.pads[1][0]))} is more than the kernel "
            f"{spelled(self.kernel)} takes away, so that the image grows from {before[0]}x{before[1]} "
            f"to {after[0]}x{after[1]}; model.padding=same keeps its size"
        )


@dataclass(frozen=True)
class Local(Layer):
    """Locally connected layer: each output position has weights of its own, none outside the image (D2L eq. 7.1.3)."""

    out_channels: int
    half_width: int

    def output(self, shape: Shape) -> Shape:
        _, height, width = image(shape, self.name)
        return self.out_channels, height, width

    def _taps(self, shape: Shape) -> int:
        # A row offset a (|a| <= D) exists for n - |a| rows: n(2D+1) - D(D+1) row pairs in all, likewise for columns.
        pairs = 1
        for n in shape[1:]:
            d = min(self.half_width, n - 1)
            pairs *= n * (2 * d + 1) - d * (d + 1)
        return shape[0] * self.out_channels * pairs

    def params(self, shape: Shape) -> int:
        return self._taps(shape) + prod(self.output(shape))

    def macs(self, shape: Shape) -> int:
        return self._taps(shape)

    def window(self, shape: Shape) -> tuple[int, int]:
        return 2 * min(self.half_width, max(shape[1:]) - 1) + 1, 1


@dataclass(frozen=True)
class DenseImage(Layer):
    """Fully connected layer from an image to image-shaped hidden units (D2L eq. 7.1.1)."""

    out_channels: int

    def output(self, shape: Shape) -> Shape:
        _, height, width = image(shape, self.name)
        return self.out_channels, height, width

    def params(self, shape: Shape) -> int:
        return (prod(shape) + 1) * prod(self.output(shape))

    def macs(self, shape: Shape) -> int:
        return prod(shape) * prod(self.output(shape))

    def window(self, shape: Shape) -> tuple[int, int]:
        return 2 * max(shape[1:]) - 1, 1


@dataclass(frozen=True)
class SharedImage(Layer):
    """One kernel for all positions that reaches over the whole image: (2h-1) x (2w-1) (D2L eq. 7.1.2).

    Its MACs leave out the padding: the layer multiplies each pixel once for each hidden unit, as a dense one does.
    """

    out_channels: int

    def output(self, shape: Shape) -> Shape:
        _, height, width = image(shape, self.name)
        return self.out_channels, height, width

    def params(self, shape: Shape) -> int:
        channels, height, width = shape
        return self.out_channels * (channels * (2 * height - 1) * (2 * width - 1) + 1)

    def macs(self, shape: Shape) -> int:
        return prod(shape) * prod(self.output(shape))

    def window(self, shape: Shape) -> tuple[int, int]:
        return 2 * max(shape[1:]) - 1, 1


@dataclass(frozen=True)
class Linear(Layer):
    """Fully connected layer on features."""

    out_features: int

    def output(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise GeometryError(self.name, f"needs features, gets a {'x'.join(map(str, shape))} image")
        return (self.out_features,)

    def params(self, shape: Shape) -> int:
        return (shape[0] + 1) * self.out_features

    def macs(self, shape: Shape) -> int:
        return shape[0] * self.out_features


@dataclass(frozen=True)
class RBF(Layer):
    """Squared distance of the features to each class's code of +1 and -1 (LeCun et al. 1998, eq. 7)."""

    classes: int
    trained: bool = False

    def output(self, shape: Shape) -> Shape:
        return (self.classes,)

    def params(self, shape: Shape) -> int:
        return shape[0] * self.classes if self.trained else 0

    def macs(self, shape: Shape) -> int:
        return shape[0] * self.classes


@dataclass(frozen=True)
class PoolLayer(Layer):
    """Window of `size` pixels that moves by `stride`: average, max, or blur (max with stride 1, then a fixed binomial
    filter with `stride` that keeps the size of a plain pooling; Zhang 2019)."""

    kind: Literal["average", "max", "blur"]
    size: int | Pair = 2
    stride: int | Pair = 2

    def along_signal(self) -> PoolLayer:
        return replace(self, size=_along(self.size), stride=_along(self.stride))

    def output(self, shape: Shape) -> Shape:
        channels, height, width = image(shape, self.name)
        what = f"window {spelled(pair(self.size))} does not fit the {height}x{width} input it gets"
        hint = "use padding, or fewer poolings (model.pool_after)"
        misfit = GeometryError(self.name, f"{what}; {hint}", "model.pool_after")
        size = _positions((height, width), pair(self.size), pair(self.stride), misfit)
        return channels, *size

    def kept(self, shape: Shape) -> int:
        whole = prod(self.output(shape))
        if self.kind == "blur":  # the maxima with stride 1, and the same with a border
            return whole + 4 * prod(shape)
        return 3 * whole if self.kind == "max" else whole  # each maximum's place takes eight bytes

    def window(self, shape: Shape) -> tuple[Pair, Pair]:
        height, width = pair(self.size)
        if self.kind == "blur":  # an axis that is not pooled is not filtered
            height, width = (n + 2 if n > 1 else n for n in (height, width))
        return (height, width), pair(self.stride)


@dataclass(frozen=True)
class Subsample(Layer):
    """Sum of four inputs (of two, on a signal) times a trained coefficient plus a trained bias, one of each a map
    (LeCun et al. 1998, S2)."""

    size: int | Pair = 2

    def along_signal(self) -> Subsample:
        return replace(self, size=_along(self.size))

    def output(self, shape: Shape) -> Shape:
        return PoolLayer(self.name, "average", self.size, self.size).output(shape)

    def params(self, shape: Shape) -> int:
        return 2 * shape[0]

    def window(self, shape: Shape) -> tuple[Pair, Pair]:
        return pair(self.size), pair(self.size)


@dataclass(frozen=True)
class PadTo(Layer):
    """Repeat the border until the image is `size` pixels high and wide (the 28x28 digits in LeNet-5's 32x32 field)."""

    size: int | Pair

    def along_signal(self) -> PadTo:
        return replace(self, size=_along(self.size))

    def output(self, shape: Shape) -> Shape:
        channels, *size = image(shape, self.name)
        whole = pair(self.size)
        if any(n > m for n, m in zip(size, whole, strict=True)):
            text = f"takes images of up to {whole[0]}x{whole[1]}, gets {size[0]}x{size[1]}"
            raise GeometryError(self.name, text, "data")
        return channels, *whole


@dataclass(frozen=True)
class Coordinates(Layer):
    """Append two channels: each pixel's x and y in [-1, 1] (Liu et al. 2018)."""

    def output(self, shape: Shape) -> Shape:
        channels, height, width = image(shape, self.name)
        return channels + 2, height, width


@dataclass(frozen=True)
class NormLayer(Layer):
    """Batch norm over channels or features, or layer norm over features."""

    kind: Norm

    def params(self, shape: Shape) -> int:
        return 2 * shape[0]


@dataclass(frozen=True)
class ActivationLayer(Layer):
    """The nonlinearity, value by value."""

    kind: Activation


@dataclass(frozen=True)
class DropoutLayer(Layer):
    """In training, each value becomes 0 with this probability, and the others grow to make up for it."""

    probability: float

    def kept(self, shape: Shape) -> int:
        return 2 * prod(shape)  # the mask


@dataclass(frozen=True)
class Flatten(Layer):
    """An image becomes its values in one row."""

    def output(self, shape: Shape) -> Shape:
        return (prod(shape),)

    def kept(self, shape: Shape) -> int:
        return 0  # the same values under another shape


@dataclass(frozen=True)
class GlobalAverage(Layer):
    """Mean of each map: an image becomes one feature a channel."""

    def output(self, shape: Shape) -> Shape:
        return (image(shape, self.name)[0],)


@dataclass(frozen=True)
class Residual(Layer):
    """`body` plus its input. Where the body shrinks the image or adds channels, the input is subsampled and filled up
    with zero channels: no parameters (He et al. 2016, option A)."""

    body: tuple[Layer, ...]

    def along_signal(self) -> Residual:
        return replace(self, body=tuple(layer.along_signal() for layer in self.body))

    def _rows(self, shape: Shape) -> list[Row]:
        return trace(self.body, shape).rows

    def output(self, shape: Shape) -> Shape:
        return self._rows(shape)[-1].output

    def params(self, shape: Shape) -> int:
        return sum(row.params for row in self._rows(shape))

    def macs(self, shape: Shape) -> int:
        return sum(row.macs for row in self._rows(shape))

    def kept(self, shape: Shape) -> int:
        return sum(row.layer.kept(row.input) for row in self._rows(shape)) + prod(self.output(shape))

    def window(self, shape: Shape) -> tuple[int | Pair, int | Pair] | None:
        last = self._rows(shape)[-1]
        return None if last.receptive_field is None else (last.receptive_field, last.jump)


MONOTONE: frozenset[Activation] = frozenset({"sigmoid", "tanh", "scaled_tanh", "relu", "leaky_relu", "elu", "identity"})
"""Activations that never decrease: the maximum of their values is the value at the maximum."""


def pool_first(layers: Sequence[Layer]) -> list[Layer]:
    """Swap each monotone activation with the max-pooling behind it: the same function on a quarter of the values."""
    result = list(layers)
    for i in range(len(result) - 1):
        act, pool = result[i], result[i + 1]
        if (
            isinstance(act, ActivationLayer)
            and act.kind in MONOTONE
            and isinstance(pool, PoolLayer)
            and pool.kind == "max"
        ):
            result[i], result[i + 1] = pool, act
    return result
