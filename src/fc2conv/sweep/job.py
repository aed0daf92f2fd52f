"""A job: what one trial's process does, wherever it was put. It claims the trial, trains, and leaves a record."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fc2conv.compose import plan_of
from fc2conv.errors import Interrupted
from fc2conv.record.folder import LOG
from fc2conv.record.lock import claim
from fc2conv.record.result import Status
from fc2conv.sweep.slots import uses_gpu
from fc2conv.sweep.trials import FINISHED, Trial
from fc2conv.training import memory

Outcome = Status | Literal["elsewhere"]
EXIT_CODES: dict[Outcome, int] = {
    "done": 0,
    "pruned": 0,
    "skipped": 0,
    "failed": 1,
    "interrupted": 130,
    "elsewhere": 75,
}


@dataclass(frozen=True)
class Options:
    """How the trials of a sweep are trained."""

    file: Path | None = None
    """The sweep file they come from, for early stopping."""
    force: bool = False
    """From the start, even those that are finished."""
    fail_fast: bool = False
    """Stop at the first failure."""


def work(trial: Trial, options: Options = Options()) -> Outcome:
    """Train the trial unless it is finished or another process has it, from its last checkpoint if it has one.

    Returns:
        The record's status; `elsewhere` if another process trains the trial. What went wrong is in the record.
    """
    assert trial.config is not None
    with claim(trial.folder) as ours:
        if not ours:
            return "elsewhere"
        found = trial.result()
        if found and found.status in FINISHED and not options.force:
            return found.status
        resumed = not options.force and found is not None and trial.resumable()
        if not resumed:
            trial.clear()
        return _train(trial, options.file, resumed)


def _train(trial: Trial, file: Path | None, resumed: bool) -> Outcome:
    from fc2conv.sweep.study import should_prune
    from fc2conv.training.launch import start
    from fc2conv.training.run import Request

    assert trial.config is not None
    try:
        if trial.geometry and not uses_gpu(trial.config.trainer):
            memory.check(trial.config, trial.geometry, plan_of)
        start(Request(trial.config, trial.overrides, trial.folder, resumed, should_prune(trial, file), trial.model))
    except BaseException as error:
        found = trial.result()
        if found is None or found.status == "running":  # it ended before the record could know, or without its help
            traceback.print_exc()
            interrupted = isinstance(error, (KeyboardInterrupt, Interrupted))
            trial.end("interrupted" if interrupted else "failed", f"{type(error).__name__}: {error}")
        else:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        if not isinstance(error, Exception):
            raise
    found = trial.result()
    assert found is not None
    return found.status


def process(trial: Trial, options: Options, environment: Mapping[str, str]) -> None:
    """`work` as a process of its own: output goes to the trial's log, the outcome is the exit code."""
    os.environ.update(environment)
    trial.folder.mkdir(parents=True, exist_ok=True)
    stop = threading.Thread(target=_stop_with_parent, daemon=True)
    stop.start()
    log = os.open(trial.folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.close(log)
    outcome = work(trial, options)
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(EXIT_CODES[outcome])


def _stop_with_parent() -> None:
    """A sweep that was killed leaves no job behind: this one saves its checkpoint and stops."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
