"""Classifier: step, loss, metrics, optimiser and schedule of every architecture, once."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, ClassVar, Self, cast

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from fc2conv.architectures import ARCHITECTURES, ModelConfig, plan
from fc2conv.architectures.plugins import load, load_installed
from fc2conv.architectures.trace import Geometry, Shape
from fc2conv.config.parsing import parse, parse_model
from fc2conv.config.schema import OptimConfig, plain
from fc2conv.data.transforms import mixed_seed
from fc2conv.errors import ConfigError, NonFiniteLoss
from fc2conv.nets.build import net_of
from fc2conv.record.checkpoint import load_checkpoint, verify
from fc2conv.training.classes import subclass
from fc2conv.training.loss_watch import LossWatch
from fc2conv.training.metrics import Confusion, Totals
from fc2conv.training.optimizers import optimizer_for
from fc2conv.training.schedule import Schedule, schedule_for

Batch = tuple[Tensor, Tensor]
"""Images (B, C, H, W), labels (B,)."""
_allowed: ContextVar[frozenset[str] | None] = ContextVar("_allowed", default=None)
"""While a checkpoint is read: what it may have imported."""


class Classifier(LightningModule):
    """A network made of an architecture's layers, and how it learns. It takes any batches of (images, labels).

    LeNet, MLP and the others are subclasses that name their config class.

    Args:
        model: the architecture's config, or its plain values
        input_shape: (C, H, W) of an image
        classes: number of classes
        optim: optimiser and schedule, or their plain values
        seed: of dropout; the initial weights follow from torch's generator as usual
        extra: anything plain that belongs in the checkpoint
        fields: of the config, in place of `model`

    Attributes:
        net: the network itself, a plain nn.Sequential (or the user's own module): (B, C, H, W) -> (B, classes)
        geometry: its shapes, parameters, MACs and receptive fields
        metrics: {loss, acc, n} of each split (train, val, test) when it was last gone through
        confusion: (classes, classes) images of each true class by predicted class, of the last test
        may_diverge: whether training goes on when the loss is not finite, which is an error otherwise

    Example:
        >>> from fc2conv import LeNet
        >>> LeNet(channels=[8, 16], activation="relu").net(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """

    config_class: ClassVar[type[Any] | None] = None

    def __init__(
        self,
        model: ModelConfig | Mapping[str, Any] | None = None,
        input_shape: Shape = (1, 28, 28),
        classes: int = 10,
        optim: OptimConfig | Mapping[str, Any] = OptimConfig(),
        seed: int = 0,
        extra: Mapping[str, Any] | None = None,
        **fields: Any,
    ):
        super().__init__()
        self.config = self._config_of(model, fields)
        self.optim = parse(OptimConfig, optim, "optim") if isinstance(optim, Mapping) else optim
        self.seed = seed
        # plain values only, so that checkpoints load with weights_only=True and no further argument
        self.save_hyperparameters(
            {
                "model": plain(self.config),
                "input_shape": list(input_shape),
                "classes": classes,
                "optim": plain(self.optim),
                "seed": seed,
                "extra": dict(extra or {}),
            },
            logger=False,  # the tracker has the whole config
        )
        self.geometry: Geometry = plan(self.config, tuple(input_shape), classes)
        self.net: nn.Module = net_of(self.config, self.geometry)
        architecture = ARCHITECTURES[self.config.family]
        if architecture.layers:  # a module of the user's own gets what its author expected
            self.net.to(memory_format=torch.channels_last)
        dropouts = [m for m in self.net.modules() if isinstance(m, nn.modules.dropout._DropoutNd) and m.p > 0]
        # code that is not ours may draw random numbers, too
        self.has_dropout = bool(dropouts) or not architecture.built_in or not architecture.layers
        self.train_totals, self.val_totals, self.test_totals = Totals(), Totals(), Totals()
        self.loss_watch = LossWatch()
        self.metrics: dict[str, dict[str, float]] = {}
        self.counts = Confusion(classes)
        self.confusion = torch.zeros(classes, classes, dtype=torch.int64)
        self.may_diverge = False

    @classmethod
    def _config_of(cls, model: ModelConfig | Mapping[str, Any] | None, fields: Mapping[str, Any]) -> Any:
        if model is not None and fields:
            raise TypeError(f"{cls.__name__} takes a config or its fields, got both: {', '.join(fields)}")
        if model is None:
            if cls.config_class is None:
                raise TypeError("Classifier needs a model's config; its subclasses, as LeNet, have one of their own")
            return parse(cls.config_class, fields, "model")
        allowed = _allowed.get()
        target = model.get("target") if isinstance(model, Mapping) and model.get("family") == "module" else None
        if target is not None and allowed is not None and target not in allowed:
            raise ConfigError(
                "model.target",
                f"the checkpoint asks for {target}; if you trust its code: load(..., allow=[{target!r}])",
            )
        config = parse_model(model) if isinstance(model, Mapping) else model
        if cls.config_class is not None and not isinstance(config, cls.config_class):
            raise TypeError(f"{cls.__name__} takes a {cls.config_class.__name__}, got {type(config).__name__}")
        return config

    @classmethod
    def load(cls, path: str, map_location: str | torch.device = "cpu", allow: Iterable[str] = ()) -> Classifier:
        """The classifier of a checkpoint, of whatever class it was. Reads plain values and tensors only.

        Args:
            allow: code that the checkpoint may have imported: its `plugins`, its `model.target`

        Raises:
            ConfigError: it asks for code that is not allowed
            DamagedCheckpoint: a bit is not what was written
        """
        checkpoint = load_checkpoint(path, map_location)
        hyper = checkpoint[cls.CHECKPOINT_HYPER_PARAMS_KEY]
        allowed = frozenset(allow)
        _load_plugins(hyper, allowed, path)
        token = _allowed.set(allowed)
        try:
            module = class_of(parse_model(hyper["model"]))(**hyper)
        finally:
            _allowed.reset(token)
        module.load_state_dict(checkpoint["state_dict"])
        return module

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *args: Any, allow: Iterable[str] = (), **kwargs: Any) -> Self:
        """As Lightning's, with weights_only=True unless told otherwise, and `allow` as in `load`. A file is checked
        first, and refused as in `load`."""
        kwargs.setdefault("weights_only", True)
        kwargs["_instantiator"] = None  # else Lightning imports what the checkpoint names
        allowed = frozenset(allow)
        if allowed:
            checkpoint = load_checkpoint(checkpoint_path, mapped=True)
            _load_plugins(checkpoint[cls.CHECKPOINT_HYPER_PARAMS_KEY], allowed, str(checkpoint_path))
        elif isinstance(checkpoint_path, (str, os.PathLike)) and os.path.isfile(checkpoint_path):
            verify(checkpoint_path)  # what else Lightning takes (addresses, open files) it checks as it does
        token = _allowed.set(allowed)
        try:
            return super().load_from_checkpoint(checkpoint_path, *args, **kwargs)
        finally:
            _allowed.reset(token)

    @property
    def lr(self) -> float:
        """The configured (peak) learning rate; setting it changes the configuration, as Lightning's lr_find does."""
        return self.optim.lr

    @lr.setter
    def lr(self, value: float) -> None:
        self.optim = replace(self.optim, lr=float(value))
        self.hparams["optim"]["lr"] = float(value)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, classes); the largest output is the prediction."""
        return cast(Tensor, self.net(x))

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Loss of each image: (B, classes), (B,) -> (B,). The architecture's own, or else cross-entropy in nats."""
        own = ARCHITECTURES[self.config.family].loss
        if own is not None:
            return own(self.config, outputs, labels)
        smoothing = self.optim.label_smoothing if self.training else 0.0
        return F.cross_entropy(outputs, labels, reduction="none", label_smoothing=smoothing)

    # -------------------------------------------------------------------------------------------------------- the steps

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of a batch, its mean over the images of all ranks."""
        images, labels = batch
        self._seed_dropout(batch_idx)
        outputs: Tensor = self(images)
        total = self.loss(outputs, labels).sum()
        if (loss := self.loss_watch.read(total, batch_idx)) is not None:
            self._check_finite("training", loss)
        if batch_idx == 0:  # a run that was given up within an epoch may have left something
            self.train_totals.reset()
        self.train_totals.update(total.detach(), (outputs.detach().argmax(1) == labels).sum(), len(labels))
        return total / self._loss_divisor(len(labels))

    def _seed_dropout(self, batch_idx: int) -> None:
        """What is random in a batch depends on the seed, the batch and the rank only, so a resumed run repeats it."""
        if self.has_dropout and self._trainer is not None:
            seed = mixed_seed(self.seed, self.global_rank, self.current_epoch, batch_idx)
            # torch.manual_seed goes through all devices, and keeps a stack trace for each that is not in use
            (torch.default_generator if self.device.type == "cpu" else torch).manual_seed(seed)

    def _loss_divisor(self, n: int) -> float | Tensor:
        """Divide the summed loss of this rank's `n` images by this, and DDP's average over the ranks is the mean over
        the global batch, however unevenly it is dealt out."""
        world_size = self._trainer.world_size if self._trainer is not None else 1
        if world_size == 1:
            return n
        count = torch.full((), float(n), device=self.device)  # made there, and not copied
        return cast(Tensor, self.trainer.strategy.reduce(count, reduce_op="sum")) / world_size

    def _check_finite(self, what: str, loss: float) -> None:
        if self._trainer is not None and not self.may_diverge and not math.isfinite(loss):
            lr = self.trainer.optimizers[0].param_groups[0]["lr"]
            raise NonFiniteLoss(
                f"the {what} loss became {loss} at step {self.global_step} with learning rate {lr:.3g}; "
                f"try a smaller optim.lr (it was {self.lr:g}), or trainer.gradient_clip=1"
            )

    def on_train_start(self) -> None:
        self.loss_watch = LossWatch()  # without what another fit has left
        for config in self.trainer.lr_scheduler_configs:
            if isinstance(config.scheduler, Schedule):
                config.scheduler.begin()

    def on_train_epoch_end(self) -> None:
        self._report("train")

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate("val", batch)

    def on_validation_epoch_end(self) -> None:
        self._report("val")

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The network's outputs, (B, classes), for callbacks."""
        outputs = self._evaluate("test", batch)
        self.counts.update(outputs, batch[1])
        return outputs

    def on_test_epoch_end(self) -> None:
        self._report("test")
        self.confusion = self.counts.compute()
        self.counts.reset()

    def predict_step(self, batch: Batch | list[Tensor] | Tensor, batch_idx: int) -> Tensor:
        """Probabilities of the classes, (B, classes), for a batch with or without labels."""
        images = batch if isinstance(batch, Tensor) else batch[0]
        return cast(Tensor, self(images)).softmax(1)

    def _evaluate(self, split: str, batch: Batch) -> Tensor:
        images, labels = batch
        outputs: Tensor = self(images)
        self._totals(split).update(self.loss(outputs, labels), (outputs.argmax(1) == labels).sum(), len(labels))
        return outputs

    def _totals(self, split: str) -> Totals:
        return cast(Totals, getattr(self, f"{split}_totals"))

    def _report(self, split: str) -> None:
        """Reduce a split's totals over the ranks, and log them."""
        metric = self._totals(split)
        if not metric.update_called:
            return
        values = metric.compute()
        metric.reset()
        if self.trainer.state.fn == TrainerFn.FITTING:
            self._check_finite({"train": "training", "val": "validation"}[split], values["loss"])
        self.metrics[split] = values
        self.log_dict({f"{split}/{k}": float(v) for k, v in values.items()}, sync_dist=True)

    # ------------------------------------------------------------------------------------------ checkpoints, optimiser

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what was counted of the epoch so far, over all ranks."""
        reduce = self.trainer.strategy.reduce
        checkpoint["train_totals"] = {k: reduce(v, reduce_op="sum") for k, v in self.train_totals.sums().items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.train_totals.reset()
        sums = checkpoint.get("train_totals")
        if sums and sums["n"] > 0:  # they are those of all ranks, and the first one takes them
            mine = float(self.global_rank == 0)
            self.train_totals.update(**{k: (v * mine).to(v.dtype) for k, v in sums.items()})

    def configure_optimizers(self) -> OptimizerLRScheduler:
        # a fused step unscales the gradients after they were clipped; Lightning refuses the two together
        fused = not (self._trainer and self._trainer.precision.endswith("mixed"))
        optimizer = optimizer_for(self.optim, self.net, fused)
        schedule = schedule_for(optimizer, self.optim, lambda: self.trainer)
        if schedule is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _load_plugins(hyper: Mapping[str, Any], allowed: frozenset[str], path: str) -> None:
    """Load those plugins of a checkpoint's hyperparameters that are allowed.

    Raises:
        ConfigError: they do not bring its architecture
    """
    plugins, family = hyper["extra"].get("config", {}).get("plugins", []), hyper["model"]["family"]
    load(plugin for plugin in plugins if plugin in allowed)
    if family not in ARCHITECTURES and plugins:
        hint = f"if you trust its plugins: load(..., allow={plugins})"
        raise ConfigError("model.family", f"{path} holds a {family}, which nobody has registered; {hint}")


def class_of(config: ModelConfig) -> type[Classifier]:
    """The LightningModule of an architecture, by its config."""
    return cast(type[Classifier], subclass(Classifier, ARCHITECTURES[config.family]))


def class_named(name: str) -> type[Classifier]:
    """The LightningModule called `name`.

    Raises:
        AttributeError: no architecture has such a class
    """
    load_installed()
    for architecture in ARCHITECTURES.values():
        if architecture.name == name:
            return cast(type[Classifier], subclass(Classifier, architecture))
    raise AttributeError(f"module 'fc2conv' has no attribute {name!r}")
