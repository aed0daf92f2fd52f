"""The multilayer perceptron, which sees a flat vector of pixels (D2L 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from fc2conv.architectures.layers import (
    Activation,
    ActivationLayer,
    DropoutLayer,
    Flatten,
    Init,
    Linear,
    NormLayer,
)
from fc2conv.architectures.registry import ModelConfig, register
from fc2conv.architectures.trace import Layer
from fc2conv.fields import per_layer, require, require_probability


@dataclass(frozen=True)
class MLPConfig(ModelConfig):
    """Multilayer perceptron on the flattened image (D2L 5)."""

    family: Literal["mlp"] = "mlp"
    width_keys: ClassVar[tuple[str, ...]] = ("hidden",)
    hidden: tuple[int, ...] = (256, 256)
    """Width of each hidden layer."""
    activation: Activation = "relu"
    """Behind each hidden layer."""
    dropout: float | tuple[float, ...] = 0.0
    """Probability of dropping a hidden unit; one value, or one for each hidden layer."""
    norm: Literal["none", "batch", "layer"] = "none"
    """Batch or layer norm behind each hidden layer, in front of its activation."""
    init: Init = "xavier"
    """`xavier`: Glorot's uniform on every weight, as in the book; `torch`: each layer's own."""

    def __post_init__(self) -> None:
        require(all(h > 0 for h in self.hidden), "model.hidden", self.hidden, "widths of at least 1")
        for p in per_layer("model.dropout", self.dropout, len(self.hidden), "hidden layers"):
            require_probability("model.dropout", p)


def mlp(config: MLPConfig, classes: int) -> list[Layer]:
    """Linear, norm, activation, dropout for each hidden width, then the output layer."""
    layers: list[Layer] = [Flatten("flatten")]
    dropout = per_layer("model.dropout", config.dropout, len(config.hidden), "hidden layers")
    for i, width in enumerate(config.hidden, 1):
        layers.append(Linear(f"hidden{i}", width))
        if config.norm != "none":
            layers.append(NormLayer(f"norm{i}", config.norm))
        layers.append(ActivationLayer(f"{config.activation}{i}", config.activation))
        if dropout[i - 1]:
            layers.append(DropoutLayer(f"dropout{i}", dropout[i - 1]))
    return [*layers, Linear("output", classes)]


register(MLPConfig, mlp)
