"""A claim and evidence for it, made up: two models, two permutations, three seeds, twenty test images."""

from __future__ import annotations

import numpy as np
import pytest
from claims.made_up import claimed

from fc2conv.claims.claim import Claim, effect, equal
from fc2conv.claims.evidence import Arm, Evidence, Run

N = 20
"""Test images."""
RIGHT = {
    "model=mlp data.permutation=none": (17, 18, 17),
    "model=mlp data.permutation=fixed": (18, 17, 17),
    "model=lenet_modern data.permutation=none": (19, 19, 18),
    "model=lenet_modern data.permutation=fixed": (15, 16, 16),
}
"""Arm -> of each seed, how many of the images are right: the first ones."""


@pytest.fixture
def evidence() -> Evidence:
    arms = tuple(
        Arm(
            name,
            (*name.split(), "data.train_size=10000", "optim=adamw"),
            tuple(
                Run(seed, {"test.acc": k / N, "params": 1000.0, "seconds": 4.0, "shift.accuracy_0": 0.9}, 0.01)
                for seed, k in enumerate(right)
            ),
            (Run(100, {"val.acc": 0.8}, 0.003), Run(100, {"val.acc": 0.9}, 0.01)),
        )
        for name, right in RIGHT.items()
    )
    correct = {name: np.sum([np.arange(N) < k for k in right], 0, dtype=np.uint8) for name, right in RIGHT.items()}
    return Evidence("permutation", arms, (), {"cpu": "made up", "cores": 2, "torch": "2.14"}, correct=correct)


@pytest.fixture
def claim() -> Claim:
    return claimed(
        name="permutation",
        title="The order of the pixels",
        equation=r"\mathbf{H} = \mathbf{W} \mathbf{X}",
        sweeps=("permutation",),
        comparisons=(
            equal(
                "the MLP does not care for a fixed order",
                "model=mlp data.permutation=fixed",
                "model=mlp data.permutation=none",
            ),
            effect(
                "the convolutional network loses by it",
                "model=lenet_modern data.permutation=none",
                "model=lenet_modern data.permutation=fixed",
            ),
        ),
        seeds=3,
    )
