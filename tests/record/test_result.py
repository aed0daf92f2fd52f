"""result.json and the folder around it: what a run's record holds, and which runs can go on."""

from __future__ import annotations

import json
import math
import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fc2conv.architectures import plan
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.config.identity import FORMAT, hashed, identity_of
from fc2conv.config.schema import Config, DataConfig, InspectConfig, LoggerConfig, OptimConfig, TrainerConfig, plain
from fc2conv.errors import ConfigError, DamagedResult
from fc2conv.record.folder import LOG, RUN_LOCK, Record, find_run
from fc2conv.record.lock import claim
from fc2conv.record.result import FILE, Result, per_class
from fc2conv.training.run import Request, run

LENET = plan(LeNetConfig(), (1, 28, 28), 10)


@pytest.fixture
def begun() -> Result:
    return Result.of(Config(seed=3), LENET, "here", "lenet_modern", ["model=lenet_modern", "seed=3"])


def test_a_run_that_begins(begun: Result) -> None:
    """LeNet's counts: (25 + 1) 6 + (150 + 1) 16 + 401 * 120 + 121 * 84 + 85 * 10 parameters."""
    assert (begun.status, begun.model, begun.family, begun.seed) == ("running", "lenet_modern", "lenet", 3)
    assert (begun.format, begun.identity) == (FORMAT, hashed(identity_of(Config(seed=3))))
    assert begun.params["total"] == 156 + 2416 + 48120 + 10164 + 850
    assert begun.params["layers"]["conv2"] == 2416
    assert (begun.macs, begun.receptive_field) == (416_520, 16)
    assert begun.config | {"inspect": plain(InspectConfig())} == plain(Config(seed=3))
    assert begun.overrides == ["model=lenet_modern", "seed=3"]


def test_without_a_choice_the_family_is_the_model() -> None:
    assert Result.of(Config(), None, "here").model == "lenet"


def test_of_a_config_that_does_not_exist_there_is_little_to_say() -> None:
    found = Result.of(None, None, "0123", "softmax", ["model=softmax"])
    assert (found.identity, found.model, found.family, found.config, found.params) == ("0123", "softmax", "", {}, {})
    assert (found.macs, found.receptive_field) == (None, None)


def test_counts_that_are_not_known_are_written_as_null(begun: Result, tmp_path: Path) -> None:
    replace(begun, macs=None, receptive_field=None).write(tmp_path)
    values = json.loads((tmp_path / FILE).read_text())
    assert (values["macs"], values["receptive_field"]) == (None, None)
    assert "test" not in values, "not read yet"
    assert Result.read(tmp_path).macs is None


def test_accuracy_of_each_class() -> None:
    """Rows are the true classes: 3 of 4, 1 of 2, and no image at all."""
    confusion = [[3, 1, 0], [1, 1, 0], [0, 0, 0]]
    assert per_class(confusion, ["a", "b", "c"]) == {"a": 0.75, "b": 0.5, "c": None}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"status": "done"}', '"done"', "null"],
)
def test_what_is_no_record_is_damaged(text: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(DamagedResult, match=f"{tmp_path}/result.json is damaged"):
        Result.read(tmp_path)


@pytest.mark.parametrize(
    "change", [{"status": "fine"}, {"config": [1]}, {"config": None}, {"config": {"lr": 1}, "family": ""}]
)
def test_a_record_of_something_else_is_damaged(change: dict[str, Any], begun: Result, tmp_path: Path) -> None:
    begun.write(tmp_path)
    (tmp_path / FILE).write_text(json.dumps(json.loads((tmp_path / FILE).read_text()) | change))
    with pytest.raises(DamagedResult):
        Result.read(tmp_path)


METRICS = {"loss": 1.0, "acc": 0.5, "n": 10}


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": "three"},
        {"epochs": True},
        {"epochs": None},
        {"seed": 1.5},
        {"name": 7},
        {"overrides": "seed=1"},
        {"overrides": [1]},
        {"params": 61706},
        {"seconds": {"total": "long"}},
        {"val": [0.5]},
        {"val": {"acc": 0.5}},
        {"val": METRICS | {"acc": None}},
        {"test": METRICS | {"acc": "high"}},
        {"confusion": [[1, 2], 3]},
        {"macs": "many"},
        {"error": ["no"]},
    ],
    ids=str,
)
def test_a_value_of_another_type_is_damage(change: dict[str, Any], begun: Result, tmp_path: Path) -> None:
    begun.write(tmp_path)
    (tmp_path / FILE).write_text(json.dumps(json.loads((tmp_path / FILE).read_text()) | change))
    with pytest.raises(DamagedResult, match=rf"{FILE} is damaged \({next(iter(change))}: got "):
        Result.read(tmp_path)


def test_a_loss_that_became_nan_is_no_damage(begun: Result, tmp_path: Path) -> None:
    replace(begun, train=METRICS | {"loss": math.nan}, images_per_second=float("inf")).write(tmp_path)
    assert Result.read(tmp_path).train == METRICS | {"loss": None}


# --- runs of format 1


def old_run(folder: Path) -> Path:
    """As the version before wrote it: no format, and the family as model."""
    Result.of(Config(), LENET, folder.name).write(folder)
    values = json.loads((folder / FILE).read_text())
    for key in ("format", "family", "peak_memory"):
        values.pop(key, None)
    (folder / FILE).write_text(json.dumps(values | {"status": "interrupted", "identity": "0" * 16}))
    (folder / "config.yaml").write_text("{}")
    return folder


def test_a_run_of_format_1_is_read(tmp_path: Path) -> None:
    found = Result.read(old_run(tmp_path))
    assert (found.format, found.family, found.model, found.status) == (1, "lenet", "lenet", "interrupted")


@pytest.mark.parametrize(("number", "what"), [(1, "an earlier version (format 1)"), (9, "a later version (format 9)")])
def test_a_run_of_another_format_does_not_go_on(number: int, what: str, tmp_path: Path) -> None:
    values = json.loads((old_run(tmp_path) / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps(values | {"format": number}))
    with pytest.raises(ConfigError) as caught:
        find_run(Config(resume=str(tmp_path)))
    assert str(caught.value) == f"resume: {tmp_path}: the run was made by {what}, start it anew"
    assert caught.value.exit_code == 2


def test_a_run_of_this_format_goes_on(begun: Result, tmp_path: Path) -> None:
    begun.write(tmp_path)
    (tmp_path / "config.yaml").write_text("{}")
    assert find_run(Config(resume=tmp_path.name, runs_dir=str(tmp_path.parent))) == tmp_path


# --- the writer of a folder


def test_the_most_memory_survives_a_resume(begun: Result, tmp_path: Path) -> None:
    """Bytes: at least what the system says of this process so far, in its units of 1024."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    record = Record(tmp_path, begun)
    record.close("interrupted")
    peak = Result.read(tmp_path).peak_memory
    assert peak is not None
    assert before <= peak < before * 1.5
    replace(Result.read(tmp_path), peak_memory=2**50).write(tmp_path)
    again = Record(tmp_path, None)
    again.close("done")
    assert Result.read(tmp_path).peak_memory == 2**50


def test_one_process_writes_a_folder(begun: Result, tmp_path: Path) -> None:
    """Its lock is a file of its own, so that nothing happens to the log."""
    record = Record(tmp_path, begun, ["seed=3"])
    with pytest.raises(ConfigError, match="is being trained by another process"):
        Record(tmp_path, None)
    with claim(tmp_path, RUN_LOCK) as ours:
        assert not ours
    record.close("done")
    assert (tmp_path / LOG).read_text().splitlines()[0].endswith("INFO started: seed=3")
    Record(tmp_path, None, ["trainer.threads=1"]).close("done")
    lines = [line.split(" ", 2)[2] for line in (tmp_path / LOG).read_text().splitlines()]
    assert lines == ["INFO started: seed=3", "INFO done", "INFO resumed: trainer.threads=1", "INFO done"]


def test_a_real_run(image_folder: Path, tmp_path: Path) -> None:
    """Three classes of 20 images, a fifth of each for the test."""
    config = Config(
        LeNetConfig(channels=(2,), hidden=(8,)),
        DataConfig(name="folder", path=str(image_folder), dir=str(tmp_path / "cache"), batch_size=8, val_size=0.1),
        OptimConfig(),
        TrainerConfig(max_epochs=1, accelerator="cpu", threads=1, progress=False),
        LoggerConfig(),
        runs_dir=str(tmp_path / "runs"),
    )
    result = run(Request(config, model="lenet_modern"))
    assert result is not None
    assert result.confusion is not None
    assert result.per_class is not None
    assert [sum(row) for row in result.confusion] == [4, 4, 4]
    assert result.per_class == {name: result.confusion[i][i] / 4 for i, name in enumerate(["dark", "light", "middle"])}
    assert (result.model, result.family, result.format) == ("lenet_modern", "lenet", FORMAT)
    assert (result.peak_memory or 0) > 2**26, "torch alone takes more than 64 MiB"
    assert Result.read(tmp_path / "runs" / result.name) == result
