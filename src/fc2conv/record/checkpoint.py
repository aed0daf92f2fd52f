"""Checkpoint files: written whole or not at all, and read only if they are what was written.

torch.save writes a zip archive with a CRC-32 of each record, which torch.load does not look at: a weight with a flipped
bit is loaded without a word. Whatever reads a checkpoint here looks first.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from typing import Any

from fc2conv.errors import DamagedCheckpoint


def verify(path: str | os.PathLike[str]) -> None:
    """Check each record of a checkpoint against its CRC-32. Needs no torch.

    Raises:
        DamagedCheckpoint: a bit is not what was written, or the file is no checkpoint
        FileNotFoundError: there is none
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except FileNotFoundError:
        raise
    except Exception as error:  # zipfile raises whatever its parser meets in a damaged header
        raise DamagedCheckpoint(path, _reason(error)) from error
    if damaged is not None:
        raise DamagedCheckpoint(path, f"the CRC-32 of {damaged} differs")


def load_checkpoint(path: str | os.PathLike[str], map_location: Any = "cpu", mapped: bool = False) -> dict[str, Any]:
    """What a checkpoint holds: plain values and tensors only, so that reading it runs no code.

    Args:
        map_location: as torch.load's
        mapped: leave the tensors in the file until they are looked at, for who copies some and forgets the rest

    Raises:
        DamagedCheckpoint: a bit is not what was written, or the file is no checkpoint
        FileNotFoundError: there is none
    """
    import torch

    verify(path)
    try:
        found = torch.load(path, map_location=map_location, weights_only=True, mmap=mapped)
    except Exception as error:  # the unpickler, too
        raise DamagedCheckpoint(path, _reason(error)) from error
    if not isinstance(found, dict):
        raise DamagedCheckpoint(path, f"it holds a {type(found).__name__}")
    return found


def save_checkpoint(values: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a checkpoint straight into `path`, without a copy in memory or elsewhere on the disk.

    Raises:
        OSError: naming `path`, as the system says it
    """
    import torch

    try:
        with open(path, "wb") as file:
            torch.save(values, file)
    except (OSError, RuntimeError) as error:  # torch's writer raises one of its own after it, or before
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, OSError):
            cause = cause.__context__
        if cause is None:
            raise
        raise OSError(cause.errno, cause.strerror, os.fspath(path)) from None


def _reason(error: Exception) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
