"""build.py and modules.py: each layer against its definition, written out with torch's own operations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close
from weighted import gradients

from fc2conv.architectures import ARCHITECTURES, ModelConfig, plan
from fc2conv.architectures.convnet import ConvNetConfig
from fc2conv.architectures.layers import MONOTONE, PadTo
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.architectures.lenet1 import PAIRS
from fc2conv.architectures.lenet5 import C3
from fc2conv.architectures.nin import NiNConfig
from fc2conv.architectures.trace import trace
from fc2conv.nets.build import build, xavier_
from fc2conv.nets.modules import (
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
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


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


@pytest.fixture(params=[2**24, 0], ids=["as a matrix", "block by block"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of computing a locally connected layer: that for small images, and for large ones."""
    monkeypatch.setattr(LocallyConnected, "LARGEST", request.param)


@pytest.mark.usefixtures("either_way")
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


@pytest.mark.usefixtures("either_way")
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
    plain = build(trace(ARCHITECTURES[config.family].layers(config, 10), shape)).double()
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


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("kind", [partial(LocallyConnected, half_width=1), SharedImage], ids=["local", "shared"])
def test_exported_for_any_number_of_images(kind: Callable[..., nn.Module]) -> None:
    """One, too: the example's number is in no part of the graph."""
    layer = kind((2, 6, 5), out_channels=3)
    batch = {0: torch.export.Dim("batch", min=1)}
    exported = torch.export.export(layer, (torch.randn(4, 2, 6, 5),), dynamic_shapes=(batch,)).module()
    for n in (1, 7):
        x = torch.randn(n, 2, 6, 5, generator=torch.Generator().manual_seed(n))
        assert_close(exported(x), layer(x))
