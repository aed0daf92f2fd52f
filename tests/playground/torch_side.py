"""The page's networks in torch, with the weights that the page has."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from playground.conftest import MODELS
from torch import Tensor

from fc2conv.config.schema import DataConfig
from fc2conv.data.image_data import ImageData
from fc2conv.data.transforms import Transforms
from fc2conv.training.classifier import Classifier


def decoded(text: str, kind: str, shape: list[int]) -> Tensor:
    """Base64 as the payload has it -> a tensor."""
    return torch.from_numpy(np.frombuffer(base64.b64decode(text), kind).astype("f4").reshape(shape))


class Twin:
    """One of the page's networks, and how it sees an image."""

    def __init__(self, name: str, payload: Mapping[str, Any], data_dir: str):
        config, data = MODELS[name]
        (description,) = (each for each in payload["networks"] if each["id"] == name)
        self.data = ImageData(DataConfig(dir=data_dir, **data))
        self.data.setup()
        self.classifier = Classifier(config, self.data.shape).eval()
        with torch.no_grad():
            for layer in description["layers"]:
                for part in ("weight", "bias"):
                    if part in layer:
                        values = decoded(layer[part]["data"], "<f2", layer[part]["shape"])
                        getattr(self.classifier.net.get_submodule(layer["name"]), part).copy_(values)

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
