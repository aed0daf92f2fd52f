"""What LeNet's budget buys today: 3x3 convolutions, batch norm, few poolings, a global average for a head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from fc2conv.architectures.layers import (
    Activation,
    ActivationLayer,
    Conv,
    DropoutLayer,
    GlobalAverage,
    Init,
    Linear,
    NormLayer,
    PoolLayer,
    Residual,
)
from fc2conv.architectures.registry import ModelConfig, register
from fc2conv.architectures.trace import Layer
from fc2conv.fields import require, require_probability


@dataclass(frozen=True)
class ConvNetConfig(ModelConfig):
    """What LeNet's budget buys today: 3x3 convolutions, batch norm, global average."""

    family: Literal["convnet"] = "convnet"
    width_keys: ClassVar[tuple[str, ...]] = ("channels",)
    channels: tuple[int, ...] = (24, 32, 32, 40, 40, 48)
    """Output channels of each 3x3 convolution."""
    pool_after: tuple[int, ...] = (2, 4)
    """Convolutions (1 is the first) that a 2x2 maximum follows."""
    activation: Activation = "relu"
    """Behind each convolution's batch norm."""
    residual: bool = True
    """Add a convolution's input to its output where the shapes agree."""
    dropout: float = 0.0
    """In front of the output layer."""
    init: Init = "xavier"
    """`xavier`: Glorot's uniform on every weight, as in the book; `torch`: each layer's own."""

    def __post_init__(self) -> None:
        n = len(self.channels)
        require(n >= 1, "model.channels", self.channels, "at least one convolution")
        require(all(c > 0 for c in self.channels), "model.channels", self.channels, "at least 1 in each layer")
        require(
            all(1 <= i <= n for i in self.pool_after), "model.pool_after", self.pool_after, f"numbers from 1 to {n}"
        )
        require_probability("model.dropout", self.dropout)


def convnet(config: ConvNetConfig, classes: int) -> list[Layer]:
    """Bias-free 3x3 convolution, batch norm, activation for each of `channels`; maxima after the chosen ones."""
    layers: list[Layer] = []
    previous = None
    for i, channels in enumerate(config.channels, 1):
        conv = (Conv(f"conv{i}", channels, 3, padding=1, bias=False), NormLayer(f"norm{i}", "batch"))
        if config.residual and channels == previous:
            layers.append(Residual(f"residual{i}", conv))
        else:
            layers.extend(conv)
        layers.append(ActivationLayer(f"{config.activation}{i}", config.activation))
        if i in config.pool_after:
            layers.append(PoolLayer(f"pool{i}", "max"))
        previous = channels
    if config.dropout:
        layers.append(DropoutLayer("dropout", config.dropout))
    layers.append(GlobalAverage("average"))
    return [*layers, Linear("output", classes)]


register(ConvNetConfig, convnet)
