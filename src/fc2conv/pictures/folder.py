"""The pictures in a run's folder: drawn from what it holds, so that they can be drawn again at any time."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fc2conv.pictures.confusion import confusion_picture
from fc2conv.pictures.curves import Curves, Spec, chart, read_metrics
from fc2conv.pictures.examples import example_picture, name_of
from fc2conv.pictures.features import feature_picture
from fc2conv.pictures.filters import filter_picture
from fc2conv.record.arrays import Arrays
from fc2conv.record.result import Result

if TYPE_CHECKING:
    from PIL.Image import Image

FOLDER = "pictures"
"""In a run's folder."""
SCALE = 1.5
"""Pixels of a chart's PNG to one of its specification."""


def images(arrays: Arrays, confusion: Sequence[Sequence[int]] | None, classes: Sequence[str]) -> dict[str, Image]:
    """All but the learning curves, by their names: confusion, filters, misclassified, features_1, ..."""
    found = {"confusion": confusion_picture(confusion, classes)} if confusion else {}
    if arrays.filters.size:
        found["filters"] = filter_picture(arrays.filters)
    if arrays.examples.size:
        found["misclassified"] = example_picture(arrays, classes)
    for i, (image, label) in enumerate(zip(arrays.samples, arrays.sample_labels.tolist(), strict=False)):
        features = {name: maps[i] for name, maps in arrays.features.items()}
        if features:
            found[f"features_{i + 1}"] = feature_picture(image, f"test image {i}: {name_of(label, classes)}", features)
    return found


def draw(run: Path, result: Result, again: bool = True) -> list[Path]:
    """All pictures of the run in the folder, from what it has left; a run of an earlier version has left less.

    Args:
        again: those, too, that are there; but for the learning curves, which may have grown

    Returns:
        The files written

    Raises:
        OSError: they cannot be written
    """
    drawn = save_curves(run, result)
    if again or not (run / FOLDER / "confusion.png").exists():
        arrays = Arrays.read(run) or Arrays()
        drawn += save(images(arrays, result.confusion, list(result.per_class or {})), run / FOLDER)
    return drawn


def save_curves(run: Path, result: Result) -> list[Path]:
    """The learning curves of the run in the folder, as PNG and SVG; none without an epoch."""
    rows = read_metrics(run)
    if not rows:
        return []
    test = f", test accuracy {result.test['acc']:.4f}" if result.test else ""
    spec = chart([Curves(result.name, rows, result.best_epoch)], f"{result.name}{test}")
    return save_chart(spec, *(run / FOLDER / f"curves.{suffix}" for suffix in ("png", "svg")))


def save(pictures: Mapping[str, Image], folder: Path) -> list[Path]:
    """As PNGs in `folder`; their paths."""
    # the pictures are large and simple: more effort makes them a sixth smaller, in twice the time
    return [
        _put(folder / f"{name}.png", partial(picture.save, format="png", compress_level=1))
        for name, picture in pictures.items()
    ]


def save_chart(spec: Spec, *paths: Path) -> list[Path]:
    """A chart, in the format that each path's suffix says: .png or .svg."""
    import vl_convert

    svg = vl_convert.vegalite_to_svg(spec)
    contents = {".svg": lambda: svg.encode(), ".png": lambda: vl_convert.svg_to_png(svg, scale=SCALE)}
    return [_put(path, lambda aside, path=path: aside.write_bytes(contents[path.suffix]())) for path in paths]  # type: ignore[misc]


def _put(path: Path, write: Callable[[Path], object]) -> Path:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}")
    try:
        write(aside)
        os.replace(aside, path)
    except BaseException:
        with suppress(OSError):
            aside.unlink()
        raise
    return path
