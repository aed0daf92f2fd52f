"""What each generated world predicts, beside what the claims found there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fc2conv.claims.drawing import short
from fc2conv.claims.evidence import Arm, Evidence
from fc2conv.data.worlds.predictions import WORLDS
from fc2conv.record.result import spread


def predicted(found: Sequence[Evidence]) -> Iterator[str]:
    """What each world predicts, beside what came out."""
    yield "Generated data with a known winner (`data=world_*`). Each prediction was written before anything was trained"
    yield "on it. An oracle that knows the rule is always right, or nearly."
    yield ""
    yield "| world | network | predicted | why | found | n | |"
    yield "|---|---|---|---|--:|--:|---|"
    for name, world in WORLDS.items():
        for prediction in world.predictions:
            low, high = prediction.least, prediction.most
            span = f"≥ {low:.2f}" if high == 1 else f"≤ {high:.2f}" if low == 0 else f"{low:.2f} to {high:.2f}"
            said = (name.removeprefix("world_"), short(prediction.arm), f"{prediction.outcome}, {span}", prediction.why)
            row = f"| {' | '.join(said)} |"
            arm = _in_world(f"data={name} {prediction.arm}", found)
            if arm is None:
                yield f"{row} not run | | |"
                continue
            mean, _, n = spread(list(arm.values("test.acc").values()))
            yield f"{row} {mean:.4f} | {n} | {'as predicted' if prediction.holds(mean) else '**not as predicted**'} |"


ASIDE = ("trainer.", "optim", "logger", "seed", "data.seed", "data.train_size")
"""Keys that are not part of a prediction's arm."""


def _in_world(wanted: str, found: Sequence[Evidence]) -> Arm | None:
    """The arm that has these overrides, and none besides but the budget's; of several that with the most seeds."""
    keys = set(wanted.split())
    arms = [arm for evidence in found for arm in evidence.arms if arm.values("test.acc")]
    same = [arm for arm in arms if {o.replace(" ", "") for o in arm.overrides if not o.startswith(ASIDE)} == keys]
    return max(same, key=lambda arm: len(arm.runs), default=None)
