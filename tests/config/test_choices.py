"""model=NAME as Hydra composes it: from conf/model/, and for all others from the registry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from fc2conv.architectures import ARCHITECTURES
from fc2conv.compose import parse_composed, register_schema
from fc2conv.config.schema import Config

CONF = Path(__file__).parent.parent.parent / "conf"
Compose = Callable[..., Config]


@pytest.fixture
def composed() -> Iterator[Compose]:
    GlobalHydra.instance().clear()
    register_schema()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield lambda *overrides: parse_composed(compose("config", overrides=list(overrides)))


@pytest.mark.parametrize("family", sorted(ARCHITECTURES))
def test_each_architecture_is_a_choice_with_its_own_defaults(family: str, composed: Compose) -> None:
    assert composed(f"model={family}").model == ARCHITECTURES[family].config()


def test_a_file_wins(composed: Compose) -> None:
    """conf/model/lenet.yaml brings the optimiser that sigmoids need."""
    assert composed("model=lenet").optim.lr == 0.02
    assert composed("model=nin").optim.lr == 0.01


def test_a_file_says_more_than_the_defaults() -> None:
    for family in ARCHITECTURES:
        file = CONF / "model" / f"{family}.yaml"
        lines = file.read_text().splitlines() if file.exists() else []
        said = [line for line in lines if not line.startswith(("#", "defaults:")) and "/schema/model/" not in line]
        assert said or not file.exists(), f"{file.name} only repeats the defaults; they are there without it"


@pytest.mark.parametrize(
    "override",
    ["model.arguments={num_classes: 10}", "model.arguments.num_classes=10", "+model.arguments.num_classes=10"],
)
def test_keys_of_a_mapping_are_the_users_own(override: str, composed: Compose) -> None:
    assert composed("model=module", override).model.arguments == {"num_classes": 10}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "override", ["optim.arguments={alpha: 0.9}", "optim.arguments.alpha=0.9", "+optim.arguments.alpha=0.9"]
)
def test_arguments_of_an_optimiser_are_torchs(override: str, composed: Compose) -> None:
    optim = composed("optim.name=RMSprop", override).optim
    assert (optim.name, optim.arguments) == ("rmsprop", {"alpha": 0.9})


@pytest.mark.parametrize("name", [p.stem for p in (CONF / "debug").iterdir()])
def test_a_debugging_preset_says_its_name_and_comes_after_the_experiment(name: str, composed: Compose) -> None:
    config = composed("experiment=convnet", f"debug={name}")
    assert config.debug == name
    assert config.trainer.max_epochs != composed("experiment=convnet").trainer.max_epochs
