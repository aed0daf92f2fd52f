"""The page's networks and images in torch."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fc2conv.architectures import plan
from fc2conv.architectures.ladder import LadderConfig
from fc2conv.data.image_data import ImageData
from fc2conv.data.transforms import Transforms
from fc2conv.nets.build import build
from fc2conv.training.classifier import Classifier

RUNGS = ("dense", "local", "shared", "conv")
DELTA, MAPS, EDGE = 2, 4, 14
"""Of the page's rungs: half width of the windows, hidden maps, pixels a side."""
SHAPE = (1, EDGE, EDGE)


def decoded(text: str, kind: str, shape: list[int]) -> Tensor:
    """Base64 as the payload has it -> a tensor."""
    return torch.from_numpy(np.frombuffer(base64.b64decode(text), kind).astype("f4").reshape(shape))


@dataclass(frozen=True)
class Twin:
    """One of the page's networks, and how it sees an image."""

    classifier: Classifier
    data: ImageData

    def sees(self, pixels: Tensor, right: int = 0, down: int = 0, permuted: bool | None = None) -> Tensor:
        """(N, 784) -> (N, 1, H, W), normalised.

        Args:
            permuted: whether the pixels have the order of permutation=fixed; as in the network's training
        """
        config = replace(self.data.config, shift=(right, down))
        if permuted is not None:
            config = replace(config, permutation="fixed" if permuted else "none")
        transforms = Transforms(config, (28, 28), self.data.mean, self.data.std)
        images = pixels.view(-1, 1, 28, 28)
        return transforms(images, torch.arange(len(images)), "test", 0, 0)

    @torch.no_grad()
    def logits(self, pixels: Tensor, **how: Any) -> Tensor:
        """(N, 784) -> (N, 10). Arguments as of `sees`."""
        return self.classifier.net(self.sees(pixels, **how))


def images_of(payload: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """The page's garments: (N, 784) uint8, labels (N,)."""
    images = payload["images"]
    n = images["n"]
    return decoded(images["pixels"], "u1", [n, 784]).byte(), decoded(images["labels"], "u1", [n]).long()


# --- the ladder


def fresh(rung: str, maps: int = MAPS, delta: int = DELTA, edge: int = EDGE) -> nn.Sequential:
    """A rung as the suite builds it."""
    config = LadderConfig(constraint=rung, channels=maps, half_width=delta)  # type: ignore[arg-type]
    return build(plan(config, (1, edge, edge), classes=10))


def small_images(payload: Mapping[str, Any], split: str) -> tuple[Tensor, Tensor]:
    """The page's small images: (N, 1, 14, 14) from 0 to 255, labels (N,)."""
    part = payload["small"][split]
    pixels = decoded(part["pixels"], "u1", [part["n"], *payload["small"]["shape"]])
    return pixels, decoded(part["labels"], "u1", [part["n"]]).long()


def averaged(payload: Mapping[str, Any], number: int = 0) -> Tensor:
    """One of the page's garments, averaged down to (1, 1, 14, 14), from 0 to 255."""
    pixels = images_of(payload)[0][number].double().view(EDGE, 2, EDGE, 2)
    return pixels.mean((1, 3)).round().float().view(1, *SHAPE)


def normalised(pixels: Tensor, payload: Mapping[str, Any]) -> Tensor:
    """As the rungs get them."""
    rung = payload["rungs"][0]
    return (pixels / 255 - rung["mean"]) / rung["std"]


@torch.no_grad()
def accuracy(net: nn.Module, payload: Mapping[str, Any]) -> float:
    """Of a rung on the small test images."""
    pixels, labels = small_images(payload, "test")
    return float((net(normalised(pixels, payload)).argmax(1) == labels).float().mean())
