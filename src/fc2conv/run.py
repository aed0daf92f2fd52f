"""run(config) -> Result: the only place where data, model, Trainer and loggers meet."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from threading import RLock
from typing import Any

import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.strategies import DDPStrategy, Strategy

from fc2conv import show
from fc2conv.callbacks import EpochRecorder, Pruned, ShowProgress, StopOnSignal
from fc2conv.classifier import Classifier, NonFiniteLoss
from fc2conv.config import Config, ConfigError, TrainerConfig, plain
from fc2conv.data.module import ImageData
from fc2conv.imports import uncollected
from fc2conv.models.modules import CLASSES
from fc2conv.record import Record, log, reserve
from fc2conv.result import Result
from fc2conv.signals import Interrupted, Signals
from fc2conv.world import World


def run(
    config: Config,
    overrides: Sequence[str] = (),
    folder: Path | None = None,
    resumed: bool = False,
    watch: Callable[[int, float], bool] | None = None,
) -> Result | None:
    """Train, validate after each epoch, test the best epoch's weights once; record everything in the run's folder.

    Args:
        config: the whole run
        overrides: what the user wrote, for the record
        folder: already reserved, or of the run that goes on; None reserves one
        resumed: go on from the folder's last.ckpt
        watch: told each epoch's number and validation accuracy; True stops the run as pruned

    Returns:
        None on the ranks that record nothing (all but the first)

    Raises:
        ConfigError: before anything is written
        Interrupted, Pruned, NonFiniteLoss, and whatever else ends a run; the record has it then
    """
    world = World.of_environment(config.trainer)
    with Signals() as signals:
        _prepare_torch(config.trainer, world)
        if resumed and folder:  # on every rank: one that went on would wait for the others
            _check_resumable(folder)
        data = ImageData(config.data, config.seed)
        data.setup()
        seed_everything(config.seed, verbose=False)
        module = CLASSES[config.model.family](
            config.model,
            data.shape,
            len(data.classes),
            config.optim,
            config.seed,
            {"config": plain(config)},
            config.trainer.gradient_clip,
        )
        data.steps_per_execution = module.steps_per_execution(config.data.batch_size)
        if not world.is_first:
            _fit_and_test(config, world, module, data, signals, None, folder or Path(), None, resumed, watch)
            _part(world)
            return None
        folder = folder or reserve(config)
        record = Record(folder, config, module.geometry, overrides, resumed)
        tracker = None
        try:
            record.result.world_size = world.size
            record.result.data_sha256 = data.source.sha256
            if config.logger.name == "wandb":
                with uncollected():
                    from fc2conv import tracking

                tracker = tracking.start(config, record.result, folder, resumed)
            record.write()
            _fit_and_test(config, world, module, data, signals, record, folder, tracker, resumed, watch)
        except BaseException as error:
            status, code = _ending(error)
            if isinstance(error, Interrupted):
                error.folder = folder
            with suppress(OSError):  # a full disk has said so already
                record.close(status, _brief(error))  # type: ignore[arg-type]
            if tracker:
                tracker.close(record.result, code)
            raise
        _part(world)
        record.close("done")
        if tracker:
            tracker.close(record.result, 0)
        return record.result


def _check_resumable(folder: Path) -> None:
    last = folder / "checkpoints" / "last.ckpt"
    if not last.exists():
        return
    try:
        checkpoint = torch.load(last, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ConfigError("resume", f"{last} cannot be read ({type(error).__name__}); start the run anew") from error
    if ImageData.__qualname__ not in checkpoint:
        raise ConfigError("resume", f"an earlier version, which counted steps otherwise, began {folder}; start it anew")


def _ending(error: BaseException) -> tuple[str, int]:
    """(status, exit code) of a run that `error` ended."""
    if isinstance(error, Interrupted):
        return "interrupted", error.exit_code
    if isinstance(error, Pruned):
        return "pruned", 0
    return ("interrupted", 130) if isinstance(error, KeyboardInterrupt) else ("failed", 1)


def _brief(error: BaseException) -> str:
    if isinstance(error, (Interrupted, Pruned, NonFiniteLoss)):
        return str(error)
    log.error("traceback:", exc_info=error)
    return f"{type(error).__name__}: {error}"


def _prepare_torch(config: TrainerConfig, world: World) -> None:
    if config.accelerator == "gpu" and not torch.cuda.is_available():
        raise ConfigError("trainer.accelerator", "got gpu, but torch sees no GPU; use trainer=cpu")
    if config.accelerator == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("trainer.accelerator", "got mps, but torch has no MPS here; use trainer=cpu")
    gpu = config.accelerator != "cpu" and (torch.cuda.is_available() or torch.backends.mps.is_available())
    if config.precision == "16-mixed" and not gpu:
        raise ConfigError("trainer.precision", "got 16-mixed, which the CPU does not have; use bf16-mixed, or 32")
    keep_freed_memory()
    torch.set_num_threads(config.threads or max(1, _cores() // world.local_size))
    # Deterministic mode also fills every new tensor with NaN, to show reads of memory never written; we make none.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    # what Lightning has to say of choices made on purpose; our totals are reduced over the ranks before they are logged
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*recommended to use .self.log.*sync_dist.*",
        ".*than the logging interval.*",
        ".*LeafSpec.*",
        ".*even kernel lengths.*",
    ):
        warnings.filterwarnings("ignore", message)


def keep_freed_memory() -> None:
    """Let the C library (glibc) keep what a step has freed for the next one.

    It would give blocks of some MB back to the system and get them again at each step, empty, page by page: a fifth of
    the step of a small network.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(-3, 1 << 25)  # M_MMAP_THRESHOLD, its largest value
            mallopt(-1, 1 << 30)  # M_TRIM_THRESHOLD


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _NoProfiler(PassThroughProfiler):
    """Lightning makes a generator for each of its many calls, to time nothing; this one makes none.

    A lock that is always free is entered and left without Python's help, as contextlib.nullcontext is not.
    """

    _nothing: AbstractContextManager[Any] = RLock()

    def profile(self, action_name: str) -> Any:
        return self._nothing


def trainer_for(config: TrainerConfig, world: World, callbacks: list[Callback], logger: Any = False) -> Trainer:
    """Lightning's Trainer as all runs use it: it keeps no checkpoints, shows no bar and starts no processes itself."""
    strategy: str | Strategy = "auto"
    if world.size > 1 or config.strategy == "ddp":
        strategy = DDPStrategy(cluster_environment=SLURMEnvironment(auto_requeue=False) if world.slurm else None)
    cpu = config.accelerator == "cpu" or not (torch.cuda.is_available() or torch.backends.mps.is_available())
    return Trainer(
        max_epochs=config.max_epochs,
        accelerator=config.accelerator,
        devices=world.local_size,
        num_nodes=world.nodes,
        strategy=strategy,
        precision="32-true" if config.precision == "32" else config.precision,
        deterministic=True if cpu else "warn",
        callbacks=callbacks,
        logger=logger,
        enable_checkpointing=any(isinstance(c, EpochRecorder) for c in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        profiler=_NoProfiler(),
    )


def _fit_and_test(
    config: Config,
    world: World,
    module: Classifier,
    data: ImageData,
    signals: Signals,
    record: Record | None,
    folder: Path,
    tracker: Any,
    resumed: bool,
    watch: Callable[[int, float], bool] | None,
) -> None:
    """On every rank; only the first has a record and a tracker."""
    progress = show.EpochProgress(config.trainer.max_epochs, config.trainer.progress and world.is_first)
    recorder = EpochRecorder(record, folder, progress, watch, config.trainer.patience)
    callbacks: list[Callback] = [StopOnSignal(signals, recorder), recorder]
    if progress.has_bar:
        callbacks.insert(0, ShowProgress(progress))
    trainer = trainer_for(config.trainer, world, callbacks, tracker or False)
    last = folder / "checkpoints" / "last.ckpt"
    if record:
        record.result.device = _device(trainer)
    trainer.fit(module, datamodule=data, ckpt_path=last if resumed and last.exists() else None, weights_only=True)

    best = torch.load(recorder.folder / "checkpoints" / "best.ckpt", map_location="cpu", weights_only=True)
    module.load_state_dict(best["state_dict"])
    began = time.perf_counter()
    test, confusion = evaluate(config.trainer, world, module, data, trainer)
    if record:
        record.result.test = test
        record.result.seconds["test"] = round(time.perf_counter() - began, 3)
        record.write()
    if tracker:
        from fc2conv.tracking import first_filters

        tracker.images(first_filters(module.net.state_dict()), confusion, data.classes)


def evaluate(
    config: TrainerConfig, world: World, module: Classifier, data: ImageData, trainer: Trainer | None = None
) -> tuple[dict[str, float], torch.Tensor]:
    """({loss, acc, n}, confusion matrix (true, predicted)) on the official test set."""
    trainer = trainer or trainer_for(config, world, [])
    trainer.test(module, datamodule=data, verbose=False)
    return module.figures["test"], module.confusion


def test(config: Config) -> dict[str, float]:
    """The test figures of `ckpt`: {loss, acc, n}. `config` is the checkpoint's own, as changed by the user."""
    assert config.ckpt is not None
    world = World.of_environment(config.trainer)
    with Signals():
        _prepare_torch(config.trainer, world)
        module = Classifier.load(config.ckpt)
        data = ImageData(config.data, config.seed)
        data.setup()
        if data.shape != module.geometry.input:
            raise ConfigError(
                "data",
                f"images are {show.spell(data.shape)}, but {config.ckpt} takes {show.spell(module.geometry.input)}",
            )
        figures, _ = evaluate(config.trainer, world, module, data)
        _part(world)
        return figures


def _part(world: World) -> None:
    """The ranks have nothing more to say to each other. Left open, gloo's threads can abort a process that exits."""
    if world.size > 1:
        torch.distributed.destroy_process_group()


def config_of(checkpoint: Path) -> dict[str, Any]:
    """The whole config that a checkpoint was trained with, as plain values.

    Raises:
        ConfigError: the file is no checkpoint of this project
    """
    try:
        values = torch.load(checkpoint, map_location="cpu", weights_only=True)
        return dict(values["hyper_parameters"]["extra"]["config"])
    except Exception as error:
        raise ConfigError("ckpt", f"{checkpoint} is no checkpoint of this project ({type(error).__name__})") from error


def _device(trainer: Trainer) -> str:
    device = trainer.strategy.root_device
    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type
