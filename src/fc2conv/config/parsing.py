"""Plain values -> the typed config: what YAML, JSON, the command line and checkpoints hold becomes the dataclasses of
schema.py and of the architectures, and what does not belong (unknown keys, wrong types) is refused by name."""

from __future__ import annotations

import difflib
import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union

from fc2conv.architectures import ARCHITECTURES, ModelConfig
from fc2conv.architectures.plugins import load, load_installed
from fc2conv.config.schema import FOLDER_SIZE, MOVED
from fc2conv.errors import ConfigError
from fc2conv.fields import Sides, require, sides, spelled, written

T = TypeVar("T")


def parse(cls: type[T], values: Mapping[str, Any], key: str = "") -> T:
    """Build the dataclass `cls` from plain values, refusing unknown keys and wrong types. Loads the plugins they name.

    Raises:
        ConfigError: naming the dotted key, what it got and what would do
    """
    hints = _hints(cls)  # type: ignore[arg-type]
    names = [f.name for f in fields(cls)]  # type: ignore[arg-type]
    for name in values:
        if name not in names:
            raise ConfigError(_join(key, str(name)), unknown(_join(key, str(name)), names))
    if "plugins" in names and "plugins" in values:
        load(_convert(hints["plugins"], values["plugins"], _join(key, "plugins")))
    return cls(**{name: _convert(hints[name], value, _join(key, name)) for name, value in values.items()})


def parse_model(values: Mapping[str, Any], key: str = "model") -> ModelConfig:
    """The model's dataclass, chosen by its `family`."""
    family = values.get("family")
    if family not in ARCHITECTURES:
        load_installed()
    if family not in ARCHITECTURES:
        raise ConfigError(f"{key}.family", f"got {written(family)}, expected one of {', '.join(ARCHITECTURES)}")
    keys = {name: {f.name for f in fields(a.config)} for name, a in ARCHITECTURES.items()}
    if not set(values) <= keys[family] and (others := [name for name in keys if keys[name] == set(values)]):
        # Hydra composed another model, and only its family was replaced
        raise ConfigError(f"{key}.family", f"got {family} with the keys of {others[0]}; choose by model={family}")
    config: ModelConfig = parse(ARCHITECTURES[family].config, values, key)
    return config


def modernised(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded config, perhaps of an earlier version, in today's words."""
    found, data, logger = dict(recorded), recorded.get("data", {}), recorded.get("logger", {})
    if data.get("size") == FOLDER_SIZE:  # which all datasets had, and a folder alone read
        found["data"] = {**data, "size": None}
    if "name" in logger:
        wandb = {k: v for k, v in logger.items() if k != "name"}
        found["logger"] = {"wandb": wandb} if logger["name"] == "wandb" else {}
    return found


def unknown(key: str, known: Sequence[str]) -> str:
    """What to say of a dotted key that does not exist, beside `known` ones."""
    if key in MOVED:
        return f"is written {MOVED[key]} now"
    return "no such key" + suggest(key.rpartition(".")[2], known)


def suggest(name: str, known: Sequence[str]) -> str:
    """What the writer of an unknown key probably meant, and what there is."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return (f"; did you mean {close[0]}?" if close else ".") + f" Known: {', '.join(known)}"


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


@cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


class _Mismatch(Exception):
    pass


def _convert(hint: Any, value: Any, key: str) -> Any:
    if hint is ModelConfig:
        require(isinstance(value, Mapping), key, value, "a model, e.g. model=lenet")
        return parse_model(value, key)
    if typing.get_origin(hint) in (Union, types.UnionType):  # a group of keys, or null
        groups = [option for option in typing.get_args(hint) if is_dataclass(option)]
        hint = groups[0] if groups and value is not None else hint
    if is_dataclass(hint):
        require(isinstance(value, Mapping), key, value, "a group of keys")
        return parse(hint, value, key)  # type: ignore[arg-type]
    try:
        return _cast(hint, value)
    except _Mismatch:
        hint_of_empty = "; is a shell variable unset?" if value == "" else ""
        raise ConfigError(key, f"got {written(value)}, expected {_describe(hint)}{hint_of_empty}") from None


def _cast(hint: Any, value: Any) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        if value == 1 and isinstance(value, float) and float in args:
            return value  # of Lightning's limits 1.0 is all, and 1 a single batch
        for option in sorted(args, key=lambda a: a is not type(None)):  # so that None is not text
            try:
                return _cast(option, value)
            except _Mismatch:
                continue
        raise _Mismatch
    if origin is Literal:
        # "32" is written 32 on the command line
        if value in args or str(value) in args:
            return value if value in args else str(value)
        raise _Mismatch
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise _Mismatch
        if args[-1] is not Ellipsis:
            if len(value) != len(args):
                raise _Mismatch
            return tuple(_cast(a, v) for a, v in zip(args, value, strict=True))
        return tuple(_cast(args[0], v) for v in value)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise _Mismatch
        return {_cast(args[0], k): _cast(args[1], v) for k, v in value.items()}
    if hint is Any:
        return _plain(value)
    if hint is Sides:
        if isinstance(value, str) and (found := sides(value)) is not None:
            return found if isinstance(found, int) else spelled(found)  # 5 for 5x5, so that they are one run
        raise _Mismatch
    if hint is type(None):
        if value is None or value == "None":  # a W&B agent writes null as None
            return None
    elif hint is bool:
        if isinstance(value, bool):
            return value
    elif hint is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, float) and value.is_integer():  # 1e3
            return int(value)
    elif hint is float:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    elif hint is str and isinstance(value, (str, int, float)) and not isinstance(value, bool) and value != "":
        return str(value)
    raise _Mismatch


def _plain(value: Any) -> Any:
    """What YAML and JSON can hold, as it is."""
    if isinstance(value, Mapping):
        return {_cast(str, k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise _Mismatch


def _describe(hint: Any) -> str:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_describe(a) for a in args))
    if origin is Literal:
        return ("one of " if len(args) > 1 else "") + ", ".join(written(a) for a in args)
    if origin is tuple:
        if args[-1] is not Ellipsis:
            return f"a list of {len(args)} values"
        return f"a list, each {_describe(args[0])}"
    if origin is dict:
        return "a group of plain values, e.g. '{num_classes: 10}'"
    return {
        Sides: "HEIGHTxWIDTH",
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "text",
        type(None): "null",
    }[hint]
