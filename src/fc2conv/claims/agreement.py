"""7.1.2.2: where images are as a convolution assumes, and where they are not, each assumption by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fc2conv.claims.claim import Claim, effect
from fc2conv.claims.evidence import Arm, Evidence
from fc2conv.claims.predicted import predicted_in
from fc2conv.claims.tables import NAMES
from fc2conv.data.worlds.predictions import ABOUT, LOSES, WINS

if TYPE_CHECKING:
    from altair import TopLevelMixin

CLEARLY = WINS - LOSES
"""By how much a winner must beat a loser: what the worlds predict of them."""
AT_CHANCE = WINS - 0.25 - ABOUT
"""By how much a winner must beat who is at chance among four classes."""

ANYWHERE, TEXTURE = "data=world_anywhere", "data=world_texture"
TORUS = "model=lenet_gap model.padding_mode=circular"
TITLES = {
    ANYWHERE: "Ten patterns that lie anywhere: one in ten is chance",
    TEXTURE: "A texture that is in neighbours alone: one in four is chance",
    "data=world_tabular": "A table of independent values: one in two is chance",
}


def _named(arm: Arm) -> str:
    if arm.has("model=ladder"):
        return "local, without sharing"
    name = "pixel by pixel" if arm.has("model.kernel_size=1") else NAMES[arm.value_of("model") or ""]
    name += ", zeros beside it" if arm.has("model.padding_mode=zeros") else ""
    return f"{name}, shuffled" if arm.has("data.permutation=fixed") else name


def figure(evidence: Evidence) -> TopLevelMixin:
    """The networks in each world."""
    from fc2conv.claims.drawing import dots, stacked

    return stacked(
        *(dots(evidence, evidence.select(world), label=_named, title=title) for world, title in TITLES.items())
    )


def describe(evidence: Evidence) -> Iterator[str]:
    """What the worlds predict, and what came out."""
    yield "As it was predicted, and as it came out:"
    yield ""
    yield from predicted_in(("world_anywhere", "world_texture", "world_spectral", "world_tabular"), [evidence])


AGREEMENT = Claim(
    name="agreement",
    number=20,
    section="7.1.2.2",
    title="Where the prior is right",
    sentence="What a convolution assumes is right of some images and wrong of others. Where it is right, a "
    "convolutional network learns from few images what a network without the assumption cannot learn from them.",
    source="D2L 7.1.2.2, last paragraph",
    expected="Where patterns lie anywhere, a network that shares its weights finds them, and one that has others at "
    "each place does not, local or not. Where neighbours alone tell the class, windows see it, single pixels cannot, "
    "and a shuffle takes it away.",
    refuted_by="A network without sharing, or an MLP, that is nearly as good as a convolution; or a convolution that "
    "does as well on shuffled textures.",
    sweeps=(
        "agreement_torus",
        "agreement_zeros",
        "agreement_local",
        "agreement_dense",
        "agreement_pointwise",
        "agreement_spectral",
        "agreement_table",
    ),
    comparisons=(
        effect(
            "a pattern anywhere: sharing weights beats windows without sharing",
            f"{ANYWHERE} {TORUS} data.permutation=none",
            f"{ANYWHERE} model=ladder",
            CLEARLY,
        ),
        effect(
            "and it beats an MLP",
            f"{ANYWHERE} {TORUS} data.permutation=none",
            f"{ANYWHERE} model=mlp",
            CLEARLY,
        ),
        effect(
            "a texture of neighbours: windows of 5x5 beat an MLP",
            f"{TEXTURE} {TORUS} data.permutation=none",
            f"{TEXTURE} model=mlp",
            CLEARLY,
        ),
        effect(
            "and a shuffle takes away what they see",
            f"{TEXTURE} {TORUS} data.permutation=none",
            f"{TEXTURE} {TORUS} data.permutation=fixed",
            AT_CHANCE,
        ),
    ),
    figure=figure,
    describe=lambda evidence: list(describe(evidence)),
)
