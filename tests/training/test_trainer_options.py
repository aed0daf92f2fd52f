"""The keys of trainer.*: what each changes in a run and its record, and that a run goes on bit for bit under them."""

from __future__ import annotations

import csv
import json
import math
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch.callbacks.timer
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.testing import assert_close

from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.architectures.softmax import SoftmaxConfig
from fc2conv.config.schema import Config, DataConfig, LoggerConfig, OptimConfig, TrainerConfig
from fc2conv.errors import ConfigError, Interrupted, Pruned
from fc2conv.record.result import Result
from fc2conv.training import run as room
from fc2conv.training.callbacks import Checkpoints, LogSteps, ShouldPrune, StopOnSignal
from fc2conv.training.classifier import Classifier
from fc2conv.training.distributed import Processes
from fc2conv.training.run import Request, trainer_for
from fc2conv.training.run import test as run_test

LR = 0.003


@pytest.fixture
def config(image_folder: Path, tmp_path: Path) -> Config:
    """Three epochs of four batches of eight images, with everything random: dropout and augmentation."""
    images = {"name": "folder", "path": str(image_folder), "dir": str(tmp_path / "cache"), "size": 12}
    return Config(
        model=LeNetConfig(kernel_size=3, padding="same", activation="relu", dropout=0.2),
        data=DataConfig(**images, train_size=32, val_size=10, batch_size=8, flip=True, translate=1),  # type: ignore[arg-type]
        optim=OptimConfig(name="adam", lr=LR),
        trainer=TrainerConfig(max_epochs=3, accelerator="cpu", threads=1, progress=False),
        logger=LoggerConfig(),
        runs_dir=str(tmp_path / "runs"),
        name="run",
    )


def under(config: Config, **settings: Any) -> Config:
    return replace(config, trainer=replace(config.trainer, **settings))


def run(config: Config, resumed: bool = False, should_prune: ShouldPrune | None = None) -> Result:
    folder = Path(config.runs_dir) / (config.name or "")
    result = room.run(Request(config, (), folder if resumed else None, resumed, should_prune))
    assert result is not None
    assert result.status == "done"
    return result


def rows(config: Config) -> list[dict[str, str]]:
    """metrics.csv without the clock."""
    with (Path(config.runs_dir) / (config.name or "") / "metrics.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def column(config: Config, name: str) -> list[float | None]:
    return [float(row[name]) if row[name] else None for row in rows(config)]


def checkpoint(config: Config, name: str = "last") -> dict[str, Any]:
    path = Path(config.runs_dir) / (config.name or "") / "checkpoints" / f"{name}.ckpt"
    return dict(torch.load(path, weights_only=True))


def weights(config: Config, name: str = "last") -> dict[str, Tensor]:
    return dict(checkpoint(config, name)["state_dict"])


def with_accuracies(monkeypatch: pytest.MonkeyPatch, *accuracies: float) -> None:
    """Validation finds these, one after the other."""
    report, left = Classifier._report, list(accuracies)

    def told(self: Classifier, split: str) -> None:
        report(self, split)
        if split == "val":
            self.metrics["val"]["acc"] = left.pop(0)

    monkeypatch.setattr(Classifier, "_report", told)


# --- where a run ends


def test_max_steps_ends_within_an_epoch_and_what_was_reached_is_validated(config: Config) -> None:
    """Ten of twelve steps: the one cycle ends with the tenth."""
    result = run(under(config, max_epochs=9, max_steps=10))
    assert column(config, "step") == [4, 8, 10]
    assert column(config, "lr")[-1] == pytest.approx(LR / 25e4, rel=1e-3)
    assert None not in column(config, "val/acc")
    assert result.train is not None
    assert (result.epochs, result.train["n"]) == (3, 16)
    assert checkpoint(config)["global_step"] == 10
    log = (Path(config.runs_dir) / "run" / "train.log").read_text()
    assert "epoch 3/3" in log


def test_max_steps_within_the_first_epoch(config: Config) -> None:
    result = run(under(config, max_steps=2))
    assert result.val is not None
    assert (result.epochs, result.best_epoch, result.val["n"]) == (1, 1, 10)


def test_max_steps_beyond_the_epochs_changes_nothing(config: Config) -> None:
    run(config)
    run(replace(under(config, max_steps=1000), name="other"))
    assert_close(weights(replace(config, name="other")), weights(config), rtol=0, atol=0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """One second a batch."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(lightning.pytorch.callbacks.timer, "time", SimpleNamespace(monotonic=lambda: clock.now))
    step = Classifier.training_step

    def ticking(self: Classifier, batch: Any, batch_idx: int) -> Tensor:
        loss = step(self, batch, batch_idx)
        clock.now += 1
        return loss

    monkeypatch.setattr(Classifier, "training_step", ticking)
    return clock


def test_max_time_ends_within_an_epoch_and_the_rate_follows_the_clock(config: Config, clock: SimpleNamespace) -> None:
    """Six seconds: the sixth step begins after five."""
    cosine = replace(under(config, max_time="00:00:00:06"), optim=OptimConfig(name="adam", lr=LR, schedule="cosine"))
    result = run(cosine)
    assert column(config, "step") == [4, 6]
    assert column(config, "lr") == pytest.approx([LR * (1 + math.cos(math.pi * t / 6)) / 2 for t in (3, 5)], rel=1e-4)
    assert None not in column(config, "val/acc")
    assert result.best_epoch is not None


def test_the_time_before_a_resume_counts(
    config: Config, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = under(config, max_time="00:00:00:10")
    interrupted(config, 5, monkeypatch)
    clock.now += 1000
    run(config, resumed=True)
    assert column(config, "step") == [4, 8, 10]


def test_a_run_whose_time_was_up_before_any_validation_has_its_last_weights_tested(
    config: Config, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the first epoch, which took all the time but was not to be validated."""

    class Killed(BaseException):
        pass

    config = under(config, max_time="00:00:00:05", check_val_every_n_epoch=2)
    save = Checkpoints.save

    def saved_late(self: Checkpoints, trainer: Trainer, is_best: bool = False) -> None:
        clock.now += 10
        save(self, trainer, is_best)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", saved_late)
        with pytest.raises(Killed):
            room.run(Request(config))
    result = run(config, resumed=True)
    assert (result.epochs, result.best_epoch, result.val) == (1, None, None)
    assert result.test is not None
    assert result.test["n"] == 12


# --- resumption


def interrupted(config: Config, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that gets a signal in a step, counted from 1."""
    ask = StopOnSignal.on_train_batch_end

    def signal_at(self: StopOnSignal, trainer: Trainer, *args: Any) -> None:
        if trainer.global_step == step:
            signal.raise_signal(signal.SIGTERM)
        ask(self, trainer, *args)

    with monkeypatch.context() as patch:
        patch.setattr(StopOnSignal, "on_train_batch_end", signal_at)
        with pytest.raises(Interrupted):
            room.run(Request(config))


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"accumulate_grad_batches": 3}, (1, 4, 6)),  # two steps an epoch
        ({"max_steps": 10}, (2, 8, 10)),
        ({"max_steps": 7, "accumulate_grad_batches": 3, "max_epochs": 9}, (3, 7)),
        ({"check_val_every_n_epoch": 2, "max_epochs": 5, "patience": 1}, (4, 10)),
        ({"overfit_batches": 2}, (3, 4)),
    ],
    ids=str,
)
def test_a_run_goes_on_bit_for_bit(
    settings: dict[str, Any], steps: tuple[int, ...], config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the first of an epoch's steps, in the middle, and in the last."""
    config = under(config, **settings)
    whole = run(config)
    for step in steps:
        cut = replace(config, name=f"cut{step}")
        interrupted(cut, step, monkeypatch)
        again = run(cut, resumed=True)
        assert_close(weights(cut), weights(config), rtol=0, atol=0)
        assert rows(cut) == rows(config)
        assert (again.test, again.val, again.epochs) == (whole.test, whole.val, whole.epochs)


@pytest.mark.parametrize("settings", [{"max_steps": 10}, {"max_steps": 8}, {"check_val_every_n_epoch": 2}], ids=str)
def test_a_run_stopped_in_its_test_has_only_that_left(
    settings: dict[str, Any], config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = under(config, **settings)
    whole = run(config)
    cut = replace(config, name="cut")
    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "on_test_start", lambda self: signal.raise_signal(signal.SIGTERM))
        with pytest.raises(Interrupted):
            room.run(Request(cut))
    again = run(cut, resumed=True)
    assert rows(cut) == rows(config)
    assert_close(weights(cut), weights(config), rtol=0, atol=0)
    assert (again.test, again.best_epoch, again.epochs) == (whole.test, whole.best_epoch, whole.epochs)


# --- batches of a step, of an epoch


def test_accumulated_batches_are_one_of_twice_the_size(config: Config) -> None:
    plain = replace(
        config,
        model=replace(config.model, dropout=0.0),  # type: ignore[type-var]
        data=replace(config.data, flip=False, translate=0),
        optim=OptimConfig(name="sgd", lr=0.05),
    )
    run(under(plain, accumulate_grad_batches=2))
    assert column(config, "step") == [2, 4, 6]
    large = replace(plain, data=replace(plain.data, batch_size=16), name="large")
    run(large)
    assert_close(weights(config), weights(large), rtol=1e-4, atol=1e-6)


LIMITED = [
    ({}, (32, 10, 12)),
    ({"limit_train_batches": 3, "limit_val_batches": 1, "limit_test_batches": 1}, (24, 5, 6)),
    ({"limit_train_batches": 0.5, "limit_test_batches": 0.99}, (16, 10, 6)),
    ({"limit_train_batches": 0.001, "limit_val_batches": 0.001}, (8, 5, 12)),  # one batch is left
    ({"limit_train_batches": 1000, "limit_test_batches": 1000}, (32, 10, 12)),
    ({"overfit_batches": 1}, (8, 5, 12)),
]


@pytest.mark.parametrize(("settings", "images"), LIMITED, ids=str)
def test_the_record_counts_the_images_that_were_read(
    settings: dict[str, Any], images: tuple[int, ...], config: Config
) -> None:
    """Four batches of 8 training images; so large that validation and test come in two batches of 5 and 6."""
    large = replace(config, model=SoftmaxConfig(), data=replace(config.data, canvas=224))
    result = run(under(large, max_epochs=1, **settings))
    assert tuple(values["n"] for values in (result.train, result.val, result.test) if values) == images
    assert sum(map(sum, result.confusion or [])) == images[2]
    path = str(Path(config.runs_dir) / "run" / "checkpoints" / "best.ckpt")
    assert run_test(replace(under(large, **settings), task="test", ckpt=path)) == result.test


def test_an_overfitted_batch_is_always_the_same(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    step = Classifier.training_step

    def watched(self: Classifier, batch: Any, batch_idx: int) -> Tensor:
        seen.append(batch[1])
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Classifier, "training_step", watched)
    run(under(config, overfit_batches=1))
    assert len(seen) == 3
    assert all(torch.equal(labels, seen[0]) for labels in seen)


# --- validation now and then


def test_the_best_epoch_is_one_of_those_validated_and_the_last_is(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_accuracies(monkeypatch, 0.5, 0.9, 0.7)
    result = run(under(config, max_epochs=5, check_val_every_n_epoch=2))
    assert column(config, "val/acc") == [None, 0.5, None, 0.9, 0.7]
    assert None not in column(config, "train/acc")
    assert (result.epochs, result.best_epoch) == (5, 4)
    assert result.val is not None
    assert result.val["acc"] == 0.9
    assert checkpoint(config, "best")["epoch"] == 3
    log = (Path(config.runs_dir) / "run" / "train.log").read_text().splitlines()
    lines = [line for line in log if "train loss" in line]
    assert ["val loss" in line for line in lines] == [False, True, False, True, True]
    assert [" * " in line for line in lines] == [False, True, False, True, False]
    assert len({len(line) for line in lines}) == 1


def test_fewer_epochs_than_from_one_validation_to_the_next(config: Config) -> None:
    result = run(under(config, check_val_every_n_epoch=100))
    assert result.best_epoch == 3


def test_a_record_says_nothing_of_a_validation_that_is_still_to_come(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[dict[str, Any]] = []
    save = Checkpoints.on_train_epoch_end

    def read(self: Checkpoints, *args: Any) -> None:
        save(self, *args)
        written.append(json.loads((Path(config.runs_dir) / "run" / "result.json").read_text()))

    monkeypatch.setattr(Checkpoints, "on_train_epoch_end", read)
    run(under(config, max_epochs=2, check_val_every_n_epoch=2))
    assert [("val" in record, "best_epoch" in record) for record in written] == [(False, False), (True, True)]


@pytest.mark.parametrize(("patience", "last"), [(1, 4), (2, 4), (3, 6)])
def test_patience_is_lost_where_there_is_a_validation(
    patience: int, last: int, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing gets better after the second epoch."""
    with_accuracies(monkeypatch, *[0.5] * 5)
    result = run(under(config, max_epochs=10, check_val_every_n_epoch=2, patience=patience))
    assert (result.epochs, result.best_epoch) == (last, 2)


def test_a_search_is_asked_where_there_is_a_validation_and_something_left_to_stop(config: Config) -> None:
    asked: list[int] = []

    def note(epoch: int, accuracy: float) -> bool:
        asked.append(epoch)
        return epoch == 4

    run(under(config, max_epochs=3, max_steps=10), should_prune=note)
    assert asked == [1, 2]
    cut = replace(under(config, max_epochs=9, check_val_every_n_epoch=2), name="cut")
    with pytest.raises(Pruned):
        room.run(Request(cut, should_prune=note))
    assert asked == [1, 2, 2, 4]


# --- the rest


@pytest.mark.parametrize("profiler", ["simple", "advanced"])
def test_a_profilers_reports_lie_in_the_runs_folder(profiler: Any, config: Config) -> None:
    run(under(config, max_epochs=1, profiler=profiler))
    for stage, action in (("fit", "optimizer_step"), ("test", "test_step")):
        assert action in (Path(config.runs_dir) / "run" / f"{stage}-profile.txt").read_text()
    assert [p for p in Path().glob("*profile*") if p.is_file()] == []


BACKENDS = ["aot_eager", pytest.param(True, marks=pytest.mark.slow)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_torch_compiles_in_place_of_the_kernels(backend: Any, config: Config) -> None:
    """The same network to the rounding of its operations; nobody who reads its checkpoint sees that it was compiled."""
    config = replace(config, model=replace(config.model, dropout=0.0))  # type: ignore[type-var]
    config = under(config, max_epochs=1)
    plain = replace(under(config, kernels=False), name="plain")
    run(plain)
    torch._dynamo.utils.counters.clear()  # type: ignore[no-untyped-call]
    result = run(under(config, compile=backend))
    assert result.kernels is None
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    assert_close(weights(config), weights(plain), rtol=1e-3, atol=1e-5)
    path = str(Path(config.runs_dir) / "run" / "checkpoints" / "best.ckpt")
    assert run_test(replace(under(config, compile=backend), task="test", ckpt=path)) == result.test


def test_what_cannot_compile_is_said_before_anything_is_written(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"got inductr, expected true, false, or one of .* did you mean inductor"):
        run(under(config, compile="inductr"))
    monkeypatch.setenv("CXX", "/nowhere/g++")
    with pytest.raises(ConfigError, match="there is no /nowhere/g") as caught:
        run(under(config, compile=True))
    assert caught.value.key == "trainer.compile"
    assert not Path(config.runs_dir).exists()


def test_the_loggers_hear_of_every_nth_step(config: Config, tmp_path: Path) -> None:
    """Two batches a step: the mean of their losses."""
    settings = under(config, log_every_n_steps=3, accumulate_grad_batches=2).trainer
    runner, logger = trainer_for(settings, Processes(), [LogSteps(3)]), CSVLogger(tmp_path, name="log")
    runner.loggers = [logger]
    data, module, _ = room._prepared(config, Processes())
    losses: list[float] = []
    step = module.training_step

    def watched(batch: Any, batch_idx: int) -> Tensor:
        loss = step(batch, batch_idx)
        losses.append(loss.item())
        return loss

    module.training_step = watched  # type: ignore[method-assign]
    with room.torch_prepared(settings, Processes()):
        runner.fit(module, datamodule=data)
    with (Path(logger.log_dir) / "metrics.csv").open() as file:
        sent = {int(row["step"]): row["train/loss_step"] for row in csv.DictReader(file) if row["train/loss_step"]}
    means = [sum(losses[at : at + 2]) / 2 for at in range(0, 12, 2)]
    assert {at: float(loss) for at, loss in sent.items()} == pytest.approx({3: means[2], 6: means[5]})
    assert runner.log_every_n_steps == 3  # for callbacks that log by themselves
