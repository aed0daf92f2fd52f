"""Output to a terminal, and to one that is gone."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from rich.console import Console

from fc2conv.record.terminal import outlive_terminal


@contextmanager
def terminal() -> Iterator[int]:
    """stdout and stderr are a terminal; the descriptor is its other end, whose close is the terminal's."""
    ours, theirs = os.openpty()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (os.fdopen(os.dup(theirs), "w", encoding="utf-8") for _ in before)
    files = sys.stdout, sys.stderr
    os.close(theirs)
    try:
        yield ours
    finally:
        sys.stdout, sys.stderr = before
        for file in files:
            with suppress(OSError):  # what it still holds cannot be written
                file.close()
        with suppress(OSError):
            os.close(ours)


def test_a_terminal_shows_what_is_written() -> None:
    with terminal() as screen:
        outlive_terminal()
        assert sys.stdout.isatty()
        assert sys.stdout.encoding == "utf-8"
        print("café")
        assert os.read(screen, 100) == "café\r\n".encode()
        Console().print("[b]bold[/]")
        assert b"bold" in os.read(screen, 100)


def test_a_terminal_that_is_gone_raises() -> None:
    """So that the next test shows something."""
    with terminal() as screen:
        os.close(screen)
        with pytest.raises(OSError, match="Input/output error"):
            print("x", flush=True)


def test_writing_to_a_terminal_that_is_gone_stops_nothing() -> None:
    with terminal() as screen:
        outlive_terminal()
        os.close(screen)
        for _ in range(3):
            print("x" * 100_000)
            print("x", file=sys.stderr, flush=True)
            Console().print("x")
        sys.stdout.flush()


def test_a_file_keeps_its_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk under a redirected output must be told."""
    with (tmp_path / "out").open("w") as file:
        monkeypatch.setattr(sys, "stdout", file)
        outlive_terminal()
        assert sys.stdout is file
