"""All that the page holds: networks, images to show them, and what the suite has found out, as JSON values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fc2conv import __version__
from fc2conv.claims.book import CLAIMS, evidence_of, find
from fc2conv.claims.claim import Claim
from fc2conv.claims.constraining import CONSTRAINTS, MAPS, PARAMETERS, RANDOM, TWO_CONSTRAINTS, Matching
from fc2conv.claims.evidence import Arm, Evidence
from fc2conv.claims.invariance import FARTHEST, MANY
from fc2conv.claims.pixel_order import PERMUTATION
from fc2conv.claims.verdicts import OPEN, judge
from fc2conv.config.schema import DataConfig
from fc2conv.data.image_data import ImageData
from fc2conv.data.sources import Images, averaged, load
from fc2conv.errors import DamagedResult
from fc2conv.instruments.shift import shift_curve, shifted_test
from fc2conv.playground.networks import Description, describe, encoded, read
from fc2conv.record.result import Result, finite
from fc2conv.training.classifier import Classifier

SHOWN = 20
"""Test images of each class."""
EDGE, TRAIN, TEST = 14, 1000, 500
"""Of the small images on which the page trains: pixels on each side, and the first so many of each split."""
SHIFT = "shift"
"""The claim whose curves the page shows."""


def payload(networks: Sequence[Description], rungs: Sequence[Description]) -> dict[str, Any]:
    """What playground/page.py renders.

    Args:
        networks: as `with_curve` gives them, in the order in which they are shown
        rungs: as `network` gives them: the ladder's dense, local, shared and conv, on images of 14x14
    """
    images = load(DataConfig())
    values = {
        "networks": list(networks),
        "rungs": list(rungs),
        "images": test_images(images),
        "small": small_images(images),
        "results": {claim.name: result(claim) for claim in CLAIMS},
        "made": {"version": __version__, "command": "fc2conv playground"},
    }
    found: dict[str, Any] = finite(values)
    return found


def network(checkpoint: Path, *, id: str, title: str, says: str) -> Description:
    """A network of the page, called so.

    Raises:
        ConfigError: as networks.read and networks.describe
    """
    return {"id": id, "title": title, "says": says, **describe(checkpoint, *read(checkpoint))}


def with_curve(network: Description, checkpoint: Path, arm: str | None = None) -> Description:
    """The same with its accuracy against shift: that of the claim's arm if it is a run of one, which has the mean over
    the arm's runs; else measured."""
    found = _of_arm(arm) if arm else None
    if found is None:
        return {**network, "claim": None, "arm": None, "curve": measured(*read(checkpoint))}
    return {**network, "claim": SHIFT, "arm": found.name, "curve": curve_of(found)}


def given(checkpoints: Sequence[Path]) -> list[Description]:
    """Networks of the user's own, called by what their records say of them."""
    return [_called(checkpoint, i) for i, checkpoint in enumerate(checkpoints, 1)]


def _called(checkpoint: Path, number: int) -> Description:
    run = checkpoint.absolute().parent.parent
    title, says = run.name, f"{checkpoint.name} of {run.name}"
    with suppress(OSError, DamagedResult):
        record = Result.read(run)
        title, says = record.model or record.family, f"{says}: {' '.join(record.overrides) or 'the defaults'}"
    return with_curve(network(checkpoint, id=f"given{number}", title=title, says=says), checkpoint)


# --- accuracy against shift


def _of_arm(selector: str) -> Arm | None:
    """An arm of the claim about shifts; None where that has not run."""
    (claim,) = find([SHIFT])
    evidence = evidence_of(claim)
    return evidence.arm(selector) if evidence else None


def curve_of(arm: Arm) -> Description:
    """What its runs' networks do when test images are moved by some pixels: means over its seeds (n), each of which
    counts so many images."""
    shifts = list(range(FARTHEST + 1))
    figures = {name: [arm.mean(f"{SHIFT}.{name}_{d}") for d in shifts] for name in ("accuracy", "consistency")}
    return {"x": shifts, **figures, "n": len(arm.runs), "images": MANY}


def measured(module: Classifier, data: ImageData, few: int = MANY) -> Description:
    """The same of one network, on its test images in the middle of their canvas."""
    is_centred = data.config.place == "center"
    centred = data if is_centred else ImageData(replace(data.config, place="center"), data.seed)
    farthest = min(FARTHEST, data.shape[2] - 1)
    found = shift_curve(module, shifted_test(centred, few), range(farthest + 1))
    figures = {"accuracy": found.accuracy.tolist(), "consistency": found.consistency.tolist()}
    return {"x": found.shifts, **figures, "n": 1, "images": found.n}


# --- images


def test_images(images: Images) -> Description:
    """The first test images of each class: one of each, then the second of each, and so on."""
    by_class = [(images.test_labels == label).nonzero().flatten()[:SHOWN] for label in range(len(images.classes))]
    order = torch.stack(by_class, dim=1).flatten()
    return {
        "shape": list(images.test_images.shape[1:]),
        "classes": images.classes,
        **_split(images.test_images[order], images.test_labels[order]),
    }


def small_images(images: Images) -> Description:
    """Training and test images, averaged down as with data.size=14."""
    few = replace(
        images,
        train_images=images.train_images[:TRAIN],
        train_labels=images.train_labels[:TRAIN],
        test_images=images.test_images[:TEST],
        test_labels=images.test_labels[:TEST],
    )
    small = averaged(few, size=(EDGE, EDGE))
    return {
        "shape": [1, EDGE, EDGE],
        "train": _split(small.train_images, small.train_labels),
        "test": _split(small.test_images, small.test_labels),
    }


def _split(pixels: Tensor, labels: Tensor) -> Description:
    return {"n": len(labels), "pixels": encoded(pixels.numpy()), "labels": encoded(labels.byte().numpy())}


# --- results


def result(claim: Claim) -> Description:
    """A claim's verdict and what it rests on, in the words of LAB.md."""
    evidence = evidence_of(claim)
    finding = judge(claim, evidence)
    outcomes = {each.comparison: each for each in finding.outcomes}
    comparisons = []
    for each in claim.comparisons:
        found = outcomes.get(each)
        comparisons.append(
            {
                "says": each.says,
                "kind": each.kind,
                "margin": each.margin,
                "estimate": found.mean if found else None,
                "low": found.low if found else None,
                "high": found.high if found else None,
                "n": found.n if found else 0,
                "verdict": found.verdict if found else OPEN,
            }
        )
    values = {
        "number": claim.number,
        "title": claim.title,
        "sentence": claim.sentence,
        "verdict": finding.verdict,
        "comparisons": comparisons,
    }
    if claim == TWO_CONSTRAINTS:
        values["matchings"] = list(matchings(evidence)) if evidence else []
    if claim == PERMUTATION:
        values["changes"] = list(changes(evidence)) if evidence else []
    if claim.name == SHIFT:
        values["curves"] = {arm.name: curve_of(arm) for arm in evidence.arms} if evidence else {}
    return values


def changes(evidence: Evidence) -> Iterator[Description]:
    """By how much the mean test accuracy of each network changes when it is trained on permuted pixels."""
    for title, model in (("the MLP", "mlp"), ("LeNet", "lenet_modern")):
        plain, permuted = (evidence.arm(f"model={model} data.permutation={order}") for order in ("none", "fixed"))
        n = min(len(plain.runs), len(permuted.runs))
        yield {"title": title, "change": permuted.mean() - plain.mean(), "n": n}


MATCHINGS: tuple[tuple[str, Matching], ...] = (("maps", MAPS), ("params", PARAMETERS), ("maps", RANDOM))
"""Those of the ladder that the page trains itself, with their names there."""


def matchings(evidence: Evidence) -> Iterator[Description]:
    """Mean test accuracies of the rungs of the ladder, for each way and size of training them."""
    for match, matching in MATCHINGS:
        for images in matching.sizes(evidence):
            arms = {c: evidence.arm(matching.at(c, images)) for c in CONSTRAINTS}
            yield {
                "match": match,
                "canvas": matching.pixels,
                "images": images,
                "n": min(len(arm.runs) for arm in arms.values()),
                "means": {c: arm.mean() for c, arm in arms.items()},
            }
