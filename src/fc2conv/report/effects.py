"""What each key does to the accuracy: main effects, two-way interactions, and how important it is."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from fc2conv.report.configurations import MODEL, Configuration, Key, Value
from fc2conv.report.intervals import Estimate

FEWEST = 10
"""Configurations that a search must have before the importance of its keys is estimated."""
INTERACTIONS, SEEDS = "interactions", "seeds"
"""What is left of the variance on a grid."""


@dataclass(frozen=True)
class Level:
    """One value of a key."""

    value: Value
    mean: float
    low: float | None
    high: float | None
    """The interval over the seeds; None without two seeds that all its configurations have."""
    configurations: int


@dataclass(frozen=True)
class Effect:
    """Of one key, by validation accuracy."""

    key: Key
    slices: tuple[tuple[int, ...], ...]
    """Configurations that differ in this key only, in the order of its values. Where none do, as in a search: all, one
    each."""
    levels: tuple[Level, ...]
    """Mean of each value over the slices that have every value; none without such a slice."""
    controlled: bool
    """Whether there are slices of more than one."""


@dataclass(frozen=True)
class Interaction:
    """Of two keys."""

    rows: Key
    columns: Key
    means: dict[tuple[Value, Value], float]
    """(row's value, column's value) -> mean validation accuracy of the configurations there."""


@dataclass(frozen=True)
class Importance:
    """How much of the variance of the validation accuracy each key explains."""

    method: str
    """anova, spread or ped-anova"""
    shares: dict[str, float]
    """Key -> share; with anova also INTERACTIONS and SEEDS, and all add up to 1. With spread: largest mean validation
    accuracy of a value minus the least."""


def measured(configurations: Sequence[Configuration]) -> list[int]:
    """Positions of those with a validation accuracy."""
    return [i for i, c in enumerate(configurations) if c.val]


# --- main effects and interactions


def effect(key: Key, configurations: Sequence[Configuration]) -> Effect | None:
    """None where fewer than two values were measured."""
    name = key.key
    there = [i for i in measured(configurations) if name in configurations[i].point]
    if len({configurations[i].point[name] for i in there}) < 2:
        return None
    position = {value: n for n, value in enumerate(key.values)}
    compared = [s for s in _alike(there, (name,), configurations) if len(s) > 1]
    used = compared or [[i] for i in there]
    for members in used:
        members.sort(key=lambda i: position[configurations[i].point[name]])
    values = [v for v in key.values if any(configurations[i].point[name] == v for s in used for i in s)]
    complete = [s for s in compared if {configurations[i].point[name] for i in s} == set(values)]
    levels = []
    for value in values if complete else []:
        at = [configurations[i] for s in complete for i in s if configurations[i].point[name] == value]
        levels.append(_level(value, at))
    return Effect(key, tuple(map(tuple, used)), tuple(levels), bool(compared))


def _alike(there: Sequence[int], names: Sequence[str], configurations: Sequence[Configuration]) -> list[list[int]]:
    """Configurations that are alike in all but these keys. Models have different keys: two of them are alike where
    they depart in the same way from what is usual for each."""
    found: dict[object, list[int]] = defaultdict(list)
    for i in there:
        c = configurations[i]
        others: dict[str, Value] = c.changes if MODEL in names else {MODEL: c.model, **c.point}
        found[frozenset(item for item in others.items() if item[0] not in names)].append(i)
    return list(found.values())


def _level(value: Value, at: Sequence[Configuration]) -> Level:
    mean = fmean(fmean(c.val.values()) for c in at)
    seeds = set.intersection(*(set(c.val) for c in at))
    over = Estimate.of([fmean(c.val[seed] for c in at) for seed in sorted(seeds)])
    if over is None or over.low is None or over.high is None:
        return Level(value, mean, None, None, len(at))
    half = (over.high - over.low) / 2
    return Level(value, mean, mean - half, mean + half, len(at))


def interaction(rows: Key, columns: Key, configurations: Sequence[Configuration]) -> Interaction | None:
    """None unless the keys are crossed: each value of one with each of the other, all else alike."""
    names = (rows.key, columns.key)
    there = [i for i in measured(configurations) if all(name in configurations[i].point for name in names)]
    crossed: dict[frozenset[tuple[Value, Value]], list[list[int]]] = defaultdict(list)
    for members in _alike(there, names, configurations):
        cells = frozenset((configurations[i].point[rows.key], configurations[i].point[columns.key]) for i in members)
        sizes = [len({cell[axis] for cell in cells}) for axis in (0, 1)]
        if min(sizes) > 1 and len(cells) == math.prod(sizes):
            crossed[cells].append(members)
    if not crossed:
        return None
    most = max(crossed, key=lambda cells: (len(cells), len(crossed[cells])))
    means: dict[tuple[Value, Value], list[float]] = {cell: [] for cell in most}
    for members in crossed[most]:
        for i in members:
            c = configurations[i]
            means[c.point[rows.key], c.point[columns.key]].append(fmean(c.val.values()))
    return Interaction(rows, columns, {cell: fmean(values) for cell, values in means.items()})


# --- importance


def importance(keys: Sequence[Key], configurations: Sequence[Configuration]) -> Importance | None:
    """Exact sums of squares on a balanced full grid. Where several sweeps vary a key each, how far the means of its
    values lie apart, all else alike. Of a search, whose configurations are hardly ever alike, Optuna's PED-ANOVA
    (Watanabe et al. 2023) over the keys that all of them have. None where there is too little to say."""
    found = [configurations[i] for i in measured(configurations)]
    names = [k.key for k in keys if len({c.point.get(k.key) for c in found}) > 1]
    if not names:
        return None
    if is_full_grid(names, found):
        shares = variance_shares(names, found)
        return Importance("anova", shares) if shares else None
    controlled = {k.key: e for k in keys if (e := effect(k, found)) and e.levels}
    if len({i for e in controlled.values() for s in e.slices for i in s}) > len(found) / 2:
        spreads = {
            name: max(v.mean for v in e.levels) - min(v.mean for v in e.levels) for name, e in controlled.items()
        }
        return Importance("spread", spreads)
    common = [k for k in keys if k.key in names and all(k.key in c.point for c in found)]
    return _ped_anova(common, found) if common and len(found) >= FEWEST else None


def is_full_grid(names: Sequence[str], configurations: Sequence[Configuration]) -> bool:
    """Whether every combination of the keys' values is there once, and all with equally many seeds."""
    points = {tuple(c.point.get(name) for name in names) for c in configurations}
    size = math.prod(len({point[i] for point in points}) for i in range(len(names)))
    complete = not any(None in point for point in points)
    return complete and len(points) == len(configurations) == size and len({len(c.val) for c in configurations}) == 1


def variance_shares(names: Sequence[str], configurations: Sequence[Configuration]) -> dict[str, float]:
    """Shares of the total sum of squares of all runs on a balanced full grid: the main effect of each key, the
    interactions of them all, and what differs among seeds. Empty where all runs are equal."""
    runs = [acc for c in configurations for acc in c.val.values()]
    grand, n = fmean(runs), len(configurations[0].val)
    total = math.fsum((acc - grand) ** 2 for acc in runs)
    if total == 0:
        return {}
    means = [fmean(c.val.values()) for c in configurations]
    between = n * math.fsum((mean - grand) ** 2 for mean in means)
    shares = {}
    for name in names:
        levels: dict[Value, list[float]] = defaultdict(list)
        for c, mean in zip(configurations, means, strict=True):
            levels[c.point[name]].append(mean)
        shares[name] = n * math.fsum(len(at) * (fmean(at) - grand) ** 2 for at in levels.values()) / total
    if len(names) > 1:
        shares[INTERACTIONS] = max(0.0, between / total - math.fsum(shares.values()))
    if n > 1:
        shares[SEEDS] = max(0.0, 1 - between / total)
    return shares


def _ped_anova(keys: Sequence[Key], configurations: Sequence[Configuration]) -> Importance | None:
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

    def space(key: Key) -> BaseDistribution:
        if key.kind == "text":
            return CategoricalDistribution([str(value) for value in key.values])
        low, high = float(min(key.values)), float(max(key.values))
        return FloatDistribution(low, high, log=low > 0 and high / low >= 10)

    spaces = {k.key: space(k) for k in keys}
    text = {k.key for k in keys if k.kind == "text"}
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(direction="maximize")
        for c in configurations:
            point = {name: str(c.point[name]) if name in text else float(c.point[name]) for name in spaces}
            trial = optuna.trial.create_trial(params=point, distributions=spaces, value=fmean(c.val.values()))
            study.add_trial(trial)
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
    except (ValueError, RuntimeError):  # all accuracies are equal
        return None
    finally:
        optuna.logging.set_verbosity(before)
    shares = {k: v for k, v in shares.items() if math.isfinite(v)}
    return Importance("ped-anova", shares) if any(shares.values()) else None
