"""Pixel pictures: what is where, in which colour, and names that are hard to draw."""

from __future__ import annotations

import numpy as np
import pytest
from PIL.Image import Image

from fc2conv.pictures.confusion import confusion_picture
from fc2conv.pictures.examples import example_picture
from fc2conv.pictures.features import feature_picture
from fc2conv.pictures.filters import filter_picture
from fc2conv.pictures.style import RIGHT, WRONG, diverging
from fc2conv.record.arrays import Arrays

ODD = [
    "",
    "日本",
    "<script>alert(1)</script>",
    "two\nlines",
    "\x1b[31m",
    "a name too long for its place " * 4,
]


def colours(picture: Image) -> set[object]:
    return {colour for _, colour in picture.getcolors(1 << 24) or []}


def test_filters_have_one_scale() -> None:
    weights = np.zeros((2, 1, 2, 2), np.float32)
    weights[0, 0] = [[1, -1], [0.5, 0]]
    weights[1, 0] = 0.25
    seen = colours(filter_picture(weights))
    assert {tuple(c) for c in diverging(np.array([1, -1, 0.5, 0.25, 0]), 1.0).tolist()} <= seen


@pytest.mark.parametrize("shape", [(6, 1, 5, 5), (64, 1, 28, 28), (16, 3, 3, 3), (1, 1, 55, 55), (300, 200, 1, 1)])
def test_filters_are_large_enough_and_fit(shape: tuple[int, ...]) -> None:
    weights = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    picture = filter_picture(weights)
    assert 700 < picture.width < 2000
    assert picture.height < 7000
    assert len(colours(picture)) > 50


def test_filters_of_nothing_but_zeros() -> None:
    assert tuple(diverging(np.zeros(1), 1.0)[0].tolist()) in colours(filter_picture(np.zeros((3, 1, 5, 5), np.float32)))


@pytest.mark.parametrize("classes", [2, 60, 2500])
def test_the_confusion_matrix_is_a_picture_of_bounded_size(classes: int) -> None:
    counts = np.zeros((classes, classes), int)
    counts[0, 1], counts[1, 1] = 7, 3
    picture = confusion_picture(counts.tolist(), [f"class {i}" for i in range(classes)])
    assert max(picture.size) <= 2800
    seen = colours(picture)
    assert RIGHT[-1] in seen  # all of class 1 are right
    assert WRONG[-1] in seen  # all of class 0 are taken for one other


def test_few_errors_do_not_look_like_many() -> None:
    counts = np.diag([10_000] * 3)
    counts[0, 1] = 1
    picture = confusion_picture(counts.tolist(), ["a", "b", "c"])
    without_legend = picture.crop((0, 0, picture.width, picture.height - 110))
    assert RIGHT[-1] in colours(without_legend)
    assert WRONG[-1] not in colours(without_legend)


def test_odd_names_break_nothing() -> None:
    n = len(ODD)
    assert confusion_picture(np.ones((n, n), int).tolist(), ODD).width < 2000
    assert confusion_picture(np.ones((n, n), int).tolist(), []).width < 2000  # an earlier version's, without names
    arrays = Arrays(
        examples=np.zeros((n, 1, 4, 4), np.uint8),
        example_indices=np.arange(n),
        example_labels=np.arange(n),
        example_predictions=np.arange(n)[::-1] + 1,  # one without a name
        example_confidences=np.linspace(1, 0.4, n).astype(np.float32),
    )
    assert example_picture(arrays, ODD).width < 2000
    assert feature_picture(np.zeros((1, 4, 4), np.uint8), ODD[-1], {ODD[2]: np.zeros((3, 2, 2))}).width < 2000


def test_examples_show_their_images() -> None:
    images = np.random.default_rng(0).integers(0, 255, (7, 3, 8, 8)).astype(np.uint8)
    numbers = np.arange(7)
    arrays = Arrays(images, images, numbers, numbers, numbers, numbers / 10)
    seen = colours(example_picture(arrays, [f"class {i}" for i in numbers]))
    assert set(map(tuple, np.moveaxis(images, 1, -1).reshape(-1, 3).tolist())) <= seen


def test_each_layer_of_features_has_its_own_scale() -> None:
    one = np.full((2, 5, 5), 0.001, np.float16)
    ten = np.linspace(-10, 10, 50).reshape(2, 5, 5).astype(np.float16)
    picture = feature_picture(np.zeros((1, 5, 5), np.uint8), "a", {"conv1": one, "conv2": ten})
    seen = colours(picture)
    assert {tuple(c) for c in diverging(np.array([1, -1]), 1.0).tolist()} <= seen
