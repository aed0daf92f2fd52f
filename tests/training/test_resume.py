"""A run that goes on from any of its checkpoints ends with the weights of the run that was not interrupted, bit for
bit: ImageData, dropout, augmentation, momentum and the schedule included."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor
from torch.testing import assert_close

from fc2conv import ImageData, LeNet
from fc2conv.errors import Interrupted
from fc2conv.record.folder import Record
from fc2conv.training.callbacks import BestEpoch, Checkpoints, StopOnSignal
from fc2conv.training.signals import Signals

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec"),
]


class Images:
    """A small folder of images, read once a test."""

    def __init__(self, folder: Path):
        self.folder = folder

    def data(self) -> ImageData:
        return ImageData(
            {"name": "folder", "path": str(self.folder), "dir": str(self.folder.parent), "size": 12}
            | {"train_size": 30, "val_size": 10, "batch_size": 8, "flip": True, "translate": 1, "erase": 0.3}
        )


@pytest.fixture
def images(image_folder: Path) -> Images:
    return Images(image_folder)


def module(dropout: float = 0.3) -> LeNet:
    torch.manual_seed(0)
    optim = {"name": "sgd", "lr": 0.05, "momentum": 0.9, "schedule": "onecycle"}
    options: dict[str, Any] = {"kernel_size": 3, "padding": "same", "activation": "relu", "dropout": dropout}
    return LeNet(**options, input_shape=(1, 12, 12), classes=3, optim=optim)


def trainer(*callbacks: Callback, **settings: Any) -> Trainer:
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return Trainer(callbacks=list(callbacks), accelerator="cpu", num_sanity_val_steps=0, **(quiet | settings))


class Epochs(Callback):
    """The metrics of each epoch as they are reported."""

    def __init__(self) -> None:
        self.train: dict[int, dict[str, float]] = {}
        self.val: dict[int, dict[str, float]] = {}

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if "train" in (metrics := cast(LeNet, pl_module).metrics):  # not if there was nothing left to do
            self.train[trainer.current_epoch - 1] = dict(metrics["train"])

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.val[trainer.current_epoch] = dict(cast(LeNet, pl_module).metrics["val"])


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


LIMITED = {"max_steps": 8, "limit_train_batches": 3}
STEPS: list[dict[str, Any]] = [
    {"max_epochs": 3},
    {"max_steps": 11},
    {"max_epochs": 3, "limit_train_batches": 3},
    {"max_epochs": 3, "accumulate_grad_batches": 2},
    {"max_epochs": 3, "val_check_interval": 0.5},
    {"max_epochs": 3, "limit_val_batches": 0},
    {"max_epochs": 3, "overfit_batches": 2},
    LIMITED,
]
AT: dict[str, dict[str, Any]] = {
    "step": {"every_n_train_steps": 1},
    "train_epoch_end": {"every_n_epochs": 1, "save_on_train_epoch_end": True},
    "validation_end": {"every_n_epochs": 1, "save_on_train_epoch_end": False},
}
RUNS = [
    *(("step", settings) for settings in STEPS),
    *((when, settings) for when in ("train_epoch_end", "validation_end") for settings in ({"max_epochs": 3}, LIMITED)),
    ("validation_end", {"max_epochs": 2, "val_check_interval": 0.5}),
]


@pytest.mark.parametrize(("when", "settings"), RUNS, ids=[f"{when}, {settings}" for when, settings in RUNS])
@pytest.mark.filterwarnings("ignore:You requested to overfit")
@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
def test_from_every_checkpoint(when: str, settings: dict[str, Any], images: Images, tmp_path: Path) -> None:
    """Four batches an epoch. The metrics of what is left of the run are the same, too."""
    keep = ModelCheckpoint(tmp_path / "kept", save_top_k=-1, **AT[when])
    whole, seen = module(), Epochs()
    first = trainer(keep, seen, **settings)
    first.fit(whole, datamodule=images.data())
    kept = sorted((tmp_path / "kept").iterdir())
    assert len(kept) >= (first.global_step if when == "step" else 2)
    for path in kept:
        resumed, again = module(), Epochs()
        runner = trainer(again, enable_checkpointing=False, **settings)
        runner.fit(resumed, datamodule=images.data(), ckpt_path=path, weights_only=True)
        assert runner.global_step == first.global_step, path.name
        assert same(resumed.state_dict(), whole.state_dict()), path.name
        assert again.val == {epoch: seen.val[epoch] for epoch in again.val}, path.name
        assert again.train == {epoch: seen.train[epoch] for epoch in again.train}, path.name


class Send(Callback):
    """A signal that comes during a batch, counted from 0 over all epochs."""

    def __init__(self, signals: Signals, at: int):
        self.signals, self.at = signals, at

    def on_before_backward(self, trainer: Trainer, *args: Any) -> None:
        if trainer.fit_loop.total_batch_idx == self.at:
            self.signals.received = signal.SIGTERM


@pytest.mark.parametrize("at", range(8))
@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
def test_a_signal_waits_for_the_step_and_the_validation(at: int, images: Images, tmp_path: Path) -> None:
    """Two epochs of four batches, two batches a step: batches 0 and 1 end with step 1, 2 and 3 with the epoch."""
    (tmp_path / "checkpoints").mkdir()
    record = cast(Record, SimpleNamespace(result=SimpleNamespace(wandb_id=None), write=lambda: None))
    best, signals = BestEpoch(), Signals()
    checkpoints = Checkpoints(record, tmp_path, best)
    settings = {"max_epochs": 2, "accumulate_grad_batches": 2}
    whole = module()
    trainer(enable_checkpointing=False, **settings).fit(whole, datamodule=images.data())

    runner = trainer(Send(signals, at), StopOnSignal(signals, checkpoints), best, checkpoints, **settings)
    cut = module()
    with pytest.raises(Interrupted):
        runner.fit(cut, datamodule=images.data())
    kept = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert kept["global_step"] == runner.global_step == at // 2 + 1
    if at % 4 >= 2:  # saved with the epoch's validation
        [best_state] = [v for k, v in kept["callbacks"].items() if k.startswith("BestEpoch")]
        assert best_state["metrics"]["n"] == 10
        assert cut.metrics["val"]["n"] == 10
        assert cut.metrics["train"]["n"] == 30
    resumed = module()
    trainer(enable_checkpointing=False, **settings).fit(
        resumed, datamodule=images.data(), ckpt_path=tmp_path / "checkpoints" / "last.ckpt", weights_only=True
    )
    assert same(resumed.state_dict(), whole.state_dict())


COMMON = """
import sys
from pathlib import Path
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
sys.path.insert(0, sys.argv[1])
from test_resume import Images, module, same, trainer

torch.set_num_threads(1)
images, kept = Images(Path(sys.argv[2])), Path(sys.argv[3])
settings = {"max_epochs": 2, "strategy": "ddp", "devices": 2}
"""
RESUME = """
whole = module()
first = trainer(ModelCheckpoint(kept, every_n_train_steps=1, save_top_k=-1), **settings)
first.fit(whole, datamodule=images.data())
assert first.world_size == 2
assert whole.metrics["train"]["n"] == 30
for path in sorted(kept.iterdir()):
    resumed = module()
    runner = trainer(enable_checkpointing=False, **settings)
    runner.fit(resumed, datamodule=images.data(), ckpt_path=path, weights_only=True)
    assert runner.global_step == 8
    assert same(resumed.state_dict(), whole.state_dict()), path
    if "train" in resumed.metrics:
        assert resumed.metrics["train"] == whole.metrics["train"], path
        assert resumed.metrics["val"] == whole.metrics["val"], path
print("as good as", len(list(kept.iterdir())))
"""


LEARN = """
learned = module(dropout=0)
runner = trainer(enable_checkpointing=False, **settings)
runner.fit(learned, datamodule=images.data())
runner.test(learned, datamodule=images.data(), verbose=False)
if runner.global_rank == 0:
    torch.save([learned.state_dict(), learned.metrics, learned.confusion], kept)
"""


def on_two_ranks(script: str, images: Images, kept: Path) -> str:
    """What `script` prints on both."""
    images.data().setup()  # or both would read the folder
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--no-python", sys.executable]
    done = subprocess.run(
        [*launcher, "-c", COMMON + script, str(Path(__file__).parent), str(images.folder), str(kept)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_two_ranks_from_every_checkpoint(images: Images, tmp_path: Path) -> None:
    assert on_two_ranks(RESUME, images, tmp_path / "kept").count("as good as 8") == 2


@pytest.mark.slow
def test_two_ranks_learn_what_one_learns(images: Images, tmp_path: Path) -> None:
    """Batches of 8, 8, 7 and 7 images: one rank has 4 of the last, the other 3, and each image counts the same."""
    on_two_ranks(LEARN, images, tmp_path / "learned.pt")
    weights, metrics, confusion = torch.load(tmp_path / "learned.pt", weights_only=True)
    alone = module(dropout=0)
    trainer(enable_checkpointing=False, max_epochs=2).fit(alone, datamodule=images.data())
    assert_close(weights, dict(alone.state_dict()), rtol=1e-4, atol=1e-6)
    assert metrics["train"] == pytest.approx(alone.metrics["train"], rel=1e-5)
    # the same weights: the same figures to the last digit, but for the convolutions' rounding of other batch sizes
    alone.load_state_dict(weights)
    trainer(enable_checkpointing=False).test(alone, datamodule=images.data(), verbose=False)
    assert (metrics["test"]["acc"], metrics["test"]["n"]) == (alone.metrics["test"]["acc"], 12)
    assert metrics["test"]["loss"] == pytest.approx(alone.metrics["test"]["loss"], abs=1e-7)
    assert torch.equal(confusion, alone.confusion)
