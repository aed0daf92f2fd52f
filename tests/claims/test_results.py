"""What is committed under results/: every verdict and figure of LAB.md follows from it again."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fc2conv.claims.arms import arms_of
from fc2conv.claims.book import CLAIMS, evidence_of, results
from fc2conv.claims.claim import SEARCHED, Claim
from fc2conv.claims.evidence import Evidence
from fc2conv.claims.experiment import is_trained
from fc2conv.claims.lab import FIGURE, MARKS, PAGE, SITE, draw, for_site, page
from fc2conv.claims.verdicts import judge

TOP = results().parent
KNOWN = [(claim, found) for claim in CLAIMS if (found := evidence_of(claim)) is not None]
each_result = pytest.mark.parametrize(("claim", "evidence"), KNOWN, ids=lambda value: getattr(value, "name", ""))


def verdicts_of(text: str) -> dict[str, str]:
    """Claim -> the verdict that the page states under its heading."""
    parts = re.split(r"^### \d+\. ", text, flags=re.M)[1:]
    found = {}
    for part in parts:
        command = re.search(r"`fc2conv claims run (\w+)`", part)
        verdict = re.search(rf"^\*\*Verdict: (?:[{''.join(MARKS.values())}] )?([a-z ]+)\.\*\*", part, re.M)
        assert command
        assert verdict
        found[command[1]] = verdict[1]
    return found


def test_the_page_states_the_verdicts_that_follow_from_the_results() -> None:
    stated = verdicts_of((TOP / PAGE).read_text(encoding="utf-8"))
    assert stated == {claim.name: judge(claim, evidence_of(claim)).verdict for claim in CLAIMS}


def test_the_page_is_what_the_results_make_of_it() -> None:
    """To the letter. `fc2conv claims lab` writes it anew."""
    text = page(CLAIMS, evidence_of, results())
    assert (TOP / PAGE).read_text(encoding="utf-8") == text
    assert (TOP / SITE).read_text(encoding="utf-8") == for_site(text)


def test_each_result_is_of_a_claim() -> None:
    folders = {path.name for path in results().glob("*")}
    assert folders <= {claim.name for claim in CLAIMS}


@each_result
def test_a_figure_is_what_the_results_make_of_it(claim: Claim, evidence: Evidence, tmp_path: Path) -> None:
    """The same words and as many marks: where they lie to the last digit depends on the version that draws."""
    drawn = draw(claim, evidence, tmp_path)
    assert [path.name for path in drawn] == [path.name for path in (results() / claim.name).glob(FIGURE)]
    for path in drawn:
        assert _seen(path) == _seen(results() / claim.name / FIGURE)


def _seen(path: Path) -> tuple[list[str], Counter[str]]:
    elements = [each for each in ET.parse(path).iter() if isinstance(each.tag, str)]
    words = [each.text for each in elements if each.tag.endswith(("text", "tspan")) and each.text]
    return words, Counter(each.tag for each in elements)


@each_result
def test_the_results_are_of_the_arms_seeds_and_rates_that_the_claim_names(claim: Claim, evidence: Evidence) -> None:
    assert not evidence.quick
    trained = [arm for arm in evidence.arms if arm.search or is_trained(arm)]
    assert [arm.overrides for arm in trained][: len(arms_of(claim))] == [arm.overrides for arm in arms_of(claim)]
    searched = {(rate, seed) for rate in claim.rates for seed in SEARCHED} if len(claim.rates) > 1 else set()
    for arm in trained:
        if not arm.search and arm.overrides not in [each.overrides for each in arms_of(claim)]:
            continue  # it is timed
        assert [run.seed for run in arm.runs] == [*range(claim.seeds)]
        assert {(run.lr, run.seed) for run in arm.search} == searched
        assert len(arm.search) == len(searched)


@each_result
def test_each_arm_has_the_rate_that_its_search_found(claim: Claim, evidence: Evidence) -> None:
    for arm in evidence.arms:
        if not arm.search:
            continue
        means = {
            rate: np.mean([run.figures["val.acc"] for run in arm.search if run.lr == rate]) for rate in claim.rates
        }
        assert {run.lr for run in arm.runs} == {max(sorted(means), key=lambda rate: means[rate])}


@each_result
def test_accuracies_are_those_of_the_predictions(claim: Claim, evidence: Evidence) -> None:
    for name, counts in evidence.correct.items():
        arm = next(arm for arm in evidence.arms if arm.name == name)
        assert counts.max() <= len(arm.runs)
        mean = np.mean(list(arm.values("test.acc").values()))
        assert counts.sum() / (len(arm.runs) * len(counts)) == pytest.approx(mean, abs=1e-7)


# --- that these tests would see a difference


def test_a_verdict_that_is_not_what_follows_would_be_seen(claim: Claim, evidence: Evidence) -> None:
    text = page([claim], lambda _: evidence)
    assert verdicts_of(text) == {"permutation": "undecided"} == {claim.name: judge(claim, evidence).verdict}
    changed = text.replace("**Verdict: ~ undecided.**", "**Verdict: ✔ supported.**")
    assert verdicts_of(changed) == {"permutation": "supported"}
