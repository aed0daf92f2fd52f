"""The confusion matrix: test images of each class by what they were taken for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fc2conv.pictures.sheet import MARGIN, SMALL, TEXT, Sheet
from fc2conv.pictures.style import INK, MUTED, RIGHT, WRONG, fitted, font, shades, share

if TYPE_CHECKING:
    from PIL.Image import Image

NUMBERED, NAMED = 20, 200
"""Classes up to which there are counts in the squares, and names beside them."""
LARGEST, SIDE = 64, 1700
"""Pixels of a square, at most, and of all of them in a row."""
LONGEST = 220
"""Pixels of a name, at most."""
FLOOR = 0.02
"""The scale of the errors reaches to this share of a class at least, so that a few do not look like many."""


def confusion_picture(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> Image:
    """Rows are the true classes, columns the predicted. Colours are shares of the row: the images that were classified
    rightly on one scale, and those that were not on another, which ends at the largest error."""
    counts = np.asarray(confusion)
    n = len(counts)
    cell = max(1, min(LARGEST, SIDE // n))
    named = n <= NAMED
    size = max(9, min(TEXT, cell - 2))
    names = [fitted(classes[i] if i < len(classes) else i, size, LONGEST) for i in range(n if named else 0)]
    longest = max((round(font(size).getlength(name)) for name in names), default=12) + 12
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    diagonal = np.eye(n, dtype=bool)
    worst = max(FLOOR, float(np.where(diagonal, 0, shares).max()))
    colours = np.where(diagonal[..., None], shades(shares, RIGHT), shades(np.minimum(shares / worst, 1), WRONG))

    right = round(font(size).getlength("100.0 %")) + 24 if named else MARGIN
    left, top = MARGIN + longest, Sheet.NOTED + longest + 50
    width = max(left + n * cell + right + MARGIN, 900)
    sheet = Sheet(
        width,
        top + n * cell + MARGIN + 76,
        "Confusion matrix",
        "test images of each class (rows) by what they were taken for (columns)"
        + ("; at the right, how many of a class are right" if named else ""),
    )
    gap = 1 if cell >= 8 else 0
    tiles = colours.repeat(cell, 0).repeat(cell, 1)
    if gap:
        tiles[::cell], tiles[:, ::cell] = 255, 255
    sheet.tile(left, top, tiles)
    for i, name in enumerate(names):
        middle = i * cell + cell // 2
        sheet.text(left - 10, top + middle, name, size, INK, "rm")
        sheet.upright(left + middle, top - 8, name, size)
        accuracy = share(shares[i, i]) if counts[i].sum() else "none"
        sheet.text(left + n * cell + 12, top + middle, accuracy, size, MUTED, "lm")
    for row, column in np.argwhere(counts) if n <= NUMBERED else ():
        dark = int(colours[row, column].sum()) < 380
        x, y = left + column * cell + cell // 2, top + row * cell + cell // 2
        number = str(counts[row, column])
        fits = next((s for s in range(TEXT, 8, -1) if font(s).getlength(number) < cell - 8), 8)
        sheet.text(x, y, number, fits, "#ffffff" if dark else INK, "mm")
    y, ramp = top + n * cell + MARGIN, np.linspace(0, 1, 160)
    sheet.text(MARGIN, y - 2, "right", SMALL, MUTED)
    sheet.ramp(MARGIN + 100, y, shades(ramp, RIGHT), ("0", "100 %"))
    sheet.text(MARGIN + 400, y - 2, "wrong", SMALL, MUTED)
    sheet.ramp(MARGIN + 510, y, shades(ramp, WRONG), ("0", f"{100 * worst:.1f} %"))
    return sheet.image
