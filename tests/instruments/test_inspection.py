"""inspection.py: every instrument on one network, and what is left on the disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fc2conv.data.image_data import ImageData
from fc2conv.instruments.inspection import inspect
from fc2conv.training.classifier import class_named

pytestmark = pytest.mark.usefixtures("one_thread")


def inspected(name: str, image_folder: Path, tmp_path: Path, **fields: Any) -> tuple[Any, Path]:
    torch.manual_seed(0)
    data = ImageData(name="folder", path=str(image_folder), dir=str(tmp_path / "data"), size=10, val_size=0.2)
    model = class_named(name)(input_shape=data.shape, classes=3, **fields)
    numbers = inspect(model, data, tmp_path / "found", images=5)
    return numbers, tmp_path / "found"


def test_a_convolutional_network(image_folder: Path, tmp_path: Path) -> None:
    fields = {"channels": [2, 3], "kernel_size": 3, "padding": "same", "padding_mode": "circular", "pool_after": [2]}
    numbers, folder = inspected("LeNet", image_folder, tmp_path, **fields)
    assert numbers == json.loads((folder / "numbers.json").read_text())
    assert set(numbers) == {"images", "equivariance", "shift", "receptive_field", "matrix", "correlation"}
    assert numbers["images"] == {"few": 12, "many": 5}
    equivariance = numbers["equivariance"]
    assert len(equivariance["shifts"]) == 9  # 0 to 8 pixels
    assert max(equivariance["wrap"]["conv2"]) < 1e-5
    assert equivariance["strides"]["pool2"] == [2, 2]
    assert numbers["shift"]["consistency"][0] == 1
    assert len(numbers["shift"]["accuracy"]) == 9
    fields_seen = numbers["receptive_field"]
    assert {layer: field["theoretical"] for layer, field in fields_seen.items()} == {
        "conv1": [3, 3],
        "sigmoid1": [3, 3],
        "conv2": [5, 5],
        "sigmoid2": [5, 5],
        "pool2": [6, 6],
    }
    assert set(fields_seen["conv1"]) == {"theoretical", "trained", "initial"}
    # on the torus each unit has 9 connections with each map
    assert numbers["matrix"] == {
        "conv1": {"shape": [200, 100], "nonzeros": 1800, "weights": 18},
        "conv2": {"shape": [300, 200], "nonzeros": 5400, "weights": 54},
        "linear3": {"shape": [120, 75], "nonzeros": 9000, "weights": 9000},
    }
    assert numbers["correlation"]["commutative_convolution"] < 1e-12
    with np.load(folder / "arrays.npz") as arrays:
        assert arrays["equivariance_wrap"].shape == (11, 9)
        assert arrays["receptive_field_pool2_initial"].sum() == pytest.approx(1)
    pictures = ["equivariance_inside", "equivariance_wrap", "matrix_conv1", "receptive_field", "shift"]
    assert sorted(path.stem for path in folder.glob("*.png")) == pictures
    for picture in pictures:
        with Image.open(folder / f"{picture}.png") as image:
            image.verify()


def test_a_dense_layer_on_an_image(image_folder: Path, tmp_path: Path) -> None:
    """Untrained, its structure is that of chance; what it has no layer for is left out."""
    numbers, folder = inspected("Ladder", image_folder, tmp_path, constraint="dense")
    structure = numbers["structure"]
    assert structure["layer"] == "hidden"
    # 44 = 10 5 - 2 (1 + 2) pairs of rows; 19 offsets; 5: squared, over 10^4
    for constraint, weights in (("local", 44**2), ("shared", 19**2), ("conv", 5**2)):
        assert structure[f"explained_{constraint}_null"] == weights / 10**4
        assert structure[f"explained_{constraint}"] == pytest.approx(weights / 10**4, rel=0.3)
    assert abs(structure["similarity_z"]) < 5
    assert "correlation" not in numbers
    assert (folder / "structure.png").exists()


def test_a_network_without_maps(image_folder: Path, tmp_path: Path) -> None:
    """A second layer of as many inputs as there are pixels sees no image."""
    numbers, folder = inspected("MLP", image_folder, tmp_path, hidden=[100, 4])
    assert numbers["structure"]["layer"] == "hidden1"
    assert numbers["matrix"] == {"hidden1": {"shape": [100, 100], "nonzeros": 10_000, "weights": 10_000}}
    assert set(numbers) == {"images", "equivariance", "shift", "matrix", "structure"}
    assert not (folder / "receptive_field.png").exists()
