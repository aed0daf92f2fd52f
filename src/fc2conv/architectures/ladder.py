"""The constraint ladder of D2L 7.1: from fully connected to convolution, one constraint at a time.

For an n x n image and one map, with a bias for each hidden unit until it is shared:

    dense    n^4 + n^2                           H[i,j] = U[i,j] + sum over all pixels W[i,j,k,l] X[k,l]
    local    (n(2D+1) - D(D+1))^2 + n^2          the same, |k-i| <= D and |l-j| <= D only
    shared   (2n-1)^2 + 1                        W[i,j,k,l] = V[k-i, l-j] and U[i,j] = u
    conv     (2D+1)^2 + 1                        both
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from fc2conv.architectures.layers import (
    Activation,
    ActivationLayer,
    Conv,
    DenseImage,
    Flatten,
    Init,
    Linear,
    Local,
    SharedImage,
)
from fc2conv.architectures.registry import ModelConfig, Release, register
from fc2conv.architectures.trace import Layer
from fc2conv.errors import ConfigError
from fc2conv.fields import require

Constraint = Literal["dense", "local", "shared", "conv"]


@dataclass(frozen=True)
class LadderConfig(ModelConfig):
    """The chapter's argument as one class: image-shaped hidden units under ever stronger constraints (D2L 7.1).

    Moving `constraint` from `dense` over `local` or `shared` to `conv` changes nothing else in the network.
    """

    family: Literal["ladder"] = "ladder"
    width_keys: ClassVar[tuple[str, ...]] = ("channels",)
    constraint: Constraint = "conv"
    """dense: every hidden unit sees every pixel (7.1.1). local: only pixels at most `half_width` away. shared: one
    kernel for all positions that reaches over the whole image (7.1.2). conv: local and shared (7.1.3)."""
    half_width: int = 2
    """Delta of equation 7.1.3: a window is (2 half_width + 1) wide. Used by `local` and `conv`."""
    channels: int = 1
    """Hidden maps (c_out); the input maps (c_in) are the data's bands."""
    activation: Activation = "relu"
    """Of the hidden maps."""
    init: Init = "xavier"
    """`xavier`: Glorot's uniform on every weight, as in the book; `torch`: each layer's own."""

    def __post_init__(self) -> None:
        require(self.half_width >= 0, "model.half_width", self.half_width, "0 or more pixels")
        require(self.channels >= 1, "model.channels", self.channels, "at least one hidden map")

    def unused(self) -> dict[str, str]:
        local = self.constraint in ("local", "conv")
        return {} if local else {"half_width": "only model.constraint=local and conv read it"}

    def released(self, release: Release) -> LadderConfig:
        rungs: dict[str, dict[Release, Constraint]] = {
            "conv": {"sharing": "local", "locality": "shared", "both": "dense"},
            "local": {"locality": "dense", "both": "dense"},
            "shared": {"sharing": "dense", "both": "dense"},
            "dense": {},
        }
        below = rungs[self.constraint]
        if release not in below:
            known = f"expected {' or '.join(below)}" if below else "nothing is left to release"
            raise ConfigError("release", f"got {release}, but the network has constraint={self.constraint}; {known}")
        return replace(self, constraint=below[release])


def ladder(config: LadderConfig, classes: int) -> list[Layer]:
    """One hidden layer of image-shaped units under `constraint`, then a linear head."""
    c, d = config.channels, config.half_width
    hidden: Layer = {
        "dense": DenseImage("hidden", c),
        "local": Local("hidden", c, d),
        "shared": SharedImage("hidden", c),
        "conv": Conv("hidden", c, 2 * d + 1, padding=d),
    }[config.constraint]
    return [
        hidden,
        ActivationLayer(config.activation, config.activation),
        Flatten("flatten"),
        Linear("output", classes),
    ]


register(LadderConfig, ladder)
