"""7.1.3 Convolutions: whether a layer that is left free goes toward a convolution, and what a convolution gains when it
is set free."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial
from itertools import count, islice
from typing import TYPE_CHECKING, Literal

from fc2conv.claims.claim import EQUAL, Claim, Comparison, Measure
from fc2conv.claims.evidence import Arm, Evidence
from fc2conv.claims.verdicts import outcome

if TYPE_CHECKING:
    from altair import TopLevelMixin
    from torch import nn

    from fc2conv.config.schema import OptimConfig
    from fc2conv.data.image_data import ImageData
    from fc2conv.training.classifier import Batch, Classifier

WINDOW = 5
"""Edge in pixels of the windows in which weights are local: those of the ladder's convolution."""
DRAWS = 5
"""Random layers to compare with; the means of their units differ by less than .01."""
FOUND = 0.1
"""How far weights must have gone to count as structured: a tenth of the way from random ones to a convolution's."""
FURTHER = 100
"""Steps for which a trained network goes on, with its constraint and without."""
FURTHER_RATES = (0.0003, 0.001, 0.003)
"""Learning rates for them, of which each network takes the best by validation; they fall to zero."""
KEPT, RELEASES = "kept", ("sharing", "locality", "both")


def _structure(module: Classifier, data: ImageData) -> dict[str, float]:
    """How local, and how alike but for a shift, a dense layer's units are: from 0, as random weights, to 1, as those
    of a convolution."""
    import torch

    from fc2conv.instruments.structure import UNITS, locality, similarity, units_of

    weights = units_of(module.net.hidden.weight, module.geometry.input)  # type: ignore[union-attr,arg-type]
    drawn = torch.randperm(len(weights), generator=torch.Generator().manual_seed(0))[:UNITS]
    values = {
        "locality": float(locality(weights[drawn], WINDOW).mean()),
        "similarity": float(similarity(weights[drawn]).mean()),
    }
    null = _random_structure(tuple(weights[drawn].shape))
    found = {f"{name}_found": (value - null[name]) / (1 - null[name]) for name, value in values.items()}
    return {**values, **{f"{name}_null": value for name, value in null.items()}, **found}


@cache
def _random_structure(shape: tuple[int, ...]) -> dict[str, float]:
    """Means of random weights, over DRAWS layers."""
    import torch

    from fc2conv.instruments.structure import structure

    random = structure(torch.rand(shape, generator=torch.Generator().manual_seed(1)) - 0.5, WINDOW, DRAWS)
    found = {"locality": random.null_locality, "similarity": random.null_similarity}
    return {name: float(values.mean()) for name, values in found.items()}


def _release(module: Classifier, data: ImageData) -> dict[str, float]:
    """Test accuracy after further steps with the constraints of a convolution, and with some released; and how much
    better each is than with all."""
    import torch

    from fc2conv.instruments.release import release

    shape = module.geometry.input
    found = {"before": _accuracy(module.net, data, "test")}
    for name in (KEPT, *RELEASES):
        best = -1.0
        for rate in FURTHER_RATES:
            net = copy.deepcopy(module.net) if name == KEPT else release(module, "hidden", name, shape)  # type: ignore[arg-type]
            torch.manual_seed(data.seed)
            _train_on(net, module.optim, data, rate)
            if (accuracy := _accuracy(net, data, "val")) > best:
                best, chosen, found[f"{name}_rate"] = accuracy, net, rate
        found[name] = _accuracy(chosen, data, "test")
    return found | {f"{name}_gain": found[name] - found[KEPT] for name in RELEASES}


def _train_on(net: nn.Module, optim: OptimConfig, data: ImageData, rate: float) -> None:
    """Train a network for FURTHER steps as it was trained, at a learning rate that falls to zero."""
    import torch.nn.functional as F

    from fc2conv.training.optimizers import optimizer_for

    optimizer = optimizer_for(replace(optim, lr=rate), net)
    net.train()
    for step, (images, labels) in enumerate(islice(_batches(data), FURTHER)):
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 - step / FURTHER)
        optimizer.zero_grad()
        F.cross_entropy(net(images), labels, label_smoothing=optim.label_smoothing).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def _batches(data: ImageData) -> Iterator[Batch]:
    """Training batches without end, in epochs of their own: orders and places are new, but the same for all."""
    batches = data.train_dataloader()
    for epoch in count(1000):
        batches.epoch = partial(int, epoch)
        yield from batches


def _accuracy(net: nn.Module, data: ImageData, split: Literal["val", "test"]) -> float:
    import torch

    net.eval()
    with torch.inference_mode():
        batches = [(net(images).argmax(1) == labels).double() for images, labels in data.batches(split)]
    return float(torch.cat(batches).mean())


CENTRED_DENSE = "model.constraint=dense data.place=center"
RANDOM_DENSE = "model.constraint=dense data.place=random"
CENTRED_CONV = "model.constraint=conv data.place=center"
LABELS = {CENTRED_DENSE: "centred", RANDOM_DENSE: "placed at random"}


def _figures(arm: Arm, *names: str) -> list[float]:
    return [arm.mean(name) for name in names]


def _describe_freedom(evidence: Evidence) -> Iterator[str]:
    yield "Structure of 64 units of the dense layer. Locality is the share of a unit's squared weights in the window of"
    yield "5x5 that has most of them; similarity the largest cosine with another unit, shifted. A convolution has 1 of"
    yield "either."
    yield ""
    yield "| images | locality | of random weights | way gone | similarity | of random weights | way gone |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    for selector, label in LABELS.items():
        names = [f"structure.{of}{suffix}" for of in ("locality", "similarity") for suffix in ("", "_null", "_found")]
        cells = [f"{value:.3f}" for value in _figures(evidence.arm(selector), *names)]
        yield f"| {label} | {' | '.join(cells)} |"
    arm = evidence.arm(CENTRED_CONV)
    yield ""
    rates = ", ".join(map(str, FURTHER_RATES))
    yield f"A convolution of 4 maps on centred images, trained on for {FURTHER} steps. The learning rate is the best of"
    yield f"{rates} by validation, for each network."
    yield ""
    yield "| then trained as | test accuracy | gain over the constraint kept |"
    yield "|---|--:|--:|"
    yield f"| (before) | {_figures(arm, 'release.before')[0]:.4f} | |"
    layers = {KEPT: "convolution", "sharing": "local", "locality": "shared", "both": "dense"}
    for key, layer in layers.items():
        gain = Comparison("", "effect", ((1.0, CENTRED_CONV),), 0.0, f"release.{key}_gain")
        found = outcome(gain, evidence).interval if key != KEPT else ""
        yield f"| {layer} | {_figures(arm, f'release.{key}')[0]:.4f} | {found} |"


def _draw_freedom(evidence: Evidence) -> TopLevelMixin:
    """How far dense weights went toward those of a convolution, and what a released one gains."""
    from fc2conv.claims.drawing import dots, side_by_side

    arms = [evidence.arm(selector) for selector in LABELS]
    labels = dict(zip((arm.name for arm in arms), LABELS.values(), strict=True))
    titles = {
        "locality": "Toward locality: 0 as random weights, 1 as a convolution",
        "similarity": "Toward sharing: 0 as random weights, 1 as a convolution",
    }
    panels = [
        dots(evidence, arms, f"structure.{of}_found", lambda arm: labels[arm.name], x_title="Way gone", title=title)
        for of, title in titles.items()
    ]
    return side_by_side(*panels)


FREEDOM = Claim(
    name="freedom",
    number=17,
    section="7.1.3",
    title="Left free, and set free",
    sentence="The constraints agree with what images are: a dense layer that is left free goes toward them, and a "
    "convolution that is set free gains nothing by it.",
    source="D2L 7.1.3, on inductive bias",
    expected="Dense weights become more local than random ones, and, where the images lie at random, more alike at "
    "different places. But they remain far from a convolution. A convolution that is released from both constraints is "
    "no better than one that is trained on with them.",
    refuted_by="Dense weights that stay within a tenth of the way from random ones to a convolution's, or a released "
    "convolution that is more than half a point better.",
    sweeps=("freedom_centred", "freedom_random"),
    comparisons=(
        Comparison("dense weights become local", "effect", ((1.0, CENTRED_DENSE),), FOUND, "structure.locality_found"),
        Comparison(
            "dense weights become alike at different places, where images lie at random",
            "effect",
            ((1.0, RANDOM_DENSE),),
            FOUND,
            "structure.similarity_found",
        ),
        Comparison(
            "a convolution trained on is not worse than one that is released from both constraints",
            "effect",
            ((-1.0, CENTRED_CONV),),
            -EQUAL,
            "release.both_gain",
        ),
    ),
    measures=(
        Measure("structure", _structure, "model.constraint=dense"),
        Measure("release", _release, "model.constraint=conv"),
    ),
    figure=_draw_freedom,
    describe=lambda evidence: list(_describe_freedom(evidence)),
)
