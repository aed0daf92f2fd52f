"""accelerate(): the same network, which steps aside for whatever needs the layers' own operations."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from speed.networks import BACKWARD, FORWARD, lenet
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.modules import module as every_module
from torch.nn.utils import parametrize, prune
from torch.overrides import TorchFunctionMode
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from fc2conv.speed import accelerate, describe, kernels
from fc2conv.speed.accelerated import Accelerated

pytestmark = [
    pytest.mark.usefixtures("one_thread", "instructions"),
    pytest.mark.filterwarnings("ignore:Full backward hook is firing"),
]

IMAGES = (9, 1, 28, 28)


def images(seed: int = 1) -> Tensor:
    return torch.randn(IMAGES, generator=torch.Generator().manual_seed(seed))


def train(net: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 3) -> None:
    for step in range(steps):
        optimizer.zero_grad()
        net(images(step)).square().mean().backward()
        optimizer.step()


def test_it_trains_as_torchs_network(calls: list[str]) -> None:
    """Three steps with an optimiser that was made before."""
    plain, net = lenet(), lenet()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    parameters, state = list(net.parameters()), list(net.state_dict())
    assert accelerate(net) is net
    assert all(a is b for a, b in zip(net.parameters(), parameters, strict=True))
    assert list(net.state_dict()) == state
    assert all(a is b for a, b in zip(net, dict(net.named_children()).values(), strict=True))
    train(net, optimizer)
    assert calls == (FORWARD + BACKWARD) * 3
    train(plain, torch.optim.SGD(plain.parameters(), lr=0.1))
    for (name, a), b in zip(net.state_dict().items(), plain.state_dict().values(), strict=True):
        assert_close(a, b, atol=1e-4, rtol=1e-4, msg=f"{name}: {{}}".format)


def test_evaluation_is_torchs(calls: list[str]) -> None:
    net = lenet()
    train(net, torch.optim.SGD(net.parameters(), lr=0.1))
    net.eval()
    with torch.inference_mode():
        want = net(images())
        assert_close(accelerate(net)(images()), want, atol=1e-5, rtol=1e-5)
    assert calls == FORWARD
    assert torch.equal(net(images()), want)  # with gradients wanted: torch's
    assert calls == FORWARD


class Residual(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return y + x[:, :, ::2, ::2]


def test_nested_networks_are_accelerated(calls: list[str]) -> None:
    body = nn.Sequential(nn.BatchNorm2d(16), nn.MaxPool2d(2))
    net = nn.Sequential(nn.Sequential(nn.Conv2d(1, 16, 3)), nn.ModuleList([Residual(body)])[0])
    want = copy.deepcopy(net).double()(images().double())
    assert_close(accelerate(net)(images()).double(), want, atol=1e-5, rtol=1e-5)
    assert calls == ["norm_pool_forward"]
    assert type(body) is Accelerated
    assert describe(net) == f"{kernels.instructions}: 1.body.0+1.body.1"


def test_only_torchs_own_classes_are_changed() -> None:
    class Doubled(nn.Sequential):
        def forward(self, input: Tensor) -> Tensor:
            return 2 * super().forward(input)  # type: ignore[no-any-return, no-untyped-call]

    class Shifted(nn.Conv2d):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input) + 1

    def net() -> nn.Sequential:
        torch.manual_seed(0)
        conv = Shifted(1, 6, 5, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(6), nn.MaxPool2d(2), Doubled(nn.BatchNorm2d(6), nn.MaxPool2d(2)))

    assert_close(accelerate(net())(images()), net()(images()), atol=1e-5, rtol=1e-5)


def test_copies_and_pickles_are_accelerated(calls: list[str]) -> None:
    net = accelerate(lenet())
    want = net(images())
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net)), copy.copy(net)):
        assert type(other) is Accelerated
        calls.clear()
        assert torch.equal(other(images()), want)
        assert calls == FORWARD
    assert list(copy.deepcopy(net).state_dict()) == list(lenet().state_dict())


def test_without_a_library_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    before = accelerate(lenet())
    monkeypatch.setattr(kernels, "library", None)
    net = accelerate(lenet())
    assert type(net) is nn.Sequential
    assert describe(net) == describe(before) == "none"
    assert torch.equal(before(images()), net(images()))  # one that was accelerated where there were kernels


def test_a_torch_that_does_not_say_what_is_active_gets_no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.autograd.forward_ad, "_current_level")
    assert type(accelerate(lenet())) is nn.Sequential


def test_what_is_described() -> None:
    name = kernels.instructions
    assert describe(lenet()) == "none"
    assert describe(accelerate(lenet())) == f"{name}: conv1+norm1+pool1+relu1, conv2, norm2+pool2+relu2"
    assert describe(accelerate(nn.Sequential(nn.Linear(3, 2)))) == "none"
    odd = nn.Sequential(
        *(nn.Conv2d(1, 6, 5), nn.BatchNorm2d(6), nn.MaxPool2d(2), nn.Sigmoid()),
        *(nn.BatchNorm2d(6, affine=False), nn.MaxPool2d(2), nn.BatchNorm2d(6), nn.AvgPool2d(2)),
        *(nn.BatchNorm2d(8), nn.Conv2d(6, 6, 1), nn.Conv2d(6, 6, 5, stride=2)),
    )
    assert describe(accelerate(odd)) == f"{name}: 1+2, 6"  # the convolution has a bias


# ------------------------------------------------------------------------------------------------------- stepping aside


@pytest.mark.parametrize("layer", ["conv1", "norm1", "pool1", "relu1"])
@pytest.mark.parametrize(
    "kind",
    [
        "register_forward_hook",
        "register_forward_pre_hook",
        "register_full_backward_hook",
        "register_full_backward_pre_hook",
    ],
)
def test_a_hook_on_a_layer_is_called(layer: str, kind: str, calls: list[str]) -> None:
    called = []
    net = accelerate(lenet())
    handle = getattr(net.get_submodule(layer), kind)(lambda *_: called.append(layer))
    net(images()).sum().backward()
    assert called == [layer]
    assert "stage_forward" not in calls
    handle.remove()
    net(images())
    assert called == [layer]
    assert calls[-2:] == FORWARD


@pytest.mark.parametrize("layer", ["conv2", "norm2"])
def test_a_hook_on_a_single_layer_is_called(layer: str, calls: list[str]) -> None:
    """The convolution of few channels is not joined with others, but not called by itself either."""
    called = []
    net = accelerate(lenet())
    net.get_submodule(layer).register_forward_hook(lambda *_: called.append(layer))
    net(images()).sum().backward()
    assert called == [layer]
    assert ("convolution_input_gradient" in calls) == (layer != "conv2")


def test_a_hook_on_a_lone_norm_is_called() -> None:
    called = []
    net = accelerate(nn.Sequential(nn.BatchNorm2d(6)))
    x = torch.randn(4, 6, 5, 5, requires_grad=True)
    assert type(net(x).grad_fn).__name__ == "_NormRowsBackward"
    net[0].register_forward_hook(lambda *_: called.append("norm"))
    assert type(net(x).grad_fn).__name__ != "_NormRowsBackward"
    assert called == ["norm"]


@pytest.mark.parametrize(
    "kind",
    [
        "register_module_forward_hook",
        "register_module_forward_pre_hook",
        "register_module_full_backward_hook",
        "register_module_full_backward_pre_hook",
    ],
)
def test_a_hook_on_all_modules_is_called(kind: str, calls: list[str]) -> None:
    called: list[nn.Module] = []
    net = accelerate(lenet())
    handle = getattr(every_module, kind)(lambda module, *_: called.append(module))
    try:
        net(images()).sum().backward()
    finally:
        handle.remove()
    assert set(net.children()) <= set(called)
    assert calls == []


def test_a_layer_that_computes_something_else_is_called(calls: list[str]) -> None:
    """By its own forward, by a parametrization, or by a hook of torch's pruning."""
    changes: list[Callable[[Any], Any]] = [
        lambda net: setattr(net.relu1, "forward", torch.abs),
        lambda net: parametrize.register_parametrization(net.conv1, "weight", nn.Tanh()),
        lambda net: prune.l1_unstructured(net.conv1, "weight", 0.5),  # type: ignore[no-untyped-call]
    ]
    for change in changes:
        nets = lenet(), accelerate(lenet())
        for net in nets:
            change(net)
        assert_close(nets[1](images()), nets[0](images()), atol=1e-5, rtol=1e-5)
        assert "stage_forward" not in calls


def traced(net: nn.Module) -> Any:
    return torch.jit.trace(  # type: ignore[no-untyped-call]
        net, images(), check_trace=False
    )


def exported(net: nn.Module) -> Any:
    return torch.export.export(net, (images(),)).module(check_guards=False)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize(
    "change",
    [
        lambda net: torch.compile(net, fullgraph=True, backend="eager"),
        lambda net: torch.compile(net, fullgraph=True, backend="aot_eager"),
        traced,
        exported,
        torch.fx.symbolic_trace,
    ],
    ids=["compiled", "compiled with autograd", "traced", "exported", "symbolically traced"],
)
def test_what_is_traced_is_torchs(change: Callable[[nn.Module], Any], calls: list[str]) -> None:
    torch.compiler.reset()
    net, plain = accelerate(lenet()), lenet()
    with torch.no_grad():
        want = plain(images())
    assert_close(change(net)(images()), want, atol=1e-5, rtol=1e-5)
    assert calls == []


def weights(net: nn.Module) -> dict[str, Tensor]:
    return {**dict(net.named_parameters()), **dict(net.named_buffers())}


def autocast(net: Any, x: Tensor) -> Any:
    with torch.autocast("cpu", torch.bfloat16):
        return net(x)


def gradients_of_images(net: Any, x: Tensor) -> Any:
    net.eval()

    def loss(x: Tensor) -> Any:
        return net(x).square().sum()

    return torch.func.vmap(torch.func.grad(lambda x: loss(x[None])))(x)


def ensemble(net: Any, x: Tensor) -> Any:
    net.eval()
    stacked = {name: torch.stack((t, 2 * t)) for name, t in weights(net).items() if t.is_floating_point()}
    with torch.no_grad():
        return torch.func.vmap(lambda w: torch.func.functional_call(net, w, x))(stacked)


def slope_forwards(net: Any, x: Tensor) -> Any:
    with forward_ad.dual_level():
        dual: Any = forward_ad
        return dual.unpack_dual(net(dual.make_dual(x, torch.ones_like(x)))).tangent


def second_derivative(net: Any, x: Tensor) -> Any:
    net.eval()

    def loss(x: Tensor) -> Any:
        return net(x).square().sum()

    return torch.func.jvp(torch.func.grad(loss), (x,), (torch.ones_like(x),))[1]


def counted(net: nn.Module, x: Tensor) -> Tensor:
    with FlopCounterMode(display=False) as counter:
        net(x)
    return torch.tensor(counter.get_total_flops())


@pytest.mark.parametrize(
    "how",
    [autocast, gradients_of_images, ensemble, slope_forwards, second_derivative, counted],
    ids=lambda f: f.__name__,
)
@pytest.mark.filterwarnings("ignore:There is a performance drop", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_modes_of_torch_see_its_own_operations(how: Callable[[nn.Module, Tensor], Tensor], calls: list[str]) -> None:
    assert torch.equal(how(accelerate(lenet()), images()), how(lenet(), images()))
    assert calls == []


class Functions(TorchFunctionMode):
    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return function(*args, **(kwargs or {}))


class Operations(TorchDispatchMode):
    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("mode", [Functions, Operations])
def test_any_mode_sees_torchs_own_operations(mode: Callable[[], Any], calls: list[str]) -> None:
    with mode():
        accelerate(lenet())(images())
    assert calls == []


def test_a_layer_that_was_compiled_by_itself_is_called(calls: list[str]) -> None:
    net: Any = accelerate(lenet())
    net.relu1.compile(backend="eager")
    with torch.no_grad():
        net(images())
    assert calls == ["norm_pool_forward"]


def test_weights_of_another_call_are_used(calls: list[str]) -> None:
    """torch.func.functional_call, without a transform around it."""
    other = lenet(seed=1)
    with torch.no_grad():
        got = torch.func.functional_call(accelerate(lenet()), weights(other), images())
        assert calls == FORWARD
        assert_close(got, lenet(seed=1)(images()), atol=1e-5, rtol=1e-5)


def test_subclasses_of_tensors_are_left_to_torch(calls: list[str]) -> None:
    class Named(Tensor):
        pass

    out = accelerate(lenet())(images().as_subclass(Named))
    assert type(out) is Named
    assert calls == []
    net: Any = accelerate(lenet())
    net.norm1.weight = nn.Parameter(net.norm1.weight.detach().as_subclass(Named))
    assert type(net(images())) is Named
    assert calls == []


def test_what_follows_may_write_to_the_output(calls: list[str]) -> None:
    """Pooling does not need its output for its gradient, so neither do the kernels."""
    first = nn.Sequential(nn.Conv2d(1, 6, 5, bias=False), nn.BatchNorm2d(6), nn.MaxPool2d(2))
    second = nn.Sequential(nn.Conv2d(6, 16, 3, bias=False), nn.BatchNorm2d(16), nn.MaxPool2d(2))
    net = nn.Sequential(first, nn.ReLU(inplace=True), second, nn.ReLU(inplace=True))
    plain = copy.deepcopy(net).double()
    x = torch.randn(3, 1, 16, 16)
    accelerate(net)(x).square().sum().backward()
    plain(x.double()).square().sum().backward()
    assert {"stage_backward", "norm_pool_backward"} < set(calls)
    for a, b in zip(net.parameters(), plain.parameters(), strict=True):
        assert a.grad is not None
        assert b.grad is not None
        assert_close(a.grad.double(), b.grad, atol=1e-5 * b.grad.abs().max().item() + 1e-6, rtol=0)


def test_a_fused_relu_in_place_is_torchs(calls: list[str]) -> None:
    net = nn.Sequential(nn.BatchNorm2d(6), nn.MaxPool2d(2), nn.ReLU(inplace=True))
    x = torch.randn(3, 6, 4, 4)
    want = copy.deepcopy(net)(x)
    assert_close(accelerate(net)(x), want, atol=1e-5, rtol=1e-5)
    assert calls == ["norm_pool_forward"]
