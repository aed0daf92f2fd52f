"""How many processes a machine is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fc2conv.config.schema import Config, TrainerConfig
from fc2conv.errors import ConfigError
from fc2conv.training import distributed
from fc2conv.training.distributed import check_devices
from fc2conv.training.launch import start
from fc2conv.training.run import Request


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A machine of so many cores and GPUs, which nobody has started several processes on."""
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)

    def make(cores: int, gpus: int) -> None:
        monkeypatch.setattr(distributed, "cores", lambda: cores)
        monkeypatch.setattr(distributed, "gpus", lambda: [str(i) for i in range(gpus)])

    return make


@pytest.mark.parametrize(
    ("cores", "gpus", "accelerator", "devices", "there"),
    [
        (4, 0, "cpu", 5, "4 cores"),
        (4, 8, "cpu", 5, "4 cores"),  # its GPUs are of no use to it
        (1, 0, "cpu", 2, "1 core"),
        (4, 0, "auto", 5, "4 cores"),
        (16, 2, "auto", 3, "2 GPUs"),  # where there are GPUs, auto takes those
        (16, 1, "gpu", 2, "1 GPU"),
    ],
)
def test_more_devices_than_there_are(
    cores: int, gpus: int, accelerator: Any, devices: int, there: str, machine: Any
) -> None:
    machine(cores, gpus)
    with pytest.raises(ConfigError, match=f"^trainer.devices: got {devices}, but this machine has {there}; take"):
        check_devices(TrainerConfig(devices=devices, strategy="ddp", accelerator=accelerator))
    check_devices(TrainerConfig(devices=devices - 1, strategy="ddp", accelerator=accelerator))


def test_no_process_is_started_then(machine: Any, tmp_path: Path) -> None:
    """Not even in a job that another launcher has put on a machine of its own."""
    machine(2, 0)
    trainer = TrainerConfig(devices=3, strategy="ddp", accelerator="cpu")
    with pytest.raises(ConfigError, match=r"^trainer\.devices: got 3, but this machine has 2 cores"):
        start(Request(Config(trainer=trainer, runs_dir=str(tmp_path / "runs")), ()))
    assert not (tmp_path / "runs").exists()


def test_who_is_not_asked(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(1, 0)
    check_devices(TrainerConfig())
    check_devices(TrainerConfig(devices="auto", strategy="ddp"))
    check_devices(TrainerConfig(devices=2, strategy="ddp", accelerator="gpu"))  # maybe of another maker than NVIDIA
    check_devices(TrainerConfig(devices=2, strategy="ddp", cluster="slurm"))
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")  # torchrun has started them already
    check_devices(TrainerConfig(devices=2, strategy="ddp"))
