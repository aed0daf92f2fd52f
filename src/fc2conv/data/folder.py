"""A user's own images: which files there are, class by class. Without torch, so that a wrong path shows at once."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from fc2conv.config.schema import DataConfig
from fc2conv.data.decode import is_colour
from fc2conv.errors import DataError
from fc2conv.fields import require

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
DECODING = 2
"""Counts up whenever the same files give other pixels. (1 did not turn, lay on the background or pass over.)"""


def class_names(config: DataConfig) -> list[str]:
    """Class names of a user's folder, sorted: its subfolders, or those of its train/."""
    return [p.name for p in _class_folders(_split_folders(config)[0])]


def _split_folders(config: DataConfig) -> list[Path]:
    """[the folder] or [train/, test/]."""
    path = Path(config.path or "")
    if not path.is_dir():
        raise DataError(f"{path} is no folder (data.path)")
    both = [path / "train", path / "test"]
    return both if all(p.is_dir() for p in both) else [path]


def _class_folders(split: Path) -> list[Path]:
    folders = sorted(p for p in split.iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(folders) < 2:
        raise DataError(f"{split} needs one subfolder for each class, at least two; it has {len(folders)}")
    return folders


def listing(config: DataConfig) -> list[tuple[str, list[list[Path]]]]:
    """[(split, [files of class 0, files of class 1, ...]), ...]"""
    classes = class_names(config)
    result = []
    for split in _split_folders(config):
        found = [p.name for p in _class_folders(split)]
        if found != classes:
            raise DataError(f"{split} has the classes {', '.join(found)}, but train/ has {', '.join(classes)}")
        files = [_images(split / c) for c in classes]
        for name, images in zip(classes, files, strict=True):
            if not images:
                raise DataError(f"{split / name} holds no images")
        result.append((split.name, files))
    return result


def _images(folder: Path) -> list[Path]:
    """Image files in `folder` and below. Hidden ones, and those in hidden folders, are not the user's: macOS leaves
    ._NAME beside each file that it copies, notebooks leave .ipynb_checkpoints."""
    return sorted(
        f
        for f in folder.rglob("*")
        if f.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in f.relative_to(folder).parts)
        and f.is_file()
    )


def training_images(config: DataConfig) -> int:
    """Images of a folder that are not kept for the test, before the validation images are taken."""
    splits = [sum(map(len, files)) for _, files in listing(config)]
    return splits[0] if len(splits) == 2 else splits[0] - test_images(config, splits[0])


def test_images(config: DataConfig, images: int) -> int:
    """How many of a folder's `images` are kept for the test: at least one, and at least one is left."""
    return min(max(1, round(config.test_size * images)), images - 1)


def bands(config: DataConfig) -> int:
    """1 or 3, as `data.colour` says, or else as the first image of the first class is.

    Raises:
        ConfigError: data.bands does not go with it
    """
    colour = config.colour
    if colour is None:
        colour = is_colour(listing(config)[0][1][0][0])
    found = 3 if colour else 1
    require(
        config.bands is None or found == 1 or config.bands <= found,
        "data.bands",
        config.bands,
        f"at most {found} (only grey images can be repeated)",
    )
    return found


def cache_name(config: DataConfig) -> str:
    """Changes whenever a file or what is done with it does."""
    state: list[Any] = [DECODING, config.folder_size, config.colour, config.test_size, config.seed]
    for _, classes in listing(config):
        state += [[str(f), f.stat().st_size, f.stat().st_mtime_ns] for files in classes for f in files]
    return "folder-" + hashlib.sha256(json.dumps(state).encode()).hexdigest()[:16]
