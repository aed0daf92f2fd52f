"""Ctrl-C, SIGTERM and a closed terminal: training stops after a whole step, all else at once."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import Any, Self

from fc2conv.errors import Interrupted

PATIENCE = 2.0
"""A second signal within so many seconds counts as a duplicate: a launcher passes on what the terminal has sent to the
whole group already, so that one Ctrl-C can arrive twice. A later one stops at once."""


HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)
"""The terminal was closed. None on Windows."""


def stopping() -> list[signal.Signals]:
    """The signals that ask a run to stop here; one that was started with nohup goes on when its terminal is closed."""
    found = [signal.SIGINT, signal.SIGTERM]
    return [*found, HANGUP] if HANGUP and signal.getsignal(HANGUP) is not signal.SIG_IGN else found


class Signals:
    """Catches the signals of `stopping` while entered.

    Args:
        patient: the holder looks at `again` too, so a second signal raises nothing either

    Attributes:
        deferred: True while the holder promises to look at `received` soon; otherwise a signal raises Interrupted
        received: the first signal, if any
        again: whether another came later, from someone who has waited long enough
    """

    def __init__(self, patient: bool = False) -> None:
        self.patient = patient
        self.deferred = False
        self.received: int | None = None
        self.again = False
        self._at = 0.0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = {s: signal.getsignal(s) for s in stopping()}
            self.install()
        return self

    def install(self) -> None:
        """Put our handlers in place (again: Lightning's Trainer replaces that of SIGTERM when it starts)."""
        for signum in self._previous:
            signal.signal(signum, self._handle)

    def __exit__(self, *exc: object) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        self.again |= self.received is not None and time.monotonic() - self._at > PATIENCE
        first = self.received is None
        if first:
            self.received, self._at = signum, time.monotonic()
        if (self.again and not self.patient) or (first and not self.deferred):
            raise Interrupted(signum)

    @property
    def stopping(self) -> bool:
        """Whether a signal came."""
        return self.received is not None

    def raise_if_received(self) -> None:
        if self.received is not None:
            raise Interrupted(self.received)
