"""run(...) -> Result: the only place where data, model, Trainer and loggers meet."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers.logger import DummyLogger, Logger

from fc2conv.architectures import Shape
from fc2conv.config.batches import check_batch_norm
from fc2conv.config.schema import Config, LoggerConfig, plain
from fc2conv.data.image_data import ImageData
from fc2conv.errors import ConfigError, DamagedCheckpoint, Interrupted, NonFiniteLoss, Pruned, gpu_full
from fc2conv.instruments.release import recast
from fc2conv.record import terminal
from fc2conv.record.arrays import Arrays
from fc2conv.record.checkpoint import load_checkpoint, verify
from fc2conv.record.folder import CHECKPOINTS, LAST, Record, log, reserve
from fc2conv.record.result import Result, Status, per_class
from fc2conv.training.arrays import Mistakes, Predictions
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
    WatchWeights,
)
from fc2conv.training.classifier import Classifier, class_of
from fc2conv.training.distributed import Processes
from fc2conv.training.drawing import Drawing
from fc2conv.training.optimizers import optimizer_for
from fc2conv.training.recorded import sha256
from fc2conv.training.schedule import MaxSteps
from fc2conv.training.signals import Signals
from fc2conv.training.trainer import accelerate, device_of, in_batches, leave, torch_prepared, trainer_for
from fc2conv.training.user_callbacks import make_callbacks

if TYPE_CHECKING:
    from fc2conv.record.mirror import Mirror


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
    draw: bool = True
    """Draw the run's pictures at its end; else the one who asks does so."""


@dataclass(frozen=True)
class _Observers:
    """What looks on while a run trains. Only the first rank has a record, its pictures and trackers."""

    signals: Signals
    callbacks: list[Callback]
    """Those that the config names."""
    record: Record | None = None
    drawing: Drawing | None = None
    trackers: Sequence[Mirror] = ()


def run(request: Request) -> Result | None:
    """Train, validate after each epoch, test the best epoch's weights once (or the last, by trainer.test_weights);
    record everything in the run's folder.

    Returns:
        None on the ranks that record nothing (all but the first)

    Raises:
        ConfigError: before anything is written
        Interrupted, Pruned, NonFiniteLoss, and whatever else ends a run; the record has it then
    """
    config, folder = request.config, request.folder
    processes = Processes.of_environment(config.trainer)
    with Signals() as signals, torch_prepared(config.trainer, processes):
        if request.resumed and folder:  # on every rank: one that failed alone would leave the others waiting
            check_resumable(folder)
        goes_on = request.resumed and folder is not None and (folder / CHECKPOINTS / LAST).exists()
        data, module, kernels = _prepared(config, processes, goes_on)
        observers = _Observers(signals, make_callbacks(config))  # with the weights drawn, whatever random they use
        if not processes.is_first:
            _fit_and_test(request, processes, module, data, observers)
            leave(processes)
            return None
        folder = folder or reserve(config)
        begun = Result.of(config, module.geometry, folder.name, request.model, request.overrides)
        record = Record(folder, None if request.resumed else begun, request.overrides)
        drawing = Drawing(folder)
        trackers: list[Mirror] = []
        try:
            record.result.world_size = processes.world_size
            record.result.data_sha256 = data.source.sha256
            record.result.kernels = kernels
            if config.logger != LoggerConfig():
                from fc2conv.record import loggers

                trackers += loggers.start_trackers(config.logger, record.result, folder, request.resumed)
            record.write()
            observers = replace(observers, record=record, drawing=drawing, trackers=trackers)
            _fit_and_test(request, processes, module, data, observers)
        except BaseException as error:
            status, code = _ending(error)
            if isinstance(error, Interrupted):
                error.folder = folder
            with suppress(OSError):  # a full disk has said so already
                record.close(status, _brief(error))
            for tracker in trackers:
                tracker.close(record.result, code)
            if request.draw and status == "failed":  # one that was stopped may go on
                drawing.curves(record.result)
            raise
        leave(processes)
        record.close("done")
        for tracker in trackers:
            tracker.close(record.result, 0)
        if request.draw:
            drawing.curves(record.result)
        return record.result


def _prepared(config: Config, processes: Processes, goes_on: bool = False) -> tuple[ImageData, Classifier, str | None]:
    """(the images, the network with its initial weights, which kernels compute it).

    Args:
        goes_on: the weights come from the run's last.ckpt

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
    if config.release and not goes_on:
        _recast(config, module)
    check_batch_norm(module.geometry, len(data.train_indices), config.data.batch_size, processes.world_size)
    optimizer_for(config.optim, module.net)  # so that what it does not take is told before anything is written
    return data, module, accelerate(module, config.trainer)


def _recast(config: Config, module: Classifier) -> None:
    """Give the network the weights of `ckpt`, of which it is a less constrained form: it computes the same.

    Raises:
        ConfigError: they do not go together
    """
    assert config.ckpt is not None
    if sha256(Path(config.ckpt)) != config.ckpt_sha256:
        raise ConfigError("ckpt", f"{config.ckpt} is not what it was when the run began; start a new run")
    trained = Classifier.load(config.ckpt)
    _check_images(module.geometry.input, trained, config)
    recast(trained, module, module.geometry.input)


def _check_images(shape: Shape, trained: Classifier, config: Config) -> None:
    """Raise ConfigError if the network of `ckpt` takes images of another shape."""
    takes = trained.geometry.input
    if shape != takes:
        raise ConfigError(
            "data", f"images are {terminal.spell(shape)}, but {config.ckpt} takes {terminal.spell(takes)}"
        )


def check_resumable(folder: Path) -> None:
    """Raise ConfigError unless the run's checkpoints, where it has some, are what was written."""
    for path in (folder / CHECKPOINTS / name for name in (LAST, "best.ckpt")):
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
    return gpu_full(error) or f"{type(error).__name__}: {error}"


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
    best, mistakes, predictions = BestEpoch(settings.test_weights == "last"), Mistakes(data), Predictions(data)
    checkpoints = Checkpoints(record, folder, best)
    callbacks = [
        *observers.callbacks,  # first, so that what they keep of a step is in the checkpoint that a signal asks for
        *([ShowProgress(progress)] if progress.has_bar else []),
        *_step_loggers(config.logger, settings.log_every_n_steps),
        *([MaxSteps(settings.max_steps)] if settings.max_steps else []),
        ValidateLast(),
        StopOnSignal(observers.signals, checkpoints),
        best,
        EpochRecorder(record, progress, best),
        checkpoints,
        StopEarly(best, settings.patience, request.should_prune),
        mistakes,
        predictions,
    ]
    # some callbacks insist on a logger, on every rank
    loggers: Sequence[Logger] = observers.trackers or ([DummyLogger()] if observers.callbacks else [])
    trainer = trainer_for(settings, processes, callbacks, loggers, folder)
    last = folder / CHECKPOINTS / LAST
    if record:
        record.result.device = device_of(trainer)
    goes_on = request.resumed and last.exists()
    trainer.fit(module, datamodule=data, ckpt_path=last if goes_on else None, weights_only=True)

    # there is no best epoch if a killed run went on when its time was up, before any validation
    kept = checkpoints.folder / CHECKPOINTS / ("best.ckpt" if best.epoch else LAST)
    module.load_state_dict(load_checkpoint(kept, mapped=True)["state_dict"])
    began = time.perf_counter()
    test, confusion = evaluate(trainer, module, data)
    if record:
        record.result.test = test
        record.result.confusion = confusion.tolist()
        record.result.per_class = per_class(confusion.tolist(), data.classes)
        record.result.seconds["test"] = round(time.perf_counter() - began, 3)
        record.write()
        assert observers.drawing
        arrays = observers.drawing.leave_arrays(module.net, data, mistakes, predictions)
        _show(request, observers, arrays, data.classes)


def _show(request: Request, observers: _Observers, arrays: Arrays, classes: Sequence[str]) -> None:
    """What the tested network has to show, drawn, in the run's folder and for the trackers."""
    assert observers.record
    assert observers.drawing
    confusion = observers.record.result.confusion or []
    if request.draw or observers.trackers:
        images = observers.drawing.images(arrays, confusion, classes)
        for tracker in observers.trackers:
            tracker.images(arrays, images, confusion, classes)


def _step_loggers(config: LoggerConfig, n: int | None) -> list[Callback]:
    """On every rank, since the loss is that of all."""
    watch = config.wandb.watch if config.wandb else None
    if n is None or config == LoggerConfig():
        return []
    return [LogSteps(n), *([WatchWeights(watch, n)] if watch else [])]


def evaluate(trainer: Trainer, module: Classifier, data: ImageData) -> tuple[dict[str, float], torch.Tensor]:
    """({loss, acc, n}, confusion matrix (true, predicted)) on the official test set."""
    trainer.test(module, datamodule=data, verbose=False)
    return module.metrics["test"], module.confusion


def loaded(config: Config) -> tuple[Classifier, ImageData]:
    """(the network of `ckpt`, the images).

    Raises:
        ConfigError: they do not go together
    """
    assert config.ckpt is not None
    module, data = Classifier.load(config.ckpt, allow=config.allow), ImageData(config.data, config.seed)
    data.setup()
    _check_images(data.shape, module, config)
    return module, data


def test(config: Config) -> dict[str, float]:
    """The test metrics of `ckpt`: {loss, acc, n}. `config` is the checkpoint's own, as changed by the user."""
    processes = Processes.of_environment(config.trainer)
    with Signals(), torch_prepared(config.trainer, processes):
        module, data = loaded(config)
        accelerate(module, config.trainer)
        callbacks = make_callbacks(config)
        loggers = [DummyLogger()] if callbacks else []
        settings = in_batches(config.trainer, data)
        metrics, _ = evaluate(trainer_for(settings, processes, callbacks, loggers), module, data)
        leave(processes)
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
    with Signals(), torch_prepared(config.trainer, processes):
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
            record.result.device = device_of(trainer)
            curve = room.search(trainer, module, data)
            curve.write(folder)
            record.result.suggested_lr = curve.suggestion()
        except BaseException as error:
            with suppress(OSError):
                record.close(_ending(error)[0], _brief(error))
            raise
        record.close("skipped")
        return record.result, folder
