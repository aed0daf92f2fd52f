"""The commands and the code of README.md and of the site.

By default each command is checked as far as it goes without training: `python train.py` is composed and planned,
`fc2conv` parsed, and what a page says that a command says is compared. The slow tests run the pages as they stand,
from top to bottom.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from docs.pages import PAGES, ROOT, Command, blocks, commands, write_files
from docs.small import FLAGS

import fc2conv
from fc2conv import cli
from fc2conv.compose import compose_config, parse_composed
from fc2conv.errors import ConfigError

pytestmark = pytest.mark.usefixtures("registry")
COMMANDS = [command for page in PAGES for command in commands(page)]
PYTHON = [block for page in PAGES for block in blocks(page) if block.language == "python"]
OTHERS = ("source", "tensorboard", "optuna-dashboard")
"""Programs that are not ours, and take none of our keys."""


EXTRAS = {
    "hydra/launcher=ray": ("ray", "hydra_plugins.hydra_ray_launcher"),
    "hydra/launcher=slurm": ("slurm", "hydra_plugins.hydra_submitit_launcher"),
    "data=mnist1d": ("mnist1d", "mnist1d"),
}
"""What asks for an extra -> the extra, and a package of it."""


def missing(command: Command) -> str | None:
    """What a command needs and is not there."""
    for override, (name, package) in EXTRAS.items():
        if override in command.text and find_spec(package) is None:
            return f"the {name} extra is not installed"
    return None


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a page's commands are given: the repository's files, and signals.npz."""
    for name in ("train.py", "conf", "sweeps", "data"):
        (tmp_path / name).symlink_to(ROOT / name)
    values = np.random.default_rng(0).normal(size=(600, 40)).astype(np.float32)
    np.savez(tmp_path / "signals.npz", signals=values, labels=np.arange(600) % 3)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- what they say


def test_the_commands_are_found() -> None:
    """The tests below would pass on nothing."""
    assert len(COMMANDS) > 80
    assert {"python", "fc2conv", "make", "torchrun"} <= {command.words[0] for command in COMMANDS}
    assert sum(command.output is not None for command in COMMANDS) >= 5


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_block_says_what_it_is(page: Path) -> None:
    """Else its commands would not be looked at."""
    languages = {block.language for block in blocks(page)}
    assert {each for each in languages if not each.startswith("{")} <= {"bash", "console", "python", "text"}
    assert not re.search(r"^    (python|fc2conv|make) ", FENCELESS.sub("", page.read_text()), re.M)


FENCELESS = re.compile(r"^```.*?^```$", re.M | re.S)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.output is None], ids=str)
def test_a_command_is_one(command: Command, folder: Path, request: pytest.FixtureRequest) -> None:
    if reason := missing(command):
        pytest.skip(reason)
    write_files(command.page, folder)
    if "data.path=images" in command.text:
        request.getfixturevalue("image_folder")
    program, *arguments = command.words
    if program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
        assert set(arguments) <= set(targets)
    elif program == "fc2conv":
        parse(arguments)
    elif command.words[:2] == ["wandb", "sweep"]:
        plan("-m", f"sweep={arguments[1]}")
    elif "train.py" in arguments:
        assert program in ("python", "torchrun", "srun")
        plan(*arguments[arguments.index("train.py") + 1 :])
    else:
        assert program in OTHERS


@cache  # some commands are on several pages
def plan(*arguments: str) -> None:
    """What `python train.py` makes of them, short of training; of a sweep's seeds one."""
    keys = [each for each in arguments if each not in FLAGS]
    if any(each.startswith(("resume=", "ckpt=", "trainer=slurm")) for each in keys):
        parse_composed(compose_config(keys)[0])  # the rest is in a record or a checkpoint, or said by SLURM
    elif "-m" in arguments:
        fc2conv.sweep(*keys, "seed=0", "task=plan")
    else:
        fc2conv.run(*keys, "task=plan")


def parse(arguments: list[str]) -> None:
    """What `fc2conv` makes of them, short of doing it."""
    context = cli.command.make_context(cli.NAME, list(arguments) or ["runs"], resilient_parsing="--help" in arguments)
    if "--help" not in arguments:
        name, command, rest = cli.command.resolve_command(context, arguments)
        assert command is not None, name
        assert isinstance(command.make_context(name, rest, parent=context), click.Context)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.output is not None], ids=str)
def test_a_command_says_what_the_page_says(command: Command, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.output is not None
    assert command.words[:2] == ["python", "train.py"]
    refusal = ""
    try:
        fc2conv.run(*command.words[2:])
    except ConfigError as error:
        refusal = str(error)
    said = [line.rstrip() for line in [*capsys.readouterr().out.splitlines(), *refusal.splitlines()]]
    expected = re.escape(command.output.strip()).replace(r"\.\.\.", "(?s:.*)")
    assert re.fullmatch(expected, "\n".join(said).strip()), "\n".join(said)


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: f"{block.page.stem}:{block.line}")
def test_code_compiles_and_takes_what_there_is(block) -> None:  # type: ignore[no-untyped-def]
    tree = ast.parse(block.text)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = import_module(str(node.module))
            assert all(hasattr(module, alias.name) for alias in node.names)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "fc2conv":
            assert hasattr(fc2conv, node.attr)


# --- README


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


def test_the_readme_links_to_what_there_is() -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / "README.md").read_text())
    here = [link for link in links if not link.startswith("http")]
    assert len(here) > 10
    if not (ROOT / "reports").exists():
        here = [link for link in here if not link.startswith("reports/")]
    assert [link for link in here if not (ROOT / link).exists()] == []


# --- the pages, as they stand

NOT_RUN = {
    "make": "builds an environment, or is this very test",
    "source": "there is no .venv in the scratch folder",
    "srun": "needs SLURM",
    "wandb": "needs an account",
    "tensorboard": "serves until it is stopped",
    "optuna-dashboard": "serves until it is stopped",
}
REFUSED = {"python train.py resume=first": "there is nothing left to train"}
"""Commands that a page gives for later: on a run that is done they say so."""


def not_run(command: Command) -> str | None:
    """Why the slow test leaves a command out."""
    text = command.text
    if reason := missing(command):
        return reason
    if command.words[0] in NOT_RUN:
        return NOT_RUN[command.words[0]]
    if "hydra/launcher=" in text:
        return "needs a cluster"
    if "claims run" in text or "claims lab" in text:
        return "trains for minutes, or writes into the repository"
    if "trainer=gpu" in text and not torch.cuda.is_available():
        return "needs a GPU"
    if "mlflow" in text and find_spec("mlflow") is None:
        return "needs the mlflow extra"
    return "serves until it is stopped" if "--watch" in text else None


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in PAGES if commands(p)], ids=lambda page: page.stem)
def test_a_page_runs_from_top_to_bottom(page: Path, folder: Path, image_folder: Path) -> None:
    """With 256 images and one epoch (docs/small.py adds that to each command), and nothing else changed."""
    write_files(page, folder)
    programs = folder / "bin"
    programs.mkdir()
    for name, module in (("python", []), ("fc2conv", ["-m", "fc2conv"]), ("torchrun", ["-m", "torch.distributed.run"])):
        call = shlex.join([sys.executable, str(Path(__file__).with_name("small.py")), sys.executable, *module])
        (programs / name).write_text(f'#!/bin/sh\nexec {call} "$@"\n')
        (programs / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "COLUMNS": "80"}
    for command in commands(page):
        if not_run(command):
            continue
        done = subprocess.run(
            ["bash", "-c", command.text], env=environment, capture_output=True, text=True, input="y\n", timeout=1200
        )
        said = done.stdout + done.stderr
        if message := REFUSED.get(command.text.split("  #")[0].strip()):
            assert done.returncode == 2, f"{command}: {command.text}\n{said}"
            assert message in said
        else:
            expected = 2 if command.output and re.search(r"^[\w.]+: ", command.output, re.M) else 0
            assert done.returncode == expected, f"{command}: {command.text}\n{said}"


@pytest.mark.slow
def test_the_code_runs_from_top_to_bottom(folder: Path) -> None:
    text = "\n".join(block.text for block in PYTHON if block.page.stem == "python")
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
