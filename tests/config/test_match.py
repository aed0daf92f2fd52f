"""`match`: a run whose widths were scaled to a budget is the run whose widths were written out; sweeps, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import fc2conv
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.architectures.mlp import MLPConfig
from fc2conv.compose import compose_config, matched, parse_composed
from fc2conv.config.identity import identity_of
from fc2conv.config.match import match_model
from fc2conv.config.schema import Config, MatchConfig
from fc2conv.errors import ConfigError
from fc2conv.sweep.folder import Asked

SHAPE = (1, 28, 28)


def planned(**values: Any) -> Any:
    found = fc2conv.run(task="plan", **values)
    assert found is not None
    return found


def composed(*overrides: str) -> Config:
    return matched(parse_composed(compose_config(overrides)[0]))


def test_the_record_is_that_of_the_widths_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    """784 * 24 + 24 + 24 * 24 + 24 + 24 * 10 + 10 of 20,000; with 25 units it would be 20,535."""
    by_budget = planned(model="mlp", match={"params": 20_000})
    said = capsys.readouterr().out
    written = planned(model="mlp", **{"model.hidden": [24, 24]})
    assert by_budget.config["model"] == written.config["model"]
    assert by_budget.identity == written.identity
    assert by_budget.params["total"] == 18_840 + 600 + 250
    assert by_budget.config["match"] == {"params": 20_000, "macs": None, "keys": None}
    assert "matched to 20,000 parameters (-1.55 %): model.hidden=[24,24]" in said
    assert "matched" not in capsys.readouterr().out


def test_a_budget_of_macs() -> None:
    found = planned(model="lenet", **{"match.macs": 1_000_000, "match.keys": ["channels"]})
    c, d = found.config["model"]["channels"]
    assert found.macs == 28 * 28 * 25 * c + 100 * 25 * c * d + 25 * d * 120 + 120 * 84 + 840
    assert found.macs == pytest.approx(1_000_000, rel=0.02)
    assert found.config["model"]["hidden"] == [120, 84]


def test_the_data_is_part_of_what_a_network_costs() -> None:
    """On 40x40 pixels there are 1,600 to each hidden unit."""
    found = composed("model=mlp", "model.hidden=[10]", "match.params=100000", "data.canvas=40")
    assert isinstance(found.model, MLPConfig)
    assert found.model.hidden == (62,)  # 1611 n + 10


def test_the_same_budget_needs_other_widths_for_other_kernels() -> None:
    for kernel in (1, 3, 7):
        found = planned(model="lenet_gap", **{"match.params": 10_000, "model.kernel_size": kernel})
        assert found.params["total"] == pytest.approx(10_000, rel=0.02)


def test_two_percent_are_near_enough() -> None:
    """n hidden units make 795 n + 10 parameters: 7,960 with ten, which is 162 less than 8,122 and 163 less than 8,123;
    2 % of these are 162.4 and 162.5."""
    model = MLPConfig(hidden=(1000,))
    assert match_model(model, MatchConfig(params=8_122), SHAPE, 10) == MLPConfig(hidden=(10,))
    with pytest.raises(ConfigError, match=r"got 8123, .* is 7960 parameters, with model\.hidden=\[10\]; use .*=7960"):
        match_model(model, MatchConfig(params=8_123), SHAPE, 10)


def test_a_network_that_does_not_fit_its_data_stays_as_it_is() -> None:
    """So that a sweep says of it what it would say without a budget."""
    assert composed("model.kernel_size=[5,17]", "match.params=20000").model == LeNetConfig(kernel_size=(5, 17))


def test_the_budget_itself_is_no_part_of_the_identity() -> None:
    assert identity_of(Config(match=MatchConfig(params=7, keys=("channels",)))) == identity_of(Config())


# --- sweeps


def asked(*overrides: str, varied: tuple[str, ...]) -> Asked:
    return Asked("grid", varied, composed(*overrides), overrides)


def test_one_folder_for_all_widths_of_one_budget() -> None:
    """Which of its trials is looked at first makes no difference."""
    varied = ("model.kernel_size",)
    three, five, other = (
        asked(f"match.params={budget}", f"model.kernel_size={kernel}", varied=varied)
        for budget, kernel in ((20_000, 3), (20_000, 5), (30_000, 5))
    )
    assert three.config.model != five.config.model
    assert five.difference(three.identity) is None
    assert other.difference(three.identity) == "match.params: 20000, here 30000"
    free = asked("model.kernel_size=5", varied=varied)
    assert "match.params: 20000, here the default" in (free.difference(three.identity) or "")


def test_one_folder_for_all_budgets() -> None:
    small, large = (asked(f"match.params={budget}", varied=("match.params",)) for budget in (20_000, 30_000))
    assert large.difference(small.identity) is None


def test_the_proportion_of_the_widths_tells_sweeps_apart() -> None:
    varied = ("data.train_size",)
    slim, wide = (
        asked("match.params=20000", f"model.channels={channels}", "data.train_size=100", varied=varied)
        for channels in ("[6,16]", "[6,6]")
    )
    assert wide.difference(slim.identity) == "model.channels: [6,16], here [6,6]"


def test_a_sweep_at_one_budget(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """785 n + n n + n + 10 n + 10 with n = 24 is the MLP's; a network that comes to no such count ends it."""
    budget = {"match.params": 20_000, "task": "plan", "runs_dir": str(tmp_path)}
    assert fc2conv.sweep(model=["mlp", "lenet", "lenet_gap"], **budget).empty
    said = capsys.readouterr().out
    assert "1x28x28 784 24 10" in said
    assert "19,690" in said
    with pytest.raises(ConfigError, match=r"match\.params: got 20000, but softmax has no widths to scale"):
        fc2conv.sweep(model=["mlp", "softmax"], **budget)


def test_two_budgets_with_the_same_widths_are_one_run() -> None:
    one, other = (composed("model=mlp", f"match.params={budget}") for budget in (19_690, 19_700))
    assert one.model == other.model
    assert identity_of(one) == identity_of(other)


def test_a_seed_changes_no_widths() -> None:
    assert composed("match.params=20000", "seed=3").model == composed("match.params=20000").model


def test_no_budget_changes_nothing() -> None:
    assert composed() == parse_composed(compose_config([])[0])
    assert composed().match == MatchConfig()
    assert Config().match.budget is None
