"""The command fc2conv: tables of the recorded runs, one run, two side by side, export and removal."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.shell_completion import ShellComplete
from rich.console import Console

import fc2conv
from fc2conv.architectures import plan
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.architectures.mlp import MLPConfig
from fc2conv.cli import command, main
from fc2conv.cli.rm import remove
from fc2conv.cli.runs import Wanted, select
from fc2conv.compose import compose_config, parse_composed
from fc2conv.config.identity import hashed, identity_of
from fc2conv.config.schema import Config, DataConfig, OptimConfig
from fc2conv.errors import ConfigError
from fc2conv.record import terminal
from fc2conv.record.folder import CHECKPOINTS, LOG, RUN_LOCK
from fc2conv.record.lock import LOCK, claim
from fc2conv.record.result import FILE, Result

ROOT = Path(__file__).parent.parent
Call = Callable[..., tuple[int, str, str]]
IDENTITY = "0123456789abcdef"


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A screen of 80 columns."""
    monkeypatch.setattr(terminal, "console", Console(width=80, highlight=False))


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """The command line -> (exit code, stdout, stderr)."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        code = 0
        try:
            main([str(a) for a in arguments])
        except SystemExit as ended:
            code = int(ended.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return run


def record(folder: Path, config: Config, model: str = "", **more: Any) -> Result:
    folder.mkdir(parents=True)
    begun = Result.of(config, plan(config.model, (1, 28, 28), 10), folder.name, model, more.pop("overrides", ()))
    result = replace(begun, **{"status": "done", **more})
    result.write(folder)
    return result


def scores(accuracy: float) -> dict[str, Any]:
    values = {"loss": 2 * accuracy, "acc": accuracy, "n": 100}
    return {"val": values, "test": values | {"acc": accuracy - 0.01}}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs of every kind, for those who only read."""
    top = tmp_path_factory.mktemp("work") / "runs"
    lenet = Config(seed=1)
    more: dict[str, Any] = {"epochs": 10, "best_epoch": 9, "seconds": {"total": 1500.0, "fit": 1400.0, "test": 2.0}}
    more |= {"images_per_second": 23456.7, "peak_memory": 700_000_000, "kernels": "conv", "device": "cpu"}
    record(top / "2026-11-26_13-50-35_lenet_a592", lenet, "lenet", **scores(0.9036), **more)
    for size, accuracy in ((3, 0.92), (5, 0.91)):
        config = Config(LeNetConfig(kernel_size=size, channels=(8, 16), pool="max"), optim=OptimConfig(lr=0.001 * size))
        name = f"kernels/kernel_size={size},seed=0-{IDENTITY}"
        record(top / name, config, "lenet_separable", **scores(accuracy), **more)
    record(top / "wide", Config(MLPConfig(hidden=(9999, 9999))), "mlp", **scores(0.89))
    record(top / "stopped", Config(data=DataConfig(train_size=50)), status="interrupted", val=scores(0.5)["val"])
    error = "CUDA out of [red]memory[/red] \x1b[31m\nsecond line"
    record(top / "broke", Config(), "lenet", status="failed", error=error, overrides=["model=lenet", "name=broke"])
    (top / "broke" / LOG).write_text("".join(f"line {i} [bold]\n" for i in range(30)))
    (top / "cut").mkdir()
    (top / "cut" / FILE).write_text('{"status": "do')
    return top


@pytest.fixture
def runs(recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, to be written to; in the present folder."""
    shutil.copytree(recorded, tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    return Path("runs")


# --- the call


def test_the_module_and_the_script() -> None:
    target = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["fc2conv"]
    module, _, function = target.partition(":")
    script = f"from {module} import {function}; {function}()"  # what pip writes
    for start in (["-m", "fc2conv"], ["-c", script]):
        done = subprocess.run([sys.executable, *start, "--version"], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, f"fc2conv, version {fc2conv.__version__}\n"), done.stderr


def test_looking_needs_no_torch(recorded: Path) -> None:
    """Nor Hydra; help needs no pandas."""
    script = (
        "import sys; from fc2conv.cli import main\n"
        f"main(['show', 'wide', '--runs-dir', {str(recorded)!r}]); assert 'pandas' not in sys.modules\n"
        f"main(['runs', '--runs-dir', {str(recorded)!r}])\n"
        "print(sorted({'torch', 'lightning', 'hydra', 'wandb'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.endswith("[]\n"), done.stderr


def test_help(call: Call) -> None:
    for arguments in ((), ("--help",)):
        code, out, _ = call(*arguments)
        assert code == 0
        assert re.findall(r"^  ([a-z]+)  ", out, re.MULTILINE) == [
            "claims",
            "diff",
            "export",
            "inspect",
            "playground",
            "plot",
            "publish",
            "report",
            "rm",
            "runs",
            "show",
        ]
    for name in ("diff", "export", "inspect", "plot", "publish", "report", "rm", "runs", "show"):
        code, out, _ = call(name, "--help")
        assert code == 0
        assert "--runs-dir" in out
        assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnus"], "No such command 'rnus'. Did you mean 'runs'? (fc2conv --help says more)"),
        (["runs", "--were", "a=1"], "No such option '--were'. Did you mean '--where'? (fc2conv runs --help says more)"),
        (["show"], "Missing argument 'RUN'. (fc2conv show --help says more)"),
        (["export", "wide"], "Missing option '--to'. Choose from: onnx, pt2 (fc2conv export --help says more)"),
        (["runs", "--where", "kernal_size=3"], "--where: got kernal_size, no such column; did you mean"),
        (["runs", "--where", "acc>0.5"], "--where: got acc, which may be train.acc, val.acc, test.acc"),
        (["runs", "--where", "val.acc>high"], "--where: got val.acc>high, expected a number behind >"),
        (["runs", "--where", "status"], "--where: got status, expected KEY=VALUE, or another of != < > <= >="),
        (["runs", "--sort", "size"], "--sort: got size, which is known with --size"),
        (["runs", "--columns", "run,parms"], "--columns: got parms, no such column; did you mean params?"),
        (["runs", "--best", "0"], "Invalid value for '--best': 0 is not in the range x>=1."),
        (["runs", "--runs-dir", "none"], "--runs-dir: got none, but there is no such folder"),
        (["show", "wird"], "RUN: got wird, but no run lies there nor in runs/; did you mean wide?"),
        (["show", "cut"], f"RUN: runs/cut/{FILE} is damaged"),
        (["show", "kernels"], f"RUN: got kernels, which may be kernels/kernel_size=3,seed=0-{IDENTITY}, kernels/"),
        (["diff", "wide", "wird"], "RUN: got wird, but no run lies there"),
        (["export", "wide", "--to", "pt2"], "--checkpoint: got runs/wide/checkpoints/best.ckpt, but there is no"),
        (["export", "wide", "--to", "pt2", "--output", "a.onnx"], "--output: got a.onnx, expected a name that ends in"),
    ],
)
def test_a_wrong_call_is_one_line(runs: Path, call: Call, arguments: list[str], message: str) -> None:
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(message)
    assert err.count("\n") == 1


def test_names_are_completed(recorded: Path) -> None:
    """As click's script for the shell asks for it."""
    completion = ShellComplete(command, {}, "fc2conv", "_FC2CONV_COMPLETE")
    for arguments in (["show"], ["diff", "wide"], ["rm", "wide"], ["export", "--to", "onnx"]):
        found = completion.get_completions([*arguments, "--runs-dir", str(recorded)], "ker")
        assert [item.value for item in found] == [THREE, FIVE]


# --- runs


def test_the_table_fits_80_columns_and_cuts_no_figure(recorded: Path, call: Call) -> None:
    """MLP: 785 9999 + 10000 9999 + 10000 10 parameters."""
    code, out, err = call("runs", "--runs-dir", recorded)
    assert code == 0
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["run", "model", "params", "MACs", "val", "acc", "test", "acc"]
    rows = {line.split()[0]: line.split()[1:] for line in lines[2:] if len(line.split()) > 1}
    assert rows["wide"] == [
        "mlp",
        f"{785 * 9999 + 10_000 * 9999 + 10_000 * 10:,}",
        f"{784 * 9999 + 9999**2 + 9999 * 10:,}",
        "0.8900",
        "0.8800",
    ]
    assert rows["stopped"] == ["lenet", "61,706", "416,520", "0.5000", "interrupted"], "no accuracy: how it ended"
    assert rows["broke"] == ["lenet", "61,706", "416,520", "failed"]
    folded = "".join(line.split()[0] for line in lines[2:])
    assert "2026-11-26_13-50-35_lenet_a592" in folded
    assert "kernels/kernel_size=3,seed=0kernels" in folded, "a label, where it is the only one"
    assert err == "without a record that can be read, left out: cut\n"


def shown(call: Call, top: Path, *options: str) -> list[str]:
    """The names of the runs."""
    code, out, err = call("runs", "--runs-dir", top, "--csv", "--columns", "run", *options)
    assert code == 0, err
    return [row["run"] for row in csv.DictReader(io.StringIO(out))]


LENET = "2026-11-26_13-50-35_lenet_a592"
THREE, FIVE = "kernels/kernel_size=3,seed=0", "kernels/kernel_size=5,seed=0"


@pytest.mark.parametrize(
    ("conditions", "want"),
    [
        ([], [LENET, "broke", THREE, FIVE, "stopped", "wide"]),
        (["model.kernel_size=3"], [THREE]),
        (["kernel_size=3"], [THREE]),
        (["kernel_size != 3", "family=lenet"], [LENET, "broke", FIVE, "stopped"]),
        (["kernel_size=null"], ["wide"]),
        (["channels=[8,16]"], [THREE, FIVE]),
        (["channels=[8, 16]", "lr=5e-3"], [FIVE]),
        (["pool=max"], [THREE, FIVE]),
        (["val.acc>=0.91"], [THREE, FIVE]),
        (["val.acc>0.9", "val.acc<0.91"], [LENET]),
        (["params<=61706", "status=done"], [LENET, FIVE]),
        (["train_size=50"], ["stopped"]),
        (["nesterov=true", "seed=1"], [LENET]),
        (["nesterov=1"], []),
        (["precision=32", "model=mlp"], ["wide"]),
        (["model=no such"], []),
    ],
)
def test_where(recorded: Path, call: Call, conditions: list[str], want: list[str]) -> None:
    """LeNet with 8 and 16 maps of 5x5 has more parameters than the book's, with 6 and 16; of 3x3 still more."""
    if "params<=61706" in conditions:
        frame = fc2conv_frame(recorded)
        want = [name for name in want if frame.set_index("run").loc[name, "params"] <= 61706]
    assert shown(call, recorded, *(part for text in conditions for part in ("--where", text))) == want


def fc2conv_frame(top: Path) -> pd.DataFrame:
    """fc2conv.results, with the names that the command uses."""
    with pytest.warns(UserWarning, match="left out: cut"):
        frame = fc2conv.results(top)
    return frame.assign(run=[LENET, "broke", THREE, FIVE, "stopped", "wide"])


@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("column", ["val.acc", "seed", "model", "optim.lr", "kernel_size"])
def test_sort(recorded: Path, call: Call, column: str, sign: str) -> None:
    """pandas is the oracle: stable, and runs without a value come last either way."""
    frame = fc2conv_frame(recorded)
    by = "model.kernel_size" if column == "kernel_size" else column
    names = frame.sort_values(by, kind="stable", ascending=not sign, na_position="last").run
    assert shown(call, recorded, "--sort", f"{sign}{column}") == list(names)


def test_numbers_sort_before_text(tmp_path: Path, call: Call) -> None:
    for name, padding in (("a", "same"), ("b", 2), ("c", (2, "valid")), ("d", 1)):
        record(tmp_path / name, Config(LeNetConfig(padding=padding)))  # type: ignore[arg-type]
    assert shown(call, tmp_path, "--sort", "padding") == ["d", "b", "c", "a"]


def test_best_is_by_validation_of_what_is_done(recorded: Path, call: Call) -> None:
    assert shown(call, recorded, "--best", "2") == [THREE, FIVE]
    assert shown(call, recorded, "--best", "9") == [THREE, FIVE, LENET, "wide"]
    assert shown(call, recorded, "--best", "2", "--sort", "val.acc") == [FIVE, THREE]
    assert shown(call, recorded, "--best", "1", "--where", "model=lenet") == [LENET]


def test_failed(recorded: Path, call: Call) -> None:
    """With the error's first line, in which nothing is markup or moves the cursor."""
    _, out, _ = call("runs", "--runs-dir", recorded, "--failed")
    assert out.splitlines()[2].split(maxsplit=2) == ["broke", "lenet", "CUDA out of [red]memory[/red] �[31m"]
    assert len(out.splitlines()) == 3


def test_columns_that_are_spoken_of_are_shown(recorded: Path, call: Call) -> None:
    _, out, _ = call("runs", "--runs-dir", recorded, "--where", "optim.lr=0.003", "--sort", "epochs")
    assert re.sub(" +", " ", out.splitlines()[0]).strip() == "run model params MACs val acc test acc optim.lr epochs"
    assert out.splitlines()[2].split()[-2:] == ["0.003", "10"]


def test_columns_of_ones_own(recorded: Path, call: Call) -> None:
    """Each in the unit that people read; however many there are, none is cut."""
    columns = "run,seconds,peak_memory,images_per_second,test.loss,channels,hidden,nesterov,seed,identity,best_epoch"
    _, out, _ = call("runs", "--runs-dir", recorded, "--columns", columns, "--where", "seed=1")
    assert out.splitlines()[2].split()[1:6] == ["25", "min", "700.0", "MB", "23,457"]
    identity = hashed(identity_of(Config(seed=1)))
    assert out.splitlines()[2].split()[6:] == ["1.8072", "[6,16]", "[120,84]", "true", "1", identity, "9"]
    assert "…" not in out


def test_data_for_scripts(recorded: Path, call: Call) -> None:
    """All digits and columns; what else is said goes to stderr."""
    want = fc2conv_frame(recorded)
    _, out, err = call("runs", "--runs-dir", recorded, "--csv")
    found = pd.read_csv(io.StringIO(out))
    assert list(found.columns) == ["run", *want.columns.drop("run")]
    assert list(found["val.acc"].dropna()) == list(want["val.acc"].dropna())
    assert "cut" in err
    _, out, _ = call("runs", "--runs-dir", recorded, "--json", "--where", "model=mlp")
    (row,) = json.loads(out)
    assert (row["run"], row["model.hidden"], row["model.kernel_size"]) == ("wide", [9999, 9999], None)
    assert row["test.acc"] == 0.88
    _, out, _ = call("runs", "--runs-dir", recorded, "--json", "--columns", "run,lr", "--best", "1")
    assert json.loads(out) == [{"run": THREE, "optim.lr": 0.003}]


def test_disk_space(runs: Path, call: Call) -> None:
    """A block is 512 bytes, however much of it is used."""
    (runs / "wide" / "big").write_bytes(bytes(3_000_000))
    rows = json.loads(call("runs", "--size", "--json", "--sort", "-size")[1])
    blocks = {name: sum(p.stat().st_blocks for p in (runs / name).iterdir()) for name in ("wide", "broke")}
    assert rows[0]["run"] == "wide"
    assert {row["run"]: row["size"] for row in rows if row["run"] in blocks} == {k: 512 * n for k, n in blocks.items()}
    lines = call("runs", "--size")[1].splitlines()
    total = sum(row["size"] for row in rows)
    assert lines[-1].split() == ["total", f"{total / 1e6:.1f}", "MB"]
    assert max(map(len, lines)) <= 80


def test_debug_runs_are_left_out_unless_asked_for() -> None:
    frame = pd.DataFrame({"run": ["a", "b", "c", "d"], "debug": ["fast", None, math.nan, ""], "status": "done"})
    found, hidden = select(frame, Wanted())
    assert (list(found.run), hidden) == (["b", "c", "d"], 1)
    found, hidden = select(frame, Wanted(everything=True))
    assert (list(found.run), hidden) == (["a", "b", "c", "d"], 0)


def test_no_runs(tmp_path: Path, call: Call) -> None:
    assert call("runs", "--runs-dir", tmp_path) == (0, f"no runs in {tmp_path}/\n", "")
    assert call("runs", "--runs-dir", tmp_path, "--json")[1] == "[]\n"
    record(tmp_path / "a", Config())
    assert call("runs", "--runs-dir", tmp_path, "--failed")[1] == f"no such runs in {tmp_path}/\n"


def test_names_are_no_markup(tmp_path: Path, call: Call) -> None:
    record(tmp_path / "[red]x[", Config(), "[link=file]y")
    for arguments in (["runs"], ["show", "[red]x["], ["diff", "[red]x[", "[red]x["]):
        code, out, _ = call(*arguments, "--runs-dir", tmp_path)
        assert code == 0
        assert "[red]x[" in out
        assert "[link=file]y" in out


# --- show


def facts(out: str) -> dict[str, str]:
    """Name -> value, whose folded lines are one again."""
    found: dict[str, str] = {}
    for line in out.split("\n\n")[0].splitlines():
        name, value = line[:17].strip(), line[17:].strip()
        if name:
            found[name] = value
        else:
            found[[*found][-1]] += f" {value}"
    return found


def test_what_a_run_is_and_what_came_out(recorded: Path, call: Call) -> None:
    code, out, _ = call("show", THREE, "--runs-dir", recorded)
    assert code == 0
    found = facts(out)
    assert (found["model"], found["status"]) == ("lenet_separable (lenet)", "done")
    assert found["not default"] == "model.channels=[8,16] model.kernel_size=3 model.pool=max optim.lr=0.003"
    assert (found["epochs"], found["kernels"]) == ("10, the best is 9", "conv")
    assert (found["time"], found["speed"]) == ("25 min (fit 23 min, test 2 s)", "23,457 images/s")
    assert (found["memory"], found["device"], found["checkpoints"]) == ("700.0 MB", "cpu", "none")
    assert found["folder"].replace(" ", "").startswith(str(recorded / "kernels"))
    assert re.search(r"validation \(epoch 9\) +│ +0.9200 │ 1.8400 │ +100", out)
    assert out.endswith("again: python train.py\n")


def test_a_failed_run_shows_its_error_and_the_end_of_its_log(recorded: Path, call: Call) -> None:
    _, out, _ = call("show", "broke", "--runs-dir", recorded)
    assert facts(out)["error"] == "CUDA out of [red]memory[/red] �[31m second line"
    log = out.partition("train.log ends:\n")[2].splitlines()
    assert log[:10] == [f"  line {i} [bold]" for i in range(20, 30)]
    assert out.endswith("again: python train.py model=lenet\n"), "the name is taken"


def test_a_run_that_was_killed(runs: Path, call: Call) -> None:
    record(runs / "begun", Config(), status="running")
    assert facts(call("show", "begun")[1])["status"] == "running, but no process is at work here: it was killed"
    for name in (LOCK, RUN_LOCK):
        with claim(runs / "begun", name):
            assert facts(call("show", "begun")[1])["status"] == "running"


def test_the_model_of_a_plugin_that_is_not_loaded(runs: Path, call: Call) -> None:
    values = json.loads((runs / "wide" / FILE).read_text())
    values["config"]["model"] = {"family": "theirs", "depth": 3}
    values["config"]["plugins"] = ["theirs.py"]
    (runs / "wide" / FILE).write_text(json.dumps(values | {"family": "theirs", "model": "theirs"}))
    found = facts(call("show", "wide")[1])
    assert found["model"] == "theirs"
    assert found["not default"] == "model.depth=3 plugins=[theirs.py]"


def test_many_classes_show_the_worst(runs: Path, call: Call) -> None:
    """20 classes of 10 test images; of class i, 10 - i % 10 are right and the others taken for the next class."""
    names = [f"class{i}" for i in range(20)]
    confusion = [[0] * 20 for _ in names]
    for i in range(20):
        confusion[i][i] = 10 - i % 10
        confusion[i][(i + 1) % 20] += i % 10
    per_class = {name: (10 - i % 10) / 10 for i, name in enumerate(names)}
    record(runs / "many", Config(), **scores(0.5), confusion=confusion, per_class=per_class)
    _, out, _ = call("show", "many")
    lines = out.partition("the 10 worst of 20 classes")[2].splitlines()[2:12]
    assert lines[0].split() == ["class9", "0.1000", "10", "class10", "(9)"]
    assert lines[1].split() == ["class19", "0.1000", "10", "class0", "(9)"]
    assert lines[9].split() == ["class15", "0.5000", "10", "class16", "(5)"]


# --- diff


def test_what_two_runs_differ_in(recorded: Path, call: Call) -> None:
    """3x3 kernels: 8 10 + 16 73 + (16 36 + 1) 120 + ... parameters more than 5x5's, by plan's own count."""
    code, out, _ = call("diff", THREE, FIVE, "--runs-dir", recorded)
    assert code == 0
    assert max(map(len, out.splitlines()[3:])) <= 80
    keys, figures = (part.splitlines()[2:] for part in out.split("\n\n")[1:])
    assert [line.split() for line in keys] == [["model.kernel_size", "3", "5"], ["optim.lr", "0.003", "0.005"]]
    rows = {line[:15].strip(): line[15:].split() for line in figures}
    counts = [plan(LeNetConfig(kernel_size=k, channels=(8, 16)), (1, 28, 28), 10).params for k in (3, 5)]
    change = counts[1] - counts[0]
    assert rows["parameters"] == [*(f"{n:,}" for n in counts), f"{change:+,}", f"{counts[1] / counts[0]:.4g}"]
    assert rows["val acc"] == ["0.9200", "0.9100", "-0.0100", "0.9891"]
    assert rows["time"] == ["25", "min", "25", "min", "0", "s", "1"]


def test_runs_of_different_families(recorded: Path, call: Call) -> None:
    """A key that a model does not have is -, and a figure that a run does not have is left out."""
    _, out, _ = call("diff", "2026", "wide", "--runs-dir", recorded)
    keys, figures = (part.splitlines()[2:] for part in out.split("\n\n")[1:])
    rows = {line.split()[0]: line.split()[1:] for line in keys}
    assert rows["model.family"] == ["lenet", "mlp"]
    assert rows["model.kernel_size"] == ["5", "-"]
    assert rows["seed"] == ["1", "0"]
    assert not {"name", "runs_dir", "logger.name"} & set(rows)
    (time,) = (line for line in figures if line.startswith("time"))
    assert time.split() == ["time", "25", "min"]


def test_runs_that_differ_in_nothing(recorded: Path, call: Call) -> None:
    _, out, _ = call("diff", "wide", "wide", "--runs-dir", recorded)
    assert out.split("\n\n")[1] == "no key differs"


# --- rm


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_rm_asks(runs: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("n\n", ""):
        answer(monkeypatch, text)
        code, out, _ = call("rm", "wide")
        assert code == 130
        assert out.startswith("runs/wide: ")
        assert (runs / "wide" / FILE).exists()
    answer(monkeypatch, "y\n")
    code, out, _ = call("rm", "wide")
    assert code == 0
    assert re.search(r"removed; [\d.]+ kB freed\n$", out)
    assert sorted(p.name for p in runs.iterdir()) == [LENET, "broke", "cut", "kernels", "stopped"]


def test_rm_several_a_sweep_and_what_is_damaged(runs: Path, call: Call) -> None:
    (runs / "kernels" / "table.csv").write_text("")
    code, out, _ = call("rm", "--yes", "cut", THREE, "kernels", "broke", "runs/broke", (runs / "broke").resolve())
    assert code == 0
    assert "runs/kernels, a sweep of 2 runs: " in out
    assert THREE not in out, "the sweep takes it along"
    assert sorted(p.name for p in runs.iterdir()) == [LENET, "stopped", "wide"]


@pytest.mark.parametrize("name", [LOCK, RUN_LOCK])
def test_rm_refuses_what_is_being_trained(runs: Path, call: Call, name: str) -> None:
    """A sweep of which a run is, and whatever else was named beside it."""
    folder = runs / f"{THREE}-{IDENTITY}"
    with claim(folder, name):
        for target in (THREE, "kernels"):
            code, _, err = call("rm", "--yes", "wide", target)
            assert (code, err) == (2, f"RUN: {folder}: being trained now; let it end, or stop it\n")
    with claim(runs / "kernels" / "about-to-begin", name):  # it has no record yet
        assert call("rm", "--yes", "kernels")[0] == 2
    assert (runs / "wide").exists()
    assert folder.exists()


def test_rm_puts_back_what_began_meanwhile(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules[remove.__module__]  # its name in the package is the command's
    monkeypatch.setattr(module, "_in_use", lambda folder: [str(folder)])
    with pytest.raises(ConfigError, match=r"^RUN: runs/wide: being trained now"):
        remove(runs / "wide")
    assert (runs / "wide" / FILE).exists()


def test_rm_removes_nothing_else(runs: Path, call: Call, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    record(elsewhere / "run", Config())
    (runs / "link").symlink_to(elsewhere / "run")
    (runs / "links").symlink_to(elsewhere)
    (runs / "alias").symlink_to("wide")
    (runs / "notes").mkdir()
    (runs / "kernels" / "notes").mkdir()
    before = sorted(tmp_path.rglob("*"))
    for name in (
        ".",
        "..",
        "",
        "runs",
        "/",
        "elsewhere",
        "elsewhere/run",
        "link",
        "links/run",
        "links",
        "alias",
        "notes",
    ):
        code, _, err = call("rm", "--yes", name)
        assert code == 2, name
        assert err.startswith("RUN: got ")
    for name in ("wid", "kernels/kernel_size=3"):  # beginnings are for looking
        assert call("rm", "--yes", name)[0] == 2
    code, _, err = call("rm", "--yes", "kernels")
    assert (code, err) == (2, "RUN: got kernels, but runs/kernels/notes in it is no run; remove it yourself\n")
    assert sorted(tmp_path.rglob("*")) == before


def test_rm_does_not_follow_links(runs: Path, call: Call, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("")
    (runs / "wide" / "link").symlink_to(tmp_path)
    assert call("rm", "--yes", "wide")[0] == 0
    assert (tmp_path / "precious").exists()


# --- a real run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data_dir: str) -> Path:
    """The folder of a run that was really trained."""
    top = tmp_path_factory.mktemp("trained")
    small = {"data.dir": data_dir, "data.train_size": 300, "data.val_size": 100, "trainer.max_epochs": 1}
    values: dict[str, Any] = {"model": "softmax", "name": "real", "runs_dir": str(top), "logger": "csv", **small}
    fc2conv.run(**values, **{"trainer.threads": 1, "trainer.progress": False, "trainer.accelerator": "cpu"})
    return top / "real"


def test_a_real_run_is_shown(trained: Path, call: Call) -> None:
    code, out, _ = call("show", trained)
    assert code == 0
    found = facts(out)
    assert "data.train_size=300" in found["not default"]
    assert re.fullmatch(r"best\.ckpt [\d.]+ kB, last\.ckpt [\d.]+ kB", found["checkpoints"])
    result = Result.read(trained)
    assert result.confusion is not None
    lines = {line.split()[0]: line.split() for line in out.splitlines() if re.match(r"\d [A-Z]", line)}
    assert lines["1"][:3] == ["1", "Trouser", f"{result.confusion[1][1] / 1000:.4f}"]
    assert lines["1"][3:] == [str(n) for n in result.confusion[1] if n]
    for line in out.splitlines():
        assert len(line) <= 80 or line.startswith("again: ")


def test_the_command_repeats_the_run(trained: Path) -> None:
    """Composed as the command line is: the same identity, and no name that is taken."""
    result = Result.read(trained)
    start, script, *overrides = shlex.split(result.again())
    assert (start, script) == ("python", "train.py")
    config = parse_composed(compose_config(overrides)[0])
    assert (hashed(identity_of(config)), config.name) == (result.identity, None)


@pytest.mark.usefixtures("one_thread")
def test_a_run_is_exported(trained: Path, call: Call, tmp_path: Path) -> None:
    """tests/training/test_export.py looks into the file."""
    code, out, err = call("export", trained, "--to", "pt2")
    assert code == 0, err
    assert (trained / "best.pt2").exists()
    assert re.search(r"its logits are the checkpoint's, to \d\.\de[+-]\d\d \(batches of 1 and 7 test images\)", out)
    last = trained / CHECKPOINTS / "last.ckpt"
    for checkpoint in ("last", str(last)):
        output = tmp_path / f"{len(checkpoint)}.pt2"
        code, out, _ = call("export", trained, "--to", "pt2", "--checkpoint", checkpoint, "--output", output)
        assert code == 0
        assert out.startswith(f"{output}: ")
