"""Predictions under shift: what a network says of test images that are moved by some pixels.

Accuracy, accuracy relative to that of the images in their place, and consistency: how many images are still taken for
what they were taken for in their place, rightly or not (the consistency of Zhang 2019, against shift 0).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fc2conv.data.transforms import Transforms, place
from fc2conv.fields import Pair, require, spelled
from fc2conv.instruments.drawing import lines
from fc2conv.instruments.layers import copied, place_of

if TYPE_CHECKING:
    from altair import Chart

    from fc2conv.data.image_data import ImageData

BATCH = 500
SHIFTS = tuple(range(9))
DIRECTIONS: dict[str, Pair] = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}

Shifted: TypeAlias = Callable[[int, int], Iterable[tuple[Tensor, Tensor]]]
"""(pixels down, pixels right) -> batches of (images (B, C, H, W) as the network sees them, labels (B,)): each time the
same images in the same order."""


@dataclass(frozen=True)
class ShiftCurve:
    """What becomes of a network's predictions, shift by shift."""

    shifts: list[int]
    """In pixels; the first is 0."""
    directions: list[str]
    n: int
    """Images."""
    accuracies: NDArray[np.float64]
    """(shifts, directions)."""
    consistencies: NDArray[np.float64]
    """(shifts, directions): fraction of the images with the prediction of shift 0."""

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """(shifts,), the mean over the directions."""
        return np.asarray(self.accuracies.mean(1))

    @property
    def relative(self) -> NDArray[np.float64]:
        """(shifts,), accuracy / accuracy at shift 0. NaN if that is 0."""
        start = self.accuracy[0]
        return np.asarray(self.accuracy / (start if start else np.nan))

    @property
    def consistency(self) -> NDArray[np.float64]:
        """(shifts,), the mean over the directions."""
        return np.asarray(self.consistencies.mean(1))

    def chart(self) -> Chart:
        """Accuracy and consistency against the shift."""
        values = {"accuracy": self.accuracy.tolist(), "consistency": self.consistency.tolist()}
        return lines("Predictions under shift", ("shift (pixels)", self.shifts), ("fraction of the images", values))


def shifted_images(images: Tensor, labels: Tensor, blank: float | Tensor = 0.0, wrap: bool = False) -> Shifted:
    """Any images, for `shift_curve`.

    Args:
        images: (N, C, H, W) float, as the network sees them
        labels: (N,)
        blank: what enters: one value, or (C,) one a band
        wrap: let what leaves at one side enter at the other, in place of `blank`
    """
    border = torch.as_tensor(blank, dtype=images.dtype).view(-1, 1, 1)

    def shifted(down: int, right: int) -> Iterable[tuple[Tensor, Tensor]]:
        for batch, known in zip(torch.split(images, BATCH), torch.split(labels, BATCH), strict=True):
            if wrap:
                yield torch.roll(batch, (down, right), (2, 3)), known
            else:
                corner = torch.zeros(len(batch), dtype=torch.int64)
                size = batch.shape[2], batch.shape[3]
                yield place(batch - border, size, corner + down, corner + right) + border, known

    return shifted


def shifted_test(data: ImageData, limit: int | None = None) -> Shifted:
    """The test images as `data.shift` moves them: on their canvas, before their pixels are permuted; background enters.

    Args:
        limit: the first so many only
    """
    images, labels = data.source.test_images[:limit], data.source.test_labels[:limit].long()

    def shifted(down: int, right: int) -> Iterable[tuple[Tensor, Tensor]]:
        config = replace(data.config, shift=(right, down))
        transforms = Transforms(config, data.transforms.size, data.mean, data.std)
        for indices in torch.split(torch.arange(len(labels)), BATCH):
            yield transforms(images[indices], indices, "test", config.known_seed, 0), labels[indices]

    return shifted


def shift_curve(model: nn.Module, shifted: Shifted, shifts: Sequence[int] = SHIFTS) -> ShiftCurve:
    """The predictions for each shift, up, down, left and right; images of one row move to the left and right only.

    Args:
        model: a Classifier, or any module (B, C, H, W) -> (B, classes)
        shifted: `shifted_test(data)`, or `shifted_images(images, labels)`
        shifts: in pixels, beginning with 0

    Raises:
        ConfigError: shifts that do not begin with 0, that are negative, or that move images out of sight; no images
    """
    require(
        len(shifts) > 0 and shifts[0] == 0 and min(shifts) == 0, "shifts", list(shifts), "0 and then pixels, e.g. 0,1,2"
    )
    net = copied(model)
    start, labels, size = _predictions(net, shifted(0, 0))
    require(max(shifts) < size[1], "shifts", max(shifts), f"less than the image's {spelled(size)} pixels")
    directions = [name for name, (down, _) in DIRECTIONS.items() if size[0] > 1 or not down]
    accuracies, consistencies = np.empty((2, len(shifts), len(directions)))
    for i, pixels in enumerate(shifts):
        for j, name in enumerate(directions):
            down, right = DIRECTIONS[name]
            found = _predictions(net, shifted(pixels * down, pixels * right))[0] if pixels else start
            accuracies[i, j] = (found == labels).double().mean()
            consistencies[i, j] = (found == start).double().mean()
    return ShiftCurve(list(shifts), directions, len(labels), accuracies, consistencies)


@torch.no_grad()
def _predictions(net: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor, Pair]:
    """(predicted (N,), labels (N,), (H, W)), on the CPU."""
    found, known, size = [], [], (0, 0)
    there = place_of(net)
    for images, labels in batches:
        found.append(net(images.to(**there)).argmax(1).cpu())
        known.append(labels.cpu())
        size = images.shape[2], images.shape[3]
    require(len(found) > 0, "images", 0, "at least one")
    return torch.cat(found), torch.cat(known), size
