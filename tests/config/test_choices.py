"""model=NAME as Hydra composes it: from conf/model/, and for all others from the registry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from fc2conv.architectures import ARCHITECTURES
from fc2conv.compose import compose_config, parse_composed, register_schema
from fc2conv.config.schema import (
    LOGGERS,
    Config,
    LoggerConfig,
    MLflowConfig,
    TensorBoardConfig,
    WandbConfig,
    plain,
)
from fc2conv.errors import ConfigError

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


# --- groups of which several are chosen


@pytest.mark.parametrize(
    ("overrides", "want"),
    [
        ((), LoggerConfig(wandb=WandbConfig())),
        (("logger=csv",), LoggerConfig()),
        (("logger=[]",), LoggerConfig()),
        (("logger=tensorboard",), LoggerConfig(tensorboard=TensorBoardConfig())),
        (("logger=[wandb,mlflow]",), LoggerConfig(wandb=WandbConfig(), mlflow=MLflowConfig())),
        (("logger=[csv,wandb]", "logger.wandb.project=x"), LoggerConfig(wandb=WandbConfig(project="x"))),
        (("logger.wandb.tags=[a,b]",), LoggerConfig(wandb=WandbConfig(tags=("a", "b")))),
    ],
)
def test_loggers(overrides: tuple[str, ...], want: LoggerConfig, composed: Compose) -> None:
    assert composed(*overrides).logger == want


def test_each_logger_has_a_file() -> None:
    assert {file.stem for file in (CONF / "logger").glob("*.yaml")} == {*LOGGERS, "csv"}
    assert set(plain(LoggerConfig())) == set(LOGGERS)


def test_callbacks(composed: Compose) -> None:
    assert composed().callbacks == {}
    found = composed("callbacks=[ema,lr_monitor]", "callbacks.ema.decay=0.9", "callbacks.ema.update_every_n_steps=2")
    assert list(found.callbacks) == ["ema", "lr_monitor"]
    target = "fc2conv.training.averaging.EMA"
    assert found.callbacks["ema"] == {"_target_": target, "decay": 0.9, "update_every_n_steps": 2}
    assert composed("callbacks=ema", "~callbacks.ema").callbacks == {}


@pytest.mark.parametrize(
    "override", ["+callbacks.mine={_target_: a.B, x: [1]}", "callbacks={mine: {_target_: a.B, x: [1]}}"]
)
def test_a_callback_of_the_users_own(override: str, composed: Compose) -> None:
    assert composed(override).callbacks == {"mine": {"_target_": "a.B", "x": [1]}}


WATCHERS = {"lr_monitor", "device_stats"}


def test_a_ready_callback_says_what_it_is(composed: Compose) -> None:
    """By its file's name, and whether it only watches: only then may it be left out of the identity."""
    names = sorted(file.stem for file in (CONF / "callbacks").glob("*.yaml"))
    found = composed(f"callbacks=[{','.join(names)}]").callbacks
    assert list(found) == names
    assert {name for name in names if found[name].get("_watches_")} == WATCHERS


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("logger.project=x", "logger.project: is written logger.wandb.project now"),
        ("logger.mode=offline", "logger.mode: is written logger.wandb.mode now"),
        ("logger.name=csv", "logger.name: is written logger=NAME or logger=[NAME,NAME] now"),
        ("logger.wandb.projekt=x", "logger.wandb.projekt: no such key; did you mean project? Known: project, entity, "),
        (
            "logger.tensorboard.flush_seconds=3",
            "logger.tensorboard.flush_seconds: tensorboard is not among the loggers; ",
        ),
        ("logger=wandbb", "logger: got wandbb, no such choice; did you mean wandb? Known: csv, mlflow, "),
        ("logger=[wandb,tensrboard]", "logger: got tensrboard, no such choice; did you mean tensorboard? Known: csv, "),
        ("callbacks=[ema,lr]", "callbacks: got lr, no such choice. Known: device_stats, early_stopping, ema, "),
    ],
)
def test_what_is_wrong_with_a_list_is_said(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        compose_config([override])
    assert str(error.value).startswith(message)
