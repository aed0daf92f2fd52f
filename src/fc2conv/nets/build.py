"""Descriptions of layers -> a network of torch's own modules, and ours for the layers torch does not have."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from torch import nn

from fc2conv.architectures import ARCHITECTURES, ModelConfig, layers
from fc2conv.architectures.trace import Geometry, Layer, Shape, trace
from fc2conv.fields import pair
from fc2conv.nets import modules

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "identity": nn.Identity,
}


def net_of(config: ModelConfig, geometry: Geometry) -> nn.Module:
    """The network of a config and its plan, initialised as the config says."""
    own = ARCHITECTURES[config.family].net
    net = own(config, geometry) if own else build(geometry)
    if getattr(config, "init", None) == "xavier":
        xavier_(net)
    return net


def build(geometry: Geometry) -> nn.Sequential:
    """The network of a plan: each row's layer under its own name."""
    return nn.Sequential(OrderedDict((row.name, _module(row.layer, row.input)) for row in geometry.rows))


def xavier_(net: nn.Module) -> None:
    """Glorot's uniform for every weight of `net`: within sqrt(6 / (fan_in + fan_out)) of zero, biases untouched.

    The fans count connections: how many inputs a unit sees, and how many units see an input. So a kernel that is shared
    over the whole image starts as the dense matrix that it ties, and a locally connected layer as the convolution.
    """
    for module in net.modules():
        if isinstance(module, (modules.TableConv, modules.LocallyConnected, modules.SharedImage)):
            bound = (6 / sum(module.fans)) ** 0.5
            nn.init.uniform_(module.weight, -bound, bound)
        elif isinstance(module, (nn.Linear, nn.Conv2d)):
            nn.init.xavier_uniform_(module.weight)


def _module(layer: Layer, shape: Shape) -> nn.Module:
    """The module for `layer` on inputs of `shape` (without the batch)."""
    match layer:
        case layers.Conv():
            return _conv(layer, shape[0])
        case layers.Linear():
            return nn.Linear(shape[0], layer.out_features)
        case layers.NormLayer(kind="batch"):
            return nn.BatchNorm2d(shape[0]) if len(shape) == 3 else nn.BatchNorm1d(shape[0])
        case layers.NormLayer():
            return nn.LayerNorm(shape[0])
        case layers.ActivationLayer():
            return modules.ScaledTanh() if layer.kind == "scaled_tanh" else ACTIVATIONS[layer.kind]()
        case layers.PoolLayer(kind="average"):
            return nn.AvgPool2d(layer.size, layer.stride)
        case layers.PoolLayer(kind="max"):
            return nn.MaxPool2d(layer.size, layer.stride)
        case layers.PoolLayer():
            return modules.MaxBlurPool(shape[0], layer.size, layer.stride)
        case layers.DropoutLayer():
            return nn.Dropout(layer.probability)
        case layers.Flatten():
            return nn.Flatten()
        case layers.GlobalAverage():
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        case layers.Local():
            return modules.LocallyConnected(shape, layer.out_channels, layer.half_width)
        case layers.DenseImage():
            return modules.DenseImage(shape, layer.out_channels)
        case layers.SharedImage():
            return modules.SharedImage(shape, layer.out_channels)
        case layers.Subsample():
            return modules.Subsample(shape[0], pair(layer.size))
        case layers.PadTo():
            spare = [m - n for m, n in zip(pair(layer.size), shape[1:], strict=True)]
            return nn.ReplicationPad2d(
                (spare[1] // 2, spare[1] - spare[1] // 2, spare[0] // 2, spare[0] - spare[0] // 2)
            )
        case layers.Coordinates():
            return modules.Coordinates()
        case layers.RBF():
            return modules.RBF(shape[0], layer.classes, layer.trained)
        case layers.Residual():
            return modules.Residual(build(trace(layer.body, shape)), shape, layer.output(shape))
    return layer.module(shape)


def _conv(layer: layers.Conv, channels: int) -> nn.Module:
    (top, _), (left, _) = layer.pads
    options: dict[str, Any] = {
        "stride": layer.stride,
        "padding": (top, left) if layer.symmetric else "same",
        "padding_mode": layer.padding_mode,
        "dilation": layer.dilation,
        "bias": layer.bias,
    }
    if layer.table:
        return modules.TableConv(channels, layer.table, layer.kernel, **options)
    groups = channels if layer.depthwise else 1
    return nn.Conv2d(channels, layer.maps(channels), layer.kernel, groups=groups, **options)
