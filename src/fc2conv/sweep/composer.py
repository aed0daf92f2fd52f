"""Overrides -> trials: what Hydra composes of them, and which combinations cannot be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from hydra.errors import ConfigCompositionException, HydraException
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fc2conv.compose import explain, matched, parse_composed
from fc2conv.config.schema import Config
from fc2conv.errors import ConfigError
from fc2conv.sweep.folder import SweepFolder
from fc2conv.sweep.trials import Trial
from fc2conv.training.recorded import released

COMPOSITION_ERRORS = (ConfigError, HydraException, OmegaConfBaseException)
"""What overrides that make no config raise."""


class Configs:
    """Overrides -> (config, choice of conf/model/). Composed once for all seeds, since Hydra takes a tenth of a second.

    Raises:
        one of COMPOSITION_ERRORS: the overrides make no config
    """

    def __init__(self, context: HydraContext, master: DictConfig):
        self.context, self.master = context, master
        self._found: dict[tuple[str, ...], tuple[Config, str]] = {}

    def __call__(self, overrides: tuple[str, ...]) -> tuple[Config, str]:
        rest = tuple(o for o in overrides if not re.fullmatch(r"seed=\d+", o))
        seeds = [int(o.removeprefix("seed=")) for o in overrides if o not in rest]
        if rest not in self._found:
            composed = self.context.config_loader.load_sweep_config(self.master, list(rest))
            own = OmegaConf.masked_copy(composed, [str(k) for k in composed if k != "hydra"])
            config = matched(released(parse_composed(own), rest))
            if config.debug:
                raise ConfigError("debug", f"got {config.debug}, for looking at a single run; leave it out, or -m")
            chosen = str(composed.hydra.runtime.choices.get("model") or "")
            self._found[rest] = config, config.model.family if config.release else chosen
        config, model = self._found[rest]
        return (replace(config, seed=seeds[-1]) if seeds else config), model


class Composer:
    """Overrides -> Trial.

    Args:
        fixed: overrides that all trials share
        here: the sweep's folder
    """

    def __init__(self, configs: Configs, fixed: Sequence[str], here: SweepFolder):
        self.configs, self.fixed, self.here = configs, tuple(fixed), here

    def __call__(self, point: Sequence[str]) -> Trial:
        """The trial of one point, which is impossible where the network does not fit.

        Raises:
            one of COMPOSITION_ERRORS: the overrides make no config
        """
        overrides = (*self.fixed, *point)
        config, model = self.configs(overrides)
        return self.here.trial(config, overrides, model)

    def or_impossible(self, point: Sequence[str]) -> Trial:
        """As `__call__`, but overrides that make no config make an impossible trial: a search draws them, too."""
        try:
            return self(point)
        except COMPOSITION_ERRORS as error:
            return self._impossible(point, error)

    def _impossible(self, point: Sequence[str], error: Exception) -> Trial:
        overrides = (*self.fixed, *point)
        chosen = [o.removeprefix("model=") for o in overrides if o.startswith("model=")]
        return self.here.impossible(overrides, chosen[-1] if chosen else "", explain(error)[1])

    def grid(self, points: Iterable[Sequence[str]]) -> list[Trial]:
        """The trials of a grid, all of them before the first runs.

        A combination that cannot be composed is skipped. A value that works in no combination is an error, unless only
        some models have its key.

        Raises:
            as `__call__`, for a mistake; ConfigError if no trial is possible
        """
        trials: dict[Path, Trial] = {}  # two points may be the same run, e.g. seed=0,0
        errors: list[tuple[Sequence[str], Exception]] = []
        good: set[str] = set()
        for point in points:
            try:
                trial = self(point)
                good |= set(point)
            except COMPOSITION_ERRORS as error:
                errors.append((point, error))
                trial = self._impossible(point, error)
            trials.setdefault(trial.folder, trial)
        for point, problem in errors:
            some_have_it = (
                good and isinstance(problem, ConfigCompositionException) and "Could not override" in str(problem)
            )
            if not some_have_it and not set(point) <= good:
                raise problem
        if all(trial.impossible for trial in trials.values()):
            first = next(iter(trials.values()))
            raise ConfigError("", f"no trial of this sweep can be run. {first.label}: {first.impossible}")
        return list(trials.values())
