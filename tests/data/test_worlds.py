"""worlds/: images as their rules say, told by an oracle that knows them, and nothing else in them that tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from fc2conv.compose import compose_config, parse_composed, plan_of, shape_of
from fc2conv.config.identity import identity_of
from fc2conv.config.parsing import parse
from fc2conv.config.schema import DATASETS, DISTANCES, Config, DataConfig
from fc2conv.config.unused import unused
from fc2conv.data import sources
from fc2conv.data.image_data import ImageData
from fc2conv.data.sources import Images, averaged, is_prepared, sha256
from fc2conv.data.worlds.generators import EDGE, GENERATORS, LINES, PATTERNS, generate
from fc2conv.data.worlds.predictions import BUDGET, DEEP, POINTWISE, TORUS, WORLDS, ZEROS, Prediction
from fc2conv.errors import ConfigError
from fc2conv.nets.build import net_of

Array = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating]
ALL = sorted(WORLDS)


def config(name: str, **settings: Any) -> DataConfig:
    return parse(DataConfig, {"name": name, "val_size": 1000, **settings}, "data")


@cache
def world(name: str, **settings: int) -> dict[str, Array]:
    return generate(config(name, **settings))[0]


# --- oracles, which know the rule


def responses(images: Array, patterns: npt.NDArray[np.int8]) -> Floats:
    """(N, 1, H, W), (P, EDGE, EDGE) -> (N, P, H * W): the product of each pattern with what is under it, wherever its
    corner is put on the torus."""
    canvas = np.zeros((len(patterns), *images.shape[2:]), np.float32)
    canvas[:, :EDGE, :EDGE] = patterns
    spectrum = np.fft.rfft2(images.astype(np.float32)) * np.conj(np.fft.rfft2(canvas))
    return np.fft.irfft2(spectrum, s=images.shape[2:]).reshape(len(images), len(patterns), -1)


def corners(images: Array, pattern: npt.NDArray[np.int8]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """(rows, columns) where the pattern fits best."""
    rows, columns = np.unravel_index(responses(images, pattern[None])[:, 0].argmax(1), images.shape[2:])
    return rows, columns


def which_pattern(images: Array) -> npt.NDArray[np.intp]:
    return responses(images, PATTERNS).max(2).argmax(1)


def which_quadrant(images: Array) -> npt.NDArray[np.intp]:
    rows, columns = corners(images, PATTERNS[0])
    return rows // 16 * 2 + columns // 16


def at_the_edge(images: Array) -> npt.NDArray[np.bool_]:
    rows, columns = corners(images, PATTERNS[0])
    return (rows == 0) | (columns == 0)


def lag_one(images: Array) -> Floats:
    """(directions, N): the correlation with the neighbour to the right, below, below right and above right."""
    x = images[:, 0] - images.mean((1, 2, 3), keepdims=True)[:, 0]
    steps = ((0, 1), (1, 0), (1, 1), (-1, 1))
    products = np.stack([(x * np.roll(x, step, (1, 2))).mean((1, 2)) for step in steps])
    return products / x.var((1, 2))


def brightest_line(images: Array) -> npt.NDArray[np.intp]:
    return images.mean((2, 3))[:, LINES].argmax(1)


def which_side(images: Array) -> npt.NDArray[np.bool_]:
    """The teacher is drawn again, by the third stream of data.seed=0: 128 weights and their negatives, shuffled."""
    generator = np.random.default_rng((0, 2))
    half = generator.integers(1, 101, 128)
    teacher = generator.permutation([*half, *-half])
    return (images.reshape(len(images), -1) - 127.5) @ teacher > 0


def which_order(images: Array) -> npt.NDArray[np.bool_]:
    """Whether B's corner is in front of A's by less than half a turn."""
    (_, a), (_, b) = corners(images, PATTERNS[0]), corners(images, PATTERNS[1])
    return (a - b) % images.shape[3] < images.shape[3] // 2


ORACLES: dict[str, Callable[[Array], npt.NDArray[np.generic]]] = {
    "world_anywhere": which_pattern,
    "world_position": which_quadrant,
    "world_border": at_the_edge,
    "world_texture": lambda images: lag_one(images).argmax(0),
    "world_spectral": brightest_line,
    "world_tabular": which_side,
    "world_order": which_order,
}


@pytest.mark.parametrize("name", ALL)
def test_the_rule_can_be_known(name: str) -> None:
    images, labels = world(name)["test_images"], world(name)["test_labels"]
    accuracy = (ORACLES[name](images) == labels).mean()
    assert accuracy >= 0.99
    assert accuracy == pytest.approx(WORLDS[name].oracle, abs=0.0005)


# --- what is where


def test_ten_patterns_differ_in_nothing_but_their_order() -> None:
    assert PATTERNS.shape == (10, EDGE, EDGE)
    assert {tuple(np.sort(p, axis=None)) for p in PATTERNS} == {(-1,) * 24 + (0,) + (1,) * 24}
    assert len({p.tobytes() for p in PATTERNS}) == 10


def test_anywhere_is_anywhere() -> None:
    images, labels = world("world_anywhere")["train_images"], world("world_anywhere")["train_labels"]
    for label in range(10):
        rows, columns = corners(images[labels == label], PATTERNS[label])
        # 500 places: each row has 15.6 of them, with a standard deviation of 3.9; the last six go on at the other edge
        assert np.bincount(rows, minlength=32).min() >= 2
        assert np.bincount(columns, minlength=32).max() <= 36


@pytest.mark.parametrize("split", ["train", "test"])
def test_in_each_quadrant_the_offsets_are_the_same(split: str) -> None:
    images, labels = world("world_position")[f"{split}_images"], world("world_position")[f"{split}_labels"]
    rows, columns = corners(images, PATTERNS[0])
    counts = np.zeros((4, 16, 16), int)
    np.add.at(counts, (labels, rows % 16, columns % 16), 1)
    assert (counts == counts[0]).all()
    offsets = counts[0, 1:9, 1:9]
    assert offsets.sum() == counts[0].sum()
    assert offsets.max() - offsets.min() <= 1
    for stride in (2, 4, 8):  # so the place in the strides' grid is uniform, too
        grid = offsets.reshape(8 // stride, stride, 8 // stride, stride).sum((0, 2))
        assert grid.min() > 0.8 * grid.max()


def test_the_border_is_touched_at_the_top_and_at_the_left() -> None:
    images, labels = world("world_border")["train_images"], world("world_border")["train_labels"]
    rows, columns = corners(images, PATTERNS[0])
    for label, places in ((0, 9), (1, 7)):
        found, counts = np.unique(np.stack([rows, columns])[:, labels == label], axis=1, return_counts=True)
        assert found.shape == (2, places)
        assert not (found % 8).any()
        assert ((found == 0).any(0) == label).all()
        assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("distance", [7, 24, 48])
def test_two_patterns_are_a_distance_apart_in_the_same_rows(
    distance: int, few: Callable[..., dict[str, Array]]
) -> None:
    arrays = few("world_order", distance=distance)
    images, labels = arrays["train_images"], arrays["train_labels"]
    (rows_a, columns_a), (rows_b, columns_b) = corners(images, PATTERNS[0]), corners(images, PATTERNS[1])
    assert (rows_a == rows_b).all()
    assert ((columns_b - columns_a) % 128 == np.where(labels == 0, distance, 128 - distance)).all()
    assert len(set(columns_a)) > 60  # of 120 images, at 128 places


# --- what does not tell


def by_class(name: str) -> list[Array]:
    images, labels = world(name)["train_images"], world(name)["train_labels"]
    return [images[labels == c] for c in range(labels.max() + 1)]


def test_directions_differ_in_one_correlation_only() -> None:
    for label, images in enumerate(by_class("world_texture")):
        # a mean over 1,250 images of 1,024 pixels: a standard error below .001
        np.testing.assert_allclose(lag_one(images).mean(1), 0.5 * (np.arange(4) == label), atol=0.005)
        for step in ((0, 2), (2, 2), (1, 2), (1, -2)):
            x = images[:, 0] - 127.0
            assert abs((x * np.roll(x, step, (1, 2))).mean() / x.var()) < 0.005


def test_single_pixels_tell_no_direction() -> None:
    """The sum of two dice of 64 sides, of 0 to 63, plus 64."""
    dice = (64 - abs(np.arange(127) - 63)) / 64**2
    for images in by_class("world_texture"):
        found = np.bincount(images.ravel(), minlength=256)[64:191] / images.size
        assert found.sum() == pytest.approx(1)
        np.testing.assert_allclose(found, dice, atol=0.0006)


def test_grey_tells_no_spectrum() -> None:
    for label, images in enumerate(by_class("world_spectral")):
        means = images.mean((0, 2, 3))  # over 128,000 pixels: a standard error of .05
        want = 127.5 + 60 * (np.arange(64) == (3, 9, 15, 21, 27, 33, 39, 45, 51, 57)[label])
        np.testing.assert_allclose(means, want, atol=0.25)
        grey = images[:100].mean(1)
        assert grey.mean() == pytest.approx(127.5 + 60 / 64, abs=0.08)  # 25,600 pixels: .0145
        assert grey.std() == pytest.approx(18.47 / 8, abs=0.05)


@pytest.mark.parametrize("name", ["world_anywhere", "world_order", "world_border"])
def test_histograms_tell_nothing(name: str) -> None:
    counts = np.stack([np.bincount(images.ravel() // 8, minlength=32) for images in by_class(name)])
    assert abs(counts / counts.sum(1, keepdims=True) - counts.sum(0) / counts.sum()).max() < 0.002


def test_a_table_has_no_neighbours() -> None:
    images, labels = world("world_tabular")["train_images"], world("world_tabular")["train_labels"]
    assert abs(lag_one(images).mean(1)).max() < 0.005  # 1.28 million pairs: a standard error of .0009
    brightness = images.mean((1, 2, 3))
    # the difference of two means of 2,500 images: a standard error of .13 grey levels
    assert abs(brightness[labels == 0].mean() - brightness[labels == 1].mean()) < 0.5


# --- the networks of the predictions


def network(arm: str, name: str) -> torch.nn.Module:
    config = composed(arm, name)
    torch.manual_seed(0)
    return net_of(config.model, plan_of(config)).eval().double()


@cache
def composed(arm: str, name: str) -> Config:
    return parse_composed(compose_config([f"data={name}", *arm.split(), *BUDGET.split()])[0])


@pytest.mark.parametrize(("name", "shift"), [("world_position", 16), ("world_border", 8)])
def test_on_a_torus_with_an_average_the_classes_are_one(name: str, shift: int) -> None:
    """A shift that leads from one class to another changes no logit; with zeros at the border it does."""
    images = world(name)["test_images"][:20]
    moved = np.roll(images, shift, axis=3)
    before, after = ORACLES[name](images), ORACLES[name](moved)
    assert (before != after).any()
    x, y = ((torch.from_numpy(i).double() - 127.5) / 20 for i in (images, moved))
    torch.testing.assert_close(network(TORUS, name)(x), network(TORUS, name)(y), rtol=0, atol=1e-9)
    assert (network(ZEROS, name)(x) - network(ZEROS, name)(y)).abs().max() > 1e-3


def test_who_can_see_both_patterns() -> None:
    seen = {arm: plan_of(composed(arm, "world_order")).receptive_field for arm in (TORUS, DEEP, POINTWISE)}
    assert seen == {TORUS: 16, DEEP: 36, POINTWISE: 1}
    nearest, farthest = DISTANCES
    width = DATASETS["world_order"].shape[2]
    assert nearest == EDGE
    assert width > 2 * 36 + farthest
    for distance, receptive_field, both in ((24, 16, False), (24, 36, True), (48, 36, False)):
        assert (receptive_field >= distance - EDGE + 2) == both  # the nearest pixels of A and B
        assert (receptive_field >= distance + EDGE) == both  # the farthest


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_each_prediction_is_about_a_network_that_can_be_trained(name: str) -> None:
    for prediction in WORLDS[name].predictions:
        config = composed(prediction.arm, name)
        assert plan_of(config).rows[-1].output == (DATASETS[name].classes,)
        assert config.data.split(DATASETS[name].train) == (4000, 1000)


@pytest.mark.parametrize("name", ALL)
def test_only_who_is_at_chance_is_at_chance(name: str) -> None:
    for prediction in WORLDS[name].predictions:
        assert 0 <= prediction.least < prediction.most <= 1
        if prediction.outcome != "loses":
            assert prediction.holds(1 / DATASETS[name].classes) == (prediction.outcome == "chance")


def test_a_prediction_holds_or_not() -> None:
    prediction = Prediction("model=mlp", "chance", 0.22, 0.28, "")
    assert [prediction.holds(a) for a in (0.2199, 0.22, 0.25, 0.28, 0.2801)] == [False, True, True, True, False]


# --- generated, not read


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Array]]:
    """A world of 120 and 80 images."""
    for name in ALL:
        monkeypatch.setitem(DATASETS, name, replace(DATASETS[name], train=120, test=80))

    def made(name: str, **settings: int) -> dict[str, Array]:
        return generate(config(name, **{"val_size": 20, **settings}))[0]

    return made


@pytest.mark.parametrize("name", ALL)
def test_seeds_and_splits_differ_and_repeat(name: str, few: Callable[..., dict[str, Array]]) -> None:
    first, again, other = few(name), few(name), few(name, seed=1)
    for split in ("train", "test"):
        images, labels = first[f"{split}_images"], first[f"{split}_labels"]
        np.testing.assert_array_equal(images, again[f"{split}_images"], strict=True)
        np.testing.assert_array_equal(labels, again[f"{split}_labels"], strict=True)
        assert (images != other[f"{split}_images"]).mean() > 0.9
        assert images.dtype == labels.dtype == np.uint8
        classes = DATASETS[name].classes
        assert np.bincount(labels).tolist() == [len(labels) // classes] * classes
        assert images.shape == (len(labels), *DATASETS[name].shape)
    assert (first["train_images"][:80] != first["test_images"]).mean() > 0.9


# (train_images, test_images), the first 16 digits
DIGESTS = {
    "world_anywhere": ("db59399fe2ad33f0", "7b0aecdaab6322ef"),
    "world_border": ("73add7e22476c20a", "8164949fd79717ac"),
    "world_order": ("f28e6fcdedf6d574", "7ec2aa8f932b52e3"),
    "world_position": ("e37752e17584f47b", "904a5d2e051f4979"),
    "world_spectral": ("d9a9a9202be672b5", "44a338d08ef5e561"),
    "world_tabular": ("77a8d20bcd88ff7f", "bc15c4a2adceb982"),
    "world_texture": ("62c29dd6a42dc184", "91ae0cd8d64514fe"),
}


@pytest.mark.parametrize("name", ALL)
def test_a_world_stays_what_it_is(name: str) -> None:
    """Whoever changes one takes the next format number of identities (config/identity.py): what was trained on it
    before is another run."""
    digests = (sha256(world(name)[f"{split}_images"])[:16] for split in ("train", "test"))
    assert tuple(digests) == DIGESTS[name]


def test_a_run_has_4000_1000_and_2000_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(sources, "generate", lambda c: made.append(c.name) or generate(c))
    data = ImageData(config("world_tabular", dir=str(tmp_path / "data")))
    data.prepare_data()
    data.setup()
    assert made == ["world_tabular"]
    assert [len(getattr(data, f"{split}_indices")) for split in ("train", "val", "test")] == [4000, 1000, 2000]
    assert data.source.train_labels[data.val_indices].bincount().tolist() == [500, 500]
    assert data.source.sha256["test_images"] == sha256(world("world_tabular")["test_images"])
    assert set(data.source.sha256) == {"train_images", "train_labels", "test_images", "test_labels"}
    assert next(iter(data.train_dataloader()))[0].shape == (125, 1, 16, 16)
    pixels = data.source.train_images[data.train_indices].double()
    assert data.mean.item() == pytest.approx(pixels.mean().item(), abs=1e-9)
    assert data.std.item() == pytest.approx(pixels.std(correction=0).item(), abs=1e-9)
    assert is_prepared(data.config)
    assert list(tmp_path.iterdir()) == []


def test_a_plan_makes_no_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "generate", None)
    assert shape_of(config("world_spectral")) == ((64, 16, 16), 10)
    assert shape_of(config("world_spectral", bands=3)) == ((3, 16, 16), 10)
    assert plan_of(Config(data=config("world_order"))).input == (1, 16, 128)


def test_each_world_has_a_choice_and_a_generator() -> None:
    conf = Path(__file__).parents[2] / "conf" / "data"
    assert sorted(p.stem for p in conf.glob("world_*.yaml")) == sorted(GENERATORS) == ALL
    assert sorted(name for name in DATASETS if name.startswith("world_")) == ALL
    for name in ALL:
        assert len(GENERATORS[name][1]) == DATASETS[name].classes


# --- keys


def test_distance_belongs_to_order() -> None:
    far = config("world_order", distance=30)
    assert identity_of(Config(data=far))["data"]["distance"] == 30
    assert "distance" not in identity_of(Config(data=DataConfig(distance=30)))["data"]
    assert "data.distance" not in unused(Config(data=far))
    assert unused(Config())["data.distance"] == "only data=world_order reads it"
    for wrong in (6, 49):
        with pytest.raises(ConfigError, match=rf"data\.distance: got {wrong}, expected from 7 to 48 pixels"):
            config("world_order", distance=wrong)


def images_of(pixels: Array) -> Images:
    tensor, labels = torch.from_numpy(pixels), torch.zeros(len(pixels), dtype=torch.uint8)
    return Images(tensor, labels, tensor[:2], labels[:2], torch.zeros(0), ["a"], {"train_images": "as published"})


@pytest.mark.parametrize(("bands", "groups"), [(1, [64]), (3, [22, 21, 21]), (16, [4] * 16)])
def test_bands_are_averaged_with_their_neighbours(bands: int, groups: list[int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 64, 4, 3), np.uint8)
    fewer = averaged(images_of(pixels), bands)
    ends = np.cumsum(groups)
    want = np.stack([pixels[:, e - n : e].mean(1) for n, e in zip(groups, ends, strict=True)], axis=1)
    assert abs(fewer.train_images.numpy() - want).max() <= 0.5
    assert torch.equal(fewer.test_images, fewer.train_images[:2])
    assert fewer.train_images.dtype == torch.uint8
    assert fewer.sha256 == {"train_images": "as published"}
    seen = fewer.train_images.double()
    torch.testing.assert_close(fewer.moments, torch.stack([seen.mean((2, 3)), seen.square().mean((2, 3))], 1))


def test_float_bands_are_averaged_as_they_are() -> None:
    pixels = np.random.default_rng(0).normal(size=(5, 6, 1, 3)).astype(np.float32)
    few = averaged(images_of(pixels), bands=2).train_images.numpy()
    np.testing.assert_allclose(few, pixels.reshape(5, 2, 3, 1, 3).mean(2), rtol=1e-5, atol=1e-6)


def test_three_bands_see_where_a_line_is_and_no_more(few: Callable[..., dict[str, Array]]) -> None:
    few("world_spectral")
    data = ImageData(config("world_spectral", val_size=20, bands=3))
    data.setup()
    assert data.shape == (3, 16, 16)
    assert next(iter(data.test_dataloader()))[0].shape[1:] == (3, 16, 16)
    images, labels = data.source.test_images.double(), data.source.test_labels.long()
    assert torch.equal(images.mean((2, 3)).argmax(1), torch.tensor([0] * 4 + [1] * 3 + [2] * 3)[labels])


def test_bands_are_at_most_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"data\.bands: got 65, expected at most 64 \(only grey images"):
        config("world_spectral", bands=65)
    assert config("world_tabular", bands=3).bands == 3
