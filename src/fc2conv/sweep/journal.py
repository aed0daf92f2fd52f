"""The file of a search: Optuna's journal of its study, which stays whole whoever dies while writing to it.

Imports optuna, so it is imported once there is a search.
"""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

from filelock import FileLock
from optuna.distributions import json_to_distribution
from optuna.exceptions import ExperimentalWarning
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalStorage
from optuna.trial import FrozenTrial, TrialState, create_trial


class _Lock(JournalFileOpenLock):
    """Held while a line is written. The system frees it when its process dies; a lock of Optuna's own would stay, and
    keep all others waiting for half a minute."""

    def __init__(self, path: Path):
        super().__init__(str(path))
        self.path = path
        self._lock = FileLock(path.with_name(f".{path.name}.lock"))

    def acquire(self) -> bool:
        self._lock.acquire()
        _cut_torn_line(self.path)
        return True

    def release(self) -> None:
        self._lock.release()


def _cut_torn_line(path: Path) -> None:
    """Remove a last line that has no end: its writer was killed, or the disk was full."""
    with path.open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            return
        file.seek(-1, os.SEEK_END)
        if file.read() == b"\n":
            return
        file.seek(0)
        whole = file.read().rfind(b"\n") + 1
    os.truncate(path, whole)


def open_storage(path: Path) -> JournalStorage:
    """The journal as Optuna's storage; made if it is not there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return JournalStorage(JournalFileBackend(str(path), lock_obj=_Lock(path)))


def find_damage(path: Path) -> str | None:
    """What of the journal cannot be read; None if all can."""
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        if line.endswith(b"\n") and _entry(line) is None:
            return f"line {number}"
    try:
        open_storage(path)
    except OSError:
        raise
    except Exception as error:  # whatever Optuna raises for an entry that makes no sense
        return f"{type(error).__name__}: {error}"
    return None


def set_aside(path: Path, attribute: str) -> tuple[Path, list[FrozenTrial]]:
    """Move a damaged journal out of the way.

    Its entries count their trials, so those behind a lost one can no longer be told apart. What can be saved are the
    draws, each an entry complete in itself; what became of them is in the runs' records.

    Args:
        attribute: which each draw has

    Returns:
        (where it is now, its draws as trials that are still open)
    """
    found = [_draw(line, attribute) for line in path.read_bytes().splitlines()]
    aside = path.replace(path.with_name(f"{path.name}.damaged"))
    return aside, [draw for draw in found if draw]


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _draw(line: bytes, attribute: str) -> FrozenTrial | None:
    entry = _entry(line) or {}
    try:
        distributions = {key: json_to_distribution(text) for key, text in entry["distributions"].items()}
        return create_trial(
            state=TrialState.RUNNING,
            params={key: distributions[key].to_external_repr(value) for key, value in entry["params"].items()},
            distributions=distributions,
            user_attrs={attribute: entry["user_attrs"][attribute]},
        )
    except (KeyError, ValueError, TypeError, AttributeError, IndexError):  # another entry, or one that was changed
        return None
