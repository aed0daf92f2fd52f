"""7.2.6 and after: what deeper layers see of the image, and how much of it they use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fc2conv.claims.claim import Claim, Measure, effect
from fc2conv.data.worlds.predictions import ABOUT, WINS

if TYPE_CHECKING:
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
"""Images that are lower, as those of `order`, are laid on one another, to be higher than some receptive fields."""


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
)
