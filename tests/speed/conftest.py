"""Each test of the kernels runs with the instructions of every generation of processors that this one can run."""

from __future__ import annotations

import os

import pytest
import torch

from fc2conv.speed import kernels


@pytest.fixture(params=kernels.possible() or ["none"])
def instructions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> kernels.Instructions:
    wanted: kernels.Instructions = request.param
    if wanted == "none":
        pytest.skip("this processor has neither AVX2 nor AVX-512")
    library = kernels.load(wanted)
    if library is None:
        (pytest.fail if "CI" in os.environ else pytest.skip)("there is no library: make setup found no C compiler")
    monkeypatch.setattr(kernels, "library", library)
    monkeypatch.setattr(kernels, "instructions", wanted)
    torch.manual_seed(0)
    return wanted


@pytest.fixture
def calls(instructions: kernels.Instructions, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the functions of kernels.c as they are called."""
    names: list[str] = []
    call = kernels._call

    def noted(name: str, *arguments: object) -> None:
        names.append(name)
        call(name, *arguments)

    monkeypatch.setattr(kernels, "_call", noted)
    return names
