"""A small sweep whose numbers can be checked by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from generated_runs import Outcome, write_run

from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.config.schema import Config
from fc2conv.record.result import Result

Add = Callable[..., Result]


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def add(runs_dir: Path) -> Add:
    """A run of LeNet: add(kernel, seed, val, test), or with an outcome= or a config= of its own."""

    def call(
        kernel: int = 5,
        seed: int = 0,
        val: float | None = 0.5,
        test: float | None = 0.5,
        outcome: Outcome | None = None,
        config: Config | None = None,
        folder: str | None = None,
        model: str = "lenet",
    ) -> Result:
        made = config or Config(model=LeNetConfig(kernel_size=kernel, padding="same"), seed=seed)
        overrides = [f"model={model}", f"model.kernel_size={kernel}", "model.padding=same", f"seed={seed}"]
        name = folder or f"sweep/kernel_size={kernel},seed={seed}"
        return write_run(runs_dir / name, made, outcome or Outcome(val, test), overrides, model)

    return call


@pytest.fixture
def sweep(add: Add, runs_dir: Path) -> Path:
    """Kernels 3, 5, 7 with seeds 0, 1, 2; kernel 7 failed with seed 2.

    Validation: 3: .7 .8 .9; 5: .6 .7 .8; 7: .4 .6. Test: .1 less."""
    for kernel, accuracies in {3: (0.7, 0.8, 0.9), 5: (0.6, 0.7, 0.8), 7: (0.4, 0.6)}.items():
        for seed, val in enumerate(accuracies):
            add(kernel, seed, val, round(val - 0.1, 1))
    add(7, 2, outcome=Outcome(status="failed", error="NonFiniteLoss: the loss became <nan>"))
    return runs_dir / "sweep"
