"""Lightning's Trainer and torch, as a run's config wants them."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint, ProgressBar
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.profilers import AdvancedProfiler, SimpleProfiler
from lightning.pytorch.strategies import DDPStrategy, Strategy

from fc2conv.config.parsing import suggest
from fc2conv.config.schema import LIMITS, TrainerConfig
from fc2conv.data.image_data import ImageData
from fc2conv.errors import ConfigError
from fc2conv.training.checkpoint_io import CheckedFiles
from fc2conv.training.classifier import Classifier
from fc2conv.training.distributed import Processes, cores, optional_speed

PROFILERS = {"simple": SimpleProfiler, "advanced": AdvancedProfiler}


@contextmanager
def torch_prepared(config: TrainerConfig, processes: Processes) -> Iterator[None]:
    """torch's settings for a run; afterwards they are as before, for the program may be a notebook.

    Raises:
        ConfigError: torch has not what `config` asks for
    """
    if config.accelerator == "gpu" and not torch.cuda.is_available():
        raise ConfigError("trainer.accelerator", "got gpu, but torch sees no GPU; use trainer=cpu")
    if config.accelerator == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("trainer.accelerator", "got mps, but torch has no MPS here; use trainer=cpu")
    if config.precision == "16-mixed" and on_cpu(config):
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


def on_cpu(config: TrainerConfig) -> bool:
    return config.accelerator == "cpu" or not (torch.cuda.is_available() or torch.backends.mps.is_available())


def accelerate(module: Classifier, config: TrainerConfig) -> str | None:
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
    if speed is None or not (config.kernels and on_cpu(config)):
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
    if backend == "inductor" and on_cpu(config) and shutil.which(compiler) is None:
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
        deterministic=True if on_cpu(config) else "warn",
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


def device_of(trainer: Trainer) -> str:
    device = trainer.strategy.root_device
    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type


def leave(processes: Processes) -> None:
    """Close the process group. Left open, gloo's threads can abort a process that exits."""
    if processes.world_size > 1:
        torch.distributed.destroy_process_group()
