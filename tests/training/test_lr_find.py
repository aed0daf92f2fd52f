"""task=lr_find: a curve of loss against rate, a rate to try, and nothing that counts as a trained run."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from torch import Tensor

import fc2conv
from fc2conv.errors import ConfigError
from fc2conv.record.result import Result
from fc2conv.training import lr_find
from fc2conv.training.classifier import Classifier
from fc2conv.training.lr_find import SETTLED, STEPS, Curve

pytestmark = pytest.mark.filterwarnings("ignore:.*without a run's record")


@pytest.fixture
def quick(image_folder: Path, tmp_path: Path) -> dict[str, Any]:
    """Keys for four batches of tiny images."""
    data = {"path": str(image_folder), "dir": str(tmp_path / "cache"), "size": 12, "val_size": 10, "train_size": 32}
    return {
        "runs_dir": str(tmp_path / "runs"),
        "data": "folder",
        "model": "softmax",
        "logger": "csv",
        "data.batch_size": 8,
        "trainer.accelerator": "cpu",
        "trainer.threads": 1,
        "trainer.progress": False,
        **{f"data.{k}": v for k, v in data.items()},
    }


def curve(*losses: float) -> Curve:
    """Rates 1, 2, 3, ...; the first are not looked at."""
    all_losses = [0.0] * SETTLED + list(losses)
    return Curve([float(i) for i in range(1 - SETTLED, len(losses) + 1)], all_losses)


@pytest.mark.parametrize(
    ("losses", "best", "suggested"),
    [
        ((2, 1.9, 1.5, 1.2, 1.8, 9), 4, 0.4),
        ((2, 1.9, math.nan, 1.2, math.inf, math.nan), 4, 0.4),
        ((2, 1, 1, 1.5), 2, 0.2),
        ((2.0, 1.95, 1.92, 5.0), None, None),  # it fell by less than a twentieth
        ((math.nan, math.inf), None, None),
        ((), None, None),
    ],
)
def test_a_tenth_of_the_rate_with_the_least_loss(
    losses: tuple[float, ...], best: float | None, suggested: float | None
) -> None:
    found = curve(*losses)
    assert (found.best(), found.suggestion()) == (best, suggested)


def test_the_suggestion_has_two_digits() -> None:
    assert Curve([0.1 + i / 10 for i in range(12)] + [0.23456], [2.0] * 12 + [1.0]).suggestion() == 0.023


@pytest.mark.parametrize("losses", [(2, 1.9, 1.5, 1.2, 1.8, 9), ()])
def test_it_is_drawn(losses: tuple[float, ...], tmp_path: Path) -> None:
    curve(*losses).write(tmp_path)
    with Image.open(tmp_path / "lr_find.png") as picture:
        assert picture.width > picture.height > 300
    with (tmp_path / "lr_find.csv").open() as file:
        assert len(list(csv.DictReader(file))) == SETTLED + len(losses)


def test_the_search(quick: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It leaves the network as it was."""
    search = lr_find.search

    def watched(trainer: Any, module: Classifier, data: Any) -> Curve:
        before = {k: v.clone() for k, v in module.state_dict().items()}
        found = search(trainer, module, data)
        assert all(v.equal(before[k]) for k, v in module.state_dict().items())
        assert not module.may_diverge
        return found

    monkeypatch.setattr(lr_find, "search", watched)
    result = fc2conv.run(**quick, task="lr_find", name="search", seed=3, **{"optim.lr": 77})
    assert result is not None
    assert (result.status, result.test, result.val, result.epochs) == ("skipped", None, None, 0)
    folder = Path(quick["runs_dir"]) / "search"
    with (folder / "lr_find.csv").open() as file:
        rows = [(float(row["lr"]), float(row["loss"])) for row in csv.DictReader(file)]
    rates = [rate for rate, _ in rows]
    # Lightning's first two steps are at the lowest rate
    assert rates[2:] == pytest.approx([1e-6 * 1e7 ** (i / STEPS) for i in range(3, len(rates) + 1)])
    least = min(rows[SETTLED:], key=lambda row: row[1])[0]
    assert result.suggested_lr == pytest.approx(least / 10, rel=0.05)
    assert Result.read(folder).suggested_lr == result.suggested_lr
    printed = capsys.readouterr().out
    command = next(line for line in printed.splitlines() if line.startswith("  python train.py"))
    assert command.endswith(f"seed=3 optim.lr={result.suggested_lr:g}")
    assert "task=" not in command
    assert "name=" not in command
    assert "optim.lr=77" not in command
    assert not [p.name for p in folder.rglob("*.ckpt")]
    frame = fc2conv.results(quick["runs_dir"])
    assert list(frame["status"]) == ["skipped"]
    for wrong in ({"resume": "search"}, {"name": "search"}):
        with pytest.raises(ConfigError, match="search"):
            fc2conv.run(**quick, **wrong)


def test_a_loss_that_is_not_finite_ends_nothing(quick: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    own = Classifier.loss

    def exploding(self: Classifier, outputs: Tensor, labels: Tensor) -> Tensor:
        losses = own(self, outputs, labels)
        return losses * math.nan if self.trainer.optimizers[0].param_groups[0]["lr"] > 0.05 else losses

    monkeypatch.setattr(Classifier, "loss", exploding)
    result = fc2conv.run(**quick, task="lr_find", name="search")
    assert result is not None
    assert result.suggested_lr is not None
    assert result.suggested_lr <= 0.005


def test_what_ends_it_is_on_record(quick: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(lr_find, "search", broken)
    with pytest.raises(ZeroDivisionError):
        fc2conv.run(**quick, task="lr_find", name="search")
    assert Result.read(Path(quick["runs_dir"]) / "search").error == "ZeroDivisionError: a bug"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"trainer": "ddp"}, "trainer.strategy: got ddp, but task=lr_find takes one device"),
        ({"resume": "x"}, "resume: got x, expected null with task=lr_find"),
        ({"optim.name": "lbfgs"}, "optim.name: got lbfgs"),
    ],
)
def test_what_is_refused(values: dict[str, Any], message: str, quick: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        fc2conv.run(**(quick | values), task="lr_find")
    assert str(caught.value).startswith(message)
    assert not Path(quick["runs_dir"]).exists()


def test_a_sweep_does_not_search(quick: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="task: got lr_find, which searches for one network"):
        fc2conv.sweep(**(quick | {"seed": range(2)}), task="lr_find")
