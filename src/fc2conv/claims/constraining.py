"""7.1.2 Constraining the MLP: sharing and locality, what they cost and what they buy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import log10
from typing import TYPE_CHECKING

from fc2conv.architectures import plan
from fc2conv.architectures.ladder import LadderConfig
from fc2conv.architectures.mlp import MLPConfig
from fc2conv.claims.claim import EFFECT, EQUAL, Claim, Comparison, effect
from fc2conv.claims.evidence import Arm, Check, Evidence
from fc2conv.claims.verdicts import Outcome, outcome

if TYPE_CHECKING:
    from altair import TopLevelMixin

    from fc2conv.architectures import ModelConfig

# --- 2: counted

MEGAPIXEL = 1000
"""Pixels on each side of an image of one megapixel."""
TYPICAL = 10
"""Half width that the chapter says windows rarely exceed."""
SHARED_MEGAPIXEL = (2 * MEGAPIXEL - 1) ** 2


def _weights(config: ModelConfig, edge: int, layer: str = "hidden") -> int:
    """Weights without biases of a layer of the torch module, for one image of edge x edge.

    For a megapixel it is built on the meta device, where a tensor has a shape but no memory.
    """
    import torch

    from fc2conv.nets.build import build

    with torch.device("meta" if edge == MEGAPIXEL else "cpu"):
        net = build(plan(config, (1, edge, edge), classes=10))
    return net.get_submodule(layer).weight.numel()  # type: ignore[operator]


def _orders(half_width: int) -> float:
    """Orders of magnitude that locality saves of a shared kernel over a megapixel."""
    return log10(SHARED_MEGAPIXEL / (2 * half_width + 1) ** 2)


def _count() -> list[Check]:
    n, d, small = MEGAPIXEL, TYPICAL, 12
    of = partial(LadderConfig, half_width=d)
    found = [
        Check("weights from a megapixel to 1,000 hidden units", _weights(MLPConfig(hidden=(1000,)), n, "hidden1"), 1e9),
        Check("dense, from a megapixel to as many hidden units", _weights(of(constraint="dense"), n), 1e12),
        Check(
            "local, half width 10: (n(2D + 1) - D(D + 1))^2",
            _weights(of(constraint="local"), n),
            (n * (2 * d + 1) - d * (d + 1)) ** 2,
        ),
        Check("shared: (2n - 1)^2", _weights(of(constraint="shared"), n), SHARED_MEGAPIXEL),
        Check(
            "shared, as the chapter rounds it to 4 million, within 1 %", _weights(of(constraint="shared"), n), 4e6, 4e4
        ),
        Check("convolution, half width 10: (2D + 1)^2", _weights(of(constraint="conv"), n), 441),
        Check("orders of magnitude that locality saves at half width 10: about four", _orders(d), 4, 0.05),
    ]
    counts = {
        "dense": small**4,
        "local": (small * 7 - 12) ** 2,
        "shared": (2 * small - 1) ** 2,
        "conv": 7**2,
    }
    for constraint, expected in counts.items():
        config = LadderConfig(constraint=constraint, half_width=3)  # type: ignore[arg-type]
        found.append(Check(f"{constraint}, on 12x12 at half width 3", _weights(config, small), expected))
    return found


def _describe_counts(evidence: Evidence) -> list[str]:
    rows = [f"| {d} | {(2 * d + 1) ** 2:,} | {_orders(d):.2f} |" for d in (1, 2, 5, 9, 10, 15, 20)]
    return [
        f"Of the {SHARED_MEGAPIXEL:,} weights of a kernel that reaches over a megapixel, locality leaves:",
        "",
        "| half width | weights | orders of magnitude saved |",
        "|--:|--:|--:|",
        *rows,
        "",
        "“Four orders of magnitude” holds near a half width of 10, and is more for the kernels in use. The chapter's",
        "4 Δ² leaves out the window's middle row and column: the exact count is (2 Δ + 1)².",
    ]


def _draw_counts(evidence: Evidence) -> TopLevelMixin:
    from fc2conv.claims.drawing import lines

    widths = range(1, 21)
    series = {
        "saved by locality": [(d, _orders(d), _orders(d), _orders(d)) for d in widths],
        "four orders": [(d, 4.0, 4.0, 4.0) for d in (widths[0], widths[-1])],
    }
    return lines(series, "Half width", "Orders of magnitude", title="What locality saves of a shared kernel")


COUNTS = Claim(
    name="counts",
    number=2,
    section="7.1.2",
    title="Weights, counted",
    sentence="A fully connected layer on a megapixel needs a billion weights for 1,000 hidden units, and 10^12 for an "
    "image of them. Sharing leaves 4 million, locality some hundred: another four orders of magnitude.",
    source="D2L 7.1, introduction, and 7.1.2",
    equation=r"n^4 \;\rightarrow\; (2n - 1)^2 \;\rightarrow\; (2\Delta + 1)^2",
    expected="The counts hold exactly, but for what the chapter rounds.",
    refuted_by="A module with another number of weights.",
    checks=_count,
    figure=_draw_counts,
    describe=_describe_counts,
)

# --- 3: the 2x2 design

CONSTRAINTS = ("dense", "local", "shared", "conv")
SHARING = {"dense": -0.5, "local": -0.5, "shared": 0.5, "conv": 0.5}
"""Weights of the four arms in the main effect: the mean of what it does alone, and on top of the other constraint. So
the two main effects add up to what a convolution has over a dense layer."""
LOCALITY = {"dense": -0.5, "local": 0.5, "shared": -0.5, "conv": 0.5}
INTERACTION = {"dense": 1.0, "local": -1.0, "shared": -1.0, "conv": 1.0}
"""What sharing does to local layers, less what it does to others."""
SCARCE = 1000
"""Training images at which the claim is judged: 40 weights an image, so that a constraint has something to save; and
all matchings have it."""


@dataclass(frozen=True)
class Matching:
    """A way of making the four arms comparable."""

    title: str
    window: int
    """Edge of the local windows, in pixels."""
    arms: Mapping[str, str]
    """Constraint -> overrides that its arms have."""
    pixels: int = 14
    """On each side of what the networks see."""

    def at(self, constraint: str, images: int) -> str:
        """Selector of an arm."""
        return f"{self.arms[constraint]} model.constraint={constraint} data.train_size={images}"

    def compare(self, says: str, weights: Mapping[str, float], images: int, margin: float = EFFECT) -> Comparison:
        """A linear combination of its arms at one size."""
        return Comparison(says, "effect", tuple((w, self.at(c, images)) for c, w in weights.items()), margin)

    def sizes(self, evidence: Evidence) -> list[int]:
        """Training sizes at which all four arms are there."""
        found = [{_images(arm) for arm in evidence.select(f"{s} model.constraint={c}")} for c, s in self.arms.items()]
        return sorted(set.intersection(*found))


def _images(arm: Arm) -> int:
    return int(arm.value_of("data.train_size") or 0)


CENTRED = "model.channels=4 data.place=center"
PARAMETERS = Matching("equal parameters, 40,400", 9, dict.fromkeys(CONSTRAINTS, "match.params=40400"))
MAPS = Matching("equal maps, 4", 5, dict.fromkeys(CONSTRAINTS, CENTRED))
OPERATIONS = Matching(
    "equal MACs, 161,000",
    9,
    {"dense": CENTRED, "local": "match.macs=161000", "shared": CENTRED, "conv": "match.macs=161000"},
)
RANDOM = Matching("placed at random, 4 maps", 5, dict.fromkeys(CONSTRAINTS, "data.place=random"), 20)
WHOLE = Matching("28x28, 1 map", 5, dict.fromkeys(CONSTRAINTS, "data.size=28"), 28)
MATCHINGS = (PARAMETERS, MAPS, OPERATIONS, RANDOM, WHOLE)


def _describe_constraints(evidence: Evidence) -> Iterator[str]:
    """How much of the gain is locality and how much is sharing; and what the layers cost."""
    yield "What a convolution has over a dense layer is the sum of two main effects, each the mean of what a constraint"
    yield "does alone and on top of the other. The interaction is what sharing does to local layers, less what it does"
    yield "to layers that see the whole image. Intervals are of one comparison each, at 95 %."
    yield ""
    yield "| matched | windows | images | dense | local | shared | conv | by sharing | by locality | interaction |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    for matching in MATCHINGS:
        for images in matching.sizes(evidence):
            means = [f"{evidence.arm(matching.at(c, images)).mean():.4f}" for c in CONSTRAINTS]
            effects = [_effect(matching, w, images, evidence).interval for w in (SHARING, LOCALITY, INTERACTION)]
            window = f"{matching.window}x{matching.window}"
            yield f"| {' | '.join([matching.title, window, f'{images:,}', *means, *effects])} |"
    yield ""
    yield "The head reads every unit at its place, and is most of what the constrained layers cost:"
    yield ""
    yield "| matched | layer | maps | parameters | of these in the head | MACs |"
    yield "|---|---|--:|--:|--:|--:|"
    for matching in MATCHINGS:
        if sizes := matching.sizes(evidence):
            for constraint in CONSTRAINTS:
                arm = evidence.arm(matching.at(constraint, sizes[0]))
                params, macs = (next(iter(arm.values(of).values())) for of in ("params", "macs"))
                maps, head = _head(matching, constraint, int(params))
                yield (
                    f"| {matching.title} | {constraint} | {maps} | {params:,.0f} | {head:,} ({head / params:.0%}) "
                    f"| {macs:,.0f} |"
                )


def _head(matching: Matching, constraint: str, params: int) -> tuple[int, int]:
    """(maps, parameters of the head) of a ladder's network that has so many in all."""
    config = LadderConfig(constraint=constraint, half_width=matching.window // 2)  # type: ignore[arg-type]
    one = plan(config, (1, matching.pixels, matching.pixels), classes=10)
    biases = 10  # of the head: all else is proportional to the maps
    maps = (params - biases) // (one.params - biases)
    return maps, maps * (one.rows[-1].params - biases) + biases


def _effect(matching: Matching, weights: Mapping[str, float], images: int, evidence: Evidence) -> Outcome:
    return outcome(matching.compare("", weights, images), evidence)


def _draw_constraints(evidence: Evidence) -> TopLevelMixin:
    """What each constraint gains over the number of training images, at equal parameters and at equal maps."""
    from fc2conv.claims.drawing import lines, side_by_side

    panels = []
    for matching in (PARAMETERS, MAPS):
        series = {"sharing": SHARING, "locality": LOCALITY}
        points = {
            name: [
                (float(n), found.mean, found.low, found.high)
                for n in matching.sizes(evidence)
                for found in (_effect(matching, weights, n, evidence),)
            ]
            for name, weights in series.items()
        }
        title = matching.title[0].upper() + matching.title[1:]
        panels.append(lines(points, "Training images", "Gain in test accuracy", log=True, title=title))
    return side_by_side(*panels)


TWO_CONSTRAINTS = Claim(
    name="constraints",
    number=3,
    section="7.1.2",
    title="Sharing and locality",
    sentence="A layer for images should respond to a patch alike wherever it is, and look at the neighbourhood only. "
    "Each of these constraints saves most of the weights, and what they forbid is hardly missed.",
    source="D2L 7.1.2, equations 7.1.2 and 7.1.3",
    equation=r"""
[\mathbf{H}]_{i,j} = [\mathbf{U}]_{i,j} + \sum_a \sum_b [\mathsf{V}]_{i,j,a,b}\, [\mathbf{X}]_{i+a,j+b}
\;\rightarrow\; u + \sum_a \sum_b [\mathbf{V}]_{a,b}\, [\mathbf{X}]_{i+a,j+b}
\;\rightarrow\; u + \sum_{a=-\Delta}^{\Delta} \sum_{b=-\Delta}^{\Delta} [\mathbf{V}]_{a,b}\, [\mathbf{X}]_{i+a,j+b}
""",
    expected="At equal parameters both gain: for what one dense map costs there are 3 local, 15 shared or 20 "
    "convolutional ones, all the better the fewer images there are. Locality gains once weights are shared, too, as "
    "the chapter adds it second. Where images lie at random, a shared layer has seen each patch at all places and "
    "gains more. At equal maps the constraints only take away: nobody says that they gain there.",
    refuted_by="With 1,000 images, constrained layers that are no better than free ones of the same size; or sharing "
    "that gains nothing even where the images lie at random.",
    sweeps=(
        "constraints_params",
        "constraints_maps",
        "constraints_macs",
        "constraints_random",
        "constraints_whole",
    ),
    comparisons=(
        PARAMETERS.compare("sharing gains, at equal parameters and 1,000 images", SHARING, SCARCE),
        PARAMETERS.compare("locality gains, at equal parameters and 1,000 images", LOCALITY, SCARCE),
        effect(
            "locality gains where weights are shared already: the convolution over the shared layer",
            PARAMETERS.at("conv", SCARCE),
            PARAMETERS.at("shared", SCARCE),
        ),
        RANDOM.compare("sharing gains where images lie at random, at equal maps and 1,000 images", SHARING, SCARCE),
    ),
    figure=_draw_constraints,
    describe=lambda evidence: list(_describe_constraints(evidence)),
)

# --- 6: looking locally is enough

BUDGETS = {"match.params=5900": "LeNet, equal parameters", "match.macs=400000": "LeNet, equal MACs"}
LADDER = "model.constraint=conv"


def _kernel(arm: Arm) -> int:
    """Edge of its first window, in pixels."""
    if half_width := arm.value_of("model.half_width"):
        return 2 * int(half_width) + 1
    return int((arm.value_of("model.kernel_size") or "").strip("[]").partition(",")[0])


def _matched(arm: Arm) -> str:
    return next((name for budget, name in BUDGETS.items() if arm.has(budget)), "ladder, equal maps")


def _describe_locality(evidence: Evidence) -> Iterator[str]:
    yield "| network | first kernel | second | a unit of the last map sees | test accuracy | parameters | MACs |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    for arm in evidence.arms:
        params, macs = (f"{next(iter(arm.values(of).values())):,.0f}" for of in ("params", "macs"))
        first, second = _kernels(arm)
        sees = min(14, first if second is None else first + 2 * second + 1)  # each is pooled, 2x2
        kernels = [f"{k}x{k}" if k else "" for k in (first, second)]
        cells = [_matched(arm), *kernels, f"{sees}x{sees}", f"{arm.mean():.4f}", params, macs]
        yield f"| {' | '.join(cells)} |"
    yield ""
    yield "On 14x14 pixels a kernel of 27x27 reaches every pixel from every other, as does 13x13 on the 7x7 of the"
    yield "second convolution. MACs count those on padding, three quarters of a 27x27 kernel's: at equal MACs the whole"
    yield "image pays for these, too."


def _kernels(arm: Arm) -> tuple[int, int | None]:
    """Edges of LeNet's two kernels; of the ladder's one."""
    listed = (arm.value_of("model.kernel_size") or "").strip("[]").split(",")
    return _kernel(arm), None if arm.value_of("model.half_width") else int(listed[-1])


def _draw_locality(evidence: Evidence) -> TopLevelMixin:
    """All kernels, and those of more than a pixel, which differ little."""
    from fc2conv.claims.drawing import curves, side_by_side

    wide = [arm for arm in evidence.arms if _kernel(arm) > 1]
    panels = [
        curves(
            evidence, _kernel, _matched, arms=arms, x_title="Edge of the first kernel, in pixels", log=True, title=title
        )
        for arms, title in (
            (evidence.arms, "How far a layer looks, up to the whole image"),
            (wide, "The same without the single pixel"),
        )
    ]
    return side_by_side(*panels)


LOCALITY_IS_ENOUGH = Claim(
    name="locality",
    number=6,
    section="7.1.2.2",
    title="Looking locally is enough",
    sentence="To know what is to be seen at a place, one need not look far away from it: weights beyond a small "
    "distance can be zero.",
    source="D2L 7.1.2.2, equation 7.1.3",
    equation=r"[\mathbf{V}]_{a,b} = 0 \quad \text{for} \quad |a| > \Delta \;\text{or}\; |b| > \Delta",
    expected="Kernels of 3x3 do no worse than those that reach over the whole image, be it at equal parameters or at "
    "equal MACs, where the small ones have more channels. A single layer, too, needs no more than 5x5. But a pixel "
    "alone is not enough. 3x3 is judged because with 5x5 the last units of this LeNet see the whole image after all.",
    refuted_by="Small kernels that are more than half a point worse than the whole image, or single pixels that are as "
    "good as small kernels.",
    sweeps=("locality_params", "locality_macs", "locality_ladder"),
    comparisons=(
        Comparison(
            "3x3 is not worse than the whole image, at equal parameters",
            "effect",
            ((1.0, "match.params=5900 model.kernel_size=3"), (-1.0, "match.params=5900 model.kernel_size=[27,13]")),
            -EQUAL,
        ),
        Comparison(
            "3x3 is not worse than the whole image, at equal MACs",
            "effect",
            ((1.0, "match.macs=400000 model.kernel_size=3"), (-1.0, "match.macs=400000 model.kernel_size=[27,13]")),
            -EQUAL,
        ),
        Comparison(
            "5x5 is not worse than the whole image in the ladder, at equal maps",
            "effect",
            ((1.0, f"{LADDER} model.half_width=2"), (-1.0, f"{LADDER} model.half_width=13")),
            -EQUAL,
        ),
        effect(
            "3x3 is better than the pixel alone, at equal parameters",
            "match.params=5900 model.kernel_size=3",
            "match.params=5900 model.kernel_size=1",
        ),
    ),
    figure=_draw_locality,
    describe=lambda evidence: list(_describe_locality(evidence)),
)

CONSTRAINING = (COUNTS, TWO_CONSTRAINTS, LOCALITY_IS_ENOUGH)
