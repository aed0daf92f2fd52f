"""Keys that decide nothing beside the others: whoever writes one is told, since it would be ignored in silence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from fc2conv.architectures import ARCHITECTURES
from fc2conv.config.schema import OF_CHECKPOINTS, Config
from fc2conv.errors import ConfigError


def refuse_unused(overrides: Iterable[str], configs: Sequence[Config]) -> None:
    """Refuse an override that none of the `configs` made with it reads.

    Raises:
        ConfigError: naming its key, and who would read it
    """
    reasons = [unused(config) for config in configs]
    for override in overrides:
        key, value = key_of(override), override.partition("=")[2]
        names = [".".join(key.split(".")[:n]) for n in range(1, key.count(".") + 2)]  # data and data.block
        found = [next((r[name] for name in names if name in r), None) for r in reasons]
        if found and found[0] and all(found) and value not in ("null", "None"):
            raise ConfigError(key, f"got {value}, but {found[0]}; leave it out")


def unused(config: Config) -> dict[str, str]:
    """Key or group -> why `config` does not read it.

    Example:
        >>> unused(Config())["data.block"]
        'only data.permutation=block and block_order read it'
    """
    data, optim, trainer = config.data, config.optim, config.trainer
    readers = (
        (data.name == "folder", "only data=folder reads it", ("colour",)),
        (data.name in ("folder", "arrays"), "only data=folder and data=arrays read it", ("path", "test_size")),
        (data.name == "world_order", "only data=world_order reads it", ("distance",)),
        (data.canvas is not None, "only images on a data.canvas have a place", ("place",)),
        (
            data.permutation in ("block", "block_order"),
            "only data.permutation=block and block_order read it",
            ("block",),
        ),
    )
    found = {f"data.{key}": reason for read, reason, keys in readers if not read for key in keys}
    found |= {f"model.{key}": reason for key, reason in config.model.unused().items()}
    if config.match.budget is None:
        found["match.keys"] = "only match.params and match.macs scale widths"
    if optim.name != "sgd":
        found |= {f"optim.{key}": "only optim.name=sgd reads it" for key in ("momentum", "nesterov")}
    if optim.schedule != "onecycle":
        found["optim.warmup"] = "only optim.schedule=onecycle reads it"
    if ARCHITECTURES[config.model.family].loss is not None:
        found["optim.label_smoothing"] = f"{config.model.family} has a loss of its own, without labels to smooth"
    if trainer.patience is not None and trainer.patience >= trainer.max_epochs:
        found["trainer.patience"] = f"{trainer.max_epochs} epochs are over before it is"
    if config.resume:
        found["name"] = "a run that goes on keeps its name"
        found["match"] = "a run that goes on keeps its widths"
    found["ckpt_sha256"] = "it is written by the run"
    if config.task != "inspect":
        found["inspect"] = "only task=inspect reads it"
    return found | (_unused_with_checkpoint(config.task) if config.task in OF_CHECKPOINTS else {})


def _unused_with_checkpoint(task: str) -> dict[str, str]:
    of_trainer = (f"trainer.{key}" for key in ("max_epochs", "gradient_clip", "patience"))
    trained = ("model", "match", "optim", "seed", *of_trainer)
    augmentation = (f"data.{key}" for key in ("flip", "translate", "erase"))
    return {
        **dict.fromkeys(trained, f"task={task} takes the network from ckpt as it was trained"),
        **dict.fromkeys(augmentation, f"task={task} augments no images"),
        **dict.fromkeys(("name", "runs_dir", "logger"), f"task={task} records nothing"),
    }


def key_of(override: str) -> str:
    """The dotted key of an override: "++data.flip=true" -> "data.flip"."""
    return re.split("[=@]", override.lstrip("+~"))[0]
