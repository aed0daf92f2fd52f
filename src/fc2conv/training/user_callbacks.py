"""The callbacks that a config names: imported, made, and checked together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning.pytorch.callbacks import Callback, DeviceStatsMonitor, LearningRateMonitor, WeightAveraging

from fc2conv.architectures.targets import import_target
from fc2conv.config.schema import CALLBACK, WATCHES, Config
from fc2conv.errors import ConfigError


def make_callbacks(config: Config) -> list[Callback]:
    """Those of `config.callbacks`, in their order.

    Raises:
        ConfigError: naming callbacks.NAME; it cannot be imported or made, is no callback, or cannot do its work here
    """
    found: dict[str, Callback] = {}
    for name, values in config.callbacks.items():
        key = f"callbacks.{name}"
        callback = _made(values, key)
        if not isinstance(callback, Callback):
            kind = f"{type(callback).__module__}.{type(callback).__qualname__}"
            raise ConfigError(key, f"{values[CALLBACK]} gives a {kind}, expected a lightning.pytorch.Callback")
        if isinstance(callback, (LearningRateMonitor, DeviceStatsMonitor)) and config.logger == type(config.logger)():
            raise ConfigError(key, "has no logger to write to; choose one, e.g. logger=tensorboard")
        for other, earlier in found.items():
            _check_together(key, callback, other, earlier)
        found[key] = callback
    return list(found.values())


def _made(value: Any, key: str) -> Any:
    """`value` with each mapping that has a `_target_` called."""
    if isinstance(value, list):
        return [_made(v, key) for v in value]
    if not isinstance(value, Mapping):
        return value
    arguments = {k: _made(v, key) for k, v in value.items() if k not in (CALLBACK, WATCHES)}
    if CALLBACK not in value:
        return arguments
    make = import_target(value[CALLBACK], key)
    try:
        return make(**arguments)
    except Exception as error:
        raise ConfigError(key, f"{value[CALLBACK]} cannot be made ({type(error).__name__}: {error})") from error


def _check_together(key: str, callback: Callback, other: str, earlier: Callback) -> None:
    """Raise ConfigError where one of the two is too many."""
    if isinstance(callback, WeightAveraging) and isinstance(earlier, WeightAveraging):
        raise ConfigError(key, f"averages the weights, as {other} does; take one of them")
    has_state = type(callback).state_dict is not Callback.state_dict
    if has_state and callback.state_key == earlier.state_key:
        raise ConfigError(key, f"cannot be told from {other} in a checkpoint; take one of them")
