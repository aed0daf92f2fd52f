"""Residual network of 6n+2 layers for small images (He et al. 2016, section 4.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from fc2conv.architectures.layers import ActivationLayer, Conv, GlobalAverage, Init, Linear, NormLayer, Residual
from fc2conv.architectures.registry import ModelConfig, register
from fc2conv.architectures.trace import Layer
from fc2conv.fields import require


@dataclass(frozen=True)
class ResNetConfig(ModelConfig):
    """Residual network of 6n+2 layers for small images (He et al. 2016, section 4.2), parameter-free shortcuts."""

    family: Literal["resnet"] = "resnet"
    width_keys: ClassVar[tuple[str, ...]] = ("width",)
    n: int = 1
    """Residual blocks in each of the three stages."""
    width: int = 16
    """Channels of the first stage; the next two double them."""
    init: Init = "xavier"
    """`xavier`: Glorot's uniform on every weight, as in the book; `torch`: each layer's own."""

    def __post_init__(self) -> None:
        require(self.n >= 1, "model.n", self.n, "1 or more blocks")
        require(self.width >= 1, "model.width", self.width, "1 or more channels")


def resnet(config: ResNetConfig, classes: int) -> list[Layer]:
    """A 3x3 convolution, three stages of n blocks (each halves the image and doubles the width), global average."""
    layers = _conv("conv1", config.width, 1, relu=True)
    for stage in range(3):
        for block in range(1, config.n + 1):
            width, stride = config.width * 2**stage, 2 if stage and block == 1 else 1
            body = [*_conv("conv1", width, stride, relu=True), *_conv("conv2", width, 1, relu=False)]
            name = f"stage{stage + 1}_block{block}"
            layers += [Residual(name, tuple(body)), ActivationLayer(f"{name}_relu", "relu")]
    return [*layers, GlobalAverage("average"), Linear("output", classes)]


def _conv(name: str, channels: int, stride: int, relu: bool) -> list[Layer]:
    layers: list[Layer] = [
        Conv(name, channels, 3, stride=stride, padding=1, bias=False),
        NormLayer(f"{name}_norm", "batch"),
    ]
    return [*layers, ActivationLayer(f"{name}_relu", "relu")] if relu else layers


register(ResNetConfig, resnet)
