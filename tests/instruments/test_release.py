"""release.py: the same function with more freedom, and the nearest one with less."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from fc2conv.architectures import plan
from fc2conv.architectures.ladder import LadderConfig
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.architectures.lenet1 import PAIRS
from fc2conv.errors import ConfigError
from fc2conv.instruments.matrix import TiedLinear, connections, matrix_of
from fc2conv.instruments.release import imposed, input_shape, project, recast, release, released
from fc2conv.nets.build import net_of
from fc2conv.nets.modules import DenseImage, LocallyConnected, SharedImage, TableConv

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("layer", "shape", "what", "kind", "params"),
    [
        # 2 3 pairs of maps; (3 6 - 2) and (3 7 - 2) pairs of rows and columns; a bias for each of 3 6 7 units
        (nn.Conv2d(2, 3, 3, padding=1), (2, 6, 7), "sharing", LocallyConnected, 6 * 16 * 19 + 126),
        (nn.Conv2d(2, 3, 3, padding=1), (2, 6, 7), "locality", SharedImage, 6 * 11 * 13 + 3),
        (nn.Conv2d(2, 3, 3, padding=1), (2, 6, 7), "both", DenseImage, 84 * 126 + 126),
        (nn.Conv2d(1, 2, (4, 3), padding="same", bias=False), (1, 5, 5), "locality", SharedImage, 2 * 81 + 2),
        # without padding, 4 x 5 units of 9 weights; offsets from -3 to 5 and from -4 to 6
        (nn.Conv2d(2, 3, 3), (2, 6, 7), "sharing", TiedLinear, 6 * 20 * 9 + 60),
        (nn.Conv2d(2, 3, 3), (2, 6, 7), "locality", TiedLinear, 6 * 9 * 11 + 3),
        (nn.Conv2d(2, 3, 3), (2, 6, 7), "both", nn.Sequential, 84 * 60 + 60),
        # 3 x 3 units; rows -1 0 1, 1 2 3, 3 4 5 of 6: 8 pairs; offsets from -4 to 5
        (nn.Conv2d(1, 2, 3, stride=2, padding=1, bias=False), (1, 6, 6), "sharing", TiedLinear, 2 * 64),
        (nn.Conv2d(1, 2, 3, stride=2, padding=1, bias=False), (1, 6, 6), "locality", TiedLinear, 2 * 100),
        (nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"), (1, 4, 5), "sharing", TiedLinear, 2 * 9 * 20 + 40),
        (nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"), (1, 4, 5), "locality", TiedLinear, 2 * 20 + 2),
        (nn.Conv2d(1, 2, 3, padding=2, padding_mode="reflect"), (1, 5, 5), "sharing", TiedLinear, None),
        (nn.Conv2d(4, 2, 3, groups=2, padding=1), (4, 4, 4), "locality", TiedLinear, 4 * 49 + 2),
        (nn.Conv2d(1, 1, 3, dilation=2, padding=2), (1, 6, 6), "sharing", TiedLinear, 14 * 14 + 36),
        # larger than their input: 3 4 - 2 pairs of rows and 4 of columns for 4 x 6 units; 2 5 - 2 of both for 5 x 5
        (nn.Conv2d(1, 1, (3, 1), padding=1), (1, 4, 4), "sharing", TiedLinear, 40 + 24),
        (nn.Conv2d(1, 1, 2, padding=1), (1, 4, 4), "sharing", TiedLinear, 64 + 25),
        (TableConv(4, PAIRS, (3, 3), padding=1), (4, 4, 4), "locality", TiedLinear, 20 * 49 + 12),
        (TableConv(4, PAIRS, (3, 3)), (4, 4, 4), "sharing", TiedLinear, 20 * 4 * 9 + 48),
        (LocallyConnected((2, 4, 5), 3, 1), (2, 4, 5), "locality", DenseImage, 40 * 60 + 60),
        (SharedImage((2, 4, 5), 3), (2, 4, 5), "sharing", DenseImage, 40 * 60 + 60),
        (SharedImage((2, 4, 5), 3), (2, 4, 5), "both", DenseImage, 40 * 60 + 60),
    ],
)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
def test_released_it_computes_the_same(layer: Any, shape: Any, what: Any, kind: type, params: int | None) -> None:
    layer = layer.double()
    new = released(layer, shape, what)
    assert type(new) is kind
    assert params in (None, sum(p.numel() for p in new.parameters()))
    assert all(p.requires_grad for p in new.parameters())
    images = torch.randn(3, *shape, dtype=torch.float64)
    assert_close(new(images), layer(images), rtol=0, atol=1e-12)


@pytest.mark.parametrize("what", ["sharing", "locality", "both"])
def test_a_tied_weights_gradient_is_the_sum_of_the_released_ones(what: Any) -> None:
    """The chain rule, through the matrix that both make."""
    conv, shape = nn.Conv2d(2, 3, 3, padding=1).double(), (2, 4, 5)
    free: Any = released(conv, shape, what)
    images, target = torch.randn(3, *shape).double(), torch.randn(3, 3, 4, 5).double()
    for layer in (conv, free):
        F.mse_loss(layer(images), target).backward()
    tied, own = connections(conv, shape), connections(free, shape)
    # each connection of the convolution is one of the freer layer, whose weight may be in other connections, too
    into = torch.full((own.n_weights,), -1)
    lookup = torch.full(own.shape, -1)
    lookup[tied.rows, tied.columns] = tied.weights
    into[own.weights] = torch.maximum(into[own.weights], lookup[own.rows, own.columns])
    got = torch.zeros(54).double().index_add(0, into[into >= 0], free.weight.grad.flatten()[into >= 0])
    assert_close(got, conv.weight.grad.flatten())  # type: ignore[union-attr]
    assert conv.bias is not None
    assert_close(free.bias.grad.view(3, -1).sum(1), conv.bias.grad)


# --- whole networks


def ladder(**fields: Any) -> nn.Module:
    config = LadderConfig(channels=2, half_width=1, **fields)
    return net_of(config, plan(config, (1, 8, 8), 4))


@pytest.mark.parametrize(("what", "rung"), [("sharing", "local"), ("locality", "shared"), ("both", "dense")])
def test_a_ladders_network_becomes_another_rung(what: Any, rung: Any) -> None:
    conv = ladder(constraint="conv")
    images = torch.randn(5, 1, 8, 8)
    free = release(conv, "hidden", what, (1, 8, 8))
    assert_close(free(images), conv(images), rtol=0, atol=1e-5)
    other = ladder(constraint=rung)
    other.load_state_dict(free.state_dict())
    assert_close(other(images), conv(images), rtol=0, atol=1e-5)


@pytest.mark.parametrize("what", ["sharing", "locality", "both"])
@pytest.mark.parametrize("layer", ["conv1", "conv2"])
def test_lenet_released_gives_the_same_logits_and_trains_on(layer: str, what: Any) -> None:
    """conv2 has no padding: its units are fewer than its pixels. The gradient reaches what was tied or zero."""
    config = LeNetConfig(channels=(2, 3), activation="tanh", hidden=())
    net = net_of(config, plan(config, (1, 12, 12), 4))
    images, labels = torch.randn(8, 1, 12, 12), torch.arange(8) % 4
    free = release(net, layer, what, (1, 12, 12))
    assert_close(free(images), net(images), rtol=0, atol=1e-5)
    optimizer = torch.optim.SGD(free.parameters(), 0.1)
    losses = []
    for _ in range(5):
        losses.append(F.cross_entropy(free(images), labels))
        optimizer.zero_grad()
        losses[-1].backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert losses[-1] < losses[0]
    shape = input_shape(net, layer, (1, 12, 12))
    old, new = (n.get_submodule(layer) for n in (net, free))
    new = new[1] if isinstance(new, nn.Sequential) else new
    matrix = matrix_of(new, shape)  # type: ignore[arg-type]
    own = connections(old, shape)  # type: ignore[arg-type]
    tied = own.matrix(project(matrix, own))
    assert not torch.allclose(matrix, tied, atol=1e-4), "it is still a convolution"


def test_the_network_itself_is_as_it_was() -> None:
    net = ladder(constraint="conv").train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    free = release(net, "hidden", "sharing", (1, 8, 8))
    assert free.training
    assert all(p.requires_grad for p in free.parameters())
    for p in free.parameters():
        p.data.zero_()
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


@pytest.mark.parametrize("rung", ["local", "shared", "dense", "conv"])
def test_a_rung_goes_on_from_a_convolution(rung: Any) -> None:
    conv, other = ladder(constraint="conv"), ladder(constraint=rung)
    images = torch.randn(5, 1, 8, 8)
    assert not torch.allclose(other(images), conv(images), atol=1e-2)
    recast(conv, other, (1, 8, 8))
    assert_close(other(images), conv(images), rtol=0, atol=1e-5)
    assert type(other.hidden) is type(ladder(constraint=rung).hidden)


def test_a_convolution_goes_on_from_the_nearest_to_a_dense_layer() -> None:
    dense, conv = ladder(constraint="dense"), ladder(constraint="conv")
    recast(dense, conv, (1, 8, 8))
    nearest: Any = imposed(dense.hidden, (1, 8, 8), "conv", half_width=1)  # type: ignore[arg-type]
    assert_close(conv.hidden.weight, nearest.weight)
    assert_close(conv.output.weight, dense.output.weight)


def test_networks_whose_layers_do_not_correspond() -> None:
    other = ladder(constraint="conv", activation="tanh")
    with pytest.raises(ConfigError, match=r"trained: got \[hidden,tanh,.*\], expected the layers hidden, relu"):
        recast(other, ladder(constraint="conv"), (1, 8, 8))
    wide = LadderConfig(channels=3, half_width=1)
    net = net_of(wide, plan(wide, (1, 8, 8), 4))
    with pytest.raises(ConfigError, match=r"trained: got hidden of \(192, 64\), expected \(128, 64\)"):
        recast(net, ladder(constraint="local"), (1, 8, 8))


# --- the nearest with a constraint


def test_zero_what_is_far_and_average_along_the_diagonals() -> None:
    """A dense layer on a row of four pixels, by hand."""
    dense = DenseImage((1, 1, 4), 1)
    dense.weight.data = torch.arange(16.0).view(4, 4)
    dense.bias.data = torch.tensor([1.0, 2, 3, 6])
    shape = (1, 1, 4)
    local, shared, conv = (imposed(dense, shape, c, half_width=1) for c in ("local", "shared", "conv"))
    near = [[0, 1, 0, 0], [4, 5, 6, 0], [0, 9, 10, 11], [0, 0, 14, 15]]
    assert matrix_of(local, shape).tolist() == near  # type: ignore[arg-type]
    assert local.bias.flatten().tolist() == [1, 2, 3, 6]  # type: ignore[operator]
    assert matrix_of(shared, shape).tolist() == [  # type: ignore[arg-type]
        [7.5, 6, 4.5, 3],
        [9, 7.5, 6, 4.5],
        [10.5, 9, 7.5, 6],
        [12, 10.5, 9, 7.5],
    ]
    assert shared.bias.tolist() == [3.0]  # type: ignore[operator]
    assert isinstance(conv, nn.Conv2d)
    assert conv.weight[0, 0, 1].tolist() == [9, 7.5, 6]


@pytest.mark.parametrize("constraint", ["local", "shared", "conv"])
def test_a_projection_is_the_nearest(constraint: Any) -> None:
    """What it takes away is orthogonal to all layers with the constraint; a second one changes nothing."""
    shape = (2, 4, 5)
    dense = DenseImage(shape, 3).double()
    layer: Any = imposed(dense, shape, constraint, half_width=1)
    own = connections(layer, shape)
    rest = matrix_of(dense, shape) - matrix_of(layer, shape)
    assert project(rest, own).abs().max() < 1e-15
    again: Any = imposed(layer, shape, constraint, half_width=1)
    assert_close(again.weight, layer.weight)
    assert_close(again.bias, layer.bias)


@pytest.mark.parametrize("what", ["sharing", "locality", "both"])
def test_imposed_on_a_released_convolution_it_comes_back(what: Any) -> None:
    conv, shape = nn.Conv2d(2, 3, 5, padding=2), (2, 6, 6)
    back: Any = imposed(released(conv, shape, what), shape, "conv")  # type: ignore[arg-type]
    assert_close(back.weight, conv.weight)
    assert_close(back.bias, conv.bias)


# --- what is refused


@pytest.mark.parametrize(
    ("layer", "what", "message"),
    [
        (
            LocallyConnected((1, 4, 4), 1, 1),
            "sharing",
            "release: got sharing, expected locality: the layer has",
        ),
        (SharedImage((1, 4, 4), 1), "locality", "release: got locality, expected sharing: the layer has no other"),
        (
            nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"),
            "locality",
            "release: got locality, expected sharing: with reflect padding a pixel has several offsets",
        ),
    ],
)
def test_what_cannot_be_released(layer: Any, what: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        released(layer, (1, 4, 4), what)


def test_names_and_shapes_are_checked() -> None:
    net = ladder(constraint="conv")
    with pytest.raises(ConfigError, match="layer: got conv1, expected one of hidden, relu, flatten, output"):
        release(net, "conv1", "both", (1, 8, 8))
    with pytest.raises(ConfigError, match="layer: got output, a Linear, expected a convolution"):
        release(net, "output", "both", (1, 8, 8))
    with pytest.raises(ConfigError, match=r"layer: got \[3,2,2\], expected maps of 4"):
        imposed(nn.Conv2d(1, 3, 3), (1, 4, 4), "local")
    wrapped = nn.Conv2d(1, 1, 5, padding=2, padding_mode="circular")
    with pytest.raises(ConfigError, match="several weights add up to one entry"):
        project(torch.zeros(9, 9), connections(wrapped, (1, 3, 3)))


def test_a_ladder_config_keeps_its_words() -> None:
    """`imposed` says local, shared and conv as the ladder does."""
    shape = (1, 8, 8)
    dense = ladder(constraint="dense")
    for constraint in ("local", "shared", "conv"):
        config = replace(LadderConfig(channels=2, half_width=1), constraint=constraint)
        layer = imposed(dense.hidden, shape, constraint, half_width=1)  # type: ignore[arg-type]
        built = net_of(config, plan(config, shape, 4)).hidden
        layer.load_state_dict(built.state_dict())  # type: ignore[union-attr]
