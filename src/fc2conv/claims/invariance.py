"""7.1.1 Invariance: patterns look the same wherever they are, and what follows from it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fc2conv.claims.claim import EFFECT, Claim, Comparison, Measure, effect
from fc2conv.claims.drawing import lines, measured, side_by_side
from fc2conv.claims.evidence import Arm, Check, Evidence
from fc2conv.claims.tables import NAMES, difference, table
from fc2conv.claims.untrained import network, random_images

if TYPE_CHECKING:
    from altair import TopLevelMixin

    from fc2conv.data.image_data import ImageData
    from fc2conv.training.classifier import Classifier

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
    images = random_images(4, shape).double() / 255
    torus = LeNetConfig(padding="same", padding_mode="circular", activation="relu", norm="batch", head="gap")
    far = [(0, 1), (0, 2), (1, 0), (-3, 5), (7, 4)]
    whole = equivariance(network(replace(torus, pool="none"), shape), images, far)
    found = [Check("stride 1: all layers, the global average's class scores, too, at any shift", whole.errors.max(), 0)]
    for pool in ("max", "average", "strided"):
        halved = equivariance(network(replace(torus, pool=pool), shape), images, [(0, 4), (4, 8), (-8, 4)])
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
    return f"{NAMES[arm.value_of('model') or '']}, {_PLACES[arm.value_of('data.place') or '']}"


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
            rows.append([NAMES[model], said, *figures])
    told = ["", "What a training with images anywhere changes, of the predictions kept over 1 to 8 pixels:", ""]
    for model in _MODELS:
        gain = difference(evidence, _of_place(model, "random"), _of_place(model, "center"), "shift.consistency")
        told.append(f"- {NAMES[model]}: {gain.interval}")
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

INVARIANCE = (EQUIVARIANCE, SHIFT)
