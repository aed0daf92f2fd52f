"""A folder that one process works in: the system frees the lock of a process that dies in whatever way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".lock"


@contextmanager
def claim(folder: Path, name: str = LOCK, wait: bool = False) -> Iterator[bool]:
    """Hold the lock on `folder` while entered; False if another process has it (never, with `wait`).

    Args:
        name: of the lock's file in it, which nothing else may be written to; made if it is not there, and left there,
            since to remove a lock's file lets two processes lock two files of one name
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / name)
    try:
        lock.acquire(blocking=wait)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def is_claimed(folder: Path, name: str = LOCK) -> bool:
    """Whether some process holds the lock on `folder` now."""
    if not (folder / name).exists():
        return False
    with claim(folder, name) as ours:
        return not ours
