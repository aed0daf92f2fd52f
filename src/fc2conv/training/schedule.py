"""The learning rate over a run, as a function of how far the run has come, and where a run ends by its steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint, Timer
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from fc2conv.config.schema import OptimConfig
from fc2conv.errors import ConfigError

Span = tuple[float, float, float]
"""(where we are, where the run ends, what one step takes): steps of the optimiser, or seconds, where a step takes 0."""
INITIAL, FINAL = 1 / 25, 1 / 25e4
"""Fractions of the peak rate at which one cycle begins and ends, as in torch.optim.lr_scheduler.OneCycleLR."""


class MaxSteps(Checkpoint):
    """Ends a run after so many steps of the optimiser. With the Trainer's own max_steps a run that goes on from the end
    of an epoch would go through that end once more."""

    def __init__(self, steps: int):
        self.steps = steps

    def on_train_start(self, trainer: Trainer, *args: Any) -> None:
        trainer.should_stop |= trainer.global_step >= self.steps

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        trainer.should_stop |= trainer.global_step >= self.steps


def cosine(span: Span) -> float:
    """From 1 to 0, which it would reach one step after the last."""
    at, end, _ = span
    return (1 + math.cos(math.pi * min(at / end, 1.0))) / 2


def one_cycle(span: Span, warmup: float) -> float:
    """Up to 1 for the `warmup` fraction of the run, then down to almost 0 at the last step (Smith 2018)."""
    at, end, step = span
    last, peak = end - step, max(0.0, warmup * end - step)
    if last <= 0:  # a single step, which is to be of use
        return 1.0
    if at < peak:
        return _between(INITIAL, 1.0, at / peak)
    return _between(1.0, FINAL, min((at - peak) / (last - peak), 1.0))


def _between(start: float, end: float, fraction: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2


def span_of(trainer: Trainer, step: int) -> Span:
    """Where `step` lies in the trainer's run, by max_steps, max_epochs or max_time, whichever is nearer.

    Not by `trainer.estimated_stepping_batches`: it sets the loader up before a checkpoint's state reaches it, so that a
    run resumed within an epoch would start that epoch's images anew.

    Raises:
        ConfigError: the run has no end
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    ends = [c.steps for c in callbacks if isinstance(c, MaxSteps)]
    ends += [trainer.max_steps] if trainer.max_steps >= 0 else []
    if trainer.max_epochs is not None and trainer.max_epochs >= 0 and math.isfinite(trainer.num_training_batches):
        steps = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
        ends.append(steps * trainer.max_epochs)
    spans: list[Span] = [(step, min(ends), 1.0)] if ends else []
    timer = next((c for c in callbacks if isinstance(c, Timer)), None)
    if timer is not None and (left := timer.time_remaining()) is not None:
        elapsed = timer.time_elapsed()
        # the first rank's clock, so that all make the same step
        spans.append(trainer.strategy.broadcast((elapsed, elapsed + left, 0.0)))
    if not spans:
        raise ConfigError(
            "optim.schedule", "needs to know when the run ends: max_epochs, max_steps or max_time; or use constant"
        )
    return max(spans, key=lambda span: span[0] / span[1])


class Schedule(LRScheduler):
    """Multiplies each group's rate by a factor that depends on the step.

    Args:
        factor: step -> factor, called from `begin` on
        first: factor of step 0, before anything is known of the run's length
    """

    def __init__(self, optimizer: Optimizer, factor: Callable[[int], float], first: float):
        self.factor, self.first = factor, first
        self.begun = False
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:  # type: ignore[override]
        if not self.begun and self.last_epoch == 0:
            return [float(rate) * self.first for rate in self.base_lrs]
        factor = self.factor(self.last_epoch)
        return [float(rate) * factor for rate in self.base_lrs]

    def begin(self) -> None:
        """The run's length is known: set the rate of the first step accordingly."""
        self.begun = True
        if self.last_epoch == 0:
            rates = self.get_lr()
            self._last_lr = [*rates]
            for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
                group["lr"] = rate

    def state_dict(self) -> dict[str, Any]:
        return {"last_epoch": self.last_epoch, "base_lrs": self.base_lrs, "_last_lr": self._last_lr}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.__dict__.update(state_dict)


def schedule_for(optimizer: Optimizer, config: OptimConfig, trainer: Callable[[], Trainer]) -> Schedule | None:
    """The schedule that `config` names; None where the rate is constant."""
    if config.schedule == "constant":
        return None
    if config.schedule == "cosine":
        return Schedule(optimizer, lambda step: cosine(span_of(trainer(), step)), 1.0)
    first = INITIAL if config.warmup else 1.0
    return Schedule(optimizer, lambda step: one_cycle(span_of(trainer(), step), config.warmup), first)
