"""geometry.js says what the suite says: the same shapes, parameters, MACs, receptive fields, remarks and errors."""

from __future__ import annotations

import random
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import pytest

from fc2conv.architectures import plan
from fc2conv.architectures.layers import Activation, PaddingMode, Pool
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.config.schema import plain
from fc2conv.errors import ConfigError
from fc2conv.pages.inline import PAGES, html, modules_in

N = 3000


def drawn(rng: random.Random) -> tuple[dict[str, Any], tuple[int, int, int], int]:
    """A config of LeNet, an image's shape and a number of classes; many do not work."""
    n = rng.choice((0, 1, 1, 2, 2, 2, 2, 3, 3, 4))

    def one_or_each(*values: Any) -> Any:
        if rng.random() < 0.6:
            return rng.choice(values)
        return tuple(rng.choice(values) for _ in range(rng.randint(0 if rng.random() < 0.05 else 1, n + 1)))

    values = {
        "channels": tuple(rng.choice((1, 3, 6, 16, 33, 128)) if rng.random() < 0.99 else 0 for _ in range(n)),
        "kernel_size": one_or_each(1, 2, 3, 3, 5, 5, 7, 0 if rng.random() < 0.05 else 9),
        "padding": one_or_each(0, 1, 2, 3, "same", "valid", -1 if rng.random() < 0.05 else 4),
        "padding_mode": rng.choice(("zeros", "zeros", *get_args(PaddingMode))),
        "stride": one_or_each(1, 1, 2, 3),
        "dilation": one_or_each(1, 1, 1, 2),
        "activation": rng.choice(get_args(Activation)),
        "pool": rng.choice(get_args(Pool)),
        "pool_after": rng.choice((None, None, (), (1,), (2,), (1, 3))),
        "norm": rng.choice(("none", "batch")),
        "bias": rng.random() < 0.5,
        "dropout": rng.choice((0, 0, 0.5, 1.5 if rng.random() < 0.1 else 0.25)),
        "head": rng.choice(("dense", "dense", "gap")),
        "hidden": rng.choice(((120, 84), (120, 84), (), (10,), (64, 32, 16), (0,))),
        "separable": rng.random() < 0.25,
        "coordinates": rng.random() < 0.25,
    }
    kept = {key: value for key, value in values.items() if rng.random() < 0.7}
    size = rng.choice(((28, 28), (28, 28), (32, 32), (16, 16), (8, 8), (5, 5), (40, 100), (1, 7), (1, 40), (224, 224)))
    return kept, (rng.choice((1, 1, 3, 4)), *size), rng.choice((2, 10, 100))


def answer(values: dict[str, Any], shape: tuple[int, int, int], classes: int) -> dict[str, Any]:
    """What the suite says, as JSON; the calculator takes square windows only, and offers no others."""
    try:
        geometry = plan(LeNetConfig(**values), shape, classes)
    except ConfigError as error:
        return {"key": error.key, "error": str(error).replace(", or HEIGHTxWIDTH, e.g. 1x5", "")}
    rows = [
        {
            "name": row.name,
            "input": list(row.input),
            "output": list(row.output),
            "params": row.params,
            "macs": row.macs,
            "receptive_field": row.receptive_field,
        }
        for row in geometry.rows
    ]
    totals = {key: getattr(geometry, key) for key in ("remarks", "params", "macs", "receptive_field")}
    return {"rows": rows, **totals}


@pytest.fixture
def geometry_page(tmp_path: Path) -> Path:
    """A page with geometry.js and nothing else: window.geometry is the module."""
    modules = modules_in(PAGES, "pages")
    modules["main"] = (
        'import * as geometry from "pages/geometry.js"; window.geometry = geometry; '
        'document.documentElement.dataset.ready = "";'
    )
    template = tmp_path / "template.html.j2"
    template.write_text(
        '<!doctype html><meta http-equiv="Content-Security-Policy" content="{{ policy }}"><style>{{ style }}</style>'
        '<script type="importmap" nonce="{{ nonce }}">{{ import_map }}</script>'
        '<script type="application/json">{{ data }}</script>'
        '<script type="module" nonce="{{ nonce }}">import "main";</script>'
    )
    file = tmp_path / "geometry.html"
    file.write_text(html(template, [], modules, None))
    return file


@pytest.mark.browser
def test_a_browser_says_what_the_suite_says(geometry_page: Path, open_page: Callable[..., Any]) -> None:
    rng = random.Random(0)
    drawings = [drawn(rng) for _ in range(N)]
    expected = [answer(*drawing) for drawing in drawings]
    refused = sum("error" in e for e in expected)
    assert N / 4 < refused < 3 * N / 4, "both kinds are tested"
    assert len({e["error"].split(": ")[0] for e in expected if "error" in e}) >= 8, "and many reasons"
    got = open_page(geometry_page).evaluate(
        """drawings => drawings.map(([values, shape, classes]) => {
            try { return geometry.plan(values, shape, classes) }
            catch (error) { return {key: error.key, error: error.message} }
        })""",
        drawings,
    )
    for drawing, one, other in zip(drawings, expected, got, strict=True):
        assert other == one, drawing


@pytest.mark.browser
def test_the_defaults_are_the_suites(geometry_page: Path, open_page: Callable[..., Any]) -> None:
    suite = {k: v for k, v in plain(LeNetConfig()).items() if k not in ("family", "init", "pool_size")}
    assert open_page(geometry_page).evaluate("geometry.LENET") == suite


def test_the_files_are_in_the_package() -> None:
    folder = resources.files("fc2conv") / "pages"
    assert {"geometry.js", "base.css"} <= {file.name for file in folder.iterdir()}
