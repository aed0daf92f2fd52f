"""What decides a run's outcome, and its hash.

Only what differs from the defaults is hashed, so that a key that is new, and left at its default, changes no identity:
earlier runs stay what they were, and a sweep goes on with its trials.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from fc2conv.architectures.registry import source_of
from fc2conv.architectures.targets import source_of_target
from fc2conv.config.schema import (
    CALLBACK,
    LIMITS,
    WATCHES,
    Config,
    DataConfig,
    OptimConfig,
    TrainerConfig,
    dotted,
    plain,
)

FORMAT = 2
"""Whoever changes a default, or what a value means, takes the next number: then nothing that was trained before counts
as the same run. (1 hashed every key.)"""
TRAINER_KEYS = (
    *("max_epochs", "max_steps", "max_time", "accumulate_grad_batches", "check_val_every_n_epoch", "patience"),
    "test_weights",
    *LIMITS,
    *("precision", "gradient_clip"),
)
"""Those of the trainer that change the weights, or which images they are measured on; the others say where and how fast
they are computed."""
OWN_KEYS = {
    "folder": ("path", "colour", "test_size"),
    "arrays": ("path", "test_size"),
    "world_order": ("distance",),
}
"""Dataset -> the keys that only it reads, or others named here."""
DECIDING = ("model", "match", "data", "optim", "release", "ckpt")
"""Groups whose keys, but for data.dir, decide the outcome, and keys that do; those of match through the widths that
come of them."""


def identity_of(config: Config) -> dict[str, Any]:
    """What decides a run's outcome: the family, what differs from the defaults in model, data, optimiser, trainer and
    seed, callbacks that do more than watch, the debugging preset, and the weights it goes on from; not where it runs
    or is written.

    The meaning of our own architectures is the format's. Any other brings `source`, the hash of its file or the version
    of its package, and all of its arguments, since its defaults are pinned nowhere.

    Example:
        >>> identity_of(Config(seed=1))
        {'format': 2, 'family': 'lenet', 'model': {}, 'data': {}, 'optim': {}, 'trainer': {}, 'seed': 1}
    """
    source = source_of(config.model)
    default = type(config.model)  # our architectures have a default for each of their arguments
    model = changes(config.model, default()) if source is None else plain(config.model)  # type: ignore[call-arg]
    data = changes(config.data, DataConfig())
    data.pop("dir", None)
    read = OWN_KEYS.get(config.data.name, ())
    data = {k: v for k, v in data.items() if k in read or not any(k in keys for keys in OWN_KEYS.values())}
    trainer = changes(config.trainer, TrainerConfig())
    callbacks = _callbacks(config)
    return {
        "format": FORMAT,
        "family": config.model.family,
        "model": {k: v for k, v in model.items() if k != "family"},
        **({"source": source} if source is not None else {}),
        "data": data,
        "optim": changes(config.optim, OptimConfig()),
        "trainer": {k: trainer[k] for k in TRAINER_KEYS if k in trainer},
        "seed": config.seed,
        **({"debug": config.debug} if config.debug is not None else {}),
        **({"callbacks": callbacks} if callbacks else {}),
        **({"release": config.release, "ckpt": config.ckpt_sha256} if config.release is not None else {}),
    }


def configuration_of(config: Config) -> str:
    """Hash of what runs have in common that differ in their seed only."""
    return hashed({k: v for k, v in identity_of(config).items() if k != "seed"})


def _callbacks(config: Config) -> list[dict[str, Any]]:
    """Those that may change the weights, in their order. Their names say nothing, the user's own code brings `source`;
    Lightning's version is left out, as it is for the rest of the training."""
    found = []
    for name, values in config.callbacks.items():
        if not values.get(WATCHES):
            foreign = values[CALLBACK].split(".")[0] not in ("fc2conv", "lightning")
            source = {"source": source_of_target(values[CALLBACK], f"callbacks.{name}")} if foreign else {}
            found.append({k: v for k, v in values.items() if k != WATCHES} | source)
    return found


def changes(config: Any, default: Any) -> dict[str, Any]:
    """The plain values in which `config` differs from `default`, another instance of its class."""
    before = plain(default)
    return {k: v for k, v in plain(config).items() if v != before[k]}


def differing(one: Config, other: Config) -> list[str]:
    """The keys that make two configs different runs, e.g. ["optim.lr", "seed"]."""
    a, b = dotted(identity_of(one)), dotted(identity_of(other))
    return sorted(k for k in a.keys() | b.keys() if a.get(k) != b.get(k))


def decides(key: str) -> bool:
    """Whether the dotted key is one of those that can change a run's outcome, apart from its seed.

    Example:
        >>> decides("data.train_size"), decides("data.dir"), decides("trainer.max_epochs"), decides("trainer.threads")
        (True, False, True, False)
    """
    group, _, name = key.partition(".")
    return name in TRAINER_KEYS if group == "trainer" else group in DECIDING and key != "data.dir"


def hashed(values: dict[str, Any]) -> str:
    """16 hex digits that change whenever a value does."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
