"""How many jobs a machine carries at a time, and what each of them may use of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fc2conv.config.schema import TrainerConfig
from fc2conv.errors import ConfigError
from fc2conv.sweep.trials import Trial
from fc2conv.training.distributed import cores, gpus

MEMORY = 1.0
"""GiB reserved for each process of a job. LeNet needs about half of it, besides what the jobs have in common."""


@dataclass(frozen=True)
class Slot:
    """What one of the jobs that run at a time may use."""

    threads: int
    """CPU threads of each of its processes."""
    gpus: tuple[str, ...] = ()

    def environment(self) -> dict[str, str]:
        return {"CUDA_VISIBLE_DEVICES": ",".join(self.gpus)} if self.gpus else {}

    def given(self, trial: Trial) -> Trial:
        """The trial with its thread budget, where it does not say its own."""
        assert trial.config is not None
        trainer = trial.config.trainer
        threads = trainer.threads or self.threads
        return replace(trial, config=replace(trial.config, trainer=replace(trainer, threads=threads)))


def uses_gpu(trainer: TrainerConfig) -> bool:
    """Whether a run may train on a GPU."""
    return trainer.accelerator not in ("cpu", "mps") and bool(gpus())


def memory() -> float:
    """GiB of this machine's memory; infinite where the system does not tell."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30 if hasattr(os, "sysconf") else float("inf")


def slots_for(trainers: Sequence[TrainerConfig], jobs: int | None, trials: int, jobs_per_gpu: int = 1) -> list[Slot]:
    """What each of the jobs that run at a time gets. It follows from the machine and the sweep as a whole, not from
    what is left of it: a resumed job must find the threads it began with.

    Args:
        trainers: of the trials
        jobs: at once; None for as many as the GPUs, or else the cores, and the memory carry
        trials: in the sweep
        jobs_per_gpu: that share a GPU, where `jobs` is None

    Raises:
        ConfigError: a number that is none, or GPUs that are not there
    """
    if jobs is not None and not _counts(jobs):
        raise ConfigError("hydra.launcher.jobs", f"got {jobs}, expected a number of jobs, or null")
    if not _counts(jobs_per_gpu):
        raise ConfigError("hydra.launcher.jobs_per_gpu", f"got {jobs_per_gpu}, expected a number of jobs")
    found = gpus() if any(t.accelerator in ("auto", "gpu") for t in trainers) else []
    devices = max((_devices(t, len(found)) for t in trainers), default=1)
    if devices > len(found) and any(t.accelerator == "gpu" for t in trainers):
        raise ConfigError("trainer.devices", f"got {devices}, but this machine has {len(found)} GPUs")
    on_gpus = 0 < devices <= len(found)
    if jobs_per_gpu > 1 and not on_gpus:
        raise ConfigError(
            "hydra.launcher.jobs_per_gpu", f"got {jobs_per_gpu}, but these runs use no GPU; use hydra.launcher.jobs"
        )
    if jobs_per_gpu > 1 and jobs is not None:
        raise ConfigError(
            "hydra.launcher.jobs_per_gpu", f"got {jobs_per_gpu}, but hydra.launcher.jobs={jobs} says how many; use one"
        )
    wanted = max((t.threads or 1 for t in trainers), default=1)
    carried = len(found) * jobs_per_gpu // devices if on_gpus else cores() // (devices * wanted)
    carried = int(min(carried, memory() // (devices * MEMORY)))
    n = max(1, min(jobs or carried, trials))
    threads = max(1, cores() // (n * devices))
    if not on_gpus:
        return [Slot(threads)] * n
    return [Slot(threads, tuple(found[(i * devices + d) % len(found)] for d in range(devices))) for i in range(n)]


def _counts(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _devices(trainer: TrainerConfig, present: int) -> int:
    if trainer.strategy == "single":
        return 1
    return max(1, present) if trainer.devices == "auto" else trainer.devices
