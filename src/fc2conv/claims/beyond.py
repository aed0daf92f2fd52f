"""7, introduction, and 8: convolutions outside vision, and what the following chapter makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fc2conv.claims import drawing
from fc2conv.claims.claim import Claim, effect, equal
from fc2conv.claims.evidence import Arm, Evidence

if TYPE_CHECKING:
    from altair import TopLevelMixin


WIDTHS = {"[6,16]": "LeNet", "[23,63]": "LeNet, wide", None: "MLP"}
"""model.channels -> what the network is called."""


def _signal_network(arm: Arm) -> str:
    order = "shuffled" if arm.value_of("data.permutation") == "fixed" else "in order"
    return f"{WIDTHS[arm.value_of('model.channels')]}, {order}"


def draw_signals(evidence: Evidence) -> TopLevelMixin:
    """Each network on signals in their order and shuffled."""
    return drawing.dots(evidence, label=_signal_network, title="Convolutions live on the order of a signal, too")


def describe_signals(evidence: Evidence) -> list[str]:
    """What the wider network says."""
    lines = [
        "The wider network has the MLP's number of parameters, so that LeNet's loss on shuffled signals is not "
        "one of size alone. On the training signals, the last epoch is meant.",
        "",
        "| network | parameters | MACs | training signals | test |",
        "|---|--:|--:|--:|--:|",
    ]
    for arm in evidence.arms:
        params, macs, train, test = (arm.mean(of) for of in ("params", "macs", "train.acc", "test.acc"))
        lines.append(f"| {_signal_network(arm)} | {params:,.0f} | {macs:,.0f} | {train:.4f} | {test:.4f} |")
    return lines


SIGNALS = Claim(
    name="signals",
    number=13,
    section="7",
    title="Outside vision",
    sentence="Convolutions are for signals of one dimension as well: what they need is an order, whatever it is of.",
    source="D2L 7, introduction",
    expected="On MNIST-1D the convolutional network is far ahead. Shuffled, it loses that, and the MLP, which "
    "stays where it was, is ahead.",
    refuted_by="A convolutional network that is behind on signals in their order, or loses nothing when they are "
    "shuffled; an MLP that changes, or is behind on shuffled ones.",
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
            "the MLP does not",
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
    figure=draw_signals,
    describe=describe_signals,
)

PARAMS, MACS = "match.params=61706", "match.macs=416520"
"""LeNet's."""

STRUCTURES = {
    "model.kernel_size=5": "LeNet: two 5x5, dense head",
    "model=lenet_gap": "LeNet with a global average, its MACs",
    "model.kernel_size=3": "two 3x3 for each 5x5, its MACs",
    f"model.residual=false {MACS}": "3x3 and global average, its MACs",
    f"model.residual=true {MACS}": "and residual sums, its MACs",
    PARAMS: "and residual sums, its parameters",
}
"""What is said of the arms, in the figure's order."""


def _structure(arm: Arm) -> str:
    return next(said for selector, said in STRUCTURES.items() if arm.has(selector))


def draw_modern(evidence: Evidence) -> TopLevelMixin:
    """Each structure's accuracy."""
    arms = [evidence.arm(selector) for selector in STRUCTURES]
    return drawing.dots(evidence, arms, label=_structure, title="What modern structure buys at LeNet's budget")


def describe_modern(evidence: Evidence) -> list[str]:
    """What each costs."""
    lines = [
        "| structure | parameters | MACs | training images | test | seconds |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for selector, said in STRUCTURES.items():
        arm = evidence.arm(selector)
        params, macs, train, test, seconds = (
            arm.mean(of) for of in ("params", "macs", "train.acc", "test.acc", "seconds")
        )
        lines.append(f"| {said} | {params:,.0f} | {macs:,.0f} | {train:.4f} | {test:.4f} | {seconds:.1f} |")
    return [
        "On the training images, the last epoch is meant. Seconds are of the whole training; they were taken while "
        "other runs trained beside it.",
        "",
        *lines,
    ]


MODERN = Claim(
    name="modern",
    number=19,
    section="8",
    title="Modern structure",
    sentence="What came after LeNet is a better use of the same means: stacks of 3x3 convolutions, residual sums, a "
    "global average in place of the dense head.",
    source="D2L 8.2, 8.3 and 8.6",
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
    figure=draw_modern,
    describe=describe_modern,
)

BEYOND = (SIGNALS, MODERN)
