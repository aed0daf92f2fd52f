"""run(...) -> Result: the only place where data, model, Trainer and loggers meet."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import Callback, Checkpoint
from lightning.pytorch.strategies import DDPStrategy, Strategy

from fc2conv.config.schema import Config, TrainerConfig, plain
from fc2conv.data.image_data import ImageData
from fc2conv.errors import ConfigError, DamagedCheckpoint, Interrupted, NonFiniteLoss, Pruned
from fc2conv.record import terminal
from fc2conv.record.checkpoint import load_checkpoint, verify
from fc2conv.record.folder import CHECKPOINTS, Record, log, reserve
from fc2conv.record.result import Result, Status, per_class
from fc2conv.training.callbacks import (
    BestEpoch,
    Checkpoints,
    EpochRecorder,
    ShouldPrune,
    ShowProgress,
    StopEarly,
    StopOnSignal,
)
from fc2conv.training.checkpoint_io import CheckedFiles
from fc2conv.training.classifier import Classifier, class_of
from fc2conv.training.distributed import Processes, cores, optional_speed
from fc2conv.training.signals import Signals

if TYPE_CHECKING:
    from fc2conv.record.tracking import Tracker


@dataclass(frozen=True)
class Request:
    """A run that is asked for."""

    config: Config
    """The whole run."""
    overrides: Sequence[str] = ()
    """What the user wrote, for the record."""
    folder: Path | None = None
    """Already reserved, or of the run that goes on; None reserves one."""
    resumed: bool = False
    """Go on from the folder's last.ckpt."""
    should_prune: ShouldPrune | None = field(default=None, repr=False)
    """Asked after each epoch whether the run should stop as pruned."""
    model: str = ""
    """The choice of conf/model/, for the record."""


def run(request: Request) -> Result | None:
    """Train, validate after each epoch, test the best epoch's weights once; record everything in the run's folder.

    Returns:
        None on the ranks that record nothing (all but the first)

    Raises:
        ConfigError: before anything is written
        Interrupted, Pruned, NonFiniteLoss, and whatever else ends a run; the record has it then
    """
    config, folder = request.config, request.folder
    processes = Processes.of_environment(config.trainer)
    with Signals() as signals, _torch_prepared(config.trainer, processes):
        if request.resumed and folder:  # on every rank: one that failed alone would leave the others waiting
            _check_resumable(folder)
        data = ImageData(config.data, config.seed)
        data.setup()
        data.check_processes(processes.world_size)
        seed_everything(config.seed, verbose=False)
        module = class_of(config.model)(
            config.model, data.shape, len(data.classes), config.optim, config.seed, {"config": plain(config)}
        )
        kernels = _accelerate(module, config.trainer)
        if not processes.is_first:
            _fit_and_test(request, processes, module, data, signals)
            _leave(processes)
            return None
        folder = folder or reserve(config)
        begun = Result.of(config, module.geometry, folder.name, request.model, request.overrides)
        record = Record(folder, None if request.resumed else begun, request.overrides)
        tracker = None
        try:
            record.result.world_size = processes.world_size
            record.result.data_sha256 = data.source.sha256
            record.result.kernels = kernels
            if config.logger.name == "wandb":
                from fc2conv.record import tracking

                tracker = tracking.start(config, record.result, folder, request.resumed)
            record.write()
            _fit_and_test(request, processes, module, data, signals, (record, tracker))
        except BaseException as error:
            status, code = _ending(error)
            if isinstance(error, Interrupted):
                error.folder = folder
            with suppress(OSError):  # a full disk has said so already
                record.close(status, _brief(error))
            if tracker:
                tracker.close(record.result, code)
            raise
        _leave(processes)
        record.close("done")
        if tracker:
            tracker.close(record.result, 0)
        return record.result


def _check_resumable(folder: Path) -> None:
    """Raise ConfigError unless the run's checkpoints, where it has some, are what was written."""
    for path in (folder / CHECKPOINTS / name for name in ("last.ckpt", "best.ckpt")):
        try:
            verify(path)
        except FileNotFoundError:
            continue
        except DamagedCheckpoint as error:
            raise ConfigError("resume", f"{error}; start the run anew") from error


def _ending(error: BaseException) -> tuple[Status, int]:
    """(status, exit code) of a run that `error` ended."""
    if isinstance(error, Interrupted):
        return "interrupted", error.exit_code
    if isinstance(error, Pruned):
        return "pruned", 0
    return ("interrupted", 130) if isinstance(error, KeyboardInterrupt) else ("failed", 1)


def _brief(error: BaseException) -> str:
    if isinstance(error, (Interrupted, Pruned, NonFiniteLoss, DamagedCheckpoint)):
        return str(error)
    log.error("traceback:", exc_info=error)
    return f"{type(error).__name__}: {error}"


@contextmanager
def _torch_prepared(config: TrainerConfig, processes: Processes) -> Iterator[None]:
    """torch's settings for a run; afterwards they are as before, for the program may be a notebook.

    Raises:
        ConfigError: torch has not what `config` asks for
    """
    if config.accelerator == "gpu" and not torch.cuda.is_available():
        raise ConfigError("trainer.accelerator", "got gpu, but torch sees no GPU; use trainer=cpu")
    if config.accelerator == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("trainer.accelerator", "got mps, but torch has no MPS here; use trainer=cpu")
    if config.precision == "16-mixed" and _on_cpu(config):
        raise ConfigError("trainer.precision", "got 16-mixed, which the CPU does not have; use bf16-mixed, or 32")
    threads, fill = torch.get_num_threads(), torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    mode, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    try:
        with warnings.catch_warnings():
            # what Lightning has to say of choices made on purpose
            for logger in loggers:
                logger.setLevel(logging.WARNING)
            for message in (".*than the logging interval.*", ".*LeafSpec.*", ".*even kernel lengths.*"):
                warnings.filterwarnings("ignore", message)
            torch.set_num_threads(config.threads or max(1, cores() // processes.local_size))
            # Deterministic mode also fills new tensors with NaN, to show reads of memory never written; we make none.
            torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
            yield
    finally:
        torch.set_num_threads(threads)
        torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]
        torch.use_deterministic_algorithms(mode, warn_only=warns)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _on_cpu(config: TrainerConfig) -> bool:
    return config.accelerator == "cpu" or not (torch.cuda.is_available() or torch.backends.mps.is_available())


def _accelerate(module: Classifier, config: TrainerConfig) -> str | None:
    """Have the CPU's compiled kernels compute what they can of the network. Returns which do; None: torch alone."""
    speed = optional_speed()
    if speed is None or not (config.kernels and _on_cpu(config)):
        return None
    module.net = speed.accelerate(module.net)
    kernels: str | None = speed.describe(module.net)
    return kernels


def trainer_for(
    config: TrainerConfig, processes: Processes, callbacks: list[Callback], tracker: Tracker | None = None
) -> Trainer:
    """Lightning's Trainer as all runs use it: it shows no bar and starts no processes itself."""
    strategy: str | Strategy = "auto"
    if processes.world_size > 1 or config.strategy == "ddp":
        strategy = DDPStrategy(cluster_environment=SLURMEnvironment(auto_requeue=False) if processes.slurm else None)
    return Trainer(
        max_epochs=config.max_epochs,
        accelerator=config.accelerator,
        devices=processes.local_size,
        num_nodes=processes.nodes,
        strategy=strategy,
        precision="32-true" if config.precision == "32" else config.precision,
        gradient_clip_val=config.gradient_clip,
        deterministic=True if _on_cpu(config) else "warn",
        callbacks=callbacks,
        plugins=[CheckedFiles()],
        logger=tracker or False,
        enable_checkpointing=any(isinstance(c, Checkpoint) for c in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
    )


def _fit_and_test(
    request: Request,
    processes: Processes,
    module: Classifier,
    data: ImageData,
    signals: Signals,
    outputs: tuple[Record | None, Tracker | None] = (None, None),
) -> None:
    """On every rank; only the first has a record and a tracker."""
    config, (record, tracker) = request.config, outputs
    folder = record.folder if record else request.folder or Path()
    progress = terminal.EpochProgress(config.trainer.max_epochs, config.trainer.progress and processes.is_first)
    best = BestEpoch()
    checkpoints = Checkpoints(record, folder, best)
    callbacks = [
        *([ShowProgress(progress)] if progress.has_bar else []),
        StopOnSignal(signals, checkpoints),
        best,
        EpochRecorder(record, progress, best),
        checkpoints,
        StopEarly(best, config.trainer.patience, request.should_prune),
    ]
    trainer = trainer_for(config.trainer, processes, callbacks, tracker)
    last = folder / CHECKPOINTS / "last.ckpt"
    if record:
        record.result.device = _device(trainer)
    goes_on = request.resumed and last.exists()
    trainer.fit(module, datamodule=data, ckpt_path=last if goes_on else None, weights_only=True)

    kept = load_checkpoint(checkpoints.folder / CHECKPOINTS / "best.ckpt", mapped=True)
    module.load_state_dict(kept["state_dict"])
    began = time.perf_counter()
    test, confusion = evaluate(trainer, module, data)
    if record:
        record.result.test = test
        record.result.confusion = confusion.tolist()
        record.result.per_class = per_class(confusion.tolist(), data.classes)
        record.result.seconds["test"] = round(time.perf_counter() - began, 3)
        record.write()
    if tracker:
        from fc2conv.record.tracking import first_filters

        tracker.images(first_filters(module.net.state_dict()), confusion, data.classes)


def evaluate(trainer: Trainer, module: Classifier, data: ImageData) -> tuple[dict[str, float], torch.Tensor]:
    """({loss, acc, n}, confusion matrix (true, predicted)) on the official test set."""
    trainer.test(module, datamodule=data, verbose=False)
    return module.metrics["test"], module.confusion


def test(config: Config) -> dict[str, float]:
    """The test metrics of `ckpt`: {loss, acc, n}. `config` is the checkpoint's own, as changed by the user."""
    assert config.ckpt is not None
    processes = Processes.of_environment(config.trainer)
    with Signals(), _torch_prepared(config.trainer, processes):
        module = Classifier.load(config.ckpt, allow=config.allow)
        _accelerate(module, config.trainer)
        data = ImageData(config.data, config.seed)
        data.setup()
        if data.shape != module.geometry.input:
            raise ConfigError(
                "data",
                f"images are {terminal.spell(data.shape)}, "
                f"but {config.ckpt} takes {terminal.spell(module.geometry.input)}",
            )
        metrics, _ = evaluate(trainer_for(config.trainer, processes, []), module, data)
        _leave(processes)
        return metrics


def _leave(processes: Processes) -> None:
    """Close the process group. Left open, gloo's threads can abort a process that exits."""
    if processes.world_size > 1:
        torch.distributed.destroy_process_group()


def config_of(checkpoint: Path) -> dict[str, Any]:
    """The whole config that a checkpoint was trained with, as plain values.

    Raises:
        ConfigError: the file is damaged, or no checkpoint of this project
    """
    try:
        return dict(load_checkpoint(checkpoint, mapped=True)["hyper_parameters"]["extra"]["config"])
    except DamagedCheckpoint as error:
        raise ConfigError("ckpt", f"{error}; give another, or train anew") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError("ckpt", f"{checkpoint} is no checkpoint of this project ({type(error).__name__})") from error


def _device(trainer: Trainer) -> str:
    device = trainer.strategy.root_device
    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type
