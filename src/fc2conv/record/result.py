"""A run's result.json: the truth that tables, sweeps and reports read. Written whole or not at all."""

from __future__ import annotations

import json
import math
import os
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from fc2conv.errors import DamagedResult

Status = Literal["running", "done", "failed", "interrupted", "pruned", "skipped"]
FILE = "result.json"


@dataclass
class Result:
    """What a run was, and what came of it."""

    status: Status
    identity: str
    """Hash of what decides the outcome."""
    name: str
    model: str
    seed: int
    overrides: list[str]
    config: dict[str, Any]
    params: dict[str, Any]
    """{total, layers: {name: count}}, trainable only."""
    macs: int
    receptive_field: int | None = None
    """None where it is not known."""
    train: dict[str, float] | None = None
    """{loss, acc, n} of the last epoch; n counts images."""
    val: dict[str, float] | None = None
    """{loss, acc, n} of the best epoch."""
    test: dict[str, float] | None = None
    """{loss, acc, n} of the best epoch's weights; absent until it was read."""
    epochs: int = 0
    """Epochs completed."""
    best_epoch: int | None = None
    """Counted from 1, like `epochs`."""
    seconds: dict[str, float] = field(default_factory=dict)
    """{total, fit, test}"""
    images_per_second: float | None = None
    """Training images, over the whole time of training, validation included."""
    device: str | None = None
    kernels: str | None = None
    """Which compiled kernels computed the network; None: torch alone."""
    confusion: list[list[int]] | None = None
    """Test images of each true class (rows) by predicted class."""
    world_size: int = 1
    versions: dict[str, str] = field(default_factory=dict)
    git: dict[str, Any] | None = None
    data_sha256: dict[str, str] | None = None
    wandb_id: str | None = None
    error: str | None = None
    """What ended the run, if anything did."""

    def write(self, folder: Path) -> None:
        """Put it into `folder`, atomically."""
        values = {k: v for k, v in asdict(self).items() if v is not None or k == "receptive_field"}
        write_atomically(folder / FILE, json.dumps(finite(values), indent=2, allow_nan=False) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Result:
        """The result in `folder`. Unknown keys, of a later version, are left out.

        Raises:
            FileNotFoundError: there is none
            DamagedResult: there is something else
        """
        text = (folder / FILE).read_text(errors="replace")
        try:
            values = json.loads(text)
            known = {f.name for f in fields(cls)}
            return cls(**{k: v for k, v in values.items() if k in known})
        except (ValueError, TypeError, AttributeError) as error:
            raise DamagedResult(f"{folder / FILE} is damaged ({error})") from error


def write_atomically(path: Path, text: str) -> None:
    """Write aside, then rename: a reader sees the old file or the new one, whole."""
    handle, aside = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(aside, 0o644)
        os.replace(aside, path)
    except BaseException:
        os.unlink(aside)
        raise


def finite(value: Any) -> Any:
    """JSON has no NaN or infinity: they become None."""
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def spread(values: Sequence[float]) -> tuple[float, float, int]:
    """(mean, sample standard deviation, n) of at least one value; the deviation of a single one is 0."""
    n = len(values)
    return statistics.fmean(values), statistics.stdev(values) if n > 1 else 0.0, n
