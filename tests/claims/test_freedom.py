"""freedom.py: its measures, on networks of which the outcome is known, and what is told of them."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from fc2conv.claims import freedom
from fc2conv.claims.arms import arms_of
from fc2conv.claims.drawing import spec
from fc2conv.claims.evidence import Arm, Evidence, Run
from fc2conv.claims.freedom import FREEDOM
from fc2conv.claims.verdicts import judge
from fc2conv.data.image_data import ImageData
from fc2conv.instruments.release import recast
from fc2conv.training.classifier import Classifier

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (1, 20, 20)
NULL = {"locality": 0.2, "similarity": 0.3}


def network(constraint: str, **more: Any) -> Classifier:
    """Of the ladder, with the weights of seed 0."""
    torch.manual_seed(0)
    return Classifier({"family": "ladder", "constraint": constraint, "channels": 2, **more}, SHAPE)


@pytest.fixture(scope="module")
def data() -> ImageData:
    """Two batches an epoch."""
    found = ImageData(size=14, train_size=200, val_size=200, place="random", canvas=20)
    found.setup()
    return found


def test_a_convolution_has_gone_all_the_way(data: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dense layer with the weights of a convolution has 1 of both structures; a random one has what is random."""
    monkeypatch.setattr(freedom, "_random_structure", lambda shape: NULL)
    dense = network("dense")
    drawn = freedom._structure(dense, data)
    assert drawn["locality_found"] == pytest.approx((drawn["locality"] - 0.2) / 0.8)
    assert drawn["similarity_found"] == pytest.approx((drawn["similarity"] - 0.3) / 0.7)
    assert max(drawn["locality"], drawn["similarity"]) < 0.5
    recast(network("conv"), dense, SHAPE)
    found = freedom._structure(dense, data)
    assert found["locality_found"] == pytest.approx(1)
    assert found["similarity_found"] == pytest.approx(1, abs=0.01)


def test_random_weights_have_gone_nowhere(data: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freedom, "DRAWS", 2)
    monkeypatch.setattr("fc2conv.instruments.structure.UNITS", 16)
    freedom._random_structure.cache_clear()
    found = freedom._structure(network("dense"), data)
    freedom._random_structure.cache_clear()
    assert found["locality_found"] == pytest.approx(0, abs=0.02)
    assert found["similarity_found"] == pytest.approx(0, abs=0.05)


def test_released_networks_begin_as_the_same(data: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a step they are equally good."""
    monkeypatch.setattr(freedom, "FURTHER", 0)
    monkeypatch.setattr(freedom, "FURTHER_RATES", (0.001,))
    conv = network("conv")
    before = conv.net.hidden.weight.detach().clone()  # type: ignore[union-attr,operator]
    found = freedom._release(conv, data)
    names = ("kept", "sharing", "locality", "both")
    assert {found[name] for name in names} == {found["before"]}
    assert [found[f"{name}_gain"] for name in names[1:]] == [0, 0, 0]
    assert_close(conv.net.hidden.weight, before)  # type: ignore[union-attr]


def test_each_network_takes_its_best_rate_by_validation(data: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made up: validation prefers the second rate, the test set, which must not be asked, the first."""
    rates: list[float] = []
    monkeypatch.setattr(freedom, "FURTHER_RATES", (0.001, 0.002))
    monkeypatch.setattr(freedom, "_train_on", lambda net, optim, data, rate: rates.append(rate))
    monkeypatch.setattr(
        freedom, "_accuracy", lambda net, data, split: rates[-1] * (1 if split == "val" else -1) if rates else 0.0
    )
    found = freedom._release(network("conv"), data)
    assert rates == [0.001, 0.002] * 4
    assert [found[f"{name}_rate"] for name in ("kept", "sharing", "locality", "both")] == [0.002] * 4
    assert found["both"] == -0.002


def test_training_on_lowers_the_loss(data: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freedom, "FURTHER", 60)
    conv = network("conv", channels=8)
    images, labels = next(iter(data.train_dataloader()))

    def loss() -> float:
        return float(torch.nn.functional.cross_entropy(conv.net(images).detach(), labels))

    before = loss()
    freedom._train_on(conv.net, conv.optim, data, 0.01)
    assert loss() < 0.7 * before


def test_batches_go_on_in_epochs_that_are_the_same_for_all(data: ImageData) -> None:
    first, second = (list(islice(freedom._batches(data), 4)) for _ in range(2))
    for (images, labels), (same, too) in zip(first, second, strict=True):
        assert_close(images, same)
        assert_close(labels, too)
    assert not torch.equal(first[0][0], first[2][0])  # another order, and other places


def test_it_is_judged_and_told() -> None:
    figures = {
        **{f"structure.{of}{end}": 0.5 for of in ("locality", "similarity") for end in ("", "_null", "_found")},
        **{f"release.{of}": 0.8 for of in ("before", "kept", "sharing", "locality", "both")},
        **{f"release.{of}_gain": 0.002 for of in ("sharing", "locality", "both")},
        "test.acc": 0.8,
    }
    arms = tuple(
        Arm(each.name, each.overrides, tuple(Run(seed, figures, 0.01) for seed in range(3)))
        for each in arms_of(FREEDOM)
    )
    evidence = Evidence("freedom", arms)
    assert judge(FREEDOM, evidence).verdict == "supported"
    assert FREEDOM.describe
    lines = FREEDOM.describe(evidence)
    assert "| dense | 0.8000 | +0.0020 [+0.0020, +0.0020] |" in lines
    assert "| centred | 0.500 | 0.500 | 0.500 | 0.500 | 0.500 | 0.500 |" in lines
    assert FREEDOM.figure
    assert "vega-lite" in spec(FREEDOM.figure(evidence))["$schema"]
