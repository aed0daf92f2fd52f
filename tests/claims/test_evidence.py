"""What was found for a claim, written and read again."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fc2conv.claims import evidence as module
from fc2conv.claims.evidence import CORRECT, FILE, Check, Evidence, Run
from fc2conv.errors import ConfigError


def test_it_comes_back_as_it_was(evidence: Evidence, tmp_path: Path) -> None:
    whole = replace(evidence, checks=(Check("four", 4.0, 4.0), Check("close", 1e-6, 0.0, 1e-5)), quick=True)
    whole.write(tmp_path / "new" / "permutation")
    found = Evidence.read(tmp_path / "new" / "permutation")
    assert found == whole
    assert found is not None
    assert found.correct.keys() == evidence.correct.keys()
    assert all(np.array_equal(found.correct[name], evidence.correct[name]) for name in evidence.correct)


def test_each_run_has_a_line(evidence: Evidence, tmp_path: Path) -> None:
    """So that the difference between two versions can be read."""
    evidence.write(tmp_path)
    lines = [line for line in (tmp_path / FILE).read_text().splitlines() if '"seed"' in line]
    assert len(lines) == 4 * (3 + 2)
    assert json.loads(lines[0].strip().rstrip(","))["figures"]["test.acc"] == 17 / 20


def test_it_is_the_same_file_each_time(evidence: Evidence, tmp_path: Path) -> None:
    """Evidence that is committed again changes nothing."""
    for name in ("a", "b"):
        evidence.write(tmp_path / name)
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in (FILE, CORRECT))


def test_a_figure_that_is_no_number_is_none(evidence: Evidence, tmp_path: Path) -> None:
    arm = replace(evidence.arms[0], runs=(Run(0, {"test.acc": 0.5, "shift.slope": math.nan}),))
    replace(evidence, arms=(arm,), checks=(Check("close", math.inf, 0.0, 1.0),)).write(tmp_path)
    found = Evidence.read(tmp_path)
    assert found is not None
    assert found.arms[0].values("shift.slope") == {}
    assert found.arms[0].values("test.acc") == {0: 0.5}
    assert not found.checks[0].holds


def test_predictions_that_are_gone_leave_no_old_ones(evidence: Evidence, tmp_path: Path) -> None:
    evidence.write(tmp_path)
    replace(evidence, correct={}).write(tmp_path)
    found = Evidence.read(tmp_path)
    assert found is not None
    assert found.correct == {}


def test_there_is_none(tmp_path: Path) -> None:
    assert Evidence.read(tmp_path) is None


@pytest.mark.parametrize(
    ("name", "content"),
    [(FILE, "{"), (FILE, "[]"), (FILE, '{"claim": "a"}'), (FILE, '{"arms": [{}], "checks": []}'), (CORRECT, "no zip")],
)
def test_a_damaged_file_is_named(evidence: Evidence, tmp_path: Path, name: str, content: str) -> None:
    evidence.write(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match=rf"results: {tmp_path} cannot be read \(.*check it out again"):
        Evidence.read(tmp_path)


def test_what_was_there_stays_where_writing_fails(
    evidence: Evidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence.write(tmp_path / "results")
    shutil.copytree(tmp_path / "results", tmp_path / "before")

    def broken(file: object, **arrays: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.np, "savez_compressed", broken)
    with pytest.raises(OSError, match="No space left"):
        replace(evidence, quick=True).write(tmp_path / "results")
    assert all(
        (tmp_path / "results" / f).read_bytes() == (tmp_path / "before" / f).read_bytes() for f in (FILE, CORRECT)
    )


# --- arms


def test_an_arm_is_named_by_overrides_that_it_alone_has(evidence: Evidence) -> None:
    assert evidence.arm("model=mlp data.permutation=fixed") is evidence.arms[1]
    assert evidence.arm("data.permutation=fixed model=mlp") is evidence.arms[1]
    assert evidence.select("model=mlp") == list(evidence.arms[:2])
    assert evidence.select() == list(evidence.arms)


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("model=vgg", "none"),
        ("model=mlp", "model=mlp data.permutation=none; model=mlp data.permutation=fixed"),
        ("data.permutation=fix", "none"),
    ],
)
def test_an_arm_that_is_none_or_several_is_refused(evidence: Evidence, selector: str, found: str) -> None:
    with pytest.raises(ConfigError, match=rf"permutation: {selector} names one arm, and there are: {found}$"):
        evidence.arm(selector)


def test_what_an_arm_tells(evidence: Evidence) -> None:
    arm = evidence.arm("model=mlp data.permutation=none")
    assert arm.values("test.acc") == {0: 0.85, 1: 0.9, 2: 0.85}
    assert arm.values("train.acc") == {}
    assert (arm.value_of("data.train_size"), arm.value_of("data"), arm.lr) == ("10000", None, 0.01)
