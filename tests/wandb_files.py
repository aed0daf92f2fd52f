"""Reads W&B's offline runs back from their files, as `wandb leet` does: no account, no network."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def inspect(folder: Path) -> list[dict[str, Any]]:
    """What the W&B files in a run's folder say in sum, oldest first: state, exit_code, config, summary, ..."""
    runs = sorted((folder / "wandb").glob("offline-run-*/"))
    return [json.loads(_leet("--summary", "--json", str(run))) for run in runs]


def records(folder: Path) -> list[dict[str, Any]]:
    """Everything that they hold, in its order."""
    runs = sorted((folder / "wandb").glob("offline-run-*/"))
    return [json.loads(line) for run in runs for line in _leet("--json", str(run)).splitlines()]


def history(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of metrics among records."""
    return [record["history"]["item"] for record in found if record["type"] == "history"]


def _leet(*arguments: str) -> str:
    read = [sys.executable, "-m", "wandb", "leet", "inspect", *arguments]
    return subprocess.run(read, capture_output=True, text=True, check=True).stdout
