"""Learned structure: how local, and how shift-invariant, the weights of a dense layer are.

Measured in two ways. Where each unit stands over a pixel (`explained`), the layer is projected onto those that have a
constraint, and the share of its squared weights that is left says how far it has it:

    explained = ||P W||^2 / ||W||^2

1 for a layer with the constraint. For independent random weights it is, on average, the weights that a layer with the
constraint has over those that a dense one has.

But a dense layer may put its units in any order, and nothing tells a unit where to stand. So each unit may also choose
the place where it is most local (`locality`), and the other unit and the shift by which it is most like it
(`similarity`). What random weights reach by that choice is simulated (`structure`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from fc2conv.architectures.trace import Shape
from fc2conv.fields import require
from fc2conv.instruments.drawing import tiles
from fc2conv.instruments.matrix import Connections
from fc2conv.instruments.release import project

if TYPE_CHECKING:
    from PIL.Image import Image

UNITS = 64
"""Of a larger layer so many units are drawn for `similarity`, which compares each with each."""
SHARED_ENERGY = 0.5
"""Two units are compared at shifts at which so much of the squared weights of each lies where the other has weights,
too; else a corner of one would match anything."""


def explained(matrix: Tensor, constraint: Connections) -> float:
    """Share of a matrix's squared entries that the nearest layer with a constraint has, from 0 to 1.

    Args:
        matrix: (output units, inputs)
        constraint: the connections of a layer that has it, e.g. of a LocallyConnected, SharedImage or Conv2d
    """
    matrix = matrix.double()
    nearest = constraint.matrix(project(matrix, constraint))
    return float(nearest.square().sum() / matrix.square().sum())


def explained_by_chance(constraint: Connections) -> float:
    """What `explained` is for independent random weights on average: the dimensions of the constraint over all."""
    return constraint.distinct / (constraint.shape[0] * constraint.shape[1])


def locality(weights: Tensor, window: int) -> Tensor:
    """Share of each unit's squared weights in the window of window x window pixels that has most of them.

    Args:
        weights: (U, C, H, W) of the units, as images
        window: its edge in pixels; less where the image is smaller

    Returns:
        (U,), from 0 to 1; 1 for a unit of a convolution with a kernel of that size
    """
    require(window >= 1, "window", window, "1 or more pixels")
    energy = weights.double().square().sum(1, keepdim=True)
    h, w = min(window, energy.shape[2]), min(window, energy.shape[3])
    best = F.avg_pool2d(energy, (h, w), 1).amax((1, 2, 3)) * (h * w)
    return best / energy.sum((1, 2, 3))


def similarity(weights: Tensor) -> Tensor:
    """How like each unit is to a shifted one of the others: the largest cosine between their weights, where both
    images lie on each other, over all other units and shifts.

    (U, C, H, W) -> (U,), from -1 to 1; 1 for a unit of a convolution.
    """
    require(len(weights) >= 2, "weights", list(weights.shape), "(U, C, H, W) of at least two units")
    weights = weights.double()
    h, w = weights.shape[2:]
    full = (2 * h - 1, 2 * w - 1)
    spectra = torch.fft.rfft2(weights, s=full)
    # mine[u, d]: squared weights of u at the pixels p for which p + d lies in the image, too
    energy = torch.fft.rfft2(weights.square().sum(1), s=full)
    mine = _correlation(energy, torch.fft.rfft2(weights.new_ones(h, w), s=full), full)
    theirs = mine.flip(1, 2).roll((1, 1), (1, 2))  # and of v at p + d: those at -d
    whole = weights.square().sum((1, 2, 3))
    enough = SHARED_ENERGY - 1e-9
    enough_mine = mine >= enough * whole[:, None, None]
    enough_theirs = theirs >= enough * whole[:, None, None]
    best = torch.full((len(weights),), -1.0, dtype=torch.float64)
    for u in range(len(weights) - 1):
        v = slice(u + 1, None)  # v is as like u as u is like v
        products = _correlation(spectra[u], spectra[v], full, sum_over=1)
        cosines = products / (mine[u] * theirs[v]).clamp(min=1e-300).sqrt()
        found = cosines.masked_fill(~(enough_mine[u] & enough_theirs[v]), -1).amax((1, 2))
        best[u] = torch.maximum(best[u], found.max())
        best[v] = torch.maximum(best[v], found)
    return best.clamp(-1, 1)


def _correlation(a: Tensor, b: Tensor, size: tuple[int, int], sum_over: int | None = None) -> Tensor:
    """Sum over p of a[p] b[p + d], for each shift d modulo `size`, from spectra."""
    products = a.conj() * b
    found: Tensor = torch.fft.irfft2(products if sum_over is None else products.sum(sum_over), s=size)
    return found


@dataclass(frozen=True)
class Structure:
    """A layer's structure beside that of layers with random weights."""

    locality: float
    """Mean over the units."""
    similarity: float
    """Mean over the units."""
    null_locality: NDArray[np.float64]
    """(draws,): the same of random layers."""
    null_similarity: NDArray[np.float64]

    def figures(self) -> dict[str, float]:
        """Each value, the mean and standard deviation of its null, and how many such deviations lie between."""
        found: dict[str, float] = {}
        for name in ("locality", "similarity"):
            value, null = getattr(self, name), getattr(self, f"null_{name}")
            deviation = float(null.std(ddof=1))
            found |= {
                name: value,
                f"{name}_null": float(null.mean()),
                f"{name}_null_std": deviation,
                f"{name}_z": (value - float(null.mean())) / deviation if deviation else float("nan"),
            }
        return found


def structure(
    weights: Tensor,
    window: int = 5,
    draws: int = 20,
    seed: int = 0,
    null: Callable[[Tensor, torch.Generator], Tensor] | None = None,
) -> Structure:
    """`locality` and `similarity` of a dense layer's units, and their null distribution.

    Args:
        weights: (U, C, H, W) of the units, as images (`units_of`)
        window: edge of the windows of `locality`, in pixels
        draws: random layers, at least 2
        seed: of the draws, and of the units that are compared where there are more than 64
        null: (weights, generator) -> random weights of that shape. None: uniform and independent, as all layers here
            start; neither measure depends on their scale
    """
    require(draws >= 2, "draws", draws, "2 or more, so that they have a deviation")
    generator = torch.Generator().manual_seed(seed)
    weights = weights.detach().cpu().double()
    if len(weights) > UNITS:
        weights = weights[torch.randperm(len(weights), generator=generator)[:UNITS]]
    draw = null or _uniform
    random = [draw(weights, generator) for _ in range(draws)]
    return Structure(
        float(locality(weights, window).mean()),
        float(similarity(weights).mean()),
        np.array([float(locality(w, window).mean()) for w in random]),
        np.array([float(similarity(w).mean()) for w in random]),
    )


def units_of(matrix: Tensor, shape: Shape) -> Tensor:
    """A dense layer's weights as images: (units, inputs) -> (units, C, H, W) for inputs of `shape`."""
    return matrix.detach().view(-1, *shape)


def picture(weights: Tensor, columns: int = 8) -> Image:
    """The first 64 units of (U, C, H, W), mean over the bands, side by side, each on its own scale."""
    shown = weights.detach().cpu().double().mean(1)[:UNITS]
    rows = -(-len(shown) // columns)
    full = F.pad(shown, (0, 0, 0, 0, 0, rows * columns - len(shown)))
    return tiles(full.view(rows, columns, *shown.shape[1:]).numpy())


def _uniform(weights: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(weights.shape, generator=generator, dtype=torch.float64) * 2 - 1
