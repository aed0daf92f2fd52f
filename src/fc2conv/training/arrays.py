"""What a run leaves as numbers for its pictures (record/arrays.py): taken from the tested network and its test set."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from fc2conv.data.image_data import ImageData
from fc2conv.instruments.features import feature_maps
from fc2conv.instruments.filters import first_filters
from fc2conv.record.arrays import UNTESTED, Arrays
from fc2conv.training.metrics import SUM_DTYPE

EXAMPLES = 20
"""Misclassified test images that a run keeps."""
SAMPLES = 3
"""Test images, the first ones, whose feature maps a run keeps."""
FILTERS = 64
"""Most filters of the first layer that a run keeps."""
FILTER_VALUES = FILTERS * 28 * 28
"""Most weights among them: of a dense layer on large images fewer units are kept."""
MAPS = 16
"""Most feature maps of a layer that a run keeps, the first ones."""
MAP_VALUES = 100_000
"""Most values among all its feature maps, 200 kB: networks of many layers have fewer maps of each."""
MAP_EDGE = 64
"""Larger maps are scaled down to so many pixels a side."""


class Mistakes(Callback):
    """During a test, keeps the images that are misclassified with the most confidence, over all batches and ranks.

    Attributes:
        indices: (n,) where they lie in the test set, the most confident first; as the others, once the test has ended
        labels, predictions: (n,)
        confidences: (n,) the probability that each gave to its prediction
    """

    def __init__(self, data: ImageData, most: int = EXAMPLES):
        self.data, self.most = data, most
        self.indices = self.labels = self.predictions = torch.zeros(0, dtype=torch.int64)
        self.confidences = torch.zeros(0)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._batches, device = self.data.batches("test"), pl_module.device
        # as many on each rank, so that they can be gathered; -inf stands for none
        self._scores = torch.full((self.most,), -math.inf, dtype=SUM_DTYPE, device=device)
        self._found = torch.zeros(3, self.most, dtype=torch.int64, device=device)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        labels: Tensor = batch[1]
        # logarithms, and in float64, so that those next to 1 are still told apart
        scores, predictions = outputs.to(SUM_DTYPE).log_softmax(1).max(1)
        scores = scores.masked_fill((predictions == labels) | scores.isnan(), -math.inf)
        indices = self._batches.indices_of(batch_idx).to(labels.device, non_blocking=True)
        self._keep(
            torch.cat([self._scores, scores]), torch.cat([self._found, torch.stack([indices, labels, predictions])], 1)
        )

    def _keep(self, scores: Tensor, found: Tensor) -> None:
        """The best of these; of equals those that come first."""
        order = scores.argsort(descending=True, stable=True)[: self.most]
        self._scores, self._found = scores[order], found[:, order]

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        gather = trainer.strategy.all_gather
        scores = gather(self._scores).view(-1)
        found = gather(self._found).view(-1, 3, self.most).transpose(0, 1).reshape(3, -1)
        by_index = found[0].argsort()
        self._keep(scores[by_index], found[:, by_index])
        there = self._scores > -math.inf
        self.indices, self.labels, self.predictions = self._found[:, there].cpu()
        self.confidences = self._scores[there].exp().float().cpu()


class Predictions(Callback):
    """Keeps what a test predicts for each image, over all batches and ranks.

    Attributes:
        values: (N,) int16, in the order of the test set, once the test has ended; UNTESTED where there is none
    """

    def __init__(self, data: ImageData):
        self.data = data
        self.values = torch.zeros(0, dtype=torch.int16)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._batches = self.data.batches("test")
        self._found = torch.full((len(self.data.test_indices),), UNTESTED, dtype=torch.int64, device=pl_module.device)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        indices = self._batches.indices_of(batch_idx).to(self._found.device, non_blocking=True)
        self._found[indices] = outputs.argmax(1)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        each = trainer.strategy.all_gather(self._found).view(-1, len(self._found))
        self.values = each.amax(0).short().cpu()


def collect(net: nn.Module, data: ImageData, mistakes: Mistakes, predictions: Predictions) -> Arrays:
    """What `net` and its test leave. `net` is in eval mode afterwards."""
    samples = torch.arange(min(SAMPLES, len(data.test_indices)))
    filters = first_filters(net, data.shape)
    most = min(FILTERS, FILTER_VALUES // max(1, filters[:1].numel()))
    features = small(feature_maps(net, data, samples.tolist()))
    return Arrays(
        filters=filters[:most].float().cpu().contiguous().numpy(),
        samples=data.seen(samples).numpy(),
        sample_labels=data.source.test_labels[samples].long().numpy(),
        features={name: maps.half().numpy() for name, maps in features.items()},
        test_labels=data.source.test_labels[data.test_indices].short().numpy(),
        test_predictions=predictions.values.numpy(),
        **examples(data, mistakes),
    )


def examples(data: ImageData, mistakes: Mistakes) -> dict[str, Any]:
    """The images that were misclassified, and what is known of them, by their names in Arrays."""
    return {
        "examples": data.seen(mistakes.indices).numpy(),
        "example_indices": mistakes.indices.numpy(),
        "example_labels": mistakes.labels.numpy(),
        "example_predictions": mistakes.predictions.numpy(),
        "example_confidences": mistakes.confidences.numpy(),
    }


def small(features: dict[str, Tensor]) -> dict[str, Tensor]:
    """As many maps of each layer as MAPS and MAP_VALUES leave, the first ones, and none larger than MAP_EDGE. Of a
    network with too many layers for one map each, the first layers."""
    features = {name: _within(maps, MAP_EDGE) for name, maps in features.items()}
    fits = (m for m in range(MAPS, 1, -1) if sum(maps[:, :m].numel() for maps in features.values()) <= MAP_VALUES)
    most, limit = next(fits, 1), torch.finfo(torch.half).max
    kept, values = {}, 0
    for name, maps in features.items():
        values += maps[:, :most].numel()
        if values <= MAP_VALUES:
            kept[name] = maps[:, :most].clamp(-limit, limit)
    return kept


def _within(maps: Tensor, edge: int) -> Tensor:
    size = (min(maps.shape[2], edge), min(maps.shape[3], edge))
    return maps if maps.shape[2:] == size else F.adaptive_avg_pool2d(maps, size)
