"""Commands that are killed, and what they leave behind."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fc2conv.record.result import FILE, Result

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Command:
    """`python train.py ARGUMENTS` in a process group of its own; the output is added to `log`."""

    arguments: tuple[str, ...]
    log: Path

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as out:
            return subprocess.Popen(
                [sys.executable, str(ROOT / "train.py"), *self.arguments],
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def run(self) -> int:
        return self.start().wait(timeout=600)

    def kill(self, after: float, all_at_once: bool) -> int | None:
        """Kill it with SIGKILL after so many seconds: the whole group, or its first process, which the others notice.

        Returns:
            The exit code, if it ended before; None otherwise
        """
        process = self.start()
        try:
            return process.wait(after)
        except subprocess.TimeoutExpired:
            (os.killpg if all_at_once else os.kill)(process.pid, signal.SIGKILL)
            process.wait()
            wait_for_group(process.pid)
            return None


def wait_for_group(pid: int) -> None:
    """Until all processes of a group are gone."""
    deadline = time.monotonic() + 120
    while group(pid):
        assert time.monotonic() < deadline, f"processes that outlived their command: {group(pid)}"
        time.sleep(0.05)


def group(pid: int) -> list[int]:
    """The living processes of a group."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, pgrp = path.read_text().rpartition(")")[2].split()[:3]
            if int(pgrp) == pid and state != "Z":
                found.append(int(path.parent.name))
    return found


def outcome(folder: Path) -> dict[str, Any]:
    """What a run or a sweep came to, but for times: each run's weights, epochs and metrics, and the sweep's table."""
    found: dict[str, Any] = {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("table.csv")}
    for path in folder.rglob(FILE):
        result, name = Result.read(path.parent), str(path.parent.relative_to(folder))
        found[name] = (result.status, result.identity, result.epochs, result.best_epoch, result.val, result.test)
        with (path.parent / "metrics.csv").open() as file:
            found[f"{name} epochs"] = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
        for kept in ("best", "last"):
            weights = torch.load(path.parent / "checkpoints" / f"{kept}.ckpt", weights_only=True)["state_dict"]
            found[f"{name} {kept}"] = {key: tensor.tolist() for key, tensor in weights.items()}
    return found
