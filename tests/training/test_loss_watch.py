"""loss_watch.py: which losses are read, and that nothing waits for them on an accelerator."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor

from fc2conv import LeNet
from fc2conv.record.terminal import EpochProgress
from fc2conv.training import callbacks, loss_watch
from fc2conv.training.callbacks import ShowProgress
from fc2conv.training.loss_watch import LossWatch


def test_on_the_cpu_each_loss_is_read_at_once() -> None:
    watch = LossWatch()
    assert [watch.read(torch.tensor(float(step)), step) for step in range(3)] == [0.0, 1.0, 2.0]


def test_elsewhere_a_loss_is_read_when_its_copy_has_long_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """In two epochs of 120 steps: copies begin at 0, 50 and 100 of each, and each is read when the next one begins."""
    begun: list[int] = []

    def begin(loss: Tensor) -> Callable[[], float]:
        number = len(begun)
        begun.append(number)
        return lambda: float(number)

    monkeypatch.setattr(loss_watch, "begin_copy", begin)
    watch, loss = LossWatch(), torch.zeros((), device="meta")
    for epoch in range(2):
        for step in range(120):
            before = len(begun)
            read = watch.read(loss, step)
            assert len(begun) - before == (step % 50 == 0)
            assert read == (before - 1 if step % 50 == 0 and (epoch, step) != (0, 0) else None)


def test_the_bar_shows_a_loss_whose_copy_has_begun_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one is waited for, as there is nothing else to show."""
    shown: list[str] = []
    progress = SimpleNamespace(step=lambda done, text: shown.append(text))
    bar = ShowProgress(cast(EpochProgress, progress))
    clock = iter(range(9))
    monkeypatch.setattr(callbacks.time, "perf_counter", lambda: float(next(clock)))
    module, trainer = LeNet(), cast(Trainer, SimpleNamespace(accumulate_grad_batches=1))
    for step, loss in enumerate((2.25, 2.0, 1.5, 1.25)):
        if step == 2:
            module.metrics["val"] = {"loss": 1.0, "acc": 0.625, "n": 8}
        bar.on_train_batch_end(trainer, module, {"loss": torch.tensor(loss)}, None, step)
    assert shown == ["loss 2.250", "loss 2.250", "loss 2.000  val acc 0.6250", "loss 1.500  val acc 0.6250"]
