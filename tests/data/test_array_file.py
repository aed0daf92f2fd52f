"""data=arrays: an .npz of the user's own is read as it stands, or refused by name before anything runs."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fc2conv.compose import plan_of, shape_of
from fc2conv.config.identity import identity_of
from fc2conv.config.schema import Config, DataConfig
from fc2conv.data.array_file import describe
from fc2conv.data.image_data import ImageData
from fc2conv.data.sources import load
from fc2conv.errors import ConfigError, DataError

GENERATOR = np.random.default_rng(0)
LABELS = np.arange(30) % 3
Write = Callable[..., DataConfig]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A file of such arrays, as the data of a config."""

    def call(settings: dict[str, Any] | None = None, **arrays: Any) -> DataConfig:
        np.savez(tmp_path / "mine.npz", **arrays)
        more = {"val_size": 6} | (settings or {})
        return DataConfig(name="arrays", path=str(tmp_path / "mine.npz"), dir=str(tmp_path / "cache"), **more)

    return call


def pixels(*shape: int, dtype: type = np.uint8) -> np.ndarray[Any, Any]:
    return GENERATOR.integers(0, 256, shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(
    ("kind", "shape", "seen"),
    [
        ("images", (7, 9), (1, 7, 9)),
        ("images", (3, 7, 9), (3, 7, 9)),
        ("signals", (9,), (1, 1, 9)),
        ("signals", (5, 9), (5, 1, 9)),
    ],
)
def test_shapes_and_types(write: Write, kind: str, shape: tuple[int, ...], seen: tuple[int, ...], dtype: type) -> None:
    """30 of which a fifth is kept for the test, two of each class; what is loaded is what was saved."""
    values = pixels(30, *shape, dtype=dtype)
    config = write(**{kind: values, "labels": LABELS})
    info = describe(config)
    assert (info.shape, info.classes, info.train) == (seen, 3, 24)
    assert shape_of(config) == (seen, 3)
    found = load(config)
    assert found.train_images.dtype == (torch.uint8 if dtype is np.uint8 else torch.float32)
    assert found.test_labels.bincount().tolist() == [2, 2, 2]
    both = torch.cat([found.train_images, found.test_images]).flatten(1).tolist()
    labels = torch.cat([found.train_labels, found.test_labels]).tolist()
    saved = values.reshape(30, -1).tolist()
    assert sorted(zip(labels, both, strict=True)) == sorted(zip(LABELS.tolist(), saved, strict=True))


def test_divided_already(write: Write) -> None:
    train, test = pixels(12, 8, 8), pixels(6, 8, 8)
    config = write(train_images=train, train_labels=LABELS[:12], test_images=test, test_labels=LABELS[:6])
    found = load(config)
    assert describe(config).train == 12
    assert np.array_equal(found.train_images[:, 0].numpy(), train)
    assert np.array_equal(found.test_images[:, 0].numpy(), test)
    assert found.classes == ["0", "1", "2"]


def test_values_are_normalised_as_bytes_are(write: Write) -> None:
    """standard: mean 0 and deviation 1 over the training split. unit leaves float32 as it is."""
    values = (GENERATOR.normal(5, 3, (30, 40))).astype(np.float32)
    data = ImageData(write(signals=values, labels=LABELS))
    data.setup()
    seen = torch.cat([x for x, _ in data.train_dataloader()])
    assert seen.shape == (18, 1, 1, 40)
    assert seen.mean().item() == pytest.approx(0, abs=1e-5)
    assert seen.std(correction=0).item() == pytest.approx(1, abs=1e-5)
    plain = ImageData(write({"normalise": "unit"}, signals=values, labels=LABELS))
    plain.setup()
    seen = torch.cat([x for x, _ in plain.val_dataloader()])
    assert torch.equal(seen.flatten(1), plain.source.train_images[plain.val_indices].flatten(1))


@pytest.mark.parametrize("normalise", ["standard", "unit"])
def test_pictures_show_values_as_bytes(write: Write, normalise: str) -> None:
    """Black is the mean less three deviations, white the mean and three."""
    values = (GENERATOR.normal(5, 3, (30, 40))).astype(np.float32)
    data = ImageData(write({"normalise": normalise}, signals=values, labels=LABELS))
    data.setup()
    found, test = data.seen(torch.arange(6)), data.source.test_images[:6].numpy()
    train = data.source.train_images[data.train_indices].numpy()
    want = (test - train.mean()) / (6 * train.std()) * 255 + 127.5
    assert found.dtype == torch.uint8
    np.testing.assert_allclose(found.numpy(), want.clip(0, 255), atol=0.51)


def test_a_changed_file_is_read_anew(write: Write) -> None:
    one = load(write(images=np.zeros((30, 4, 4), np.uint8), labels=LABELS))
    other = load(write(images=np.full((30, 4, 4), 7, np.uint8), labels=LABELS, settings={"test_size": 0.5}))
    assert not one.train_images.any()
    assert (other.train_images == 7).all()
    assert len(other.test_labels) == 15


def test_the_path_and_the_split_decide() -> None:
    def identity(**fields: Any) -> Any:
        return identity_of(Config(data=DataConfig(name="arrays", **fields)))["data"]

    assert identity(path="a.npz") != identity(path="b.npz")
    assert identity(path="a.npz", test_size=0.5) != identity(path="a.npz")
    assert identity(path="a.npz", colour=True) == identity(path="a.npz")
    assert identity(path="a.npz", dir="elsewhere") == identity(path="a.npz")


def test_a_network_is_planned_for_it(write: Write) -> None:
    """LeNet on a signal of 20 values with two channels: 6 (2 * 5 + 1) parameters, then 20, 10, 6, 3 values."""
    network = plan_of(Config(data=write(signals=pixels(30, 2, 20), labels=LABELS)))
    assert network.rows[0].params == 66
    assert network.rows[5].output == (16, 1, 3)
    assert network.rows[-1].output == (3,)


# --- what is wrong

GOOD = {"images": np.zeros((30, 4, 4), np.uint8), "labels": LABELS}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"images": np.zeros((30, 4, 4))}, "images is float64, expected uint8 or float32"),
        ({"images": np.zeros((30, 4, 4), ">f4")}, "images is >f4, expected uint8 or float32"),
        ({"images": np.zeros((30, 4), np.uint8)}, "images has the shape (30, 4), expected (N, H, W) or (N, C, H, W)"),
        ({"images": np.zeros((0, 4, 4), np.uint8)}, "images has the shape (0, 4, 4), expected"),
        ({"labels": LABELS[:29]}, "labels is int64 (29,), expected whole numbers (30,), one for each image"),
        ({"labels": LABELS.astype(float)}, "labels is float64 (30,), expected whole numbers"),
        ({"labels": LABELS[:, None]}, "labels is int64 (30, 1), expected whole numbers (30,)"),
        ({"labels": LABELS + 1}, "labels must be 0, 1, 2, ... without a gap; 0 is missing, 3 is there"),
        ({"labels": LABELS - 1}, "without a gap; 2 is missing, -1 is there"),
        ({"labels": LABELS * 2}, "without a gap; 1 is missing, 4 is there"),
        ({"labels": LABELS * 0}, "labels name 1 class, expected at least two"),
        ({"x": LABELS}, "holds images, labels, x; expected images or signals, and labels"),
    ],
)
def test_a_wrong_array_is_named(write: Write, changed: dict[str, Any], message: str) -> None:
    config = write(**(GOOD | changed))
    with pytest.raises(DataError) as caught:
        plan_of(Config(data=config))
    assert str(caught.value).startswith(f"data: {config.path}")
    assert message in str(caught.value)


def test_two_parts_that_do_not_go_together(write: Write) -> None:
    parts: dict[str, Any] = {
        "train_signals": np.zeros((30, 8), np.uint8),
        "train_labels": LABELS,
        "test_signals": np.zeros((30, 8), np.uint8),
        "test_labels": LABELS,
    }
    for changed, message in (
        ({"test_signals": np.zeros((30, 9), np.uint8)}, "train_signals and test_signals differ in shape or type"),
        ({"test_signals": np.zeros((30, 8), np.float32)}, "train_signals and test_signals differ in shape or type"),
        ({"test_labels": LABELS + 1}, "test_labels has 3, which no training label is"),
    ):
        with pytest.raises(DataError, match=message):
            describe(write(**(parts | changed)))


class Evil:
    """Whoever unpickles it is told."""

    def __reduce__(self) -> Any:
        return pytest.fail, ("was unpickled",)


def test_nothing_is_unpickled(write: Write, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="images is object, expected uint8 or float32"):
        describe(write(**(GOOD | {"images": np.array([[[Evil()]]] * 30, dtype=object)})))
    with pytest.raises(DataError, match="labels is object"):
        describe(write(**(GOOD | {"labels": np.array([Evil()] * 30, dtype=object)})))
    (tmp_path / "mine.npz").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(DataError, match=r"is no \.npz file"):
        describe(DataConfig(name="arrays", path=str(tmp_path / "mine.npz")))


def test_a_damaged_file_is_named(write: Write, tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    config = write(**GOOD)
    whole = path.read_bytes()
    at = whole.index(b"\x93NUMPY") + 200
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])  # a pixel: the zip's CRC-32 tells
    with pytest.raises(DataError, match=r"mine\.npz: images.* cannot be read \(Bad CRC-32"):
        load(config)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"is no \.npz file"):
        load(config)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("images.npy", b"no array")
        buffer = io.BytesIO()
        np.save(buffer, LABELS)
        file.writestr("labels.npy", buffer.getvalue())
    with pytest.raises(DataError, match=r"images\.npy cannot be read"):
        describe(config)
    assert not (tmp_path / "cache").exists() or not list((tmp_path / "cache").glob("arrays*"))


def test_what_is_not_finite_is_refused(write: Write) -> None:
    values = np.zeros((30, 4, 4), np.float32)
    values[7, 1, 2] = np.nan
    with pytest.raises(DataError, match="images holds values that are not finite"):
        load(write(images=values, labels=LABELS))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.path: got null, expected the file of your arrays"):
        DataConfig(name="arrays")
    for path in (tmp_path / "none.npz", tmp_path):
        with pytest.raises(DataError, match=r"is no file \(data\.path\)"):
            describe(DataConfig(name="arrays", path=str(path)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"canvas": 3}, "data.canvas: got 3, expected at least the image's 4"),
        ({"shift": (0, 4)}, "data.shift: got"),
        ({"permutation": "block", "block": 3}, "data.block: got 3, expected a divisor of the image's 4 pixels"),
        ({"val_size": 24}, "data.val_size: got 24"),
    ],
)
def test_what_is_done_with_images_must_fit_them(write: Write, settings: dict[str, Any], message: str) -> None:
    config = write(settings, **GOOD)
    with pytest.raises(ConfigError) as caught:
        config.split(describe(config).train)
    assert message in str(caught.value)
