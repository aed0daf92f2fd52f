"""The architectures as LightningModules: `LeNet(LeNetConfig(...))`, `LeNet.load_from_checkpoint(path)`.

Each is a Classifier whose network is the list of layers of the function of the same name; only LeNet-5 learns
differently from the rest.
"""

import torch
from torch import Tensor

from fc2conv.classifier import Classifier
from fc2conv.config import (
    ConvNetConfig,
    LadderConfig,
    LeNet1Config,
    LeNet5Config,
    LeNetConfig,
    MLPConfig,
    NiNConfig,
    ResNetConfig,
    SoftmaxConfig,
)


class Softmax(Classifier):
    """Softmax regression."""

    config_class = SoftmaxConfig


class MLP(Classifier):
    """Multilayer perceptron."""

    config_class = MLPConfig


class Ladder(Classifier):
    """Image-shaped hidden units: dense, local, shared or convolutional."""

    config_class = LadderConfig


class LeNet(Classifier):
    """LeNet of D2L 7.6 and its variants."""

    config_class = LeNetConfig


class LeNet1(Classifier):
    """LeNet-1 of 1990."""

    config_class = LeNet1Config


class LeNet5(Classifier):
    """LeNet-5 of 1998: its outputs are minus squared distances, its loss the paper's equation 9."""

    config_class = LeNet5Config

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """y_D + log(e^-j + sum over classes i of e^-y_i), y the squared distances: (B, classes), (B,) -> (B,)."""
        assert isinstance(self.config, LeNet5Config)
        distance = -outputs.gather(1, labels[:, None])[:, 0]
        garbage = outputs.new_full((len(outputs), 1), -self.config.garbage)
        return distance + torch.cat([outputs, garbage], dim=1).logsumexp(1)


class NiN(Classifier):
    """Network in Network."""

    config_class = NiNConfig


class ResNet(Classifier):
    """Residual network of 6n+2 layers."""

    config_class = ResNetConfig


class ConvNet(Classifier):
    """LeNet's budget, spent today."""

    config_class = ConvNetConfig


CLASSES: dict[str, type[Classifier]] = {
    c.config_class.family: c for c in (Softmax, MLP, Ladder, LeNet, LeNet1, LeNet5, NiN, ResNet, ConvNet)
}
"""family -> class; the same names as config.MODELS."""
