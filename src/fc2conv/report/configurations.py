"""Runs that differ in their seed only, together: the keys by which they differ from others, and their accuracies."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from fc2conv.config.schema import headings
from fc2conv.config.unused import key_of
from fc2conv.fields import written
from fc2conv.report.intervals import Estimate
from fc2conv.report.records import Run, possible

Value = int | float | str
MODEL = "model"
"""The key that stands for the choice of the model."""
ABSENT = object()


@dataclass(frozen=True)
class Key:
    """One that varies among the configurations."""

    key: str
    """Dotted, as on the command line."""
    label: str
    """Without its group, where that is clear."""
    values: tuple[Value, ...]
    """In their order: numbers by size, lists of numbers likewise, then text."""

    @property
    def kind(self) -> Literal["number", "text"]:
        return "number" if all(isinstance(value, (int, float)) for value in self.values) else "text"


@dataclass(frozen=True)
class Configuration:
    """Runs that differ in their seed only."""

    label: str
    model: str
    family: str
    point: dict[str, Value]
    """The varying keys, and its values. A model has no value for a key of another model."""
    changes: dict[str, Value]
    """Those of its point, but for the model, that most configurations of its model have otherwise. Where no value is
    that of most, as on a grid, all are changes."""
    runs: tuple[int, ...]
    """All of them, as positions in the report's runs."""
    counted: dict[int, int] = field(default_factory=dict)
    """Seed -> the run that counts for it: the last one that is done."""
    params: int | None = None
    macs: int | None = None
    receptive_field: int | str | None = None
    """HEIGHTxWIDTH where these differ."""
    val: dict[int, float] = field(default_factory=dict)
    """Seed -> validation accuracy of the run that counts."""
    test: dict[int, float] = field(default_factory=dict)

    def estimate(self, split: Literal["val", "test"]) -> Estimate | None:
        return Estimate.of(list(getattr(self, split).values()))


def group(runs: Sequence[Run]) -> tuple[list[Key], list[Configuration]]:
    """(the keys that vary, those written on a command line first; the configurations, ordered by their values)."""
    members: dict[str, list[int]] = defaultdict(list)
    for i, run in enumerate(runs):
        members[f"{run.result.model} {run.configuration}"].append(i)
    groups = list(members.values())
    values = [{MODEL: runs[g[0]].result.model} | runs[g[0]].values for g in groups]
    written_keys = {key_of(o) for run in runs for o in run.result.overrides}
    names = varying(values, written_keys)
    labels = dict(zip(names, headings(names), strict=True))
    names_of = _names_by_model(names, values, [runs[g[0]].result.overrides for g in groups])
    points = [{name: shown(v[name]) for name in names_of[v[MODEL]] if name in v} for v in values]
    ranks = {name: sort_values(p[name] for p in points if name in p) for name in names}
    keys = [Key(name, labels[name], ranks[name]) for name in names]
    position = {name: {value: i for i, value in enumerate(ranks[name])} for name in names}

    usual = _usual(points, [runs[g[0]].result.model for g in groups])

    def order(i: int) -> list[Any]:
        point = points[i]
        return [runs[groups[i][0]].result.model, *(position[n][point[n]] if n in point else -1 for n in names)]

    found: list[Configuration] = []
    taken: dict[str, int] = defaultdict(int)
    for i in sorted(range(len(groups)), key=order):
        model = runs[groups[i][0]].result.model
        changes = {k: v for k, v in points[i].items() if k != MODEL and usual[model].get(k, ABSENT) != v}
        label = " ".join([model, *(f"{labels[k]}={written(v)}" for k, v in changes.items())])
        taken[label] += 1
        numbered = label if taken[label] == 1 else f"{label} ({taken[label]})"
        blank = Configuration(numbered, model, "", points[i], changes, tuple(groups[i]))
        found.append(_measured(blank, runs))
    return keys, found


def _names_by_model(
    names: Sequence[str], values: Sequence[Mapping[str, Any]], overrides: Sequence[Sequence[str]]
) -> dict[str, list[str]]:
    """Model -> the keys that say something of its configurations. A key of the network that does not vary among them,
    and that nobody wrote, varies for other models only."""
    told: dict[str, list[str]] = {}
    for model in dict.fromkeys(v[MODEL] for v in values):
        own = [i for i, v in enumerate(values) if v[MODEL] == model]
        wrote = {key_of(o) for i in own for o in overrides[i]}
        varies = {n for n in names if len({written(values[i][n]) for i in own if n in values[i]}) > 1}
        told[model] = [n for n in names if not n.startswith("model.") or n in wrote | varies]
    return told


def _usual(points: Sequence[Mapping[str, Value]], models: Sequence[str]) -> dict[str, dict[str, Value]]:
    """Model -> key -> the value that more than half of its configurations have, where there is one."""
    found: dict[str, dict[str, Value]] = {}
    for model in dict.fromkeys(models):
        own = [point for point, its in zip(points, models, strict=True) if its == model]
        found[model] = {}
        for key in dict.fromkeys(key for point in own for key in point):
            value, n = Counter(point[key] for point in own if key in point).most_common(1)[0]
            if n > len(own) / 2 and len(own) > 1:
                found[model][key] = value
    return found


def _measured(c: Configuration, runs: Sequence[Run]) -> Configuration:
    counted = {runs[i].result.seed: i for i in c.runs if runs[i].result.status == "done"}
    known = next((runs[i].result for i in c.runs if runs[i].result.params), None)

    def accuracies(split: str) -> dict[int, float]:
        return {seed: acc for seed, i in sorted(counted.items()) if (acc := runs[i].accuracy(split)) is not None}

    return replace(
        c,
        family=runs[c.runs[0]].result.family,
        counted=dict(sorted(counted.items())),
        params=_count(known.params.get("total")) if known else None,
        macs=_count(known.macs) if known else None,
        receptive_field=known.receptive_field if known else None,
        val=accuracies("val"),
        test=accuracies("test"),
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and possible(value) is not None else None


# --- the keys that vary


def varying(configurations: Sequence[Mapping[str, Any]], written_keys: Iterable[str]) -> list[str]:
    """The keys of which two configurations have different values, the model's first, those that somebody wrote next.

    A choice (model=, optim=) sets many keys at once. One of them that nobody wrote, and that follows from the others,
    is left out.
    """
    wrote = set(written_keys)
    texts = [{key: written(value) for key, value in values.items()} for values in configurations]
    candidates = [
        key for key in dict.fromkeys(k for t in texts for k in t) if len({t[key] for t in texts if key in t}) > 1
    ]
    candidates.sort(key=lambda key: (key != MODEL, key not in wrote))
    found: list[str] = []
    # what the choice of the model sets follows from it, whether or not the keys found tell the models apart
    parts: list[tuple[str | None, ...]] = [(t.get(MODEL),) for t in texts]
    for key in candidates:
        finer = [(*part, t.get(key)) for part, t in zip(parts, texts, strict=True) if key in t]
        there = [part for part, t in zip(parts, texts, strict=True) if key in t]
        if key == MODEL or key in wrote or len(set(finer)) > len(set(there)):
            found.append(key)
            parts = [(*part, t.get(key)) for part, t in zip(parts, texts, strict=True)]
    return found


def shown(value: Any) -> Value:
    """Numbers as they are, all else as it is written on the command line."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else written(value)


def sort_values(values: Iterable[Value]) -> tuple[Value, ...]:
    """Each once: numbers by size, lists of numbers by their members, then text."""
    return tuple(sorted(dict.fromkeys(values), key=_rank))


def _rank(value: Value) -> tuple[int, list[float], str]:
    if isinstance(value, (int, float)):
        return 0, [float(value)], ""
    try:
        return 1, [float(part) for part in value.strip("[]").split(",")], value
    except ValueError:
        return 2, [], value
