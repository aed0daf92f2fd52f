"""A page with small networks, trained for seconds, so that no test needs the runs of the claims."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F
from playground.torch_side import RUNGS, Twin

from fc2conv.architectures import ModelConfig
from fc2conv.architectures.ladder import LadderConfig
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.architectures.mlp import MLPConfig
from fc2conv.architectures.softmax import SoftmaxConfig
from fc2conv.config.schema import DataConfig
from fc2conv.data.image_data import ImageData
from fc2conv.pages.inline import PAGES, html, modules_in
from fc2conv.playground.networks import describe
from fc2conv.playground.page import PAGE, render
from fc2conv.playground.payload import measured, payload
from fc2conv.training.classifier import Classifier

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

STEPS, BATCH = 40, 64
CANVAS = {"canvas": 44, "train_size": 2560}
MODELS: dict[str, tuple[ModelConfig, dict[str, Any]]] = {
    "softmax": (SoftmaxConfig(), CANVAS),
    "mlp": (MLPConfig(hidden=(31,)), CANVAS),
    "mlp_permuted": (MLPConfig(hidden=(31,)), {**CANVAS, "permutation": "fixed"}),
    "lenet": (LeNetConfig(channels=(4, 11), activation="relu", pool="max", hidden=(56, 40)), CANVAS),
    "gap": (
        LeNetConfig(channels=(6, 16, 120), activation="relu", pool="max", pool_after=(1, 2), head="gap"),
        CANVAS,
    ),
}
"""As the page's own, in the page's order."""
LADDER: dict[str, tuple[ModelConfig, dict[str, Any]]] = {
    rung: (LadderConfig(constraint=rung, channels=4), {"size": 14, "train_size": 2560})  # type: ignore[arg-type]
    for rung in RUNGS
}


def trained(config: ModelConfig, data: ImageData) -> Classifier:
    """A network after some steps of AdamW, in evaluation."""
    torch.manual_seed(0)
    module = Classifier(config, data.shape)
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01)
    for _, (batch, labels) in zip(range(STEPS), data.train_dataloader(), strict=False):
        optimizer.zero_grad()
        F.cross_entropy(module(batch), labels).backward()
        optimizer.step()
    return module.eval()


@pytest.fixture(scope="session")
def small_networks(data_dir: str) -> dict[str, tuple[Classifier, ImageData]]:
    """Name -> a network and its data, of MODELS and LADDER. Weights are such as 16 bits can hold."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small tensors are not worth sharing
    known: dict[str, ImageData] = {}
    found = {}
    for name, (config, values) in {**MODELS, **LADDER}.items():
        data = known.setdefault(str(values), ImageData(DataConfig(dir=data_dir, batch_size=BATCH, **values)))
        data.setup()
        found[name] = trained(config, data), data
        with torch.no_grad():
            for parameter in found[name][0].parameters():
                parameter.copy_(parameter.half())
    torch.set_num_threads(threads)
    return found


@pytest.fixture(scope="session")
def twins(small_networks: dict[str, tuple[Classifier, ImageData]]) -> dict[str, Twin]:
    """Of all small networks."""
    return {name: Twin(*found) for name, found in small_networks.items()}


@pytest.fixture(scope="session")
def playground_data(small_networks: dict[str, tuple[Classifier, ImageData]]) -> dict[str, Any]:
    """The payload of a page with small networks."""

    def described(name: str) -> dict[str, Any]:
        module, data = small_networks[name]
        called = {"id": name, "title": name, "says": f"the network {name}"}
        return {**called, **describe(Path("made-up"), module, data)}

    def with_curve(name: str) -> dict[str, Any]:
        curve = measured(*small_networks[name], few=100)
        return {**described(name), "claim": None, "arm": None, "curve": curve}

    return payload([with_curve(name) for name in MODELS], [described(name) for name in RUNGS])


@pytest.fixture(scope="session")
def playground_page(playground_data: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page, as a file."""
    file = tmp_path_factory.mktemp("playground") / "playground.html"
    file.write_text(render(playground_data), encoding="utf-8")
    return file


@pytest.fixture
def page(playground_page: Path, open_page: Callable[..., Page]) -> Page:
    """The page without questions, in which nothing moves by itself."""
    return open_page(playground_page, "#open", reduced_motion="reduce")


@pytest.fixture
def station(page: Page, request: pytest.FixtureRequest) -> Locator:
    """The station that a file of tests is about: its STATION."""
    return page.locator(f"#{request.module.STATION}")


@pytest.fixture(scope="session")
def engine_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with the engine and nothing else: its modules are window.layers, .network, .optimizer, ..."""
    names = ("half", "layers", "network", "optimizer", "random")
    folder = tmp_path_factory.mktemp("engine")
    template = folder / "template.html.j2"
    template.write_text(
        '<!doctype html><meta http-equiv="Content-Security-Policy" content="{{ policy }}"><style>{{ style }}</style>'
        '<script type="importmap" nonce="{{ nonce }}">{{ import_map }}</script>'
        '<script type="application/json">{{ data }}</script>'
        '<script type="module" nonce="{{ nonce }}">import "main";</script>'
    )
    imports = "".join(f'import * as {name} from "playground/{name}.js";' for name in names)
    imports += 'import * as geometry from "pages/geometry.js";'
    main = f"{imports} Object.assign(window, {{geometry, {', '.join(names)}}});"
    modules = {f"playground/{name}.js": (PAGE / f"{name}.js").read_text("utf-8") for name in names}
    modules |= {**modules_in(PAGES, "pages"), "main": f'{main} document.documentElement.dataset.ready = "";'}
    file = folder / "engine.html"
    file.write_text(html(template, [], modules, None))
    return file
