"""How many jobs a machine carries at a time, and what each of them gets of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from fc2conv.config.schema import Config, TrainerConfig
from fc2conv.errors import ConfigError
from fc2conv.record.result import Result
from fc2conv.sweep import slots
from fc2conv.sweep.slots import Slot, slots_for
from fc2conv.sweep.trials import Trial
from fc2conv.training import distributed

Machine = Callable[[int, int], None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine of so many cores and GPUs."""

    def make(cores: int, gpus: int) -> None:
        monkeypatch.setattr(slots, "cores", lambda: cores)
        monkeypatch.setattr(slots, "gpus", lambda: [str(i) for i in range(gpus)])

    return make


def trainer(
    devices: int | Literal["auto"] = 1,
    threads: int | None = None,
    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto",
) -> TrainerConfig:
    strategy: Literal["single", "ddp"] = "single" if devices == 1 else "ddp"
    return TrainerConfig(devices=devices, threads=threads, accelerator=accelerator, strategy=strategy)


# --- cores


@pytest.mark.parametrize(
    ("cores", "devices", "threads", "jobs", "trials", "want"),
    [
        (8, 1, None, None, 30, [1] * 8),  # a core each
        (8, 1, None, None, 3, [2] * 3),  # more cores than trials: 8 // 3
        (8, 1, None, None, 1, [8]),
        (8, 1, None, 2, 30, [4] * 2),  # two jobs were asked for
        (8, 1, None, 16, 30, [1] * 16),  # more than there are cores
        (8, 1, None, 16, 3, [2] * 3),  # more than there are trials
        (8, 1, 2, None, 30, [2] * 4),  # the trials have two threads each
        (8, 1, 3, None, 30, [4] * 2),  # 8 // 3 jobs; the spare cores are theirs to take
        (8, 1, 16, None, 30, [8]),  # more threads than cores: one at a time
        (8, 2, None, None, 30, [1] * 4),  # two processes a job
        (8, 2, 2, None, 30, [2] * 2),
        (8, 2, None, 1, 30, [4]),  # 8 cores, one job of two processes
        (8, "auto", None, None, 30, [1] * 8),  # all the GPUs that there are not: one process
        (1, 1, None, None, 30, [1]),
        (2, 4, None, None, 30, [1]),
        (8, 1, None, None, 0, [8]),  # nothing is left to train; the live table shows one
    ],
)
def test_cores_are_divided(
    cores: int,
    devices: int | Literal["auto"],
    threads: int | None,
    jobs: int | None,
    trials: int,
    want: list[int],
    machine: Machine,
) -> None:
    machine(cores, 0)
    assert slots_for([trainer(devices, threads)] * trials, jobs, trials) == [Slot(n) for n in want]


def test_one_process_takes_one_gpu(machine: Machine) -> None:
    """trainer.devices=auto with strategy=single trains on one, whatever there is."""
    machine(8, 4)
    assert slots_for([TrainerConfig(devices="auto")], None, 4) == [Slot(2, (gpu,)) for gpu in "0123"]


def test_a_system_that_does_not_tell_its_memory(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(8, 0)
    monkeypatch.setattr(slots, "memory", lambda: float("inf"))
    assert slots_for([trainer()], None, 30) == [Slot(1)] * 8


def test_the_largest_job_decides(machine: Machine) -> None:
    machine(8, 0)
    assert slots_for([trainer(), trainer(threads=4), trainer()], None, 30) == [Slot(4)] * 2
    assert slots_for([trainer(), trainer(devices=4)], None, 30) == [Slot(1)] * 2


# --- GPUs


@pytest.mark.parametrize(
    ("gpus", "devices", "jobs", "trials", "want"),
    [
        (4, 1, None, 30, ["0", "1", "2", "3"]),
        (4, 1, None, 2, ["0", "1"]),
        (4, 1, 2, 30, ["0", "1"]),
        (4, 2, None, 30, ["0 1", "2 3"]),
        (5, 2, None, 30, ["0 1", "2 3"]),  # one is left over
        (4, "auto", None, 30, ["0 1 2 3"]),
        (2, 2, 2, 30, ["0 1", "0 1"]),  # asked for more than they carry: they share
        (2, 1, 4, 30, ["0", "1", "0", "1"]),
    ],
)
def test_gpus_are_dealt_out(
    gpus: int, devices: int | Literal["auto"], jobs: int | None, trials: int, want: list[str], machine: Machine
) -> None:
    machine(16, gpus)
    found = slots_for([trainer(devices)], jobs, trials)
    assert [" ".join(s.gpus) for s in found] == want
    processes = len(want) * len(want[0].split())
    assert {s.threads for s in found} == {16 // processes}
    used = [gpu for s in found for gpu in s.gpus]
    assert jobs is not None or len(used) == len(set(used))
    assert found[0].environment() == {"CUDA_VISIBLE_DEVICES": want[0].replace(" ", ",")}


@pytest.mark.parametrize(
    ("gpus", "devices", "each", "trials", "want"),
    [
        (1, 1, 3, 30, ["0", "0", "0"]),
        (2, 1, 2, 30, ["0", "1", "0", "1"]),
        (2, 1, 4, 3, ["0", "1", "0"]),  # no more than there are trials
        (4, 2, 2, 30, ["0 1", "2 3", "0 1", "2 3"]),
        (3, 2, 2, 30, ["0 1", "2 0", "1 2"]),  # two on each, though no two share both
    ],
)
def test_jobs_share_gpus_if_told(
    gpus: int, devices: int, each: int, trials: int, want: list[str], machine: Machine
) -> None:
    machine(24, gpus)
    found = slots_for([trainer(devices)], None, trials, jobs_per_gpu=each)
    assert [" ".join(s.gpus) for s in found] == want
    assert {s.threads for s in found} == {24 // (len(want) * devices)}
    assert all(len(set(s.gpus)) == devices for s in found)
    assert max(Counter(gpu for s in found for gpu in s.gpus).values()) <= each


@pytest.mark.parametrize(
    ("gpus", "accelerator", "jobs", "each", "message"),
    [
        (0, "auto", None, 2, "got 2, but these runs use no GPU; use hydra.launcher.jobs"),
        (2, "cpu", None, 2, "got 2, but these runs use no GPU; use hydra.launcher.jobs"),
        (2, "auto", 3, 2, "got 2, but hydra.launcher.jobs=3 says how many; use one"),
        (2, "auto", None, 0, "got 0, expected a number of jobs"),
        (2, "auto", None, True, "got True, expected a number of jobs"),
        (2, "auto", None, "two", "got two, expected a number of jobs"),
    ],
)
def test_jobs_per_gpu_is_not_ignored(
    gpus: int, accelerator: Any, jobs: int | None, each: Any, message: str, machine: Machine
) -> None:
    machine(8, gpus)
    with pytest.raises(ConfigError) as refused:
        slots_for([trainer(accelerator=accelerator)], jobs, 9, each)
    assert str(refused.value) == f"hydra.launcher.jobs_per_gpu: {message}"


def test_the_launcher_has_the_key() -> None:
    """With the default of its file, one job a GPU."""
    from omegaconf import OmegaConf

    from hydra_plugins.fc2conv_sweep import Local

    file = Path(__file__).parent.parent.parent / "conf" / "hydra" / "launcher" / "local.yaml"
    values = OmegaConf.to_container(OmegaConf.load(file))
    assert isinstance(values, dict)
    del values["_target_"]
    assert Local(**values).jobs_per_gpu == 1  # type: ignore[arg-type]


def test_the_cpu_needs_no_gpus(machine: Machine) -> None:
    machine(4, 8)
    found = slots_for([trainer(accelerator="cpu")] * 9, None, 9)
    assert found == [Slot(1)] * 4
    assert found[0].environment() == {}


@pytest.mark.parametrize(("gpus", "devices"), [(0, 1), (1, 2), (3, 4)])
def test_too_few_gpus_are_an_error(gpus: int, devices: int, machine: Machine) -> None:
    machine(4, gpus)
    with pytest.raises(ConfigError) as refused:
        slots_for([trainer(), trainer(devices, accelerator="gpu")], None, 9)
    assert str(refused.value) == f"trainer.devices: got {devices}, but this machine has {gpus} GPUs"


@pytest.mark.parametrize(
    ("visible", "want"),
    [("", []), ("3", ["3"]), ("2,0", ["2", "0"]), ("GPU-a,", ["GPU-a"]), ("-1", []), ("1,-1,2", ["1"])],
)
def test_only_visible_gpus_count(visible: str, want: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert slots.gpus() == want


@pytest.mark.parametrize(
    ("printed", "want"),
    [("GPU 0: A (UUID: GPU-1)\nGPU 1: A (UUID: GPU-2)\n", ["0", "1"]), ("No devices were found\n", [])],
)
def test_the_driver_is_asked(printed: str, want: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(distributed.shutil, "which", lambda name: name)
    monkeypatch.setattr(distributed.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=printed))
    assert slots.gpus() == want
    monkeypatch.setattr(distributed.shutil, "which", lambda name: None)
    assert slots.gpus() == []


# --- a trial's own


@pytest.mark.parametrize(("own", "want"), [(None, 3), (1, 1), (5, 5)])
def test_a_trial_keeps_the_threads_that_it_says(own: int | None, want: int, tmp_path: Path) -> None:
    trial = Trial.of(Config(trainer=TrainerConfig(threads=own)), tmp_path, ())
    given = Slot(3).given(trial)
    assert given.config is not None
    assert given.config.trainer.threads == want
    assert given.folder == trial.folder


# --- a sweep that is resumed


class Driven(Exception):
    """Carries what a pool would have run."""

    def __init__(self, slots: Sequence[Slot], waiting: list[Trial]):
        self.slots, self.waiting = slots, waiting


class NoPool:
    def run(self, source: Any, slots: Sequence[Slot], *_: object) -> None:
        raise Driven(slots, list(iter(source.take, None)))


def test_what_is_finished_changes_nothing(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the sweeper: a resumed job must find the threads that it began with."""
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.utils import create_automatic_config_search_path
    from hydra.types import HydraContext, RunMode

    from fc2conv.compose import register_schema
    from fc2conv.sweep.sweeper import Draws, conduct
    from hydra_plugins.fc2conv_sweep import Local

    machine(8, 0)
    register_schema()
    conf = str(Path(__file__).parent.parent.parent / "conf")
    loader = ConfigLoaderImpl(create_automatic_config_search_path(None, None, conf))
    context = HydraContext(config_loader=loader, callbacks=SimpleNamespace())  # type: ignore[arg-type]
    master = loader.load_configuration(
        "config", ["model=softmax", f"runs_dir={tmp_path}", "name=sweep"], RunMode.MULTIRUN
    )
    local = Local(None, jobs_per_gpu=1)
    monkeypatch.setattr(Local, "warm", lambda self, wandb, study: setattr(self, "pool", NoPool()))

    def driven() -> Driven:
        with pytest.raises(Driven) as caught:
            conduct(context, master, local, ["seed=0,1,2,3"], Draws(0, None))
        return caught.value

    first = driven()
    assert (len(first.waiting), first.slots) == (4, [Slot(2)] * 4)
    for trial in first.waiting[:3]:
        trial.end("done", "")
        result = Result.read(trial.folder)
        replace(result, error=None).write(trial.folder)
    again = driven()
    assert (len(again.waiting), again.slots) == (1, [Slot(2)] * 4)


@pytest.mark.parametrize("jobs", [0, -1, "abc"])
def test_jobs_are_a_number(jobs: Any, machine: Machine) -> None:
    machine(4, 0)
    with pytest.raises(ConfigError, match=f"got {jobs}, expected a number of jobs") as refused:
        slots_for([trainer()], jobs, 3)
    assert refused.value.key == "hydra.launcher.jobs"
