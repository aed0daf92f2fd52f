"""Classifier: step, loss, metrics, optimiser and schedule of every architecture, once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self, cast

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torchmetrics import Metric

from fc2conv.config import ModelConfig, OptimConfig, plain
from fc2conv.data.module import Batch, ImageData, mixed_seed
from fc2conv.geometry import Geometry, Shape
from fc2conv.models import plan
from fc2conv.models.layers import build, xavier_
from fc2conv.parsing import parse, parse_model


class NonFiniteLoss(RuntimeError):
    """The loss became NaN or infinite; the message says at which step and learning rate."""


LOSS_UNIT = 2.0**-24
"""Of an image's loss, in nats, where it is summed up. Whole numbers of it have the same sum in any order: how the
images were dealt out among batches and ranks does not show in the last digit."""
SUMS = torch.float32 if torch.backends.mps.is_available() else torch.float64
"""MPS has no float64: there the last digits do depend on the order."""

STEPS, MACS = 16, 2 * 10**9
"""Training steps in one call of training_step at most, and multiply-accumulates of its forward passes: some .2 s on two
cores, which a signal that stops the run may have to wait for."""


class Totals(Metric):
    """Loss, accuracy and count of a part: summed, over batches and ranks, and divided once."""

    higher_is_better = None
    full_state_update = False
    loss: Tensor
    correct: Tensor
    n: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("loss", torch.zeros((), dtype=SUMS), dist_reduce_fx="sum")
        self.add_state("correct", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("n", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, losses: Tensor, outputs: Tensor, labels: Tensor) -> None:
        """Add a batch: its images' losses (B,), or one sum of them; outputs (B, classes), labels (B,)."""
        self.loss.add_((losses.to(SUMS) / LOSS_UNIT).round().sum())
        self.correct.add_((outputs.argmax(1) == labels).sum())
        self.n.add_(len(labels))

    def compute(self) -> dict[str, float]:
        """{loss, acc, n}; loss and acc are means over the n images."""
        loss, correct, n = self.loss.item() * LOSS_UNIT, int(self.correct.item()), int(self.n.item())
        return {"loss": loss / n, "acc": correct / n, "n": n}


class Confusion(Metric):
    """Images of each true class (rows) by predicted class, summed over batches and ranks.

    torchmetrics' own compares every image with every cell in deterministic mode: seconds for a test set of 47 classes.
    """

    higher_is_better = None
    full_state_update = False
    counts: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.add_state("counts", torch.zeros(classes, classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, outputs: Tensor, labels: Tensor) -> None:
        """Add a batch: outputs (B, classes), labels (B,)."""
        cells = labels * len(self.counts) + outputs.argmax(1)
        self.counts.add_(cells.bincount(minlength=self.counts.numel()).view_as(self.counts))

    def compute(self) -> Tensor:
        """(classes, classes)"""
        return self.counts.cpu().clone()


class Classifier(LightningModule):
    """A network made of `model`'s layers, and how it learns.

    Subclasses name their config class; the architecture follows from the config (models/<family>.py).

    Args:
        model: the architecture's config, or its plain values
        input_shape: (C, H, W) of an image
        classes: number of classes
        optim: optimiser and schedule, or their plain values
        seed: of dropout; the initial weights follow from torch's generator as usual
        extra: anything plain that belongs into the checkpoint
        gradient_clip: largest norm of the gradient; None: any

    Attributes:
        net: the network itself, a plain nn.Sequential: (B, C, H, W) -> (B, classes)
        geometry: its shapes, parameters, MACs and receptive fields
        figures: {loss, acc, n} of each part (train, val, test) when it was last gone through
        confusion: (classes, classes) images of each true class by predicted class, of the last test
        lr: learning rate of the last step
    """

    config_class: ClassVar[type | None] = None

    def __init__(
        self,
        model: ModelConfig | Mapping[str, Any] | None = None,
        input_shape: Shape = (1, 28, 28),
        classes: int = 10,
        optim: OptimConfig | Mapping[str, Any] = OptimConfig(),
        seed: int = 0,
        extra: Mapping[str, Any] | None = None,
        gradient_clip: float | None = None,
    ):
        super().__init__()
        self.automatic_optimization = False  # the optimiser's steps are training_step's
        if model is None:
            if self.config_class is None:
                raise TypeError("Classifier needs a model's config; its subclasses have one of their own")
            model = cast(ModelConfig, self.config_class())
        self.config = parse_model(model) if isinstance(model, Mapping) else model
        if self.config_class is not None and not isinstance(self.config, self.config_class):
            raise TypeError(
                f"{type(self).__name__} takes a {self.config_class.__name__}, got {type(self.config).__name__}"
            )
        self.optim = parse(OptimConfig, optim, "optim") if isinstance(optim, Mapping) else optim
        self.seed, self.gradient_clip = seed, gradient_clip
        # plain values only, so that checkpoints load with weights_only=True and no further argument
        self.save_hyperparameters(
            {
                "model": plain(self.config),
                "input_shape": list(input_shape),
                "classes": classes,
                "optim": plain(self.optim),
                "seed": seed,
                "extra": dict(extra or {}),
                "gradient_clip": gradient_clip,
            },
            logger=False,  # the tracker has the whole config
        )
        self.geometry: Geometry = plan(self.config, tuple(input_shape), classes)
        self.net: nn.Sequential = build(self.geometry)
        if self.config.init == "xavier":
            xavier_(self.net)
        self.net.to(memory_format=torch.channels_last)
        self.random = any(isinstance(m, nn.Dropout) and m.p > 0 for m in self.net.modules())
        self.train_totals, self.val_totals, self.test_totals = Totals(), Totals(), Totals()
        self.figures: dict[str, dict[str, float]] = {}
        self.counts = Confusion(classes)
        self.confusion = torch.zeros(classes, classes, dtype=torch.int64)
        self.lr = 0.0

    @classmethod
    def load(cls, path: str, map_location: str | torch.device = "cpu") -> Classifier:
        """The classifier of a checkpoint, of whatever class it was. Reads plain values and tensors only."""
        checkpoint = torch.load(path, map_location=map_location, weights_only=True)
        from fc2conv.models.modules import CLASSES

        hyper = checkpoint[cls.CHECKPOINT_HYPER_PARAMS_KEY]
        module = CLASSES[hyper["model"]["family"]](**hyper)
        module.load_state_dict(checkpoint["state_dict"])
        return module

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *args: Any, **kwargs: Any) -> Self:
        """As Lightning's, with weights_only=True unless told otherwise."""
        kwargs.setdefault("weights_only", True)
        return super().load_from_checkpoint(checkpoint_path, *args, **kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning notes the name of each hook around its call, and torch's own way looks for parameters in it
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, classes); the largest output is the prediction."""
        return cast(Tensor, self.net(x))

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Loss of each image: (B, classes), (B,) -> (B,). Cross-entropy in nats."""
        smoothing = self.optim.label_smoothing if self.training else 0.0
        return F.cross_entropy(outputs, labels, reduction="none", label_smoothing=smoothing)

    def setup(self, stage: str) -> None:
        if stage == "fit":
            self._images()

    def _images(self) -> ImageData:
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, ImageData):
            raise TypeError("a Classifier learns from an ImageData: trainer.fit(module, datamodule=ImageData(...))")
        return data

    # -------------------------------------------------------------------------------------------------------- the steps

    def steps_per_execution(self, batch_size: int) -> int:
        """Training steps that are made in one call of training_step.

        Lightning takes about .4 ms around a call, whatever is done in it: 6 % of the step of a small network.
        """
        return max(1, min(STEPS, MACS // max(1, self.geometry.macs * batch_size)))

    def training_step(self, batches: Iterable[Batch], batch_idx: int) -> dict[str, Tensor]:
        """One step of the optimiser for each of the batches.

        Returns:
            loss: of the last batch, mean over its images
        """
        optimizer, schedule = cast(LightningOptimizer, self.optimizers()), cast(Any, self.lr_schedulers())
        seen = []
        for batch in batches:
            self._seed_step()
            outputs: Tensor = self(batch.images)
            total = self.loss(outputs, batch.labels).sum()
            self._check_finite(total)
            seen.append((total.detach(), outputs.detach(), batch.labels))
            loss = total / batch.size
            for group in optimizer.param_groups:  # as optimizer.zero_grad() does, in 1 % of a small step
                for parameter in group["params"]:
                    parameter.grad = None
            self.manual_backward(loss)
            self.lr = optimizer.param_groups[0]["lr"]
            optimizer.step()
            if schedule:
                schedule.step()
        totals, all_outputs, labels = zip(*seen, strict=True)
        self.train_totals.update(torch.stack(totals), torch.cat(all_outputs), torch.cat(labels))
        return {"loss": loss.detach()}

    def _seed_step(self) -> None:
        """What is random in a step depends on the seed, the step and the rank only, so a resumed run repeats it."""
        if self.random:
            seed = mixed_seed(self.seed, self.global_rank, self.global_step)
            # torch.manual_seed goes through all devices, and keeps a stack trace for each that is not in use
            (torch.default_generator if self.device.type == "cpu" else torch).manual_seed(seed)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        if self.gradient_clip is not None:  # here, where mixed precision has undone its scaling of the loss
            self.clip_gradients(optimizer, self.gradient_clip, "norm")

    def _check_finite(self, total: Tensor) -> None:
        """On the CPU at every step; elsewhere now and then and at an epoch's end, as looking means waiting for the
        device."""
        if (total.device.type == "cpu" or self.global_step % 50 == 0) and not math.isfinite(total.item()):
            raise self._non_finite("training", total.item())

    def _non_finite(self, part: str, loss: float) -> NonFiniteLoss:
        lr = self.trainer.optimizers[0].param_groups[0]["lr"]
        return NonFiniteLoss(
            f"the {part} loss became {loss} at step {self.global_step} with learning rate {lr:.3g}; "
            f"try a smaller optim.lr (it was {self.optim.lr:g}), or trainer.gradient_clip=1"
        )

    def on_train_epoch_end(self) -> None:
        self._report("train")

    def on_validation_start(self) -> None:
        """All ranks evaluate the first one's running statistics, which are those that are saved. DDP sees to it before
        each step, but not where the optimiser's steps are ours."""
        if self.trainer.world_size > 1:
            for buffer in self.net.buffers():
                torch.distributed.broadcast(buffer, 0)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate("val", batch)

    def on_validation_epoch_end(self) -> None:
        self._report("val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.counts.update(self._evaluate("test", batch), batch.labels)

    def on_test_epoch_end(self) -> None:
        self._report("test")
        self.confusion = self.counts.compute()
        self.counts.reset()

    def _evaluate(self, part: str, batch: Batch) -> Tensor:
        outputs: Tensor = self(batch.images)
        self._totals(part).update(self.loss(outputs, batch.labels), outputs, batch.labels)
        return outputs

    def _totals(self, part: str) -> Totals:
        return cast(Totals, getattr(self, f"{part}_totals"))

    def _report(self, part: str) -> None:
        """Reduce a part's totals over the ranks, and log them."""
        metric = self._totals(part)
        values = metric.compute()
        metric.reset()
        if part != "test" and not math.isfinite(values["loss"]):
            raise self._non_finite({"train": "training", "val": "validation"}[part], values["loss"])
        self.figures[part] = values
        # Lightning would count epochs from 0 here, and metrics.csv counts from 1; and its calls instead of our steps
        at = {"epoch": float(self.current_epoch + (part != "test")), "step": float(self.global_step)}
        self.log_dict({f"{part}/{k}": float(v) for k, v in values.items()} | at)

    # ------------------------------------------------------------------------------------------ checkpoints, optimiser

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        totals = {k: getattr(self.train_totals, k).clone() for k in ("loss", "correct", "n")}
        checkpoint["train_totals"] = {k: self.trainer.strategy.reduce(v, reduce_op="sum") for k, v in totals.items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.global_rank == 0:  # they are those of all ranks
            for k, v in checkpoint.get("train_totals", {}).items():
                setattr(self.train_totals, k, v.clone())

    def _steps(self) -> int:
        """Optimiser steps in the whole run.

        Not `trainer.estimated_stepping_batches`: it makes the Trainer set up its loader before a checkpoint's state
        reaches it, so that a run resumed within an epoch would start that epoch's images anew.
        """
        return self._images().steps_per_epoch * (self.trainer.max_epochs or 1)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        o = self.optim
        norms = (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm)
        owned = [(m, name, p) for m in self.net.modules() for name, p in m.named_parameters(recurse=False)]
        decayed = [p for m, name, p in owned if name != "bias" and not isinstance(m, norms)]
        others = [p for m, name, p in owned if name == "bias" or isinstance(m, norms)]
        groups = [{"params": decayed, "weight_decay": o.weight_decay}, {"params": others, "weight_decay": 0.0}]
        groups = [g for g in groups if g["params"]]
        optimizer: torch.optim.Optimizer
        # a fused step undoes a loss's scaling itself, too late for the clipping; Lightning refuses the two together
        trainer = self._trainer
        fused = not (trainer and self.gradient_clip and trainer.precision.endswith("mixed"))
        if o.name == "sgd":
            nesterov = o.nesterov and o.momentum > 0
            optimizer = torch.optim.SGD(groups, lr=o.lr, momentum=o.momentum, nesterov=nesterov, fused=fused)
        else:
            kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[o.name]
            optimizer = kind(groups, lr=o.lr, fused=fused)
        if o.schedule == "constant" or (steps := self._steps()) == 1:
            return optimizer
        scheduler: torch.optim.lr_scheduler.LRScheduler
        if o.schedule == "cosine":
            scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        else:
            # torch divides by the steps of the rise less one
            warmup = 0.0 if math.isclose(o.warmup * steps, 1) else o.warmup
            scheduler = torch.optim.lr_scheduler.OneCycleLR(
                optimizer, o.lr, total_steps=steps, pct_start=warmup, cycle_momentum=False
            )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
