"""The process that draws the pictures of a sweep's runs."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from fc2conv.config.schema import Config
from fc2conv.record.result import Result
from fc2conv.sweep import drawing
from fc2conv.sweep.drawing import Drawn
from fc2conv.sweep.sweeper import Grid
from fc2conv.sweep.trials import Trial

pytestmark = pytest.mark.usefixtures("draws")
ROWS = "epoch,step,lr,train/loss,train/acc,val/loss,val/acc\n1,9,0.01,2.0,0.3,1.9,0.35\n"


def trial(folder: Path) -> Trial:
    return Trial((), (), folder)


def test_runs_are_drawn_as_they_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "seed=0\n日本"
    run.mkdir()
    (run / "metrics.csv").write_text(ROWS)
    Result.of(Config(), None, "a", "lenet").write(run)
    with Drawn(Grid([])) as drawn:
        drawn.done(trial(run))
        drawn.done(trial(tmp_path / "gone"))
        drawn.finish()
    assert (run / "pictures" / "curves.png").exists()
    out = " ".join(capsys.readouterr().out.split())
    assert out.count("some pictures could not be drawn (FileNotFoundError: ") == 1
    assert out.endswith("to draw those of a run again: fc2conv plot RUN")


def test_a_sweep_without_runs_starts_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "Popen", None)
    with Drawn(Grid([])) as drawn:
        drawn.finish()


@pytest.mark.parametrize("dies", [True, False])
def test_a_process_that_is_gone_is_said(
    dies: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def start(command: list[str], **more: Any) -> Popen[str]:
        if not dies:
            raise OSError("no more processes")
        return Popen([sys.executable, "-c", "raise SystemExit(3)"], **more)

    monkeypatch.setattr(drawing, "Popen", start)
    with Drawn(Grid([])) as drawn:
        for _ in range(3):
            drawn.done(trial(tmp_path))
        drawn.finish()
    assert ("(exit code 3)" in capsys.readouterr().out) == dies


def test_an_error_ends_the_drawing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def start(command: list[str], **more: Any) -> Popen[str]:
        started.append(Popen([sys.executable, "-c", "import time; time.sleep(600)"], **more))
        return started[0]

    monkeypatch.setattr(drawing, "Popen", start)
    with suppress(KeyboardInterrupt), Drawn(Grid([])) as drawn:
        drawn.done(trial(tmp_path))
        raise KeyboardInterrupt
    assert started[0].returncode is not None
