"""Which keys of a recorded config say what the run is. Read as plain values: no plugin is imported for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fc2conv.architectures import ARCHITECTURES
from fc2conv.config.schema import TOP_LEVEL, Config, dotted, plain
from fc2conv.config.unused import key_of
from fc2conv.fields import written
from fc2conv.record.result import Result

ABOUT_THE_CALL = frozenset(TOP_LEVEL) - {"seed", "plugins", "debug", "release", "ckpt", "ckpt_sha256"}
"""Where the run lies, and what was to be done with it."""


def keys_of(result: Result) -> dict[str, Any]:
    """Dotted key -> value, of all keys but those about the call and the loggers."""
    return _about_the_run(result.config)


def changed(result: Result) -> dict[str, Any]:
    """Those that differ from the defaults. All of the model's, where its architecture is not known here."""
    defaults = plain(Config())
    architecture = ARCHITECTURES.get(result.family)
    defaults["model"] = plain(architecture.config()) if architecture else {"family": result.family}
    known = _about_the_run(defaults)
    return {k: v for k, v in keys_of(result).items() if k not in known or known[k] != v}


def labels(results: Sequence[Result]) -> list[str]:
    """What tells these runs apart: the keys that their users wrote and that differ, `kernel_size=3 seed=0`; where that
    is not enough, all keys that differ; where no key does, their names."""
    asked = {key_of(override) for result in results for override in result.overrides}
    values = [{"model": result.model, **keys_of(result)} for result in results]
    differing = [key for key in dict.fromkeys(k for each in values for k in each) if _differs(key, values)]
    for keys in ([key for key in differing if key == "model" or key in asked], differing):
        last = [key.rpartition(".")[2] for key in keys]
        short = {key: part if last.count(part) == 1 else key for key, part in zip(keys, last, strict=True)}
        found = [" ".join(f"{short[k]}={written(each[k])}" for k in keys if k in each) for each in values]
        if len({*found, ""}) == len(found) + 1:
            return found
    return [result.name for result in results]


def _differs(key: str, values: Sequence[dict[str, Any]]) -> bool:
    return any(key not in each or each[key] != values[0].get(key) for each in values)


def _about_the_run(config: dict[str, Any]) -> dict[str, Any]:
    found = dotted(config)
    return {k: v for k, v in found.items() if k.partition(".")[0] not in {*ABOUT_THE_CALL, "logger"}}
