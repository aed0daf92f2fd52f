"""Which architectures there are: each file beside this one, and each plugin, registers its config and its layers."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from fc2conv.architectures.files import PREFIX, from_file, sha256
from fc2conv.architectures.layers import pool_first
from fc2conv.architectures.trace import Geometry, Layer, Shape, is_signal, trace
from fc2conv.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor, nn

Release = Literal["sharing", "locality", "both"]
"""Which constraint of a convolution is released."""


@dataclass(frozen=True)
class ModelConfig:
    """The config of an architecture: a frozen dataclass whose `family` is the name it is chosen by."""

    family: str
    width_keys: ClassVar[tuple[str, ...]] = ()
    """Those of its keys that are widths, one or a list of them: more of each is a larger network of the same form."""

    def unused(self) -> dict[str, str]:
        """Key -> why it decides nothing beside the others' values."""
        return {}

    def released(self, release: Release) -> ModelConfig:
        """The config of the network that can compute the same without the constraint, its layers called as before.

        Raises:
            ConfigError: this one has no such constraint
        """
        able = [name for name, each in ARCHITECTURES.items() if each.config.released is not ModelConfig.released]
        raise ConfigError("release", f"got {release}, but {self.family} cannot be released; {', '.join(able)} can")

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process may not have loaded the plugin that defines this class, and reads this first."""
        architecture = ARCHITECTURES[self.family]
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return _unpickled, (None if architecture.built_in else architecture.origin, values)


def _unpickled(origin: str | None, values: dict[str, Any]) -> ModelConfig:
    if origin is not None and values["family"] not in ARCHITECTURES:
        from_file(origin) if origin.endswith(".py") else importlib.import_module(origin)
    config: ModelConfig = ARCHITECTURES[values["family"]].config(**values)
    return config


@dataclass(frozen=True)
class Architecture:
    """What makes an architecture: its config, its layers, and its loss where it has one of its own."""

    config: type[Any]
    """A ModelConfig."""
    layers: Callable[[Any, int], list[Layer]] | None = None
    """(config, classes) -> layers; the shape of the input is left open."""
    loss: Callable[[Any, Tensor, Tensor], Tensor] | None = None
    """(config, outputs (B, classes), labels (B,)) -> the loss of each image (B,). None: cross-entropy."""
    plan: Callable[[Any, Shape, int], Geometry] | None = None
    """(config, shape, classes) -> what the network costs, where it is not made of `layers`; `net` makes it then."""
    net: Callable[[Any, Geometry], nn.Module] | None = None
    """(config, its plan) -> the network, (B, C, H, W) -> (B, classes)."""
    source: Callable[[Any], str | None] | None = None
    """config -> what `source_of` says. None: the hash of the file that registers it."""

    @property
    def family(self) -> str:
        """The name it is chosen by: model=family."""
        return str(self.config.family)

    @property
    def name(self) -> str:
        """Name of its LightningModule: LeNet for LeNetConfig."""
        return self.config.__name__.removesuffix("Config")

    @property
    def file(self) -> Path:
        """Where its config is defined."""
        return Path(inspect.getfile(self.config)).resolve()

    @property
    def built_in(self) -> bool:
        """Whether it is one of this package's."""
        return self.file.parent == Path(__file__).resolve().parent

    @property
    def origin(self) -> str:
        """The plugin that registers it: an importable module, or a file."""
        module = self.config.__module__
        return str(self.file) if module.startswith(PREFIX) or module == "__main__" else module


ARCHITECTURES: dict[str, Architecture] = {}
"""By family."""


def register(
    config: Any,
    layers: Callable[[Any, int], list[Layer]] | None = None,
    loss: Callable[[Any, Tensor, Tensor], Tensor] | None = None,
    plan: Callable[[Any, Shape, int], Geometry] | None = None,
    net: Callable[[Any, Geometry], nn.Module] | None = None,
    source: Callable[[Any], str | None] | None = None,
) -> None:
    """Make an architecture known by the `family` of its config: `layers`, or `plan` and `net`, as in Architecture.

    Raises:
        ConfigError: `config` is no ModelConfig dataclass, its name is taken, or its width_keys are none of its fields
    """
    name = config.__name__
    is_config = issubclass(config, ModelConfig) and "__dataclass_fields__" in vars(config)
    if not is_config:
        raise ConfigError("plugins", f"{name} is no config; write @dataclass(frozen=True) class {name}(ModelConfig)")
    try:
        family = str(config().family)
    except TypeError as error:
        raise ConfigError("plugins", f"{name}: each of its fields needs a default ({error})") from None
    if missing := [key for key in config.width_keys if key not in {f.name for f in fields(config)}]:
        raise ConfigError("plugins", f"{name}: width_keys names {missing[0]}, which is none of its fields")
    architecture = Architecture(config, layers, loss, plan, net, source)
    for known in ARCHITECTURES.values():
        if family == known.family or architecture.name == known.name:
            what = f"the family {family}" if family == known.family else f"the name {architecture.name}"
            raise ConfigError("plugins", f"{name}: {what} is taken ({known.file}); choose another")
    ARCHITECTURES[family] = architecture


def layers_of(config: ModelConfig, classes: int) -> list[Layer]:
    """The layers of the network that `config` describes, max-pooling ahead of monotone activations."""
    layers = ARCHITECTURES[config.family].layers
    assert layers is not None, f"{config.family} is not made of layers"
    return pool_first(layers(config, classes))


def plan(config: ModelConfig, shape: Shape, classes: int) -> Geometry:
    """Shapes, parameters, MACs and receptive fields of `config` on images of `shape`.

    Raises:
        GeometryError: naming the first layer that does not fit
        ConfigError: the network cannot be planned
    """
    own = ARCHITECTURES[config.family].plan
    if own:
        return own(config, shape, classes)
    layers = layers_of(config, classes)
    return trace([layer.along_signal() for layer in layers] if is_signal(shape) else layers, shape)


def source_of(config: ModelConfig) -> str | None:
    """What else decides the outcome, for an architecture that is not ours: the SHA-256 of its file, or the version of
    its package. None for ours, whose meaning the format number of the identity pins."""
    architecture = ARCHITECTURES[config.family]
    if architecture.source is not None:
        return architecture.source(config)
    return None if architecture.built_in else sha256(architecture.file)
