"""Architectures from elsewhere: files and modules that `plugins=[...]` names, and packages with an entry point.

A plugin is what the files beside this one are: it imports no torch at its top, and calls `register`.
"""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Iterable
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from fc2conv.architectures.files import from_file
from fc2conv.architectures.registry import ARCHITECTURES
from fc2conv.errors import ConfigError

GROUP = "fc2conv.architectures"
"""Entry points whose modules are plugins."""


def load(plugins: Iterable[str]) -> None:
    """Import each plugin once: a file (it ends in .py), or a module's name.

    Raises:
        ConfigError: naming the one that is missing, cannot be imported, or registers nothing
    """
    for plugin in plugins:
        before = dict(ARCHITECTURES)
        try:
            module = from_file(plugin) if plugin.endswith(".py") else importlib.import_module(plugin)
        except Exception as error:
            ARCHITECTURES.clear()
            ARCHITECTURES.update(before)
            raise ConfigError("plugins", f"{plugin}: {_reason(plugin, error)}") from error
        name = module.__name__
        theirs = [a for a in ARCHITECTURES.values() if f"{a.config.__module__}.".startswith(f"{name}.")]
        if len(ARCHITECTURES) == len(before) and not theirs:
            raise ConfigError("plugins", f"{plugin} registers no architecture; it should call register(...)")


@cache
def load_installed() -> None:
    """Import the plugins of installed packages.

    Raises:
        ConfigError: as `load`
    """
    for entry in entry_points(group=GROUP):
        try:
            load([entry.module])
        except ConfigError as error:
            package = entry.dist.name if entry.dist else "a package"
            what = f"{error}; it is an entry point of {package}: correct or uninstall that"
            raise ConfigError("", what) from error


def _reason(plugin: str, error: Exception) -> str:
    """What went wrong, and in which line of the plugin's file."""
    if isinstance(error, ConfigError):
        return str(error).removeprefix("plugins: ")
    if isinstance(error, FileNotFoundError) and error.errno is None:
        return str(error)
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: SyntaxError: {error.msg}"
    file = str(Path(plugin).resolve())
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    where = f"line {lines[-1]}: " if lines else ""
    return f"{where}{type(error).__name__}: {error}"
