"""A user's own images: what is listed, what is refused by name, and when they are read anew."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from fc2conv.compose import shape_of
from fc2conv.config.parsing import parse
from fc2conv.config.schema import DataConfig
from fc2conv.data.folder import class_names, listing
from fc2conv.data.image_data import ImageData
from fc2conv.data.sources import LOCK, Images, load
from fc2conv.errors import ConfigError, DataError, Interrupted

CLASSES = ["dark", "light", "middle"]


@pytest.fixture
def config(image_folder: Path, tmp_path: Path) -> Callable[..., DataConfig]:
    """config(path=..., size=..., ...) of the small folder."""

    def make(**settings: Any) -> DataConfig:
        return DataConfig(**{"name": "folder", "path": str(image_folder), "dir": str(tmp_path / "data"), **settings})

    return make


@pytest.fixture
def divided(image_folder: Path, tmp_path: Path) -> Path:
    """The small folder as train/ (15 a class) and test/ (5 a class)."""
    for name in CLASSES:
        for i, file in enumerate(sorted((image_folder / name).iterdir())):
            part = tmp_path / "divided" / ("train" if i < 15 else "test") / name
            part.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, part)
    return tmp_path / "divided"


def rows(array: Any) -> list[bytes]:
    """Each image's bytes, sorted."""
    return sorted(np.asarray(image).tobytes() for image in array)


# --- what there is


def test_listing(config: Callable[..., DataConfig], image_folder: Path) -> None:
    (image_folder / "dark" / "notes.txt").write_text("no image")
    (image_folder / ".hidden").mkdir()
    (image_folder / "light" / "deeper").mkdir()
    shutil.move(image_folder / "light" / "19.png", image_folder / "light" / "deeper" / "A.JPEG")
    assert class_names(config()) == CLASSES
    [(name, (dark, light, middle))] = listing(config())
    assert name == "images"
    assert [f.name for f in dark] == [f"{i:02}.png" for i in range(20)] == [f.name for f in middle]
    assert {f.name for f in light} == {*(f"{i:02}.png" for i in range(19)), "A.JPEG"}


def test_listing_of_train_and_test(config: Callable[..., DataConfig], divided: Path) -> None:
    parts = listing(config(path=str(divided)))
    assert [(name, [len(files) for files in classes]) for name, classes in parts] == [
        ("train", [15, 15, 15]),
        ("test", [5, 5, 5]),
    ]
    assert class_names(config(path=str(divided))) == CLASSES


def no_folder(path: Path) -> None:
    shutil.rmtree(path)


def one_class(path: Path) -> None:
    shutil.rmtree(path / "dark")
    shutil.rmtree(path / "light")


def empty_class(path: Path) -> None:
    (path / "empty").mkdir()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (no_folder, r"images is no folder \(data\.path\)"),
        (one_class, r"images needs one subfolder for each class, at least two; it has 1"),
        (empty_class, r"images/empty holds no images"),
    ],
)
def test_a_wrong_folder(
    config: Callable[..., DataConfig], image_folder: Path, change: Callable[[Path], None], message: str
) -> None:
    change(image_folder)
    with pytest.raises(DataError, match=message):
        load(config())


@pytest.mark.parametrize("name", ["darker", "dark"])
def test_train_and_test_with_different_classes(config: Callable[..., DataConfig], divided: Path, name: str) -> None:
    shutil.move(divided / "test" / "light", divided / "test" / f"not {name}")
    with pytest.raises(DataError, match=rf"test has the classes dark, middle, not {name}, but train/ has dark, light"):
        load(config(path=str(divided)))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bad.png", b""),
        ("bad.png", b"no image"),
        ("cut.png", None),  # the first half of a good one
        ("bad.jpg", b"\xff\xd8\xff\xe0"),
        ("bad.ppm", b"P6\n8 x\n255\n" + bytes(192)),
        ("huge.ppm", b"P6\n100000 100000\n255\n"),
    ],
)
def test_an_unreadable_image_is_named(
    config: Callable[..., DataConfig], image_folder: Path, tmp_path: Path, name: str, content: bytes | None
) -> None:
    good = (image_folder / "light" / "00.png").read_bytes()
    (image_folder / "light" / name).write_bytes(good[: len(good) // 2] if content is None else content)
    with pytest.raises(DataError, match=rf"images/light/{name} is no readable image"):
        load(config())
    assert [p.name for p in (tmp_path / "data").iterdir()] == [LOCK]


@pytest.mark.parametrize("where", [Image, np])
def test_a_signal_is_not_taken_for_a_damaged_file(
    config: Callable[..., DataConfig], monkeypatch: pytest.MonkeyPatch, where: Any
) -> None:
    def interrupted(*args: Any, **kwargs: Any) -> Any:
        raise Interrupted(15)

    monkeypatch.setattr(where, {Image: "open", np: "load"}[where], interrupted)
    with pytest.raises(Interrupted):
        load(config())


# --- pixels


def test_grey(config: Callable[..., DataConfig], image_folder: Path) -> None:
    data = load(config(size=8))  # 8 x 10 images lose a column on each side and are not resampled
    files = [Image.open(f) for f in image_folder.rglob("*.png")]
    expected = rows(np.asarray(f)[None, :, 1:9] for f in files)
    assert rows([*data.train_images, *data.test_images]) == expected


def test_size(config: Callable[..., DataConfig]) -> None:
    data = load(config(size=5))
    assert data.train_images.shape == (48, 1, 5, 5)
    for images, labels in ((data.train_images, data.train_labels), (data.test_images, data.test_labels)):
        # the classes' ranges are 0-59, 190-249 and 95-154
        brightness = images.float().mean((1, 2, 3))
        assert ((brightness > 75).int() + (brightness > 172).int()).tolist() == [[0, 2, 1][c] for c in labels.tolist()]


def test_colour(config: Callable[..., DataConfig], tmp_path: Path) -> None:
    for name, colour in (("red", (250, 20, 30)), ("green", (10, 240, 40))):
        (tmp_path / "colours" / name).mkdir(parents=True)
        for i in range(5):
            Image.new("RGB", (9, 7), colour).save(tmp_path / "colours" / name / f"{i}.png")
    data = load(config(path=str(tmp_path / "colours"), size=6, colour=True))
    assert data.classes == ["green", "red"]
    assert data.train_images.shape == (8, 3, 6, 6)
    for image, label in zip(data.train_images, data.train_labels, strict=True):
        assert image.flatten(1).unique(dim=1).flatten().tolist() == [[10, 240, 40], [250, 20, 30]][label]
    assert torch.equal(load(config(path=str(tmp_path / "colours"), size=6)).train_images, data.train_images)
    assert shape_of(config(path=str(tmp_path / "colours"), size=6)) == ((3, 6, 6), 2)
    assert shape_of(config(path=str(tmp_path / "colours"), size=6, colour=False, bands=5)) == ((5, 6, 6), 2)
    with pytest.raises(ConfigError, match="only grey images can be repeated"):
        shape_of(config(path=str(tmp_path / "colours"), size=6, bands=5))
    assert shape_of(config(path=str(tmp_path / "colours"), size=6, bands=1)) == ((1, 6, 6), 2)
    mean = ImageData(config(path=str(tmp_path / "colours"), size=6, bands=1, val_size=2))
    mean.setup()
    assert mean.source.train_images.unique().tolist() == [97, 100]  # (10 + 240 + 40) / 3 and (250 + 20 + 30) / 3
    grey = load(config(path=str(tmp_path / "colours"), size=6, colour=False))
    # ITU-R 601-2, as Pillow converts: L = (299 R + 587 G + 114 B) / 1000
    assert {(int(c), int(i.unique())) for i, c in zip(grey.train_images, grey.train_labels, strict=True)} == {
        (0, 148),
        (1, 90),
    }


def pictures(folder: Path, image: Image.Image, name: str = "0.png", **options: Any) -> Path:
    """A folder of two classes with `image` in each."""
    for label in ("one", "two"):
        (folder / label).mkdir(parents=True, exist_ok=True)
        image.save(folder / label / name, **options)
    return folder


def seen(config: Callable[..., DataConfig], path: Path, **settings: Any) -> npt.NDArray[np.uint8]:
    """(C, H, W) of the one image in the folder `path`."""
    pixels: npt.NDArray[np.uint8] = load(config(path=str(path), test_size=0.5, **settings)).train_images[0].numpy()
    return pixels


def test_hidden_files_are_passed_over(config: Callable[..., DataConfig], image_folder: Path) -> None:
    """As macOS and notebooks leave them: no images, and copies of images."""
    (image_folder / "dark" / "._00.png").write_bytes(b"Mac OS X")
    (image_folder / "dark" / "folder.png").mkdir()
    for hidden in (".ipynb_checkpoints", ".thumbnails/deeper"):
        (image_folder / "light" / hidden).mkdir(parents=True)
        shutil.copy(image_folder / "light" / "00.png", image_folder / "light" / hidden / "00-checkpoint.png")
    [(_, classes)] = listing(config())
    assert [len(files) for files in classes] == [20, 20, 20]
    assert len(load(config()).train_labels) == 48


# TIFF 6.0's tag 274: where row 0 and column 0 of the stored pixels belong -> how they are seen
ORIENTATIONS: dict[int, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]] = {
    1: lambda a: a,  # top, left
    2: lambda a: a[:, ::-1],  # top, right
    3: lambda a: a[::-1, ::-1],  # bottom, right
    4: lambda a: a[::-1],  # bottom, left
    5: lambda a: a.T,  # left, top
    6: lambda a: a[::-1].T,  # right, top: turned clockwise
    7: lambda a: a[::-1, ::-1].T,  # right, bottom
    8: lambda a: a[:, ::-1].T,  # left, bottom
}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_images_are_seen_upright(config: Callable[..., DataConfig], tmp_path: Path, orientation: int) -> None:
    stored = np.arange(60, dtype=np.uint8).reshape(6, 10)
    exif = Image.Exif()
    exif[274] = orientation
    folder = pictures(tmp_path / "turned", Image.fromarray(stored), exif=exif)
    upright = ORIENTATIONS[orientation](stored)
    np.testing.assert_array_equal(seen(config, folder, size=upright.shape)[0], upright)


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage!", b"Exif\0\0II*\0\xff\xff\xff\x7f"])
def test_an_image_with_damaged_exif_is_taken_as_it_is(
    config: Callable[..., DataConfig], tmp_path: Path, exif: bytes
) -> None:
    folder = pictures(tmp_path / "damaged", Image.new("L", (8, 8), 77), "0.jpg", exif=exif)
    assert (seen(config, folder, size=8) == 77).all()


def test_what_is_transparent_shows_the_background(config: Callable[..., DataConfig], tmp_path: Path) -> None:
    """Black, to the degree of its transparency, whatever colour lies beneath."""
    red = Image.new("RGBA", (4, 4), (250, 100, 10, 0))
    red.putpixel((1, 1), (250, 100, 10, 255))
    red.putpixel((2, 1), (250, 100, 10, 102))  # two fifths
    pixels = seen(config, pictures(tmp_path / "rgba", red), size=4)
    assert pixels.shape == (3, 4, 4)
    assert pixels[:, 1, 1].tolist() == [250, 100, 10]
    assert pixels[:, 1, 2].tolist() == [100, 40, 4]
    assert not pixels.sum(0)[2:].any()
    grey = Image.new("LA", (4, 4), (200, 0))
    grey.putpixel((1, 1), (200, 255))
    pixels = seen(config, pictures(tmp_path / "la", grey), size=4)
    assert pixels.shape == (1, 4, 4)
    assert pixels.nonzero()[1:] == (1, 1)
    assert pixels[0, 1, 1] == 200


@pytest.mark.parametrize(
    ("mode", "fill", "transparency", "bands"),
    [("L", 200, 200, 1), ("RGB", (9, 8, 7), (9, 8, 7), 3), ("P", 3, 3, 3), ("P", 3, b"\xff\xff\xff\x00", 3)],
)
def test_a_transparent_colour_shows_the_background(
    config: Callable[..., DataConfig], tmp_path: Path, mode: str, fill: Any, transparency: Any, bands: int
) -> None:
    """PNG's tRNS: one grey level, one colour, or an alpha for each entry of the palette."""
    image = Image.new(mode, (4, 4), fill)
    if mode == "P":
        image.putpalette([10, 20, 30] * 8)
    image.putpixel((0, 0), {"L": 100, "RGB": (10, 20, 30), "P": 0}[mode])
    pixels = seen(config, pictures(tmp_path / "trns", image, transparency=transparency), size=4)
    assert len(pixels) == bands
    assert pixels[:, 0, 0].tolist() == {1: [100], 3: [10, 20, 30]}[bands]
    assert pixels.any(0).sum() == 1


@pytest.mark.parametrize(
    ("palette", "bands"),
    [
        ([0, 0, 0, 90, 90, 90, 180, 180, 180], 1),
        ([0, 0, 0, 90, 90, 90, 180, 60, 20], 3),
        ([0, 0, 0, 90, 90, 90, 180, 180, 180, 9, 99, 200], 1),  # a colour that no pixel has
    ],
)
@pytest.mark.parametrize("name", ["0.png", "0.gif"])
def test_a_palette_is_what_it_shows(
    config: Callable[..., DataConfig], tmp_path: Path, name: str, palette: list[int], bands: int
) -> None:
    entries = np.array([[0, 1, 2], [2, 0, 1], [1, 1, 0]], np.uint8)
    image = Image.fromarray(entries)
    image.putpalette(palette)
    assert image.mode == "P"
    folder = pictures(tmp_path / "palette", image, name)
    expected = np.array(palette, np.uint8).reshape(-1, 3)[entries].transpose(2, 0, 1)[:bands]
    np.testing.assert_array_equal(seen(config, folder, size=3), expected)
    assert shape_of(config(path=str(folder), size=3)) == ((bands, 3, 3), 2)


# --- their shape


@pytest.mark.parametrize(("width", "height", "keeps"), [(100, 40, "[28,70]"), (40, 100, "[70,28]"), (9, 4, "[28,63]")])
def test_a_strip_is_not_made_a_square(
    config: Callable[..., DataConfig], tmp_path: Path, width: int, height: int, keeps: str
) -> None:
    folder = pictures(tmp_path / "strips", Image.new("L", (width, height)))
    lost = round(100 * (1 - min(width, height) / max(width, height)))
    with pytest.raises(ConfigError) as refused:
        load(config(path=str(folder)))
    assert refused.value.key == "data.size"
    assert str(refused.value) == (
        f"data.size: got 28, but {folder}/one/0.png is {height}x{width} pixels, and a square would cut off {lost}% of "
        f"it; give height and width: data.size={keeps} keeps its shape, data.size=[28,28] cuts"
    )


@pytest.mark.parametrize(("size", "shape"), [(28, (20, 40)), ([40, 100], (40, 100)), ([28, 28], (40, 100))])
def test_what_was_asked_for_or_loses_half_is_cut_in_the_middle(
    config: Callable[..., DataConfig], tmp_path: Path, size: Any, shape: tuple[int, int]
) -> None:
    """Three stripes, the middle one as wide as the image is high."""
    height, width = shape
    stripes = np.zeros(shape, np.uint8)
    edge = (width - height) // 2
    stripes[:, edge : edge + height] = 200
    folder = pictures(tmp_path / "stripes", Image.fromarray(stripes))
    size = tuple(size) if isinstance(size, list) else size
    pixels = seen(config, folder, size=size)
    assert pixels.shape[1:] == (size if isinstance(size, tuple) else (size, size))
    if pixels.shape[1:] == shape:
        np.testing.assert_array_equal(pixels[0], stripes)
    else:
        assert (pixels[..., 3:-3] == 200).all()  # at the border, bicubic sampling looks beyond
        assert (pixels > 150).all()


def test_size_from_the_command_line(tmp_path: Path) -> None:
    values = {"name": "folder", "path": "x", "size": [40, 100], "canvas": [60, 101]}
    assert parse(DataConfig, values).size == (40, 100)
    with pytest.raises(ConfigError, match=r"size: got \[1,2,3\], expected a whole number or a list of 2 values"):
        parse(DataConfig, values | {"size": [1, 2, 3]})
    with pytest.raises(ConfigError, match=r"data\.size: got \[0,3\], expected 1 or more pixels"):
        parse(DataConfig, values | {"size": [0, 3]})


def test_an_oblong_folder_is_planned_and_seen_alike(config: Callable[..., DataConfig]) -> None:
    settings: dict[str, Any] = {"size": (8, 10), "val_size": 12}
    for changed, shape in (({}, (1, 8, 10)), ({"canvas": 12}, (1, 12, 12)), ({"canvas": (9, 20)}, (1, 9, 20))):
        data = ImageData(config(**settings, **changed))
        assert shape_of(data.config)[0] == data.shape == shape
        images, _ = next(iter(data.test_dataloader()))
        assert images.shape[1:] == shape


# --- parts


@pytest.mark.parametrize(("test_size", "each"), [(0.2, 4), (0.25, 5), (0.5, 10), (0.9, 18)])
def test_the_split_takes_the_same_part_of_each_class(
    config: Callable[..., DataConfig], test_size: float, each: int
) -> None:
    data = load(config(test_size=test_size))
    assert data.test_labels.bincount().tolist() == [each] * 3
    assert data.train_labels.bincount().tolist() == [20 - each] * 3
    whole = rows([*data.train_images, *data.test_images])
    assert len(set(whole)) == 60  # no image in both


def test_both_parts_hold_an_image_at_least(config: Callable[..., DataConfig]) -> None:
    assert len(load(config(test_size=0.001)).test_labels) == 1
    assert len(load(config(test_size=0.999)).train_labels) == 1


def test_data_seed_draws_the_split(config: Callable[..., DataConfig], tmp_path: Path) -> None:
    cases = ((0, "a"), (0, "b"), (1, "a"))
    same, again, other = (load(config(seed=seed, dir=str(tmp_path / d))) for seed, d in cases)
    assert rows(same.test_images) == rows(again.test_images) != rows(other.test_images)


def test_train_and_test_stay_what_they_are(config: Callable[..., DataConfig], divided: Path) -> None:
    data = load(config(path=str(divided), size=8))
    for part, images, labels in (
        ("train", data.train_images, data.train_labels),
        ("test", data.test_images, data.test_labels),
    ):
        found = {image.numpy().tobytes(): CLASSES[c] for image, c in zip(images, labels, strict=True)}
        files = (divided / part).rglob("*.png")
        assert found == {np.asarray(Image.open(f))[:, 1:9].tobytes(): f.parent.name for f in files}


# --- the cache


def caches(config: DataConfig) -> int:
    return len(list(Path(config.dir).glob("[!.]*")))


def test_the_second_load_reads_no_image(config: Callable[..., DataConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(config())

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("must not be read")

    monkeypatch.setattr(Image, "open", refuse)
    second = load(config(batch_size=3, val_size=0.5))  # which change no pixel
    assert (first.train_images == second.train_images).all()
    assert caches(config()) == 1


def darker(folder: Path) -> None:
    """Same name, same length, other pixels."""
    file = folder / "light" / "00.png"
    stat = file.stat()
    shutil.copy(folder / "dark" / "00.png", file)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000))


def one_more(folder: Path) -> None:
    shutil.copy(folder / "dark" / "00.png", folder / "dark" / "more.png")


def one_less(folder: Path) -> None:
    (folder / "dark" / "00.png").unlink()


def renamed(folder: Path) -> None:
    (folder / "dark").rename(folder / "night")


@pytest.mark.parametrize("change", [darker, one_more, one_less, renamed])
def test_changed_files_are_read_anew(
    config: Callable[..., DataConfig], image_folder: Path, change: Callable[[Path], None]
) -> None:
    def content(data: Images) -> Any:
        return data.classes, rows([*data.train_images, *data.test_images])

    before = content(load(config()))
    change(image_folder)
    assert content(load(config())) != before
    assert caches(config()) == 2


@pytest.mark.parametrize("settings", [{"size": 6}, {"size": (9, 9)}, {"colour": True}, {"test_size": 0.5}, {"seed": 1}])
def test_other_settings_get_a_cache_of_their_own(config: Callable[..., DataConfig], settings: dict[str, Any]) -> None:
    load(config())
    load(config(**settings))
    load(config())
    assert caches(config()) == 2


# --- the DataModule on it


def test_image_data(config: Callable[..., DataConfig]) -> None:
    data = ImageData(config(size=9, val_size=12, batch_size=10, colour=True))
    assert data.classes == CLASSES
    assert data.shape == (3, 9, 9)
    assert [len(i) for i in (data.train_indices, data.val_indices, data.test_indices)] == [36, 12, 12]
    assert sum(len(labels) for _, labels in data.train_dataloader()) == 36


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "data.val_size: got 5000, expected fewer than the 48 training images"),
        ({"val_size": 48}, "data.val_size: got 48, expected fewer than the 48 training images"),
        ({"val_size": 0.25, "train_size": 37}, r"data.train_size: got 37, but data.val_size=0.25 leaves 36"),
    ],
)
def test_parts_larger_than_the_folder(
    config: Callable[..., DataConfig], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        ImageData(config(**settings)).setup()


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"size": 8, "canvas": 7}, "data.canvas"),
        ({"size": (8, 30), "canvas": 29}, "data.canvas"),
        ({"size": (8, 30), "canvas": (30, 8)}, "data.canvas"),
        ({"size": 8, "permutation": "block", "block": 3}, "data.block"),
        ({"size": (6, 8), "permutation": "block", "block": 3}, "data.block"),
        ({"size": (6, 8), "canvas": (6, 10), "permutation": "block", "block": 3}, "data.block"),
        ({"colour": True, "bands": 5}, "data.bands"),
    ],
)
def test_views_that_do_not_fit_a_folder_are_refused(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key}: "):
        DataConfig(name="folder", path="anywhere", **settings)
