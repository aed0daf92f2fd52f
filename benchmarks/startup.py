"""Seconds from the start of a sweep's job to its first training step, with a warm server, for each logger.

python benchmarks/startup.py [--jobs 6]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.config.schema import Config, DataConfig, LoggerConfig, TrainerConfig
from fc2conv.sweep.pool import WANDB_SERVICE, Pool, start_wandb
from fc2conv.sweep.trials import Trial


def timed(trial: Trial, environment: dict[str, str], began: float, out: Path) -> None:
    """A job that notes when its first step begins, and ends there."""
    from fc2conv.sweep import job
    from fc2conv.training.classifier import Classifier

    def first(self: Any, batch: Any, batch_idx: int) -> None:
        out.write_text(f"{time.time() - began}")
        os._exit(0)

    Classifier.training_step = first  # type: ignore[method-assign, assignment]
    _, link = multiprocessing.Pipe(duplex=False)
    job.process(trial, job.Options(), link, environment)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=6)
    arguments = parser.parse_args()
    model = LeNetConfig(activation="relu", pool="max", norm="batch", bias=False)
    pool = Pool(wandb=True)
    start_wandb()
    environment = {WANDB_SERVICE: os.environ[WANDB_SERVICE]} if WANDB_SERVICE in os.environ else {}
    with tempfile.TemporaryDirectory() as folder:
        for logger in ("csv", "wandb"):
            seconds = []
            for seed in range(arguments.jobs):
                config = Config(
                    model=model,
                    data=DataConfig(),
                    trainer=TrainerConfig(threads=1, max_epochs=1),
                    logger=LoggerConfig(name="csv" if logger == "csv" else "wandb", mode="offline"),
                    seed=seed,
                )
                trial = Trial.of(config, Path(folder) / logger, (f"seed={seed}",), (f"seed={seed}",))
                out = Path(folder) / f"{logger}-{seed}"
                process = pool.context.Process(target=timed, args=(trial, environment, time.time(), out))
                process.start()
                process.join()
                seconds.append(float(out.read_text()))
            later = seconds[1:]
            print(f"{logger:6} median {statistics.median(later):.2f} s, all: {' '.join(f'{s:.2f}' for s in later)}")


if __name__ == "__main__":
    main()
