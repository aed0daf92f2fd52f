"""invariance.py: its identities hold for the suite's own networks, and its measures find what they are to find."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fc2conv.architectures import plan
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.claims import invariance
from fc2conv.claims.arms import arms_of, trial
from fc2conv.claims.claim import Claim
from fc2conv.claims.drawing import spec
from fc2conv.claims.evidence import Arm, Evidence, Figure, Run
from fc2conv.claims.invariance import EQUIVARIANCE, NEIGHBOURS, PERMUTATION, SHIFT
from fc2conv.claims.permuted import permuted_picture
from fc2conv.config.schema import DataConfig
from fc2conv.data.image_data import ImageData

pytestmark = pytest.mark.usefixtures("one_thread")

LENET: dict[str, Any] = {"activation": "relu", "pool": "max", "norm": "batch", "bias": False, "padding": "same"}


def network(**model: Any) -> Any:
    """A LeNet with the weights of seed 0, which stands for a Classifier."""
    return invariance._network(LeNetConfig(**{**LENET, **model}), (1, 28, 28))


# --- identities


def test_a_permuted_perceptron_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = invariance._permuted_columns()
    assert len(checks) == 2
    assert all(check.holds for check in checks)
    # with the columns of another order it is another network
    monkeypatch.setattr("fc2conv.data.transforms.fixed_permutation", lambda config, size: torch.arange(784).flip(0))
    assert not any(check.holds for check in invariance._permuted_columns())


def test_layers_on_a_torus_are_equivariant(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = invariance._exact_equivariance()
    assert len(checks) == 4
    assert all(check.holds and check.tolerance == 1e-5 for check in checks)

    def with_a_border(config: Any, shape: Any) -> Any:
        return network_of(replace(config, padding_mode="zeros"), shape)

    network_of = invariance._network
    monkeypatch.setattr(invariance, "_network", with_a_border)
    assert not any(check.holds for check in invariance._exact_equivariance())


# --- measures


def test_errors_of_stages(data_dir: str) -> None:
    """On a torus the convolution has none; the stages have none where their stride divides the shift."""
    data = ImageData(dir=data_dir)
    data.setup()
    torus, zeros = (invariance._errors(network(padding_mode=mode), data) for mode in ("circular", "zeros"))
    for shift in range(9):
        assert torus[f"conv_{shift}"] < 1e-6
        assert (torus[f"stage1_{shift}"] < 1e-6) == (shift % 2 == 0)
        assert (torus[f"stage2_{shift}"] < 1e-6) == (shift % 4 == 0)
        assert (zeros[f"conv_{shift}"] < 1e-6) == (shift == 0)


def test_stages_end_before_the_next_convolution(data_dir: str) -> None:
    """With strided convolutions, too, where no pooling follows: their first stage is strided already."""
    data = ImageData(dir=data_dir)
    data.setup()
    found = invariance._errors(network(padding_mode="circular", pool="strided"), data)
    assert found["conv_1"] > 0.01
    assert found["stage1_1"] > 0.01
    assert found["stage1_2"] < 1e-6 < 0.01 < found["stage2_2"]


class Brightest(torch.nn.Module):
    """Class: in which tenth of the canvas's columns most light lies."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.nn.functional.adaptive_avg_pool1d(x.mean((1, 2))[:, None], 10)[:, 0]


def test_predictions_under_shift_start_in_the_middle(data_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever training images lie. Of a network that sees places only, predictions change with the shift."""
    monkeypatch.setattr(invariance, "MANY", 100)
    net: Any = Brightest()
    places: tuple[Any, ...] = ("center", "random")
    found, anywhere = (
        invariance._predictions(net, ImageData(dir=data_dir, canvas=44, place=place)) for place in places
    )
    assert found == anywhere
    assert set(found) == {
        *(f"{name}_{d}" for name in ("accuracy", "relative", "consistency") for d in range(9)),
        *("accuracy", "relative", "consistency"),
    }
    assert found["consistency_0"] == found["relative_0"] == 1
    assert found["consistency"] == pytest.approx(np.mean([found[f"consistency_{d}"] for d in range(1, 9)]))
    # up and down nothing changes; by 8 pixels to either side most change
    assert 0.5 <= found["consistency_8"] < 0.75


def test_neighbours_of_few_images(data_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seeds of 200 images: neighbours are related, and shuffled ones as any two."""

    def few(config: dict[str, Any], seed: int) -> ImageData:
        return ImageData({**config, "dir": data_dir, "train_size": 200}, seed)

    monkeypatch.setattr("fc2conv.data.image_data.ImageData", few)
    monkeypatch.setattr(invariance, "SMALL", 2)
    every = invariance._neighbours()
    by_seed = [{e.arm: e.figures["neighbours.correlation"] for e in every if e.repetition == k} for k in (0, 1)]
    assert all(by_seed[0][arm] != by_seed[1][arm] for arm in by_seed[0])  # each seed draws images and shuffles anew
    found = by_seed[0]
    assert {arm for comparison in NEIGHBOURS.comparisons for _, arm in comparison.terms} <= set(found)
    assert len(found) == 5 * 8
    for order in ("block", "block_order", "fixed"):
        assert found[f"data.permutation={order} distance=any"] == pytest.approx(
            found["data.permutation=none distance=any"]
        )


# --- the sweeps


def test_networks_that_are_compared_under_shift_have_as_many_parameters(tmp_path: Path) -> None:
    """And images on a canvas from which none of the shifts moves them."""
    arms = [arm for arm in arms_of(SHIFT) if "data.place=center" in arm.overrides]
    assert len(arms) == 3
    for arm in arms:
        config = trial(arm, 0.01, 0, tmp_path, quick=False).config
        assert config
        assert plan(config.model, (1, 44, 44), 10).params == pytest.approx(61_706, rel=0.01)
        assert config.data.canvas == 28 + 2 * invariance.FARTHEST


# --- what is shown


def evidence_of(claim: Claim, figures: dict[Figure, float], names: list[str]) -> Evidence:
    """Three seeds of each arm, whose figures differ a little."""
    arms = [
        Arm(
            name,
            tuple(name.split()),
            tuple(Run(seed, {f: v + seed / 1000 for f, v in figures.items()}) for seed in range(3)),
        )
        for name in names
    ]
    return Evidence(claim.name, tuple(arms))


def test_figures_and_descriptions_are_made_of_evidence() -> None:
    shift: dict[Figure, float] = {
        f"shift.{n}_{d}": 1 - d / 10 for n in ("accuracy", "relative", "consistency") for d in range(9)
    }
    errors: dict[Figure, float] = {
        f"equivariance.{n}_{d}": d / 9 for n in ("conv", "stage1", "stage2") for d in range(9)
    }
    names = [f"data.permutation={o} distance={d}" for o in ("none", "fixed") for d in (1, 14, "any")]
    for claim, figures, arms in (
        (PERMUTATION, {"test.acc": 0.8}, [arm.name for arm in arms_of(PERMUTATION)]),
        (EQUIVARIANCE, {"test.acc": 0.8, **errors}, [arm.name for arm in arms_of(EQUIVARIANCE)]),
        (SHIFT, {"shift.consistency": 0.5, **shift}, [arm.name.replace(", ", ",") for arm in arms_of(SHIFT)]),
        (NEIGHBOURS, {"neighbours.correlation": 0.5}, names),
    ):
        evidence = evidence_of(claim, figures, arms)
        assert claim.figure
        assert claim.describe
        assert spec(claim.figure(evidence))["config"]
        told = claim.describe(evidence)
        rows = [line for line in told if line.startswith("|")]
        assert rows
        assert {line.count("|") for line in rows} == {rows[0].count("|")}
        assert "nan" not in "\n".join(told)


def test_the_picture_has_a_column_for_each_order(data_dir: str) -> None:
    one, three = (permuted_picture(DataConfig(dir=data_dir), range(n)) for n in (1, 3))
    assert three.width == one.width
    assert three.height - one.height == 2 * (140 + 22)
    pixels = np.asarray(one.convert("L"))[-24 - 140 : -24]  # the row of images
    columns = [pixels[:, 24 + i * 162 : 24 + i * 162 + 140][::5, ::5] for i in range(6)]
    for column in columns[1:]:  # the same pixels in another order
        assert np.array_equal(np.sort(column, axis=None), np.sort(columns[0], axis=None))
        assert not np.array_equal(column, columns[0])
