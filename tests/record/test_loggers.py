"""TensorBoard and MLflow: real runs, read back with their own readers."""

from __future__ import annotations

import csv
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.config import schema
from fc2conv.config.schema import (
    Config,
    DataConfig,
    LoggerConfig,
    MLflowConfig,
    OptimConfig,
    TensorBoardConfig,
    TrainerConfig,
)
from fc2conv.errors import ConfigError, Interrupted, NonFiniteLoss
from fc2conv.record import loggers
from fc2conv.record.result import Result
from fc2conv.training.callbacks import StopOnSignal
from fc2conv.training.run import Request
from fc2conv.training.run import run as run_request

BOARD = LoggerConfig(tensorboard=TensorBoardConfig())


def run(config: Config, **more: Any) -> Result:
    result = run_request(Request(config, **more))
    assert result is not None
    return result


@pytest.fixture
def config(image_folder: Path, tmp_path: Path) -> Config:
    data = DataConfig(name="folder", path=str(image_folder), dir=str(tmp_path / "cache"), batch_size=8, val_size=0.1)
    return Config(
        LeNetConfig(channels=(2,), hidden=(8,), activation="relu"),
        data,
        OptimConfig(name="adam", lr=0.003),
        TrainerConfig(max_epochs=2, accelerator="cpu", threads=1, progress=False),
        BOARD,
        runs_dir=str(tmp_path / "runs"),
        name="run",
    )


def folder_of(config: Config) -> Path:
    return Path(config.runs_dir) / str(config.name)


def rows(config: Config) -> list[dict[str, str]]:
    with (folder_of(config) / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


@contextmanager
def interrupted_at(step: int) -> Iterator[None]:
    """Runs in here get a signal after so many steps."""
    ask = StopOnSignal.on_train_batch_end

    def signal_at(self: StopOnSignal, trainer: Any, *args: Any) -> None:
        if trainer.global_step == step:
            signal.raise_signal(signal.SIGINT)
        ask(self, trainer, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StopOnSignal, "on_train_batch_end", signal_at)
        with pytest.raises(Interrupted):
            yield


# --- TensorBoard


def board(config: Config) -> EventAccumulator:
    return EventAccumulator(str(folder_of(config) / "tensorboard"), size_guidance={"images": 0}).Reload()


@pytest.mark.usefixtures("draws")
def test_tensorboard_has_the_numbers_of_metrics_csv(config: Config) -> None:
    result = run(config)
    events = board(config)
    for name in ("train/loss", "train/acc", "val/loss", "val/acc"):
        seen = [(e.step, pytest.approx(e.value, rel=1e-5)) for e in events.Scalars(name)]
        assert seen == [(int(row["step"]), float(row[name])) for row in rows(config)]
    assert {(6, 1), (12, 2)} <= {(e.step, e.value) for e in events.Scalars("epoch")}
    assert result.test is not None
    assert events.Scalars("test/acc")[-1].value == pytest.approx(result.test["acc"])
    assert {"pictures/confusion", "pictures/filters"} <= set(events.Tags()["images"])
    hparams = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    values = HParamsPluginData.FromString(hparams).session_start_info.hparams
    assert values["model/activation"].string_value == "relu"
    assert values["parameters"].number_value == result.params["total"]
    assert events.Scalars("hparams/test/acc")[-1].value == pytest.approx(result.test["acc"])
    assert {path.name for path in folder_of(config).iterdir()} == {
        *("checkpoints", "config.yaml", "metrics.csv", "result.json", "train.log", "tensorboard", ".run.lock"),
        *("arrays.npz", "pictures"),
    }


def test_an_interrupted_run_goes_on_in_the_same_board(config: Config) -> None:
    with interrupted_at(8):  # of 12
        run(config)
    run(config, folder=folder_of(config), resumed=True)
    assert [e.step for e in board(config).Scalars("val/acc")] == [6, 12]


def test_a_run_that_failed_closes_its_board(config: Config) -> None:
    with pytest.raises(NonFiniteLoss):
        run(replace(config, optim=OptimConfig(lr=1e30)))
    hparams = board(config).summary_metadata["_hparams_/session_start_info"].plugin_data.content
    values = HParamsPluginData.FromString(hparams).session_start_info.hparams
    assert values["status"].string_value == "failed"


def test_a_logger_that_fails_is_said_once_and_the_others_go_on(
    config: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(loggers.MLflow, "__init__", fail)
    monkeypatch.setattr("torch.utils.tensorboard.SummaryWriter.add_scalar", fail)
    result = run(replace(config, logger=replace(BOARD, mlflow=MLflowConfig())))
    assert result.status == "done"
    out = " ".join(capsys.readouterr().out.split())
    assert out.count("MLflow cannot start (OSError: No space left on device); the run goes on without it") == 1
    assert out.count("TensorBoard failed to log (ValueError: ") == 1
    assert out.count("failed") == 1


def test_a_package_that_is_missing_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "find_spec", lambda name: None)
    LoggerConfig().require_installed()
    with pytest.raises(ConfigError) as error:
        BOARD.require_installed()
    assert str(error.value) == "logger: got tensorboard, which is not installed; pip install -e '.[tensorboard]'"


# --- MLflow


@pytest.fixture
def client() -> Any:
    mlflow = pytest.importorskip("mlflow")
    before = mlflow.get_tracking_uri()
    yield mlflow.MlflowClient
    mlflow.set_tracking_uri(before)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what its libraries warn of among themselves
def test_mlflow_has_one_run_that_goes_on(config: Config, client: Any, tmp_path: Path) -> None:
    shared = MLflowConfig(experiment="tests", uri=f"sqlite:///{tmp_path}/all.db")
    config = replace(config, logger=LoggerConfig(mlflow=shared))
    with interrupted_at(8):  # of 12
        run(config)
    store = client(shared.uri)
    experiment = store.get_experiment_by_name("tests").experiment_id
    (stopped,) = store.search_runs([experiment])
    assert stopped.info.status == "KILLED"
    assert Result.read(folder_of(config)).mlflow_id == stopped.info.run_id
    result = run(config, folder=folder_of(config), resumed=True)
    (seen,) = store.search_runs([experiment])
    assert (seen.info.run_id, seen.info.status) == (stopped.info.run_id, "FINISHED")
    assert (seen.info.run_name, seen.data.tags["status"]) == ("run", "done")
    assert seen.data.params["model/activation"] == "relu"
    assert seen.data.params["parameters"] == str(result.params["total"])
    history = store.get_metric_history(seen.info.run_id, "val/acc")
    want = [(int(row["step"]), pytest.approx(float(row["val/acc"]))) for row in rows(config)]
    assert [(metric.step, metric.value) for metric in history] == want
    assert result.test is not None
    assert seen.data.metrics["test/acc"] == pytest.approx(result.test["acc"])


@pytest.mark.usefixtures("draws")
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what its libraries warn of among themselves
def test_mlflows_own_database_lies_in_the_runs_folder(config: Config, client: Any) -> None:
    result = run(replace(config, logger=LoggerConfig(mlflow=MLflowConfig())))
    store = client(f"sqlite:///{folder_of(config)}/mlflow.db")
    assert store.get_run(result.mlflow_id).info.status == "FINISHED"
    pictures = {path.name for path in (folder_of(config) / "mlflow").rglob("*.png")}
    assert pictures >= {"confusion.png", "filters.png", "misclassified.png", "features_1.png"}
