"""Launchers that are not ours, for machines that are not here: the same trials, records and resume."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from fc2conv.errors import ConfigError
from fc2conv.record.result import Result
from fc2conv.sweep.launchers import check_launcher

ROOT = Path(__file__).parent.parent.parent
SUBMITIT = ["hydra/launcher=submitit_local"]
RAY = ["hydra/launcher=ray", "+hydra.launcher.ray.init.num_cpus=2", "+hydra.launcher.ray.init.include_dashboard=false"]


def sweep(runs: Path, data: str, *more: str) -> subprocess.CompletedProcess[str]:
    settings = (
        *("logger=csv", "trainer.max_epochs=1", "trainer.threads=1", "data.train_size=1000", "data.val_size=1000"),
        *("model=mlp", f"runs_dir={runs}", f"data.dir={data}", "name=cluster", "report=false"),
    )
    environment = {**os.environ, "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    return subprocess.run(
        [sys.executable, "train.py", "-m", *settings, *more],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
    )


def records(runs: Path) -> dict[str, Result]:
    """By learning rate and seed."""
    found = [Result.read(f.parent) for f in sorted((runs / "cluster").glob("*/result.json"))]
    return {f"{r.config['optim']['lr']:g} {r.seed}": r for r in found}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [SUBMITIT, RAY], ids=["submitit", "ray"])
def test_the_same_records_and_resume(launcher: list[str], tmp_path: Path, data_dir: str) -> None:
    """A run that diverges fails alone; the command with one more seed runs the new trial only."""
    first = sweep(tmp_path, data_dir, *launcher, "optim.lr=0.01,1e30", "seed=0")
    assert first.returncode == 1, first.stderr
    assert "1 of 2 runs failed" in first.stderr
    found = records(tmp_path)
    assert {k: r.status for k, r in found.items()} == {"0.01 0": "done", "1e+30 0": "failed"}
    assert "the training loss became" in (found["1e+30 0"].error or "")
    before = (tmp_path / "cluster" / found["0.01 0"].name / "result.json").stat().st_mtime_ns

    second = sweep(tmp_path, data_dir, *launcher, "optim.lr=0.01", "seed=0,1")
    assert second.returncode == 0, second.stderr
    found = records(tmp_path)
    assert {k: r.status for k, r in found.items()} == {"0.01 0": "done", "0.01 1": "done", "1e+30 0": "failed"}
    assert (tmp_path / "cluster" / found["0.01 0"].name / "result.json").stat().st_mtime_ns == before
    with open(tmp_path / "cluster" / "table.csv") as file:
        row, failed = csv.DictReader(file)
    assert (row["n"], failed["n"], failed["note"]) == ("2", "0", "1 failed")
    accuracies = [(r.val or {})["acc"] for k, r in found.items() if k.startswith("0.01")]
    assert float(row["val_acc_mean"]) == pytest.approx(sum(accuracies) / 2)


@pytest.mark.slow
def test_a_search_goes_one_run_at_a_time(tmp_path: Path, data_dir: str) -> None:
    """Through submitit: the study is in the sweep's folder, where each job finds its trial and is pruned."""
    file = tmp_path / "search.yaml"
    file.write_text(
        "program: train.py\nmethod: random\nrun_cap: 4\nmetric: {name: val/acc, goal: maximize}\n"
        "early_terminate: {type: hyperband, min_iter: 1, eta: 2}\n"
        "parameters:\n  model: {value: mlp}\n  optim.lr: {distribution: log_uniform_values, min: 0.000001, max: 0.05}\n"
    )
    done = sweep(tmp_path, data_dir, *SUBMITIT, f"sweep={file}", "trainer.max_epochs=4")
    assert done.returncode == 0, done.stdout + done.stderr
    statuses = [Result.read(f.parent).status for f in (tmp_path / "cluster").glob("*/result.json")]
    assert len(statuses) == 4
    assert set(statuses) <= {"done", "pruned"}
    assert (tmp_path / "cluster" / "study.journal").exists()


def test_a_ray_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """As its launcher starts it; a Ray of its own is left to the launcher."""
    package = "hydra_plugins.hydra_ray_launcher"

    def start_ray(init: dict[str, str]) -> None:
        raise ConnectionError("Could not find any running Ray instance.\nPlease specify the one to connect to.")

    monkeypatch.setitem(sys.modules, f"{package}._launcher_util", SimpleNamespace(start_ray=start_ray))  # type: ignore[arg-type]
    launcher = type("RayLauncher", (), {"__module__": f"{package}.ray_launcher"})()
    launcher.ray_cfg = SimpleNamespace(init={"address": "auto"})
    with pytest.raises(ConfigError) as caught:
        check_launcher(launcher)
    told = "ConnectionError: Could not find any running Ray instance. Please specify the one to connect to."
    assert str(caught.value) == f"hydra/launcher: got ray, but none answers ({told})"
    launcher.ray_cfg = SimpleNamespace(init={})
    check_launcher(launcher)


def test_slurms_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = type("SlurmLauncher", (), {"_EXECUTOR": "slurm"})()
    monkeypatch.setenv("PATH", str(tmp_path))
    for command in ("sbatch", "srun"):
        with pytest.raises(ConfigError, match=f"this machine has no {command}; "):
            check_launcher(launcher)
        (tmp_path / command).touch(0o755)
    check_launcher(launcher)
    check_launcher(type("LocalLauncher", (), {"_EXECUTOR": "local"})())
