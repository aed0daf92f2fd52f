"""docs/playground.html is the page that the code, the data and the results make: `fc2conv playground --to
docs/playground.html` writes it anew, with the ten networks that it trains."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from fc2conv.claims.book import CLAIMS, evidence_of, find, results
from fc2conv.config.schema import DataConfig
from fc2conv.data.sources import load
from fc2conv.playground import payload
from fc2conv.playground.defaults import NETWORKS, RUNGS, SEED, Default
from fc2conv.playground.page import render
from fc2conv.record.result import finite

PAGE = results().parent / "docs" / "playground.html"


@pytest.fixture(scope="module")
def text() -> str:
    return PAGE.read_text("utf-8")


@pytest.fixture(scope="module")
def data(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="payload">(.*?)</script>', text, re.DOTALL)
    assert found
    values: dict[str, Any] = json.loads(found[1])
    return values


def test_it_is_what_the_pages_code_makes_of_its_data(text: str, data: dict[str, Any]) -> None:
    is_the_same = render(data) == text
    assert is_the_same, "after a change of the page: fc2conv playground --to docs/playground.html"
    assert len(text.encode()) < 4_000_000


def test_its_verdicts_and_figures_are_those_of_the_results(data: dict[str, Any]) -> None:
    assert data["results"] == {claim.name: finite(payload.result(claim)) for claim in CLAIMS}


def test_its_images_are_those_of_the_dataset(data: dict[str, Any], data_dir: str) -> None:
    images = load(DataConfig(dir=data_dir))
    assert data["images"] == payload.test_images(images)
    assert data["small"] == payload.small_images(images)


@pytest.mark.parametrize(("group", "defaults"), [("networks", NETWORKS), ("rungs", RUNGS)])
def test_its_networks_are_runs_of_the_claims(data: dict[str, Any], group: str, defaults: tuple[Default, ...]) -> None:
    """By the accuracy that the claim has recorded of the run; the three that are no claim's have none to compare."""
    shown = data[group]
    assert [(each["id"], each["title"], each["says"]) for each in shown] == [
        (each.id, each.title, each.says) for each in defaults
    ]
    for network, default in zip(shown, defaults, strict=True):
        if default.other:
            continue
        (claim,) = find([default.claim])
        evidence = evidence_of(claim)
        assert evidence
        arm = evidence.arm(default.arm)
        (run,) = (run for run in arm.runs if run.seed == SEED)
        assert network["test"] == {"acc": pytest.approx(run.figures["test.acc"], abs=1e-6), "n": 10_000}
        if group == "networks":
            assert network["curve"] == payload.curve_of(arm)
            assert network["arm"] == arm.name


def test_networks_of_permuted_pixels_have_their_permutation(data: dict[str, Any]) -> None:
    assert [each["id"] for each in data["networks"] if each["permutation"]] == ["mlp_permuted", "lenet_permuted"]
