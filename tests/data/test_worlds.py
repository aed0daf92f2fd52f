"""worlds/: images as their rules say, told by an oracle that knows them, and nothing else in them that tells."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest

from fc2conv.config.parsing import parse
from fc2conv.config.schema import DataConfig
from fc2conv.data.worlds.generators import EDGE, LINES, PATTERNS, generate
from fc2conv.data.worlds.predictions import WORLDS

Array = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
ALL = sorted(WORLDS)


def config(name: str, **settings: int) -> DataConfig:
    return parse(DataConfig, {"name": name, "val_size": 1000, **settings}, "data")


@cache
def world(name: str, **settings: int) -> dict[str, Array]:
    return generate(config(name, **settings))[0]


# --- oracles, which know the rule


def responses(images: Array, pattern: npt.NDArray[np.int8]) -> Floats:
    """(N, 1, H, W), (EDGE, EDGE) -> (N, H, W): the product of the pattern with what is under it, wherever its corner
    is put on the torus."""
    padded = np.zeros(images.shape[2:])
    padded[:EDGE, :EDGE] = pattern
    spectrum = np.fft.rfft2(images[:, 0]) * np.conj(np.fft.rfft2(padded))
    return np.fft.irfft2(spectrum, s=images.shape[2:])


def corners(images: Array, pattern: npt.NDArray[np.int8]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """(rows, columns) where the pattern fits best."""
    best = responses(images, pattern).reshape(len(images), -1).argmax(1)
    rows, columns = np.unravel_index(best, images.shape[2:])
    return rows, columns


def which_pattern(images: Array) -> npt.NDArray[np.intp]:
    return np.stack([responses(images, p).max((1, 2)) for p in PATTERNS]).argmax(0)


def which_quadrant(images: Array) -> npt.NDArray[np.intp]:
    rows, columns = corners(images, PATTERNS[0])
    return rows // 16 * 2 + columns // 16


def at_the_edge(images: Array) -> npt.NDArray[np.bool_]:
    rows, columns = corners(images, PATTERNS[0])
    return (rows == 0) | (columns == 0)


def lag_one(images: Array) -> Floats:
    """(directions, N): the correlation with the neighbour to the right, below, below right and above right."""
    x = images[:, 0] - images.mean((1, 2, 3), keepdims=True)[:, 0]
    steps = ((0, 1), (1, 0), (1, 1), (-1, 1))
    products = np.stack([(x * np.roll(x, step, (1, 2))).mean((1, 2)) for step in steps])
    return products / x.var((1, 2))


def brightest_line(images: Array) -> npt.NDArray[np.intp]:
    return images.mean((2, 3))[:, LINES].argmax(1)


def which_side(images: Array) -> npt.NDArray[np.bool_]:
    """The teacher is drawn again, by the third stream of data.seed=0: 128 weights and their negatives, shuffled."""
    generator = np.random.default_rng((0, 2))
    half = generator.integers(1, 101, 128)
    teacher = generator.permutation([*half, *-half])
    return (images.reshape(len(images), -1) - 127.5) @ teacher > 0


def which_order(images: Array) -> npt.NDArray[np.bool_]:
    """Whether B's corner is in front of A's by less than half a turn."""
    (_, a), (_, b) = corners(images, PATTERNS[0]), corners(images, PATTERNS[1])
    return (a - b) % images.shape[3] < images.shape[3] // 2


ORACLES: dict[str, Callable[[Array], npt.NDArray[np.generic]]] = {
    "world_anywhere": which_pattern,
    "world_position": which_quadrant,
    "world_border": at_the_edge,
    "world_texture": lambda images: lag_one(images).argmax(0),
    "world_spectral": brightest_line,
    "world_tabular": which_side,
    "world_order": which_order,
}


@pytest.mark.parametrize("name", ALL)
def test_the_rule_can_be_known(name: str) -> None:
    images, labels = world(name)["test_images"], world(name)["test_labels"]
    accuracy = (ORACLES[name](images) == labels).mean()
    assert accuracy >= 0.99
    assert accuracy == pytest.approx(WORLDS[name].oracle, abs=0.0005)
