"""loss_watch.py: which losses are read, and that nothing waits for them on an accelerator."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fc2conv.training import loss_watch
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
