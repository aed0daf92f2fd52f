"""A sheet of paper for pixel pictures: text, tiles and a scale, put where they belong."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from fc2conv.pictures.style import INK, MUTED, PAPER, RULE, Pixels, clean, diverging, font

if TYPE_CHECKING:
    from PIL.Image import Image

MARGIN = 24
TITLE, TEXT, SMALL = 26, 19, 16
"""Sizes of text in pixels."""


class Sheet:
    """An empty sheet.

    Args:
        width, height: in pixels
        title: at its top
        note: below the title
    """

    HEAD = MARGIN + TITLE + 12
    """Where what is below the title begins."""
    NOTED = HEAD + SMALL + 18
    """Where what is below the note begins."""

    def __init__(self, width: int, height: int, title: str, note: str = ""):
        from PIL import Image, ImageDraw

        self.image: Image.Image = Image.new("RGB", (width, height), PAPER)
        self._draw = ImageDraw.Draw(self.image)
        self.text(MARGIN, MARGIN - 6, title, TITLE)
        self.text(MARGIN, self.HEAD, note, SMALL, MUTED)

    def text(
        self,
        x: float,
        y: float,
        text: object,
        size: int = TEXT,
        colour: str = INK,
        anchor: Literal["la", "lm", "ma", "mm", "ra", "rm"] = "la",
    ) -> None:
        """On one line. The anchor says what lies at (x, y): left, middle, right; ascender or middle."""
        self._draw.text((x, y), clean(text), colour, font(size), anchor)

    def upright(self, x: int, bottom: int, text: str, size: int) -> None:
        """From the bottom to the top, its middle at x."""
        from PIL import Image, ImageDraw

        length = math.ceil(font(size).getlength(clean(text)))
        turned = Image.new("L", (max(1, length), size + size // 2))
        ImageDraw.Draw(turned).text((0, size), clean(text), 255, font(size), "ls")
        mask = turned.rotate(90, expand=True)
        self.image.paste(INK, (x - mask.width // 2 - size // 6, bottom - mask.height), mask)

    def tile(self, x: int, y: int, pixels: Pixels, frame: bool = True) -> None:
        """(H, W, 3), with a line around it, which lies outside."""
        from PIL.Image import fromarray

        if frame:
            self._draw.rectangle((x - 1, y - 1, x + pixels.shape[1], y + pixels.shape[0]), outline=RULE)
        self.image.paste(fromarray(np.ascontiguousarray(pixels)), (x, y))

    def scale(self, x: int, y: int, limit: float, width: int = 260, height: int = 18) -> None:
        """The signed scale of colours from -limit to limit, with its numbers below."""
        ramp = diverging(np.linspace(-limit, limit, width), limit)
        self.tile(x, y, np.broadcast_to(ramp, (height, width, 3)))
        for at, value in ((0, f"-{limit:.2g}"), (width // 2, "0"), (width, f"{limit:.2g}")):
            self.text(x + at, y + height + 4, value, SMALL, MUTED, "ma")

    def ramp(self, x: int, y: int, pixels: Pixels, ends: tuple[str, str]) -> None:
        """A scale from left to right, (width, 3), with its ends' numbers beside it."""
        self.text(x - 8, y + 9, ends[0], SMALL, MUTED, "rm")
        self.tile(x, y, np.broadcast_to(pixels, (18, *pixels.shape)))
        self.text(x + len(pixels) + 8, y + 9, ends[1], SMALL, MUTED, "lm")
