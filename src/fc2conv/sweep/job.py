"""A job: what one trial's process does, wherever it was put. It claims the trial, trains, and leaves a record."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

from fc2conv.compose import plan_of
from fc2conv.errors import ConfigError, DamagedResult, Interrupted
from fc2conv.record import outage
from fc2conv.record.folder import LOG
from fc2conv.record.lock import claim
from fc2conv.record.result import DAMAGED, FILE, Result, Status
from fc2conv.sweep.slots import uses_gpu
from fc2conv.sweep.trials import FINISHED, Trial
from fc2conv.training import memory
from fc2conv.training.signals import Signals

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
    draw: bool = False
    """Each run draws its own pictures: no sweep of ours waits for it to do so."""


def work(trial: Trial, options: Options = Options(), say: Callable[[str], None] = print) -> Outcome:
    """Train the trial unless it is finished or another process has it, from its last checkpoint if it has one.

    Args:
        say: told why a run begins anew that should go on

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
        if options.force or found is None or not trial.resumable():
            found = None
        if problem := None if options.force else _problem(trial):
            found = None
        if found is None:
            trial.clear()
        else:  # however it ends now, it is no longer as it ended before
            replace(found, status="running", error=None).write(trial.folder)
        if problem:
            say(f"starts anew: {problem}")
        return _train(trial, options, resumed=found is not None)


def _problem(trial: Trial) -> str | None:
    """Why the run in the folder cannot go on, if one should. A record that cannot be read is set aside."""
    with Signals(patient=True) as signals:
        signals.deferred = True  # one that raised while a file is read would look like damage
        found = _damage(trial.folder)
    signals.raise_if_received()
    return found


def _damage(folder: Path) -> str | None:
    try:
        Result.read(folder)
    except FileNotFoundError:
        return None
    except DamagedResult as error:
        (folder / FILE).replace(folder / DAMAGED)
        return f"{error}, and was set aside as {DAMAGED}"
    from fc2conv.training.run import check_resumable

    try:
        check_resumable(folder)
    except ConfigError as error:
        return str(error).removeprefix("resume: ").removesuffix("; start the run anew")
    return None


def _train(trial: Trial, options: Options, resumed: bool) -> Outcome:
    from fc2conv.sweep.study import should_prune
    from fc2conv.training.launch import start
    from fc2conv.training.run import Request

    assert trial.config is not None
    try:
        if trial.geometry and not uses_gpu(trial.config.trainer):
            memory.check(trial.config, trial.geometry, plan_of)
        with outage.shared(trial.folder.parent):
            prune = should_prune(trial, options.file)
            start(Request(trial.config, trial.overrides, trial.folder, resumed, prune, trial.model, options.draw))
    except BaseException as error:
        found = trial.result()
        if found is None or found.status == "running":  # it ended before the record could know, or without its help
            if isinstance(error, (KeyboardInterrupt, Interrupted)):
                trial.end("interrupted", str(error) or "stopped by SIGINT")
            else:
                traceback.print_exc()
                trial.end("failed", f"{type(error).__name__}: {error}")
        else:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        if not isinstance(error, (Exception, Interrupted)):
            raise
    found = trial.result()
    assert found is not None
    return found.status


def process(trial: Trial, options: Options, link: Connection, environment: Mapping[str, str]) -> None:
    """`work` as a process of its own, whose output goes to the trial's log.

    Args:
        link: gets ("says", text) for what the sweep should say, and at last ("outcome", Outcome), which is the exit
            code, too
    """
    outcome: Outcome = "interrupted"
    with suppress(Interrupted), Signals():
        os.environ.update(environment)
        trial.folder.mkdir(parents=True, exist_ok=True)
        threading.Thread(target=_stop_with_parent, daemon=True).start()
        log = os.open(trial.folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for descriptor in (1, 2):
            os.dup2(log, descriptor)
        os.close(log)

        def say(text: str) -> None:
            print(text)
            with suppress(OSError):  # the sweep is gone
                link.send(("says", text))

        outcome = work(trial, options, say)
    sys.stdout.flush()
    sys.stderr.flush()
    with suppress(OSError):
        link.send(("outcome", outcome))
    sys.exit(EXIT_CODES[outcome])


def _stop_with_parent() -> None:
    """A sweep that was killed leaves no job behind: this one saves its checkpoint and stops."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
