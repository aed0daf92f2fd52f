"""Network in Network (Lin et al. 2013; D2L 8.3): small perceptrons slide over the image; an average is the head."""

from fc2conv.config import NiNConfig, per_layer
from fc2conv.geometry import ActivationLayer, Conv, DropoutLayer, GlobalAverage, Layer, NormLayer, PoolLayer


def nin(config: NiNConfig, classes: int) -> list[Layer]:
    """Blocks of a k x k and two 1x1 convolutions, a 2x2 maximum between them; the last block has a map a class."""
    widths = (*config.channels, classes)
    kernels = per_layer("model.kernel_size", config.kernel_size, len(widths), "blocks")
    layers: list[Layer] = []
    for i, (channels, kernel) in enumerate(zip(widths, kernels, strict=True), 1):
        if i == len(widths) and config.dropout:
            layers.append(DropoutLayer("dropout", config.dropout))
        for j, k in enumerate((kernel, 1, 1), 1):
            layers.append(Conv(f"conv{i}_{j}", channels, k, padding="same"))
            if config.norm == "batch":
                layers.append(NormLayer(f"norm{i}_{j}", "batch"))
            # The class maps are averaged as they are: a rectifier in front of the softmax would hide negative evidence.
            if (i, j) != (len(widths), 3):
                layers.append(ActivationLayer(f"relu{i}_{j}", "relu"))
        if i < len(widths):
            layers.append(PoolLayer(f"pool{i}", "max"))
    return [*layers, GlobalAverage("average")]
