"""Jobs side by side on this machine: a process for each, forked from a server that has imported everything once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import connection
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

from fc2conv.config.schema import TrainerConfig
from fc2conv.errors import ConfigError
from fc2conv.record.outage import keep_quiet
from fc2conv.sweep import job
from fc2conv.sweep.live_table import LiveTable
from fc2conv.sweep.slots import Slot
from fc2conv.sweep.trials import Trial
from fc2conv.training.distributed import main_hidden
from fc2conv.training.signals import Signals

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess

SHUTDOWN = 60.0
"""Seconds that jobs get to save and stop before they are killed."""
INTERVAL = 0.5
"""Seconds between two looks at the records of running jobs."""
WANDB_SERVICE = "WANDB_SERVICE"
"""Where W&B's library notes the address of its service in the environment."""
WANDB_IMPORTS_LATE = ("wandb.sdk.launch", "requests")
"""What its library imports only once a run starts, which takes seconds."""


class TrialSource(Protocol):
    """Where trials come from."""

    def take(self) -> Trial | None:
        """The next trial to train, or None for now."""

    def left(self) -> bool:
        """Whether more trials may come when other processes end theirs."""

    def back(self, trial: Trial) -> None:
        """The trial turned out to be in training elsewhere."""

    def done(self, trial: Trial) -> None:
        """The trial's job has ended; its record is complete."""

    def trials(self) -> list[Trial]:
        """All that were or will be dealt out, as far as they are known."""


@runtime_checkable
class Driver(Protocol):
    """Our own launcher, as the sweeper sees it. (Not by its class: Hydra executes its plugins' files itself, so that
    the class it makes is not the one that an import finds.)"""

    def warm(self, wandb: bool, study: bool) -> None:
        """Begin to import what the jobs need."""

    def drive(
        self, source: TrialSource, trainers: Sequence[TrainerConfig], total: int, options: job.Options = job.Options()
    ) -> int | None:
        """Train what `source` deals out; the signal that stopped it, if one did."""


@dataclass
class Job:
    trial: Trial
    process: ForkServerProcess
    slot: Slot


class Pool:
    """Starts jobs, waits for them, and writes down how those ended that could not do so themselves.

    Args:
        wandb: the jobs will log to W&B: they share one service, started by `run`
        study: the jobs will report to an Optuna study

    Raises:
        ConfigError: this system cannot fork processes
    """

    def __init__(self, wandb: bool = False, study: bool = False):
        if "forkserver" not in multiprocessing.get_all_start_methods():
            cannot = "got local, which forks its jobs, and this system (Windows?) cannot"
            raise ConfigError("hydra/launcher", f"{cannot}; use hydra/launcher=basic, one job at a time, or WSL")
        from multiprocessing import forkserver

        self.context = multiprocessing.get_context("forkserver")
        preload = ["fc2conv.sweep.warm"]
        preload += ["fc2conv.record.tracking", *WANDB_IMPORTS_LATE] if wandb else []
        preload += ["optuna"] if study else []
        self.context.set_forkserver_preload(preload)
        # it imports torch while we compose the trials, and a Ctrl-C is for us: to ignore one is inherited
        before = signal.getsignal(signal.SIGINT)
        on_main = threading.current_thread() is threading.main_thread()
        if on_main:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            forkserver.ensure_running()
        finally:
            if on_main:
                signal.signal(signal.SIGINT, before)
        self.wandb = wandb

    def run(
        self,
        source: TrialSource,
        slots: Sequence[Slot],
        live_table: LiveTable,
        options: job.Options = job.Options(),
    ) -> int | None:
        """Train what `source` deals out.

        Returns:
            The signal that stopped it, if one did; then every job has ended, its record saying so
        """
        if self.wandb:
            start_wandb()
        running: dict[int, Job] = {}
        with Signals(patient=True) as signals:
            signals.deferred = True
            try:
                failed = self._loop(running, source, list(slots), live_table, signals, options)
                if signals.received or failed:
                    reason = "stopped with its sweep" if signals.received else "stopped: fail_fast"
                    self._stop(running, source, live_table, reason, signals)
            finally:  # a full disk, say, keeps us from writing records: no job outlives us
                for each in running.values():
                    each.process.terminate()
                for each in running.values():
                    each.process.join(SHUTDOWN)
            return signals.received

    def _loop(
        self,
        running: dict[int, Job],
        source: TrialSource,
        free: list[Slot],
        live_table: LiveTable,
        signals: Signals,
        options: job.Options,
    ) -> bool:
        """Until all is done, or a signal comes, or, with `fail_fast`, a job fails; the last returns True."""
        while signals.received is None:
            while free and (trial := source.take()):
                slot = free.pop(0)
                try:
                    started = self._start(slot.given(trial), slot, options)
                except (EOFError, OSError):
                    if not signals.stopping:
                        raise
                    return False  # the signal went to all of us, and ended the server that forks the jobs
                running[started.process.sentinel] = started
                live_table.started(trial)
            if not running and not source.left():
                break
            for ended in self._ended(running):
                free.insert(0, ended.slot)
                if ended.process.exitcode == job.EXIT_CODES["elsewhere"]:
                    source.back(ended.trial)
                    live_table.elsewhere(ended.trial)
                    continue
                self._complete(ended)
                source.done(ended.trial)
                live_table.ended(ended.trial)
                if options.fail_fast and ended.process.exitcode not in (0, 130):
                    return True
            live_table.refresh()
        return False

    def _start(self, trial: Trial, slot: Slot, options: job.Options) -> Job:
        environment = slot.environment() | {k: v for k, v in os.environ.items() if k == WANDB_SERVICE}
        process = self.context.Process(target=job.process, args=(trial, options, environment))
        with main_hidden():
            process.start()
        return Job(trial, process, slot)

    def _ended(self, running: dict[int, Job]) -> list[Job]:
        if not running:
            time.sleep(INTERVAL)
            return []
        ended = [running.pop(cast(int, s)) for s in connection.wait(list(running), timeout=INTERVAL)]
        for each in ended:
            each.process.join()
        return ended

    def _complete(self, ended: Job, stopped: str | None = None) -> None:
        """Write down the end of a job that could not: it was killed, or died before it had a record."""
        code = ended.process.exitcode or 0
        result = ended.trial.result()
        if result is not None and result.status != "running":
            return
        if stopped:
            ended.trial.end("interrupted", stopped)
        elif code < 0:
            name = signal.Signals(-code).name
            hint = "; the system may have run out of memory" if -code == signal.SIGKILL else ""
            ended.trial.end("failed", f"killed by {name}{hint}")
        else:
            ended.trial.end("failed", f"the job ended with exit code {code}")

    def _stop(
        self, running: dict[int, Job], source: TrialSource, live_table: LiveTable, reason: str, signals: Signals
    ) -> None:
        """End all jobs: they save their checkpoints; whoever takes too long, or is told twice, is killed."""
        for each in running.values():
            each.process.terminate()
        deadline = time.monotonic() + SHUTDOWN
        while running:
            if time.monotonic() > deadline or signals.again:
                for each in running.values():
                    each.process.kill()
            for ended in self._ended(running):
                self._complete(ended, reason)
                source.done(ended.trial)
                live_table.ended(ended.trial)
            live_table.refresh()


def start_wandb() -> None:
    """Start W&B's service. Its address is in the environment then, where each job finds it."""
    import wandb

    keep_quiet()
    try:
        wandb.setup()
    except Exception:  # each job then starts its own, and says what is wrong with it
        return
