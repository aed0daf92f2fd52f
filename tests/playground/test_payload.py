"""What the page holds besides networks: images in a known order, and the claims' results."""

from __future__ import annotations

import base64
import json
import statistics
from typing import Any

import numpy as np
import pytest

from fc2conv.claims.book import CLAIMS, evidence_of, find, results
from fc2conv.claims.verdicts import judge
from fc2conv.config.schema import DataConfig
from fc2conv.data.sources import Images, load
from fc2conv.pages.inline import json_text
from fc2conv.playground import payload
from fc2conv.record.result import finite


@pytest.fixture(scope="module")
def images(data_dir: str) -> Images:
    return load(DataConfig(dir=data_dir))


def unpacked(split: dict[str, Any], edge: int) -> tuple[Any, Any]:
    pixels, labels = (np.frombuffer(base64.b64decode(split[key]), np.uint8) for key in ("pixels", "labels"))
    return pixels.reshape(split["n"], edge, edge), labels


def test_test_images_are_the_first_of_each_class_in_turn(images: Images) -> None:
    found = payload.test_images(images)
    pixels, labels = unpacked(found, 28)
    assert labels.tolist() == list(range(10)) * 20
    published = images.test_labels.numpy()
    for label in range(10):
        first = np.flatnonzero(published == label)[:20]
        assert np.array_equal(pixels[labels == label], images.test_images.numpy()[first, 0])
    assert found["classes"][9] == "Ankle boot"


def test_small_images_are_means_of_four_pixels(images: Images) -> None:
    found = payload.small_images(images)
    for split, n in (("train", 1000), ("test", 500)):
        pixels, labels = unpacked(found[split], 14)
        whole = getattr(images, f"{split}_images").numpy()[:n, 0].astype(np.float64)
        assert np.array_equal(pixels, np.rint(whole.reshape(n, 14, 2, 14, 2).mean((2, 4))))
        assert labels.tolist() == getattr(images, f"{split}_labels")[:n].tolist()


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_a_result_is_the_claims_verdict(claim: Any) -> None:
    found = payload.result(claim)
    finding = judge(claim, evidence_of(claim))
    assert found["verdict"] == finding.verdict
    assert [each["says"] for each in found["comparisons"]] == [each.says for each in claim.comparisons]
    for each, outcome in zip(found["comparisons"], finding.outcomes, strict=False):
        assert (each["estimate"], each["low"], each["high"]) == (outcome.mean, outcome.low, outcome.high)
        assert (each["n"], each["verdict"]) == (outcome.n, outcome.verdict)
    json_text(finite(found))


def test_a_permutation_changes_accuracy_as_the_claim_has_it() -> None:
    (claim,) = find(["permutation"])
    found = payload.result(claim)
    mlp, lenet = found["changes"]
    gained, lost, *_ = found["comparisons"]
    assert (mlp["change"], mlp["n"]) == (pytest.approx(gained["estimate"]), gained["n"])
    assert (lenet["change"], lenet["n"]) == (pytest.approx(-lost["estimate"]), lost["n"])


def test_a_claim_that_has_not_run_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload, "evidence_of", lambda claim: None)
    (claim,) = find(["shift"])
    found = payload.result(claim)
    assert found["verdict"] == "not run"
    assert found["curves"] == {}
    assert {(each["verdict"], each["n"], each["estimate"]) for each in found["comparisons"]} == {("not run", 0, None)}


def test_curves_are_means_over_the_seeds() -> None:
    (claim,) = find(["shift"])
    curves = payload.result(claim)["curves"]
    recorded = json.loads((results() / "shift" / "evidence.json").read_text())
    assert list(curves) == [arm["name"] for arm in recorded["arms"]]
    for arm in recorded["arms"]:
        curve = curves[arm["name"]]
        assert (curve["x"], curve["n"]) == (list(range(9)), len(arm["runs"]))
        for name in ("accuracy", "consistency"):
            for shift in (0, 8):
                values = [run["figures"][f"shift.{name}_{shift}"] for run in arm["runs"]]
                assert curve[name][shift] == pytest.approx(statistics.fmean(values))
