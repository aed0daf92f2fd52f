"""sources.py: files are decoded to what was published or refused by name; a cache is whole, checked and plain."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import os
import resource
import signal
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import URLError

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torchvision import datasets

from fc2conv.config.schema import DataConfig
from fc2conv.data import sources
from fc2conv.data.sources import LOCK, load, read_fashion_mnist, read_idx, stratified_order
from fc2conv.errors import ConfigError, DataError

# As the publisher's archives unpack; also to be found in other projects that check them.
PUBLISHED = {
    "train_images": ("train-images-idx3-ubyte", "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
    "train_labels": ("train-labels-idx1-ubyte", "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
    "test_images": ("t10k-images-idx3-ubyte", "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
    "test_labels": ("t10k-labels-idx1-ubyte", "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
}
CACHE = {f"{name}.npy" for name in (*PUBLISHED, "moments")} | {"meta.json"}
DEBIAN = Path("/usr/share/datasets/fashion-mnist")


def idx(array: npt.NDArray[np.uint8]) -> bytes:
    """An IDX file of bytes, by the format's description on yann.lecun.com/exdb/mnist."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def images(n: int, *shape: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def altered(content: bytes, at: int = -1) -> bytes:
    copy = bytearray(content)
    copy[at] ^= 1
    return bytes(copy)


def refuse(*args: Any, **kwargs: Any) -> Any:
    raise AssertionError("must not be asked")


@pytest.fixture(scope="session")
def idx_files(data_dir: str) -> dict[str, bytes]:
    """Fashion-MNIST's four IDX files, built from the cache."""
    arrays = {name: np.load(f"{data_dir}/fashion_mnist/{name}.npy") for name in PUBLISHED}
    return {name: idx(a[:, 0] if a.ndim == 4 else a) for name, a in arrays.items()}


@pytest.fixture(scope="session")
def archives(idx_files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as Debian's package keeps them."""
    folder = tmp_path_factory.mktemp("archives")
    for name, content in idx_files.items():
        (folder / f"{PUBLISHED[name][0]}.gz").write_bytes(gzip.compress(content, compresslevel=0, mtime=0))
    return folder


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.urlopen", refuse)


@pytest.fixture
def mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataConfig:
    """MNIST with 30 and 10 images of 4x4 pixels, from a stand-in for torchvision's class."""

    def make(root: Path, train: bool, download: bool) -> SimpleNamespace:
        n = 30 if train else 10
        return SimpleNamespace(data=images(n, 4, 4), targets=np.arange(n) % 10, classes=[f"c{i}" for i in range(10)])

    monkeypatch.setattr(datasets, "MNIST", make)
    return DataConfig(name="mnist", dir=str(tmp_path / "data"))


# --- IDX files


@pytest.mark.parametrize("shape", [(5,), (3, 4, 2), (2, 3, 4, 5), (0,)])
def test_read_idx(tmp_path: Path, shape: tuple[int, ...]) -> None:
    expected = images(*shape)
    (tmp_path / "a.gz").write_bytes(gzip.compress(idx(expected), mtime=0))
    np.testing.assert_array_equal(read_idx(tmp_path / "a.gz"), expected, strict=True)


GOOD = idx(images(3, 4, 4))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(GOOD, mtime=0)[:-10], "cannot be read"),
        (altered(gzip.compress(GOOD, mtime=0), -6), "cannot be read"),  # the checksum at the end
        (GOOD, "cannot be read"),  # not gzipped
        (b"", "no IDX file"),
        (gzip.compress(b"", mtime=0), "no IDX file"),
        (gzip.compress(b"\0\0\x08", mtime=0), "no IDX file"),
        (gzip.compress(GOOD[:10], mtime=0), "no IDX file"),  # ends within the header
        (gzip.compress(b"\0\0\x0d" + GOOD[3:], mtime=0), "no IDX file of bytes"),  # floats
        (gzip.compress(b"\x89PNG" + GOOD[4:], mtime=0), "no IDX file"),
        (gzip.compress(GOOD[:-1], mtime=0), r"truncated: it holds 47 values where its header says \(3, 4, 4\)"),
        (gzip.compress(GOOD + b"\0", mtime=0), r"it holds 49 values where its header says \(3, 4, 4\)"),
    ],
)
def test_a_broken_idx_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "some-file.gz").write_bytes(content)
    with pytest.raises(DataError, match=rf"some-file\.gz .*{message}"):
        read_idx(tmp_path / "some-file.gz")


def test_a_missing_idx_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.gz cannot be read"):
        read_idx(tmp_path / "none.gz")


# --- Fashion-MNIST


def test_the_cache_is_the_published_dataset(idx_files: dict[str, bytes], data_dir: str) -> None:
    assert {n: hashlib.sha256(c).hexdigest() for n, c in idx_files.items()} == {n: h for n, (_, h) in PUBLISHED.items()}
    data = load(DataConfig(dir=data_dir))
    assert {n: data.sha256[n] for n in PUBLISHED} == {n: h for n, (_, h) in PUBLISHED.items()}
    # github.com/zalandoresearch/fashion-mnist, "Labels"
    assert data.classes == [
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
    ]
    for name, n in (("train", 60_000), ("test", 10_000)):
        assert getattr(data, f"{name}_images").shape == (n, 1, 28, 28)
        assert getattr(data, f"{name}_labels").shape == (n,)


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="dataset-fashion-mnist is not installed")
def test_debians_package(idx_files: dict[str, bytes]) -> None:
    for name, array in read_fashion_mnist(DEBIAN).items():
        assert idx(array[:, 0] if array.ndim == 4 else array) == idx_files[name]


@pytest.mark.parametrize("name", ["test_images", "train_labels"])
def test_an_altered_archive_is_named_and_leaves_nothing(
    name: str, idx_files: dict[str, bytes], archives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "archives"
    folder.mkdir()
    for archive in archives.iterdir():
        (folder / archive.name).symlink_to(archive)
    bad = folder / f"{PUBLISHED[name][0]}.gz"
    bad.unlink()
    bad.write_bytes(gzip.compress(altered(idx_files[name], 5000), compresslevel=0, mtime=0))
    monkeypatch.setattr(sources, "DEBIAN", folder)
    (tmp_path / "data").mkdir()
    with pytest.raises(DataError, match=f"{PUBLISHED[name][0]}.gz is altered"):
        load(DataConfig(dir=str(tmp_path / "data")))
    assert os.listdir(tmp_path / "data") == [LOCK]


def test_a_cache_comes_first(data_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "read_fashion_mnist", refuse)
    monkeypatch.setattr(datasets, "FashionMNIST", refuse)
    load(DataConfig(dir=data_dir))


def test_debians_package_comes_second(archives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "DEBIAN", archives)
    monkeypatch.setattr(datasets, "FashionMNIST", refuse)
    load(DataConfig(dir=str(tmp_path)))  # which checks every SHA-256
    assert set(os.listdir(tmp_path)) == {"fashion_mnist", LOCK}


def test_torchvision_comes_last(idx_files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "DEBIAN", tmp_path / "none")
    raw = tmp_path / "downloads" / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for name, content in idx_files.items():
        (raw / PUBLISHED[name][0]).write_bytes(altered(content) if name == "test_labels" else content)
    config = DataConfig(dir=str(tmp_path))
    with pytest.raises(DataError, match=r"raw/t10k-labels-idx1-ubyte is altered"):
        load(config)
    (raw / PUBLISHED["test_labels"][0]).write_bytes(idx_files["test_labels"])
    load(config)
    assert {p.name for p in (tmp_path / "fashion_mnist").iterdir()} == CACHE


@pytest.mark.parametrize("error", [URLError("no route to host"), RuntimeError("Error downloading\nat length")])
def test_without_any_source_the_three_ways_are_listed(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise error

    monkeypatch.setattr(sources, "DEBIAN", tmp_path / "none")
    monkeypatch.setattr(datasets, "FashionMNIST", fail)
    with pytest.raises(DataError) as caught:
        load(DataConfig(dir=str(tmp_path / "data")))
    message = str(caught.value)
    ways = ("a prepared cache", f"{tmp_path}/data/", "apt-get install dataset-fashion-mnist", f"{tmp_path}/none")
    for part in (*ways, "torchvision's download", type(error).__name__, str(error).splitlines()[0]):
        assert part in message
    assert "at length" not in message
    assert os.listdir(tmp_path / "data") == [LOCK]


# --- the cache


def test_a_cache_is_plain_and_mapped(mnist: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[type, bool]] = []

    def spy(path: Path, **options: Any) -> Any:
        array = np_load(path, **options)
        opened.append((type(array), options["allow_pickle"]))
        return array

    np_load = np.load
    monkeypatch.setattr(np, "load", spy)
    data = load(mnist)
    assert opened == [(np.memmap, False)] * 5
    assert data.classes == [f"c{i}" for i in range(10)]
    assert data.sha256["test_images"] == hashlib.sha256(idx(images(10, 4, 4))).hexdigest()
    folder = Path(mnist.dir) / "mnist"
    assert {p.name for p in folder.iterdir()} == CACHE
    assert set(os.listdir(mnist.dir)) == {"mnist", LOCK}  # nothing aside
    # what is written into the tensors stays in this process
    before = (folder / "train_images.npy").read_bytes()
    data.train_images.zero_()
    assert (folder / "train_images.npy").read_bytes() == before


def test_moments(mnist: DataConfig) -> None:
    data = load(mnist)
    pixels = images(30, 4, 4).astype(np.float64)
    expected = np.stack([pixels.mean((1, 2)), (pixels**2).mean((1, 2))], axis=1)[:, :, None]
    np.testing.assert_allclose(data.moments.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("name", sorted(CACHE))
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda content: content[: len(content) // 2], id="half"),
        pytest.param(lambda content: content[:-1], id="one byte short"),
        pytest.param(lambda content: b"", id="empty"),
        pytest.param(altered, id="last byte"),
    ],
)
def test_a_damaged_cache_is_named(mnist: DataConfig, name: str, change: Callable[[bytes], bytes]) -> None:
    load(mnist)
    path = Path(mnist.dir) / "mnist" / name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=f"{path} .*delete {path.parent} to prepare it anew"):
        load(mnist)


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(np.zeros(10, np.int8), id="another type"),
        pytest.param(np.zeros((10, 1), np.uint8), id="another shape"),
        pytest.param(np.array([{}], dtype=object), id="a pickle"),
    ],
)
def test_a_foreign_array_in_the_cache_is_named(mnist: DataConfig, array: npt.NDArray[Any]) -> None:
    load(mnist)
    path = Path(mnist.dir) / "mnist" / "test_labels.npy"
    np.save(path, array)
    with pytest.raises(DataError, match=f"{path} "):
        load(mnist)


def test_a_missing_array_is_named(mnist: DataConfig) -> None:
    load(mnist)
    path = Path(mnist.dir) / "mnist" / "test_labels.npy"
    path.unlink()
    with pytest.raises(DataError, match=f"{path} "):
        load(mnist)


def test_fashion_mnist_is_checked_against_the_published_whatever_its_cache_says(mnist: DataConfig) -> None:
    load(mnist)
    (Path(mnist.dir) / "mnist").rename(Path(mnist.dir) / "fashion_mnist")
    with pytest.raises(DataError, match=r"train_images\.npy is truncated or altered"):
        load(DataConfig(dir=mnist.dir))


def test_a_cache_left_half_made_is_made_anew(mnist: DataConfig) -> None:
    folder = Path(mnist.dir) / "mnist"
    folder.mkdir(parents=True)
    (folder / "train_images.npy").write_bytes(b"half")
    assert len(load(mnist).train_images) == 30
    assert {p.name for p in folder.iterdir()} == CACHE


def test_an_interrupted_preparation_leaves_nothing(mnist: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """numpy's own words for a full disk are "7840 requested and 96 written"."""

    def full(path: Path, *args: Any, **kwargs: Any) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("7840 requested and 96 written")

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", full)
        with pytest.raises(ConfigError) as caught:
            load(mnist)
    assert str(caught.value).startswith(f"data.dir: got {mnist.dir}, but the system says: {mnist.dir}/.mnist-")
    assert str(caught.value).endswith("/train_images.npy: No space left on device; free some space, or choose another")
    assert os.listdir(mnist.dir) == [LOCK]
    assert len(load(mnist).test_images) == 10


def test_a_real_limit_is_said(mnist: DataConfig) -> None:
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
    try:
        with pytest.raises(ConfigError, match=r"^data\.dir: .* the system says: .*File too large; "):
            load(mnist)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert [p.name for p in Path(mnist.dir).iterdir()] == [".prepare.lock"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOMEM, errno.EMFILE])
def test_good_data_that_cannot_be_opened_is_not_to_be_deleted(
    number: int, mnist: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that may not be read; too many threads, each with a stack that is mapped, too."""

    def refused(path: Path, *args: Any, **kwargs: Any) -> None:
        raise OSError(number, os.strerror(number), str(path))

    load(mnist)
    monkeypatch.setattr(np, "load", refused)
    with pytest.raises(ConfigError, match=f"^data.dir: .*/train_images.npy: {os.strerror(number)}; ") as caught:
        load(mnist)
    assert "delete" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"sha256": 1}', "[" * 100_000, "\xff"])
def test_damaged_meta_is_said(text: str, mnist: DataConfig) -> None:
    load(mnist)
    meta = Path(mnist.dir) / "mnist" / "meta.json"
    meta.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=f"^data: {meta} cannot be read; delete {meta.parent} to prepare it anew$"):
        load(mnist)


def test_meta_without_a_class_is_said(mnist: DataConfig) -> None:
    load(mnist)
    meta = Path(mnist.dir) / "mnist" / "meta.json"
    meta.write_text(json.dumps(json.loads(meta.read_text()) | {"classes": ["only one"]}))
    with pytest.raises(DataError, match=r"names 1 classes, but there are more; delete .* to prepare it anew$"):
        load(mnist)


def test_two_that_need_it_at_once_prepare_it_once(mnist: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    make, reads, counts = datasets.MNIST, [], []
    second = threading.Thread(target=lambda: counts.append(len(load(mnist).train_images)))

    def slow(root: Path, train: bool, download: bool) -> Any:
        reads.append(train)
        if len(reads) == 1:
            second.start()  # finds no cache yet, and has to wait for ours
            second.join(0.5)
        return make(root, train, download)

    monkeypatch.setattr(datasets, "MNIST", slow)
    counts.append(len(load(mnist).train_images))
    second.join()
    assert counts == [30, 30]
    assert sorted(reads) == [False, True]  # the test set and the training set, once each
    assert set(os.listdir(mnist.dir)) == {"mnist", LOCK}
    assert {p.name for p in (Path(mnist.dir) / "mnist").iterdir()} == CACHE


# --- other named datasets


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("kmnist", "KMNIST")])
def test_raw_files_where_torchvision_keeps_them(name: Any, folder: str, tmp_path: Path) -> None:
    raw = tmp_path / "downloads" / folder / "raw"
    raw.mkdir(parents=True)
    content = {
        "train_images": images(30, 28, 28),
        "train_labels": np.arange(30, dtype=np.uint8) % 10,
        "test_images": images(10, 28, 28, seed=1),
        "test_labels": np.arange(10, dtype=np.uint8)[::-1].copy(),
    }
    for key, array in content.items():
        (raw / PUBLISHED[key][0]).write_bytes(idx(array))
    data = load(DataConfig(name=name, dir=str(tmp_path)))
    for key, array in content.items():
        expected = array[:, None] if array.ndim == 3 else array
        np.testing.assert_array_equal(getattr(data, key).numpy(), expected, strict=True)
        assert data.sha256[key] == hashlib.sha256(idx(array)).hexdigest()
    assert len(data.classes) == 10


def test_emnist_is_stood_upright(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upright = images(9, 28, 28)

    def make(root: Path, split: str, train: bool, download: bool) -> SimpleNamespace:
        assert split == "balanced"
        return SimpleNamespace(data=upright.transpose(0, 2, 1), targets=np.arange(9), classes=list("abcdefghi"))

    monkeypatch.setattr(datasets, "EMNIST", make)
    data = load(DataConfig(name="emnist", dir=str(tmp_path)))
    np.testing.assert_array_equal(data.train_images.numpy(), upright[:, None], strict=True)
    assert data.classes == list("abcdefghi")


@pytest.mark.parametrize(("name", "torchvision_name"), [("cifar10", "CIFAR10"), ("cifar100", "CIFAR100")])
def test_cifar_gets_its_bands_in_front(
    name: Any, torchvision_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = images(6, 32, 32, 3)
    part = SimpleNamespace(data=pixels, targets=[3, 1, 0, 2, 99, 4], classes=list(map(str, range(100))))
    monkeypatch.setattr(datasets, torchvision_name, lambda root, train, download: part)
    data = load(DataConfig(name=name, dir=str(tmp_path)))
    for band in range(3):
        np.testing.assert_array_equal(data.test_images[:, band].numpy(), pixels[..., band], strict=True)
    assert data.train_labels.tolist() == [3, 1, 0, 2, 99, 4]
    assert data.moments.shape == (6, 2, 3)
    np.testing.assert_allclose(data.moments[:, 0].numpy(), pixels.astype(np.float64).mean((1, 2)), rtol=1e-12)


def test_a_failed_download_of_another_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise URLError("no route to host")

    monkeypatch.setattr(datasets, "KMNIST", fail)
    with pytest.raises(DataError, match=r"kmnist is neither prepared in .*URLError.*no route to host.*downloads"):
        load(DataConfig(name="kmnist", dir=str(tmp_path)))


# --- the order that splits and subsets are cut from


def test_every_prefix_has_the_classes_in_proportion() -> None:
    labels = torch.tensor([0] * 6 + [1] * 3 + [2]).repeat(10)
    order = stratified_order(labels, seed=0)
    assert sorted(order.tolist()) == list(range(100))
    seen = labels[order]
    for n in range(1, 101):
        counts = seen[:n].bincount(minlength=3).tolist()
        assert all(abs(c - share * n) <= 1 for c, share in zip(counts, (0.6, 0.3, 0.1), strict=True)), n
    # at 1/120, 1/60, 3/120 and 5/120, before the first of the rarest class at 1/20
    assert seen[:4].tolist() == [0, 1, 0, 0]
