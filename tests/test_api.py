"""fc2conv.run, sweep and results: the command line from Python, and its records as a table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser

import fc2conv
from fc2conv.architectures import plan
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.compose import conf, overrides_of, quote_path
from fc2conv.config.schema import Config, DataConfig, OptimConfig
from fc2conv.errors import ConfigError, GeometryError
from fc2conv.record.result import FILE, Result

ROOT = Path(__file__).parent.parent


# --- what is written


@pytest.mark.parametrize(
    "value",
    [
        *("lenet", "a b", "a'b", 'a"b', "a,b", "x=y", "", " ", "null", "true", "32", "1e3"),
        *(
            "inf",
            "nan",
            "a\\",
            "a\\'b",
            "[1]",
            "{a}",
            "${seed}",
            "/tmp/my runs (1)/x",
            "a:b",
            "#",
            "\\'",
            "choice(1)",
            "-",
            "1_0",
        ),
        *(None, True, False, 0, -3, 1000, 0.5, 1e-7, 1e20),
        *([6, 16], [], ["same", 2], [[1, 2], None], {"a": 1, "b": [True]}),
    ],
)
def test_hydra_reads_what_is_written(value: Any) -> None:
    """Hydra's own parser is the oracle."""
    (text,) = overrides_of({"key": value})
    found = OverridesParser.create().parse_override(text)
    assert not found.is_sweep_override()
    assert found.value() == value
    assert type(found.value()) is type(value)


def test_numpys_values_are_pythons() -> None:
    import numpy as np

    assert overrides_of({"seed": np.int64(3), "optim.lr": np.float32(0.5)}) == ["seed=3", "optim.lr=0.5"]
    assert overrides_of({"seed": np.arange(3)}, sweep=True) == ["seed=0,1,2"]


def test_a_path_on_the_command_line_is_taken_as_it_stands(tmp_path: Path) -> None:
    """If it is there: Hydra alone would read several values, and no key=value."""
    file = tmp_path / "kernel_size=3,seed=0-0123" / "best.ckpt"
    file.parent.mkdir()
    file.touch()
    for key in ("ckpt", "resume", "data.path"):
        found = OverridesParser.create().parse_override(quote_path(f"{key}={file}"))
        assert (found.key_or_group, found.value()) == (key, str(file))
    for argument in (f"ckpt={file}x", f"model={file}", f"ckpt='{file}'", "resume=a,b", "-m", "model.channels=[6,16]"):
        assert quote_path(argument) == argument


def test_what_needs_no_quotes_has_none() -> None:
    """The record's overrides are those that a person would write."""
    values = {"model": "lenet", "model.channels": (6, 16), "model.padding": "same", "data.train_size": None, "lr": 0.1}
    want = ["model=lenet", "model.channels=[6,16]", "model.padding=same", "data.train_size=null", "lr=0.1"]
    assert overrides_of(values) == want
    assert overrides_of({"runs_dir": Path("a/b"), "data.flip": True}) == ["runs_dir=a/b", "data.flip=true"]


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (["mlp", "lenet"], ["mlp", "lenet"]),
        ("mlp,lenet", ["mlp", "lenet"]),
        (range(3), [0, 1, 2]),
        ([(6, 16), (8,)], [[6, 16], [8]]),
        ([None, "a b"], [None, "a b"]),
    ],
)
def test_several_values_make_a_sweep(value: Any, want: list[Any]) -> None:
    (text,) = overrides_of({"key": value}, sweep=True)
    found = OverridesParser.create().parse_override(text)
    assert found.is_discrete_sweep()
    texts = list(found.sweep_string_iterator())
    assert [OverridesParser.create().parse_override(f"key={t}").value() for t in texts] == want


@pytest.mark.parametrize(
    ("value", "want"), [((6, 16), [6, 16]), ("lenet", "lenet"), ([3], 3), ("/tmp/a,b", "/tmp/a,b")]
)
def test_one_value_makes_none(value: Any, want: Any) -> None:
    (text,) = overrides_of({"key": value}, sweep=True)
    found = OverridesParser.create().parse_override(text)
    assert not found.is_sweep_override()
    assert found.value() == want


# --- run


def test_a_plan(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """(9 + 1) 6 + (54 + 1) 16 + 785 * 120 + 121 * 84 + 85 * 10, from a folder where there is no conf/."""
    monkeypatch.chdir(tmp_path)
    found = fc2conv.run("seed=5", model="lenet", task="plan", **{"model.kernel_size": 3, "model.padding": "same"})
    assert found is not None
    assert found.params["total"] == 60 + 880 + 94_200 + 10_164 + 850
    assert (found.model, found.seed, found.status, found.epochs) == ("lenet", 5, "skipped", 0)
    assert found.overrides == ["seed=5", "model=lenet", "task=plan", "model.kernel_size=3", "model.padding=same"]
    assert "106,154" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_the_models_choice_is_in_the_record(capsys: pytest.CaptureFixture[str]) -> None:
    """An experiment chooses one, too."""
    for values, want in (
        ({"model": "lenet_modern"}, ("lenet_modern", "lenet")),
        ({"experiment": "convnet"}, ("convnet", "convnet")),
        ({"experiment": "convnet", "model": "convnet_10k"}, ("convnet_10k", "convnet")),
        ({}, ("lenet", "lenet")),
    ):
        found = fc2conv.run(task="plan", **values)
        assert found is not None
        assert (found.model, found.family) == want


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": "lenett"}, "model: got lenett, no such choice; did you mean lenet?"),
        ({"model.kernal_size": 3}, "model.kernal_size: no such key; did you mean kernel_size?"),
        ({"optim.lr": "fast"}, "optim.lr: got fast, expected a number"),
        ({"optim.lr": -1}, "optim.lr: got -1.0, expected a positive number"),
        ({"sweep": "kernel_size"}, "sweep: got kernel_size, which is about sweeps"),
        ({"seed": [0, 1]}, "seed: got [0,1], expected a whole number"),
    ],
)
def test_a_wrong_call_is_a_config_error(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        fc2conv.run(**values)
    assert str(caught.value).startswith(message)


def test_a_network_that_does_not_fit_is_refused() -> None:
    with pytest.raises(GeometryError, match="conv2"):
        fc2conv.run(**{"model.kernel_size": (5, 29)})


def test_hydra_is_left_as_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A program that uses Hydra itself, in the middle of it."""
    (tmp_path / "mine.yaml").write_text("answer: 42\n")
    fc2conv.run(task="plan")
    assert not GlobalHydra.instance().is_initialized()
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        fc2conv.run(task="plan")
        with pytest.raises(ConfigError):
            fc2conv.run(model="nothing")
        assert compose("mine").answer == 42
    assert HydraConfig.instance().cfg is None


def test_conf_is_the_repositorys() -> None:
    assert conf() == ROOT / "conf"


START = """
import fc2conv

with open("imported", "a") as file:
    file.write(__name__ + "\\n")
small = {"data.dir": DATA, "data.train_size": 300, "data.val_size": 100, "trainer.max_epochs": 1, "trainer.threads": 1}
small |= {"logger": "csv", "trainer.accelerator": "cpu"}
"""
BOTH = """
one = fc2conv.run(model="softmax", name="one", **small)
for again in range(2):
    frame = fc2conv.sweep(model=["softmax", "mlp"], name="grid", report=False, **small)
    assert list(frame.model) == ["softmax", "mlp"], frame.model
    assert list(frame.status) == ["done", "done"], frame.status
assert frame["test.acc"][0] == one.test["acc"]
assert sorted(fc2conv.results().model) == ["mlp", "softmax", "softmax"]
"""
RANKS = """
two = fc2conv.run(model="softmax", name="two", trainer="ddp", **small, **{"trainer.devices": 2})
assert (two.status, two.world_size, two.test["n"]) == ("done", 2, 10_000)
"""
FAILING = """
try:
    fc2conv.sweep(model="softmax", report=False, **{"optim.lr": [0.1, 1e30]}, **small)
except fc2conv.errors.SweepEnded as error:
    print("ENDED", error)
assert list(fc2conv.results("runs/optim.lr").status.sort_values()) == ["done", "failed"]
"""


def script(folder: Path, data_dir: str, *parts: str, stdin: bool = False) -> str:
    """What it says; it must end well, and no process may have imported it a second time."""
    text = "".join([START, *parts]).replace("DATA", repr(data_dir))
    (folder / "script.py").write_text(text)
    command = [sys.executable, *(["-"] if stdin else ["script.py"])]
    given = text if stdin else None
    done = subprocess.run(command, input=given, cwd=folder, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert (folder / "imported").read_text() == "__main__\n"
    return done.stdout


def test_a_script_without_a_main_guard(tmp_path: Path, data_dir: str) -> None:
    script(tmp_path, data_dir, BOTH)


@pytest.mark.slow
def test_a_script_without_a_main_guard_on_two_ranks(tmp_path: Path, data_dir: str) -> None:
    script(tmp_path, data_dir, RANKS)


@pytest.mark.slow
def test_a_sweep_of_which_a_run_fails_is_an_exception(tmp_path: Path, data_dir: str) -> None:
    assert "ENDED 1 of 2 runs failed" in script(tmp_path, data_dir, FAILING)


@pytest.mark.slow
def test_a_notebook(tmp_path: Path, data_dir: str) -> None:
    """Its __main__ has no file, and its cells run within asyncio's loop."""
    cell = "\n".join(f"    {line}" for line in (BOTH + RANKS).splitlines())
    script(tmp_path, data_dir, f"import asyncio\nasync def cell():\n{cell}\nasyncio.run(cell())\n", stdin=True)


# --- results


def record(folder: Path, config: Config, model: str = "", **more: Any) -> Result:
    folder.mkdir(parents=True)
    begun = Result.of(config, plan(config.model, (1, 28, 28), 10), folder.name, model)
    done = replace(begun, **{"status": "done", **more})
    done.write(folder)
    return done


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A run of its own, a sweep of two, and one that has only begun."""
    top = tmp_path / "runs"
    score = {"loss": 0.5, "acc": 0.75, "n": 100}
    seconds = {"total": 9.0, "fit": 7.0, "test": 1.0}
    record(top / "alone", Config(), test=score, val=score, seconds=seconds, per_class={"a": 1.0}, confusion=[[1]])
    for lr in (0.1, 0.2):
        config = Config(LeNetConfig(channels=(2, 3), pool="max"), DataConfig(train_size=50), OptimConfig(lr=lr))
        record(top / "sweep" / f"lr{lr}", config, "lenet_modern", test=score | {"acc": lr})
    record(top / "begun", Config(seed=4), status="running")
    return top


def test_one_row_a_run(runs: Path) -> None:
    frame = fc2conv.results(runs)
    assert list(frame.name) == ["alone", "begun", "lr0.1", "lr0.2"]
    assert list(frame.status) == ["done", "running", "done", "done"]
    assert list(frame.model) == ["lenet", "lenet", "lenet_modern", "lenet_modern"]
    assert list(frame.seed) == [0, 4, 0, 0]
    alone = frame.set_index("name").loc["alone"]
    assert (alone["test.acc"], alone["val.loss"], alone["test.n"]) == (0.75, 0.5, 100)
    assert (alone["params"], alone["macs"], alone["receptive_field"]) == (61_706, 416_520, 16)
    assert (alone["seconds"], alone["seconds.fit"], alone["per_class"]) == (9.0, 7.0, {"a": 1.0})
    assert (alone["model.kernel_size"], alone["data.batch_size"], alone["trainer.max_epochs"]) == (5, 128, 10)
    assert alone["format"] == 2
    assert list(frame.folder) == [str(runs / name) for name in ("alone", "begun", "sweep/lr0.1", "sweep/lr0.2")]


def test_every_key_of_the_config_is_a_column(runs: Path) -> None:
    from fc2conv.config.schema import GROUPS, plain

    want = {f"{group}.{key}" for group in GROUPS for key in plain(GROUPS[group]())}
    want |= {f"model.{key}" for key in plain(LeNetConfig())} | {"task", "debug", "resume", "runs_dir"}
    want -= {"optim.arguments"}  # has a column for each of its own
    assert want <= set(fc2conv.results(runs).columns)


def test_runs_can_be_grouped_by_a_list(runs: Path) -> None:
    means = fc2conv.results(runs).groupby("model.channels")["test.acc"].mean()
    assert means.to_dict()[2, 3] == pytest.approx((0.1 + 0.2) / 2)


def test_a_sweeps_folder_and_a_runs_own(runs: Path) -> None:
    assert list(fc2conv.results(str(runs / "sweep"))["optim.lr"]) == [0.1, 0.2]
    assert list(fc2conv.results(runs / "alone").name) == ["alone"]


def test_what_is_broken_or_foreign_is_left_out_with_one_warning(runs: Path) -> None:
    (runs / "foreign" / "inner").mkdir(parents=True)
    (runs / "sweep" / "cut").mkdir()
    (runs / "sweep" / "cut" / FILE).write_text('{"status": "do')
    (runs / "sweep" / "other").mkdir()
    (runs / "sweep" / "other" / FILE).write_text('{"name": "of another program"}')
    (runs / "a file").write_text("")
    (runs / ".hidden").mkdir()
    with pytest.warns(UserWarning, match="left out") as caught:
        frame = fc2conv.results(runs)
    assert len(frame) == 4
    (warning,) = caught
    assert str(warning.message) == (
        "3 folders without a run's record that can be read, left out: foreign, sweep/cut, sweep/other"
    )
    assert warning.filename == __file__


def test_a_run_of_format_1_is_a_row(runs: Path) -> None:
    values = json.loads((runs / "alone" / FILE).read_text())
    (runs / "alone" / FILE).write_text(json.dumps({k: v for k, v in values.items() if k not in ("format", "family")}))
    frame = fc2conv.results(runs).set_index("name")
    assert (frame.loc["alone", "format"], frame.loc["alone", "family"]) == (1, "lenet")
    assert frame.loc["alone", "test.acc"] == 0.75


def test_no_runs(tmp_path: Path) -> None:
    frame = fc2conv.results(tmp_path)
    assert len(frame) == 0
    assert {"name", "status", "model", "test.acc", "val.acc", "params", "seconds"} <= set(frame.columns)
    with pytest.raises(ConfigError, match="there is no such folder"):
        fc2conv.results(tmp_path / "none")


# --- the names


def test_sweep_is_a_call_whatever_was_imported() -> None:
    """The room of the same name takes its place in the package."""
    import fc2conv.sweep.table

    assert fc2conv.sweep.table is not None  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="sweep: got nothing"):
        fc2conv.sweep(sweep="nothing")


def test_importing_the_package_loads_neither_torch_nor_pandas() -> None:
    code = "import sys, fc2conv.api; print([m for m in ('torch', 'pandas', 'hydra', 'lightning') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_each_shows_an_example() -> None:
    from fc2conv import api

    for function in (api.run, api.sweep, api.results):
        assert "Example:" in (function.__doc__ or "")


# --- an installed package

INSTALLED = """
import fc2conv
from fc2conv import compose

assert compose.conf().parent == PACKAGE, compose.conf()
assert fc2conv.run(model="convnet_10k", task="plan").params["total"] == 9_760
assert len(fc2conv.sweep(sweep="kernel_size", task="plan")) == 0
small = {"data.dir": DATA, "data.train_size": 300, "data.val_size": 100, "trainer.max_epochs": 1, "trainer.threads": 1}
frame = fc2conv.sweep(model="softmax", seed=[0, 1], logger="csv", trainer="cpu", **small)
assert list(frame.status) == ["done", "done"]
"""


@pytest.mark.slow
def test_a_wheel_carries_conf_and_sweeps(tmp_path: Path, data_dir: str) -> None:
    """Built from what git would check out, installed by unpacking, run where there is nothing else of ours."""
    source = tmp_path / "source"
    source.mkdir()
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    ).stdout.split("\n")
    for name in filter(None, files):
        if (ROOT / name).is_file() and not name.startswith(("tests/", "benchmarks/")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    build = "from setuptools.build_meta import build_wheel; print(build_wheel(__import__('sys').argv[1]))"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=source, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(installed)], check=True)
    script = INSTALLED.replace("PACKAGE", f"__import__('pathlib').Path({str(installed / 'fc2conv')!r})")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "script.py").write_text(script.replace("DATA", repr(data_dir)))
    others = [path for path in sys.path if path.endswith("site-packages")]
    done = subprocess.run(
        [sys.executable, "-S", "script.py"],  # without site, no editable install is found
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(installed), *others])},
        cwd=tmp_path / "work",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
