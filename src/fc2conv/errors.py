"""What can go wrong, with its exit code, and how each is explained to a person.

Exit codes: 0 done; 1 the run failed; 2 the call was wrong; 129 the terminal was closed; 130 Ctrl-C; 143
SIGTERM.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

Explanation = tuple[int, str]
"""(exit code, what to tell the user)"""


class ConfigError(ValueError):
    """A value that cannot work: which key, what it got, what would do.

    Args:
        key: dotted name as written on the command line, e.g. ``model.kernel_size``
        message: what was found and what would be right
    """

    exit_code = 2

    def __init__(self, key: str, message: str):
        super().__init__(f"{key}: {message}" if key else message)
        self.key = key


class GeometryError(ConfigError):
    """A layer that does not fit the input it gets."""

    def __init__(self, layer: str, message: str, key: str = "model"):
        super().__init__(key, f"{layer}: {message}")


class DataError(ConfigError):
    """Images that are missing, truncated or altered; the message names the file."""

    def __init__(self, message: str):
        super().__init__("data", message)


class DamagedResult(ValueError):
    """A result.json that is not valid; the message names it."""

    exit_code = 1


class DamagedCheckpoint(ValueError):
    """A checkpoint that is not what was written; the message names it."""

    exit_code = 1

    def __init__(self, path: str | os.PathLike[str], reason: str):
        super().__init__(f"{os.fspath(path)} is damaged, or no checkpoint ({reason})")


class NonFiniteLoss(RuntimeError):
    """The loss became NaN or infinite; the message says at which step and learning rate."""

    exit_code = 1


class Pruned(Exception):
    """A run stopped early: others of its sweep do better."""

    exit_code = 0


class Interrupted(BaseException):
    """A signal asked the run to stop.

    It is no Exception, as KeyboardInterrupt is none: it may come anywhere, and whoever expects the errors of a file or
    of a library there must not take it for one.

    Attributes:
        folder: the run's, once it has one
    """

    def __init__(self, signum: int):
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.exit_code = 128 + signum
        self.folder: Path | None = None


class RankFailed(RuntimeError):
    """One of the processes of a run ended badly; its own message has been shown."""

    def __init__(self, message: str, exit_code: int):
        super().__init__(message)
        self.exit_code = exit_code


class SweepEnded(RuntimeError):
    """Not all went well in a sweep; the message says what to do about it."""

    def __init__(self, message: str, exit_code: int):
        super().__init__(message)
        self.exit_code = exit_code


def explain(error: BaseException) -> Explanation:
    """How to end a command that `error` ended."""
    if isinstance(error, Interrupted):
        return error.exit_code, f"{error}; resume={error.folder} goes on from there" if error.folder else str(error)
    if isinstance(error, KeyboardInterrupt):
        return 130, "stopped by SIGINT"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f" ({error.filename2 or error.filename})" if error.filename else ""
        return 1, f"the disk is full{where}; free some space, or choose another runs_dir"
    if full := gpu_full(error):
        return 1, full
    if isinstance(code := getattr(error, "exit_code", None), int):
        return code, str(error)
    return 1, "".join(traceback.format_exception(error)).rstrip()


def gpu_full(error: BaseException) -> str | None:
    """What to do, if `error` is torch's for a GPU whose memory is used up."""
    kind = type(error)
    if kind.__name__ != "OutOfMemoryError" or not kind.__module__.startswith("torch"):  # without importing torch
        return None
    said = str(error).partition(". GPU ")[0].rstrip(".")
    return f"{said}: make data.batch_size or the network smaller, or let trainer.precision be bf16-mixed"


def guarded(
    action: Callable[[], Any],
    explain: Callable[[BaseException], Explanation] = explain,
    rank: int = 0,
    show_traceback: bool = False,
) -> Any:
    """`action()`; what it raises becomes a message on stderr and the exit code.

    Args:
        explain: error -> (exit code, message)
        rank: of this process; only the first says what all of them know
        show_traceback: in place of the message
    """
    try:
        return action()
    except (Exception, KeyboardInterrupt, Interrupted) as error:
        code, message = explain(error)
        if show_traceback and not isinstance(error, (Interrupted, KeyboardInterrupt)):
            message = "".join(traceback.format_exception(error)).rstrip()
        if rank == 0 or code == 1:
            print(f"\n{message}" if code == 130 else message, file=sys.stderr, flush=True)
        sys.exit(code)
