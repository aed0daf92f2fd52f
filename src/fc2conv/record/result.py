"""A run's result.json: the truth that tables, sweeps and reports read. Written whole or not at all."""

from __future__ import annotations

import json
import math
import os
import shlex
import stat
import statistics
import tempfile
import types
import typing
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal

from fc2conv.architectures.trace import Geometry
from fc2conv.config.identity import FORMAT, hashed, identity_of
from fc2conv.config.parsing import modernised, parse
from fc2conv.config.schema import Config, plain
from fc2conv.errors import ConfigError, DamagedResult
from fc2conv.fields import spelled

Status = Literal["running", "done", "failed", "interrupted", "pruned", "skipped"]
FILE = "result.json"
DAMAGED = "result.json.damaged"
"""What could not be read, set aside by a run that begins anew in the folder."""
LARGEST = 2**26
"""Bytes of a record; what is larger is none."""
SPLITS = ("train", "val", "test")
NULLABLE = ("macs", "receptive_field", "debug")
"""What is written even where it is None; all else that is None is left out."""


@dataclass
class Result:
    """What a run was, and what came of it."""

    status: Status
    """running, done, failed (see `error`), interrupted, pruned (a search stopped it early), or skipped (not run)."""
    identity: str
    """Hash of what decides the outcome."""
    name: str
    """The folder's name."""
    model: str
    """The choice of conf/model/, e.g. lenet_modern."""
    seed: int
    """The run's, as in its config."""
    overrides: list[str]
    """What was written on the command line."""
    config: dict[str, Any]
    """The whole configuration, as plain values, but for `inspect`, which says nothing of a run."""
    params: dict[str, Any]
    """{total, layers: {name: count}}, trainable only."""
    macs: int | None = None
    """Multiply-accumulates for one image."""
    receptive_field: int | str | None = None
    """HEIGHTxWIDTH where these differ. This and `macs` are None where they are not known."""
    family: str = ""
    """The architecture, e.g. lenet."""
    format: int = 1
    """The identity's format. Runs of format 1 did not write it down; FORMAT is today's."""
    train: dict[str, float] | None = None
    """{loss, acc, n} of the last epoch; n counts images. The loss is what was minimised: with optim.label_smoothing,
    which those of val and test are without."""
    val: dict[str, float] | None = None
    """{loss, acc, n} of the best epoch."""
    test: dict[str, float] | None = None
    """{loss, acc, n} of the best epoch's weights; absent until it was read."""
    confusion: list[list[int]] | None = None
    """Test images of each true class (rows) by predicted class."""
    per_class: dict[str, float | None] | None = None
    """Test accuracy of each class; None for a class without test images."""
    epochs: int = 0
    """Epochs trained. max_steps or max_time may have cut the last one short."""
    best_epoch: int | None = None
    """Counted from 1, like `epochs`."""
    seconds: dict[str, float] = field(default_factory=dict)
    """{total, fit, test}"""
    images_per_second: float | None = None
    """Training images, over the whole time of training, validation included."""
    peak_memory: int | None = None
    """Bytes: the most that the first rank's process had in memory (since that process began), plus the most that torch
    had allocated on its GPU, if it has one."""
    kernels: str | None = None
    """Which compiled kernels computed the network; None: torch alone."""
    device: str | None = None
    """What it was trained on: cpu, or the GPU's name."""
    world_size: int = 1
    """Processes that shared the training."""
    versions: dict[str, str] = field(default_factory=dict)
    """Of Python and the packages that matter."""
    git: dict[str, Any] | None = None
    """The commit of the code, and whether it was changed since."""
    data_sha256: dict[str, str] | None = None
    """Hashes of the dataset's files."""
    wandb_id: str | None = None
    """The W&B run, if there is one."""
    debug: str | None = None
    """The debugging preset it was made with: a run to look at, not one to compare."""
    suggested_lr: float | None = None
    """What task=lr_find suggests for optim.lr."""
    mlflow_id: str | None = None
    """Of the runs there, if there are any."""
    error: str | None = None
    """What ended the run, if anything did."""

    @classmethod
    def of(
        cls,
        config: Config | None,
        geometry: Geometry | None,
        name: str,
        model: str = "",
        overrides: Sequence[str] = (),
    ) -> Result:
        """A run that begins.

        Args:
            config: None where the overrides make none
            geometry: None where the network does not fit
            model: the choice of conf/model/; empty: not known, and the family is all there is to say
        """
        family = config.model.family if config else ""
        if config and config.release:
            model = family  # the choice was the checkpoint's
        return cls(
            status="running",
            format=FORMAT,
            identity=hashed(identity_of(config)) if config else name,
            name=name,
            model=model or family,
            family=family,
            seed=config.seed if config else 0,
            debug=config.debug if config else None,
            overrides=list(overrides),
            config={k: v for k, v in plain(config).items() if k != "inspect"} if config else {},
            params={"total": geometry.params, "layers": geometry.layer_params()} if geometry else {},
            macs=geometry.macs if geometry else None,
            receptive_field=seen_by(geometry) if geometry else None,
        )

    def write(self, folder: Path) -> None:
        """Put it into `folder`, atomically."""
        values = {k: v for k, v in asdict(self).items() if v is not None or k in NULLABLE}
        write_atomically(folder / FILE, json.dumps(finite(values), indent=2, allow_nan=False) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Result:
        """The result in `folder`. Unknown keys, of a later version, are left out.

        Raises:
            FileNotFoundError: there is none
            DamagedResult: there is something else
        """
        found = (folder / FILE).stat()
        if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for
            raise DamagedResult(f"{folder / FILE} is no file")
        if found.st_size > LARGEST:
            raise DamagedResult(f"{folder / FILE} is damaged (larger than {LARGEST >> 20} MiB)")
        text = (folder / FILE).read_text(errors="replace")
        try:
            values = json.loads(text)
            known = {f.name for f in fields(cls)}
            result = cls(**{k: v for k, v in values.items() if k in known})
            result._check_types()
            if not result.family:  # format 1
                result.family = result.config["model"]["family"] if result.config else result.model
            return result
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise DamagedResult(f"{folder / FILE} is damaged ({error})") from error

    def again(self) -> str:
        """The command that repeats the run, in a new folder."""
        return shlex.join(["python", "train.py", *(o for o in self.overrides if not o.startswith("name="))])

    def typed(self) -> Config | None:
        """Its config; None if it has none that can be read here. Loads no plugin for it."""
        try:
            config = parse(Config, modernised(self.config) | {"plugins": []}) if self.config else None
            if config:
                identity_of(config)  # which looks for the sources of models that are not ours
            return config
        except (ConfigError, OSError):
            return None

    def _check_types(self) -> None:
        """Raise ValueError if a value is none of its field's."""
        for name, hint in _hints().items():
            if not _fits(hint, getattr(self, name)):
                raise ValueError(f"{name}: got {str(getattr(self, name))[:40]}")
        for split in SPLITS:
            metrics = getattr(self, split)
            if metrics is not None and (metrics.get("acc") is None or not metrics.keys() >= {"loss", "acc", "n"}):
                raise ValueError(f"{split}: got {str(metrics)[:40]}")


def seen_by(geometry: Geometry) -> int | str | None:
    """A network's receptive field as the record has it."""
    found = geometry.receptive_field
    return spelled(found) if isinstance(found, tuple) else found


@cache
def _hints() -> dict[str, Any]:
    return typing.get_type_hints(Result)


def _fits(hint: Any, value: Any) -> bool:
    """Whether a value read from JSON is of the type `hint`."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        return any(_fits(option, value) for option in args)
    if origin is Literal:
        return value in args
    if origin is list:
        return isinstance(value, list) and all(_fits(args[0], v) for v in value)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(args[1], v) for v in value.values())
    if hint is float:  # NaN is written as null
        return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))
    return hint is Any or type(value) is hint


def per_class(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> dict[str, float | None]:
    """Accuracy of each class by the confusion matrix, whose rows are the true classes.

    Example:
        >>> per_class([[3, 1], [0, 0]], ["cat", "dog"])
        {'cat': 0.75, 'dog': None}
    """
    totals = [sum(row) for row in confusion]
    return {name: confusion[i][i] / totals[i] if totals[i] else None for i, name in enumerate(classes)}


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
