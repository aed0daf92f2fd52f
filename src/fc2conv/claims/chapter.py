"""The sections of Dive into Deep Learning that claims come from."""

from __future__ import annotations

SECTIONS = {
    "7": "Convolutional neural networks",
    "7.1": "From fully connected layers to convolutions",
    "7.1.1": "Invariance",
    "7.1.2": "Constraining the MLP",
    "7.1.2.1": "Translation invariance",
    "7.1.2.2": "Locality",
    "7.1.3": "Convolutions",
    "7.1.4": "Channels",
    "7.1.5": "Summary and discussion",
    "7.1.6": "Exercises",
    "7.2": "Convolutions for images",
    "7.2.1": "The cross-correlation operation",
    "7.2.2": "Convolutional layers",
    "7.2.3": "Object edge detection in images",
    "7.2.4": "Learning a kernel",
    "7.2.5": "Cross-correlation and convolution",
    "7.2.6": "Feature map and receptive field",
    "7.3": "Padding and stride",
    "7.3.1": "Padding",
    "7.3.2": "Stride",
    "7.4": "Multiple input and multiple output channels",
    "7.4.1": "Multiple input channels",
    "7.4.2": "Multiple output channels",
    "7.4.3": "1 x 1 convolutional layer",
    "7.5": "Pooling",
    "7.5.1": "Maximum pooling and average pooling",
    "7.6": "LeNet",
    "7.6.1": "LeNet",
    "7.6.2": "Training",
    "8": "Modern convolutional neural networks",
    "8.1": "AlexNet",
    "8.2": "VGG: networks using blocks",
    "8.3": "NiN: network in network",
    "8.6": "ResNet and ResNeXt",
}


def position(section: str) -> tuple[int, ...]:
    """Where a section stands among the others.

    Example:
        >>> sorted(["7.1.2", "7.10", "7.1"], key=position)
        ['7.1', '7.1.2', '7.10']
    """
    return tuple(map(int, section.split(".")))
