"""How a registered architecture becomes a class with a name, a signature and an example of its own."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

from lightning.pytorch import LightningModule

from fc2conv.architectures.registry import Architecture
from fc2conv.fields import signature_with_fields


@cache
def subclass(base: type[LightningModule], architecture: Architecture) -> type[LightningModule]:
    """A subclass of `base` for the architecture: its name, its config_class, its fields in the signature."""

    def __init__(self: Any, *args: Any, **more: Any) -> None:
        base.__init__(self, *args, **more)

    init: Any = __init__
    init.__signature__ = signature_with_fields(base.__init__, architecture.config)
    body: dict[str, Any] = {
        "__doc__": _doc(architecture),
        "__module__": "fc2conv",  # where pickle finds it again
        "__init__": init,
        "config_class": architecture.config,
    }
    return type(architecture.name, (base,), body)


def _doc(architecture: Architecture) -> str:
    shown = inspect.getdoc(architecture.config) or ""
    name = architecture.name
    return f"""{shown}

Takes the fields of its config as keywords, or the config itself, and what every Classifier takes.

Example:
    >>> from lightning.pytorch import Trainer
    >>> from fc2conv import {name}, ImageData
    >>> Trainer(max_epochs=1).fit({name}(), datamodule=ImageData())  # doctest: +SKIP
"""
