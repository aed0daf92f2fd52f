"""What LeNet's budget buys today: 3x3 convolutions, batch norm, few poolings, a global average for a head."""

from fc2conv.config import ConvNetConfig
from fc2conv.geometry import (
    ActivationLayer,
    Conv,
    DropoutLayer,
    GlobalAverage,
    Layer,
    Linear,
    NormLayer,
    PoolLayer,
    Residual,
)


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
