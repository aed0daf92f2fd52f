"""Softmax regression and the multilayer perceptron: networks that see a flat vector of pixels (D2L 4 and 5)."""

from fc2conv.config import MLPConfig, SoftmaxConfig, per_layer
from fc2conv.geometry import ActivationLayer, DropoutLayer, Flatten, Layer, Linear, NormLayer


def softmax(config: SoftmaxConfig, classes: int) -> list[Layer]:
    """One linear layer; cross-entropy supplies the softmax."""
    return [Flatten("flatten"), Linear("output", classes)]


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
