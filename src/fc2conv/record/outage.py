"""W&B out of reach: the first job of a sweep that notices tells the others, so that a sweep waits for it once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FILE = ".wandb_out_of_reach"
"""In a sweep's folder, while a call of it runs."""
VARIABLE = "FC2CONV_WANDB_OUTAGE"
"""Where the processes of a job find that file's path. A single run has none, and tells nobody."""


@contextmanager
def shared(sweep: Path) -> Iterator[None]:
    """While entered, `note` and `noted` are about all runs in the folder `sweep`."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str((sweep / FILE).absolute())
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


@contextmanager
def forgotten(sweep: Path) -> Iterator[None]:
    """A call of a sweep: it knows nothing of earlier outages, and leaves no word of its own."""
    (sweep / FILE).unlink(missing_ok=True)
    try:
        yield
    finally:
        with suppress(OSError):
            (sweep / FILE).unlink(missing_ok=True)


def is_shared() -> bool:
    """Whether this process trains a run of a sweep."""
    return VARIABLE in os.environ


def note() -> None:
    """W&B did not answer."""
    if is_shared():
        with suppress(OSError):  # a full disk: then the next run waits, too
            Path(os.environ[VARIABLE]).touch()


def noted() -> bool:
    """Whether another run of the sweep has found so."""
    return is_shared() and Path(os.environ[VARIABLE]).exists()


def keep_quiet() -> None:
    """W&B's library sends its own errors to its server, and would wait at its end for one that does not answer."""
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
