"""The trials of a sweep: each a frozen config with a folder named by its identity, whose record says how far it is.

A trial belongs to whoever holds the lock on its folder. The system frees the lock of a process that dies in whatever
way, so nothing is ever left locked, and two shells that run the same sweep cannot train the same trial twice.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fc2conv.architectures.trace import Geometry
from fc2conv.compose import plan_of
from fc2conv.config.identity import configuration_of, hashed, identity_of
from fc2conv.config.schema import Config, headings
from fc2conv.config.unused import key_of
from fc2conv.errors import DamagedResult, GeometryError
from fc2conv.record.folder import CHECKPOINTS, LOG, RUN_LOCK
from fc2conv.record.lock import LOCK
from fc2conv.record.result import DAMAGED, FILE, Result, Status

LONGEST = 80
"""Characters of a label; the identity behind it tells apart what is cut."""
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
    """`<runs_dir>/<sweep>/<label>-<identity>`, see folder.py; an earlier version's is the identity alone"""
    config: Config | None = None
    """As its job will run it; None if it cannot be composed."""
    model: str = ""
    """The choice of conf/model/, or else the family."""
    geometry: Geometry | None = None
    impossible: str | None = None
    """Why it cannot be run."""

    @classmethod
    def of(
        cls,
        config: Config,
        sweep: Path,
        overrides: tuple[str, ...],
        point: tuple[str, ...] = (),
        model: str = "",
        name: str = "",
    ) -> Trial:
        """The trial of a whole config, in the sweep's folder. It is impossible where the network does not fit.

        Args:
            name: of its folder; empty: its identity
        """
        geometry = impossible = None
        try:
            geometry = plan_of(config)
        except GeometryError as error:
            impossible = str(error)
        name = name or hashed(identity_of(config))
        frozen = replace(
            config,
            runs_dir=str(sweep),
            name=name,
            sweep=None,
            force=False,
            fail_fast=False,
            report=True,
            logger=config.logger.in_sweep(sweep.name, readable(seeded(point, config.seed))),
            trainer=replace(config.trainer, progress=False),
        )
        return cls(overrides, point, sweep / name, frozen, model or config.model.family, geometry, impossible)

    @property
    def label(self) -> str:
        return " ".join(self.point) or "(defaults)"

    @property
    def group(self) -> str:
        """What trials that differ in their seed only have in common."""
        if self.config is None:
            return hashed({"overrides": [o for o in self.overrides if not o.startswith("seed=")]})
        return configuration_of(self.config)

    def result(self) -> Result | None:
        """Its record, if there is one that can be read."""
        try:
            return Result.read(self.folder)
        except (FileNotFoundError, DamagedResult):
            return None

    def written(self) -> int | None:
        """When its record was written last, in nanoseconds; None without one."""
        try:
            return (self.folder / FILE).stat().st_mtime_ns
        except OSError:
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

    def skip(self) -> None:
        """Record that it is impossible, where that is not recorded yet."""
        assert self.impossible
        found = self.result()
        if found is None or (found.status, found.error) != ("skipped", self.impossible):
            self.end("skipped", self.impossible)

    def settled(self) -> bool:
        """Whether there is nothing to train and nothing to write down."""
        found = self.result()
        return found is not None and (found.status == "skipped" if self.impossible else found.status in FINISHED)

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


# --- names


def seeded(point: Sequence[str], seed: int) -> list[str]:
    """A point with its seed at the end, also where the command does not name it: then two commands call it alike."""
    return [*(o for o in point if key_of(o) != "seed"), f"seed={seed}"]


def readable(point: Sequence[str]) -> str:
    """A point as people read it.

    Example:
        >>> readable(["model.kernel_size=3", "optim.lr=0.1", "seed=0"])
        'kernel_size=3 lr=0.1 seed=0'
    """
    return " ".join(f"{heading}={value}" for heading, value in _shortened(point))


def _shortened(point: Sequence[str]) -> list[tuple[str, str]]:
    pairs = [o.lstrip("+").partition("=")[::2] for o in point]
    return list(zip(headings([key for key, _ in pairs]), (value for _, value in pairs), strict=True))


def label_of(point: Sequence[str]) -> str:
    """What a point's folder is called, in characters that all file systems and shells can do with.

    Example:
        >>> label_of(["model.channels=[6, 16]", "model.padding=same", "seed=0"])
        'channels=6,16,padding=same,seed=0'
    """
    text = ",".join(f"{heading}={value}" for heading, value in _shortened(point))
    safe = re.sub(r"[^a-zA-Z0-9_.,=+-]+", "_", re.sub(r"""[\[\]{}()'" ]""", "", text))
    return safe if len(safe) <= LONGEST else safe[:LONGEST].rstrip(",=")
