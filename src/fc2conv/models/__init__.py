"""The architectures: one torch-free file a family, each a function from its config to a list of layers.

`plan` is their arithmetic; the LightningModules of the same names (`from fc2conv.models import LeNet`) are made of
them in modules.py and imported only when asked for, since importing lightning takes seconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fc2conv.config import ModelConfig
from fc2conv.geometry import Architecture, Geometry, Layer, Shape, pool_first, trace
from fc2conv.models.convnet import convnet
from fc2conv.models.ladder import ladder
from fc2conv.models.lenet import lenet, lenet1, lenet5
from fc2conv.models.nin import nin
from fc2conv.models.perceptrons import mlp, softmax
from fc2conv.models.resnet import resnet

if TYPE_CHECKING:
    from fc2conv.models.modules import MLP as MLP
    from fc2conv.models.modules import ConvNet as ConvNet
    from fc2conv.models.modules import Ladder as Ladder
    from fc2conv.models.modules import LeNet as LeNet
    from fc2conv.models.modules import LeNet1 as LeNet1
    from fc2conv.models.modules import LeNet5 as LeNet5
    from fc2conv.models.modules import NiN as NiN
    from fc2conv.models.modules import ResNet as ResNet
    from fc2conv.models.modules import Softmax as Softmax

ARCHITECTURES: dict[str, Architecture] = {
    function.__name__: function for function in (softmax, mlp, ladder, lenet, lenet1, lenet5, nin, resnet, convnet)
}
"""family -> architecture; the same names as config.MODELS."""


def layers_of(config: ModelConfig, classes: int) -> list[Layer]:
    """The layers of the network that `config` describes, max-pooling ahead of monotone activations."""
    return pool_first(ARCHITECTURES[config.family](config, classes))


def plan(config: ModelConfig, shape: Shape, classes: int) -> Geometry:
    """Shapes, parameters, MACs and receptive fields of `config` on images of `shape`.

    Raises:
        GeometryError: naming the first layer that does not fit
    """
    return trace(layers_of(config, classes), shape)


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    return getattr(import_module("fc2conv.models.modules"), name)
