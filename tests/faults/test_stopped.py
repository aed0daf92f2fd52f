"""Commands that are stopped from outside: their terminal is closed, or all their processes get a signal at once."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from faults.commands import ROOT, Command, wait_for_group

from fc2conv.errors import DamagedResult
from fc2conv.record.result import FILE, Result

TINY = ("data.train_size=2000", "data.val_size=256", "trainer.threads=1", "trainer.accelerator=cpu", "logger=csv")


class Terminal:
    """A command as the leader of a session on a terminal of its own."""

    def __init__(self, *arguments: str, nohup: bool = False):
        self.screen, theirs = os.openpty()
        command = [sys.executable, str(ROOT / "train.py"), *arguments]
        ignore = "trap '' HUP; " if nohup else ""
        self.process = subprocess.Popen(
            ["sh", "-c", ignore + 'exec "$@"', "sh", *command],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with suppress(OSError):
            while os.read(self.screen, 4096):
                pass

    def close(self) -> int:
        """Close the terminal; the exit code of the command."""
        os.close(self.screen)
        code = self.process.wait(300)
        wait_for_group(self.process.pid)
        return code


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


def records(runs: Path) -> list[Result]:
    found = []
    for path in runs.rglob(FILE):
        with suppress(DamagedResult, FileNotFoundError):
            found.append(Result.read(path.parent))
    return found


def in_training(runs: Path, count: int) -> bool:
    return sum(r.epochs > 0 for r in records(runs)) >= count


@pytest.mark.slow
def test_a_run_saves_when_its_terminal_is_closed(tmp_path: Path, data_dir: str) -> None:
    arguments = ("model=mlp", "name=it", "trainer.max_epochs=9999", f"runs_dir={tmp_path}", f"data.dir={data_dir}")
    terminal = Terminal(*arguments, *TINY)
    wait_for(lambda: in_training(tmp_path, 1), terminal.process)
    assert terminal.close() == 129
    [result] = records(tmp_path)
    assert (result.status, result.error) == ("interrupted", "stopped by SIGHUP")
    assert torch.load(tmp_path / "it" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] > 0


@pytest.mark.slow
def test_a_sweep_saves_when_its_terminal_is_closed(tmp_path: Path, data_dir: str) -> None:
    arguments = (
        "-m",
        "report=false",
        "model=mlp,softmax",
        "name=it",
        "trainer.max_epochs=9999",
        f"data.dir={data_dir}",
    )
    terminal = Terminal(*arguments, *TINY, f"runs_dir={tmp_path}", "hydra.launcher.jobs=2")
    wait_for(lambda: in_training(tmp_path, 2), terminal.process)
    assert terminal.close() == 129
    assert [r.status for r in records(tmp_path)] == ["interrupted", "interrupted"]
    assert len(list(tmp_path.rglob("last.ckpt"))) == 2
    assert len((tmp_path / "it" / "table.csv").read_text().splitlines()) == 3


@pytest.mark.slow
@pytest.mark.parametrize("sweep", [False, True], ids=["run", "sweep"])
def test_under_nohup_all_goes_on(sweep: bool, tmp_path: Path, data_dir: str) -> None:
    """And what is still written to the terminal stops nothing."""
    what = ("-m", "report=false", "model=mlp,softmax") if sweep else ("model=mlp",)
    arguments = (*what, "name=it", "trainer.max_epochs=30", f"runs_dir={tmp_path}", f"data.dir={data_dir}")
    terminal = Terminal(*arguments, *TINY, nohup=True)
    wait_for(lambda: in_training(tmp_path, 1), terminal.process)
    assert terminal.close() == 0
    found = records(tmp_path)
    assert [(r.status, r.epochs) for r in found] == [("done", 30)] * (2 if sweep else 1)


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_sweep_saves_when_all_its_processes_get_a_signal(
    signum: signal.Signals, tmp_path: Path, data_dir: str
) -> None:
    """The server that forks the jobs dies of it, or not; the records say what was, and the command goes on."""
    arguments = (
        "-m",
        "report=false",
        "model=mlp,softmax",
        "seed=0,1",
        "name=it",
        f"runs_dir={tmp_path / 'runs'}",
        *TINY,
    )
    common = (f"data.dir={data_dir}", "hydra.launcher.jobs=2")
    process = Command((*arguments, *common, "trainer.max_epochs=9999"), tmp_path / "log").start()
    wait_for(lambda: in_training(tmp_path, 2), process)
    os.killpg(process.pid, signum)
    assert process.wait(300) == 128 + signum
    wait_for_group(process.pid)
    found = records(tmp_path)
    assert [r.status for r in found] == ["interrupted"] * 2
    assert {r.error for r in found} <= {f"stopped by {signum.name}", "stopped by SIGTERM"}
    assert len(list(tmp_path.rglob("last.ckpt"))) == 2
    assert (tmp_path / "log").read_text().endswith(f"stopped by {signum.name}; the same command goes on from here\n")
