"""One run, in this process, on real Fashion-MNIST: its record, its repetition, its endings, its resumption."""

from __future__ import annotations

import csv
import errno
import json
import logging
import math
import os
import signal
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch import Trainer

from fc2conv import LeNet
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.architectures.mlp import MLPConfig
from fc2conv.architectures.module import ModuleConfig
from fc2conv.config.parsing import parse
from fc2conv.config.schema import (
    Config,
    DataConfig,
    LoggerConfig,
    OptimConfig,
    TensorBoardConfig,
    TrainerConfig,
    WandbConfig,
    plain,
)
from fc2conv.errors import ConfigError, DamagedCheckpoint, Interrupted, NonFiniteLoss, Pruned, explain
from fc2conv.record.arrays import Arrays
from fc2conv.record.folder import reserve
from fc2conv.record.lock import claim
from fc2conv.record.result import Result
from fc2conv.training import run as room
from fc2conv.training.callbacks import Checkpoints, ShouldPrune, StopOnSignal
from fc2conv.training.classifier import Classifier
from fc2conv.training.distributed import Processes
from fc2conv.training.recorded import config_of, merge_recorded
from fc2conv.training.run import Request
from fc2conv.training.run import test as run_test


@pytest.fixture
def config(tmp_path: Path, data_dir: str) -> Config:
    """A LeNet with everything random in it (dropout, augmentation), small enough for a test."""
    return Config(
        model=LeNetConfig(activation="relu", dropout=0.2),
        data=DataConfig(dir=data_dir, train_size=1000, val_size=500, flip=True, translate=2, batch_size=128),
        optim=OptimConfig(name="adam", lr=0.003),
        trainer=TrainerConfig(max_epochs=3, accelerator="cpu", threads=1, progress=False),
        logger=LoggerConfig(),
        runs_dir=str(tmp_path / "runs"),
        name="run",
    )


def run(
    config: Config,
    overrides: Sequence[str] = (),
    folder: Path | None = None,
    resumed: bool = False,
    should_prune: ShouldPrune | None = None,
) -> Result | None:
    return room.run(Request(config, overrides, folder, resumed, should_prune))


def weights(folder: Path, name: str = "last") -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def rows(folder: Path) -> list[dict[str, str]]:
    """metrics.csv without the clock."""
    with (folder / "metrics.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def test_the_record_is_complete(config: Config) -> None:
    result = run(config, ["model=lenet", "seed=0"])
    folder = Path(config.runs_dir) / "run"
    values = json.loads((folder / "result.json").read_text())
    assert result is not None
    assert values["status"] == "done"
    assert values["overrides"] == ["model=lenet", "seed=0"]
    assert (
        parse(Config, values["config"]) == config == parse(Config, yaml.safe_load((folder / "config.yaml").read_text()))
    )
    assert values["params"] == {
        "total": 61706,
        "layers": {"conv1": 156, "conv2": 2416, "linear3": 48120, "linear4": 10164, "output": 850},
    }
    assert (values["macs"], values["receptive_field"]) == (416520, 16)
    assert (values["train"]["n"], values["val"]["n"], values["test"]["n"]) == (1000, 500, 10000)
    assert (values["epochs"], values["world_size"], values["device"]) == (3, 1, "cpu")
    assert 1 <= values["best_epoch"] <= 3
    assert set(values["seconds"]) == {"total", "fit", "test"}
    assert values["data_sha256"]["train_images"].startswith("c59f468a")
    assert {"torch", "lightning", "hydra-core"} <= set(values["versions"])
    assert "error" not in values
    assert sorted(p.name for p in folder.iterdir()) == [
        *(".run.lock", "arrays.npz", "checkpoints", "config.yaml", "metrics.csv", "result.json", "train.log"),
    ]
    assert [r["epoch"] for r in rows(folder)] == ["1", "2", "3"]
    best = max(rows(folder), key=lambda r: float(r["val/acc"]))
    assert values["val"]["acc"] == pytest.approx(float(best["val/acc"]), abs=1e-6)
    assert "epoch 3/3" in (folder / "train.log").read_text()


def test_same_command_same_weights_and_another_seed_others(config: Config) -> None:
    folder = Path(config.runs_dir)
    first = run(config)
    again = run(replace(config, name="again"))
    other = run(replace(config, name="other", seed=1))
    assert first is not None
    assert again is not None
    assert other is not None
    assert same(weights(folder / "run"), weights(folder / "again"))
    assert first.test == again.test
    assert not same(weights(folder / "run"), weights(folder / "other"))
    assert first.identity == again.identity != other.identity


def test_task_test_repeats_the_figures_exactly(config: Config) -> None:
    result = run(config)
    assert result is not None
    path = Path(config.runs_dir) / "run" / "checkpoints" / "best.ckpt"
    assert config_of(path) == plain(config)
    assert run_test(replace(config, task="test", ckpt=str(path))) == result.test


def test_the_best_epoch_is_tested_not_the_last(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    validated: list[float] = []
    report = Classifier._report

    def worse_and_worse(self: Classifier, split: str) -> None:
        report(self, split)
        if split == "val":
            validated.append(self.metrics["val"]["acc"])
            self.metrics["val"]["acc"] = 1 / len(validated)

    monkeypatch.setattr(Classifier, "_report", worse_and_worse)
    result = run(config)
    folder = Path(config.runs_dir) / "run"
    assert result is not None
    assert result.best_epoch == 1
    assert not same(weights(folder, "best"), weights(folder, "last"))
    module = Classifier.load(str(folder / "checkpoints" / "best.ckpt"))
    assert run_test(replace(config, task="test", ckpt=str(folder / "checkpoints" / "best.ckpt"))) == result.test
    assert module.config == config.model


def test_the_last_weights_are_tested_where_no_epoch_is_to_be_chosen(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = Classifier._report

    def worse_and_worse(self: Classifier, split: str) -> None:
        report(self, split)
        if split == "val":
            self.metrics["val"]["acc"] = 1 / (self.current_epoch + 1)

    monkeypatch.setattr(Classifier, "_report", worse_and_worse)
    config = replace(config, trainer=replace(config.trainer, test_weights="last"))
    result, folder = run(config), Path(config.runs_dir) / "run"
    assert result is not None
    assert result.val is not None
    assert (result.best_epoch, result.val["acc"]) == (3, 1 / 3)
    assert same(weights(folder, "best"), weights(folder, "last"))
    arrays = Arrays.read(folder)
    assert arrays is not None
    assert (arrays.test_predictions == arrays.test_labels).mean() == pytest.approx(result.test["acc"])  # type: ignore[index]
    assert run_test(replace(config, task="test", ckpt=str(folder / "checkpoints" / "last.ckpt"))) == result.test


@pytest.mark.parametrize("step", [3, 11, 16, 24])
def test_a_run_stopped_at_any_step_goes_on_bit_for_bit(
    config: Config, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """8 steps an epoch: the middle of the first and second epoch, the end of the second, and of the last."""
    whole = run(config)
    ask = StopOnSignal.on_train_batch_end

    def signal_at(self: StopOnSignal, trainer: Trainer, *args: Any) -> None:
        if trainer.global_step == step:
            signal.raise_signal(signal.SIGTERM)
        ask(self, trainer, *args)

    with monkeypatch.context() as patch:
        patch.setattr(StopOnSignal, "on_train_batch_end", signal_at)
        with pytest.raises(Interrupted) as caught:
            run(replace(config, name="cut"))
    assert caught.value.exit_code == 143
    folder = Path(config.runs_dir)
    stopped = Result.read(folder / "cut")
    assert (stopped.status, stopped.error, stopped.test) == ("interrupted", "stopped by SIGTERM", None)

    resumed = run(replace(config, name="cut"), folder=folder / "cut", resumed=True)
    assert whole is not None
    assert resumed is not None
    assert resumed.status == "done"
    assert same(weights(folder / "run"), weights(folder / "cut"))
    assert rows(folder / "run") == rows(folder / "cut")
    assert (whole.test, whole.val, whole.best_epoch) == (resumed.test, resumed.val, resumed.best_epoch)


def test_a_killed_run_goes_on_from_its_last_epoch(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    whole = run(config)
    save = Checkpoints.save

    def die_after_saving(self: Checkpoints, trainer: Trainer, is_best: bool = False) -> None:
        save(self, trainer, is_best)
        if trainer.current_epoch == 1:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", die_after_saving)
        with pytest.raises(Killed):
            run(replace(config, name="cut"))
    folder = Path(config.runs_dir)
    resumed = run(replace(config, name="cut"), folder=folder / "cut", resumed=True)
    assert whole is not None
    assert resumed is not None
    assert same(weights(folder / "run"), weights(folder / "cut"))
    assert rows(folder / "run") == rows(folder / "cut")
    assert whole.test == resumed.test


def flip_a_bit(path: Path) -> None:
    """Of a weight's mantissa, which torch.load takes as it comes."""
    [weight] = [w for name, w in torch.load(path, weights_only=True)["state_dict"].items() if name.endswith("bias")][:1]
    content = bytearray(path.read_bytes())
    content[content.index(weight.numpy().tobytes())] ^= 1
    path.write_bytes(content)


def test_a_damaged_checkpoint_is_not_gone_on_with(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor tested: the bit is flipped before the run's end, and is there when it should go on."""
    save = Checkpoints.save

    def save_and_flip(self: Checkpoints, trainer: Trainer, is_best: bool = False) -> None:
        save(self, trainer, is_best)
        flip_a_bit(self.folder / "checkpoints" / "best.ckpt")

    config = replace(config, trainer=replace(config.trainer, max_epochs=1))
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", save_and_flip)
        with pytest.raises(DamagedCheckpoint, match=r"best.ckpt is damaged, or no checkpoint \(the CRC-32 of"):
            run(config)
    folder = Path(config.runs_dir) / "run"
    record = (folder / "result.json").read_text()
    assert "best.ckpt is damaged" in record
    assert Result.read(folder).status == "failed"
    last, best = (folder / "checkpoints" / f"{name}.ckpt" for name in ("last", "best"))
    assert os.path.samefile(last, best)
    flip_a_bit(last)  # it is well again
    whole = last.read_bytes()
    best.unlink()
    for path, content in ((last, whole[:5000]), (best, b""), (last, b"PK" + bytes(100))):
        last.write_bytes(whole)
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=f"^resume: {path} is damaged, or no checkpoint .*; start the run anew$"):
            run(config, folder=folder, resumed=True)
        best.unlink(missing_ok=True)
    assert (folder / "result.json").read_text() == record
    last.write_bytes(whole)
    best.write_bytes(whole)
    resumed = run(config, folder=folder, resumed=True)
    assert resumed is not None
    assert resumed.status == "done"


def test_a_signal_during_the_test_ends_the_run_at_once(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def on_test_start(self: Classifier) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Classifier, "on_test_start", on_test_start)
    with pytest.raises(Interrupted):
        run(config)
    assert Result.read(Path(config.runs_dir) / "run").status == "interrupted"
    monkeypatch.undo()
    resumed = run(config, folder=Path(config.runs_dir) / "run", resumed=True)
    assert resumed is not None
    assert resumed.status == "done"
    assert resumed.test is not None


def test_a_loss_that_is_not_finite_stops_the_run(config: Config) -> None:
    diverging = replace(config, model=MLPConfig(init="xavier"), optim=OptimConfig(lr=1e30))
    with pytest.raises(NonFiniteLoss, match=r"step \d+ with learning rate .*optim.lr \(it was 1e\+30\)"):
        run(diverging)
    result = Result.read(Path(config.runs_dir) / "run")
    assert result.status == "failed"
    assert "learning rate" in (result.error or "")


def test_a_bug_is_recorded_and_raised(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Classifier, *args: Any) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Classifier, "validation_step", broken)
    with pytest.raises(ZeroDivisionError):
        run(config)
    folder = Path(config.runs_dir) / "run"
    assert Result.read(folder).error == "ZeroDivisionError: a bug"
    assert "Traceback" in (folder / "train.log").read_text()


def test_a_full_gpu_is_told_with_what_to_do(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    said = (
        "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.18 GiB of which 3 are free"
    )

    def fit(*args: object, **kwargs: object) -> None:
        raise torch.OutOfMemoryError(said)

    monkeypatch.setattr(Trainer, "fit", fit)
    with pytest.raises(torch.OutOfMemoryError) as raised:
        run(config)
    advice = "make data.batch_size or the network smaller, or let trainer.precision be bf16-mixed"
    expected = f"CUDA out of memory. Tried to allocate 20.00 GiB: {advice}"
    assert explain(raised.value) == (1, expected)
    assert Result.read(Path(config.runs_dir) / "run").error == expected


def test_a_full_disk_ends_the_run_with_a_record(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a checkpoint goes, so that there is room to say what happened; the log may fail, too."""

    def full(self: Trainer, path: Path, *args: Any, **kwargs: Any) -> None:
        Path(path).write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Trainer, "save_checkpoint", full)
    with pytest.raises(OSError, match="No space left") as raised:
        run(config)
    folder = Path(config.runs_dir) / "run"
    assert Result.read(folder).status == "failed"
    assert list((folder / "checkpoints").iterdir()) == []
    code, message = explain(raised.value)
    assert code == 1
    assert message.startswith("the disk is full (")
    assert message.endswith("free some space, or choose another runs_dir")


def test_a_run_may_be_pruned(config: Config) -> None:
    """After the epoch is saved; the test set is left alone; after the last epoch there is nothing to stop."""
    seen: list[tuple[int, float]] = []

    def should_prune(epoch: int, accuracy: float) -> bool:
        seen.append((epoch, accuracy))
        return epoch == 2

    with pytest.raises(Pruned, match="after epoch 2"):
        run(replace(config, trainer=replace(config.trainer, max_epochs=4)), should_prune=should_prune)
    result = Result.read(Path(config.runs_dir) / "run")
    assert (result.status, result.epochs, result.test) == ("pruned", 2, None)
    assert [epoch for epoch, _ in seen] == [1, 2]
    assert (Path(config.runs_dir) / "run" / "checkpoints" / "last.ckpt").exists()
    done = run(replace(config, name="whole", trainer=replace(config.trainer, max_epochs=2)), should_prune=should_prune)
    assert done is not None
    assert done.status == "done"


def test_wrong_data_leaves_no_folder(config: Config, tmp_path: Path) -> None:
    wrong = replace(config, data=DataConfig(name="folder", path=str(tmp_path / "nothing"), dir=str(tmp_path)))
    with pytest.raises(ConfigError, match="nothing is no folder"):
        run(wrong)
    assert not Path(config.runs_dir).exists()


def test_early_stopping(config: Config) -> None:
    still = OptimConfig(lr=1e-12, schedule="constant")
    result = run(replace(config, optim=still, trainer=replace(config.trainer, max_epochs=9, patience=2)))
    assert result is not None
    assert (result.status, result.epochs, result.best_epoch) == ("done", 3, 1)


def test_a_run_that_had_lost_patience_does_not_go_on(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped in the test, after its last epoch was saved."""
    still = OptimConfig(lr=1e-12, schedule="constant")
    config = replace(config, optim=still, trainer=replace(config.trainer, max_epochs=9, patience=2))
    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "on_test_epoch_end", lambda self: signal.raise_signal(signal.SIGTERM))
        with pytest.raises(Interrupted) as caught:
            run(config)
    folder = Path(config.runs_dir) / "run"
    assert caught.value.folder == folder
    result = run(config, folder=folder, resumed=True)
    assert result is not None
    assert (result.status, result.epochs, result.best_epoch) == ("done", 3, 1)
    assert [row["epoch"] for row in rows(folder)] == ["1", "2", "3"]


def test_two_processes_do_not_train_in_one_folder(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(config.runs_dir) / "run"
    tried: list[str] = []

    def meanwhile(self: Classifier) -> None:
        before = (folder / "result.json").read_bytes()
        with pytest.raises(ConfigError, match="run is being trained by another process") as caught:
            run(config, folder=folder, resumed=True)
        tried.append(caught.value.key)
        assert (folder / "result.json").read_bytes() == before

    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "on_test_epoch_start", meanwhile)
        result = run(config)
    assert result is not None
    assert (result.status, tried) == ("done", ["resume"])
    with claim(folder, "train.log") as free:
        assert free


def test_the_record_says_the_rate_of_an_epochs_last_step(config: Config) -> None:
    """Cosine over 24 steps: 0.003 (1 + cos(pi t / 24)) / 2 at step t."""
    run(replace(config, optim=OptimConfig(name="sgd", lr=0.003, schedule="cosine")))
    expected = [0.003 * (1 + math.cos(math.pi * t / 24)) / 2 for t in (7, 15, 23)]
    assert [float(r["lr"]) for r in rows(Path(config.runs_dir) / "run")] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("precision", ["32", "bf16-mixed"])
def test_the_gradient_is_clipped_to_its_largest_norm(config: Config, precision: Any) -> None:
    """One step of plain SGD moves the weights by the rate times the norm."""
    trainer = replace(config.trainer, max_epochs=1, precision=precision, gradient_clip=0.01)
    optim = OptimConfig(name="sgd", lr=0.5, momentum=0.0, weight_decay=0.0, schedule="constant")
    run(replace(config, data=replace(config.data, batch_size=1000), trainer=trainer, optim=optim))
    torch.manual_seed(config.seed)
    before = LeNet(config.model).net.state_dict()
    after = Classifier.load(str(Path(config.runs_dir) / "run" / "checkpoints" / "last.ckpt")).net.state_dict()
    moved = torch.stack([(after[k] - before[k]).square().sum() for k in before]).sum().sqrt()
    assert moved.item() == pytest.approx(0.5 * 0.01, rel=1e-3)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_mixed_precision_and_clipping_go_together(config: Config, name: Any) -> None:
    trainer = replace(config.trainer, max_epochs=1, precision="bf16-mixed", gradient_clip=1.0)
    result = run(replace(config, optim=OptimConfig(name=name, lr=0.003), trainer=trainer))
    assert result is not None
    assert result.status == "done"


def test_the_cpu_has_no_half_precision(config: Config) -> None:
    with pytest.raises(ConfigError, match="use bf16-mixed") as caught:
        run(replace(config, trainer=replace(config.trainer, precision="16-mixed")))
    assert caught.value.key == "trainer.precision"
    assert not Path(config.runs_dir).exists()


def test_weights_that_explode_in_the_last_step_stop_the_run(config: Config) -> None:
    """One step: the training loss is that of the initial weights."""
    data = replace(config.data, batch_size=2000)
    optim = OptimConfig(name="sgd", lr=1e30, schedule="constant")
    with pytest.raises(NonFiniteLoss, match="the validation loss became"):
        run(replace(config, data=data, optim=optim, trainer=replace(config.trainer, max_epochs=1)))
    assert Result.read(Path(config.runs_dir) / "run").status == "failed"


def test_a_loss_that_is_looked_at_now_and_then_is_looked_at_in_the_end(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, where not each step is looked at."""
    check = Classifier._check_finite

    def only_of_an_epoch(self: Classifier, what: str, loss: float) -> None:
        if self.train_totals.n == 0:  # reset: not in the middle of an epoch
            check(self, what, loss)

    monkeypatch.setattr(Classifier, "_check_finite", only_of_an_epoch)
    optim = OptimConfig(name="sgd", lr=1e30, schedule="constant")
    with pytest.raises(NonFiniteLoss, match="loss became nan"):
        run(replace(config, optim=optim))


def test_own_images(config: Config, image_folder: Path, tmp_path: Path) -> None:
    own = DataConfig(
        name="folder", path=str(image_folder), dir=str(tmp_path / "cache"), val_size=0.2, size=12, batch_size=16
    )
    model = LeNetConfig(kernel_size=3, padding="same", activation="relu")
    result = run(replace(config, data=own, model=model, trainer=replace(config.trainer, max_epochs=20)))
    assert result is not None
    assert result.test is not None
    assert result.test["n"] == 12  # a fifth of 60
    assert result.test["acc"] > 0.9  # brightness alone tells the classes


def test_runs_started_at_once_get_folders_of_their_own(config: Config) -> None:
    unnamed = replace(config, name=None)
    assert len({reserve(unnamed) for _ in range(50)}) == 50
    folder = reserve(config)
    (folder / "result.json").write_text("{}")
    with pytest.raises(ConfigError, match="holds a run already"):
        reserve(config)


def test_checkpoints_where_files_cannot_have_two_names(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    result = run(replace(config, trainer=replace(config.trainer, max_epochs=1)))
    folder = Path(config.runs_dir) / "run"
    assert result is not None
    assert same(weights(folder, "best"), weights(folder))
    assert sorted(p.name for p in (folder / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]


def test_a_group_chosen_at_a_resume_keeps_the_other_keys(config: Config) -> None:
    values = plain(config)
    source = {**values, "trainer": {**values["trainer"], "max_epochs": 7, "accelerator": "auto"}}
    resumed = replace(config, trainer=TrainerConfig(accelerator="cpu", threads=2), resume="run")
    found = merge_recorded(resumed, plain(resumed), ["trainer=cpu", "trainer.threads=2"], source)
    assert (found.trainer.max_epochs, found.trainer.accelerator, found.trainer.threads) == (7, "cpu", 2)
    assert found.model == config.model


def test_a_key_within_a_mapping_is_changed_at_a_resume(config: Config) -> None:
    module = replace(config, model=ModuleConfig(target="a.b", arguments={"n": 1}))
    changed = replace(module, model=ModuleConfig(target="a.b", arguments={"n": 2}), resume="run")
    found = merge_recorded(changed, plain(changed), ["model.arguments.n=2"], plain(module))
    assert found.model == changed.model


def test_loggers_chosen_at_a_resume_keep_their_recorded_keys(config: Config) -> None:
    recorded = replace(config, logger=LoggerConfig(wandb=WandbConfig(project="mine")))
    board = LoggerConfig(wandb=WandbConfig(), tensorboard=TensorBoardConfig())
    for overrides, chosen, want in (
        (["logger=[wandb,tensorboard]"], board, replace(board, wandb=WandbConfig(project="mine"))),
        (["logger=csv"], LoggerConfig(), LoggerConfig()),
        (["logger.wandb.tags=[a]"], LoggerConfig(wandb=WandbConfig(tags=("a",))), WandbConfig("mine", tags=("a",))),
    ):
        resumed = replace(config, logger=chosen, resume="run")
        found = merge_recorded(resumed, plain(resumed), overrides, plain(recorded)).logger
        assert found == (LoggerConfig(wandb=want) if isinstance(want, WandbConfig) else want)


def test_a_run_of_an_earlier_version_is_read_in_todays_words(config: Config) -> None:
    source = plain(config) | {"logger": {"name": "wandb", "project": "mine", "group": "g"}}
    resumed = replace(config, resume="run")
    found = merge_recorded(resumed, plain(resumed), [], {k: v for k, v in source.items() if k != "callbacks"})
    assert found == replace(resumed, logger=LoggerConfig(wandb=WandbConfig(project="mine", group="g")))


def test_callbacks_are_changed_by_name_at_a_resume(config: Config) -> None:
    a, b = ({"_target_": name, "x": 1} for name in ("a.A", "b.B"))
    source = plain(replace(config, callbacks={"a": a, "b": b}))
    without = replace(config, resume="run")
    assert merge_recorded(without, plain(without), ["~callbacks.a"], source).callbacks == {"b": b}
    changed = replace(without, callbacks={"a": a | {"x": 2}})
    assert merge_recorded(changed, plain(changed), ["callbacks.a.x=2"], source).callbacks == {"a": a | {"x": 2}, "b": b}
    other = replace(without, callbacks={"c": a})
    assert merge_recorded(other, plain(other), ["+callbacks.c={_target_: a.A, x: 1}"], source).callbacks.keys() == {
        *"abc"
    }
    assert merge_recorded(other, plain(other), ["callbacks=c"], source).callbacks == {"c": a}


def test_best_is_not_written_over_in_place(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run killed between two renames leaves the file aside as another name of best.ckpt."""
    save, write = Checkpoints.save, Trainer.save_checkpoint

    def save_after_a_kill(self: Checkpoints, trainer: Trainer, is_best: bool = False) -> None:
        best = self.folder / "checkpoints" / "best.ckpt"
        if best.exists():
            os.link(best, best.with_name(".saving.ckpt"))
        save(self, trainer, is_best)

    def checked(self: Trainer, path: Path, *args: Any, **kwargs: Any) -> None:
        assert not path.exists()
        write(self, path, *args, **kwargs)

    monkeypatch.setattr(Checkpoints, "save", save_after_a_kill)
    monkeypatch.setattr(Trainer, "save_checkpoint", checked)
    result = run(config)
    assert result is not None
    assert result.status == "done"


@pytest.mark.parametrize("kernels", [True, False])
def test_the_kernels_can_be_left_out(config: Config, kernels: bool) -> None:
    """The record says which computed the network; without them torch did."""
    speed = pytest.importorskip("fc2conv.speed")
    model = LeNetConfig(activation="relu", pool="max", norm="batch", bias=False)
    result = run(replace(config, model=model, trainer=replace(config.trainer, max_epochs=1, kernels=kernels)))
    assert result is not None
    assert result.kernels == (speed.describe(speed.accelerate(LeNet(model).net)) if kernels else None)


def test_torch_is_as_before_afterwards(config: Config) -> None:
    """A notebook's own training must not become deterministic, slow or silent by a run."""
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(False)
    before = (list(warnings.filters), logging.getLogger("lightning.pytorch").level)
    run(replace(config, trainer=replace(config.trainer, max_epochs=1, threads=1)))
    assert torch.get_num_threads() == 2
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    assert (list(warnings.filters), logging.getLogger("lightning.pytorch").level) == before


def test_nodes_that_nobody_started_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "4", "RANK": "1", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(key, value)
    trainer = TrainerConfig(strategy="ddp", devices="auto")
    assert Processes.of_environment(replace(trainer, num_nodes=2)).nodes == 2
    with pytest.raises(ConfigError, match="got 7, but started by torchrun with 4 processes on 2 nodes"):
        Processes.of_environment(replace(trainer, num_nodes=7))
