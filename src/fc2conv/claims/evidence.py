"""What was found for a claim, as it is committed: results/NAME/evidence.json, and correct.npz beside it.

Of each run the file has its seed, learning rate and figures; of each arm the array has, for every test image, how many
of its seeds classify it correctly. Verdicts and figures are functions of these alone.
"""

from __future__ import annotations

import json
import os
import re
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fc2conv.errors import ConfigError
from fc2conv.record.result import finite, write_atomically

FILE, CORRECT = "evidence.json", "correct.npz"
Counts = NDArray[np.uint8]
Figure = str
"""Of a run: test.acc, val.acc, train.acc, params, macs, seconds, or MEASURE.NAME, e.g. shift.consistency_4."""


@dataclass(frozen=True)
class Check:
    """Of an identity: what was found, and what must be."""

    says: str
    found: float
    expected: float
    tolerance: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether they agree within the tolerance; not a number never does."""
        return abs(self.found - self.expected) <= self.tolerance


@dataclass(frozen=True)
class Run:
    """One training of one arm, or one repetition of a timing."""

    seed: int
    figures: Mapping[Figure, float]
    lr: float | None = None


@dataclass(frozen=True)
class Arm:
    """What is compared."""

    name: str
    """The overrides that tell it from the claim's other arms."""
    overrides: tuple[str, ...]
    """All of them, but for optim.lr and seed."""
    runs: tuple[Run, ...] = ()
    search: tuple[Run, ...] = ()
    """The search for its learning rate, on other seeds."""

    def has(self, selector: str) -> bool:
        """Whether it has all the overrides of `selector`, in which lists are written without spaces."""
        return set(selector.split()) <= {override.replace(" ", "") for override in self.overrides}

    def values(self, figure: Figure) -> dict[int, float]:
        """By seed, of the runs that have it."""
        return {run.seed: run.figures[figure] for run in self.runs if figure in run.figures}

    def mean(self, figure: Figure = "test.acc") -> float:
        """Over the seeds."""
        return statistics.fmean(self.values(figure).values())

    def value_of(self, key: str) -> str | None:
        """What it sets a key to, as written."""
        return next((o.partition("=")[2] for o in self.overrides if o.startswith(f"{key}=")), None)

    @property
    def lr(self) -> float | None:
        """That all of its runs have."""
        return self.runs[0].lr if self.runs else None


@dataclass(frozen=True)
class Evidence:
    """All that was found for one claim."""

    claim: str
    arms: tuple[Arm, ...] = ()
    checks: tuple[Check, ...] = ()
    machine: Mapping[str, Any] = field(default_factory=dict)
    """cpu, cores, torch, git: what it was found with."""
    quick: bool = False
    """On a smaller budget, to try it out: no verdict counts."""
    correct: Mapping[str, Counts] = field(default_factory=dict, compare=False)
    """Arm's name -> (N,) of how many of its runs classify each test image correctly; of those arms whose runs were all
    tested on the same images."""

    def arm(self, selector: str) -> Arm:
        """The one arm that has these overrides.

        Raises:
            ConfigError: none has, or several have
        """
        found = [arm for arm in self.arms if arm.has(selector)]
        if len(found) != 1:
            names = "; ".join(arm.name for arm in found) or "none"
            raise ConfigError("claims", f"{self.claim}: {selector} names one arm, and there are: {names}")
        return found[0]

    def select(self, selector: str = "") -> list[Arm]:
        """All arms that have these overrides, in the sweeps' order."""
        return [arm for arm in self.arms if arm.has(selector)]

    def write(self, folder: Path) -> None:
        """Put both files into `folder`, each whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        values = asdict(self)
        del values["correct"]
        if self.correct:
            aside = folder / f".{CORRECT}"
            with open(aside, "wb") as file:
                np.savez_compressed(file, **self.correct)  # type: ignore[arg-type]
            os.replace(aside, folder / CORRECT)
        else:
            (folder / CORRECT).unlink(missing_ok=True)
        write_atomically(folder / FILE, _lines(finite(values)) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Evidence | None:
        """That in `folder`; None if there is none.

        Raises:
            ConfigError: it is damaged
        """
        try:
            values = json.loads((folder / FILE).read_text(encoding="utf-8"))
            arms = tuple(_arm(arm) for arm in values.pop("arms"))
            checks = tuple(_check(**check) for check in values.pop("checks"))
            counts: dict[str, Counts] = {}
            if (folder / CORRECT).exists():
                with np.load(folder / CORRECT, allow_pickle=False) as file:
                    counts = {name: file[name] for name in file.files}
            return cls(arms=arms, checks=checks, correct=counts, **values)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ConfigError("results", f"{folder} cannot be read ({error}); check it out again") from error


def _arm(values: Mapping[str, Any]) -> Arm:
    runs, search = (tuple(_run(**run) for run in values[key]) for key in ("runs", "search"))
    return Arm(values["name"], tuple(values["overrides"]), runs, search)


def _run(figures: Mapping[Figure, float | None], **more: Any) -> Run:
    """A figure that was no number, which JSON has not, is none."""
    return Run(figures={name: value for name, value in figures.items() if value is not None}, **more)


def _check(found: float | None, **more: Any) -> Check:
    return Check(found=float("nan") if found is None else found, **more)


def _lines(values: Mapping[str, Any]) -> str:
    """JSON with a line for each run, so that a difference between two versions can be read."""
    text = json.dumps(values, indent=1, allow_nan=False)
    return re.sub(r"\{\s+\"seed\":[^{}]*\{[^{}]*\}[^{}]*\}", lambda run: " ".join(run[0].split()), text)
