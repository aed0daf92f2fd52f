"""What happens around the steps of a run: the record of each epoch, checkpoints, progress, and stopping on a signal."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint

from fc2conv.classifier import Classifier
from fc2conv.data.module import Batches, Executions
from fc2conv.record import Record, log
from fc2conv.show import EpochProgress
from fc2conv.signals import Signals


class Pruned(Exception):
    """Whoever watches the run had it stopped: others of its sweep do better."""


class EpochRecorder(Checkpoint):
    """After each epoch: metrics.csv, then checkpoints/last.ckpt and, if validation accuracy grew, best.ckpt, then
    result.json. Each file is replaced in one go, so that a run killed at any moment can go on from its folder.

    A `Checkpoint`, because Lightning calls those last, when the epoch's metrics are complete.

    Args:
        record: None on ranks other than 0, which take part in saving but write nothing
        folder: the run's; checkpoints go to checkpoints/ in it
        watch: told each epoch's number and validation accuracy on rank 0; says whether the run should stop
        patience: stop after so many epochs without a better validation accuracy
    """

    def __init__(
        self,
        record: Record | None,
        folder: Path,
        progress: EpochProgress,
        watch: Callable[[int, float], bool] | None = None,
        patience: int | None = None,
    ):
        self.record, self.folder, self.progress, self.watch, self.patience = record, folder, progress, watch, patience
        self.best: dict[str, float] = {}
        self.stop = False
        self.seconds = self._began = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "stop": self.stop, "seconds": self._fitted()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.seconds = dict(state_dict["best"]), state_dict["seconds"]
        self.stop = state_dict.get("stop", False)

    def _fitted(self) -> float:
        """Seconds spent in training, those before a resume included."""
        return self.seconds + (time.perf_counter() - self._began if self._began else 0.0)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["wandb_id"] = self.record.result.wandb_id if self.record else None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # under torchrun only the first rank knows the folder it has reserved
        self.folder = Path(trainer.strategy.broadcast(str(self.folder)))

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.should_stop |= self.stop  # it had run out of patience, and was interrupted after that

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._began = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        train, val, epoch = pl_module.figures["train"], pl_module.figures["val"], trainer.current_epoch + 1
        better = val["acc"] > self.best.get("acc", -1.0)
        if better:
            self.best = {"epoch": epoch, **val}
        self.stop = self.patience is not None and epoch - self.best["epoch"] >= self.patience
        trainer.should_stop |= self.stop
        fitted = self._fitted()
        if self.record:
            metrics = {f"{part}/{k}": v for part, f in pl_module.figures.items() for k, v in f.items()}
            self.record.epoch(
                {
                    "epoch": epoch,
                    "step": trainer.global_step,
                    "lr": pl_module.lr,
                    **metrics,
                    "seconds": round(fitted, 3),
                }
            )
            result = self.record.result
            result.epochs, result.best_epoch = epoch, int(self.best["epoch"])
            result.train = dict(train)
            result.val = {k: v for k, v in self.best.items() if k != "epoch"}
            result.seconds["fit"] = round(fitted, 3)
            result.images_per_second = round(epoch * train["n"] / fitted, 1)
            line = (
                f"epoch {epoch:>{len(str(self.progress.epochs))}}/{self.progress.epochs}"
                f"  train loss {train['loss']:.4f} acc {train['acc']:.4f}"
                f"  val loss {val['loss']:.4f} acc {val['acc']:.4f}"
                f"{' *' if better else '  '}  {fitted:6.1f} s"
            )
            log.info(line)
            self.progress.line(line)
        self.save(trainer, better)
        if self.record:
            self.record.write()
        if self.watch and epoch < self.progress.epochs:
            stop = self.watch(epoch, val["acc"]) if self.record else False
            if trainer.strategy.broadcast(stop):
                raise Pruned(f"stopped after epoch {epoch} with validation accuracy {val['acc']:.4f}: others do better")

    def save(self, trainer: Trainer, better: bool) -> None:
        """Save last.ckpt, and best.ckpt as the same file. Every rank must call it."""
        folder = self.folder / "checkpoints"
        aside = folder / ".saving.ckpt"
        try:
            trainer.save_checkpoint(aside)
        except OSError:  # a full disk: what was written of it is of no use, and the record needs the space
            aside.unlink(missing_ok=True)
            raise
        if self.record:
            if better:
                _link(aside, folder / "best.ckpt")
            os.replace(aside, folder / "last.ckpt")
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


class StopOnSignal(Callback):
    """Ends training between two executions of steps once a signal came, with last.ckpt saved within the epoch."""

    def __init__(self, signals: Signals, recorder: EpochRecorder):
        self.signals, self.recorder = signals, recorder

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.signals.install()
        self.signals.deferred = True

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._asked(trainer) and not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self.recorder.save(trainer, better=False)
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


def _batches(trainer: Trainer) -> Batches:
    loader = trainer.train_dataloader
    assert isinstance(loader, Executions)
    return loader.batches


class ShowProgress(Callback):
    """Feeds the progress bar; costs next to nothing where there is none."""

    def __init__(self, progress: EpochProgress):
        self.progress = progress
        self._stack = ExitStack()
        self._next = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stack.enter_context(self.progress.running())
        self.on_train_epoch_start(trainer, pl_module)  # Lightning leaves it out where an epoch goes on in its middle

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        batches = _batches(trainer)
        self.progress.start(trainer.current_epoch + 1, len(batches), batches.next % len(batches))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.perf_counter()
        if self.progress.bar is None or now < self._next:
            return
        self._next = now + 0.2
        assert isinstance(pl_module, Classifier)
        accuracy = trainer.callback_metrics.get("val/acc")
        text = f"loss {outputs['loss'].item():.3f}" + (
            f"  val acc {accuracy.item():.4f}" if accuracy is not None else ""
        )
        self.progress.step(_batches(trainer).next, text)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stack.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._stack.close()
