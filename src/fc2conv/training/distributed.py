"""Which processes train together, as whoever started them (torchrun, srun, or launch.py) says in the environment."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType

from fc2conv.config.schema import TrainerConfig
from fc2conv.errors import ConfigError


@dataclass(frozen=True)
class Processes:
    """The processes that train together, and this one's place among them."""

    rank: int = 0
    world_size: int = 1
    local_size: int = 1
    """Processes on this node."""
    slurm: bool = False

    @property
    def nodes(self) -> int:
        return self.world_size // self.local_size

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    @classmethod
    def of_environment(cls, config: TrainerConfig) -> Processes:
        """Those that the environment describes; one process where it describes none.

        Raises:
            ConfigError: the environment and trainer.* contradict each other
        """
        get = os.environ.get
        if config.cluster == "slurm":
            if "SLURM_PROCID" not in os.environ:
                raise ConfigError("trainer", "slurm was asked for, but SLURM_PROCID is not set; start it with srun")
            size, nodes = int(os.environ["SLURM_NTASKS"]), int(get("SLURM_NNODES", "1"))
            processes = cls(int(os.environ["SLURM_PROCID"]), size, size // nodes, slurm=True)
            started = f"srun with {size} tasks on {nodes} nodes"
        elif "TORCHELASTIC_RUN_ID" in os.environ:
            size = int(os.environ["WORLD_SIZE"])
            processes = cls(int(os.environ["RANK"]), size, int(os.environ["LOCAL_WORLD_SIZE"]))
            started = f"torchrun with {size} processes on {processes.nodes} nodes"
        else:
            if config.num_nodes > 1:
                raise ConfigError(
                    "trainer.num_nodes", f"got {config.num_nodes}; start it with torchrun or srun on each node"
                )
            return cls()
        if config.num_nodes not in (1, processes.nodes):
            raise ConfigError("trainer.num_nodes", f"got {config.num_nodes}, but started by {started}; leave it out")
        if config.strategy == "single" and processes.world_size > 1:
            raise ConfigError("trainer.strategy", f"got single, but started by {started}; use trainer=ddp")
        if config.devices not in ("auto", processes.local_size):
            raise ConfigError("trainer.devices", f"got {config.devices}, but started by {started}; leave it out")
        return processes


def rank() -> int:
    """This process's rank under torchrun, for what only the first should print; 0 elsewhere."""
    return int(os.environ["RANK"]) if "TORCHELASTIC_RUN_ID" in os.environ else 0


@contextmanager
def main_hidden() -> Iterator[None]:
    """Processes started in here do not import the script that this one runs: multiprocessing has them do so, which
    would run a script without a main guard once more in each of them."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus() -> list[str]:
    """The GPUs of this machine, or those that CUDA_VISIBLE_DEVICES leaves of them. Asks the driver, not torch."""
    if (chosen := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        names = itertools.takewhile(lambda name: not name.startswith("-"), chosen.split(","))  # as CUDA reads it
        return [name for name in names if name]
    if not shutil.which("nvidia-smi"):
        return []
    listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True)
    return [str(i) for i, line in enumerate(listed.stdout.splitlines()) if line.startswith("GPU")]


def check_devices(config: TrainerConfig) -> None:
    """Raise ConfigError where the processes that a run would start here are more than its GPUs, or else its cores."""
    started = config.cluster == "slurm" or "TORCHELASTIC_RUN_ID" in os.environ
    if started or config.strategy == "single" or config.devices == "auto":
        return
    found = gpus() if config.accelerator in ("auto", "gpu") else []
    if not found and config.accelerator == "gpu":  # none that the driver shows; Lightning looks for others
        return
    n, what = (len(found), "GPU") if found else (cores(), "core")
    if config.devices > n:
        there = f"{n} {what}{'s' * (n != 1)}"
        raise ConfigError("trainer.devices", f"got {config.devices}, but this machine has {there}; take {n} at most")


def prepare_process() -> None:
    """Set what belongs to a process, before torch is loaded, if the optional folder speed/ is there."""
    if speed := optional_speed():
        speed.process()


def optional_speed() -> ModuleType | None:
    """The package fc2conv.speed; None where its folder was deleted."""
    try:
        import fc2conv.speed
    except ModuleNotFoundError as error:
        if error.name != "fc2conv.speed":
            raise
        return None
    return fc2conv.speed
