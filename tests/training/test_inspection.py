"""task=inspect: pictures and measurements of what a checkpoint's network has learned."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import fc2conv
from fc2conv.errors import ConfigError
from fc2conv.training.inspection import beside


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run on 24 training images of three classes."""
    from PIL import Image

    top = tmp_path_factory.mktemp("inspected")
    generator = np.random.default_rng(0)
    for name, base in (("dark", 0), ("light", 190), ("middle", 95)):
        (top / "images" / name).mkdir(parents=True)
        for i in range(20):
            pixels = generator.integers(0, 60, (8, 8)) + base
            Image.fromarray(pixels.astype(np.uint8)).save(top / "images" / name / f"{i:02}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fc2conv.pictures.folder.images", lambda *of: {})
        patch.setattr("fc2conv.pictures.folder.save_curves", lambda *of: [])
        overrides = ("model=lenet", "model.channels=[2,3]", "model.padding=same", "model.kernel_size=3", "logger=csv")
        fc2conv.run(
            *(*overrides, "data=folder", f"data.path={top}/images", f"data.dir={top}/cache", "data.size=8"),
            *(
                "data.val_size=0.1",
                "trainer.max_epochs=1",
                "trainer.progress=false",
                f"runs_dir={top}/runs",
                "name=run",
            ),
        )
    return top / "runs" / "run"


def inspect(run: Path, *more: str) -> fc2conv.Result | None:
    return fc2conv.run("task=inspect", f"ckpt={run}/checkpoints/last.ckpt", *more)


def test_all_convolutions_and_the_chosen_images_are_drawn(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = inspect(trained, "inspect.images=[0,7]")
    assert result is not None
    assert result.status == "skipped"
    folder = trained / "inspect" / "last"
    drawn = {path.name for path in folder.iterdir()}
    expected = {"filters_conv1.png", "filters_conv2.png", "features_0.png", "features_7.png", "confusion.png"}
    expected |= {"equivariance_wrap.png", "equivariance_inside.png", "shift.png", "receptive_field.png"}
    expected |= {"matrix_conv1.png", "numbers.json", "arrays.npz"}
    assert expected <= drawn <= expected | {"misclassified.png"}
    out = capsys.readouterr().out
    assert f"{len(drawn)} files in {folder}" in " ".join(out.split("\n"))
    assert all(name in out for name in drawn)


def test_what_is_measured_is_written_down(trained: Path, tmp_path: Path) -> None:
    """The accuracy without a shift is that of the test, on as few images as these."""
    inspect(trained, "inspect.images=[]", f"inspect.folder={tmp_path}")
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    record = json.loads((trained / "result.json").read_text())
    assert numbers["images"] == {"few": 12, "many": 12}
    assert numbers["shift"]["accuracy"][0] == pytest.approx(record["test"]["acc"])
    assert numbers["receptive_field"]["conv1"]["theoretical"] == [3, 3]
    with np.load(tmp_path / "arrays.npz") as arrays:
        assert arrays["receptive_field_conv1_trained"].shape == (8, 8)


def test_they_go_where_they_are_asked_to(trained: Path, tmp_path: Path) -> None:
    inspect(trained, "inspect.images=[]", f"inspect.folder={tmp_path / 'here'}")
    assert "filters_conv1.png" in {path.name for path in (tmp_path / "here").iterdir()}
    assert not list((tmp_path / "here").glob("features*"))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("inspect.images=[12]", "inspect.images: got 12, but there are 12 test images, from 0 on"),
        ("inspect.images=[-1]", "inspect.images: got [-1], expected places in the test set, from 0 on"),
        ("inspect.mistakes=0", "inspect.mistakes: got 0, expected 1 or more images"),
        ("inspect.image=[1]", "inspect.image: no such key; did you mean images?"),
        ("inspect.folder=/proc/none", "inspect.folder: got /proc/none, but the system says"),
        ("trainer=ddp", "trainer.strategy: got ddp, but task=inspect takes one device"),
        ("model.kernel_size=5", "model.kernel_size: got 5, but task=inspect takes the network from ckpt"),
    ],
)
def test_a_wrong_call_is_told(trained: Path, override: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        inspect(trained, override)
    assert str(error.value).startswith(said)


def test_its_keys_are_for_it_alone() -> None:
    with pytest.raises(ConfigError, match="only task=inspect reads it"):
        fc2conv.run("task=plan", "inspect.images=[1]")
    with pytest.raises(ConfigError, match="expected a checkpoint to inspect"):
        fc2conv.run("task=inspect")
    with pytest.raises(ConfigError, match="got inspect, which reads one checkpoint; leave -m out"):
        fc2conv.sweep("task=inspect", "ckpt=a.ckpt", "seed=0,1")


def test_the_pictures_lie_with_their_run() -> None:
    assert beside(Path("runs/a/checkpoints/best.ckpt")) == Path("runs/a/inspect/best")
    assert beside(Path("somewhere/epoch=3.ckpt")) == Path("somewhere/inspect/epoch=3")
