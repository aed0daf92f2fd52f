"""The arms of sweep files."""

from __future__ import annotations

from pathlib import Path

import pytest
from claims.made_up import claimed

from fc2conv.claims import arms
from fc2conv.claims.arms import Planned, arms_of, rates_of, search_trials, seeds_of, trial
from fc2conv.errors import ConfigError

ONE = """\
method: grid
metric: {name: val/acc, goal: maximize}
parameters:
  model: {values: [softmax, mlp]}
  data.permutation: {values: [none, fixed]}
  data.train_size: {value: 256}
  trainer.max_steps: {value: 4}
  optim.lr: {values: [0.003, 0.01, 0.03]}
  seed: {values: [0, 1]}
"""
OTHER = """\
method: grid
parameters:
  model: {values: [mlp]}
  data.permutation: {values: [fixed, fresh]}
  data.train_size: {value: 256}
  trainer.max_steps: {value: 4}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of the sweep files."""
    monkeypatch.setattr(arms, "folder", lambda: tmp_path)
    (tmp_path / "one.yaml").write_text(ONE)
    (tmp_path / "other.yaml").write_text(OTHER)
    return tmp_path


def test_an_arm_is_named_by_what_is_not_the_same_in_all(folder: Path) -> None:
    assert [arm.name for arm in arms_of(claimed(sweeps=("one",)))] == [
        f"model={model} data.permutation={permutation}"
        for model in ("softmax", "mlp")
        for permutation in ("none", "fixed")
    ]


def test_an_arm_has_all_overrides_but_rate_and_seed(folder: Path) -> None:
    found = arms_of(claimed(sweeps=("one",)))[0].overrides
    assert set(found) == {
        *("model=softmax", "data.permutation=none", "data.train_size=256", "trainer.max_steps=4"),
    }


def test_an_arm_of_two_files_is_one(folder: Path) -> None:
    found = [
        arm.name
        for arm in arms_of(
            claimed(
                sweeps=(
                    "one",
                    "other",
                )
            )
        )
    ]
    assert found[4:] == ["model=mlp data.permutation=fresh"]
    assert len(found) == len(set(found)) == 5


def test_a_single_arm_is_named_by_all_that_it_sets(folder: Path) -> None:
    (folder / "single.yaml").write_text("method: grid\nparameters:\n  model: {value: mlp}\n  seed: {values: [0, 1]}\n")
    assert [(arm.name, arm.overrides) for arm in arms_of(claimed(sweeps=("single",)))] == [
        ("model=mlp", ("model=mlp",))
    ]
    assert arms_of(claimed()) == []


@pytest.mark.parametrize(
    ("sweep", "says"),
    [("missing", "got missing, but there is no such file"), ("random", r"random\.yaml: a claim needs method grid")],
)
def test_what_is_no_grid_is_refused(folder: Path, sweep: str, says: str) -> None:
    (folder / "random.yaml").write_text("method: random\nrun_cap: 3\nparameters:\n  model: {values: [mlp, softmax]}\n")
    with pytest.raises(ConfigError, match=says):
        arms_of(claimed(sweeps=(sweep,)))


def test_with_quick_two_seeds_and_the_middle_rate() -> None:
    claim = claimed(seeds=10)
    assert (rates_of(claim), rates_of(claim, quick=True)) == ((0.003, 0.01, 0.03), (0.01,))
    assert (list(seeds_of(claim)), list(seeds_of(claim, quick=True))) == ([*range(10)], [0, 1])
    assert rates_of(claimed(rates=())) == rates_of(claimed(rates=()), quick=True) == ()


ARM = Planned("model=softmax", ("model=softmax", "data.train_size=256", "trainer.max_steps=400"))


def test_a_trial_is_the_arm_at_a_rate_and_a_seed(tmp_path: Path) -> None:
    found = trial(ARM, 0.01, 3, tmp_path, quick=False)
    assert found.config is not None
    assert (found.config.optim.lr, found.config.seed, found.config.data.train_size) == (0.01, 3, 256)
    assert found.config.trainer.max_steps == 400
    assert found.overrides == (*ARM.overrides, "optim.lr=0.01", "seed=3")
    assert found.folder.parent == tmp_path


def test_a_run_has_one_folder_whichever_claim_asks(tmp_path: Path) -> None:
    """It is trained once: what tells arms apart in a claim, and the order of overrides, is not what it is."""
    other = Planned("another name", tuple(reversed(ARM.overrides)))
    assert trial(ARM, 0.01, 3, tmp_path, False).folder == trial(other, 0.01, 3, tmp_path, False).folder
    different = [
        trial(ARM, *at, tmp_path, quick) for at in ((0.01, 3), (0.01, 4), (0.03, 3)) for quick in (False, True)
    ]
    assert len({each.folder for each in different}) == 6


def test_the_quick_budget_replaces_the_arms(tmp_path: Path) -> None:
    found = trial(ARM, 0.01, 0, tmp_path, quick=True)
    assert found.config is not None
    assert (found.config.trainer.max_steps, found.config.trainer.max_epochs) == (100, 100)
    assert len([o for o in found.overrides if o.startswith("trainer.max_steps=")]) == 1


def test_without_rates_an_arm_keeps_its_own(tmp_path: Path) -> None:
    arm = Planned("model=softmax", (*ARM.overrides, "optim.lr=0.25"))
    found = trial(arm, None, 0, tmp_path, quick=False)
    assert found.config is not None
    assert found.config.optim.lr == 0.25
    assert search_trials(arm, (), tmp_path, False) == search_trials(arm, (0.1,), tmp_path, False) == []


def test_the_search_has_seeds_of_its_own(tmp_path: Path) -> None:
    found = search_trials(ARM, (0.01, 0.03), tmp_path, quick=False)
    at = [(each.config.optim.lr, each.config.seed) for each in found if each.config]
    assert at == [(0.01, 100), (0.01, 101), (0.03, 100), (0.03, 101)]
    assert not {seed for _, seed in at} & set(seeds_of(claimed()))
