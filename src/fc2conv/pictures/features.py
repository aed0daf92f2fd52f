"""Feature maps: what each convolution makes of one image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fc2conv.pictures.sheet import MARGIN, SMALL, TEXT, Sheet
from fc2conv.pictures.style import MUTED, as_rgb, diverging, enlarged, fitted, limit_of

if TYPE_CHECKING:
    from PIL.Image import Image

COLUMNS = 8
"""Maps in a row."""
EDGE, GAP = 84, 8
"""Pixels of a map's longer side, about, and between two maps."""
LEFT = 280
"""Pixels of the column that names the layers."""


def feature_picture(image: NDArray[Any], label: str, features: Mapping[str, NDArray[Any]]) -> Image:
    """One block a layer, each with its own scale.

    Args:
        image: (C, H, W) uint8
        label: what it is
        features: layer -> (channels, height, width)
    """
    shown = enlarged(as_rgb(image[None]), 2 * EDGE)[0]
    blocks = [_Block(name, maps) for name, maps in features.items()]
    step = max(block.tiles.shape[2] for block in blocks) + GAP
    top = Sheet.NOTED + 6
    height = top + shown.shape[0] + 2 * MARGIN + sum(block.height for block in blocks)
    note = "one scale a layer: red is positive, blue negative, white zero"
    sheet = Sheet(2 * MARGIN + LEFT + COLUMNS * step, height, "Feature maps after each convolution", note)
    sheet.text(MARGIN, top, "the image", TEXT)
    sheet.text(MARGIN, top + TEXT + 6, fitted(label, SMALL, LEFT - 20), SMALL, MUTED)
    sheet.tile(MARGIN + LEFT, top, shown)
    y = top + shown.shape[0] + MARGIN
    for block in blocks:
        block.draw(sheet, y, step)
        y += block.height
    return sheet.image


class _Block:
    """The maps of one layer."""

    def __init__(self, name: str, maps: NDArray[Any]):
        self.name, self.shape = name, maps.shape
        self.limit = limit_of(maps)
        self.tiles = enlarged(diverging(maps.astype(np.float32), self.limit), EDGE)
        self.height = max(math.ceil(len(maps) / COLUMNS) * (self.tiles.shape[1] + GAP), 3 * TEXT + 45) + MARGIN

    def draw(self, sheet: Sheet, y: int, step: int) -> None:
        """From `y` down, a column every `step` pixels."""
        c, h, w = self.shape
        sheet.text(MARGIN, y, fitted(self.name, TEXT, LEFT - 20))
        sheet.text(MARGIN, y + TEXT + 6, f"{c} maps of {h} x {w}", SMALL, MUTED)
        sheet.scale(MARGIN + 20, y + TEXT + SMALL + 22, self.limit, 200, 14)
        for i, pixels in enumerate(self.tiles):
            x = MARGIN + LEFT + i % COLUMNS * step
            sheet.tile(x, y + i // COLUMNS * (len(pixels) + GAP), pixels)
