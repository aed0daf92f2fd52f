"""What trackers show of a run, by names without groups and dots: kernel_size for model.kernel_size. W&B's tools read a
dot as a path."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from typing import Any

from fc2conv.config.identity import decides
from fc2conv.config.schema import GROUPS, TOP_LEVEL, dotted, headings
from fc2conv.config.unused import key_of
from fc2conv.fields import written
from fc2conv.record.result import Result

CHOICES = ("data", "optim", "experiment")
"""Groups whose choice is shown where an override makes one."""
SHARED = {
    name
    for name, n in Counter([*TOP_LEVEL, *(f.name for group in GROUPS.values() for f in fields(group))]).items()
    if n > 1
}
"""Names of keys in several groups: these keep their group."""
LEFT_OUT = ("logger", *(set(TOP_LEVEL) - {"seed", "debug"}))
"""Where the run lies and what was to be done with it."""


def flat_name(key: str) -> str:
    """A dotted key as trackers show it.

    Example:
        >>> [flat_name(key) for key in ("model.kernel_size", "optim.lr", "optim.name", "seed", "model.arguments.width")]
        ['kernel_size', 'lr', 'optim_name', 'seed', 'model_arguments_width']
    """
    group, _, rest = key.partition(".")
    if not rest:
        return group
    taken = rest in SHARED or rest.split(".")[0] == "arguments" or group not in ("model", *GROUPS)
    known = {*TOP_LEVEL, *(f.name for g in GROUPS.values() for f in fields(g))}
    taken |= group == "model" and rest in known  # a model of the user's own
    return (f"{group}_{rest}" if taken else rest).replace(".", "_")


def flat_config(result: Result) -> dict[str, Any]:
    """What a run is: the choice of its model, every key of its config, its counts. Lists are text, as on the command
    line: W&B's charts take text for a category, and have no place for a list."""
    found = {
        flat_name(key): written(value) if isinstance(value, list) else value
        for key, value in dotted(result.config).items()
        if key.partition(".")[0] not in LEFT_OUT
    }
    chosen = {key_of(o): o.partition("=")[2] for o in result.overrides if key_of(o) in CHOICES}
    return {
        **found,
        **chosen,
        **identifying(result),
        "configuration": configuration(result),
        "identity": result.identity,
    }


def identifying(result: Result) -> dict[str, Any]:
    """The choice of its model, and its counts."""
    return {
        "model": result.model,
        "family": result.family,
        "parameters": result.params.get("total"),
        "macs": result.macs,
        "receptive_field": result.receptive_field,
    }


def configuration(result: Result) -> str:
    """What runs have in common that differ in their seed only, as far as their overrides say it.

    Example:
        >>> configuration(Result("done", "", "", "lenet", 0, ["model=lenet", "model.kernel_size=3", "seed=1"], {}, {}))
        'lenet kernel_size=3'
    """
    said = {key_of(o): o.partition("=")[2] for o in result.overrides if "=" in o}
    kept = {key: value for key, value in said.items() if key != "model" and (decides(key) or key in CHOICES)}
    return " ".join(
        [result.model, *(f"{name}={value}" for name, value in zip(headings(list(kept)), kept.values(), strict=True))]
    )
