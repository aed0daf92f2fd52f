"""7.5 Pooling: what shrinks a map, and whether it matters which."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fc2conv.claims.claim import Claim, effect, equal
from fc2conv.claims.evidence import Evidence
from fc2conv.claims.tables import accuracy, count, difference, table

if TYPE_CHECKING:
    from altair import TopLevelMixin

KINDS = {
    "maximum": "model.pool=max",
    "average": "model.pool=average",
    "stride": "model.pool=strided match.macs=None",
    "stride, equal MACs": "model.pool=strided match.macs=416520",
}
"""What shrinks the maps -> overrides of its arms."""
SIZES = (1000, 10000)
"""Training images. At the smaller number the seeds spread too far for an interval of ten to fit within a margin, so
that only the larger one is judged."""


def _at(kind: str, images: int = SIZES[-1]) -> str:
    return f"{KINDS[kind]} data.train_size={images}"


def describe(evidence: Evidence) -> Iterator[str]:
    """Accuracy and cost of each kind, and how far it lies from the maximum at each size."""
    rows = []
    for kind in KINDS:
        arms = [evidence.arm(_at(kind, images)) for images in SIZES]
        rows.append([kind, count(arms[0], "params"), count(arms[0], "macs"), *map(accuracy, arms)])
    yield from table(["shrunk by", "parameters", "MACs", *(f"{images:,} images" for images in SIZES)], rows)
    yield ""
    yield "The difference to the maximum, each with a 95 % interval of its own:"
    yield ""
    rows = [[k, *(difference(evidence, _at(k, n), _at("maximum", n)).interval for n in SIZES)] for k in [*KINDS][1:]]
    yield from table(["shrunk by", *(f"{images:,} images" for images in SIZES)], rows)


def figure(evidence: Evidence) -> TopLevelMixin:
    """How far each kind lies from the maximum."""
    from fc2conv.claims.drawing import lines

    series = {
        kind: [
            (float(images), found.mean, found.low, found.high)
            for images in SIZES
            for found in (difference(evidence, _at(kind, images), _at("maximum", images)),)
        ]
        for kind in [*KINDS][1:]
    }
    title = "What shrinks the maps: test accuracy, less that of maximum pooling"
    return lines(series, "Training images", "Difference in test accuracy", log=True, title=title)


POOLING = Claim(
    name="pooling",
    number=11,
    section="7.5",
    title="What shrinks a map",
    sentence="Maps are made smaller by a window's maximum or its average, or by a convolution that takes larger "
    "steps. It matters little which, as long as the network computes as much.",
    source="D2L 7.5.1, which prefers the maximum in almost all cases; 7.3.2, which strides to save computation",
    expected="The book expects the maximum ahead of the average. We expect less than half a point between them: batch "
    "norm scales what either gives, and the dense head weighs it. A stride takes one of four places unseen, with a "
    "third of the MACs: it loses. Given as many MACs, as more channels, it should be level with pooling (Springenberg "
    "et al. 2014).",
    refuted_by="Half a point or more between maximum and average, or between pooling and strides at equal MACs; or "
    "strides that lose nothing with a third of the MACs.",
    sweeps=("pooling", "pooling_macs"),
    comparisons=(
        equal("the maximum and the average do equally well", _at("maximum"), _at("average")),
        effect("pooling beats strides with equal layers, which compute a third", _at("maximum"), _at("stride")),
        equal("with as many MACs, strides do as well as pooling", _at("stride, equal MACs"), _at("maximum")),
    ),
    figure=figure,
    describe=lambda evidence: list(describe(evidence)),
)
