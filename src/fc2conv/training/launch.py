"""Where a run happens: in this process, or on several devices of one machine. Those get one process each, as torchrun
would start them, with the frozen config.

No process replays the command line (Lightning's own launcher does, which under a sweep starts the sweep again), and
the one that waits here sees every ending: if one rank dies, the others are stopped and the record says which.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from fc2conv.config.schema import TrainerConfig
from fc2conv.errors import Interrupted, Pruned, RankFailed, guarded
from fc2conv.record.folder import RANKS, reserve
from fc2conv.record.lock import claim
from fc2conv.record.result import Result
from fc2conv.training.distributed import Processes, check_devices, main_hidden, prepare_process, rank
from fc2conv.training.run import Request, run
from fc2conv.training.signals import stopping
from fc2conv.training.user_callbacks import make_callbacks

SHUTDOWN = 60
"""Seconds that ranks get to save and stop before they are killed."""


def local_devices(config: TrainerConfig) -> int:
    """How many processes to start here: `trainer.devices`, or all GPUs."""
    if config.devices != "auto":
        return config.devices
    return max(1, torch.cuda.device_count()) if config.accelerator in ("auto", "gpu") else 1


def start(request: Request) -> Result | None:
    """`run` here, or on the processes that trainer.strategy=ddp asks for if nobody has started them yet.

    Returns and raises as `run`.
    """
    config = request.config.trainer
    processes = Processes.of_environment(config)
    started = "TORCHELASTIC_RUN_ID" in os.environ or processes.slurm
    if config.strategy == "ddp" and processes.world_size == 1 and not started:
        check_devices(config)
        make_callbacks(request.config)  # so that a mistake is told once, and here
        return launch(request, local_devices(config))
    return run(request)


def launch(request: Request, devices: int) -> Result:
    """`run` on `devices` processes of this machine.

    Raises:
        ConfigError: the folder cannot be made
        RankFailed, Interrupted: as a rank ended; the record has it
    """
    if request.folder is not None:
        return _elastic(request, request.folder, devices)
    folder = reserve(request.config)
    with claim(folder):  # the ranks take seconds to begin, and until then nothing else says that it is taken
        return _elastic(request, folder, devices)


def _elastic(request: Request, folder: Path, devices: int) -> Result:
    reserved = request.folder is None
    logs = folder / RANKS
    newer: dict[str, Any] = {
        "shutdown_timeout": SHUTDOWN,  # since torch 2.12; before, 30 seconds
        "signals_to_handle": ",".join(s.name for s in stopping()),  # torch would not leave one ignored
    }
    plan = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=devices,
        run_id=secrets.token_hex(4),
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,
        logs_specs=DefaultLogsSpecs(str(logs)),  # else in a folder of its own in TMPDIR, which it leaves there
        **{k: v for k, v in newer.items() if k in {f.name for f in fields(LaunchConfig)}},
    )
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    try:
        with main_hidden():
            elastic_launch(plan, _rank)(replace(request, folder=folder))
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
        _close(folder, "interrupted" if code - 128 in stopping() else "failed", message, reserved)
        raise RankFailed(message, code) from None
    finally:
        shutil.rmtree(logs, ignore_errors=True)
    return Result.read(folder)


def _rank(request: Request) -> None:
    """One process, in the environment that torchrun gives."""
    prepare_process()

    def to_the_end() -> None:
        with suppress(Pruned):  # the record says so
            run(request)

    guarded(to_the_end, rank=rank())


def _close(folder: Path, status: str, message: str, reserved: bool) -> None:
    """Complete the record if the first rank could not; a folder `reserved` for a run that never began goes again."""
    try:
        result = Result.read(folder)
    except FileNotFoundError:
        if reserved:
            shutil.rmtree(folder)
        return
    if result.status == "running":
        result.status, result.error = status, message  # type: ignore[assignment]
    elif result.status == "failed" and message not in (result.error or ""):
        result.error = f"{message}; on rank 0: {result.error}"
    result.write(folder)
