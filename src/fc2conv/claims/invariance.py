"""7.1.1 Invariance: patterns look the same wherever they are, and what follows from it."""

from __future__ import annotations

from fc2conv.claims.claim import Claim, effect, equal

PERMUTATION = Claim(
    name="permutation",
    number=1,
    section="7.1",
    title="The order of the pixels",
    sentence="A perceptron treats an image as a list of numbers: any fixed order of the pixels gives it the same task. "
    "A convolution is built on neighbours.",
    source="D2L 7.1, introduction",
    expected="The perceptron stays where it was under any fixed order. The convolutional network loses.",
    refuted_by="A perceptron that changes by more than half a point, or a convolutional network that loses nothing.",
    sweeps=("permutation",),
    comparisons=(
        equal(
            "the perceptron does not care for a fixed order",
            "model=mlp data.permutation=fixed",
            "model=mlp data.permutation=none",
        ),
        effect(
            "the convolutional network loses by it",
            "model=lenet_modern data.permutation=none",
            "model=lenet_modern data.permutation=fixed",
        ),
    ),
)

INVARIANCE = (PERMUTATION,)
