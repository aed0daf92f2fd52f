"""LeNet-1 (LeCun et al. 1990), with trained sub-sampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fc2conv.architectures.layers import ActivationLayer, Conv, Flatten, Init, Linear, Subsample
from fc2conv.architectures.registry import ModelConfig, register
from fc2conv.architectures.trace import Layer


@dataclass(frozen=True)
class LeNet1Config(ModelConfig):
    """LeNet-1 (LeCun et al. 1990): 4 maps, trained sub-sampling, 12 maps from pairs of them."""

    family: Literal["lenet1"] = "lenet1"
    init: Init = "xavier"
    """`xavier`: Glorot's uniform on every weight, as in the book; `torch`: each layer's own."""


PAIRS = ((0,), (0, 1), (0, 1), (1,), (0, 1), (0, 1), (2,), (2, 3), (2, 3), (3,), (2, 3), (2, 3))
"""The maps of H2 that each of LeNet-1's 12 maps of H3 takes, after LeCun et al. 1990, table 1. Eight pairs and four
single maps give the published 2,578 parameters; their order has not been checked against the paper."""


def lenet1(config: LeNet1Config, classes: int) -> list[Layer]:
    """H1 to H4 of the 1990 paper on 28x28 pixels, and its output layer."""
    return [
        *(Conv("h1", 4, 5), _squash("h1"), Subsample("h2"), _squash("h2")),
        *(Conv("h3", len(PAIRS), 5, table=PAIRS), _squash("h3"), Subsample("h4"), _squash("h4")),
        *(Flatten("flatten"), Linear("output", classes)),
    ]


def _squash(name: str) -> Layer:
    return ActivationLayer(f"tanh_{name}", "scaled_tanh")


register(LeNet1Config, lenet1)
