"""7.1.1 Invariance: patterns look the same wherever they are, and what follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fc2conv.claims.claim import Claim, effect, equal
from fc2conv.claims.drawing import dots
from fc2conv.claims.evidence import Arm, Check, Evidence, Figure
from fc2conv.claims.verdicts import Outcome, outcome

if TYPE_CHECKING:
    from altair import TopLevelMixin
    from torch import Tensor, nn

    from fc2conv.architectures import ModelConfig, Shape

WIDE = 0.3
"""Of a fresh order's effect: it is to ruin a network, not to harm it."""


def _difference(evidence: Evidence, more: str, less: str, of: Figure = "test.acc") -> Outcome:
    """How far one arm lies above another, with an interval of its own, for the description."""
    return outcome(effect("", more, less, of=of), evidence)


def _network(config: ModelConfig, shape: Shape) -> nn.Module:
    """A network with the initial weights of seed 0, in float64 and in evaluation."""
    import torch

    from fc2conv.architectures import plan
    from fc2conv.nets.build import net_of

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return net_of(config, plan(config, shape, 10)).double().eval()


def _random_images(n: int, shape: Shape) -> Tensor:
    """(n, *shape) uint8, of seed 0."""
    import torch

    return torch.randint(256, (n, *shape), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


# --- the order of the pixels


def _permuted_columns() -> list[Check]:
    """A perceptron on permuted images against another whose first layer's columns are permuted likewise, before and
    after some steps of training."""
    import copy

    import torch
    import torch.nn.functional as F

    from fc2conv.architectures.mlp import MLPConfig
    from fc2conv.config.schema import DataConfig
    from fc2conv.data.transforms import Transforms, fixed_permutation

    shape, one = (1, 28, 28), torch.ones(1)
    images, labels, indices = _random_images(64, shape), torch.arange(64) % 10, torch.arange(64)
    plain, permuted = (
        Transforms(DataConfig(permutation=order), (28, 28), 128 * one, 74 * one)(images, indices, "test", 0, 0).double()
        for order in ("none", "fixed")
    )
    order = fixed_permutation(DataConfig(permutation="fixed"), (28, 28))
    assert order is not None
    net = _network(MLPConfig(), shape)
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
        Check("logits of a perceptron whose first layer's columns are permuted as the pixels are", apart[0], 0, 1e-10),
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
_NAMES = {"mlp": "MLP", "lenet_modern": "LeNet", "lenet_gap": "global average"}


def _name_and_order(arm: Arm) -> str:
    return f"{_NAMES[arm.value_of('model') or '']}, {arm.value_of('data.permutation')}"


def _draw_permutation(evidence: Evidence) -> TopLevelMixin:
    return dots(evidence, label=_name_and_order, title="Accuracy of both networks by the order of the pixels")


def _describe_permutation(evidence: Evidence) -> list[str]:
    rows = ["| order | what an image keeps | MLP loses | LeNet loses |", "| --- | --- | --- | --- |"]
    for order, kept in _KEPT.items():
        lost = [_lost(evidence, f"model={model}", order) for model in ("mlp", "lenet_modern")]
        rows.append(f"| `{order}` | {kept} | {lost[0]} | {lost[1]} |")
    lenet = "model=lenet_modern data.permutation="
    told = ["", "LeNet, beside a shuffle of all pixels:", ""]
    for order, where in (("block", "within blocks"), ("block_order", "of blocks")):
        told.append(f"- a shuffle {where} leaves {_difference(evidence, f'{lenet}{order}', f'{lenet}fixed').interval}")
    told += ["", "With a fresh order for each image, beside a perceptron that sees their pixels sorted:", ""]
    for model in ("mlp", "lenet_modern"):
        arms = f"model={model} data.permutation=fresh", "model=mlp data.permutation=sorted"
        told.append(f"- {_NAMES[model]}: {_difference(evidence, *arms).interval}")
    return rows + told


def _lost(evidence: Evidence, model: str, order: str) -> str:
    if order == "none" or not evidence.select(f"{model} data.permutation={order}"):
        return ""
    return _difference(evidence, f"{model} data.permutation=none", f"{model} data.permutation={order}").interval


PERMUTATION = Claim(
    name="permutation",
    number=1,
    section="7.1",
    title="The order of the pixels",
    sentence="A perceptron treats an image as a list of numbers: any fixed order of the pixels gives it the same task. "
    "A convolution is built on neighbours.",
    source="D2L 7.1, introduction",
    expected="The perceptron stays where it was under any fixed order: its first weights are drawn alike and apart, so "
    "that it cannot even start differently. The convolutional network loses, less where shapes or textures are left. "
    "A fresh order for each image leaves both with how often each value comes, and about what a perceptron makes of "
    "sorted pixels.",
    refuted_by="A perceptron that changes by more than half a point; a convolutional network that loses nothing; one "
    "of both that loses less than .3 when each image is shuffled in its own way.",
    sweeps=("permutation", "permutation_sorted"),
    comparisons=(
        equal(
            "the perceptron does not care for a fixed order",
            "model=mlp data.permutation=fixed",
            "model=mlp data.permutation=none",
        ),
        effect(
            "the convolutional network loses by it",
            "model=lenet_modern data.permutation=none",
            "model=lenet_modern data.permutation=fixed",
        ),
        effect(
            "a fresh order for each image ruins the perceptron",
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

INVARIANCE = (PERMUTATION,)
