"""drawing.py: lines and arrays, read back from what is drawn."""

from __future__ import annotations

import math

import numpy as np

from fc2conv.instruments.drawing import heat, lines, named_tiles, tiles


def test_lines_leave_out_what_is_not_finite() -> None:
    (rows,) = (
        lines("title", ("x", [0, 1]), ("y", {"a": [1.0, math.nan], "b": [math.inf, 2.0]}))
        .to_dict()["datasets"]
        .values()
    )
    assert rows == [{"line": "a", "x": 0, "y": 1.0}, {"line": "b", "x": 1, "y": 2.0}]


def test_a_small_array_is_enlarged() -> None:
    pixels = np.asarray(heat(np.array([[0.0, 2.0], [-2.0, 1.0]])))
    assert pixels.shape == (640, 640, 3)
    white, red, blue, half = pixels[0, 0], pixels[0, 639], pixels[639, 0], pixels[639, 639]
    assert white.tolist() == [255, 255, 255]
    assert red.tolist() == [178, 24, 43]
    assert blue.tolist() == [33, 102, 172]
    assert half.tolist() == [216, 140, 149]  # half way from white, halves to even
    assert (heat(np.zeros((2, 2))).getextrema()) == ((255, 255),) * 3


def test_a_large_array_keeps_its_single_values() -> None:
    """4704 x 784 in blocks of 4: one value of 3.7 million is one pixel."""
    values = np.zeros((4704, 784))
    values[4703, 5] = -1
    pixels = np.asarray(heat(values))
    assert pixels.shape == (1176, 196, 3)
    assert np.argwhere((pixels != 255).any(-1)).tolist() == [[1175, 1]]


def test_tiles_have_each_their_own_scale() -> None:
    values = np.zeros((1, 3, 2, 2))
    values[0, 0, 0, 0], values[0, 1, 1, 1] = 0.001, -1000
    pixels = np.asarray(tiles(values))
    cell = 640 // 8
    assert pixels.shape == (2 * cell, 8 * cell, 3)
    assert pixels[0, 0].tolist() == [178, 24, 43]
    assert pixels[cell, 4 * cell].tolist() == [33, 102, 172]
    assert (pixels[:, 6 * cell :] == 255).all()
    assert (pixels[:, [2 * cell, 5 * cell]] == [208, 213, 221]).all()  # the lines between them


def test_named_tiles_are_some_200_pixels_wide() -> None:
    """Fields of 28 pixels in squares of 7; in each row the same columns, under their names."""
    fields = {name: np.zeros((28, 28)) for name in ("conv1", "a_layer_with_a_name_that_is_wider_than_its_tile")}
    fields["conv1"][0, 27] = 3
    pixels = np.asarray(named_tiles({"trained": fields, "initial": fields}))
    red = (pixels == (178, 24, 43)).all(-1)
    assert red.sum() == 2 * 7 * 7
    rows, columns = np.nonzero(red.any(1))[0], np.nonzero(red.any(0))[0]
    assert np.diff(rows).max() == 196 + 12 - 6  # from the one tile's row of squares to the other's
    assert columns[-1] - columns[0] == 6
    dark = pixels.max(-1) < 64
    name = np.nonzero(dark[: rows[0]].any(0))[0]  # above the tiles, the columns' names
    assert columns[0] - 27 * 7 <= name[0] <= columns[0] - 27 * 7 + 4
    assert name[-1] < pixels.shape[1]
    assert dark[rows[0] :, : columns[0] - 27 * 7].any()  # at the left, the rows'
