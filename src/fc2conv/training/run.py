"""run(...) -> Result: the only place where data, model, Trainer and loggers meet."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import Callback, Checkpoint, ProgressBar
from lightning.pytorch.loggers.logger import DummyLogger, Logger
from lightning.pytorch.profilers import AdvancedProfiler, SimpleProfiler
from lightning.pytorch.strategies import DDPStrategy, Strategy

from fc2conv.config.batches import check_batch_norm
from fc2conv.config.parsing import suggest
from fc2conv.config.schema import LIMITS, Config, LoggerConfig, TrainerConfig, plain
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
    LogSteps,
    ShouldPrune,
    ShowProgress,
    StopEarly,
    StopOnSignal,
    ValidateLast,
)
from fc2conv.training.checkpoint_io import CheckedFiles
from fc2conv.training.classifier import Classifier, class_of
from fc2conv.training.distributed import Processes, cores, optional_speed
from fc2conv.training.optimizers import optimizer_for
from fc2conv.training.schedule import MaxSteps
from fc2conv.training.signals import Signals
from fc2conv.training.user_callbacks import make_callbacks

if TYPE_CHECKING:
    from fc2conv.record.mirror import Mirror

PROFILERS = {"simple": SimpleProfiler, "advanced": AdvancedProfiler}


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


@dataclass(frozen=True)
class _Observers:
    """What looks on while a run trains. Only the first rank has a record and trackers."""

    signals: Signals
    callbacks: list[Callback]
    """Those that the config names."""
    record: Record | None = None
    trackers: Sequence[Mirror] = ()


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
            check_resumable(folder)
        data, module, kernels = _prepared(config, processes)
        observers = _Observers(signals, make_callbacks(config))  # with the weights drawn, whatever random they use
        if not processes.is_first:
            _fit_and_test(request, processes, module, data, observers)
            _leave(processes)
            return None
        folder = folder or reserve(config)
        begun = Result.of(config, module.geometry, folder.name, request.model, request.overrides)
        record = Record(folder, None if request.resumed else begun, request.overrides)
        trackers: list[Mirror] = []
        try:
            record.result.world_size = processes.world_size
            record.result.data_sha256 = data.source.sha256
            record.result.kernels = kernels
            if config.logger != LoggerConfig():
                from fc2conv.record import loggers

                trackers += loggers.start_trackers(config.logger, record.result, folder, request.resumed)
            record.write()
            _fit_and_test(request, processes, module, data, replace(observers, record=record, trackers=trackers))
        except BaseException as error:
            status, code = _ending(error)
            if isinstance(error, Interrupted):
                error.folder = folder
            with suppress(OSError):  # a full disk has said so already
                record.close(status, _brief(error))
            for tracker in trackers:
                tracker.close(record.result, code)
            raise
        _leave(processes)
        record.close("done")
        for tracker in trackers:
            tracker.close(record.result, 0)
        return record.result


def _prepared(config: Config, processes: Processes) -> tuple[ImageData, Classifier, str | None]:
    """(the images, the network with its initial weights, which kernels compute it).

    Raises:
        ConfigError: these do not go together, or not here
    """
    data = ImageData(config.data, config.seed)
    data.setup()
    data.check_processes(processes.world_size)
    seed_everything(config.seed, verbose=False)
    module = class_of(config.model)(
        config.model, data.shape, len(data.classes), config.optim, config.seed, {"config": plain(config)}
    )
    check_batch_norm(module.geometry, len(data.train_indices), config.data.batch_size, processes.world_size)
    optimizer_for(config.optim, module.net)  # so that what it does not take is told before anything is written
    return data, module, _accelerate(module, config.trainer)


def check_resumable(folder: Path) -> None:
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
    """Have torch.compile compile the network, or the CPU's compiled kernels compute what they can of it.

    Returns:
        Which kernels do; None: torch alone

    Raises:
        ConfigError: torch cannot compile here
    """
    if config.compile:
        backend = "inductor" if config.compile is True else config.compile
        _check_backend(backend, config)
        torch.compiler.reset()  # another network's code would count towards the limit of recompilations
        module.net.compile(backend=backend)
        return None
    speed = optional_speed()
    if speed is None or not (config.kernels and _on_cpu(config)):
        return None
    module.net = speed.accelerate(module.net)
    kernels: str | None = speed.describe(module.net)
    return kernels


def _check_backend(backend: str, config: TrainerConfig) -> None:
    known = torch.compiler.list_backends(exclude_tags=())
    if backend not in known:
        reason = f"got {backend}, expected true, false, or one of torch's backends{suggest(backend, known)}"
        raise ConfigError("trainer.compile", reason)
    compiler = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if backend == "inductor" and _on_cpu(config) and shutil.which(compiler) is None:
        raise ConfigError("trainer.compile", f"needs a C++ compiler on the CPU, and there is no {compiler}")


def trainer_for(
    config: TrainerConfig,
    processes: Processes,
    callbacks: list[Callback],
    trackers: Sequence[Logger] = (),
    folder: Path | None = None,
) -> Trainer:
    """Lightning's Trainer as all runs use it: it shows no bar of its own and starts no processes itself.

    Args:
        folder: for what callbacks may write, and where a profiler's report goes; None: here, and nothing is profiled
    """
    profiled = folder is not None and processes.is_first
    strategy: str | Strategy = "auto"
    if processes.world_size > 1 or config.strategy == "ddp":
        strategy = DDPStrategy(cluster_environment=SLURMEnvironment(auto_requeue=False) if processes.slurm else None)
    return Trainer(
        max_epochs=config.max_epochs,
        max_time=config.max_time,
        accelerator=config.accelerator,
        devices=processes.local_size,
        num_nodes=processes.nodes,
        strategy=strategy,
        precision="32-true" if config.precision == "32" else config.precision,
        gradient_clip_val=config.gradient_clip,
        accumulate_grad_batches=config.accumulate_grad_batches,
        check_val_every_n_epoch=config.check_val_every_n_epoch,
        overfit_batches=config.overfit_batches or 0.0,
        **{limit: getattr(config, limit) for limit in LIMITS if limit != "overfit_batches"},
        log_every_n_steps=config.log_every_n_steps,
        profiler=PROFILERS[config.profiler](folder, "profile") if config.profiler and profiled else None,
        deterministic=True if _on_cpu(config) else "warn",
        callbacks=callbacks,
        plugins=[CheckedFiles()],
        logger=list(trackers),
        default_root_dir=folder,
        enable_checkpointing=any(isinstance(c, Checkpoint) for c in callbacks),
        enable_progress_bar=any(isinstance(c, ProgressBar) for c in callbacks),
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
    )


def in_batches(config: TrainerConfig, data: ImageData) -> TrainerConfig:
    """`config` with its limits as numbers of batches: of a fraction at least one is left."""
    counts: dict[str, Any] = {
        key: config.limited(key, len(data.batches(split)))  # type: ignore[arg-type]
        for key, split in zip(LIMITS, ("train", "val", "test", "train"), strict=True)
        if getattr(config, key) is not None
    }
    return replace(config, **counts)


def _fit_and_test(
    request: Request,
    processes: Processes,
    module: Classifier,
    data: ImageData,
    observers: _Observers,
) -> None:
    """On every rank."""
    config, record = request.config, observers.record
    folder = record.folder if record else request.folder or Path()
    settings = in_batches(config.trainer, data)
    shows = settings.progress and processes.is_first
    progress = terminal.EpochProgress(settings.epochs(len(data.batches("train"))), shows)
    best = BestEpoch()
    checkpoints = Checkpoints(record, folder, best)
    callbacks = [
        *observers.callbacks,  # first, so that what they keep of a step is in the checkpoint that a signal asks for
        *([ShowProgress(progress)] if progress.has_bar else []),
        *([LogSteps(settings.log_every_n_steps)] if settings.log_every_n_steps else []),
        *([MaxSteps(settings.max_steps)] if settings.max_steps else []),
        ValidateLast(),
        StopOnSignal(observers.signals, checkpoints),
        best,
        EpochRecorder(record, progress, best),
        checkpoints,
        StopEarly(best, settings.patience, request.should_prune),
    ]
    # some callbacks insist on a logger, on every rank
    loggers: Sequence[Logger] = observers.trackers or ([DummyLogger()] if observers.callbacks else [])
    trainer = trainer_for(settings, processes, callbacks, loggers, folder)
    last = folder / CHECKPOINTS / "last.ckpt"
    if record:
        record.result.device = _device(trainer)
    goes_on = request.resumed and last.exists()
    trainer.fit(module, datamodule=data, ckpt_path=last if goes_on else None, weights_only=True)

    # there is no best epoch if a killed run went on when its time was up, before any validation
    kept = checkpoints.folder / CHECKPOINTS / ("best.ckpt" if best.epoch else "last.ckpt")
    module.load_state_dict(load_checkpoint(kept, mapped=True)["state_dict"])
    began = time.perf_counter()
    test, confusion = evaluate(trainer, module, data)
    if record:
        record.result.test = test
        record.result.confusion = confusion.tolist()
        record.result.per_class = per_class(confusion.tolist(), data.classes)
        record.result.seconds["test"] = round(time.perf_counter() - began, 3)
        record.write()
    if observers.trackers:
        from fc2conv.record.pictures import first_filters

    for tracker in observers.trackers:
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
        callbacks = make_callbacks(config)
        loggers = [DummyLogger()] if callbacks else []
        settings = in_batches(config.trainer, data)
        metrics, _ = evaluate(trainer_for(settings, processes, callbacks, loggers), module, data)
        _leave(processes)
        return metrics


def lr_find(request: Request) -> tuple[Result, Path]:
    """Search for a learning rate, and write the curve into a folder of its own. Nothing is trained by it.

    Returns:
        (record, its folder); the record's status is skipped, and it has the suggestion

    Raises:
        ConfigError: before anything is written
        Interrupted, and whatever else ends the search; the record has it then
    """
    from fc2conv.training import lr_find as room

    config = request.config
    processes = Processes.of_environment(config.trainer)
    with Signals(), _torch_prepared(config.trainer, processes):
        data, module, kernels = _prepared(config, processes)
        folder = reserve(config)
        begun = Result.of(config, module.geometry, folder.name, request.model, request.overrides)
        record = Record(folder, begun, request.overrides)
        record.result.kernels, record.result.data_sha256 = kernels, data.source.sha256
        try:
            # no end but the search's own, and no validation
            settings = replace(
                in_batches(config.trainer, data),
                max_epochs=room.STEPS,
                max_steps=None,
                max_time=None,
                check_val_every_n_epoch=room.STEPS + 1,
            )
            trainer = trainer_for(settings, processes, [], folder=folder)
            record.result.device = _device(trainer)
            curve = room.search(trainer, module, data)
            curve.write(folder)
            record.result.suggested_lr = curve.suggestion()
        except BaseException as error:
            with suppress(OSError):
                record.close(_ending(error)[0], _brief(error))
            raise
        record.close("skipped")
        return record.result, folder


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
