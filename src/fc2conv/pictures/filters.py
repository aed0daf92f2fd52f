"""The filters of a layer: its weights as images, on one signed scale."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fc2conv.pictures.sheet import MARGIN, SMALL, Sheet
from fc2conv.pictures.style import MUTED, diverging, enlarged, limit_of

if TYPE_CHECKING:
    from PIL.Image import Image

WIDTH = 1000
"""About as wide the picture is."""
LARGEST = 140
"""Pixels of a filter's side, at most; few filters would fill the width alone."""
SMALLEST = 40
GAP = 14
MOST, MOST_BANDS = 64, 32
"""Of more filters, or of filters that see more bands, the first are shown."""


def filter_picture(weights: NDArray[Any], title: str = "First-layer filters") -> Image:
    """Every filter of (O, C, H, W), what it does to each band of its input side by side."""
    o, c, h, w = weights.shape
    shown = weights[:MOST, :MOST_BANDS].astype(np.float32)
    n, bands = shown.shape[:2]
    columns, edge = _layout(n, bands)
    limit = limit_of(shown)
    tiles = enlarged(diverging(shown.reshape(-1, h, w), limit), edge)
    high, wide = tiles.shape[1:3]
    tiles = tiles.reshape(n, bands, high, wide, 3)
    step_x, step_y = bands * (wide + 2) - 2 + GAP, high + SMALL + GAP
    rows = math.ceil(n / columns)
    top = Sheet.NOTED + 12
    width = max(2 * MARGIN + columns * step_x - GAP, 760)
    kind = f"{o} of {h} x {w}" + (f", each on its {c} input channels side by side" if c > 1 else "")
    kind += f" (the first {bands})" if bands < c else ""
    kind += f"; the first {n}" if n < o else ""
    sheet = Sheet(width, top + rows * step_y + 70, title, kind)
    for i, filters in enumerate(tiles):
        x, y = MARGIN + i % columns * step_x, top + i // columns * step_y
        for band, pixels in enumerate(filters):
            sheet.tile(x + band * (wide + 2), y, pixels)
        sheet.text(x, y + high + 3, i, SMALL - 2, MUTED)
    sheet.scale(MARGIN + 20, top + rows * step_y + 8, limit)
    beyond = " (some are beyond)" if np.abs(shown).max() > 1.001 * limit else ""
    sheet.text(MARGIN + 320, top + rows * step_y + 8, f"weight{beyond}", SMALL, MUTED)
    return sheet.image


def _layout(filters: int, bands: int) -> tuple[int, int]:
    """(filters in a row, pixels of a filter's side). Few are as large as they may be, many lie in a rectangle."""
    columns = WIDTH // (LARGEST * bands + GAP)
    if filters > 2 * columns:
        columns = round(math.sqrt(filters * bands) / bands)
    columns = max(1, min(filters, columns))
    edge = (WIDTH - columns * GAP) // (columns * bands)
    return columns, max(SMALLEST, min(LARGEST, edge))
