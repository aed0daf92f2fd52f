"""Fixtures: Fashion-MNIST as make provides it, and a small folder of images that needs no provision."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fc2conv.architectures import ARCHITECTURES
from fc2conv.architectures.files import PREFIX

pytest_plugins = ["browser"]

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def data_dir() -> str:
    """Where the prepared caches lie (`make setup` fills it)."""
    folder = ROOT / "data"
    if not (folder / "fashion_mnist" / "meta.json").exists():
        pytest.fail("Fashion-MNIST is not prepared; run make setup")
    return str(folder)


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Three classes, told apart by brightness, 20 grey 10x8 PNGs each."""
    generator = np.random.default_rng(0)
    for label, name in enumerate(("dark", "light", "middle")):
        folder = tmp_path / "images" / name
        folder.mkdir(parents=True)
        for i in range(20):
            pixels = generator.integers(0, 60, (8, 10)) + (0, 190, 95)[label]
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i:02}.png")
    return tmp_path / "images"


@pytest.fixture
def registry() -> Iterator[None]:
    """What a test registers goes with it."""
    before, modules = dict(ARCHITECTURES), set(sys.modules)
    yield
    ARCHITECTURES.clear()
    ARCHITECTURES.update(before)
    for name in set(sys.modules) - modules:
        if name.startswith(PREFIX):
            del sys.modules[name]


@pytest.fixture
def draws() -> None:
    """For tests whose runs draw their pictures."""


@pytest.fixture(autouse=True)
def _draws_nothing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others are not about pictures, which take longer than many a run of these tests."""
    if "draws" not in request.fixturenames:
        monkeypatch.setattr("fc2conv.pictures.folder.images", lambda *of: {})
        monkeypatch.setattr("fc2conv.pictures.folder.save_curves", lambda *of: [])


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Small tensors are not worth sharing: on a busy machine the threads wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
