"""What each layer of a network gives for a batch of images, and how far apart its units lie on the image."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from fc2conv.fields import Pair, pair


@dataclass(frozen=True)
class Output:
    """What a layer gave."""

    value: Tensor
    """(B, C, H, W) of a layer of maps, (B, F) of a layer of features."""
    stride: Pair
    """Input pixels between neighbouring units, down and across: the product of the strides so far."""

    @property
    def is_map(self) -> bool:
        return self.value.ndim == 4


def network_of(model: nn.Module) -> nn.Module:
    """The network of a Classifier; any other module is one itself."""
    net = getattr(model, "net", None)
    return net if isinstance(net, nn.Module) and hasattr(model, "geometry") else model


def copied(model: nn.Module, dtype: torch.dtype | None = None, device: str | None = None) -> nn.Module:
    """A copy of a network, to be measured: in evaluation, its parameters frozen, the model itself left alone.

    Args:
        model: a Classifier, whose `net` is taken, or any module (B, C, H, W) -> (B, classes)
        dtype, device: null: the model's own
    """
    net = copy.deepcopy(network_of(model))
    for module in net.modules():
        if getattr(module, "inplace", False):
            setattr(module, "inplace", False)  # noqa: B010  # it would overwrite what the layer before it gave
    return net.to(device=device, dtype=dtype).eval().requires_grad_(False)


def place_of(net: nn.Module) -> dict[str, Any]:
    """{device, dtype} of a network's parameters, for Tensor.to; of one without any, the CPU and float64."""
    first = next(net.parameters(), torch.zeros((), dtype=torch.float64))
    return {"device": first.device, "dtype": first.dtype}


def layers_of(net: nn.Module) -> dict[str, nn.Module]:
    """The layers of a network by name: the members of a Sequential; of another, all modules that hold no others."""
    if isinstance(net, nn.Sequential):
        return dict(net.named_children())
    return {name or "net": module for name, module in net.named_modules() if next(module.children(), None) is None}


@contextmanager
def watched(net: nn.Module) -> Iterator[dict[str, Output]]:
    """While it is open, what each layer gives is kept: layer -> its output, in the order of the calls.

    A layer that is called several times is kept as it was first; outputs that are neither maps nor features are not.
    """
    found: dict[str, Output] = {}
    made: dict[int, Pair] = {}
    by_size: dict[Pair, Pair] = {}
    handles: list[RemovableHandle] = []

    def watch(name: str, module: nn.Module) -> None:
        def after(_: nn.Module, inputs: tuple[Any, ...], value: Any) -> None:
            if name in found or not isinstance(value, Tensor) or value.ndim not in (2, 4):
                return
            stride = (1, 1)
            if value.ndim == 4 and inputs[0].ndim == 4:
                given, size = _size(inputs[0]), _size(value)
                # what was computed between two layers has the stride of the maps of its size
                before = made.get(id(inputs[0])) or by_size.get(given, (1, 1))
                own = _stride(module, given, size)
                stride = before[0] * own[0], before[1] * own[1]
                by_size.setdefault(size, stride)
                made[id(value)] = stride  # `found` keeps it alive, so no other tensor gets its id
            found[name] = Output(value, stride)

        handles.append(module.register_forward_hook(after))

    for name, module in layers_of(net).items():
        watch(name, module)
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _size(maps: Tensor) -> Pair:
    return maps.shape[2], maps.shape[3]


def _stride(module: nn.Module, given: Pair, size: Pair) -> Pair:
    """As the module says it; else how many times smaller it makes its input."""
    own = getattr(module, "stride", None)
    if isinstance(own, (int, tuple)):
        return pair(own)
    return max(1, round(given[0] / size[0])), max(1, round(given[1] / size[1]))
