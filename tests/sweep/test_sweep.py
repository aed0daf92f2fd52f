"""What `python train.py -m ...` promises: nothing is lost, nothing is trained twice, and each ending is told."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir

from fc2conv.compose import parse_composed, register_schema
from fc2conv.config.identity import hashed, identity_of
from fc2conv.record.result import Result

ROOT = Path(__file__).parent.parent.parent
Train = Callable[..., Any]
Until = Callable[..., None]
OF_A_SWEEP = ("table.csv", "sweep.json", ".sweep.lock")
SMALL = ("model=mlp", "model.hidden=[16]", "trainer=cpu", "trainer.threads=1", "logger=csv")


def on_images(folder: Path, runs: Path, epochs: int = 1) -> tuple[str, ...]:
    """43 images in 6 steps an epoch."""
    data = ("data=folder", f"data.path={folder}", f"data.dir={runs.parent / 'cache'}", "data.batch_size=8")
    return (*SMALL, *data, f"trainer.max_epochs={epochs}", f"runs_dir={runs}")


def on_fashion(data_dir: str, runs: Path, epochs: int) -> tuple[str, ...]:
    """600 images in 10 steps an epoch, and a test on 10,000, which shows small differences."""
    data = (f"data.dir={data_dir}", "data.train_size=600", "data.val_size=200", "data.batch_size=60")
    return (*SMALL, *data, f"trainer.max_epochs={epochs}", f"runs_dir={runs}")


def records(sweep: Path) -> dict[str, Result]:
    """Folder -> record."""
    return {path.parent.name: Result.read(path.parent) for path in sorted(sweep.glob("*/result.json"))}


def by_lr(sweep: Path) -> dict[float, Result]:
    return {r.config["optim"]["lr"]: r for r in records(sweep).values()}


def statuses(sweep: Path) -> list[str]:
    return sorted(r.status for r in records(sweep).values())


def begins(sweep: Path) -> dict[str, tuple[int, int]]:
    """Folder -> how often it began, and how often it went on."""
    logs = {path.parent.name: path.read_text() for path in sorted(sweep.glob("*/train.log"))}
    return {name: (text.count("INFO started:"), text.count("INFO resumed:")) for name, text in logs.items()}


def epochs(sweep: Path) -> int:
    return sum(r.epochs for r in records(sweep).values())


def table(sweep: Path) -> list[dict[str, str]]:
    with (sweep / "table.csv").open() as file:
        return list(csv.DictReader(file))


def learned(folder: Path) -> tuple[list[dict[str, str]], dict[str, torch.Tensor]]:
    """The metrics of each epoch, without their times, and the weights after the last."""
    with (folder / "metrics.csv").open() as file:
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
    return rows, torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


# --- one job fails, the others go on


@pytest.mark.slow
def test_a_crash_in_the_middle(shells: Any, train: Train, image_folder: Path, tmp_path: Path) -> None:
    runs, sweep = tmp_path / "runs", tmp_path / "runs" / "optim.lr"
    call = (*on_images(image_folder, runs), "optim.lr=0.01,1e30,0.02", "hydra.launcher.jobs=1")
    done = shells.start("-m", *call).wait()
    assert done.code == 1
    assert done.err.strip() == "1 of 3 runs failed"
    shells.none_left()
    found = by_lr(sweep)
    assert {lr: r.status for lr, r in found.items()} == {0.01: "done", 1e30: "failed", 0.02: "done"}
    assert {p.name for p in runs.iterdir()} == {"optim.lr"}
    assert {p.name for p in sweep.iterdir()} == {*OF_A_SWEEP, *(r.name for r in found.values())}
    assert set(begins(sweep).values()) == {(1, 0)}
    # told when it happens, and again at the end with what repeats it
    message = f"failed       optim.lr=1e+30  {found[1e30].error}"
    assert "the training loss became" in message
    assert done.out.index(message) < done.out.index("started      optim.lr=0.02")
    log = sweep / found[1e30].name / "train.log"
    assert done.out.count(f"log: {log}") >= 1
    assert "ERROR failed: the training loss became" in log.read_text()
    again = shlex.split(re.findall(r"again: python train.py (.*)", done.out)[0])
    register_schema()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = parse_composed(compose("config", overrides=again))
    assert hashed(identity_of(config)) == found[1e30].identity
    assert [(row["lr"], row["n"], row["note"]) for row in with_lr(sweep)] == [
        *(("0.01", "1", ""), ("1e+30", "0", "1 failed"), ("0.02", "1", ""))
    ]

    # one more seed: only its trials and what had failed
    before = {name: (sweep / name / "result.json").read_bytes() for name in records(sweep)}
    more = train("-m", *call[:-2], "optim.lr=0.01,0.02", "seed=0,1", "hydra.launcher.jobs=2")
    assert (more.code, more.err) == (0, "")
    assert "4 runs, 2 finished before; 2 at a time" in more.out
    assert more.out.count("started  ") == 2
    assert {name: (sweep / name / "result.json").read_bytes() for name in before} == before
    assert [(row["lr"], row["n"]) for row in with_lr(sweep)] == [("0.01", "2"), ("0.02", "2"), ("1e+30", "0")]
    assert statuses(sweep) == ["done"] * 4 + ["failed"]

    # nothing is left to do; then all of it once more
    assert "started  " not in train("-m", *call[:-2], "optim.lr=0.01,0.02", "seed=0,1").out
    forced = train("-m", *call[:-2], "optim.lr=0.01,0.02", "seed=1", "force=true", "hydra.launcher.jobs=2")
    assert (forced.code, forced.out.count("started  ")) == (0, 2)
    changed = {name for name, old in before.items() if (sweep / name / "result.json").read_bytes() != old}
    assert not changed
    assert set(begins(sweep).values()) == {(1, 0)}


def with_lr(sweep: Path) -> list[dict[str, str]]:
    return [{"lr": row["optim.lr"], **row} for row in table(sweep)]


def test_fail_fast(train: Train, image_folder: Path, tmp_path: Path) -> None:
    call = (*on_images(image_folder, tmp_path / "runs"), "name=short", "hydra.launcher.jobs=1")
    done = train("-m", *call, "optim.lr=0.01,1e30,0.02", "fail_fast=true")
    assert done.code == 1
    assert done.err.strip() == "1 of 3 runs failed"
    assert statuses(tmp_path / "runs" / "short") == ["done", "failed"]
    assert "1 not run" in done.out


# --- stopped in every way, a sweep ends as if nothing had happened


def test_killed_and_interrupted_it_ends_with_the_same_table(
    shells: Any, train: Train, until: Until, data_dir: str, tmp_path: Path
) -> None:
    length = 16
    whole, cut = tmp_path / "whole" / "optim.lr", tmp_path / "cut" / "optim.lr"
    grid = ("optim.lr=0.003,0.01", "seed=0,1", "hydra.launcher.jobs=2")
    assert train("-m", *on_fashion(data_dir, whole.parent, length), *grid).code == 0
    call = ("-m", *on_fashion(data_dir, cut.parent, length), *grid)

    def further(by: int = 2) -> None:
        """Until so many more epochs have been recorded."""
        before = epochs(cut)
        until(lambda: epochs(cut) >= before + by, f"{by} epochs")

    # the power goes
    shell = shells.start(*call)
    further()
    shell.signal_group(signal.SIGKILL)
    assert shell.wait().code == -signal.SIGKILL
    shells.none_left()
    assert "running" in statuses(cut)
    assert not (cut / "table.csv").exists()

    # only the sweep is killed: its jobs save and stop
    shell = shells.start(*call)
    further()
    os.kill(shell.process.pid, signal.SIGKILL)
    shell.wait()
    shells.none_left()
    assert "interrupted" in statuses(cut)
    assert not {"running", "failed"} & set(statuses(cut))

    # Ctrl-C, which a terminal sends to all of them
    shell = shells.start(*call)
    further()
    shell.signal_group(signal.SIGINT)
    stopped = shell.wait()
    assert stopped.code == 130
    assert stopped.err.strip() == "stopped by SIGINT; the same command goes on from here"
    assert "interrupted" in stopped.out
    shells.none_left()
    assert "interrupted" in statuses(cut)
    assert not {"running", "failed"} & set(statuses(cut))
    assert (cut / "table.csv").read_bytes() != (whole / "table.csv").read_bytes()
    before = records(cut)

    done = train(*call)
    assert (done.code, done.err) == (0, "")
    assert statuses(cut) == ["done"] * 4
    assert sum(resumed for _, resumed in begins(cut).values()) >= 3
    assert {name: records(cut)[name].seconds for name, r in before.items() if r.status == "done"} == {
        name: r.seconds for name, r in before.items() if r.status == "done"
    }
    assert (cut / "table.csv").read_bytes() == (whole / "table.csv").read_bytes()
    assert set(records(cut)) == set(records(whole))
    for name in records(whole):
        (rows, weights), (others, other) = learned(whole / name), learned(cut / name)
        assert rows == others
        assert len(rows) == length
        assert all(torch.equal(weights[k], other[k]) for k in weights)


@pytest.mark.slow
def test_two_shells_share_the_work(shells: Any, image_folder: Path, tmp_path: Path) -> None:
    sweep = tmp_path / "runs" / "optim.lr"
    call = ("-m", *on_images(image_folder, sweep.parent, 5), "optim.lr=0.01,0.02", "seed=0,1")
    first, second = (shells.start(*call, "hydra.launcher.jobs=1") for _ in range(2))
    ended = [first.wait(), second.wait()]
    assert [(e.code, e.err) for e in ended] == [(0, ""), (0, "")]
    shells.none_left()
    assert statuses(sweep) == ["done"] * 4
    assert list(begins(sweep).values()) == [(1, 0)] * 4
    tables = [e.out[e.out.index("┏") :] for e in ended]
    assert tables[0] == tables[1]
    assert [row["n"] for row in table(sweep)] == ["2", "2"]


# --- whose folder it is


def test_a_folder_belongs_to_one_sweep(
    train: Train, image_folder: Path, tmp_path: Path, read_only: Callable[[Path], None]
) -> None:
    runs, sweep = tmp_path / "runs", tmp_path / "runs" / "optim.lr"
    fixed = (*on_images(image_folder, runs), "hydra.launcher.jobs=2")
    call = ("-m", *fixed, "optim.lr=0.01,0.02")
    assert train(*call).code == 0
    assert {re.sub("-[0-9a-f]{16}$", "", name) for name in records(sweep)} == {"lr=0.01,seed=0", "lr=0.02,seed=0"}
    before = {path: path.read_bytes() for path in sweep.rglob("*") if path.is_file()}

    # the same keys and values, on other batches: another sweep, which says where it goes
    other = train(*call, "data.batch_size=9")
    (place,) = [path for path in runs.iterdir() if path != sweep]
    assert (other.code, other.err, statuses(place)) == (0, "", ["done"] * 2)
    told = f"{sweep} is another sweep's (data.batch_size: 8, here 9); this one's is {place}\n"
    assert other.out.startswith(told)
    again = train(*call, "data.batch_size=9")
    assert again.out.startswith(f"{told}2 runs, 2 finished before")
    refused = train(*call, "data.batch_size=9", "name=optim.lr")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == f"name: {sweep} is another sweep's (data.batch_size: 8, here 9); take another name\n"
    assert {path: path.read_bytes() for path in sweep.rglob("*") if path.is_file()} == before

    # one more value joins it, and the table has all, though the call fails
    failed = train("-m", *fixed, "name=optim.lr", "optim.lr=1e30")
    assert failed.code == 1
    assert [(row["optim.lr"], row["n"], row["note"]) for row in table(sweep)] == [
        *(("1e30", "0", "1 failed"), ("0.01", "1", ""), ("0.02", "1", ""))
    ]

    # who may only read sees what is finished
    (sweep / "table.csv").unlink()
    read_only(runs)
    shown = train(*call)
    assert (shown.code, shown.err) == (0, "")
    for row in ("│ 0.01 ", "│ 0.02 ", "│ 1e30 "):
        assert row in shown.out
    assert f"{sweep} (nothing can be written there, so what it holds is shown)" in shown.out
    more = train(*call[:-1], "optim.lr=0.01,0.02,0.04")
    assert (more.code, more.out) == (2, "")
    assert "nothing can be written to" in more.err
    assert not (sweep / "table.csv").exists()


def test_slurm_where_there_is_none(
    train: Train, data_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    call = ("-m", "hydra/launcher=slurm", "seed=0,1", f"data.dir={data_dir}", f"runs_dir={tmp_path}/runs")
    done = train(*call)
    assert (done.code, done.out) == (2, "")
    assert re.fullmatch(r"hydra/launcher: got slurm, but this machine has no sbatch; .*\n", done.err)
    assert not (tmp_path / "runs").exists()


# --- what cannot be, and what is not meant


def test_impossible_trials_are_skipped_with_the_reason(train: Train, image_folder: Path, tmp_path: Path) -> None:
    """One key that only one of the models has, one kernel that is larger than the image."""
    call = (*on_images(image_folder, tmp_path / "runs")[2:], "model=softmax,lenet", "model.kernel_size=5,40")
    done = train("-m", *call, "hydra.launcher.jobs=1", "name=mixed")
    assert (done.code, done.err) == (0, "")
    assert "1 run, 3 impossible" in done.out
    sweep = tmp_path / "runs" / "mixed"
    assert statuses(sweep) == ["done", "skipped", "skipped", "skipped"]
    reasons = {
        tuple(o for o in r.overrides if o.startswith("model")): r.error or ""
        for r in records(sweep).values()
        if r.error
    }
    no_key = "model.kernel_size: this model has no such key; others have"
    assert reasons["model=softmax", "model.kernel_size=5"] == no_key
    assert reasons["model=softmax", "model.kernel_size=40"] == no_key
    assert "40" in reasons["model=lenet", "model.kernel_size=40"]
    assert len(reasons) == 3
    assert no_key in done.out
    assert (
        f"impossible: model=lenet model.kernel_size=40\n  {reasons['model=lenet', 'model.kernel_size=40']}" in done.out
    )
    assert [row["n"] for row in table(sweep)] == ["0", "0", "1", "0"]
    assert [row["note"] == "" for row in table(sweep)] == [False, False, True, False]
    again = train("-m", *call, "hydra.launcher.jobs=1", "name=mixed")
    assert again.code == 0
    assert "started  " not in again.out


WRONG = [
    ("-m model.kernal_size=3,5", "model.kernal_size: no such key; did you mean kernel_size?"),
    ("-m ++model.kernal_size=3,5", "model.kernal_size: no such key; did you mean kernel_size?"),
    ("-m modle=lenet,mlp", "modle: no such key; did you mean model?"),
    ("-m model=lenet,lenett", "model: got lenett, no such choice; did you mean lenet?"),
    ("-m model=lenett seed=0,1", "model: got lenett, no such choice; did you mean lenet?"),
    ("-m optim.lr=0.1,abc", "optim.lr: got abc, expected a number"),
    ("-m seed=0,-1", "seed: got -1, expected a whole number"),
    ("-m model=lenet,mlp optim.lr=0.1,-1", "optim.lr: got -1"),
    ("-m model.kernel_size=40,50", "no trial of this sweep can be run"),
    ("-m model.channels=[6,16],[6,16", "cannot be read as key=value"),
    ("-m optim.lr=interval(0.1,1)", "optim.lr: an interval needs a sweep file"),
    ("-m sweep=kernel_sise", "did you mean kernel_size?"),
    ("-m sweep=tune_lenet optim.lr=0.1,0.2", "optim.lr: takes one value here"),
    ("-m data.block=3,4", "data.block: got 3, but only data.permutation=block and block_order read it"),
    ("-m optim=adamw optim.momentum=0.5 seed=0,1", "optim.momentum: got 0.5, but only optim.name=sgd reads it"),
    ("-m sweep= seed=0,1", "sweep: got '', expected text or null; is a shell variable unset?"),
    ("-m model.family=mlp,lenet", "model.family: got mlp with the keys of lenet; choose by model=mlp"),
    ("-m task=plan,train", "task: takes one value for the whole sweep"),
    ("-m task=test ckpt=x.ckpt", "task: got test, which reads one checkpoint; leave -m out"),
    ("-m resume=x seed=0,1", "resume: got x; a sweep goes on by itself: give the same command again"),
    ("-m runs_dir=/proc/runs seed=0,1", "runs_dir: got /proc/runs"),
    ("-m seed=range(0,1e9)", "this sweep has 1,000,000,000 trials, more than 100,000"),
    ("-m seed=range(0,1000) data.seed=range(0,1000)", "hydra.sweeper.max_trials: this sweep has 1,000,000 trials"),
    ("-m seed=0,1,2 hydra.sweeper.max_trials=2", "this sweep has 3 trials, more than 2; if you mean it: hydra.sweeper"),
    ("-m sweep=kernel_size hydra.sweeper.max_trials=17", "this sweep has 18 trials"),
    ("-m seed=0,1 hydra.sweeper.max_trials=many", "hydra.sweeper.max_trials: got many"),
    ("-m seed=range(5,5)", "seed: got range(5,5), which holds no value"),
    ("-m seed=range(0,5,0)", "seed: got a range with a step of 0"),
    ("-m seed=0,1 trainer=ddp trainer.devices=1000", "trainer.devices: got 1000, but this machine has"),
    ("sweep=kernel_size", "sweep: got kernel_size, which is about sweeps; add -m"),
    ("force=true", "force: got True, which is about sweeps; add -m"),
    ("fail_fast=true", "fail_fast: got True, which is about sweeps; add -m"),
    ("report=false", "report: got False, which is about sweeps; add -m"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=[w[0] for w in WRONG])
def test_a_wrong_call_gets_one_message_and_nothing_is_written(
    arguments: str, message: str, train: Train, data_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    short = (f"data.dir={data_dir}", "data.train_size=100", "trainer.max_epochs=1")  # should it be accepted
    done = train(*arguments.split(), *short)
    assert done.code == 2
    assert message in done.err
    assert len(done.err.splitlines()) == 1
    assert not done.out
    assert not list((tmp_path / "here").iterdir())


def test_the_plan_of_a_grid_writes_nothing(train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = train("-m", "model=lenet", "model.kernel_size=3,5,40", "seed=0,1", "task=plan")
    assert (done.code, done.err) == (0, "")
    assert re.search(r"│ 5 .*6x28x28.*│ +61,706 │ +416,520 │ +16 │ +2 │", done.out), done.out
    assert re.search(r"│ 40 +│ impossible", done.out)
    assert "impossible: model.kernel_size=40" in done.out
    search = train("-m", "sweep=tune_lenet", "task=plan")
    assert (search.code, search.err) == (0, "")
    assert "40 runs, method bayes" in search.out
    assert not list(tmp_path.iterdir())


# --- searches


SEARCH = """\
method: bayes
metric: {name: val/acc, goal: maximize}
run_cap: 6
early_terminate: {type: hyperband, min_iter: 1, eta: 2}
parameters:
  optim.lr: {distribution: log_uniform_values, min: 1.0e-6, max: 0.01}
  model.hidden: {values: [[16], [8]]}
"""


@pytest.mark.slow
def test_a_search_prunes_and_goes_on_where_it_was_stopped(
    train: Train, until: Until, data_dir: str, tmp_path: Path, read_only: Callable[[Path], None]
) -> None:
    """Stopped between two runs and in one, it draws what it would have drawn."""
    (tmp_path / "search.yaml").write_text(SEARCH)

    def call(runs: str, *more: str) -> Any:
        fixed = [a for a in on_fashion(data_dir, tmp_path / runs, 4) if not a.startswith("model.hidden")]
        return train("-m", f"sweep={tmp_path}/search.yaml", *fixed, "hydra.launcher.jobs=1", *more)

    whole, cut = tmp_path / "whole" / "search", tmp_path / "cut" / "search"
    done = call("whole")
    assert (done.code, done.err) == (0, "")
    assert "6 runs; 1 at a time" in done.out
    found = records(whole)
    assert len(found) == 6
    pruned = [r for r in found.values() if r.status == "pruned"]
    assert 0 < len(pruned) < 6
    assert {r.status for r in found.values()} == {"done", "pruned"}
    for each in pruned:
        assert each.test is None
        assert each.val is not None
        assert 0 < each.epochs < 4
        assert "others do better" in (each.error or "")
    assert all(r.test and r.epochs == 4 for r in found.values() if r.status == "done")
    assert "pruned" in done.out

    stopped = interrupted_when(lambda: len(records(cut)) >= 3, until, lambda: call("cut"))
    assert stopped.code == 130
    assert 3 <= len(records(cut)) < 6
    again = call("cut")
    assert (again.code, again.err) == (0, "")
    assert {k: (r.status, r.epochs, r.val, r.test) for k, r in records(cut).items()} == {
        k: (r.status, r.epochs, r.val, r.test) for k, r in found.items()
    }
    assert (cut / "table.csv").read_bytes() == (whole / "table.csv").read_bytes()
    assert all(started == 1 for started, _ in begins(cut).values())
    nothing = call("cut")
    assert (nothing.code, nothing.out.count("started  ")) == (0, 0)
    longer = call("cut", "trainer.max_epochs=5", "name=search")
    assert longer.code == 2
    assert "search is another sweep's (trainer.max_epochs: 4, here 5)" in longer.err
    read_only(cut)
    shown = call("cut")
    assert (shown.code, shown.err) == (0, "")
    rows = [line for line in shown.out.splitlines() if line.startswith("│")]
    assert rows == [line for line in nothing.out.splitlines() if line.startswith("│")]


HALF_POSSIBLE = """\
method: random
run_cap: 4
parameters:
  model: {values: [lenet, softmax]}
  model.kernel_size: {values: [3, 1]}
"""


def test_a_search_skips_what_makes_no_config(train: Train, image_folder: Path, tmp_path: Path) -> None:
    """Softmax regression has no kernel size. It is drawn, counted and recorded, and stops nothing."""
    (tmp_path / "search.yaml").write_text(HALF_POSSIBLE)
    fixed = [a for a in on_images(image_folder, tmp_path / "runs") if not a.startswith("model")]
    done = train("-m", f"sweep={tmp_path}/search.yaml", *fixed, "hydra.launcher.jobs=1")
    assert (done.code, done.err) == (0, "")
    sweep = tmp_path / "runs" / "search"
    assert statuses(sweep) == ["done", "done", "skipped", "skipped"]
    assert len(table(sweep)) == 4
    assert "impossible: model=softmax model.kernel_size=" in done.out


def interrupted_when(condition: Callable[[], object], until: Until, call: Callable[[], Any]) -> Any:
    """`call()`, with Ctrl-C once `condition` holds."""
    over = threading.Event()

    def interrupt() -> None:
        until(lambda: over.is_set() or condition(), "the moment to interrupt")
        if not over.is_set():
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        return call()
    finally:
        over.set()
        thread.join()


# --- Hydra's own sweeper and launcher, W&B, several ranks


@pytest.mark.slow
def test_hydras_own_sweeper_with_our_launcher(
    train: Train, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")  # Hydra leaves a multirun.yaml where it is called
    call = (*on_images(image_folder, tmp_path / "runs"), "hydra/sweeper=basic", "hydra.launcher.jobs=2")
    done = train("-m", *call, "name=basic", "optim.lr=0.01,0.02")
    assert (done.code, done.err) == (0, "")
    sweep = tmp_path / "runs" / "basic"
    assert statuses(sweep) == ["done", "done"]
    assert set(begins(sweep).values()) == {(1, 0)}
    assert "started  " not in train("-m", *call, "name=basic", "optim.lr=0.01,0.02").out
    failed = train("-m", *call, "name=basic", "optim.lr=0.01,1e30,0.03")
    assert failed.code == 1
    assert by_lr(sweep)[0.03].status == "done"
    assert by_lr(sweep)[1e30].status == "failed"
    assert "the training loss became" in failed.err
    assert "Traceback" not in failed.err
    lenet = [a for a in call if not a.startswith("model")]
    odd = train("-m", *lenet, "name=odd", "model=lenet", "model.kernel_size=5,40", "seed=0,0")
    assert (odd.code, odd.err) == (0, "")
    assert statuses(tmp_path / "runs" / "odd") == ["done", "skipped"]
    (sweep / "sweep.json").write_text("{}")
    taken = train("-m", *call, "name=basic", "optim.lr=0.01,0.02")
    assert (taken.code, taken.err) == (2, f"name: {sweep} is another sweep's; take another name\n")


@pytest.mark.slow
def test_hydras_own_launcher_with_our_sweeper(train: Train, image_folder: Path, tmp_path: Path) -> None:
    """The same trials and the same records, in one process."""
    call = (*on_images(image_folder, tmp_path / "runs", 2), "optim.lr=0.01,1e30,0.02")
    ours = train("-m", *call, "name=ours", "hydra.launcher.jobs=1")
    other = train("-m", *call, "name=other", "hydra/launcher=basic")
    assert (ours.code, other.code) == (1, 1)
    a, b = records(tmp_path / "runs" / "ours"), records(tmp_path / "runs" / "other")
    assert set(a) == set(b)
    for name in a:
        same = ("status", "epochs", "train", "val", "test", "overrides", "error")
        assert [getattr(a[name], k) for k in same] == [getattr(b[name], k) for k in same]
    assert table(tmp_path / "runs" / "ours") == table(tmp_path / "runs" / "other")
    more = train("-m", *call[:-1], "optim.lr=0.01,0.03", "name=other", "hydra/launcher=basic")
    assert more.code == 0
    assert list(begins(tmp_path / "runs" / "other").values()) == [(1, 0)] * 4


@pytest.mark.slow
def test_a_crash_among_jobs_of_two_ranks(shells: Any, image_folder: Path, tmp_path: Path) -> None:
    sweep = tmp_path / "runs" / "optim.lr"
    call = [a for a in on_images(image_folder, sweep.parent, 2) if a != "trainer=cpu"]
    ranks = ("trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu", "hydra.launcher.jobs=1")
    done = shells.start("-m", *call, *ranks, "optim.lr=0.01,1e30,0.02").wait()
    assert done.code == 1, done.err
    shells.none_left()
    assert [p.name for p in sweep.parent.iterdir()] == ["optim.lr"]
    found = by_lr(sweep)
    assert {lr: r.status for lr, r in found.items()} == {0.01: "done", 1e30: "failed", 0.02: "done"}
    assert {r.world_size for r in found.values()} == {2}
    assert len([p for p in sweep.iterdir() if p.is_dir()]) == 3
    assert set(begins(sweep).values()) == {(1, 0)}
    log = (sweep / found[1e30].name / "train.log").read_text()
    assert "the training loss became" in log
    assert "the training loss became" in (found[1e30].error or "")
    assert "the training loss became" in done.out


@pytest.mark.slow
def test_a_killed_rank_among_jobs_of_two_ranks(shells: Any, until: Until, image_folder: Path, tmp_path: Path) -> None:
    """The first rank, which keeps the record, by a signal that it cannot see coming."""
    sweep = tmp_path / "runs" / "optim.lr"
    call = [a for a in on_images(image_folder, sweep.parent, 60) if a != "trainer=cpu"]
    ranks = ("trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu", "hydra.launcher.jobs=1")
    shell = shells.start("-m", *call, *ranks, "optim.lr=0.01,0.02,0.03")
    until(lambda: statuses(sweep) == ["done", "running"] and epochs(sweep) > 61, "epochs of the second job")
    (running,) = [name for name, r in records(sweep).items() if r.status == "running"]
    os.kill(first_rank(shells, sweep / running / "train.log"), signal.SIGKILL)
    done = shell.wait()
    assert done.code == 1
    shells.none_left()
    assert statuses(sweep) == ["done", "done", "failed"]
    assert records(sweep)[running].error == "rank 0 was killed by SIGKILL"
    assert "rank 0 was killed by SIGKILL" in done.out
    assert "rank 0 was killed by SIGKILL" in (sweep / running / "train.log").read_text()


def first_rank(shells: Any, log: Path) -> int:
    """The process that has the log open a third time, besides its standard output and error."""
    found = {}
    for pid in shells.processes():
        links = [os.path.realpath(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        found[pid] = links.count(str(log))
    most = max(found, key=lambda pid: found[pid])
    assert found[most] >= 3
    return most


@pytest.mark.slow
def test_wandb_has_a_run_for_each_job_by_one_service(
    shells: Any, until: Until, image_folder: Path, tmp_path: Path
) -> None:
    sweep = tmp_path / "runs" / "optim.lr"
    call = [a for a in on_images(image_folder, sweep.parent, 2) if a != "logger=csv"]
    wandb = ("logger=wandb", "logger.wandb.mode=offline")
    shell = shells.start("-m", *call, *wandb, "optim.lr=0.01,1e30,0.02", "hydra.launcher.jobs=2")
    services: set[int] = set()

    def ended() -> bool:
        for pid in shells.processes():
            try:
                name = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
            except OSError:
                continue
            if name == "wandb-core":
                services.add(pid)
        return shell.process.poll() is not None

    until(ended, "the end of the sweep")
    done = shell.wait()
    assert done.code == 1
    assert len(services) == 1
    shells.none_left()
    seen = {}
    for lr, record in by_lr(sweep).items():
        (run,) = (sweep / record.name / "wandb").glob("offline-run-*/")
        read = [sys.executable, "-m", "wandb", "leet", "inspect", "--summary", "--json", str(run)]
        seen[lr] = json.loads(subprocess.run(read, capture_output=True, text=True, check=True).stdout)
        assert seen[lr]["run_id"] == record.wandb_id
        assert (seen[lr]["config"]["lr"], seen[lr]["name"]) == (lr, f"lr={lr:g} seed=0")
    assert {lr: (s["state"], s["exit_code"]) for lr, s in seen.items()} == {
        0.01: ("finished", 0),
        1e30: ("failed", 1),
        0.02: ("finished", 0),
    }
    assert len({s["run_id"] for s in seen.values()}) == 3
    assert done.out.count("wandb sync") == 1
    assert f"to upload these runs: wandb sync {sweep}/*/wandb/offline-run-*\n" in done.out


# --- what its jobs take along


def test_jobs_have_callbacks_and_loggers(train: Train, image_folder: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    small = [a for a in on_images(image_folder, runs) if a != "logger=csv"]
    done = train("-m", *small, "logger=tensorboard", "callbacks=[],[ema],[swa,lr_monitor]", "callbacks.ema.decay=0.5")
    assert done.code == 2  # not all of them have it, and it makes none of its own
    assert "callbacks.ema: has no _target_" in done.err
    done = train("-m", *small, "logger=tensorboard", "callbacks=[ema],[swa,lr_monitor]")
    assert done.code == 0, done.err
    found = records(runs / "callbacks")
    assert [sorted(r.config["callbacks"]) for r in found.values()].count(["lr_monitor", "swa"]) == 1
    averaged = set()
    for identity, result in found.items():
        folder = runs / "callbacks" / identity
        assert len(list((folder / "tensorboard").iterdir())) == 1
        if "current_model_state" in torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True):
            averaged |= set(result.config["callbacks"])
    assert len(found) == 2
    assert averaged == {"ema", "swa", "lr_monitor"}


def test_a_callback_that_cannot_be_made_ends_a_sweep_before_anything_runs(
    train: Train, image_folder: Path, tmp_path: Path
) -> None:
    target = "+callbacks.a._target_=lightning.pytorch.callbacks.Timr"
    done = train("-m", *on_images(image_folder, tmp_path / "runs"), "seed=0,1", target)
    assert done.code == 2
    assert "callbacks.a: got lightning.pytorch.callbacks.Timr, but" in done.err
    assert not (tmp_path / "runs").exists()


def test_constraints_of_a_trained_network_are_released_in_a_sweep(train: Train, tmp_path: Path, data_dir: str) -> None:
    fashion = [o for o in on_fashion(data_dir, tmp_path, 1) if not o.startswith("model")]
    assert train("model=ladder", *fashion, "name=conv", "trainer.progress=false").code == 0
    call = ("-m", f"ckpt={tmp_path}/conv/checkpoints/best.ckpt", "release=locality,sharing", f"runs_dir={tmp_path}")
    done = train(*call, "logger=csv")
    assert done.code == 0, done.err
    found = {r.config["release"]: r for r in records(tmp_path / "release").values()}
    assert {k: r.config["model"]["constraint"] for k, r in found.items()} == {"locality": "shared", "sharing": "local"}
    assert [(row["release"], row["model"]) for row in table(tmp_path / "release")] == [
        ("locality", "ladder"),
        ("sharing", "ladder"),
    ]
    refused = train(*call, "model=mlp")
    assert refused.code == 2
    assert "model: got mlp, but release takes the network from ckpt; leave it out" in refused.err
