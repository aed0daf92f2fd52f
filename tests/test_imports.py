"""The direction of the imports, read from the source: what a module may not know, and what may not know it; and how
large ones are made."""

from __future__ import annotations

import ast
import gc
import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import pytest

import fc2conv
from fc2conv.imports import uncollected

ROOT = Path(fc2conv.__file__).parent
FILES = {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in ROOT.rglob("*.py")}
"""Module names without the package's: config, models, models.lenet, ..."""

TORCH_FREE = [
    *(
        "config",
        "parsing",
        "geometry",
        "result",
        "show",
        "record",
        "signals",
        "lock",
        "world",
        "imports",
        "cli",
        "data.folder",
        "models",
    ),
    *("compose", "sweep.cells", "sweep.files", "sweep.share", "sweep.table", "sweep.board"),
    *("sweep.sweeper", "sweep.pool", "sweep.study", "sweep.job"),
    *(f"models.{family}" for family in ("perceptrons", "ladder", "lenet", "nin", "resnet", "convnet")),
]


def imports(path: Path) -> set[str]:
    """Every name that the file imports, dotted, wherever in the file: `from a.b import c` is a.b and a.b.c."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno}: imports are written in full, so that they can be found"
            assert node.module is not None
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


IMPORTS = {name: imports(path) for name, path in FILES.items()}


def importers(*targets: str) -> set[str]:
    """Modules of ours that import any of `targets` or something in it."""
    return {name for name, found in IMPORTS.items() if any(f"{i}.".startswith(f"{t}.") for i in found for t in targets)}


def rooms(modules: set[str]) -> set[str]:
    return {name.split(".")[0] for name in modules}


@pytest.mark.parametrize("name", TORCH_FREE)
def test_needs_no_torch(name: str) -> None:
    assert name not in importers("torch", "torchvision", "torchmetrics", "lightning")


@pytest.mark.parametrize(
    ("target", "allowed"),
    [
        # a room that does not exist yet may be named: the house has a place for it
        ("hydra", {"cli", "compose", "sweep"}),
        ("omegaconf", {"cli", "compose", "sweep"}),
        ("wandb", {"tracking", "report", "sweep"}),
        ("fc2conv.training.run", {"cli", "launch", "sweep"}),
        ("fc2conv.training.launch", {"cli", "sweep"}),
        ("fc2conv.cli", {"launch", "sweep"}),  # a rank and a cell answer an error as the command line does
        ("fc2conv.record.tracking", {"run"}),
        ("fc2conv.training.callbacks", {"run", "launch"}),
        ("fc2conv.report", {"report"}),
        ("fc2conv.sweep", {"sweep", "cli"}),
    ],
)
def test_is_known_only_to(target: str, allowed: set[str]) -> None:
    assert rooms(importers(target)) <= allowed


@pytest.mark.parametrize("room", ["models", "geometry", "config", "parsing", "result", "classifier", "data"])
def test_knows_nothing_of_how_a_run_is_started(room: str) -> None:
    for target in ("hydra", "omegaconf", "wandb", "lightning.pytorch.Trainer", "lightning.Trainer"):
        assert room not in rooms(importers(target)), target


# who may import whom, of the rooms that the direction is about
ARROWS = {
    "config": set(),
    "parsing": {"config"},
    "signals": set(),
    "result": set(),
    "geometry": {"config"},
    "lock": set(),
    "data": {"config", "parsing", "geometry"},
    "models": {"config", "geometry", "classifier"},
    "classifier": {"config", "parsing", "geometry", "data", "models"},
    "record": {"config", "geometry", "result", "lock"},
    "show": {"config", "geometry", "result"},
}


@pytest.mark.parametrize("room", ARROWS)
def test_imports_flow_one_way(room: str) -> None:
    ours = rooms(set(FILES) - {"__init__"})
    found = {other for other in ours - {room} for name in importers(f"fc2conv.{other}") if name.split(".")[0] == room}
    assert found <= ARROWS[room]


def test_only_the_lightning_modules_of_models_know_the_classifier() -> None:
    assert {n for n in importers("fc2conv.training.classifier") if n.startswith("models")} == {"models.modules"}


def test_there_is_no_drawer() -> None:
    drawers = {"util", "utils", "helper", "helpers", "common", "misc", "tools"}
    assert not {name for name in FILES if drawers & set(name.split("."))}


def test_the_imports_are_found() -> None:
    """The tests above would pass on nothing."""
    assert {"config", "models.lenet", "run", "cli"} <= set(FILES)
    assert "cli" in importers("fc2conv.training.run") & importers("hydra")
    assert {"classifier", "models.layers"} <= importers("torch")
    assert "run" in importers("lightning.pytorch.Trainer")


@pytest.mark.parametrize("imported", [True, False])
def test_what_was_imported_is_left_alone_and_nothing_else(imported: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second run in one process imports nothing: what it finds of the first must still be collected."""
    before = gc.get_freeze_count()
    try:
        with suppress(ImportError), uncollected():
            assert not gc.isenabled()
            if imported:
                monkeypatch.setitem(sys.modules, "large", ModuleType("large"))
            raise ImportError
        assert gc.isenabled()
        assert (gc.get_freeze_count() > before) == imported
    finally:
        gc.unfreeze()
