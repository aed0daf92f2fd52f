"""The trackers that `logger=[...]` names: W&B (tracking.py), TensorBoard and MLflow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import MLFlowLogger, TensorBoardLogger
from numpy import asarray

from fc2conv.config.schema import LoggerConfig, MLflowConfig, TensorBoardConfig
from fc2conv.record.mirror import Mirror, description, say, summary
from fc2conv.record.result import Result

MLFLOW_STATES = {"done": "FINISHED", "pruned": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}


def start_trackers(config: LoggerConfig, result: Result, folder: Path, resumed: bool) -> list[Mirror]:
    """Open those of a run. One that fails to open is said, and left out.

    Args:
        folder: the run's, for their files
        resumed: go on in their runs of before, which `result` has written down
    """
    found: list[Mirror] = []
    if config.wandb:
        from fc2conv.record import tracking

        found += filter(None, [tracking.start(config.wandb, result, folder, resumed)])
    if config.tensorboard:
        found += _opened(TensorBoard.label, partial(TensorBoard, config.tensorboard, folder))
    if config.mlflow:
        found += _opened(MLflow.label, partial(MLflow, config.mlflow, result, folder, resumed))
    return found


def _opened(label: str, make: Callable[[], Mirror]) -> list[Mirror]:
    try:
        return [make()]
    except Exception as error:
        say(f"{label} cannot start ({type(error).__name__}: {error}); the run goes on without it", error=True)
        return []


class TensorBoard(Mirror, TensorBoardLogger):
    """Event files in the run's folder tensorboard/. The config and its result are on TensorBoard's page HPARAMS."""

    label = "TensorBoard"

    def __init__(self, config: TensorBoardConfig, folder: Path):
        super().__init__(folder, "tensorboard", "", default_hp_metric=False, flush_secs=config.flush_seconds)
        _ = self.experiment  # opens the file, so that what fails does so here

    def log_pictures(self, pictures: Mapping[str, Any]) -> None:
        for name, picture in pictures.items():
            self.experiment.add_image(f"pictures/{name}", asarray(picture), dataformats="HWC")

    def close(self, result: Result, exit_code: int) -> None:
        numbers = {f"hparams/{k}": v for k, v in summary(result).items() if isinstance(v, (int, float))}
        self.log_hyperparams(description(result) | {"status": result.status}, numbers)
        self.guarded("close its file", lambda: self.experiment.close())


class MLflow(Mirror, MLFlowLogger):
    """A run in MLflow's database, which is on SQLite in the run's folder unless `uri` names another."""

    label = "MLflow"

    def __init__(self, config: MLflowConfig, result: Result, folder: Path, resumed: bool):
        own = config.uri is None
        uri = f"sqlite:///{(folder / 'mlflow.db').absolute()}" if own else config.uri
        super().__init__(
            experiment_name=config.experiment,
            run_name=result.name,
            tracking_uri=uri,
            artifact_location=(folder / "mlflow").absolute().as_uri() if own else None,
            run_id=result.mlflow_id if resumed else None,
        )
        self._find_experiment()
        if result.mlflow_id == self.run_id:
            self.experiment.update_run(self.run_id, status="RUNNING")
        else:
            result.mlflow_id = self.run_id
            self.log_hyperparams(description(result))

    def _find_experiment(self) -> None:
        """Make it if need be, in silence, and while other runs may be doing the same."""
        client, name = self._mlflow_client, self._experiment_name
        if client.get_experiment_by_name(name) is None:
            with suppress(Exception):
                client.create_experiment(name, artifact_location=self._artifact_location)

    def log_pictures(self, pictures: Mapping[str, Any]) -> None:
        for name, picture in pictures.items():
            self.experiment.log_image(self.run_id, picture, f"pictures/{name}.png")

    def close(self, result: Result, exit_code: int) -> None:
        def end() -> None:
            for name in ("status", "best_epoch", "error"):
                self.experiment.set_tag(self.run_id, name, getattr(result, name))
            self.experiment.set_terminated(self.run_id, MLFLOW_STATES[result.status])

        self.guarded("finish", end)
