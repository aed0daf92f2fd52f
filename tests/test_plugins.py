"""Architectures from outside the package: docs/extending.md as a user follows it, and what can be wrong with them."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

import fc2conv
from fc2conv.architectures import ARCHITECTURES, Layer
from fc2conv.architectures.files import PREFIX
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.architectures.module import ModuleConfig
from fc2conv.architectures.plugins import load, load_installed
from fc2conv.architectures.registry import plan, register, source_of
from fc2conv.architectures.trace import trace
from fc2conv.config.parsing import parse, parse_model
from fc2conv.config.schema import Config
from fc2conv.errors import ConfigError
from fc2conv.nets.build import build
from fc2conv.training.classifier import Classifier

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "extending.md").read_text()
RECIPE, OWN_LAYER, NET = re.findall(r"```python\n(.*?)```", PAGE, re.S)
COMMANDS = [
    shlex.split(line.replace("\\\n", ""))[1:]
    for block in re.findall(r"```bash\n(.*?)```", PAGE, re.S)
    for line in re.findall(r"^(python train\.py (?:.*\\\n)*.*)$", block, re.M)
]

pytestmark = pytest.mark.usefixtures("registry")


@pytest.fixture
def my_nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the user's with my_nets.py and nets.py, and in it."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "my_nets.py").write_text(RECIPE)
    (folder / "nets.py").write_text(NET)
    monkeypatch.chdir(folder)
    return folder / "my_nets.py"


def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "train.py"), *arguments]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=120)


@pytest.fixture
def small(image_folder: Path) -> list[str]:
    """Three classes of 20 images: 36 to train on."""
    data = ["data=folder", f"data.path={image_folder}", "data.val_size=12", "data.batch_size=12"]
    return [*data, "trainer.max_epochs=1", "trainer=cpu", "logger=csv"]


# --- the recipe


def test_the_recipe_trains_resumes_and_tests(my_nets: Path, small: list[str]) -> None:
    """16 (9 + 1) + 32 (9 16 + 1) + 64 (9 32 + 1) weights of convolutions and 3 (64 + 1) of the output."""
    done = call(*COMMANDS[0][1:], *small, "name=a")
    assert done.returncode == 0, done.stderr
    run = Path("runs/a")
    result = json.loads((run / "result.json").read_text())
    assert (result["status"], result["params"]["total"]) == ("done", 160 + 4_640 + 18_496 + 195)
    assert yaml.safe_load((run / "config.yaml").read_text())["plugins"] == ["my_nets.py"]

    (run / "result.json").write_text(json.dumps(result | {"status": "interrupted"}))
    resumed = call("resume=a")  # knows the plugin from the run
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads((run / "result.json").read_text())["status"] == "done"

    test = ["task=test", "ckpt=runs/a/checkpoints/best.ckpt"]
    refused = call(*test)
    assert refused.returncode == 2
    assert "if you trust its code, add plugins=[my_nets.py]" in refused.stderr
    assert call(*test, "plugins=[my_nets.py]").stdout.startswith(f"test accuracy {result['test']['acc']}")


@pytest.mark.parametrize("launcher", ["local", pytest.param("submitit_local", marks=pytest.mark.slow)])
def test_its_sweep_trains(launcher: str, my_nets: Path, small: list[str]) -> None:
    assert COMMANDS[1][1:3] == ["-m", "plugins=[my_nets.py]"]
    varied = ["model=strided", "model.channels=[2],[3]"]
    done = call(*COMMANDS[1][1:3], *small, *varied, "name=s", f"hydra/launcher={launcher}", "report=false")
    assert done.returncode == 0, done.stdout + done.stderr
    results = [json.loads(p.read_text()) for p in Path("runs/s").glob("*/result.json")]
    # c (9 + 1) and 3 (c + 1), for c = 2 and 3
    assert sorted((r["status"], r["params"]["total"]) for r in results) == [("done", 29), ("done", 42)]


def test_it_is_there_from_python(my_nets: Path) -> None:
    """A registered class, too: 16 (9 + 1) + 32 (9 16 + 1) weights of convolutions and 10 (32 + 1) of the output."""
    planned = fc2conv.run(plugins=["my_nets.py"], model="strided", task="plan")
    assert planned is not None
    assert planned.params["total"] == 160 + 4_640 + 330
    assert sum(p.numel() for p in fc2conv.Strided().parameters()) == 160 + 4_640 + 330


@pytest.mark.slow
def test_its_ranks_train(my_nets: Path, small: list[str]) -> None:
    done = call("plugins=[my_nets.py]", "model=strided", *small, "trainer=ddp", "trainer.devices=2", "name=a")
    assert done.returncode == 0, done.stderr
    assert json.loads(Path("runs/a/result.json").read_text())["world_size"] == 2


@pytest.mark.parametrize("command", COMMANDS[2:], ids=lambda c: c[2])
def test_any_module_is_planned(command: list[str], my_nets: Path) -> None:
    done = call(*command[1:], "task=plan")
    assert done.returncode == 0, done.stderr
    assert re.search(r"total .*│ +(727,626|7,850) │", done.stdout), done.stdout


def test_any_module_trains_and_its_checkpoint_asks_before_it_imports(my_nets: Path, small: list[str]) -> None:
    done = call("model=module", "model.target=nets.py:Net", "model.arguments={classes: 3}", *small, "name=a")
    assert done.returncode == 0, done.stderr
    result = json.loads(Path("runs/a/result.json").read_text())
    assert result["receptive_field"] is None
    assert result["params"] == {"total": 3 * 785, "layers": {"1": 3 * 785}}

    Path("nets.py").write_text(NET + "\nprint('it runs')")
    test = ["task=test", "ckpt=runs/a/checkpoints/best.ckpt"]
    refused = call(*test)
    assert refused.returncode == 2
    assert "if you trust its code, add allow=[nets.py:Net]" in refused.stderr
    assert "it runs" not in refused.stdout
    allowed = call(*test, "allow=[nets.py:Net]")
    assert f"test accuracy {result['test']['acc']}" in allowed.stdout


def test_help_names_it(my_nets: Path, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise RuntimeError('torch was imported')")
    done = call("plugins=[my_nets.py]", "--help", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    choices = re.search(r"^  model +(.*?)^  data", done.stdout, re.M | re.S)
    assert choices
    assert {"strided", "module", "softmax", "lenet_modern"} <= set(re.findall(r"\w+", choices[1]))


def test_the_layer_of_the_page_costs_what_it_says(my_nets: Path) -> None:
    names: dict[str, object] = {}
    exec("from dataclasses import dataclass\nfrom fc2conv.architectures import Layer, Shape\n" + OWN_LAYER, names)
    layer = names["GroupedConv"]("mix", groups=3)  # type: ignore[operator]
    assert isinstance(layer, Layer)
    network = trace([layer], (6, 8, 9))
    net = build(network)
    # 6 maps of 2 3x3 windows each, 6 biases; the former at 72 positions
    assert (network.params, network.macs, network.receptive_field) == (6 * 18 + 6, 6 * 18 * 72, 3)
    assert sum(p.numel() for p in net.parameters()) == network.params
    assert net(torch.zeros(2, 6, 8, 9)).shape == (2, *network.rows[0].output)


def test_a_layer_without_a_module_says_so() -> None:
    with pytest.raises(NotImplementedError, match=r"^Layer has no module; define module\(self, shape\)"):
        build(trace([Layer("mine")], (1, 4, 4)))


# --- in Python


def test_its_lightning_module_is_a_name_of_the_package(my_nets: Path) -> None:
    load(["my_nets.py"])
    module = fc2conv.Strided(channels=[4])
    assert isinstance(module, Classifier)
    assert sum(p.numel() for p in module.parameters()) == 4 * 10 + 10 * 5
    with pytest.raises(ConfigError, match=r"^model\.chanels: no such key; did you mean channels"):
        fc2conv.Strided(chanels=[4])


def test_a_config_that_names_plugins_loads_them_first(my_nets: Path) -> None:
    config = parse(Config, {"model": {"family": "strided", "channels": [4]}, "plugins": ["my_nets.py"]})
    assert plan(config.model, (1, 28, 28), 10).params == 4 * 10 + 10 * 5


def test_another_process_can_read_its_config(my_nets: Path) -> None:
    """As a job of a sweep or a rank does, before anything else."""
    load(["my_nets.py"])
    config = Config(model=parse_model({"family": "strided", "channels": [4]}))
    assert pickle.loads(pickle.dumps(config)) == config
    program = "import pickle, sys; print(pickle.load(sys.stdin.buffer).model.channels)"
    done = subprocess.run([sys.executable, "-c", program], input=pickle.dumps(config), capture_output=True, check=True)
    assert done.stdout.decode() == "(4,)\n"


def test_its_identity_is_that_of_its_source(my_nets: Path) -> None:
    load(["my_nets.py"])
    assert source_of(parse_model({"family": "strided"})) == hashlib.sha256(RECIPE.encode()).hexdigest()
    assert source_of(LeNetConfig()) is None


def test_a_checkpoint_loads_what_it_is_allowed_to(my_nets: Path, tmp_path: Path) -> None:
    load(["my_nets.py"])
    module = fc2conv.Strided(channels=[4], extra={"config": {"plugins": ["my_nets.py"]}})
    path = str(tmp_path / "a.ckpt")
    torch.save({"hyper_parameters": dict(module.hparams), "state_dict": module.state_dict()}, path)
    assert type(Classifier.load(path)) is type(module)
    del ARCHITECTURES["strided"]
    for name in [n for n in sys.modules if n.startswith(PREFIX)]:
        del sys.modules[name]
    with pytest.raises(ConfigError, match=r"holds a strided, .*load\(\.\.\., allow=\['my_nets\.py'\]\)"):
        Classifier.load(path)
    assert Classifier.load(path, allow=["my_nets.py"]).config.channels == (4,)


def test_a_checkpoint_imports_no_target_by_itself(my_nets: Path, tmp_path: Path) -> None:
    module = fc2conv.Module(target="nets.py:Net", arguments={"classes": 10})
    path = str(tmp_path / "a.ckpt")
    values = {"hyper_parameters": dict(module.hparams), "state_dict": module.state_dict()}
    torch.save(values | {"pytorch-lightning_version": "2.6.6"}, path)
    for read in (Classifier.load, fc2conv.Module.load_from_checkpoint):
        with pytest.raises(ConfigError, match=r"^model\.target: the checkpoint asks for nets\.py:Net; .*allow"):
            read(path)
        assert isinstance(read(path, allow=["nets.py:Net"]).net, nn.Sequential)


# --- what can be wrong with one


CONFIG = """
from dataclasses import dataclass, field
from typing import Literal
from fc2conv.architectures import ModelConfig, register
from fc2conv.architectures.layers import Flatten, Linear

@dataclass(frozen=True)
class {name}Config(ModelConfig):
    family: Literal["{family}"] = "{family}"
    width: int{default}

register({name}Config, lambda config, classes: [Flatten("flatten"), Linear("output", classes)])
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no such file"),
        ("x = 1", "registers no architecture; it should call register(...)"),
        ("def f(:", "line 1: SyntaxError: invalid syntax"),
        ("x = 1\n\nx.y", "line 3: AttributeError: 'int' object has no attribute 'y'"),
        (CONFIG.format(name="Mine", family="mine", default=" = 1") + "1 / 0", "line 13: ZeroDivisionError"),
        ("import nowhere", "ModuleNotFoundError: No module named 'nowhere'"),
        (CONFIG.format(name="Mine", family="lenet", default=" = 1"), "MineConfig: the family lenet is taken ("),
        (CONFIG.format(name="LeNet", family="mine", default=" = 1"), "LeNetConfig: the name LeNet is taken ("),
        (
            CONFIG.format(name="Mine", family="mine", default=" = field(kw_only=True)"),
            "MineConfig: each of its fields needs a default (",
        ),
        (
            CONFIG.format(name="Mine", family="mine", default=" = 1").replace("@dataclass(frozen=True)", ""),
            "MineConfig is no config; write @dataclass(frozen=True) class MineConfig(ModelConfig)",
        ),
    ],
)
def test_a_wrong_plugin_is_told_by_its_file(
    text: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("wrong.py").write_text(text)
    before = dict(ARCHITECTURES)
    for _ in range(2):  # the second time is no better
        with pytest.raises(ConfigError) as refused:
            load(["wrong.py"])
        assert str(refused.value).startswith("plugins: wrong.py")
        assert message in str(refused.value)
    assert before == ARCHITECTURES


def test_the_line_of_a_plugin_that_fails_is_told(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text("def f():\n    return 1 / 0\n\nf()")
    with pytest.raises(ConfigError, match=r"wrong\.py: line 2: ZeroDivisionError: division by zero$"):
        load([str(tmp_path / "wrong.py")])


def test_a_plugin_is_loaded_once(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text(CONFIG.format(name="Good", family="good", default=" = 1"))
    load([str(tmp_path / "good.py")])
    first = ARCHITECTURES["good"]
    load([f"{tmp_path}/../{tmp_path.name}/good.py", str(tmp_path / "good.py")])
    assert ARCHITECTURES["good"] is first


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("plugins=nope.py", "plugins: got nope.py, expected a list: plugins=[nope.py]"),
        ("plugins=[nope.py]", "plugins: nope.py: there is no such file"),
        ("++plugins=[nope.py]", "plugins: nope.py: there is no such file"),
        ("plugins=[no.such.module]", "plugins: no.such.module: ModuleNotFoundError: No module named 'no'"),
    ],
)
@pytest.mark.parametrize("multirun", [[], ["-m"]])
def test_a_wrong_plugin_gets_one_message_and_exit_code_2(
    argument: str, message: str, multirun: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "torch.py").write_text("raise RuntimeError('torch was imported')")
    done = call(*multirun, "model=mlp", argument, PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (2, message + "\n")


def test_an_installed_package_needs_no_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_nets.py").write_text(CONFIG.format(name="Their", family="their", default=" = 1"))
    info = tmp_path / "their_nets-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-nets\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fc2conv.architectures]\ntheirs = their_nets\n")
    done = call("model=their", "task=plan", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "7,850" in done.stdout
    (tmp_path / "their_nets.py").write_text("1 / 0")
    broken = call("model=lenet", "task=plan", PYTHONPATH=str(tmp_path))
    message = "plugins: their_nets: ZeroDivisionError: division by zero; it is an entry point of their-nets: "
    assert (broken.returncode, broken.stderr) == (2, f"{message}correct or uninstall that\n")

    (tmp_path / "their_nets.py").write_text(CONFIG.format(name="Their", family="their", default=" = 1"))
    monkeypatch.syspath_prepend(tmp_path)
    load_installed.cache_clear()
    try:
        assert parse_model({"family": "their"}).family == "their"
    finally:
        load_installed.cache_clear()
        del sys.modules["their_nets"]


def test_a_config_registered_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="the family module is taken"):
        register(ModuleConfig)
