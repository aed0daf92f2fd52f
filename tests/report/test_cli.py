"""The command `fc2conv report`."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from generated_runs import Outcome
from rich.console import Console

from fc2conv.cli import main
from fc2conv.record import terminal
from fc2conv.record.result import Result
from fc2conv.report import watch, write
from fc2conv.report.watch import Site

Add = Callable[..., Result]
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A screen of 80 columns, and no charts."""
    monkeypatch.setattr(terminal, "console", Console(width=80, highlight=False))
    monkeypatch.setattr(write, "charts", lambda report: [])


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """`fc2conv report ARGUMENTS` in the folder of runs/ -> (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = 0
        try:
            main(["report", *arguments])
        except SystemExit as ended:
            code = int(ended.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_it_says_what_it_wrote_and_what_it_skipped(call: Call, sweep: Path, add: Add, runs_dir: Path) -> None:
    (runs_dir / "cut").mkdir()
    (runs_dir / "cut" / "result.json").write_text("{")
    add(folder="search")
    path = runs_dir / "search" / "result.json"
    path.write_text(path.read_text().replace('"task": "train"', '"task": "lr_find"'))
    code, out, err = call("--baseline", "lenet kernel_size=5")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "9 runs of 3 configurations"
    assert lines[1] == "left out: 1 made with task=lr_find"
    assert lines[2].startswith("skipped: runs/cut: runs/cut/result.json is damaged (")
    assert lines[3:] == ["The page: reports/runs/index.html; its tables and figures lie beside it"]
    assert "baseline" in Path("reports/runs/table.md").read_text()


def test_many_that_are_skipped_are_counted(call: Call, add: Add, runs_dir: Path) -> None:
    add(folder="good")
    for i in range(12):
        (runs_dir / f"empty{i}").mkdir()
    out = call()[1]
    assert out.count("skipped: ") == 11
    assert "skipped: 2 more; the page lists them" in out


def test_the_command_on_the_page_makes_it_again(call: Call, sweep: Path) -> None:
    arguments = ("sweep", "--name", "a b", "--out", "there", "--baseline", "lenet kernel_size=3")
    assert call(*arguments)[0] == 0
    first = Path("there/a_b/table.csv").read_text()
    request = write.Request(("sweep",), name="a b", out=Path("there"), baseline="lenet kernel_size=3")
    assert call(*shlex.split(request.command)[2:])[0] == 0
    assert Path("there/a_b/table.csv").read_text() == first


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("swep",), "RUN: got swep, but no run lies there nor in runs/; fc2conv runs lists"),
        (("--runs-dir", "nowhere"), "--runs-dir: got nowhere, but there is no such folder; say where the runs lie"),
        (
            ("--baseline", "mlp"),
            "--baseline: got mlp, but no configuration is called so; did you mean 'lenet kernel_size",
        ),
        (("--out", "file"), "--out: got file, but the system says: file: File exists; choose another"),
        (("--port", "80"), "--port: got 80, which is for --watch"),
        (("--watch", "--port", "99999"), "Invalid value for '--port'"),
    ],
)
def test_wrong_calls_write_nothing(call: Call, sweep: Path, arguments: tuple[str, ...], message: str) -> None:
    Path("file").write_text("")
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(message)
    assert not Path("reports").exists()


def test_watching_serves_until_ctrl_c_and_then_writes(
    call: Call, sweep: Path, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(site: Site, stop: threading.Event, say: Callable[[str], None]) -> None:
        add(9, 0, outcome=Outcome(0.5, 0.5))
        raise KeyboardInterrupt

    monkeypatch.setattr(watch, "watch", interrupted)
    code, out, err = call("--watch")
    assert (code, err) == (0, "")
    assert out.startswith("http://127.0.0.1:")
    assert "10 runs of 4 configurations" in out, "with what came last"
    assert '"live":false' in Path("reports/runs/index.html").read_text()
