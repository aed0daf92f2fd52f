"""What a claim trains: the arms of its sweep files, and the trials of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from fc2conv.claims.claim import SEARCHED, Claim
from fc2conv.compose import compose_config, conf, matched, parse_composed
from fc2conv.config.schema import Config
from fc2conv.config.unused import key_of
from fc2conv.errors import ConfigError
from fc2conv.sweep import search_space
from fc2conv.sweep.trials import Trial

RUNS = "claims"
"""The folder in runs_dir that all claims share: a run that two of them need is trained once."""
RATE, SEED = "optim.lr", "seed"
"""What tells the runs of an arm apart."""
QUICK = ("trainer.max_steps=100", "trainer.max_epochs=100")
"""The budget with --quick; and of QUICK_SEEDS, one rate."""
QUICK_SEEDS = 2


@dataclass(frozen=True)
class Planned:
    """An arm before it is trained."""

    name: str
    overrides: tuple[str, ...]


def folder() -> Path:
    """Where the sweep files of claims lie."""
    return conf().parent / "sweeps" / "claims"


def arms_of(claim: Claim) -> list[Planned]:
    """The arms of a claim's sweep files, named by what is not the same in all of them.

    Raises:
        ConfigError: a file cannot be read, or is no grid
    """
    found: list[tuple[str, ...]] = []
    for name in claim.sweeps:
        file = search_space.read(search_space.find(name, folder()))
        if file.method != "grid":
            raise ConfigError("sweep", f"{file.path}: a claim needs method grid")
        kept = replace(file, parameters=tuple(p for p in file.parameters if p.key not in (RATE, SEED)))
        found += [(*kept.constants(), *point) for point in kept.points()]
    common = set.intersection(*map(set, found)) if len(found) > 1 else set()
    named = {" ".join(o for o in overrides if o not in common) or "all": overrides for overrides in found}
    return [Planned(name, overrides) for name, overrides in named.items()]


def rates_of(claim: Claim, quick: bool = False) -> tuple[float, ...]:
    """The learning rates that are searched; with --quick, only the middle one."""
    return claim.rates[len(claim.rates) // 2 :][:1] if quick else claim.rates


def seeds_of(claim: Claim, quick: bool = False) -> range:
    return range(QUICK_SEEDS if quick else claim.seeds)


def search_trials(arm: Planned, rates: Sequence[float], runs: Path, quick: bool) -> list[Trial]:
    """The runs that search an arm's learning rate; none where there is one only."""
    return [trial(arm, rate, seed, runs, quick) for rate in rates for seed in SEARCHED] if len(rates) > 1 else []


def trial(arm: Planned, rate: float | None, seed: int, runs: Path, quick: bool) -> Trial:
    """One run of an arm; its folder is named by its identity, whichever claim asks for it.

    Args:
        rate: None: the arm's own
    """
    config, model, overrides = _composed((*arm.overrides, *(QUICK if quick else ())))
    config = replace(config, seed=seed)
    extra = [f"{SEED}={seed}"]
    if rate is not None:
        config = replace(config, optim=replace(config.optim, lr=rate))
        extra.insert(0, f"{RATE}={rate}")
    return Trial.of(config, runs, (*overrides, *extra), (arm.name, *extra), model)


@cache
def _composed(overrides: tuple[str, ...]) -> tuple[Config, str, tuple[str, ...]]:
    """(config, choice of model, overrides of which a later one replaces an earlier one of the same key)."""
    kept = tuple({key_of(o): o for o in overrides}.values())
    composed, _, model = compose_config(kept)
    return matched(parse_composed(composed)), model, kept
