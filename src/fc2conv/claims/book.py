"""All claims, in the chapter's order."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fc2conv.claims.agreement import AGREEMENT
from fc2conv.claims.beyond import BEYOND
from fc2conv.claims.channels import CHANNELS
from fc2conv.claims.claim import Claim
from fc2conv.claims.constraining import CONSTRAINING
from fc2conv.claims.convolutions import CONVOLUTIONS
from fc2conv.claims.cost import COST
from fc2conv.claims.evidence import Evidence
from fc2conv.claims.freedom import FREEDOM
from fc2conv.claims.invariance import INVARIANCE
from fc2conv.claims.lenet import LENET
from fc2conv.claims.padding_and_stride import PADDING
from fc2conv.claims.pixel_order import PIXEL_ORDER
from fc2conv.claims.pooling import POOLING
from fc2conv.claims.prior import PRIORS
from fc2conv.claims.receptive_field import RECEPTIVE_FIELD
from fc2conv.compose import conf
from fc2conv.config.parsing import suggest
from fc2conv.errors import ConfigError

CLAIMS: tuple[Claim, ...] = tuple(
    sorted(
        (
            AGREEMENT,
            *BEYOND,
            CHANNELS,
            *CONSTRAINING,
            *CONVOLUTIONS,
            *COST,
            FREEDOM,
            *INVARIANCE,
            *LENET,
            PADDING,
            *PIXEL_ORDER,
            POOLING,
            *PRIORS,
            RECEPTIVE_FIELD,
        ),
        key=lambda claim: claim.number,
    )
)
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
    """Where results lie: in results/ of the repository, where they are committed, or else of the present folder."""
    top = conf().parent
    return (top if (top / "pyproject.toml").exists() else Path()) / "results"


def evidence_of(claim: Claim) -> Evidence | None:
    """What is recorded of a claim; None if it has not run."""
    return Evidence.read(results() / claim.name)
