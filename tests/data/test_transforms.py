"""transforms.py: each transform against slicing and counting by hand; each draw follows from (seed, epoch, image)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from fc2conv.config.schema import DataConfig
from fc2conv.data.transforms import Transforms, _hash, draws, place

EDGE = 8
POSITIONS = torch.arange(EDGE * EDGE)


def transforms(colour: bool = False, edge: int = EDGE, **settings: Any) -> Transforms:
    """Transforms of edge x edge images whose normalisation changes nothing, so that pixels can be followed."""
    config = DataConfig(name="folder", path="anywhere", size=edge, colour=colour, **settings)
    one = torch.ones(3 if colour else 1)
    return Transforms(config, (edge, edge), mean=0 * one, std=one)


def distinct(n: int, bands: int = 1) -> Tensor:
    """(n, bands, 8, 8) uint8: each image has the values 1 to 64 in an order of its own; 0 is left to the background."""
    generator = torch.Generator().manual_seed(0)
    orders = torch.stack([torch.randperm(EDGE * EDGE, generator=generator) for _ in range(n)])
    grey = (orders + 1).to(torch.uint8).view(n, 1, EDGE, EDGE)
    return torch.cat([grey + 64 * band for band in range(bands)], dim=1)


def naive_place(image: npt.NDArray[Any], size: tuple[int, int], top: int, left: int) -> npt.NDArray[Any]:
    """(C, H, W) -> (C, *size), pixel by pixel."""
    out = np.zeros((len(image), *size), image.dtype)
    for y in range(image.shape[1]):
        for x in range(image.shape[2]):
            if 0 <= y + top < size[0] and 0 <= x + left < size[1]:
                out[:, y + top, x + left] = image[:, y, x]
    return out


def offset(image: Tensor, seen: Tensor, reach: range) -> tuple[int, int]:
    """(top, left) by which `image` has to be moved to give `seen`; there is exactly one."""
    size = (seen.shape[1], seen.shape[2])
    padded = torch.zeros(len(image), *(s + 2 * 16 for s in size))
    padded[:, 16 : 16 + image.shape[1], 16 : 16 + image.shape[2]] = image
    found = [
        (top, left)
        for top in reach
        for left in reach
        if torch.equal(padded[:, 16 - top : 16 - top + size[0], 16 - left : 16 - left + size[1]], seen)
    ]
    assert len(found) == 1
    return found[0]


# --- draws


def test_the_hash_is_splitmix64() -> None:
    # the first outputs of the published generator (prng.di.unimi.it/splitmix64.c) with seed 1234567
    golden, mask = 0x9E3779B97F4A7C15, (1 << 64) - 1
    states = [(1234567 + (k + 1) * golden) & mask for k in range(3)]
    signed = torch.tensor([s - (1 << 64) if s >> 63 else s for s in states])
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [h & mask for h in _hash(signed).tolist()] == expected


@pytest.mark.parametrize(
    "sample",
    [
        pytest.param(lambda: draws(torch.arange(100_000), 1, 0, 0), id="images"),
        pytest.param(lambda: draws(torch.tensor([7]), 100_000, 0, 0), id="one image"),
        pytest.param(lambda: torch.cat([draws(torch.tensor([7]), 1, 0, e) for e in range(2000)]), id="epochs"),
        pytest.param(lambda: torch.cat([draws(torch.tensor([7]), 1, s, 0) for s in range(2000)]), id="seeds"),
    ],
)
def test_draws_are_uniform(sample: Any) -> None:
    u = sample().flatten()
    assert u.dtype == torch.float32
    assert 0 <= u.min() < u.max() < 1
    counts = torch.histc(u, 100, 0, 1)
    chi2 = ((counts - len(u) / 100) ** 2 / (len(u) / 100)).sum()
    assert 50 < chi2 < 160  # 99 degrees of freedom: 99 +- 14
    # consecutive draws are not alike: the correlation is 0 +- 1/sqrt(n)
    assert abs(torch.corrcoef(torch.stack([u[1:], u[:-1]]))[0, 1]) < 4 / len(u) ** 0.5


def test_draws_depend_on_the_image_and_the_key_only() -> None:
    whole = draws(torch.arange(50), 3, 1, 2, 3)
    assert whole.shape == (50, 3)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    assert torch.equal(draws(order, 3, 1, 2, 3), whole[order])
    assert torch.equal(draws(torch.tensor([41]), 3, 1, 2, 3), whole[41:42])
    assert torch.equal(draws(torch.tensor([41], dtype=torch.int32), 3, 1, 2, 3), whole[41:42])
    for key in ((1, 2, 4), (1, 3, 3), (2, 2, 3), (3, 2, 1), (1, 2)):
        assert not (draws(torch.arange(50), 3, *key) == whole).any()


# --- where an image lies


def test_place_is_slicing() -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(1, 256, (200, 2, 3, 5), dtype=np.uint8)
    top, left = generator.integers(-6, 9, (2, 200))  # some wholly outside
    seen = place(torch.from_numpy(images), (6, 7), torch.from_numpy(top), torch.from_numpy(left))
    expected = [naive_place(i, (6, 7), int(t), int(c)) for i, t, c in zip(images, top, left, strict=True)]
    np.testing.assert_array_equal(seen.numpy(), np.stack(expected), strict=True)


@pytest.mark.parametrize(("canvas", "corner"), [(8, 0), (12, 2), (13, 2)])
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_canvas_center(canvas: int, corner: int, split: str) -> None:
    images = distinct(4, bands=3)
    seen = transforms(colour=True, canvas=canvas)(images, torch.arange(4), split, 0, 0)
    expected = np.zeros((4, 3, canvas, canvas), np.float32)
    expected[:, :, corner : corner + 8, corner : corner + 8] = images.numpy()
    np.testing.assert_array_equal(seen.numpy(), expected, strict=True)


@pytest.mark.parametrize("split", ["train", "test"])
def test_canvas_random(split: str) -> None:
    images, index = distinct(500), torch.arange(500)
    transform = transforms(canvas=12, place="random")
    seen = transform(images, index, split, 0, 0)
    corners = [offset(i, s, range(5)) for i, s in zip(images, seen, strict=True)]
    assert set(corners) == {(top, left) for top in range(5) for left in range(5)}  # 20 +- 4 times each
    assert torch.equal(transform(images[100:103], index[100:103], split, 0, 0), seen[100:103])
    assert not torch.equal(transform(images, index, split, 0, 1), seen)


@pytest.mark.parametrize("shift", [(2, -1), (-3, 0), (0, 5), (7, 0), (-6, 7)])
def test_shift_moves_the_test_images_only(shift: tuple[int, int]) -> None:
    images, index = distinct(3, bands=3), torch.arange(3)
    transform = transforms(colour=True, shift=shift)
    expected = [naive_place(i, (8, 8), shift[1], shift[0]) for i in images.numpy()]  # (dx, dy): columns, then rows
    np.testing.assert_array_equal(transform(images, index, "test", 0, 0).numpy(), np.stack(expected))
    for split in ("train", "val"):
        assert torch.equal(transform(images, index, split, 0, 0), images.float())


def test_what_enters_is_background() -> None:
    transform = transforms(shift=(1, 0))
    transform = Transforms(transform.config, transform.size, torch.tensor([100.0]), torch.tensor([50.0]))
    seen = transform(distinct(2), torch.arange(2), "test", 0, 0)
    assert (seen[:, :, :, 0] == -2).all()  # a black pixel: (0 - 100) / 50


# --- augmentation


def test_flip_mirrors_half_of_the_training_images() -> None:
    images, index = distinct(1000), torch.arange(1000)
    transform = transforms(flip=True)
    seen = transform(images, index, "train", 0, 0)
    mirrored = (seen == images.flip(-1)).flatten(1).all(1)
    assert (mirrored ^ (seen == images).flatten(1).all(1)).all()
    assert 436 < mirrored.sum() < 564  # 500 +- 4 standard deviations of 15.8
    assert not torch.equal(transform(images, index, "train", 0, 1), seen)


def test_translate_is_bounded_and_reaches_its_bounds() -> None:
    images, index = distinct(500), torch.arange(500)
    seen = transforms(translate=2)(images, index, "train", 0, 0)
    moves = [offset(i, s, range(-3, 4)) for i, s in zip(images, seen, strict=True)]
    assert set(moves) == {(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)}


def test_translate_on_a_canvas_loses_nothing() -> None:
    images = distinct(100)
    seen = transforms(translate=2, canvas=12)(images, torch.arange(100), "train", 0, 0)
    corners = [offset(i, s, range(-1, 6)) for i, s in zip(images, seen, strict=True)]
    assert {c for corner in corners for c in corner} == {0, 1, 2, 3, 4}


@pytest.mark.parametrize(("probability", "low", "high"), [(0.0, 0, 0), (0.25, 195, 305), (1.0, 1000, 1000)])
def test_erase_blanks_one_rectangle(probability: float, low: int, high: int) -> None:
    images, index = torch.full((1000, 1, 28, 28), 9, dtype=torch.uint8), torch.arange(1000)
    blank = transforms(edge=28, erase=probability)(images, index, "train", 0, 0)[:, 0] != 9
    assert low <= blank.any((1, 2)).sum() <= high  # 250 +- 4 standard deviations of 13.7
    for hit in blank[blank.any((1, 2))]:
        h, w = int(hit.any(1).sum()), int(hit.any(0).sum())
        assert hit.sum() == h * w  # a rectangle without gaps
        rows, columns = hit.any(1).nonzero().flatten(), hit.any(0).nonzero().flatten()
        assert rows[-1] - rows[0] == h - 1
        assert columns[-1] - columns[0] == w - 1
        # 2 % to 33 % of 784 pixels, sides rounded to whole pixels
        assert (h - 0.5) * (w - 0.5) <= 0.33 * 784
        assert (h + 0.5) * (w + 0.5) >= 0.02 * 784


def test_erase_blanks_to_the_mean_in_every_band() -> None:
    config = DataConfig(name="folder", path="anywhere", size=8, colour=True, erase=1.0)
    transform = Transforms(config, (8, 8), torch.tensor([100.0, 110.0, 120.0]), torch.ones(3))
    seen = transform(torch.full((20, 3, 8, 8), 200, dtype=torch.uint8), torch.arange(20), "train", 0, 0)
    assert set(seen[:, 0].unique().tolist()) == {0, 100}
    assert torch.equal(seen[:, 0] == 0, seen[:, 1] == 0)
    assert torch.equal(seen[:, 0] == 0, seen[:, 2] == 0)


AUGMENTED: dict[str, Any] = {"flip": True, "translate": 2, "erase": 0.5}


def test_only_training_images_are_augmented() -> None:
    images, index = distinct(50), torch.arange(50)
    transform = transforms(**AUGMENTED)
    assert not torch.equal(transform(images, index, "train", 0, 0), images.float())
    for split in ("val", "test"):
        assert torch.equal(transform(images, index, split, 0, 0), images.float())


@pytest.mark.parametrize(
    "settings", [AUGMENTED, {"permutation": "fresh"}, {"canvas": 12, "place": "random"}, {"permutation": "fixed"}]
)
def test_an_image_is_seen_alike_in_any_batch(settings: dict[str, Any]) -> None:
    images, index = distinct(40), torch.arange(100, 140)
    transform = transforms(**settings)
    whole = transform(images, index, "train", 3, 5)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    assert torch.equal(transform(images[order], index[order], "train", 3, 5), whole[order])
    assert torch.equal(transform(images[7:8], index[7:8], "train", 3, 5), whole[7:8])


@pytest.mark.parametrize("settings", [{"flip": True}, {"translate": 2}, {"erase": 0.5}, {"permutation": "fresh"}])
@pytest.mark.parametrize("key", [(1, 0), (0, 1)])
def test_draws_differ_with_seed_and_epoch(settings: dict[str, Any], key: tuple[int, int]) -> None:
    images, index = distinct(50), torch.arange(50)
    transform = transforms(**settings)
    assert not torch.equal(transform(images, index, "train", *key), transform(images, index, "train", 0, 0))


# --- permutations


def order_of(transform: Transforms, split: str = "train", index: int = 0) -> Tensor:
    """(64,) the input position that each output pixel comes from."""
    return transform(POSITIONS.to(torch.uint8).view(1, 1, 8, 8), torch.tensor([index]), split, 0, 0).flatten().long()


@pytest.mark.parametrize("permutation", ["fixed", "block", "block_order"])
def test_one_bijection_for_all_images_of_all_parts(permutation: str) -> None:
    transform = transforms(colour=True, permutation=permutation, block=4)
    order = order_of(transforms(permutation=permutation, block=4))
    assert sorted(order.tolist()) == POSITIONS.tolist()
    assert order.tolist() != POSITIONS.tolist()
    images = distinct(10, bands=3)
    expected = images.numpy().reshape(10, 3, 64)[:, :, order.numpy()].reshape(10, 3, 8, 8)
    for split in ("train", "val", "test"):
        for seed, epoch in ((0, 0), (1, 0), (0, 1)):
            np.testing.assert_array_equal(transform(images, torch.arange(10), split, seed, epoch).numpy(), expected)


@pytest.mark.parametrize("permutation", ["fixed", "block", "block_order"])
def test_data_seed_draws_the_permutation(permutation: str) -> None:
    a, again, b = (order_of(transforms(permutation=permutation, block=4, seed=seed)) for seed in (0, 0, 1))
    assert torch.equal(a, again)
    assert not torch.equal(a, b)


@pytest.mark.parametrize(("block", "canvas"), [(1, 8), (2, 8), (4, 8), (8, 8), (5, 10)])
def test_a_block_keeps_its_pixels(block: int, canvas: int) -> None:
    images = distinct(5)
    seen = transforms(permutation="block", block=block, canvas=canvas)(images, torch.arange(5), "test", 0, 0)
    before = transforms(canvas=canvas)(images, torch.arange(5), "test", 0, 0)
    for top in range(0, canvas, block):
        for left in range(0, canvas, block):
            here = (slice(None), 0, slice(top, top + block), slice(left, left + block))
            assert torch.equal(seen[here].flatten(1).sort(1).values, before[here].flatten(1).sort(1).values)
    assert torch.equal(seen, before) == (block == 1)


@pytest.mark.parametrize(("block", "canvas"), [(1, 8), (2, 8), (4, 8), (8, 8), (5, 10)])
def test_blocks_change_places_whole(block: int, canvas: int) -> None:
    """Each block is one of the blocks that were there, and each of these comes once."""
    settings: dict[str, Any] = {"block": block, "canvas": canvas}
    seen = transforms(permutation="block_order", **settings)(distinct(1), torch.arange(1), "test", 0, 0)
    before = transforms(canvas=canvas)(distinct(1), torch.arange(1), "test", 0, 0)

    def blocks(image: Tensor) -> list[tuple[float, ...]]:
        corners = [(top, left) for top in range(0, canvas, block) for left in range(0, canvas, block)]
        return [tuple(image[0, 0, top : top + block, left : left + block].flatten().tolist()) for top, left in corners]

    assert sorted(blocks(seen)) == sorted(blocks(before))
    assert torch.equal(seen, before) == (block == canvas)


def test_the_orders_of_earlier_runs() -> None:
    """What a data.seed has drawn it draws for ever: runs that are recorded can be repeated."""
    assert order_of(transforms(permutation="fixed"))[:6].tolist() == [44, 46, 17, 3, 47, 21]
    assert order_of(transforms(permutation="block", block=4))[:6].tolist() == [24, 2, 3, 25, 23, 6]


def test_sorted_is_the_darkest_first() -> None:
    images = distinct(5)
    seen = transforms(permutation="sorted")(images, torch.arange(5), "train", 0, 0)
    assert torch.equal(seen.flatten(1), torch.arange(1.0, 65).expand(5, -1))


def test_sorted_forgets_every_order() -> None:
    """Coloured pixels stay whole, and go by the first band, then by the second: any order of them gives the same."""
    values = torch.cartesian_prod(*[torch.arange(4)] * 3).to(torch.uint8)  # the 64 colours in that order
    orders = [torch.randperm(64, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    images = torch.stack([values[order].T.reshape(3, 8, 8) for order in orders])
    config = transforms(colour=True, permutation="sorted").config
    mean, std = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 0.5, 1.0])
    seen = Transforms(config, (8, 8), mean, std)(images, torch.arange(3), "test", 0, 0)
    expected = ((values - mean) / std).T.reshape(1, 3, 8, 8).expand(3, -1, -1, -1)
    torch.testing.assert_close(seen, expected)


def test_a_permutation_takes_the_whole_canvas() -> None:
    seen = transforms(permutation="fixed", canvas=16)(distinct(1), torch.arange(1), "test", 0, 0)[0, 0]
    border = torch.ones(16, 16, dtype=torch.bool)
    border[4:12, 4:12] = False
    assert 0 < seen[border].count_nonzero() < 64


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_fresh_gives_each_image_its_own_order(split: str) -> None:
    transform = transforms(permutation="fresh")
    orders = [order_of(transform, split, index) for index in range(50)]
    assert all(sorted(order.tolist()) == POSITIONS.tolist() for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) == 50
    # over the images every pixel goes everywhere: the mean origin is 31.5 +- 18.5 / sqrt(50) = 2.6
    assert (torch.stack(orders).double().mean(0) - 31.5).abs().max() < 4 * 2.6


def test_fresh_moves_the_bands_together() -> None:
    images = distinct(5, bands=3)
    seen = transforms(colour=True, permutation="fresh")(images, torch.arange(5), "test", 0, 0)
    assert torch.equal(seen[:, 1], seen[:, 0] + 64)
    assert torch.equal(seen[:, 2], seen[:, 0] + 128)


# --- oblong images

LOW, WIDE = 6, 10
OBLONG = torch.arange(1, LOW * WIDE + 1, dtype=torch.uint8).view(1, 1, LOW, WIDE)


def oblong(**settings: Any) -> Transforms:
    """As `transforms`, of 6 x 10 images."""
    config = DataConfig(name="folder", path="anywhere", size=(LOW, WIDE), **settings)
    return Transforms(config, (LOW, WIDE), mean=torch.zeros(1), std=torch.ones(1))


@pytest.mark.parametrize(
    ("settings", "split", "size", "corner"),
    [
        ({"canvas": 12}, "train", (12, 12), (3, 1)),
        ({"canvas": (9, 20)}, "val", (9, 20), (1, 5)),
        ({"canvas": (6, 12)}, "train", (6, 12), (0, 1)),
        ({"shift": (7, -2)}, "test", (6, 10), (-2, 7)),
        ({"canvas": (8, 16), "shift": (-1, 1)}, "test", (8, 16), (2, 2)),
    ],
)
def test_where_an_oblong_image_lies(
    settings: dict[str, Any], split: str, size: tuple[int, int], corner: tuple[int, int]
) -> None:
    transform = oblong(**settings)
    assert transform.shape(1) == (1, *size)
    seen = transform(OBLONG, torch.arange(1), split, 0, 0)[0]
    np.testing.assert_array_equal(seen.numpy(), naive_place(OBLONG[0].numpy(), size, *corner))


def test_an_oblong_image_goes_everywhere_on_its_canvas() -> None:
    transform = oblong(canvas=(8, 11), place="random")
    seen = transform(OBLONG.expand(200, -1, -1, -1), torch.arange(200), "val", 0, 0)
    assert {offset(OBLONG[0], s, range(3)) for s in seen} == {(top, left) for top in range(3) for left in range(2)}


@pytest.mark.parametrize("permutation", ["fixed", "block", "block_order", "fresh", "sorted"])
def test_permutations_of_an_oblong_image(permutation: str) -> None:
    """All pixels come once, those of a 2x2 block within it; blocks stay where they are, or whole."""
    images = OBLONG.flip(3)  # not sorted already
    seen = oblong(permutation=permutation, block=2)(images, torch.arange(1), "train", 0, 0)[0, 0]
    if permutation == "block_order":
        corners = seen[::2, ::2]
        assert torch.equal(seen[::2, 1::2], corners - 1)
        assert torch.equal(seen[1::2, ::2], corners + WIDE)
        assert torch.equal(seen[1::2, 1::2], corners + WIDE - 1)
    assert not torch.equal(seen, images[0, 0])
    assert sorted(seen.flatten().tolist()) == list(range(1, 61))
    if permutation == "block":
        for top, left in ((y, x) for y in range(0, LOW, 2) for x in range(0, WIDE, 2)):
            here = (slice(top, top + 2), slice(left, left + 2))
            assert sorted(seen[here].flatten().tolist()) == sorted(images[0, 0][here].flatten().tolist())


def test_augmentation_of_an_oblong_image() -> None:
    images, index = OBLONG.expand(300, -1, -1, -1), torch.arange(300)
    flipped = oblong(flip=True)(images, index, "train", 0, 0)
    assert {tuple(s[0, 0].tolist()) for s in flipped} == {tuple(range(1, 11)), tuple(range(10, 0, -1))}
    moved = oblong(translate=1)(images, index, "train", 0, 0)
    assert {offset(OBLONG[0], s, range(-2, 3)) for s in moved} == {(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)}
    blank = oblong(erase=1.0)(images, index, "train", 0, 0)[:, 0] == 0
    for hit in blank:
        assert int(hit.sum()) == int(hit.any(1).sum()) * int(hit.any(0).sum()) > 0
    assert blank.any(0).all()


# --- bands, scale, layout


def test_bands_repeat() -> None:
    images, index = distinct(5), torch.arange(5)
    grey, repeated = transforms(permutation="fixed"), transforms(permutation="fixed", bands=4)
    assert grey.shape(1) == (1, 8, 8)
    assert repeated.shape(1) == (4, 8, 8)
    assert torch.equal(repeated(images, index, "test", 0, 0), torch.cat([grey(images, index, "test", 0, 0)] * 4, dim=1))


def test_each_band_has_its_own_scale() -> None:
    mean, std = np.array([10.0, 20.0, 30.0]), np.array([2.0, 3.0, 7.0])
    images = distinct(5, bands=3)
    transform = Transforms(transforms(colour=True).config, (8, 8), torch.from_numpy(mean), torch.from_numpy(std))
    expected = (images.numpy() - mean[:, None, None]) / std[:, None, None]
    np.testing.assert_allclose(transform(images, torch.arange(5), "test", 0, 0).numpy(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        AUGMENTED,
        {"canvas": 12, "place": "random", "shift": (1, 1)},
        {"permutation": "fixed"},
        {"permutation": "block", "block": 4},
        {"permutation": "block_order", "block": 4},
        {"permutation": "fresh"},
        {"permutation": "sorted"},
        {"bands": 3},
    ],
)
def test_type_and_layout(bands: int, split: str, settings: dict[str, Any]) -> None:
    images = distinct(6, bands)
    before = images.clone()
    transform = transforms(colour=bands == 3, **settings)
    seen = transform(images, torch.arange(6), split, 0, 0)
    assert seen.dtype == torch.float32
    assert seen.is_contiguous(memory_format=torch.channels_last)
    assert seen.shape[1:] == transform.shape(bands)
    assert torch.equal(images, before)  # the dataset itself is left alone
