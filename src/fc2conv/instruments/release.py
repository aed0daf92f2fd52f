"""Constraints released and imposed: the steps between a fully connected layer and a convolution, with trained weights.

A convolution is a dense layer under two constraints, locality and sharing (D2L 7.1). Released from one or both, it
computes the same, and may then learn what they forbade. Imposed on a trained layer, they leave the nearest layer that
has them: what is far becomes zero, and what shares a weight becomes its mean, along the diagonals of the matrix.
"""

from __future__ import annotations

import copy
from math import prod
from typing import Literal, cast

import torch
from torch import Tensor, nn

from fc2conv.architectures import Release, Shape
from fc2conv.errors import ConfigError
from fc2conv.fields import require, spelled
from fc2conv.instruments.layers import copied, layers_of, network_of, place_of
from fc2conv.instruments.matrix import (
    Connections,
    LinearLayer,
    TiedLinear,
    bias_of,
    connections,
    everywhere,
    matrix_of,
    pads,
)
from fc2conv.nets.modules import DenseImage, LocallyConnected, SharedImage, TableConv

Constraint = Literal["local", "shared", "conv"]
"""As model.constraint of the ladder has them."""


def project(matrix: Tensor, onto: Connections) -> Tensor:
    """The weights of the layer of that structure which is nearest to a matrix, in the sum of squares: (n_weights,).

    Each is the mean of the entries that share it; entries without a connection are dropped.

    Raises:
        ConfigError: a structure in which several weights meet in one entry
    """
    if onto.nonzeros < len(onto.rows):
        raise ConfigError("onto", "got a structure in which several weights add up to one entry; expected one weight")
    entries, weights = matrix[onto.rows, onto.columns], onto.weights.to(matrix.device)
    sums = matrix.new_zeros(onto.n_weights).index_add(0, weights, entries)
    return sums / torch.bincount(weights, minlength=onto.n_weights).clamp(min=1)


def released(layer: nn.Conv2d | LocallyConnected | SharedImage, shape: Shape, release: Release) -> nn.Module:
    """A layer that computes the same, with its constraint released: its new weights can learn apart.

    Those of a convolution that keeps the image's size are the ladder's: LocallyConnected without sharing, SharedImage
    without locality, DenseImage without both. Others become a TiedLinear, or a Linear that takes and gives images.

    Args:
        shape: (C, H, W) of its input
        release: sharing: each position has weights of its own, in the same windows. locality: each weight is still
            shared by all positions, but each unit sees the whole image. both: each unit has its own weight for each
            input

    Raises:
        ConfigError: the layer has no such constraint, or shares its weights in another sense than by offset
    """
    own = connections(layer, shape)
    target: nn.Module
    if release == "both" or not isinstance(layer, nn.Conv2d):
        constraint = {LocallyConnected: "locality", SharedImage: "sharing"}.get(type(layer), "both")
        require(release in (constraint, "both"), "release", release, f"{constraint}: the layer has no other constraint")
        target = _dense(shape, own.out_shape)
    elif release == "sharing":
        target = _local(layer, shape, own)
    else:
        target = _shared(layer, shape, own)
    target.to(layer.weight)
    fit(target, matrix_of(layer, shape), bias_of(layer, own.out_shape), shape)
    return target


def imposed(
    layer: LinearLayer, shape: Shape, constraint: Constraint, half_width: int = 2
) -> LocallyConnected | SharedImage | nn.Conv2d:
    """The nearest layer that has the constraint: LocallyConnected, SharedImage, or a convolution.

    Args:
        layer: that gives maps of its input's size, as DenseImage
        shape: (C, H, W) of its input
        half_width: of the windows of local and conv: they are 2 half_width + 1 wide

    Raises:
        ConfigError: a layer whose output is no such map
    """
    own = connections(layer, shape)
    require(own.out_shape[1:] == shape[1:], "layer", list(own.out_shape), f"maps of {spelled((shape[1], shape[2]))}")
    maps = own.out_shape[0]
    target: LocallyConnected | SharedImage | nn.Conv2d
    match constraint:
        case "local":
            target = LocallyConnected(shape, maps, half_width)
        case "shared":
            target = SharedImage(shape, maps)
        case "conv":
            target = nn.Conv2d(shape[0], maps, 2 * half_width + 1, padding=half_width)
    target.to(layer.weight)
    fit(target, matrix_of(layer, shape), bias_of(layer, own.out_shape), shape)
    return target


@torch.no_grad()
def fit(target: nn.Module, matrix: Tensor, bias: Tensor, shape: Shape) -> None:
    """Give `target` the weights that bring it nearest to a matrix (output units, inputs) and a bias (output units,)."""
    layer = cast(LinearLayer, target[1] if isinstance(target, nn.Sequential) else target)
    layer.weight.copy_(project(matrix, connections(layer, shape)).view_as(layer.weight))
    if layer.bias is not None:
        layer.bias.copy_(bias.view(layer.bias.numel(), -1).mean(1).view_as(layer.bias))


def release(model: nn.Module, layer: str, what: Release, shape: Shape) -> nn.Module:
    """A copy of a network that computes the same, with the constraint of one of its layers released; all of it trains.

    A ladder's network becomes that of another rung: its state_dict fits model.constraint=local after `sharing`, shared
    after `locality`, dense after `both`.

    Args:
        model: a Classifier, or any module
        layer: name of the layer in the network, e.g. conv1; of the ladder, hidden
        shape: (C, H, W) of the network's images

    Raises:
        ConfigError: no such layer, or as `released`
    """
    net = copy.deepcopy(network_of(model))
    names = [name for name, _ in net.named_modules() if name]
    require(layer in names, "layer", layer, f"one of {', '.join(names)}")
    old = net.get_submodule(layer)
    kinds = (nn.Conv2d, LocallyConnected, SharedImage)
    require(isinstance(old, kinds), "layer", f"{layer}, a {type(old).__name__}", "a convolution, local or shared layer")
    new = released(cast(nn.Conv2d, old), input_shape(net, layer, shape), what)
    net.set_submodule(layer, new.train(old.training))
    return net


def recast(trained: nn.Module, model: nn.Module, shape: Shape) -> None:
    """Give a network the weights of a trained one that has layers of the same names, under other constraints.

    A layer that can compute what the trained one does, does so; a more constrained one becomes the nearest. So a
    ladder's network with model.constraint=local goes on from one with conv.

    Args:
        trained, model: Classifiers, or any modules; `model` is changed
        shape: (C, H, W) of their images

    Raises:
        ConfigError: their layers do not correspond
    """
    old, new = network_of(trained), network_of(model)
    was, layers = layers_of(old), layers_of(new)
    require(set(was) == set(layers), "trained", list(was), f"the layers {', '.join(layers)}")
    for name, layer in layers.items():
        if type(layer) is type(was[name]) and _sizes(layer) == _sizes(was[name]):
            layer.load_state_dict(was[name].state_dict())
            continue
        given = input_shape(new, name, shape)
        source = connections(cast(LinearLayer, was[name]), input_shape(old, name, shape))
        target = connections(cast(LinearLayer, layer), given)
        require(source.shape == target.shape, "trained", f"{name} of {source.shape}", f"{target.shape}")
        weights = cast(LinearLayer, was[name])
        fit(layer, source.matrix(weights.weight.detach()), bias_of(weights, source.out_shape), given)


def _sizes(layer: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in layer.state_dict().items()}


def input_shape(net: nn.Module, layer: str, shape: Shape) -> Shape:
    """Shape of what a layer of a network gets, without the batch, for images of `shape`."""
    probe = copied(net)
    seen: list[Shape] = []
    probe.get_submodule(layer).register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape[1:])))
    with torch.no_grad():
        probe(torch.zeros(1, *shape).to(**place_of(probe)))
    return seen[0]


def _dense(shape: Shape, out_shape: Shape) -> nn.Module:
    if shape[1:] == out_shape[1:]:
        return DenseImage(shape, out_shape[0])
    return nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), prod(out_shape)), nn.Unflatten(1, out_shape))


def _local(conv: nn.Conv2d, shape: Shape, own: Connections) -> nn.Module:
    k = conv.kernel_size[0]
    centred = pads(conv, 0) == pads(conv, 1) == (k // 2, k // 2) and conv.kernel_size == (k, k) and k % 2 == 1
    if centred and conv.dilation == (1, 1) and _on_all_pixels(conv):
        return LocallyConnected(shape, conv.out_channels, k // 2)
    rows, columns = own.matrix(torch.ones(own.n_weights)).nonzero().T
    free = Connections(rows, columns, torch.arange(len(rows)), own.shape, own.out_shape, len(rows))
    return TiedLinear(free, "unit" if conv.bias is not None else "none")


def _shared(conv: nn.Conv2d, shape: Shape, own: Connections) -> nn.Module:
    if _on_all_pixels(conv) and own.out_shape[1:] == shape[1:]:
        return SharedImage(shape, conv.out_channels)
    by_offset = conv.padding_mode in ("zeros", "circular") or not any(pads(conv, 0) + pads(conv, 1))
    require(by_offset, "release", "locality", f"sharing: with {conv.padding_mode} padding a pixel has several offsets")
    return TiedLinear(everywhere(conv, own.out_shape, shape), "map" if conv.bias is not None else "none")


def _on_all_pixels(conv: nn.Conv2d) -> bool:
    """Whether each unit stands over a pixel of its own, sees all maps, and zeros beyond the image."""
    whole = conv.groups == 1 and not isinstance(conv, TableConv)
    return whole and conv.stride == (1, 1) and conv.padding_mode == "zeros"
