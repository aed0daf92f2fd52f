"""7.1.2.2: what a convolution assumes of images costs where it is wrong, and saves data where it is right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fc2conv.claims import drawing
from fc2conv.claims.claim import Claim, Measure, effect
from fc2conv.claims.evidence import Arm, Evidence
from fc2conv.claims.worth import Worth, size_of, worth
from fc2conv.pictures.style import MUTED

if TYPE_CHECKING:
    from altair import TopLevelMixin

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


def _in_order(evidence: Evidence, model: str) -> list[Arm]:
    """The arms of a model on images in their order, one for each number of them."""
    return [arm for arm in evidence.select(f"model={model}") if size_of(arm) and not arm.value_of("data.permutation")]


def draw_prior(evidence: Evidence) -> TopLevelMixin:
    """Accuracy against the number of images, and what follows from it: how many images the prior is worth."""
    convolutional, dense = _in_order(evidence, "lenet_modern"), _in_order(evidence, "mlp")
    curves = drawing.curves(
        evidence,
        x=size_of,
        colour=lambda arm: "LeNet" if arm in convolutional else "MLP",
        arms=[*dense, *convolutional],
        x_title="Training images",
        log=True,
        title="Accuracy, at equal steps",
    )
    return drawing.side_by_side(curves, _draw_worth(worth(evidence, convolutional, dense)))


def _draw_worth(worths: Sequence[Worth]) -> drawing.Layers:
    """k with its interval; a triangle where the MLP's curve ends before."""
    import altair as alt

    told = [each for each in worths if each.is_told]
    points = [(float(w.images), w.k, max(w.low, w.least), min(w.high, w.most)) for w in told]
    times = drawing.lines({"k": points}, "LeNet's training images", "k", title="The MLP needs k times as many")
    ends = [{"images": w.images, "k": w.most, "said": f"> {w.most:.2g}"} for w in worths if math.isinf(w.k)]
    ticks = alt.Axis(values=[w.images for w in worths], grid=False, format="~s")
    x = alt.X("images:Q", title="LeNet's training images", scale=alt.Scale(type="log", padding=24), axis=ticks)
    beyond = alt.Chart(alt.InlineData(values=ends)).encode(x, alt.Y("k:Q"))
    triangles = beyond.mark_point(shape="triangle-up", filled=True, size=90, opacity=1, color=MUTED)
    return alt.layer(triangles, beyond.mark_text(dy=-14, color=MUTED).encode(alt.Text("said:N")), times).properties(
        title=times.title
    )


def describe_prior(evidence: Evidence) -> list[str]:
    """k(n), and the accuracies where the prior is wrong."""
    dense, convolutional = _in_order(evidence, "mlp"), _in_order(evidence, "lenet_modern")
    worths = {found.images: found for found in worth(evidence, convolutional, dense)}
    lines = [
        "How much data the prior is worth: the MLP needs k times LeNet's images for the same test accuracy, by "
        "its curve over log n and never beyond its end; in brackets the 95 % interval of 1,000 bootstrap samples of "
        "seeds and test images. All are trained for 400 steps: where the images are many, k says what more of them are "
        "worth in that time.",
        "",
        "| images | MLP | LeNet | k |",
        "|--:|--:|--:|--:|",
    ]
    by_size = {size_of(arm): arm for arm in convolutional}
    for arm in sorted(dense, key=size_of):
        n = size_of(arm)
        ours = f"{by_size[n].mean():.4f} | {worths[n]}" if n in by_size else " | "
        lines.append(f"| {n:,} | {arm.mean():.4f} | {ours} |")
    wrong = [arm for arm in evidence.arms if arm.value_of("data") or arm.value_of("data.permutation")]
    lines += [
        "",
        "Where it is wrong; on the training images, the trained network is meant:",
        "",
        "| arm | training images | test |",
        "|---|--:|--:|",
        *(f"| {drawing.short(a.name)} | {a.mean('training.accuracy'):.4f} | {a.mean():.4f} |" for a in wrong),
    ]
    return lines


PRIOR = Claim(
    name="prior",
    number=12,
    section="7.1.2.2",
    title="The price of the prior",
    sentence="Locality and sharing are an inductive bias. Where images agree with it, less data is enough; where they "
    "do not, a convolutional network may not even fit its training data.",
    source="D2L 7.1.2.2, last paragraph",
    expected="The MLP is ahead in a table and on shuffled pixels, on the training images, too. On images in "
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
    figure=draw_prior,
    describe=describe_prior,
)

PRIORS = (PRIOR,)
