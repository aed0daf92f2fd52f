"""7, introduction: what convolutional networks cost. Fewer parameters, not fewer operations; easy to parallelise.

Timings on the machine that it runs on, which should do nothing else meanwhile.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from fc2conv.claims import drawing, timing
from fc2conv.claims.claim import Claim, ratio
from fc2conv.claims.evidence import Arm, Check, Evidence
from fc2conv.claims.tables import NAMES
from fc2conv.claims.verdicts import order_statistic
from fc2conv.pictures.style import INK, RUNS

if TYPE_CHECKING:
    from altair import TopLevelMixin

MODELS = (
    *(f"model={name}" for name in ("softmax", "mlp", "lenet", "lenet_modern", "lenet_gap", "lenet_separable")),
    *(f"model={name}" for name in ("lenet_allconv", "lenet_blur", "lenet_coord", "lenet_dilated", "lenet1", "lenet5")),
    *(f"model={name}" for name in ("nin", "convnet_10k", "resnet", "convnet")),
    *(f"model=ladder model.constraint={constraint}" for constraint in ("dense", "local", "shared", "conv")),
)
"""All that there are."""


def count() -> list[Check]:
    """What the sentence is about."""
    lenet, mlp = timing.cost("model=lenet"), timing.cost("model=mlp")
    dense, shared = (timing.cost(f"model=ladder model.constraint={name}") for name in ("dense", "shared"))
    return [
        Check("LeNet has fewer parameters than the MLP (1: it has)", float(lenet.params < mlp.params), 1),
        Check("and more MACs", float(lenet.macs > mlp.macs), 1),
        Check("sharing alone leaves of a dense layer's 623,290 parameters", shared.params, 55**2 + 1 + 7850),
        Check("and of its MACs as many as it had", shared.macs, dense.macs),
    ]


COSTS = {
    "params": "Parameters",
    "macs": "MACs an image",
    "train": "Training, µs an image",
    "kept": "Memory, bytes an image",
}
"""What is beside each other in the figure."""


def draw_operations(evidence: Evidence) -> TopLevelMixin:
    """Each model's parameters, MACs, time and memory, on four logarithmic scales; ordered by the parameters."""
    import altair as alt

    rows = [{"model": drawing.short(arm.name), **{of: _median(arm, of) for of in COSTS}} for arm in evidence.arms]
    order = [drawing.short(arm.name) for arm in sorted(evidence.arms, key=lambda arm: -_median(arm, "params"))]
    scale, axis = alt.Scale(type="log", padding=8), alt.Axis(tickCount=4, format="~s", grid=False)
    points = alt.Chart(alt.InlineData(values=rows)).mark_point(filled=True, size=60, opacity=1, color=RUNS[0])
    charts: list[alt.Chart] = []
    for of, said in COSTS.items():
        names = alt.Axis(labelLimit=0, grid=True, labels=not charts, ticks=False, domain=False)
        y = alt.Y("model:N", sort=order, title=None, axis=names)
        chart = points.encode(alt.X(f"{of}:Q", title=said, scale=scale, axis=axis), y)
        charts.append(chart.properties(width=130, height=20 * len(rows)))
    title = alt.TitleParams("Few parameters, many operations", anchor="start", fontSize=15, color=INK, offset=12)
    return alt.hconcat(*charts, spacing=14, title=title)


def describe_operations(evidence: Evidence) -> list[str]:
    """All four side by side for every model."""
    lines = [
        "By one thread, in batches of 128, with torch's own layers: microseconds an image of a training step "
        "(AdamW) and of a prediction. Memory: the weights with their gradients and AdamW's moments, and what an image "
        "leaves for the backward pass.",
        "",
        "| model | parameters | MACs | MACs / parameter | train (µs) | predict (µs) | weights (KiB) | image (KiB) |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for arm in sorted(evidence.arms, key=lambda arm: _median(arm, "params")):
        params, macs, train, predict, weights, kept = (
            _median(arm, of) for of in ("params", "macs", "train", "predict", "weights", "kept")
        )
        lines.append(
            f"| {drawing.short(arm.name)} | {params:,.0f} | {macs:,.0f} | {macs / params:,.1f} | {train:,.0f} "
            f"| {predict:,.0f} | {weights / 1024:,.0f} | {kept / 1024:,.1f} |"
        )
    return lines


def _median(arm: Arm, of: str) -> float:
    return statistics.median(arm.values(of).values())


OPERATIONS = Claim(
    name="operations",
    number=8,
    section="7",
    title="Fewer parameters, not fewer operations",
    sentence="Convolutional networks need far fewer parameters than dense ones. That makes them small, not fast: each "
    "weight is used at every pixel.",
    source="D2L 7, introduction",
    expected="LeNet has a quarter of the MLP's parameters, and half as many MACs again. It takes longer for an "
    "image, in training and in prediction, and keeps more of it for the backward pass: its maps are larger than the "
    "MLP's layers.",
    refuted_by="A LeNet that is as fast as the MLP, or keeps no more of an image than that.",
    checks=count,
    observe=lambda: timing.time_models(MODELS),
    comparisons=(
        ratio("LeNet takes longer to train on an image than the MLP", "model=lenet", "model=mlp", 1.0, "train"),
        ratio("and to classify it", "model=lenet", "model=mlp", 1.0, "predict"),
        ratio("and keeps more of it for the backward pass", "model=lenet", "model=mlp", 1.0, "kept"),
    ),
    figure=draw_operations,
    describe=describe_operations,
)


def draw_parallel(evidence: Evidence) -> TopLevelMixin:
    """Images per second, and what the second process gains, against the batch."""
    rates: dict[str, list[drawing.Point]] = {}
    gains: dict[str, list[drawing.Point]] = {}
    for arm in evidence.arms:
        network, batch, processes = _parallel(arm)
        many = "one process" if processes == 1 else "two"
        rates.setdefault(f"{network}, {many}", []).append(_point(arm, batch, "images_per_second"))
        if processes > 1:
            gains.setdefault(network, []).append(_point(arm, batch, "speedup"))
    return drawing.side_by_side(
        drawing.lines(rates, "Images in a batch", "Images per second", log=True, title="Training on this CPU"),
        drawing.lines(gains, "Images in a batch", "Two processes over one", log=True, title="What the second gains"),
    )


def describe_parallel(evidence: Evidence) -> list[str]:
    """The figures, and what was not measured."""
    lines = [
        "Two processes share each batch (DDP over gloo) with one thread each, on one machine; its cores may share a "
        "physical one, its memory and its clock. GPUs: **undecided**, until it is measured on them.",
        "",
        "| network | batch | images/s, one process | two | two over one |",
        "|---|--:|--:|--:|--:|",
    ]
    for arm in evidence.arms:
        network, batch, processes = _parallel(arm)
        if processes == 1:
            other = evidence.arm(arm.name.replace("trainer.devices=1", "trainer.devices=2"))
            one, two = (_median(each, "images_per_second") for each in (arm, other))
            lines.append(f"| {network} | {batch} | {one:,.0f} | {two:,.0f} | {_median(other, 'speedup'):.2f} |")
    return lines


def _parallel(arm: Arm) -> tuple[str, int, int]:
    """(network, batch, processes)."""
    values = [arm.value_of(key) for key in ("model", "data.batch_size", "trainer.devices")]
    return NAMES[values[0] or ""], int(values[1] or 0), int(values[2] or 0)


def _point(arm: Arm, x: float, of: str) -> drawing.Point:
    """The median and the interval that its order statistics have."""
    values = sorted(arm.values(of).values())
    k = order_statistic(len(values)) or 0
    return x, statistics.median(values), values[k], values[-1 - k]


PARALLEL = Claim(
    name="parallel",
    number=15,
    section="7",
    title="Easy to parallelise",
    sentence="Convolutions are easy to do in parallel: much is computed with few weights, and these are all that "
    "processes must exchange.",
    source="D2L 7, introduction",
    expected="Two processes that share LeNet's batches train on nearly twice as many images per second. The MLP "
    "gains less, since it has four times the gradients to exchange and less to compute between two exchanges.",
    refuted_by="A LeNet that gains less than half from a second process, or no more than the MLP.",
    observe=lambda: timing.time_processes(("model=mlp", "model=lenet_modern"), (32, 128, 512)),
    comparisons=(
        ratio(
            "two processes train LeNet half as fast again as one",
            "model=lenet_modern data.batch_size=128 trainer.devices=2",
            "model=lenet_modern data.batch_size=128 trainer.devices=1",
            1.5,
            "images_per_second",
        ),
        ratio(
            "LeNet gains more from the second one than the MLP",
            "model=lenet_modern data.batch_size=128 trainer.devices=2",
            "model=mlp data.batch_size=128 trainer.devices=2",
            1.0,
            "speedup",
        ),
    ),
    figure=draw_parallel,
    describe=describe_parallel,
)

COST = (OPERATIONS, PARALLEL)
