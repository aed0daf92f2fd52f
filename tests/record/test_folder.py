"""A run's folder: who gets it, and what of another run may lie in it."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fc2conv.architectures import plan
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.config.schema import Config
from fc2conv.errors import ConfigError
from fc2conv.record import folder as room
from fc2conv.record.folder import LOG, RANKS, RUN_LOCK, Record, check_writable, reserve
from fc2conv.record.lock import LOCK, claim, is_claimed
from fc2conv.record.result import FILE, Result


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(name="mine", runs_dir=str(tmp_path / "runs"))


@pytest.fixture
def begun() -> Result:
    return Result.of(Config(), plan(LeNetConfig(), (1, 28, 28), 10), "mine")


def full(path: Path, text: str) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", str(path))


def left_when_killed(folder: Path, begun: Result) -> None:
    """Just before the record: its first write is half done."""
    (folder / LOG).write_text("started\n")
    (folder / RUN_LOCK).touch()
    (folder / "config.yaml").write_text("seed: 7\n")
    (folder / f".{FILE}-x2k").write_text("{")


def left_by_ranks(folder: Path, begun: Result) -> None:
    (folder / LOCK).touch()
    (folder / RANKS / "0_abc" / "attempt_0").mkdir(parents=True)


def left_on_a_full_disk(folder: Path, begun: Result) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "write_atomically", full)
        with pytest.raises(OSError, match="No space left"):
            Record(folder, begun)


@pytest.mark.parametrize("leave", [lambda *_: None, left_when_killed, left_by_ranks, left_on_a_full_disk])
def test_what_ended_before_its_record_is_taken_over(
    leave: Callable[[Path, Result], None], config: Config, begun: Result
) -> None:
    folder = reserve(config)
    leave(folder, begun)
    check_writable(config)
    assert reserve(config) == folder
    assert {p.name for p in folder.iterdir()} - {LOCK, RUN_LOCK} == {"checkpoints"}
    Record(folder, begun).close("done")
    assert (folder / LOG).read_text().splitlines()[0].endswith("INFO started: (defaults)")
    assert Result.read(folder).status == "done"


@pytest.mark.parametrize("name", ["notes.txt", "checkpoints/last.ckpt", "metrics.csv"])
def test_what_may_be_of_worth_is_left_alone(name: str, config: Config) -> None:
    folder = reserve(config)
    (folder / name).write_text("mine")
    what = name.split("/")[0]
    with pytest.raises(ConfigError) as caught:
        reserve(config)
    assert str(caught.value) == f"name: {folder} holds no run, but {what}; take another name, or delete the folder"
    assert (folder / name).read_text() == "mine"


@pytest.mark.parametrize("lock", [LOCK, RUN_LOCK])
def test_who_has_just_begun_is_left_alone(lock: str, config: Config) -> None:
    """Its ranks may take seconds to write a record."""
    folder = reserve(config)
    with claim(folder, lock), pytest.raises(ConfigError, match=r"^name: .*/mine belongs to a run that has just begun"):
        reserve(config)
    assert not is_claimed(folder, lock)
    reserve(config)


def test_a_run_that_was_faster_keeps_its_record(config: Config, begun: Result) -> None:
    """Both found the folder free, and the other has been through since."""
    folder = reserve(config)
    assert reserve(config) == folder
    Record(folder, begun).close("done")
    with pytest.raises(ConfigError, match=r"^name: .* holds a run that began at the same time; take another name"):
        Record(folder, replace(begun, seed=5))
    assert (Result.read(folder).seed, Result.read(folder).status) == (0, "done")
    assert not is_claimed(folder, RUN_LOCK)


LONG: dict[str, dict[str, Any]] = {
    "a part": {"runs_dir": "x" * 300},
    "as a whole": {"runs_dir": "/".join(["x" * 200] * 30)},
    "a part, with a name": {"runs_dir": "x" * 300, "name": "mine"},
}


@pytest.mark.parametrize("keys", LONG.values(), ids=LONG)
def test_paths_that_are_too_long(keys: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"^runs_dir: got x+.*, or a part of it, is longer than the system takes"):
        check_writable(Config(**keys))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_may_not_be_read(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    reserve(config)
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(
        ConfigError, match=r"^runs_dir: got .*/runs, but nothing can be written to .* \(Permission denied"
    ):
        reserve(config)


def test_a_full_disk_leaves_neither_lock_nor_log(config: Config, begun: Result) -> None:
    folder = reserve(config)
    left_on_a_full_disk(folder, begun)
    assert not is_claimed(folder, RUN_LOCK)
    assert not [h for h in room.log.handlers if isinstance(h, room._LogFile)]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems tell it in other ways")
def test_the_memory_of_a_run_is_not_that_of_the_program_which_started_it() -> None:
    child = "from fc2conv.record.folder import peak_resident; print(peak_resident())"
    parent = (
        "import subprocess, sys\n"
        "held = b'x' * 2**29\n"
        f"print(subprocess.run([sys.executable, '-c', {child!r}], check=True, capture_output=True, text=True).stdout)\n"
    )
    done = subprocess.run([sys.executable, "-c", parent], check=True, capture_output=True, text=True)
    assert 2**23 < int(done.stdout) < 2**28
