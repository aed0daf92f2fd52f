"""structure.py: 1 on a materialised convolution, and what chance gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fc2conv.errors import ConfigError
from fc2conv.instruments.matrix import connections, matrix_of
from fc2conv.instruments.structure import (
    explained,
    explained_by_chance,
    locality,
    picture,
    similarity,
    structure,
    units_of,
)
from fc2conv.nets.modules import DenseImage, LocallyConnected, SharedImage

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


SHAPE = (2, 8, 8)
CONSTRAINTS = {
    "local": LocallyConnected(SHAPE, 3, 2),
    "shared": SharedImage(SHAPE, 3),
    "conv": nn.Conv2d(2, 3, 5, padding=2),
}


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_a_constraint_explains_a_layer_that_has_it(name: str) -> None:
    layer: Any = CONSTRAINTS[name]
    conv = matrix_of(nn.Conv2d(2, 3, 5, padding=2), SHAPE)
    structure = connections(layer, SHAPE)
    assert explained(conv, structure) == pytest.approx(1, abs=1e-12)
    assert explained(matrix_of(layer, SHAPE), structure) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_chance_is_dimensions_over_dimensions(name: str) -> None:
    """34 = 8 5 - 2 (1 + 2) pairs of rows; 15 offsets; 5: squared, over 8^4. And so it is for normal weights."""
    structure = connections(CONSTRAINTS[name], SHAPE)  # type: ignore[arg-type]
    chance = explained_by_chance(structure)
    assert chance == {"local": 34**2, "shared": 15**2, "conv": 5**2}[name] / 8**4
    found = [explained(torch.randn(structure.shape), structure) for _ in range(20)]
    # a beta distribution: its variance is about 2 chance / entries
    tolerance = 5 * (2 * chance / (6 * 8**4) / 20) ** 0.5
    assert np.mean(found) == pytest.approx(chance, abs=tolerance)


def test_explained_by_hand() -> None:
    """Of 1 + 4 + 9 + 16, a diagonal has 1 + 16; its mean is 2.5, twice, and the others' are themselves."""
    matrix = torch.tensor([[1.0, 2], [3, 4]])
    local, shared = LocallyConnected((1, 1, 2), 1, 0), SharedImage((1, 1, 2), 1)
    assert explained(matrix, connections(local, (1, 1, 2))) == pytest.approx(17 / 30)
    assert explained(matrix, connections(shared, (1, 1, 2))) == pytest.approx((2 * 2.5**2 + 13) / 30)


def convolution(mode: str = "zeros", maps: int = 1) -> Tensor:
    conv = nn.Conv2d(2, maps, 5, padding=2, padding_mode=mode).double()
    nn.init.constant_(conv.weight[:, :, 2, 2], 1.0)  # the strongest weight is never cut off
    return units_of(matrix_of(conv, SHAPE), SHAPE)


def test_the_units_of_a_convolution() -> None:
    """In any order, and at the border, too, where only a part of the kernel lies in the image."""
    units = convolution()[torch.randperm(64)]
    assert locality(units, 5).min().item() == pytest.approx(1, abs=1e-12)
    assert locality(units, 4).min() < 0.999
    assert similarity(units).min().item() == pytest.approx(1, abs=1e-9)


def test_a_window_larger_than_the_image_has_all() -> None:
    assert locality(torch.randn(3, 1, 4, 6), 9).tolist() == pytest.approx([1, 1, 1])


def test_locality_by_hand() -> None:
    """Squares 9 and 16 two pixels apart: a window of 2 has one, a window of 3 both; the bands are added up."""
    weights = torch.zeros(2, 2, 4, 5)
    weights[0, 0, 1, 1], weights[0, 0, 1, 3] = 3, -4
    weights[1, 0, 3, 4], weights[1, 1, 3, 4] = 1, 1
    assert locality(weights, 2).tolist() == pytest.approx([16 / 25, 1])
    assert locality(weights, 3).tolist() == pytest.approx([1, 1])


def test_similarity_against_the_definition() -> None:
    """Shift by shift, in loops."""
    weights = torch.randn(3, 2, 4, 5).double()
    best = []
    for u in range(3):
        found = []
        for v in set(range(3)) - {u}:
            for a in range(-3, 4):
                for b in range(-4, 5):
                    mine = weights[u, :, max(-a, 0) : 4 - max(a, 0), max(-b, 0) : 5 - max(b, 0)]
                    theirs = weights[v, :, max(a, 0) : 4 + min(a, 0), max(b, 0) : 5 + min(b, 0)]
                    halves = [
                        part.square().sum() >= 0.5 * weights[n].square().sum() for n, part in ((u, mine), (v, theirs))
                    ]
                    if all(halves):
                        found.append((mine * theirs).sum() / (mine.norm() * theirs.norm()))
        best.append(max(found))
    torch.testing.assert_close(similarity(weights), torch.stack(best))


def test_a_corner_matches_nothing() -> None:
    """Two single pixels in opposite corners are the same, but shifted; two different rows are not."""
    weights = torch.zeros(2, 1, 5, 5)
    weights[0, 0, 0, 0], weights[1, 0, 4, 4] = 1, 2
    assert similarity(weights).tolist() == pytest.approx([1, 1])
    weights[1] *= -1
    assert similarity(weights).max() < 1e-6  # its negative is another pattern


def test_structure_beside_its_null() -> None:
    """A convolution is far above it; random weights lie within it."""
    conv = structure(convolution(), window=5)
    assert conv.locality == pytest.approx(1)
    assert conv.similarity == pytest.approx(1)
    assert conv.figures()["locality_z"] > 20
    assert conv.figures()["similarity_z"] > 20
    dense = DenseImage(SHAPE, 1)
    random = structure(units_of(dense.weight, SHAPE), seed=1).figures()
    assert abs(random["locality_z"]) < 4
    assert abs(random["similarity_z"]) < 4
    assert random["locality"] > 25 / 64  # each unit chooses its best window


def test_a_null_of_ones_own_and_a_seed() -> None:
    weights = torch.randn(70, 1, 6, 6)
    first, again, other = (structure(weights, 3, 2, seed) for seed in (0, 0, 1))
    assert first.null_locality.tolist() == again.null_locality.tolist() != other.null_locality.tolist()
    assert first.similarity == again.similarity != other.similarity  # other units are compared
    point = torch.zeros(64, 1, 6, 6)
    point[:, 0, 3, 3] = 1
    own = structure(weights, 3, 2, null=lambda w, g: point)
    assert own.null_locality.tolist() == [1, 1]
    assert np.isnan(own.figures()["locality_z"])


def test_what_is_refused() -> None:
    with pytest.raises(ConfigError, match="window: got 0"):
        locality(torch.ones(1, 1, 2, 2), 0)
    with pytest.raises(ConfigError, match=r"weights: got \[1,1,2,2\], expected .* at least two units"):
        similarity(torch.ones(1, 1, 2, 2))
    with pytest.raises(ConfigError, match="draws: got 1"):
        structure(torch.ones(2, 1, 2, 2), draws=1)


def test_its_picture_has_the_units_side_by_side() -> None:
    weights = torch.zeros(9, 2, 3, 3)
    weights[8, 0, 1, 1] = 5.0
    pixels = np.asarray(picture(weights))
    cell = 640 // 31
    assert pixels.shape == (7 * cell, 31 * cell, 3)  # two rows of eight, with a pixel between
    assert pixels[5 * cell, cell].tolist() == [178, 24, 43]
