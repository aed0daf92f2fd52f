"""Architectures from elsewhere: files and modules that `plugins=[...]` names, and packages with an entry point.

A plugin is what the files beside this one are: it imports no torch at its top, and calls `register`.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterable
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from fc2conv.architectures.registry import ARCHITECTURES, sha256
from fc2conv.errors import ConfigError

GROUP = "fc2conv.architectures"
"""Entry points whose modules are plugins."""
PREFIX = "fc2conv_plugin_"
"""How the modules of files are called."""


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


def from_file(file: str) -> ModuleType:
    """The module in `file`, executed once, under a name of its own.

    Raises:
        FileNotFoundError, and whatever it raises
    """
    path = Path(file).resolve()
    if not path.is_file():
        raise FileNotFoundError("there is no such file")
    name = f"{PREFIX}{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sha256(path)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


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
