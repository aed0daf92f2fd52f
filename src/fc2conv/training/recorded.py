"""The config of a recorded run, or of a checkpoint, with what the user wrote on top: to resume, test or train on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from fc2conv.architectures import ARCHITECTURES
from fc2conv.config.parsing import modernised, parse
from fc2conv.config.schema import GROUPS, Config, plain
from fc2conv.config.unused import key_of
from fc2conv.errors import ConfigError, DamagedCheckpoint
from fc2conv.fields import usable
from fc2conv.record.checkpoint import load_checkpoint


def merge_recorded(
    config: Config, composed: Mapping[str, Any], overrides: Sequence[str], source: Mapping[str, Any]
) -> Config:
    """The config of a recorded run, with what the user wrote on top of it.

    Args:
        config: as composed without the record, for the keys that are about this call (task, ckpt, resume, runs_dir)
        composed: its plain values
        overrides: the user's, each taken from `composed`
        source: the recorded config
    """
    values = deepcopy(modernised(source))
    for key in map(key_of, overrides):
        top, _, rest = key.partition(".")
        if key in ("experiment", "debug"):
            reader = "release" if config.release else f"task={config.task} or resume"
            raise ConfigError(key, f"cannot be combined with {reader}: the run has its config")
        if rest:
            _copy_key(key.split("."), composed, values)
        elif top == "logger":  # as recorded, where it was there
            recorded = values.get(top, {})
            values[top] = {k: v and (recorded.get(k) or v) for k, v in composed[top].items()}
        elif top in GROUPS:  # what the choice says, and not what it leaves at its default
            default = plain(GROUPS[top]())
            values[top] |= {k: v for k, v in composed[top].items() if v != default[k]}
        elif top in composed:
            values[top] = composed[top]
    for key in ("task", "resume", "runs_dir", "name", *(() if config.resume else ("ckpt",))):
        values[key] = getattr(config, key)
    return parse(Config, values)


def _copy_key(path: Sequence[str], source: Mapping[str, Any], target: dict[str, Any]) -> None:
    """Make the value at a dotted key of `target` that of `source`; without one there, none."""
    *groups, last = path
    for name in groups:
        if name not in source or not isinstance(target.get(name), dict):
            last = name
            break
        source, target = source[name], target[name]
    if last in source:
        target[last] = source[last]
    else:
        target.pop(last, None)


def of_checkpoint(config: Config, overrides: Sequence[str]) -> Config:
    """The config of the run that `ckpt` is from, with what the user wrote on top of it: to test or to inspect it.

    Raises:
        ConfigError: there is no such checkpoint, or it asks for code that the user has not named
    """
    source, values = _source(config), plain(config)
    # the checkpoint's are not asked
    own = {key: values[key] for key in ("plugins", "allow", "callbacks", "release", "ckpt_sha256")}
    return merge_recorded(config, values, overrides, source | own)


def released(config: Config, overrides: Sequence[str]) -> Config:
    """The config of a run that trains on from `ckpt` with `release`: the checkpoint's model with a constraint released,
    and its data, optimiser, trainer and seed, with what the user wrote on top. Any other config stays as it is.

    Raises:
        ConfigError: there is no such checkpoint, or it has no such constraint
    """
    if config.release is None or config.resume:
        return config
    for override in overrides:
        if (key := key_of(override)).split(".")[0] in ("model", "match"):
            value = override.partition("=")[2]
            raise ConfigError(key, f"got {value}, but release takes the network from ckpt; leave it out")
    source, values = _source(config), plain(config)
    taken = {key: source[key] for key in ("model", *GROUPS, "seed")}
    merged = merge_recorded(config, values, overrides, values | taken)
    assert merged.ckpt is not None
    digest = sha256(Path(merged.ckpt))
    return replace(merged, model=merged.model.released(config.release), ckpt_sha256=digest)


def sha256(checkpoint: Path) -> str:
    """SHA-256 of a checkpoint's file."""
    with usable("ckpt", str(checkpoint)), checkpoint.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _source(config: Config) -> dict[str, Any]:
    """What `ckpt` was trained with."""
    assert config.ckpt is not None
    with usable("ckpt", config.ckpt):
        found = Path(config.ckpt).is_file()
    if not found:
        raise ConfigError("ckpt", f"got {config.ckpt}, but there is no such file")
    source = config_of(Path(config.ckpt))
    _check_code(config, source)
    return source


def _check_code(config: Config, source: Mapping[str, Any]) -> None:
    """A checkpoint makes no code run that the user has not named.

    Raises:
        ConfigError: it asks for more than `config` allows
    """
    model, plugins = source["model"], ",".join(source.get("plugins", []))
    if model["family"] not in ARCHITECTURES:
        hint = f"; if you trust its code, add plugins=[{plugins}]" if plugins else ""
        raise ConfigError("plugins", f"{config.ckpt} holds a {model['family']}, which no plugin has registered{hint}")
    if model["family"] == "module" and model["target"] not in config.allow:
        what = f"{config.ckpt} asks for {model['target']}; if you trust its code, add allow=[{model['target']}]"
        raise ConfigError("allow", what)


def config_of(checkpoint: Path) -> dict[str, Any]:
    """The whole config that a checkpoint was trained with, as plain values.

    Raises:
        ConfigError: the file is damaged, or no checkpoint of this project
    """
    try:
        return dict(load_checkpoint(checkpoint, mapped=True)["hyper_parameters"]["extra"]["config"])
    except DamagedCheckpoint as error:
        raise ConfigError("ckpt", f"{error}; give another, or train anew") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError("ckpt", f"{checkpoint} is no checkpoint of this project ({type(error).__name__})") from error
