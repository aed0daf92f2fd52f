"""What each generated world predicts, beside what the claims found there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache

from fc2conv.architectures import ModelConfig
from fc2conv.claims.drawing import short
from fc2conv.claims.evidence import Arm, Evidence
from fc2conv.compose import compose_config, matched, parse_composed
from fc2conv.config.schema import DataConfig
from fc2conv.data.worlds.predictions import WORLDS
from fc2conv.record.result import spread


def predicted(found: Sequence[Evidence]) -> Iterator[str]:
    """What all worlds predict, beside what came out."""
    yield "Generated data with a known winner (`data=world_*`). Each prediction was written before anything was trained"
    yield "on it. An oracle that knows the rule is always right, or nearly."
    yield ""
    yield from predicted_in(WORLDS, found, also_missing=True)


def predicted_in(worlds: Iterable[str], found: Sequence[Evidence], also_missing: bool = False) -> Iterator[str]:
    """A table of what some worlds predict, beside what came out.

    Args:
        worlds: their names, e.g. world_order
        found: where their arms are looked for
        also_missing: whether it has predictions that nothing was found of, too
    """
    yield "| world | network | predicted | why | found | n | |"
    yield "|---|---|---|---|--:|--:|---|"
    for name in worlds:
        for prediction in WORLDS[name].predictions:
            low, high = prediction.least, prediction.most
            span = f"≥ {low:.2f}" if high == 1 else f"≤ {high:.2f}" if low == 0 else f"{low:.2f} to {high:.2f}"
            said = (name.removeprefix("world_"), short(prediction.arm), f"{prediction.outcome}, {span}", prediction.why)
            row = f"| {' | '.join(said)} |"
            arm = _in_world(name, prediction.arm, found)
            if arm is None:
                if also_missing:
                    yield f"{row} not run | | |"
                continue
            mean, _, n = spread(list(arm.values("test.acc").values()))
            yield f"{row} {mean:.4f} | {n} | {'as predicted' if prediction.holds(mean) else '**not as predicted**'} |"


def _in_world(name: str, wanted: str, found: Sequence[Evidence]) -> Arm | None:
    """The arm with the same network and the same images; of several that with the most seeds."""
    meant = (f"data={name}", *wanted.split())
    arms = [arm for evidence in found for arm in evidence.select(f"data={name}") if arm.values("test.acc")]
    same = [arm for arm in arms if _network_and_data(arm.overrides) == _network_and_data(meant)]
    return max(same, key=lambda arm: len(arm.runs), default=None)


@cache
def _network_and_data(overrides: tuple[str, ...]) -> tuple[ModelConfig, DataConfig]:
    """What overrides come to, however they are written; but for the seed that draws the data."""
    config = matched(parse_composed(compose_config(overrides)[0]))
    return config.model, replace(config.data, seed=None)
