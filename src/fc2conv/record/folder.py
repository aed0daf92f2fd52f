"""A run's folder: reserved once, written as the run goes, closed with how it ended.

One process (rank 0) writes it; the Trainer's callback EpochRecorder (callbacks.py) feeds it.
"""

from __future__ import annotations

import csv
import errno
import io
import logging
import os
import platform
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from fc2conv.config.identity import FORMAT
from fc2conv.config.schema import Config
from fc2conv.errors import ConfigError, DamagedResult
from fc2conv.fields import usable
from fc2conv.record.lock import LOCK, claim, is_claimed
from fc2conv.record.result import FILE, Result, Status, write_atomically

log = logging.getLogger("fc2conv")
log.addHandler(logging.NullHandler())  # after train.log is closed, messages go nowhere: they are on the screen already
CHECKPOINTS, LOG, RUN_LOCK, RANKS = "checkpoints", "train.log", ".run.lock", ".ranks"
"""In a run's folder. RANKS is there only while several processes train."""
LAST = "last.ckpt"
"""In CHECKPOINTS: where a run that is resumed goes on."""
COLUMNS = ("epoch", "step", "lr", "train/loss", "train/acc", "val/loss", "val/acc", "seconds")
"""Columns of metrics.csv; lr is that of the epoch's last step, seconds count from the start of training."""


BEFORE_THE_RECORD = {CHECKPOINTS, LOG, LOCK, RUN_LOCK, RANKS, "config.yaml"}
"""What a run's folder may hold before there is a result.json."""


def check_writable(config: Config) -> None:
    """Leaves nothing behind.

    Raises:
        ConfigError: a run's folder cannot be made, or `name` is taken
    """
    parent = Path(config.runs_dir)
    try:
        if config.name:
            _check_free(parent / config.name)
        while not parent.exists():
            parent = parent.parent
        if not parent.is_dir():
            raise ConfigError("runs_dir", f"got {config.runs_dir}, but {parent} is a file, not a folder")
        # asking is not enough: root may write anywhere, and still not into /proc or a read-only mount
        os.rmdir(tempfile.mkdtemp(prefix=".fc2conv-", dir=parent))
    except OSError as error:
        reason = f"nothing can be written to {parent} ({error.strerror})"
        if error.errno == errno.ENAMETOOLONG:
            reason = "this path, or a part of it, is longer than the system takes"
        raise ConfigError("runs_dir", f"got {config.runs_dir}, but {reason}; choose another") from None


def _check_free(folder: Path) -> None:
    """Raise ConfigError if `folder` holds a run, or anything else but what a run left that ended before its record."""
    if (folder / FILE).exists():
        raise ConfigError("name", f"{folder} holds a run already; take another name, or resume={folder.name}")
    if not folder.is_dir():
        return
    names = {path.name for path in folder.iterdir()}
    others = sorted(n for n in names - BEFORE_THE_RECORD if not n.startswith((f".{FILE}-", ".config.yaml-")))
    others += [CHECKPOINTS] if (folder / CHECKPOINTS).is_dir() and any((folder / CHECKPOINTS).iterdir()) else []
    if others:
        shown = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        raise ConfigError("name", f"{folder} holds no run, but {shown}; take another name, or delete the folder")
    if is_claimed(folder, LOCK) or is_claimed(folder, RUN_LOCK):
        raise ConfigError("name", f"{folder} belongs to a run that has just begun; take another name")


def reserve(config: Config) -> Path:
    """Make the run's folder, a new one in any case: two runs started in the same second get two. What a run left that
    ended before it had a record (killed, or on a full disk) is taken over.

    Raises:
        ConfigError: it cannot be made, or `name` is taken
    """
    check_writable(config)
    while True:
        stamp = f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{config.model.family}_{secrets.token_hex(2)}"
        folder = Path(config.runs_dir) / (config.name or stamp)
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if not config.name:
                continue
            check_writable(config)
            for path in folder.iterdir():
                if path.name not in (LOCK, RUN_LOCK):  # another process may be about to lock them
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        except OSError as error:
            raise ConfigError("runs_dir", f"cannot make {folder}: {error.strerror}") from error
        (folder / CHECKPOINTS).mkdir(exist_ok=True)
        return folder


def find_run(config: Config) -> Path:
    """The folder that `resume` names: a path, or a name in runs_dir.

    Raises:
        ConfigError: there is no run, or one that cannot go on
    """
    assert config.resume is not None
    for folder in (Path(config.resume), Path(config.runs_dir) / config.resume):
        with usable("resume", config.resume):
            is_run = (folder / FILE).is_file() and (folder / "config.yaml").is_file()
        if is_run:
            try:
                with usable("resume", config.resume):
                    found = Result.read(folder)
            except DamagedResult as error:
                raise ConfigError("resume", f"{error}; start a new run") from error
            if found.format != FORMAT:
                version = f"{'an earlier' if found.format < FORMAT else 'a later'} version (format {found.format})"
                raise ConfigError("resume", f"{folder}: the run was made by {version}, start it anew")
            return folder
    raise ConfigError("resume", f"got {config.resume}, but no run lies there nor in {config.runs_dir}/")


class Record:
    """The writer of one run's folder.

    Args:
        folder: reserved by `reserve`, or of the run that goes on
        begun: the run that begins here; None: the one that is there goes on
        overrides: of this call, for the log

    Raises:
        ConfigError: another process is at work in the folder
    """

    def __init__(self, folder: Path, begun: Result | None, overrides: Sequence[str] = ()):
        self.folder, self.started = folder, time.monotonic()
        self._held = ExitStack()  # the lock, as long as the run goes on; a sweep's job has one of its own on the folder
        if not self._held.enter_context(claim(folder, RUN_LOCK)):
            raise ConfigError("resume", f"{folder} is being trained by another process; let it end, or stop it")
        if begun and (folder / FILE).exists():
            self._held.close()
            raise ConfigError("name", f"{folder} holds a run that began at the same time; take another name")
        self.result = replace(begun, **about_the_code()) if begun else Result.read(folder)
        self.result.status, self.result.error = "running", None
        self._before = self.result.seconds.get("total", 0.0)
        self._log = _LogFile(folder / LOG)
        self._log.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(self._log)
        log.setLevel(logging.INFO)
        try:
            if begun:
                write_atomically(folder / "config.yaml", yaml.safe_dump(begun.config, sort_keys=False))
            log.info("%s %s", "started:" if begun else "resumed:", " ".join(overrides) or "(defaults)")
            self.rows = [] if begun else self._read_rows()
            self._peak_before = self.result.peak_memory or 0
            _forget_gpu_peak()
            self.write()
        except BaseException:  # a full disk: there is no record to close
            self._close_log()
            self._held.close()
            raise

    def write(self) -> None:
        """Bring result.json up to date."""
        self.result.peak_memory = max(self._peak_before, peak_memory()) or None
        self.result.seconds["total"] = round(self._before + time.monotonic() - self.started, 3)
        self.result.write(self.folder)

    def epoch(self, row: Mapping[str, float]) -> None:
        """Add an epoch's row to metrics.csv; one of an epoch that is done over replaces the old."""
        self.rows = [r for r in self.rows if int(float(r["epoch"])) < row["epoch"]]
        self.rows.append({k: _short(row[k]) for k in COLUMNS if k in row})
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_atomically(self.folder / "metrics.csv", text.getvalue())

    def _read_rows(self) -> list[dict[str, str]]:
        path = self.folder / "metrics.csv"
        return list(csv.DictReader(io.StringIO(path.read_text()))) if path.exists() else []

    def close(self, status: Status, error: str | None = None) -> None:
        """How it ended."""
        self.result.status, self.result.error = status, error
        log.log(logging.ERROR if status == "failed" else logging.INFO, "%s%s", status, f": {error}" if error else "")
        self._close_log()
        with self._held:  # a full disk must not keep the lock
            self.write()

    def _close_log(self) -> None:
        log.removeHandler(self._log)
        with suppress(OSError):  # its last lines, on a full disk
            self._log.close()


def peak_memory() -> int:
    """Bytes: the most that this process had in memory so far, plus the most that torch had allocated on its GPU, if it
    uses one. 0 where the system does not tell (Windows)."""
    import torch

    on_gpu = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return peak_resident() + (torch.cuda.max_memory_allocated() if on_gpu else 0)


def peak_resident() -> int:
    """Bytes: the most that this process had in the machine's memory so far, or 0.

    Linux says so in /proc; what it tells getrusage begins with the memory of the program that started this one.
    """
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _forget_gpu_peak() -> None:
    """Count the GPU's memory from here: an earlier run of this process may have used more."""
    import torch

    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.reset_peak_memory_stats()


def about_the_code() -> dict[str, Any]:
    """Versions and commit, looked up once in a process."""
    return {"versions": _versions(), "git": _git()}


def _short(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:.6g}"


class _LogFile(logging.FileHandler):
    """A log that cannot be written stops nothing: a full disk is told by whatever is more important."""

    def handleError(self, record: logging.LogRecord) -> None:
        return


@cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("fc2conv", "torch", "torchvision", "lightning", "torchmetrics", "hydra-core", "wandb"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@cache
def _git() -> dict[str, Any] | None:
    """Commit of the code that runs, and whether files differ from it; None outside a checkout of it."""
    if not (Path(__file__).parents[3] / "train.py").exists():  # installed, maybe within a checkout of something else
        return None
    try:
        where = {"cwd": Path(__file__).parent, "capture_output": True, "text": True, "timeout": 10, "check": True}
        commit = subprocess.run(["git", "rev-parse", "HEAD"], **where).stdout.strip()  # type: ignore[call-overload]
        changes = subprocess.run(["git", "status", "--porcelain"], **where).stdout.strip()  # type: ignore[call-overload]
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "modified": bool(changes)}
