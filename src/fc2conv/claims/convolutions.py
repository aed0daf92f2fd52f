"""7.1.2 to 7.4: what the chapter derives, as identities between layers of this suite and torch's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fc2conv.claims.claim import Claim, Observation
from fc2conv.claims.evidence import Check, Evidence

if TYPE_CHECKING:
    from altair import TopLevelMixin
    from torch import Tensor, nn

EDGE = 8
"""Pixels on each side of the images on which layers are compared."""
CONFIGURATIONS = 300
"""Sizes, kernels, paddings and strides, drawn at random."""
STEPS = 10
"""Of gradient descent on the edge kernel, as in the book."""
TOLERANCE = 1e-5
"""Of two orders of float32 sums."""
NEAR = 0.05
"""How near to 1 and -1 so few steps must bring the two weights."""


def checks() -> list[Check]:
    """The chapter's identities, each computed both ways."""
    import torch

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        found = [*_reindexing(), *_as_matrix(), *_pointwise(), _output_sizes()]
    (one, minus_one), (first, second) = (weights[-1] for weights in (learned(False), learned(True)))
    return [
        *found,
        Check("the edge kernel as it is learned, its first weight", one, 1.0, NEAR),
        Check("and its second", minus_one, -1.0, NEAR),
        Check("by a true convolution the turned one is learned, its first weight", first, -1.0, NEAR),
        Check("and its second", second, 1.0, NEAR),
        *_laws(),
    ]


def _reindexing() -> list[Check]:
    """W[i,j,k,l] = V[i,j,k-i,l-j]: a dense layer's weights, put in the order of a local one whose windows reach over
    the whole image."""
    import torch

    from fc2conv.instruments.matrix import connections
    from fc2conv.nets.modules import DenseImage, LocallyConnected

    shape = (1, EDGE, EDGE)
    dense, local = DenseImage(shape, 1), LocallyConnected(shape, 1, EDGE - 1)
    order = connections(local, shape)
    local.weight.copy_(dense.weight[order.rows, order.columns])
    local.bias.copy_(dense.bias.view_as(local.bias))
    each = torch.bincount(order.rows * order.shape[1] + order.columns, minlength=dense.weight.numel())
    images = torch.randn(16, *shape)
    return [
        Check("weights of V for each weight of W, at least", float(each.min()), 1),
        Check("and at most", float(each.max()), 1),
        Check("H by W and by V, largest difference", _apart(dense(images), local(images)), 0, TOLERANCE),
    ]


def _as_matrix() -> list[Check]:
    """LeNet's first convolution, written out as a dense layer."""
    import torch
    from torch import nn

    from fc2conv.instruments.matrix import bias_of, connections

    conv, images = nn.Conv2d(1, 6, 5, padding=2), torch.randn(16, 1, 28, 28)
    found = connections(conv, (1, 28, 28))
    flat = images.flatten(1) @ found.matrix(conv.weight).T + bias_of(conv, found.out_shape)
    by_conv = conv(images).flatten(1)
    # a row of pixels meets 28 x 5 pairs of rows, without the 2 (1 + 2) that lie outside
    inside = 6 * (28 * 5 - 6) ** 2
    return [
        Check("entries of LeNet's first matrix (4,704 x 784) that may differ from zero", found.nonzeros, inside),
        Check("weights that they share", found.distinct, 6 * 25),
        Check("its output and the convolution's, largest difference", _apart(flat, by_conv), 0, TOLERANCE),
    ]


def _pointwise() -> list[Check]:
    """A window of one pixel: the ladder's convolution, a 1x1 convolution, and an MLP that goes from pixel to
    pixel."""
    import torch
    from torch import nn

    from fc2conv.architectures import layers_of
    from fc2conv.architectures.ladder import LadderConfig
    from fc2conv.architectures.trace import trace
    from fc2conv.nets.build import build

    bands, hidden, classes = 3, 16, 10
    rung = build(trace(layers_of(LadderConfig(half_width=0, channels=hidden), classes), (bands, EDGE, EDGE)))
    ladder, first, second = rung[0], nn.Conv2d(bands, hidden, 1), nn.Conv2d(hidden, classes, 1)
    assert isinstance(ladder, nn.Conv2d)
    below, above = nn.Linear(bands, hidden), nn.Linear(hidden, classes)
    for conv, linear in ((ladder, below), (first, below), (second, above)):
        conv.weight.copy_(linear.weight.view_as(conv.weight))
        assert conv.bias is not None
        conv.bias.copy_(linear.bias)
    images = torch.randn(16, bands, EDGE, EDGE)
    by_pixel = above(below(images.movedim(1, -1)).relu()).movedim(-1, 1)
    return [
        Check("half_width 0 and a 1x1 convolution, largest difference", _apart(ladder(images), first(images)), 0),
        Check(
            "two 1x1 convolutions and an MLP at each pixel, largest difference",
            _apart(second(first(images).relu()), by_pixel),
            0,
            TOLERANCE,
        ),
    ]


def _output_sizes() -> Check:
    """floor((n - k + p + s) / s) on each axis, against torch, where the window fits."""
    import torch
    from torch import nn

    wrong = done = 0
    while done < CONFIGURATIONS:
        n, m, *window = (int(torch.randint(low, high, ())) for low, high in RANGES)
        kernel, padding, stride = (window[0], window[1]), (window[2], window[3]), (window[4], window[5])
        if n + 2 * padding[0] < kernel[0] or m + 2 * padding[1] < kernel[1]:
            continue
        done += 1
        by_formula = [
            (size - k + 2 * p + s) // s for size, k, p, s in zip((n, m), kernel, padding, stride, strict=True)
        ]
        by_torch = nn.Conv2d(1, 1, kernel, stride, padding)(torch.zeros(1, 1, n, m)).shape[2:]
        wrong += by_formula != list(by_torch)
    return Check(f"output sizes, of {CONFIGURATIONS} configurations, that torch has otherwise", wrong, 0)


RANGES = ((1, 40), (1, 40), (1, 12), (1, 12), (0, 6), (0, 6), (1, 6), (1, 6))
"""From and below: height and width, then both sides of the kernel, of the padding at each edge, of the stride."""


def learned(true_convolution: bool) -> list[tuple[float, float]]:
    """Both weights of a 1x2 kernel before the first and after each step of gradient descent on the book's edges."""
    import torch
    from torch import nn

    from fc2conv.instruments.correlation import TrueConv2d, learn_kernel

    image = torch.ones(1, 1, 6, 8)
    image[..., 2:6] = 0
    edges: Tensor = image[..., :-1] - image[..., 1:]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = (TrueConv2d if true_convolution else nn.Conv2d)(1, 1, (1, 2), bias=False)
    weights = [_both(layer)]
    for _ in range(STEPS):
        learn_kernel(layer, image, edges, steps=1)
        weights.append(_both(layer))
    return weights


def _both(layer: nn.Conv2d) -> tuple[float, float]:
    first, second = layer.weight.detach().flatten().tolist()
    return first, second


def _laws() -> list[Check]:
    import torch

    from fc2conv.instruments.correlation import laws

    generator = torch.Generator().manual_seed(0)
    found = laws(*(torch.randn(size, generator=generator) for size in ((EDGE, EDGE), (3, 3), (2, 4))))
    return [
        Check(
            "K * X and X * K by true convolution, largest difference", found["commutative_convolution"], 0, TOLERANCE
        ),
        Check("L * (K * X) and (L * K) * X, largest difference", found["associative_convolution"], 0, TOLERANCE),
    ]


def _apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())


def observe() -> list[Observation]:
    """How the edge kernel is learned: its two weights after each step."""
    return [
        Observation(f"layer={layer}", step, {"first": first, "second": second})
        for layer, turned in (("cross-correlation", False), ("convolution", True))
        for step, (first, second) in enumerate(learned(turned))
    ]


def figure(evidence: Evidence) -> TopLevelMixin:
    """Both weights against the steps, by each layer."""
    from fc2conv.claims.drawing import lines

    series = {
        f"{arm.name.removeprefix('layer=')}, {which} weight": [
            (float(step), value, value, value) for step, value in arm.values(which).items()
        ]
        for arm in evidence.select()
        for which in ("first", "second")
    }
    return lines(
        series,
        "Step of gradient descent",
        "Weight",
        title="What is called a convolution learns [1, -1], a true one [-1, 1]",
    )


def describe(evidence: Evidence) -> list[str]:
    """What is beside the identities."""
    return [
        f"The edge kernel is learned from one image of 6x8 pixels in {STEPS} steps, as the book does it. Which of the "
        "two operations a layer computes only decides in which order the weights are stored.",
    ]


EXACT = Claim(
    name="exact",
    number=18,
    section="7.1.3",
    title="Identities on the way to a convolution",
    sentence="A fully connected layer on images is, re-indexed, a weighted sum around each pixel; with the same "
    "weights at all pixels, and none far away, it is a convolution. A window of one pixel is an MLP at each one.",
    source="D2L 7.1.2, 7.1.3, 7.2.4, 7.2.5, 7.3 and 7.4.3",
    expected="All of it holds: up to rounding where sums are taken in another order, else to the bit.",
    refuted_by="A difference beyond rounding, an output size that the formula has otherwise, or a kernel that is not "
    "learned.",
    equation=r"[\mathbf{H}]_{i,j} = [\mathbf{U}]_{i,j} + \sum_a \sum_b [\mathsf{V}]_{i,j,a,b} [\mathbf{X}]_{i+a,j+b}",
    checks=checks,
    observe=observe,
    figure=figure,
    describe=describe,
)

CONVOLUTIONS = (EXACT,)
