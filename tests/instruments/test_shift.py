"""shift.py: classifiers whose predictions under shift are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fc2conv.architectures import plan
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.data.image_data import ImageData
from fc2conv.errors import ConfigError
from fc2conv.instruments.shift import shift_curve, shifted_images, shifted_test
from fc2conv.nets.build import net_of

pytestmark = pytest.mark.usefixtures("one_thread")


def lit(height: int, width: int) -> Tensor:
    """One image for each pixel, which alone is lit: (height * width, 1, height, width)."""
    return torch.eye(height * width).view(-1, 1, height, width)


class LeftOrRight(nn.Module):
    """Class 1 if the right half is the brighter one."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        half = x.shape[3] // 2
        return self.scale * torch.stack([x[..., :half].sum((1, 2, 3)), x[..., half:].sum((1, 2, 3))], 1)


def test_left_or_right_by_hand() -> None:
    """12x12 images with one lit pixel; a blank one is taken for class 0.

    Shifted by k to the right, k of the 12 columns cross the middle, and k leave the image, which were class 1. To the
    left, k cross the middle; the k that leave were class 0 already. Up and down k rows leave, half of them class 1.
    """
    images = lit(12, 12)
    labels = images.sum((1, 2)).argmax(1) // 6
    found = shift_curve(LeftOrRight(), shifted_images(images, labels), range(7))
    assert found.directions == ["up", "down", "left", "right"]
    assert found.n == 144
    for k in range(7):
        lost = np.array([k / 24, k / 24, k / 12, 2 * k / 12])
        np.testing.assert_allclose(found.consistencies[k], 1 - lost, atol=1e-12)
        assert found.consistency[k] == pytest.approx(1 - lost.mean())
    np.testing.assert_array_equal(found.accuracies, found.consistencies)  # the labels are what it predicts
    np.testing.assert_allclose(found.relative, found.accuracy)


def test_what_enters_is_blank() -> None:
    """Blank pixels of 1 on the left make it class 0, whatever leaves on the right. Half of the images were class 1."""
    images = 1 + 0.5 * lit(1, 12)
    labels = torch.zeros(12, dtype=torch.int64)
    dark = shift_curve(LeftOrRight(), shifted_images(images, labels), [0, 2])
    assert dark.directions == ["left", "right"]  # a single row
    assert dark.accuracies[1].tolist() == [1.0, 0.0]  # two dark pixels enter, on the right or on the left
    bright = shift_curve(LeftOrRight(), shifted_images(images, labels, blank=torch.tensor([4.0])), [0, 2])
    assert bright.accuracies[1].tolist() == [0.0, 1.0]


def test_accuracy_relative_to_shift_0() -> None:
    """Half of the labels are wrong: consistency does not look at them."""
    images = lit(1, 8)
    labels = torch.tensor([0, 0, 1, 1, 1, 1, 0, 0])  # right for pixels 0, 1, 4 and 5
    found = shift_curve(LeftOrRight(), shifted_images(images, labels, wrap=True), [0, 4])
    assert found.accuracy.tolist() == [0.5, 0.5]
    assert found.relative.tolist() == [1.0, 1.0]
    assert found.consistency.tolist() == [1.0, 0.0]  # on the torus, half the width swaps the halves
    never = shift_curve(LeftOrRight(), shifted_images(images, labels + 2), [0])
    assert np.isnan(never.relative).all()


def test_a_global_average_on_a_torus_is_invariant() -> None:
    torch.manual_seed(0)
    config = LeNetConfig(padding="same", padding_mode="circular", pool="none", head="gap", activation="relu")
    net = net_of(config, plan(config, (1, 16, 16), 10)).double()
    images, labels = torch.randn(40, 1, 16, 16), torch.randint(10, (40,))
    found = shift_curve(net, shifted_images(images, labels, wrap=True), [0, 3, 8])
    assert (found.consistencies == 1).all()
    assert (found.relative == 1).all()


@pytest.mark.parametrize("fields", [{}, {"permutation": "fixed", "canvas": 32}, {"shift": (5, 5)}])
def test_test_images_move_as_data_shift_moves_them(data_dir: str, fields: dict[str, object]) -> None:
    data = ImageData(dir=data_dir, **fields)
    wanted = ImageData(replace(data.config, shift=(3, -2)))
    (got,) = shifted_test(data, limit=7)(-2, 3)
    images, labels = next(iter(wanted.test_dataloader()))
    assert torch.equal(got[0], images[:7])
    assert torch.equal(got[1], labels[:7])


def test_all_test_images(data_dir: str, tmp_path: Path) -> None:
    data = ImageData(dir=data_dir)
    assert [len(labels) for _, labels in shifted_test(data)(0, 1)] == [500] * 20


@pytest.mark.parametrize("shifts", [[], [1, 2], [0, -1], [0, 8]])
def test_shifts_that_are_refused(shifts: list[int]) -> None:
    with pytest.raises(ConfigError, match="shifts: got"):
        shift_curve(LeftOrRight(), shifted_images(lit(1, 8), torch.zeros(8)), shifts)


def test_no_images() -> None:
    with pytest.raises(ConfigError, match="images: got 0, expected at least one"):
        shift_curve(LeftOrRight(), lambda down, right: [])


def test_its_chart_has_accuracy_and_consistency() -> None:
    found = shift_curve(LeftOrRight(), shifted_images(lit(1, 8), torch.zeros(8)), [0, 1])
    (rows,) = found.chart().to_dict()["datasets"].values()
    assert [row["line"] for row in rows] == ["accuracy"] * 2 + ["consistency"] * 2
