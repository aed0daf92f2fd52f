"""fc2conv inspect: what task=inspect draws and measures, by the run's name, with the main numbers on the screen."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

import fc2conv
from fc2conv.cli import main
from fc2conv.record import terminal

pytestmark = pytest.mark.usefixtures("one_thread")
Call = Callable[..., tuple[int, str]]


@pytest.fixture
def call(image_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """fc2conv inspect ARGUMENTS, where runs/ has a dense ladder's network -> (exit code, what is on the screen)."""
    monkeypatch.chdir(image_folder.parent)
    data = ("data=folder", "data.path=images", "data.size=10", "data.val_size=0.2", "trainer.threads=1")
    fc2conv.run(
        "model=ladder",
        "model.constraint=dense",
        *data,
        "trainer.max_epochs=1",
        "name=dense",
        "logger=csv",
        "trainer=cpu",
    )
    capsys.readouterr()
    monkeypatch.setattr(terminal, "console", Console(width=80, highlight=False))

    def run(*arguments: str) -> tuple[int, str]:
        code = 0
        try:
            main(["inspect", *arguments])
        except SystemExit as ended:
            code = int(ended.code or 0)
        shown = capsys.readouterr()
        return code, shown.out + shown.err

    return run


def test_its_numbers_are_shown_and_its_files_named(call: Call) -> None:
    code, out = call("dense", "inspect.images=[1]", "inspect.mistakes=5", "--out", "else where")
    assert code == 0, out
    assert max(map(len, out.splitlines())) <= 80
    folder = Path("else where")
    numbers = json.loads((folder / "numbers.json").read_text())
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.strip()}
    wrap, inside = (numbers["equivariance"][edges]["hidden"][1] for edges in ("wrap", "inside"))
    # 100 units that see 100 pixels each
    assert rows["hidden"][:4] == ["1", f"{wrap:.3f}", f"{inside:.3f}", "10"]
    assert rows["hidden"][5:] == ["10,000", "10,000"]
    assert rows["shift"] == ["by", *map(str, range(9))]
    assert rows["accuracy"] == [f"{value:.3f}" for value in numbers["shift"]["accuracy"]]
    assert rows["consistency"][0] == "1.000"
    assert "structure of hidden, windows of 5 pixels" in out
    found = numbers["structure"]
    spread = f"{found['locality_null']:.3g} ± {found['locality_null_std']:.3g}"
    assert f"  locality {found['locality']:.3g}, by chance {spread}" in out
    assert {line for line in out.splitlines() if line.startswith("else")} == {str(path) for path in folder.iterdir()}
    assert not Path("runs/dense/inspect").exists()


MISTAKES: list[tuple[tuple[str, ...], str]] = [
    (("none",), "RUN: "),
    (("dense", "inspect.image=[1]"), "inspect.image: no such key"),
    (("dense", "model.channels=[3]"), "model.channels: "),
    (("dense", "inspect.images=[999]"), "inspect.images: got 999, but there are 12 test images"),
]


def test_mistakes(call: Call) -> None:
    for arguments, message in MISTAKES:
        code, out = call(*arguments)
        assert code == 2
        assert message in out
    Path("runs/dense/checkpoints/best.ckpt").unlink()
    code, out = call("dense")
    assert (code, out.split(" has no ")[0]) == (2, "RUN: runs/dense")
    assert not Path("runs/dense/inspect").exists()
