"""What W&B shows of a run, and by which names. Those of a config's keys are without groups and dots, kernel_size for
model.kernel_size: its tools read a dot as a path."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from typing import Any

from fc2conv.config.identity import decides
from fc2conv.config.schema import GROUPS, TOP_LEVEL, dotted, headings
from fc2conv.config.unused import key_of
from fc2conv.fields import written
from fc2conv.record.result import Result

EPOCHS = ("train/loss", "train/acc", "val/loss", "val/acc", "test/loss", "test/acc", "images_per_second")
STEPS = ("train/loss_step", "lr")
"""Metrics that are logged once an epoch (test: once), and those that go by the optimiser's steps."""
SUMMED_UP = ("val/loss", "val/acc")
"""Metrics whose summary is the best epoch's, not the last one's."""
CONFUSION, PER_CLASS, MISCLASSIFIED = "test/confusion", "test/per_class", "test/misclassified"
"""What the test leaves besides numbers: two charts and a table."""
CONFUSION_CHART, CLASS_CHART = "wandb/confusion_matrix/v1", "wandb/bar/v0"
"""What W&B calls the drawings of these charts."""
CONFUSION_COLUMNS, CLASS_COLUMNS = ("Actual", "Predicted", "nPredictions"), ("class", "accuracy")
"""Of the tables that they draw; the table of a chart is called like it, with _table behind it."""

# --- a run's config

CHOICES = ("data", "optim", "experiment")
"""Groups whose choice is shown where an override makes one."""
COUNTS = Counter([*TOP_LEVEL, *(f.name for group in GROUPS.values() for f in fields(group))])
"""How many groups, a model's left out, have a key of this name."""
LEFT_OUT = ("logger", *(set(TOP_LEVEL) - {"seed", "debug", "release"}))
"""Where the run lies and what was to be done with it."""


def flat_name(key: str) -> str:
    """A dotted key as W&B shows it.

    Example:
        >>> [flat_name(key) for key in ("model.kernel_size", "optim.lr", "optim.name", "seed", "model.arguments.width")]
        ['kernel_size', 'lr', 'optim_name', 'seed', 'model_arguments_width']
    """
    group, _, rest = key.partition(".")
    if not rest:
        return group
    # arguments are of the optimiser and of a torch module; a model of the user's own may have any name
    alone = COUNTS[rest] <= (group != "model") and group in ("model", *GROUPS) and not rest.startswith("arguments")
    return (rest if alone else key).replace(".", "_")


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
