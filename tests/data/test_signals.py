"""Signals: MNIST-1D as its authors' code makes it, and what is done to images, along one axis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import fc2conv
from fc2conv.config.schema import DATASETS, DataConfig
from fc2conv.data import mnist1d, sources
from fc2conv.data.image_data import ImageData
from fc2conv.data.sources import load
from fc2conv.data.transforms import Transforms
from fc2conv.errors import ConfigError


@pytest.fixture(scope="module")
def made() -> list[dict[str, Any]]:
    """What the package made in this module: all of it should be one dataset."""
    return []


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, made: list[dict[str, Any]]) -> Iterator[str]:
    """A data.dir with MNIST-1D in it."""
    package = pytest.importorskip("mnist1d.data")

    def make_dataset(args: Any) -> dict[str, Any]:
        assert vars(args) == package.get_dataset_args(as_dict=True)
        made.append(plain(args))
        return made[-1]

    plain = package.make_dataset
    folder = str(tmp_path_factory.mktemp("data"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(package, "make_dataset", make_dataset)
        np.random.seed(5)
        want = np.random.rand()
        np.random.seed(5)
        load(DataConfig(name="mnist1d", val_size=500, dir=folder))
        assert np.random.rand() == want  # numpy's generator is everybody's
        yield folder


def test_mnist1d_is_its_packages(prepared: str, made: list[dict[str, Any]]) -> None:
    """As the package makes it by its own settings; the second time none is made."""
    found = load(DataConfig(name="mnist1d", val_size=500, dir=prepared))
    (want,) = made
    assert found.train_images.shape == (4000, *DATASETS["mnist1d"].shape)
    assert found.test_images.shape == (1000, 1, 1, 40)
    for split, suffix in (("train", ""), ("test", "_test")):
        images, labels = (getattr(found, f"{split}_{what}").numpy() for what in ("images", "labels"))
        assert np.array_equal(images[:, 0, 0], want[f"x{suffix}"].astype(np.float32))
        assert np.array_equal(labels, want[f"y{suffix}"])
    assert np.bincount(np.concatenate([want["y"], want["y_test"]])).tolist() == [500] * 10


def test_without_its_package_there_is_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist1d, "find_spec", lambda name: None)
    config = DataConfig(name="mnist1d", val_size=500, dir=str(tmp_path))
    for prepare in (load, mnist1d.check):
        with pytest.raises(
            ConfigError, match=r"data\.name: got mnist1d, .* not installed; pip install -e '\.\[mnist1d\]'"
        ):
            prepare(config)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError, match="not installed"):
        fc2conv.run(model="softmax", data="mnist1d", runs_dir=str(tmp_path), **{"data.dir": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []


def test_models_learn_signals(prepared: str, tmp_path: Path) -> None:
    """At chance it would be a tenth; softmax regression learns a third, a convolution more in two epochs."""
    values = {"data.dir": prepared, "trainer.threads": 1, "logger": [], "runs_dir": str(tmp_path)}
    found = fc2conv.run(model="lenet_modern", data="mnist1d", **values, **{"trainer.max_epochs": 3, "optim.lr": 0.02})
    assert found is not None
    assert found.test is not None
    assert found.test["acc"] > 0.5
    assert found.receptive_field == 16
    assert found.config["model"]["kernel_size"] == 5


# --- along the one axis

VALUES = torch.arange(1.0, 25.0).view(2, 1, 1, 12)


def seen(split: str = "test", images: Tensor = VALUES, **fields: Any) -> Tensor:
    config = DataConfig(name="arrays", path="none", **fields)
    transforms = Transforms(config, (1, images.shape[3]), torch.zeros(1), torch.ones(1))
    return transforms(images, torch.arange(len(images)), split, 0, 1)


def test_shift() -> None:
    want = torch.cat([torch.zeros(2, 1, 1, 3), VALUES[..., :-3]], dim=-1)
    assert torch.equal(seen(shift=(3, 0)), want)
    assert torch.equal(seen("train", shift=(3, 0)), VALUES)
    with pytest.raises(ConfigError, match=r"data\.shift: got \[0,1\], expected less than the 1x40 pixels"):
        DataConfig(name="mnist1d", val_size=500, shift=(0, 1))


def test_canvas() -> None:
    """One number is its length; the signal lies in the middle, or anywhere."""
    assert torch.equal(seen(canvas=20)[..., 4:16], VALUES)
    assert seen(canvas=20).shape == (2, 1, 1, 20)
    assert torch.equal(seen(canvas=(1, 20)), seen(canvas=20))
    many = seen(canvas=20, place="random", images=VALUES[:1].expand(200, 1, 1, 12).contiguous())
    assert {int(x.nonzero()[0, -1]) for x in many} == set(range(9))
    with pytest.raises(ConfigError, match=r"data\.canvas: got 39, expected at least the image's 1x40 pixels"):
        DataConfig(name="mnist1d", val_size=500, canvas=39)


def test_translate() -> None:
    many = seen("train", VALUES[:1].expand(300, 1, 1, 12).contiguous(), translate=2)
    starts = {tuple(x.flatten().tolist()) for x in many}
    plain = VALUES[0].flatten().tolist()
    assert starts == {tuple(([0.0] * 2 + plain + [0.0] * 2)[i : i + 12]) for i in range(5)}
    assert DataConfig(name="mnist1d", val_size=500, translate=39)
    with pytest.raises(ConfigError, match=r"data\.translate: got 40"):
        DataConfig(name="mnist1d", val_size=500, translate=40)


@pytest.mark.parametrize("permutation", ["fixed", "block", "block_order", "fresh"])
def test_permutation(permutation: Any) -> None:
    found = seen(permutation=permutation, block=4)
    assert not torch.equal(found, VALUES)
    assert torch.equal(found.sort(dim=-1).values, VALUES)
    if permutation == "block_order":
        assert torch.equal(found.view(2, 3, 4).diff(dim=-1), torch.ones(2, 3, 3))
    blocks = found.view(2, 3, 4).sort(dim=-1).values.flatten()
    assert torch.equal(blocks, VALUES.flatten()) == (permutation == "block")
    assert torch.equal(found[1] - found[0], torch.full((1, 1, 12), 12.0)) == (permutation != "fresh")


def test_sorted() -> None:
    assert torch.equal(seen(permutation="sorted", images=VALUES.flip(3)), VALUES)


@pytest.mark.parametrize("permutation", ["block", "block_order"])
def test_block_divides_the_length(permutation: Any) -> None:
    with pytest.raises(ConfigError, match=r"data\.block: got 7, expected a divisor of the image's 1x40 pixels"):
        DataConfig(name="mnist1d", val_size=500, permutation=permutation)
    assert DataConfig(name="mnist1d", val_size=500, permutation=permutation, block=8)


def test_erase() -> None:
    """A stretch of 2 % to 33 % of the length."""
    many = seen("train", torch.ones(500, 1, 1, 100), erase=1.0)
    blank = (many == 0).flatten(1)
    lengths = blank.sum(1)
    assert (int(lengths.min()), int(lengths.max())) == (2, 33)
    assert int((blank[:, 1:] & ~blank[:, :-1]).sum(1).max()) == 1


def test_flip() -> None:
    many = seen("train", VALUES[:1].expand(100, 1, 1, 12).contiguous(), flip=True)
    ways = {tuple(x.flatten().tolist()) for x in many}
    plain = tuple(VALUES[0].flatten().tolist())
    assert ways == {plain, plain[::-1]}


def test_the_cache_keeps_float32(prepared: str) -> None:
    assert np.load(Path(prepared) / "mnist1d" / "train_images.npy").dtype == np.float32
    assert sources.IDX_TYPES["f4"] == 0x0D  # the IDX format's code for it
    data = ImageData(name="mnist1d", val_size=500, dir=prepared)
    data.setup()
    assert data.shape == (1, 1, 40)
