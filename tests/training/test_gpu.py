"""What only a GPU can show. Skipped where there is none."""

from __future__ import annotations

import copy
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback

from fc2conv import ImageData, LeNet
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.config.schema import Config, DataConfig, LoggerConfig, OptimConfig, TrainerConfig
from fc2conv.data import residence
from fc2conv.data.image_data import Shard
from fc2conv.errors import ConfigError, Interrupted, NonFiniteLoss
from fc2conv.record.result import Result
from fc2conv.sweep.slots import slots_for
from fc2conv.training import run as room
from fc2conv.training.loss_watch import EVERY, LossWatch, begin_copy
from fc2conv.training.run import Request, run
from fc2conv.training.run import test as run_test

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

MODERN = LeNetConfig(activation="relu", pool="max", norm="batch", bias=False)


@pytest.fixture
def config(tmp_path: Path, data_dir: str) -> Config:
    return Config(
        model=MODERN,
        data=DataConfig(dir=data_dir, train_size=2000, val_size=1000, batch_size=100),
        optim=OptimConfig(name="adam", lr=0.003),
        trainer=TrainerConfig(max_epochs=2, accelerator="gpu", devices=1, progress=False),
        logger=LoggerConfig(),
        runs_dir=str(tmp_path / "runs"),
        name="run",
    )


def trained(config: Config, **more: object) -> Result:
    result = run(Request(config, **more))  # type: ignore[arg-type]
    assert result is not None
    return result


def weights(folder: Path, name: str = "last") -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True, map_location="cpu")["state_dict"]


# --- data


@pytest.mark.parametrize(
    "fields", [{}, {"translate": 3, "flip": True}, {"permutation": "fixed"}, {"canvas": 40, "bands": 3}]
)
@pytest.mark.parametrize("resident", [True, False])
def test_batches_are_those_of_the_cpu(
    data_dir: str, fields: dict[str, object], resident: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same images in the same order, with the same augmentation, whether the split lies on the GPU or not."""
    if not resident:
        monkeypatch.setattr(residence, "SHARE", 0.0)
    data = ImageData(dir=data_dir, train_size=1000, val_size=500, batch_size=64, **fields)
    data.setup()
    device = torch.device("cuda", 0)
    for split in ("train", "val", "test"):
        there, here = data.batches(split), data.batches(split)  # type: ignore[arg-type]
        there.shard = lambda: Shard(device=device)
        before = torch.cuda.memory_allocated()
        for (a, labels_a), (b, labels_b) in zip(there, here, strict=True):
            assert a.device.type == "cuda"
            torch.testing.assert_close(a.cpu(), b, rtol=1e-5, atol=1e-5)
            assert torch.equal(labels_a.cpu(), labels_b)
        del a, labels_a
        images = len(there.indices) * 784
        assert (torch.cuda.memory_allocated() - before >= images) is resident


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
def test_a_step_waits_for_nothing(data_dir: str) -> None:
    """Gathering, transforming and normalising make no copy that the host waits for."""
    data = ImageData(dir=data_dir, train_size=1000, val_size=500, batch_size=64, translate=2, flip=True)
    data.setup()
    batches = data.batches("train")
    batches.shard = lambda: Shard(device=torch.device("cuda", 0))
    list(batches)  # the first epoch copies the split
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in batches:
            pass
    finally:
        torch.cuda.set_sync_debug_mode("default")


# --- runs


def test_a_run_on_the_gpu(config: Config) -> None:
    result = trained(config)
    assert result.status == "done"
    assert result.device is not None
    assert result.device.startswith("cuda (")
    assert result.kernels is None
    assert result.test is not None
    assert result.test["n"] == 10_000
    assert result.test["acc"] > 0.7
    assert result.peak_memory is not None
    assert result.peak_memory > torch.cuda.max_memory_allocated() > 0
    # a checkpoint of the GPU is tested on the CPU, and the other way about
    for accelerator in ("cpu", "gpu"):
        trainer = replace(config.trainer, accelerator=accelerator)
        checkpoint = str(Path(config.runs_dir) / "run/checkpoints/best.ckpt")
        again = run_test(replace(config, task="test", name=None, ckpt=checkpoint, trainer=trainer))
        assert again["acc"] == pytest.approx(result.test["acc"], abs=5e-4)
        assert again["loss"] == pytest.approx(result.test["loss"], rel=1e-3)


def test_the_first_epoch_is_the_cpu_s(config: Config) -> None:
    """In full precision (no TF32), as long as rounding has not been multiplied by training."""
    one = replace(config, trainer=replace(config.trainer, max_epochs=1))
    here = replace(one, name="cpu", trainer=replace(one.trainer, accelerator="cpu", kernels=False))
    gpu, cpu = trained(one), trained(here)
    assert gpu.train is not None
    assert cpu.train is not None
    assert gpu.train["loss"] == pytest.approx(cpu.train["loss"], rel=1e-3)


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_mixed_precision(config: Config, precision: str) -> None:
    result = trained(replace(config, trainer=replace(config.trainer, precision=precision)))
    assert result.test is not None
    assert result.test["acc"] > 0.7


def test_a_run_repeats_to_the_bit(config: Config) -> None:
    for name in ("a", "b"):
        trained(replace(config, name=name))
    a, b = (weights(Path(config.runs_dir) / name) for name in ("a", "b"))
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_a_resumed_run_ends_with_the_same_weights(config: Config) -> None:
    class Stop(Callback):
        """A signal in the second epoch, in its middle."""

        def on_train_batch_end(self, trainer: Trainer, *args: object) -> None:
            if trainer.global_step == 30:
                signal.raise_signal(signal.SIGTERM)

    trained(replace(config, name="whole"))
    folder = Path(config.runs_dir) / "run"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(room, "make_callbacks", lambda _: [Stop()])
        with pytest.raises(Interrupted):
            trained(config)
    assert Result.read(folder).status == "interrupted"
    trained(config, folder=folder, resumed=True)
    a, b = weights(folder), weights(Path(config.runs_dir) / "whole")
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_a_loss_that_is_not_finite_ends_the_run(config: Config) -> None:
    """It is looked at 50 steps late, and before a checkpoint is written."""
    hot = replace(config, optim=OptimConfig(name="sgd", lr=1e12))
    with pytest.raises(NonFiniteLoss):
        trained(hot)
    assert Result.read(Path(config.runs_dir) / "run").status == "failed"


def test_losses_are_read_late_and_in_order() -> None:
    watch = LossWatch()
    seen = [watch.read(torch.tensor(float(i), device="cuda"), i) for i in range(3 * EVERY)]
    assert [s for s in seen if s is not None] == [0.0, float(EVERY)]
    assert begin_copy(torch.tensor(2.5, device="cuda"))() == 2.5


def test_compiled(config: Config) -> None:
    result = trained(replace(config, trainer=replace(config.trainer, compile=True)))
    assert result.test is not None
    assert result.test["acc"] > 0.7


def test_more_gpus_than_there_are(config: Config) -> None:
    n = torch.cuda.device_count() + 1
    asked = replace(config.trainer, strategy="ddp", devices=n)
    with pytest.raises(ConfigError, match=r"trainer\.devices"):
        slots_for([asked], None, 1)


def test_a_gpu_whose_memory_is_used_up(config: Config) -> None:
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.01)
    try:
        with pytest.raises(torch.OutOfMemoryError):
            trained(replace(config, model=LeNetConfig(channels=(600, 600), activation="relu")))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    error = Result.read(Path(config.runs_dir) / "run").error
    assert error is not None
    assert error.startswith("CUDA out of memory. Tried to allocate")
    assert error.endswith("make data.batch_size or the network smaller, or let trainer.precision be bf16-mixed")


@pytest.mark.filterwarnings("ignore:.*LeafSpec")  # within Lightning, with torch 2.11
def test_any_trainer_and_any_loader(data_dir: str, tmp_path: Path) -> None:
    data = ImageData(dir=data_dir, train_size=1000, val_size=500)
    model = LeNet(activation="relu", pool="max")
    before = copy.deepcopy(model.state_dict())
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(max_epochs=1, accelerator="gpu", devices=1, default_root_dir=tmp_path, **quiet)
    trainer.fit(model, datamodule=data)
    assert any(not torch.equal(before[k], v.cpu()) for k, v in model.state_dict().items())


# --- sweeps


def test_jobs_share_a_gpu() -> None:
    trainer = TrainerConfig(accelerator="gpu")
    slots = slots_for([trainer], None, 16, jobs_per_gpu=4)
    assert len(slots) == 4 * torch.cuda.device_count()
    assert {len(slot.gpus) for slot in slots} == {1}
