"""A claim: a sentence of the chapter as data. What is run for it, what is compared, and what would refute it, all
written before its outcome is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fc2conv.claims.evidence import Check, Evidence, Figure

if TYPE_CHECKING:
    from altair import TopLevelMixin

    from fc2conv.data.image_data import ImageData
    from fc2conv.training.classifier import Classifier

EFFECT, EQUAL = 0.003, 0.005
"""Margins in accuracy, unless a comparison states its own: what an effect must exceed, how far equals may differ."""
RATES = (0.003, 0.01, 0.03)
"""Learning rates of which each arm takes the best, by validation."""
SEARCHED = (100, 101)
"""Seeds of that search, never used again."""
SMALL, FULL = 10, 5
"""Seeds on the small budget, and in full training."""
COVERED = 0.95
"""Of all intervals of a claim together (Bonferroni)."""

Kind = Literal["effect", "equal", "ratio"]


@dataclass(frozen=True)
class Comparison:
    """A linear combination of arms, and the margin that decides what it shows."""

    says: str
    """The outcome that would support the claim, in words."""
    kind: Kind
    """effect: the combination lies above the margin. equal: within plus or minus the margin. ratio: the first arm over
    the second lies above the margin, a factor; the median of paired repetitions."""
    terms: tuple[tuple[float, str], ...]
    """(weight, arm): an arm is named by overrides that it alone has, e.g. "model=mlp data.permutation=fixed"."""
    margin: float
    of: Figure = "test.acc"


def effect(says: str, more: str, less: str, margin: float = EFFECT, of: Figure = "test.acc") -> Comparison:
    """`more` exceeds `less` by more than the margin."""
    return Comparison(says, "effect", ((1.0, more), (-1.0, less)), margin, of)


def equal(says: str, one: str, other: str, margin: float = EQUAL, of: Figure = "test.acc") -> Comparison:
    """The two differ by less than the margin."""
    return Comparison(says, "equal", ((1.0, one), (-1.0, other)), margin, of)


def ratio(says: str, more: str, less: str, margin: float, of: Figure) -> Comparison:
    """`more` over `less` exceeds the margin."""
    return Comparison(says, "ratio", ((1.0, more), (-1.0, less)), margin, of)


@dataclass(frozen=True)
class Measure:
    """An instrument that looks at the trained network of each run."""

    name: str
    look: Callable[[Classifier, ImageData], Mapping[str, float]]
    """Imports torch only when it is called."""
    arms: str = ""
    """Overrides of the arms that it looks at; empty: all."""


@dataclass(frozen=True)
class Observation:
    """What is found without a sweep, e.g. a timing: one repetition of one arm."""

    arm: str
    """As overrides are written: "model=mlp processes=2"."""
    repetition: int
    figures: Mapping[Figure, float]


@dataclass(frozen=True)
class Claim:
    """One sentence of the chapter, and its experiment."""

    name: str
    """As `fc2conv claims run NAME` has it."""
    number: int
    section: str
    """Of Dive into Deep Learning: "7.1.2"."""
    title: str
    sentence: str
    """What the chapter says, in our words."""
    source: str
    """Where it says so: section and equation."""
    expected: str
    """What we expect to find, and why; written before it was known."""
    refuted_by: str
    """What would refute it."""
    equation: str = ""
    """In LaTeX, where the chapter has one."""
    sweeps: tuple[str, ...] = ()
    """Files in sweeps/claims/. What a file varies, but for optim.lr and the seed, are the claim's arms."""
    comparisons: tuple[Comparison, ...] = ()
    """The primary ones, one to four; all else is description."""
    seeds: int = SMALL
    rates: tuple[float, ...] = RATES
    """Empty: the sweep's own learning rate."""
    measures: tuple[Measure, ...] = ()
    checks: Callable[[], list[Check]] | None = None
    """Identities, computed anew."""
    observe: Callable[[], list[Observation]] | None = None
    """What is found without training: timings on this machine, statistics of the images."""
    figure: Callable[[Evidence], TopLevelMixin] | None = None
    """What its results look like."""
    describe: Callable[[Evidence], list[str]] | None = None
    """More of what they show, beyond the comparisons: lines of Markdown."""

    def __post_init__(self) -> None:
        if len(self.comparisons) > 4:
            raise ValueError(f"{self.name}: {len(self.comparisons)} primary comparisons; at most 4")

    @property
    def is_timed(self) -> bool:
        """Whether its verdict is one about the machine that it ran on."""
        return any(each.kind == "ratio" for each in self.comparisons)
