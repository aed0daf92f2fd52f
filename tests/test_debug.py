"""debug=...: presets to look at a single run, marked in its record and kept out of comparisons."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import fc2conv
from fc2conv.compose import compose_config, parse_composed
from fc2conv.config.identity import hashed, identity_of
from fc2conv.errors import ConfigError

PRESETS = sorted(p.stem for p in (Path(__file__).parent.parent / "conf" / "debug").iterdir())


@pytest.fixture
def quick(image_folder: Path, tmp_path: Path) -> dict[str, Any]:
    """Keys for 32 tiny images, in batches of 8 for training and two batches each for validation and test."""
    data = {"path": str(image_folder), "dir": str(tmp_path / "cache"), "size": 12, "val_size": 10, "train_size": 32}
    return {
        "runs_dir": str(tmp_path / "runs"),
        "data": "folder",
        "model": "mlp",
        "data.batch_size": 8,
        "data.canvas": 224,
        "model.hidden": (8,),
        "trainer.accelerator": "cpu",
        "trainer.threads": 1,
        "trainer.progress": False,
        **{f"data.{k}": v for k, v in data.items()},
    }


READ = {"fast": (1, 8, 5, 6), "limit": (3, 8, 5, 6), "overfit": (200, 8, 5, 6), "profile": (1, 32, 10, 12)}
"""(epochs, images of training, validation and test)"""


def test_each_preset_is_tested() -> None:
    assert set(READ) == set(PRESETS)


@pytest.mark.parametrize("name", [n for n in PRESETS if n != "overfit"])
def test_a_preset_reads_little_and_says_so(
    name: str, quick: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    result = fc2conv.run(**quick, debug=name, name="run")
    assert result is not None
    assert result.debug == name
    splits = (result.train, result.val, result.test)
    assert (result.epochs, *(values["n"] for values in splits if values)) == READ[name]
    folder = Path(quick["runs_dir"]) / "run"
    assert json.loads((folder / "result.json").read_text())["debug"] == name
    assert (folder / "fit-profile.txt").exists() == (name == "profile")
    assert not (folder / "wandb").exists()
    assert f"debug={name}: to look at, not to compare" in capsys.readouterr().out


def test_a_batch_is_known_by_heart(quick: dict[str, Any]) -> None:
    result = fc2conv.run(**(quick | {"data.canvas": None}), debug="overfit", **{"trainer.max_epochs": 60})
    assert result is not None
    assert result.train is not None
    assert (result.train["n"], result.train["acc"]) == (8, 1)


def test_results_have_a_column_for_it(quick: dict[str, Any]) -> None:
    fc2conv.run(**quick, debug="fast", name="debugged")
    fc2conv.run(**quick, logger="csv", name="real", **{"trainer.max_epochs": 1})
    frame = fc2conv.results(quick["runs_dir"]).set_index("name")
    assert frame.loc["debugged", "debug"] == "fast"
    assert list(frame[frame["debug"].isna()].index) == ["real"]
    values = json.loads((Path(quick["runs_dir"]) / "real" / "result.json").read_text())
    assert values["debug"] is None


@pytest.mark.parametrize("name", PRESETS)
def test_its_runs_are_no_others(name: str) -> None:
    """Not even of those that say by hand what the preset says."""
    preset = parse_composed(compose_config([f"debug={name}"])[0])
    limits = ("max_epochs", "check_val_every_n_epoch", "overfit_batches", "limit_train_batches", "limit_val_batches")
    by_hand = [f"trainer.{k}={getattr(preset.trainer, k)}".replace("None", "null") for k in limits]
    other = parse_composed(compose_config(by_hand)[0])
    assert other.debug is None
    assert hashed(identity_of(preset)) != hashed(identity_of(other))


def test_your_own_values_count_more() -> None:
    config = parse_composed(compose_config(["debug=fast", "trainer.max_epochs=2", "logger=wandb"])[0])
    assert (config.trainer.max_epochs, config.trainer.limit_train_batches) == (2, 1)
    assert config.logger.wandb


@pytest.mark.parametrize("values", ["fast", ["fast", "limit"]])
def test_a_sweep_takes_none(values: Any, quick: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="debug: got fast, for looking at a single run"):
        fc2conv.sweep(**(quick | {"seed": range(2)}), debug=values)
    assert not Path(quick["runs_dir"]).exists()


def test_a_recorded_run_takes_none(quick: dict[str, Any]) -> None:
    fc2conv.run(**quick, debug="fast", name="run")
    best = str(Path(quick["runs_dir"]) / "run" / "checkpoints" / "best.ckpt")
    for call in ({"resume": "run"}, {"task": "test", "ckpt": best}):
        with pytest.raises(ConfigError, match="debug: cannot be combined"):
            fc2conv.run(**call, runs_dir=quick["runs_dir"], debug="limit")
