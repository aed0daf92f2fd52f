"""LeNet as the book has it (D2L 7.6), its variants, and the two published ancestors."""

from fc2conv.config import ConfigError, LeNet1Config, LeNet5Config, LeNetConfig, per_layer
from fc2conv.geometry import (
    RBF,
    ActivationLayer,
    Conv,
    Coordinates,
    DropoutLayer,
    Flatten,
    GlobalAverage,
    Layer,
    Linear,
    NormLayer,
    PadTo,
    PoolLayer,
    Subsample,
)


def lenet(config: LeNetConfig, classes: int) -> list[Layer]:
    """Convolution, norm, activation, pooling for each of `channels`; then hidden linear layers or a global average."""
    n = len(config.channels)
    kernel, stride, dilation, padding = (
        per_layer(f"model.{key}", getattr(config, key), n, "convolutions in model.channels")
        for key in ("kernel_size", "stride", "dilation", "padding")
    )
    pooled = range(1, n + 1) if config.pool_after is None else config.pool_after
    layers: list[Layer] = [Coordinates("coordinates")] if config.coordinates else []
    for i, channels in enumerate(config.channels, 1):
        step = stride[i - 1] * (2 if config.pool == "strided" and i in pooled else 1)
        if padding[i - 1] == "same" and kernel[i - 1] % 2 == 0 and step > 1:
            raise ConfigError(
                "model.padding",
                f"conv{i}: same is not defined for the even kernel {kernel[i - 1]} with stride {step}; use a number",
            )
        window = {
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
            layers.append(PoolLayer(f"pool{i}", config.pool))

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


PAIRS = ((0,), (0, 1), (0, 1), (1,), (0, 1), (0, 1), (2,), (2, 3), (2, 3), (3,), (2, 3), (2, 3))
"""The maps of H2 that each of LeNet-1's 12 maps of H3 takes, after LeCun et al. 1990, table 1. Eight pairs and four
single maps give the published 2,578 parameters; their order has not been checked against the paper."""

C3 = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    (0, 1, 2, 3, 4, 5),
)
"""The maps of S2 that each of LeNet-5's 16 maps of C3 takes (LeCun et al. 1998, table I)."""


def _squash(name: str) -> Layer:
    return ActivationLayer(f"tanh_{name}", "scaled_tanh")


def lenet1(config: LeNet1Config, classes: int) -> list[Layer]:
    """H1 to H4 of the 1990 paper on 28x28 pixels, and its output layer."""
    return [
        *(Conv("h1", 4, 5), _squash("h1"), Subsample("h2"), _squash("h2")),
        *(Conv("h3", len(PAIRS), 5, table=PAIRS), _squash("h3"), Subsample("h4"), _squash("h4")),
        *(Flatten("flatten"), Linear("output", classes)),
    ]


def lenet5(config: LeNet5Config, classes: int) -> list[Layer]:
    """C1 to F6 of the 1998 paper on a 32x32 field, and its RBF output."""
    return [
        PadTo("field", 32),
        *(Conv("c1", 6, 5), _squash("c1"), Subsample("s2"), _squash("s2")),
        *(Conv("c3", len(C3), 5, table=C3), _squash("c3"), Subsample("s4"), _squash("s4")),
        *(Conv("c5", 120, 5), _squash("c5"), Flatten("flatten"), Linear("f6", 84), _squash("f6")),
        RBF("output", classes, config.train_rbf),
    ]
