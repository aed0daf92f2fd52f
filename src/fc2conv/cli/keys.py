"""Which keys of a recorded config say what the run is. Read as plain values: no plugin is imported for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fc2conv.architectures import ARCHITECTURES
from fc2conv.config.schema import TOP_LEVEL, Config, dotted, plain
from fc2conv.fields import written
from fc2conv.record.result import Result

ABOUT_THE_CALL = frozenset(TOP_LEVEL) - {"seed", "plugins", "debug"}
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
    """What tells these runs apart: the model and the keys that differ, `kernel_size=3 seed=0`; of a single run, its
    name. The keys of the models themselves are named only where something else does not do.

    Example:
        >>> labels([])
        []
    """
    keys = [{"model": result.model, **keys_of(result)} for result in results]
    names = [key for key in dict.fromkeys(k for each in keys for k in each) if len({str(e.get(key)) for e in keys}) > 1]
    outside = [key for key in names if not key.startswith("model.")]
    for chosen in (outside if "model" in names else names, names):
        last = [name.rpartition(".")[2] for name in chosen]
        short = {n: part if last.count(part) == 1 else n for n, part in zip(chosen, last, strict=True)}
        found = [" ".join(f"{short[k]}={written(e[k])}" for k in chosen if k in e) for e in keys]
        if len(set(found)) == len(found) and all(found):
            return found
    return [result.name for result in results]


def _about_the_run(config: dict[str, Any]) -> dict[str, Any]:
    found = dotted(config)
    return {k: v for k, v in found.items() if k not in ABOUT_THE_CALL and k.partition(".")[0] != "logger"}
