"""Values, gradients and state of an accelerated network are torch's own, whether kernels.c computes a layer or not."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from speed.networks import gradients
from torch import Tensor, nn
from torch.testing import assert_close

from fc2conv.speed import accelerate, kernels

pytestmark = pytest.mark.usefixtures("one_thread", "instructions")


@pytest.fixture(params=[True, False], ids=["kernels", "torch alone"])
def compiled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, instructions: str) -> bool:
    """With kernels.c, and as where there was no compiler."""
    if not request.param:
        monkeypatch.setattr(kernels, "library", None)
    return bool(request.param)


def accelerated(*layers: nn.Module) -> Any:
    """Of no type: the checker does not know the layers of an nn.Sequential."""
    return accelerate(nn.Sequential(*layers))


@pytest.mark.parametrize("channels", [1, 3, 6, 7, 8, 16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("offset", "scale", "tolerance"), [(0.0, 1.0, 1e-5), (100.0, 0.1, 3e-3)])
def test_batch_norm_is_torchs(
    channels: int, layout: torch.memory_format, offset: float, scale: float, tolerance: float
) -> None:
    """Two steps of training and one of evaluation, against torch in double precision."""
    ours, theirs = accelerated(nn.BatchNorm2d(channels)), nn.Sequential(nn.BatchNorm2d(channels)).double()
    with torch.no_grad():
        ours[0].weight.normal_()
        ours[0].bias.normal_()
    theirs.load_state_dict(ours.state_dict())
    for training in (True, True, False):
        ours.train(training)
        theirs.train(training)
        x = (torch.randn(5, channels, 4, 3) * scale + offset).to(memory_format=layout).requires_grad_()
        exact = x.detach().double().requires_grad_()
        got, want = ours(x), theirs(exact)
        # the test is of our own arithmetic, where it is meant to be used
        assert (type(got.grad_fn).__name__ == "_NormRowsBackward") == (training and channels < 8)
        ours_all = (got, *gradients(got, x, *ours.parameters()))
        for a, b in zip(ours_all, (want, *gradients(want, exact, *theirs.parameters())), strict=True):
            assert_close(a.double(), b, atol=tolerance * b.abs().max().item(), rtol=0)
        assert ours.state_dict().keys() == theirs.state_dict().keys()
        for name, value in theirs.state_dict().items():
            assert_close(ours.state_dict()[name].to(value.dtype), value, atol=1e-5, rtol=1e-5)
    assert int(ours[0].num_batches_tracked) == 2


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
    channels: int, options: dict[str, Any], ours_used: bool, layout: torch.memory_format, compiled: bool
) -> None:
    ours = accelerated(nn.Conv2d(channels, 10, (3, 5), **options)).to(memory_format=layout)
    theirs = nn.Sequential(nn.Conv2d(channels, 10, (3, 5), **options)).double()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(5, channels, 9, 11).to(memory_format=layout)
    out = compare(ours, theirs, x)
    assert (type(out.grad_fn).__name__ == "_ConvBackward") == (ours_used and compiled)
    assert type(compare(ours, theirs, x, leaf=False).grad_fn).__name__ != "_ConvBackward"


@pytest.mark.parametrize("kernel", [(1, 16), (3, 3), (5, 5), (4, 7), (7, 9), (2, 11)])
@pytest.mark.parametrize(("maps", "size"), [(1, (9, 18)), (16, (14, 14)), (7, (8, 25))])
def test_input_gradient_of_any_kernel_is_torchs(kernel: tuple[int, int], maps: int, size: tuple[int, int]) -> None:
    """Kernels that reach over the whole image among them, and rows of more than one run of 32."""
    if kernel[1] > size[1]:
        kernel = (kernel[0], size[1])
    ours = accelerated(nn.Conv2d(6, maps, kernel)).to(memory_format=torch.channels_last)
    theirs = copy.deepcopy(ours).double()
    out = compare(ours, theirs, torch.randn(3, 6, *size).to(memory_format=torch.channels_last))
    assert type(out.grad_fn).__name__ == "_ConvBackward"


def stages(
    channels: int, pool: nn.Module, conv: nn.Module | None = None, activation: nn.Module | None = None
) -> tuple[Any, Any]:
    """(A convolution,) a norm, a pooling (and an activation) as ours in single and as torch's in double precision."""
    front, back = [] if conv is None else [conv], [pool] if activation is None else [pool, activation]
    ours = accelerated(*front, nn.BatchNorm2d(channels), *back)
    with torch.no_grad():
        ours[len(front)].weight.uniform_(0.5, 1.5)
        ours[len(front)].weight[1::2].neg_()
        ours[len(front)].bias.normal_()
    theirs = nn.Sequential(*copy.deepcopy(ours)).double()
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


def spy(monkeypatch: pytest.MonkeyPatch, kind: type[nn.Module], called: list[nn.Module], module: nn.Module) -> None:
    """Note when `module`, of this kind, is called by itself; a hook would see to it that it is."""
    forward = kind.forward

    def noted(self: nn.Module, *arguments: Any) -> Any:
        if self is module:
            called.append(self)
        return forward(self, *arguments)

    monkeypatch.setattr(kind, "forward", noted)


def is_joined(out: Tensor, conv: bool = False) -> bool:
    """Whether the norm and the pooling, and the convolution in front of them, were one operation."""
    return type(out.grad_fn).__name__ == ("_StageNodeBackward" if conv else "_NormPoolBackward")


@pytest.mark.parametrize("channels", [1, 3, 6, 7, 8, 16, 64, 65])
@pytest.mark.parametrize("size", [(5, 4, 6), (1, 4, 4), (3, 7, 6), (2, 2, 3), (4, 2, 2)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("activation", [None, nn.ReLU(), nn.Sigmoid()])
def test_norm_and_pooling_are_torchs(
    channels: int, size: tuple[int, int, int], layout: torch.memory_format, activation: nn.Module | None, compiled: bool
) -> None:
    ours, theirs = stages(channels, nn.MaxPool2d(2, 2), activation=activation)
    b, h, w = size
    for training in (True, True, False):
        ours.train(training)
        theirs.train(training)
        x = torch.randn(b, channels, h, w).to(memory_format=layout)
        out = compare(ours, theirs, x)
        if not isinstance(activation, nn.Sigmoid):
            even = h % 2 == 0 and w % 2 == 0
            assert is_joined(out) == (compiled and training and channels <= 64 and even)
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
    kernel_size: int | None, weight: float, evaluating: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the running statistics; as one operation where no gradient is wanted and windows are whole."""
    conv = None if kernel_size is None else nn.Conv2d(1, 6, kernel_size, padding=2, bias=False)
    pooled: list[nn.Module] = []
    ours, theirs = stages(6, nn.MaxPool2d(2, 2), conv)
    spy(monkeypatch, nn.MaxPool2d, pooled, ours[-1])
    x = torch.randn(4, 6 if conv is None else 1, 12, 8)
    for net in (ours, theirs):
        norm = net[-2]
        norm.running_mean.copy_(torch.linspace(-1, 1, 6))
        norm.running_var.copy_(torch.linspace(0.5, 2, 6))
        nn.init.constant_(norm.weight[3:4], weight)
        net.train(not evaluating)
    with torch.no_grad():
        assert_close(ours(x).double(), theirs(x.double()), atol=2e-5, rtol=0)
    assert (not pooled) == (kernel_size != 4)


@pytest.mark.parametrize("weight", [-1.0, 0.0, 1e-20, -1e-20])
def test_pooling_first_with_weights_of_any_sign(weight: float) -> None:
    """The maximum of the scaled pixels is the scaled minimum under a negative weight, and their first under none."""
    ours, theirs = stages(6, nn.MaxPool2d(2, 2))
    for net in (ours, theirs):
        nn.init.constant_(net[0].weight[2:3], weight)
    x = torch.randn(4, 6, 6, 6)
    if abs(weight) == 1e-20:  # all pixels of torch's output are the bias, so that it takes the first for the largest
        assert_close(ours(x).double(), theirs(x.double()), atol=1e-5, rtol=0)
    else:
        assert is_joined(compare(ours, theirs, x))


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
    assert not is_joined(compare(ours, theirs, torch.randn(3, 6, 8, 6)))


def test_norm_and_pooling_in_double_precision_are_torchs_own() -> None:
    ours, theirs = stages(6, nn.MaxPool2d(2, 2))
    assert not is_joined(compare(ours.double(), theirs, torch.randn(3, 6, 4, 4).double(), exact=1e-12))


@pytest.mark.parametrize(
    ("options", "whole"),
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
def test_convolution_norm_and_pooling_are_torchs(
    options: dict[str, Any], whole: bool, leaf: bool, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    conv = nn.Conv2d(1, 6, bias=False, **options)
    ours, theirs = stages(6, nn.MaxPool2d(2, 2), conv)
    called: list[nn.Module] = []
    spy(monkeypatch, nn.Conv2d, called, ours[0])
    x = torch.randn(4, 1, 12, 8)
    x[:, :, :8] = 0.5  # a background, where the pixels of a window are equal
    whole = whole and not leaf and compiled
    out = compare(ours, theirs, x, leaf)
    assert is_joined(out, conv=whole) == (compiled and options["kernel_size"] != 4)
    assert (not called) == whole


@pytest.mark.parametrize(
    ("kernel_size", "padding"),
    [((1, 1), (0, 0)), ((3, 3), (1, 1)), ((4, 2), (1, 2)), ((7, 3), (5, 1)), ((9, 9), (4, 4))],
)
@pytest.mark.parametrize(("images", "maps"), [(1, 1), (7, 2), (8, 3), (9, 5), (17, 64), (2, 65)])
@pytest.mark.parametrize("activation", [None, nn.ReLU()])
def test_first_stages_of_any_shape_are_torchs(
    kernel_size: tuple[int, int], padding: tuple[int, int], images: int, maps: int, activation: nn.Module | None
) -> None:
    """Kernels larger than the image among them, and images that fill no vector."""
    conv = nn.Conv2d(1, maps, kernel_size, padding=padding, bias=False)
    ours, theirs = stages(maps, nn.MaxPool2d(2), conv, activation)
    x = torch.randn(images, 1, 7 if kernel_size[0] == 4 else 6, 8 if kernel_size[1] != 2 else 9)
    for training in (True, True, False):
        ours.train(training)
        theirs.train(training)
        assert is_joined(compare(ours, theirs, x, leaf=False), conv=True) == (training and maps <= 64)


@pytest.mark.parametrize(("size", "whole"), [((90, 90), True), ((90, 92), False), ((2, 4050), True)])
def test_large_images_are_left_to_torch(size: tuple[int, int], whole: bool) -> None:
    """Padded, eight of them would not fit into a core's cache."""
    ours, theirs = stages(2, nn.MaxPool2d(2), nn.Conv2d(1, 2, 1, bias=False))
    assert is_joined(compare(ours, theirs, torch.randn(9, 1, *size), leaf=False, exact=1e-4), conv=whole)


def test_first_stage_far_from_zero() -> None:
    """Where float32 leaves torch itself no gradient of the kernels that is worth the name; the others are exact."""
    ours, theirs = stages(6, nn.MaxPool2d(2), nn.Conv2d(1, 6, 5, bias=False))
    x = torch.randn(8, 1, 16, 14) * 0.1 + 100
    got, want = ours(x), theirs(x.double())
    assert is_joined(got, conv=True)
    assert_close(got.double(), want, atol=3e-3, rtol=0)
    for a, b in zip(gradients(got, *ours[1].parameters()), gradients(want, *theirs[1].parameters()), strict=True):
        assert_close(a.double(), b, atol=3e-3 * b.abs().max().item(), rtol=0)


def test_the_first_of_equal_pixels_gets_the_gradient_after_a_convolution_too() -> None:
    """Pixels are equal where the kernel is its centre alone, but what the rest of it would have seen is not."""
    conv = nn.Conv2d(1, 6, 5, padding=2, bias=False)
    with torch.no_grad():
        conv.weight[:, :, [0, 1, 3, 4]] = 0
        conv.weight[:, :, :, [0, 1, 3, 4]] = 0
    ours, theirs = stages(6, nn.MaxPool2d(2), conv)
    levels = torch.cartesian_prod(*[torch.arange(3.0)] * 4).view(9, 9, 2, 2)
    x = levels.permute(0, 2, 1, 3).reshape(1, 1, 18, 18)
    assert is_joined(compare(ours, theirs, x, leaf=False), conv=True)


def test_there_is_no_second_derivative() -> None:
    """Rather an error than a wrong one."""
    for net in (accelerated(nn.BatchNorm2d(6)), stages(6, nn.MaxPool2d(2, 2))[0], accelerated(nn.Conv2d(6, 2, 4))):
        x = torch.randn(3, 6, 4, 4, requires_grad=True)
        (dx,) = torch.autograd.grad(net(x).square().sum(), x, create_graph=True)
        with pytest.raises(RuntimeError, match="once_differentiable"):
            dx.sum().backward()  # type: ignore[no-untyped-call]


def test_the_number_of_threads_does_not_matter() -> None:
    """To the bit: sums are taken image by image, then in the order of the images."""
    norm, conv = stages(16, nn.MaxPool2d(2), nn.Conv2d(6, 16, 5))[0], accelerated(nn.Conv2d(6, 16, 5))
    start, _ = stages(6, nn.MaxPool2d(2), nn.Conv2d(1, 6, 5, bias=False))
    x, results = torch.randn(131, 6, 14, 14).to(memory_format=torch.channels_last), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        leaf, pixels = x.clone().requires_grad_(), torch.randn(131, 16, 10, 10, generator=torch.manual_seed(1))
        (dx,) = gradients(conv(leaf), leaf)
        pixels = pixels.to(memory_format=torch.channels_last).requires_grad_()
        out = norm[1:](pixels)
        assert is_joined(out)
        first = start(x[:, :1])
        assert is_joined(first, conv=True)
        results.append(
            (
                *(dx, out, first, *gradients(out, pixels, *norm[1].parameters())),
                *gradients(first, *start.parameters()),
            )
        )
    torch.set_num_threads(1)
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


def test_threads_do_not_share_their_memory() -> None:
    """Tried some times, with more to do, since threads that get no core at once work one after the other."""
    start, _ = stages(6, nn.MaxPool2d(2), nn.Conv2d(1, 6, 5, bias=False))
    x = torch.randn(256, 1, 28, 28)
    out = start(x)
    wanted = [out, *gradients(out, *start.parameters())]
    torch.set_num_threads(2)
    for _ in range(20):
        out = start(x)
        for a, b in zip([out, *gradients(out, *start.parameters())], wanted, strict=True):
            assert torch.equal(a, b)
    torch.set_num_threads(1)


@pytest.mark.parametrize("wrong", ["channels", "maps", "dtype"])
def test_what_does_not_fit_is_torchs_error(wrong: str) -> None:
    """kernels.c would read past the end of it."""
    conv = nn.Conv2d(1, 5 if wrong == "maps" else 6, 5, padding=2, bias=False)
    ours, _ = stages(6, nn.MaxPool2d(2, 2))
    if wrong == "dtype":
        ours.double()
    net = ours if wrong != "maps" else accelerated(conv, *ours)
    x = torch.randn(3, {"channels": 5, "maps": 1, "dtype": 6}[wrong], 8, 8)
    with pytest.raises(RuntimeError):
        net(x)
