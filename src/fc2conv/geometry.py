"""Shapes, parameters, multiply-accumulates and receptive fields, by arithmetic alone.

An architecture (models/*.py) is a list of the layer descriptions below. `trace` walks an image's shape through it; the
same walk tells the torch modules their input channels (models/layers.py), so that what is planned is what is built.
Nothing here imports torch: a plan takes milliseconds, for a network of 10^12 weights too.

Shapes are (channels, height, width), or (features,) once flattened. MACs are the multiply-accumulates of convolutions
and linear layers for one image, those on padding included, as is usual. A receptive field is the edge, in input
pixels, of the square that one unit can see (Dumoulin & Visin 2016, relationship 8 and after).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Literal

from fc2conv.config import Activation as ActivationName
from fc2conv.config import ConfigError, Norm, PaddingMode

Shape = tuple[int, ...]
Pair = tuple[int, int]


class GeometryError(ConfigError):
    """A layer that does not fit the input it gets."""

    def __init__(self, layer: str, message: str, key: str = "model"):
        super().__init__(key, f"{layer}: {message}")


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

    def window(self, shape: Shape) -> tuple[int, int]:
        """(extent, stride) of what one output unit sees of the layer's input, for the receptive field."""
        return 1, 1


def image(shape: Shape, layer: str) -> tuple[int, int, int]:
    """`shape` as (channels, height, width). Raises GeometryError for flattened features."""
    if len(shape) != 3:
        raise GeometryError(layer, f"needs an image, gets {shape[0]} features")
    return shape[0], shape[1], shape[2]


def _slide(layer: str, what: str, size: Pair, window: Pair, stride: int, hint: str, key: str = "model") -> Pair:
    """Positions of a window of `window` pixels that moves by `stride` over `size` pixels (padding included)."""
    if window[0] > size[0] or window[1] > size[1]:
        raise GeometryError(layer, f"{what}; {hint}", key)
    return (size[0] - window[0]) // stride + 1, (size[1] - window[1]) // stride + 1


@dataclass(frozen=True)
class Conv(Layer):
    """Convolution (cross-correlation, D2L 7.2).

    `depthwise`: each channel has a kernel of its own and stays by itself; `out_channels` does not matter then.
    `table`: for each output map the input maps it takes (LeNet-1 and -5).
    """

    out_channels: int
    kernel_size: int | Pair
    stride: int = 1
    padding: int | Pair | Literal["same", "valid"] = 0
    padding_mode: PaddingMode = "zeros"
    dilation: int = 1
    depthwise: bool = False
    bias: bool = True
    table: tuple[tuple[int, ...], ...] | None = None

    @property
    def kernel(self) -> Pair:
        k = self.kernel_size
        return k if isinstance(k, tuple) else (k, k)

    @property
    def pads(self) -> tuple[Pair, Pair]:
        """((top, bottom), (left, right)). `same` puts the odd pixel of an even kernel below and to the right."""
        if self.padding == "same":
            totals = [self.dilation * (k - 1) for k in self.kernel]
            return (totals[0] // 2, -(-totals[0] // 2)), (totals[1] // 2, -(-totals[1] // 2))
        p = 0 if self.padding == "valid" else self.padding
        vertical, horizontal = p if isinstance(p, tuple) else (p, p)
        return (vertical, vertical), (horizontal, horizontal)

    def output(self, shape: Shape) -> Shape:
        channels, *size = image(shape, self.name)
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
        extent = tuple(self.dilation * (k - 1) + 1 for k in self.kernel)
        spelled = _spell(self.kernel) + (f" with dilation {self.dilation}" if self.dilation > 1 else "")
        what = f"kernel {spelled} does not fit the {size[0]}x{size[1]} input it gets"
        if any(sum(p) for p in self.pads):
            what += f" (padded to {padded[0]}x{padded[1]})"
        hint = "use padding or a smaller kernel"
        height, width = _slide(self.name, what, padded, extent, self.stride, hint, "model.kernel_size")  # type: ignore[arg-type]
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

    def window(self, shape: Shape) -> tuple[int, int]:
        return self.dilation * (max(self.kernel) - 1) + 1, self.stride


def _spell(pair: Pair) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}x{pair[1]}"


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
    size: int = 2
    stride: int = 2

    def output(self, shape: Shape) -> Shape:
        channels, height, width = image(shape, self.name)
        what = f"window {self.size} does not fit the {height}x{width} input it gets"
        hint = "use padding, or fewer poolings (model.pool_after)"
        size = _slide(self.name, what, (height, width), (self.size, self.size), self.stride, hint, "model.pool_after")
        return channels, *size

    def window(self, shape: Shape) -> tuple[int, int]:
        return (self.size + 2 if self.kind == "blur" else self.size), self.stride


@dataclass(frozen=True)
class Subsample(Layer):
    """Sum of four inputs times a trained coefficient plus a trained bias, one of each a map (LeCun et al. 1998, S2)."""

    def output(self, shape: Shape) -> Shape:
        return PoolLayer(self.name, "average").output(shape)

    def params(self, shape: Shape) -> int:
        return 2 * shape[0]

    def window(self, shape: Shape) -> tuple[int, int]:
        return 2, 2


@dataclass(frozen=True)
class PadTo(Layer):
    """Repeat the border until the image is `size` pixels high and wide (the 28x28 digits in LeNet-5's 32x32 field)."""

    size: int

    def output(self, shape: Shape) -> Shape:
        channels, height, width = image(shape, self.name)
        if max(height, width) > self.size:
            raise GeometryError(
                self.name, f"takes images of up to {self.size}x{self.size}, gets {height}x{width}", "data"
            )
        return channels, self.size, self.size


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
    kind: ActivationName


@dataclass(frozen=True)
class DropoutLayer(Layer):
    probability: float


@dataclass(frozen=True)
class Flatten(Layer):
    def output(self, shape: Shape) -> Shape:
        return (prod(shape),)


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

    def _rows(self, shape: Shape) -> list[Row]:
        return trace(self.body, shape).rows

    def output(self, shape: Shape) -> Shape:
        return self._rows(shape)[-1].output

    def params(self, shape: Shape) -> int:
        return sum(row.params for row in self._rows(shape))

    def macs(self, shape: Shape) -> int:
        return sum(row.macs for row in self._rows(shape))

    def window(self, shape: Shape) -> tuple[int, int]:
        last = self._rows(shape)[-1]
        return last.receptive_field, last.jump


@dataclass(frozen=True)
class Row:
    """One layer in a network: what it gets, gives, costs and sees."""

    layer: Layer
    input: Shape
    output: Shape
    params: int
    macs: int
    receptive_field: int
    jump: int = field(repr=False)
    """Input pixels between neighbouring units: the product of the strides so far."""

    @property
    def name(self) -> str:
        return self.layer.name


@dataclass(frozen=True)
class Geometry:
    """A network, layer by layer, for one input shape."""

    input: Shape
    rows: list[Row]

    @property
    def params(self) -> int:
        return sum(row.params for row in self.rows)

    @property
    def macs(self) -> int:
        return sum(row.macs for row in self.rows)

    @property
    def receptive_field(self) -> int:
        """Of a unit in the last layer that still has height and width; without one, the whole image."""
        spatial = [row.receptive_field for row in self.rows if len(row.output) == 3]
        return spatial[-1] if spatial else max(self.input[1:])

    def layer_params(self) -> dict[str, int]:
        """Trainable parameters of each layer that has any."""
        return {row.name: row.params for row in self.rows if row.params}


def trace(layers: Iterable[Layer], shape: Shape) -> Geometry:
    """Walk an input of `shape` through `layers`.

    Raises:
        GeometryError: naming the first layer that does not fit
    """
    start, rows = shape, []
    reach, jump = 1, 1
    for layer in layers:
        output = layer.output(shape)
        extent, stride = layer.window(shape) if len(output) == 3 else (1, 1)
        reach, jump = reach + (extent - 1) * jump, jump * stride
        seen = reach if len(output) == 3 else max(start[1:], default=1)
        rows.append(Row(layer, shape, output, layer.params(shape), layer.macs(shape), seen, jump))
        shape = output
    return Geometry(start, rows)


MONOTONE: frozenset[ActivationName] = frozenset(
    {"sigmoid", "tanh", "scaled_tanh", "relu", "leaky_relu", "elu", "identity"}
)
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


Architecture = Callable[..., list[Layer]]
"""(config, classes) -> layers, the input's shape left open."""
