"""What the page is told of a network, and which ones it cannot run."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from playground.made_up import checkpoint, record
from torch import nn

from fc2conv.architectures import ModelConfig
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.architectures.lenet5 import LeNet5Config
from fc2conv.architectures.mlp import MLPConfig
from fc2conv.architectures.resnet import ResNetConfig
from fc2conv.architectures.softmax import SoftmaxConfig
from fc2conv.data.transforms import fixed_permutation
from fc2conv.errors import ConfigError
from fc2conv.playground.networks import describe, read

MODERN = LeNetConfig(channels=(2, 3), activation="relu", norm="batch", pool="max", dropout=0.5, hidden=(8, 6))


@pytest.fixture(autouse=True)
def at_the_top(data_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the data lie in their usual place."""
    monkeypatch.chdir(Path(data_dir).parent)


def decoded(part: dict[str, Any]) -> torch.Tensor:
    values = np.frombuffer(base64.b64decode(part["data"]), "<f2").astype(np.float32)
    return torch.from_numpy(values).view(part["shape"])


def test_a_network_is_its_layers_with_their_weights(tmp_path: Path, data_dir: str) -> None:
    path = checkpoint(tmp_path, MODERN, data_dir, canvas=44)
    module, data = read(path)
    found = describe(path, module, data)
    assert (found["input"], found["image"], found["fill"]) == ([1, 44, 44], [1, 28, 28], 0)
    assert (found["mean"], found["std"]) == pytest.approx((0.2860, 0.3530), abs=1e-3)  # Fashion-MNIST's, as published
    assert found["params"] == module.geometry.params
    assert found["macs"] == module.geometry.macs
    names = [layer["name"] for layer in found["layers"]]
    assert names == [row.name for row in module.geometry.rows if not row.name.startswith("dropout")]
    first = found["layers"][0]
    assert {key: first[key] for key in ("kind", "padding", "output", "receptive_field", "params")} == {
        "kind": "conv",
        "padding": [[2, 2], [2, 2]],
        "output": [2, 44, 44],
        "receptive_field": 5,
        "params": 52,
    }
    weight = module.net.get_submodule("conv1").get_parameter("weight")
    assert torch.equal(decoded(first["weight"]), weight.detach().half().float())


def test_batch_norm_is_a_scale_and_a_shift(tmp_path: Path, data_dir: str) -> None:
    path = checkpoint(tmp_path, MODERN, data_dir)
    module, data = read(path)
    norm = module.net.get_submodule("norm1")
    assert isinstance(norm, nn.BatchNorm2d)
    norm.running_mean, norm.running_var = torch.tensor([0.5, -2.0]), torch.tensor([4.0, 0.25])
    (layer,) = (layer for layer in describe(path, module, data)["layers"] if layer["name"] == "norm1")
    x = torch.randn(1, 2, 4, 4)
    scale, shift = (decoded(layer[part]).view(1, 2, 1, 1) for part in ("weight", "bias"))
    assert torch.allclose(norm(x), scale * x + shift, atol=1e-2)
    assert layer["kind"] == "affine"


def test_a_permutation_goes_with_it(tmp_path: Path, data_dir: str) -> None:
    path = checkpoint(tmp_path, SoftmaxConfig(), data_dir, permutation="fixed", seed=3)
    module, data = read(path)
    order = np.frombuffer(base64.b64decode(describe(path, module, data)["permutation"]), "<u2")
    expected = fixed_permutation(data.config, (28, 28))
    assert expected is not None
    assert order.tolist() == expected.tolist()


def test_its_test_accuracy_is_its_records(tmp_path: Path, data_dir: str) -> None:
    path = checkpoint(tmp_path, SoftmaxConfig(), data_dir)
    module, data = read(path)
    assert describe(path, module, data)["test"] is None
    record(tmp_path)
    assert describe(path, module, data)["test"] == {"acc": 0.84, "n": 10000}
    assert describe(path.with_name("last.ckpt"), module, data)["test"] is None, "others were not tested"


@pytest.mark.parametrize(
    ("config", "layer"),
    [
        (LeNetConfig(pool="blur"), "PoolLayer pool1"),
        (LeNetConfig(coordinates=True), "Coordinates coordinates"),
        (LeNetConfig(activation="gelu"), "ActivationLayer gelu1"),
        (LeNet5Config(), "PadTo"),
        (MLPConfig(norm="layer"), "NormLayer norm1"),
        (ResNetConfig(), "Residual"),
    ],
)
def test_a_layer_that_a_page_cannot_run_is_named(
    config: ModelConfig, layer: str, tmp_path: Path, data_dir: str
) -> None:
    path = checkpoint(tmp_path, config, data_dir)
    with pytest.raises(ConfigError, match=f"CKPT: .*best.ckpt: the layer {layer}.* a page can run convolutions"):
        describe(path, *read(path))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"permutation": "fresh"}, "data.permutation=fresh; a page has one order for all images"),
        ({"bands": 1, "name": "mnist"}, "data.name=mnist; the page has images of fashion_mnist"),
    ],
)
def test_images_that_the_page_does_not_have_are_refused(
    data: dict[str, Any], said: str, tmp_path: Path, data_dir: str
) -> None:
    path = checkpoint(tmp_path, SoftmaxConfig(), data_dir, **data)
    with pytest.raises(ConfigError, match=said):
        read(path)


@pytest.mark.parametrize("value", [1e6, float("nan")])
def test_a_weight_that_16_bits_cannot_hold_is_refused(value: float, tmp_path: Path, data_dir: str) -> None:
    path = checkpoint(tmp_path, SoftmaxConfig(), data_dir)
    module, data = read(path)
    nn.init.constant_(module.net.get_submodule("output").get_parameter("bias"), value)
    with pytest.raises(ConfigError, match="the bias of output has values beyond 65504"):
        describe(path, module, data)


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"CKPT: got .*none.ckpt, but there is no such file"):
        read(tmp_path / "none.ckpt")
    torch.save({"weights": torch.zeros(3)}, tmp_path / "other.ckpt")
    with pytest.raises(ConfigError, match=r"CKPT: .*other.ckpt is no checkpoint of this project \(KeyError\)"):
        read(tmp_path / "other.ckpt")
    (tmp_path / "text.ckpt").write_text("text")
    with pytest.raises(ConfigError, match=r"CKPT: .*text.ckpt is damaged, or no checkpoint"):
        read(tmp_path / "text.ckpt")
