"""7.5 Pooling: what shrinks a map, and whether it matters which."""

from __future__ import annotations

from fc2conv.claims.claim import Claim, effect, equal

MAX = "model.pool=max data.train_size=10000"
AVERAGE = "model.pool=average data.train_size=10000"
STRIDED = "model.pool=strided match.macs=None data.train_size=10000"
MATCHED = "model.pool=strided match.macs=416520 data.train_size=10000"

# Compared at 10,000 images only: at 1,000 the seeds spread so far that no interval of ten would fit within a margin.
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
        equal("the maximum and the average do equally well", MAX, AVERAGE),
        effect("pooling beats strides with equal layers, which compute a third", MAX, STRIDED),
        equal("with as many MACs, strides do as well as pooling", MATCHED, MAX),
    ),
)
