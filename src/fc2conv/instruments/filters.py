"""Filters: weights that can be looked at as images."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from fc2conv.architectures.trace import Shape


def first_filters(net: nn.Module, shape: Shape) -> Tensor:
    """The first convolution's weights (O, C, H, W); where the first layer is dense, those of its units as images. None
    (O is 0) where there is no such layer.

    Args:
        shape: (C, H, W) of the images that the network sees
    """
    weights = [w for m in net.modules() if isinstance(w := getattr(m, "weight", None), Tensor)]
    layers = [w for w in weights if w.ndim > 1]
    if layers and layers[0] is weights[0] and layers[0].shape[1:] == (math.prod(shape),):
        return layers[0].detach().reshape(-1, *shape)
    return next((w.detach() for w in layers if w.ndim == 4), torch.zeros(0, *shape))


def all_filters(net: nn.Module) -> dict[str, Tensor]:
    """Layer -> its weights (O, C, H, W), of all convolutions."""
    found = {name: getattr(module, "weight", None) for name, module in net.named_modules()}
    return {name: w.detach() for name, w in found.items() if isinstance(w, Tensor) and w.ndim == 4}
