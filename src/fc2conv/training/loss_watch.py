"""The loss of the training steps, read without making the device wait."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

EVERY = 50
"""Steps between two losses that are read from a device other than the CPU."""


def begin_copy(loss: Tensor) -> Callable[[], float]:
    """Start to copy `loss` to the host; what comes back waits until it is there, and tells it."""
    if loss.device.type != "cuda":
        return loss.item
    copied = loss.to("cpu", non_blocking=True)
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record(torch.cuda.current_stream(loss.device))

    def read() -> float:
        event.synchronize()
        return copied.item()

    return read


class LossWatch:
    """Tells losses to be looked at: on the CPU each step's; elsewhere every 50th, and 50 steps late, when its copy has
    long arrived."""

    def __init__(self) -> None:
        self._begun: Callable[[], float] | None = None

    def read(self, loss: Tensor, step: int) -> float | None:
        """A loss, if one is there; `loss` is that of `step`."""
        if loss.device.type == "cpu":
            return loss.item()
        if step % EVERY:
            return None
        before, self._begun = self._begun, begin_copy(loss.detach())
        return before() if before else None
