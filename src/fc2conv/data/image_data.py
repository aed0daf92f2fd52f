"""ImageData: the one DataModule of all models."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from fc2conv.architectures.trace import Shape
from fc2conv.config.batches import count_batches, smallest_batch
from fc2conv.config.parsing import parse
from fc2conv.config.schema import EVALUATED, DataConfig
from fc2conv.data.residence import copy_selected
from fc2conv.data.sources import Images, averaged, is_generated, load, stratified_order
from fc2conv.data.transforms import Transforms, mixed_seed
from fc2conv.errors import ConfigError
from fc2conv.fields import signature_with_fields

Split = Literal["train", "val", "test"]


@dataclass(frozen=True)
class Shard:
    """What one rank gets of a batch: which of the ranks that share it this one is, and its device."""

    rank: int = 0
    world_size: int = 1
    device: torch.device = torch.device("cpu")

    def part(self, batch: Tensor) -> Tensor:
        """Ours of what there is one of for each image of a batch."""
        return batch.tensor_split(self.world_size)[self.rank] if self.world_size > 1 else batch


class Batches:
    """One split of a dataset, gathered and transformed batch by batch: a sized iterable of (images, labels) that
    remembers where it is.

    The split is cut into ceil(n / batch_size) batches of nearly equal size, and each batch among the ranks: every image
    comes exactly once an epoch, and all ranks make the same number of steps.

    On an accelerator with room for the split, its images lie there as bytes, and no step waits for the host.

    Args:
        images, labels: the dataset, (N, C, H, W) uint8 or float32, and (N,)
        indices: (n,) the images of this split
        batch_size: over all ranks
        transform: (images, their indices, epoch) -> float32 images
        order: epoch -> seed of that epoch's order; None keeps the order
        epoch: tells the current epoch
        shard: tells our rank and device
    """

    def __init__(
        self,
        dataset: tuple[Tensor, Tensor, Tensor],
        batch_size: int,
        transform: Callable[[Tensor, Tensor, int], Tensor],
        order: Callable[[int], int] | None = None,
        epoch: Callable[[], int] = lambda: 0,
        shard: Callable[[], Shard] = Shard,
    ):
        self.images, self.labels, self.indices = dataset
        self.batches = count_batches(len(self.indices), batch_size)
        self.transform, self.order, self.epoch, self.shard = transform, order, epoch, shard
        self.at = self.resumed = (0, 0)
        self._resident: tuple[torch.device, tuple[Tensor, Tensor, Tensor, Tensor] | None] | None = None

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        epoch, shard = self.epoch(), self.shard()
        images, labels, places, indices = self._on(shard.device)
        if self.order is not None:
            generator = torch.Generator().manual_seed(self.order(epoch))
            # drawn by the CPU's generator for any device, so that all train on the same batches
            order = torch.randperm(len(indices), generator=generator).to(indices.device, non_blocking=True)
            places, indices = places[order], indices[order]
        labels = labels.index_select(0, places).long()
        (stopped_in, start), self.resumed = self.resumed, (0, 0)
        if epoch != stopped_in:  # the trainer may have ended an epoch early: limit_train_batches, overfit_batches
            start = 0
        cut = zip(*(t.tensor_split(self.batches) for t in (places, indices, labels)), strict=True)
        for at, batch in enumerate(cut):
            if at < start:
                continue
            self.at = epoch, at + 1
            chosen, mine, known = (shard.part(t) for t in batch)
            pixels = images.index_select(0, chosen)
            if shard.device.type != "cpu":  # as bytes, a quarter of what they become there
                pixels, mine, known = (t.to(shard.device, non_blocking=True) for t in (pixels, mine, known))
            yield self.transform(pixels, mine, epoch), known

    def indices_of(self, at: int) -> Tensor:
        """Indices in the dataset of the images in our part of batch `at`, (B,), of a split that is not shuffled."""
        assert self.order is None
        return self.shard().part(self.indices.tensor_split(self.batches)[at])

    def _on(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(images, labels, where in these the split's images lie, their indices in the dataset): those of the split on
        `device`, copied there once, if they fit; else all of them, where they are."""
        if self._resident is None or self._resident[0] != device:
            images = copy_selected(self.images, self.indices, device)
            if images is None:
                self._resident = device, None
            else:
                labels, indices = (t.to(device) for t in (self.labels[self.indices], self.indices))
                self._resident = device, (images, labels, torch.arange(len(indices), device=device), indices)
        return self._resident[1] or (self.images, self.labels, self.indices, self.indices)

    def state_dict(self) -> dict[str, int]:
        """How many batches of which epoch have been dealt; Lightning stores it in checkpoints."""
        return dict(zip(("epoch", "next"), self.at, strict=True))

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        self.at = self.resumed = (state["epoch"], state["next"] % self.batches)


class ImageData(LightningDataModule):
    """Images, split, gathered and normalised whole batches at a time, for any LightningModule that takes batches of
    (images, labels): float32 (B, C, H, W), channels_last, and int64 (B,).

    Args:
        config: DataConfig, or its plain values
        seed: of the run: the order of the training images and their augmentation; and config.seed, where that is None
        fields: of the config, in place of `config`

    Raises:
        DataError, ConfigError: from `setup`, naming what is missing or does not fit

    Example:
        >>> from fc2conv import ImageData
        >>> data = ImageData(batch_size=32, train_size=1000)
        >>> images, labels = next(iter(data.train_dataloader()))  # doctest: +SKIP
    """

    def __init__(self, config: DataConfig | Mapping[str, Any] | None = None, seed: int = 0, **fields: Any):
        super().__init__()
        if config is not None and fields:
            raise TypeError(f"ImageData takes a config or its fields, got both: {', '.join(fields)}")
        config = config if isinstance(config, DataConfig) else parse(DataConfig, config or fields, "data")
        self.config = replace(config, seed=seed) if config.seed is None else config
        self.seed = seed
        self._source: Images | None = None

    @property
    def source(self) -> Images:
        """The dataset as published; averaged to data.size, and to data.bands where it has more."""
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
        return self.transforms.shape(bands)

    def prepare_data(self) -> None:
        if self._source is None and not is_generated(self.config):
            load(self.config)

    def setup(self, stage: str | None = None) -> None:
        if self._source is not None:
            return
        config, source = self.config, load(self.config)
        _, bands, *published = source.train_images.shape
        size = config.size_of((published[0], published[1]))
        fewer_bands = config.bands is not None and config.bands < bands
        if fewer_bands or size != (*published,):
            source = averaged(source, config.bands if fewer_bands else None, size)
        n_train, n_val = config.split(len(source.train_labels))
        order = stratified_order(source.train_labels, config.known_seed)
        self.val_indices, self.train_indices = order[:n_val], order[n_val : n_val + n_train]
        self.test_indices = torch.arange(len(source.test_labels))
        mean, square = source.moments[self.train_indices].mean(0)
        std = (square - mean**2).clamp_min(1e-12).sqrt()
        is_bytes = source.train_images.dtype is torch.uint8
        self._shown = (0.0, 255.0) if is_bytes else (float((mean - 3 * std).min()), float((mean + 3 * std).max()))
        if config.normalise == "unit":
            mean, std = torch.zeros_like(mean), torch.full_like(std, 255.0 if is_bytes else 1.0)
        self.mean, self.std = mean, std  # of each band, in pixel values
        self.transforms = Transforms(config, source.train_images.shape[2:], mean, std)  # type: ignore[arg-type]
        self._source = source

    def batches(self, split: Split) -> Batches:
        """The split's batches, on the trainer's device if there is one."""
        source, size = self.source, self.config.batch_size
        images, labels = (
            (source.test_images, source.test_labels) if split == "test" else (source.train_images, source.train_labels)
        )
        shuffled = split == "train"
        return Batches(
            (images, labels, getattr(self, f"{split}_indices")),
            size if shuffled else max(size, EVALUATED // math.prod(self.shape)),
            lambda pixels, indices, epoch: self.transformed(pixels, indices, split, epoch),
            self._order if shuffled else None,
            lambda: self.trainer.current_epoch if self.trainer else 0,
            self._shard,
        )

    def _order(self, epoch: int) -> int:
        """The seed of an epoch's order; with Trainer(overfit_batches=n) the first n batches are always the same."""
        overfits = getattr(self.trainer, "overfit_batches", 0) > 0
        return mixed_seed(self.seed, 0 if overfits else epoch)

    def check_processes(self, n: int) -> None:
        """Raises ConfigError if a training batch has too few images for each of `n` processes to get one."""
        smallest = smallest_batch(len(self.train_indices), self.config.batch_size)
        if smallest < n:
            size = f"{self.config.batch_size}, which is over all processes"
            cut = "" if smallest == self.config.batch_size else f" and leaves a batch of {smallest}"
            raise ConfigError("data.batch_size", f"got {size}{cut}; expected at least one image for each of the {n}")

    def _shard(self) -> Shard:
        trainer = self.trainer
        if trainer is None:
            return Shard()
        self.check_processes(trainer.world_size)
        return Shard(trainer.global_rank, trainer.world_size, trainer.strategy.root_device)

    def train_dataloader(self) -> Batches:
        return self.batches("train")

    def val_dataloader(self) -> Batches:
        return self.batches("val")

    def test_dataloader(self) -> Batches:
        return self.batches("test")

    def predict_dataloader(self) -> Batches:
        """The test images."""
        return self.batches("test")

    def transformed(self, pixels: Tensor, indices: Tensor, split: Split, epoch: int = 0) -> Tensor:
        """Images (B, C, H, W) as the network sees them in a split (and, for training, an epoch): float32
        channels_last. `indices` (B,) are those of the images in the dataset."""
        key = (self.seed, epoch + 1) if split == "train" else (self.config.known_seed, 0)
        return self.transforms(pixels, indices, split, *key)

    def seen(self, indices: Tensor) -> Tensor:
        """Test images (B, C, H, W) as the network sees them, but for their normalisation: uint8.

        Of float32 values, black is three standard deviations below the mean and white three above.

        Args:
            indices: (B,) in the test set
        """
        images = self.transformed(self.source.test_images[indices], indices, "test")
        pixels: Tensor = images * self.std.view(-1, 1, 1) + self.mean.view(-1, 1, 1)
        black, white = self._shown
        return ((pixels - black) * (255 / (white - black))).round().clamp(0, 255).byte().contiguous()


# so that help(), editors and LightningCLI know the fields
ImageData.__init__.__signature__ = signature_with_fields(ImageData.__init__, DataConfig)  # type: ignore[attr-defined]
