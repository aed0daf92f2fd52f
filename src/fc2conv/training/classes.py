"""The architectures as LightningModules: `LeNet(kernel_size=3)`, one class for each that is registered."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

from fc2conv.architectures import ARCHITECTURES, ModelConfig
from fc2conv.architectures.plugins import load_installed
from fc2conv.architectures.registry import Architecture
from fc2conv.fields import signature_with_fields
from fc2conv.training.classifier import Classifier


def class_of(config: ModelConfig) -> type[Classifier]:
    """The LightningModule of an architecture, by its config."""
    return _made(ARCHITECTURES[config.family])


def class_named(name: str) -> type[Classifier]:
    """The LightningModule called `name`.

    Raises:
        AttributeError: no architecture has such a class
    """
    load_installed()
    for architecture in ARCHITECTURES.values():
        if architecture.name == name:
            return _made(architecture)
    raise AttributeError(f"module 'fc2conv' has no attribute {name!r}")


@cache
def _made(architecture: Architecture) -> type[Classifier]:
    def __init__(self: Classifier, *args: Any, **more: Any) -> None:
        Classifier.__init__(self, *args, **more)

    init: Any = __init__
    init.__signature__ = signature_with_fields(Classifier.__init__, architecture.config)
    body: dict[str, Any] = {
        "__doc__": _doc(architecture),
        "__module__": "fc2conv",  # where pickle finds it again
        "__init__": init,
        "config_class": architecture.config,
    }
    return type(architecture.name, (Classifier,), body)


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
