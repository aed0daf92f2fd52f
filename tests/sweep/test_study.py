"""Random and Bayesian search: what is dealt out, to whom, what the study is told, and which runs it stops.

Nothing is trained here: results are written by hand. As a script, this file is one of the shells that share a sweep.
"""

from __future__ import annotations

import itertools
import json
import math
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from filelock import FileLock, Timeout
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from fc2conv.config.schema import Config, DataConfig, OptimConfig
from fc2conv.record.lock import claim
from fc2conv.record.result import Result, Status
from fc2conv.sweep.search_space import Hyperband, Parameter, SweepFile
from fc2conv.sweep.study import JOURNAL, Search, ShouldPrune, load, rounded, should_prune
from fc2conv.sweep.trials import Trial

RATE = Parameter("optim.lr", low=0.001, high=0.1, log=True)
BATCH = Parameter("data.batch_size", values=(32, 64, 128))
RANDOM = SweepFile(Path("question.yaml"), "random", (Parameter("model", values=("lenet",)), RATE, BATCH), run_cap=5)
BAYES = replace(RANDOM, method="bayes", run_cap=14)
"""After ten draws at random, Optuna's TPE follows the results."""

Compose = Callable[[list[str]], Trial]


def composer(sweep: Path) -> Compose:
    """As the sweeper's, but for Hydra."""

    def compose(point: list[str]) -> Trial:
        values = dict(override.split("=", 1) for override in point)
        config = Config(
            optim=OptimConfig(lr=float(values.get("optim.lr", 0.01))),
            data=DataConfig(batch_size=int(values["data.batch_size"])),
        )
        return Trial.of(config, sweep, tuple(point), tuple(point))

    return compose


def search(sweep: Path, file: SweepFile = RANDOM, seed: int = 0) -> Search:
    return Search(sweep, file, composer(sweep), seed, epochs=4)


def train(trial: Trial, status: Status = "done", accuracy: float | None = None) -> None:
    """The record that a job leaves; the nearer the rate is to 0.01, the better. The test metrics are of no use here."""
    assert trial.config is not None
    if accuracy is None:
        accuracy = 1 / (1 + abs(math.log(trial.config.optim.lr / 0.01)))
    trial.folder.mkdir(parents=True, exist_ok=True)
    metrics = {"loss": 1.0, "acc": accuracy, "n": 5000}
    name = trial.folder.name
    Result(status, name, name, "lenet", 0, [], {}, {}, 0, 0, val=metrics, test=metrics | {"acc": 1 - accuracy}).write(
        trial.folder
    )


def run(source: Search, most: int = 99) -> list[str]:
    """Train what is dealt out, at most so many."""
    labels: list[str] = []
    while len(labels) < most and (trial := source.take()):
        train(trial)
        source.done(trial)
        labels.append(trial.label)
    return labels


def optuna_trials(sweep: Path) -> list[optuna.trial.FrozenTrial]:
    return load(sweep).trials


def told(sweep: Path) -> list[tuple[TrialState, float | None]]:
    return [(optuna_trial.state, optuna_trial.value) for optuna_trial in optuna_trials(sweep)]


def drawn(sweep: Path) -> list[dict[str, Any]]:
    return [optuna_trial.params for optuna_trial in optuna_trials(sweep)]


def must(trial: Trial | None) -> Trial:
    assert trial is not None
    return trial


# --- what is dealt out


@pytest.mark.parametrize("file", [RANDOM, replace(BAYES, run_cap=12)], ids=lambda file: file.method)
def test_deals_out_run_cap_trials_and_no_more(file: SweepFile, tmp_path: Path) -> None:
    source = search(tmp_path / "sweep", file)
    labels = run(source)
    assert len(set(labels)) == file.run_cap
    assert source.take() is None
    assert not source.left()
    assert search(tmp_path / "sweep", file).take() is None
    assert [trial.label for trial in source.trials()] == labels
    for values in drawn(tmp_path / "sweep"):
        assert values.keys() == {"optim.lr", "data.batch_size"}  # not the constant
        assert 0.001 <= values["optim.lr"] <= 0.1
        assert values["data.batch_size"] in ("32", "64", "128")


@pytest.mark.parametrize("file", [RANDOM, replace(BAYES, run_cap=12)], ids=lambda file: file.method)
def test_the_seed_decides_the_draws(file: SweepFile, tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        run(search(tmp_path / name, file, seed))
    a, b, c = (drawn(tmp_path / name) for name in "abc")
    assert a == b
    assert all(x != y for x, y in zip(a, c, strict=True))


def test_random_draws_differ_and_span_the_range(tmp_path: Path) -> None:
    run(search(tmp_path / "sweep", replace(RANDOM, run_cap=20)))
    rates = [values["optim.lr"] for values in drawn(tmp_path / "sweep")]
    assert len(set(rates)) == 20
    assert min(rates) < 0.01 < max(rates)  # each half of the logarithmic range
    assert {values["data.batch_size"] for values in drawn(tmp_path / "sweep")} == {"32", "64", "128"}


def test_bayes_follows_the_results(tmp_path: Path) -> None:
    """So that the next test could fail: other results, other draws, once the ten at random are over."""
    run(search(tmp_path / "a", BAYES))
    source = search(tmp_path / "b", BAYES)
    while trial := source.take():
        assert trial.config is not None
        train(trial, accuracy=trial.config.optim.lr)  # the larger the rate the better
        source.done(trial)
    a, b = drawn(tmp_path / "a"), drawn(tmp_path / "b")
    assert a[:10] == b[:10]
    assert all(x != y for x, y in zip(a[10:], b[10:], strict=True))


def test_bayes_goes_on_alike_however_often_it_is_killed(tmp_path: Path) -> None:
    """Digit for digit. Each time the process is another, and sometimes it dies in the middle of a run."""
    run(search(tmp_path / "whole", BAYES))
    for i in range(14):
        if i % 3 == 2:
            assert search(tmp_path / "killed", BAYES).take()
        assert len(run(search(tmp_path / "killed", BAYES), most=1)) == 1
    assert search(tmp_path / "killed", BAYES).take() is None
    assert drawn(tmp_path / "killed") == drawn(tmp_path / "whole")
    assert told(tmp_path / "killed") == told(tmp_path / "whole")


def test_trials_dealt_out_side_by_side_differ(tmp_path: Path) -> None:
    source = search(tmp_path / "sweep")
    trials = [must(source.take()) for _ in range(5)]
    assert source.take() is None
    assert source.left()
    assert len({trial.folder for trial in trials}) == 5
    for trial in trials:
        train(trial)
        source.done(trial)
    assert not source.left()


SIZES = Parameter("data.batch_size", values=tuple(range(1, 13)))


@pytest.mark.parametrize("method", ["random", "bayes"])
@pytest.mark.parametrize("file", [replace(RANDOM, parameters=(SIZES,), run_cap=12)])
def test_a_point_that_was_drawn_before_is_drawn_anew(file: SweepFile, method: Any, tmp_path: Path) -> None:
    """Twelve points, twelve runs: by draws with replacement, that would be all of them once in 12^12 / 12! = 18,614."""
    source = search(tmp_path / "sweep", replace(file, method=method))
    labels = run(source)
    assert sorted(labels) == sorted(f"data.batch_size={n}" for n in range(1, 13))
    assert told(tmp_path / "sweep") == [(TrialState.COMPLETE, 1.0)] * 12


@pytest.mark.parametrize(
    ("parameters", "points"),
    [
        ((BATCH,), 3),
        ((BATCH, Parameter("optim.lr", low=0.1, high=0.3, step=0.1)), 9),
        ((replace(SIZES, values=None, low=1, high=4, log=True, whole=True),), 4),
        ((replace(BATCH, values=("32", "64", "032")),), 2),  # two of the values are the same run
        ((Parameter("optim.lr", low=0.1, high=0.1002), replace(SIZES, values=(8,))), 3),  # by the four digits written
    ],
    ids=["values", "steps", "whole numbers", "equal values", "a narrow range"],
)
def test_a_search_ends_where_its_space_does(
    parameters: tuple[Parameter, ...], points: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def compose(point: list[str]) -> Trial:
        return composer(tmp_path / "sweep")(["data.batch_size=8", *point])

    source = Search(tmp_path / "sweep", replace(RANDOM, parameters=parameters, run_cap=20), compose, 0, epochs=4)
    labels = run(source)
    assert len(set(labels)) == len(labels) == points
    assert sorted(trial.label for trial in source.trials()) == sorted(labels)
    assert source.take() is None
    said = f"there are {points} different points, all of them drawn; the search ends with these in place of run_cap=20"
    assert capsys.readouterr().out.count(said) == 1


def test_the_same_point_is_not_dealt_out_twice_while_it_trains(tmp_path: Path) -> None:
    source = search(tmp_path / "sweep", replace(RANDOM, parameters=(BATCH,), run_cap=8))
    trials = list(itertools.islice(iter(source.take, None), 9))
    assert len({trial.folder for trial in trials}) == len(trials) == 3
    assert [state for state, _ in told(tmp_path / "sweep")] == [TrialState.RUNNING] * 3
    for trial in trials:
        train(trial)
        source.done(trial)
    assert source.take() is None
    assert not source.left()


def test_four_digits_of_a_draw_are_written() -> None:
    assert [rounded(v) for v in (0.00123456, 0.25, 12, "[6, 16]")] == ["0.001235", "0.25", "12", "[6, 16]"]


# --- processes that die, and others that live


def test_a_dead_processs_trial_comes_first(tmp_path: Path) -> None:
    run(search(tmp_path / "sweep"), most=2)
    lost = must(search(tmp_path / "sweep").take())
    before = drawn(tmp_path / "sweep")
    again = must(search(tmp_path / "sweep").take())
    assert again == lost
    assert drawn(tmp_path / "sweep") == before
    assert len(run(search(tmp_path / "sweep"))) == 3


def test_a_finished_run_that_nobody_told_of_is_told(tmp_path: Path) -> None:
    """Its process died between the record and the study."""
    lost = must(search(tmp_path / "sweep").take())
    train(lost, accuracy=0.75)
    after = must(search(tmp_path / "sweep").take())
    assert after.folder != lost.folder
    assert told(tmp_path / "sweep")[0] == (TrialState.COMPLETE, 0.75)


def test_a_trial_that_was_never_drawn_to_the_end_is_let_go(tmp_path: Path) -> None:
    """Its process died while it wrote the parameters down, one after the other (`ask`). It is no run."""
    study = load(tmp_path / "sweep", RANDOM)
    study.ask()
    study.ask({"optim.lr": RATE.distribution()})
    study.ask({p.key: p.distribution() for p in RANDOM.varied()})  # all but the trial's name
    source = search(tmp_path / "sweep")
    assert source.trials() == []
    assert len(run(source)) == 5
    assert [state for state, _ in told(tmp_path / "sweep")] == [TrialState.FAIL] * 3 + [TrialState.COMPLETE] * 5
    assert not source.left()


class Killed(BaseException):
    pass


@pytest.mark.parametrize("file", [RANDOM, replace(BAYES, run_cap=12)], ids=lambda file: file.method)
def test_a_search_killed_at_any_write_ends_with_run_cap_runs(
    file: SweepFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same ones as if nothing had happened: before each entry of the journal, and in the middle of each."""
    whole = run(search(tmp_path / "whole", file))
    entries = len((tmp_path / "whole" / JOURNAL).read_bytes().splitlines())
    append, count, kills = JournalFileBackend.append_logs, 0, 0

    def killed(self: JournalFileBackend, logs: list[dict[str, Any]]) -> None:
        nonlocal count
        count += 1
        if count % 3 == 1:
            raise Killed
        if count % 3 == 2:
            with (tmp_path / "killed" / JOURNAL).open("ab") as journal:
                journal.write(json.dumps(logs[0]).encode()[:-5])
            raise Killed
        append(self, logs)

    with monkeypatch.context() as patch:
        patch.setattr(JournalFileBackend, "append_logs", killed)
        while True:
            try:
                source = search(tmp_path / "killed", file)
                run(source)
                break
            except Killed:
                kills += 1
    assert kills == 2 * entries
    assert [trial.label for trial in source.trials()] == whole
    assert drawn(tmp_path / "killed") == drawn(tmp_path / "whole")
    assert told(tmp_path / "killed") == told(tmp_path / "whole")


HOLD_JOURNAL = """
import sys
from pathlib import Path
from fc2conv.sweep.journal import _Lock
lock = _Lock(Path(sys.argv[1]))
print(lock.acquire(), flush=True)
sys.stdin.read()
"""


def test_the_journals_lock_is_free_once_its_process_is_dead(tmp_path: Path) -> None:
    """Optuna's own would keep the others waiting for 30 seconds."""
    path = tmp_path / "sweep" / JOURNAL
    study = load(path.parent, RANDOM)
    command = [sys.executable, "-c", HOLD_JOURNAL, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        with pytest.raises(Timeout):
            FileLock(path.with_name(f".{JOURNAL}.lock")).acquire(timeout=0)
        holder.kill()
    assert study.ask().number == 0


@pytest.mark.parametrize(
    "garbage", [b"\0" * 20 + b"\n", b"[1]\n", b'{"op_code":4}\n'], ids=["zeros", "a list", "half an entry"]
)
def test_a_damaged_journal_is_set_aside_and_the_search_goes_on(
    garbage: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Any line of it: what was drawn and can be read is not drawn again, nor trained again."""
    whole = tmp_path / "whole"
    first = run(search(whole), most=4)
    last = must(search(whole).take()).label
    lines = (whole / JOURNAL).read_bytes().splitlines(keepends=True)
    draws = [i for i, line in enumerate(lines) if b"distributions" in line]
    assert len(draws) == 5
    for number in range(len(lines)) if b"\0" in garbage else (0, draws[1]):
        sweep = shutil.copytree(whole, tmp_path / str(number))
        bad = b"".join([*lines[:number], garbage, *lines[number + 1 :]])
        (sweep / JOURNAL).write_bytes(bad)
        source = search(sweep)
        said = capsys.readouterr().out
        assert f"{sweep / JOURNAL} is damaged (" in said
        assert b"op" in garbage or f"(line {number + 1})" in said
        assert f"goes on with the {5 - (number in draws)} draws" in said
        assert (sweep / f"{JOURNAL}.damaged").read_bytes() == bad
        again = run(source)
        assert last in again
        assert not set(first) & set(again)
        assert len(again) == (
            2 if number in draws[:4] else 1
        )  # a trained one whose draw is lost makes room for another
        assert [state for state, _ in told(sweep)] == [TrialState.COMPLETE] * 5


def test_a_journal_that_is_whole_stays_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(search(tmp_path / "sweep"))
    before = (tmp_path / "sweep" / JOURNAL).read_bytes()
    with (tmp_path / "sweep" / JOURNAL).open("ab") as file:
        file.write(b'{"half a line":')
    assert run(search(tmp_path / "sweep")) == []
    assert capsys.readouterr().out == ""
    load(tmp_path / "sweep").set_user_attr("more", 1)
    assert (tmp_path / "sweep" / JOURNAL).read_bytes().startswith(before + b'{"op_code"')


HOLD = """
import sys
from pathlib import Path
from fc2conv.record.lock import claim
with claim(Path(sys.argv[1])) as ours:
    print(ours, flush=True)
    sys.stdin.read()
"""


@contextmanager
def held(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the lock on `folder`."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_living_processs_trial_is_left_to_it(tmp_path: Path) -> None:
    lost = must(search(tmp_path / "sweep").take())
    with held(lost.folder) as other:
        source = search(tmp_path / "sweep")
        assert lost.label not in run(source)
        assert len(optuna_trials(tmp_path / "sweep")) == 5
        assert source.take() is None
        assert source.left()
        other.kill()
        other.wait()
        assert must(source.take()) == lost
        train(lost)
        source.done(lost)
    assert not source.left()
    assert [state for state, _ in told(tmp_path / "sweep")] == [TrialState.COMPLETE] * 5


def test_a_trial_that_was_in_training_elsewhere_comes_back(tmp_path: Path) -> None:
    source = search(tmp_path / "sweep")
    trial = must(source.take())
    with claim(trial.folder):
        source.back(trial)
        assert must(source.take()).folder != trial.folder
    assert must(source.take()) == trial


def shell(sweep: Path) -> None:
    """One of several at the same sweep, its jobs in this process."""
    source = search(sweep, replace(RANDOM, run_cap=12))
    print("ready", flush=True)
    sys.stdin.readline()
    while trial := source.take():
        with claim(trial.folder) as ours:
            if not ours:
                source.back(trial)
                continue
            if not trial.finished():
                train(trial)
                print(trial.label, flush=True)
            source.done(trial)


def test_two_processes_share_a_sweep(tmp_path: Path) -> None:
    """They never train the same, together exactly run_cap, and what one alone would have."""
    command = [sys.executable, __file__, str(tmp_path / "shared")]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as one, subprocess.Popen(command, **pipes) as other:
        both = (one, other)
        assert [p.stdout.readline() for p in both if p.stdout] == ["ready\n", "ready\n"]
        for process in both:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        labels = [process.communicate()[0].splitlines() for process in both]
    assert (one.returncode, other.returncode) == (0, 0)
    trained = labels[0] + labels[1]
    assert len(trained) == len(set(trained)) == 12
    assert sorted(trained) == sorted(run(search(tmp_path / "alone", replace(RANDOM, run_cap=12))))
    assert told(tmp_path / "shared") == told(tmp_path / "alone")


# --- what the study is told


@pytest.mark.parametrize(
    ("status", "want"),
    [
        ("done", (TrialState.COMPLETE, 0.75)),
        ("pruned", (TrialState.PRUNED, None)),
        ("failed", (TrialState.RUNNING, None)),
        ("skipped", (TrialState.FAIL, None)),
        ("interrupted", (TrialState.RUNNING, None)),
        ("running", (TrialState.RUNNING, None)),
    ],
)
def test_tells_what_became_of_a_trial(status: Status, want: tuple[TrialState, float | None], tmp_path: Path) -> None:
    source = search(tmp_path / "sweep")
    trial = must(source.take())
    train(trial, status, accuracy=0.75)  # 0.25 in the test
    source.done(trial)
    assert told(tmp_path / "sweep") == [want]
    assert not source.left()
    assert source.take() != trial  # not again under the same command
    stays_open = want[0] is TrialState.RUNNING
    assert (must(search(tmp_path / "sweep").take()) == trial) == stays_open  # but under the next


def test_force_begins_anew(tmp_path: Path) -> None:
    """The same draws, each trained again, and once only."""
    first = run(search(tmp_path / "sweep"))
    assert run(search(tmp_path / "sweep")) == []
    again = Search(tmp_path / "sweep", RANDOM, composer(tmp_path / "sweep"), 0, epochs=4, force=True)
    assert run(again) == first
    assert run(again) == []


def test_an_impossible_trial_is_skipped(tmp_path: Path) -> None:
    """And counts: a search does not draw for ever."""
    sweep = tmp_path / "sweep"

    def compose(point: list[str]) -> Trial:
        trial = composer(sweep)(point)
        assert trial.config is not None
        return replace(trial, impossible="conv2: does not fit") if trial.config.data.batch_size == 64 else trial

    source = Search(sweep, replace(RANDOM, run_cap=12), compose, 0, epochs=4)
    labels = run(source)
    skipped = [trial for trial in source.trials() if trial.impossible]
    assert skipped
    assert not {trial.label for trial in skipped} & set(labels)
    assert len(labels) + len(skipped) == 12
    for trial in skipped:
        result = trial.result()
        assert result is not None
        assert (result.status, result.error) == ("skipped", "conv2: does not fit")
    states = [state for state, _ in told(sweep)]
    assert states.count(TrialState.FAIL) == len(skipped)


# --- stopping early

STOPPED = replace(RANDOM, run_cap=8, early_terminate=Hyperband(min_iter=2, max_iter=2, eta=2))
"""One bracket, whose rungs are epochs 2, 4, 8, ...: at each, the better half goes on."""


def watched(sweep: Path, accuracies: list[float], file: SweepFile = STOPPED, epochs: int = 4) -> list[int | None]:
    """The epoch after which each run is told to stop. They run one after the other, each as good in every epoch."""
    source, stopped = search(sweep, file), []
    for accuracy in accuracies:
        trial = must(source.take())
        look = ShouldPrune(sweep, source.ours[trial.folder], file, epochs)
        stopped.append(next((epoch for epoch in range(1, epochs) if look(epoch, accuracy)), None))
        train(trial, "pruned" if stopped[-1] else "done", accuracy)
        source.done(trial)
    return stopped


def test_the_worse_half_stops(tmp_path: Path) -> None:
    """Asynchronous successive halving: at epoch 2, a run goes on if it is among the best half of those seen there."""
    accuracies = [0.8, 0.5, 0.9, 0.85, 0.7]
    # 0.8 is the best of one; 0.5 not of two; 0.9 is of three; 0.85 is 2nd of 4; 0.7 the 4th of 5
    want = [None, 2, None, None, 2]
    assert watched(tmp_path / "a", accuracies) == want
    assert watched(tmp_path / "a2" / "a", accuracies) == want
    states = [state for state, _ in told(tmp_path / "a")]
    assert states == [TrialState.PRUNED if epoch else TrialState.COMPLETE for epoch in want]


def test_nobody_stops_before_min_iter(tmp_path: Path) -> None:
    late = replace(STOPPED, early_terminate=Hyperband(min_iter=3, max_iter=3, eta=2))
    assert watched(tmp_path / "sweep", [0.9, 0.1], late) == [None, 3]
    assert watched(tmp_path / "short", [0.9, 0.1], late, epochs=3) == [None, None]


def test_an_epoch_that_is_done_over_changes_nothing(tmp_path: Path) -> None:
    """A run that goes on from its checkpoint has reported it before."""
    source = search(tmp_path / "sweep", STOPPED)
    number = source.ours[must(source.take()).folder]
    assert not ShouldPrune(tmp_path / "sweep", number, STOPPED, 4)(1, 0.5)
    resumed = ShouldPrune(tmp_path / "sweep", number, STOPPED, 4)
    assert not resumed(1, 0.25)
    assert not resumed(2, 0.75)
    assert optuna_trials(tmp_path / "sweep")[0].intermediate_values == {1: 0.5, 2: 0.75}


SEARCH = """
method: random
run_cap: 3
parameters: {{optim.lr: {{min: 0.1, max: 1.0}}, data.batch_size: {{values: [32, 64]}}}}
{}
"""


def test_who_may_prune_a_trial(tmp_path: Path) -> None:
    path = tmp_path / "question.yaml"
    path.write_text(SEARCH.format("early_terminate: {type: hyperband, min_iter: 1}"))
    plain = tmp_path / "plain.yaml"
    plain.write_text(SEARCH.format(""))
    sweep = tmp_path / "sweep"
    stranger = composer(sweep)(["data.batch_size=512"])
    assert should_prune(stranger, path) is None  # no study
    assert not (sweep / JOURNAL).exists()
    source = search(sweep, STOPPED)
    trials = [must(source.take()) for _ in range(2)]
    assert should_prune(trials[1], None) is None
    assert should_prune(trials[1], plain) is None  # stops nobody
    assert should_prune(stranger, path) is None  # no trial of this study
    found = should_prune(trials[1], path)
    assert found is not None
    found = pickle.loads(pickle.dumps(found))
    assert (found.folder, found.number, found.epochs) == (sweep, 1, 10)
    assert found.file.early_terminate == Hyperband(1)
    found(1, 0.625)
    assert [optuna_trial.intermediate_values for optuna_trial in optuna_trials(sweep)] == [{}, {1: 0.625}]


if __name__ == "__main__":
    shell(Path(sys.argv[1]))
