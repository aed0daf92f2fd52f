"""7.1: the order of the pixels, which an MLP does not know of, and why a convolution lives on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fc2conv.claims.claim import SMALL, Claim, Observation, effect, equal
from fc2conv.claims.drawing import curves, dots
from fc2conv.claims.evidence import Arm, Check, Evidence
from fc2conv.claims.tables import NAMES, difference, table
from fc2conv.claims.untrained import network, random_images

if TYPE_CHECKING:
    from altair import TopLevelMixin
    from torch import Tensor

WIDE = 0.3
"""Of a fresh order's effect: it is to ruin a network, not to harm it."""


# --- the order of the pixels


def _permuted_columns() -> list[Check]:
    """An MLP on permuted images against another whose first layer's columns are permuted likewise, before and
    after some steps of training."""
    import copy

    import torch
    import torch.nn.functional as F

    from fc2conv.architectures.mlp import MLPConfig
    from fc2conv.config.schema import DataConfig
    from fc2conv.data.transforms import Transforms, fixed_permutation

    shape, one = (1, 28, 28), torch.ones(1)
    images, labels, indices = random_images(64, shape), torch.arange(64) % 10, torch.arange(64)
    plain, permuted = (
        Transforms(DataConfig(permutation=order), (28, 28), 128 * one, 74 * one)(images, indices, "test", 0, 0).double()
        for order in ("none", "fixed")
    )
    order = fixed_permutation(DataConfig(permutation="fixed"), (28, 28))
    assert order is not None
    net = network(MLPConfig(), shape)
    other = copy.deepcopy(net)
    first = other.get_submodule("hidden1").get_parameter("weight")
    with torch.no_grad():
        first.copy_(first[:, order].clone())  # pixel p of a permuted image is pixel order[p] of the image
    apart = []
    for steps in (0, 10):
        for trained, seen in ((net, plain), (other, permuted)):
            optimizer = torch.optim.SGD(trained.parameters(), lr=0.1, momentum=0.9)
            for _ in range(steps):
                optimizer.zero_grad()
                loss: Tensor = F.cross_entropy(trained(seen), labels)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        apart.append(float((net(plain) - other(permuted)).detach().abs().max()))
    return [
        Check("logits of an MLP whose first layer's columns are permuted as the pixels are", apart[0], 0, 1e-10),
        Check("and after ten steps of gradient descent with momentum", apart[1], 0, 1e-10),
    ]


_KEPT = {
    "none": "all",
    "block": "the coarse shape: pixels shuffled within blocks of 7x7",
    "block_order": "textures: the blocks shuffled, each whole",
    "fixed": "what is where, but no neighbours: all pixels shuffled alike",
    "fresh": "how often each value comes: each image shuffled anew",
    "sorted": "the same, from dark to bright",
}


def _name_and_order(arm: Arm) -> str:
    return f"{NAMES[arm.value_of('model') or '']}, {arm.value_of('data.permutation')}"


def _draw_permutation(evidence: Evidence) -> TopLevelMixin:
    return dots(evidence, label=_name_and_order, title="Accuracy of both networks by the order of the pixels")


def _describe_permutation(evidence: Evidence) -> list[str]:
    rows = []
    for order, kept in _KEPT.items():
        lost = [_lost(evidence, f"model={model}", order) for model in ("mlp", "lenet_modern")]
        rows.append([f"`{order}`", kept, *lost])
    lenet = "model=lenet_modern data.permutation="
    told = ["", "LeNet, beside a shuffle of all pixels:", ""]
    for order, where in (("block", "within blocks"), ("block_order", "of blocks")):
        told.append(f"- a shuffle {where} leaves {difference(evidence, f'{lenet}{order}', f'{lenet}fixed').interval}")
    reached = "model=mlp data.permutation=sorted"
    told += [
        "",
        f"An MLP that sees each image's pixels sorted reaches {evidence.arm(reached).mean():.4f}. "
        "With a fresh order for each image the accuracy is, less that:",
        "",
    ]
    for model in ("mlp", "lenet_modern"):
        arms = f"model={model} data.permutation=fresh", reached
        told.append(f"- {NAMES[model]}: {difference(evidence, *arms).interval}")
    return table(["order", "what an image keeps", "MLP loses", "LeNet loses"], rows) + told


def _lost(evidence: Evidence, model: str, order: str) -> str:
    if order == "none" or not evidence.select(f"{model} data.permutation={order}"):
        return ""
    return difference(evidence, f"{model} data.permutation=none", f"{model} data.permutation={order}").interval


PERMUTATION = Claim(
    name="permutation",
    number=1,
    section="7.1",
    title="The order of the pixels",
    sentence="An MLP treats an image as a list of numbers: any fixed order of the pixels gives it the same task. "
    "A convolution is built on neighbours.",
    source="D2L 7.1, introduction",
    expected="The MLP stays where it was under any fixed order: its first weights are drawn alike and apart, so "
    "that it cannot even start differently. The convolutional network loses, less where shapes or textures are left. "
    "A fresh order for each image leaves both with how often each value comes, and about what an MLP makes of "
    "sorted pixels.",
    refuted_by="An MLP that changes by more than half a point; a convolutional network that loses nothing; one "
    "of both that loses less than .3 when each image is shuffled in its own way.",
    sweeps=("permutation", "permutation_sorted"),
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
        effect(
            "a fresh order for each image ruins the MLP",
            "model=mlp data.permutation=none",
            "model=mlp data.permutation=fresh",
            WIDE,
        ),
        effect(
            "and the convolutional network",
            "model=lenet_modern data.permutation=none",
            "model=lenet_modern data.permutation=fresh",
            WIDE,
        ),
    ),
    checks=_permuted_columns,
    figure=_draw_permutation,
    describe=_describe_permutation,
)


# --- neighbouring pixels are related

FAR = 14
"""Half of an image's edge, in pixels."""
RELATED = 0.1
"""By which the correlation of neighbours is to exceed others at least."""
AS_ANY = 0.02
"""How far from the mean of all pairs that of neighbours may lie: a shuffle draws them, 1,512 of 306,936 pairs."""
_R = "neighbours.correlation"


def _neighbours() -> list[Observation]:
    """Of the 10,000 training images that each seed draws, in each order that has places: the correlation of pixels at
    some distances, and that of any two."""
    from fc2conv.data.image_data import ImageData
    from fc2conv.instruments.neighbours import neighbour_curve

    found = []
    for order in ("none", "block", "block_order", "fixed", "fresh"):
        for seed in range(SMALL):
            data = ImageData({"train_size": 10_000, "seed": seed, "permutation": order}, seed)
            pixels = data.source.train_images[data.train_indices]
            curve = neighbour_curve(data.transformed(pixels, data.train_indices, "train"), FAR)
            known = dict(zip(curve.distances, curve.correlations.tolist(), strict=True))
            for distance in (1, 2, 3, 5, 7, 10, FAR):
                found.append(Observation(_apart(order, distance), seed, {_R: known[distance]}))
            found.append(Observation(_apart(order, "any"), seed, {_R: curve.overall}))
    return found


def _apart(order: str, distance: int | str) -> str:
    return f"data.permutation={order} distance={distance}"


def _draw_neighbours(evidence: Evidence) -> TopLevelMixin:
    return curves(
        evidence,
        lambda arm: float(arm.value_of("distance") or 0),
        lambda arm: arm.value_of("data.permutation") or "",
        _R,
        [arm for arm in evidence.arms if arm.value_of("distance") != "any"],
        x_title="Distance (pixels)",
        y_title="Correlation of two pixels",
        title="Neighbouring pixels are related, until they are shuffled",
    )


def _describe_neighbours(evidence: Evidence) -> list[str]:
    rows: dict[str, dict[str, str]] = {}
    for arm in evidence.arms:
        order, distance = (arm.value_of(key) or "" for key in ("data.permutation", "distance"))
        rows.setdefault(f"`{order}`", {})[distance] = f"{arm.mean(_R):.3f}"
    head = [distance if distance == "any" else f"{distance} px" for distance in next(iter(rows.values()))]
    told = ["Mean correlation of two pixels so far apart, along rows and columns, and of any two:", ""]
    return told + table(["order", *head], [[order, *found.values()] for order, found in rows.items()])


NEIGHBOURS = Claim(
    name="neighbours",
    number=16,
    section="7.1",
    title="Neighbouring pixels are related",
    sentence="Nearby pixels are typically related to each other, and what they have in common is what a network that "
    "looks locally can use.",
    source="D2L 7.1, introduction",
    equation=r"r(d) = \operatorname{mean}_{|p-q|=d} \operatorname{corr}(x_p, x_q)",
    expected="Pixels side by side share most of their variance, pixels half an image apart far less. After a fixed "
    "shuffle neighbours are as any two pixels; within blocks, or within those that change places, they stay related.",
    refuted_by="Neighbours whose correlation is not larger, by .1, than that of pixels 14 apart or of shuffled "
    "neighbours; or shuffled neighbours that differ by more than .02 from any two pixels.",
    comparisons=(
        effect(
            "pixels side by side are more related than pixels half an image apart",
            _apart("none", 1),
            _apart("none", FAR),
            RELATED,
            _R,
        ),
        effect(
            "and more than those that a fixed shuffle puts side by side",
            _apart("none", 1),
            _apart("fixed", 1),
            RELATED,
            _R,
        ),
        equal(
            "which are as related as any two pixels",
            _apart("fixed", 1),
            _apart("fixed", "any"),
            AS_ANY,
            _R,
        ),
    ),
    observe=_neighbours,
    figure=_draw_neighbours,
    describe=_describe_neighbours,
)

PIXEL_ORDER = (PERMUTATION, NEIGHBOURS)
