"""A config dataclass of which two fields lack a docstring."""

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Example:
    size: int | tuple[int, int] = 28
    """In pixels."""
    channels: tuple[int, ...] = (6, 16)
    padding: Literal["same", "valid"] | None = None
    """Both `same` and `valid`
    are words."""
    more: dict[str, Any] = field(default_factory=dict)
