"""The claims on channels, padding, pooling and receptive fields: what they check, measure, describe and draw."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import nn

from fc2conv.claims.arms import arms_of, trial
from fc2conv.claims.channels import CHANNELS, WIDTHS
from fc2conv.claims.claim import Claim
from fc2conv.claims.evidence import Arm, Evidence, Run
from fc2conv.claims.padding_and_stride import PADDING
from fc2conv.claims.pooling import POOLING
from fc2conv.claims.predicted import predicted_in
from fc2conv.claims.receptive_field import RECEPTIVE_FIELD, fields
from fc2conv.claims.tables import accuracy, count, difference, table
from fc2conv.compose import plan_of
from fc2conv.data.image_data import ImageData
from fc2conv.training.classifier import Classifier

FIELDS = {"conv1": (5, 5.0, 5.0), "conv2": (14, 13.5, 12.5), "conv3": (32, 30.0, 25.0)}
"""Convolution -> edges: theoretical, new, trained."""


BORDERS = ("zeros", "reflect", "circular", "no padding", "circular, coordinates", "circular, dense head")
SPREAD = ((0, -0.001), (1, 0.001))
"""Seed, and how far it lies from its arm's mean."""


def made(claim: Claim, accuracies: Mapping[str, float] = {}, figures: Mapping[str, float] = {}) -> Evidence:
    """Evidence with all arms of a claim, of two seeds each; their test accuracy is .5 where none is given.

    Args:
        accuracies: overrides of arms -> test accuracy
        figures: more of every run
    """
    arms = []
    for planned in arms_of(claim):
        arm = Arm(planned.name, planned.overrides)
        mean = next((value for selector, value in accuracies.items() if arm.has(selector)), 0.5)
        runs = [Run(s, {"test.acc": mean + d, "params": 61706.0, "macs": 416520.0, **figures}) for s, d in SPREAD]
        arms.append(Arm(arm.name, arm.overrides, tuple(runs)))
    return Evidence(claim.name, tuple(arms))


def described(claim: Claim, evidence: Evidence) -> list[str]:
    assert claim.describe
    return claim.describe(evidence)


def row(lines: list[str], *starts: str) -> list[str]:
    """The cells of the one row that begins with these."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    (found,) = [cells for cells in rows if cells[: len(starts)] == list(starts)]
    return found


# --- checks


@pytest.mark.parametrize("claim", [CHANNELS, PADDING], ids=lambda claim: claim.name)
def test_the_identities_hold(claim: Claim) -> None:
    assert claim.checks
    torch.manual_seed(7)
    before = torch.get_rng_state()
    found = claim.checks()
    assert found
    assert [check.says for check in found if not check.holds] == []
    assert torch.equal(torch.get_rng_state(), before)


# --- tables


def test_a_cell_says_mean_and_deviation() -> None:
    arm = Arm("a", (), (Run(0, {"test.acc": 0.5, "params": 1234.0}), Run(1, {"test.acc": 0.7, "params": 1234.0})))
    assert accuracy(arm) == f"0.6000 ± {0.2 / math.sqrt(2):.4f}"
    assert count(arm, "params") == "1,234"
    assert table(["x", "y", "z"], [["a", "1", "2"]]) == ["| x | y | z |", "|---|--:|--:|", "| a | 1 | 2 |"]


def test_a_difference_is_paired_by_seed() -> None:
    runs = [tuple(Run(s, {"test.acc": base + 0.01 * s}) for s in range(3)) for base in (0.6, 0.5)]
    evidence = Evidence("c", (Arm("a", ("a",), runs[0]), Arm("b", ("b",), runs[1])))
    found = difference(evidence, "a", "b")
    assert (found.mean, found.std) == pytest.approx((0.1, 0.0))


# --- pooling


def test_pooling_is_described_by_kind_and_size() -> None:
    evidence = made(POOLING, {"model.pool=max data.train_size=10000": 0.88, "model.pool=average": 0.87})
    lines = described(POOLING, evidence)
    first = [line for line in lines if line.startswith("| average")]
    assert "0.8700 ± 0.0014 | 0.8700 ± 0.0014" in first[0]
    assert first[1].startswith("| average | +0.3700 ")
    assert "| -0.0100 " in first[1]
    assert len([line for line in lines if line.startswith("| stride, equal MACs")]) == 2


def test_the_strides_at_equal_macs_have_those_of_pooling() -> None:
    """Within the 2 % that matching allows; and those with equal layers have a third."""
    macs = {}
    for arm in arms_of(POOLING):
        if "data.train_size=1000" in arm.overrides:
            config = trial(arm, 0.01, 0, Path("runs"), False).config
            assert config
            macs[arm.name.split(" data.")[0]] = plan_of(config).macs
    pooled, strided, matched = (
        next(n for a, n in macs.items() if s in a) for s in ("max", "None model.pool=strided", "416520")
    )
    assert pooled == 28 * 28 * 6 * 25 + 10 * 10 * 16 * 150 + 400 * 120 + 120 * 84 + 84 * 10
    assert strided == 14 * 14 * 6 * 25 + 5 * 5 * 16 * 150 + 400 * 120 + 120 * 84 + 84 * 10
    assert matched == pytest.approx(pooled, rel=0.02)


# --- padding


def test_padding_is_described_beside_what_the_worlds_predict() -> None:
    world = "data=world_position model.padding_mode"
    evidence = made(PADDING, {f"{world}=zeros": 0.5, f"{world}=circular model.coordinates=False": 0.26})
    lines = described(PADDING, evidence)
    assert row(lines, "zeros")[1:3] == ["61,706", "416,520"]
    assert row(lines, "no padding")[4].startswith("+0.0000")
    torus = row(lines, "position", "lenet_gap, same, circular")
    assert (torus[4:]) == ["0.2600", "2", "as predicted"]
    assert row(lines, "position", "lenet_gap, same")[4:] == ["0.5000", "2", "as predicted"]
    assert row(lines, "position", "lenet_modern, same, circular")[4:] == ["0.5000", "2", "**not as predicted**"]
    assert not any("not run" in line for line in lines)


# --- channels


def test_channels_are_described_by_what_a_doubling_gains() -> None:
    widths = {f"model.channels=[{a},{b}]": 0.8 + 0.01 * i for i, (a, b) in enumerate(WIDTHS)}
    lines = described(CHANNELS, made(CHANNELS, widths))
    assert [row(lines, f"{a}, {b}")[4][:7] for a, b in WIDTHS] == ["", *["+0.0100"] * 4]
    assert row(lines, "spectral", "lenet_gap, kernel_size 1, padding 0, pool none, bands 3")[4] == "0.5000"


def test_a_prediction_finds_its_arm_however_it_is_written() -> None:
    """The world's own number of bands is what a network sees that is told nothing."""
    evidence = made(CHANNELS, {"data.bands=None": 0.97})
    lines = list(predicted_in(["world_spectral"], [evidence], also_missing=True))
    assert row(lines, "spectral", "lenet_gap, kernel_size 1, padding 0, pool none")[4:] == [
        "0.9700",
        "2",
        "as predicted",
    ]
    assert row(lines, "spectral", "lenet_gap, same, circular")[4] == "not run"
    found = list(predicted_in(["world_spectral"], [evidence]))
    assert found == [line for line in lines if "not run" not in line]


# --- receptive fields


def of_fields(measure: str) -> dict[str, float]:
    found = {}
    for layer, sizes in FIELDS.items():
        found |= {f"{measure}.{what}_{layer}": size for what, size in zip(("seen", "new", "field"), sizes, strict=True)}
    return found


def test_fields_are_described_before_and_after_training() -> None:
    lines = described(RECEPTIVE_FIELD, made(RECEPTIVE_FIELD, {}, of_fields("reach") | of_fields("photos")))
    assert row(lines, "three convolutions, conv3") == ["three convolutions, conv3", "32", "30.0", "25.0"]
    assert row(lines, "MLP", "24")[2] == "0.5000 ± 0.0014"


def test_the_field_of_each_convolution_is_measured() -> None:
    """Two 3x3 convolutions with a pooling between see 3 and 8 pixels. All weights but the kernels' middle are 0: the
    first sees one pixel, the second one pixel of a pooling's four."""
    model = Classifier({"family": "lenet", "channels": [2, 3], "kernel_size": 3, "pool": "average", "head": "gap"})
    with torch.no_grad():
        for module in model.net.modules():
            if isinstance(module, nn.Conv2d):
                module.weight[:, :, [0, 0, 0, 1, 1, 2, 2, 2], [0, 1, 2, 0, 2, 0, 1, 2]] = 0
                module.weight[:, :, 1, 1] = 1
    data = ImageData({"name": "world_order", "val_size": 1000})
    data.setup()
    found = fields(model, data)
    assert (found["seen_conv1"], found["seen_conv2"]) == (3, 8)
    assert (found["field_conv1"], found["field_conv2"]) == pytest.approx((1, 2))
    assert found["last"] == found["field_conv2"]
    assert found["new_conv1"] > 1


# --- pictures


@pytest.mark.parametrize(
    ("claim", "key", "shown"),
    [
        (POOLING, "line", {"average", "stride", "stride, equal MACs"}),
        (CHANNELS, "x", {0, 1, 2, 3, 4, 16, 64}),
        (RECEPTIVE_FIELD, "x", {8, 24, 48, 5, 14, 32}),
        (PADDING, "arm", {f"{name}: 0.5000" for name in BORDERS}),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_figure_shows_what_is_compared(claim: Claim, key: str, shown: set[object]) -> None:
    """All of it, drawn from evidence alone."""
    assert claim.figure
    chart = claim.figure(made(claim, figures=of_fields("reach") | of_fields("photos"))).to_dict()
    found = {value[key] for values in chart["datasets"].values() for value in values if key in value}
    assert found == shown
