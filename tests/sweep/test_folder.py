"""Which sweep a folder belongs to, what its trials' folders are called, and that its table shows all of them.

Nothing is trained here: records are written by hand.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.architectures.mlp import MLPConfig
from fc2conv.config.identity import hashed, identity_of
from fc2conv.config.schema import Config, DataConfig, LoggerConfig, OptimConfig, TrainerConfig
from fc2conv.errors import ConfigError
from fc2conv.record.result import Result, Status
from fc2conv.sweep import table
from fc2conv.sweep.folder import Asked, Identity, SweepFolder, find, occupy
from fc2conv.sweep.trials import Trial, label_of


def lenet(kernel_size: int = 5, seed: int = 0, **more: Any) -> Config:
    return Config(model=LeNetConfig(kernel_size=kernel_size), seed=seed, **more)


def asked(config: Config, *overrides: str, varied: tuple[str, ...] = ("model.kernel_size",), **more: Any) -> Asked:
    return Asked("grid", varied, config, overrides, **more)


GRID = asked(lenet(3), "model.kernel_size=3", "seed=0")
SHORT = asked(lenet(3, trainer=TrainerConfig(max_epochs=2)), "trainer.max_epochs=2", "model.kernel_size=3")


def train(trial: Trial, accuracy: float = 0.5, status: Status = "done") -> Trial:
    """The record that a job leaves."""
    trial.folder.mkdir(parents=True)
    result = Result.of(trial.config, trial.geometry, trial.folder.name, trial.model, trial.overrides)
    metrics = {"loss": 1.0, "acc": accuracy, "n": 100.0}
    replace(result, status=status, val=metrics, test=metrics).write(trial.folder)
    return trial


# --- what tells two sweeps apart


@pytest.mark.parametrize(
    "other",
    [
        asked(lenet(3, seed=7), "model.kernel_size=3", "seed=7"),
        asked(lenet(11), "model.kernel_size=11"),
        asked(lenet(3), "model.kernel_size=3", varied=()),  # one value only, of the key that varies there
        asked(lenet(3, optim=OptimConfig()), "optim.lr=0.01", "model.kernel_size=3"),  # the default
        asked(lenet(3, trainer=TrainerConfig(threads=4, progress=False)), "model.kernel_size=3"),
        asked(lenet(3, data=DataConfig(dir="/shared"), logger=LoggerConfig()), "model.kernel_size=3"),
    ],
    ids=["seed", "value", "one value", "a default spelt out", "threads", "data.dir and logger"],
)
def test_joins(other: Asked) -> None:
    assert other.difference(GRID.identity) is None


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (SHORT, "trainer.max_epochs: the default, here 2"),
        (
            asked(lenet(3, data=DataConfig(train_size=500, flip=True)), "data.train_size=500", "model.kernel_size=3"),
            "data.flip: the default, here True; data.train_size: the default, here 500",
        ),
        (asked(Config(model=MLPConfig()), "model=mlp", "model.kernel_size=3"), "family: lenet, here mlp"),
        (asked(lenet(3), "seed=0", varied=()), "it varies model.kernel_size, here the seed only"),
        (
            asked(lenet(3), "model.kernel_size=3", "optim.lr=0.1", varied=("model.kernel_size", "optim.lr")),
            "it varies model.kernel_size, here model.kernel_size, optim.lr",
        ),
        (replace(GRID, method="random"), "method grid, here random"),
        (replace(GRID, search={"early_terminate": {"eta": 3}}), "early_terminate: the default, here {'eta': 3}"),
    ],
    ids=["max_epochs", "data", "model", "fewer keys", "more keys", "method", "search"],
)
def test_is_another_sweep(other: Asked, difference: str) -> None:
    assert other.difference(GRID.identity) == difference


def test_where_choices_vary_what_is_said_counts() -> None:
    """Each model has its own rate: to say one for all is another sweep, even if it is the first one's default."""
    models = {"varied": ("model",)}
    silent = asked(lenet(), "model=lenet", **models)
    said = asked(lenet(optim=OptimConfig(lr=0.01)), "optim.lr=0.01", "model=lenet", **models)
    assert said.config == silent.config
    assert said.difference(silent.identity) == "optim.lr: the default, here 0.01"
    assert asked(Config(model=MLPConfig()), "model=mlp", **models).difference(silent.identity) is None
    assert asked(lenet(), "trainer=cpu", "logger=csv", "model=lenet", **models).difference(silent.identity) is None
    chosen = asked(lenet(), "optim=sgd", "model=lenet", **models)
    assert chosen.difference(silent.identity) == "optim: the default, here sgd"
    # by its value, however it is written
    assert said.difference(asked(said.config, "optim.lr=1e-2", "model=lenet", **models).identity) is None


# --- which folder it gets


def test_the_name_of_the_file_or_keys_with_a_hash_where_that_is_taken(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    first = find(GRID, runs, None, "kernel_size")
    assert first == runs / "kernel_size"
    assert not runs.exists()
    occupy(GRID, first)
    occupy(GRID, first)
    assert find(asked(lenet(7), "model.kernel_size=7"), runs, None, "kernel_size") == first
    second = find(SHORT, runs, None, "kernel_size")
    assert second.parent == runs
    assert second.name.startswith("kernel_size-")
    occupy(SHORT, second)
    assert find(SHORT, runs, None, "kernel_size") == second
    assert Identity.read(first) == GRID.identity
    assert Identity.read(second) == SHORT.identity
    for left in (first / "sweep.json", first / ".sweep.lock"):
        left.unlink()
    first.rmdir()  # to delete the one does not move the other
    assert find(SHORT, runs, None, "kernel_size") == second


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    mine = find(GRID, tmp_path, "mine", "kernel_size")
    assert mine == tmp_path / "mine"
    occupy(GRID, mine)
    assert find(GRID, tmp_path, "mine", "kernel_size") == mine
    message = r"^name: .*/mine is another sweep's .trainer.max_epochs: the default, here 2.; take another name$"
    with pytest.raises(ConfigError, match=message):
        find(SHORT, tmp_path, "mine", "kernel_size")
    with pytest.raises(ConfigError, match=message):  # another command was faster
        occupy(SHORT, mine)
    train(Trial.of(lenet(), tmp_path, (), name="single"))
    with pytest.raises(ConfigError, match=r"^name: .*/single holds a single run; take another name$"):
        find(GRID, tmp_path, "single", "kernel_size")
    (mine / "sweep.json").write_text('{"method": "grid"')
    with pytest.raises(ConfigError, match=r"^name: .*sweep.json cannot be read"):
        find(GRID, tmp_path, "mine", "kernel_size")


def test_a_folder_of_an_earlier_version(tmp_path: Path) -> None:
    """Identities were its names, and it did not say whose it is: its runs do."""
    old = tmp_path / "kernel_size"
    done = train(Trial.of(lenet(3), old, ("model.kernel_size=3", "seed=0")))
    assert done.folder.name == hashed(identity_of(lenet(3)))
    assert find(SHORT, tmp_path, None, "kernel_size") != old
    with pytest.raises(ConfigError, match="holds runs of another sweep"):
        find(SHORT, tmp_path, "kernel_size", "")
    assert find(GRID, tmp_path, None, "kernel_size") == old
    occupy(GRID, old)
    here = SweepFolder(old, GRID.varied)
    again = here.trial(lenet(3), done.overrides, "lenet")
    assert (again.folder, again.finished()) == (done.folder, True)
    new = here.trial(lenet(3, seed=1), ("model.kernel_size=3", "seed=1"), "lenet")
    assert new.folder.name == f"kernel_size=3,seed=1-{hashed(identity_of(lenet(3, seed=1)))}"


@pytest.mark.parametrize("name", ["wandb", "csv"])
def test_a_record_that_names_its_logger_as_earlier_versions_did_is_read(name: str, tmp_path: Path) -> None:
    old = tmp_path / "kernel_size"
    done = train(Trial.of(lenet(3), old, ("model.kernel_size=3", "seed=0")))
    result = Result.read(done.folder)
    earlier = {"name": name, "project": "p", "entity": None, "group": None, "tags": [], "mode": "auto"}
    replace(result, config=result.config | {"logger": earlier}).write(done.folder)
    with pytest.raises(ConfigError, match="holds runs of another sweep"):
        find(SHORT, tmp_path, "kernel_size", "")
    (shown,) = SweepFolder(old, GRID.varied).recorded()
    assert shown.config is not None


# --- its trials


@pytest.mark.parametrize(
    ("point", "label"),
    [
        (["model.kernel_size=3", "seed=0"], "kernel_size=3,seed=0"),
        (["model=mlp", "++optim.lr=1e-3"], "model=mlp,lr=1e-3"),
        (["model.channels=[6, 16]", "model.padding=[2,0]"], "channels=6,16,padding=2,0"),
        (["data.seed=1", "model.seed=2"], "data.seed=1,model.seed=2"),  # which of them would not be clear
        (["model.target=nets/my net.py:Net"], "target=nets_mynet.py_Net"),
        (["name='a\\'b'", "x=../../etc"], "name=a_b,x=.._.._etc"),
        (['model.arguments={width: 3, act: "é"}'], "arguments=width_3,act_"),
        ([], ""),
    ],
)
def test_labels(point: list[str], label: str) -> None:
    assert label_of(point) == label


def test_a_long_label_is_cut_and_the_identity_is_not(tmp_path: Path) -> None:
    here = SweepFolder(tmp_path, ("model.channels",))
    long = f"model.channels=[{','.join(['16'] * 60)}]"
    trial = here.trial(lenet(), (long,), "lenet")
    label, _, identity = trial.folder.name.rpartition("-")
    assert label.startswith("channels=16,16,")
    assert 70 < len(label) <= 80
    assert identity == hashed(identity_of(lenet()))
    assert trial.config is not None
    assert (trial.config.name, trial.config.runs_dir) == (trial.folder.name, str(tmp_path))


def test_one_run_has_one_folder_however_it_is_called(tmp_path: Path) -> None:
    """Its values may be written in another way, and its seed be said or not."""
    here = SweepFolder(tmp_path, ("optim.lr",))
    config = Config(optim=OptimConfig(lr=0.1))
    one = here.trial(config, ("optim.lr=0.1",), "lenet")
    assert one.folder.name.startswith("lr=0.1,seed=0-")
    assert here.trial(config, ("optim.lr=1e-1", "seed=0"), "lenet").folder == one.folder
    assert SweepFolder(tmp_path, ("optim.lr",)).trial(config, ("optim.lr=0.1", "seed=0"), "").folder == one.folder
    train(one)
    assert SweepFolder(tmp_path, ("optim.lr",)).trial(config, ("optim.lr=1e-1",), "").folder == one.folder
    assert SweepFolder(tmp_path).trial(config, ("optim.lr=1e-1",), "").folder == one.folder


def test_the_table_shows_every_trial_of_the_folder(tmp_path: Path) -> None:
    """Those of this call in its order, then the others by their values: more seeds join rows, whoever trained them.
    (0.5 + 0.75) / 2 = 0.625, with a deviation of 0.25 / sqrt(2)."""
    here = SweepFolder(tmp_path, ("model.kernel_size",))

    def trial(kernel_size: int, seed: int) -> Trial:
        overrides = ("logger=csv", f"seed={seed}", f"model.kernel_size={kernel_size}")
        return here.trial(lenet(kernel_size, seed), overrides, "lenet")

    train(trial(7, 0))
    train(trial(3, 0), 0.5)
    here.impossible(("model.kernel_size=x",), "lenet", "got x").end("skipped", "got x")
    train(trial(10, 0), status="failed")
    train(Trial.of(lenet(), tmp_path, ("seed=0",), name="foreign-0123456789abcdef"))  # it has no value of the key
    (tmp_path / "damaged-0123456789abcdee").mkdir()
    (tmp_path / "damaged-0123456789abcdee" / "result.json").write_text("{")

    now = [trial(5, 0), train(trial(3, 1), 0.75)]
    found = table.groups([*now, *here.recorded(known=now)])
    assert [g.name.removeprefix("model.kernel_size=") for g in found] == ["5", "3", "7", "10", "x"]
    rows = list(csv.DictReader(table.write_csv(found, tmp_path).read_text().splitlines()))
    assert [row["n"] for row in rows] == ["0", "2", "1", "0", "0"]
    assert [row["note"] for row in rows] == ["1 not run", "", "", "1 failed", "got x"]
    assert float(rows[1]["val_acc_mean"]) == 0.625
    assert float(rows[1]["val_acc_std"]) == pytest.approx(0.25 / 2**0.5)
    # counts of those that were not planned now come from their records: 6 and 16 kernels of 7x7, pooled to 3x3 at last
    weights = 49 * 6 + 6 + 49 * 6 * 16 + 16 + (16 * 3 * 3 + 1) * 120 + 121 * 84 + 85 * 10
    assert (rows[2]["parameters"], rows[4]["parameters"]) == (str(weights), "")
