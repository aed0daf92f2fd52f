"""LeNet as the book has it (D2L 7.6), and its variants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from fc2conv.architectures.layers import (
    Activation,
    ActivationLayer,
    Conv,
    Coordinates,
    DropoutLayer,
    Flatten,
    GlobalAverage,
    Init,
    Linear,
    NormLayer,
    Padding,
    PaddingMode,
    Pool,
    PoolLayer,
)
from fc2conv.architectures.registry import ModelConfig, register
from fc2conv.architectures.trace import Layer
from fc2conv.fields import Extent, Pair, pair, per_layer, require, require_extent, require_probability, sides


@dataclass(frozen=True)
class LeNetConfig(ModelConfig):
    """LeNet as in D2L 7.6, and its variants as arguments of the same class.

    Keys that say "one, or one for each convolution" take a number or a list; a list shorter than `channels` goes on
    with its last value.
    """

    family: Literal["lenet"] = "lenet"
    width_keys: ClassVar[tuple[str, ...]] = ("channels", "hidden")
    channels: tuple[int, ...] = (6, 16)
    """Output channels, one number for each convolution."""
    kernel_size: Extent | tuple[Extent, ...] = 5
    """One, or one for each convolution. This and the next keys may be HEIGHTxWIDTH: 1x5. On signals, which are one
    pixel high, 5 means 1x5."""
    padding: Padding | tuple[Padding, ...] = (2, 0)
    """Pixels on each side, `same` (output as large as input / stride) or `valid` (none); one, or one for each. The
    book's (2, 0) goes with a single convolution too, and stays with smaller kernels, for which `same` or (1, 0) would
    do: nothing is changed in silence, but the layer table says where an image grows."""
    padding_mode: PaddingMode = "zeros"
    """What is padded with: zeros, the image mirrored at its border (reflect), its border pixels (replicate), or its
    opposite side (circular)."""
    stride: Extent | tuple[Extent, ...] = 1
    """Pixels from one window to the next; one, or one for each convolution."""
    dilation: Extent | tuple[Extent, ...] = 1
    """Pixels from one tap of the kernel to the next; one, or one for each convolution."""
    activation: Activation = "sigmoid"
    """Behind each convolution and each hidden linear layer."""
    pool: Pool = "average"
    """2x2 with stride 2. `strided`: the convolution before it takes twice its stride instead. `blur`: maximum with
    stride 1, then a fixed binomial filter with stride 2 (Zhang 2019). `none`: no subsampling."""
    pool_size: Extent = 2
    """Window and stride of the poolings, in place of 2x2: 3, or 1x2."""
    pool_after: tuple[int, ...] | None = None
    """Convolutions (1 is the first) that a pooling follows; null: all of them."""
    norm: Literal["none", "batch"] = "none"
    """Batch norm behind each convolution."""
    bias: bool = True
    """Bias of the convolutions; batch norm makes it redundant."""
    dropout: float = 0.0
    """In front of each hidden linear layer but the first, and of the output layer."""
    head: Literal["dense", "gap"] = "dense"
    """dense: flatten, `hidden` linear layers, output. gap: global average of each map, output."""
    hidden: tuple[int, ...] = (120, 84)
    """Widths of the hidden linear layers, with head=dense."""
    separable: bool = False
    """Each convolution as depthwise then 1x1 (Howard et al. 2017)."""
    coordinates: bool = False
    """Two channels with each pixel's x and y in [-1, 1] join the input (Liu et al. 2018)."""
    init: Init = "xavier"
    """`xavier`: Glorot's uniform on every weight, as in the book; `torch`: each layer's own."""

    def __post_init__(self) -> None:
        n = len(self.channels)
        require(n >= 1, "model.channels", self.channels, "at least one convolution, e.g. [6,16]")
        require(all(c > 0 for c in self.channels), "model.channels", self.channels, "at least 1 in each layer")
        if isinstance(self.padding, tuple) and self.padding == LeNetConfig.padding:
            # nobody wrote it, so it must not be refused for being too long
            object.__setattr__(self, "padding", self.padding[:n])
        for key, least in (("kernel_size", 1), ("stride", 1), ("dilation", 1), ("padding", 0)):
            for value in per_layer(f"model.{key}", getattr(self, key), n, "convolutions in model.channels"):
                if not (key == "padding" and value in ("same", "valid")):
                    require_extent(f"model.{key}", value, least)
        require_extent("model.pool_size", self.pool_size, 1)
        require(
            all(1 <= i <= n for i in self.pool_after or ()),
            "model.pool_after",
            self.pool_after,
            f"numbers from 1 to {n}",
        )
        require(all(h > 0 for h in self.hidden), "model.hidden", self.hidden, "widths of at least 1")
        require_probability("model.dropout", self.dropout)

    def unused(self) -> dict[str, str]:
        found = {} if self.head == "dense" else {"hidden": "only model.head=dense has hidden layers"}
        if self.pool == "none":
            found |= dict.fromkeys(("pool_after", "pool_size"), "model.pool=none pools nowhere")
        if all(p in (0, "valid") for p in per_layer("model.padding", self.padding, len(self.channels), "")):
            found["padding_mode"] = "model.padding pads nothing"
        return found


def lenet(config: LeNetConfig, classes: int) -> list[Layer]:
    """Convolution, norm, activation, pooling for each of `channels`; then hidden linear layers or a global average."""
    n = len(config.channels)
    kernel, stride, dilation, padding = (
        [sides(v) or v for v in per_layer(f"model.{key}", getattr(config, key), n, "convolutions in model.channels")]
        for key in ("kernel_size", "stride", "dilation", "padding")
    )
    pool_size = sides(config.pool_size)
    assert pool_size is not None
    pooled = range(1, n + 1) if config.pool_after is None else config.pool_after
    layers: list[Layer] = [Coordinates("coordinates")] if config.coordinates else []
    for i, channels in enumerate(config.channels, 1):
        step = _times(stride[i - 1], pool_size) if config.pool == "strided" and i in pooled else stride[i - 1]
        window: dict[str, Any] = {
            "kernel_size": kernel[i - 1],
            "stride": step,
            "padding": padding[i - 1],
            "padding_mode": config.padding_mode,
            "dilation": dilation[i - 1],
            "bias": config.bias,
        }
        if config.separable:
            layers.append(Conv(f"conv{i}_depthwise", 0, depthwise=True, **window))
            layers.append(Conv(f"conv{i}_pointwise", channels, 1, bias=config.bias))
        else:
            layers.append(Conv(f"conv{i}", channels, **window))
        if config.norm == "batch":
            layers.append(NormLayer(f"norm{i}", "batch"))
        layers.append(ActivationLayer(f"{config.activation}{i}", config.activation))
        if i in pooled and config.pool in ("average", "max", "blur"):
            layers.append(PoolLayer(f"pool{i}", config.pool, pool_size, pool_size))

    if config.head == "gap":
        layers.append(GlobalAverage("average"))
    else:
        layers.append(Flatten("flatten"))
        for j, width in enumerate(config.hidden, n + 1):
            if config.dropout and j > n + 1:
                layers.append(DropoutLayer(f"dropout{j}", config.dropout))
            layers += [Linear(f"linear{j}", width), ActivationLayer(f"{config.activation}{j}", config.activation)]
    if config.dropout:
        layers.append(DropoutLayer("dropout", config.dropout))
    return [*layers, Linear("output", classes)]


def _times(stride: int | Pair, factor: int | Pair) -> int | Pair:
    if isinstance(stride, int) and isinstance(factor, int):
        return stride * factor
    height, width = (n * m for n, m in zip(pair(stride), pair(factor), strict=True))
    return height, width


register(LeNetConfig, lenet)
