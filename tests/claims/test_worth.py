"""How much data a prior is worth, on curves whose answer is arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fc2conv.architectures.softmax import SoftmaxConfig
from fc2conv.claims.evidence import Arm, Evidence, Run
from fc2conv.claims.prior import describe_prior, draw_prior, training_accuracy
from fc2conv.claims.worth import needed, worth
from fc2conv.data.image_data import ImageData
from fc2conv.training.classifier import Classifier

SIZES = (100, 1000, 10_000)
IMAGES = 200
"""Of the test."""


def arm(model: str, size: int, *accuracies: float) -> Arm:
    runs = tuple(Run(seed, {"test.acc": value, "training.accuracy": 1.0}) for seed, value in enumerate(accuracies))
    overrides = (f"model={model}", f"data.train_size={size}")
    return Arm(" ".join(overrides), overrides, runs)


def evidence(*arms: Arm, last: str = "") -> Evidence:
    """Each arm's runs classify the same images correctly: the first ones, or of the model `last` the last ones."""
    correct = {}
    for each in arms:
        right = [np.arange(IMAGES) < round(value * IMAGES) for value in each.values("test.acc").values()]
        counts = np.sum(right, axis=0, dtype=np.uint8)
        correct[each.name] = counts[::-1] if each.value_of("model") == last else counts
    return Evidence("prior", arms, correct=correct)


@pytest.mark.parametrize(
    ("accuracy", "images"),
    [
        (0.5, 100),
        (0.55, 10**2.5),  # halfway between .5 and .6 is halfway between 100 and 1,000 on the scale of log n
        (0.6, 1000),
        (0.65, 10**3.25),  # a quarter of the way from .6 to .8
        (0.8, 10_000),
        (0.49, 0),
        (0.81, math.inf),
    ],
)
def test_images_are_interpolated_over_their_logarithm_and_never_beyond(accuracy: float, images: float) -> None:
    assert needed(SIZES, (0.5, 0.6, 0.8), accuracy) == pytest.approx(images)


def test_a_curve_that_falls_is_first_reached() -> None:
    assert needed((1, 10, 100, 1000), (0.5, 0.7, 0.6, 0.8), 0.6) == pytest.approx(10**0.5)
    assert needed((1, 10, 100, 1000), (0.5, 0.7, 0.6, 0.8), 0.75) == pytest.approx(10**2.75)


def test_the_prior_is_worth_so_many_times_the_images() -> None:
    """Where two networks are right on the same images in all runs, it is certain; beyond the curve so are its ends."""
    dense = [arm("mlp", n, value, value) for n, value in zip(SIZES, (0.5, 0.6, 0.8), strict=True)]
    convolutional = [arm("lenet_modern", 100, 0.6, 0.6), arm("lenet_modern", 1000, 0.9, 0.9)]
    first, second = worth(evidence(*dense, *convolutional), convolutional, dense)
    assert (first.images, first.k, first.low, first.high) == (100, *[pytest.approx(10)] * 3)
    assert (second.images, second.k, second.low, second.high) == (1000, math.inf, math.inf, math.inf)
    assert str(second) == "> 10 (> 10 to > 10)"
    assert (second.least, second.most) == (0.1, 10)
    (other, _) = worth(evidence(*dense, *convolutional, last="lenet_modern"), convolutional, dense)
    assert other.low < other.k < other.high


def test_seeds_that_differ_widen_the_interval() -> None:
    dense = [arm("mlp", n, *[value] * 6) for n, value in zip(SIZES, (0.5, 0.6, 0.8), strict=True)]
    same, spread = [arm("lenet_modern", 100, *[0.55] * 6)], [arm("lenet_modern", 100, *[0.51, 0.59] * 3)]

    def found(convolutional: list[Arm]) -> tuple[float, float]:
        (one,) = worth(Evidence("prior", (*dense, *convolutional)), convolutional, dense)
        return one.low, one.high

    assert found(same) == (pytest.approx(10**0.5), pytest.approx(10**0.5))  # no test images to draw, none to tell
    low, high = found(spread)
    assert 10**0.1 <= low < 10**0.4
    assert 10**0.6 < high <= 10**0.9
    assert found(spread) == (low, high)


def test_words_and_figure_of_made_up_evidence() -> None:
    dense = [arm("mlp", n, value, value) for n, value in zip(SIZES, (0.5, 0.6, 0.8), strict=True)]
    convolutional = [arm("lenet_modern", 100, 0.6, 0.6), arm("lenet_modern", 1000, 0.9, 0.9)]
    table = Arm("data=world_tabular model=mlp", ("data=world_tabular", "model=mlp"), dense[0].runs)
    found = evidence(*dense, *convolutional, table)
    lines = describe_prior(found)
    assert any(line.startswith("| 100 | 0.5000 | 0.6000 | 10 (") for line in lines)
    assert "| 1,000 | 0.6000 | 0.9000 | > 10 (> 10 to > 10) |" in lines
    assert "| 10,000 | 0.8000 |  |  |" in lines
    assert "| mlp, world_tabular | 1.0000 | 0.5000 |" in lines
    assert "> 10" in draw_prior(found).to_json()


def test_the_training_images_are_those_that_were_trained_on() -> None:
    """All predictions are class 3: as many are right as there are of it, a tenth of a balanced subset."""
    data = ImageData(train_size=200)
    module = Classifier(SoftmaxConfig())
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
        module.net.output.bias[3] = 1
    assert training_accuracy(module, data) == {"accuracy": 0.1}
