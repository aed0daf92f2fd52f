"""Callbacks that the config names: made as it says, part of every run, and for averaged weights checked by hand."""

from __future__ import annotations

import csv
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from lightning.pytorch import Trainer
from torch.testing import assert_close

import fc2conv
from fc2conv.architectures.files import from_file
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.config.identity import identity_of
from fc2conv.config.schema import Config, DataConfig, LoggerConfig, OptimConfig, TensorBoardConfig, TrainerConfig
from fc2conv.data.image_data import ImageData
from fc2conv.entry import execute
from fc2conv.errors import ConfigError, Interrupted
from fc2conv.record.result import Result
from fc2conv.training import averaging
from fc2conv.training.callbacks import StopOnSignal
from fc2conv.training.classifier import Classifier
from fc2conv.training.distributed import Processes
from fc2conv.training.run import Request, trainer_for
from fc2conv.training.run import run as run_request
from fc2conv.training.run import test as run_test
from fc2conv.training.user_callbacks import make_callbacks

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore:.*LeafSpec")]

EMA = {"_target_": "fc2conv.training.averaging.EMA", "decay": 0.8}
SWA = {"_target_": "fc2conv.training.averaging.SWA", "start": 0.5}
STOPPING = {"_target_": "lightning.pytorch.callbacks.EarlyStopping", "monitor": "val/acc", "mode": "max"}
NEVER_BETTER = STOPPING | {"patience": 1, "min_delta": 1.0}
MINE = '''
import torch
from lightning.pytorch import Callback

class Weights(Callback):
    """The network's weights after each step, and what else happens."""

    def __init__(self, label="", inner=None):
        torch.rand(3)
        self.label, self.inner, self.steps, self.ends, self.tested = label, inner, [], [], 0
        made.append(self)

    def on_train_batch_end(self, trainer, module, *args):
        self.steps.append({k: v.clone() for k, v in module.state_dict().items()})
        if trainer.is_last_batch:
            self.ends.append(self.steps[-1])

    def on_test_end(self, trainer, module):
        self.tested += 1

made = []
number = 3
'''


@pytest.fixture
def config(image_folder: Path, tmp_path: Path) -> Config:
    """Three classes of 20 images in 6 batches an epoch; batch norm has statistics to average, too."""
    data = DataConfig(name="folder", path=str(image_folder), dir=str(tmp_path / "cache"), batch_size=8, val_size=0.1)
    return Config(
        LeNetConfig(channels=(2,), hidden=(8,), activation="relu", pool="max", norm="batch"),
        data,
        OptimConfig(name="sgd", lr=0.05, schedule="constant"),
        TrainerConfig(max_epochs=4, accelerator="cpu", threads=1, progress=False),
        LoggerConfig(),
        runs_dir=str(tmp_path / "runs"),
        name="run",
    )


@pytest.fixture
def mine(tmp_path: Path) -> str:
    """A file with a callback of the user's own."""
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    return str(file)


def run(config: Config, **more: Any) -> Result:
    result = run_request(Request(config, **more))
    assert result is not None
    return result


def folder_of(config: Config) -> Path:
    return Path(config.runs_dir) / str(config.name)


def checkpoint(config: Config, name: str = "last") -> dict[str, Any]:
    return torch.load(folder_of(config) / "checkpoints" / f"{name}.ckpt", weights_only=True)  # type: ignore[no-any-return]


def validated(path: Path, config: Config) -> dict[str, float]:
    """The validation metrics of a checkpoint's weights."""
    module, data = Classifier.load(str(path)), ImageData(config.data, config.seed)
    trainer_for(config.trainer, Processes(), []).validate(module, datamodule=data, verbose=False)
    return module.metrics["val"]


def last_row(config: Config) -> dict[str, str]:
    with (folder_of(config) / "metrics.csv").open() as file:
        return list(csv.DictReader(file))[-1]


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


# --- averaged weights


def moving_average(weights: Any) -> dict[str, torch.Tensor]:
    first, *others = weights.steps
    average = {k: v.double() for k, v in first.items()}
    for step in others:
        average = {k: 0.8 * average[k] + 0.2 * step[k] for k in average}
    return average


def mean_of_last_two_epochs(weights: Any) -> dict[str, torch.Tensor]:
    third, fourth = weights.ends[-2:]
    return {k: (third[k].double() + fourth[k]) / 2 for k in third}


@pytest.mark.parametrize(("average", "want"), [(EMA, moving_average), (SWA, mean_of_last_two_epochs)])
def test_averaged_weights_are_what_is_validated_tested_and_saved(
    average: dict[str, Any], want: Callable[[Any], dict[str, torch.Tensor]], config: Config, mine: str
) -> None:
    plain_run = run(replace(config, name="plain"))
    config = replace(config, callbacks={"average": average, "mine": {"_target_": f"{mine}:Weights"}})
    result = run(config)
    (weights,) = from_file(mine).made
    assert len(weights.steps) == 24
    assert len(weights.ends) == 4
    last = checkpoint(config)
    counts = [k for k in last["state_dict"] if k.endswith("num_batches_tracked")]
    expected = {k: v.float() for k, v in want(weights).items() if k not in counts}
    assert_close({k: v for k, v in last["state_dict"].items() if k not in counts}, expected)
    assert same(last["current_model_state"], weights.steps[-1])
    # training is not touched by it, nor by the random numbers that a callback draws when it is made
    assert same(last["current_model_state"], checkpoint(replace(config, name="plain"))["state_dict"])
    assert result.train == plain_run.train
    assert last_row(config)["val/loss"] != last_row(replace(config, name="plain"))["val/loss"]

    best, last_path = (folder_of(config) / "checkpoints" / f"{name}.ckpt" for name in ("best", "last"))
    assert validated(last_path, config)["loss"] == pytest.approx(float(last_row(config)["val/loss"]), rel=1e-5)
    assert validated(best, config) == pytest.approx(result.val)
    assert run_test(replace(config, task="test", ckpt=str(best), callbacks={})) == pytest.approx(result.test)


@pytest.mark.parametrize(
    "late",
    [SWA | {"start": 1.0}, EMA | {"update_starting_at_step": 7}],  # the fourth epoch of 6 steps, the second
    ids=["swa", "ema"],
)
def test_before_anything_is_averaged_the_weights_themselves_are_validated(late: dict[str, Any], config: Config) -> None:
    """Lightning's own validates the untrained network until then."""
    short = replace(config, trainer=replace(config.trainer, max_epochs=1))
    plain_run = run(replace(short, name="plain"))
    averaged = replace(config, callbacks={"average": late})

    def prune(epoch: int, accuracy: float) -> bool:
        assert accuracy == (plain_run.val or {})["acc"]
        return True

    with pytest.raises(Exception, match="stopped after epoch 1"):
        run(averaged, should_prune=prune)
    assert same(checkpoint(averaged)["state_dict"], checkpoint(replace(short, name="plain"))["state_dict"])


@pytest.mark.parametrize("average", [averaging.EMA(), averaging.SWA()])
def test_the_average_lies_on_the_device_that_trains(average: averaging.Averaging) -> None:
    """torch's meta device stands for a GPU."""
    trainer = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("meta")))
    average.setup(cast(Trainer, trainer), fc2conv.LeNet(), "fit")
    assert average._average_model is not None
    assert {p.device.type for p in average._average_model.module.parameters()} == {"meta"}


@pytest.mark.parametrize("average", [EMA, SWA], ids=["ema", "swa"])
@pytest.mark.parametrize("at", [2, 12, 15])
def test_a_run_that_averages_goes_on_bit_for_bit(
    at: int, average: dict[str, Any], config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped before SWA's first epoch counts, at an epoch's end, and within a later one."""
    config = replace(config, callbacks={"average": average}, trainer=replace(config.trainer, max_epochs=3))
    whole = run(replace(config, name="whole"))
    ask = StopOnSignal.on_train_batch_end

    def signal_at(self: StopOnSignal, trainer: Any, *args: Any) -> None:
        if trainer.global_step == at:
            signal.raise_signal(signal.SIGINT)
        ask(self, trainer, *args)

    with monkeypatch.context() as patch:
        patch.setattr(StopOnSignal, "on_train_batch_end", signal_at)
        with pytest.raises(Interrupted):
            run(config)
    result = run(config, folder=folder_of(config), resumed=True)
    for name in ("last", "best"):
        one, other = checkpoint(config, name), checkpoint(replace(config, name="whole"), name)
        for state in ("state_dict", "current_model_state", "averaging_state"):
            assert same(one[state], other[state]), (name, state)
    assert (result.val, result.test, result.epochs) == (whole.val, whole.test, whole.epochs)


# --- stopping


def test_early_stopping_ends_the_run(config: Config) -> None:
    result = run(replace(config, callbacks={"stop": NEVER_BETTER}))
    assert (result.status, result.epochs) == ("done", 2)
    assert result.test is not None


def test_a_run_that_was_to_stop_and_was_interrupted_trains_no_further(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(config, callbacks={"stop": NEVER_BETTER})
    ask = StopOnSignal.on_train_batch_end

    def signal_at(self: StopOnSignal, trainer: Any, *args: Any) -> None:
        if trainer.global_step == 12:  # the second epoch's last, after which it stops
            signal.raise_signal(signal.SIGTERM)
        ask(self, trainer, *args)

    with monkeypatch.context() as patch:
        patch.setattr(StopOnSignal, "on_train_batch_end", signal_at)
        with pytest.raises(Interrupted):
            run(config)
    result = run(config, folder=folder_of(config), resumed=True)
    assert (result.status, result.epochs) == ("done", 2)


# --- how they are made


def test_a_callback_gets_its_arguments_and_those_may_be_made_too(config: Config, mine: str) -> None:
    inner = {"_target_": "torch.optim.swa_utils.get_ema_avg_fn", "decay": 0.5}
    target = f"{mine}:Weights"
    values = {"_target_": target, "_watches_": True, "label": "x", "inner": [inner, {"plain": 1}]}
    (made,) = make_callbacks(replace(config, callbacks={"mine": values}))
    assert made.label == "x"  # type: ignore[attr-defined]
    average, rest = made.inner  # type: ignore[attr-defined]
    assert average(torch.tensor(2.0), torch.tensor(4.0), 1) == 3
    assert rest == {"plain": 1}


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        (
            {"a": {"_target_": "nowhere.A"}},
            "callbacks.a: got nowhere.A, but there is no module nowhere; is its package",
        ),
        (
            {"a": {"_target_": "lightning.pytorch.callbacks.EarlyStoping"}},
            "callbacks.a: got lightning.pytorch.callbacks.EarlyStoping, but lightning.pytorch.callbacks has no "
            "EarlyStoping; did you mean EarlyStopping?",
        ),
        ({"a": {"_target_": "MINE:number"}}, "callbacks.a: got MINE:number, an object of type int; expected a class"),
        ({"a": {"_target_": "no.py:A"}}, "callbacks.a: got no.py:A, but there is no such file"),
        ({"a": {"_target_": "MINE:Weights", "labl": 1}}, "callbacks.a: MINE:Weights cannot be made (TypeError: "),
        ({"a": SWA | {"start": 3}}, "callbacks.a: fc2conv.training.averaging.SWA cannot be made (ValueError: start=3"),
        (
            {"a": {"_target_": "collections.OrderedDict"}},
            "callbacks.a: collections.OrderedDict gives a collections.OrderedDict, expected a lightning.pytorch.",
        ),
        (
            {"a": {"_target_": "MINE:Weights", "inner": {"_target_": "nowhere.B"}}},
            "callbacks.a: got nowhere.B, but there is no module nowhere",
        ),
        ({"a": EMA, "b": SWA}, "callbacks.b: averages the weights, as callbacks.a does; take one of them"),
        ({"a": STOPPING, "b": STOPPING}, "callbacks.b: cannot be told from callbacks.a in a checkpoint; take one"),
        (
            {"lr": {"_target_": "lightning.pytorch.callbacks.LearningRateMonitor", "_watches_": True}},
            "callbacks.lr: has no logger to write to; choose one, e.g. logger=tensorboard",
        ),
    ],
)
def test_what_cannot_be_made_is_said_before_anything_is_written(
    callbacks: dict[str, Any], message: str, config: Config, mine: str
) -> None:
    named = {k: v | {"_target_": v["_target_"].replace("MINE", mine)} for k, v in callbacks.items()}
    with pytest.raises(ConfigError) as error:
        run(replace(config, callbacks=named))
    assert str(error.value).replace(mine, "MINE").startswith(message)
    assert not Path(config.runs_dir).exists()


# --- where they come from


def small(config: Config) -> list[str]:
    return [
        *("model=softmax", "data=folder", f"data.path={config.data.path}", f"data.dir={config.data.dir}"),
        *("data.batch_size=8", "trainer=cpu", "trainer.threads=1", "trainer.max_epochs=1", "trainer.progress=false"),
        *("logger=[]", f"runs_dir={config.runs_dir}"),
    ]


def test_a_checkpoints_callbacks_are_not_imported_to_test_it(
    config: Config, mine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of the command line are, and see the test."""
    from fc2conv.compose import compose_config

    override = f"+callbacks.mine={{_target_: '{mine}:Weights', _watches_: true}}"
    trained = execute(*compose_config([*small(config), "name=trained", override]))
    assert trained is not None
    module = from_file(mine)
    assert module.made.pop().tested == 1
    del sys.modules[module.__name__]
    Path(mine).write_text("raise AssertionError('imported')")
    path = Path(config.runs_dir) / "trained" / "checkpoints" / "best.ckpt"
    tested = execute(*compose_config(["task=test", f"ckpt={path}"]))
    assert tested is not None
    assert tested.test == pytest.approx(trained.test)

    Path(mine).write_text(MINE)
    execute(*compose_config(["task=test", f"ckpt={path}", override]))
    assert from_file(mine).made.pop().tested == 1


def test_from_python(config: Config, mine: str, capsys: pytest.CaptureFixture[str]) -> None:
    values = {"callbacks": {"mine": {"_target_": f"{mine}:Weights", "label": "a b"}}}
    result = fc2conv.run(*small(config), "name=a", **values)
    assert result is not None
    assert from_file(mine).made.pop().label == "a b"
    assert result.config["callbacks"] == values["callbacks"]
    averaged = fc2conv.run(*small(config), "name=b", callbacks=["ema"])
    assert averaged is not None
    assert averaged.config["callbacks"]["ema"]["decay"] == 0.999
    with pytest.raises(ConfigError, match=r"callbacks: got objects, expected names \(\[\"ema\"\]\), or classes"):
        fc2conv.run(*small(config), callbacks=[object()])


def test_resuming_takes_what_the_record_says(config: Config, mine: str, capsys: pytest.CaptureFixture[str]) -> None:
    from fc2conv.compose import compose_config

    override = f"callbacks={{mine: {{_target_: '{mine}:Weights'}}}}"
    execute(*compose_config([*small(config), "name=run", override]))
    from_file(mine).made.clear()
    recorded = Result.read(folder_of(config))
    recorded.status = "interrupted"
    recorded.write(folder_of(config))
    with pytest.raises(ConfigError, match="was started with another callbacks"):
        execute(*compose_config([f"resume={folder_of(config)}", "callbacks=ema"]))
    with pytest.raises(ConfigError, match="was started with another callbacks"):
        execute(*compose_config([f"resume={folder_of(config)}", "callbacks=[]"]))
    resumed = execute(*compose_config([f"resume={folder_of(config)}"]))
    assert resumed is not None
    assert resumed.status == "done"
    assert resumed.identity == recorded.identity
    assert len(from_file(mine).made) == 1


def test_watchers_may_join_later(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("psutil")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    watchers = {
        "lr": {"_target_": "lightning.pytorch.callbacks.LearningRateMonitor", "_watches_": True},
        "device": {"_target_": "lightning.pytorch.callbacks.DeviceStatsMonitor", "_watches_": True},
    }
    config = replace(config, trainer=replace(config.trainer, max_epochs=9))  # they look on at each 50th step
    seen = replace(config, callbacks=watchers, logger=LoggerConfig(tensorboard=TensorBoardConfig()))
    assert identity_of(seen) == identity_of(config)
    run(seen)
    events = EventAccumulator(str(folder_of(seen) / "tensorboard")).Reload()
    tags = events.Tags()["scalars"]
    assert "lr-SGD/pg1" in tags
    assert any(tag.startswith("DeviceStatsMonitor.on_train_batch_start/") for tag in tags)
    assert same(
        checkpoint(seen)["state_dict"],
        checkpoint(replace(seen, name=run(replace(config, name="b")).name))["state_dict"],
    )
