"""Student's t, means with intervals, paired differences."""

from __future__ import annotations

import pytest

from fc2conv.report.intervals import Estimate, paired, t_quantile, t_quantiles


@pytest.mark.parametrize(
    ("df", "published"),
    [
        *((1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (6, 2.447), (7, 2.365), (8, 2.306), (9, 2.262)),
        *((10, 2.228), (15, 2.131), (20, 2.086), (29, 2.045), (30, 2.042), (40, 2.021), (60, 2.000), (100, 1.984)),
    ],
)
def test_quantiles_are_those_of_the_published_table(df: int, published: float) -> None:
    """NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2, column .975."""
    assert round(t_quantile(df), 3) == published


def test_many_degrees_of_freedom_are_normal() -> None:
    assert t_quantile(10_000) == pytest.approx(1.959964, abs=1e-6)
    table = t_quantiles()
    assert (len(table), table[0], table[-1]) == (101, t_quantile(1), t_quantile(101))


def test_a_mean_and_its_interval() -> None:
    """2, 4, 6: mean 4, standard deviation 2; 4.3027 * 2 / sqrt(3) = 4.9683."""
    found = Estimate.of([2, 4, 6])
    assert found is not None
    assert (found.mean, found.std, found.n) == (4, 2, 3)
    assert (found.low, found.high) == (pytest.approx(-0.9683, abs=1e-4), pytest.approx(8.9683, abs=1e-4))


def test_one_value_has_no_interval_and_none_no_mean() -> None:
    assert Estimate.of([0.5]) == Estimate(0.5, 0.0, 1, None, None)
    assert Estimate.of([]) is None


def test_pairs_are_of_equal_seeds() -> None:
    """Seeds 1 and 3 are in both: differences .25 and .125; mean .1875, half .0625 * 12.706."""
    found = paired({0: 0.1, 1: 0.5, 3: 0.625}, {1: 0.25, 2: 0.9, 3: 0.5})
    assert found is not None
    assert (found.estimate.mean, found.estimate.n) == (0.1875, 2)
    assert found.estimate.low == pytest.approx(0.1875 - 0.0625 * 12.7062, abs=1e-4)
    assert found.tie is True


def test_a_difference_that_is_always_there_is_no_tie() -> None:
    found = paired({0: 0.5, 1: 0.75}, {0: 0.25, 1: 0.5})
    assert found is not None
    assert (found.estimate.low, found.estimate.high, found.tie) == (0.25, 0.25, False)


def test_a_single_pair_says_nothing_of_ties() -> None:
    found = paired({0: 0.5}, {0: 0.5})
    assert found is not None
    assert found.tie is None
    assert paired({0: 0.5}, {1: 0.5}) is None
