"""7.4 Multiple input and output channels: what they cost, and what they buy."""

from __future__ import annotations

from fc2conv.architectures.layers import Conv
from fc2conv.architectures.trace import trace
from fc2conv.claims.claim import Claim, effect
from fc2conv.claims.evidence import Check
from fc2conv.data.worlds.predictions import ABOUT, WINS

WIDTHS = ((2, 4), (3, 8), (6, 16), (12, 32), (24, 64))
"""A quarter of LeNet's channels, half, all, twice and four times as many."""
BEST_OF_THREE = 0.3
"""Accuracy at best from three bands: three of ten classes can be told."""
SEES = WINS - BEST_OF_THREE - ABOUT
"""By how much 64 bands must beat three: what the world predicts of them."""
HINTS = BEST_OF_THREE - 0.1 - 2 * ABOUT
"""By how much three bands must beat grey, which is at chance."""


def checks() -> list[Check]:
    """What a 5x5 convolution of 14x14 pixels costs when its channels double, on one side and on both."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from fc2conv.nets.build import build

    def cost(inputs: int, outputs: int) -> tuple[int, int, int]:
        """(weights, multiplications that torch counts, MACs by the formula)"""
        geometry = trace([Conv("conv", outputs, 5, padding=2, bias=False)], (inputs, 14, 14))
        module = build(geometry)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            module(torch.zeros(1, inputs, 14, 14))
        return sum(p.numel() for p in module.parameters()), counter.get_total_flops() // 2, geometry.macs

    one, outputs, both = cost(6, 16), cost(6, 32), cost(12, 32)
    found = [Check("MACs of 6 -> 16 channels on 14x14, by the formula and as torch counts them", one[2], one[1])]
    for at, name in enumerate(("weights", "multiplications")):
        found.append(Check(f"twice the output channels: factor of {name}", outputs[at] / one[at], 2.0))
        found.append(Check(f"twice the channels on both sides: factor of {name}", both[at] / one[at], 4.0))
    return found


def _width(channels: tuple[int, int]) -> str:
    return f"data=fashion_mnist model.channels=[{channels[0]},{channels[1]}]"


CHANNELS = Claim(
    name="channels",
    number=9,
    section="7.4",
    title="How many channels",
    sentence="Each channel of a layer can answer to another feature, and each band of an input can tell something "
    "else: more channels see more. They are not free: a layer's cost is the product of its inputs' and outputs' "
    "number.",
    source="D2L 7.1.4, channels, with the hyper-spectral image of the notes; 7.4.2, multiple output channels",
    equation=r"c_i \times c_o \times k_h \times k_w",
    expected="Four times LeNet's channels gain, a quarter of them lose, by less with each doubling. Where the label "
    "is in the spectrum alone, 1x1 convolutions solve it in 64 bands, guess among a third of the classes in three, "
    "and learn nothing in grey.",
    refuted_by="Four times as many channels that gain nothing, or a quarter that loses nothing; or a network that "
    "does as well with three bands of ten lines as with 64.",
    sweeps=("channels", "channels_bands"),
    comparisons=(
        effect("four times as many channels gain", _width(WIDTHS[4]), _width(WIDTHS[2])),
        effect("a quarter of the channels loses", _width(WIDTHS[2]), _width(WIDTHS[0])),
        effect("64 bands show what three hide", "data.bands=64", "data.bands=3", SEES),
        effect("three bands show something of what grey hides", "data.bands=3", "data.bands=1", HINTS),
    ),
    checks=checks,
)
