"""How much a pixel says of its neighbours: the correlation of two pixels, over many images, against their distance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fc2conv.fields import require


@dataclass(frozen=True)
class NeighbourCurve:
    """The mean correlation of pixels so far apart."""

    distances: list[int]
    """In pixels, along rows and columns."""
    correlations: NDArray[np.float64]
    """(distances,). NaN where no two pixels that vary lie so far apart."""
    overall: float
    """Of all pairs of pixels, wherever they lie: what every distance has where pixels stand in no order."""


def neighbour_curve(images: Tensor, farthest: int | None = None) -> NeighbourCurve:
    """Pearson's correlation of each two pixels over the images, and its mean for each distance.

    Pixels that have the same value in all images have no correlation, and are left out.

    Args:
        images: (N, C, H, W), at least two; of several bands their mean is taken
        farthest: the largest distance, in pixels. None: half of the longer side

    Raises:
        ConfigError: fewer than two images, or a distance that no two pixels have
    """
    require(
        images.ndim == 4 and len(images) > 1, "images", tuple(images.shape), "(N, C, H, W) with at least two images"
    )
    h, w = images.shape[2:]
    farthest = max(h, w) // 2 if farthest is None else farthest
    require(1 <= farthest < max(h, w), "farthest", farthest, f"from 1 to {max(h, w) - 1} pixels")
    pixels = images.double().mean(1).flatten(1)
    varying = pixels.var(0) > 0
    found = torch.full((h * w, h * w), torch.nan, dtype=torch.float64)
    found[varying.outer(varying)] = torch.corrcoef(pixels[:, varying].T).flatten()
    at = torch.arange(h * w).view(h, w)
    by_distance = []
    for d in range(1, farthest + 1):
        across, down = found[at[:, :-d], at[:, d:]], found[at[:-d], at[d:]]
        by_distance.append(float(torch.cat([across.flatten(), down.flatten()]).nanmean()))
    pairs = found[tuple(torch.triu_indices(h * w, h * w, 1))]
    return NeighbourCurve(list(range(1, farthest + 1)), np.array(by_distance), float(pairs.nanmean()))
