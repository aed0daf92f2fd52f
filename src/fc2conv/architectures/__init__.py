"""The architectures, one torch-free file each: a config, the function from it to a list of layers, its registration."""

from fc2conv.architectures import (  # noqa: F401
    convnet,
    ladder,
    lenet,
    lenet1,
    lenet5,
    mlp,
    module,
    nin,
    resnet,
    softmax,
)
from fc2conv.architectures.registry import ARCHITECTURES, ModelConfig, Release, layers_of, plan, register
from fc2conv.architectures.trace import Layer, Shape

__all__ = ["ARCHITECTURES", "Layer", "ModelConfig", "Release", "Shape", "layers_of", "plan", "register"]
