"""Folders of runs by arithmetic, without training: a known record for each, and as many as a benchmark wants."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from fc2conv.architectures import plan
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.architectures.mlp import MLPConfig
from fc2conv.config.schema import Config, DataConfig, OptimConfig, TrainerConfig
from fc2conv.record.arrays import Arrays
from fc2conv.record.result import Result, Status, per_class

CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


@dataclass(frozen=True)
class Outcome:
    """What came of a run."""

    val: float | None = None
    test: float | None = None
    epochs: int = 3
    seconds: float = 10.0
    status: Status = "done"
    error: str | None = None


def write_run(folder: Path, config: Config, outcome: Outcome, overrides: Sequence[str] = (), model: str = "") -> Result:
    """A run's folder as training leaves it: its record, metrics.csv and arrays.npz."""
    folder.mkdir(parents=True)
    result = Result.of(config, plan(config.model, (1, 28, 28), 10), folder.name, model, overrides)
    result.status, result.error = outcome.status, outcome.error
    result.epochs, result.best_epoch = outcome.epochs, outcome.epochs
    result.seconds = {"total": outcome.seconds, "fit": 0.9 * outcome.seconds, "test": 0.1 * outcome.seconds}
    result.images_per_second, result.device = 1000.0 * outcome.epochs / outcome.seconds, "cpu"
    result.versions, result.git = {"python": "3.11", "torch": "2.14"}, {"commit": "0" * 40, "modified": False}
    if outcome.val is not None:
        result.train = {"loss": 1 - outcome.val, "acc": outcome.val, "n": 1000}
        result.val = {"loss": 1 - outcome.val, "acc": outcome.val, "n": 1000}
    if outcome.test is not None:
        result.test = {"loss": 1 - outcome.test, "acc": outcome.test, "n": 10_000}
        right = round(1000 * outcome.test)
        result.confusion = [
            [right if i == j else (1000 - right) if j == (i + 1) % 10 else 0 for j in range(10)] for i in range(10)
        ]
        result.per_class = per_class(result.confusion, CLASSES)
    result.write(folder)
    lines = ["epoch,step,lr,train/loss,train/acc,val/loss,val/acc,seconds"]
    for epoch in range(1, outcome.epochs + 1):
        acc = (outcome.val or 0.1) * epoch / (epoch + 1)
        lines.append(f"{epoch},{epoch * 10},{0.01 / epoch:g},{1 - acc:g},{acc:g},{1.1 - acc:g},{acc:g},{epoch}")
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    weights = np.linspace(-1, 1, 6 * 25, dtype=np.float32).reshape(6, 1, 5, 5)
    Arrays(filters=weights).write(folder)
    return result


def many(top: Path, runs: int, epochs: int = 10, seeds: int = 3) -> None:
    """So many runs of a grid over models, kernels, channels, learning rates and set sizes, in `top`/sweep."""
    for number, (config, overrides, val) in zip(range(runs), _grid(seeds), strict=False):
        config = replace(config, trainer=TrainerConfig(max_epochs=epochs))
        name = ",".join(overrides).replace("model.", "").replace("[", "").replace("]", "") + f"-{number:016x}"
        outcome = Outcome(val, val - 0.01, epochs, 5.0 + number % 17)
        write_run(top / "sweep" / name, config, outcome, overrides, model=config.model.family)


def _grid(seeds: int) -> Iterator[tuple[Config, list[str], float]]:
    sizes, rates = (500, 1000, 2000, 5000, 10_000, 20_000), (0.003, 0.01, 0.03, 0.1)
    widths, kernels = ((6, 16), (8, 16), (12, 32), (16, 48), (24, 64), (32, 96)), (3, 5, 7, 9)
    networks: list[tuple[Any, list[str], float]] = [
        (
            LeNetConfig(kernel_size=kernel, channels=width, padding="same"),
            ["model=lenet", f"model.kernel_size={kernel}", f"model.channels={list(width)}".replace(" ", "")],
            0.02 * i - 0.01 * j * (j - 1),
        )
        for i, width in enumerate(widths)
        for j, kernel in enumerate(kernels)
    ]
    networks += [
        (MLPConfig(hidden=(n,)), ["model=mlp", f"model.hidden=[{n}]"], -0.05 + n / 20_000) for n in (64, 128, 256, 512)
    ]
    for network, size, rate in product(networks, range(len(sizes)), range(len(rates))):
        config, overrides, effect = network
        val = 0.7 + effect + 0.025 * size - 0.01 * abs(rate - 1.3)
        for seed in range(seeds):
            noise = 0.004 * ((7 * seed + 3 * size + 5 * rate) % 5 - 2)
            keys = [*overrides, f"data.train_size={sizes[size]}", f"optim.lr={rates[rate]}", f"seed={seed}"]
            made = Config(
                model=config, data=DataConfig(train_size=sizes[size]), optim=OptimConfig(lr=rates[rate]), seed=seed
            )
            yield made, keys, round(val + noise, 4)
