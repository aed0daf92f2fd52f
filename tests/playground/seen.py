"""What a reader sees of the page: numbers, colours and frames."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from playwright.sync_api import Locator

COLOURS = """(canvas) => {
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
    copy.drawImage(canvas, 0, 0);
    return [canvas.height, canvas.width, Array.from(copy.getImageData(0, 0, canvas.width, canvas.height).data)];
}"""
THEME = """(page, names) => names.map((name) => {
    const probe = document.createElement("span");
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color.match(/[\\d.]+/g).slice(0, 3).map(Number);
    probe.remove();
    return found;
})"""


def number(text: str) -> float:
    """With a real minus, and a comma between thousands."""
    return float(text.replace("−", "-").replace(",", ""))


def computed(text: str) -> float:
    """What a line of arithmetic comes to: `(2 · 10 + 1)² − 3`."""
    plain = text.translate(str.maketrans({"−": "-", "·": "*", "×": "*", ",": None, "²": "**2", "⁴": "**4"}))
    assert re.fullmatch(r"[\d.()+\-*/ ]+", plain), text
    return float(eval(plain))


def colours(canvas: Locator) -> Tensor:
    """(H, W, 4), red, green, blue and opacity, from 0 to 255."""
    height, width, data = canvas.evaluate(COLOURS)
    return torch.tensor(data).view(height, width, 4)


def greys(canvas: Locator) -> Tensor:
    """(H, W), from 0 to 255."""
    return colours(canvas)[..., 0]


def theme(canvas: Locator, *names: str) -> Tensor:
    """(N, 3): these colours of the page's present theme."""
    return torch.tensor(canvas.evaluate(THEME, list(names)))


def signed(canvas: Locator) -> Tensor:
    """(H, W), from -1 to 1: how far a colour is on the way from that of zero to that of the least or the largest."""
    zero, minus, plus = theme(canvas, "--panel", "--minus", "--plus").double()
    shown = colours(canvas)[..., :3].double() - zero

    def share(full: Tensor) -> Tensor:
        return (shown @ (full - zero)) / (full - zero).square().sum()

    def miss(full: Tensor) -> Tensor:
        return (shown - share(full)[..., None] * (full - zero)).square().sum(-1)

    return torch.where(miss(plus) <= miss(minus), share(plus), -share(minus))


def frames(within: Locator, kind: str) -> list[tuple[float, float, float, float]]:
    """(x, y, width, height) of the frames of a kind that lie on a picture, in its cells."""
    return [_box(rect) for rect in within.locator(f"rect.{kind}").all()]


def _box(rect: Locator) -> Any:
    return tuple(float(rect.get_attribute(key) or "nan") for key in ("x", "y", "width", "height"))
