"""What a run leaves for its pictures, against the same computed in plain torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fc2conv.architectures.convnet import ConvNetConfig
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.architectures.mlp import MLPConfig
from fc2conv.architectures.resnet import ResNetConfig
from fc2conv.config.schema import Config, DataConfig, LoggerConfig, TrainerConfig
from fc2conv.data.image_data import ImageData, Shard
from fc2conv.instruments.features import feature_maps
from fc2conv.instruments.filters import all_filters, first_filters
from fc2conv.record.arrays import FILE, UNTESTED, Arrays
from fc2conv.training.arrays import MAP_VALUES, Mistakes, Predictions, collect, small
from fc2conv.training.classifier import Classifier
from fc2conv.training.run import Request, run

pytestmark = pytest.mark.usefixtures("one_thread")
LENET = LeNetConfig(activation="relu", pool="max")


@pytest.fixture
def config(tmp_path: Path, data_dir: str) -> Config:
    return Config(
        LENET,
        DataConfig(dir=data_dir, train_size=512, permutation="fixed"),
        trainer=TrainerConfig(max_epochs=1, accelerator="cpu", threads=1, progress=False, limit_val_batches=1),
        logger=LoggerConfig(),
        runs_dir=str(tmp_path),
        name="run",
    )


def left(config: Config) -> tuple[Arrays, nn.Module, ImageData]:
    """(what the run left, its best network in plain torch, its images)"""
    run(Request(config))
    folder = Path(config.runs_dir) / "run"
    found = Arrays.read(folder)
    assert found is not None
    data = ImageData(config.data)
    data.setup()
    return found, Classifier.load(str(folder / "checkpoints" / "best.ckpt")).net.eval(), data


def test_the_mistakes_are_the_surest_of_the_test_set(config: Config) -> None:
    found, net, data = left(config)
    everything = torch.arange(10_000)
    with torch.no_grad():
        probabilities = net(data.transformed(data.source.test_images, everything, "test")).softmax(1)
    labels = data.source.test_labels.long()
    confidences, predictions = probabilities.max(1)
    expected = confidences.masked_fill(predictions == labels, -1).argsort(descending=True)[:20]
    # kernels round differently, so that equals may change places
    np.testing.assert_allclose(found.example_confidences, confidences[expected], atol=1e-5)
    indices = torch.from_numpy(found.example_indices)
    np.testing.assert_allclose(found.example_confidences, confidences[indices], atol=1e-5)
    assert (found.example_labels == labels[indices].numpy()).all()
    assert (found.example_predictions == predictions[indices].numpy()).all()
    assert (found.example_labels != found.example_predictions).all()
    order = data.transforms.order
    assert order is not None
    seen = data.source.test_images[indices].flatten(2)[:, :, order].view(-1, 1, 28, 28)
    assert (found.examples == seen.numpy()).all()
    assert found.examples.dtype == np.uint8


EMA = {"ema": {"_target_": "fc2conv.training.averaging.EMA", "decay": 0.9}}


@pytest.mark.parametrize("more", [{}, {"compile": "eager"}, {"callbacks": EMA}])
def test_filters_and_features_are_those_of_the_best_weights(config: Config, more: dict[str, Any]) -> None:
    """Also where kernels or torch.compile hide the layers, or weights are averaged."""
    trainer = replace(config.trainer, compile=more.get("compile", False))
    found, net, data = left(replace(config, trainer=trainer, callbacks=more.get("callbacks", {})))
    assert (found.filters == net.state_dict()["conv1.weight"].numpy()).all()
    noted: dict[str, Tensor] = {}
    for name in ("conv1", "conv2"):
        layer = net.get_submodule(name)
        layer.register_forward_hook(lambda _, inputs, output, name=name: noted.setdefault(name, output))
    indices = torch.arange(3)
    with torch.no_grad():
        net(data.transformed(data.source.test_images[:3], indices, "test"))
    assert list(found.features) == ["conv1", "conv2"]
    for name, maps in noted.items():
        np.testing.assert_allclose(found.features[name].astype(np.float32), maps.numpy(), rtol=2e-3, atol=2e-3)
    assert (found.sample_labels == data.source.test_labels[:3].numpy()).all()
    assert found.samples.shape == (3, 1, 28, 28)


def test_first_filters_of_other_networks() -> None:
    shape = (3, 4, 5)
    dense = nn.Sequential(nn.Flatten(), nn.Linear(60, 7), nn.Linear(7, 60), nn.Linear(60, 2))
    assert (first_filters(dense, shape) == dense[1].weight.detach().view(7, 3, 4, 5)).all()
    later = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(60, 2))  # not the first that has weights
    assert first_filters(later, shape).shape == (0, 3, 4, 5)
    mixed = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1), nn.Conv2d(2, 4, 3))
    assert first_filters(mixed, shape) is not None
    assert (first_filters(mixed, shape) == mixed[1].weight).all()
    assert list(all_filters(mixed)) == ["1", "2"]
    assert first_filters(nn.Sequential(nn.Flatten()), shape).shape[0] == 0


@pytest.mark.parametrize("model", [MLPConfig(), ConvNetConfig(), ResNetConfig(), LENET])
@pytest.mark.parametrize("data", [DataConfig(canvas=32, bands=3), DataConfig(canvas=96)])
def test_they_stay_small(model: Any, data: DataConfig, data_dir: str, tmp_path: Path) -> None:
    if data.canvas == 96 and not isinstance(model, LeNetConfig):
        return
    images = ImageData(replace(data, dir=data_dir))
    net = Classifier(model, images.shape).net
    collect(net, images, Mistakes(images), Predictions(images)).write(tmp_path)
    assert (tmp_path / FILE).stat().st_size < 300_000
    found = Arrays.read(tmp_path)
    assert found is not None
    assert found.filters.size or found.features
    assert found.examples.shape[0] == 0


def test_few_maps_of_many_layers() -> None:
    wide = {f"conv{i}": torch.zeros(3, 64, 28, 28) for i in range(10)}
    assert {maps.shape[1] for maps in small(wide).values()} == {MAP_VALUES // (10 * 3 * 28 * 28)}
    assert len(small({f"conv{i}": torch.zeros(3, 1, 64, 64) for i in range(50)})) == MAP_VALUES // (3 * 64 * 64)
    (large,) = small({"conv": torch.full((3, 2, 128, 100), 1e6)}).values()
    assert large.shape == (3, 2, 64, 64)
    assert large.half().isfinite().all()


def test_a_layer_that_works_in_place_changes_no_map(data_dir: str) -> None:
    images = ImageData(dir=data_dir)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(4 * 26 * 26, 10))
    assert feature_maps(net, images, [0])["0"].min() < 0


def test_a_layer_that_is_used_twice_is_there_twice(data_dir: str) -> None:
    conv = nn.Conv2d(1, 1, 3)
    net = nn.Sequential(conv, conv)
    assert [(k, tuple(v.shape)) for k, v in feature_maps(net, ImageData(dir=data_dir), [0, 5]).items()] == [
        ("0", (2, 1, 26, 26)),
        ("0 (2)", (2, 1, 24, 24)),
    ]


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_ranks_find_the_same_mistakes_together(data_dir: str, ranks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs are a function of the image, so any number of ranks must come to the same."""
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(10_000, 10, generator=generator)
    outputs[100:140] = outputs[100]  # equals
    data = ImageData(dir=data_dir)
    labels = data.source.test_labels.long()
    probabilities, predictions = outputs.double().softmax(1).max(1)
    wrong = sorted((-p, i) for i, p in enumerate(probabilities.tolist()) if predictions[i] != labels[i])
    shards = [Shard(rank, ranks) for rank in range(ranks)]
    found = [Mistakes(data) for _ in shards]
    module: Any = SimpleNamespace(device=torch.device("cpu"))
    for mistakes, shard in zip(found, shards, strict=True):
        monkeypatch.setattr(data, "_shard", lambda shard=shard: shard)
        mistakes.on_test_start(None, module)  # type: ignore[arg-type]
        for i in range(len(data.batches("test"))):
            mine = data.batches("test").indices_of(i)
            mistakes.on_test_batch_end(None, module, outputs[mine], (None, labels[mine]), i)  # type: ignore[arg-type]
    for name in ("_scores", "_found"):
        together = torch.stack([getattr(mistakes, name) for mistakes in found])
        monkeypatch.setattr(Mistakes, f"gathered{name}", together, raising=False)
    gathered = {id(getattr(m, n)): getattr(Mistakes, f"gathered{n}") for m in found for n in ("_scores", "_found")}
    trainer: Any = SimpleNamespace(strategy=SimpleNamespace(all_gather=lambda tensor: gathered[id(tensor)]))
    found[0].on_test_end(trainer, module)
    assert found[0].indices.tolist() == [i for _, i in wrong[:20]]
    np.testing.assert_allclose(found[0].confidences, [-p for p, _ in wrong[:20]], rtol=1e-6)
    assert (found[0].predictions == predictions[found[0].indices]).all()


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_ranks_predict_the_whole_test_set_together(data_dir: str, ranks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = torch.randn(10_000, 10, generator=torch.Generator().manual_seed(0))
    data, module = ImageData(dir=data_dir), SimpleNamespace(device=torch.device("cpu"))
    found = [Predictions(data) for _ in range(ranks)]
    for rank, predictions in enumerate(found):
        monkeypatch.setattr(data, "_shard", lambda rank=rank: Shard(rank, ranks))
        predictions.on_test_start(None, module)  # type: ignore[arg-type]
        for i in range(len(data.batches("test")) - 1):  # the last was left out
            mine = data.batches("test").indices_of(i)
            predictions.on_test_batch_end(None, module, outputs[mine], (None, None), i)  # type: ignore[arg-type]
    together = torch.stack([predictions._found for predictions in found])
    trainer: Any = SimpleNamespace(strategy=SimpleNamespace(all_gather=lambda tensor: together))
    found[0].on_test_end(trainer, module)  # type: ignore[arg-type]
    monkeypatch.setattr(data, "_shard", Shard)
    left_out = data.batches("test").indices_of(len(data.batches("test")) - 1)
    expected = outputs.argmax(1)
    expected[left_out] = UNTESTED
    assert (found[0].values == expected).all()


def test_batches_know_their_images(data_dir: str) -> None:
    data = ImageData(dir=data_dir, shift=(1, 0))
    batches = data.batches("test")
    for i, (_, labels) in enumerate(batches):
        assert (data.source.test_labels[batches.indices_of(i)] == labels).all()


def test_a_picture_that_cannot_be_made_stops_nothing(
    config: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*of: object) -> None:
        raise OSError("cannot open\nthe font")

    monkeypatch.setattr("fc2conv.pictures.folder.images", fail)
    monkeypatch.setattr("fc2conv.pictures.folder.save_curves", fail)
    result = run(Request(config))
    assert result is not None
    assert result.status == "done"
    out = capsys.readouterr().out
    again = f"fc2conv plot {Path(config.runs_dir) / 'run'}"
    assert out.count(f"pictures cannot be drawn (OSError: cannot open the font); to draw them again: {again}\n") == 1
