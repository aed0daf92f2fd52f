"""Which processes train together, as whoever started them (torchrun, srun, or launch.py) says in the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass

from fc2conv.config import ConfigError, TrainerConfig


@dataclass(frozen=True)
class World:
    """This process's place among those that train together."""

    rank: int = 0
    size: int = 1
    local_size: int = 1
    """Processes on this node."""
    slurm: bool = False

    @property
    def nodes(self) -> int:
        return self.size // self.local_size

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    @classmethod
    def of_environment(cls, config: TrainerConfig) -> World:
        """The world that the environment describes; one process where it describes none.

        Raises:
            ConfigError: the environment and trainer.* contradict each other
        """
        get = os.environ.get
        if config.cluster == "slurm":
            if "SLURM_PROCID" not in os.environ:
                raise ConfigError("trainer", "slurm was asked for, but SLURM_PROCID is not set; start it with srun")
            size, nodes = int(os.environ["SLURM_NTASKS"]), int(get("SLURM_NNODES", "1"))
            world = cls(int(os.environ["SLURM_PROCID"]), size, size // nodes, slurm=True)
            started = f"srun with {size} tasks on {nodes} nodes"
        elif "TORCHELASTIC_RUN_ID" in os.environ:
            size = int(os.environ["WORLD_SIZE"])
            world = cls(int(os.environ["RANK"]), size, int(os.environ["LOCAL_WORLD_SIZE"]))
            started = f"torchrun with {size} processes on {world.nodes} nodes"
        else:
            if config.num_nodes > 1:
                raise ConfigError(
                    "trainer.num_nodes", f"got {config.num_nodes}; start it with torchrun or srun on each node"
                )
            return cls()
        if config.num_nodes not in (1, world.nodes):
            raise ConfigError("trainer.num_nodes", f"got {config.num_nodes}, but started by {started}; leave it out")
        if config.strategy == "single" and world.size > 1:
            raise ConfigError("trainer.strategy", f"got single, but started by {started}; use trainer=ddp")
        if config.devices not in ("auto", world.local_size):
            raise ConfigError("trainer.devices", f"got {config.devices}, but started by {started}; leave it out")
        return world


def rank() -> int:
    """This process's rank by the environment alone, for what only the first should print."""
    return int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")))
