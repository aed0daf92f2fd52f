"""Jobs side by side on this machine: a process for each, forked from a server that has imported everything once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection, forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Protocol, cast, runtime_checkable

from fc2conv.config.schema import TrainerConfig
from fc2conv.record.lock import is_claimed
from fc2conv.record.result import Status
from fc2conv.sweep import job
from fc2conv.sweep.live_table import LiveTable
from fc2conv.sweep.slots import Slot
from fc2conv.sweep.trials import Trial
from fc2conv.training.distributed import main_hidden
from fc2conv.training.signals import HANGUP, Signals, stopping

SHUTDOWN = 60.0
"""Seconds that jobs get to save and stop before they are killed."""
INTERVAL = 0.5
"""Seconds between two looks at the records of running jobs."""
NEW_SERVER = 30.0
"""Seconds in which a job must start whose server has died; then the sweep ends with the error."""
STOPPED = "stopped with its sweep"
UNKNOWN = 255
"""The exit code that multiprocessing gives a job whose server is gone."""
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
    """A trial in training.

    Attributes:
        link: what `job.process` sends. It ends when the process does, also where the server that reaps the jobs, and
            knows their exit codes, is gone
        outcome: as the job has told it; None: it is running, or could not
    """

    trial: Trial
    process: ForkServerProcess
    slot: Slot
    link: Connection
    outcome: job.Outcome | None = None

    def signal(self, signum: int) -> None:
        assert self.process.pid is not None
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, signum)


Running = dict[Connection, Job]
"""By their links."""


class Pool:
    """Starts jobs, waits for them, and writes down how those ended that could not do so themselves.

    Args:
        wandb: the jobs will log to W&B: they share one service, started by `run`
        study: the jobs will report to an Optuna study
    """

    def __init__(self, wandb: bool = False, study: bool = False):
        self.context = multiprocessing.get_context("forkserver")
        preload = ["fc2conv.sweep.warm"]
        preload += ["fc2conv.record.tracking", *WANDB_IMPORTS_LATE] if wandb else []
        preload += ["optuna"] if study else []
        self.context.set_forkserver_preload(preload)
        # what the terminal sends to all is for this process, which tells the jobs: to ignore a signal is inherited
        on_main = threading.current_thread() is threading.main_thread()
        before = {s: signal.getsignal(s) for s in (signal.SIGINT, HANGUP) if s and on_main}
        for signum in before:
            signal.signal(signum, signal.SIG_IGN)
        try:
            forkserver.ensure_running()
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)
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
        running: Running = {}
        with Signals(patient=True) as signals:
            signals.deferred = True
            try:
                failed = self._loop(running, source, list(slots), live_table, signals, options)
                if signals.received or failed:
                    reason = STOPPED if signals.received else "stopped: fail_fast"
                    self._stop(running, source, live_table, reason, signals)
            finally:  # a full disk, say, keeps us from writing records: no job outlives us
                _end(running)
            return signals.received

    def _loop(
        self,
        running: Running,
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
                started = self._start_surely(slot.given(trial), slot, options, signals)
                if started is None:
                    return False
                running[started.link] = started
                live_table.started(trial)
            if not running and not source.left():
                break
            for ended in self._ended(running, live_table):
                free.insert(0, ended.slot)
                if ended.outcome == "elsewhere":
                    source.back(ended.trial)
                    live_table.elsewhere(ended.trial)
                    continue
                status = self._complete(ended, STOPPED if signals.stopping else None)
                source.done(ended.trial)
                live_table.ended(ended.trial)
                if options.fail_fast and status == "failed":
                    return True
            live_table.refresh()
        return False

    def _start_surely(self, trial: Trial, slot: Slot, options: job.Options, signals: Signals) -> Job | None:
        """`_start`, by a new server where the one that forks the jobs is gone; None if that was a signal to us all."""
        deadline = time.monotonic() + NEW_SERVER
        while True:
            try:
                return self._start(trial, slot, options)
            except (EOFError, OSError):
                if signals.stopping:
                    return None
                if time.monotonic() >= deadline:
                    raise
                time.sleep(INTERVAL)  # while it ends, it is still there and takes no job

    def _start(self, trial: Trial, slot: Slot, options: job.Options) -> Job:
        environment = slot.environment() | {k: v for k, v in os.environ.items() if k == WANDB_SERVICE}
        receiver, sender = self.context.Pipe(duplex=False)
        with sender:
            process = self.context.Process(target=job.process, args=(trial, options, sender, environment))
            with main_hidden():
                process.start()
        return Job(trial, process, slot, receiver)

    def _ended(self, running: Running, live_table: LiveTable) -> list[Job]:
        """Those that have ended; passes on what jobs say."""
        if not running:
            time.sleep(INTERVAL)
            return []
        ended = []
        for link in cast(list[Connection], connection.wait(list(running), timeout=INTERVAL)):
            try:
                what, text = link.recv()
            except (EOFError, OSError):
                ended.append(running.pop(link))
                link.close()
                ended[-1].process.join()
                continue
            if what == "outcome":
                running[link].outcome = text
            else:
                live_table.note(running[link].trial, text)
        return ended

    def _complete(self, ended: Job, stopped: str | None = None) -> Status | None:
        """Write down the end of a job that could not: it was killed, or died before it had a record.

        Args:
            stopped: why, if it was us

        Returns:
            What the record says now
        """
        trial, code = ended.trial, ended.process.exitcode or 0
        result = trial.result()
        if result is not None and result.status != "running":
            return result.status
        if is_claimed(trial.folder):  # somebody else has taken it up already
            return None
        if stopped:
            trial.end("interrupted", stopped)
        elif ended.outcome == "interrupted" or -code in stopping():
            trial.end("interrupted", f"stopped by {signal.Signals(-code).name if code < 0 else 'a signal'}")
        elif code < 0:
            name = signal.Signals(-code).name
            hint = "; the system may have run out of memory" if -code == signal.SIGKILL else ""
            trial.end("failed", f"killed by {name}{hint}")
        elif code == UNKNOWN:
            trial.end("failed", "the job ended without a word, and the server that knew how is gone")
        else:
            trial.end("failed", f"the job ended with exit code {code}")
        result = trial.result()
        return result.status if result else None

    def _stop(
        self, running: Running, source: TrialSource, live_table: LiveTable, reason: str, signals: Signals
    ) -> None:
        """End all jobs: they save their checkpoints; whoever takes too long, or is told twice, is killed."""
        for each in running.values():
            each.signal(signal.SIGTERM)
        deadline = time.monotonic() + SHUTDOWN
        while running:
            if time.monotonic() > deadline or signals.again:
                for each in running.values():
                    each.signal(signal.SIGKILL)
            for ended in self._ended(running, live_table):
                self._complete(ended, reason)
                source.done(ended.trial)
                live_table.ended(ended.trial)
            live_table.refresh()


def _end(running: Running) -> None:
    """Stop all jobs, whatever becomes of their records."""
    for signum in (signal.SIGTERM, signal.SIGKILL):
        for each in running.values():
            each.signal(signum)
        deadline = time.monotonic() + SHUTDOWN
        while running and (left := deadline - time.monotonic()) > 0:
            for link in cast(list[Connection], connection.wait(list(running), timeout=left)):
                with suppress(EOFError, OSError):
                    link.recv()
                    continue
                running.pop(link).process.join()


def start_wandb() -> None:
    """Start W&B's service. Its address is in the environment then, where each job finds it."""
    import wandb

    try:
        wandb.setup()
    except Exception:  # each job then starts its own, and says what is wrong with it
        return
