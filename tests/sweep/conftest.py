"""Sweeps as a user has them: `train` in this process, whose server of jobs stays warm, `shells` as processes that can
be killed. Whatever a test starts is ended with it."""

from __future__ import annotations

import errno
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins

from fc2conv.sweep.pool import Pool

Plugins.instance()  # imports hydra_plugins anew, so before anybody else does: its classes must be the same for all
ROOT = Path(__file__).parent.parent.parent
MARK = "FC2CONV_TEST"
"""Environment variable by which the processes of a test are found, whatever session or parent they have."""


@dataclass(frozen=True)
class Ended:
    """What a command left on the screen, and its exit code."""

    code: int
    out: str
    err: str


Train = Callable[..., Ended]


def without_report(arguments: tuple[str, ...]) -> list[str]:
    """A sweep's, which writes no report at its end unless they ask for it: that takes longer than a small sweep."""
    asked = "-m" not in arguments or any(argument.startswith("report=") for argument in arguments)
    return [*arguments, *([] if asked else ["report=false"])]


def wait_until(condition: Callable[[], object], what: str, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for: {what}"
        time.sleep(0.02)


@pytest.fixture
def until() -> Callable[..., None]:
    """Wait for a condition, up to a deadline."""
    return wait_until


@pytest.fixture(autouse=True)
def _draws_nothing_beside(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in tests/conftest.py: no process that draws."""

    def refuse(*arguments: object, **more: object) -> None:
        raise OSError("not in this test")

    if "draws" not in request.fixturenames:
        monkeypatch.setattr("fc2conv.sweep.drawing.Popen", refuse)


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    """Jobs of this process are forked from a server that is ready for all of them and ends with the module."""
    Pool(study=True)
    yield
    forkserver._forkserver._stop()  # type: ignore[attr-defined]


@pytest.fixture
def train(server: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Train:
    """`python train.py ARGUMENTS`, by the same file, in this process."""
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")

    def call(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", [str(ROOT / "train.py"), *without_report(arguments)])
        code: object = 0
        capfd.readouterr()
        try:
            runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
        except SystemExit as end:
            code = end.code
        finally:
            GlobalHydra.instance().clear()
            monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
        assert isinstance(code, int)
        return Ended(code, *capfd.readouterr())

    return call


class ReadOnly:
    """Folders that this process cannot write to, whoever it runs as: root may write anywhere."""

    def __init__(self) -> None:
        self.folders: list[str] = []
        sys.addaudithook(self._refuse)

    def _refuse(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.folders or event not in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod"):
            return
        if event == "open" and not int(str(arguments[2])) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return
        if str(arguments[0]).startswith(tuple(self.folders)):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(arguments[0]))


@pytest.fixture(scope="session")
def _read_only() -> ReadOnly:
    return ReadOnly()  # an audit hook cannot be taken away again


@pytest.fixture
def read_only(_read_only: ReadOnly) -> Iterator[Callable[[Path], None]]:
    """Makes a folder one that this process may only read, until the test ends."""
    yield lambda folder: _read_only.folders.append(str(folder))
    _read_only.folders.clear()


class Shells:
    """Commands in process groups of their own."""

    def __init__(self, folder: Path):
        self.folder, self.started = folder, 0

    def start(self, *arguments: str, **environment: str) -> Shell:
        self.started += 1
        return Shell(self, arguments, environment)

    def processes(self) -> list[int]:
        """Those of this test that are still there."""
        found = []
        mark = f"{MARK}={self.folder}".encode()
        for entry in Path("/proc").iterdir():
            with suppress(OSError):  # gone, or not ours
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
        return found

    def none_left(self) -> None:
        """Zombies have no environment, so the dead do not count."""
        wait_until(lambda: not self.processes(), "all processes of the sweep to be gone", 60)

    def end(self) -> None:
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class Shell:
    """One running command; its output goes to files, so that nobody waits for a reader."""

    def __init__(self, shells: Shells, arguments: tuple[str, ...], environment: dict[str, str]):
        self.files = [shells.folder / f"{shells.started}.{name}" for name in ("out", "err")]
        with self.files[0].open("w") as out, self.files[1].open("w") as err:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "train.py"), *without_report(arguments)],
                env=os.environ | environment | {MARK: str(shells.folder)},
                cwd=shells.folder,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def signal_group(self, signum: signal.Signals) -> None:
        """As the terminal does with Ctrl-C: to the sweep and its jobs alike."""
        os.killpg(self.process.pid, signum)

    def wait(self) -> Ended:
        code = self.process.wait(timeout=240)
        return Ended(code, *(file.read_text() for file in self.files))


@pytest.fixture
def shells(tmp_path: Path) -> Iterator[Shells]:
    (tmp_path / "shells").mkdir()
    found = Shells(tmp_path / "shells")
    yield found
    found.end()
