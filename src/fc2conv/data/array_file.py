"""A user's own arrays in an .npz file, without torch, so that a wrong file shows at once.

The file holds `images` or `signals`, and `labels`; or, where it is divided already, `train_images`, `train_labels`,
`test_images` and `test_labels`. Images are (N, H, W) or (N, C, H, W), signals (N, W) or (N, C, W), uint8 or float32;
labels are (N,), whole numbers from 0. Nothing in it is unpickled.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fc2conv.config.schema import DataConfig, DatasetInfo
from fc2conv.data.folder import test_images
from fc2conv.errors import DataError

DIMENSIONS = {"images": (3, 4), "signals": (2, 3)}
"""Of arrays without and with channels."""
FORMAT = "images or signals, and labels; or each with train_ and test_ in front"
READING = 1
"""Counts up whenever the same file gives other arrays."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Header:
    """What a file says of an array in front of its numbers."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def describe(config: DataConfig) -> DatasetInfo:
    """Shape, classes and training images of the file, by its headers and labels.

    Raises:
        DataError: it is not there, or not as it should be
        ConfigError: what is done with the images does not go with their shape
    """
    path = _path(config)
    with _opened(path) as file:
        headers = {name.removesuffix(".npy"): _header(path, file, name) for name in file.namelist()}
        kind, splits = _layout(path, headers)
        pixels = [headers[f"{split}{kind}"] for split in splits]
        shape = _shape(path, f"{splits[0]}{kind}", pixels[0])
        for split, header in zip(splits, pixels, strict=True):
            if _shape(path, f"{split}{kind}", header) != shape or header.dtype != pixels[0].dtype:
                raise DataError(f"{path}: train_{kind} and test_{kind} differ in shape or type")
        labels = [_labels(path, file, f"{split}labels", n.shape[0]) for split, n in zip(splits, pixels, strict=True)]
    classes = _classes(path, labels)
    config.check_transforms(shape[0], (shape[1], shape[2]))
    total = len(labels[0])
    return DatasetInfo(shape, classes, total if len(splits) == 2 else total - test_images(config, total))


def read(config: DataConfig) -> tuple[list[tuple[Array, Array]], int]:
    """([(images (N, C, H, W), labels (N,))] of the whole, or of training and test, number of classes).

    Raises:
        DataError: as `describe`, or an array is truncated or altered, or holds what is no number
    """
    classes, path = describe(config).classes, _path(config)
    with _opened(path) as file:
        names = {name.removesuffix(".npy") for name in file.namelist()}
        kind, splits = _layout(path, names)
        found = []
        for split in splits:
            array = _array(path, file, f"{split}{kind}")
            if array.dtype == np.float32 and not np.isfinite(array).all():
                raise DataError(f"{path}: {split}{kind} holds values that are not finite")
            shape = _shape(path, f"{split}{kind}", Header(array.shape, array.dtype))
            found.append((np.ascontiguousarray(array).reshape(-1, *shape), _array(path, file, f"{split}labels")))
    return found, classes


def cache_name(config: DataConfig) -> str:
    """Changes whenever the file or what is done with it does."""
    path = _path(config)
    stat = path.stat()
    state = [READING, str(path), stat.st_size, stat.st_mtime_ns, config.test_size, config.seed]
    return "arrays-" + hashlib.sha256(json.dumps(state).encode()).hexdigest()[:16]


def _path(config: DataConfig) -> Path:
    path = Path(config.path or "")
    if not path.is_file():
        raise DataError(f"{path} is no file (data.path)")
    return path


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise DataError(f"{path} is no .npz file ({error}); numpy.savez writes one") from error


def _header(path: Path, file: zipfile.ZipFile, name: str) -> Header:
    try:
        with file.open(name) as member:
            version = np.lib.format.read_magic(member)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(member)
    except Exception as error:  # zipfile and numpy raise whatever they meet in damaged bytes
        raise DataError(f"{path}: {name} cannot be read ({error})") from error
    return Header(shape, dtype)


def _array(path: Path, file: zipfile.ZipFile, name: str) -> Array:
    try:
        with file.open(f"{name}.npy") as member:
            return np.lib.format.read_array(member, allow_pickle=False)
    except MemoryError:
        raise
    except Exception as error:
        raise DataError(f"{path}: {name} cannot be read ({error})") from error


def _layout(path: Path, names: Any) -> tuple[str, tuple[str, ...]]:
    """(images or signals, what stands in front of the names)"""
    for kind in DIMENSIONS:
        for splits in (("",), ("train_", "test_")):
            if {f"{split}{what}" for split in splits for what in (kind, "labels")} == set(names):
                return kind, splits
    raise DataError(f"{path} holds {', '.join(sorted(names)) or 'nothing'}; expected {FORMAT}")


def _shape(path: Path, name: str, header: Header) -> tuple[int, int, int]:
    """(C, H, W) of one image, or (C, 1, W) of a signal."""
    plain, with_channels = DIMENSIONS[name.rpartition("_")[2]]
    if header.dtype not in (np.dtype(np.uint8), np.dtype(np.float32)):
        raise DataError(f"{path}: {name} is {header.dtype}, expected uint8 or float32")
    if len(header.shape) not in (plain, with_channels) or not all(header.shape):
        form = {3: "(N, H, W) or (N, C, H, W)", 2: "(N, W) or (N, C, W)"}[plain]
        raise DataError(f"{path}: {name} has the shape {header.shape}, expected {form}")
    sizes = header.shape[1:] if len(header.shape) == with_channels else (1, *header.shape[1:])
    channels, *size = sizes
    return (channels, size[0], size[1]) if len(size) == 2 else (channels, 1, size[0])


def _labels(path: Path, file: zipfile.ZipFile, name: str, images: int) -> Array:
    header = _header(path, file, f"{name}.npy")
    if header.dtype.kind not in "iu" or header.shape != (images,):
        found = f"{header.dtype} {header.shape}"
        raise DataError(f"{path}: {name} is {found}, expected whole numbers ({images},), one for each image or signal")
    return _array(path, file, name)


def _classes(path: Path, labels: list[Array]) -> int:
    """How many there are. Each number below the largest label must occur where the network learns."""
    known = np.unique(labels[0])
    missing = np.setdiff1d(np.arange(len(known)), known)
    if len(missing):
        wrong = known[(known < 0) | (known >= len(known))][0]
        raise DataError(f"{path}: labels must be 0, 1, 2, ... without a gap; {missing[0]} is missing, {wrong} is there")
    if len(known) < 2:
        raise DataError(f"{path}: labels name {len(known)} class, expected at least two")
    for test in labels[1:]:
        if len(strange := np.setdiff1d(test, known)):
            raise DataError(f"{path}: test_labels has {strange[0]}, which no training label is")
    return len(known)
