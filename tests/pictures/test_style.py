"""Colours and numbers of the pictures."""

from __future__ import annotations

import numpy as np
import pytest

from fc2conv.pictures.style import as_rgb, clean, diverging, enlarged, fitted, font, limit_of, shades, share


def test_zero_is_neutral_and_the_lightest() -> None:
    zero, *others = diverging(np.array([0.0, 1e-3, -1e-3, 0.5, -0.5, 1, -1]), 1.0)
    assert len(set(zero.tolist())) == 1  # grey: neither red nor blue
    assert all(other.sum() <= zero.sum() for other in others)


def test_the_scale_is_symmetric() -> None:
    """Opposite weights are about equally light, one red and one blue, and stronger ones are darker."""
    values = np.linspace(0, 1, 11)
    red, blue = diverging(values, 1.0).astype(int), diverging(-values, 1.0).astype(int)
    luminance = np.array([0.2126, 0.7152, 0.0722])
    assert abs(red @ luminance - blue @ luminance).max() < 40
    assert (np.diff(red @ luminance) < 0).all()
    assert (np.diff(blue @ luminance) < 0).all()
    assert (red[1:, 0] > red[1:, 2]).all()
    assert (blue[1:, 0] < blue[1:, 2]).all()


def test_what_is_beyond_the_scale_has_its_end_s_colour() -> None:
    found = diverging(np.array([2.0, 9.0, np.inf, -2.0, -9.0, np.nan]), 2.0)
    assert (found[:3] == found[0]).all()
    assert (found[3:5] == found[3]).all()
    assert (found[5] == diverging(np.zeros(1), 2.0)[0]).all()


@pytest.mark.parametrize(
    ("values", "limit"),
    [([0.5, -2.0], 2.0), ([0.0], 1.0), ([], 1.0), ([np.nan, 3.0], 3.0), ([*np.ones(9_999), 1e6], 1.0)],
)
def test_the_scale_ends_at_the_largest_but_for_outliers(values: list[float], limit: float) -> None:
    assert limit_of(np.array(values)) == limit


def test_a_ramp_goes_through_its_colours() -> None:
    ramp = ((0, 0, 0), (100, 200, 40), (255, 255, 255))
    assert shades(np.array([0, 0.25, 0.5, 1]), ramp).tolist() == [[0, 0, 0], [50, 100, 20], [100, 200, 40], [255] * 3]


def test_images_of_any_number_of_bands_can_be_seen() -> None:
    grey, colour = np.full((1, 1, 2, 3), 7, np.uint8), np.arange(18, dtype=np.uint8).reshape(1, 3, 2, 3)
    assert as_rgb(grey).tolist() == np.full((1, 2, 3, 3), 7).tolist()
    assert (as_rgb(colour)[0, 1, 2] == colour[0, :, 1, 2]).all()
    two = np.stack([np.zeros((2, 3)), np.full((2, 3), 10)])[None].astype(np.uint8)
    assert (as_rgb(two) == 5).all()


def test_every_pixel_becomes_a_square() -> None:
    small = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    large = enlarged(small, 10)
    assert large.shape == (1, 10, 10, 3)
    assert (large[0, :5, 5:] == small[0, 0, 1]).all()


@pytest.mark.parametrize(("given", "said"), [("a\nb", "a b"), ("\x1b[31mred", "�[31mred"), ("日本", "日本"), (3, "3")])
def test_text_is_one_line_of_what_can_be_read(given: object, said: str) -> None:
    assert clean(given) == said


def test_long_names_end_in_dots() -> None:
    name = fitted("a very long name of a class", 20, 100)
    assert name.endswith("…")
    assert font(20).getlength(name) <= 110
    assert fitted("short", 20, 100) == "short"


def test_almost_sure_is_not_sure() -> None:
    assert [share(p) for p in (0.5, 0.99949, 0.9996, 1.0)] == ["50.0 %", "99.9 %", "> 99.9 %", "100.0 %"]
