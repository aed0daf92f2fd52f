"""Tables of Markdown, and what stands in their cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fc2conv.claims.claim import effect
from fc2conv.claims.evidence import Arm, Evidence, Figure
from fc2conv.claims.verdicts import Outcome, outcome
from fc2conv.record.result import spread

NAMES = {"mlp": "MLP", "softmax": "softmax", "lenet_modern": "LeNet", "lenet_gap": "global average"}
"""What tables and figures call the networks that several claims compare."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table whose first column is words, the others numbers.

    Example:
        >>> table(["pooling", "MACs"], [["maximum", "416,520"]])
        ['| pooling | MACs |', '|---|--:|', '| maximum | 416,520 |']
    """
    return [_row(head), f"|---|{'--:|' * (len(head) - 1)}", *map(_row, rows)]


def accuracy(arm: Arm, of: Figure = "test.acc") -> str:
    """Mean and standard deviation over the seeds."""
    mean, std, _ = spread(list(arm.values(of).values()))
    return f"{mean:.4f} ± {std:.4f}"


def count(arm: Arm, of: Figure) -> str:
    """A whole number that all runs of an arm share: params or macs."""
    return f"{next(iter(arm.values(of).values())):,.0f}"


def difference(evidence: Evidence, more: str, less: str, of: Figure = "test.acc") -> Outcome:
    """How far one arm lies above another, with an interval of its own."""
    return outcome(effect("", more, less, of=of), evidence)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
