"""The command `fc2conv claims`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from claims.made_up import claimed
from rich.console import Console

from fc2conv.claims import arms, book, lab, missing, running
from fc2conv.claims.claim import Claim, effect
from fc2conv.claims.evidence import Check, Evidence
from fc2conv.cli import main
from fc2conv.errors import SweepEnded
from fc2conv.record import terminal
from fc2conv.training import distributed

Call = Callable[..., tuple[int, str, str]]
SWEEP = """\
method: grid
parameters:
  model: {values: [mlp, lenet_modern]}
  data.permutation: {values: [none, fixed, fresh]}
  data.train_size: {value: 10000}
  optim: {value: adamw}
"""
OTHER = claimed(
    name="exact",
    number=2,
    title="What needs no seeds, said in so many words that it is long",
    comparisons=(effect("a wins", "model=mlp", "model=softmax"),),
    checks=list,
)


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, claim: Claim) -> Path:
    """A repository with two claims, on a screen of 80 columns and a machine of two cores."""
    (tmp_path / "permutation.yaml").write_text(SWEEP)
    monkeypatch.setattr(arms, "folder", lambda: tmp_path)
    monkeypatch.setattr(book, "results", lambda: tmp_path / "results")
    monkeypatch.setattr(book, "CLAIMS", (claim, OTHER))
    monkeypatch.setattr(distributed, "cores", lambda: 2)
    monkeypatch.setattr(terminal, "console", Console(width=80, highlight=False))
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """`fc2conv claims ARGUMENTS` -> (exit code, stdout, stderr)."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = 0
        try:
            main(["claims", *arguments])
        except SystemExit as ended:
            code = int(ended.code or 0)
        return code, *capsys.readouterr()

    return run


def test_the_listing_has_verdicts_and_what_is_missing(top: Path, call: Call, evidence: Evidence) -> None:
    """Of six arms two are not recorded, each with 6 runs of the search and 3 more; the others lack 4 of the search.

    18 + 16 runs of 4 seconds each, two at a time: 68 seconds.
    """
    evidence.write(top / "results" / "permutation")
    code, out, _ = call()
    assert code == 0
    lines = out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert lines[0].split() == ["claim", "name", "verdict", "supported", "missing", "time"]
    assert re.search(r"1\. The order of the pixels +permutation +undecided +0 of 2 +34 +68 s", out)
    assert re.search(r"2\. What needs no .* exact +not run", out)
    assert re.search(r"^ +34 +68 s$", out, re.M)


def test_what_was_never_timed_has_an_unknown_cost(top: Path, call: Call) -> None:
    _, out, _ = call()
    assert re.search(r"permutation +not run +54 +\?", out)


def test_a_claim_of_which_nothing_is_missing_costs_nothing(claim: Claim, evidence: Evidence, top: Path) -> None:
    (top / "permutation.yaml").write_text(SWEEP.replace(", fresh", ""))
    whole = replace(claim, rates=())
    assert missing.missing(whole, evidence, {}) == missing.Missing(0, 0.0)
    assert missing.missing(whole, None, {"mlp": 2.0, None: 5.0}) == missing.Missing(12, 6 * 2.0 + 6 * 5.0)
    assert missing.missing(whole, None, {}) == missing.Missing(12, None)


def test_times_are_those_of_an_arm_s_fastest_run(evidence: Evidence) -> None:
    slower = replace(
        evidence.arms[0], runs=tuple(replace(r, figures={"seconds": 8.0 + r.seed}) for r in evidence.arms[0].runs)
    )
    found = missing.seconds_by_model([replace(evidence, arms=(slower, evidence.arms[2]))])
    assert found == {"mlp": 8.0, "lenet_modern": 4.0, None: 6.0}


def test_show_has_the_figures(top: Path, call: Call, evidence: Evidence) -> None:
    evidence.write(top / "results" / "permutation")
    code, out, _ = call("show", "1")
    assert code == 0
    assert out.splitlines()[0] == "1. The order of the pixels: undecided"
    assert "   undecided the MLP does not care for a fixed order" in out
    assert re.search(r"\+0\.1500 \[-0\.\d{4}, \+0\.\d{4}\]  n=3  \(test\.acc above 0\.003\)", out)
    assert "(test.acc within ±0.005)" in out


def test_show_of_one_that_has_not_run_says_what_will_be_compared(top: Path, call: Call) -> None:
    code, out, _ = call("show", "exact")
    assert code == 0
    assert "   not run   a wins (effect, margin 0.003)" in out


def test_show_has_the_identities(top: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = (Check("weights", 1e9, 1e9), Check("the same logits", 0.5, 0, 1e-5))
    monkeypatch.setattr(book, "CLAIMS", (replace(OTHER, comparisons=()),))
    Evidence("exact", checks=checks).write(top / "results" / "exact")
    _, out, _ = call("show")
    assert out.splitlines()[0].endswith(": refuted")
    assert "   holds     weights: 1e+09, must be 1e+09" in out
    assert "   FAILS     the same logits: 0.5, must be 0" in out


@pytest.mark.parametrize("command", ["show", "run"])
def test_a_claim_that_is_none_is_refused_before_anything_runs(command: str, top: Path, call: Call) -> None:
    code, out, err = call(command, "1", "permutatoin")
    assert (code, out) == (2, "")
    assert "claims: got permutatoin, but there is no such claim; did you mean permutation?" in err
    assert not (top / "results").exists()


def test_run_writes_results_and_figure(
    top: Path, call: Call, evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(running, "run", lambda claim, runs, quick: asked.append((claim.name, runs, quick)) or evidence)
    code, out, _ = call("run", "permutation", "--runs-dir", "elsewhere")
    assert (code, asked) == (0, [("permutation", Path("elsewhere"), False)])
    assert Evidence.read(top / "results" / "permutation") == evidence
    assert (top / "results" / "permutation" / "figure.svg").read_text().startswith("<svg")
    assert "1. The order of the pixels: undecided" in out
    assert f"   results: {top}/results/permutation/evidence.json {top}/results/permutation/figure.svg" in out


def test_run_quick_keeps_nothing(top: Path, call: Call, evidence: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "run", lambda claim, runs, quick: replace(evidence, quick=quick))
    code, out, _ = call("run", "--quick", "permutation")
    assert code == 0
    assert out.splitlines()[0] == "1. The order of the pixels: not run"
    assert "undecided the convolutional network loses by it" in out
    assert "with --quick: a smaller budget, so no verdict, and nothing is kept in results/" in out
    assert not (top / "results").exists()


def test_a_run_that_is_stopped_leaves_the_results_as_they_were(
    top: Path, call: Call, evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And those of the claims before it are there."""

    def run(claim: Claim, runs: Path, quick: bool) -> Evidence:
        if claim.name == "exact":
            raise SweepEnded("stopped by SIGINT; the same command goes on from here", 130)
        return evidence

    monkeypatch.setattr(running, "run", run)
    code, _, err = call("run")
    assert code == 130
    assert "stopped by SIGINT; the same command goes on from here" in err
    assert [path.name for path in (top / "results").iterdir()] == ["permutation"]


def test_lab_writes_the_page_for_both_readers(top: Path, call: Call, evidence: Evidence) -> None:
    evidence.write(top / "results" / "permutation")
    code, out, _ = call("lab")
    files = ["LAB.md", "docs/lab.md", "results/permutation/figure.svg"]
    assert (code, out.splitlines()) == (0, [str(top / file) for file in files])
    here, site = (top / "LAB.md").read_text(), (top / "docs" / "lab.md").read_text()
    assert "![The order of the pixels](results/permutation/figure.svg)" in here
    assert "![The order of the pixels](../results/permutation/figure.svg)" in site
    assert "[permutation](sweeps/claims/permutation.yaml)" in here
    assert "`sweeps/claims/permutation.yaml`" in site
    assert "```math\n\\mathbf{H} = \\mathbf{W} \\mathbf{X}\n```" in here
    assert "```{math}\n\\mathbf{H} = \\mathbf{W} \\mathbf{X}\n```" in site
    assert here == lab.page(book.CLAIMS, book.evidence_of)
