"""7.2.6 Receptive field: what deeper layers see of the image, and how much of it they use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from fc2conv.claims.claim import Claim, Measure, effect
from fc2conv.claims.evidence import Arm, Evidence
from fc2conv.claims.predicted import predicted_in
from fc2conv.claims.tables import accuracy, table
from fc2conv.data.worlds.predictions import ABOUT, WINS

if TYPE_CHECKING:
    from altair import TopLevelMixin

    from fc2conv.data.image_data import ImageData
    from fc2conv.training.classifier import Classifier

SHALLOW = "data=world_order model.channels=[6,16]"
DEEP = "data=world_order model.channels=[8,16,32]"
SPANS = WINS - 0.5 - ABOUT
"""By how much who sees both patterns must beat who does not: what the world predicts of them."""
WIDER = 9
"""Pixels: half of the 18 that the third convolution adds to a receptive field of 14."""
IMAGES = 16
HEIGHT = 28
"""Images that are lower are laid on one another: two of `order` are 32 pixels high, as is the largest field."""


def fields(model: Classifier, data: ImageData) -> Mapping[str, float]:
    """Edges in pixels: of each convolution's receptive field (seen), and of the effective one as trained (field) and at
    initialisation (new). The last one's field is `last`, too."""
    import torch

    from fc2conv.instruments.receptive_field import at_initialisation, effective

    _, height, width = data.shape
    high = -(-HEIGHT // height)
    images = data.transformed(data.source.test_images[: IMAGES * high], torch.arange(IMAGES * high), "test")
    images = images.reshape(IMAGES, 1, high * height, width)
    new = at_initialisation(model.config, model.geometry, model.seed)
    found: dict[str, float] = {}
    convolutions = [row for row in model.geometry.rows if row.name.startswith("conv")]
    for row in convolutions:
        assert isinstance(row.receptive_field, int)
        found[f"seen_{row.name}"] = row.receptive_field
        found[f"field_{row.name}"] = effective(model, images, row.name).size
        found[f"new_{row.name}"] = effective(new, images, row.name).size
    return found | {"last": found[f"field_{convolutions[-1].name}"]}


def describe(evidence: Evidence) -> Iterator[str]:
    """Accuracy against distance, the fields of each convolution, and what the world predicts."""
    rows = [[_named(arm), arm.value_of("data.distance") or "", accuracy(arm)] for arm in _in_order(evidence)]
    yield from table(["network", "pixels between the patterns", "test accuracy"], rows)
    yield ""
    yield "Edges of receptive fields in pixels: what a unit is connected with, and the square as large as the area that"
    yield "counts for it (all pixels with at least 4.6 % of the strongest gradient), before and after training:"
    yield ""
    rows = []
    for name, arm, measure in _measured(evidence):
        for layer in _convolutions(arm, measure):
            sizes = [arm.mean(f"{measure}.{what}_{layer}") for what in ("seen", "new", "field")]
            rows.append([f"{name}, {layer}", f"{sizes[0]:.0f}", *(f"{size:.1f}" for size in sizes[1:])])
    yield from table(["network", "theoretical", "effective, new", "effective, trained"], rows)
    deep = evidence.arm(f"{DEEP} data.distance=24")
    last = _convolutions(deep, "reach")[-1]
    used, seen = (deep.mean(f"reach.{what}_{last}") for what in ("field", "seen"))
    yield ""
    yield "In deep networks the effective field is much smaller than the theoretical one (Luo et al. 2016); of three"
    yield f"convolutions the last one uses {used:.1f} of {seen:.0f} pixels."
    yield ""
    yield "As it was predicted, and as it came out:"
    yield ""
    yield from predicted_in(["world_order"], [evidence])


def figure(evidence: Evidence) -> TopLevelMixin:
    """Accuracy against distance, and the effective field against the theoretical one."""
    from fc2conv.claims.drawing import curves, estimated, lines, side_by_side

    arm = evidence.arm(f"{DEEP} data.distance=24")
    fields = {
        said: [
            estimated(arm.mean(f"reach.seen_{layer}"), list(arm.values(f"reach.{what}_{layer}").values()))
            for layer in _convolutions(arm, "reach")
        ]
        for what, said in (("seen", "theoretical"), ("new", "at initialisation"), ("field", "trained"))
    }
    return side_by_side(
        curves(
            evidence,
            lambda arm: float(arm.value_of("data.distance") or 0),
            _named,
            arms=evidence.select("data=world_order model=lenet_gap"),
            x_title="Pixels from pattern to pattern",
            title="Which of two patterns lies to the left?",
        ),
        lines(
            fields,
            "Theoretical receptive field (pixels)",
            "Field of the middle unit (pixels)",
            title="What the deep network's layers use",
        ),
    )


def _in_order(evidence: Evidence) -> list[Arm]:
    arms = evidence.select("data=world_order")
    return sorted(arms, key=lambda arm: (_named(arm), int(arm.value_of("data.distance") or 0)))


def _named(arm: Arm) -> str:
    if arm.has("model=mlp"):
        return "MLP"
    return "three convolutions" if arm.has(DEEP) else "two convolutions"


def _measured(evidence: Evidence) -> list[tuple[str, Arm, str]]:
    """(name, arm, measure) of those whose fields are shown."""
    return [
        ("two convolutions", evidence.arm(f"{SHALLOW} data.distance=8"), "reach"),
        ("three convolutions", evidence.arm(f"{DEEP} data.distance=24"), "reach"),
        ("LeNet on Fashion-MNIST", evidence.arm("data=fashion_mnist"), "photos"),
    ]


def _convolutions(arm: Arm, measure: str) -> list[str]:
    """Those that a measure looked at, in their order."""
    start = f"{measure}.seen_"
    return sorted(name.removeprefix(start) for name in arm.runs[0].figures if name.startswith(start))


RECEPTIVE_FIELD = Claim(
    name="receptive_field",
    number=7,
    section="7.2",
    title="How far a layer sees",
    sentence="Each layer sees a little more of the image than the one before it: to see farther, build a deeper "
    "network.",
    source="D2L 7.2.6, feature map and receptive field",
    expected="Who cannot see both patterns at once cannot say which lies to the left, however long it trains; who "
    "can, says it. The field that trained units use grows with depth, too, but is smaller than the one they have (Luo "
    "et al. 2016).",
    refuted_by="A shallow network that tells the order of patterns which it cannot see together, or a deep one that "
    "sees both and cannot tell; or units that leave most of what depth adds unused.",
    sweeps=("receptive_field", "receptive_field_deep", "receptive_field_mlp", "receptive_field_photos"),
    comparisons=(
        effect(
            "24 pixels apart, a deep network tells the order and a shallow one does not",
            f"{DEEP} data.distance=24",
            f"{SHALLOW} data.distance=24",
            SPANS,
        ),
        effect(
            "the shallow network tells it where the patterns are 8 pixels apart",
            f"{SHALLOW} data.distance=8",
            f"{SHALLOW} data.distance=24",
            SPANS,
        ),
        effect(
            "beyond its own receptive field, the deep network does not tell it either",
            f"{DEEP} data.distance=24",
            f"{DEEP} data.distance=48",
            SPANS,
        ),
        effect(
            "the field that the deep network's last convolution uses is wider than the shallow one's, by half of what "
            "the third convolution adds",
            f"{DEEP} data.distance=24",
            f"{SHALLOW} data.distance=24",
            WIDER,
            "reach.last",
        ),
    ),
    measures=(
        Measure("reach", fields, "model=lenet_gap"),
        Measure("photos", fields, "data=fashion_mnist"),
    ),
    figure=figure,
    describe=lambda evidence: list(describe(evidence)),
)
