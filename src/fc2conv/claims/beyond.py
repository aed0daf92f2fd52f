"""7.1.1 and 7.6, outlook: convolutions outside vision, and what the following chapter makes of them."""

from __future__ import annotations

from fc2conv.claims.claim import Claim, effect, equal

SIGNALS = Claim(
    name="signals",
    number=13,
    section="7.1",
    title="Outside vision",
    sentence="Convolutions are for signals of one dimension as well: what they need is an order, whatever it is of.",
    source="D2L 7, introduction",
    expected="On MNIST-1D the convolutional network is far ahead. Shuffled, it loses that, and the perceptron, which "
    "stays where it was, is ahead.",
    refuted_by="A convolutional network that is behind on signals in their order, or loses nothing when they are "
    "shuffled; a perceptron that changes, or is behind on shuffled ones.",
    sweeps=("signals", "signals_mlp"),
    comparisons=(
        effect(
            "on signals in their order the convolutional network is ahead",
            "model.channels=[6,16] data.permutation=none",
            "model=mlp data.permutation=none",
        ),
        effect(
            "it loses when they are shuffled",
            "model.channels=[6,16] data.permutation=none",
            "model.channels=[6,16] data.permutation=fixed",
        ),
        # 1,000 test signals cannot tell half a point: the interval is about 1.3 points to each side
        equal(
            "the perceptron does not",
            "model=mlp data.permutation=fixed",
            "model=mlp data.permutation=none",
            margin=0.02,
        ),
        effect(
            "it is ahead then",
            "model=mlp data.permutation=fixed",
            "model.channels=[6,16] data.permutation=fixed",
        ),
    ),
)

BEYOND = (SIGNALS,)
