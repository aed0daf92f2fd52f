"""The page's rungs as torch modules, with the page's 16-bit weights."""

from __future__ import annotations

import base64
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fc2conv.architectures import plan
from fc2conv.architectures.ladder import LadderConfig
from fc2conv.nets.build import build

RUNGS = ("dense", "local", "shared", "conv")
DELTA, MAPS, EDGE = 2, 4, 14
SHAPE = (1, EDGE, EDGE)


def fresh(rung: str, maps: int = MAPS, delta: int = DELTA, edge: int = EDGE) -> nn.Sequential:
    """A rung as the suite builds it."""
    config = LadderConfig(constraint=rung, channels=maps, half_width=delta)  # type: ignore[arg-type]
    return build(plan(config, (1, edge, edge), classes=10))


def loaded(data: dict[str, Any]) -> dict[str, nn.Sequential]:
    """The four rungs of a payload."""
    return {rung: _filled(fresh(rung), described) for rung, described in zip(RUNGS, data["rungs"], strict=True)}


def _filled(net: nn.Sequential, description: dict[str, Any]) -> nn.Sequential:
    weights = {
        f"{layer['name']}.{part}": _array(layer[part]["data"], "<f2").reshape(layer[part]["shape"])
        for layer in description["layers"]
        for part in ("weight", "bias")
        if part in layer
    }
    net.load_state_dict({name: torch.from_numpy(values.astype(np.float32)) for name, values in weights.items()})
    return net


def split(data: dict[str, Any], name: str) -> tuple[Tensor, Tensor]:
    """Small images as the rungs get them, (N, 1, 14, 14), and their labels."""
    part, described = data["small"][name], data["rungs"][0]
    pixels = torch.from_numpy(_array(part["pixels"], np.uint8)).view(part["n"], *data["small"]["shape"])
    return normalised(pixels, described), torch.from_numpy(_array(part["labels"], np.uint8)).long()


def normalised(pixels: Tensor, description: dict[str, Any]) -> Tensor:
    return (pixels / 255 - description["mean"]) / description["std"]


def first_image(data: dict[str, Any]) -> Tensor:
    """What the page starts with, averaged down to (1, 1, 14, 14)."""
    shape = data["images"]["shape"]
    pixels = _array(data["images"]["pixels"], np.uint8)[: prod(shape)].reshape(EDGE, 2, EDGE, 2)
    return normalised(torch.from_numpy(pixels.mean((1, 3)).round()).float().view(1, *SHAPE), data["rungs"][0])


def accuracy(net: nn.Module, data: dict[str, Any]) -> float:
    x, labels = split(data, "test")
    with torch.no_grad():
        return float((net(x).argmax(1) == labels).float().mean())


def _array(text: str, kind: Any) -> np.ndarray[Any, Any]:
    return np.frombuffer(base64.b64decode(text), kind).copy()
