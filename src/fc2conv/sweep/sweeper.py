"""One command, many runs: composes the trials, has them trained, and says what came of them."""

from __future__ import annotations

import itertools
import re
import shlex
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException, HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fc2conv.compose import explain, parse_composed
from fc2conv.config.identity import hashed
from fc2conv.config.parsing import parse
from fc2conv.config.schema import ABOUT_SWEEPS, TOP_LEVEL, Config
from fc2conv.errors import ConfigError, SweepEnded
from fc2conv.record import terminal
from fc2conv.record.folder import LOG, check_writable
from fc2conv.record.lock import is_claimed
from fc2conv.sweep import search_space, table
from fc2conv.sweep.job import Options
from fc2conv.sweep.launchers import drive
from fc2conv.sweep.pool import Driver
from fc2conv.sweep.study import Search
from fc2conv.sweep.trials import Trial


@dataclass(frozen=True)
class Draws:
    """How trials are drawn; the defaults are in conf/hydra/sweeper/fc2conv.yaml."""

    seed: int
    """Of methods random and bayes."""
    batch: int | None
    """How many runs another launcher than ours gets at a time; None: all of a grid, one of a search."""


def conduct(
    context: HydraContext, master: DictConfig, launcher: Launcher, arguments: Sequence[str], draws: Draws
) -> list[Trial]:
    """The whole sweep.

    Args:
        master: composed from the arguments that do not vary
        launcher: ours, or another of Hydra's
        arguments: of the command line

    Returns:
        Its trials; none with task=plan

    Raises:
        ConfigError: before anything runs
        SweepEnded: when it is over, and not all went well
    """
    base = parse(Config, OmegaConf.to_container(OmegaConf.masked_copy(master, list(TOP_LEVEL)), resolve=True))  # type: ignore[arg-type]
    _check(base)
    dimensions = _dimensions(context, arguments)
    file = search_space.read(search_space.find(base.sweep, _root(master) / "sweeps")) if base.sweep else None
    if file:  # what is written on the command line replaces what the file says of the same key
        file = replace(file, parameters=tuple(p for p in file.parameters if p.key not in dimensions))
    fixed = [*(file.constants() if file else ()), *(v[0] for v in dimensions.values() if len(v) == 1)]
    varied = {k: v for k, v in dimensions.items() if len(v) > 1}
    folder = Path(base.runs_dir) / (base.name or (file.path.stem if file else _name(varied)))
    composer = Composer(context, master, fixed, folder)
    searches = file is not None and file.method != "grid"
    if isinstance(launcher, Driver) and base.task == "train":
        launcher.warm(wandb=master.logger.name == "wandb", study=searches)

    source: Grid | Search
    if file and searches:
        if varied:
            raise ConfigError(next(iter(varied)), f"takes one value here; {file.path} searches by method {file.method}")
        first = composer([f"{p.key}={p.first()}" for p in file.varied()])  # so that mistakes are told now
        assert first.config is not None
        if base.task == "plan":
            terminal.console.print(table.space_table(file, first))
            return []
        _check_writable(folder)
        source = Search(folder, file, composer.or_impossible, draws.seed, first.config.trainer.max_epochs, base.force)
        trainers, total = [first.config.trainer], file.run_cap or 0
    else:
        named: list[list[list[str]]] = [file.points() if file else [[]], *([[o] for o in v] for v in varied.values())]
        trials = composer.grid([list(itertools.chain(*point)) for point in itertools.product(*named)])
        if base.task == "plan":
            found = table.groups(trials)
            terminal.console.print(table.plan_table(found))
            _print_reasons(found)
            return []
        _check_writable(folder)
        for trial in trials:
            if trial.impossible:
                trial.end("skipped", trial.impossible)
        source = Grid(trials, base.force)
        trainers = [t.config.trainer for t in trials if t.config and not t.impossible]
        total = len(trainers)

    options = Options(file.path if file else None, base.force, base.fail_fast)
    if isinstance(launcher, Driver):
        stopped = launcher.drive(source, trainers, total, options)
    else:
        batch = draws.batch or (1 if searches else max(1, total))
        stopped = drive(launcher, source, folder, options, batch)
    trials = source.trials()
    _report(trials, folder, searches, stopped)
    return trials


# --- the trials


class Composer:
    """Overrides -> Trial.

    Args:
        fixed: overrides that all trials share
        sweep: the sweep's folder
    """

    def __init__(self, context: HydraContext, master: DictConfig, fixed: Sequence[str], sweep: Path):
        self.context, self.master, self.fixed, self.sweep = context, master, list(fixed), sweep
        self._configs: dict[tuple[str, ...], tuple[Config, str]] = {}

    def __call__(self, point: Sequence[str]) -> Trial:
        """The trial of one point, which is impossible where the network does not fit.

        Raises:
            ConfigError, HydraException, OmegaConfBaseException: the overrides make no config
        """
        overrides = (*self.fixed, *point)
        config, model = self._config(overrides)
        return Trial.of(config, self.sweep, overrides, tuple(point), model)

    def or_impossible(self, point: Sequence[str]) -> Trial:
        """As `__call__`, but overrides that make no config make an impossible trial: a search draws them, too."""
        try:
            return self(point)
        except (ConfigError, HydraException, OmegaConfBaseException) as error:
            return self._impossible(point, error)

    def _impossible(self, point: Sequence[str], error: Exception) -> Trial:
        overrides = (*self.fixed, *point)
        folder = self.sweep / hashed({"overrides": list(overrides)})
        chosen = [o.removeprefix("model=") for o in overrides if o.startswith("model=")]
        return Trial(overrides, tuple(point), folder, None, chosen[-1] if chosen else "", None, explain(error)[1])

    def _config(self, overrides: tuple[str, ...]) -> tuple[Config, str]:
        """(config, choice of conf/model/). Composed once for all seeds: Hydra takes a tenth of a second for it."""
        rest = tuple(o for o in overrides if not re.fullmatch(r"seed=\d+", o))
        seeds = [int(o.removeprefix("seed=")) for o in overrides if o not in rest]
        if rest not in self._configs:
            composed = self.context.config_loader.load_sweep_config(self.master, list(rest))
            config = parse_composed(OmegaConf.masked_copy(composed, [str(k) for k in composed if k != "hydra"]))
            self._configs[rest] = config, str(composed.hydra.runtime.choices.get("model") or "")
        config, model = self._configs[rest]
        return (replace(config, seed=seeds[-1]) if seeds else config), model

    def grid(self, points: Sequence[Sequence[str]]) -> list[Trial]:
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
            except (ConfigError, HydraException, OmegaConfBaseException) as error:
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


class Grid:
    """A source of trials that are known from the start."""

    def __init__(self, trials: Sequence[Trial], force: bool = False):
        self._trials, self.force = list(trials), force
        self.waiting = [t for t in trials if not t.impossible and (force or not t.finished())]
        self.elsewhere: set[Path] = set()
        """Folders of trials that another process has been seen to train."""

    def take(self) -> Trial | None:
        for trial in list(self.waiting):
            if is_claimed(trial.folder):
                self.elsewhere.add(trial.folder)
                continue
            self.waiting.remove(trial)
            if (self.force and trial.folder not in self.elsewhere) or not trial.finished():
                return trial
        return None

    def left(self) -> bool:
        return bool(self.waiting)

    def back(self, trial: Trial) -> None:
        self.elsewhere.add(trial.folder)
        self.waiting.append(trial)

    def done(self, trial: Trial) -> None:
        """Nothing depends on it."""

    def trials(self) -> list[Trial]:
        return self._trials


# --- the end


def _report(trials: Sequence[Trial], folder: Path, searched: bool, stopped: int | None) -> None:
    """The table, on the screen and as CSV; then what failed, if anything did.

    Raises:
        SweepEnded: something did, or the sweep was stopped
    """
    found = table.groups(trials)
    terminal.console.print(table.results_table(found, by_accuracy=searched))
    _print_reasons(found)
    path = table.write_csv(found, folder)
    terminal.console.print(f"The sweep's folder: {folder}; the table: {path}", markup=False, soft_wrap=True)
    results = [(trial, trial.result()) for trial in trials]
    failed = [(trial, result) for trial, result in results if result and result.status == "failed"]
    for trial, result in failed:
        error = (result.error or "").splitlines()[0] if result.error else ""
        terminal.console.print(f"\nfailed: {trial.label}\n  {error}\n  log: {trial.folder / LOG}", markup=False)
        again = shlex.join(["python", "train.py", *trial.overrides])
        terminal.console.print(f"  again: {again}", markup=False, soft_wrap=True)
    if stopped:
        name = signal.Signals(stopped).name
        raise SweepEnded(f"stopped by {name}; the same command goes on from here", 128 + stopped)
    if failed:
        raise SweepEnded(f"{len(failed)} of {len(trials)} runs failed", 1)
    if left := [trial for trial, result in results if not trial.impossible and not trial.finished()]:
        raise SweepEnded(f"{len(left)} of {len(trials)} runs did not end; the same command goes on from here", 1)


def _print_reasons(found: Sequence[table.Group]) -> None:
    """Why trials are impossible."""
    for reason in dict.fromkeys(group.reason for group in found if group.reason):
        names = ", ".join(group.name for group in found if group.reason == reason)
        terminal.console.print(f"impossible: {names}\n  {reason}", markup=False, soft_wrap=True)


# --- the call


def _check(base: Config) -> None:
    if base.task == "test":
        raise ConfigError("task", "got test, which reads one checkpoint; leave -m out")
    if base.resume:
        raise ConfigError("resume", f"got {base.resume}; a sweep goes on by itself: give the same command again")


def _check_writable(folder: Path) -> None:
    check_writable(Config(runs_dir=str(folder)))


def _root(master: DictConfig) -> Path:
    """The folder that conf/ lies in."""
    for source in master.hydra.runtime.config_sources:
        if source.schema == "file" and source.provider == "main":
            return Path(source.path).parent
    return Path()


def _dimensions(context: HydraContext, arguments: Sequence[str]) -> dict[str, list[str]]:
    """Key -> its overrides, one for each value. Raises ConfigError for ranges without steps."""
    parser = OverridesParser.create(config_loader=context.config_loader)
    found: dict[str, list[str]] = {}
    for override in parser.parse_overrides(list(arguments)):
        key = override.get_key_element()
        if key in ABOUT_SWEEPS:
            if override.is_sweep_override():
                raise ConfigError(key, "takes one value for the whole sweep")
        elif not override.is_sweep_override():
            found[key] = [override.input_line or f"{key}={override.get_value_element_as_str()}"]
        elif override.is_discrete_sweep():
            found[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
        else:
            raise ConfigError(key, "an interval needs a sweep file with method random or bayes: sweeps/*.yaml")
    return found


def _name(varied: Mapping[str, Any]) -> str:
    """A folder's name for a sweep that has none: the keys that vary, but for the seed, so that more seeds join it."""
    keys = [k for k in varied if k != "seed"] or list(varied) or ["one"]
    return re.sub(r"[^\w.-]+", "_", "-".join(keys))
