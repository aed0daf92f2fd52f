"""Which library is loaded, and what is done without it."""

from __future__ import annotations

import _ctypes
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from fc2conv.speed import kernels

SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")


@pytest.mark.parametrize("wanted", ["avx2", "avx512"])
def test_the_kernels_are_tested_with(wanted: kernels.Instructions) -> None:
    """Says which generation of processors the tests in this folder leave out."""
    if wanted not in kernels.possible():
        pytest.skip(f"this processor has no {wanted}")


def test_the_processors_best_instructions_are_used() -> None:
    found = torch.backends.cpu.get_cpu_capability()
    expected = {"AVX2": "avx2", "AVX512": "avx512"}.get(found, "none")
    if kernels.library is None:
        expected = "none"
    assert kernels.instructions == expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ("DEFAULT", []),
        ("NEON", []),
        ("AVX2", ["avx2"]),
        ("AVX512", ["avx512", "avx2"]),
        ("AVX512_VNNI", ["avx512", "avx2"]),
        ("AVX10_2", ["avx512", "avx2"]),
    ],
)
def test_what_a_processor_can_run(found: str, expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """No kernels for older ones, where they are slower than torch."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: found)
    assert kernels.possible() == expected


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, instructions: kernels.Instructions) -> Iterator[Path]:
    """A folder with copies of kernels.c and the libraries, which are loaded from there."""
    for file in kernels.SOURCE.parent.glob(f"_{instructions}{SUFFIX}"):
        shutil.copy(file, tmp_path)
    shutil.copy(kernels.SOURCE, tmp_path)
    monkeypatch.setattr(kernels, "SOURCE", tmp_path / "kernels.c")
    for cached in (kernels.load, kernels._warn_of_another_version):
        cached.cache_clear()
    yield tmp_path
    for cached in (kernels.load, kernels._warn_of_another_version):
        cached.cache_clear()


def test_a_library_of_this_kernels_c_is_used(beside: Path, instructions: kernels.Instructions) -> None:
    assert kernels.load(instructions) is not None
    kernels.load.cache_clear()
    kernels.SOURCE.unlink()  # as where the package was installed
    assert kernels.load(instructions) is not None


def test_a_library_of_another_kernels_c_is_left_out(
    beside: Path, instructions: kernels.Instructions, capsys: pytest.CaptureFixture[str]
) -> None:
    """With one line that says what to do."""
    with kernels.SOURCE.open("a") as file:
        file.write("/* git pull */\n")
    for _ in range(2):
        kernels.load.cache_clear()
        assert kernels.load(instructions) is None
    assert capsys.readouterr().err == (
        "the compiled kernels were made from another kernels.c and are not used; make setup compiles this one\n"
    )


def test_a_library_without_its_source_is_left_out(
    beside: Path, instructions: kernels.Instructions, capsys: pytest.CaptureFixture[str]
) -> None:
    """As libraries of an earlier version are."""
    library = beside / f"_{instructions}{SUFFIX}"
    shutil.copy(_ctypes.__file__, library)
    assert kernels.load(instructions) is None
    assert capsys.readouterr().err.count("\n") == 1


def test_no_library(beside: Path, instructions: kernels.Instructions, capsys: pytest.CaptureFixture[str]) -> None:
    library = beside / f"_{instructions}{SUFFIX}"
    library.write_text("of another kind of machine")
    assert kernels.load(instructions) is None
    kernels.load.cache_clear()
    library.unlink()
    assert kernels.load(instructions) is None
    assert not kernels.use(instructions)
    assert capsys.readouterr().err == ""


def test_instructions_can_be_chosen(instructions: kernels.Instructions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "library", None)
    monkeypatch.setattr(kernels, "instructions", "none")
    assert kernels.use(instructions)
    assert kernels.instructions == instructions
    assert kernels.library is kernels.load(instructions)


def test_other_compilers_make_no_library(tmp_path: Path) -> None:
    """What is compiled without the options, for any processor, would be slower than torch."""
    if shutil.which("gcc") is None:
        pytest.skip("there is no gcc")
    done = subprocess.run(
        ["gcc", "-std=gnu11", "-fopenmp", "-fPIC", "-shared", str(kernels.SOURCE), "-o", str(tmp_path / "library.so")],
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "compile with -march" in done.stderr


SMALL_STACK = """
import sys, torch
from torch import nn
from fc2conv.speed import accelerate, kernels
assert kernels.use(sys.argv[1])
torch.set_num_threads(2)
net = accelerate(nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.BatchNorm2d(2), nn.MaxPool2d(2)))
net(torch.randn(17, 1, 90, 90)).sum().backward()
conv = accelerate(nn.Sequential(nn.Conv2d(7, 1, (1, 3))))
conv(torch.randn(4, 7, 2, 20_000, requires_grad=True)).sum().backward()
net(torch.randn(17, 1, 90, 90)).sum().backward()
"""


def test_small_stacks_are_enough(instructions: kernels.Instructions) -> None:
    """Of the first thread and of the others, for the largest images and for rows of half a megabyte."""
    command = f"ulimit -s 256; exec {sys.executable} -c '{SMALL_STACK}' {instructions}"
    done = subprocess.run(
        ["bash", "-c", command], env={**os.environ, "OMP_STACKSIZE": "256k"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
