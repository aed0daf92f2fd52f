"""Which architectures there are: each file beside this one registers its config and its layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fc2conv.architectures.layers import pool_first
from fc2conv.architectures.trace import Geometry, Layer, Shape, trace

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ModelConfig:
    """The config of an architecture: a frozen dataclass whose `family` is the name it is chosen by."""

    family: str


@dataclass(frozen=True)
class Architecture:
    """What makes an architecture: its config, its layers, and its loss where it has one of its own."""

    config: type[Any]
    """A ModelConfig."""
    layers: Callable[[Any, int], list[Layer]]
    """(config, classes) -> layers; the shape of the input is left open."""
    loss: Callable[[Any, Tensor, Tensor], Tensor] | None = None
    """(config, outputs (B, classes), labels (B,)) -> the loss of each image (B,). None: cross-entropy."""

    @property
    def family(self) -> str:
        return str(self.config.family)

    @property
    def name(self) -> str:
        """Of its LightningModule: LeNet for LeNetConfig."""
        return self.config.__name__.removesuffix("Config")


ARCHITECTURES: dict[str, Architecture] = {}
"""By family."""


def register(
    config: type[Any],
    layers: Callable[[Any, int], list[Layer]],
    loss: Callable[[Any, Tensor, Tensor], Tensor] | None = None,
) -> None:
    """Make an architecture known by the `family` of its config."""
    architecture = Architecture(config, layers, loss)
    ARCHITECTURES[architecture.family] = architecture


def layers_of(config: ModelConfig, classes: int) -> list[Layer]:
    """The layers of the network that `config` describes, max-pooling ahead of monotone activations."""
    return pool_first(ARCHITECTURES[config.family].layers(config, classes))


def plan(config: ModelConfig, shape: Shape, classes: int) -> Geometry:
    """Shapes, parameters, MACs and receptive fields of `config` on images of `shape`.

    Raises:
        GeometryError: naming the first layer that does not fit
    """
    return trace(layers_of(config, classes), shape)


def source_of(config: ModelConfig) -> str | None:
    """What else decides the outcome, for an architecture that is not ours: the SHA-256 of its file, or the version of
    its package. None for ours, whose meaning the format number of the identity pins."""
    return None
