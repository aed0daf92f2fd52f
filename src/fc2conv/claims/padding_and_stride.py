"""7.3 Padding and stride: what stands beside the border, and what a network learns from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from fc2conv.architectures.layers import Conv, PaddingMode
from fc2conv.architectures.trace import trace
from fc2conv.claims.claim import Claim, effect, equal
from fc2conv.claims.evidence import Arm, Check, Evidence
from fc2conv.claims.predicted import predicted_in
from fc2conv.claims.tables import accuracy, count, difference, table
from fc2conv.data.worlds.predictions import LEAK, TORUS, WINS, ZEROS

if TYPE_CHECKING:
    from altair import TopLevelMixin

FASHION = "data=fashion_mnist model.padding=same"
POSITION = "data=world_position model=lenet_gap model.padding=same model.coordinates=False"
BORDER = "data=world_border model=lenet_gap model.padding=same"
MODES: tuple[PaddingMode, ...] = ("zeros", "reflect", "circular")
SHOWN = WINS - 0.5 - LEAK
"""By how much who sees the border must beat who does not: what the world predicts of them, with some room."""


def checks() -> list[Check]:
    """Sizes of what a 5x5 convolution gives, and logits of an image on a torus after half a turn."""
    import torch

    from fc2conv.compose import compose_config, parse_composed, plan_of
    from fc2conv.nets.build import build, net_of

    def columns(padding: Literal["same", "valid"], mode: PaddingMode = "zeros", stride: int = 1) -> int:
        layer = Conv("conv", 1, 5, stride, padding, mode)
        maps: torch.Tensor = build(trace([layer], (1, 28, 28)))(torch.zeros(1, 1, 28, 28))
        return maps.shape[3]

    def moves(arm: str) -> float:
        """Whether the logits of random weights do, when an image of `position` makes half a turn: 0 or 1."""
        config = parse_composed(compose_config(["data=world_position", *arm.split()])[0])
        net = net_of(config.model, plan_of(config)).double().eval()
        image = torch.rand(4, 1, 32, 32, dtype=torch.float64)
        return float((net(image) - net(image.roll(16, 3))).abs().max() > 1e-9)

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        return [
            *(
                Check(f"columns of 28 that a 5x5 convolution keeps, {m}", columns("same", m), 28 - 5 + 4 + 1)
                for m in MODES
            ),
            Check("columns of 28 that it keeps without padding", columns("valid"), 28 - 5 + 1),
            Check("columns of 28 that it keeps with padding 2 and stride 3", columns("same", stride=3), (27 + 3) // 3),
            Check("circular padding: half a turn of the image moves the logits (0: no)", moves(TORUS), 0.0),
            Check("zero padding: half a turn of the image moves the logits (1: yes)", moves(ZEROS), 1.0),
        ]


def describe(evidence: Evidence) -> Iterator[str]:
    """What each padding costs and gains on Fashion-MNIST, and what the two worlds predict of it."""
    zeros = f"{FASHION} model.padding_mode=zeros"
    rows = []
    for arm in evidence.select("data=fashion_mnist"):
        selector = f"data=fashion_mnist model.padding={arm.value_of('model.padding')}"
        selector += f" model.padding_mode={mode}" if (mode := arm.value_of("model.padding_mode")) else ""
        gap = "" if arm.has(zeros) else difference(evidence, selector, zeros).interval
        rows.append([_named(arm), count(arm, "params"), count(arm, "macs"), accuracy(arm), gap])
    yield "Fashion-MNIST; the difference to zeros has a 95 % interval of its own. Larger maps give the dense head more"
    yield "weights, too:"
    yield ""
    yield from table(["padding", "parameters", "MACs", "test accuracy", "less that of zeros"], rows)
    yield ""
    yield "Where the label is a position, as it was predicted and as it came out:"
    yield ""
    yield from predicted_in(("world_position", "world_border"), [evidence])


def figure(evidence: Evidence) -> TopLevelMixin:
    """Accuracy on photographs, and what of positions can be told."""
    from fc2conv.claims.drawing import dots, stacked

    panels = [
        dots(evidence, evidence.select(f"data={data}"), label=_named, title=title)
        for data, title in (
            ("fashion_mnist", "Fashion-MNIST"),
            ("world_position", "In which quadrant is the pattern? One in four is chance"),
            ("world_border", "Does it touch the edge? One in two is chance"),
        )
    ]
    return stacked(*panels)


def _named(arm: Arm) -> str:
    """What stands at the border of its maps, and what else it has."""
    name = arm.value_of("model.padding_mode") or "no padding"
    if arm.has("model.coordinates=True"):
        return f"{name}, coordinates"
    return f"{name}, dense head" if arm.has("data=world_position model=lenet_modern") else name


PADDING = Claim(
    name="padding",
    number=10,
    section="7.3",
    title="What stands beside the border",
    sentence="Without padding, every convolution loses the pixels at the border. Padding keeps the size; what it "
    "fills in is a detail, but a border that can be told from the rest also tells where things are.",
    source="D2L 7.3.1: pixels on the perimeter are lost, and zeros are put around the image; the rest is what its "
    "invariance of 7.1 leaves open (Islam et al. 2020)",
    equation=r"(n_h - k_h + p_h + 1) \times (n_w - k_w + p_w + 1)",
    expected="Keeping the size helps a little on Fashion-MNIST, whose borders are mostly empty, and what is filled in "
    "does not matter there. A network with a global average knows no positions: on a torus it must be at chance where "
    "the label is a position. Zeros at the border give the position away.",
    refuted_by="Padding that gains nothing; reflected images half a point from zeros; or zeros that tell a network "
    "with a global average no more of a position than circular padding does.",
    sweeps=(
        "padding",
        "padding_valid",
        "padding_position",
        "padding_coordinates",
        "padding_head",
        "padding_border",
        "padding_border_valid",
    ),
    comparisons=(
        effect(
            "padding that keeps the size beats none",
            f"{FASHION} model.padding_mode=zeros",
            "data=fashion_mnist model.padding=valid",
        ),
        equal(
            "zeros and a mirrored border do equally well",
            f"{FASHION} model.padding_mode=reflect",
            f"{FASHION} model.padding_mode=zeros",
        ),
        effect(
            "zeros tell in which quadrant the pattern lies, a torus does not",
            f"{POSITION} model.padding_mode=zeros",
            f"{POSITION} model.padding_mode=circular",
            LEAK,
        ),
        effect(
            "zeros tell whether the pattern touches the edge, a torus does not",
            f"{BORDER} model.padding_mode=zeros",
            f"{BORDER} model.padding_mode=circular",
            SHOWN,
        ),
    ),
    checks=checks,
    figure=figure,
    describe=lambda evidence: list(describe(evidence)),
)
