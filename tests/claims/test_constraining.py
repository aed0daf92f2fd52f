"""constraining.py: the effects of the 2x2 design, the counts, and how far layers look."""

from __future__ import annotations

from functools import cache
from typing import Any, cast

import pytest

from fc2conv.architectures import ModelConfig, plan
from fc2conv.architectures.ladder import LadderConfig
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.architectures.trace import Geometry
from fc2conv.claims import constraining
from fc2conv.claims.arms import arms_of
from fc2conv.claims.claim import Claim
from fc2conv.claims.constraining import (
    CONSTRAINING,
    CONSTRAINTS,
    COUNTS,
    INTERACTION,
    LOCALITY,
    LOCALITY_IS_ENOUGH,
    MAPS,
    OPERATIONS,
    PARAMETERS,
    RANDOM,
    SHARING,
    TWO_CONSTRAINTS,
    WHOLE,
    Matching,
)
from fc2conv.claims.drawing import spec
from fc2conv.claims.evidence import Arm, Evidence, Run
from fc2conv.claims.verdicts import judge, outcome
from fc2conv.config.match import match_model
from fc2conv.config.schema import MatchConfig

RIGHT = {"dense": 0.80, "local": 0.84, "shared": 0.82, "conv": 0.90}
"""Accuracies of which sharing gains .02 alone and .06 beside locality, locality .04 alone and .08 beside sharing."""


def cost_of(arm: Arm) -> Geometry:
    """What a ladder's arm costs, from its overrides."""
    channels, half_width, canvas, size = (
        arm.value_of(key) for key in ("model.channels", "model.half_width", "data.canvas", "data.size")
    )
    model: ModelConfig = LadderConfig(
        constraint=cast(Any, arm.value_of("model.constraint")),
        channels=int(channels or 1),
        half_width=int(half_width or LadderConfig.half_width),
    )
    shape = (1, int(canvas or size or 28), int(canvas or size or 28))
    budgets = {which: int(value) for which in ("params", "macs") if (value := arm.value_of(f"match.{which}"))}
    return plan(match_model(model, MatchConfig(**budgets), shape, 10) if budgets else model, shape, 10)


@cache
def made_up(claim: Claim) -> Evidence:
    """The claim's own arms, those of ladders at their true costs; of three seeds, with the accuracy of their
    constraint."""
    arms = []
    for planned in arms_of(claim):
        arm = Arm(planned.name, planned.overrides)
        right = RIGHT.get(arm.value_of("model.constraint") or "", 0.8)
        cost = cost_of(arm) if arm.has("model=ladder") else plan(LeNetConfig(), (1, 28, 28), 10)
        figures = {"params": float(cost.params), "macs": float(cost.macs)}
        runs = tuple(Run(seed, {**figures, "test.acc": right + 0.001 * seed}, 0.01) for seed in range(3))
        arms.append(Arm(planned.name, planned.overrides, runs))
    return Evidence(claim.name, tuple(arms))


@pytest.mark.parametrize("claim", [TWO_CONSTRAINTS, LOCALITY_IS_ENOUGH], ids=lambda claim: claim.name)
def test_each_comparison_names_arms_of_its_sweeps(claim: Claim) -> None:
    evidence = made_up(claim)
    found = [outcome(comparison, evidence, len(claim.comparisons)) for comparison in claim.comparisons]
    assert [each.n for each in found] == [3] * len(claim.comparisons)


# --- the 2x2 design


def test_effects_are_those_of_the_accuracies() -> None:
    """Of made-up accuracies: the two main effects add up to what the convolution gains."""
    evidence = made_up(TWO_CONSTRAINTS)
    for matching in (PARAMETERS, MAPS, OPERATIONS, RANDOM):
        found = [outcome(matching.compare("", w, 1000), evidence).mean for w in (SHARING, LOCALITY, INTERACTION)]
        assert found == pytest.approx([0.04, 0.06, 0.04])
    finding = judge(TWO_CONSTRAINTS, evidence)
    assert [each.mean for each in finding.outcomes] == pytest.approx([0.04, 0.06, 0.08, 0.04])
    assert finding.verdict == "supported"


@pytest.mark.parametrize(
    ("matching", "params", "macs"),
    [
        # (14 * 14)^2 weights and 196 biases a dense map, 106^2 local ones within 4 pixels, 27^2 shared, 9^2; the head
        # has 1,960 weights a map
        (PARAMETERS, (40_582, 40_186, 40_360, 40_850), (40_376, 39_588, 605_640, 356_720)),
        # 64^2 local ones within 2 pixels
        (MAPS, (162_298, 25_018, 10_770, 7_954), (161_504, 24_224, 161_504, 27_440)),
        (OPERATIONS, (162_298, 160_714, 10_770, 18_388), (161_504, 158_352, 161_504, 160_524)),
        (RANDOM, (657_610, 52_954, 22_098, 16_114), (656_000, 51_344, 656_000, 56_000)),
        (WHOLE, (623_290, 26_590, 10_876, 7_876), (622_496, 25_796, 622_496, 27_440)),
    ],
    ids=lambda value: value.title if isinstance(value, Matching) else "",
)
def test_costs(matching: Matching, params: tuple[int, ...], macs: tuple[int, ...]) -> None:
    arms = [made_up(TWO_CONSTRAINTS).arm(matching.at(c, 10_000)) for c in CONSTRAINTS]
    assert tuple(arm.runs[0].figures["params"] for arm in arms) == params
    assert tuple(arm.runs[0].figures["macs"] for arm in arms) == macs
    assert all(2 * int(arm.value_of("model.half_width") or 2) + 1 == matching.window for arm in arms[1::2])


def test_sizes_and_effects_are_tabled() -> None:
    lines = "\n".join(constraining._describe_constraints(made_up(TWO_CONSTRAINTS)))
    assert lines.count("| equal parameters, 40,400 | 9x9 |") == 4  # 300 to 10,000 images
    assert lines.count("| equal MACs, 161,000 | 9x9 |") == 2
    row = next(line for line in lines.splitlines() if line.startswith("| equal maps, 4 | 5x5 | 1,000 |"))
    assert "| 0.8010 | 0.8410 | 0.8210 | 0.9010 | +0.0400 [" in row
    # three local maps: 3 * 1,960 + 10 of 40,186
    assert "| equal parameters, 40,400 | local | 3 | 40,186 | 5,890 (15%) | 39,588 |" in lines
    assert "| 28x28, 1 map | conv | 1 | 7,876 | 7,850 (100%) | 27,440 |" in lines


# --- counts


@pytest.mark.usefixtures("one_thread")
def test_weights_are_counted_in_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = constraining._count()
    assert len(checks) == 11
    assert all(check.holds for check in checks)
    assert judge(COUNTS, Evidence("counts", checks=tuple(checks))).verdict == "supported"
    counted = constraining._weights
    monkeypatch.setattr(constraining, "_weights", lambda *arguments: counted(*arguments) + 1)
    assert sum(not check.holds for check in constraining._count()) == 9  # but the rounded ones


def test_four_orders_hold_near_a_half_width_of_ten() -> None:
    near = min(range(1, 100), key=lambda d: abs(constraining._orders(d) - 4))
    assert near in (9, 10)
    assert "| 10 | 441 | 3.96 |" in constraining._describe_counts(Evidence("counts"))


# --- how far a layer looks


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_what_a_unit_sees_is_the_receptive_field(kernel: int) -> None:
    network = LeNetConfig(kernel_size=kernel, padding="same", pool="max", head="gap")
    rows = [line for line in constraining._describe_locality(made_up(LOCALITY_IS_ENOUGH)) if "parameters | " in line]
    row = next(line for line in rows if f"| LeNet, equal parameters | {kernel}x{kernel} |" in line)
    field = plan(network, (1, 14, 14), classes=10).receptive_field
    assert f"| {kernel}x{kernel} | {field}x{field} | 0.8010 |" in row


def test_networks_of_the_whole_image_are_told() -> None:
    lines = constraining._describe_locality(made_up(LOCALITY_IS_ENOUGH))
    whole = [line for line in lines if "| 27x27 |" in line]
    assert [line.split(" | ")[:4] for line in whole] == [
        ["| LeNet, equal parameters", "27x27", "13x13", "14x14"],
        ["| LeNet, equal MACs", "27x27", "13x13", "14x14"],
        ["| ladder, equal maps", "27x27", "", "14x14"],
    ]


@pytest.mark.parametrize("claim", CONSTRAINING, ids=lambda claim: claim.name)
def test_figures_are_drawn_from_evidence(claim: Claim) -> None:
    assert claim.figure
    assert "vega-lite" in spec(claim.figure(made_up(claim)))["$schema"]
