"""7.1.4 and 7.1, summary: what a convolution assumes of images costs where it is wrong, and saves data where it is
right. And fewer parameters are not fewer operations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fc2conv.claims import timing
from fc2conv.claims.claim import Claim, Measure, effect, ratio
from fc2conv.claims.evidence import Check

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

MODELS = (
    *(f"model={name}" for name in ("softmax", "mlp", "lenet", "lenet_modern", "lenet_gap", "lenet_separable")),
    *(f"model={name}" for name in ("lenet_allconv", "lenet_blur", "lenet_coord", "lenet_dilated", "lenet1", "lenet5")),
    *(f"model={name}" for name in ("nin", "convnet_10k", "resnet", "convnet")),
    *(f"model=ladder model.constraint={constraint}" for constraint in ("dense", "local", "shared", "conv")),
)
"""All that there are."""


def count() -> list[Check]:
    """What the sentence is about."""
    lenet, mlp = timing.cost("model=lenet"), timing.cost("model=mlp")
    dense, shared = (timing.cost(f"model=ladder model.constraint={name}") for name in ("dense", "shared"))
    return [
        Check("LeNet has fewer parameters than the perceptron (1: it has)", lenet.params < mlp.params, 1),
        Check("and more MACs", lenet.macs > mlp.macs, 1),
        Check("sharing alone leaves of a dense layer's 623,290 parameters", shared.params, 55**2 + 1 + 7850),
        Check("and of its MACs as many as it had", shared.macs, dense.macs),
    ]


OPERATIONS = Claim(
    name="operations",
    number=8,
    section="7.1.2",
    title="Fewer parameters, not fewer operations",
    sentence="Convolutional networks need far fewer parameters than dense ones. That makes them small, not fast: each "
    "weight is used at every pixel.",
    source="D2L 7, introduction, and 7.1.2",
    expected="LeNet has a quarter of the perceptron's parameters, and half as many MACs again. It takes longer for an "
    "image, in training and in prediction, and keeps more of it for the backward pass: its maps are larger than the "
    "perceptron's layers.",
    refuted_by="A LeNet that is as fast as the perceptron, or keeps no more of an image than that.",
    checks=count,
    observe=lambda: timing.time_models(MODELS),
    comparisons=(
        ratio("LeNet takes longer to train on an image than the perceptron", "model=lenet", "model=mlp", 1.0, "train"),
        ratio("and to classify it", "model=lenet", "model=mlp", 1.0, "predict"),
        ratio("and keeps more of it for the backward pass", "model=lenet", "model=mlp", 1.0, "kept"),
    ),
    data=("cpu",),
)

PRIORS = (OPERATIONS, PRIOR)
