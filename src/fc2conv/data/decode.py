"""One image file as people see it: upright, on the background, in the colours that its palette shows. No torch."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from fc2conv.errors import ConfigError, DataError
from fc2conv.fields import Pair, pair, spelled, written

if TYPE_CHECKING:
    from PIL.Image import Image

BACKGROUND = (0, 0, 0, 255)
"""Black, as the background of a canvas: what shows through where an image is transparent."""
KEPT = 0.5
"""The least part of an image that may be left where nobody has said that it may be cut."""


def is_colour(path: Path) -> bool:
    """Whether the image has colours: three bands, or a palette of which it uses an entry that is not grey.

    Raises:
        DataError: it cannot be read
    """
    image = _opened(path)
    if image.mode in ("1", "L", "LA"):
        return False
    if image.mode not in ("P", "PA"):
        return True
    shown = _on_background(image).convert("RGB")
    red, green, blue = (band.tobytes() for band in shown.split())
    return not red == green == blue


def decode(path: Path, size: int | Pair, colour: bool) -> Image:
    """The image, scaled and cut in the middle to `size` (height, width); mode RGB or L.

    Args:
        size: one number for a square, which must leave half of the image, or (height, width), which cuts what it must

    Raises:
        DataError: it cannot be read
        ConfigError: a square would show less than half of it
    """
    from PIL import ImageOps

    image = _on_background(_opened(path)).convert("RGB" if colour else "L")
    short, long = sorted(image.size)
    if isinstance(size, int) and short / long < KEPT:
        edge = max(1, round(size * long / short))
        whole = (size, edge) if image.width > image.height else (edge, size)
        raise ConfigError(
            "data.size",
            f"got {size}, but {path} is {spelled((image.height, image.width))} pixels, and a square would cut off "
            f"{1 - short / long:.0%} of it; give height and width: data.size={written(whole)} keeps its shape, "
            f"data.size={written((size, size))} cuts",
        )
    height, width = pair(size)
    return ImageOps.fit(image, (width, height))


def _opened(path: Path) -> Image:
    """The image with its pixels, turned as its EXIF data says."""
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Corrupt EXIF data", UserWarning)  # nobody knows how it was turned
            with Image.open(path) as image:
                if image.mode[0] in "IF":
                    raise OSError("more than 8 bits a pixel; convert it first")
                return ImageOps.exif_transpose(image)
    except Exception as error:  # Pillow raises whatever its decoders meet in a damaged file
        raise DataError(f"{path} is no readable image ({error})") from error


def _on_background(image: Image) -> Image:
    from PIL import Image as images

    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    return images.alpha_composite(images.new("RGBA", image.size, BACKGROUND), image)
