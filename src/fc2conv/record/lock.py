"""A folder that one process works in: the kernel frees the lock of one that dies in whatever way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = ".lock"


@contextmanager
def claim(folder: Path, name: str = LOCK, wait: bool = False) -> Iterator[bool]:
    """Hold the lock on `folder` while entered; False if another process has it (never, with `wait`).

    Args:
        name: of the file in it that is locked; made if it is not there
    """
    try:
        import fcntl
    except ImportError:  # Windows, where only single runs work
        yield True
        return
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / name, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def claimed(folder: Path) -> bool:
    """Whether some process holds the lock on `folder` now."""
    if not (folder / LOCK).exists():
        return False
    with claim(folder) as ours:
        return not ours
