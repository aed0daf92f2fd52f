"""ImageData: the one DataModule of all models."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, cast

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from fc2conv.config import ConfigError, DataConfig
from fc2conv.data.sources import Images, load, stratified_order
from fc2conv.data.views import Views
from fc2conv.geometry import Shape
from fc2conv.parsing import parse


def mixed_seed(*parts: int) -> int:
    """A generator's seed that differs wherever the parts do. The CPU's generator uses the lower 32 bits only, so they
    must be mixed, not shifted beside each other."""
    mixed = 0
    for part in parts:
        mixed = (mixed + part + 1) * 0x9E3779B97F4A7C15 % 2**64
        mixed ^= mixed >> 29
    return mixed % 2**63


EVALUATED = 512 * 28 * 28
"""Pixels, bands included, of a batch without gradients: small images are evaluated more at a time than trained."""


class Batch(NamedTuple):
    """What one step sees. `size` is the global batch divided by the number of ranks: per-image losses summed here and
    divided by it average, over the ranks, to the mean over the global batch, however unevenly that is dealt out."""

    images: Tensor
    labels: Tensor
    numbers: Tensor
    """Of the images in their part of the dataset."""
    size: float


class Batches:
    """One part of a dataset, gathered batch by batch: a sized iterable that remembers where it is.

    The part is cut into ceil(n / batch_size) batches of nearly equal size, and each batch among the ranks: every image
    comes exactly once an epoch, and all ranks make the same number of steps.

    Args:
        images, labels: the dataset, (N, C, H, W) uint8 and (N,)
        index: (n,) the images of this part
        batch_size: over all ranks
        seed: shuffles anew each epoch; None keeps the order
        epoch: tells the current epoch
        rank, world_size: which share of each batch is ours
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        index: Tensor,
        batch_size: int,
        seed: int | None = None,
        epoch: Callable[[], int] = lambda: 0,
        rank: int = 0,
        world_size: int = 1,
    ):
        self.images, self.labels, self.index = images, labels, index
        self.batches = -(-len(index) // batch_size)
        self.seed, self.epoch = seed, epoch
        self.rank, self.world_size = rank, world_size
        self.start = self.next = 0

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[Batch]:
        order = self.index
        if self.seed is not None:
            generator = torch.Generator().manual_seed(mixed_seed(self.seed, self.epoch()))
            order = order[torch.randperm(len(order), generator=generator)]
        labels = self.labels.index_select(0, order).long().tensor_split(self.batches)
        start, self.start = self.start, 0
        for at, whole in enumerate(order.tensor_split(self.batches)):
            if at < start:
                continue
            self.next = at + 1
            mine, known = whole, labels[at]
            if self.world_size > 1:
                mine, known = (t.tensor_split(self.world_size)[self.rank] for t in (mine, known))
            yield Batch(self.images.index_select(0, mine), known, mine, len(whole) / self.world_size)

    def state_dict(self) -> dict[str, int]:
        """How many batches of this epoch have been dealt; Lightning stores it in checkpoints."""
        return {"next": self.next}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        self.start = self.next = state["next"] % self.batches


class Executions:
    """`batches`, those of `steps` training steps at a time: each item is an iterator over them."""

    def __init__(self, batches: Batches, steps: int):
        self.batches, self.steps = batches, steps

    def __len__(self) -> int:
        return -(-len(self.batches) // self.steps)

    def __iter__(self) -> Iterator[Iterator[Batch]]:
        left = len(self.batches) - self.batches.start
        batches = iter(self.batches)
        for _ in range(0, left, self.steps):
            yield islice(batches, self.steps)

    def state_dict(self) -> dict[str, int]:
        return self.batches.state_dict()

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        self.batches.load_state_dict(state)


class ImageData(LightningDataModule):
    """Images of `config`, split, gathered and normalised whole batches at a time.

    What Lightning takes for a training batch is an iterator over the batches of `steps_per_execution` steps (Keras's
    name for it): Lightning takes its time once for all of them. Validation and test batches come one by one.

    Args:
        config: DataConfig, or its plain values
        seed: of the run: the order of the training images and their augmentation

    Attributes:
        steps_per_execution: training steps in one call of the module's training_step

    Raises:
        DataError, ConfigError: from `setup`, naming what is missing or does not fit
    """

    def __init__(self, config: DataConfig | Mapping[str, Any] = DataConfig(), seed: int = 0):
        super().__init__()
        self.config = config if isinstance(config, DataConfig) else parse(DataConfig, config, "data")
        self.seed = seed
        self.steps_per_execution = 1
        self._source: Images | None = None

    @property
    def source(self) -> Images:
        """The dataset as published."""
        if self._source is None:
            self.setup()
        assert self._source is not None
        return self._source

    @property
    def classes(self) -> list[str]:
        """Names of the classes."""
        return self.source.classes

    @property
    def shape(self) -> Shape:
        """(C, H, W) of what the network sees."""
        bands = self.source.train_images.shape[1]
        return self.views.shape(bands)

    def prepare_data(self) -> None:
        if self._source is None:
            load(self.config)

    def setup(self, stage: str | None = None) -> None:
        if self._source is not None:
            return
        config, source = self.config, load(self.config)
        n_train, n_val = config.split(len(source.train_labels))
        order = stratified_order(source.train_labels, config.seed)
        self.val_index, self.train_index = order[:n_val], order[n_val : n_val + n_train]
        self.test_index = torch.arange(len(source.test_labels))
        mean, square = source.moments[self.train_index].mean(0)
        std = (square - mean**2).clamp_min(1e-12).sqrt()
        if config.normalise == "unit":
            mean, std = torch.zeros_like(mean), torch.full_like(std, 255.0)
        self.views = Views(config, source.train_images.shape[2:], mean, std)  # type: ignore[arg-type]
        self._source = source

    def _batches(self, part: str) -> Batches:
        source, trainer = self.source, self.trainer
        if trainer and part == "train" and self.config.batch_size < trainer.world_size:
            raise ConfigError(
                "data.batch_size",
                f"got {self.config.batch_size}, which is over all processes; expected at least one image for each of "
                f"the {trainer.world_size}",
            )
        images, labels = (
            (source.test_images, source.test_labels) if part == "test" else (source.train_images, source.train_labels)
        )
        size = self.config.batch_size
        return Batches(
            images,
            labels,
            getattr(self, f"{part}_index"),
            size if part == "train" else max(size, EVALUATED // math.prod(self.shape)),
            seed=self.seed if part == "train" else None,
            epoch=lambda: trainer.current_epoch if trainer else 0,
            rank=trainer.global_rank if trainer else 0,
            world_size=trainer.world_size if trainer else 1,
        )

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps that go through the training images once."""
        return len(self._batches("train"))

    def train_dataloader(self) -> Executions:
        return Executions(self._batches("train"), self.steps_per_execution)

    def val_dataloader(self) -> Batches:
        return self._batches("val")

    def test_dataloader(self) -> Batches:
        return self._batches("test")

    def state_dict(self) -> dict[str, int]:
        """Lightning counts executions, so a run goes on with as many steps in each as before."""
        return {"steps_per_execution": self.steps_per_execution}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.steps_per_execution = state["steps_per_execution"]

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """A batch on the device, as the network sees it; of training's iterators, each when its step comes."""
        ready = partial(self._ready, device)
        return ready(batch) if isinstance(batch, Batch) else map(ready, batch)

    def _ready(self, device: torch.device, batch: Batch) -> Batch:
        if device.type != "cpu":  # there it is already, and Lightning's way of finding that out takes time
            batch = cast(Batch, super().transfer_batch_to_device(batch, device, 0))
        trainer = self.trainer
        part = "train" if trainer is None or trainer.training else "test" if trainer.testing else "val"
        return self.view(batch, part, trainer.current_epoch if trainer else 0)

    def view(self, batch: Batch, part: str, epoch: int = 0) -> Batch:
        """`batch`, uint8 (B, C, H, W), as the network sees it in `part` (train, val, test) of `epoch`: float32
        channels_last."""
        key = (self.seed, epoch + 1) if part == "train" else (self.config.seed, 0)
        return batch._replace(images=self.views(batch.images, batch.numbers, part, *key))
