"""How many jobs a machine carries at a time, and what each of them may use of it."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fc2conv.config.schema import TrainerConfig
from fc2conv.errors import ConfigError
from fc2conv.sweep.trials import Trial
from fc2conv.training.distributed import cores

MEMORY = 1.0
"""GiB reserved for each process of a job. LeNet needs about half of it, besides what the jobs have in common."""


@dataclass(frozen=True)
class Slot:
    """What one of the jobs that run at a time may use."""

    threads: int
    """Of each of its processes."""
    gpus: tuple[str, ...] = ()

    def environment(self) -> dict[str, str]:
        return {"CUDA_VISIBLE_DEVICES": ",".join(self.gpus)} if self.gpus else {}

    def given(self, trial: Trial) -> Trial:
        """The trial with its thread budget, where it does not say its own."""
        assert trial.config is not None
        trainer = trial.config.trainer
        threads = trainer.threads or self.threads
        return replace(trial, config=replace(trial.config, trainer=replace(trainer, threads=threads)))


def gpus() -> list[str]:
    """The GPUs of this machine, or those that CUDA_VISIBLE_DEVICES leaves of them. Asks the driver, not torch."""
    if (chosen := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        names = itertools.takewhile(lambda name: not name.startswith("-"), chosen.split(","))  # as CUDA reads it
        return [name for name in names if name]
    if not shutil.which("nvidia-smi"):
        return []
    listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True)
    return [str(i) for i, line in enumerate(listed.stdout.splitlines()) if line.startswith("GPU")]


def uses_gpu(trainer: TrainerConfig) -> bool:
    """Whether a run may train on a GPU."""
    return trainer.accelerator not in ("cpu", "mps") and bool(gpus())


def memory() -> float:
    """GiB of this machine's memory; infinite where the system does not tell."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30 if hasattr(os, "sysconf") else float("inf")


def slots_for(trainers: Sequence[TrainerConfig], jobs: int | None, trials: int) -> list[Slot]:
    """What each of the jobs that run at a time gets. It follows from the machine and the sweep as a whole, not from
    what is left of it: a resumed job must find the threads it began with.

    Args:
        trainers: of the trials
        jobs: at once; None for as many as the GPUs, or else the cores, and the memory carry
        trials: in the sweep
    """
    if jobs is not None and (not isinstance(jobs, int) or jobs < 1):
        raise ConfigError("hydra.launcher.jobs", f"got {jobs}, expected a number of jobs, or null")
    found = gpus() if any(t.accelerator in ("auto", "gpu") for t in trainers) else []
    devices = max((_devices(t, len(found)) for t in trainers), default=1)
    if devices > len(found) and any(t.accelerator == "gpu" for t in trainers):
        raise ConfigError("trainer.devices", f"got {devices}, but this machine has {len(found)} GPUs")
    on_gpus = 0 < devices <= len(found)
    wanted = max((t.threads or 1 for t in trainers), default=1)
    carried = len(found) // devices if on_gpus else cores() // (devices * wanted)
    carried = int(min(carried, memory() // (devices * MEMORY)))
    n = max(1, min(jobs or carried, trials))
    threads = max(1, cores() // (n * devices))
    if not on_gpus:
        return [Slot(threads)] * n
    return [Slot(threads, tuple(found[(i * devices + d) % len(found)] for d in range(devices))) for i in range(n)]


def _devices(trainer: TrainerConfig, present: int) -> int:
    if trainer.strategy == "single":
        return 1
    return max(1, present) if trainer.devices == "auto" else trainer.devices
