"""Claims for tests."""

from __future__ import annotations

from typing import Any

from fc2conv.claims.claim import Claim


def claimed(**values: Any) -> Claim:
    """A claim that has what a test is about, and a word for all else."""
    words = {key: f"its {key}" for key in ("title", "sentence", "source", "expected", "refuted_by")}
    return Claim(**({"name": "made_up", "number": 1, "section": "7.1"} | words | values))
