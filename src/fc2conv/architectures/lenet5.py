"""LeNet-5 (LeCun et al. 1998) as published: connection table, trained sub-sampling, RBF output with its loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fc2conv.architectures.layers import RBF, ActivationLayer, Conv, Flatten, Init, Linear, PadTo, Subsample
from fc2conv.architectures.registry import ModelConfig, register
from fc2conv.architectures.trace import Layer
from fc2conv.fields import require

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class LeNet5Config(ModelConfig):
    """LeNet-5 (LeCun et al. 1998) as published: connection table, trained sub-sampling, RBF output with its loss."""

    family: Literal["lenet5"] = "lenet5"
    train_rbf: bool = False
    """Let the centres of the output units (the 7x12 bitmaps) learn; published: fixed."""
    garbage: float = 1.0
    """j of the paper's equation 9: classes farther than this no longer push."""
    init: Init = "xavier"
    """`xavier`: Glorot's uniform on every weight, as in the book; `torch`: each layer's own."""

    def __post_init__(self) -> None:
        require(self.garbage > 0, "model.garbage", self.garbage, "a positive number")


C3 = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    (0, 1, 2, 3, 4, 5),
)
"""The maps of S2 that each of LeNet-5's 16 maps of C3 takes (LeCun et al. 1998, table I)."""


def lenet5(config: LeNet5Config, classes: int) -> list[Layer]:
    """C1 to F6 of the 1998 paper on a 32x32 field, and its RBF output."""
    return [
        PadTo("field", 32),
        *(Conv("c1", 6, 5), _squash("c1"), Subsample("s2"), _squash("s2")),
        *(Conv("c3", len(C3), 5, table=C3), _squash("c3"), Subsample("s4"), _squash("s4")),
        *(Conv("c5", 120, 5), _squash("c5"), Flatten("flatten"), Linear("f6", 84), _squash("f6")),
        RBF("output", classes, config.train_rbf),
    ]


def _squash(name: str) -> Layer:
    return ActivationLayer(f"tanh_{name}", "scaled_tanh")


def loss(config: LeNet5Config, outputs: Tensor, labels: Tensor) -> Tensor:
    """y_D + log(e^-j + sum over classes i of e^-y_i), the paper's equation 9; `outputs` are minus the squared distances
    y: (B, classes), (B,) -> (B,)."""
    import torch

    distance = -outputs.gather(1, labels[:, None])[:, 0]
    garbage = outputs.new_full((len(outputs), 1), -config.garbage)
    return distance + torch.cat([outputs, garbage], dim=1).logsumexp(1)


register(LeNet5Config, lenet5, loss)
