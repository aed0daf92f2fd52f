"""LeNet under any Trainer, on a plain DataLoader and on ImageData: what Lightning's settings and callbacks achieve."""

from __future__ import annotations

import copy
import csv
import inspect
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch.callbacks.timer
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import (
    EarlyStopping,
    EMAWeightAveraging,
    LearningRateMonitor,
    ModelCheckpoint,
    WeightAveraging,
)
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.tuner import Tuner
from torch import Tensor
from torch.testing import assert_close
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from fc2conv import Classifier, ImageData, LeNet, LeNet5
from fc2conv.architectures.lenet5 import LeNet5Config
from fc2conv.errors import ConfigError, NonFiniteLoss

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec"),
    pytest.mark.filterwarnings("ignore:.*than the logging interval"),
]
LR = 0.05


class Stripes(LightningDataModule):
    """Plain DataLoaders of 32 training and 20 validation images; a bright stripe says the class."""

    def __init__(self, batch_size: int = 8):
        super().__init__()
        self.batch_size = batch_size

    def loader(self, n: int, seed: int) -> DataLoader[Any]:
        labels = torch.arange(n) % 10
        images = 0.3 * torch.randn(n, 1, 28, 28, generator=torch.Generator().manual_seed(seed))
        for image, label in zip(images, labels.tolist(), strict=True):
            image[0, 4 + 2 * label : 6 + 2 * label] += 2
        return DataLoader(TensorDataset(images, labels), batch_size=self.batch_size)

    def train_dataloader(self) -> DataLoader[Any]:
        return self.loader(32, 0)

    def val_dataloader(self) -> DataLoader[Any]:
        return self.loader(20, 1)

    def test_dataloader(self) -> DataLoader[Any]:
        return self.loader(30, 2)

    def predict_dataloader(self) -> DataLoader[Any]:
        return self.loader(30, 2)


@dataclass
class Case:
    """Images, 32 of them for training, and a LeNet for them that is the same at each call."""

    data: Callable[..., LightningDataModule]
    model: dict[str, Any]
    evaluated: tuple[int, int]
    """Validation and test images."""

    def module(self, **changes: Any) -> LeNet:
        torch.manual_seed(0)
        optim = {"name": "sgd", "lr": LR, "momentum": 0.0, "nesterov": False, "schedule": "constant"}
        optim |= changes.pop("optim", {})
        return LeNet(**self.model, activation="relu", optim=optim, **changes)


@pytest.fixture(params=["dataloader", "image_data"])
def case(request: pytest.FixtureRequest, image_folder: Path, tmp_path: Path) -> Case:
    if request.param == "dataloader":
        return Case(Stripes, {}, (20, 30))

    def data(batch_size: int = 8, **more: Any) -> ImageData:
        options = {"name": "folder", "path": str(image_folder), "dir": str(tmp_path / "cache"), "size": 12}
        return ImageData(**options, val_size=10, train_size=32, batch_size=batch_size, **more)

    return Case(data, {"kernel_size": 3, "padding": "same", "input_shape": (1, 12, 12), "classes": 3}, (10, 12))


@pytest.fixture
def trainer(tmp_path: Path) -> Callable[..., Trainer]:
    """A Trainer that shows and keeps nothing, unless told to."""

    def make(*callbacks: Callback, **changes: Any) -> Trainer:
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        quiet |= {"enable_model_summary": False, "accelerator": "cpu", "default_root_dir": tmp_path}
        return Trainer(callbacks=list(callbacks), **(quiet | changes))

    return make


class Watch(Callback):
    """What each optimiser step had, and what it made."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.weights: list[dict[str, Tensor]] = []
        self.batches: list[Tensor] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.batches.append(batch[0].clone())

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        self.rates.append(optimizer.param_groups[0]["lr"])

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        if trainer.global_step > len(self.weights):
            self.weights.append(weights(pl_module))


def weights(module: torch.nn.Module) -> dict[str, Tensor]:
    return {k: v.detach().clone() for k, v in module.state_dict().items()}


def by_hand(module: Classifier, batches: Any) -> tuple[float, float, int]:
    """(loss, acc, n) with torch alone."""
    module.eval()
    with torch.no_grad():
        outputs, labels = (torch.cat(t) for t in zip(*((module.net(x), y) for x, y in batches), strict=True))
    return F.cross_entropy(outputs, labels).item(), (outputs.argmax(1) == labels).float().mean().item(), len(labels)


def one_cycle(steps: int, warmup: float = 0.2) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LR, total_steps=steps, pct_start=warmup, cycle_momentum=False
    )
    return rates(optimizer, schedule, steps)


def cosine(steps: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    return rates(optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps), steps)


def rates(optimizer: torch.optim.Optimizer, schedule: Any, steps: int) -> list[float]:
    found = []
    for step in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step + 1 < steps:
            schedule.step()
    return found


# ------------------------------------------------------------------------------------------------------------- one step


def test_a_step_returns_the_mean_loss_of_its_batch(case: Case) -> None:
    module, images = case.module(), next(iter(case.data().train_dataloader()))
    expected = F.cross_entropy(module.net(images[0]), images[1])
    loss = module.training_step(images, 0)
    assert_close(loss, expected)
    found = torch.autograd.grad(loss, list(module.parameters()))
    for a, b in zip(found, torch.autograd.grad(expected, list(module.parameters())), strict=True):
        assert_close(a, b)


def test_an_architectures_own_loss_counts_by_whatever_class() -> None:
    """LeNet-5's (LeCun et al. 1998, equation 9): y_D + log(e^-j + sum over i of e^-y_i), here for distances y of 1 to 3
    and a margin j of 2."""
    config = LeNet5Config(garbage=2.0)
    outputs = -torch.tensor([[1.0, 2.0, 3.0]])
    expected = 2 + math.log(math.exp(-2) + sum(math.exp(-y) for y in (1, 2, 3)))
    for module in (Classifier(config), LeNet5(config), LeNet5(garbage=2.0)):
        assert module.loss(outputs, torch.tensor([1])).item() == pytest.approx(expected)


def test_lightning_makes_the_steps_and_calls_the_hooks(case: Case, trainer: Callable[..., Trainer]) -> None:
    """Two epochs of four steps are plain SGD."""
    calls: list[str] = []

    class Hooks(Callback):
        def on_before_zero_grad(self, *args: Any) -> None:
            calls.append("zero_grad")

        def on_before_backward(self, *args: Any) -> None:
            calls.append("backward")

        def on_after_backward(self, *args: Any) -> None:
            calls.append("after")

        def on_before_optimizer_step(self, *args: Any) -> None:
            calls.append("step")

    module, watch = case.module(), Watch()
    trainer(watch, Hooks(), max_epochs=2).fit(module, datamodule=case.data())
    assert calls == ["zero_grad", "backward", "after", "step"] * 8

    twin = case.module()
    optimizer = torch.optim.SGD(twin.parameters(), LR)
    labels = [y for _, y in Stripes().train_dataloader()] * 2
    if isinstance(case.data(), ImageData):  # the order changes with the epoch; the images are those that were seen
        labels = [module_labels(case, epoch)[at] for epoch in range(2) for at in range(4)]
    for x, y in zip(watch.batches, labels, strict=True):
        optimizer.zero_grad()
        F.cross_entropy(twin.net(x), y).backward()
        optimizer.step()
    for name, value in weights(twin).items():
        assert_close(module.state_dict()[name], value, msg=name)


def module_labels(case: Case, epoch: int) -> list[Tensor]:
    data = case.data()
    data.trainer = SimpleNamespace(  # type: ignore[assignment]
        world_size=1, global_rank=0, current_epoch=epoch, strategy=SimpleNamespace(root_device=torch.device("cpu"))
    )
    return [y for _, y in data.train_dataloader()]


def test_dropout_follows_the_batch(trainer: Callable[..., Trainer]) -> None:
    case = Case(Stripes, {"dropout": 0.5}, (20, 30))
    module = case.module()
    runner = trainer(max_steps=1)
    runner.fit(module, datamodule=case.data())
    module.train()
    batch = next(iter(case.data().train_dataloader()))
    first, again, other = (module.training_step(batch, at).item() for at in (3, 3, 4))
    assert first == again
    assert first != other
    runner.fit_loop.epoch_progress.current.completed += 1
    assert module.training_step(batch, 3).item() not in (first, other)


# ------------------------------------------------------------------------------------------------------------ callbacks


def test_model_checkpoint_keeps_the_best(case: Case, trainer: Callable[..., Trainer], tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path / "kept", monitor="val/loss")
    seen: list[float] = []

    class Losses(Callback):
        def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            if not trainer.sanity_checking:
                seen.append(by_hand(pl_module, case.data().val_dataloader())[0])
                pl_module.train()

    module = case.module(optim={"lr": 0.3})
    trainer(Losses(), keep, max_epochs=4, enable_checkpointing=True).fit(module, datamodule=case.data())
    assert len(set(seen)) == 4
    best = LeNet.load_from_checkpoint(keep.best_model_path)
    loss, _, n = by_hand(best, case.data().val_dataloader())
    assert n == case.evaluated[0]
    assert loss == pytest.approx(min(seen), rel=1e-5)
    assert keep.best_model_score is not None
    assert keep.best_model_score.item() == pytest.approx(min(seen), rel=1e-5)
    assert [p.name for p in (tmp_path / "kept").iterdir()] == [
        f"epoch={seen.index(min(seen))}-step={4 * (seen.index(min(seen)) + 1)}.ckpt"
    ]


def test_model_checkpoint_every_three_steps(case: Case, trainer: Callable[..., Trainer], tmp_path: Path) -> None:
    watch, keep = Watch(), ModelCheckpoint(tmp_path / "kept", every_n_train_steps=3, save_top_k=-1)
    trainer(watch, keep, max_epochs=3, enable_checkpointing=True).fit(case.module(), datamodule=case.data())
    names = {3: "epoch=0-step=3", 6: "epoch=1-step=6", 9: "epoch=2-step=9", 12: "epoch=2-step=12"}
    assert {p.stem for p in (tmp_path / "kept").iterdir()} == set(names.values())
    for step, name in names.items():
        kept = torch.load(tmp_path / "kept" / f"{name}.ckpt", weights_only=True)
        assert kept["global_step"] == step
        assert_close(kept["state_dict"], watch.weights[step - 1], rtol=0, atol=0)


@pytest.mark.parametrize("monitor", ["val/acc", "train/acc"])
def test_early_stopping(monitor: str, case: Case, trainer: Callable[..., Trainer]) -> None:
    """Nothing is better by more than 1: the first epoch stays the best, and the third is the last."""
    stop = EarlyStopping(
        monitor, mode="max", min_delta=1.1, patience=2, check_on_train_epoch_end=monitor.startswith("train")
    )
    module = case.module()
    runner = trainer(stop, max_epochs=10)
    runner.fit(module, datamodule=case.data())
    assert (runner.current_epoch, runner.global_step) == (3, 12)
    split = monitor.split("/")[0]
    assert runner.callback_metrics[monitor].item() == pytest.approx(module.metrics[split]["acc"])


def test_learning_rate_monitor(case: Case, trainer: Callable[..., Trainer], tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, name="log")
    module = case.module(optim={"schedule": "onecycle"})
    runner = trainer(LearningRateMonitor("step"), logger=logger, log_every_n_steps=1, max_epochs=3)
    runner.fit(module, datamodule=case.data())
    with (Path(logger.log_dir) / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = {int(row["step"]): float(row["lr-SGD/pg1"]) for row in rows if row["lr-SGD/pg1"]}
    assert found == pytest.approx(dict(enumerate(one_cycle(12))))
    # the metrics of an epoch stand where Lightning's users look for them: at its last step, epochs from 0
    assert [(row["epoch"], row["step"]) for row in rows if row["val/loss"]] == [("0", "3"), ("1", "7"), ("2", "11")]
    assert [(row["epoch"], row["step"]) for row in rows if row["train/loss"]] == [("0", "3"), ("1", "7"), ("2", "11")]


@pytest.mark.parametrize("decay", [None, 0.7])
def test_weight_averaging(decay: float | None, case: Case, trainer: Callable[..., Trainer]) -> None:
    watch, averaging = Watch(), WeightAveraging() if decay is None else EMAWeightAveraging(decay=decay)
    module = case.module()
    trainer(watch, averaging, max_epochs=2).fit(module, datamodule=case.data())
    assert len(watch.weights) == 8
    for name, value in module.state_dict().items():
        steps = [w[name] for w in watch.weights]
        expected = steps[0] if decay else torch.stack(steps).mean(0)
        for step in steps[1:] if decay else []:
            expected = decay * expected + (1 - decay) * step
        assert_close(value, expected, msg=name)
        assert not torch.allclose(value, steps[-1], rtol=1e-4, atol=1e-6)
    # the last validation saw the averaged weights
    assert module.metrics["val"]["loss"] == pytest.approx(by_hand(module, case.data().val_dataloader())[0], rel=1e-5)


# ------------------------------------------------------------------------------------------------------------- settings


def test_accumulated_batches_are_one_of_twice_the_size(case: Case, trainer: Callable[..., Trainer]) -> None:
    small, large = case.module(optim={"schedule": "onecycle"}), case.module(optim={"schedule": "onecycle"})
    first = trainer(max_epochs=2, accumulate_grad_batches=2)
    first.fit(small, datamodule=case.data(batch_size=4))
    second = trainer(max_epochs=2)
    second.fit(large, datamodule=case.data(batch_size=8))
    assert first.global_step == second.global_step == 8
    for name, value in large.state_dict().items():
        assert_close(small.state_dict()[name], value, rtol=1e-4, atol=1e-6, msg=name)
    assert small.metrics["train"]["n"] == large.metrics["train"]["n"] == 32


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_entrypped_gradients(precision: Any, case: Case, trainer: Callable[..., Trainer]) -> None:
    """As torch clips them, and no step is longer than the rate times the bound."""
    module, watch, bound = case.module(), Watch(), 0.05
    start = weights(module)
    trainer(watch, max_epochs=1, gradient_clip_val=bound, precision=precision).fit(module, datamodule=case.data())
    twin = case.module()
    optimizer = torch.optim.SGD(twin.parameters(), LR)
    norms = []
    for x, (_, y) in zip(watch.batches, case.data().train_dataloader(), strict=True):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
            outputs = twin.net(x)
        F.cross_entropy(outputs.float(), y).backward()
        norms.append(torch.nn.utils.clip_grad_norm_(twin.parameters(), bound).item())
        optimizer.step()
    assert min(norms) > bound
    loose = {"rtol": 1e-4, "atol": 1e-6} if precision == "32-true" else {"rtol": 1e-2, "atol": 1e-4}
    for name, value in weights(twin).items():
        assert_close(module.state_dict()[name], value, **loose, msg=name)
    for before, after in zip([start, *watch.weights], watch.weights, strict=False):
        step = torch.cat([(after[k] - before[k]).flatten() for k in after]).norm().item()
        assert step == pytest.approx(LR * bound, rel=1e-3)


ENDS: list[tuple[dict[str, Any], int]] = [
    ({"max_epochs": 3}, 24),
    ({"max_epochs": 2, "limit_train_batches": 5}, 10),
    ({"max_epochs": 2, "limit_train_batches": 0.5}, 8),
    ({"max_epochs": 2, "accumulate_grad_batches": 3}, 6),
    ({"max_epochs": 3, "overfit_batches": 2}, 6),
    ({"max_steps": 11}, 11),
    ({"max_epochs": 5, "max_steps": 10}, 10),
    ({"max_epochs": 5, "max_steps": 1000, "limit_train_batches": 2}, 10),
    ({"fast_dev_run": 7}, 7),
]


@pytest.mark.parametrize(("settings", "steps"), ENDS, ids=[str(s) for s, _ in ENDS])
@pytest.mark.parametrize("schedule", ["onecycle", "cosine"])
@pytest.mark.filterwarnings("ignore:You requested to overfit")
def test_a_schedule_ends_with_the_run(
    schedule: str, settings: dict[str, Any], steps: int, case: Case, trainer: Callable[..., Trainer]
) -> None:
    """Eight batches an epoch; the rates of torch's own schedules, step by step."""
    watch = Watch()
    runner = trainer(watch, limit_val_batches=0, **settings)
    runner.fit(case.module(optim={"schedule": schedule}), datamodule=case.data(batch_size=4))
    assert runner.global_step == steps
    assert watch.rates == pytest.approx(one_cycle(steps) if schedule == "onecycle" else cosine(steps), abs=1e-12)
    if schedule == "onecycle":
        assert watch.rates[-1] == pytest.approx(LR / 25e4)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_run_too_short_to_warm_up(steps: int, case: Case, trainer: Callable[..., Trainer]) -> None:
    """The first step has the whole rate."""
    watch = Watch()
    trainer(watch, max_steps=steps).fit(case.module(optim={"schedule": "onecycle"}), datamodule=case.data())
    down = [(1 + math.cos(math.pi * i / max(steps - 1, 1))) / 2 for i in range(steps)]
    assert watch.rates == pytest.approx([LR / 25e4 + (LR - LR / 25e4) * share for share in down])


@pytest.mark.parametrize("schedule", ["onecycle", "cosine"])
def test_a_schedule_follows_the_clock(
    schedule: str, case: Case, trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten seconds, one for each step: torch's one cycle over eleven steps, of which the eleventh would be at 10 s."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(
        lightning.pytorch.callbacks.timer, "time", SimpleNamespace(monotonic=lambda: clock.now), raising=True
    )

    class Tick(Callback):
        def on_after_backward(self, *args: Any) -> None:
            clock.now += 1

    watch = Watch()
    runner = trainer(watch, Tick(), max_time={"seconds": 10})
    runner.fit(case.module(optim={"schedule": schedule}), datamodule=case.data())
    assert runner.global_step == 10
    expected = one_cycle(11, 3 / 11) if schedule == "onecycle" else cosine(10)
    assert watch.rates == pytest.approx(expected[:10])


def test_a_schedule_follows_whichever_end_is_nearer(
    case: Case, trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight steps in sixteen seconds, of which the fifth takes nine."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(lightning.pytorch.callbacks.timer, "time", SimpleNamespace(monotonic=lambda: clock.now))

    class Tick(Callback):
        def on_after_backward(self, trainer: Trainer, *args: Any) -> None:
            clock.now += 9 if trainer.global_step == 4 else 1

    watch = Watch()
    runner = trainer(watch, Tick(), max_epochs=2, max_time={"seconds": 16})
    runner.fit(case.module(optim={"schedule": "cosine"}), datamodule=case.data())
    at = [0, 1 / 8, 2 / 8, 3 / 8, 4 / 8, 13 / 16, 14 / 16, 15 / 16]
    assert watch.rates == pytest.approx([LR * (1 + math.cos(math.pi * t)) / 2 for t in at])


@pytest.mark.parametrize("schedule", ["onecycle", "cosine"])
def test_a_run_without_an_end_has_no_schedule(schedule: str, case: Case, trainer: Callable[..., Trainer]) -> None:
    runner = trainer(max_epochs=-1)
    with pytest.raises(ConfigError, match="needs to know when the run ends") as caught:
        runner.fit(case.module(optim={"schedule": schedule}), datamodule=case.data())
    assert caught.value.key == "optim.schedule"
    assert runner.global_step == 0


def test_images_of_unknown_number(trainer: Callable[..., Trainer]) -> None:
    """With max_steps a schedule has its end; with max_epochs alone nobody knows it."""

    class Stream(IterableDataset[Any]):
        def __iter__(self) -> Iterator[Any]:
            return iter(Stripes().train_dataloader().dataset)

    case, watch = Case(Stripes, {}, (20, 30)), Watch()
    module = case.module(optim={"schedule": "onecycle"})
    trainer(watch, max_epochs=3, max_steps=10).fit(
        module, DataLoader(Stream(), batch_size=8), case.data().val_dataloader()
    )
    assert watch.rates == pytest.approx(one_cycle(10))
    with pytest.raises(ConfigError, match="needs to know when the run ends"):
        trainer(max_epochs=3).fit(module, DataLoader(Stream(), batch_size=8), case.data().val_dataloader())


@pytest.mark.filterwarnings("ignore:You requested to overfit")
def test_overfit_batches(case: Case, trainer: Callable[..., Trainer]) -> None:
    """The same two batches each epoch, and in the end they are known by heart."""
    module, watch = case.module(optim={"name": "adamw", "lr": 0.01}), Watch()
    trainer(watch, max_epochs=20, overfit_batches=2).fit(module, datamodule=case.data())
    first = watch.batches[:2]
    assert len(watch.batches) == 40
    for at, batch in enumerate(watch.batches):
        assert_close(batch, first[at % 2], rtol=0, atol=0)
    assert module.metrics["train"]["n"] == 16
    assert module.metrics["train"]["acc"] == 1


def test_image_data_has_a_new_order_each_epoch_otherwise(trainer: Callable[..., Trainer], image_folder: Path) -> None:
    watch = Watch()
    data = ImageData(
        name="folder", path=str(image_folder), dir=str(image_folder.parent), size=12, train_size=32, val_size=10
    )
    module = LeNet(kernel_size=3, padding="same", input_shape=(1, 12, 12), classes=3)
    trainer(watch, max_epochs=2).fit(module, datamodule=data)
    first, second = watch.batches
    assert not torch.equal(first, second)
    sums = [batch.flatten(1).sum(1).sort().values for batch in (first, second)]
    assert_close(sums[0], sums[1])


def test_fast_dev_run(case: Case, trainer: Callable[..., Trainer], tmp_path: Path) -> None:
    """One step and one batch of validation, which leave nothing behind."""
    module, before = case.module(), set(tmp_path.rglob("*.c*"))
    start = weights(module)
    runner = trainer(fast_dev_run=True, logger=True, enable_checkpointing=True)
    runner.fit(module, datamodule=case.data())
    assert runner.global_step == 1
    assert any(not torch.equal(v, start[k]) for k, v in module.state_dict().items())
    assert module.metrics["train"]["n"] == 8
    assert module.metrics["val"]["n"] == (8 if case.data is Stripes else 10)
    assert set(tmp_path.rglob("*.c*")) - before <= set((tmp_path / "cache").rglob("*"))


def test_bf16_mixed(case: Case, trainer: Callable[..., Trainer]) -> None:
    """Layers in bfloat16; weights, loss and the optimiser's averages in float32; and it learns."""
    module = case.module(optim={"name": "adamw", "lr": 0.01})
    seen: set[torch.dtype] = set()
    module.net.output.register_forward_hook(lambda m, i, out: seen.add(out.dtype))
    losses: list[Tensor] = []

    class Losses(Callback):
        def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
            losses.append(loss.detach())

    runner = trainer(Losses(), max_epochs=20, precision="bf16-mixed")
    runner.fit(module, datamodule=case.data())
    assert seen == {torch.bfloat16}
    assert {v.dtype for v in module.state_dict().values()} == {torch.float32}
    state = runner.optimizers[0].state_dict()["state"].values()
    assert {v.dtype for s in state for k, v in s.items() if k != "step"} == {torch.float32}
    assert {loss.dtype for loss in losses} == {torch.float32}
    assert len({round(loss.item() * 2**20) % 2**8 for loss in losses}) > 8  # more digits than bfloat16's eight bits
    assert module.metrics["train"]["acc"] == 1


# ------------------------------------------------------------------------------------------- validate, test and predict


@pytest.mark.parametrize("split", ["val", "test"])
def test_validate_and_test(split: str, case: Case, trainer: Callable[..., Trainer]) -> None:
    module, data = case.module(), case.data()
    runner = trainer()
    [found] = (runner.validate if split == "val" else runner.test)(module, datamodule=data, verbose=False)
    loss, acc, n = by_hand(module, getattr(case.data(), f"{split}_dataloader")())
    assert n == case.evaluated[split == "test"]
    assert found == pytest.approx({f"{split}/loss": loss, f"{split}/acc": acc, f"{split}/n": n}, rel=1e-5)


def test_a_network_that_is_beyond_help_can_be_validated(trainer: Callable[..., Trainer]) -> None:
    """In training it ends the run."""
    case = Case(Stripes, {}, (20, 30))
    module = case.module()
    torch.nn.init.constant_(module.net.output.bias, math.nan)
    [found] = trainer().validate(module, datamodule=case.data(), verbose=False)
    assert math.isnan(found["val/loss"])
    with pytest.raises(NonFiniteLoss, match="the validation loss became nan at step 0"):
        trainer(max_epochs=1).fit(module, datamodule=case.data())


def test_predict(case: Case, trainer: Callable[..., Trainer]) -> None:
    module, data = case.module(), case.data()
    found = torch.cat(trainer().predict(module, datamodule=data))  # type: ignore[arg-type]
    module.eval()
    images = torch.cat([x for x, _ in case.data().test_dataloader()])
    assert_close(found.sum(1), torch.ones(case.evaluated[1]))
    assert_close(found, module.net(images).softmax(1).detach())
    for unlabelled in (DataLoader(TensorDataset(images), batch_size=7), DataLoader(images, batch_size=7)):
        assert_close(torch.cat(trainer().predict(module, unlabelled)), found)  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------------- tuner, logger and others


@pytest.mark.parametrize("schedule", ["constant", "onecycle"])
def test_lr_find(schedule: str, case: Case, trainer: Callable[..., Trainer]) -> None:
    """Its rates rise from 1e-4 to 0.1; afterwards everything but the rate is as before."""
    module, data = case.module(optim={"schedule": schedule}), case.data()
    start = weights(module)
    runner = trainer(watch := Watch(), max_epochs=6)
    found = Tuner(runner).lr_find(module, datamodule=data, min_lr=1e-4, max_lr=0.1, num_training=20)
    assert found is not None
    assert found.results["lr"] == pytest.approx([1e-4, *(1e-4 * 1000 ** (i / 20) for i in range(2, 21))])
    assert module.lr == module.optim.lr == module.hparams["optim"]["lr"] == found.suggestion() != LR
    assert_close(weights(module), start, rtol=0, atol=0)
    del watch.rates[:]
    runner.fit(module, datamodule=data)
    expected = [LR] * 24 if schedule == "constant" else one_cycle(24)
    assert watch.rates == pytest.approx([rate / LR * module.lr for rate in expected])
    assert module.metrics["train"]["n"] == 32  # and not those of the search as well


def test_a_learning_rate_that_is_set_is_the_configured_one(case: Case, trainer: Callable[..., Trainer]) -> None:
    module, watch = case.module(), Watch()
    module.lr = 0.125
    trainer(watch, max_steps=2).fit(module, datamodule=case.data())
    assert watch.rates == [0.125, 0.125]


def test_tensorboard(case: Case, trainer: Callable[..., Trainer], tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = TensorBoardLogger(tmp_path / "tensorboard")
    module = case.module()
    trainer(logger=logger, max_epochs=2).fit(module, datamodule=case.data())
    events = EventAccumulator(logger.log_dir)
    events.Reload()
    for split in ("train", "val"):
        scalars = events.Scalars(f"{split}/loss")
        assert [s.step for s in scalars] == [3, 7]
        assert scalars[-1].value == pytest.approx(module.metrics[split]["loss"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning:lightning.pytorch.cli")  # its use of jsonargparse
def test_lightning_cli(image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fields of both configs are options, and the config that it saves repeats the run."""
    cli = pytest.importorskip("lightning.pytorch.cli")
    pytest.importorskip("jsonargparse")
    monkeypatch.setattr(sys, "argv", ["train.py"])
    quiet = ["logger=false", "enable_checkpointing=false", "enable_progress_bar=false", "enable_model_summary=false"]
    runner = [f"--trainer.{option}" for option in ("accelerator=cpu", "max_epochs=2", *quiet)]
    model = ["kernel_size=3", "padding=same", "input_shape=[1,12,12]", "classes=3", "optim.lr=0.02", "hidden=[20]"]
    data = ["name=folder", f"path={image_folder}", f"dir={tmp_path}", "size=12", "train_size=32", "val_size=10"]
    options = [*(f"--model.{o}" for o in model), *(f"--data.{o}" for o in data), "--data.batch_size=8"]
    root = f"--trainer.default_root_dir={tmp_path}"
    done = cli.LightningCLI(LeNet, ImageData, args=["fit", "--seed_everything=3", *runner, *options, root])
    module = done.model
    assert type(module) is LeNet
    assert (module.net.conv1.kernel_size, module.net.conv1.padding, module.lr) == ((3, 3), (1, 1), 0.02)
    assert [p.shape[0] for p in module.net.parameters() if p.ndim == 2] == [20, 3]
    assert (done.datamodule.config.train_size, done.trainer.global_step) == (32, 8)
    assert module.metrics["train"]["n"] == 32
    again = cli.LightningCLI(
        LeNet, ImageData, args=["fit", f"--config={tmp_path / 'config.yaml'}"], save_config_callback=None
    )
    assert_close(weights(again.model), weights(module), rtol=0, atol=0)
    torch.manual_seed(3)
    assert not torch.equal(LeNet(module.config, (1, 12, 12), 3).net.conv1.weight, module.net.conv1.weight)


def test_the_signature_of_image_data() -> None:
    """DataConfig's fields, but for its seed: that of the run has the name."""
    parameters = inspect.signature(ImageData).parameters
    assert list(parameters)[:4] == ["config", "seed", "name", "dir"]
    assert (parameters["batch_size"].default, parameters["batch_size"].annotation) == (128, int)
    assert not any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    with pytest.raises(TypeError, match="a config or its fields, got both: batch_size"):
        ImageData({"name": "mnist"}, batch_size=3)


class Linear(LightningModule):
    """Somebody else's module, with nothing of ours in it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.LazyLinear(3)
        self.losses: list[float] = []

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images.flatten(1))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = F.cross_entropy(self(batch[0]), batch[1])
        self.losses.append(loss.item())
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("acc", (self(batch[0]).argmax(1) == batch[1]).float().mean(), batch_size=len(batch[1]))

    test_step = validation_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.02)


def folder_data(image_folder: Path, **more: Any) -> ImageData:
    options = {"name": "folder", "path": str(image_folder), "dir": str(image_folder.parent), "size": 12}
    return ImageData(**options, train_size=32, val_size=10, batch_size=8, **more)


def test_image_data_serves_any_module(trainer: Callable[..., Trainer], image_folder: Path) -> None:
    torch.manual_seed(0)
    module, data = Linear(), folder_data(image_folder)
    module(next(iter(data.val_dataloader()))[0])
    runner = trainer(max_epochs=10)
    runner.fit(module, datamodule=data)
    assert len(module.losses) == 40
    assert sum(module.losses[-4:]) < sum(module.losses[:4]) / 2
    [found] = runner.test(module, datamodule=data, verbose=False)
    assert found["acc"] > 0.8


def test_image_data_by_hand(image_folder: Path) -> None:
    data = folder_data(image_folder)
    for loader, sizes in ((data.train_dataloader(), [8] * 4), (data.val_dataloader(), [10])):
        batches = list(loader)
        assert [len(y) for _, y in batches] == sizes
        assert len(loader) == len(sizes)
        for images, labels in batches:
            assert (images.dtype, images.shape[1:]) == (torch.float32, (1, 12, 12))
            assert (labels.dtype, labels.shape) == (torch.int64, images.shape[:1])
    pixels = torch.cat([images for images, _ in data.train_dataloader()])
    assert pixels.mean().item() == pytest.approx(0, abs=1e-4)
    assert pixels.std(correction=0).item() == pytest.approx(1, abs=1e-3)


def test_a_module_is_copied_and_loaded(case: Case, trainer: Callable[..., Trainer], tmp_path: Path) -> None:
    module = case.module(optim={"schedule": "onecycle"})
    runner = trainer(max_epochs=1)
    runner.fit(module, datamodule=case.data())
    twin = copy.deepcopy(module)
    assert_close(weights(twin), weights(module), rtol=0, atol=0)
    runner.save_checkpoint(tmp_path / "kept.ckpt")
    for loaded in (LeNet.load_from_checkpoint(tmp_path / "kept.ckpt"), Classifier.load(str(tmp_path / "kept.ckpt"))):
        assert type(loaded) is LeNet
        assert (loaded.config, loaded.optim) == (module.config, module.optim)
        assert_close(weights(loaded), weights(module), rtol=0, atol=0)
