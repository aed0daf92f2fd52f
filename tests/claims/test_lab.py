"""The page of the laboratory, from made-up evidence."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from claims.made_up import claimed

from fc2conv.claims import lab, predicted
from fc2conv.claims.claim import Claim, effect, ratio
from fc2conv.claims.evidence import Arm, Check, Evidence, Run
from fc2conv.claims.experiment import experiment
from fc2conv.claims.predicted import predicted as rows
from fc2conv.data.worlds.predictions import World, chance, wins


def part(text: str, title: str) -> str:
    """What the page says under a heading."""
    found = re.search(rf"^### \d+\. {title}\n(.*?)(?=^##)", text, re.M | re.S)
    assert found
    return found[1]


def test_the_order_is_the_chapters() -> None:
    claims = [
        claimed(name=name, number=number, section=section, title=name, checks=list)
        for number, (name, section) in enumerate({"b": "7.2", "a": "7.1.2", "c": "7.1", "d": "7.1.2"}.items())
    ]
    text = lab.page(claims, lambda claim: None)
    assert re.findall(r"^### \d\. (\w)$", text, re.M) == ["c", "a", "d", "b"]
    assert re.findall(r"^## (7\S* .*)$", text, re.M) == [
        "7.1 From fully connected layers to convolutions",
        "7.1.2 Constraining the MLP",
        "7.2 Convolutions for images",
    ]


def test_a_claim_has_sentence_equation_picture_and_numbers(claim: Claim, evidence: Evidence) -> None:
    told = replace(claim, describe=lambda found: [f"There are {len(found.arms)} arms."])
    text = part(lab.page([told], lambda _: evidence), claim.title)
    for words in (
        "> its sentence\n>\n> its source",
        "```math\n\\mathbf{H} = \\mathbf{W} \\mathbf{X}\n```",
        "![The order of the pixels](results/permutation/figure.svg)",
        "- **Expected.** its expected",
        "- **Would refute it.** its refuted_by",
        "| the MLP does not care for a fixed order | +0.0000 [",
        "| 3 | ± 0.005 | ~ undecided |",
        "| 3 | > 0.003 | ~ undecided |",
        "**Verdict: ~ undecided.** **Not decided:** “the MLP",
        "There are 4 arms.",
        "| lenet_modern, fixed | 0.7833 ± 0.0289 | 3 | 0.01 | 1,000 |  |",
        "Repeat it: `fc2conv claims run permutation`",
    ):
        assert words in text, words


def test_what_was_not_expected_is_seen(claim: Claim, evidence: Evidence) -> None:
    fixed = "model=lenet_modern data.permutation=fixed"
    wrong = effect("a fixed order helps", fixed, "model=mlp data.permutation=none")
    arms = tuple(
        replace(arm, runs=tuple(Run(s, {"test.acc": 0.1 * (i + 1)}) for s in (0, 1)))
        for i, arm in enumerate(evidence.arms)
    )
    against = replace(claim, comparisons=(effect("it hurts", "model=mlp data.permutation=none", fixed),))
    found = replace(evidence, arms=arms, correct={})
    assert "**Verdict: ✘ refuted.** **Not as expected:** “it hurts”, -0.3000 [-0.3000, -0.3000]." in lab.page(
        [against], lambda _: found
    )
    assert "**Verdict: ✔ supported.** As expected." in lab.page([replace(claim, comparisons=(wrong,))], lambda _: found)


def test_identities_are_told_with_both_sides() -> None:
    claim = claimed(title="Exactly", checks=list)
    checks = (Check("weights", 1e9, 1e9), Check("the same logits", 0.5, 0, 1e-5))
    text = part(lab.page([claim], lambda _: Evidence("made_up", checks=checks)), "Exactly")
    assert "| weights | 1,000,000,000 | 1,000,000,000 | 0 | ✔\N{NO-BREAK SPACE}holds |" in text
    assert "| the same logits | 0.5 | 0 | 1e-05 | ✘\N{NO-BREAK SPACE}**fails** |" in text
    assert "**Not as expected:** “the same logits”, 0.5." in text
    assert "figure.svg" not in text
    assert "Identities, computed anew" in text


def test_the_overview_links_to_each_claim(claim: Claim, evidence: Evidence) -> None:
    other = claimed(name="other", number=12, title="Wide (and deep): 1x1, too", checks=list)
    text = lab.page([claim, other], lambda each: evidence if each is claim else None)
    assert "2 claims: 1 undecided, 1 not run." in text
    assert "| 7.1 | [1. The order of the pixels](#1-the-order-of-the-pixels) | ~ **undecided** | 2 undecided |" in text
    assert "(#12-wide-and-deep-1x1-too) | – **not run** |  |" in text


def test_figures_are_drawn_once_and_the_claims_own_first(claim: Claim, evidence: Evidence, tmp_path: Path) -> None:
    import altair as alt

    def own(found: Evidence) -> alt.Chart:
        return alt.Chart(alt.InlineData(values=[{"x": 1}])).mark_point().encode(alt.X("x:Q", title="my own"))

    [path] = lab.draw(replace(claim, figure=own), evidence, tmp_path)
    assert path == tmp_path / "permutation" / "figure.svg"
    assert "my own" in path.read_text()
    [path] = lab.draw(claim, evidence, tmp_path)
    assert "the convolutional network loses by it" in path.read_text()
    assert lab.draw(replace(claim, comparisons=()), evidence, tmp_path) == []


def test_other_pictures_of_a_claim_are_shown_below_its_figure(claim: Claim, evidence: Evidence, tmp_path: Path) -> None:
    (tmp_path / claim.name).mkdir()
    for name in ("pixel_orders.png", "evidence.json", "a_mask.png"):
        (tmp_path / claim.name / name).touch()
    text = part(lab.page([claim], lambda _: evidence, tmp_path), claim.title)
    assert re.findall(r"^!\[(.*)\]\(results/permutation/(.*)\)$", text, re.M) == [
        ("The order of the pixels", "figure.svg"),
        ("A mask", "a_mask.png"),
        ("Pixel orders", "pixel_orders.png"),
    ]


# --- the experiment in a sentence


def arm(name: str, *more: str) -> Arm:
    return Arm(name, (*name.split(), *more))


BUDGET = "400 steps of 128"
SMALL = ("data.train_size=10000", "trainer.max_steps=400")
PERMUTED = [arm(f"model={m} data.permutation={p}", *SMALL) for m in ("mlp", "lenet") for p in ("none", "fixed")]
SIZES = [arm(f"model=mlp data.train_size={n}", "data=world_tabular", "trainer.max_epochs=3") for n in (3000, 300)]
WIDTHS = [arm("model.width=4", "data=mnist1d"), arm("", "data=mnist1d")]
SEARCH = "; the learning rate is the best of 0.003, 0.01, 0.03 by validation on 2 other seeds."


@pytest.mark.parametrize(
    ("arms", "which", "data", "budget"),
    [
        (
            PERMUTED,
            "4 arms: `model` mlp, lenet; `data.permutation` none, fixed",
            "Fashion-MNIST, 10,000",
            "400 steps of 128",
        ),
        (SIZES, "2 arms: `model=mlp`", "the world `tabular`, 300, 3,000", "3 epochs"),
        (WIDTHS, "2 arms: `model.width` 4, not set", "MNIST-1D, all", "10 epochs"),
    ],
)
def test_an_experiment_is_told_in_a_sentence(arms: list[Arm], which: str, data: str, budget: str) -> None:
    assert experiment(claimed(), None, arms) == [f"{which}. {data} training images, {budget}, 10 seeds{SEARCH}"]


def test_without_a_search_none_is_told() -> None:
    [text] = experiment(claimed(rates=(), seeds=5), None, [arm("model=mlp", "trainer.max_epochs=10")])
    assert text == "1 arm: `model=mlp`. Fashion-MNIST, all training images, 10 epochs, 5 seeds."


def test_timings_name_the_machine() -> None:
    arms = tuple(Arm(n, (n,), tuple(Run(i, {"seconds": 1.0}) for i in range(7))) for n in ("model=mlp", "model=lenet"))
    found = Evidence("made_up", arms, machine={"cpu": "A processor", "cores": 2})
    timed = claimed(comparisons=(ratio("a wins", "model=mlp", "model=lenet", 1.0, "seconds"),))
    assert experiment(timed, found) == ["7 alternating repetitions of 2 arms, on A processor, 2 cores."]
    assert experiment(claimed(), found) == ["Nothing is trained; 7 values of each of 2 arms."]


# --- the worlds


def test_predictions_stand_beside_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    arm, others = "model=lenet_gap model.padding=same", ("trainer.max_steps=400", "data.seed=None", "logger=csv")
    world = World(
        1.0, (wins(arm, "it sees it"), chance(f"{arm} model.pool=none", 2, "it does not"), wins("model=mlp", ""))
    )
    monkeypatch.setattr(predicted, "WORLDS", {"world_border": world})
    accuracies = {arm: (0.75, 0.85), f"{arm} model.pool=none": (0.5, 0.52), f"{arm} model.coordinates=true": (1.0, 1.0)}
    made = [
        Arm(name, (*name.split(), "data=world_border", *others), tuple(Run(i, {"test.acc": found[i]}) for i in (0, 1)))
        for name, found in accuracies.items()
    ]
    lines = list(rows([Evidence("one", tuple(made[:1]) + tuple(made[2:])), Evidence("other", tuple(made[1:2]))]))[-3:]
    assert lines == [
        "| border | lenet_gap, same | wins, ≥ 0.90 | it sees it | 0.8000 | 2 | **not as predicted** |",
        "| border | lenet_gap, same, pool none | chance, 0.47 to 0.53 | it does not | 0.5100 | 2 | as predicted |",
        "| border | mlp | wins, ≥ 0.90 |  | not run | | |",
    ]
