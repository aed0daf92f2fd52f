"""The trials of a sweep: each a frozen config with a folder named by its identity, whose record says how far it is.

A trial belongs to whoever holds the lock on its folder. The system frees the lock of a process that dies in whatever
way, so nothing is ever left locked, and two shells that run the same sweep cannot train the same trial twice.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from fc2conv.architectures.trace import Geometry
from fc2conv.compose import plan_of
from fc2conv.config.identity import hashed, identity_of
from fc2conv.config.schema import Config
from fc2conv.errors import DamagedResult, GeometryError
from fc2conv.record.folder import CHECKPOINTS, LOG, RUN_LOCK
from fc2conv.record.lock import LOCK
from fc2conv.record.result import DAMAGED, FILE, Result, Status

FINISHED: frozenset[Status] = frozenset({"done", "pruned"})
"""There is nothing left to train."""


@dataclass(frozen=True)
class Trial:
    """One point of a sweep."""

    overrides: tuple[str, ...]
    """Its overrides on the command line."""
    point: tuple[str, ...]
    """The overrides that vary in this sweep."""
    folder: Path
    """`<runs_dir>/<sweep>/<identity>`"""
    config: Config | None = None
    """As its job will run it; None if it cannot be composed."""
    model: str = ""
    """The choice of conf/model/, or else the family."""
    geometry: Geometry | None = None
    impossible: str | None = None
    """Why it cannot be run."""

    @classmethod
    def of(
        cls, config: Config, sweep: Path, overrides: tuple[str, ...], point: tuple[str, ...] = (), model: str = ""
    ) -> Trial:
        """The trial of a whole config, in the sweep's folder. It is impossible where the network does not fit."""
        geometry = impossible = None
        try:
            geometry = plan_of(config)
        except GeometryError as error:
            impossible = str(error)
        identity = hashed(identity_of(config))
        frozen = replace(
            config,
            runs_dir=str(sweep),
            name=identity,
            sweep=None,
            force=False,
            fail_fast=False,
            logger=replace(config.logger, group=config.logger.group or sweep.name),
            trainer=replace(config.trainer, progress=False),
        )
        return cls(overrides, point, sweep / identity, frozen, model or config.model.family, geometry, impossible)

    @property
    def label(self) -> str:
        return " ".join(self.point) or "(defaults)"

    @property
    def group(self) -> str:
        """What trials that differ in their seed only have in common."""
        if self.config is None:
            return self.folder.name
        return hashed({k: v for k, v in identity_of(self.config).items() if k != "seed"})

    def result(self) -> Result | None:
        """Its record, if there is one that can be read."""
        try:
            return Result.read(self.folder)
        except (FileNotFoundError, DamagedResult):
            return None

    def finished(self) -> bool:
        found = self.result()
        return found is not None and found.status in FINISHED

    def end(self, status: Status, error: str) -> None:
        """Complete the record where the job could not: it was killed, or never came to write one."""
        result = self.result()
        if result is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            result = Result.of(self.config, self.geometry, self.folder.name, self.model, self.overrides)
        result.status, result.error = status, error
        result.write(self.folder)

    def resumable(self) -> bool:
        return all((self.folder / f).exists() for f in (FILE, "config.yaml", f"{CHECKPOINTS}/last.ckpt"))

    def clear(self) -> None:
        """Empty the folder for a new start. Only with the lock held."""
        for path in self.folder.iterdir():
            if path.name in (LOCK, RUN_LOCK, DAMAGED):
                continue
            if path.name == LOG:  # the job's output goes there already, and must not go with it
                os.truncate(path, 0)
                continue
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        (self.folder / CHECKPOINTS).mkdir()
