"""Any torch.nn.Module as a model: its plan against torch's own counts, its network, and what is refused."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fc2conv.architectures import Layer, plan
from fc2conv.architectures.files import PREFIX
from fc2conv.architectures.module import ModuleConfig
from fc2conv.architectures.registry import source_of
from fc2conv.architectures.trace import Geometry, trace
from fc2conv.errors import ConfigError, GeometryError
from fc2conv.nets.build import net_of

pytestmark = pytest.mark.usefixtures("one_thread")
GREY, COLOUR = (1, 28, 28), (3, 28, 28)
SQUEEZENET = ModuleConfig(target="torchvision.models.squeezenet1_1", arguments={"num_classes": 10})

FILE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv = nn.Conv2d(1, width, 5)
        self.never = nn.Linear(2, 3)
        self.scale = nn.Parameter(torch.ones(width, 1, 1))
        self.frozen = nn.Parameter(torch.ones(7), requires_grad=False)
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(width * 576, 10))

    def forward(self, x):
        x = self.conv(x).relu() * self.scale
        x = x @ x.mT
        return self.head(torch.cat([x.view(len(x), -1)], 1))

class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(10, 10, bias=False)
        self.second = nn.Linear(10, 10, bias=False)
        self.second.weight = self.first.weight
        self.into = nn.Linear(784, 10)

    def forward(self, x):
        x = self.first(self.into(x.flatten(1)))
        return self.second(self.first(x))

class Lazy(nn.Sequential):
    def __init__(self):
        super().__init__(nn.LazyConv2d(4, 5), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(10))

class Concrete(nn.Linear):
    def __init__(self):
        super().__init__(784, 10)
        self.rates = [x.item() for x in torch.linspace(0, 1, 3)]

    def forward(self, x):
        return super().forward(x.flatten(1))

class Look(nn.Linear):
    def __init__(self, pixels):
        super().__init__(pixels, 10)

    def forward(self, x):
        self.seen = x
        return super().forward(x.view(len(x), -1))

class Pair(Concrete):
    def forward(self, x):
        return super().forward(x), x

class PairInTraining(Concrete):
    def forward(self, x):
        y = super().forward(x)
        return (y, y) if self.training else y

class Depends(Concrete):
    def forward(self, x):
        return super().forward(x if x.sum() > 0 else -x)

class OnCPU(Concrete):
    def forward(self, x):
        return super().forward(torch.cat([x, torch.zeros(len(x), 1, 28, 28)], 1)[:, :1])

class Frozen(Concrete):
    def __init__(self):
        super().__init__()
        self.requires_grad_(False)

class Raises(Concrete):
    def __init__(self):
        raise ValueError("no luck")

number = 3

def nothing():
    return 3
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "own.py").write_text(FILE)
    (tmp_path / "broken.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    yield
    for name in [n for n in sys.modules if n.startswith(PREFIX)]:
        del sys.modules[name]


def planned(name: str, shape: tuple[int, ...] = GREY, **arguments: Any) -> Geometry:
    return plan(ModuleConfig(target=f"own.py:{name}", arguments=arguments), shape, 10)


def built(config: ModuleConfig, shape: tuple[int, ...]) -> nn.Module:
    return net_of(config, plan(config, shape, 10))


# --- the plan


def test_squeezenet() -> None:
    """Parameters as torchvision says, less the head of 1,000 classes (513 each) and with one of ten."""
    network = plan(SQUEEZENET, COLOUR, 10)
    assert network.params == 727_626 == 1_235_496 - 513 * 990
    assert network.receptive_field is None
    first, last = network.rows[0], network.rows[-1]
    assert (first.name, first.input, first.output) == ("features.0", COLOUR, (64, 13, 13))
    assert (first.params, first.macs) == (64 * (27 + 1), 64 * 27 * 13**2)
    assert (last.name, last.output) == ("classifier.3", (10, 1, 1))
    net = built(SQUEEZENET, COLOUR)
    assert sum(p.numel() for p in net.parameters()) == network.params
    with FlopCounterMode(display=False) as counter:
        net.eval()(torch.zeros(1, *COLOUR))
    assert counter.get_total_flops() == 2 * network.macs
    for row in network.rows:
        assert row.params == sum(p.numel() for p in net.get_submodule(row.name).parameters()), row.name


def test_what_no_leaf_does_is_a_row_of_its_own() -> None:
    """A scale of 4, 6 + 3 of a layer that is never called; 4 products of 24x24 matrices. Frozen weights are no part."""
    rows = {row.name: (row.output, row.params, row.macs) for row in planned("Net").rows}
    assert rows == {
        "conv": ((4, 24, 24), 4 * 26, 4 * 25 * 24**2),
        "head.0": ((4 * 576,), 0, 0),
        "head.1": ((10,), 10 * (4 * 576 + 1), 10 * 4 * 576),
        "(rest)": ((10,), 4 + 9, 4 * 24**3),
    }


def test_shared_weights_count_once_and_each_use_costs() -> None:
    rows = [(row.name, row.params, row.macs) for row in planned("Shared").rows]
    assert rows == [("into", 7_850, 7_840), ("first", 100, 200), ("second", 0, 100)]


def test_arguments_reach_the_module() -> None:
    assert planned("Net", width=6).rows[0].params == 6 * 26


def test_planning_draws_no_random_numbers() -> None:
    before = torch.get_rng_state()
    planned("Net")
    planned("Concrete")  # made on the CPU, since it looks at values when it is made
    assert torch.equal(torch.get_rng_state(), before)


def test_a_class_deep_in_a_package() -> None:
    config = ModuleConfig("module", "fc2conv.nets.modules.RBF", {"features": 28, "classes": 10, "trained": True})
    assert plan(config, (28,), 10).params == 28 * 10


# --- the network


@pytest.mark.filterwarnings("ignore:Lazy modules:UserWarning")
def test_lazy_modules_learn_their_sizes() -> None:
    config = ModuleConfig(target="own.py:Lazy")
    network = plan(config, GREY, 10)
    net = net_of(config, network)
    assert sum(p.numel() for p in net.parameters()) == network.params == 4 * 26 + 8 + 10 * (4 * 576 + 1)
    assert net.training
    assert net.get_buffer("1.num_batches_tracked").item() == 0  # the first batch was none


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 8, 8)])
def test_images_reach_it_contiguous(shape: tuple[int, ...]) -> None:
    net = built(ModuleConfig(target="own.py:Look", arguments={"pixels": prod(shape)}), shape)
    x = torch.randn(2, *shape).to(memory_format=torch.channels_last)
    net(x)
    assert isinstance(net.seen, torch.Tensor)
    assert net.seen.stride() == (prod(shape), shape[1] * shape[2], shape[2], 1)
    assert torch.equal(net.seen, x)


def test_it_keeps_its_own_initialisation() -> None:
    torch.manual_seed(0)
    ours = built(ModuleConfig(target="own.py:Concrete"), GREY)
    torch.manual_seed(0)
    assert torch.equal(ours.get_parameter("weight"), nn.Linear(784, 10).weight)


# --- its source


def test_source() -> None:
    assert source_of(SQUEEZENET) == f"torchvision=={version('torchvision')}"
    assert source_of(ModuleConfig(target="PIL.Image.open")) == f"pillow=={version('pillow')}"  # called otherwise
    assert source_of(ModuleConfig(target="own.py:Net")) == hashlib.sha256(FILE.encode()).hexdigest()
    assert source_of(ModuleConfig()) is None


def test_source_of_a_module_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of the innermost module, without importing it."""
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "inner.py").write_text("class Net: ...")
    monkeypatch.syspath_prepend(tmp_path)
    assert source_of(ModuleConfig(target="my_package.inner.Net")) == hashlib.sha256(b"class Net: ...").hexdigest()
    with pytest.raises(ConfigError, match=r"^model\.target: got nope\.Net, but there is no module nope"):
        source_of(ModuleConfig(target="nope.Net"))


# --- what is refused


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (None, "got null, expected what makes the network, e.g. torchvision.models.squeezenet1_1"),
        ("nowhere.Net", "got nowhere.Net, but there is no module nowhere; is its package installed?"),
        ("nowhere.py:Net", "got nowhere.py:Net, but there is no such file"),
        ("broken.py:Net", "broken.py cannot be imported (ZeroDivisionError: division by zero)"),
        (
            "torchvision.models.squeezenet",
            "got torchvision.models.squeezenet, an object of type module; expected a class",
        ),
        ("torch.nn.Linearr", "got torch.nn.Linearr, but torch.nn has no Linearr; did you mean Linear?"),
        ("own.py:Nett", "got own.py:Nett, but own.py has no Nett; did you mean Net?"),
        ("own.py:number", "got own.py:number, an object of type int; expected a class or a function"),
        ("own.py:nothing", "own.py:nothing gives an object of type int, expected a torch.nn.Module"),
        ("own.py:Raises", "own.py:Raises cannot be made (ValueError: no luck)"),
        ("own.py:Pair", "own.py:Pair gives a tuple in evaluation, expected one tensor (images, classes)"),
        ("own.py:PairInTraining", "own.py:PairInTraining gives a tuple in training, expected one tensor"),
        ("own.py:Depends", "own.py:Depends depends on the values of the images in its forward, so that it cannot be"),
        ("own.py:OnCPU", "own.py:OnCPU makes tensors on the CPU in its forward; make them on the device of its input"),
        ("own.py:Frozen", "own.py:Frozen has no parameters to train"),
        (
            "torch.nn.Flatten",
            "torch.nn.Flatten gives 784 outputs for an image, expected one for each of the 10 classes",
        ),
    ],
)
def test_refuses(target: str | None, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        plan(ModuleConfig(target=target), GREY, 10)
    assert str(refused.value).startswith(f"model.target: {message}")
    assert refused.value.key == "model.target"


def test_refuses_arguments_that_it_does_not_take() -> None:
    with pytest.raises(ConfigError, match=r"^model\.arguments: own\.py:Net cannot be made \(TypeError: .*'depth'\)"):
        planned("Net", depth=3)


def test_images_that_do_not_fit_are_told_as_for_our_layers() -> None:
    """A sweep records such a trial as skipped."""
    with pytest.raises(GeometryError, match=r"^model\.target: own\.py:Net: does not take 3x28x28 images"):
        planned("Net", COLOUR)
    with pytest.raises(GeometryError, match=r"data\.bands=3 repeats a grey image into three bands$"):
        plan(SQUEEZENET, GREY, 10)


# --- a layer whose window nobody knows


def test_behind_an_unknown_window_no_receptive_field_is_known() -> None:
    class Unknown(Layer):
        def window(self, shape: tuple[int, ...]) -> None:
            return None

    network = trace([Layer("a"), Unknown("b"), Layer("c")], GREY)
    assert [row.receptive_field for row in network.rows] == [1, None, None]
    assert network.receptive_field is None
