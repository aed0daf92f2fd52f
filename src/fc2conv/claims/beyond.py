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

PARAMS, MACS = "match.params=61706", "match.macs=416520"
"""LeNet's."""

MODERN = Claim(
    name="modern",
    number=19,
    section="7.6",
    title="Modern structure",
    sentence="What came after LeNet is a better use of the same means: stacks of 3x3 convolutions, residual sums, a "
    "global average in place of the dense head.",
    source="D2L 7.6, outlook; 8.2, 8.3 and 8.6",
    expected="Stacks are ahead of 5x5 kernels at equal MACs. All three together are ahead of LeNet at equal "
    "parameters, which is four times its MACs, and at equal MACs, which is a quarter of its parameters. In five layers "
    "residual sums may do little.",
    refuted_by="A network with these parts that is not ahead at LeNet's parameters or at its MACs, stacks that are not "
    "ahead of 5x5 kernels, or residual sums that buy nothing.",
    sweeps=("modern_lenet", "modern_average", "modern_stack", "modern_macs", "modern_params"),
    comparisons=(
        effect("all together are ahead at LeNet's parameters", PARAMS, "model.kernel_size=5"),
        effect("and at its MACs", f"model=convnet {MACS} model.residual=true", "model.kernel_size=5"),
        effect("two 3x3 convolutions are ahead of one 5x5 at equal MACs", "model.kernel_size=3", "model.kernel_size=5"),
        effect(
            "residual sums help at equal MACs",
            "model=convnet model.residual=true",
            "model=convnet model.residual=false",
        ),
    ),
)

BEYOND = (SIGNALS, MODERN)
