"""Every kind of layer in the page against torch's modules: outputs, gradients, sizes and what is refused."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import nn

from fc2conv.architectures.layers import (
    ActivationLayer,
    Conv,
    DenseImage,
    Flatten,
    GlobalAverage,
    Linear,
    Local,
    NormLayer,
    PaddingMode,
    PoolLayer,
    SharedImage,
)
from fc2conv.architectures.trace import Layer, Shape, trace
from fc2conv.errors import ConfigError
from fc2conv.nets.build import build
from fc2conv.playground.networks import FUNCTIONS, describe_layer

pytestmark = pytest.mark.browser

CONVOLUTIONS, CONFIGURATIONS = 150, 2500
"""Random ones, of which gradients and geometry are compared."""


def drawn_conv(rng: random.Random) -> tuple[Conv, Shape]:
    """Windows may be rectangular; some do not fit."""

    def one_or_two(*values: Any) -> Any:
        return rng.choice(values) if rng.random() < 0.6 else (rng.choice(values), rng.choice(values))

    layer = Conv(
        "conv",
        rng.choice((1, 2, 3, 4, 5)),
        one_or_two(1, 2, 3, 3, 4, 5),
        stride=one_or_two(1, 1, 2, 3),
        padding=rng.choice(("same", "same", "valid", one_or_two(0, 1, 2, 3))),
        padding_mode=rng.choice(get_args(PaddingMode)),
        dilation=one_or_two(1, 1, 1, 2),
        depthwise=rng.random() < 0.3,
        bias=rng.random() < 0.7,
    )
    return layer, (rng.choice((1, 2, 3)), rng.choice((1, 3, 5, 8)), rng.choice((2, 4, 7, 9)))


def fits(layer: Layer, shape: Shape) -> bool:
    try:
        layer.output(shape)
    except ConfigError:
        return False
    return True


def convolutions() -> list[tuple[Layer, Shape]]:
    rng = random.Random(0)
    found: list[tuple[Layer, Shape]] = []
    while len(found) < CONVOLUTIONS:
        case = drawn_conv(rng)
        if fits(*case):
            found.append(case)
    return found


OTHERS: list[tuple[Layer, Shape]] = [
    *((Local("local", o, d), shape) for o, d, shape in ((1, 1, (1, 5, 5)), (3, 2, (2, 6, 4)), (2, 9, (2, 4, 3)))),
    *((DenseImage("dense", o), (c, 4, 5)) for o, c in ((1, 1), (3, 2))),
    *((SharedImage("shared", o), (c, h, w)) for o, c, h, w in ((1, 1, 5, 5), (3, 2, 4, 6), (2, 1, 1, 5))),
    *((Linear("linear", o), (n,)) for o, n in ((1, 3), (10, 84), (4, 1))),
    *(
        (PoolLayer("pool", kind, size, stride), (2, 7, 9))
        for kind in ("average", "max")
        for size, stride in ((2, 2), (3, 1), ((1, 2), (2, 3)), (3, 2))
    ),
    *((ActivationLayer(kind, kind), (2, 3, 4)) for kind in FUNCTIONS),  # type: ignore[arg-type]
    (NormLayer("norm", "batch"), (3, 4, 5)),
    (NormLayer("norm", "batch"), (6,)),
    (Flatten("flatten"), (2, 3, 4)),
    (GlobalAverage("average"), (3, 4, 5)),
]

RUN = """cases => cases.map(({ description, x, gradient }) => {
    const layer = layers.build(description);
    const size = (array) => (array ? Array.from(array) : null);
    // once with another image before it: nothing of that may be left but what is added up
    layer.forward(Float32Array.from(x, (value) => 1 - value));
    layer.backward(Float32Array.from(gradient));
    layer.zeroGradients();
    const out = size(layer.forward(Float32Array.from(x)));
    const back = layer.backward(Float32Array.from(gradient));
    const found = { out, back: size(back), weight: size(layer.weightGradient), bias: size(layer.biasGradient) };
    layer.backward(Float32Array.from(gradient), { input: false });
    return { ...found, twice: size(layer.weightGradient), output: layer.output };
})"""


def torchs(layer: Layer, shape: Shape) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """(what the page gets, what torch says), with weights that 16 bits hold."""
    torch.manual_seed(0)
    geometry = trace([layer], shape)
    net = build(geometry)
    for module in net.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.running_mean = torch.randn_like(module.running_mean)  # type: ignore[arg-type]
            module.running_var = torch.rand_like(module.running_var) + 0.5  # type: ignore[arg-type]
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(parameter.half())
    description = describe_layer(Path("made-up"), geometry.rows[0], net)
    x = torch.randn(1, *shape, requires_grad=True)
    net.eval()
    out = net(x)
    gradient = torch.randn_like(out)
    back = torch.autograd.grad(out, [x, *net.parameters()], gradient)
    expected = {
        "out": out,
        "back": back[0],
        **dict(zip((n.split(".")[1] for n, _ in net.named_parameters()), back[1:], strict=True)),
    }
    given = {"description": description, "x": x.flatten().tolist(), "gradient": gradient.flatten().tolist()}
    return given, expected


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("cases", [convolutions(), OTHERS], ids=["convolutions", "others"])
def test_outputs_and_gradients_are_torchs(
    cases: list[tuple[Layer, Shape]], engine_page: Path, open_page: Callable[..., Any]
) -> None:
    pairs = [torchs(*case) for case in cases]
    found = open_page(engine_page).evaluate(RUN, [given for given, _ in pairs])
    for case, got, (_, expected) in zip(cases, found, pairs, strict=True):
        # batch norm's scale and shift are rounded to 16 bits after they are made of four parameters
        tolerance = 2e-3 if isinstance(case[0], NormLayer) else 1e-4
        if isinstance(case[0], NormLayer):
            expected = {key: expected[key] for key in ("out", "back")}
        for name, want in expected.items():
            want = want.detach().double().flatten()
            difference = (torch.tensor(got[name], dtype=torch.float64) - want).abs().max()
            assert difference <= tolerance * max(float(want.abs().max()), 1e-6), (case, name)
        assert got["output"] == list(case[0].output(case[1])), case
        if got["weight"]:
            assert got["twice"] == pytest.approx([2 * g for g in got["weight"]], rel=1e-5, abs=1e-5), case


def test_an_affine_layer_learns_its_scale_and_shift(engine_page: Path, open_page: Callable[..., Any]) -> None:
    given, _ = torchs(NormLayer("norm", "batch"), (2, 3, 3))
    (got,) = open_page(engine_page).evaluate(RUN, [given])
    x, gradient = (torch.tensor(given[key]).view(2, 9) for key in ("x", "gradient"))
    assert got["weight"] == pytest.approx((x * gradient).sum(1).tolist(), rel=1e-5)
    assert got["bias"] == pytest.approx(gradient.sum(1).tolist(), rel=1e-5)


def drawn_pool(rng: random.Random) -> tuple[PoolLayer, Shape]:
    size, stride = ((rng.choice((1, 2, 3, 5)), rng.choice((1, 2, 3, 4))) for _ in range(2))
    return PoolLayer("pool", rng.choice(("average", "max")), size, stride), (
        3,
        rng.choice((2, 4, 9)),
        rng.choice((3, 7)),
    )


def answer(layer: Conv | PoolLayer, shape: Shape) -> dict[str, Any]:
    """What the suite says, as JSON."""
    try:
        (row,) = trace([layer], shape).rows
    except ConfigError as error:
        return {"error": str(error)}
    return {"output": list(row.output), "params": row.params, "macs": row.macs, "remark": layer.remark(shape)}


def as_javascript(layer: Conv | PoolLayer) -> dict[str, Any]:
    """Arguments of geometry.js's class."""

    def both(value: Any) -> Any:
        return [value, value] if isinstance(value, int) else value

    keys = ("kernel_size", "stride", "padding", "dilation") if isinstance(layer, Conv) else ("size", "stride")
    values = {**vars(layer), **{key: both(getattr(layer, key)) for key in keys}}
    return {**values, "kernel": values["kernel_size"], "isConv": True} if isinstance(layer, Conv) else values


def test_sizes_are_the_suites(engine_page: Path, open_page: Callable[..., Any]) -> None:
    """Of windows of any form: what geometry.js says is what the suite says, and what the engine computes with."""
    rng = random.Random(1)
    cases = [drawn_conv(rng) if rng.random() < 0.7 else drawn_pool(rng) for _ in range(CONFIGURATIONS)]
    expected = [answer(*case) for case in cases]
    refused = sum("error" in each for each in expected)
    assert CONFIGURATIONS / 5 < refused < CONFIGURATIONS / 2
    got = open_page(engine_page).evaluate(
        """cases => cases.map(([values, shape, pads]) => {
            const layer = values.isConv ? new geometry.Conv("conv", values) : new geometry.Pool("pool", values);
            const size = shape.slice(1);
            let windows;
            try {
                const options = { ...values, kernel_size: values.kernel ?? values.size, padding: pads };
                windows = layers.windows(size, options).size;
            } catch (error) {
                windows = error.name;
            }
            try {
                const [output, params, macs] = [layer.output(shape), layer.params(shape), layer.macs(shape)];
                return { windows, output, params, macs, remark: layer.remark(shape) };
            } catch (error) {
                return { windows, error: error.message };
            }
        })""",
        [
            [as_javascript(layer), shape, layer.pads if isinstance(layer, Conv) else [[0, 0], [0, 0]]]
            for layer, shape in cases
        ],
    )
    for case, want, found in zip(cases, expected, got, strict=True):
        windows = found.pop("windows")
        assert found == want, case
        if "output" in want:
            assert windows == want["output"][1:], case
        elif "same is not defined" not in want["error"]:  # that is torch's rule, not the arithmetic's
            assert windows == "RangeError", case
