"""Widths scaled to a budget: the nearest of all roundings of one factor, by brute force and by torch's counts."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import pytest

from fc2conv.architectures import ARCHITECTURES, Layer, ModelConfig, plan, register
from fc2conv.architectures.convnet import ConvNetConfig
from fc2conv.architectures.ladder import LadderConfig
from fc2conv.architectures.layers import Flatten, Linear
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.architectures.mlp import MLPConfig
from fc2conv.architectures.resnet import ResNetConfig
from fc2conv.architectures.scaling import scaled, widths_of
from fc2conv.errors import ConfigError, GeometryError
from fc2conv.training.classifier import Classifier

SHAPE, CLASSES = (1, 28, 28), 10


def params(config: ModelConfig) -> int:
    return plan(config, SHAPE, CLASSES).params


def macs(config: ModelConfig) -> int:
    return plan(config, SHAPE, CLASSES).macs


def of_one_factor(new: tuple[int, ...], old: tuple[int, ...]) -> bool:
    """Whether some factor times `old` lies within 1 of each of `new`, or below 1 where that is 1."""
    lowest = max((n - 1) / o for n, o in zip(new, old, strict=True))
    highest = min((n + 1) / o for n, o in zip(new, old, strict=True))
    return lowest < highest


@pytest.mark.parametrize("cost", [params, macs])
@pytest.mark.parametrize("budget", [500, 2345, 9999])
@pytest.mark.parametrize("widths", [(3, 5), (2, 7), (1, 9), (8, 3)])
def test_nothing_comes_nearer(widths: tuple[int, int], budget: int, cost: Callable[[ModelConfig], int]) -> None:
    base = MLPConfig(hidden=widths)
    found = cost(scaled(base, ["hidden"], budget, cost))
    every = [new for new in itertools.product(range(1, 110), repeat=2) if of_one_factor(new, widths)]
    least = min(abs(cost(replace(base, hidden=new)) - budget) for new in every)
    assert abs(found - budget) == least


@pytest.mark.parametrize("budget", [5_000, 20_000, 61_706, 200_000])
@pytest.mark.parametrize(
    "config",
    [
        MLPConfig(hidden=(100, 60)),
        LeNetConfig(),
        LeNetConfig(head="gap"),
        LeNetConfig(separable=True, hidden=(40,)),
        ConvNetConfig(),
        ARCHITECTURES["nin"].config(),
    ],
)
def test_torch_counts_what_was_asked_for(config: ModelConfig, budget: int) -> None:
    keys = list(widths_of(config))
    found = scaled(config, keys, budget, params)
    net = Classifier(found).net
    assert sum(p.numel() for p in net.parameters()) == pytest.approx(budget, rel=0.07)
    assert sum(p.numel() for p in net.parameters()) == params(found)
    for key in keys:
        (old,), (new,) = widths_of(config)[key][:1], widths_of(found)[key][:1]
        assert (old < new) == (params(config) < budget) or old == new


@pytest.mark.parametrize("family", [name for name, a in ARCHITECTURES.items() if a.config.width_keys])
def test_what_meets_the_budget_already_stays(family: str) -> None:
    config = ARCHITECTURES[family].config()
    for cost in (params, macs):
        assert scaled(config, config.width_keys, cost(config), cost) == config


def test_only_the_keys_that_are_named_change() -> None:
    found = scaled(LeNetConfig(), ["channels"], 100_000, params)
    assert found.hidden == LeNetConfig.hidden
    assert found.channels == (11, 27)
    assert params(found) == 26 * 11 + (25 * 11 + 1) * 27 + (25 * 27 + 1) * 120 + 11_014 == 99_872


def test_equal_widths_stay_equal() -> None:
    """So that what adds a convolution's input to its output does so at any size."""
    before, after = ConvNetConfig(), scaled(ConvNetConfig(), ["channels"], 33_333, params)
    pairs = list(itertools.combinations(range(6), 2))
    assert [before.channels[i] == before.channels[j] for i, j in pairs] == [
        after.channels[i] == after.channels[j] for i, j in pairs
    ]


def test_no_width_is_less_than_one() -> None:
    assert scaled(LeNetConfig(), ["channels", "hidden"], 1, params) == LeNetConfig(channels=(1, 1), hidden=(1, 1))
    assert scaled(ResNetConfig(), ["width"], 1, params) == ResNetConfig(width=1)


def test_many_different_widths() -> None:
    """More than can all be rounded both ways."""
    config = MLPConfig(hidden=tuple(range(20, 60, 3)))
    found = scaled(config, ["hidden"], 1_000_000, params)
    assert params(found) == pytest.approx(1_000_000, rel=1e-3)
    ratios = [new / old for new, old in zip(found.hidden, config.hidden, strict=True)]
    assert max(ratios) / min(ratios) < 1.05


def test_keys_that_nothing_reads_hold_no_widths() -> None:
    assert widths_of(LeNetConfig()) == {"channels": (6, 16), "hidden": (120, 84)}
    assert widths_of(LeNetConfig(head="gap")) == {"channels": (6, 16)}
    assert widths_of(LadderConfig(channels=4)) == {"channels": (4,)}
    assert widths_of(MLPConfig(hidden=())) == {}
    assert widths_of(ARCHITECTURES["softmax"].config()) == {}


def test_what_does_not_fit_is_said_as_ever() -> None:
    with pytest.raises(GeometryError, match="conv2: kernel 17 does not fit"):
        scaled(LeNetConfig(kernel_size=(5, 17)), ["channels"], 10_000, params)


# --- of one's own


@dataclass(frozen=True)
class GroupedConfig(ModelConfig):
    """A plugin's, which takes even widths only, up to 100."""

    family: Literal["grouped"] = "grouped"
    width_keys: ClassVar[tuple[str, ...]] = ("bottleneck",)
    bottleneck: int = 2

    def __post_init__(self) -> None:
        if self.bottleneck > 100:
            raise ConfigError("model.bottleneck", f"got {self.bottleneck}, expected at most 100")


def grouped(config: GroupedConfig, classes: int) -> list[Layer]:
    return [Flatten("flatten"), Linear("hidden", config.bottleneck), Linear("output", classes)]


@pytest.fixture
def _grouped() -> Any:
    register(GroupedConfig, grouped)
    yield
    del ARCHITECTURES["grouped"]


@pytest.mark.usefixtures("_grouped")
def test_a_plugin_says_what_its_widths_are() -> None:
    assert scaled(GroupedConfig(), ["bottleneck"], 785 * 30 + 31 * 10, params) == GroupedConfig(bottleneck=30)


@pytest.mark.usefixtures("_grouped")
def test_a_width_that_is_refused_is_said_to_come_from_scaling() -> None:
    with pytest.raises(ConfigError, match=r"^model\.bottleneck: got 128, expected at most 100, when scaled$"):
        scaled(GroupedConfig(), ["bottleneck"], 785 * 90, params)


def test_a_plugin_whose_widths_are_none_of_its_keys_is_refused() -> None:
    @dataclass(frozen=True)
    class WrongConfig(ModelConfig):
        family: Literal["wrong"] = "wrong"
        width_keys: ClassVar[tuple[str, ...]] = ("chanels",)
        channels: int = 2

    with pytest.raises(ConfigError, match="WrongConfig: width_keys names chanels, which is none of its fields"):
        register(WrongConfig, grouped)
