"""The most confidently misclassified test images, as a labelled contact sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fc2conv.pictures.sheet import MARGIN, SMALL, TEXT, Sheet
from fc2conv.pictures.style import MUTED, WRONG, as_rgb, enlarged, fitted, share
from fc2conv.record.arrays import Arrays

if TYPE_CHECKING:
    from PIL.Image import Image

COLUMNS = 5
EDGE, CELL = 140, 190
"""Pixels of an image's longer side, about, and of the column it has."""


def example_picture(arrays: Arrays, classes: Sequence[str]) -> Image:
    """Each image with what it is, what it was taken for, and how surely."""
    images = enlarged(as_rgb(arrays.examples), EDGE)
    high, wide = images.shape[1:3]
    step_x, step_y = max(CELL, wide + 24), high + 2 * TEXT + SMALL + 40
    n, top = len(images), Sheet.NOTED + 6
    rows = math.ceil(n / COLUMNS)
    sheet = Sheet(
        2 * MARGIN + COLUMNS * step_x,
        top + rows * step_y + MARGIN // 2,
        "Misclassified test images",
        f"the {n} that the network was most sure of: what they are, and below what they were taken for",
    )
    numbers = zip(
        *(arrays.example_labels.tolist(), arrays.example_predictions.tolist()),
        *(arrays.example_confidences.tolist(), arrays.example_indices.tolist()),
        strict=True,
    )
    dark = "#{:02x}{:02x}{:02x}".format(*WRONG[4])
    for i, (label, prediction, confidence, index) in enumerate(numbers):
        x, y = MARGIN + i % COLUMNS * step_x, top + i // COLUMNS * step_y
        sheet.tile(x, y, images[i])
        width, y = step_x - 20, y + high + 8
        sheet.text(x, y, fitted(name_of(label, classes), TEXT, width))
        sheet.text(x, y + TEXT + 4, fitted(name_of(prediction, classes), TEXT, width), TEXT, dark)
        sheet.text(x, y + 2 * TEXT + 10, f"{share(confidence)}, no. {index}", SMALL, MUTED)
    return sheet.image


def name_of(label: int, classes: Sequence[str]) -> str:
    """A class's name; its number where it has none."""
    return classes[label] if 0 <= label < len(classes) else str(label)
