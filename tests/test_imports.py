"""The direction of the imports, read from the source: what a room may know, and that no two files know each other."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import fc2conv

ROOT = Path(fc2conv.__file__).parent
FILES = {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in ROOT.rglob("*.py")}
"""Module names without the package's: errors, architectures, architectures.lenet, ..."""

ARROWS: dict[str, set[str]] = {
    "errors": set(),
    "fields": {"errors"},
    "architectures": {"fields"},
    "config": {"architectures"},
    "nets": {"architectures"},
    "data": {"config"},
    "record": {"config"},
    "pictures": {"record"},
    "training": {"config", "nets", "data", "record", "pictures", "instruments", "speed"},
    "instruments": {"nets", "data"},
    "compose": {"config", "data"},
    "sweep": {"compose", "training"},
    "claims": {"sweep", "report"},
    "pages": {"errors"},
    "report": {"record", "pictures", "pages"},
    "playground": {"instruments", "pages", "claims"},
    "entry": {"sweep"},
    "api": {"entry"},
    "cli": {"api", "report", "claims", "playground"},
    "__main__": {"cli"},
    "__init__": {"cli"},
    "speed": set(),
}
"""Room -> the rooms that it may import, besides all that these may. A room that does not exist yet may be named."""

TORCH_FREE = ("errors", "fields", "architectures", "config", "record", "compose", "entry", "api", "cli", "sweep")
TORCH_FREE += ("pictures", "pages", "report", "claims")
"""Rooms whose files import no torch at their top, and nothing that does; a function may."""
USES_TORCH = {"record.loggers", "record.mirror", "record.tracking", "sweep.journal", "sweep.warm"}
USES_TORCH |= {"record.access", "report.publish"}
"""Files in these rooms that need it, or another of HEAVY; they are imported where they are used."""
HEAVY = {"torch", "torchvision", "torchmetrics", "lightning", "wandb", "optuna", "pandas", "altair", "vl_convert"}
HYDRA_PLUGINS = {f"hydra_plugins.{p.stem}": p for p in (ROOT.parent / "hydra_plugins").glob("*.py")}
"""Hydra imports them whenever it starts."""


def imports(path: Path, everywhere: bool = True) -> set[str]:
    """Every name that the file imports, dotted: `from a.b import c` is a.b and a.b.c, or the latter alone if it is one
    of our modules.

    Args:
        everywhere: in functions, too; else at the top only, but for what type checkers alone read
    """
    found = set()
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno}: imports are written in full, so that they can be found"
            assert node.module is not None
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in names if name.removeprefix("fc2conv.") in FILES}
            found |= names if names == modules else {node.module, *names}
    return found


NAMESAKE = {"sweep": {"api"}}
"""The room and the function have one name: the room, when it is called, calls the function."""
IMPORTS = {name: imports(path) for name, path in FILES.items()}


def importers(*targets: str) -> set[str]:
    """Modules of ours that import any of `targets` or something in it."""
    return {name for name, found in IMPORTS.items() if any(f"{i}.".startswith(f"{t}.") for i in found for t in targets)}


def room(module: str) -> str:
    return module.split(".")[0]


def known(name: str) -> set[str]:
    """Our modules that a module imports, wherever in its file."""
    found = {i.removeprefix("fc2conv.") for i in IMPORTS[name]} & (set(FILES) - {name, "__init__"})
    return found - NAMESAKE.get(name, set())


def reachable(start: str) -> set[str]:
    """The rooms that a room may import."""
    found = set(ARROWS[start])
    for other in ARROWS[start]:
        found |= reachable(other)
    return found


@pytest.mark.parametrize("name", sorted(FILES))
def test_imports_flow_one_way(name: str) -> None:
    assert {room(other) for other in known(name)} - {room(name)} <= reachable(room(name))


def test_no_two_files_import_each_other() -> None:
    """Not through others either. A package's own file stands for nothing but itself."""
    TopologicalSorter({name: known(name) for name in FILES}).prepare()


def loaded(path: Path) -> set[str]:
    """All that an import of the file imports, through other files of ours, too."""
    found, ways = set(), [path]
    while ways:
        new = imports(ways.pop(), everywhere=False) - found
        found |= new
        ways += [FILES[name.removeprefix("fc2conv.")] for name in new if name.removeprefix("fc2conv.") in FILES]
    return found


POSIX_ONLY = {"fcntl", "pwd", "resource", "multiprocessing.forkserver", "multiprocessing.context.ForkServerProcess"}


@pytest.mark.parametrize("name", sorted(FILES))
def test_windows_can_import_it(name: str) -> None:
    """What needs a POSIX system says so when it is used."""
    assert not imports(FILES[name], everywhere=False) & POSIX_ONLY


@pytest.mark.parametrize("name", [*(n for n in FILES if room(n) in TORCH_FREE and n not in USES_TORCH), *HYDRA_PLUGINS])
def test_needs_no_torch(name: str) -> None:
    assert not {room(i) for i in loaded((FILES | HYDRA_PLUGINS)[name])} & HEAVY


@pytest.mark.parametrize("name", [*FILES, *HYDRA_PLUGINS])
def test_what_is_taken_from_the_package_is_a_module(name: str) -> None:
    """Not one of its lazy names, which would hide what a file needs."""
    tree = ast.parse((FILES | HYDRA_PLUGINS)[name].read_text())
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "fc2conv"]
    assert {alias.name for node in froms for alias in node.names} <= {*FILES, "__version__"}


@pytest.mark.parametrize(
    ("target", "allowed"),
    [
        ("hydra", {"entry", "compose", "sweep"}),
        ("omegaconf", {"entry", "compose", "sweep"}),
        ("wandb", {"record.access", "record.tracking", "report", "sweep.pool"}),
        ("fc2conv.speed", {"speed", "training.distributed"}),
        ("optuna", {"sweep", "report"}),
        ("pandas", {"api", "report", "cli"}),
    ],
)
def test_is_known_only_to(target: str, allowed: set[str]) -> None:
    assert {n for n in importers(target) if not {n, room(n)} & allowed} == set()


def test_there_is_no_drawer() -> None:
    drawers = {"util", "utils", "helper", "helpers", "common", "misc", "tools"}
    assert not {name for name in FILES if drawers & set(name.split("."))}


def test_the_imports_are_found() -> None:
    """The tests above would pass on nothing."""
    assert {"errors", "architectures.lenet", "training.run", "entry"} <= set(FILES)
    assert "entry" in importers("fc2conv.training.run") & importers("hydra")
    assert {"training.classifier", "nets.build"} <= importers("torch")
    assert {"training", "config"} <= {room(name) for name in known("entry")}


def test_the_package_costs_no_torch_and_sets_nothing() -> None:
    script = (
        "import os, sys; before = dict(os.environ); import fc2conv; fc2conv.__version__; dir(fc2conv)\n"
        "assert dict(os.environ) == before\n"
        "print(sorted({'torch', 'lightning', 'hydra', 'wandb', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
