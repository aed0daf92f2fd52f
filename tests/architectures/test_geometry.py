"""trace.py, layers.py, each architecture: counts against literals and formulas, shapes and MACs against torch's own."""

from __future__ import annotations

from dataclasses import is_dataclass, replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fc2conv.architectures import ARCHITECTURES, ModelConfig, plan
from fc2conv.architectures.convnet import ConvNetConfig
from fc2conv.architectures.ladder import LadderConfig
from fc2conv.architectures.layers import (
    MONOTONE,
    ActivationLayer,
    Conv,
    DenseImage,
    Flatten,
    Linear,
    Local,
    NormLayer,
    PoolLayer,
    Residual,
    SharedImage,
    Subsample,
    pool_first,
)
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.architectures.lenet1 import LeNet1Config
from fc2conv.architectures.lenet5 import LeNet5Config
from fc2conv.architectures.mlp import MLPConfig
from fc2conv.architectures.nin import NiNConfig
from fc2conv.architectures.registry import Architecture
from fc2conv.architectures.resnet import ResNetConfig
from fc2conv.architectures.softmax import SoftmaxConfig
from fc2conv.architectures.trace import Layer, Row, trace
from fc2conv.errors import ConfigError, GeometryError
from fc2conv.nets.build import ACTIVATIONS, build
from fc2conv.nets.modules import ScaledTanh

GREY = (1, 28, 28)


pytestmark = pytest.mark.usefixtures("one_thread")


def spelled(value: object) -> str | None:
    """A config's family and what differs from its defaults, as a test's name."""
    if not is_dataclass(value):
        return "x".join(map(str, value)) if isinstance(value, tuple) else None
    return " ".join([value.family, *(f"{k}={v}" for k, v in vars(value).items() if v != getattr(type(value), k))])


# --- parameter counts


@pytest.mark.parametrize(
    ("config", "params"),
    [
        (SoftmaxConfig(), 7_850),
        (MLPConfig(hidden=(256,)), 203_530),
        (MLPConfig(hidden=(300,)), 238_510),
        (MLPConfig(hidden=(1000,)), 795_010),
        (MLPConfig(hidden=(256, 256)), 269_322),
        (MLPConfig(hidden=(300, 100)), 266_610),
        (MLPConfig(hidden=(500, 150)), 469_160),
        (LeNetConfig(), 61_706),
        (LeNetConfig(kernel_size=1, padding=0), 105_338),
        (LeNetConfig(kernel_size=3, padding=1), 106_154),
        (LeNetConfig(kernel_size=5, padding=2), 107_786),
        (LeNetConfig(kernel_size=7, padding=3), 110_234),
        (LeNetConfig(kernel_size=7, padding="same"), 110_234),
        (LeNetConfig(norm="batch"), 61_750),
        (LeNetConfig(norm="batch", bias=False), 61_728),
        (LeNetConfig(pool="strided"), 61_706),
        (LeNetConfig(pool="blur"), 61_706),
        (LeNetConfig(pool="max"), 61_706),
        (LeNetConfig(separable=True), 59_440),
        (LeNetConfig(coordinates=True), 62_006),
        (LeNetConfig(head="gap"), 2_742),
        (LeNetConfig(head="gap", channels=(32, 64)), 52_746),
        (NiNConfig(channels=(32, 64), kernel_size=(5, 3, 3)), 35_750),
        (ResNetConfig(width=8, n=1), 19_074),
        (ResNetConfig(width=16, n=1), 75_002),
        (ResNetConfig(width=16, n=3), 269_434),
        # 9 (16 + 512 + 1,024 + 1,280 + 1,600 + 2,240) + 2 216 + 570; adding the input costs nothing
        (ConvNetConfig(channels=(16, 32, 32, 40, 40, 56), pool_after=(1, 3), residual=True), 61_050),
        (ConvNetConfig(channels=(16, 32, 32, 40, 40, 56), pool_after=(1, 3), residual=False), 61_050),
        (LeNet1Config(), 2_578),
        (LeNet5Config(), 60_000),
        (LeNet5Config(train_rbf=True), 60_840),
    ],
    ids=spelled,
)
def test_parameters(config: ModelConfig, params: int) -> None:
    assert plan(config, GREY, 10).params == params


@pytest.mark.parametrize(
    ("config", "layers"),
    [
        (LeNetConfig(), {"conv1": 156, "conv2": 2_416, "linear3": 48_120, "linear4": 10_164, "output": 850}),
        (
            LeNetConfig(separable=True),  # 38 and 268
            {
                "conv1_depthwise": 26,
                "conv1_pointwise": 12,
                "conv2_depthwise": 156,
                "conv2_pointwise": 112,
                "linear3": 48_120,
                "linear4": 10_164,
                "output": 850,
            },
        ),
        (LeNet5Config(), {"c1": 156, "s2": 12, "c3": 1_516, "s4": 32, "c5": 48_120, "f6": 10_164}),
        # h3: 20 connections of 25 weights, 12 biases
        (LeNet1Config(), {"h1": 104, "h2": 8, "h3": 512, "h4": 24, "output": 1_930}),
    ],
    ids=spelled,
)
def test_parameters_of_each_layer(config: ModelConfig, layers: dict[str, int]) -> None:
    assert plan(config, GREY, 10).layer_params() == layers


@pytest.mark.parametrize(
    ("config", "macs"),
    [
        (SoftmaxConfig(), 7_840),
        (LeNetConfig(), 416_520),
        (LeNetConfig(pool="blur"), 416_520),  # fixed filters are no part of the count
        (LeNetConfig(pool="strided"), 148_320),
        # 150 28^2, 2,400 12^2, and 2,304 features into the dense head
        (LeNetConfig(pool="strided", pool_after=(2,)), 750_600),
        # (25 + 6) 28^2 and (6 25 + 96) 10^2, then 58,920 of the dense head
        (LeNetConfig(separable=True), 107_824),
        # 100 24^2, 500 8^2, 1,920; sub-sampling is no part of the count
        (LeNet1Config(), 91_520),
    ],
    ids=spelled,
)
def test_macs(config: ModelConfig, macs: int) -> None:
    assert plan(config, GREY, 10).macs == macs


def test_the_convnet_adds_inputs_where_shapes_agree() -> None:
    config = ConvNetConfig(channels=(16, 32, 32, 40, 40, 56), pool_after=(1, 3), residual=True)
    rows = plan(config, GREY, 10).rows
    assert [row.name for row in rows if isinstance(row.layer, Residual)] == ["residual3", "residual5"]


@pytest.mark.parametrize("h", [1, 10, 256, 1000])
def test_formula_of_the_mlp(h: int) -> None:
    assert plan(MLPConfig(hidden=(h,)), GREY, 10).params == 795 * h + 10


@pytest.mark.parametrize("k", [1, 3, 5, 7, 9, 11])
def test_formula_of_lenets_kernel(k: int) -> None:
    assert plan(LeNetConfig(kernel_size=k, padding=k // 2), GREY, 10).params == 102 * k**2 + 105_236


@pytest.mark.parametrize(("w", "n"), [(8, 1), (16, 1), (16, 3), (5, 2)])
def test_formula_of_the_resnet(w: int, n: int) -> None:
    """A stage of width v behind u channels: kernels 9uv + (2n-1) 9v^2, and 2n batch norms of 2v."""
    stages = [(w, w), (w, 2 * w), (2 * w, 4 * w)]
    body = sum(9 * u * v + (2 * n - 1) * 9 * v**2 + 2 * n * 2 * v for u, v in stages)
    assert plan(ResNetConfig(width=w, n=n), GREY, 10).params == (9 + 2) * w + body + 4 * w * 10 + 10


# --- the ladder


def hidden(constraint: str, half_width: int = 0, c_out: int = 1, shape: tuple[int, ...] = GREY) -> Row:
    config = LadderConfig(constraint=constraint, half_width=half_width, channels=c_out)  # type: ignore[arg-type]
    return next(row for row in plan(config, shape, 10).rows if row.name == "hidden")


LADDER = [
    ("dense", 0, 615_440),
    ("local", 0, 1_568),
    ("local", 1, 7_508),
    ("local", 2, 18_740),
    ("local", 3, 34_640),
    ("local", 27, 615_440),  # the dense layer again
    ("local", 99, 615_440),
    ("shared", 0, 3_026),
    ("conv", 1, 10),
    ("conv", 2, 26),
    ("conv", 3, 50),
]


@pytest.mark.parametrize(("constraint", "half_width", "params"), LADDER)
def test_parameters_of_the_ladder(constraint: str, half_width: int, params: int) -> None:
    assert hidden(constraint, half_width).params == params


@pytest.mark.parametrize("n", [1, 2, 5, 28])
@pytest.mark.parametrize("d", [0, 1, 2, 4])
@pytest.mark.parametrize(("c_in", "c_out"), [(1, 1), (3, 1), (1, 4), (3, 4)])
def test_formulas_of_the_ladder(n: int, d: int, c_in: int, c_out: int) -> None:
    """Maps multiply the weights by c_in c_out and the biases by c_out. MACs are the weights, once for each use."""
    near = min(d, n - 1)
    pairs = n * (2 * near + 1) - near * (near + 1)
    assert pairs == sum(abs(i - k) <= d for i in range(n) for k in range(n))
    weights = {"dense": n**4, "local": pairs**2, "shared": (2 * n - 1) ** 2, "conv": (2 * d + 1) ** 2}
    biases = {"dense": n**2, "local": n**2, "shared": 1, "conv": 1}
    macs = {"dense": n**4, "local": pairs**2, "shared": n**4, "conv": (2 * d + 1) ** 2 * n**2}
    for constraint in weights:
        row = hidden(constraint, d, c_out, (c_in, n, n))
        assert row.params == c_in * c_out * weights[constraint] + c_out * biases[constraint], constraint
        assert row.macs == c_in * c_out * macs[constraint], constraint
        assert row.output == (c_out, n, n), constraint


def test_local_on_an_oblong_image() -> None:
    """Three rows at distance 0 and four pairs at 1: 7; five columns and eight: 13."""
    assert trace([Local("hidden", 1, 1)], (1, 3, 5)).params == 7 * 13 + 15


@pytest.mark.parametrize(
    ("layers", "weights", "biases"),
    [
        ([Flatten("flatten"), Linear("hidden", 1_000)], 10**9, 1_000),
        ([DenseImage("hidden", 1)], 10**12, 10**6),
        ([SharedImage("hidden", 1)], 3_996_001, 1),
        ([Conv("hidden", 1, 5, padding=2)], 25, 1),
    ],
)
def test_the_chapters_megapixel(layers: list[Layer], weights: int, biases: int) -> None:
    assert trace(layers, (1, 1000, 1000)).params == weights + biases


# --- receptive field

IDENTITY = LeNetConfig(activation="identity")


@pytest.mark.parametrize(
    ("config", "fields"),
    [
        # 5, then + 1 (2x2), + 4 steps of 2, + 1 step of 2
        (LeNetConfig(), {"conv1": 5, "pool1": 6, "conv2": 14, "pool2": 16, "linear3": 28}),
        (LeNetConfig(pool="blur"), {"conv1": 5, "pool1": 8, "conv2": 16, "pool2": 22}),
        (LeNetConfig(pool="strided"), {"conv1": 5, "conv2": 13}),
        (LeNetConfig(pool="strided", pool_after=(2,)), {"conv1": 5, "conv2": 9}),
        (LeNetConfig(kernel_size=3, dilation=(1, 2), padding="same", pool="none"), {"conv1": 3, "conv2": 7}),
        (LeNetConfig(separable=True), {"conv1_depthwise": 5, "conv1_pointwise": 5, "pool2": 16}),
        # 32, of which the border of the 32x32 field is no part of the image
        (LeNet5Config(), {"c1": 5, "s2": 6, "c3": 14, "s4": 16, "c5": 28}),
        # 3, + 2 + 2, + 2 + 2 2, + 2 2 + 2 4: a block's first convolution moves at the stride of the stage before
        (ResNetConfig(), {"conv1": 3, "stage1_block1": 7, "stage2_block1": 13, "stage3_block1": 25}),
        (LadderConfig(constraint="local", half_width=2), {"hidden": 5}),
        (LadderConfig(constraint="conv", half_width=3), {"hidden": 7}),
        (LadderConfig(constraint="dense"), {"hidden": 28, "output": 28}),
        (LadderConfig(constraint="shared"), {"hidden": 28}),
        (LeNetConfig(kernel_size=41, padding=20), {"conv1": 28, "conv2": 28}),
        (SoftmaxConfig(), {"flatten": 28, "output": 28}),
    ],
    ids=spelled,
)
def test_receptive_fields(config: ModelConfig, fields: dict[str, int]) -> None:
    rows = {row.name: row.receptive_field for row in plan(config, GREY, 10).rows}
    assert {name: rows[name] for name in fields} == fields


@pytest.mark.parametrize(
    ("config", "field"),
    [(LeNetConfig(), 16), (SoftmaxConfig(), 28), (ResNetConfig(), 25), (NiNConfig(), 20)],
    ids=spelled,
)
def test_receptive_field_of_a_network(config: ModelConfig, field: int) -> None:
    """Of its last unit with a place. NiN: 5, + 1 = 6, + 2 2 = 10, + 2 = 12, + 2 4 = 20; the 1x1 add nothing."""
    assert plan(config, GREY, 10).receptive_field == field


@pytest.mark.parametrize(
    "config",
    [
        IDENTITY,
        replace(IDENTITY, kernel_size=(3, 4), padding=0, stride=(2, 1), dilation=(2, 3)),
        replace(IDENTITY, pool="strided", stride=(1, 2), kernel_size=3),
        replace(IDENTITY, channels=(2, 3, 4), kernel_size=(5, 3), pool_after=(2,)),
        replace(IDENTITY, separable=True),
        ConvNetConfig(channels=(2, 3, 3), pool_after=(), activation="identity", residual=True),
    ],
    ids=spelled,
)
def test_receptive_field_is_where_the_gradient_reaches(config: ModelConfig) -> None:
    """All weights one, so that nothing cancels: the gradient of a unit amid a large image has the field's extent."""
    network = plan(config, (1, 80, 80), 10)
    net = build(network).double().eval()
    for p in net.parameters():
        nn.init.ones_(p)
    image = torch.zeros(1, 1, 80, 80, dtype=torch.float64, requires_grad=True)
    x = image
    for row, module in zip(network.rows, net, strict=True):
        x = module(x)
        if len(row.output) == 3:
            middle = x[0, 0, row.output[1] // 2, row.output[2] // 2]
            (grad,) = torch.autograd.grad(middle, image, retain_graph=True)
            for seen in (grad[0, 0].any(0), grad[0, 0].any(1)):
                where = seen.nonzero()
                assert int(where.max() - where.min()) + 1 == row.receptive_field, row.name


@pytest.mark.parametrize("architecture", [a for a in ARCHITECTURES.values() if a.layers], ids=lambda a: a.family)
def test_no_unit_sees_more_than_the_image(architecture: Architecture) -> None:
    for shape in ((1, 28, 28), (3, 16, 29)):
        network = plan(architecture.config(), shape, 10)
        fields = [row.receptive_field for row in network.rows] + [network.receptive_field]
        assert all(field is not None and field <= max(shape[1:]) for field in fields)


# --- torch as oracle

LENET = LeNetConfig()
BUILT = [
    *((architecture.config(), GREY) for architecture in ARCHITECTURES.values() if architecture.layers),
    (LENET, (3, 32, 32)),
    (replace(LENET, padding="valid"), GREY),
    (replace(LENET, padding="same"), GREY),
    (replace(LENET, padding=("same", 1)), (5, 29, 29)),
    (replace(LENET, padding=(0, 3), kernel_size=(1, 7)), GREY),
    (replace(LENET, padding="same", kernel_size=(4, 2)), GREY),
    (replace(LENET, padding="same", kernel_size=4, padding_mode="reflect"), GREY),
    (replace(LENET, padding="same", kernel_size=4, dilation=2, stride=1), GREY),
    (replace(LENET, padding="same", stride=(2, 1)), GREY),
    (replace(LENET, padding="same", stride=3, pool="none"), (1, 31, 31)),
    (replace(LENET, stride=2, kernel_size=3, padding=1, pool="none"), (1, 27, 27)),
    (replace(LENET, kernel_size=3, dilation=(1, 2), padding="same"), GREY),
    (replace(LENET, kernel_size=3, dilation=3, stride=2, padding=4, pool="none"), GREY),
    (replace(LENET, padding_mode="reflect"), GREY),
    (replace(LENET, padding_mode="circular", padding="same"), GREY),
    (replace(LENET, padding_mode="replicate", padding=3), GREY),
    (replace(LENET, channels=(6, 16, 32), kernel_size=(5, 3)), GREY),
    (replace(LENET, channels=(8,), padding=2, pool_after=()), GREY),
    (replace(LENET, pool="max"), (1, 27, 27)),
    (replace(LENET, pool="blur"), GREY),
    (replace(LENET, pool="blur"), (1, 27, 27)),
    (replace(LENET, pool="blur", head="gap"), (1, 24, 24)),
    (replace(LENET, pool="strided"), GREY),
    (replace(LENET, pool="strided", pool_after=(2,)), (1, 30, 30)),
    (replace(LENET, pool="none", channels=(2, 3)), GREY),
    (replace(LENET, pool="max", pool_after=(1,)), GREY),
    (replace(LENET, norm="batch", bias=False, pool="max", dropout=0.2), GREY),
    (replace(LENET, head="gap", coordinates=True), GREY),
    (replace(LENET, separable=True, stride=(2, 1)), (3, 32, 32)),
    (replace(LENET, hidden=()), GREY),
    (replace(LENET, coordinates=True), (3, 40, 40)),
    (LeNet1Config(), (3, 32, 32)),
    (LeNet5Config(), (1, 29, 31)),
    (LeNet5Config(train_rbf=True), (3, 32, 32)),
    (NiNConfig(kernel_size=(4, 3), norm="batch", dropout=0.5), (3, 32, 32)),
    (ResNetConfig(width=4), GREY),
    (ResNetConfig(width=3, n=2), (3, 33, 33)),
    (ConvNetConfig(residual=False), (1, 30, 30)),
    (ConvNetConfig(residual=True), GREY),
    (SoftmaxConfig(), (3, 32, 32)),
    (MLPConfig(hidden=()), GREY),
    (MLPConfig(norm="layer", dropout=0.1), GREY),
    (MLPConfig(norm="batch"), (5, 8, 8)),
    (replace(LENET, padding="same", kernel_size=4, dilation=2, stride=2, pool="none"), GREY),
    (replace(LENET, padding="same", kernel_size=(4, 2), dilation=2, pool="strided"), (1, 29, 31)),
    # oblong images
    *((a.config(), (3, 20, 31)) for a in ARCHITECTURES.values() if a.layers),
    (replace(LENET, padding="same", stride=(2, 1), separable=True, coordinates=True), (1, 40, 100)),
    (replace(LENET, pool="blur", norm="batch"), (1, 40, 23)),
    (ResNetConfig(width=3), (1, 1, 40)),
    (ResNetConfig(width=3), (1, 7, 2)),
    *((LadderConfig(constraint=c, channels=2), (3, 5, 8)) for c in ("dense", "local", "shared", "conv")),
    *((LadderConfig(constraint=c, channels=2), (3, 9, 9)) for c in ("dense", "local", "shared", "conv")),
]


# torch tells that it copies the input for an asymmetric "same"
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
@pytest.mark.parametrize(("config", "shape"), BUILT, ids=spelled)
def test_plan_is_what_torch_builds(config: ModelConfig, shape: tuple[int, int, int]) -> None:
    network = plan(config, shape, 10)
    net = build(network).eval()
    assert [name for name, _ in net.named_children()] == [row.name for row in network.rows]
    x = torch.zeros(2, *shape)
    for row, module in zip(network.rows, net, strict=True):
        assert row.input == tuple(x.shape[1:]), row.name
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            x = module(x)
        assert row.output == tuple(x.shape[1:]), row.name
        assert row.params == sum(p.numel() for p in module.parameters() if p.requires_grad), row.name
        if (isinstance(module, nn.Conv2d) and not getattr(row.layer, "table", None)) or isinstance(module, nn.Linear):
            # two operations a multiply-accumulate, two images
            assert row.macs == counter.get_total_flops() / 4, row.name
    assert x.shape == (2, 10)


@pytest.mark.parametrize(("kernel", "dilation", "stride"), [(2, 2, 2), (4, 2, 3), (4, 4, 2), ((2, 3), 2, 2), (3, 1, 2)])
def test_same_with_an_even_dilation_is_symmetric(kernel: Any, dilation: int, stride: int) -> None:
    """A kernel k covers dilation (k - 1) pixels beside its own: an even number, half of it on each side. The output is
    as large as input / stride, and what torch computes with that half for its padding."""
    layer = Conv("conv", 3, kernel, stride=stride, padding="same", dilation=dilation)
    half = tuple(dilation * (k - 1) // 2 for k in layer.kernel)
    assert layer.output((2, 9, 12)) == (3, -(-9 // stride), -(-12 // stride))
    net, x = build(trace([layer], (2, 9, 12))), torch.randn(1, 2, 9, 12)
    conv = net.conv
    assert isinstance(conv, nn.Conv2d)
    expected = nn.functional.conv2d(x, conv.weight, conv.bias, stride, half, dilation)
    torch.testing.assert_close(net(x), expected)


def test_a_shortcut_goes_where_the_body_does() -> None:
    """A body that halves the width of a single row. Its kernels are zero: what comes out came by the shortcut."""
    body = (Conv("conv", 2, 3, stride=2, padding=1, bias=False),)
    net = build(trace([Residual("residual", body)], (2, 1, 8)))
    nn.init.zeros_(next(net.parameters()))
    row = torch.arange(16.0).view(1, 2, 1, 8)
    assert torch.equal(net(row), row[..., ::2])


@pytest.mark.parametrize("kind", ["average", "max", "blur"])
@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 2), (2, 1), (3, 3), (3, 1)])
@pytest.mark.parametrize("edge", [3, 6, 7])
def test_pooling_of_any_size(kind: Any, size: int, stride: int, edge: int) -> None:
    network = trace([PoolLayer("pool", kind, size, stride)], (2, edge, edge + 1))
    x = build(network)(torch.zeros(1, 2, edge, edge + 1))
    assert network.rows[0].output == tuple(x.shape[1:])


def test_blur_is_as_large_as_plain_pooling() -> None:
    for edge in range(2, 12):
        shapes = {PoolLayer("pool", kind).output((1, edge, edge)) for kind in ("average", "blur")}
        assert shapes == {Subsample("s").output((1, edge, edge))} == {(1, edge // 2, edge // 2)}


# --- messages


@pytest.mark.parametrize(
    ("config", "shape", "message"),
    [
        (
            LeNetConfig(kernel_size=7, padding=0),  # 18 - 6 = 12, pooled to 6
            (1, 18, 18),
            "model.kernel_size: conv2: kernel 7 does not fit the 6x6 input it gets; use padding or a smaller kernel",
        ),
        (
            LeNetConfig(kernel_size=9, padding=1),  # 18 + 2 - 8 = 12, pooled to 6
            (1, 18, 18),
            "model.kernel_size: conv2: kernel 9 does not fit the 6x6 input it gets (padded to 8x8); "
            "use padding or a smaller kernel",
        ),
        (
            LeNetConfig(kernel_size=3, dilation=(1, 7), padding=0),  # 28 - 2 = 26, pooled to 13
            GREY,
            "model.kernel_size: conv2: kernel 3 with dilation 7 does not fit the 13x13 input it gets; "
            "use padding or a smaller kernel",
        ),
        (
            LeNetConfig(separable=True, padding=0),
            (1, 4, 4),
            "model.kernel_size: conv1_depthwise: kernel 5 does not fit the 4x4 input it gets; "
            "use padding or a smaller kernel",
        ),
        (
            LeNetConfig(channels=(6, 16, 32, 64, 128), kernel_size=3, padding="same"),  # 28 14 7 3 1
            GREY,
            "model.pool_after: pool5: window 2 does not fit the 1x1 input it gets; "
            "use padding, or fewer poolings (model.pool_after)",
        ),
        (
            LeNetConfig(padding_mode="reflect", padding=(2, 14)),
            GREY,
            "model.padding: conv2: reflect padding 14 does not fit the 14x14 input it gets; "
            "use at most 13, or model.padding_mode=zeros",
        ),
        (
            LeNetConfig(padding_mode="circular", padding=(2, 15)),
            GREY,
            "model.padding: conv2: circular padding 15 does not fit the 14x14 input it gets; "
            "use at most 14, or model.padding_mode=zeros",
        ),
        (
            LeNetConfig(kernel_size=(5, 4), padding="same", stride=(1, 2)),
            GREY,
            "model.padding: conv2: same is not defined for the even kernel 4 with stride 2; use a number",
        ),
        (
            LeNetConfig(kernel_size=2, padding="same", stride=2, dilation=3),  # 3 pixels to pad: 1 and 2
            GREY,
            "model.padding: conv1: same is not defined for the even kernel 2 with stride 2; use a number",
        ),
        (LeNet5Config(), (1, 48, 48), "data: field: takes images of up to 32x32, gets 48x48"),
    ],
)
def test_what_does_not_fit_is_named(config: ModelConfig, shape: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        plan(config, shape, 10)
    assert str(refused.value) == message
    assert refused.value.key == message.split(":")[0]


@pytest.mark.parametrize(("mode", "padding"), [("reflect", 13), ("circular", 14)])
def test_the_largest_padding_named_is_one_that_torch_takes(mode: Any, padding: int) -> None:
    config = LeNetConfig(padding_mode=mode, padding=(2, padding))
    assert build(plan(config, GREY, 10))(torch.zeros(1, *GREY)).shape == (1, 10)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([Linear("output", 10)], "model: output: needs features, gets a 1x28x28 image"),
        ([Flatten("flatten"), Conv("conv1", 6, 5)], "model: conv1: needs an image, gets 784 features"),
        ([Flatten("flatten"), PoolLayer("pool1", "max")], "model: pool1: needs an image, gets 784 features"),
    ],
)
def test_images_and_features_are_told_apart(layers: list[Layer], message: str) -> None:
    with pytest.raises(GeometryError) as refused:
        trace(layers, GREY)
    assert str(refused.value) == message


# --- remarks


def test_the_books_padding_with_a_smaller_kernel() -> None:
    """28 + 2 2 - 2 = 30: nobody asked for that, and nobody is refused it."""
    network = plan(LeNetConfig(kernel_size=3), GREY, 10)
    assert network.rows[0].output == (6, 30, 30)
    assert network.remarks == [
        "conv1: padding 2 is more than the kernel 3 takes away, so that the image grows from 28x28 to 30x30; "
        "model.padding=same keeps its size"
    ]


@pytest.mark.parametrize(
    ("config", "shape", "remarks"),
    [
        (LeNetConfig(), GREY, []),
        (LeNetConfig(kernel_size=3, padding="same"), GREY, []),
        (LeNetConfig(kernel_size=3, padding=(1, 0)), GREY, []),
        (LeNetConfig(kernel_size=3, padding=(2, 0), stride=(2, 1)), GREY, []),  # 15x15
        (LeNetConfig(kernel_size=3, padding=(2, 0), dilation=2), GREY, []),  # covers 5
        (LeNetConfig(kernel_size=1, padding=(0, 1)), (1, 20, 30), ["conv2: padding 1 is more than the kernel 1 takes"]),
        *((a.config(), GREY, []) for a in ARCHITECTURES.values() if a.layers),
    ],
    ids=spelled,
)
def test_remarks(config: ModelConfig, shape: tuple[int, ...], remarks: list[str]) -> None:
    found = plan(config, shape, 10).remarks
    assert len(found) == len(remarks)
    assert all(a.startswith(b) for a, b in zip(found, remarks, strict=True))


# --- pooling comes first

RELU, GELU = ActivationLayer("relu", "relu"), ActivationLayer("gelu", "gelu")
MAX, AVERAGE, BLUR = PoolLayer("pool", "max"), PoolLayer("pool", "average"), PoolLayer("pool", "blur")
CONV, NORM = Conv("conv", 6, 5), NormLayer("norm", "batch")


@pytest.mark.parametrize(
    ("layers", "want"),
    [
        ([CONV, RELU, MAX], [CONV, MAX, RELU]),
        ([CONV, NORM, RELU, MAX, CONV, RELU, MAX], [CONV, NORM, MAX, RELU, CONV, MAX, RELU]),
        ([CONV, GELU, MAX], [CONV, GELU, MAX]),
        ([CONV, RELU, AVERAGE], [CONV, RELU, AVERAGE]),
        ([CONV, RELU, BLUR], [CONV, RELU, BLUR]),
        ([CONV, RELU, CONV, MAX], [CONV, RELU, CONV, MAX]),
        ([CONV, MAX, RELU], [CONV, MAX, RELU]),
        ([CONV, RELU], [CONV, RELU]),
        ([], []),
    ],
)
def test_pool_first_swaps_monotone_activations_and_maxima(layers: list[Layer], want: list[Layer]) -> None:
    assert pool_first(layers) == want


@pytest.mark.parametrize("kind", [*ACTIVATIONS, "scaled_tanh"])
def test_monotone_activations_never_decrease(kind: Any) -> None:
    module = ScaledTanh() if kind == "scaled_tanh" else ACTIVATIONS[kind]()
    steps = module(torch.linspace(-8, 8, 1601, dtype=torch.float64)).diff()
    assert bool((steps >= 0).all()) == (kind in MONOTONE)
