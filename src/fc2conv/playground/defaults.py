"""The networks of the committed page: runs of the claims, so that what was recorded is theirs; and two that no claim
has, trained likewise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fc2conv.claims.arms import RUNS, Planned, arms_of, rates_of, trial
from fc2conv.claims.book import evidence_of, find
from fc2conv.claims.evidence import Arm
from fc2conv.claims.running import train
from fc2conv.errors import ConfigError
from fc2conv.playground.networks import Description
from fc2conv.playground.payload import SHIFT, network, with_curve
from fc2conv.record.folder import CHECKPOINTS
from fc2conv.sweep.trials import Trial

SEED = 0


@dataclass(frozen=True)
class Default:
    """A run of a claim's arm, or of one that differs from it by some overrides."""

    id: str
    title: str
    says: str
    claim: str
    arm: str
    """Overrides that it alone of the claim's arms has."""
    other: tuple[str, ...] = ()
    """Overrides on top: such a run is no run of the arm."""


_CENTRED = "Trained on images in the middle of the canvas, 400 steps."

NETWORKS = (
    Default(
        "softmax",
        "Softmax regression",
        f"One linear layer. {_CENTRED}",
        SHIFT,
        "model=mlp data.place=center",
        ("model=softmax", "match.params=null"),
    ),
    Default("mlp", "MLP", f"Two hidden layers. {_CENTRED}", SHIFT, "model=mlp data.place=center"),
    Default(
        "mlp_permuted",
        "MLP, permuted pixels",
        "The same MLP, trained on images whose pixels were all permuted in one fixed way, 400 steps.",
        SHIFT,
        "model=mlp data.place=center",
        ("data.permutation=fixed",),
    ),
    Default(
        "lenet", "LeNet", f"Two convolutions, with ReLU. {_CENTRED}", SHIFT, "model=lenet_modern data.place=center"
    ),
    Default(
        "lenet_permuted",
        "LeNet, permuted pixels",
        "The same LeNet, trained on images whose pixels were all permuted in the same way, 400 steps.",
        SHIFT,
        "model=lenet_modern data.place=center",
        ("data.permutation=fixed",),
    ),
    Default(
        "gap",
        "LeNet, global average",
        f"Three convolutions, then the mean of each map. {_CENTRED}",
        SHIFT,
        "model=lenet_gap data.place=center",
    ),
)
"""All of them see the same canvas, and all but the first have the parameters of LeNet."""

_RUNG = "model.channels=4 data.size=14 data.place=center data.train_size=10000 model.constraint="

RUNGS = (
    Default("dense", "Dense", "Every hidden unit reads every pixel.", "constraints", f"{_RUNG}dense"),
    Default("local", "Local", "Each reads the pixels near it.", "constraints", f"{_RUNG}local"),
    Default("shared", "Shared", "All use one kernel, as large as the image allows.", "constraints", f"{_RUNG}shared"),
    Default("conv", "Convolution", "Both: one small kernel for all.", "constraints", f"{_RUNG}conv"),
)


def networks(runs_dir: Path) -> list[Description]:
    """Those that answer; what is missing is trained.

    Raises:
        ConfigError: an arm that cannot be run
        SweepEnded: a training failed, or a signal came
    """
    found = _described(NETWORKS, runs_dir)
    arms = [each.arm if each.claim == SHIFT and not each.other else None for each in NETWORKS]
    return [with_curve(*each, arm) for each, arm in zip(found, arms, strict=True)]


def rungs(runs_dir: Path) -> list[Description]:
    """The ladder's four. As `networks`."""
    return [found for found, _ in _described(RUNGS, runs_dir)]


def _described(defaults: Sequence[Default], runs_dir: Path) -> list[tuple[Description, Path]]:
    """Each with its checkpoint."""
    trials = [trial_of(each, runs_dir / RUNS) for each in defaults]
    train(trials, runs_dir / RUNS)
    checkpoints = [each.folder / CHECKPOINTS / "best.ckpt" for each in trials]
    return [
        (network(checkpoint, id=default.id, title=default.title, says=default.says), checkpoint)
        for default, checkpoint in zip(defaults, checkpoints, strict=True)
    ]


def trial_of(default: Default, runs: Path) -> Trial:
    """The run, at the learning rate that the claim has chosen for its arm, or else the middle one that it searches."""
    (claim,) = find([default.claim])
    found = [arm for arm in arms_of(claim) if Arm(arm.name, arm.overrides).has(default.arm)]
    if len(found) != 1:
        raise ConfigError("playground", f"{default.arm} names {len(found)} arms of {claim.name}, expected one")
    evidence = evidence_of(claim)
    rates = rates_of(claim, quick=True)
    rate = evidence.arm(default.arm).lr if evidence else rates[0]
    planned = Planned(default.id, (*found[0].overrides, *default.other))
    return trial(planned, rate, SEED, runs, quick=False)
