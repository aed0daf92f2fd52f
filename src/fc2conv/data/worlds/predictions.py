"""What each world predicts, written before anything was trained on it.

The arguments are in the docstrings of generators.py; here is what follows from them for networks of this suite, on the
small budget: 4,000 images, 400 steps of 128. A prediction that fails stays as it is; the docstring says so then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

BUDGET = "trainer.max_epochs=13 trainer.max_steps=400"
"""The trainer's keys for which the predictions are made: 13 epochs of 32 steps, the last cut short."""
WINS, LOSES, LEAK, ABOUT = 0.9, 0.8, 0.05, 0.03
"""A winner's least test accuracy; a loser's most; least above chance where something leaks; how far from chance is
still at chance: 2.7 standard errors of 2,000 test images with two classes, more with more."""

Outcome = Literal["wins", "loses", "leaks", "chance"]


@dataclass(frozen=True)
class Prediction:
    """The test accuracy that an arm must have."""

    arm: str
    """Overrides, as on the command line, besides data=WORLD and the budget."""
    outcome: Outcome
    """wins: solves it. loses: falls clearly behind. leaks: is above chance, though it should not know. chance: learns
    nothing."""
    least: float
    most: float
    why: str

    def holds(self, accuracy: float) -> bool:
        """Whether a test accuracy is as predicted."""
        return self.least <= accuracy <= self.most


def wins(arm: str, why: str, least: float = WINS) -> Prediction:
    return Prediction(arm, "wins", least, 1.0, why)


def loses(arm: str, why: str, most: float = LOSES) -> Prediction:
    return Prediction(arm, "loses", 0.0, most, why)


def leaks(arm: str, classes: int, why: str) -> Prediction:
    return Prediction(arm, "leaks", 1 / classes + LEAK, 1.0, why)


def chance(arm: str, classes: int, why: str) -> Prediction:
    return Prediction(arm, "chance", 1 / classes - ABOUT, 1 / classes + ABOUT, why)


@dataclass(frozen=True)
class World:
    """How well it can be solved, and by whom."""

    oracle: float
    """Test accuracy (data.seed=0) of a classifier that knows the rule and has nothing to learn."""
    predictions: tuple[Prediction, ...]


ZEROS = "model=lenet_gap model.padding=same"
TORUS = f"{ZEROS} model.padding_mode=circular"
"""Equivariant to shifts by its total stride of 4 pixels, then averaged over all places. Its receptive field is 16."""
DEEP = f"{TORUS} model.channels=[8,16,32]"
"""One convolution and pooling more: total stride 8, receptive field 36."""
POINTWISE = "model=lenet_gap model.kernel_size=1 model.padding=0 model.pool=none"
"""Sees single pixels."""

WORLDS: dict[str, World] = {
    "world_anywhere": World(
        oracle=1.0,
        predictions=(
            wins(TORUS, "one detector for each pattern works at every place"),
            wins(ZEROS, "only patterns that go on at the opposite edge look different"),
            loses("model=mlp", "most of the 10,240 pairs of pattern and place are in no training image"),
            loses(
                "model=ladder model.constraint=local model.half_width=3 model.channels=8",
                "without sharing, each place learns the patterns by itself from a handful of images",
            ),
            chance("model=softmax", 10, "each pixel has the same mean in every class"),
            loses(f"{TORUS} data.permutation=fixed", "a shuffled pattern fits into no window"),
        ),
    ),
    "world_position": World(
        oracle=1.0,
        predictions=(
            chance(TORUS, 4, "half of the torus is a multiple of the total stride: the quadrants look alike"),
            leaks(ZEROS, 4, "units near the border see zeros, and on which side the pattern is of them"),
            wins(f"{TORUS} model.coordinates=true", "the coordinates are beside the pattern"),
            wins(
                "model=lenet_modern model.padding=same model.padding_mode=circular",
                "a dense head has weights of its own for each place",
            ),
        ),
    ),
    "world_border": World(
        oracle=1.0,
        predictions=(
            chance(TORUS, 2, "the edge of a torus is a place like any other"),
            wins(ZEROS, "zeros beside the pattern show the edge"),
            leaks(f"{ZEROS} model.padding_mode=reflect", 2, "a mirrored pattern shows the edge"),
            leaks("model=lenet_gap model.padding=valid", 2, "fewer windows hold a pattern at the edge"),
        ),
    ),
    "world_texture": World(
        oracle=1.0,
        predictions=(
            wins(TORUS, "a 3x3 window shows the direction, and averaging over the image makes it certain"),
            chance(POINTWISE, 4, "single pixels have the same distribution in each class"),
            loses("model=mlp", "the class is in products of neighbours, to be learned for each pair of pixels"),
            chance("model=softmax", 4, "each pixel has the same mean in every class"),
            chance(f"{TORUS} data.permutation=fixed", 4, "shuffled neighbours are seldom in one window"),
        ),
    ),
    "world_spectral": World(
        oracle=1.0,
        predictions=(
            wins(POINTWISE, "the spectrum of a pixel is all there is"),
            wins(TORUS, "a larger window holds the pixel, too"),
            chance(f"{POINTWISE} data.bands=1", 10, "the mean over the bands is the same in every class"),
            Prediction(
                f"{POINTWISE} data.bands=3",
                "loses",
                0.3 - ABOUT,
                0.3 + ABOUT,
                "three bands tell in which third the line is, and three or four classes have it there: .3 at best",
            ),
            wins(f"{POINTWISE} data.bands=16", "the ten lines still fall into ten bands"),
        ),
    ),
    "world_tabular": World(
        oracle=1.0,
        predictions=(
            wins("model=softmax", "it is the rule itself, with 16 images for each weight"),
            wins("model=mlp", "it can be nearly linear", least=LOSES),
            loses("model=lenet_modern", "shared windows and maxima cannot weigh each pixel by itself"),
            chance(TORUS, 2, "what no place has of its own is not enough: the weights add up to 0"),
            loses("model=lenet_modern data.permutation=fixed", "a table has no order to be lost: as without it"),
        ),
    ),
    "world_order": World(
        oracle=1.0,
        predictions=(
            wins(DEEP, "its receptive field of 36 pixels spans both patterns, 31 from end to end"),
            chance(TORUS, 2, "its receptive field of 16 pixels never touches both, which takes 19"),
            chance(f"{DEEP} data.distance=48", 2, "43 pixels would be needed to touch both"),
            loses("model=mlp", "both patterns are at one of 2,048 places"),
        ),
    ),
}
