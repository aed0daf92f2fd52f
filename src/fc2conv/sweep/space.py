"""What a command asks for: which values each key takes, by the command line and the sweep file together."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, RangeSweep
from hydra.types import HydraContext

from fc2conv.config.schema import ABOUT_SWEEPS
from fc2conv.config.unused import key_of
from fc2conv.errors import ConfigError
from fc2conv.record import terminal
from fc2conv.sweep.composer import COMPOSITION_ERRORS, Configs
from fc2conv.sweep.folder import Asked
from fc2conv.sweep.search_space import SweepFile
from fc2conv.sweep.trials import LONGEST

MANY = 200
"""Trials from which on their number is told before they are composed, which takes a while."""


@dataclass(frozen=True)
class Space:
    """What the command line and the sweep file say together: which values each key takes."""

    file: SweepFile | None
    """Without the keys that the command line gives."""
    fixed: tuple[str, ...]
    """Overrides that all trials share."""
    varied: dict[str, list[str]]
    """Key -> its overrides, of those that the command line varies."""
    keys: tuple[str, ...]
    """Those that tell the trials apart, but for the seed: also one that the file varies and the command line fixes, so
    that one value of it can be tried before all."""

    @classmethod
    def of(cls, context: HydraContext, arguments: Sequence[str], file: SweepFile | None, max_trials: int) -> Space:
        """Counts the trials before it makes them.

        Raises:
            ConfigError: a key without values or with infinitely many, more than `max_trials`, several values of a key
                that a search does not draw
        """
        if not isinstance(max_trials, int) or max_trials < 1:
            raise ConfigError("hydra.sweeper.max_trials", f"got {max_trials}, expected the number of trials")
        said = _overrides(context, arguments)
        keys = [p.key for p in file.varied()] if file else []
        if file:  # what is written on the command line replaces what the file says of the same key
            file = replace(file, parameters=tuple(p for p in file.parameters if p.key not in said))
        counts = {key: _count(override) for key, override in said.items()}
        if empty := [key for key, n in counts.items() if not n]:
            raise ConfigError(empty[0], f"got {said[empty[0]].get_value_string()}, which holds no value")
        total = (file.count() if file else 1) * math.prod(counts.values())
        if total > max_trials:
            if_meant = f"more than {max_trials:,}; if you mean it: hydra.sweeper.max_trials={total}"
            raise ConfigError("hydra.sweeper.max_trials", f"this sweep has {total:,} trials, {if_meant}")
        if total > MANY:
            terminal.console.print(f"{total:,} trials")
        dimensions = {key: _spelled(override) for key, override in said.items()}
        varied = {key: values for key, values in dimensions.items() if len(values) > 1}
        if varied and file and file.method != "grid":
            key = next(iter(varied))
            raise ConfigError(key, f"takes one value here; {file.path} searches by method {file.method}")
        fixed = [*(file.constants() if file else ()), *(v[0] for v in dimensions.values() if len(v) == 1)]
        names = dict.fromkeys(key_of(key) for key in (*keys, *varied))
        return cls(file, tuple(fixed), varied, tuple(name for name in names if name != "seed"))

    @property
    def method(self) -> str:
        """grid, random or bayes"""
        return self.file.method if self.file else "grid"

    @property
    def name(self) -> str:
        """Of the sweep's folder, where the user gives none: the file's, or the keys that vary, but for the seed."""
        if self.file:
            return self.file.path.stem
        keys = [key for key in self.varied if key != "seed"] or list(self.varied) or ["one"]
        return re.sub(r"[^\w.-]+", "_", "-".join(keys))[:LONGEST]

    def points(self) -> Iterator[list[str]]:
        """All points of a grid, one of a search, as overrides of the keys that vary."""
        of_file = [[]] if self.file is None else self.file.points() if self.method == "grid" else [self.file.first()]
        for point in itertools.product(of_file, *([[o] for o in values] for values in self.varied.values())):
            yield list(itertools.chain(*point))

    def asked(self, configs: Configs) -> Asked:
        """The sweep, known by the first of its trials that can be composed.

        Raises:
            one of COMPOSITION_ERRORS: none can
        """
        problems: list[Exception] = []
        for point in self.points():
            overrides = (*self.fixed, *point)
            try:
                config, _ = configs(overrides)
            except COMPOSITION_ERRORS as error:
                problems.append(error)
                continue
            return Asked(self.method, self.keys, config, overrides, self.file.traits() if self.file else {})
        raise problems[0]


def _overrides(context: HydraContext, arguments: Sequence[str]) -> dict[str, Override]:
    """Key -> its override, but for those that are about the sweep. Raises ConfigError for ranges without steps."""
    parser = OverridesParser.create(config_loader=context.config_loader)
    found: dict[str, Override] = {}
    for override in parser.parse_overrides(list(arguments)):
        key = override.get_key_element()
        if key in ABOUT_SWEEPS:
            if override.is_sweep_override():
                raise ConfigError(key, "takes one value for the whole sweep")
            continue
        if override.is_interval_sweep():
            raise ConfigError(key, "an interval needs a sweep file with method random or bayes: sweeps/*.yaml")
        found[key] = override
    return found


def _count(override: Override) -> int:
    """How many values it has. A range is not walked through."""
    values = override.value()
    if isinstance(values, RangeSweep):
        assert values.start is not None
        assert values.stop is not None
        if not values.step:
            raise ConfigError(override.get_key_element(), "got a range with a step of 0")
        return max(0, math.ceil((values.stop - values.start) / values.step))
    return sum(1 for _ in override.sweep_string_iterator()) if override.is_sweep_override() else 1


def _spelled(override: Override) -> list[str]:
    """An override for each of its values."""
    key = override.get_key_element()
    if override.is_sweep_override():
        return [f"{key}={value}" for value in override.sweep_string_iterator()]
    return [override.input_line or f"{key}={override.get_value_element_as_str()}"]
