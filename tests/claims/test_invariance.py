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
from fc2conv.claims import invariance, untrained
from fc2conv.claims.arms import arms_of, trial
from fc2conv.claims.invariance import SHIFT
from fc2conv.data.image_data import ImageData

pytestmark = pytest.mark.usefixtures("one_thread")

LENET: dict[str, Any] = {"activation": "relu", "pool": "max", "norm": "batch", "bias": False, "padding": "same"}


def network(**model: Any) -> Any:
    """A LeNet with the weights of seed 0, which stands for a Classifier."""
    return untrained.network(LeNetConfig(**{**LENET, **model}), (1, 28, 28))


# --- identities


def test_layers_on_a_torus_are_equivariant(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = invariance._exact_equivariance()
    assert len(checks) == 4
    assert all(check.holds and check.tolerance == 1e-5 for check in checks)

    def with_a_border(config: Any, shape: Any) -> Any:
        return network_of(replace(config, padding_mode="zeros"), shape)

    network_of = untrained.network
    monkeypatch.setattr(invariance, "network", with_a_border)
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
