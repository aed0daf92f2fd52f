"""What a config names by `package.module.NAME` or `FILE.py:NAME`: a module's class, a callback. Found, imported, told
apart by its source."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import platform
import sys
from collections.abc import Callable
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

from fc2conv.architectures.files import from_file, sha256
from fc2conv.errors import ConfigError


def import_target(target: str, key: str) -> Callable[..., Any]:
    """The class or function that `target` names.

    Raises:
        ConfigError: naming `key`; there is none, or its module cannot be imported
    """
    file, _, name = target.rpartition(":")
    where = file or name.split(".")[0]
    try:
        found: Any = from_file(file) if file else importlib.import_module(where)
    except (ModuleNotFoundError, FileNotFoundError) as error:
        missing = f"module {error.name}; is its package installed?" if isinstance(error, ImportError) else "such file"
        raise ConfigError(key, f"got {target}, but there is no {missing}") from None
    except Exception as error:
        raise ConfigError(key, f"{where} cannot be imported ({type(error).__name__}: {error})") from error
    for part in name.split(".") if file else name.split(".")[1:]:
        if not hasattr(found, part) and hasattr(found, "__path__"):
            try:
                importlib.import_module(f"{where}.{part}")
            except ModuleNotFoundError as error:
                if error.name != f"{where}.{part}":
                    raise ConfigError(key, f"{where}.{part} cannot be imported ({error})") from error
        if not hasattr(found, part):
            close = difflib.get_close_matches(part, dir(found), n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ConfigError(key, f"got {target}, but {where} has no {part}{hint}")
        found, where = getattr(found, part), f"{where}.{part}"
    if not callable(found):
        raise ConfigError(
            key, f"got {target}, an object of type {type(found).__name__}; expected a class or a function"
        )
    make: Callable[..., Any] = found
    return make


def source_of_target(target: str, key: str) -> str:
    """PACKAGE==VERSION for what an installed package has, else the SHA-256 of its file; imports nothing.

    Raises:
        ConfigError: naming `key`; there is no such file
    """
    file, _, name = target.rpartition(":")
    if file:
        if not Path(file).is_file():
            raise ConfigError(key, f"got {target}, but there is no such file")
        return sha256(Path(file).resolve())
    top, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # the program itself
        spec = None
    places = spec.submodule_search_locations if spec else None
    origin = (spec.origin if spec else None) or next(
        iter(places or []), getattr(sys.modules.get(top), "__file__", None)
    )
    if origin is None:
        raise ConfigError(key, f"got {target}, but there is no module {top}; is its package installed?")
    if origin in ("built-in", "frozen"):
        return f"python=={platform.python_version()}"
    if {"site-packages", "dist-packages"} & set(Path(origin).parts):
        return _distribution(top)
    dotted = top
    for part in rest:
        dotted = f"{dotted}.{part}"
        inner = PathFinder.find_spec(dotted, places) if places else None
        if inner is None or inner.origin is None:
            break
        origin, places = inner.origin, inner.submodule_search_locations
    return sha256(Path(origin))


def _distribution(package: str) -> str:
    try:
        return f"{package}=={version(package)}"
    except PackageNotFoundError:
        name = packages_distributions().get(package, [package])[0]
        return f"{name}=={version(name)}"
