"""Averages of the weights, by Lightning's WeightAveraging: ready as callbacks=ema and callbacks=swa.

As with every WeightAveraging, training goes on with the weights themselves, while validation sees their average. It is
what a checkpoint's state_dict holds, so that best.ckpt has it and the test reads it; the weights are beside it, as
`current_model_state`. Batch norm's running statistics are averaged like weights.
"""

from __future__ import annotations

import math
from itertools import chain
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging, WeightAveraging


class Averaging(WeightAveraging):
    """Until it has averaged anything, the average is the weights themselves (Lightning's own would be the untrained
    network). It lies on the device that trains (Lightning's own in main memory, where each update waits for a GPU)."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._device = self._device or trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._follow(pl_module)
        super().on_validation_epoch_start(trainer, pl_module)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self._follow(pl_module)
        super().on_save_checkpoint(trainer, pl_module, checkpoint)

    @torch.no_grad()
    def _follow(self, pl_module: LightningModule) -> None:
        average = self._average_model
        if average is not None and average.n_averaged == 0:
            mean = chain(average.module.parameters(), average.module.buffers())
            for ours, theirs in zip(mean, chain(pl_module.parameters(), pl_module.buffers()), strict=True):
                ours.copy_(theirs)


class EMA(Averaging, EMAWeightAveraging):
    """Exponential moving average: after each step, average = decay * average + (1 - decay) * weights.

    Args:
        arguments: of EMAWeightAveraging: decay, update_every_n_steps, update_starting_at_step, ...
    """


class SWA(Averaging):
    """The mean of the weights after each of the last epochs (Izmailov et al. 2018). An epoch's weights join it before
    that epoch is validated.

    Args:
        start: averaging begins after this fraction of trainer.max_epochs; at the latest with the last epoch
        arguments: of WeightAveraging, e.g. `device`

    Raises:
        ValueError: start is not from 0 to 1
    """

    def __init__(self, start: float = 0.75, **arguments: Any):
        if not 0 <= start <= 1:
            raise ValueError(f"start={start}, expected a fraction from 0 to 1")
        super().__init__(**arguments)
        self.start = start
        self._joins = False

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Whether the step that has just been taken ended one of the last epochs."""
        return step_idx is not None and self._joins

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        epochs = max(1, trainer.max_epochs or 1)
        first = min(math.floor(self.start * epochs), epochs - 1)
        self._joins = trainer.is_last_batch and trainer.current_epoch >= first
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
