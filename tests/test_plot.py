"""fc2conv plot: the pictures of a run again, the curves of several in one chart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.architectures.mlp import MLPConfig
from fc2conv.cli import main
from fc2conv.cli.keys import labels
from fc2conv.config.schema import Config, OptimConfig, TrainerConfig
from fc2conv.record import terminal
from fc2conv.record.result import Result

pytestmark = pytest.mark.usefixtures("draws")
ROWS = "epoch,step,lr,train/loss,train/acc,val/loss,val/acc\n1,9,0.01,2.0,0.3,1.9,0.35\n2,18,0.01,1.0,0.6,1.1,0.55\n"
Call = Callable[..., tuple[int, str]]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """fc2conv plot ARGUMENTS, where runs/ has three runs -> (exit code, what is on the screen)."""
    monkeypatch.setattr(terminal, "console", Console(width=80, highlight=False))
    monkeypatch.chdir(tmp_path)
    for name, config in (("a", Config()), ("b", Config(LeNetConfig(kernel_size=3))), ("empty", Config(seed=1))):
        folder = Path("runs") / name
        folder.mkdir(parents=True)
        result = Result.of(config, None, name, "lenet", ["model.kernel_size=3"] if name == "b" else [])
        result.confusion, result.per_class = [[3, 1], [0, 2]], {"cat": 0.75, "dog": 1.0}
        if name == "empty":
            result.confusion = None
        else:
            (folder / "metrics.csv").write_text(ROWS)
        result.write(folder)

    def run(*arguments: str) -> tuple[int, str]:
        code = 0
        try:
            main(["plot", *arguments])
        except SystemExit as ended:
            code = int(ended.code or 0)
        shown = capsys.readouterr()
        return code, shown.out + shown.err

    return run


def test_one_run_s_pictures_are_drawn_in_its_folder(call: Call) -> None:
    code, out = call("a")
    assert (code, out.split()) == (0, [f"runs/a/pictures/{n}" for n in ("curves.png", "curves.svg", "confusion.png")])
    assert all(Path(path).stat().st_size > 1000 for path in out.split())


@pytest.mark.parametrize("name", ["some/where/both.svg", "both.png"])
def test_several_runs_share_a_chart(call: Call, name: str) -> None:
    assert call("a", "b", "a", "--out", name) == (0, f"{name}\n")
    if name.endswith(".svg"):
        text = Path(name).read_text()
        assert "kernel_size=3" in text
        assert "kernel_size=5" in text
    else:
        with Image.open(name) as picture:
            assert picture.format == "PNG"


def test_several_runs_have_a_place_of_their_own(call: Call) -> None:
    assert call("a", "b") == (0, "curves.png\n")
    assert not Path("runs/a/pictures").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("nobody", "RUN: got nobody, but no run lies there nor in runs/"),
        ("empty", "RUNS: runs/empty has no epoch in its metrics.csv, so there is nothing to draw"),
        ("a empty", "RUNS: runs/empty has no epoch in its metrics.csv"),
        ("a --out a.jpg", "--out: got a.jpg, expected a name that ends in .png or .svg"),
        ("a --out runs/a/metrics.csv/a.png", "--out: got runs/a/metrics.csv/a.png, but the system says"),
        ("", "Missing argument 'RUNS'"),
    ],
)
def test_a_wrong_call_is_told_in_a_line(call: Call, arguments: str, said: str) -> None:
    code, out = call(*arguments.split())
    assert code == 2
    assert said in out
    assert out.count("\n") == 1
    assert not list(Path().rglob("*.png"))


def test_more_runs_than_colours_are_refused(call: Call) -> None:
    for i in range(17):
        folder = Path(f"runs/r{i:02}")
        folder.mkdir()
        Result.of(Config(seed=i), None, folder.name, "lenet").write(folder)
    code, out = call(*(f"r{i:02}" for i in range(17)))
    assert (code, out) == (2, "RUNS: got 17, expected at most 16, whose colours can still be told apart\n")


def record(config: Config, model: str, *overrides: str, **more: Any) -> Result:
    return replace(Result.of(config, None, f"run of {model}", model, overrides), **more)


def test_runs_are_told_apart_by_what_was_asked_for() -> None:
    lenet = [record(Config(LeNetConfig(kernel_size=k), seed=s), "lenet", f"seed={s}") for k in (3, 5) for s in (0, 1)]
    assert labels(lenet[::2]) == ["kernel_size=3", "kernel_size=5"]
    assert labels(lenet[:2]) == ["seed=0", "seed=1"]
    assert labels(lenet) == [f"kernel_size={k} seed={s}" for k in (3, 5) for s in (0, 1)]
    mlp = record(Config(MLPConfig(), optim=OptimConfig(lr=0.1)), "mlp", "model=mlp", "name=a")
    assert labels([lenet[0], mlp]) == ["model=lenet", "model=mlp"]
    assert labels([mlp, mlp]) == ["run of mlp"] * 2


def test_a_value_that_is_not_asked_for_by_all_is_told_of_all() -> None:
    long = TrainerConfig(max_epochs=20)
    assert labels([record(Config(), "lenet"), record(Config(trainer=long), "lenet", "trainer.max_epochs=20")]) == [
        "max_epochs=10",
        "max_epochs=20",
    ]
