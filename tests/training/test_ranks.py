"""Several processes on the CPU (gloo): one folder, one record, the figures of one process."""

from __future__ import annotations

import ast
import csv
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from fc2conv.architectures.mlp import MLPConfig
from fc2conv.config.parsing import parse
from fc2conv.config.schema import Config, DataConfig, LoggerConfig, TensorBoardConfig, TrainerConfig
from fc2conv.data.image_data import ImageData
from fc2conv.errors import ConfigError
from fc2conv.record.folder import RANKS
from fc2conv.record.result import Result
from fc2conv.training.classifier import Classifier
from fc2conv.training.distributed import Processes, cores
from fc2conv.training.launch import launch
from fc2conv.training.recorded import config_of
from fc2conv.training.run import Request, run, trainer_for

ROOT = Path(__file__).parents[2]
SMALL = (
    *("model=lenet", "model.activation=relu", "optim=adamw", "logger=csv"),
    *("data.train_size=1100", "data.val_size=503", "data.batch_size=128", "trainer.max_epochs=2"),
)
"""Without batch norm, whose statistics are each rank's own. 1100 and 503 divide by neither 2 nor 3 nor the batch."""


def command(
    runs: Path, data_dir: str, name: str, *more: str, launcher: tuple[str, ...] = (sys.executable,)
) -> list[str]:
    return [
        *launcher,
        str(ROOT / "train.py"),
        *SMALL,
        f"data.dir={data_dir}",
        f"runs_dir={runs}",
        f"name={name}",
        *more,
    ]


def call(arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | environment
    return subprocess.run(arguments, env=env, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def losses(folder: Path) -> list[float]:
    with (folder / "metrics.csv").open() as file:
        return [float(row[k]) for row in csv.DictReader(file) for k in ("train/loss", "val/loss")]


@pytest.fixture(scope="module")
def one_rank(tmp_path_factory: pytest.TempPathFactory, data_dir: str) -> Path:
    """A run of one process, to compare with."""
    runs = tmp_path_factory.mktemp("one")
    done = call(command(runs, data_dir, "run"))
    assert done.returncode == 0, done.stderr
    return runs / "run"


def check_equal(one: Path, many: Path, size: int) -> None:
    """The loss curves agree within 1e-4, every image was counted once, and there is one record."""
    a, b = Result.read(one), Result.read(many)
    assert losses(many) == pytest.approx(losses(one), abs=1e-4)
    assert a.train is not None
    assert a.val is not None
    assert a.test is not None
    assert b.train is not None
    assert b.val is not None
    assert b.test is not None
    assert (b.train["n"], b.val["n"], b.test["n"]) == (1100, 503, 10000)
    assert b.test["acc"] == pytest.approx(a.test["acc"], abs=2e-4)
    assert b.test["loss"] == pytest.approx(a.test["loss"], abs=1e-4)
    assert (b.status, b.world_size, b.identity) == ("done", size, a.identity)
    assert [p.name for p in many.parent.iterdir() if p.is_dir()] == [many.name]


@pytest.mark.parametrize("ranks", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_ddp_learns_what_one_rank_learns(ranks: int, one_rank: Path, tmp_path: Path, data_dir: str) -> None:
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(ranks))
    launcher = torchrun if ranks > cores() else (sys.executable,)  # ours refuses more ranks than cores
    done = call(command(tmp_path, data_dir, "run", "trainer=ddp", f"trainer.devices={ranks}", launcher=launcher))
    assert done.returncode == 0, done.stderr
    check_equal(one_rank, tmp_path / "run", ranks)
    assert done.stdout.count("epoch 2/2") == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*LeafSpec")
def test_what_is_validated_is_what_is_saved(tmp_path: Path, data_dir: str) -> None:
    """With batch norm, whose running statistics each rank has of its own images: those of the first count."""
    done = call(command(tmp_path, data_dir, "run", "trainer=ddp", "trainer.devices=2", "model.norm=batch"))
    assert done.returncode == 0, done.stderr
    module = Classifier.load(str(tmp_path / "run" / "checkpoints" / "best.ckpt"))
    config = parse(Config, config_of(tmp_path / "run" / "checkpoints" / "best.ckpt"))
    trainer = trainer_for(replace(config.trainer, strategy="single", devices=1), Processes(), [])
    trainer.validate(module, datamodule=ImageData(config.data), verbose=False)
    found, expected = module.metrics["val"], Result.read(tmp_path / "run").val
    assert expected is not None
    assert (found["n"], found["acc"]) == (expected["n"], expected["acc"])
    assert found["loss"] == pytest.approx(expected["loss"], rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_the_test_metrics_are_exact_on_any_number_of_ranks(ranks: int, one_rank: Path, data_dir: str) -> None:
    """The same weights: accuracy to the last image, the loss to the last digit."""
    script = (
        "import os, sys; from pathlib import Path; from dataclasses import replace\n"
        "from fc2conv.config.schema import Config; from fc2conv.config.parsing import parse\n"
        "from fc2conv.training.recorded import config_of\n"
        "from fc2conv.training.run import test\n"
        "config = parse(Config, config_of(Path(sys.argv[1])))\n"
        "trainer = replace(config.trainer, strategy='ddp', devices='auto')\n"
        "config = replace(config, task='test', ckpt=sys.argv[1], trainer=trainer)\n"
        "figures = test(config)\n"
        "os.write(1, f'{figures}\\n'.encode())  # in one piece: print's newline may come after another rank's line\n"
    )
    checkpoint = str(one_rank / "checkpoints" / "best.ckpt")
    run = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(ranks), "--no-python")
    done = call([*run, sys.executable, "-c", script, checkpoint])
    assert done.returncode == 0, done.stderr
    figures = [ast.literal_eval(line) for line in done.stdout.splitlines() if line.startswith("{")]
    expected = Result.read(one_rank).test
    assert expected is not None
    assert len(figures) == ranks
    for found in figures:
        assert (found["acc"], found["n"]) == (expected["acc"], 10000)
        assert found["loss"] == expected["loss"]


@pytest.mark.slow
def test_torchrun(one_rank: Path, tmp_path: Path, data_dir: str) -> None:
    launcher = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2")
    offline = ("logger=wandb", "logger.wandb.mode=offline")
    done = call(command(tmp_path, data_dir, "run", "trainer=ddp", *offline, launcher=launcher))
    assert done.returncode == 0, done.stderr
    check_equal(one_rank, tmp_path / "run", 2)
    assert done.stdout.count("The run's folder") == 1
    assert len(list((tmp_path / "run" / "wandb").glob("offline-run-*"))) == 1
    assert not (ROOT / "wandb").exists()


@pytest.mark.slow
def test_slurm(one_rank: Path, tmp_path: Path, data_dir: str) -> None:
    """Two tasks as srun starts them: the same command, told apart by the environment."""
    common = {
        "SLURM_JOB_ID": "4242",
        "SLURM_JOB_NAME": "train",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_NNODES": "1",
        "SLURM_NODEID": "0",
        "SLURM_NODELIST": "127.0.0.1",
        "SLURM_STEP_NODELIST": "127.0.0.1",
    }
    tasks = [
        subprocess.Popen(
            command(tmp_path, data_dir, "run", "trainer=slurm"),
            env=os.environ | common | {"SLURM_PROCID": str(i), "SLURM_LOCALID": str(i)},
            cwd=ROOT,
        )
        for i in range(2)
    ]
    assert [task.wait(timeout=300) for task in tasks] == [0, 0]
    check_equal(one_rank, tmp_path / "run", 2)


def start_and_wait_for_epoch(folder: Path, arguments: list[str]) -> subprocess.Popen[str]:
    """The command, running, with its first epoch behind it."""
    process = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (folder / "metrics.csv").exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        os.sched_yield()
    return process


def test_a_killed_rank_ends_the_run_as_failed(tmp_path: Path, data_dir: str) -> None:
    long = ("trainer=ddp", "trainer.devices=2", "trainer.max_epochs=500")
    process = start_and_wait_for_epoch(tmp_path / "run", command(tmp_path, data_dir, "run", *long))
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    ranks = [pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert len(ranks) == 2
    os.kill(int(ranks[1]), signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "rank 1 was killed by SIGKILL" in errors
    result = Result.read(tmp_path / "run")
    assert result.status == "failed"
    assert "rank 1 was killed by SIGKILL" in (result.error or "")
    assert not any(Path(f"/proc/{pid}").exists() for pid in ranks)


def after_the_first_epoch(epoch: int, accuracy: float) -> bool:
    return epoch == 1


@pytest.mark.slow
def test_ranks_that_are_pruned_end_without_an_error(
    tmp_path: Path, data_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And leave nothing where temporary files go, but for the cache that torch's compiler makes when it is imported."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)  # it is asked for again
    config = Config(
        model=MLPConfig(hidden=(8,)),
        data=DataConfig(dir=data_dir, train_size=300, val_size=101, batch_size=64),
        trainer=TrainerConfig(max_epochs=3, accelerator="cpu", strategy="ddp", devices=2, progress=False),
        logger=LoggerConfig(),
        runs_dir=str(tmp_path),
        name="run",
    )
    result = launch(Request(config, should_prune=after_the_first_epoch), 2)
    assert (result.status, result.epochs, result.world_size) == ("pruned", 1, 2)
    assert [p.name for p in temporary.iterdir() if not p.name.startswith("torchinductor_")] == []
    assert not (tmp_path / "run" / RANKS).exists()


def test_a_batch_has_an_image_for_each_rank() -> None:
    data = ImageData(DataConfig(batch_size=2))
    data.trainer = SimpleNamespace(world_size=3, global_rank=0, current_epoch=0, overfit_batches=0)  # type: ignore[assignment]
    with pytest.raises(ConfigError, match="at least one image for each of the 3") as caught:
        next(iter(data.train_dataloader()))
    assert caught.value.key == "data.batch_size"


@pytest.mark.slow
def test_ranks_stopped_together_go_on_bit_for_bit(tmp_path: Path, data_dir: str) -> None:
    long = ("trainer=ddp", "trainer.devices=2", "trainer.max_epochs=12")
    process = start_and_wait_for_epoch(tmp_path / "cut", command(tmp_path, data_dir, "cut", *long))
    process.terminate()
    process.communicate(timeout=120)
    assert process.returncode == 143
    assert Result.read(tmp_path / "cut").status == "interrupted"
    resumed = call([sys.executable, str(ROOT / "train.py"), f"resume={tmp_path}/cut"])
    assert resumed.returncode == 0, resumed.stderr
    whole = call(command(tmp_path, data_dir, "whole", *long))
    assert whole.returncode == 0, whole.stderr
    a, b = (
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("whole", "cut")
    )
    assert all(torch.equal(a[k], b[k]) for k in a)
    # in the epoch that was cut each rank's part is summed once more on the way
    assert losses(tmp_path / "whole") == pytest.approx(losses(tmp_path / "cut"), rel=1e-5)


@pytest.mark.slow
def test_callbacks_are_on_every_rank(tmp_path: Path, data_dir: str) -> None:
    """Lightning's monitors insist on a logger, which only the first rank has; averages are the same on all."""
    callbacks = {
        "ema": {"_target_": "fc2conv.training.averaging.EMA", "decay": 0.8},
        "lr": {"_target_": "lightning.pytorch.callbacks.LearningRateMonitor", "_watches_": True},
    }
    config = Config(
        model=MLPConfig(hidden=(8,)),
        data=DataConfig(dir=data_dir, train_size=300, val_size=101, batch_size=64),
        trainer=TrainerConfig(max_epochs=1, accelerator="cpu", strategy="ddp", devices=2, progress=False),
        logger=LoggerConfig(tensorboard=TensorBoardConfig()),
        callbacks=callbacks,
        runs_dir=str(tmp_path),
        name="two",
    )
    assert launch(Request(config), 2).status == "done"
    assert len(list((tmp_path / "two" / "tensorboard").iterdir())) == 1
    alone = replace(config, trainer=replace(config.trainer, strategy="single", devices=1, kernels=False), name="one")
    run(Request(alone))
    one, two = (torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True) for name in ("one", "two"))
    for state in ("state_dict", "current_model_state"):
        torch.testing.assert_close(two[state], one[state], atol=1e-5, rtol=1e-4)
