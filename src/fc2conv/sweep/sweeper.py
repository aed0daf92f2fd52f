"""One command, many runs: composes the trials, has them trained, and says what came of them."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from fc2conv.config.parsing import parse
from fc2conv.config.schema import OF_CHECKPOINTS, TOP_LEVEL, Config
from fc2conv.config.unused import refuse_unused
from fc2conv.data import mnist1d
from fc2conv.errors import ConfigError, SweepEnded
from fc2conv.record import outage, terminal
from fc2conv.record.folder import LOG, check_writable
from fc2conv.record.lock import is_claimed
from fc2conv.record.uploads import upload_command
from fc2conv.sweep import folder, search_space, table
from fc2conv.sweep.composer import Composer, Configs
from fc2conv.sweep.drawing import Drawn
from fc2conv.sweep.job import Options
from fc2conv.sweep.launchers import check_launcher, drive
from fc2conv.sweep.pool import Driver
from fc2conv.sweep.search_space import SweepFile
from fc2conv.sweep.space import Space
from fc2conv.sweep.study import Search
from fc2conv.sweep.trials import Trial
from fc2conv.training.distributed import check_devices


@dataclass(frozen=True)
class Draws:
    """How trials are drawn; the defaults are in conf/hydra/sweeper/fc2conv.yaml."""

    seed: int
    """For the draws of the methods random and bayes."""
    batch: int | None
    """How many runs another launcher than ours gets at a time; None: all of a grid, one of a search."""
    max_trials: int = 100_000
    """More than so many are refused."""


WriteReport = Callable[[Path], Path]
"""Sweep's folder -> the page of the report that it has written."""


def conduct(
    context: HydraContext,
    master: DictConfig,
    launcher: Launcher,
    arguments: Sequence[str],
    draws: Draws,
    write_report: WriteReport | None = None,
) -> list[Trial]:
    """The whole sweep.

    Args:
        master: composed from the arguments that do not vary
        launcher: ours, or another of Hydra's
        arguments: of the command line
        write_report: called at the end, unless report=false or the sweep was stopped; what it raises is only told

    Returns:
        Its trials; none with task=plan

    Raises:
        ConfigError: before anything runs
        SweepEnded: when it is over, and not all went well
    """
    # of ckpt and release one may vary, and neither is without the other
    of_trials = () if master.task in OF_CHECKPOINTS else ("ckpt", "release")
    about = [key for key in TOP_LEVEL if key not in of_trials]
    base = parse(Config, OmegaConf.to_container(OmegaConf.masked_copy(master, about), resolve=True))  # type: ignore[arg-type]
    _check(base)
    file = search_space.read(search_space.find(base.sweep, _root(master) / "sweeps")) if base.sweep else None
    space = Space.of(context, arguments, file, draws.max_trials)
    file = space.file
    searches = file is not None and file.method != "grid"
    if isinstance(launcher, Driver) and base.task == "train":
        launcher.warm(wandb="wandb" in master.logger, study=searches)

    configs = Configs(context, master)
    asked = space.asked(configs)
    path = folder.find(asked, Path(base.runs_dir), base.name, space.name)
    if path.name not in (base.name, space.name) and (reason := asked.taken(path.with_name(space.name))):
        terminal.console.print(
            f"{path.with_name(space.name)} {reason}; this one's is {path}", markup=False, soft_wrap=True
        )
    known = folder.Identity.read(path) or asked.identity
    here = folder.SweepFolder(path, known.varied)
    composer = Composer(configs, space.fixed, here)
    points = list(space.points())  # of a search one, so that mistakes are told now
    trials = list(map(composer, points)) if searches else composer.grid(points)
    trainers = [t.config.trainer for t in trials if t.config and not t.impossible]
    if not searches:
        written = dict.fromkeys(override for trial in trials for override in trial.overrides)
        refuse_unused(written, [trial.config for trial in trials if trial.config])
    if base.task == "plan":
        _print_plan(trials, file if searches else None)
        return []

    _check_parts([trial.config for trial in trials if trial.config])
    if not isinstance(launcher, Driver):
        check_launcher(launcher)
    else:
        for trainer in dict.fromkeys(trainers):  # each asks the driver for its GPUs
            check_devices(trainer)
    if not base.force and not _is_writable(path) and (settled := _settled(here, trials, searches)):
        _report(settled, here, searches, writes=False)
        return settled
    check_writable(Config(runs_dir=str(path)))
    folder.occupy(asked, path)
    source: Grid | Search
    if file and searches:
        source = Search(path, file, composer.or_impossible, draws.seed, asked.config.trainer.max_epochs, base.force)
        total = file.run_cap or 0
    else:
        for trial in trials:
            if trial.impossible:
                trial.skip()
        source = Grid(trials, base.force)
        total = len(trainers)

    options = Options(file.path if file else None, base.force, base.fail_fast)
    with outage.forgotten(path), Drawn(source) as drawn:
        if isinstance(launcher, Driver):
            stopped = launcher.drive(drawn, trainers, total, options)
        else:
            stopped = drive(launcher, drawn, options, draws.batch or (1 if searches else max(1, total)))
        if not stopped:
            drawn.finish()
    trials = source.trials()
    page = _page(here, write_report) if write_report and base.report and not stopped else None
    _report(trials, here, searches, page=page)
    _raise_for(trials, stopped, base.force)
    return trials


# --- the trials


class Grid:
    """A source of trials that are known from the start.

    Args:
        force: train those that are finished once more, unless another process does so in the meantime
    """

    def __init__(self, trials: Sequence[Trial], force: bool = False):
        self._trials, self.force = list(trials), force
        self.waiting = [t for t in trials if not t.impossible and (force or not t.finished())]
        self._before = {t.folder: t.written() for t in self.waiting}

    def take(self) -> Trial | None:
        for trial in list(self.waiting):
            if is_claimed(trial.folder):
                continue
            self.waiting.remove(trial)
            again = self.force and trial.written() == self._before[trial.folder]
            if again or not trial.finished():
                return trial
        return None

    def left(self) -> bool:
        return bool(self.waiting)

    def back(self, trial: Trial) -> None:
        self.waiting.append(trial)

    def done(self, trial: Trial) -> None:
        """Nothing depends on it."""

    def trials(self) -> list[Trial]:
        return self._trials


# --- the end


def _settled(here: folder.SweepFolder, trials: Sequence[Trial], searches: bool) -> list[Trial]:
    """All trials, if there is nothing left to do; else none. Of a search whose study cannot be opened for writing, the
    records are all that can be known."""
    found = here.recorded() if searches else trials
    return list(found) if all(trial.settled() for trial in found) else []


def _is_writable(path: Path) -> bool:
    try:
        check_writable(Config(runs_dir=str(path)))
    except ConfigError:
        return False
    return True


def _page(here: folder.SweepFolder, write_report: WriteReport) -> Path | None:
    """The page of the sweep's report; without one, a line says why. The runs are safe, whatever became of it."""
    try:
        return write_report(here.path)
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        terminal.console.print(f"no report was written: {reason}", markup=False, soft_wrap=True)
        return None


def _report(
    trials: Sequence[Trial],
    here: folder.SweepFolder,
    searched: bool,
    writes: bool = True,
    page: Path | None = None,
) -> None:
    """The table of all that lies in the sweep's folder, on the screen and as CSV; then what failed, if anything did."""
    found = table.groups([*trials, *here.recorded(known=trials)])
    terminal.console.print(table.results_table(found, by_accuracy=searched))
    _print_reasons(found)
    path = table.write_csv(found, here.path) if writes else here.path / table.FILE
    where = f"The sweep's folder: {here.path}"
    where += f"; the table: {path}" if writes else " (nothing can be written there, so what it holds is shown)"
    where += f"; the page: {page}" if page else ""
    terminal.console.print(where, markup=False, soft_wrap=True)
    if command := upload_command(here.path):
        terminal.console.print(f"W&B was offline; to upload these runs: {command}", markup=False, soft_wrap=True)
    for trial in trials:
        result = trial.result()
        if result is None or result.status != "failed":
            continue
        error = (result.error or "").splitlines()[0] if result.error else ""
        terminal.console.print(f"\nfailed: {trial.label}\n  {error}\n  log: {trial.folder / LOG}", markup=False)
        again = shlex.join(["python", "train.py", *trial.overrides])
        terminal.console.print(f"  again: {again}", markup=False, soft_wrap=True)


def _raise_for(trials: Sequence[Trial], stopped: int | None, force: bool) -> None:
    """Raise SweepEnded if the sweep was stopped, or a trial failed or did not end."""
    advice = "the same command begins anew, without force=true it goes on" if force else "the same command goes on"
    if stopped:
        raise SweepEnded(f"stopped by {signal.Signals(stopped).name}; {advice} from here", 128 + stopped)
    results = [(trial, trial.result()) for trial in trials]
    if failed := [trial for trial, result in results if result and result.status == "failed"]:
        raise SweepEnded(f"{len(failed)} of {len(trials)} runs failed", 1)
    if left := [trial for trial, _ in results if not trial.impossible and not trial.finished()]:
        raise SweepEnded(f"{len(left)} of {len(trials)} runs did not end; {advice} from here", 1)


def _print_plan(trials: Sequence[Trial], search: SweepFile | None) -> None:
    if search:
        terminal.console.print(table.space_table(search, trials[0]))
        return
    found = table.groups(trials)
    terminal.console.print(table.plan_table(found))
    _print_reasons(found)


def _print_reasons(found: Sequence[table.Group]) -> None:
    """Why trials are impossible."""
    for reason in dict.fromkeys(group.reason for group in found if group.reason):
        names = ", ".join(group.name for group in found if group.reason == reason)
        terminal.console.print(f"impossible: {names}\n  {reason}", markup=False, soft_wrap=True)


# --- the call


def _check(base: Config) -> None:
    if base.task in OF_CHECKPOINTS:
        raise ConfigError("task", f"got {base.task}, which reads one checkpoint; leave -m out")
    if base.task == "lr_find":
        raise ConfigError("task", "got lr_find, which searches for one network; leave -m out")
    if base.resume:
        raise ConfigError("resume", f"got {base.resume}; a sweep goes on by itself: give the same command again")


def _check_parts(configs: Sequence[Config]) -> None:
    """Raise ConfigError if a logger is not installed or a callback cannot be made: no job could do better."""
    checked: list[dict[str, Any]] = []
    for config in configs:
        config.logger.require_installed()
        mnist1d.check(config.data)
        if config.callbacks and config.callbacks not in checked:
            from fc2conv.training.user_callbacks import make_callbacks

            make_callbacks(config)
            checked.append(config.callbacks)


def _root(master: DictConfig) -> Path:
    """The folder that conf/ lies in."""
    for source in master.hydra.runtime.config_sources:
        if source.schema == "file" and source.provider == "main":
            return Path(source.path).parent
    return Path()
