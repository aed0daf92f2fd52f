"""Ends the build where a public name is not in the reference, or says nothing of itself.

Public are the names of `fc2conv`, and in the modules of MODULES those without an underscore that are defined there;
and the methods and properties of a public class. What these take over from a base class has its docstring.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from inspect import isclass
from types import ModuleType
from typing import Any

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

import fc2conv

logger = logging.getLogger(__name__)
MODULES = (
    "fc2conv.architectures.registry",
    "fc2conv.architectures.trace",
    "fc2conv.architectures.layers",
    "fc2conv.errors",
    "fc2conv.speed",
)


def public(module: ModuleType) -> list[str]:
    """Names of the functions and classes that a module defines, or of its __all__."""
    own = getattr(module, "__all__", None)
    if own is not None:
        return list(own)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
    ]


def names() -> list[str]:
    """All public names, with their module's."""
    package = [
        name
        for name in dir(fc2conv)
        if not name.startswith("_")
        and not inspect.ismodule(getattr(fc2conv, name))
        and name not in ("Any", "TYPE_CHECKING", "import_module")
    ]
    found = [f"fc2conv.{name}" for name in package]
    return found + [f"{name}.{each}" for name in MODULES for each in public(import_module(name))]


def silent(name: str) -> list[str]:
    """What has no docstring of a public name: itself, or its methods and properties."""
    module, _, last = name.rpartition(".")
    value = getattr(import_module(module), last)
    members = {f"{name}.{key}": getattr(value, key) for key in vars(value) if key[0] != "_"} if isclass(value) else {}
    found = {name: value} | {key: each for key, each in members.items() if callable(each) or isinstance(each, property)}
    return [key for key, each in found.items() if not said(each)]


def said(value: Any) -> str:
    """Its docstring, but for the one that dataclass makes up: the signature."""
    doc = inspect.getdoc(value) or ""
    return "" if isclass(value) and doc.startswith(f"{value.__name__}(") else doc


def check(app: Sphinx, env: BuildEnvironment) -> None:
    documented = env.domains.python_domain.objects
    for name in names():
        if name not in documented:
            logger.warning("%s is public, and no page of the reference has it", name)
        for each in silent(name):
            logger.warning("%s is public, and has no docstring", each)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("env-check-consistency", check)
    return {"parallel_read_safe": True}
