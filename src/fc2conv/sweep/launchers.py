"""Trials by another of Hydra's launchers than ours: what it is given, and what each of its jobs makes of that."""

from __future__ import annotations

import itertools
import signal
import time
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from fc2conv.compose import override, parse_composed, register_schema
from fc2conv.record.lock import is_claimed
from fc2conv.sweep.job import Options, work
from fc2conv.sweep.pool import INTERVAL, TrialSource
from fc2conv.sweep.trials import Trial
from fc2conv.training.distributed import prepare_process


def drive(launcher: Launcher, source: TrialSource, folder: Path, options: Options, batch: int) -> int | None:
    """Have `launcher` train what `source` deals out, `batch` runs at a time. As `Driver.drive`.

    With fail_fast, the batch of the first failure is the last.
    """
    about_the_sweep = _about(folder, options)
    number = 0
    while True:
        trials = list(itertools.islice(iter(source.take, None), batch))
        if not trials:
            if not source.left():
                return None
            time.sleep(INTERVAL)
            continue
        problem = "the launcher did not run it"
        try:
            launcher.launch([[*trial.overrides, *about_the_sweep] for trial in trials], initial_job_idx=number)
        except KeyboardInterrupt:
            return signal.SIGINT
        except Exception as error:  # some launchers raise what a job raised; the others may still be running
            problem = f"{type(error).__name__}: {error}"
        number += len(trials)
        failed = False
        for trial in trials:
            while is_claimed(trial.folder):
                time.sleep(INTERVAL)
            result = trial.result()
            if result is None or result.status == "running":
                trial.end("failed", problem)
            failed |= result is None or result.status in ("running", "failed")
            source.done(trial)
        if failed and options.fail_fast:
            return None


def _about(folder: Path, options: Options) -> list[str]:
    """What a job must know of its sweep, as overrides behind its own; `job` takes them off again."""
    # a worker on another machine may start in another folder; ++ tells this runs_dir from the user's own
    found = [override("name", folder.name), override("++runs_dir", folder.parent.absolute())]
    found += [override("sweep", options.file.absolute())] if options.file else []
    return found + ([override("force", True)] if options.force else [])


def job(composed: DictConfig) -> str:
    """Train one trial of a sweep, in a process that Hydra's launcher has started.

    Returns:
        Its status: what went wrong is in its record, and for the sweeper to tell
    """
    prepare_process()
    register_schema()
    config = parse_composed(composed)
    about_the_sweep = ("name=", "sweep=", "force=", "++runs_dir=")
    overrides = tuple(o for o in HydraConfig.get().overrides.task if not o.startswith(about_the_sweep))
    model = HydraConfig.get().runtime.choices.get("model") or ""
    trial = Trial.of(config, folder_of(composed), overrides, model=model)
    status = work(trial, Options(Path(config.sweep) if config.sweep else None, config.force))
    if status == "interrupted":
        raise KeyboardInterrupt
    return status


def folder_of(master: DictConfig) -> Path:
    """The sweep's folder where the keys that vary are not known."""
    return Path(master.runs_dir) / (master.name or "one")
