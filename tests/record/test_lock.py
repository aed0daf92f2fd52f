"""The lock on a folder: one holder, whatever way it ends."""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import sys
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from fc2conv.record.lock import LOCK, claim, is_claimed

HOLD = """
import sys, time
from pathlib import Path
from fc2conv.record.lock import claim
with claim(Path(sys.argv[1])) as ours:
    print(ours, flush=True)
    time.sleep(60)
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    """Another process, which says whether it got the lock, and holds it."""
    return subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_dies_frees_its_lock(how: signal.Signals, tmp_path: Path) -> None:
    with holder(tmp_path) as first:
        assert said(first) == "True"
        assert is_claimed(tmp_path)
        with holder(tmp_path) as second:
            assert said(second) == "False"
            second.kill()
        with claim(tmp_path) as ours:
            assert not ours
        first.send_signal(how)
        first.wait()
        assert not is_claimed(tmp_path)
        with claim(tmp_path) as ours:
            assert ours


def test_who_waits_gets_it_once_the_holder_is_dead(tmp_path: Path) -> None:
    with holder(tmp_path) as first:
        assert said(first) == "True"
        first.kill()
        with claim(tmp_path, wait=True) as ours:
            assert ours


def _outlives(ready: Event, end: Event) -> None:
    ready.set()
    end.wait(60)


def test_a_child_inherits_no_lock(tmp_path: Path) -> None:
    """Neither from a server nor by a spawn: else a lock would be held for as long as any of the holder's children."""
    for context in (multiprocessing.get_context("forkserver"), multiprocessing.get_context("spawn")):
        ready, end = context.Event(), context.Event()
        with claim(tmp_path) as ours:
            assert ours
            child = context.Process(target=_outlives, args=(ready, end))
            child.start()
            assert ready.wait(60)
        assert not is_claimed(tmp_path), context
        end.set()
        child.join()


def test_its_file_stays_and_is_one_and_the_same(tmp_path: Path) -> None:
    with claim(tmp_path):
        first = (tmp_path / LOCK).stat().st_ino
    assert (tmp_path / LOCK).stat().st_ino == first
    with claim(tmp_path):
        assert (tmp_path / LOCK).stat().st_ino == first


def test_nobody_holds_what_is_not_there(tmp_path: Path) -> None:
    assert not is_claimed(tmp_path / "none")
    assert not (tmp_path / "none").exists()
