"""Residual network of 6n+2 layers for small images (He et al. 2016, section 4.2)."""

from fc2conv.config import ResNetConfig
from fc2conv.geometry import ActivationLayer, Conv, GlobalAverage, Layer, Linear, NormLayer, Residual


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
