"""A sweep's folder: which sweep it belongs to, what its trials' folders are called, and the trials that lie in it.

Two sweeps that differ in more than seeds and the values of the keys they vary have two folders, so that no table mixes
what cannot be compared. More seeds, or more values of those keys, join what is there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fc2conv.architectures.scaling import widths_of
from fc2conv.config.identity import decides, hashed, identity_of
from fc2conv.config.schema import Config, dotted, plain
from fc2conv.config.unused import key_of
from fc2conv.errors import ConfigError, DamagedResult
from fc2conv.record.lock import claim
from fc2conv.record.result import FILE as RESULT
from fc2conv.record.result import Result, write_atomically
from fc2conv.sweep.trials import Trial, label_of, seeded

FILE, LOCK = "sweep.json", ".sweep.lock"
CHOICES = ("experiment", "model", "data", "optim")
"""Groups of which a choice may set keys that decide the outcome."""


@dataclass(frozen=True)
class Identity:
    """What tells a sweep from others."""

    method: str
    """grid, random or bayes"""
    varied: tuple[str, ...]
    """The keys that vary, but for the seed."""
    shared: dict[str, Any]
    """Dotted key -> value: what is the same in all trials, as far as it differs from the defaults."""

    @classmethod
    def read(cls, folder: Path) -> Identity | None:
        """Of the sweep in `folder`; None if it does not say.

        Raises:
            ConfigError: what it says cannot be read
        """
        try:
            values = json.loads((folder / FILE).read_text())
            return cls(str(values["method"]), tuple(values["varied"]), dict(values["shared"]))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ConfigError("name", f"{folder / FILE} cannot be read ({error}); delete it or choose a name") from None

    def write(self, folder: Path) -> None:
        write_atomically(folder / FILE, json.dumps(asdict(self), indent=2) + "\n")


@dataclass(frozen=True)
class Asked:
    """The sweep that a command asks for, known by one of its trials."""

    method: str
    varied: tuple[str, ...]
    """As of Identity."""
    config: Config
    """Of any of its trials."""
    overrides: tuple[str, ...]
    """Of the same."""
    search: Mapping[str, Any] = field(default_factory=dict)
    """What else decides how a search proceeds."""

    @property
    def identity(self) -> Identity:
        return self._identity(self.varied)

    def _identity(self, varied: tuple[str, ...]) -> Identity:
        """As if these keys varied."""
        return Identity(self.method, varied, shared(self.config, self.overrides, varied) | dict(self.search))

    def difference(self, other: Identity) -> str | None:
        """How it differs from another sweep; None if it extends that.

        A key of which the command has one value only may be one of those that the other varies.
        """
        if self.method != other.method:
            return f"method {other.method}, here {self.method}"
        if not set(self.varied) <= set(other.varied) <= {key_of(o) for o in self.overrides}:
            return f"it varies {_listed(other.varied)}, here {_listed(self.varied)}"
        there, here = other.shared, self._identity(other.varied).shared
        pairs = {k: [values.get(k, "the default") for values in (there, here)] for k in sorted(there.keys() | here)}
        return "; ".join(f"{k}: {a}, here {b}" for k, (a, b) in pairs.items() if a != b) or None

    def taken(self, folder: Path) -> str | None:
        """Why the sweep cannot be in `folder`, if so."""
        if (folder / RESULT).exists():
            return "holds a single run"
        known = Identity.read(folder)
        if known is None:  # an earlier version's, or made by another of Hydra's sweepers
            ours = shared(self.config, self.overrides, self.varied)
            found = [(result.typed(), result.overrides) for _, result in _records(folder)]
            fits = all(shared(config, overrides, self.varied) == ours for config, overrides in found if config)
            return None if fits else "holds runs of another sweep"
        different = self.difference(known)
        return f"is another sweep's ({different})" if different else None


def find(asked: Asked, runs_dir: Path, name: str | None, default: str) -> Path:
    """The folder of a sweep: `name` if there is one, else `default`, or, where that is taken, the same with a hash.

    Raises:
        ConfigError: `name` belongs to something else
    """
    if name:
        folder = runs_dir / name
        if reason := asked.taken(folder):
            raise ConfigError("name", f"{folder} {reason}; take another name")
        return folder
    plain_name, own = runs_dir / default, runs_dir / f"{default}-{hashed(asdict(asked.identity))[:8]}"
    return own if (own / FILE).exists() or asked.taken(plain_name) else plain_name


def occupy(asked: Asked, folder: Path) -> None:
    """Write down whose folder it is, if that is not said there.

    Raises:
        ConfigError: another sweep was faster
    """
    if Identity.read(folder) is None:
        with claim(folder, LOCK, wait=True):
            if Identity.read(folder) is None:
                asked.identity.write(folder)
    if reason := asked.taken(folder):
        raise ConfigError("name", f"{folder} {reason}; take another name")


def check_free(folder: Path) -> None:
    """Raise ConfigError for the folder of a single run or of a sweep of ours. For Hydra's other sweepers, of which is
    not known what they vary."""
    for file, what in ((RESULT, "holds a single run"), (FILE, "is another sweep's")):
        if (folder / file).exists():
            raise ConfigError("name", f"{folder} {what}; take another name")


def shared(config: Config, overrides: Iterable[str], varied: Collection[str]) -> dict[str, Any]:
    """What a trial has in common with all others of its sweep, whatever their seeds and values of `varied`.

    A choice (model=, optim=) may set any key, and widths that are matched to a budget follow from all others. Where
    choices vary, or there is a budget, only what the command says itself is the same in all trials; its values count
    then even if they are the defaults of one of the choices.
    """
    values = {k: v for k, v in dotted(identity_of(config)).items() if k != "seed" and not _within(k, varied)}
    if all("." in key for key in varied) and config.match.budget is None:
        return values
    flat = dotted(plain(config))
    for key in widths_of(config.model) if config.match.budget else ():
        del flat[f"model.{key}"]  # what the command says is their proportion
    said: dict[str, Any] = {"format": values["format"]}
    for override in overrides:
        key, value = key_of(override), override.partition("=")[2]
        if key in CHOICES and key not in varied:
            said[key] = value
        elif decides(key) and not _within(key, varied):
            said[key] = flat.get(key, value)
    return said


def _within(key: str, varied: Collection[str]) -> bool:
    """Whether `key` is one of `varied` or changes with it."""
    follows = key == "source" and bool({"model.target", "plugins"} & set(varied))
    below = any("." in v and key.startswith(f"{v}.") for v in varied)  # optim.arguments.betas of optim.arguments
    return follows or below or any(f"{v}.".startswith(f"{key}.") for v in varied)


def _listed(varied: Sequence[str]) -> str:
    return ", ".join(varied) or "the seed only"


# --- its trials


class SweepFolder:
    """Names the trials' folders, and finds those that are there.

    Args:
        path: its own; it need not exist
        varied: the keys that vary, but for the seed; None: not known, and identities are all the names there are
    """

    def __init__(self, path: Path, varied: Sequence[str] | None = None):
        self.path, self.varied = path, varied
        self._names: dict[str, str] = {}
        """Identity -> name. A trial that was trained under another name is not trained again."""
        for folder in sorted(path.iterdir()) if path.is_dir() else []:
            if folder.is_dir() and (match := re.search(r"(?:^|-)([0-9a-f]{16})$", folder.name)):
                self._names.setdefault(match[1], folder.name)

    def point_of(self, overrides: Sequence[str]) -> tuple[str, ...]:
        """The overrides that tell a trial from the others, the seed's last."""
        if self.varied is None:
            return tuple(overrides)
        last = {key_of(o): o for o in overrides if "=" in o}
        return tuple(last[key] for key in (*self.varied, "seed") if key in last)

    def trial(self, config: Config, overrides: tuple[str, ...], model: str) -> Trial:
        """The trial of a whole config. It is impossible where the network does not fit."""
        point, identity = self.point_of(overrides), hashed(identity_of(config))
        return Trial.of(config, self.path, overrides, point, model, self._name(identity, point, config.seed))

    def impossible(self, overrides: tuple[str, ...], model: str, reason: str) -> Trial:
        """A trial whose overrides make no config."""
        point, identity = self.point_of(overrides), hashed({"overrides": list(overrides)})
        folder = self.path / self._name(identity, point)
        return Trial(overrides, point, folder, None, model, None, reason)

    def _name(self, identity: str, point: Sequence[str], seed: int | None = None) -> str:
        if self.varied is None:
            return self._names.get(identity, identity)
        named = point if seed is None else seeded(point, seed)
        return self._names.setdefault(identity, f"{label_of(named)}-{identity}")

    def recorded(self, known: Iterable[Trial] = ()) -> list[Trial]:
        """The trials that lie there, but for those `known`, in the order of their values."""
        found = []
        for folder, result in _records(self.path, {trial.folder for trial in known}):
            point = self.point_of(result.overrides)
            if {key_of(o) for o in point} >= set(self.varied or ()):  # else it is no trial of this sweep
                reason = result.error if result.status == "skipped" else None
                config = result.typed()
                found.append(Trial(tuple(result.overrides), point, folder, config, result.model, None, reason))
        return sorted(found, key=lambda trial: [_order(o.partition("=")[2]) for o in trial.point])


def _order(value: str) -> tuple[bool, float, str]:
    """Numbers by their size, then text."""
    try:
        return False, float(value), ""
    except ValueError:
        return True, 0.0, value


def _records(sweep: Path, without: Collection[Path] = ()) -> list[tuple[Path, Result]]:
    """The trials' folders in a sweep's, with their records where those can be read."""
    found = []
    for folder in sorted(path.parent for path in sweep.glob(f"*/{RESULT}")):
        if folder not in without:
            with suppress(DamagedResult, OSError):
                found.append((folder, Result.read(folder)))
    return found
