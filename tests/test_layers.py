"""layers.py and fast.py: each layer against its definition, written out with torch's own operations."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from fc2conv.config import ConvNetConfig, LeNetConfig, ModelConfig, NiNConfig
from fc2conv.geometry import MONOTONE, PadTo, trace
from fc2conv.models import ARCHITECTURES, plan
from fc2conv.models.fast import BatchNorm2d, Conv2d, Sequential
from fc2conv.models.layers import (
    RBF,
    Coordinates,
    DenseImage,
    LocallyConnected,
    MaxBlurPool,
    Residual,
    ScaledTanh,
    SharedImage,
    Subsample,
    TableConv,
    build,
    xavier_,
)
from fc2conv.models.lenet import C3, PAIRS

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def gradients(out: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Of a sum with weights that differ from output to output, so that no two gradients can be swapped unseen."""
    return torch.autograd.grad((out * torch.linspace(-1, 2, out.numel()).view(out.shape).to(out)).sum(), inputs)


# --- the ladder: dense, local, shared, conv

WINDOWS = [(1, 1, 4, 4, 1), (2, 3, 4, 3, 1), (3, 2, 3, 5, 2), (1, 2, 3, 4, 9), (2, 1, 4, 4, 0)]


def connections(c_in: int, c_out: int, h: int, w: int, d: int) -> Iterator[tuple[int, int, int, int, int, int]]:
    """(o, i, j, c, k, m) of each weight of a locally connected layer, in the order it documents: offset by offset."""
    for a in range(-d, d + 1):
        for b in range(-d, d + 1):
            for o in range(c_out):
                for c in range(c_in):
                    for i in range(h):
                        for j in range(w):
                            if 0 <= i + a < h and 0 <= j + b < w:
                                yield o, i, j, c, i + a, j + b


def dense_weight(layer: LocallyConnected, c_in: int, c_out: int, h: int, w: int, d: int) -> Tensor:
    """The masked fully connected layer, (c_out, h, w, c_in, h, w), with the weights of `layer`."""
    where = torch.tensor(list(connections(c_in, c_out, h, w, d))).T
    return torch.zeros(c_out, h, w, c_in, h, w).double().index_put(tuple(where), layer.weight)


@pytest.mark.parametrize(("c_in", "c_out", "h", "w", "d"), WINDOWS)
def test_local_is_the_books_sum(c_in: int, c_out: int, h: int, w: int, d: int) -> None:
    """Equation 7.1.3 loop by loop, and the gradients of all three arguments."""
    layer = LocallyConnected((c_in, h, w), c_out, d).double()
    x = torch.randn(2, c_in, h, w, dtype=torch.float64, requires_grad=True)
    dense, rows = dense_weight(layer, c_in, c_out, h, w, d), []
    for o in range(c_out):
        for i in range(h):
            for j in range(w):
                total = layer.bias[o, i, j].expand(2)
                for c in range(c_in):
                    for k in range(max(i - d, 0), min(i + d + 1, h)):
                        for m in range(max(j - d, 0), min(j + d + 1, w)):
                            total = total + dense[o, i, j, c, k, m] * x[:, c, k, m]
                rows.append(total)
    want = torch.stack(rows, 1).view(2, c_out, h, w)
    got = layer(x)
    assert_close(got, want)
    assert_close(gradients(got, x, layer.weight, layer.bias), gradients(want, x, layer.weight, layer.bias))


@pytest.mark.parametrize(("c_in", "c_out", "h", "w", "d"), WINDOWS)
def test_local_is_a_masked_dense_layer(c_in: int, c_out: int, h: int, w: int, d: int) -> None:
    """Whatever the order it stores its weights in: as a matrix it has each of them once, and nothing else."""
    layer = LocallyConnected((c_in, h, w), c_out, d).double()
    matrix = torch.autograd.functional.jacobian(lambda x: layer(x[None])[0], torch.zeros(c_in, h, w).double())
    row, column = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    near = ((row[:, :, None, None] - row).abs() <= d) & ((column[:, :, None, None] - column).abs() <= d)
    inside = near[None, :, :, None].expand(c_out, h, w, c_in, h, w)
    assert (matrix[~inside] == 0).all()
    assert_close(matrix[inside].sort().values, layer.weight.detach().sort().values)


@pytest.mark.parametrize("d", [4, 7])
def test_local_that_reaches_everywhere_is_the_dense_layer(d: int) -> None:
    shape = (2, 5, 4)
    local, dense = LocallyConnected(shape, 3, d).double(), DenseImage(shape, 3).double()
    assert sum(p.numel() for p in local.parameters()) == sum(p.numel() for p in dense.parameters()) == 40 * 60 + 60
    where = torch.tensor(list(connections(2, 3, 5, 4, d))).T
    with torch.no_grad():
        local.weight.copy_(dense.weight.view(3, 5, 4, 2, 5, 4)[tuple(where)])
        local.bias.copy_(dense.bias.view(3, 5, 4))
    x = torch.randn(2, *shape, dtype=torch.float64)
    assert_close(local(x), dense(x))


def test_dense_image_is_linear_on_the_pixels() -> None:
    layer, x = DenseImage((2, 3, 4), 5), torch.randn(7, 2, 3, 4)
    assert_close(layer(x).flatten(1), x.flatten(1) @ layer.weight.T + layer.bias)
    # an image whose memory lies channel behind channel is the same image
    assert_close(layer(x.to(memory_format=torch.channels_last)), layer(x))


@pytest.mark.parametrize(("c_in", "c_out", "h", "w"), [(1, 1, 4, 4), (2, 3, 4, 3), (3, 2, 3, 5), (2, 2, 1, 1)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_shared_is_a_convolution_over_the_whole_image(
    c_in: int, c_out: int, h: int, w: int, layout: torch.memory_format
) -> None:
    layer = SharedImage((c_in, h, w), c_out).double()
    x = torch.randn(2, c_in, h, w, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    arguments = (x, layer.weight, layer.bias)
    got, want = layer(x), F.conv2d(*arguments, padding=(h - 1, w - 1))
    assert_close(got, want)
    assert_close(gradients(got, *arguments), gradients(want, *arguments))


@pytest.mark.parametrize(("c_in", "c_out", "d"), [(1, 1, 1), (2, 3, 2)])
def test_conv_is_local_with_shared_weights(c_in: int, c_out: int, d: int) -> None:
    h, w = 5, 6
    conv, local = nn.Conv2d(c_in, c_out, 2 * d + 1, padding=d), LocallyConnected((c_in, h, w), c_out, d)
    with torch.no_grad():
        shared = [conv.weight[o, c, k - i + d, m - j + d] for o, i, j, c, k, m in connections(c_in, c_out, h, w, d)]
        local.weight.copy_(torch.stack(shared))
        local.bias.copy_(conv.bias[:, None, None].expand_as(local.bias))  # type: ignore[index]
    x = torch.randn(3, c_in, h, w)
    assert_close(local(x), conv(x))


# --- LeNet-1 and -5


def test_connection_tables_are_the_published_ones() -> None:
    """Table I of the 1998 paper; the 1990 paper's 12 maps take 20 of the 48 possible inputs."""
    rows = "012 123 234 345 045 015 0123 1234 2345 0345 0145 0125 0134 1245 0235 012345"
    assert ["".join(map(str, maps)) for maps in C3] == rows.split()
    assert sum(map(len, PAIRS)) == 20
    assert len(PAIRS) == 12


@pytest.mark.parametrize(("table", "channels"), [(C3, 6), (PAIRS, 4), (((1,), (0, 2)), 3)])
@pytest.mark.parametrize("options", [{}, {"stride": 2, "padding": (1, 1)}, {"dilation": 2, "bias": False}])
def test_table_conv_is_a_masked_convolution(table: Any, channels: int, options: dict[str, Any]) -> None:
    layer = TableConv(channels, table, (3, 3), **options).double()
    full = torch.randn(len(table), channels, 3, 3, dtype=torch.float64)
    mask = torch.zeros(len(table), channels, 1, 1).double()
    for o, maps in enumerate(table):
        mask[o, list(maps)] = 1
    with torch.no_grad():
        layer.weight.copy_(torch.stack([full[o, i] for o, maps in enumerate(table) for i in maps]))
    full.requires_grad_()
    x = torch.randn(2, channels, 9, 8, dtype=torch.float64, requires_grad=True)
    got, want = layer(x), F.conv2d(x, full * mask, layer.bias, **{k: v for k, v in options.items() if k != "bias"})
    assert_close(got, want)
    dx, dw = gradients(got, x, layer.weight)
    want_dx, want_dw = gradients(want, x, full)
    assert_close(dx, want_dx)
    assert_close(dw, torch.stack([want_dw[o, i] for o, maps in enumerate(table) for i in maps]))


def test_table_conv_starts_as_a_convolution_of_its_own_inputs_would() -> None:
    """torch's default: uniform up to 1 / sqrt(fan in), the fan in being the map's own connections."""
    layer = TableConv(6, C3, (5, 5))
    for o, maps in enumerate(C3):
        largest = layer.weight[layer.where[0] == o].abs().max().item()
        bound = (25 * len(maps)) ** -0.5
        assert 0.9 * bound < largest <= bound


@pytest.mark.parametrize(
    ("layer", "fan_in", "fan_out"),
    [
        (DenseImage((2, 9, 9), 3), 2 * 81, 3 * 81),
        (SharedImage((2, 9, 9), 3), 2 * 81, 3 * 81),  # as the dense layer whose weights it ties
        (LocallyConnected((2, 30, 30), 3, 2), 2 * 25, 3 * 25),
        (nn.Conv2d(2, 3, 5), 2 * 25, 3 * 25),
        (TableConv(6, C3, (5, 5)), 25 * 60 / 16, 25 * 10),  # 60 connections among 16 maps; each of 6 inputs feeds 10
    ],
)
def test_xavier_counts_the_connections_of_a_unit(layer: Any, fan_in: float, fan_out: float) -> None:
    """Glorot & Bengio 2010, equation 16."""
    bias = layer.bias.clone()
    xavier_(nn.Sequential(layer))
    bound = math.sqrt(6 / (fan_in + fan_out))
    assert 0.98 * bound < layer.weight.abs().max().item() <= bound
    assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
    assert_close(layer.bias, bias)


def test_subsample_adds_four_scales_and_shifts() -> None:
    layer = Subsample(2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([3.0, -1.0]).view(2, 1, 1))
        layer.bias.copy_(torch.tensor([0.5, 100.0]).view(2, 1, 1))
    x = torch.tensor([[[1.0, 2, 3, 4], [5, 6, 7, 8]], [[1, 1, 0, 0], [1, 1, 0, -1]]])[None]
    assert_close(layer(x), torch.tensor([[[[42.5, 66.5]], [[96.0, 101.0]]]]))  # 3 (14, 22) + 0.5; -(4, -1) + 100


def test_scaled_tanh() -> None:
    """f(1) = 1, f(-1) = -1 to the paper's digits; slope 1.7159 2/3 at 0, amplitude 1.7159."""
    x = torch.tensor([-1.0, 0, 1, 50], dtype=torch.float64, requires_grad=True)
    out = ScaledTanh()(x)
    assert_close(out, torch.tensor([-1, 0, 1, 1.7159], dtype=torch.float64), atol=1e-5, rtol=0)
    (slope,) = torch.autograd.grad(out.sum(), x)
    assert slope[1].item() == pytest.approx(1.7159 * 2 / 3)


def test_the_field_repeats_the_border_around_the_image() -> None:
    """Of an odd number of rows or columns, the larger half below and to the right."""
    net = build(trace([PadTo("field", 5)], (1, 2, 3)))
    want = [[1, 1, 2, 3, 3], [1, 1, 2, 3, 3], [4, 4, 5, 6, 6], [4, 4, 5, 6, 6], [4, 4, 5, 6, 6]]
    assert net(torch.tensor([[[[1.0, 2, 3], [4, 5, 6]]]]))[0, 0].tolist() == want


@pytest.mark.parametrize("trained", [False, True])
def test_rbf_is_minus_the_squared_distance_to_bitmaps(trained: bool) -> None:
    layer = RBF(84, 10, trained)
    assert layer.codes.requires_grad == trained
    assert layer.codes.shape == (10, 84)
    assert ((layer.codes == 1) | (layer.codes == -1)).all()
    assert layer.codes.unique(dim=0).shape == (10, 84)
    x = torch.randn(3, 84)
    assert_close(layer(x), -torch.cdist(x, layer.codes).square(), atol=1e-3, rtol=1e-5)
    assert_close(layer(layer.codes).argmax(1), torch.arange(10))
    assert_close(layer(layer.codes).diagonal(), torch.zeros(10))


def test_the_bitmap_of_a_one_is_an_upright_stroke() -> None:
    """7 wide and 12 high, drawn the right way up: a stroke down the middle that stands on a broad foot."""
    one = RBF(84, 10, False).codes[1].view(12, 7)
    assert (one[:, 3:5] == 1).all()
    assert (one[11] == 1).sum() > (one[0] == 1).sum()


def test_rbf_of_other_sizes_has_codes_of_its_own_that_stay() -> None:
    state = torch.get_rng_state()
    a, b = RBF(84, 47, False), RBF(84, 47, False)
    assert_close(a.codes, b.codes)
    assert a.codes.unique(dim=0).shape == (47, 84)
    assert torch.equal(torch.get_rng_state(), state)


# --- variants of LeNet


@pytest.mark.parametrize("edge", [4, 7, 28])
def test_max_blur_pool_is_a_maximum_and_a_binomial_filter(edge: int) -> None:
    x = torch.randn(2, 3, edge, edge + 1, dtype=torch.float64, requires_grad=True)
    layer = MaxBlurPool(3, 2, 2).double()
    high = F.max_pool2d(x, 2, stride=1)
    around = F.pad(high, (1, 1, 1, 1), mode="replicate")
    want = sum(
        p * q / 16 * around[:, :, i : i + high.shape[2] : 2, j : j + high.shape[3] : 2]
        for i, p in enumerate((1, 2, 1))
        for j, q in enumerate((1, 2, 1))
    )
    assert isinstance(want, Tensor)
    assert_close(layer(x), want)
    assert_close(gradients(layer(x), x), gradients(want, x))
    assert layer(x).shape == F.max_pool2d(x, 2).shape
    assert not list(layer.parameters())
    assert not layer.state_dict()


def test_coordinates() -> None:
    x = torch.randn(2, 3, 2, 5)
    out = Coordinates()(x)
    assert_close(out[:, :3], x)
    for image in out:
        assert_close(image[3], torch.tensor([[-1.0, -0.5, 0, 0.5, 1]] * 2))
        assert_close(image[4], torch.tensor([[-1.0] * 5, [1.0] * 5]))


@pytest.mark.parametrize(("channels", "stride", "edge"), [(4, 1, 6), (8, 2, 6), (8, 2, 7), (6, 1, 5)])
def test_residual_subsamples_and_fills_up_with_zeros(channels: int, stride: int, edge: int) -> None:
    """Option A of He et al. 2016: no parameters on the shortcut."""
    body = nn.Conv2d(4, channels, 3, stride, padding=1)
    x = torch.randn(2, 4, edge, edge)
    want = body(x).clone()
    want[:, :4] += x[:, :, ::stride, ::stride]
    layer = Residual(body, (4, edge, edge), tuple(want.shape[1:]))
    assert_close(layer(x), want)
    assert len(list(layer.parameters())) == 2


def test_five_row_average_pool_drops_the_last() -> None:
    """As torch and the book have it: an odd edge loses its last row and column."""
    net = build(plan(LeNetConfig(channels=(1,), padding=2, activation="identity"), (1, 5, 5), 10))
    x = torch.arange(25.0).view(1, 1, 5, 5)
    assert_close(net.get_submodule("pool1")(x), torch.tensor([[[[3.0, 5], [13, 15]]]]))


# --- faster, and the same


@pytest.mark.parametrize("channels", [1, 3, 6, 7, 8, 16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("offset", "scale", "tolerance"), [(0.0, 1.0, 1e-5), (100.0, 0.1, 3e-3)])
def test_batch_norm_is_torchs(
    channels: int, layout: torch.memory_format, offset: float, scale: float, tolerance: float
) -> None:
    """Two steps of training and one of evaluation, against torch in double precision."""
    ours, theirs = BatchNorm2d(channels), nn.BatchNorm2d(channels).double()
    with torch.no_grad():
        theirs.weight.copy_(ours.weight.normal_())
        theirs.bias.copy_(ours.bias.normal_())
    for training in (True, True, False):
        ours.train(training)
        theirs.train(training)
        x = (torch.randn(5, channels, 4, 3) * scale + offset).to(memory_format=layout).requires_grad_()
        exact = x.detach().double().requires_grad_()
        got, want = ours(x), theirs(exact)
        # the test is of our own arithmetic, where it is meant to be used
        assert (type(got.grad_fn).__name__ == "_NormRowsBackward") == (training and channels < 8)
        ours_all = (got, *gradients(got, x, ours.weight, ours.bias))
        for a, b in zip(ours_all, (want, *gradients(want, exact, theirs.weight, theirs.bias)), strict=True):
            assert_close(a.double(), b, atol=tolerance * b.abs().max().item(), rtol=0)
        assert ours.state_dict().keys() == theirs.state_dict().keys()
        for name, value in theirs.state_dict().items():
            assert_close(ours.state_dict()[name].to(value.dtype), value, atol=1e-5, rtol=1e-5)
    assert int(ours.num_batches_tracked) == 2  # type: ignore[arg-type]


def test_batch_norms_state_is_torchs() -> None:
    ours, theirs = BatchNorm2d(6), nn.BatchNorm2d(6)
    theirs(torch.randn(4, 6, 3, 3))
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(4, 6, 3, 3)
    assert_close(ours.eval()(x), theirs.eval()(x))


@pytest.mark.parametrize(
    ("channels", "options", "ours_used"),
    [
        (6, {}, True),
        (6, {"bias": False}, True),
        (7, {"padding_mode": "reflect"}, True),
        (8, {}, False),
        (6, {"padding": 1}, False),
        (6, {"padding": "same"}, False),
        (6, {"stride": 2}, False),
        (6, {"dilation": 2}, False),
        (6, {"groups": 2}, False),
    ],
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_convolution_is_torchs(
    channels: int, options: dict[str, Any], ours_used: bool, layout: torch.memory_format
) -> None:
    ours = Conv2d(channels, 10, (3, 5), **options).to(memory_format=layout)
    theirs = nn.Conv2d(channels, 10, (3, 5), **options).double()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(5, channels, 9, 11).to(memory_format=layout)
    out = compare(ours, theirs, x)
    assert (type(out.grad_fn).__name__ == "_PlanesConvBackward") == ours_used
    assert type(compare(ours, theirs, x, leaf=False).grad_fn).__name__ != "_PlanesConvBackward"


def stages(channels: int, pool: nn.Module, conv: nn.Module | None = None) -> tuple[Sequential, nn.Sequential]:
    """A norm and a pooling (after a convolution) as ours in single and as torch's in double precision."""
    front = [] if conv is None else [conv]
    ours, theirs = (
        Sequential(*front, BatchNorm2d(channels), pool),
        nn.Sequential(*front, nn.BatchNorm2d(channels), pool),
    )
    with torch.no_grad():
        ours[-2].weight.uniform_(0.5, 1.5)
        ours[-2].bias.normal_()
    theirs = copy.deepcopy(theirs).double()
    theirs.load_state_dict(ours.state_dict())
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    return ours, theirs


def compare(ours: nn.Module, theirs: nn.Module, x: Tensor, leaf: bool = True, exact: float = 2e-5) -> Tensor:
    """Output, gradients and the state after it; returns our output."""
    x, double = x.detach().requires_grad_(leaf), x.detach().double().requires_grad_(leaf)
    got, want = ours(x), theirs(double)
    leaves = [[t, *net.parameters()] if leaf else list(net.parameters()) for net, t in ((ours, x), (theirs, double))]
    for a, b in zip((got, *gradients(got, *leaves[0])), (want, *gradients(want, *leaves[1])), strict=True):
        assert_close(a.double(), b, atol=exact * max(b.abs().max().item(), 1.0), rtol=0)
    for name, value in theirs.state_dict().items():
        assert_close(ours.state_dict()[name].to(value.dtype), value, atol=1e-5, rtol=1e-5)
    assert isinstance(got, Tensor)
    return got


def is_joined(out: Tensor) -> bool:
    return type(out.grad_fn).__name__ == "_NormPoolBackward"


@pytest.mark.parametrize("channels", [1, 3, 6, 7, 8, 16])
@pytest.mark.parametrize("size", [(5, 4, 6), (1, 4, 4), (3, 7, 5), (2, 2, 3), (2, 3, 2)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_norm_and_pooling_are_torchs(channels: int, size: tuple[int, int, int], layout: torch.memory_format) -> None:
    ours, theirs = stages(channels, nn.MaxPool2d(2, 2))
    b, h, w = size
    for training in (True, True, False):
        ours.train(training)
        theirs.train(training)
        x = torch.randn(b, channels, h, w).to(memory_format=layout)
        assert is_joined(compare(ours, theirs, x)) == (training and channels < 8)
    assert int(ours[0].num_batches_tracked) == 2


def test_the_first_of_equal_pixels_gets_the_gradient() -> None:
    """All 81 windows of three levels, among them each way that two, three or four can be equal."""
    levels = torch.cartesian_prod(*[torch.arange(3.0)] * 4).view(1, 81, 2, 2)
    x = levels.permute(0, 2, 1, 3).reshape(1, 1, 2, 162).repeat(2, 3, 2, 1)
    ours, theirs = stages(3, nn.MaxPool2d(2, 2))
    for layout in (torch.contiguous_format, torch.channels_last):
        assert is_joined(compare(ours, theirs, x.to(memory_format=layout)))


@pytest.mark.parametrize("kernel_size", [None, 4, 5])
@pytest.mark.parametrize("weight", [0.5, -0.5])
@pytest.mark.parametrize("evaluating", [True, False])
def test_norm_and_pooling_of_a_trained_network_are_torchs(
    kernel_size: int | None, weight: float, evaluating: bool
) -> None:
    """By the running statistics; as one operation where no gradient is wanted and all weights are positive."""
    conv = None if kernel_size is None else Conv2d(1, 6, kernel_size, padding=2, bias=False)
    pooled: list[nn.Module] = []
    ours, theirs = stages(6, nn.MaxPool2d(2, 2), conv)
    ours[-1].register_forward_hook(lambda module, *_: pooled.append(module))
    x = torch.randn(4, 6 if conv is None else 1, 12, 8)
    for net in (ours, theirs):
        norm = net[-2]
        norm.running_mean.copy_(torch.linspace(-1, 1, 6))  # type: ignore[operator, union-attr]
        norm.running_var.copy_(torch.linspace(0.5, 2, 6))  # type: ignore[operator, union-attr]
        nn.init.constant_(norm.weight[3:4], weight)  # type: ignore[index]
        net.train(not evaluating)
    with torch.no_grad():
        assert_close(ours(x).double(), theirs(x.double()), atol=2e-5, rtol=0)
    assert (not pooled) == (weight > 0)


@pytest.mark.parametrize("weight", [-1.0, 0.0, 1e-20])
def test_pooling_first_only_where_all_weights_are_positive(weight: float) -> None:
    ours, theirs = stages(6, nn.MaxPool2d(2, 2))
    for net in (ours, theirs):
        nn.init.constant_(net[0].weight[2:3], weight)
    x = torch.randn(4, 6, 6, 6)
    if weight > 0:  # torch's output is the bias in single precision, whatever the pixel: only the largest is right
        out = ours(x)
        assert is_joined(out)
        assert_close(out.double(), theirs(x.double()))
    else:
        assert not is_joined(compare(ours, theirs, x))


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_norm_and_pooling_far_from_zero(offset: float) -> None:
    ours, theirs = stages(6, nn.MaxPool2d(2, 2))
    x = torch.randn(8, 6, 6, 8) * 0.1 + offset
    assert is_joined(compare(ours, theirs, x, exact=3e-3 if offset else 2e-5))


@pytest.mark.parametrize(
    "pool",
    [
        nn.MaxPool2d(3, 2),
        nn.MaxPool2d(2, 1),
        nn.MaxPool2d(2, 2, padding=1),
        nn.AvgPool2d(2),
        nn.MaxPool2d(2, 2, ceil_mode=True),
    ],
)
def test_other_poolings_stay_torchs(pool: nn.Module) -> None:
    ours, theirs = stages(6, pool)
    assert not is_joined(compare(ours, theirs, torch.randn(3, 6, 7, 6)))


def test_norm_and_pooling_in_double_precision_are_torchs_own() -> None:
    ours, theirs = stages(6, nn.MaxPool2d(2, 2))
    assert not is_joined(compare(ours.double(), theirs, torch.randn(3, 6, 4, 4).double(), exact=1e-12))


@pytest.mark.parametrize(
    ("options", "split"),
    [
        ({"kernel_size": 5, "padding": 2}, True),
        ({"kernel_size": (3, 5), "padding": (0, 1)}, True),
        ({"kernel_size": 4, "padding": 2}, False),  # an odd number of rows
        ({"kernel_size": 5, "padding": "same"}, False),
        ({"kernel_size": 5, "padding": 2, "padding_mode": "reflect"}, False),
        ({"kernel_size": 3, "padding": 1, "stride": 2}, False),
        ({"kernel_size": 3, "padding": 2, "dilation": 2}, False),
    ],
)
@pytest.mark.parametrize("leaf", [False, True])
def test_convolution_norm_and_pooling_are_torchs(options: dict[str, Any], split: bool, leaf: bool) -> None:
    conv = Conv2d(1, 6, bias=False, **options)
    ours, theirs = stages(6, nn.MaxPool2d(2, 2), conv)
    called: list[nn.Module] = []
    ours[0].register_forward_hook(lambda module, *_: called.append(module))
    x = torch.randn(4, 1, 12, 8)
    x[:, :, :8] = 0.5  # a background, where the pixels of a window are equal
    out = compare(ours, theirs, x, leaf)
    assert is_joined(out)
    assert (not called) == (split and not leaf)


def test_the_first_of_equal_pixels_gets_the_gradient_after_a_convolution_too() -> None:
    """Pixels are equal where the kernel is its centre alone, but what the rest of it would have seen is not."""
    conv = Conv2d(1, 6, 5, padding=2, bias=False)
    with torch.no_grad():
        conv.weight[:, :, [0, 1, 3, 4]] = 0
        conv.weight[:, :, :, [0, 1, 3, 4]] = 0
    ours, theirs = stages(6, nn.MaxPool2d(2), conv)
    levels = torch.cartesian_prod(*[torch.arange(3.0)] * 4).view(9, 9, 2, 2)
    assert is_joined(compare(ours, theirs, levels.permute(0, 2, 1, 3).reshape(1, 1, 18, 18), leaf=False))


def test_a_network_that_was_evaluated_first_can_be_trained() -> None:
    """What evaluation leaves behind is no tensor of the inference mode, of which there is no gradient."""
    ours, theirs = stages(6, nn.MaxPool2d(2), Conv2d(1, 6, (5, 9), padding=(2, 4), bias=False))  # no other has such
    x = torch.randn(4, 1, 6, 8)
    ours.eval()
    with torch.inference_mode():
        ours(x)
    ours.train()
    assert is_joined(compare(ours, theirs, x, leaf=False))


def test_the_default_precision_of_the_process_does_not_matter() -> None:
    ours, theirs = stages(6, nn.MaxPool2d(2), Conv2d(1, 6, (9, 5), padding=(4, 2), bias=False))  # no other has such
    x = torch.randn(4, 1, 6, 8)
    torch.set_default_dtype(torch.float64)
    try:
        assert is_joined(compare(ours, theirs, x, leaf=False))
    finally:
        torch.set_default_dtype(torch.float32)


def test_there_is_no_second_derivative() -> None:
    """Rather an error than a wrong one."""
    for net in (BatchNorm2d(6), stages(6, nn.MaxPool2d(2, 2))[0]):
        x = torch.randn(3, 6, 4, 4, requires_grad=True)
        (dx,) = torch.autograd.grad(net(x).square().sum(), x, create_graph=True)
        with pytest.raises(RuntimeError, match="once_differentiable"):
            dx.sum().backward()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    "config",
    [
        *(LeNetConfig(activation=a, pool="max", norm="batch") for a in sorted(MONOTONE)),
        *(LeNetConfig(activation=a, pool="max") for a in ("gelu", "silu")),
        NiNConfig(channels=(4, 8)),
        ConvNetConfig(channels=(4, 4, 8), pool_after=(1, 3)),
    ],
    ids=lambda config: f"{config.family} {getattr(config, 'activation', 'relu')}",
)
def test_pooling_first_is_the_same_function(config: ModelConfig) -> None:
    shape = (1, 28, 28)
    fast = build(plan(config, shape, 10)).double()
    plain = build(trace(ARCHITECTURES[config.family](config, 10), shape)).double()
    swapped = getattr(config, "activation", "relu") in MONOTONE
    assert ([name for name, _ in fast.named_children()] != [name for name, _ in plain.named_children()]) == swapped
    plain.load_state_dict(fast.state_dict())
    x = torch.randn(3, *shape, dtype=torch.float64, requires_grad=True)
    got, want = fast(x), plain(x)
    assert_close(got, want)
    names = [name for name, _ in fast.named_parameters()]
    ours, theirs = dict(fast.named_parameters()), dict(plain.named_parameters())
    assert_close(
        gradients(got, x, *(ours[name] for name in names)), gradients(want, x, *(theirs[name] for name in names))
    )
