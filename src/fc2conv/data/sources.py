"""Where images come from: prepared caches, Debian's package, torchvision's downloads, a user's own folders.

Whatever the source, it is decoded once into plain .npy arrays (no pickle) that every process maps into memory, and
checked against its SHA-256 each time it is opened. Worlds are not read but generated, by each process, in memory.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from filelock import FileLock
from torch import Tensor
from torch.nn.functional import avg_pool2d

from fc2conv.config.schema import DATASETS, DataConfig
from fc2conv.data import array_file, mnist1d
from fc2conv.data.decode import decode
from fc2conv.data.folder import bands, cache_name, class_names, listing, test_images
from fc2conv.data.worlds.generators import GENERATORS, generate
from fc2conv.errors import DataError
from fc2conv.fields import Pair, usable

Array = npt.NDArray[Any]
LOCK = ".prepare.lock"
"""In data.dir; left there, since to remove a lock's file lets two processes lock two files of one name."""
PIXELS = 4096 * 28 * 28
"""That are turned into floats at a time."""
ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
FASHION_MNIST_FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}
FASHION_MNIST_SHA256 = {
    "train_images": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train_labels": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "test_images": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "test_labels": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
"""SHA-256 of the unpacked IDX files."""
FASHION_MNIST_CLASSES = [
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
]


@dataclass(frozen=True)
class Images:
    """A dataset in memory, as it was published: images (N, C, H, W), uint8 or float32, and labels (N,)."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    moments: Tensor
    """(N_train, 2, C) float64: each training image's mean pixel and mean squared pixel, so that the mean and standard
    deviation of any subset of the training set cost nothing."""
    classes: list[str]
    sha256: dict[str, str]


def load(config: DataConfig) -> Images:
    """Open the dataset's cache, preparing it first if need be; or generate it.

    Raises:
        DataError: nothing found, or a file that is truncated or altered
    """
    if is_generated(config):
        arrays, classes = generate(config)
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        digests = {name: sha256(array) for name, array in arrays.items()}
        known = torch.from_numpy(moments(arrays["train_images"]))
        return Images(**tensors, moments=known, classes=classes, sha256=digests)
    with usable("data.path", config.path):
        folder = _cache(config)
    with usable("data.dir", config.dir):
        if not (folder / "meta.json").exists():
            mnist1d.check(config)
            folder.parent.mkdir(parents=True, exist_ok=True)
            # one process at a time; the system frees the lock of one that dies
            with FileLock(folder.parent / LOCK):
                if not (folder / "meta.json").exists():  # another process may have prepared it meanwhile
                    _prepare(config, folder)
        return _open(folder, FASHION_MNIST_SHA256 if config.name == "fashion_mnist" else None)


def is_prepared(config: DataConfig) -> bool:
    """Whether the dataset's cache is there, so that `load` only has to open it; or none is needed."""
    return is_generated(config) or (_cache(config) / "meta.json").exists()


def is_generated(config: DataConfig) -> bool:
    """Whether `load` makes the images, in each process anew, and leaves no files."""
    return config.name in GENERATORS


def _cache(config: DataConfig) -> Path:
    names = {"folder": cache_name, "arrays": array_file.cache_name}
    return Path(config.dir) / (names[config.name](config) if config.name in names else config.name)


def _open(folder: Path, expected: dict[str, str] | None) -> Images:
    text = (folder / "meta.json").read_bytes()
    try:
        meta = json.loads(text)
        digests = {**meta["sha256"], **(expected or {})}
        classes = [str(c) for c in meta["classes"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{folder / 'meta.json'} cannot be read; delete {folder} to prepare it anew") from error
    tensors = {}
    for name in (*ARRAYS, "moments"):
        path = folder / f"{name}.npy"
        try:
            # c: pages are shared with every process that maps the file, and never written back
            array = np.load(path, mmap_mode="c", allow_pickle=False)
        except (PermissionError, MemoryError):
            raise  # there is nothing wrong with the file
        except Exception as error:  # numpy raises whatever its parser meets in a damaged header
            if isinstance(error, OSError) and error.errno in (errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EIO):
                raise
            raise DataError(f"{path} cannot be read ({error}); delete {folder} to prepare it anew") from error
        if array.dtype.str[1:] not in IDX_TYPES or sha256(array) != digests.get(name):
            raise DataError(f"{path} is truncated or altered (its SHA-256 differs); delete {folder} to prepare it anew")
        tensors[name] = torch.from_numpy(array)
    for split in ("train", "test"):
        if int(tensors[f"{split}_labels"].max()) >= len(classes):
            named = f"{folder / 'meta.json'} names {len(classes)} classes, but there are more"
            raise DataError(f"{named}; delete {folder} to prepare it anew")
    return Images(**tensors, classes=classes, sha256={name: digests[name] for name in ARRAYS})


IDX_TYPES = {"u1": 0x08, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
"""numpy's type -> the third byte of an IDX file."""


def sha256(array: npt.NDArray[np.generic]) -> str:
    """SHA-256 of an array as an IDX file holds it, header included, so that a changed shape shows too.

    Images of one band count as (N, H, W), as the MNIST family publishes them.
    """
    shape = [n for axis, n in enumerate(array.shape) if not (axis == 1 and array.ndim == 4 and n == 1)]
    kind = IDX_TYPES[array.dtype.str[1:]]
    digest = hashlib.sha256(struct.pack(f">4B{len(shape)}I", 0, 0, kind, len(shape), *shape))
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _prepare(config: DataConfig, folder: Path) -> None:
    """Decode the source into `folder`: written aside, then renamed, so that a cache is whole or not there."""
    arrays, classes = READERS.get(config.name, _read_named)(config)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        contents: dict[str, npt.NDArray[np.generic]] = {**arrays, "moments": moments(arrays["train_images"])}
        for name, array in contents.items():
            _save(aside / f"{name}.npy", array)
        meta = {"classes": classes, "sha256": {name: sha256(array) for name, array in contents.items()}}
        (aside / "meta.json").write_text(json.dumps(meta, indent=1))
        aside.chmod(0o755)
        if folder.exists():  # left half-made by hand
            shutil.rmtree(folder)
        os.rename(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def moments(images: Array) -> npt.NDArray[np.float64]:
    """(N, C, H, W) -> (N, 2, C): each image's mean pixel and mean squared pixel, by band."""
    step = max(1, PIXELS // images[0].size)
    chunks = (images[i : i + step].astype(np.float64) for i in range(0, len(images), step))
    return np.concatenate([np.stack([c.mean((2, 3)), np.square(c).mean((2, 3))], axis=1) for c in chunks])


def _save(path: Path, array: npt.NDArray[np.generic]) -> None:
    try:
        np.save(path, array, allow_pickle=False)
    except OSError as error:
        if error.errno is None:  # numpy says how many bytes it could not write, and not why
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise


# --- named datasets


def _read_named(config: DataConfig) -> tuple[dict[str, Array], list[str]]:
    if config.name == "fashion_mnist" and DEBIAN.is_dir():
        return read_fashion_mnist(DEBIAN), FASHION_MNIST_CLASSES
    from torchvision import datasets  # seconds to import, and needed only here

    root = Path(config.dir) / "downloads"
    makers: dict[str, Callable[[bool], datasets.VisionDataset]] = {
        "fashion_mnist": lambda train: datasets.FashionMNIST(root, train, download=True),
        "mnist": lambda train: datasets.MNIST(root, train, download=True),
        "kmnist": lambda train: datasets.KMNIST(root, train, download=True),
        "emnist": lambda train: datasets.EMNIST(root, split="balanced", train=train, download=True),
        "cifar10": lambda train: datasets.CIFAR10(root, train, download=True),
        "cifar100": lambda train: datasets.CIFAR100(root, train, download=True),
    }
    try:
        splits = {split: makers[config.name](split == "train") for split in ("train", "test")}
    except (OSError, RuntimeError) as error:  # torchvision raises both for a mirror that does not answer
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        raise DataError(_not_found(config, error)) from error
    arrays = {}
    for split, dataset in splits.items():
        images = np.asarray(dataset.data)
        if config.name == "emnist":
            images = images.transpose(0, 2, 1)  # published lying on their side
        images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
        arrays[f"{split}_images"] = np.ascontiguousarray(images, dtype=np.uint8)
        arrays[f"{split}_labels"] = np.asarray(dataset.targets, dtype=np.int64)
    if config.name == "fashion_mnist":
        _check_fashion_mnist(
            arrays, {name: root / "FashionMNIST" / "raw" / f for name, f in FASHION_MNIST_FILES.items()}
        )
        return {n: a.astype(np.uint8) for n, a in arrays.items()}, FASHION_MNIST_CLASSES
    names = [str(c) for c in getattr(splits["train"], "classes", range(DATASETS[config.name].classes))]
    return {n: a.astype(np.uint8) for n, a in arrays.items()}, names


def _not_found(config: DataConfig, error: Exception) -> str:
    reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    if config.name != "fashion_mnist":
        return (
            f"{config.name} is neither prepared in {Path(config.dir) / config.name} nor could torchvision download it "
            f"({reason}); put its files into {Path(config.dir) / 'downloads'} as torchvision names them, or connect"
        )
    return (
        "Fashion-MNIST was not found. Any of these provides it:\n"
        f"  - a prepared cache: copy the folder fashion_mnist of another machine's data folder to {config.dir}/\n"
        f"  - Debian's package: apt-get install dataset-fashion-mnist (looked in {DEBIAN})\n"
        f"  - torchvision's download, which failed: {reason}"
    )


def read_fashion_mnist(folder: Path) -> dict[str, Array]:
    """The four IDX archives of Fashion-MNIST in `folder`, decoded and checked.

    Raises:
        DataError: naming the file that is missing, truncated or altered
    """
    files = {name: folder / f"{stem}.gz" for name, stem in FASHION_MNIST_FILES.items()}
    arrays = {name: read_idx(path) for name, path in files.items()}
    arrays = {n: a[:, None] if a.ndim == 3 else a for n, a in arrays.items()}
    _check_fashion_mnist(arrays, files)
    return arrays


def _check_fashion_mnist(arrays: dict[str, Array], files: dict[str, Path]) -> None:
    for name, expected in FASHION_MNIST_SHA256.items():
        if sha256(arrays[name].astype(np.uint8)) != expected:
            raise DataError(f"{files[name]} is altered: its content is not Fashion-MNIST's {name} (SHA-256 differs)")


def read_idx(path: Path) -> Array:
    """A gzipped IDX file of bytes (the format of yann.lecun.com/exdb/mnist): magic 0, 0, 8, rank; sizes; values."""
    try:
        raw = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error})") from error
    rank = raw[3] if len(raw) > 3 else 0
    if raw[:3] != b"\x00\x00\x08" or len(raw) < 4 + 4 * rank:
        raise DataError(f"{path} is no IDX file of bytes")
    shape = struct.unpack(f">{rank}I", raw[4 : 4 + 4 * rank])
    values = np.frombuffer(raw, np.uint8, offset=4 + 4 * rank)
    if values.size != int(np.prod(shape)):
        raise DataError(f"{path} is truncated: it holds {values.size} values where its header says {shape}")
    return values.reshape(shape)


def _read_folder(config: DataConfig) -> tuple[dict[str, Array], list[str]]:
    colour = bands(config) == 3

    def pixels(path: Path) -> Array:
        array = np.asarray(decode(path, config.folder_size, colour), dtype=np.uint8)
        return array.transpose(2, 0, 1) if colour else array[None]

    splits = []
    for _, classes in listing(config):
        images = np.stack([pixels(f) for files in classes for f in files])
        labels = np.concatenate([np.full(len(files), c) for c, files in enumerate(classes)])
        splits.append((images, labels))
    return _divided(splits, config, len(class_names(config))), class_names(config)


def _read_arrays(config: DataConfig) -> tuple[dict[str, Array], list[str]]:
    splits, classes = array_file.read(config)
    return _divided(splits, config, classes), [str(i) for i in range(classes)]


def _divided(splits: Sequence[tuple[Array, Array]], config: DataConfig, classes: int) -> dict[str, Array]:
    """(images, labels) of training and test, or of the whole, of which a part of each class is kept for the test."""
    label_type = np.uint8 if classes <= 256 else np.int32
    splits = [(images, labels.astype(label_type)) for images, labels in splits]
    if len(splits) == 1:
        ((images, labels),) = splits
        order = stratified_order(torch.from_numpy(labels), config.known_seed).numpy()
        cut = test_images(config, len(order))
        splits = [(images[order[cut:]], labels[order[cut:]]), (images[order[:cut]], labels[order[:cut]])]
    return dict(zip(ARRAYS, (*splits[0], *splits[1]), strict=True))


READERS: dict[str, Callable[[DataConfig], tuple[dict[str, Array], list[str]]]] = {
    "folder": _read_folder,
    "arrays": _read_arrays,
    "mnist1d": lambda config: (mnist1d.make(), mnist1d.CLASSES),
}
"""Where torchvision is not asked."""


def averaged(images: Images, bands: int | None = None, size: Pair | None = None) -> Images:
    """The dataset averaged to fewer pixels, and to fewer bands; as it was published still by its SHA-256.

    Args:
        bands: of neighbouring bands: 64 become 22 + 21 + 21
        size: (height, width), each a divisor of what it was: of blocks of pixels
    """

    def average(pixels: Tensor) -> Tensor:
        if size is not None:
            blocks = [was // now for was, now in zip(pixels.shape[2:], size, strict=True)]
            pixels = avg_pool2d(pixels, blocks).round_()  # whole numbers, as if published so
        if bands is not None:
            pixels = torch.cat([g.mean(1, keepdim=True) for g in pixels.tensor_split(bands, dim=1)], 1)
        return pixels.round_().byte() if is_bytes else pixels

    is_bytes = images.train_images.dtype is torch.uint8
    train, test = (
        torch.cat([average(chunk.float()) for chunk in torch.split(of, max(1, PIXELS // of[0].numel()))])
        for of in (images.train_images, images.test_images)
    )
    return replace(images, train_images=train, test_images=test, moments=torch.from_numpy(moments(train.numpy())))


def stratified_order(labels: Tensor, seed: int) -> Tensor:
    """A random order of all images in which every prefix has the classes in proportion.

    The r-th of a class's n images sorts at (r + 1/2) / n. Prefixes nest by construction, so one order serves the
    validation split and subsets of every size. (N,) -> (N,) indices.
    """
    shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    labels = labels.long()
    by_class = shuffled[labels[shuffled].argsort(stable=True)]
    counts = labels.bincount()
    starts = counts.cumsum(0) - counts
    of = labels[by_class]
    rank = torch.arange(len(labels)) - starts[of]
    position = torch.empty(len(labels), dtype=torch.float64)
    position[by_class] = (rank + 0.5).double() / counts[of]
    return shuffled[position[shuffled].argsort(stable=True)]
