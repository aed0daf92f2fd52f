"""A model whose widths are scaled to a budget of parameters or multiply-accumulates: the key `match`."""

from __future__ import annotations

from collections.abc import Sequence

from fc2conv.architectures import ModelConfig, Shape, plan
from fc2conv.architectures.scaling import scaled, widths_of
from fc2conv.architectures.trace import Geometry
from fc2conv.config.schema import Config, MatchConfig
from fc2conv.errors import ConfigError
from fc2conv.fields import written

TOLERANCE = 0.02
"""How far from the budget a network may be, as a fraction of it."""
UNITS = {"params": "parameters", "macs": "MACs"}


def match_model(model: ModelConfig, match: MatchConfig, shape: Shape, classes: int) -> ModelConfig:
    """`model` with its widths scaled to the budget of `match`, which has one.

    Args:
        shape: of the images, (C, H, W)

    Raises:
        GeometryError: the network does not fit images of `shape`
        ConfigError: it has no such widths, or comes no nearer to the budget than TOLERANCE
    """
    assert match.budget is not None
    which, budget = match.budget

    def cost(candidate: ModelConfig) -> int:
        geometry = plan(candidate, shape, classes)
        return geometry.params if which == "params" else geometry.macs

    keys = _keys(model, match, which, budget)
    found = scaled(model, keys, budget, cost)
    nearest = cost(found)
    if abs(nearest - budget) > TOLERANCE * budget:
        raise ConfigError(
            f"match.{which}",
            f"got {budget}, but the nearest that {model.family} comes to is {nearest} {UNITS[which]}, with "
            f"{_spelled(found, keys)}; use match.{which}={nearest}, or another network",
        )
    return found


def reached(config: Config, geometry: Geometry) -> list[str]:
    """What became of the budget, for people; nothing without one."""
    if config.match.budget is None:
        return []
    which, budget = config.match.budget
    count = geometry.params if which == "params" else geometry.macs
    keys = config.match.keys or list(widths_of(config.model))
    off = f"{100 * (count / budget - 1):+.2f} %" if count != budget else "exactly"
    return [f"matched to {budget:,} {UNITS[which]} ({off}): {_spelled(config.model, keys)}"]


def _keys(model: ModelConfig, match: MatchConfig, which: str, budget: int) -> list[str]:
    """The keys to scale. Raises ConfigError if there are none, or match.keys names others."""
    widths = list(widths_of(model))
    for key in match.keys or ():
        if key in widths:
            continue
        why = model.unused().get(key) or ("it holds none" if key in model.width_keys else "it is no width")
        known = f"; widths of {model.family} are {', '.join(widths)}" if widths else ""
        raise ConfigError("match.keys", f"got {key}, but {why}{known}")
    if not widths:
        unused = model.unused()
        reasons = [unused.get(key, f"model.{key}={written(getattr(model, key))}") for key in model.width_keys]
        reason = f" ({'; '.join(reasons)})" if reasons else ""
        raise ConfigError(f"match.{which}", f"got {budget}, but {model.family} has no widths to scale{reason}")
    return list(match.keys or widths)


def _spelled(model: ModelConfig, keys: Sequence[str]) -> str:
    return " ".join(f"model.{key}={written(getattr(model, key))}" for key in keys)
