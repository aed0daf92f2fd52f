"""Training images per second, five ways in a process each, alternating:

a  a bare PyTorch loop over the suite's accelerated network and normalised tensors in memory: no validation, no metrics,
   no logging, and none of the suite's settings of the process
s  the same loop with them (speed.process)
p  as s, over the same network of torch's own layers: not accelerated
b  this suite: validation, metrics, checkpoints, metrics.csv, result.json and offline W&B on
c  the usual way: torchvision dataset with per-image ToTensor and Normalize, DataLoader, a LightningModule with
   torchmetrics at each step, validation, checkpoints and a CSV logger; it has none of these settings

Prints the medians over the rounds and the medians of each round's ratios; a and b alternate three times a round.

    python benchmarks/throughput.py [--rounds 5] [--threads 1 2] [--models lenet lenet_modern mlp]
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import platform
import statistics
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import lightning
import torch
import torch.nn.functional as F
import torchmetrics
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms

from fc2conv import speed
from fc2conv.architectures import ModelConfig, layers_of
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.architectures.mlp import MLPConfig
from fc2conv.architectures.trace import trace
from fc2conv.config.schema import Config, DataConfig, LoggerConfig, OptimConfig, TrainerConfig, WandbConfig
from fc2conv.data.image_data import ImageData
from fc2conv.data.sources import FASHION_MNIST_FILES
from fc2conv.nets.build import build
from fc2conv.record.terminal import console
from fc2conv.training.run import Request, run

MODELS: dict[str, ModelConfig] = {
    "lenet": LeNetConfig(),
    "lenet_modern": LeNetConfig(activation="relu", pool="max", norm="batch", bias=False),
    "mlp": MLPConfig(),
}
DATA = DataConfig(batch_size=256)
EPOCHS = 2
"""Of the fast ways, a, s and b; one of the slow ones takes longer than that."""
LR = 0.05


@cache
def images() -> ImageData:
    data = ImageData(DATA)
    data.setup()
    return data


def network(name: str) -> nn.Sequential:
    """Of torch's own layers."""
    return build(trace(layers_of(MODELS[name], 10), images().shape))


def bare(name: str, folder: Path, threads: int) -> float:
    """a: the network of the suite and nothing else."""
    return loop(speed.accelerate(network(name)), threads, EPOCHS)


def tuned(name: str, folder: Path, threads: int) -> float:
    """s: as `bare`, with the suite's settings."""
    speed.process()
    return loop(speed.accelerate(network(name)), threads, EPOCHS)


def plain(name: str, folder: Path, threads: int) -> float:
    """p: as `tuned`, with torch's layers."""
    speed.process()
    return loop(network(name), threads, 1)


def loop(net: nn.Module, threads: int, epochs: int) -> float:
    """Images/s of the shortest training loop there is."""
    torch.set_num_threads(threads)
    net = net.to(memory_format=torch.channels_last)
    data = images()
    indices = data.train_indices
    pixels = data.transformed(data.source.train_images[indices], indices, "val")
    labels = data.source.train_labels[indices].long()
    optimizer = torch.optim.SGD(net.parameters(), lr=LR, momentum=0.9, nesterov=True, fused=True)
    began = time.perf_counter()
    for _ in range(epochs):
        for chosen in torch.split(torch.randperm(len(pixels)), DATA.batch_size):
            loss = F.cross_entropy(net(pixels[chosen]), labels[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return epochs * len(pixels) / (time.perf_counter() - began)


def suite(name: str, folder: Path, threads: int) -> float:
    """b: `run` as train.py calls it; the record's own figure."""
    speed.process()
    config = Config(
        model=MODELS[name],
        data=DATA,
        optim=OptimConfig(name="sgd", lr=LR),
        trainer=TrainerConfig(max_epochs=EPOCHS, accelerator="cpu", threads=threads, progress=False),
        logger=LoggerConfig(wandb=WandbConfig(mode="offline")),
        runs_dir=str(folder),
    )
    result = run(Request(config))
    assert result is not None
    assert result.images_per_second is not None
    return result.images_per_second


def usual_network(name: str) -> nn.Sequential:
    """The same architecture as it is usually written."""
    if name == "mlp":
        return nn.Sequential(
            *(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
        )
    modern = name == "lenet_modern"

    def stage(channels: int, maps: int, padding: int) -> list[nn.Module]:
        layers: list[nn.Module] = [nn.Conv2d(channels, maps, 5, padding=padding, bias=not modern)]
        if modern:
            return [*layers, nn.BatchNorm2d(maps), nn.ReLU(), nn.MaxPool2d(2)]
        return [*layers, nn.Sigmoid(), nn.AvgPool2d(2)]

    squash: type[nn.Module] = nn.ReLU if modern else nn.Sigmoid
    head = (nn.Flatten(), nn.Linear(400, 120), squash(), nn.Linear(120, 84), squash(), nn.Linear(84, 10))
    return nn.Sequential(*stage(1, 6, 2), *stage(6, 16, 0), *head)


class UsualModule(lightning.LightningModule):
    """As in many a tutorial: metrics updated and logged at each step."""

    def __init__(self, name: str):
        super().__init__()
        self.net = usual_network(name)
        self.train_acc = torchmetrics.Accuracy("multiclass", num_classes=10)
        self.val_acc = torchmetrics.Accuracy("multiclass", num_classes=10)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, y = batch
        out = self.net(x)
        loss = F.cross_entropy(out, y)
        self.train_acc(out, y)
        self.log("train/loss", loss, on_step=True, on_epoch=True)
        self.log("train/acc", self.train_acc, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        x, y = batch
        out = self.net(x)
        self.val_acc(out, y)
        self.log("val/loss", F.cross_entropy(out, y))
        self.log("val/acc", self.val_acc)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        x, y = batch
        self.val_acc(self.net(x), y)
        self.log("test/acc", self.val_acc)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=LR, momentum=0.9, nesterov=True)


class Clock(lightning.Callback):
    """Seconds between the start and the end of training."""

    def on_train_start(self, *args: Any) -> None:
        self.began = time.perf_counter()

    def on_train_end(self, *args: Any) -> None:
        self.seconds = time.perf_counter() - self.began


def usual(name: str, folder: Path, threads: int, test: bool = False) -> float:
    """c: per-image transforms in a DataLoader without workers, the default. Images/s of the training."""
    torch.set_num_threads(threads)
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.286,), (0.353,))])
    images = datasets.FashionMNIST(folder / "torchvision", train=True, transform=transform)
    n, _ = DATA.split(len(images))
    train = DataLoader(Subset(images, range(n)), batch_size=DATA.batch_size, shuffle=True)
    val = DataLoader(Subset(images, range(n, n + int(DATA.val_size))), batch_size=DATA.batch_size)
    clock = Clock()
    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        callbacks=[clock],
        logger=lightning.pytorch.loggers.CSVLogger(folder),
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    module = UsualModule(name)
    trainer.fit(module, train, val)
    if test:
        official = datasets.FashionMNIST(folder / "torchvision", train=False, transform=transform)
        trainer.test(module, DataLoader(official, batch_size=DATA.batch_size), verbose=False)
    return n / clock.seconds


def torchvision_files(data: ImageData, root: Path) -> None:
    """Fashion-MNIST under `root` as torchvision finds it unpacked."""
    folder = root / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    for name, stem in FASHION_MNIST_FILES.items():
        array = getattr(data.source, name)
        array = array[:, 0] if array.ndim == 4 else array
        header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
        (folder / stem).write_bytes(header + array.numpy().tobytes())


WAYS = {bare: "a bare", suite: "b suite", tuned: "s tuned", plain: "p plain", usual: "c usual"}
PAIRS = 3
"""Of a and b in a round, one behind the other: they lie closest, and the machine's speed drifts."""
WITHOUT_SETTINGS = (bare, usual)


def quiet() -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore")
    console.quiet = True  # of the suite, which would say of each run how to upload it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    arguments = parser.parse_args()
    count = len(images().train_indices)
    print(
        f"torch {torch.__version__}, lightning {lightning.__version__}, {platform.machine()}, batch {DATA.batch_size}"
    )
    print(f"{arguments.rounds} rounds of epochs of {count:,} images; images/s, medians\n")
    names = "".join(f"{name:>10}" for name in WAYS.values())
    print(f"{'model':14}{'threads':>8}{names}{'b/a':>7}{'b/s':>7}{'b/p':>7}{'b/c':>7}", flush=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        torchvision_files(images(), folder / "torchvision")
        spawn = multiprocessing.get_context("spawn")
        ways = [(way, stack.enter_context(ProcessPoolExecutor(1, spawn, quiet))) for way in WAYS]
        for way, process in ways:
            if way in WITHOUT_SETTINGS:
                process.submit(quiet).result()
        speed.process()  # part of it is in the environment, which the processes that start from here on inherit
        for threads in arguments.threads:
            for name in arguments.models:
                speeds: dict[Any, list[float]] = {way: [] for way in WAYS}
                for _ in range(arguments.rounds):
                    for way, process in [*ways[:2] * PAIRS, *ways[2:]]:
                        speeds[way].append(process.submit(way, name, folder, threads).result())
                rounds = [statistics.mean(speeds[suite][i : i + PAIRS]) for i in range(0, len(speeds[suite]), PAIRS)]
                ratios = [
                    statistics.median(b / x for b, x in zip(bs, speeds[way], strict=True))
                    for way, bs in ((bare, speeds[suite]), (tuned, rounds), (plain, rounds), (usual, rounds))
                ]
                print(
                    f"{name:14}{threads:8}",
                    *(f"{statistics.median(v):10,.0f}" for v in speeds.values()),
                    *(f"{v:7.2f}" for v in ratios),
                    sep="",
                    flush=True,
                )


if __name__ == "__main__":
    main()
