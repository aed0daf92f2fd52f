"""pixel_order.py: an MLP does not know the order, neighbours are related; and permuted.py, its picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fc2conv.claims import pixel_order
from fc2conv.claims.permuted import permuted_picture
from fc2conv.claims.pixel_order import NEIGHBOURS
from fc2conv.config.schema import DataConfig
from fc2conv.data.image_data import ImageData

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_permuted_perceptron_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = pixel_order._permuted_columns()
    assert len(checks) == 2
    assert all(check.holds for check in checks)
    # with the columns of another order it is another network
    monkeypatch.setattr("fc2conv.data.transforms.fixed_permutation", lambda config, size: torch.arange(784).flip(0))
    assert not any(check.holds for check in pixel_order._permuted_columns())


def test_neighbours_of_few_images(data_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seeds of 200 images: neighbours are related, and shuffled ones as any two."""

    def few(config: dict[str, Any], seed: int) -> ImageData:
        return ImageData({**config, "dir": data_dir, "train_size": 200}, seed)

    monkeypatch.setattr("fc2conv.data.image_data.ImageData", few)
    monkeypatch.setattr(pixel_order, "SMALL", 2)
    every = pixel_order._neighbours()
    by_seed = [{e.arm: e.figures["neighbours.correlation"] for e in every if e.repetition == k} for k in (0, 1)]
    assert all(by_seed[0][arm] != by_seed[1][arm] for arm in by_seed[0])  # each seed draws images and shuffles anew
    found = by_seed[0]
    assert {arm for comparison in NEIGHBOURS.comparisons for _, arm in comparison.terms} <= set(found)
    assert len(found) == 5 * 8
    for order in ("block", "block_order", "fixed"):
        assert found[f"data.permutation={order} distance=any"] == pytest.approx(
            found["data.permutation=none distance=any"]
        )


def test_the_picture_has_a_column_for_each_order(data_dir: str) -> None:
    one, three = (permuted_picture(DataConfig(dir=data_dir), range(n)) for n in (1, 3))
    assert three.width == one.width
    assert three.height - one.height == 2 * (140 + 22)
    pixels = np.asarray(one.convert("L"))[-24 - 140 : -24]  # the row of images
    columns = [pixels[:, 24 + i * 162 : 24 + i * 162 + 140][::5, ::5] for i in range(6)]
    for column in columns[1:]:  # the same pixels in another order
        assert np.array_equal(np.sort(column, axis=None), np.sort(columns[0], axis=None))
        assert not np.array_equal(column, columns[0])
