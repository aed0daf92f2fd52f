"""What decides a run's outcome, and its hash."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from fc2conv.config.schema import Config, plain


def identity_of(config: Config) -> dict[str, Any]:
    """What decides a run's outcome: model, data, optimiser, schedule, seed; not where it runs or is written."""
    values = plain(config)
    values["data"].pop("dir")
    if config.data.name != "folder":
        for key in ("path", "size", "colour", "test_size"):
            values["data"].pop(key)
    trainer = {k: values["trainer"][k] for k in ("max_epochs", "precision", "gradient_clip", "patience")}
    return {**{k: values[k] for k in ("model", "data", "optim", "seed")}, "trainer": trainer}


def hashed(values: dict[str, Any]) -> str:
    """16 hex digits that change whenever a value does."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
