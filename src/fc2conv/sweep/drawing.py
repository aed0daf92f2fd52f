"""The pictures of a sweep's runs. A process beside it draws them, as the runs end: a process takes a second until it
has drawn its first chart, which no job should pay."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired
from types import TracebackType
from typing import Self

from fc2conv.record import terminal
from fc2conv.sweep.pool import TrialSource
from fc2conv.sweep.trials import Trial

PATIENCE = 600.0
"""Seconds that the drawing may take when all runs have ended."""


class Drawn:
    """Deals out the trials of another source, and has the pictures drawn of those that are done.

    Leaving it by `finish`, it waits for the pictures; by an error, it stops drawing.
    """

    def __init__(self, source: TrialSource):
        self._source = source
        self._process: Popen[str] | None = None

    def take(self) -> Trial | None:
        """As the source's; so the others."""
        return self._source.take()

    def left(self) -> bool:
        return self._source.left()

    def back(self, trial: Trial) -> None:
        self._source.back(trial)

    def trials(self) -> list[Trial]:
        return self._source.trials()

    def done(self, trial: Trial) -> None:
        self._source.done(trial)
        with suppress(OSError):  # it cannot begin, or has died, which `finish` says
            if self._process is None:
                self._process = Popen(
                    [sys.executable, "-m", "fc2conv.pictures"],
                    stdin=PIPE,
                    stdout=PIPE,
                    stderr=DEVNULL,
                    text=True,
                    start_new_session=True,  # Ctrl-C is for the sweep
                )
            assert self._process.stdin is not None
            print(json.dumps(str(trial.folder)), file=self._process.stdin, flush=True)

    def finish(self) -> None:
        """Wait until all is drawn, and say what could not be."""
        if self._process is None:
            return
        try:
            said = self._process.communicate(timeout=PATIENCE)[0].splitlines()
        except TimeoutExpired:
            said = [f"they took longer than {PATIENCE:.0f} s"]
        if self._process.returncode:
            said.append(f"exit code {self._process.returncode}")
        if said:
            text = f"some pictures could not be drawn ({said[0]}); to draw those of a run again: fc2conv plot RUN"
            terminal.console.print(text, markup=False, soft_wrap=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.communicate()
