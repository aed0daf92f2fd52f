"""7.1.1 Invariance: patterns look the same wherever they are, and what follows from it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fc2conv.claims.claim import EFFECT, SMALL, Claim, Comparison, Measure, Observation, effect, equal
from fc2conv.claims.drawing import curves, dots, lines, measured, side_by_side
from fc2conv.claims.evidence import Arm, Check, Evidence
from fc2conv.claims.tables import difference, table

if TYPE_CHECKING:
    from altair import TopLevelMixin
    from torch import Tensor, nn

    from fc2conv.architectures import ModelConfig, Shape
    from fc2conv.data.image_data import ImageData
    from fc2conv.training.classifier import Classifier

WIDE = 0.3
"""Of a fresh order's effect: it is to ruin a network, not to harm it."""


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
    """An MLP on permuted images against another whose first layer's columns are permuted likewise, before and
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
_NAMES = {"mlp": "MLP", "lenet_modern": "LeNet", "lenet_gap": "global average"}


def _name_and_order(arm: Arm) -> str:
    return f"{_NAMES[arm.value_of('model') or '']}, {arm.value_of('data.permutation')}"


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
        told.append(f"- {_NAMES[model]}: {difference(evidence, *arms).interval}")
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


# --- layers answer a patch alike wherever it is

FEW = 64
"""Test images on which every unit of every layer is compared."""
FARTHEST = 8
"""Pixels by which images are shifted at most."""
SEEN = 0.01
"""Of a response, as a relative error: less would not be seen in a picture of it."""


def _exact_equivariance() -> list[Check]:
    """Of networks on a torus: errors of all their layers at all shifts, and at those that their stride divides."""
    from fc2conv.architectures.lenet import LeNetConfig
    from fc2conv.instruments.equivariance import equivariance

    shape = (1, 28, 28)
    images = _random_images(4, shape).double() / 255
    torus = LeNetConfig(padding="same", padding_mode="circular", activation="relu", norm="batch", head="gap")
    far = [(0, 1), (0, 2), (1, 0), (-3, 5), (7, 4)]
    whole = equivariance(_network(replace(torus, pool="none"), shape), images, far)
    found = [Check("stride 1: all layers, the global average's class scores, too, at any shift", whole.errors.max(), 0)]
    for pool in ("max", "average", "strided"):
        halved = equivariance(_network(replace(torus, pool=pool), shape), images, [(0, 4), (4, 8), (-8, 4)])
        found.append(Check(f"total stride 4 ({pool}): all layers, at shifts by multiples of 4", halved.errors.max(), 0))
    return [replace(check, found=float(check.found), tolerance=1e-5) for check in found]


def _errors(module: Classifier, data: ImageData) -> dict[str, float]:
    """conv_D: of the first convolution, for a shift by D pixels; stage1_D, stage2_D: of what follows it, up to the next
    convolution, and of what follows that."""
    import torch

    from fc2conv.instruments.equivariance import equivariance
    from fc2conv.instruments.shift import shifted_test

    images = torch.cat([batch for batch, _ in shifted_test(data, FEW)(0, 0)])
    shifts = [(0, right) for right in range(FARTHEST + 1)]
    found = equivariance(module, images, shifts)
    ends = {"conv": "conv1"}
    for stage in ("1", "2"):
        of_stage = (f"conv{stage}", f"norm{stage}", f"pool{stage}", f"relu{stage}")
        ends[f"stage{stage}"] = [layer for layer in found.layers if layer in of_stage][-1]
    return {f"{name}_{right}": found.error(layer, (0, right)) for name, layer in ends.items() for _, right in shifts}


_STAGE = "equivariance.stage2_1"
_ZEROS, _TORUS = "model.padding_mode=zeros", "model.padding_mode=circular model.pool="


def _pooling(arm: Arm) -> str:
    padded = ", zero padding" if arm.has(_ZEROS) else ""
    return f"{arm.value_of('model.pool')}{padded}"


def _draw_equivariance(evidence: Evidence) -> TopLevelMixin:
    return side_by_side(
        *(
            lines(
                {_pooling(arm): measured(arm, f"equivariance.{stage}_") for arm in evidence.arms},
                "Shift (pixels)",
                "Relative error",
                title=title,
            )
            for stage, title in (("stage1", "After the first subsampling"), ("stage2", "After the second"))
        ),
        title="What does not move with the image",
    )


def _describe_equivariance(evidence: Evidence) -> list[str]:
    head = [
        "network",
        "first convolution, 1 pixel",
        "first stage, 1",
        "2",
        "second stage, 1",
        "2",
        "4",
        "8",
        "accuracy",
    ]
    columns = ("conv_1", "stage1_1", "stage1_2", "stage2_1", "stage2_2", "stage2_4", "stage2_8")
    rows = []
    for arm in evidence.arms:
        errors = [f"{arm.mean(f'equivariance.{column}'):.3f}" for column in columns]
        rows.append([_pooling(arm), *errors, f"{arm.mean():.4f}"])
    blur, strongest = (evidence.arm(f"{_TORUS}{pool}").mean(_STAGE) for pool in ("blur", "max"))
    return [
        "Relative errors for shifts of so many pixels, mean over the seeds; that of unrelated responses is 1.41:",
        "",
        *table(head, rows),
        "",
        f"Of the error of maximum pooling, anti-aliasing removes {100 * (1 - blur / strongest):.0f} %.",
    ]


EQUIVARIANCE = Claim(
    name="equivariance",
    number=4,
    section="7.1.1",
    title="The same answer wherever a patch is",
    sentence="The earliest layers should answer the same patch alike, wherever in the image it appears: when the image "
    "moves, what they give moves with it.",
    source="D2L 7.1.1 and 7.1.2.1, equation 7.1.2; padding, stride and pooling: 7.3 and 7.5",
    equation=r"[\mathbf{H}]_{i,j} = u + \sum_a \sum_b [\mathbf{V}]_{a,b} [\mathbf{X}]_{i+a,j+b}",
    expected="On a torus and at stride 1 it is so, exactly, and at a total stride of s for shifts by multiples of s. "
    "Padding with zeros breaks it at the border. Subsampling breaks it for all other shifts; with a blur before it "
    "(anti-aliasing) by less, but not by nothing.",
    refuted_by="An error at stride 1 on a torus; none of one per cent from zero padding; or an anti-aliased pooling "
    "whose error is not smaller, by one per cent, than that of maximum pooling or of a strided convolution.",
    sweeps=("equivariance", "equivariance_zeros"),
    comparisons=(
        effect(
            "padding with zeros breaks it: the first convolution beside one on a torus, 1 pixel",
            _ZEROS,
            f"{_TORUS}max",
            SEEN,
            "equivariance.conv_1",
        ),
        effect(
            "maximum pooling breaks it, by more than anti-aliased pooling: after both, 1 pixel",
            f"{_TORUS}max",
            f"{_TORUS}blur",
            SEEN,
            _STAGE,
        ),
        effect("and so do strided convolutions", f"{_TORUS}strided", f"{_TORUS}blur", SEEN, _STAGE),
    ),
    measures=(Measure("equivariance", _errors),),
    checks=_exact_equivariance,
    figure=_draw_equivariance,
    describe=_describe_equivariance,
)


# --- predictions survive shifts

MANY = 1000
"""Test images whose predictions are compared, at 32 shifts."""


def _predictions(module: Classifier, data: ImageData) -> dict[str, float]:
    """accuracy_D, relative_D and consistency_D of test images that are shifted by D pixels from the middle of their
    canvas, wherever the training images lay; without D, the mean over 1 to 8 pixels."""
    from fc2conv.data.image_data import ImageData
    from fc2conv.instruments.shift import shift_curve, shifted_test

    centred = ImageData(replace(data.config, place="center"), data.seed)
    found = shift_curve(module, shifted_test(centred, MANY), range(FARTHEST + 1))
    curves = {"accuracy": found.accuracy, "relative": found.relative, "consistency": found.consistency}
    figures = {f"{name}_{d}": float(curve[d]) for name, curve in curves.items() for d in found.shifts}
    return figures | {name: float(curve[1:].mean()) for name, curve in curves.items()}


_MODELS = ("mlp", "lenet_modern", "lenet_gap")


def _of_place(model: str, place: str) -> str:
    return f"model={model} data.place={place}"


def _model_and_place(arm: Arm) -> str:
    return f"{_NAMES[arm.value_of('model') or '']}, {_PLACES[arm.value_of('data.place') or '']}"


_PLACES = {"center": "centred", "random": "anywhere"}


def _draw_shift(evidence: Evidence) -> TopLevelMixin:
    return side_by_side(
        *(
            lines(
                {_model_and_place(arm): measured(arm, f"shift.{figure}_") for arm in evidence.arms},
                "Shift of the test images (pixels)",
                title,
                title=title,
            )
            for figure, title in (("consistency", "Predictions kept"), ("accuracy", "Accuracy"))
        ),
        title="Predictions under shift, by where the training images lay",
    )


def _describe_shift(evidence: Evidence) -> list[str]:
    head = ["network", "training images", "accuracy at 0", "at 4", "at 8", "kept at 1", "at 4", "at 8", "mean, 1 to 8"]
    rows = []
    columns = ("accuracy_0", "accuracy_4", "accuracy_8", "consistency_1", "consistency_4", "consistency_8")
    for model in _MODELS:
        for place, said in _PLACES.items():
            arm = evidence.arm(_of_place(model, place))
            figures = [f"{arm.mean(f'shift.{column}'):.3f}" for column in (*columns, "consistency")]
            rows.append([_NAMES[model], said, *figures])
    told = ["", "What a training with images anywhere changes, of the predictions kept over 1 to 8 pixels:", ""]
    for model in _MODELS:
        gain = difference(evidence, _of_place(model, "random"), _of_place(model, "center"), "shift.consistency")
        told.append(f"- {_NAMES[model]}: {gain.interval}")
    return table(head, rows) + told


SHIFT = Claim(
    name="shift",
    number=5,
    section="7.1.1",
    title="Predictions under shift",
    sentence="What an object is does not depend on where it is: a detector that sweeps the image finds it anywhere. An "
    "MLP has to learn each place anew; a network that only averages its last maps cannot tell places apart.",
    source="D2L 7.1.1 (Waldo), 7.5 (pooling) and 8.3 (global average)",
    expected="Of three networks with LeNet's 61,706 parameters, trained on centred images, the MLP keeps fewest "
    "of its predictions under shifts of 1 to 8 pixels, and the global average most. Training images that lie anywhere "
    "on the canvas teach it to the MLP, too, and the lead shrinks.",
    refuted_by="An MLP that keeps as many predictions as LeNet, a global average that keeps no more than LeNet, "
    "or a lead over the MLP that random placement leaves as it is.",
    sweeps=("shift", "shift_gap"),
    comparisons=(
        effect(
            "trained on centred images, LeNet keeps more of its predictions than the MLP",
            _of_place("lenet_modern", "center"),
            _of_place("mlp", "center"),
            of="shift.consistency",
        ),
        effect(
            "and the global average more than LeNet",
            _of_place("lenet_gap", "center"),
            _of_place("lenet_modern", "center"),
            of="shift.consistency",
        ),
        effect(
            "trained on images anywhere, the MLP keeps more than trained on centred ones",
            _of_place("mlp", "random"),
            _of_place("mlp", "center"),
            of="shift.consistency",
        ),
        Comparison(
            "and the lead of the global average over the MLP is smaller",
            "effect",
            (
                (1.0, _of_place("lenet_gap", "center")),
                (-1.0, _of_place("mlp", "center")),
                (-1.0, _of_place("lenet_gap", "random")),
                (1.0, _of_place("mlp", "random")),
            ),
            EFFECT,
            "shift.consistency",
        ),
    ),
    measures=(Measure("shift", _predictions),),
    figure=_draw_shift,
    describe=_describe_shift,
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

INVARIANCE = (PERMUTATION, EQUIVARIANCE, SHIFT, NEIGHBOURS)
