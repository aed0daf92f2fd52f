"""image_data.py: the split, what the network sees of Fashion-MNIST, and batches that deal every image exactly once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fc2conv import LeNet
from fc2conv.compose import shape_of
from fc2conv.config.schema import DataConfig
from fc2conv.data import image_data, residence
from fc2conv.data.image_data import Batches, ImageData, Shard
from fc2conv.data.residence import copy_selected
from fc2conv.data.sources import Images, load
from fc2conv.data.transforms import mixed_seed
from fc2conv.errors import ConfigError


@pytest.fixture(scope="module")
def source(data_dir: str) -> Images:
    return load(DataConfig(dir=data_dir))


@pytest.fixture(autouse=True)
def opened_once(source: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    """All tests here are about one dataset; opening it checks 55 MB."""
    monkeypatch.setattr(image_data, "load", lambda config: source)


@pytest.fixture
def data(data_dir: str) -> ImageData:
    return split(data_dir)


def split(data_dir: str, run_seed: int = 0, **settings: Any) -> ImageData:
    data = ImageData(DataConfig(dir=data_dir, **settings), run_seed)
    data.setup()
    return data


def training_images(data: ImageData) -> tuple[Tensor, npt.NDArray[np.uint8]]:
    """The training split as the network sees it, and the same images' raw pixels."""
    seen = torch.cat([images for images, _ in data.train_dataloader()])
    raw = np.load(f"{data.config.dir}/fashion_mnist/train_images.npy", mmap_mode="r")
    return seen, raw[order_of(data)]


def order_of(data: ImageData, split: Any = "train") -> list[int]:
    """Indices of the images that a split deals, in order."""
    batches = data.batches(split)
    batches.transform = lambda pixels, indices, epoch: indices
    return [int(i) for indices, _ in batches for i in indices]


# --- the split


def test_the_official_test_set_is_untouched(data: ImageData) -> None:
    assert torch.equal(data.test_indices, torch.arange(10_000))
    assert order_of(data, "test") == list(range(10_000))
    labels = torch.cat([labels for _, labels in data.test_dataloader()])
    assert labels[:10].tolist() == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]  # as published
    assert labels.bincount().tolist() == [1000] * 10
    # the header of an IDX file of 10,000 bytes, and the published file's SHA-256
    file = bytes([0, 0, 8, 1]) + (10_000).to_bytes(4, "big") + bytes(labels.tolist())
    assert hashlib.sha256(file).hexdigest() == "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"


def test_the_parts_share_no_image_and_are_balanced(data: ImageData) -> None:
    assert len(data.val_indices) == 5_000
    assert len(data.train_indices) == 55_000
    assert sorted([*data.train_indices.tolist(), *data.val_indices.tolist()]) == list(range(60_000))
    assert data.source.train_labels[data.val_indices].bincount().tolist() == [500] * 10


def test_subsets_are_balanced_and_nested(data: ImageData, data_dir: str) -> None:
    sizes = (10, 1_000, 2_000, 55_000)
    subsets = [split(data_dir, train_size=n) for n in sizes]
    for n, subset in zip(sizes[:3], subsets[:3], strict=True):
        assert data.source.train_labels[subset.train_indices].bincount().tolist() == [n // 10] * 10
    sets = [set(subset.train_indices.tolist()) for subset in subsets]
    assert [len(s) for s in sets] == list(sizes)
    assert sets[0] < sets[1] < sets[2] < sets[3]
    assert all(torch.equal(subset.val_indices, data.val_indices) for subset in subsets)


def test_data_seed_draws_the_split_and_the_runs_seed_does_not(data: ImageData, data_dir: str) -> None:
    same, other = split(data_dir, run_seed=1), split(data_dir, seed=1)
    assert torch.equal(same.val_indices, data.val_indices)
    assert torch.equal(same.train_indices, data.train_indices)
    assert set(other.val_indices.tolist()) != set(data.val_indices.tolist())
    assert other.source.train_labels[other.val_indices].bincount().tolist() == [500] * 10


def test_data_seed_may_follow_the_runs(data_dir: str) -> None:
    follows, said = split(data_dir, run_seed=3, seed=None), split(data_dir, run_seed=3, seed=3)
    assert torch.equal(follows.train_indices, said.train_indices)
    assert follows.config == said.config


@pytest.mark.parametrize(("val_size", "n_val"), [(0.1, 6_000), (59_990, 59_990)])
def test_val_size_is_a_number_or_a_part(data_dir: str, val_size: float, n_val: int) -> None:
    data = split(data_dir, val_size=val_size)
    assert data.source.train_labels[data.val_indices].bincount().tolist() == [n_val // 10] * 10
    assert len(data.train_indices) == 60_000 - n_val


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"val_size": 60_000}, "data.val_size: got 60000, expected fewer than the 60000 training images"),
        ({"val_size": 1e-6}, "data.val_size: "),  # no image at all
        ({"train_size": 55_001}, "data.train_size: got 55001, but data.val_size=5000 leaves 55000"),
        ({"val_size": 0.5, "train_size": 30_001}, r"data.train_size: got 30001, but data.val_size=0.5 leaves 30000"),
    ],
)
def test_parts_larger_than_the_dataset(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DataConfig(**settings)


def test_plain_values_do_as_well(data_dir: str) -> None:
    data = ImageData({"dir": data_dir, "train_size": 20, "shift": [1, 2]})
    assert data.config == DataConfig(dir=data_dir, train_size=20, shift=(1, 2))
    with pytest.raises(ConfigError, match=r"data\.train_sise: no such key"):
        ImageData({"train_sise": 20})


@pytest.mark.parametrize("name", ["classes", "shape"])
def test_what_a_model_needs_can_be_asked_at_once(data_dir: str, name: str) -> None:
    expected = {"classes": 10, "shape": 3}[name]
    assert len(getattr(ImageData(DataConfig(dir=data_dir)), name)) == expected


def test_shape(data: ImageData, data_dir: str) -> None:
    assert data.shape == (1, 28, 28)
    assert split(data_dir, canvas=40, bands=3).shape == (3, 40, 40)


# --- what the network sees


@pytest.mark.parametrize("settings", [{"train_size": 500}, {"val_size": 0.95, "seed": 3}])
def test_standard_is_mean_0_and_std_1_over_the_training_part(data_dir: str, settings: dict[str, Any]) -> None:
    data = split(data_dir, **settings)
    images, raw = training_images(data)
    mean, std = raw.mean(dtype=np.float64), raw.std(dtype=np.float64)
    np.testing.assert_allclose(images[:500].numpy(), (raw[:500] - mean) / std, rtol=1e-4, atol=1e-5)
    assert abs(images.double().mean()) < 1e-4
    assert abs(images.double().std(correction=0) - 1) < 1e-4
    # the other parts with the same two numbers
    images, _ = next(iter(data.test_dataloader()))
    raw = np.load(f"{data_dir}/fashion_mnist/test_images.npy", mmap_mode="r")
    np.testing.assert_allclose(images.numpy(), (raw[: len(images)] - mean) / std, rtol=1e-4, atol=1e-5)


def test_what_a_canvas_adds_is_not_counted(data_dir: str) -> None:
    """The published pixels keep mean 0 and deviation 1; around them is background, (0 - mean) / std."""
    images, raw = training_images(split(data_dir, train_size=500, canvas=40))
    mean, std = raw.mean(dtype=np.float64), raw.std(dtype=np.float64)
    published = images[:, :, 6:34, 6:34].double()  # (40 - 28) / 2
    assert abs(published.mean()) < 1e-4
    assert abs(published.std(correction=0) - 1) < 1e-4
    np.testing.assert_allclose(images[:, :, :6], -mean / std, rtol=1e-4)
    # 28^2 of 40^2 pixels have mean 0, the others are background
    assert images.double().mean() == pytest.approx((1 - 28**2 / 40**2) * -mean / std, rel=1e-4)


@pytest.mark.parametrize("size", [14, (4, 7), 1])
def test_images_are_averaged_in_blocks(data_dir: str, size: int | tuple[int, int]) -> None:
    """The whole numbers nearest to the means; their own moments normalise them."""
    data = split(data_dir, train_size=500, size=size)
    height, width = size if isinstance(size, tuple) else (size, size)
    assert data.shape == shape_of(data.config)[0] == (1, height, width)
    images, raw = training_images(data)
    pixels = block_means(raw, height, width)
    assert data.source.train_images.dtype == torch.uint8
    np.testing.assert_allclose(images[:, 0], (pixels - pixels.mean()) / pixels.std(), rtol=1e-4, atol=1e-4)
    test = np.load(f"{data_dir}/fashion_mnist/test_images.npy", mmap_mode="r")[:3, 0]
    assert torch.equal(data.seen(torch.arange(3))[:, 0], torch.from_numpy(block_means(test, height, width)).byte())


def block_means(images: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.float64]:
    rows, columns = images.shape[-2] // height, images.shape[-1] // width
    return np.round(images.reshape(-1, height, rows, width, columns).mean((2, 4), dtype=np.float64))


def test_averaged_images_are_placed_shifted_and_permuted(data_dir: str) -> None:
    """Before all else: a canvas, a shift and blocks are counted in the pixels that are left."""
    data = split(data_dir, train_size=500, size=14, canvas=20, shift=(15, 0), permutation="block", block=10, bands=3)
    assert data.shape == shape_of(data.config)[0] == (3, 20, 20)
    assert data.transformed(data.source.test_images[:2], torch.arange(2), "test").shape == (2, 3, 20, 20)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 10}, "data.size: got 10, expected a divisor of the image's 28 pixels"),
        ({"size": (14, 56)}, r"data.size: got \[14,56\], expected a divisor of the image's 28 pixels"),
        ({"size": 0}, "data.size: got 0, expected 1 or more pixels"),
        ({"name": "cifar10", "size": 14}, "data.size: got 14, expected a divisor of the image's 32 pixels"),
        ({"name": "mnist1d", "size": 20}, "data.size: got 20, expected null with data=mnist1d"),
        ({"name": "arrays", "path": "a.npz", "size": 14}, "data.size: got 14, expected null with data=arrays"),
        ({"size": 14, "canvas": 13}, "data.canvas: got 13, expected at least the image's 14 pixels"),
        ({"size": 14, "shift": (14, 0)}, "data.shift: got .14,0., expected less than the 14 pixels"),
        ({"size": 14, "permutation": "block", "block": 4}, "data.block: got 4, expected a divisor of the image's 14"),
    ],
)
def test_sizes_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DataConfig(**settings)


def test_unit_is_from_0_to_1(data_dir: str) -> None:
    data = split(data_dir, normalise="unit", train_size=500)
    images, raw = training_images(data)
    np.testing.assert_allclose(images.numpy(), raw / 255, rtol=1e-6)
    assert images.min() == 0
    assert images.max() == pytest.approx(1)


def test_loaders_by_hand_give_float_images_and_labels(data: ImageData) -> None:
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader(), data.predict_dataloader()):
        images, labels = next(iter(loader))
        assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
        assert images.shape == (len(labels), 1, 28, 28)
        assert images.is_contiguous(memory_format=torch.channels_last)


def test_training_images_change_with_run_and_epoch_and_the_others_never(data_dir: str) -> None:
    settings: dict[str, Any] = {"permutation": "fresh", "canvas": 32, "place": "random", "batch_size": 20}
    first, again, other = (split(data_dir, seed, **settings) for seed in (0, 0, 1))
    pixels, indices = first.source.train_images[:20], torch.arange(20)
    seen = first.transformed(pixels, indices, "train", epoch=2)
    assert torch.equal(again.transformed(pixels, indices, "train", epoch=2), seen)
    assert not torch.equal(first.transformed(pixels, indices, "train", epoch=3), seen)
    assert not torch.equal(other.transformed(pixels, indices, "train", epoch=2), seen)
    for name in ("val", "test"):
        seen = first.transformed(pixels, indices, name, epoch=0)
        assert torch.equal(first.transformed(pixels, indices, name, epoch=1), seen)
        assert torch.equal(other.transformed(pixels, indices, name, epoch=0), seen)


def test_a_test_image_is_seen_alike_with_any_batch_size(data_dir: str) -> None:
    settings: dict[str, Any] = {"permutation": "fresh", "canvas": 32, "place": "random"}
    small, large = (split(data_dir, batch_size=n, **settings) for n in (500, 1000))
    expected, _ = next(iter(large.test_dataloader()))
    found = [images for (images, _), _ in zip(small.test_dataloader(), range(2), strict=False)]
    assert torch.equal(torch.cat(found), expected)


class Stage(SimpleNamespace):
    """What ImageData asks of a Trainer."""

    current_epoch, global_rank, world_size, overfit_batches = 0, 0, 1, 0
    strategy = SimpleNamespace(root_device=torch.device("cpu"))


@pytest.mark.parametrize(
    ("name", "flipped", "shifted"), [("train", True, False), ("val", False, False), ("test", False, True)]
)
def test_the_split_decides_on_augmentation_and_shift(data_dir: str, name: Any, flipped: bool, shifted: bool) -> None:
    data = split(data_dir, normalise="unit", flip=True, shift=(3, 0))
    pixels = data.source.test_images[:500]
    seen = data.transformed(pixels, torch.arange(500), name)
    raw = pixels / 255
    moved = torch.cat([torch.zeros(len(raw), 1, 28, 3), raw[..., :-3]], dim=-1)
    expected = moved if shifted else raw
    mirrored = (~torch.isclose(seen, expected).flatten(1).all(1)).sum()
    assert (205 < mirrored < 295) if flipped else (mirrored == 0)  # 250 +- 4 standard deviations of 11.2


def test_a_batch_lies_on_the_trainers_device(data_dir: str) -> None:
    data = split(data_dir, batch_size=30)
    data.trainer = cast(Trainer, Stage(strategy=SimpleNamespace(root_device=torch.device("meta"))))
    images, labels = next(iter(data.train_dataloader()))
    assert images.is_meta
    assert labels.is_meta


def test_loaders_follow_the_trainer(data_dir: str) -> None:
    data = split(data_dir, train_size=100, batch_size=30)
    trainer = Stage(world_size=3)
    data.trainer = cast(Trainer, trainer)
    orders = []
    for trainer.current_epoch in (0, 1, 0):
        ranks = []
        for trainer.global_rank in range(3):
            assert len(data.train_dataloader()) == 4  # ceil(100 / 30)
            ranks.append(order_of(data))
        assert sorted(chain(*ranks)) == sorted(data.train_indices.tolist())
        orders.append(ranks)
    assert orders[0] == orders[2] != orders[1]
    trainer.current_epoch, batches = 0, data.train_dataloader()
    before = torch.cat([labels for _, labels in batches])
    trainer.current_epoch = 1  # the same loader serves all epochs
    assert not torch.equal(torch.cat([labels for _, labels in batches]), before)


def test_overfitting_repeats_the_same_images(data_dir: str) -> None:
    data = split(data_dir, train_size=100, batch_size=30)
    orders = {}
    for overfit in (0, 2):
        for epoch in (0, 1):
            data.trainer = cast(Trainer, Stage(current_epoch=epoch, overfit_batches=overfit))
            orders[overfit, epoch] = order_of(data)
    assert orders[2, 0] == orders[2, 1] == orders[0, 0] != orders[0, 1]


@pytest.mark.parametrize(
    ("settings", "batches"),
    [({"batch_size": 30}, 10), ({"batch_size": 1000}, 5), ({"canvas": 56, "batch_size": 30}, 40)],
)
def test_small_images_are_evaluated_512_at_a_time(data_dir: str, settings: dict[str, Any], batches: int) -> None:
    """Or as many as are trained at a time, and larger images in proportion fewer: 5,000 by 512, 1,000 and 128."""
    assert len(split(data_dir, **settings).val_dataloader()) == batches


# --- batches


def dealt(
    n: int, batch_size: int, world_size: int = 1, seed: int | None = None, epoch: Callable[[], int] = lambda: 0
) -> list[Batches]:
    """One Batches for each rank, over `n` of 2n + 1 images; each image and label tells its index."""
    images = torch.arange(2 * n + 1)
    indices = torch.arange(n).flip(0) * 2 + 1

    def transform(pixels: Tensor, indices: Tensor, epoch: int) -> Tensor:
        assert pixels.dtype == torch.uint8
        assert pixels.flatten().tolist() == indices.tolist()
        return pixels

    return [
        Batches(
            (images.to(torch.uint8).view(-1, 1, 1, 1), images, indices),
            batch_size,
            transform,
            None if seed is None else lambda epoch: mixed_seed(seed, epoch),
            epoch,
            lambda r=r: Shard(r, world_size),
        )
        for r in range(world_size)
    ]


def indices_of(batches: Iterable[tuple[Tensor, Tensor]]) -> list[list[int]]:
    return [labels.tolist() for _, labels in batches]


SIZES = pytest.mark.parametrize(
    ("n", "batch_size", "steps"), [(12, 4, 3), (13, 4, 4), (100, 32, 4), (101, 1, 101), (3, 64, 1), (1, 64, 1)]
)


def test_each_process_gets_an_image_of_each_batch(data_dir: str) -> None:
    """9 images in batches of at most 4 are 3, 3 and 3: enough for three processes, and not for four."""
    data = split(data_dir, batch_size=4, train_size=9)
    data.check_processes(3)
    with pytest.raises(
        ConfigError, match=r"got 4, .* leaves a batch of 3; expected at least one image for each of the 4"
    ) as refused:
        data.check_processes(4)
    assert refused.value.key == "data.batch_size"


WORLDS = pytest.mark.parametrize("world_size", [1, 2, 3])


@SIZES
@WORLDS
@pytest.mark.parametrize("seed", [0, None])
def test_every_image_exactly_once(n: int, batch_size: int, steps: int, world_size: int, seed: int | None) -> None:
    ranks = dealt(n, batch_size, world_size, seed=seed)
    batches = [list(rank) for rank in ranks]
    assert [len(rank) for rank in ranks] == [steps] * world_size
    assert [len(b) for b in batches] == [steps] * world_size
    assert sorted(chain(*chain(*map(indices_of, batches)))) == list(range(1, 2 * n, 2))  # so ranks share none
    for step in zip(*batches, strict=True):
        sizes = [len(labels) for _, labels in step]
        assert sum(sizes) <= batch_size
        assert max(sizes) - min(sizes) <= 1
        for images, labels in step:
            assert labels.dtype == torch.int64
            assert images.shape[1:] == (1, 1, 1)
            assert labels.tolist() == images.flatten().tolist()


@pytest.mark.parametrize("world_size", [2, 3])
def test_more_ranks_deal_the_same_batches(world_size: int) -> None:
    [one] = dealt(50, 16, seed=1)
    for alone, step in zip(indices_of(one), zip(*dealt(50, 16, world_size, seed=1), strict=True), strict=True):
        assert alone == list(chain(*indices_of(step)))


def test_order_is_drawn_by_seed_and_epoch() -> None:
    orders = {}
    for seed in (0, 1):
        for epoch in (0, 1, 2):
            a, b = (indices_of(dealt(50, 16, seed=seed, epoch=lambda epoch=epoch: epoch)[0]) for _ in range(2))
            assert a == b
            orders[seed, epoch] = list(chain(*a))
    assert len({tuple(order) for order in orders.values()}) == 6
    assert all(order != list(range(1, 100, 2)) for order in orders.values())
    # and not by the batch size
    assert list(chain(*indices_of(dealt(50, 7, seed=0)[0]))) == orders[0, 0]


def test_without_a_seed_the_order_stays() -> None:
    [batches] = dealt(50, 16, epoch=lambda: 1)
    assert list(chain(*indices_of(batches))) == list(range(99, 0, -2))


def test_seeds_of_runs_do_not_meet() -> None:
    """Neighbouring seeds and epochs up to a million give different orders."""
    a = indices_of(dealt(50, 50, seed=0, epoch=lambda: 1_000_000)[0])
    b = indices_of(dealt(50, 50, seed=1, epoch=lambda: 0)[0])
    c = indices_of(dealt(50, 50, seed=2**32 - 1, epoch=lambda: 0)[0])  # the largest seed
    assert a != b
    assert b != c


@WORLDS
@pytest.mark.parametrize("done", [0, 1, 3, 4])
def test_goes_on_in_the_middle_of_an_epoch(done: int, world_size: int) -> None:
    now = [0]
    for before, after in zip(*(dealt(50, 16, world_size, seed=0, epoch=lambda: now[0]) for _ in range(2)), strict=True):
        now[0] = 5
        expected = indices_of(before)
        running = iter(before)
        for _ in range(done):
            next(running)
        if done:
            after.load_state_dict(before.state_dict())
        assert indices_of(after) == (expected[done:] if done < 4 else expected)
        assert len(after) == 4
        now[0] = 6
        again = indices_of(after)
        assert again == indices_of(before)
        assert len(again) == 4
        assert again != expected


def test_state_of_a_new_and_of_a_resumed_epoch() -> None:
    [batches] = dealt(50, 16, seed=0)
    assert batches.state_dict() == {"epoch": 0, "next": 0}
    batches.load_state_dict({"epoch": 0, "next": 3})
    assert batches.state_dict() == {"epoch": 0, "next": 3}  # stopped again before its first batch
    assert len(list(batches)) == 1


def test_an_epoch_left_early_is_not_remembered() -> None:
    [batches] = dealt(50, 16, seed=0)
    next(iter(batches))
    assert len(list(batches)) == 4


# --- on an accelerator


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """All devices are accelerators with room, the CPU too. Images that were copied to one, a number for each tensor."""
    copied: list[int] = []

    def copy(tensor: Tensor, indices: Tensor, device: torch.device) -> Tensor | None:
        copied.append(len(indices))
        return copy_selected(tensor, indices, device)

    with monkeypatch.context() as patch:
        patch.setattr(residence, "free_memory", lambda device: 2**40)
        patch.setattr(image_data, "copy_selected", copy)
        yield copied


@WORLDS
@pytest.mark.parametrize("seed", [0, None])
def test_resident_images_are_dealt_alike(room: list[int], monkeypatch: Any, world_size: int, seed: int | None) -> None:
    now = [0]
    there = dealt(50, 16, world_size, seed, epoch=lambda: now[0])
    with monkeypatch.context() as patch:
        patch.setattr(residence, "free_memory", lambda device: 0)
        here = dealt(50, 16, world_size, seed, epoch=lambda: now[0])
        expected = {}
        for now[0] in (0, 1):
            expected[now[0]] = [indices_of(rank) for rank in here]
    for now[0] in (0, 1):
        assert [indices_of(rank) for rank in there] == expected[now[0]]  # `dealt` compares images and indices
    assert room == [50] * (2 * world_size)  # tried and left, then copied once
    there[0].load_state_dict({"epoch": 1, "next": 3})
    assert indices_of(there[0]) == expected[1][0][3:]


AUGMENTED: dict[str, Any] = {
    "flip": True,
    "translate": 2,
    "erase": 0.5,
    "canvas": 32,
    "place": "random",
    "shift": (1, 2),
    "permutation": "fresh",
    "bands": 3,
}


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", ["train", "val", "test"])
def test_resident_images_are_seen_alike(data_dir: str, room: list[int], monkeypatch: Any, name: Any) -> None:
    """Bit for bit, in two epochs, whatever is done to them."""
    data = split(data_dir, train_size=40, val_size=30, batch_size=16, **AUGMENTED)
    data.test_indices = data.test_indices[:20]
    data.trainer = cast(Trainer, stage := Stage())
    there, here = data.batches(name), data.batches(name)
    for stage.current_epoch in (0, 1):
        found = list(there)
        with monkeypatch.context() as patch:
            patch.setattr(residence, "free_memory", lambda device: 0)
            expected = list(here)
        assert len(found) == len(expected) > 0
        for (images, labels), (images_here, labels_here) in zip(found, expected, strict=True):
            assert torch.equal(images, images_here)
            assert images.stride() == images_here.stride()
            assert torch.equal(labels, labels_here)
    n = {"train": 40, "val": 30, "test": 20}[name]
    assert room == [n, n]


class Watched(TorchDispatchMode):
    """The operations that take or give a tensor on the CPU; a number of no dimension is none."""

    def __init__(self) -> None:
        super().__init__()
        self.on_the_host: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [t for t in tree_leaves((args, kwargs, result)) if isinstance(t, Tensor)]
        if any(t.device.type == "cpu" and t.ndim for t in tensors):
            self.on_the_host.append(str(func))
        return result


@pytest.mark.parametrize("permutation", ["fixed", "fresh"])
def test_no_step_on_an_accelerator_waits_for_the_host(data_dir: str, room: list[int], permutation: str) -> None:
    """torch's meta device has no values: what asks for one (item, nonzero, a comparison in an if) is an error there."""
    settings = AUGMENTED | {"permutation": permutation}
    data = split(data_dir, train_size=40, val_size=30, batch_size=16, **settings)
    data.trainer = cast(Trainer, Stage(strategy=SimpleNamespace(root_device=torch.device("meta"))))
    module = LeNet(input_shape=(3, 32, 32)).to("meta")
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for name in ("train", "val", "test"):
        batches = iter(data.batches(name))
        for at in range(2):
            with Watched() as watched:
                images, labels = next(batches)
                assert images.is_meta
                assert labels.is_meta
                if name == "train":
                    module.training_step((images, labels), at + 1).backward()
                    optimizer.step()
                elif name == "val":
                    module.validation_step((images, labels), at)
                else:
                    module.test_step((images, labels), at)
            if at:  # the first one brings the data there
                assert not watched.on_the_host
            if name == "val":
                break


def test_images_without_room_stay_where_they_are(data_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """200 images of 784 bytes, which may take a quarter of what is free."""
    data = split(data_dir, train_size=200, batch_size=50)
    data.trainer = cast(Trainer, Stage(strategy=SimpleNamespace(root_device=torch.device("meta"))))
    for free, fits in ((4 * 200 * 784, True), (4 * 200 * 784 - 1, False)):
        monkeypatch.setattr(residence, "free_memory", lambda device, free=free: free)
        batches = data.batches("train")
        images, labels = next(iter(batches))
        assert images.is_meta
        assert labels.is_meta
        assert (batches._on(torch.device("meta"))[0] is batches.images) == (not fits)


def test_a_copy_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(residence, "free_memory", lambda device: 2**20)
    monkeypatch.setattr(residence, "PIECE", 3)
    tensor, indices = torch.arange(40, dtype=torch.uint8).view(20, 2), torch.tensor([7, 0, 19, 3, 3, 12, 1])
    copied = copy_selected(tensor, indices, torch.device("cpu"))
    assert copied is not None
    assert torch.equal(copied, tensor[indices])


def test_the_cpu_keeps_no_second_copy() -> None:
    assert residence.free_memory(torch.device("cpu")) == 0
    assert copy_selected(torch.zeros(3, 1), torch.arange(3), torch.device("cpu")) is None
