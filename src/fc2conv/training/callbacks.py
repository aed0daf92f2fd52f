"""What happens around the steps of a run: the record of each epoch, checkpoints, progress, and how it may stop.

The callbacks that need an epoch's complete metrics are `Checkpoint`s, because Lightning calls those last, in the order
in which they are given: MaxSteps (schedule.py), ValidateLast, StopOnSignal, BestEpoch, EpochRecorder, Checkpoints,
StopEarly.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint
from torch import Tensor
from torch.optim import Optimizer

from fc2conv.errors import Pruned
from fc2conv.record.folder import CHECKPOINTS, LAST, Record, log
from fc2conv.record.mirror import Mirror
from fc2conv.record.terminal import EpochProgress, epoch_line, smoothing_note
from fc2conv.training.classifier import Classifier
from fc2conv.training.loss_watch import begin_copy
from fc2conv.training.signals import Signals

ShouldPrune = Callable[[int, float], bool]
"""(epoch, its validation accuracy) -> whether the run should stop as pruned."""


class ValidateLast(Checkpoint):
    """Has the weights that a run ends with validated, wherever it ends: within an epoch, by max_steps or max_time, or
    with an epoch that check_val_every_n_epoch would leave out."""

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        if trainer.should_stop or trainer.current_epoch + 1 == trainer.max_epochs:
            trainer.check_val_every_n_epoch = 1


class BestEpoch(Checkpoint):
    """Remembers the epoch with the best validation accuracy, among those that were validated.

    Args:
        last: the last one is taken for the best, whatever its accuracy

    Attributes:
        epoch: counted from 1; 0 before the first
        metrics: its {loss, acc, n}
        is_new: whether the last epoch is the best so far
        validated: the last epoch that was validated, counted from 1
    """

    def __init__(self, last: bool = False) -> None:
        self.last = last
        self.epoch, self.validated, self.is_new = 0, 0, False
        self.metrics: dict[str, float] = {}

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "metrics": self.metrics, "validated": self.validated}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epoch, self.metrics = state_dict["epoch"], dict(state_dict["metrics"])
        self.validated = state_dict.get("validated", self.epoch)  # a checkpoint from before it was kept

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.validated = trainer.current_epoch + 1

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.is_new = False
        if val := self.of(trainer, pl_module):
            self.is_new = self.last or val["acc"] > self.metrics.get("acc", -1.0)
            if self.is_new:
                self.epoch, self.metrics = trainer.current_epoch + 1, dict(val)

    def of(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, float] | None:
        """Validation's {loss, acc, n} of the epoch that ends; None if it was not validated."""
        assert isinstance(pl_module, Classifier)
        return pl_module.metrics["val"] if self.validated == trainer.current_epoch + 1 else None


class EpochRecorder(Checkpoint):
    """After each epoch: its row of metrics.csv, the record's metrics, and a line on the screen.

    Args:
        record: None on ranks other than 0, which write nothing
    """

    def __init__(self, record: Record | None, progress: EpochProgress, best: BestEpoch):
        self.record, self.progress, self.best = record, progress, best
        self.lr = self.seconds = self._began = 0.0
        self.images = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self._fitted(), "images": self.images}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds, self.images = state_dict["seconds"], state_dict.get("images", 0.0)

    def _fitted(self) -> float:
        """Seconds spent in training, those before a resume included."""
        return self.seconds + (time.perf_counter() - self._began if self._began else 0.0)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._began = time.perf_counter()
        if self.record and (note := smoothing_note(self.record.result.family, self.record.result.config)):
            log.info(note)
            self.progress.line(note)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        self.lr = optimizer.param_groups[0]["lr"]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        if self.record is None:
            return
        train, val, epoch, fitted = (
            *(pl_module.metrics["train"], self.best.of(trainer, pl_module)),
            *(trainer.current_epoch + 1, self._fitted()),
        )
        splits = {"train": train, **({"val": val} if val else {})}
        metrics = {f"{split}/{k}": v for split, values in splits.items() for k, v in values.items()}
        seconds = round(fitted, 3)
        self.record.epoch({"epoch": epoch, "step": trainer.global_step, "lr": self.lr, **metrics, "seconds": seconds})
        self.images += train["n"]
        result = self.record.result
        result.epochs, result.best_epoch = epoch, self.best.epoch or None
        result.train, result.val = dict(train), dict(self.best.metrics) or None
        result.seconds["fit"] = seconds
        result.images_per_second = round(self.images / fitted, 1)
        epochs = self.progress.epochs
        for logger in trainer.loggers:
            if isinstance(logger, Mirror):
                logger.epoch(result, trainer.global_step)
        line = epoch_line(f"{epoch:>{len(str(epochs))}}/{epochs}", train, val, self.best.is_new, fitted)
        log.info(line)
        self.progress.line(line)


class Checkpoints(Checkpoint):
    """After each epoch: checkpoints/last.ckpt and, if validation accuracy grew, best.ckpt; then result.json. Each file
    is replaced in one go, so that a run killed at any moment can go on from its folder.

    Args:
        folder: the run's; the first rank's is taken
    """

    def __init__(self, record: Record | None, folder: Path, best: BestEpoch):
        self.record, self.folder, self.best = record, folder, best

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["wandb_id"] = self.record.result.wandb_id if self.record else None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # under torchrun only the first rank knows the folder it has reserved
        self.folder = Path(trainer.strategy.broadcast(str(self.folder)))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.save(trainer, is_best=self.best.is_new)
        if self.record:
            self.record.write()

    def save(self, trainer: Trainer, is_best: bool = False) -> None:
        """Save last.ckpt, and best.ckpt as the same file. Every rank must call it."""
        folder = self.folder / CHECKPOINTS
        aside = folder / ".saving.ckpt"
        if self.record:  # it may be another name of best.ckpt, which would be written over in place
            aside.unlink(missing_ok=True)
        try:
            trainer.save_checkpoint(aside)
        except OSError:  # a full disk: what was written of it is of no use, and the record needs the space
            aside.unlink(missing_ok=True)
            raise
        if self.record:
            if is_best:
                _link(aside, folder / "best.ckpt")
            os.replace(aside, folder / LAST)
        trainer.strategy.barrier("saved")  # the other ranks read best.ckpt too


def _link(source: Path, target: Path) -> None:
    """Make `target` another name of `source`, or where there is no such thing a copy, in one go."""
    aside = target.with_name(f".{target.name}")
    aside.unlink(missing_ok=True)
    try:
        os.link(source, aside)
    except OSError:
        shutil.copyfile(source, aside)
    os.replace(aside, target)


class StopEarly(Checkpoint):
    """Ends a run that does not get better, or that others of its sweep have left behind.

    Args:
        patience: stop after so many epochs without a better validation accuracy; None: never
        should_prune: asked on rank 0 after each epoch that was validated, but for the last
    """

    def __init__(self, best: BestEpoch, patience: int | None = None, should_prune: ShouldPrune | None = None):
        self.best, self.patience, self.should_prune = best, patience, should_prune
        self._ended = False

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["should_stop"] = trainer.should_stop

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self._ended = checkpoint.get("should_stop", False)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """It had run out of patience, or another callback had ended it, and was interrupted after that."""
        trainer.should_stop |= self._ended
        self._stop(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        val, epoch = self.best.of(trainer, pl_module), trainer.current_epoch + 1
        if val is None:
            return
        ends = trainer.should_stop or epoch == trainer.max_epochs
        self._stop(trainer)
        if self.should_prune and not ends:
            prune = self.should_prune(epoch, val["acc"]) if trainer.is_global_zero else False
            if trainer.strategy.broadcast(prune):
                raise Pruned(f"stopped after epoch {epoch} with validation accuracy {val['acc']:.4f}: others do better")

    def _stop(self, trainer: Trainer) -> None:
        if self.patience is not None and self.best.epoch:
            trainer.should_stop |= self.best.validated - self.best.epoch >= self.patience


class StopOnSignal(Checkpoint):
    """Ends training after a whole step once a signal came, with last.ckpt saved within the epoch."""

    def __init__(self, signals: Signals, checkpoints: Checkpoints):
        self.signals, self.checkpoints = signals, checkpoints

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.signals.install()
        self.signals.deferred = True

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        # the last batch of an epoch, or of the run, is saved with its validation
        goes_on = batch_idx + 1 < trainer.num_training_batches and not trainer.should_stop
        if stepped and goes_on and self._asked(trainer):
            self.checkpoints.save(trainer)
            self._raise()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A signal during validation, when the epoch before has been saved."""
        if self._asked(trainer):
            self._raise()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.signals.deferred = False
        self.signals.raise_if_received()

    def _asked(self, trainer: Trainer) -> bool:
        """Whether any rank got a signal: all must stop at the same step."""
        stop = self.signals.received is not None
        return stop if trainer.world_size == 1 else trainer.strategy.reduce_boolean_decision(stop, all=False)

    def _raise(self) -> None:
        self.signals.received = self.signals.received or signal.SIGTERM  # another rank got it
        self.signals.raise_if_received()


class LogSteps(Callback):
    """Sends the training loss of every n-th step, over all ranks, and its learning rate to the loggers."""

    def __init__(self, n: int):
        self.n = n
        self.lr = 0.0
        self._losses: list[Tensor] = []

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        self.lr = optimizer.param_groups[0]["lr"]  # afterwards it is the next step's

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._losses.append(outputs["loss"].detach())
        if (batch_idx + 1) % trainer.accumulate_grad_batches and batch_idx + 1 < trainer.num_training_batches:
            return
        losses, self._losses = self._losses, []
        if trainer.global_step % self.n == 0:
            loss = trainer.strategy.reduce(torch.stack(losses).sum(), reduce_op="mean")
            for logger in trainer.loggers:
                logger.log_metrics({"train/loss_step": float(loss), "lr": self.lr}, step=trainer.global_step)


class WatchWeights(Callback):
    """Sends the gradients and weights of every n-th step, before it is taken, to the trackers.

    It reads what the optimiser gets. Hooks on the parameters, as wandb.watch sets, would not hear of gradients that
    compiled kernels compute, and break up what torch.compile compiles.

    Args:
        what: gradients, weights, or all
    """

    def __init__(self, what: str, n: int):
        self.n = n
        self.gradients, self.weights = what != "weights", what != "gradients"

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        assert isinstance(pl_module, Classifier)
        step = trainer.global_step + 1
        if step % self.n or not trainer.is_global_zero:
            return
        found: dict[str, Tensor] = {}
        for name, parameter in pl_module.net.named_parameters():
            path = name.replace(".", "/")  # W&B reads a dot as a path into a value
            if self.gradients and parameter.grad is not None:
                found[f"gradients/{path}"] = parameter.grad
            if self.weights:
                found[f"weights/{path}"] = parameter
        for logger in trainer.loggers:
            if isinstance(logger, Mirror):
                logger.histograms(found, step)


class ShowProgress(Callback):
    """Feeds the progress bar."""

    def __init__(self, progress: EpochProgress):
        self.progress = progress
        self._stack = ExitStack()
        self._epoch = -1
        self._next = 0.0
        self._loss: Callable[[], float] | None = None  # shown the next time, when an accelerator has it ready

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stack.enter_context(self.progress.running())

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if self._epoch != trainer.current_epoch:  # here, since an epoch that goes on in its middle has no start
            self._epoch = trainer.current_epoch
            self.progress.start(self._epoch + 1, int(trainer.num_training_batches), batch_idx)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, Classifier)
        now = time.perf_counter()
        if now < self._next:
            return
        self._next = now + 0.2
        # Lightning's loss is its part of the step's
        part, k = begin_copy(outputs["loss"]), trainer.accumulate_grad_batches
        shown, self._loss = self._loss or part, part
        val = pl_module.metrics.get("val")
        text = f"loss {shown() * k:.3f}" + (f"  val acc {val['acc']:.4f}" if val else "")
        self.progress.step(batch_idx + 1, text)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stack.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._stack.close()
