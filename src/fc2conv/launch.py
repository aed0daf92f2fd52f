"""Where a run happens: in this process, or on several devices of one machine. Those get one process each, as torchrun
would start them, with the frozen config.

No process replays the command line (Lightning's own launcher does, which under a sweep starts the sweep again), and
the one that waits here sees every ending: if one rank dies, the others are stopped and the record says which.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from fc2conv.callbacks import Pruned
from fc2conv.config import Config, TrainerConfig
from fc2conv.record import reserve
from fc2conv.result import Result
from fc2conv.run import run
from fc2conv.signals import Interrupted
from fc2conv.world import World

Watch = Callable[[int, float], bool] | None
SHUTDOWN = 60
"""Seconds that ranks get to save and stop before they are killed."""


class RankFailed(RuntimeError):
    """One of the processes ended badly; its own message has been shown."""

    def __init__(self, message: str, exit_code: int):
        super().__init__(message)
        self.exit_code = exit_code


def local_devices(config: TrainerConfig) -> int:
    """How many processes to start here: `trainer.devices`, or all GPUs."""
    if config.devices != "auto":
        return config.devices
    return max(1, torch.cuda.device_count()) if config.accelerator in ("auto", "gpu") else 1


def start(
    config: Config, overrides: Sequence[str], folder: Path | None = None, resumed: bool = False, watch: Watch = None
) -> Result | None:
    """`run.run` here, or on the processes that trainer.strategy=ddp asks for if nobody has started them yet.

    Arguments, return value and exceptions as of `run.run`.
    """
    world = World.of_environment(config.trainer)
    started = "TORCHELASTIC_RUN_ID" in os.environ or world.slurm
    if config.trainer.strategy == "ddp" and world.size == 1 and not started:
        return launch(config, overrides, folder, resumed, watch, local_devices(config.trainer))
    return run(config, overrides, folder, resumed, watch)


def launch(
    config: Config, overrides: Sequence[str], folder: Path | None, resumed: bool, watch: Watch, devices: int
) -> Result:
    """`run.run` on `devices` processes of this machine.

    Raises:
        ConfigError: the folder cannot be made
        RankFailed, Interrupted: as a rank ended; the record has it
    """
    reserved = folder is None
    folder = folder or reserve(config)
    newer: dict[str, Any] = {"shutdown_timeout": SHUTDOWN}  # since torch 2.12; before, 30 seconds
    plan = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=devices,
        run_id=secrets.token_hex(4),
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,
        **{k: v for k, v in newer.items() if k in {f.name for f in fields(LaunchConfig)}},
    )
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    try:
        elastic_launch(plan, _rank)(config, list(overrides), folder, resumed, watch)
    except SignalException as error:
        _close(folder, "interrupted", str(Interrupted(error.sigval)), reserved)
        stopped = Interrupted(error.sigval)
        stopped.folder = folder if folder.exists() else None
        raise stopped from None
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        code = failure.exitcode if failure.exitcode > 0 else 1
        message = f"rank {rank} " + (
            f"was killed by {failure.signal_name()}" if failure.exitcode < 0 else f"failed with exit code {code}"
        )
        _close(folder, "interrupted" if code in (130, 143) else "failed", message, reserved)
        raise RankFailed(message, code) from None
    return Result.read(folder)


def _rank(config: Config, overrides: list[str], folder: Path, resumed: bool, watch: Watch) -> None:
    """One process, in the environment that torchrun gives."""
    from fc2conv.cli import guarded

    def to_the_end() -> None:
        with suppress(Pruned):  # the record says so
            run(config, overrides, folder, resumed, watch)

    guarded(to_the_end)


def _close(folder: Path, status: str, message: str, reserved: bool) -> None:
    """Complete the record if the first rank could not; a folder `reserved` for a run that never began goes again."""
    try:
        result = Result.read(folder)
    except FileNotFoundError:
        if reserved:
            folder.joinpath("checkpoints").rmdir()
            folder.rmdir()
        return
    if result.status == "running":
        result.status, result.error = status, message  # type: ignore[assignment]
    elif result.status == "failed" and message not in (result.error or ""):
        result.error = f"{message}; on rank 0: {result.error}"
    result.write(folder)
