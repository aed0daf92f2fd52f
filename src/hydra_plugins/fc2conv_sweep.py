"""What Hydra finds of the sweeps: -m uses these two unless told otherwise (conf/config.yaml).

Hydra imports this file at each start, so it imports what they need only once they are used.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

if TYPE_CHECKING:
    from fc2conv.config.schema import TrainerConfig
    from fc2conv.sweep.job import Options
    from fc2conv.sweep.pool import Pool, TrialSource


class Sweep(Sweeper):
    """hydra/sweeper=fc2conv: grids from the command line and sweep files, planned, resumable.

    Its arguments are the keys of conf/hydra/sweeper/fc2conv.yaml, which has their defaults.
    """

    def __init__(self, seed: int, batch: int | None, max_trials: int):
        self.seed, self.batch, self.max_trials = seed, batch, max_trials

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from hydra.core.plugins import Plugins

        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        from fc2conv.sweep.sweeper import Draws, conduct

        def write_report(sweep: Path) -> Path:
            from fc2conv.report.write import of_sweep

            return of_sweep(sweep)

        assert self.hydra_context is not None
        assert self.config is not None
        assert self.launcher is not None
        draws = Draws(self.seed, self.batch, self.max_trials)
        return conduct(self.hydra_context, self.config, self.launcher, arguments, draws, write_report)


class Local(Launcher):
    """hydra/launcher=local: each job a process of its own, several side by side.

    Its arguments are the keys of conf/hydra/launcher/local.yaml, which has their defaults.
    """

    def __init__(self, jobs: int | None, jobs_per_gpu: int):
        self.jobs, self.jobs_per_gpu = jobs, jobs_per_gpu
        self.pool: Pool | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.config = hydra_context, config

    def warm(self, wandb: bool, study: bool) -> None:
        """Begin to import what the jobs need, while the trials are composed."""
        from fc2conv.sweep.pool import Pool

        self.pool = Pool(wandb, study)

    def drive(
        self, source: TrialSource, trainers: Sequence[TrainerConfig], total: int, options: Options | None = None
    ) -> int | None:
        """Train what `source` deals out, `total` trials with such `trainers` in all.

        Returns:
            The signal that stopped it, if one did
        """
        from fc2conv.sweep.job import Options
        from fc2conv.sweep.live_table import LiveTable
        from fc2conv.sweep.slots import slots_for

        if self.pool is None:
            self.warm(wandb=True, study=False)
        assert self.pool is not None
        slots = slots_for(trainers, self.jobs, total, self.jobs_per_gpu)
        live_table = LiveTable(source.trials(), total, slots)
        with live_table.shown():
            return self.pool.run(source, slots, live_table, options or Options())

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """For Hydra's other sweepers: a grid of just these jobs."""
        from fc2conv.errors import SweepEnded
        from fc2conv.record.outage import forgotten
        from fc2conv.sweep.composer import Composer, Configs
        from fc2conv.sweep.drawing import Drawn
        from fc2conv.sweep.folder import SweepFolder, check_free
        from fc2conv.sweep.launchers import folder_of
        from fc2conv.sweep.sweeper import Grid
        from fc2conv.sweep.trials import FINISHED

        here = SweepFolder(folder_of(self.config))
        check_free(here.path)
        composer = Composer(Configs(self.hydra_context, self.config), [], here)
        trials = composer.grid(job_overrides)
        possible = [trial.config for trial in trials if trial.config and not trial.impossible]
        for trial in trials:
            if trial.impossible:
                trial.skip()
        if self.pool is None:
            self.warm(wandb=any(config.logger.wandb for config in possible), study=False)
        with forgotten(folder_of(self.config)), Drawn(Grid(trials)) as drawn:
            stopped = self.drive(drawn, [config.trainer for config in possible], len(possible))
            if not stopped:
                drawn.finish()
        if stopped:
            name = signal.Signals(stopped).name
            raise SweepEnded(f"stopped by {name}; the same command goes on from here", 128 + stopped)
        found = {trial.overrides: trial for trial in trials}
        returned = []
        for overrides in job_overrides:
            trial = found.get(tuple(overrides)) or composer(overrides)  # a trial may be asked for twice
            result = trial.result()
            ended = result.status if result else "failed"
            job = JobReturn(overrides=overrides, status=JobStatus.COMPLETED)
            job.return_value = result.val["acc"] if result and result.val and trial.finished() else None
            if ended not in (*FINISHED, "skipped"):  # the sweeper raises it, and nothing else that it would be given
                job.status = JobStatus.FAILED
                job.return_value = SweepEnded((result.error if result else None) or ended, 1)
            returned.append(job)
        return returned
