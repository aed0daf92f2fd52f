"""Which keys of a recorded config say what the run is. Read as plain values: no plugin is imported for it."""

from __future__ import annotations

from typing import Any

from fc2conv.architectures import ARCHITECTURES
from fc2conv.config.schema import TOP_LEVEL, Config, dotted, plain
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


def _about_the_run(config: dict[str, Any]) -> dict[str, Any]:
    found = dotted(config)
    return {k: v for k, v in found.items() if k not in ABOUT_THE_CALL and k.partition(".")[0] != "logger"}
