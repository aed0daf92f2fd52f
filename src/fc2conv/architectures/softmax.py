"""Softmax regression: one linear layer on the flat vector of pixels (D2L 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fc2conv.architectures.layers import Flatten, Init, Linear
from fc2conv.architectures.registry import ModelConfig, register
from fc2conv.architectures.trace import Layer


@dataclass(frozen=True)
class SoftmaxConfig(ModelConfig):
    """Softmax regression: one linear layer on the pixels (D2L 4)."""

    family: Literal["softmax"] = "softmax"
    init: Init = "xavier"
    """`xavier`: Glorot's uniform on every weight, as in the book; `torch`: each layer's own."""


def softmax(config: SoftmaxConfig, classes: int) -> list[Layer]:
    """One linear layer; cross-entropy supplies the softmax."""
    return [Flatten("flatten"), Linear("output", classes)]


register(SoftmaxConfig, softmax)
