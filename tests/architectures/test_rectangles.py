"""Kernels, paddings, strides, dilations and poolings that are not square, and signals: torch is the oracle."""

from __future__ import annotations

import copy
from dataclasses import replace
from random import Random
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from fc2conv.architectures import ARCHITECTURES, Layer, ModelConfig, plan
from fc2conv.architectures.convnet import ConvNetConfig
from fc2conv.architectures.ladder import LadderConfig
from fc2conv.architectures.layers import Conv, PoolLayer
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.architectures.nin import NiNConfig
from fc2conv.architectures.resnet import ResNetConfig
from fc2conv.architectures.trace import Geometry, trace
from fc2conv.compose import compose_config, overrides_of
from fc2conv.config.identity import identity_of
from fc2conv.config.parsing import parse
from fc2conv.config.schema import Config, plain
from fc2conv.errors import ConfigError, GeometryError
from fc2conv.fields import Pair, pair, sides
from fc2conv.nets.build import build
from fc2conv.record.result import Result
from fc2conv.speed import accelerate

pytestmark = pytest.mark.usefixtures("one_thread")
SIGNAL = (1, 1, 40)


def named(value: object) -> str | None:
    """A config's family and what differs from its defaults."""
    if not isinstance(value, ModelConfig):
        return None
    return " ".join([value.family, *(f"{k}={v}" for k, v in vars(value).items() if v != getattr(type(value), k))])


def drawn(random: Random) -> tuple[list[Layer], tuple[int, int, int]]:
    """Up to four layers that fit images of the shape."""

    def sizes(most: int, least: int = 1) -> int | Pair:
        both = random.randint(least, most), random.randint(least, most)
        return random.choice([both[0], both])

    while True:
        shape = random.randint(1, 3), random.randint(1, 24), random.randint(1, 24)
        layers: list[Layer] = []
        for i in range(random.randint(1, 4)):
            if random.random() < 0.7:
                padding: Any = random.choice([sizes(3, least=0), "valid", "same"])
                kernel, stride, dilation = sizes(5), sizes(3), sizes(2)
                layers.append(Conv(f"conv{i}", random.randint(1, 4), kernel, stride, padding, dilation=dilation))
            else:
                kind: Any = random.choice(["average", "max", "blur"])
                layers.append(PoolLayer(f"pool{i}", kind, sizes(3), sizes(3)))
        try:
            trace(layers, shape)
        except GeometryError:
            continue
        return layers, shape


def check_built(network: Geometry) -> nn.Sequential:
    """Shapes and parameters of each layer are those of torch's."""
    net, x = build(network), torch.zeros(2, *network.input)
    for row, module in zip(network.rows, net.eval(), strict=True):
        with torch.no_grad():
            x = module(x)
        assert row.output == tuple(x.shape[1:]), row.name
        assert row.params == sum(p.numel() for p in module.parameters() if p.requires_grad), row.name
    return net


def check_accelerated(net: nn.Sequential, x: torch.Tensor) -> None:
    """The compiled kernels, where they take such shapes, give torch's outputs and gradients."""
    results = []
    for each in (copy.deepcopy(net), accelerate(copy.deepcopy(net))):
        each.train().to(memory_format=torch.channels_last)
        out = each(x.contiguous(memory_format=torch.channels_last))
        grads = torch.autograd.grad(out.square().sum(), list(each.parameters()))
        results.append([out.detach(), *grads])
    for want, found in zip(*results, strict=True):
        torch.testing.assert_close(found, want, rtol=1e-3, atol=1e-4 * want.abs().max().item() + 1e-6)


# torch tells that it copies the input for an asymmetric "same"
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
@pytest.mark.parametrize("seed", range(100))
def test_torch_builds_what_was_drawn(seed: int) -> None:
    check_built(trace(*drawn(Random(seed))))


def check_seen(network: Geometry) -> None:
    """All weights one, so that nothing cancels: the gradient of a unit amid a large image has the field's extent."""
    net = build(network).double().eval()
    for p in net.parameters():
        nn.init.ones_(p)
    image = torch.zeros(network.input, dtype=torch.float64)[None].requires_grad_()
    x = image
    for row, module in zip(network.rows, net, strict=True):
        x = module(x)
        if len(row.output) != 3:
            break
        middle = x[0, 0, row.output[1] // 2, row.output[2] // 2]
        (grad,) = torch.autograd.grad(middle, image, retain_graph=True)
        found = [int(s.max() - s.min()) + 1 for s in (grad[0, 0].any(axis).nonzero() for axis in (1, 0))]
        assert row.receptive_field is not None
        along = (1, row.receptive_field) if network.input[1] == 1 else pair(row.receptive_field)
        assert tuple(found) == along, row.name


@pytest.mark.parametrize("seed", range(40))
def test_the_receptive_field_of_each_axis_is_where_the_gradient_reaches(seed: int) -> None:
    layers, _ = drawn(Random(seed))
    inside = [
        replace(layer, padding="valid") if isinstance(layer, Conv) else replace(layer, kind="average")  # type: ignore[call-arg]
        for layer in layers
    ]
    check_seen(trace(inside, (1, 150, 170)))


WRITTEN = LeNetConfig(kernel_size=("1x5", "3x2"), padding=("0x2", "same"), stride=("1x2", 1), dilation=("1x2", "2x1"))  # type: ignore[arg-type]
SHAPED = [
    WRITTEN,
    replace(WRITTEN, pool_size="1x2"),
    replace(WRITTEN, pool_size="3x1", pool="max"),
    replace(WRITTEN, pool_size="2x1", pool="strided", padding=0),
    replace(WRITTEN, pool_size="1x2", pool="blur"),
    replace(WRITTEN, separable=True, pool_size=3),
    replace(WRITTEN, norm="batch", bias=False, pool="max", activation="relu", padding=("0x2", "1x1")),
    replace(WRITTEN, norm="batch", bias=False, pool="max", stride=1, dilation=1, kernel_size=("3x5", "1x5")),
    NiNConfig(kernel_size=("1x5", "3x1")),  # type: ignore[arg-type]
]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
@pytest.mark.parametrize("config", SHAPED, ids=named)
def test_each_side_as_it_is_written(config: ModelConfig) -> None:
    for channels in (1, 2):
        net = check_built(plan(config, (channels, 31, 30), 10))
        check_accelerated(net, torch.randn(8, channels, 31, 30, generator=torch.Generator().manual_seed(0)))


def test_a_kernel_of_one_row_by_hand() -> None:
    """LeNet's first layer with 1x5: 6 (5 + 1) parameters, 28 * 28 * 6 * 5 multiplications, one row and five columns."""
    network = plan(LeNetConfig(kernel_size=("1x5", 5), padding=("0x2", 0)), (1, 28, 28), 10)  # type: ignore[arg-type]
    conv1, pool1 = network.rows[0], network.rows[2]
    assert (conv1.params, conv1.macs, conv1.receptive_field) == (36, 23_520, (1, 5))
    assert (pool1.output, pool1.receptive_field) == ((6, 14, 14), (2, 6))
    assert network.receptive_field == (12, 16)
    assert Result.of(Config(), network, "run").receptive_field == "12x16"


# --- what is written


@pytest.mark.parametrize(
    ("written", "meant"),
    [("1x5", "1x5"), ("0x2", "0x2"), ("5x5", 5), (["1x5", 3], ("1x5", 3)), (["3x3", "03x3"], (3, 3)), (7, 7)],
)
def test_sides_are_parsed(written: Any, meant: Any) -> None:
    """5x5 is 5, so that they are one run."""
    config = parse(Config, {"model": {"family": "lenet", "padding": written, "kernel_size": 7}})
    assert config.model.padding == meant  # type: ignore[attr-defined]


def test_records_keep_them_as_text() -> None:
    """0x2 without quotes would be a number in YAML."""
    config = parse(Config, {"model": {"family": "lenet", "padding": ["0x2", "1x0"]}})
    assert parse(Config, yaml.safe_load(yaml.safe_dump(plain(config)))) == config
    assert compose_config(["model.padding=0x2"])[0].model.padding == "0x2"
    assert compose_config(overrides_of({"model.padding": ["0x2", 0]}))[0].model.padding == ["0x2", 0]


def test_what_is_square_keeps_its_identity() -> None:
    one, other = (parse(Config, {"model": {"family": "lenet", "kernel_size": k}}) for k in (3, "3x3"))
    assert identity_of(one) == identity_of(other)
    assert identity_of(Config())["model"] == {}


@pytest.mark.parametrize("value", ["1x", "x5", "1x5x3", "-1x5", "1 x 5", "1.5x2", "five"])
@pytest.mark.parametrize("key", ["kernel_size", "stride", "dilation", "padding", "pool_size"])
def test_other_texts_are_refused(key: str, value: str) -> None:
    assert sides(value) is None
    with pytest.raises(ConfigError, match=rf"model\.{key}: got {value}, expected a whole number or HEIGHTxWIDTH"):
        parse(Config, {"model": {"family": "lenet", key: value}})
    with pytest.raises(ConfigError, match=rf"model\.{key}: got {value}, expected . or more, or HEIGHTxWIDTH, e.g. 1x5"):
        LeNetConfig(**{key: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("key", ["kernel_size", "stride", "dilation", "pool_size"])
def test_no_side_is_nothing(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"model\.{key}: got 0x5, expected 1 or more"):
        parse(Config, {"model": {"family": "lenet", key: "0x5"}})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kernel_size": "1x33"}, "model.kernel_size: conv1: kernel 1x33 does not fit the 28x28 input it gets (padded"),
        ({"kernel_size": "9x1", "dilation": "5x1"}, "kernel 9x1 with dilation 5x1 does not fit the 28x28 input"),
        (
            {"kernel_size": "1x2", "padding": "same", "stride": "1x2"},
            "the even kernel 1x2 with stride 1x2; use a number",
        ),
        ({"pool_size": "1x29"}, "model.pool_after: pool1: window 1x29 does not fit the 28x28 input it gets"),
    ],
)
def test_what_does_not_fit_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(GeometryError) as caught:
        plan(LeNetConfig(**values), (1, 28, 28), 10)
    assert message in str(caught.value)


# --- signals

ALONG = [
    *(a.config() for a in ARCHITECTURES.values() if a.layers and a.built_in),
    *(LadderConfig(constraint=c, channels=2) for c in ("dense", "local", "shared", "conv")),  # type: ignore[arg-type]
    *(LeNetConfig(pool=p) for p in ("average", "max", "blur", "strided", "none")),  # type: ignore[arg-type]
    LeNetConfig(kernel_size=4, padding="same", padding_mode="reflect"),
    LeNetConfig(padding="same", padding_mode="circular", coordinates=True, separable=True, norm="batch"),
    LeNetConfig(dilation=2, kernel_size=3, stride=(2, 1), head="gap"),
]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
@pytest.mark.parametrize("config", ALONG, ids=named)
@pytest.mark.parametrize("shape", [SIGNAL, (3, 1, 67)])
def test_every_architecture_takes_signals(config: ModelConfig, shape: tuple[int, int, int]) -> None:
    if config.family == "lenet5" and shape[2] > 32:
        with pytest.raises(GeometryError, match=f"field: takes images of up to 1x32, gets 1x{shape[2]}"):
            plan(config, shape, 10)
        return
    if config.family == "lenet5":
        shape = (1, 1, 30)
    network = plan(config, shape, 10)
    net = check_built(network)
    assert all(len(row.output) == 1 or row.output[1] == 1 for row in network.rows)
    assert all(isinstance(row.receptive_field, int) and row.receptive_field <= shape[2] for row in network.rows)
    check_accelerated(net, torch.randn(8, *shape, generator=torch.Generator().manual_seed(0)))


def test_one_number_goes_along_a_signal() -> None:
    """LeNet on 40 values: 6 (5 + 1) and 16 (30 + 1) parameters, 20 and then 8 values, 128 features."""
    network = plan(LeNetConfig(), SIGNAL, 10)
    assert network.layer_params() == {"conv1": 36, "conv2": 496, "linear3": 129 * 120, "linear4": 10_164, "output": 850}
    assert [row.output for row in network.rows[:6:2]] == [(6, 1, 40), (6, 1, 20), (16, 1, 16)]
    assert network.receptive_field == 16
    written = replace(LeNetConfig(), kernel_size="1x5", padding=("0x2", 0), pool_size="1x2")
    assert plan(written, SIGNAL, 10) == network


def test_a_convolution_along_a_signal_is_torchs_of_one_dimension() -> None:
    layer = Conv("conv", 4, 5, stride=2, padding=2, dilation=2)
    net = build(trace([layer.along_signal()], (3, 1, 30)))
    x = torch.randn(2, 3, 30)
    conv = net[0]
    assert isinstance(conv, nn.Conv2d)
    want = nn.functional.conv1d(x, conv.weight[:, :, 0], conv.bias, stride=2, padding=2, dilation=2)
    torch.testing.assert_close(net(x[:, :, None])[:, :, 0], want)


def test_the_blurred_maximum_filters_only_along_the_signal() -> None:
    x = torch.randn(2, 3, 1, 12)
    found = build(trace([PoolLayer("pool", "blur").along_signal()], (3, 1, 12)))(x)
    maxima = nn.functional.pad(nn.functional.max_pool1d(x[:, :, 0], 2, 1), (1, 1), mode="replicate")
    weights = torch.tensor([[[0.25, 0.5, 0.25]]]).expand(3, 1, 3)
    torch.testing.assert_close(found[:, :, 0], nn.functional.conv1d(maxima, weights, stride=2, groups=3))


@pytest.mark.parametrize(
    "config",
    [
        LeNetConfig(activation="identity", channels=(2, 3, 4), kernel_size=(5, 3), padding=0, pool_after=(2,)),
        LeNetConfig(activation="identity", kernel_size=3, dilation=2, stride=2, padding=0),
        ConvNetConfig(channels=(2, 3, 3), pool_after=(), activation="identity", residual=True),
    ],
    ids=named,
)
def test_the_receptive_field_along_a_signal(config: ModelConfig) -> None:
    check_seen(plan(config, (1, 1, 120), 10))


def test_a_signal_is_one_pixel_high_from_the_beginning() -> None:
    """What shrinks to that height in a network was an image, and its kernels stay square."""
    network = trace([Conv("a", 1, (7, 1)), Conv("b", 1, 3, padding=1)], (1, 7, 9))
    assert network.layer_params() == {"a": 8, "b": 10}
    assert plan(ResNetConfig(), (1, 1, 1), 10).params == plan(ResNetConfig(), (1, 8, 8), 10).params
