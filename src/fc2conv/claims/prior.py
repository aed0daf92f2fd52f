"""7.1.4 and 7.1, summary: what a convolution assumes of images costs where it is wrong, and saves data where it is
right. And fewer parameters are not fewer operations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fc2conv.claims.claim import Claim, Measure, effect

if TYPE_CHECKING:
    from fc2conv.data.image_data import ImageData
    from fc2conv.training.classifier import Classifier

LOOKED_AT = 10_000
"""Training images, at most, on which the trained network is looked at."""


def training_accuracy(module: Classifier, data: ImageData) -> dict[str, float]:
    """The accuracy of the trained network on its training images: what it could fit, whether or not it generalises."""
    import torch

    right = seen = 0
    module.eval()
    with torch.inference_mode():
        for images, labels in data.batches("train"):
            right += int((module(images).argmax(1) == labels).sum())
            seen += len(labels)
            if seen >= LOOKED_AT:
                break
    return {"accuracy": right / seen}


PRIOR = Claim(
    name="prior",
    number=12,
    section="7.1.4",
    title="The price of the prior",
    sentence="Locality and sharing are an inductive bias. Where images agree with it, less data is enough; where they "
    "do not, a convolutional network may not even fit its training data.",
    source="D2L 7.1.4, last paragraph",
    expected="The perceptron is ahead in a table and on shuffled pixels, on the training images, too. On images in "
    "their order the convolutional network needs several times fewer of them, the more so the fewer there are.",
    refuted_by="A convolutional network that is not behind in a table or on shuffled pixels, or not on the images that "
    "it is trained on.",
    sweeps=("prior_tabular", "prior_torus", "prior_permuted", "prior_size", "prior_all"),
    comparisons=(
        effect(
            "in a table of independent values the convolutional network loses",
            "model=mlp data=world_tabular",
            "model=lenet_modern data=world_tabular",
        ),
        effect(
            "it loses there on its training data, too",
            "model=mlp data=world_tabular",
            "model=lenet_modern data=world_tabular",
            of="training.accuracy",
        ),
        effect(
            "on shuffled pixels it loses",
            "model=mlp data.permutation=fixed",
            "model=lenet_modern data.permutation=fixed",
        ),
        effect(
            "it loses there on its training images, too",
            "model=mlp data.permutation=fixed",
            "model=lenet_modern data.permutation=fixed",
            of="training.accuracy",
        ),
    ),
    measures=(Measure("training", training_accuracy),),
)

PRIORS = (PRIOR,)
