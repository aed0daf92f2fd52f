"""What the pictures have in common: colours that the colour-blind can tell apart, fonts, and how numbers are said."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

INK, MUTED, RULE, PAPER = "#1f2430", "#667085", "#d0d5dd", "#ffffff"
RUNS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c6d31")
"""Those of Okabe and Ito (2008), without its yellow, which white paper swallows, and with a brown."""
TRAIN, VAL = RUNS[1], RUNS[0]
NEGATIVE = ((247, 247, 247), (209, 229, 240), (146, 197, 222), (67, 147, 195), (33, 102, 172), (5, 48, 97))
POSITIVE = ((247, 247, 247), (253, 219, 199), (244, 165, 130), (214, 96, 77), (178, 24, 43), (103, 0, 31))
"""From zero outwards: ColorBrewer's RdBu, blue for negative and red for positive."""
RIGHT = ((255, 255, 255), (222, 235, 247), (158, 202, 225), (66, 146, 198), (8, 81, 156), (8, 48, 107))
WRONG = ((255, 255, 255), (254, 230, 206), (253, 190, 133), (253, 141, 60), (217, 72, 1), (140, 45, 4))
"""From none to all: ColorBrewer's Blues and Oranges."""

Pixels = NDArray[np.uint8]
"""(..., 3): red, green, blue."""


def shades(values: NDArray[Any], ramp: tuple[tuple[int, int, int], ...]) -> Pixels:
    """Values from 0 to 1 as colours of a ramp: (...) -> (..., 3)."""
    stops = np.linspace(0, 1, len(ramp))
    channels = [np.interp(values, stops, [colour[i] for colour in ramp]) for i in range(3)]
    return np.stack(channels, -1).round().astype(np.uint8)


def diverging(values: NDArray[Any], limit: float) -> Pixels:
    """Signed values as colours, symmetric about zero, which is the lightest: (...) -> (..., 3).

    Args:
        limit: the absolute value that has the strongest colour, as have all beyond it
    """
    strength = np.nan_to_num(np.clip(np.abs(values) / (limit or 1.0), 0, 1)).astype(np.float64)
    return np.where((values < 0)[..., None], shades(strength, NEGATIVE), shades(strength, POSITIVE))


def limit_of(values: NDArray[Any]) -> float:
    """The absolute value where the scale of these ends: the largest; of very many, what only 1 in 500 exceeds, so that
    a single large one does not make the others pale."""
    magnitudes = np.abs(values[np.isfinite(values)]).astype(np.float64)
    if not magnitudes.size:
        return 1.0
    return float(np.quantile(magnitudes, 0.998) if magnitudes.size > 1000 else magnitudes.max()) or 1.0


def as_rgb(images: NDArray[Any]) -> Pixels:
    """Images of any number of bands as people see them: (n, C, H, W) uint8 -> (n, H, W, 3). Other numbers than three
    are shown as the mean of the bands."""
    bands = images if images.shape[1] == 3 else images.mean(1, keepdims=True).repeat(3, 1)
    return np.moveaxis(bands, 1, -1).round().astype(np.uint8)


def enlarged(images: Pixels, edge: int) -> Pixels:
    """(n, H, W, 3), every pixel repeated, until the longer side has about `edge`."""
    factor = max(1, round(edge / max(images.shape[1:3])))
    return images.repeat(factor, 1).repeat(factor, 2)


@cache
def font(size: int) -> FreeTypeFont:
    """Pillow's own, so that no system's fonts matter.

    Raises:
        ImportError: this Pillow was built without FreeType
    """
    from PIL import ImageFont

    found = ImageFont.load_default(size)
    if not isinstance(found, ImageFont.FreeTypeFont):
        raise ImportError("Pillow has no FreeType here")
    return found


def clean(text: object) -> str:
    """Text on one line, without characters that are none."""
    line = " ".join(str(text).split())
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in ("Cc", "Cf", "Cs") else c for c in line)


def fitted(text: object, size: int, width: float) -> str:
    """As much of `text` as `width` pixels hold."""
    whole = clean(text)
    if font(size).getlength(whole) <= width:
        return whole
    shown = whole
    while shown and font(size).getlength(shown + "…") > width:
        shown = shown[:-1]
    return shown.rstrip() + "…"


def share(value: float) -> str:
    """A probability as people read it; almost 1 is not said to be 1."""
    return "> 99.9 %" if 0.9995 <= value < 1 else f"{100 * value:.1f} %"
