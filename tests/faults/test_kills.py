"""kill -9 at random moments, then the same command again until it is done: the outcome is that of a command that nobody
disturbed. Some 20 minutes on two cores; prints each moment.

    python -m pytest -m slow -s tests/faults                                  # 20 rounds of each
    FC2CONV_ROUNDS=3 FC2CONV_SEED=7 python -m pytest -m slow -s tests/faults  # 3, at the moments of seed 7
"""

from __future__ import annotations

import os
import random
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.commands import Command, outcome

ROUNDS = int(os.environ.get("FC2CONV_ROUNDS", "20"))
SEED = int(os.environ.get("FC2CONV_SEED") or secrets.randbelow(10**6))
KILLS = 2
"""In a round, at most."""
TINY = ("data.train_size=512", "data.val_size=256", "data.batch_size=64", "trainer.max_epochs=2", "trainer.threads=1")
SEARCH = """
method: bayes
metric: {name: val/acc, goal: maximize}
run_cap: 5
early_terminate: {type: hyperband, min_iter: 1}
parameters:
  model: {values: [mlp, softmax]}
  optim.lr: {distribution: log_uniform_values, min: 0.001, max: 0.5}
"""
ARGUMENTS = {
    "grid": ("-m", "model=mlp,softmax", "seed=0,1", "name=it", "report=false"),
    # side by side, results decide the draws
    "search": ("-m", "sweep=search.yaml", "name=it", "hydra.launcher.jobs=1", "report=false"),
    "run": ("model=lenet", "name=it"),
}
DONE = "is done; there is nothing left to train"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ARGUMENTS)
def test_killed_at_random_moments(kind: str, tmp_path: Path, data_dir: str) -> None:
    (tmp_path / "search.yaml").write_text(SEARCH)
    common = [*TINY, "trainer.accelerator=cpu", "logger=csv", f"data.dir={data_dir}"]
    arguments = [a.replace("search.yaml", str(tmp_path / "search.yaml")) for a in ARGUMENTS[kind]]

    def command(folder: str, *more: str) -> Command:
        return Command((*(more or arguments), *common, f"runs_dir={tmp_path / folder}"), tmp_path / f"{folder}.log")

    began = time.monotonic()
    assert command("whole").run() == 0, (tmp_path / "whole.log").read_text()
    seconds = time.monotonic() - began
    want = outcome(tmp_path / "whole")
    print(f"\n{kind}: undisturbed {seconds:.1f} s; FC2CONV_SEED={SEED}")
    moments = random.Random(f"{SEED} {kind}")
    for number in range(1, ROUNDS + 1):
        folder, log = f"round{number}", tmp_path / f"round{number}.log"
        kills = []
        for _ in range(moments.randint(1, KILLS)):
            after, all_at_once = moments.uniform(0, seconds), moments.random() < 0.5
            ended = again(kind, tmp_path / folder, command).kill(after, all_at_once)
            kills.append(f"{after:.2f} s {'all' if all_at_once else 'the first'}")
            if ended is not None:
                kills[-1] += f" (it had ended with {ended})"
        print(f"{kind} round {number}: killed after {', then '.join(kills)}", flush=True)
        code = again(kind, tmp_path / folder, command).run()
        assert code == 0 or DONE in log.read_text(), log.read_text()
        assert outcome(tmp_path / folder) == want, log.read_text()
        shutil.rmtree(tmp_path / folder)


def again(kind: str, runs: Path, command: Callable[..., Command]) -> Command:
    """The command that goes on: for a sweep the same, for a run `resume`, once it has a record."""
    if kind == "run" and (runs / "it" / "result.json").exists():
        return command(runs.name, "resume=it")
    if kind == "run":  # killed before it was one
        shutil.rmtree(runs, ignore_errors=True)
    return command(runs.name)
