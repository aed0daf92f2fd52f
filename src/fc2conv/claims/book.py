"""All claims, in the chapter's order."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fc2conv.claims.claim import Claim
from fc2conv.claims.constraining import CONSTRAINING
from fc2conv.claims.evidence import Evidence
from fc2conv.claims.freedom import FREEDOM
from fc2conv.claims.invariance import INVARIANCE
from fc2conv.compose import conf
from fc2conv.config.parsing import suggest
from fc2conv.errors import ConfigError

CLAIMS: tuple[Claim, ...] = tuple(sorted((*INVARIANCE, *CONSTRAINING, FREEDOM), key=lambda claim: claim.number))
"""Another section's file adds its own here."""


def find(names: Iterable[str]) -> list[Claim]:
    """Claims by their names or numbers, in the chapter's order; all without any.

    Raises:
        ConfigError: there is no such claim
    """
    wanted = set(names)
    known = {key: claim for claim in CLAIMS for key in (claim.name, str(claim.number))}
    for name in wanted:
        if name not in known:
            hint = suggest(name, [claim.name for claim in CLAIMS])
            raise ConfigError("claims", f"got {name}, but there is no such claim{hint}; fc2conv claims lists them")
    return [claim for claim in CLAIMS if not wanted or {claim.name, str(claim.number)} & wanted]


def results() -> Path:
    """Where the committed results lie: results/, beside conf/."""
    return conf().parent / "results"


def evidence_of(claim: Claim) -> Evidence | None:
    """What is recorded of a claim; None if it has not run."""
    return Evidence.read(results() / claim.name)
