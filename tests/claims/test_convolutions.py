"""The chapter's identities hold, and are found not to where one is broken."""

from __future__ import annotations

import pytest
import torch

from fc2conv.claims import convolutions
from fc2conv.claims.convolutions import EXACT, STEPS, checks, learned, observe
from fc2conv.claims.evidence import Arm, Evidence, Run

pytestmark = pytest.mark.usefixtures("one_thread")


def test_they_hold_and_draw_from_nobodys_generator() -> None:
    torch.manual_seed(3)
    want = torch.rand(1)
    torch.manual_seed(3)
    found = checks()
    assert torch.rand(1) == want
    assert [check for check in found if not check.holds] == []
    by_name = {check.says: check.found for check in found}
    assert by_name["entries of LeNet's first matrix (4,704 x 784) that may differ from zero"] == 107_736
    assert by_name["weights that they share"] == 150


def test_a_step_too_few_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolutions, "STEPS", 1)
    assert any(not check.holds for check in checks())


def test_the_edge_kernel_is_learned_step_by_step() -> None:
    for true_convolution, sign in ((False, 1), (True, -1)):
        weights = learned(true_convolution)
        assert len(weights) == STEPS + 1
        assert weights[-1] == pytest.approx((sign, -sign), abs=0.05)
        assert weights[0] != pytest.approx((sign, -sign), abs=0.5)


def test_words_and_figure() -> None:
    runs: dict[str, list[Run]] = {}
    for each in observe():
        runs.setdefault(each.arm, []).append(Run(each.repetition, each.figures))
    evidence = Evidence("exact", tuple(Arm(name, (name,), tuple(found)) for name, found in runs.items()))
    assert EXACT.figure
    assert "cross-correlation, first weight" in EXACT.figure(evidence).to_json()
    assert EXACT.describe
    assert f"in {STEPS} steps" in EXACT.describe(evidence)[0]
