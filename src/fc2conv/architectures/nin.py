"""Network in Network (Lin et al. 2013; D2L 8.3): small perceptrons slide over the image; an average is the head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from fc2conv.architectures.layers import (
    ActivationLayer,
    Conv,
    DropoutLayer,
    GlobalAverage,
    Init,
    NormLayer,
    PoolLayer,
)
from fc2conv.architectures.registry import ModelConfig, register
from fc2conv.architectures.trace import Layer
from fc2conv.fields import Extent, per_layer, require, require_extent, require_probability, sides


@dataclass(frozen=True)
class NiNConfig(ModelConfig):
    """Network in Network (Lin et al. 2013; D2L 8.3): a convolution and two 1x1 in each block, global average."""

    family: Literal["nin"] = "nin"
    width_keys: ClassVar[tuple[str, ...]] = ("channels",)
    channels: tuple[int, ...] = (32, 64)
    """Blocks before the last, whose channels are the classes."""
    kernel_size: Extent | tuple[Extent, ...] = (5, 3, 3)
    """One, or one for each block, the last included; a number, or HEIGHTxWIDTH: 1x5. On signals 5 means 1x5."""
    norm: Literal["none", "batch"] = "none"
    """Batch norm behind each convolution."""
    dropout: float = 0.0
    """In front of the last block."""
    init: Init = "xavier"
    """`xavier`: Glorot's uniform on every weight, as in the book; `torch`: each layer's own."""

    def __post_init__(self) -> None:
        require(all(c > 0 for c in self.channels), "model.channels", self.channels, "at least 1 in each block")
        for k in per_layer("model.kernel_size", self.kernel_size, len(self.channels) + 1, "blocks"):
            require_extent("model.kernel_size", k, 1)
        require_probability("model.dropout", self.dropout)


def nin(config: NiNConfig, classes: int) -> list[Layer]:
    """Blocks of a k x k and two 1x1 convolutions, a 2x2 maximum between them; the last block has a map a class."""
    widths = (*config.channels, classes)
    kernels = [sides(k) for k in per_layer("model.kernel_size", config.kernel_size, len(widths), "blocks")]
    layers: list[Layer] = []
    for i, (channels, kernel) in enumerate(zip(widths, kernels, strict=True), 1):
        if i == len(widths) and config.dropout:
            layers.append(DropoutLayer("dropout", config.dropout))
        for j, k in enumerate((kernel, 1, 1), 1):
            assert k is not None
            layers.append(Conv(f"conv{i}_{j}", channels, k, padding="same"))
            if config.norm == "batch":
                layers.append(NormLayer(f"norm{i}_{j}", "batch"))
            # The class maps are averaged as they are: a rectifier in front of the softmax would hide negative evidence.
            if (i, j) != (len(widths), 3):
                layers.append(ActivationLayer(f"relu{i}_{j}", "relu"))
        if i < len(widths):
            layers.append(PoolLayer(f"pool{i}", "max"))
    return [*layers, GlobalAverage("average")]


register(NiNConfig, nin)
