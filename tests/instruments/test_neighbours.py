"""neighbours.py: images whose pixels' correlations are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from fc2conv.errors import ConfigError
from fc2conv.instruments.neighbours import neighbour_curve

pytestmark = pytest.mark.usefixtures("one_thread")


def noise(*size: int) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_a_moving_average_by_hand() -> None:
    """Each pixel is the sum of 4 of a row of independent numbers: at distance d they share 4 - d."""
    summed = noise(20_000, 1, 1, 19).unfold(3, 4, 1).sum(-1)
    found = neighbour_curve(summed, 6)
    assert found.distances == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(found.correlations, [0.75, 0.5, 0.25, 0, 0, 0], atol=0.01)


def test_against_numpy_pair_by_pair() -> None:
    images = noise(50, 2, 3, 5).cumsum(3).cumsum(2)
    pixels = images.mean(1).numpy()
    found = neighbour_curve(images, 4)
    for d in found.distances:
        across = [(y, x, y, x + d) for y in range(3) for x in range(5 - d)]
        down = [(y, x, y + d, x) for y in range(3 - d) for x in range(5)]
        r = [np.corrcoef(pixels[:, a, b], pixels[:, c, e])[0, 1] for a, b, c, e in across + down]
        assert found.correlations[d - 1] == pytest.approx(np.mean(r))
    every = np.corrcoef(pixels.reshape(50, 15).T)[np.triu_indices(15, 1)]
    assert found.overall == pytest.approx(every.mean())


def test_what_does_not_vary_is_left_out() -> None:
    """Both halves are each one random number; the column between them is constant. The halves are opposite."""
    half = noise(30, 1, 1, 1).expand(-1, 1, 4, 3)
    images = torch.cat([half, torch.full((30, 1, 4, 1), 0.1), -half], 3)
    found = neighbour_curve(images, 6)
    assert found.correlations[0] == pytest.approx(1)
    # four apart along rows of 7: 0-4, 1-5 and 2-6 are opposite; 3 has none, and there are no rows four apart
    assert found.correlations[3] == pytest.approx(-1)
    # two of three columns on either side: 4 x 3 pixels, 66 pairs within each half, 144 between them
    assert found.overall == pytest.approx((2 * 66 - 144) / (2 * 66 + 144))
    assert np.isnan(neighbour_curve(torch.zeros(3, 1, 2, 2)).correlations).all()


def test_a_shuffle_leaves_all_pairs_as_they_are() -> None:
    images = noise(200, 1, 8, 8).cumsum(3).cumsum(2)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(1))
    before, after = neighbour_curve(images), neighbour_curve(images.flatten(2)[:, :, order].view_as(images))
    assert after.overall == pytest.approx(before.overall)
    assert before.correlations[0] - before.overall > 0.1
    assert abs(after.correlations[0] - after.overall) < 0.1


def test_what_it_refuses() -> None:
    for images, farthest, message in (
        (noise(1, 1, 4, 4), None, r"images: got \[1,1,4,4\], expected"),
        (noise(5, 1, 4, 4), 4, "farthest: got 4, expected from 1 to 3 pixels"),
        (noise(5, 1, 4, 4), 0, "farthest: got 0, expected from 1 to 3 pixels"),
    ):
        with pytest.raises(ConfigError, match=message):
            neighbour_curve(images, farthest)
