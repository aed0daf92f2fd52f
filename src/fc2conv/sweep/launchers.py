"""Trials by another of Hydra's launchers than ours: what it is given, and what each of its jobs makes of that."""

from __future__ import annotations

import itertools
import shutil
import signal
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from fc2conv.compose import matched, override, parse_composed, register_schema
from fc2conv.errors import ConfigError
from fc2conv.record.lock import is_claimed
from fc2conv.sweep.folder import SweepFolder
from fc2conv.sweep.job import Options, work
from fc2conv.sweep.pool import INTERVAL, TrialSource
from fc2conv.sweep.trials import Trial
from fc2conv.training.distributed import prepare_process
from fc2conv.training.recorded import released


def check_launcher(launcher: Any) -> None:
    """Raise ConfigError for one of Hydra's launchers that has nothing to launch on: SLURM's commands, or a Ray that
    answers."""
    package = type(launcher).__module__.rpartition(".")[0]
    if getattr(launcher, "_EXECUTOR", None) == "slurm":
        if missing := [command for command in ("sbatch", "srun") if not shutil.which(command)]:
            what = f"got slurm, but this machine has no {missing[0]}; give the command on one of the cluster's"
            raise ConfigError("hydra/launcher", f"{what}, or leave hydra/launcher out")
    elif package == "hydra_plugins.hydra_ray_launcher" and launcher.ray_cfg.init.get("address"):
        try:
            import_module(f"{package}._launcher_util").start_ray(launcher.ray_cfg.init)  # and the launcher finds it so
        except Exception as error:
            what = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise ConfigError("hydra/launcher", f"got ray, but none answers ({what})") from None


def drive(launcher: Launcher, source: TrialSource, options: Options, batch: int) -> int | None:
    """Have `launcher` train what `source` deals out, `batch` runs at a time. As `Driver.drive`.

    With fail_fast, the batch of the first failure is the last.
    """
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
            launcher.launch([[*trial.overrides, *_about(trial, options)] for trial in trials], initial_job_idx=number)
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


def _about(trial: Trial, options: Options) -> list[str]:
    """What a job must know of its trial and its sweep, as overrides behind the trial's; `job` takes them off again."""
    # a worker on another machine may start in another folder; ++ tells this runs_dir from the user's own
    found = [override("name", trial.folder.name), override("++runs_dir", trial.folder.parent.absolute())]
    found += [override("sweep", options.file.absolute())] if options.file else []
    return found + ([override("force", True)] if options.force else [])


def job(composed: DictConfig) -> str:
    """Train one trial of a sweep, in a process that Hydra's launcher has started.

    Returns:
        Its status: what went wrong is in its record, and for the sweeper to tell
    """
    prepare_process()
    register_schema()
    given = list(HydraConfig.get().overrides.task)
    overrides = tuple(o for o in given if not o.startswith(("name=", "sweep=", "force=", "++runs_dir=")))
    config = matched(released(parse_composed(composed), overrides))
    model = HydraConfig.get().runtime.choices.get("model") or ""
    ours = any(o.startswith("++runs_dir=") for o in given)
    if ours:  # by our sweeper, which has named the trial's folder
        trial = Trial.of(config, Path(config.runs_dir), overrides, model=model, name=config.name or "")
    else:
        trial = SweepFolder(folder_of(composed)).trial(config, overrides, model)
    status = work(trial, Options(Path(config.sweep) if config.sweep else None, config.force, draw=not ours))
    if status == "interrupted":
        raise KeyboardInterrupt
    return status


def folder_of(master: DictConfig) -> Path:
    """The sweep's folder where the keys that vary are not known."""
    return Path(master.runs_dir) / (master.name or "one")
