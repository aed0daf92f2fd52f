"""The networks are plain torch: what torch offers for modules works on LeNet's `net`, for the book's and a modern one.
Their names are the package's, and cost nothing until they are used."""

from __future__ import annotations

import copy
import inspect
import io
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

import fc2conv
from fc2conv import LeNet
from fc2conv.architectures.lenet import LeNetConfig

pytestmark = pytest.mark.usefixtures("one_thread")

LENET = {
    "conv1": nn.Conv2d,
    "sigmoid1": nn.Sigmoid,
    "pool1": nn.AvgPool2d,
    "conv2": nn.Conv2d,
    "sigmoid2": nn.Sigmoid,
    "pool2": nn.AvgPool2d,
    "flatten": nn.Flatten,
    "linear3": nn.Linear,
    "sigmoid3": nn.Sigmoid,
    "linear4": nn.Linear,
    "sigmoid4": nn.Sigmoid,
    "output": nn.Linear,
}
MODERN = {
    "conv1": nn.Conv2d,
    "norm1": nn.BatchNorm2d,
    "pool1": nn.MaxPool2d,
    "relu1": nn.ReLU,
    "conv2": nn.Conv2d,
    "norm2": nn.BatchNorm2d,
    "pool2": nn.MaxPool2d,
    "relu2": nn.ReLU,
    "flatten": nn.Flatten,
    "linear3": nn.Linear,
    "relu3": nn.ReLU,
    "linear4": nn.Linear,
    "relu4": nn.ReLU,
    "output": nn.Linear,
}
"""Pooling ahead of the ReLU gives the same and touches a quarter of the values."""
Networks = Callable[[], LeNet]


def lenet() -> LeNet:
    torch.manual_seed(0)
    return LeNet()


def modern() -> LeNet:
    torch.manual_seed(0)
    return LeNet(activation="relu", pool="max", norm="batch", bias=False)


both = pytest.mark.parametrize("make", [lenet, modern])
modes = pytest.mark.parametrize("mode", ["train", "eval"])


def images(n: int = 4) -> Tensor:
    return torch.randn(n, 1, 28, 28, generator=torch.Generator().manual_seed(1))


def gradients(net: nn.Module, function: Callable[[Tensor], Tensor], x: Tensor) -> list[Tensor]:
    """Of the summed squares with respect to the weights and the images."""
    x = x.clone().requires_grad_()
    return list(torch.autograd.grad(function(x).square().sum(), [x, *net.parameters()]))


def check_same(net: nn.Module, other: Callable[[Tensor], Tensor], x: Tensor) -> None:
    """Outputs, and gradients, with `other` a function of the same parameters."""
    with torch.no_grad():
        assert_close(other(x), net(x))
    for a, b in zip(gradients(net, other, x), gradients(net, net, x), strict=True):
        assert_close(a, b)


# --------------------------------------------------------------------------------------------------- what it is made of


@pytest.mark.parametrize(("make", "layers"), [(lenet, LENET), (modern, MODERN)])
def test_torchs_own_layers_under_their_names(make: Networks, layers: dict[str, type[nn.Module]]) -> None:
    net = make().net
    assert type(net) is nn.Sequential
    assert {name: type(module) for name, module in net.named_children()} == layers


def test_lenet_is_what_the_book_writes() -> None:
    """D2L 7.6, with its weights copied from one to the other."""
    net = lenet().net
    book = nn.Sequential(
        *(nn.Conv2d(1, 6, kernel_size=5, padding=2), nn.Sigmoid(), nn.AvgPool2d(kernel_size=2, stride=2)),
        *(nn.Conv2d(6, 16, kernel_size=5), nn.Sigmoid(), nn.AvgPool2d(kernel_size=2, stride=2), nn.Flatten()),
        *(nn.Linear(400, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, 10)),
    )
    for ours, theirs in zip(net.parameters(), book.parameters(), strict=True):
        theirs.data.copy_(ours.data)
    assert_close(net(images()), book(images()))


@both
@modes
def test_hooks_fire_on_every_layer(make: Networks, mode: str) -> None:
    net = make().net.train(mode == "train")
    fired: list[str] = []
    for name, module in net.named_children():
        module.register_forward_pre_hook(lambda m, inputs, name=name: fired.append(f"before {name}"))
        module.register_forward_hook(lambda m, inputs, output, name=name: fired.append(name))
        module.register_full_backward_hook(lambda m, inputs, outputs, name=name: fired.append(f"back {name}"))
    net(images().requires_grad_()).sum().backward()
    names = list(dict(net.named_children()))
    assert fired == [f for n in names for f in (f"before {n}", n)] + [f"back {n}" for n in reversed(names)]


@both
def test_a_hook_changes_the_output(make: Networks) -> None:
    net = make().net.eval()
    expected = net(images())
    net.linear4.register_forward_hook(lambda m, inputs, output: torch.zeros_like(output))
    activated = net[-2](torch.zeros(4, 84))
    assert_close(net(images()), net.output(activated))
    assert not torch.allclose(net(images()), expected)


# -------------------------------------------------------------------------------------------------------------- copies


@both
def test_deepcopy_and_pickle(make: Networks) -> None:
    net = make().net
    net(images())  # running statistics
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert_close(twin.state_dict(), net.state_dict(), rtol=0, atol=0)
        assert all(a is not b for a, b in zip(twin.parameters(), net.parameters(), strict=True))
        assert_close(twin.eval()(images()), copy.deepcopy(net).eval()(images()), rtol=0, atol=0)


@both
def test_the_module_is_copied_and_pickled_too(make: Networks) -> None:
    module = make()
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert type(twin) is LeNet
        assert (twin.config, twin.hparams) == (module.config, module.hparams)
        assert_close(twin.state_dict(), module.state_dict(), rtol=0, atol=0)


@both
def test_weights_are_saved_and_loaded(make: Networks) -> None:
    net, file = make().net, io.BytesIO()
    net(images())
    torch.save(net.state_dict(), file)
    file.seek(0)
    other = LeNet(make().config).net
    other.load_state_dict(torch.load(file, weights_only=True))
    assert_close(other.eval()(images()), net.eval()(images()), rtol=0, atol=0)


# --------------------------------------------------------------------------------------------------- compile and export


@both
@modes
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compile(make: Networks, mode: str, backend: str) -> None:
    net = make().net.train(mode == "train")
    twin = copy.deepcopy(net)  # its running statistics move as well
    torch.compiler.reset()
    compiled = torch.compile(twin, fullgraph=True, backend=backend)
    with torch.no_grad():
        assert_close(compiled(images()), net(images()))
    for a, b in zip(gradients(twin, compiled, images()), gradients(net, net, images()), strict=True):
        assert_close(a, b, rtol=1e-3, atol=1e-4)
    assert_close(twin.state_dict(), net.state_dict())


@both
@modes
def test_export(make: Networks, mode: str) -> None:
    """Any number of images."""
    net = make().net.train(mode == "train")
    batch = torch.export.Dim("batch", min=2)
    program = torch.export.export(copy.deepcopy(net), (images(),), dynamic_shapes=({0: batch},))
    exported = program.module()
    for n in (4, 7):
        assert_close(exported(images(n)), copy.deepcopy(net)(images(n)), rtol=1e-4, atol=1e-5)
        net(images(n))  # as the exported one's statistics did
    assert len(program.state_dict) == len(net.state_dict())


@both
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_onnx(make: Networks, tmp_path: Path) -> None:
    """What onnx's own interpreter makes of it."""
    onnx = pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    net = make().net.eval()
    torch.onnx.export(
        net, (images(),), tmp_path / "net.onnx", input_names=["x"], dynamo=True, external_data=False, verbose=False
    )
    model = onnx.load(tmp_path / "net.onnx")
    onnx.checker.check_model(model)
    others = images(8)[4:]
    [found] = ReferenceEvaluator(model).run(None, {"x": others.numpy()})
    assert_close(torch.from_numpy(found), net(others).detach(), rtol=1e-4, atol=1e-5)


@both
@modes
@pytest.mark.filterwarnings("ignore:.*torch.jit.trace", "ignore::torch.jit.TracerWarning")
def test_jit_trace(make: Networks, mode: str) -> None:
    net = make().net.train(mode == "train")
    traced = torch.jit.trace(net, images(), check_trace=False)
    check_same(net, traced, images(6))


# ---------------------------------------------------------------------------------------------------------- derivatives


@both
@modes
def test_without_gradients(make: Networks, mode: str) -> None:
    net = make().net.train(mode == "train")
    with torch.no_grad():
        frozen = net(images())
    with torch.inference_mode():
        inferred = net(images())
    assert not frozen.requires_grad
    assert_close(frozen, net(images()).detach())
    assert_close(inferred, frozen)


@both
@modes
def test_double_backward(make: Networks, mode: str) -> None:
    """A penalty on the images' gradients, differentiated once more, against a central difference."""
    net, x, labels = make().net.double().train(mode == "train"), images().double(), torch.tensor([3, 1, 4, 1])
    generator = torch.Generator().manual_seed(2)
    start = {name: p.detach() for name, p in net.named_parameters()}
    direction = {name: torch.randn(p.shape, dtype=p.dtype, generator=generator) for name, p in start.items()}

    def penalty(weights: dict[str, Tensor]) -> Tensor:
        seen = x.clone().requires_grad_()
        outputs = torch.func.functional_call(net, weights, (seen,))
        [slope] = torch.autograd.grad(F.cross_entropy(outputs, labels), seen, create_graph=True)
        return slope.square().sum()

    def moved(step: float) -> float:
        return penalty({name: p + step * direction[name] for name, p in start.items()}).item()

    weights, step = {name: p.clone().requires_grad_() for name, p in start.items()}, 1e-6
    found = torch.autograd.grad(penalty(weights), list(weights.values()))
    slope = sum((g * d).sum().item() for g, d in zip(found, direction.values(), strict=True))
    assert slope == pytest.approx((moved(step) - moved(-step)) / (2 * step), rel=1e-5)
    assert min(g.abs().max().item() for g in found) > 0


@both
def test_vmap(make: Networks) -> None:
    net = make().net.eval()
    stacked = images(12).view(3, 4, 1, 28, 28)
    expected = net(images(12)).view(3, 4, 10)
    assert_close(torch.func.vmap(net)(stacked), expected)
    assert_close(torch.func.vmap(lambda image: net(image[None])[0])(images(12)), expected.flatten(0, 1))


@both
def test_an_ensemble_of_networks(make: Networks) -> None:
    nets = [make().net.eval() for _ in range(3)]
    for factor, net in enumerate(nets, 1):
        net.output.weight.data *= factor
    parameters, buffers = torch.func.stack_module_state(nets)  # type: ignore[arg-type]
    shape = copy.deepcopy(nets[0]).to("meta")
    found = torch.func.vmap(lambda p, b, x: torch.func.functional_call(shape, (p, b), (x,)), in_dims=(0, 0, None))(
        parameters, buffers, images()
    )
    assert_close(found, torch.stack([net(images()) for net in nets]))


@both
def test_gradients_of_each_sample(make: Networks) -> None:
    net = make().net.eval()
    labels = torch.tensor([3, 1, 4, 1])
    parameters = {k: v.detach() for k, v in net.named_parameters()}

    def loss(parameters: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(torch.func.functional_call(net, parameters, (image[None],)), label[None])

    found = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(parameters, images(), labels)
    for at in range(4):
        expected = torch.autograd.grad(
            F.cross_entropy(net(images()[at : at + 1]), labels[at : at + 1]), list(net.parameters())
        )
        for name, gradient in zip(parameters, expected, strict=True):
            assert_close(found[name][at], gradient, rtol=1e-4, atol=1e-6)


@both
@modes
def test_flops(make: Networks, mode: str) -> None:
    """Twice the MACs, which both have: 28*28*6*25 + 10*10*16*6*25 + 400*120 + 120*84 + 84*10 = 416,520 an image."""
    module = make()
    module.net.train(mode == "train")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module.net(images(4))
    assert counter.get_total_flops() / 2 == 4 * 416_520
    assert module.geometry.macs == 416_520


# ------------------------------------------------------------------------------------------------------------ the names


def test_fields_of_the_config_are_keywords() -> None:
    by_fields, by_config = LeNet(kernel_size=3, padding="same"), LeNet(LeNetConfig(kernel_size=3, padding="same"))
    assert by_fields.config == by_config.config == LeNetConfig(kernel_size=3, padding="same")
    assert by_fields.net.conv2.kernel_size == (3, 3)
    # 6*1*9+6 + 16*6*9+16 + 16*7*7*120+120 + 120*84+84 + 84*10+10
    assert sum(p.numel() for p in by_fields.parameters()) == 106_154
    with pytest.raises(TypeError, match="a config or its fields, got both: stride"):
        LeNet(LeNetConfig(), stride=2)
    with pytest.raises(fc2conv.errors.ConfigError, match="did you mean kernel_size"):
        LeNet(kernel_sise=3)


def test_the_signature_says_what_can_be_given() -> None:
    parameters = inspect.signature(LeNet).parameters
    assert list(parameters)[:6] == ["model", "input_shape", "classes", "optim", "seed", "extra"]
    assert (parameters["kernel_size"].default, parameters["pool"].default) == (5, "average")
    assert parameters["hidden"].kind is inspect.Parameter.KEYWORD_ONLY
    assert parameters["hidden"].annotation == tuple[int, ...]
    assert not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())


NAMES: list[Any] = [
    ("import fc2conv", False),
    ("import fc2conv; dir(fc2conv); assert 'LeNet' in dir(fc2conv)", False),
    ("import fc2conv; assert not hasattr(fc2conv, 'NoSuchNet')", False),
    ("from fc2conv import Classifier, ImageData, LeNet, MLP", True),
]


@pytest.mark.parametrize(("statement", "loads"), NAMES)
def test_names_are_imported_when_they_are_used(statement: str, loads: bool) -> None:
    script = (
        "import os, sys; before = dict(os.environ)\n"
        f"{statement}\n"
        "assert dict(os.environ) == before\n"
        "print('torch' in sys.modules)"
    )
    source = str(Path(fc2conv.__file__).parent.parent)
    paths = os.pathsep.join([source, os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(loads)


def test_the_names_are_the_classes() -> None:
    assert fc2conv.LeNet is LeNet
    assert LeNet.__module__ == "fc2conv"
    for name in ("LeNet", "LeNet1", "LeNet5", "MLP", "Softmax", "NiN", "ResNet", "ConvNet"):
        assert issubclass(getattr(fc2conv, name), fc2conv.Classifier), name
        assert name in dir(fc2conv)
