"""Every claim is whole: its sweeps are there, its comparisons name its arms, and its margins are those agreed on."""

from __future__ import annotations

import re
from functools import cache

import pytest

from fc2conv.claims import arms
from fc2conv.claims.arms import folder, trial
from fc2conv.claims.book import CLAIMS, find
from fc2conv.claims.chapter import SECTIONS, position
from fc2conv.claims.claim import EFFECT, EQUAL, FULL, RATES, SMALL, Claim, Comparison, effect
from fc2conv.claims.evidence import Arm
from fc2conv.claims.lab import page
from fc2conv.errors import ConfigError
from fc2conv.sweep import search_space

arms_of = cache(arms.arms_of)
RECORDED = ("test.acc", "val.acc", "train.acc", "params", "macs", "seconds")
SWEEPS = sorted(path.stem for path in folder().glob("*.yaml"))
each_claim = pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)


def test_they_are_in_the_chapters_order() -> None:
    assert [claim.number for claim in CLAIMS] == sorted(claim.number for claim in CLAIMS)
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS)
    assert [*SECTIONS] == sorted(SECTIONS, key=position)


@each_claim
def test_a_claim_says_all_that_a_reader_needs(claim: Claim) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", claim.name)
    assert claim.section in SECTIONS
    for words in (claim.title, claim.sentence, claim.source, claim.expected, claim.refuted_by):
        assert words.strip()
        assert "\n" not in words
    assert len(claim.title) <= 60
    assert claim.comparisons or claim.checks
    assert claim.sweeps or claim.checks or claim.observe


@each_claim
def test_its_comparisons_name_an_arm_each(claim: Claim) -> None:
    planned = [Arm(arm.name, arm.overrides) for arm in arms_of(claim)]
    measured = {measure.name: measure for measure in claim.measures}
    for comparison in claim.comparisons:
        assert comparison.says.strip()
        kind, _, _ = comparison.of.partition(".")
        if claim.observe and comparison.of not in ("test.acc", "val.acc", "train.acc") and kind not in measured:
            continue  # its arms are timed
        assert comparison.of in RECORDED or kind in measured, comparison.of
        for _, selector in comparison.terms:
            found = [arm for arm in planned if arm.has(selector)]
            assert len(found) == 1, f"{selector}: {[arm.name for arm in found]}"
            if kind in measured:
                assert found[0].has(measured[kind].arms)


@each_claim
def test_a_comparison_is_a_difference(claim: Claim) -> None:
    """Of equal weights on both sides, so that it is 0 where all arms are equal. An instrument may have taken the
    difference itself."""
    for comparison in claim.comparisons:
        if len(comparison.terms) == 1 and comparison.of.endswith(("_found", "_gain")):
            continue
        assert sum(weight for weight, _ in comparison.terms) == pytest.approx(0)
        assert len({arm for _, arm in comparison.terms}) == len(comparison.terms) >= 2


@each_claim
def test_margins_are_those_agreed_on_or_stricter(claim: Claim) -> None:
    """Not worse is an effect, too: above minus what equals may differ by."""
    for comparison in claim.comparisons:
        least = {"effect": EFFECT, "equal": EQUAL, "ratio": 1.0}[comparison.kind]
        if comparison.kind == "ratio" or comparison.of == "test.acc":
            assert comparison.margin >= least or (comparison.kind, comparison.margin) == ("effect", -EQUAL)


@each_claim
def test_seeds_and_the_search_are_the_same_for_all(claim: Claim) -> None:
    assert claim.seeds in (SMALL, FULL)
    assert claim.rates == (RATES if claim.seeds == SMALL else claim.rates)


@pytest.mark.parametrize("name", SWEEPS)
def test_a_sweep_has_the_budget_agreed_on(name: str) -> None:
    """The last weights tested, no choice of an epoch, and data by the run's seed; of the small budget 400 steps."""
    owners = [claim for claim in CLAIMS if name in claim.sweeps]
    assert owners, "a claim uses it"
    file = search_space.read(search_space.find(name, folder()))
    set_to = {p.key: [str(v) for v in p.grid()] for p in file.parameters}
    assert set_to["logger"] == ["csv"]
    if any(claim.seeds == SMALL for claim in owners):
        assert set_to["trainer.test_weights"] == ["last"]
        assert set_to["trainer.max_steps"] == ["400"]
        assert set_to["optim.lr"] == [str(rate) for rate in RATES]
        assert set_to["seed"] == [str(seed) for seed in range(SMALL)]
        assert set_to["data.seed"] in (["None"], ["null"])


@pytest.mark.parametrize("name", SWEEPS)
def test_an_arm_of_each_sweep_composes(name: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    claim = next(claim for claim in CLAIMS if name in claim.sweeps)
    file = search_space.read(search_space.find(name, folder()))
    mine = {p.key for p in file.parameters}
    arm = next(arm for arm in arms_of(claim) if {o.partition("=")[0] for o in arm.overrides} <= mine)
    assert trial(arm, None, 0, tmp_path, quick=False).impossible is None


@pytest.mark.slow
@each_claim
def test_all_arms_compose(claim: Claim, tmp_path) -> None:  # type: ignore[no-untyped-def]
    for arm in arms_of(claim):
        assert trial(arm, None, 0, tmp_path, quick=False).impossible is None, arm.name


def test_a_claim_has_at_most_four_comparisons() -> None:
    from claims.made_up import claimed

    five: tuple[Comparison, ...] = (effect("", "a", "b"),) * 5
    with pytest.raises(ValueError, match="made_up: 5 primary comparisons; at most 4"):
        claimed(comparisons=five)


# --- finding them


def test_a_claim_is_found_by_name_or_number() -> None:
    last = CLAIMS[-1]
    assert find([]) == list(CLAIMS)
    assert find([last.name]) == find([last.name, last.name]) == [last]
    assert last in find([str(last.number)])
    assert find([last.name, CLAIMS[0].name]) == list(dict.fromkeys([CLAIMS[0], last]))


def test_a_name_that_is_none_is_answered_with_the_nearest() -> None:
    with pytest.raises(
        ConfigError, match="claims: got permutatio, but there is no such claim; did you mean permutation"
    ):
        find(["permutatio"])
    with pytest.raises(ConfigError, match="got 77, but there is no such claim"):
        find(["77"])


# --- before anything has run


def test_a_claim_that_has_not_run_says_what_it_will_compare() -> None:
    text = page(CLAIMS, lambda claim: None)
    for claim in CLAIMS:
        assert f"### {claim.number}. {claim.title}" in text
        assert all(comparison.says in text for comparison in claim.comparisons)
        assert f"fc2conv claims run {claim.name}" in text
    assert f"{len(CLAIMS)} not run" in text
