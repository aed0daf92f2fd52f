"""Widths scaled by one factor until the network costs what it should, for comparisons at equal parameters or MACs.

Each width becomes a whole number: factor times width, rounded down or up, and at least 1. Near the factor that meets
the budget all combinations of down and up are tried. Equal widths stay equal, so that a residual connection between
them stays, too.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from math import ceil, floor
from typing import Any

from fc2conv.architectures.registry import ModelConfig
from fc2conv.errors import ConfigError, GeometryError

FREE = 6
"""So many of the different widths, the largest, are rounded either way; any smaller ones down."""
BOXES = 100
"""So many ranges of the factor are looked at; within one, no width changes what it is rounded to."""
LARGEST = 2**40
"""Of the factors that are tried."""


def widths_of(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Key -> its widths, for the keys that hold widths and are read.

    Example:
        >>> from fc2conv.architectures.lenet import LeNetConfig
        >>> widths_of(LeNetConfig(head="gap"))
        {'channels': (6, 16)}
    """
    unused = config.unused()
    found = {key: _listed(getattr(config, key)) for key in config.width_keys if key not in unused}
    return {key: widths for key, widths in found.items() if widths}


def scaled(config: ModelConfig, keys: Sequence[str], budget: int, cost: Callable[[ModelConfig], int]) -> ModelConfig:
    """`config` with the widths of `keys` scaled by one factor, so that its cost comes nearest to `budget`.

    Args:
        keys: of widths_of(config), at least one
        cost: no less for larger widths

    Raises:
        GeometryError: the network does not fit its input
        ConfigError: the architecture refuses a width that was tried
    """
    of_keys = widths_of(config)
    widths = sorted({width for key in keys for width in of_keys[key]}, reverse=True)

    def made(new: tuple[int, ...]) -> ModelConfig:
        changed = dict(zip(widths, new, strict=True))
        return replace(config, **{key: _changed(getattr(config, key), changed) for key in keys})

    @cache
    def cost_of(new: tuple[int, ...]) -> int:
        try:
            return cost(made(new))
        except GeometryError:
            raise
        except ConfigError as error:
            raise ConfigError(error.key, f"{error}, when scaled".removeprefix(f"{error.key}: ")) from error

    def badness(new: tuple[int, ...]) -> tuple[int, Fraction]:
        factors = [Fraction(n, width) for n, width in zip(new, widths, strict=True)]
        return abs(cost_of(new) - budget), max(factors) / min(factors)

    def is_within(factor: Fraction) -> bool:
        return cost_of(_rounded_down(factor, widths)) <= budget

    tried = {_rounded_down(Fraction(0), widths)}
    if is_within(Fraction(0)):
        for factor in itertools.islice(_boxes_below(_largest(is_within, widths), widths), BOXES):
            box = list(_roundings(factor, widths))
            tried.update(box)
            if cost_of(box[-1]) <= budget:  # all rounded up: below, everything costs less
                break
    return made(min(tried, key=badness))


def _listed(value: Any) -> tuple[int, ...]:
    widths = value if isinstance(value, tuple) else (value,)
    return widths if all(isinstance(width, int) and width > 0 for width in widths) else ()


def _changed(value: int | tuple[int, ...], new: dict[int, int]) -> Any:
    return tuple(new[width] for width in value) if isinstance(value, tuple) else new[value]


def _rounded_down(factor: Fraction, widths: Sequence[int]) -> tuple[int, ...]:
    return tuple(max(1, floor(factor * width)) for width in widths)


def _roundings(factor: Fraction, widths: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Down and up in all combinations; the first is all down, the last all up."""
    for ups in itertools.product((0, 1), repeat=min(len(widths), FREE)):
        padded = (*ups, *[0] * (len(widths) - len(ups)))
        yield tuple(max(1, floor(factor * width) + up) for width, up in zip(widths, padded, strict=True))


def _largest(is_within: Callable[[Fraction], bool], widths: Sequence[int]) -> Fraction:
    """A factor within the budget, with at most one place above it where a width changes before one beyond it."""
    low, high = Fraction(0), Fraction(1)
    while is_within(high) and high < LARGEST:
        low, high = high, 2 * high
    while high - low >= Fraction(1, max(widths) ** 2):  # two such places, n/a and m/b, lie at least 1/ab apart
        middle = (low + high) / 2
        low, high = (middle, high) if is_within(middle) else (low, middle)
    return low


def _boxes_below(factor: Fraction, widths: Sequence[int]) -> Iterator[Fraction]:
    """The lower end of the range around `factor` in which nothing is rounded to another number, then those below."""
    end = max(Fraction(floor(factor * width), width) for width in widths)
    while end > 0:
        yield end
        end = max(Fraction(ceil(end * width) - 1, width) for width in widths)
    yield end
