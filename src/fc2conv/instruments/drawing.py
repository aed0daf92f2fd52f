"""How measurements are drawn: lines as Altair charts, arrays as images."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from altair import Chart
    from PIL.Image import Image

EDGE = 640
"""Pixels of an image's longer side, about."""
TILE, MARGIN, LABEL = 200, 12, 16
"""Pixels: of the longer side of a tile with a name, about; of what is left free around it; of its letters."""
BLUE, WHITE, RED = (33, 102, 172), (255, 255, 255), (178, 24, 43)
"""ColorBrewer's RdBu: negative, zero, positive."""
GREY = (208, 213, 221)
"""Where there is no value."""
COLOURS = {"scheme": "tableau20"}
"""Enough for the layers of a small network."""


def lines(title: str, x: tuple[str, Sequence[float]], y: tuple[str, Mapping[str, Sequence[float]]]) -> Chart:
    """A line for each of y's sequences over x's; what is not finite is left out.

    Args:
        title: what one should see
        x: (title of the axis, its values)
        y: (title of the axis, line -> its values, one for each of x)
    """
    import altair as alt

    rows = [
        {"line": name, "x": at, "y": float(value)}
        for name, values in y[1].items()
        for at, value in zip(x[1], values, strict=True)
        if math.isfinite(value)
    ]
    chart: Chart = alt.Chart.from_dict(
        {
            "title": title,
            "data": {"values": rows},
            "mark": {"type": "line", "point": True},
            "encoding": {
                "x": {"field": "x", "type": "quantitative", "title": x[0]},
                "y": {"field": "y", "type": "quantitative", "title": y[0]},
                "color": {"field": "line", "type": "nominal", "title": None, "sort": None, "scale": COLOURS},
            },
        }
    )
    return chart


def rendered(chart: Chart) -> Image:
    """The chart as an image, twice as large as it says."""
    from PIL import Image

    png = io.BytesIO()
    chart.save(png, format="png", scale_factor=2)
    return Image.open(png)


def heat(values: NDArray[Any]) -> Image:
    """An array (H, W) as an image: white is zero, red positive, blue negative, the strongest the largest magnitude.
    NaN is grey.

    Small arrays are enlarged, a square for each value; of large ones each pixel shows the value of the largest
    magnitude in its place, so that single values do not vanish.
    """
    block = math.ceil(max(values.shape) / (2 * EDGE))
    return _coloured(_strongest(values, block) if block > 1 else values, EDGE)


def _coloured(values: NDArray[Any], edge: int) -> Image:
    """As `heat`, a square for each value, so that the longer side has about `edge` pixels."""
    from PIL import Image

    known = np.nan_to_num(values)
    strength = np.abs(known) / (np.abs(known).max() or 1.0)
    colour = np.where((known < 0)[..., None], BLUE, RED)
    pixels = (WHITE + strength[..., None] * (colour - np.array(WHITE))).round().astype(np.uint8)
    pixels[np.isnan(values)] = GREY
    cell = max(1, edge // max(values.shape))
    return Image.fromarray(pixels.repeat(cell, 0).repeat(cell, 1))


def tiles(values: NDArray[Any], gap: int = 1) -> Image:
    """Arrays (rows, columns, H, W) as one image, each on its own scale, with a line of `gap` values between them."""
    strongest = np.abs(values).max((2, 3), keepdims=True)
    scaled = np.divide(values, strongest, out=np.zeros(values.shape), where=strongest > 0)
    padded = np.pad(scaled, ((0, 0), (0, 0), (0, gap), (0, gap)), constant_values=np.nan)
    rows, columns, h, w = padded.shape
    joined = padded.transpose(0, 2, 1, 3).reshape(rows * h, columns * w)
    return heat(joined[: rows * h - gap, : columns * w - gap])


def named_tiles(values: Mapping[str, Mapping[str, NDArray[Any]]]) -> Image:
    """Row -> column -> an array (H, W): a tile for each, on its own scale, with the column's name above it and the
    row's at the left. All have one size, and the same columns."""
    from PIL import Image, ImageDraw, ImageFont

    drawn = {row: {name: _coloured(array, TILE) for name, array in tiles.items()} for row, tiles in values.items()}
    columns = list(next(iter(drawn.values())))
    first, font = drawn[next(iter(drawn))][columns[0]], ImageFont.load_default(LABEL)
    left = math.ceil(max(map(font.getlength, drawn))) + 2 * MARGIN
    wide = max([first.width, *(math.ceil(font.getlength(name)) for name in columns)]) + MARGIN
    top, high = LABEL + 2 * MARGIN, first.height + MARGIN
    sheet = Image.new("RGB", (left + wide * len(columns), top + high * len(drawn)), WHITE)
    draw = ImageDraw.Draw(sheet)
    for i, name in enumerate(columns):
        draw.text((left + i * wide, MARGIN), name, "black", font)
    for j, (row, tiles) in enumerate(drawn.items()):
        y = top + j * high
        draw.text((MARGIN, y), row, "black", font)
        for i, tile in enumerate(tiles.values()):
            x = left + i * wide
            draw.rectangle((x - 1, y - 1, x + tile.width, y + tile.height), outline=GREY)
            sheet.paste(tile, (x, y))
    return sheet


def _strongest(values: NDArray[Any], block: int) -> NDArray[Any]:
    """Of each block x block values the one of the largest magnitude."""
    h, w = (-(-n // block) for n in values.shape)
    padded = np.zeros((h * block, w * block), values.dtype)
    padded[: values.shape[0], : values.shape[1]] = values
    blocks = padded.reshape(h, block, w, block).transpose(0, 2, 1, 3).reshape(h, w, -1)
    return np.take_along_axis(blocks, np.abs(blocks).argmax(-1)[..., None], -1)[..., 0]
