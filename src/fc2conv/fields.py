"""What every config dataclass needs: checks that name the key, and values that go to several layers."""

from __future__ import annotations

import errno
import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, fields
from typing import Any, NewType, Union

from fc2conv.errors import ConfigError

Pair = tuple[int, int]
"""(height, width)"""


def pair(value: int | Pair) -> Pair:
    """(height, width) of one number for both, or of two."""
    return value if isinstance(value, tuple) else (value, value)


Sides = NewType("Sides", str)
"""HEIGHTxWIDTH, e.g. 1x5. In YAML files in quotes: 0x2 is a number there."""
Extent = Union[int, Sides]
"""A number of pixels for both sides, or one for each. On signals, which are one pixel high, a number goes along the one
axis that they have."""


def sides(value: int | str) -> int | Pair | None:
    """An Extent as a number where both sides are the same, else as (height, width); None for any other text.

    Example:
        >>> sides(5), sides("1x5"), sides("3x3"), sides("same")
        (5, (1, 5), 3, None)
    """
    if isinstance(value, int):
        return value
    match = re.fullmatch(r"(\d+)x(\d+)", value)
    if match is None:
        return None
    height, width = int(match[1]), int(match[2])
    return height if height == width else (height, width)


def require_extent(key: str, value: int | str, least: int) -> None:
    """Raise ConfigError unless `value` is an Extent of at least `least` pixels on each side."""
    found = sides(value)
    good = found is not None and min(pair(found)) >= least
    require(good, key, value, f"{least} or more, or HEIGHTxWIDTH, e.g. 1x5")


def spelled(size: Pair) -> str:
    """As people write it: 28 for (28, 28), 40x100 for (40, 100)."""
    return str(size[0]) if size[0] == size[1] else f"{size[0]}x{size[1]}"


def require(condition: bool, key: str, got: object, want: str) -> None:
    """Raise ConfigError naming `key` unless `condition` holds."""
    if not condition:
        raise ConfigError(key, f"got {written(got)}, expected {want}")


def require_probability(key: str, value: float) -> None:
    """Raise ConfigError unless 0 <= value < 1."""
    require(0 <= value < 1, key, value, "a probability from 0 up to, not including, 1")


@contextmanager
def usable(key: str, got: object) -> Iterator[None]:
    """For what is done with the files that `key` names: where the system refuses it, a ConfigError says so."""
    try:
        yield
    except OSError as error:
        remedy = {
            errno.ENOSPC: "free some space, or choose another",
            errno.EDQUOT: "free some space, or choose another",
            errno.ENAMETOOLONG: "choose a shorter one",
            errno.EACCES: "give yourself the right, or choose another",
        }.get(error.errno or 0, "choose another")
        name = f"{error.filename}: " if error.filename and error.errno != errno.ENAMETOOLONG else ""
        reason = f"{name}{error.strerror or error}"
        raise ConfigError(key, f"got {written(got)}, but the system says: {reason}; {remedy}") from error


def written(value: object) -> str:
    """A value as it is written on the command line."""
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(written(v) for v in value) + "]"
    if value is None:
        return "null"
    if value == "":
        return "''"
    return str(value).lower() if isinstance(value, bool) else str(value)


def per_layer(key: str, value: Any, n: int, layers: str) -> list[Any]:
    """One value for each of `n` layers: a single value goes to all, a short list goes on with its last one."""
    if not isinstance(value, tuple):
        return [value] * n
    require(
        0 < len(value) <= n or (n == 0 and not value),
        key,
        value,
        f"one value, or at most one for each of the {n} {layers}",
    )
    return [*value, *[value[-1]] * (n - len(value))] if value else []


def signature_with_fields(function: Callable[..., Any], config: type[Any]) -> inspect.Signature:
    """The signature of `function` with the fields of the dataclass `config` by name, in place of its **fields."""
    general = inspect.signature(function, eval_str=True)
    mine = inspect.signature(config, eval_str=True).parameters
    given = [p for p in general.parameters.values() if p.kind is not p.VAR_KEYWORD]
    taken = {p.name for p in given} | {"family"}
    own = []
    for field in fields(config):
        if field.name not in taken:
            default = field.default if field.default_factory is MISSING else field.default_factory()
            own.append(mine[field.name].replace(kind=inspect.Parameter.KEYWORD_ONLY, default=default))
    return inspect.Signature([*given, *own])
