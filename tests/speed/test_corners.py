"""Where kernels were wrong once, or could be: odd strides, numbers that are not finite, norms with other settings."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from speed.networks import gradients
from torch import Tensor, nn
from torch.testing import assert_close

from fc2conv.speed import accelerate

pytestmark = pytest.mark.usefixtures("one_thread", "instructions")

NAN, INF = float("nan"), float("inf")


def first(channels: int = 6, relu: bool = True) -> nn.Sequential:
    """A convolution of one-channel images, a norm, a pooling (and a ReLU)."""
    layers = [nn.Conv2d(1, channels, 3, bias=False), *second(channels, relu)]
    return nn.Sequential(*layers)


def second(channels: int = 6, relu: bool = True) -> nn.Sequential:
    norm = nn.BatchNorm2d(channels)
    with torch.no_grad():
        norm.weight.uniform_(-1.5, 1.5)
        norm.bias.normal_()
    return nn.Sequential(norm, nn.MaxPool2d(2), *[nn.ReLU()] * relu)


def third() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(6, 4, (2, 5)))


def alone() -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(6))


def compare(net: nn.Module, x: Tensor, exact: float = 2e-5) -> None:
    """Output, gradients and state of `net`, accelerated, with those of torch's own network in double precision."""
    wanted = copy.deepcopy(net).double()
    channels = x.shape[1]
    leaf, double = (t.detach().requires_grad_(channels > 1) for t in (x, x.double()))
    results = []
    for n, t in ((accelerate(net), leaf), (wanted, double)):
        out = n(t)
        results.append([out, *gradients(out, *([t] if channels > 1 else []), *n.parameters())])
    for a, b in zip(*results, strict=True):
        assert_close(a.double(), b, atol=exact * max(b.abs().max().item(), 1.0), rtol=0)
    for name, value in wanted.state_dict().items():
        assert_close(net.state_dict()[name].to(value.dtype), value, atol=1e-5, rtol=1e-5)


# -------------------------------------------------------------------------------------------------------------- strides


@pytest.mark.parametrize(("channels", "columns"), [(4, 8), (2, 8), (4, 16), (4, 4), (7, 16), (3, 16), (6, 3)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_kernel_rows_that_need_no_filling_up(channels: int, columns: int, layout: torch.memory_format) -> None:
    """Rows of 16 or 32 numbers went to kernels.c in the order that weights lie in, if they were channels_last."""
    net = nn.Sequential(nn.Conv2d(channels, 5, (3, columns))).to(memory_format=layout)
    compare(net, torch.randn(3, channels, 7, 18).to(memory_format=layout))


def strided(x: Tensor) -> Tensor:
    """The same numbers, each two places from the next, and beside the bounds that vectors like."""
    spread = x.new_empty(2 * x.numel() + 1)[1:].view(*x.shape, 2)[..., 0]
    return spread.copy_(x)


def beside_the_bounds(x: Tensor) -> Tensor:
    """The same strides, but the first number lies one place behind a multiple of 64 bytes."""
    moved = x.new_empty(x.numel() + 1)[1:].as_strided(x.shape, x.stride())
    return moved.copy_(x)


@pytest.mark.parametrize("change", [strided, beside_the_bounds])
@pytest.mark.parametrize("build", [first, second, third, alone])
def test_weights_and_images_of_any_strides(
    build: Callable[[], nn.Sequential], change: Callable[[Tensor], Tensor]
) -> None:
    net = build()
    for module in net:
        for name, parameter in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(change(parameter.detach())))
        for name, buffer in list(module.named_buffers(recurse=False)):
            if buffer.is_floating_point():
                setattr(module, name, change(buffer))
    compare(net, change(torch.randn(9, 1 if build is first else 6, 8, 12)))


@pytest.mark.parametrize("build", [first, second])
def test_running_statistics_of_any_strides(build: Callable[[], nn.Sequential]) -> None:
    net = build().eval()
    norm = next(m for m in net if isinstance(m, nn.BatchNorm2d))
    norm.running_mean, norm.running_var = strided(torch.randn(6)), strided(torch.rand(6) + 0.5)
    x = torch.randn(9, 1 if build is first else 6, 8, 12)
    with torch.no_grad():
        want = copy.deepcopy(net).double()(x.double())
        assert_close(accelerate(net)(x).double(), want, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("change", [strided, beside_the_bounds, Tensor.clone])
@pytest.mark.parametrize("build", [first, second, third, alone])
def test_saved_tensors_that_come_back_otherwise(
    build: Callable[[], nn.Sequential], change: Callable[[Tensor], Tensor]
) -> None:
    """As from torch.autograd.graph.save_on_cpu, which may return them with other strides at other places."""
    x = torch.randn(9, 1 if build is first else 6, 8, 12)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: change(t.detach()), lambda t: t):
        compare(build(), x)


@pytest.mark.parametrize("build", [first, second, third, alone])
def test_saved_tensors_on_the_cpu(build: Callable[[], nn.Sequential]) -> None:
    with torch.autograd.graph.save_on_cpu():
        compare(build(), torch.randn(9, 1 if build is first else 6, 8, 12))


@pytest.mark.parametrize("build", [first, second])
def test_a_saved_tensor_of_another_type_is_an_error(build: Callable[[], nn.Sequential]) -> None:
    """Rather than a read past its end."""
    x = torch.randn(9, 1 if build is first else 6, 8, 12)
    with torch.autograd.graph.saved_tensors_hooks(Tensor.half, lambda t: t):
        out = accelerate(build())(x)
        with pytest.raises((RuntimeError, ValueError), match=r"dtype|kernels take"):
            out.sum().backward()


def test_wide_rows() -> None:
    """They do not lie on a thread's stack: rows of 11 MB."""
    net, x = nn.Sequential(nn.Conv2d(7, 1, (1, 3))), torch.randn(1, 7, 1, 400_000, requires_grad=True)
    (want,) = gradients(copy.deepcopy(net)(x), x)
    assert_close(gradients(accelerate(net)(x), x)[0], want, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("build", [first, second, alone])
def test_a_pixel_far_from_all_others(build: Callable[[], nn.Sequential]) -> None:
    """Squares are summed less one pixel of each channel; where it lies apart, rounding showed in the variance."""
    x = torch.randn(64, 1 if build is first else 6, 34, 34)
    if build is first:
        x[0, :, 16:19, 16:19] = 500
    else:
        x[0, :, 0, 0] = 500
    net = build()
    plain = copy.deepcopy(net).double()
    want, got = plain(x.double()), accelerate(net)(x)
    assert_close(got.double(), want, atol=1e-6 * want.abs().max().item(), rtol=0)
    for name, value in plain.state_dict().items():
        assert_close(net.state_dict()[name].to(value.dtype), value, atol=1e-5, rtol=1e-5)


# ----------------------------------------------------------------------------------------------------------- not finite


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("build", [first, second])
@pytest.mark.parametrize("training", [True, False])
def test_what_is_not_finite_comes_out_as_torchs(
    value: float, relu: bool, build: Callable[[int, bool], nn.Sequential], training: bool
) -> None:
    """In one channel of four; by pooling, where NAN wins, by the ReLU, which keeps it, and by the mean and variance."""
    for image, row, column in [(0, 0, 0), (0, 2, 3), (0, 4, 5), (1, 5, 4), (8, 7, 9)]:
        net = build(4, relu).train(training)
        norm = next(m for m in net if isinstance(m, nn.BatchNorm2d))
        with torch.no_grad():
            norm.weight.copy_(torch.tensor([1.0, -1.0, 0.0, 0.5]))
            if isinstance(net[0], nn.Conv2d):
                net[0].weight[0].abs_()  # so that infinity stays infinity in the mean
        x = torch.randn(9, 1 if build is first else 4, 8, 10)
        x[image, 0, row, column] = value
        if build is second:
            x[image, 1, row, column] = x[image, 2, row, column] = value
        with torch.no_grad():
            plain = copy.deepcopy(net)
            want, got = plain(x), accelerate(net)(x)
        assert not want.isfinite().all() or (training and build is first) or relu
        assert_close(got, want, equal_nan=True, atol=1e-4, rtol=1e-4)
        for name, state in plain.state_dict().items():
            assert_close(net.state_dict()[name], state, equal_nan=True, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_pairs_of_pixels_that_are_not_finite(value: float) -> None:
    """All windows of four pixels out of NAN, both infinities and two numbers, as evaluated and pooled by torch."""
    levels = [value, NAN, INF, -INF, 0.5, -0.5]
    windows = torch.tensor(list(itertools.product(levels, repeat=4)))
    x = windows.view(1, -1, 2, 2).permute(0, 2, 1, 3).reshape(1, 1, 2, -1).repeat(2, 4, 1, 1)
    for relu in (True, False):
        net: Any = second(4, relu).eval()
        with torch.no_grad():
            net[0].weight.copy_(torch.tensor([1.0, -1.0, 0.0, 0.5]))
            want = copy.deepcopy(net)(x)
            assert_close(accelerate(net)(x), want, equal_nan=True, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("value", [NAN, INF])
@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("build", [first, second])
def test_gradients_that_are_not_finite_are_where_torchs_are(
    value: float, relu: bool, build: Callable[[int, bool], nn.Sequential]
) -> None:
    """From images or from behind."""
    for where in ("image", "gradient"):
        net = build(3, relu)
        plain = copy.deepcopy(net)
        x = torch.randn(9, 1 if build is first else 3, 8, 8)
        if where == "image":
            x[2, 0, 3, 3] = value
        x.requires_grad_(build is second)
        results = []
        for n in (accelerate(net), plain):
            out = n(x)
            weights = torch.linspace(-1, 2, out.numel()).view(out.shape)
            if where == "gradient":
                weights[3, 0, 1, 1] = value
            results.append(torch.autograd.grad(out, [*[x] * (build is second), *n.parameters()], weights))
        for a, b in zip(*results, strict=True):
            assert torch.equal(a.isfinite(), b.isfinite())
            finite = b.isfinite()
            assert_close(a[finite], b[finite], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("value", [NAN, INF])
@pytest.mark.parametrize("columns", [3, 4, 5])
def test_a_gradient_that_is_not_finite_reaches_no_further_than_its_kernel(value: float, columns: int) -> None:
    """Kernel rows are filled up with zeros, and zero times infinity is not a number."""
    net, x = nn.Sequential(nn.Conv2d(6, 4, (2, columns))), torch.randn(2, 6, 5, 12, requires_grad=True)
    plain = copy.deepcopy(net)
    weights = torch.randn(2, 4, 4, 13 - columns)
    weights[0, 1, 2, 3] = value
    (want,) = torch.autograd.grad(plain(x), x, weights)
    (got,) = torch.autograd.grad(accelerate(net)(x), x, weights)
    assert 0 < (~want.isfinite()).sum() < 6 * 2 * columns + 1
    assert_close(got, want, equal_nan=True, atol=1e-4, rtol=1e-4)


# ---------------------------------------------------------------------------------------------- norms of other settings


@pytest.mark.parametrize(
    "options",
    [
        {"momentum": None},
        {"momentum": 0.0},
        {"momentum": 1.0},
        {"affine": False},
        {"track_running_stats": False},
        {"eps": 0.1},
        {"bias": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("fused", [True, False])
def test_norms_of_other_settings(options: dict[str, Any], fused: bool) -> None:
    """Two steps of training, then evaluation."""
    ours = nn.Sequential(nn.BatchNorm2d(6, **options), *([nn.MaxPool2d(2)] if fused else []))
    theirs = copy.deepcopy(ours).double()
    accelerate(ours)
    for step in range(3):
        for net in (ours, theirs):
            net.train(step < 2)
        x = torch.randn(4, 6, 6, 8)
        with torch.set_grad_enabled(step < 2):
            assert_close(ours(x).double(), theirs(x.double()), atol=2e-5, rtol=0)
        for name, value in theirs.state_dict().items():
            assert_close(ours.state_dict()[name].to(value.dtype), value, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("build", [first, second, alone])
def test_one_value_a_channel_is_torchs_error(build: Callable[[], nn.Sequential]) -> None:
    net = build()
    x = torch.randn(1, 1, 3, 3) if build is first else torch.randn(1, 6, 1, 1)
    plain = copy.deepcopy(net)
    for n in (plain, accelerate(net)):
        with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
            n(x)
    for name, value in plain.state_dict().items():
        assert torch.equal(net.state_dict()[name], value)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("build", [first, second, third, alone])
def test_no_images(build: Callable[[], nn.Sequential], training: bool) -> None:
    net = build().train(training)
    plain = copy.deepcopy(net)
    x = torch.empty(0, 1 if build is first else 6, 8, 12, requires_grad=True)
    want, got = plain(x), accelerate(net)(x)
    assert_close(got, want)
    got.sum().backward()
    want.sum().backward()
    for a, b in zip(net.parameters(), plain.parameters(), strict=True):
        assert_close(a.grad, b.grad)
    for name, value in plain.state_dict().items():
        assert_close(net.state_dict()[name], value, equal_nan=True)


@pytest.mark.parametrize("build", [first, second, alone])
def test_averages_of_weights_get_torchs_statistics(build: Callable[[], nn.Sequential]) -> None:
    """torch.optim.swa_utils.update_bn sets momentum=None for a while."""
    net = build()
    plain = copy.deepcopy(net)
    accelerate(net)
    batches = [torch.randn(4, 1 if build is first else 6, 8, 8) for _ in range(3)]
    for n in (net, plain):
        torch.optim.swa_utils.update_bn(batches, n)
    for name, value in plain.state_dict().items():
        assert_close(net.state_dict()[name], value, atol=1e-5, rtol=1e-5)
    averaged = torch.optim.swa_utils.AveragedModel(net)
    averaged.update_parameters(net)
    assert_close(averaged(batches[0]), net(batches[0]))


def test_a_convolution_of_other_images_is_torchs_error() -> None:
    """Grouped kernels have the shape of those for images of one channel."""
    net = nn.Sequential(nn.Conv2d(6, 6, 3, groups=6, bias=False), nn.BatchNorm2d(6), nn.MaxPool2d(2))
    with pytest.raises(RuntimeError, match="channels"):
        accelerate(net)(torch.randn(2, 1, 8, 8))
