"""Jobs side by side: each a process of its own, whatever happens to the others; trials that belong to one at a time."""

from __future__ import annotations

import csv
import json
import logging
import multiprocessing
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest
import torch

from fc2conv.architectures.mlp import MLPConfig
from fc2conv.config.schema import Config, DataConfig, LoggerConfig, OptimConfig, TrainerConfig, WandbConfig
from fc2conv.errors import ConfigError, Interrupted
from fc2conv.record import outage
from fc2conv.record.lock import LOCK, claim, is_claimed
from fc2conv.record.result import Result
from fc2conv.sweep import job, pool, slots
from fc2conv.sweep.live_table import LiveTable
from fc2conv.sweep.pool import Job, Pool
from fc2conv.sweep.slots import Slot, slots_for
from fc2conv.sweep.sweeper import Grid
from fc2conv.sweep.trials import LOG, Trial
from fc2conv.training import signals
from fc2conv.training.signals import Signals
from hydra_plugins.fc2conv_sweep import Local

Until = Callable[..., None]
LONG = 600
"""Epochs that no test waits for."""


@dataclass
class Started:
    """The jobs that a test has started, in their order."""

    jobs: list[Job] = field(default_factory=list)
    on_start: Callable[[Job], None] = lambda job: None

    def codes(self) -> list[int | None]:
        return [j.process.exitcode for j in self.jobs]

    def pid(self, index: int) -> int:
        pid = self.jobs[index].process.pid
        assert pid is not None
        return pid


@pytest.fixture
def started(server: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Started]:
    """Sees the jobs as they start; none outlives the test."""
    found = Started()
    start = Pool._start

    def seen(self: Pool, trial: Trial, given: Slot, options: job.Options) -> Job:
        new = start(self, trial, given, options)
        found.jobs.append(new)
        found.on_start(new)
        return new

    monkeypatch.setattr(Pool, "_start", seen)
    yield found
    for each in found.jobs:
        if each.process.exitcode is None:
            each.process.kill()
            each.process.join()


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "sweep"


Make = Callable[..., Trial]


@pytest.fixture
def trial(sweep: Path, image_folder: Path) -> Make:
    """An MLP on 43 images in 6 steps an epoch; keywords are those of the optimiser, but for epochs and threads."""

    def make(epochs: int = 1, threads: int | None = 1, path: Path = image_folder, lr: float = 0.01) -> Trial:
        config = Config(
            MLPConfig(hidden=(8,)),
            DataConfig(
                name="folder", path=str(path), dir=str(sweep.parent.parent / "cache"), batch_size=8, val_size=0.1
            ),
            OptimConfig(lr=lr),
            TrainerConfig(max_epochs=epochs, accelerator="cpu", threads=threads),
            LoggerConfig(),
        )
        point = (f"optim.lr={lr:g}",)
        return Trial.of(config, sweep, ("model=mlp", *point), point, "mlp")

    return make


def drive(trials: list[Trial], jobs: int = 1, force: bool = False, fail_fast: bool = False) -> int | None:
    trainers = [trial.config.trainer for trial in trials if trial.config]
    options = job.Options(force=force, fail_fast=fail_fast)
    return local(jobs).drive(Grid(trials, force), trainers, len(trials), options)


def local(jobs: int) -> Local:
    found = Local(jobs, jobs_per_gpu=1)
    found.warm(wandb=False, study=False)
    return found


def result(trial: Trial) -> Result:
    found = trial.result()
    assert found is not None
    return found


def log_of(trial: Trial) -> str:
    return (trial.folder / LOG).read_text()


def begins(trial: Trial) -> tuple[int, int]:
    """How often it began, and how often it went on, by its log."""
    return log_of(trial).count("INFO started:"), log_of(trial).count("INFO resumed:")


def epochs(trial: Trial) -> list[int]:
    with (trial.folder / "metrics.csv").open() as file:
        return [int(row["epoch"]) for row in csv.DictReader(file)]


def has_begun(trial: Trial) -> bool:
    """With an epoch behind it."""
    found = trial.result()
    return found is not None and found.epochs > 0


class Aside:
    """Does something from another thread once a condition holds, while this one drives the sweep."""

    def __init__(self, until: Until, condition: Callable[[], object], action: Callable[[], None]):
        self.until, self.condition, self.action = until, condition, action
        self.over = self.acted = False

    def __enter__(self) -> None:
        self.thread = threading.Thread(target=self._work)
        self.thread.start()

    def _work(self) -> None:
        self.until(lambda: self.over or self.condition(), "the moment to act")
        if not self.over:
            self.action()
            self.acted = True

    def __exit__(self, *exc: object) -> None:
        self.over = True
        self.thread.join()
        assert self.acted, "the sweep ended before there was anything to do to it"


# --- each job on its own


def test_each_job_has_a_process_a_folder_and_a_log(
    started: Started, trial: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    trials = [trial(lr=lr) for lr in (0.01, 0.02, 0.03)]
    torch.manual_seed(1)
    state, handlers, here = torch.get_rng_state(), list(logging.getLogger("fc2conv").handlers), dict(os.environ)
    assert drive(trials, jobs=2) is None
    assert len({os.getpid(), *(started.pid(i) for i in range(3))}) == 4
    assert started.codes() == [0, 0, 0]
    assert len({t.folder for t in trials}) == 3
    for each in trials:
        found = result(each)
        assert (found.status, found.epochs, found.overrides) == ("done", 1, list(each.overrides))
        assert found.identity == found.name == each.folder.name
        assert found.test is not None
        assert found.test["n"] == 12
        assert begins(each) == (1, 0)
        assert each.point[0] in log_of(each)
        assert {p.name for p in (each.folder / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    out, err = capfd.readouterr()
    assert "epoch" not in out + err, "what a job says belongs into its log"
    assert torch.equal(torch.get_rng_state(), state)
    assert logging.getLogger("fc2conv").handlers == handlers
    assert dict(os.environ) == here


def test_a_job_that_fails_is_one_failed_job(
    started: Started, trial: Make, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    gone = shutil.copytree(tmp_path / "images", tmp_path / "gone")
    trials = [trial(lr=0.01), trial(lr=1e30), trial(path=gone), trial(lr=0.02)]
    shutil.rmtree(gone)
    assert drive(trials) is None
    assert [result(t).status for t in trials] == ["done", "failed", "failed", "done"]
    assert started.codes() == [0, 1, 1, 0]
    assert "the training loss became" in (result(trials[1]).error or "")
    # this one failed before its run had a record
    unborn = result(trials[2])
    assert unborn.error is not None
    assert f"{gone} is no folder" in unborn.error
    assert (unborn.identity, unborn.config["data"]["path"]) == (trials[2].folder.name, str(gone))
    assert "Traceback" in log_of(trials[2])
    assert "DataError" in log_of(trials[2])
    lines = [line.split()[0] for line in capfd.readouterr().out.splitlines() if "optim.lr" in line]
    assert lines == [*("started", "done", "started", "failed"), *("started", "failed", "started", "done")]


def test_a_job_that_is_killed_is_one_failed_job_and_goes_on_when_asked_again(
    started: Started, trial: Make, until: Until
) -> None:
    trials = [trial(40), trial(lr=0.02), trial(lr=0.03)]

    def kill_the_second_at_once(new: Job) -> None:
        if new.trial.folder == trials[1].folder:
            os.kill(started.pid(-1), signal.SIGKILL)

    started.on_start = kill_the_second_at_once
    with Aside(until, lambda: has_begun(trials[0]), lambda: os.kill(started.pid(0), signal.SIGKILL)):
        assert drive(trials, jobs=2) is None
    assert [result(t).status for t in trials] == ["failed", "failed", "done"]
    assert started.codes() == [-signal.SIGKILL, -signal.SIGKILL, 0]
    for each in trials[:2]:
        assert result(each).error == "killed by SIGKILL; the system may have run out of memory"
        assert not is_claimed(each.folder)
    before = result(trials[0]).epochs
    assert 0 < before < 40

    started.on_start = lambda new: None
    assert drive(trials, jobs=2) is None
    assert [result(t).status for t in trials] == ["done", "done", "done"]
    assert all(result(t).error is None for t in trials)
    assert [begins(t) for t in trials] == [(1, 1), (1, 0), (1, 0)]
    assert epochs(trials[0]) == list(range(1, 41))
    assert len(started.jobs) == 5, "what is done is not started again"


def test_a_job_that_dies_without_a_word_has_its_exit_code_in_the_record(started: Started, trial: Make) -> None:
    mute, good = trial(), trial(lr=0.02)
    (mute.folder / LOG).mkdir(parents=True)  # so that it fails before it could write anything down
    assert drive([mute, good]) is None
    assert (result(mute).status, result(mute).error) == ("failed", "the job ended with exit code 1")
    assert result(good).status == "done"


# --- endings


def test_fail_fast_stops_the_others_at_the_first_failure(started: Started, trial: Make, until: Until) -> None:
    trials = [trial(LONG), trial(LONG, lr=1e30), trial(lr=0.02)]

    def wait_for_the_first(new: Job) -> None:
        if len(started.jobs) == 1:
            until(lambda: has_begun(trials[0]), "an epoch of the first job")

    started.on_start = wait_for_the_first
    assert drive(trials, jobs=2, fail_fast=True) is None
    assert [result(t).status for t in trials[:2]] == ["interrupted", "failed"]
    assert trials[2].result() is None
    assert (trials[0].folder / "checkpoints" / "last.ckpt").exists()


def test_ctrl_c_ends_every_job_with_its_work_saved(started: Started, trial: Make, until: Until) -> None:
    trials = [trial(LONG), trial(LONG, lr=0.02), trial(lr=0.03)]
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    with Aside(until, lambda: all(map(has_begun, trials[:2])), lambda: os.kill(os.getpid(), signal.SIGINT)):
        assert drive(trials, jobs=2) == signal.SIGINT
    assert [result(t).status for t in trials[:2]] == ["interrupted", "interrupted"]
    assert started.codes() == [130, 130]
    assert trials[2].result() is None
    assert all(t.resumable() and not is_claimed(t.folder) for t in trials[:2])
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers


@pytest.mark.parametrize("failures", [0, 1, 2, 5])
def test_a_server_that_is_gone_while_a_job_starts(
    failures: int, trial: Make, monkeypatch: pytest.MonkeyPatch, server: None
) -> None:
    """It is waited for, unless it was a signal to all of us; Ctrl-C the server ignores."""
    clock = SimpleNamespace(now=0.0)

    def sleep(seconds: float) -> None:
        clock.now += seconds

    def start(*_: Any) -> Job:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise EOFError("unexpected EOF")
        return started

    started = cast(Job, object())
    monkeypatch.setattr(pool, "time", SimpleNamespace(monotonic=lambda: clock.now, sleep=sleep))
    monkeypatch.setattr(pool, "NEW_SERVER", 3 * pool.INTERVAL)
    monkeypatch.setattr(Pool, "_start", start)
    stop, gone = Signals(), failures
    if gone < 5:
        assert Pool()._start_surely(trial(), Slot(1), job.Options(), stop) is started
        assert clock.now == gone * pool.INTERVAL
    else:
        with pytest.raises(EOFError):
            Pool()._start_surely(trial(), Slot(1), job.Options(), stop)
    failures, stop.received = 1, signal.SIGTERM
    assert Pool()._start_surely(trial(), Slot(1), job.Options(), stop) is None


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_the_end_of_a_job_without_a_server(signum: signal.Signals, trial: Make, server: None) -> None:
    """It could not say how it ended, and no one else can."""
    one = trial()
    one.end("running", "")
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = cast(ForkServerProcess, SimpleNamespace(exitcode=-signum))
    ended = Job(one, process, Slot(1), receiver)
    sender.close()
    want = {signal.SIGTERM: "interrupted", signal.SIGKILL: "failed"}[signum]
    assert Pool()._complete(ended) == want
    process = cast(ForkServerProcess, SimpleNamespace(exitcode=pool.UNKNOWN))
    one.end("running", "")
    assert Pool()._complete(replace(ended, process=process)) == "failed"
    assert "server that knew how is gone" in (result(one).error or "")
    one.end("running", "")
    with claim(one.folder):
        assert Pool()._complete(ended) is None
    assert result(one).status == "running", "somebody else has it already"


def test_a_job_stopped_in_its_first_moments_is_interrupted(
    started: Started, trial: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    trials = [trial(LONG), trial(lr=0.02)]
    trials[1].end("failed", "before")

    def stop(new: Job) -> None:
        if new.trial.folder == trials[0].folder:
            os.kill(started.pid(-1), signal.SIGTERM)

    started.on_start = stop
    assert drive(trials, fail_fast=True) is None, "and it is no failure"
    assert [result(t).status for t in trials] == ["interrupted", "done"]
    assert "stopped by" in (result(trials[0]).error or "")


def stopped(trial: Trial) -> None:
    """Make a finished run one that was interrupted."""
    replace(result(trial), status="interrupted", error="stopped by SIGTERM").write(trial.folder)


def test_what_cannot_go_on_starts_anew_and_says_so(
    started: Started, trial: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    cut, odd, good = (trial(lr=lr) for lr in (0.01, 0.02, 0.03))
    assert drive([cut, odd, good]) is None
    for each in (cut, good):
        stopped(each)
    whole = result(odd).test
    last = cut.folder / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:-100])
    values = json.loads((odd.folder / "result.json").read_text())
    (odd.folder / "result.json").write_text(json.dumps(values | {"epochs": "three"}))
    capfd.readouterr()
    assert drive([cut, odd, good]) is None
    assert [result(t).status for t in (cut, odd, good)] == ["done", "done", "done"]
    assert [begins(t) for t in (cut, odd, good)] == [(1, 0), (1, 0), (1, 1)]
    notes = [line for line in capfd.readouterr().out.splitlines() if line.startswith("note")]
    assert len(notes) == 2
    assert f"optim.lr=0.01  starts anew: {last} is damaged, or no checkpoint" in notes[0]
    assert f"optim.lr=0.02  starts anew: {odd.folder / 'result.json'} is damaged (epochs: got three)" in notes[1]
    assert "starts anew" in log_of(cut)
    assert json.loads((odd.folder / "result.json.damaged").read_text())["epochs"] == "three"
    assert result(odd).test == whole


@pytest.mark.parametrize("damaged", [True, False])
def test_a_signal_is_no_damage(damaged: bool, trial: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a checkpoint is read, it waits; it does not throw the checkpoint away."""
    one = trial()
    one.end("interrupted", "stopped by SIGTERM")
    for name in ("config.yaml", "checkpoints/last.ckpt"):
        (one.folder / name).parent.mkdir(exist_ok=True)
        (one.folder / name).touch()

    def read(folder: Path) -> None:
        signal.raise_signal(signal.SIGTERM)
        if damaged:
            raise ConfigError("resume", "cannot be read")

    monkeypatch.setitem(sys.modules, "fc2conv.training.run", cast(ModuleType, SimpleNamespace(check_resumable=read)))
    with pytest.raises(Interrupted):
        job.work(one)
    assert one.resumable()


@pytest.mark.parametrize("how", ["a second signal", "the deadline"])
def test_a_job_that_does_not_stop_is_killed(
    how: str, started: Started, trial: Make, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, stopping = trial(LONG), threading.Event()
    end = Pool._stop

    def stop_all(self: Pool, *args: Any) -> None:
        stopping.set()
        end(self, *args)

    monkeypatch.setattr(Pool, "_stop", stop_all)
    monkeypatch.setattr(signals, "PATIENCE", 0.0)
    monkeypatch.setattr(pool, "SHUTDOWN", 0.1 if how == "the deadline" else 3600.0)

    def stop() -> None:
        os.kill(started.pid(0), signal.SIGSTOP)  # it hears nothing any more
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopping.wait(30)
        if how == "a second signal":
            os.kill(os.getpid(), signal.SIGTERM)
        try:
            until(lambda: not Path(f"/proc/{started.pid(0)}").exists(), "the end of the job", 20)
        except AssertionError:
            os.kill(started.pid(0), signal.SIGKILL)
            raise

    with Aside(until, lambda: has_begun(stuck), stop):
        assert drive([stuck]) == signal.SIGTERM
    assert started.codes() == [-signal.SIGKILL]
    assert (result(stuck).status, result(stuck).error) == ("interrupted", "stopped with its sweep")


# --- one trial, one owner


def test_a_claim_excludes_others_until_it_ends(sweep: Path) -> None:
    assert not is_claimed(sweep / "a")
    assert not (sweep / "a").exists(), "asking leaves nothing behind"
    with claim(sweep / "a") as ours:
        assert ours
        assert is_claimed(sweep / "a")
        with claim(sweep / "a") as second:
            assert not second
        with claim(sweep / "b") as other, claim(sweep / "a", ".other") as named:
            assert other
            assert named
        assert is_claimed(sweep / "a"), "who was refused has not freed it"
    assert not is_claimed(sweep / "a")
    with claim(sweep / "a", wait=True) as ours:
        assert ours


def test_a_claim_that_waits_gets_its_turn(sweep: Path) -> None:
    order = []

    def second() -> None:
        waiting.set()
        with claim(sweep, wait=True) as ours:
            order.append(ours)

    waiting, thread = threading.Event(), threading.Thread(target=second)
    with claim(sweep):
        thread.start()
        assert waiting.wait(30)
        order.append(is_claimed(sweep))
    thread.join(30)
    assert order == [True, True]
    assert not thread.is_alive()


def finish(trial: Trial) -> None:
    trial.end("done", "")


def test_a_grid_deals_out_what_is_left_and_free(trial: Make) -> None:
    a, b, c, d = (trial(lr=lr) for lr in (0.01, 0.02, 0.03, 0.04))
    impossible = replace(trial(lr=0.05), impossible="does not fit")
    finish(c)
    d.end("failed", "lost")
    grid = Grid([a, b, c, impossible, d])
    assert grid.trials() == [a, b, c, impossible, d]
    with claim(a.folder):
        assert [grid.take(), grid.take(), grid.take()] == [b, d, None]
        assert grid.left(), "someone may have to go on with what is in training elsewhere"
    assert grid.take() == a, "whoever had it left it unfinished"
    assert not grid.left()


def test_a_grid_takes_nothing_that_was_finished_elsewhere(trial: Make) -> None:
    a, b = trial(lr=0.01), trial(lr=0.02)
    for force in (False, True):
        grid = Grid([a, b], force)
        with claim(a.folder):
            assert grid.take() == b
            assert grid.take() is None
            finish(a)
        assert grid.take() is None
        assert not grid.left()
        (a.folder / "result.json").unlink()


def test_a_grid_takes_nothing_that_was_finished_behind_its_back(trial: Make) -> None:
    a, b = trial(lr=0.01), trial(lr=0.02)
    grid = Grid([a, b])
    finish(a)
    assert [grid.take(), grid.take()] == [b, None]
    assert not grid.left()


def test_a_trial_that_came_back_waits_again(trial: Make) -> None:
    a, b = trial(lr=0.01), trial(lr=0.02)
    grid = Grid([a, b])
    assert grid.take() == a
    grid.back(a)
    assert grid.left()
    assert [grid.take(), grid.take(), grid.take()] == [b, a, None]
    grid.back(a)
    finish(a)
    assert grid.take() is None
    assert not grid.left()


def test_force_deals_out_what_is_done(trial: Make) -> None:
    a = trial()
    finish(a)
    assert Grid([a]).take() is None
    assert Grid([a], force=True).take() == a


class Hasty(Grid):
    """Deals out without a look at the locks at first, as if they had been taken a moment later."""

    looked = False

    def take(self) -> Trial | None:
        if self.looked:
            return super().take()
        self.looked = True
        return self.waiting.pop(0)


def test_a_job_that_finds_its_trial_taken_leaves_it_alone(
    started: Started, trial: Make, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = trial()
    held = ExitStack()
    held.enter_context(claim(taken.folder))
    told = []

    def elsewhere(self: LiveTable, trial: Trial) -> None:
        told.append((trial.folder, (trial.folder / "result.json").exists()))
        held.close()  # whoever had it is gone, and has not finished it

    monkeypatch.setattr(LiveTable, "elsewhere", elsewhere)
    with held:
        config = taken.config
        assert config is not None
        assert local(1).drive(Hasty([taken]), [config.trainer], 1) is None
    assert told == [(taken.folder, False)]
    assert started.codes() == [job.EXIT_CODES["elsewhere"], 0]
    assert begins(taken) == (1, 0)
    assert result(taken).status == "done"


def test_work_leaves_alone_what_is_taken_or_finished(trial: Make) -> None:
    """Neither needs torch, so neither is a process of its own here."""
    one = trial()
    with claim(one.folder):
        assert job.work(one) == "elsewhere"
    finish(one)
    assert job.work(one) == "done"
    one.end("pruned", "others do better")
    assert job.work(one) == "pruned"
    assert not is_claimed(one.folder)


def test_exit_codes() -> None:
    codes = {"done": 0, "pruned": 0, "skipped": 0, "failed": 1, "interrupted": 130, "elsewhere": 75}
    assert codes == job.EXIT_CODES


def test_force_begins_anew(started: Started, trial: Make) -> None:
    one = trial()
    assert drive([one]) is None
    first = log_of(one)
    (one.folder / "note.txt").write_text("of the first run")
    assert drive([one]) is None
    assert (len(started.jobs), log_of(one)) == (1, first)
    assert drive([one], force=True) is None
    assert begins(one) == (1, 0), "the log of the first run is gone with it"
    assert not (one.folder / "note.txt").exists()
    assert result(one).status == "done"
    assert log_of(one) != first


# --- a trial's folder


def test_clear_empties_the_folder_and_nothing_else(trial: Make, tmp_path: Path) -> None:
    one = trial()
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    with claim(one.folder):
        (one.folder / "checkpoints").mkdir()
        (one.folder / LOG).write_text("of the run before\n")
        for name in ("result.json", "checkpoints/last.ckpt", ".aside"):
            (one.folder / name).touch()
        (one.folder / "link").symlink_to(tmp_path / "precious", target_is_directory=True)
        inodes = [(one.folder / name).stat().st_ino for name in (LOCK, LOG)]
        one.clear()
        assert [(one.folder / name).stat().st_ino for name in (LOCK, LOG)] == inodes, "both are open in the job"
    assert sorted(p.name for p in one.folder.iterdir()) == [LOCK, "checkpoints", LOG]
    assert not log_of(one)
    assert not list((one.folder / "checkpoints").iterdir())
    assert (tmp_path / "precious" / "file").exists()


def test_end_writes_a_record_where_there_is_none(trial: Make) -> None:
    one = trial(lr=0.02)
    one.end("failed", "killed")
    found = result(one)
    assert (found.status, found.error, found.seed, found.model) == ("failed", "killed", 0, "mlp")
    assert (found.identity, found.name, found.overrides) == (one.folder.name, one.folder.name, list(one.overrides))
    assert found.config["optim"]["lr"] == 0.02


def test_end_keeps_what_the_job_has_recorded(trial: Make) -> None:
    one = trial()
    one.end("running", "")
    found = result(one)
    found.epochs, found.val, found.wandb_id = 7, {"loss": 1.0, "acc": 0.5, "n": 6}, "abc"
    found.write(one.folder)
    one.end("interrupted", "killed")
    assert result(one) == replace(found, status="interrupted", error="killed")


def test_end_of_a_trial_that_has_no_config(sweep: Path) -> None:
    Trial(("model=softmax", "model.kernel_size=3"), (), sweep / "x", impossible="no such key").end("skipped", "no")
    found = Result.read(sweep / "x")
    assert (found.status, found.error, found.config) == ("skipped", "no", {})
    assert found.overrides == ["model=softmax", "model.kernel_size=3"]


def test_a_trial_is_its_identity(trial: Make, sweep: Path) -> None:
    """Threads decide nothing and the sweep's own keys are none of the job's; the learning rate and epochs do."""
    assert trial().folder == trial(threads=2).folder
    assert len({trial().folder, trial(2).folder, trial(lr=0.02).folder}) == 3
    one = trial().config
    assert one is not None
    logger = LoggerConfig(wandb=WandbConfig())
    again = Trial.of(
        replace(one, force=True, fail_fast=True, report=False, sweep="x", name="y", logger=logger), sweep, ()
    )
    assert again.folder == trial().folder
    assert again.config is not None
    frozen = again.config
    assert (frozen.force, frozen.fail_fast, frozen.sweep, frozen.trainer.progress) == (False, False, None, False)
    assert frozen.logger.wandb is not None
    assert (frozen.logger.wandb.group, frozen.runs_dir, frozen.name) == ("sweep", str(sweep), trial().folder.name)


def test_wandb_calls_a_trial_by_what_varies(trial: Make, sweep: Path) -> None:
    """Also where all that is left of two names is their end, and with the user's own name in front."""
    one = trial().config
    assert one is not None

    def called(point: tuple[str, ...], name: str | None = None) -> str | None:
        config = replace(one, logger=LoggerConfig(wandb=WandbConfig(name=name)))
        made = Trial.of(config, sweep, ("model.norm=batch", *point), point).config
        assert made is not None
        assert made.logger.wandb is not None
        return made.logger.wandb.name

    assert called(("model.kernel_size=3", "seed=0")) == "kernel_size=3 seed=0"
    assert called(("model=lenet", "optim.lr=0.1"), "mine") == "mine model=lenet lr=0.1 seed=0"  # also without a seed
    assert called(()) == "seed=0"
    long = [called((f"model.channels={list(range(60))}", f"optim.lr={lr}")) for lr in (0.1, 0.2)]
    assert len(set(long)) == 2


# --- what a job may use of the machine


class Torchrun(Slot):
    """An environment that a job cannot fail to notice."""

    def environment(self) -> dict[str, str]:
        return {"TORCHELASTIC_RUN_ID": "test", "WORLD_SIZE": "7", "RANK": "0", "LOCAL_WORLD_SIZE": "7"}


def test_a_slot_reaches_its_job(
    started: Started, trial: Make, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    alone, asked, other = trial(threads=None, lr=0.01), trial(threads=2, lr=0.02), trial(threads=None, lr=0.03)

    def run(trials: list[Trial], slots: list[Slot]) -> None:
        source = Grid(trials)
        assert Pool().run(source, slots, LiveTable(source.trials(), len(trials), slots)) is None

    run([alone, asked], [Slot(3)])
    run([other], [Torchrun(1)])
    assert [result(t).config["trainer"]["threads"] for t in (alone, asked)] == [3, 2]
    assert (result(alone).status, result(asked).status, result(other).status) == ("done", "done", "failed")
    assert "started by torchrun with 7 processes" in (result(other).error or "")
    assert "TORCHELASTIC_RUN_ID" not in os.environ
    assert alone.folder == trial(threads=3, lr=0.01).folder


def test_the_gpus_of_a_slot_are_all_that_its_job_sees() -> None:
    assert Slot(1, ("2", "3")).environment() == {"CUDA_VISIBLE_DEVICES": "2,3"}
    assert Slot(1).environment() == {}


CPU = TrainerConfig(accelerator="cpu")
TWO_RANKS = replace(CPU, strategy="ddp", devices=2)
GPU = TrainerConfig(accelerator="gpu")


@pytest.mark.parametrize(
    ("trainers", "jobs", "trials", "cores", "gpus", "expected"),
    [
        ([CPU], None, 100, 4, "", [Slot(1)] * 4),
        ([CPU], 2, 100, 4, "", [Slot(2)] * 2),
        ([CPU], 8, 100, 4, "", [Slot(1)] * 8),
        ([CPU], None, 3, 4, "", [Slot(1)] * 3),
        ([CPU, replace(CPU, threads=2)], None, 100, 4, "", [Slot(2)] * 2),
        ([TWO_RANKS], None, 100, 8, "", [Slot(1)] * 4),
        ([TWO_RANKS], 1, 100, 8, "", [Slot(4)]),
        ([CPU, TWO_RANKS], None, 100, 1, "", [Slot(1)]),
        ([CPU], None, 100, 4, "0,1", [Slot(1)] * 4),
        ([GPU], None, 100, 8, "4,5", [Slot(4, ("4",)), Slot(4, ("5",))]),
        (
            [replace(GPU, strategy="ddp", devices=2)],
            None,
            100,
            8,
            "0,1,2,3",
            [Slot(2, ("0", "1")), Slot(2, ("2", "3"))],
        ),
        ([replace(GPU, strategy="ddp", devices="auto")], None, 100, 8, "0,1", [Slot(4, ("0", "1"))]),
        ([GPU], 3, 100, 6, "0,1", [Slot(2, ("0",)), Slot(2, ("1",)), Slot(2, ("0",))]),
        ([], None, 0, 4, "", [Slot(4)]),
    ],
)
def test_slots(
    trainers: list[TrainerConfig],
    jobs: int | None,
    trials: int,
    cores: int,
    gpus: str,
    expected: list[Slot],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slots, "cores", lambda: cores)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    assert slots_for(trainers, jobs, trials) == expected


def test_gpus_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ConfigError, match="got 1, but this machine has 0 GPUs"):
        slots_for([GPU], None, 1)


def test_the_address_of_the_wandb_service_reaches_the_job(
    server: None, trial: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing else of what has entered the environment since."""
    seen: list[Mapping[str, str]] = []

    class Recorded:
        def __init__(self, target: object, args: tuple[object, ...]):
            environment = args[-1]
            assert isinstance(environment, Mapping)
            seen.append(environment)

        def start(self) -> None:
            pass

    waiting = Pool()
    monkeypatch.setenv(pool.WANDB_SERVICE, "address")
    monkeypatch.setenv("OTHER", "value")
    monkeypatch.setattr(waiting.context, "Process", Recorded)
    waiting._start(trial(), Slot(1, ("1",)), job.Options())
    assert seen == [{"CUDA_VISIBLE_DEVICES": "1", "WANDB_SERVICE": "address"}]


def test_a_job_shares_what_its_sweep_knows_of_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Trial.of(Config(), tmp_path / "sweep", (), ())
    told = []

    def start(request: object) -> None:
        told.append(outage.noted())
        outage.note()
        made.end("skipped", "")

    monkeypatch.setattr("fc2conv.training.launch.start", start)
    with outage.forgotten(tmp_path / "sweep"):
        for _ in range(2):
            job.work(made, job.Options(force=True))
    assert told == [False, True]
    assert outage.VARIABLE not in os.environ


def test_where_nothing_forks_a_sweep_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])  # as on Windows
    with pytest.raises(ConfigError, match=r"^hydra/launcher: got local, .*; use hydra/launcher=basic, .* or WSL$"):
        Pool()


# --- without the server that forks the jobs: last in this file, since whoever comes next waits for a new one


def server_pid() -> int:
    pid = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    assert isinstance(pid, int)
    return pid


def test_a_signal_to_the_whole_group_ends_jobs_with_their_work_saved(
    started: Started, trial: Make, until: Until
) -> None:
    """The server of the jobs dies of it, and nobody knows their exit codes any more."""
    one = trial(LONG)

    def signal_all() -> None:
        for pid in (server_pid(), started.pid(0), os.getpid()):
            os.kill(pid, signal.SIGTERM)

    with Aside(until, lambda: has_begun(one), signal_all):
        assert drive([one]) == signal.SIGTERM
    assert started.codes() == [pool.UNKNOWN]
    assert started.jobs[0].outcome == "interrupted"
    assert (result(one).status, result(one).error) == ("interrupted", "stopped by SIGTERM")
    assert one.resumable()
    assert not is_claimed(one.folder)


@pytest.mark.slow
def test_jobs_outlive_their_server(started: Started, trial: Make, until: Until) -> None:
    """And the next ones get a new server."""
    trials = [trial(40), trial(lr=0.02)]
    with Aside(until, lambda: has_begun(trials[0]), lambda: os.kill(server_pid(), signal.SIGKILL)):
        assert drive(trials) is None
    assert started.codes() == [pool.UNKNOWN, 0]
    assert [result(t).status for t in trials] == ["done", "done"]
    assert epochs(trials[0]) == list(range(1, 41))
