"""Feature maps: what the convolutions of a network make of an image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fc2conv.data.image_data import ImageData
from fc2conv.nets.modules import DenseImage, LocallyConnected, SharedImage

CONVOLUTIONS = (nn.Conv2d, LocallyConnected, DenseImage, SharedImage)
"""Layers whose outputs are looked at. The latter three are what the ladder has in place of a convolution."""


def feature_maps(net: nn.Module, data: ImageData, indices: Sequence[int]) -> dict[str, Tensor]:
    """Convolution -> its output (n, C, H, W) for these test images, in the order in which they are computed. A layer
    that is used again is there again. `net` is in eval mode afterwards."""
    chosen = torch.tensor(indices)
    images = data.transformed(data.source.test_images[chosen], chosen, "test")
    device = next(net.parameters()).device
    net.eval()
    with torch.inference_mode(), noted(net) as found:
        net.forward(images.to(device))  # and not net(): what torch.compile has made of it would call no hooks
    return found


@contextmanager
def noted(net: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Convolution -> its output (n, C, H, W), float32 on the CPU, filled while `net` computes."""
    found: dict[str, Tensor] = {}

    def note(name: str, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4:
            uses = sum(known.partition(" ")[0] == name for known in found)
            # a copy: an activation may work in place
            found[f"{name} ({uses + 1})" if uses else name] = output.detach().float().cpu().clone()

    hooks = [
        module.register_forward_hook(lambda _, inputs, output, name=name: note(name, output))
        for name, module in net.named_modules()
        if isinstance(module, CONVOLUTIONS)
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
