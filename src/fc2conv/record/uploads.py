"""W&B's files of runs that were offline: a folder for each part of a run, one more each time it went on."""

from __future__ import annotations

import shlex
from pathlib import Path

PARTS = "wandb/offline-run-*"
"""In a run's folder."""


def offline_parts(run: Path) -> list[Path]:
    """Those of the run in the folder, oldest first."""
    return sorted(part for part in run.glob(PARTS) if any(part.glob("*.wandb")))


def is_synced(part: Path) -> bool:
    """Whether `wandb sync` has uploaded it, wherever that was."""
    return any(part.glob("*.wandb.synced"))


def upload_command(sweep: Path) -> str | None:
    """The line for a shell that uploads all runs of a sweep; None if nothing waits for it."""
    waits = any(not is_synced(part) for run in sweep.iterdir() if run.is_dir() for part in offline_parts(run))
    return f"wandb sync {shlex.quote(str(sweep))}/*/{PARTS}" if waits else None
