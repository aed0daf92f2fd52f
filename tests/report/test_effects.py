"""Main effects, interactions and importance, by hand and with Optuna."""

from __future__ import annotations

from typing import Any

import optuna
import pytest

from fc2conv.report import effects
from fc2conv.report.configurations import Configuration, Key


def configuration(point: dict[str, Any], *accuracies: float) -> Configuration:
    return Configuration(
        label=" ".join(f"{k}={v}" for k, v in point.items()),
        model="lenet",
        family="lenet",
        point=point,
        changes=point,
        runs=(),
        val=dict(enumerate(accuracies)),
    )


A, B = Key("a", "a", (1, 2)), Key("b", "b", ("x", "y"))
GRID = [
    configuration({"a": 1, "b": "x"}, 0.1, 0.3),
    configuration({"a": 1, "b": "y"}, 0.3, 0.5),
    configuration({"a": 2, "b": "x"}, 0.5, 0.7),
    configuration({"a": 2, "b": "y"}, 0.5, 0.7),
]


def test_variance_of_a_full_grid() -> None:
    """Means .2 .4 .6 .6, of all .45. a: 4 * 2 * .15^2 = .18; b: 4 * 2 * .05^2 = .02; between the four
    2 * (.0625 + .0025 + .0225 + .0225) = .22, so .02 is interaction; the seeds' is 8 * .1^2 = .08; all .3."""
    found = effects.importance([A, B], GRID)
    assert found is not None
    assert found.method == "anova"
    want = {"a": 0.18 / 0.3, "b": 0.02 / 0.3, effects.INTERACTIONS: 0.02 / 0.3, effects.SEEDS: 0.08 / 0.3}
    assert found.shares == pytest.approx(want)


def test_a_grid_with_a_hole_or_unequal_seeds_is_not_full() -> None:
    assert effects.is_full_grid(["a", "b"], GRID)
    assert not effects.is_full_grid(["a", "b"], GRID[:3])
    assert not effects.is_full_grid(["a", "b"], [*GRID[:3], configuration({"a": 2, "b": "y"}, 0.5)])
    apart = [configuration({"a": a, "b": b}, 0.5) for a, b in ((1, "x"), (2, "y"), (3, "z"))]
    keys = [Key("a", "a", (1, 2, 3)), Key("b", "b", ("x", "y", "z"))]
    assert effects.importance(keys, apart) is None, "too few for an estimate"


def test_equal_accuracies_have_no_importance() -> None:
    same = [configuration({"a": a}, 0.5, 0.5) for a in (1, 2)]
    assert effects.importance([A], same) is None


def test_importance_of_a_search_is_optunas() -> None:
    rates = [0.001 * 1.3**i for i in range(24)]
    search = [configuration({"lr": rate, "b": "xy"[i % 2]}, 0.9 - 0.01 * abs(i - 11)) for i, rate in enumerate(rates)]
    keys = [Key("lr", "lr", tuple(rates)), B]
    found = effects.importance(keys, search)
    study = optuna.create_study(direction="maximize")
    spaces: dict[str, optuna.distributions.BaseDistribution] = {
        "lr": optuna.distributions.FloatDistribution(rates[0], rates[-1], log=True),
        "b": optuna.distributions.CategoricalDistribution(["x", "y"]),
    }
    for c in search:
        study.add_trial(optuna.trial.create_trial(params=c.point, distributions=spaces, value=c.val[0]))
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    want = optuna.importance.get_param_importances(study, evaluator=evaluator)
    assert found is not None
    assert (found.method, found.shares) == ("ped-anova", pytest.approx(want))
    assert found.shares["lr"] > 0.5


def test_a_main_effect_compares_like_with_like() -> None:
    """The slices b=x and b=y both have a=1 and a=2: .3 and .6. Over the seeds a=1 has .2 and .4, so its interval is
    .3 -/+ 12.7062 * .1."""
    found = effects.effect(A, GRID)
    assert found is not None
    assert (found.slices, found.controlled) == (((0, 2), (1, 3)), True)
    one, two = found.levels
    assert (one.value, one.mean, two.value, two.mean) == (1, pytest.approx(0.3), 2, pytest.approx(0.6))
    assert (one.low, one.high) == (pytest.approx(0.3 - 1.27062, abs=1e-4), pytest.approx(0.3 + 1.27062, abs=1e-4))


def test_a_slice_with_a_hole_is_left_out_of_the_means() -> None:
    found = effects.effect(A, GRID[:3])
    assert found is not None
    assert found.slices == ((0, 2),)
    assert [level.mean for level in found.levels] == [pytest.approx(0.2), pytest.approx(0.6)]


def test_without_slices_nothing_is_averaged() -> None:
    found = effects.effect(A, [GRID[0], GRID[3]])
    assert found is not None
    assert (found.slices, found.levels, found.controlled) == (((0,), (1,)), (), False)
    assert effects.effect(A, GRID[:2]) is None, "one value has no effect"


def test_interactions_need_both_keys_to_vary() -> None:
    found = effects.interaction(A, B, GRID)
    assert found is not None
    assert found.means == pytest.approx({(1, "x"): 0.2, (1, "y"): 0.4, (2, "x"): 0.6, (2, "y"): 0.6})
    assert effects.interaction(A, B, GRID[:3]) is None


def test_interactions_are_of_keys_that_are_crossed() -> None:
    """Not of two sweeps that vary a key each around one point."""
    around = [(5, "x"), (3, "x"), (7, "x"), (5, "y"), (5, "z")]
    found = [configuration({"a": a, "b": b}, 0.5) for a, b in around]
    keys = Key("a", "a", (3, 5, 7)), Key("b", "b", ("x", "y", "z"))
    assert effects.interaction(*keys, found) is None


def test_importance_of_sweeps_around_one_point_is_how_far_means_lie_apart() -> None:
    """a: .4 to .7 along b=x; b: .5 to .6 along a=5. Nothing is compared across."""
    around = {(5, "x"): 0.5, (3, "x"): 0.4, (7, "x"): 0.7, (5, "y"): 0.6, (5, "z"): 0.55}
    found = [configuration({"a": a, "b": b}, acc) for (a, b), acc in around.items()]
    keys = Key("a", "a", (3, 5, 7)), Key("b", "b", ("x", "y", "z"))
    spread = effects.importance(keys, found)
    assert spread is not None
    assert (spread.method, spread.shares) == ("spread", pytest.approx({"a": 0.3, "b": 0.1}))
    effect = effects.effect(keys[0], found)
    assert effect is not None
    assert effect.slices == ((1, 0, 2),)
    assert [level.mean for level in effect.levels] == [0.4, 0.5, 0.7]
