"""A checkpoint's network as an ONNX or pt2 file: the same logits, from other programs' interpreters, or no file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from fc2conv.architectures import ModelConfig
from fc2conv.architectures.ladder import LadderConfig
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.architectures.lenet1 import LeNet1Config
from fc2conv.architectures.lenet5 import LeNet5Config
from fc2conv.architectures.module import ModuleConfig
from fc2conv.architectures.resnet import ResNetConfig
from fc2conv.architectures.softmax import SoftmaxConfig
from fc2conv.config.schema import Config, DataConfig, ExportFormat, plain
from fc2conv.data.image_data import ImageData
from fc2conv.errors import ConfigError
from fc2conv.training import export as exporting
from fc2conv.training.classifier import Classifier, class_of
from fc2conv.training.export import INPUT, METADATA, OUTPUT, export

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # raised inside torch's exporter
    pytest.mark.filterwarnings("ignore::DeprecationWarning:(torch|onnx).*", "ignore::FutureWarning:(torch|onnx).*"),
]
NORMED = LeNetConfig(activation="relu", pool="max", norm="batch", dropout=0.5)
both = pytest.mark.parametrize("to", ["onnx", "pt2"])


def saved(folder: Path, model: ModelConfig, data: DataConfig = DataConfig(dir="none"), **more: Any) -> Path:
    """A checkpoint of an untrained network, whose statistics and dropout show whether it is in training mode."""
    torch.manual_seed(0)
    config = plain(replace(Config(model=model, data=data), **more))
    module = class_of(model)(model, extra={"config": config})
    for norm in module.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.running_mean.normal_()  # type: ignore[union-attr, operator]
    path = folder / "best.ckpt"
    torch.save({"state_dict": module.state_dict(), "hyper_parameters": dict(module.hparams)}, path)
    return path


def logits(path: Path, images: Tensor) -> Tensor:
    """What onnx's own interpreter, or torch's loader, makes of the file."""
    if path.suffix == ".pt2":
        return cast(Tensor, torch.export.load(path).module()(images))
    onnx = pytest.importorskip("onnx")
    model = onnx.load(str(path))
    onnx.checker.check_model(model)
    assert [i.name for i in model.graph.input] == [INPUT]
    [found] = onnx.reference.ReferenceEvaluator(model).run([OUTPUT], {INPUT: images.numpy()})
    return torch.from_numpy(found)


def metadata_of(path: Path) -> dict[str, Any]:
    if path.suffix == ".pt2":
        held = {METADATA: ""}
        torch.export.load(path, extra_files=held)
        found = json.loads(held[METADATA])
    else:
        found = {p.key: p.value for p in pytest.importorskip("onnx").load(str(path)).metadata_props}
    return {k: json.loads(v) for k, v in found.items()}


@both
@pytest.mark.parametrize(
    "model",
    [
        NORMED,
        LeNet1Config(),
        *(
            pytest.param(model, marks=pytest.mark.slow)
            for model in (
                LeNetConfig(pool="blur"),
                LeNetConfig(kernel_size=(4, 2), padding="same", padding_mode="reflect"),
                LeNet5Config(),
                LadderConfig(constraint="local", half_width=1),
                LadderConfig(constraint="shared"),
                ResNetConfig(),
                SoftmaxConfig(),
            )
        ),
    ],
    ids=lambda model: f"{model.family}-{getattr(model, 'constraint', '')}",
)
def test_the_file_gives_the_checkpoints_logits(model: ModelConfig, to: ExportFormat, tmp_path: Path) -> None:
    """For any number of images, the one in the middle of neither of those that `export` compares."""
    checkpoint, path = saved(tmp_path, model), tmp_path / f"net.{to}"
    done = export(checkpoint, path, to)
    assert (done.path, done.images) == (path, "random images")
    assert done.difference < 1e-4
    module = Classifier.load(str(checkpoint)).eval()
    for n in (1, 4):
        images = torch.randn(n, 1, 28, 28, generator=torch.Generator().manual_seed(n))
        assert_close(logits(path, images), module(images).detach(), rtol=1e-4, atol=1e-4)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best.ckpt", f"net.{to}"], "weights lie in the file itself"


@both
def test_it_says_how_to_feed_it(to: ExportFormat, tmp_path: Path, data_dir: str) -> None:
    """Bytes, normalised by what the file says, give what the training's own batches give."""
    config = DataConfig(dir=data_dir, train_size=1000)
    checkpoint, path = saved(tmp_path, SoftmaxConfig(), config), tmp_path / f"net.{to}"
    assert export(checkpoint, path, to).images == "test images"
    found = metadata_of(path)
    data = ImageData(config)
    assert found["classes"] == data.classes
    assert (found["input_shape"], found["model"]["family"]) == ([1, 28, 28], "softmax")
    assert (found["data"]["train_size"], "dir" in found["data"]) == (1000, False)
    mean, std = (torch.tensor(found[k], dtype=torch.float64).view(-1, 1, 1) for k in ("mean", "std"))
    fed = ((data.source.test_images[:5].double() - mean) / std).float()
    batch, _ = next(iter(data.test_dataloader()))
    assert_close(logits(path, fed), logits(path, batch[:5].contiguous()), rtol=1e-4, atol=1e-4)


def test_without_the_data_nothing_is_prepared(tmp_path: Path) -> None:
    done = export(saved(tmp_path, SoftmaxConfig(), DataConfig(dir=str(tmp_path / "none"))), tmp_path / "net.pt2", "pt2")
    assert not {"classes", "mean", "std"} & set(done.metadata)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("to", [pytest.param("onnx", marks=pytest.mark.slow), "pt2"])
def test_a_file_that_gives_other_logits_is_not_kept(
    to: ExportFormat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, path = saved(tmp_path, SoftmaxConfig()), tmp_path / f"net.{to}"
    path.write_text("an earlier file")
    write = getattr(exporting, f"_write_{to}")

    def wrong(net: torch.nn.Module, *rest: Any) -> None:
        next(net.parameters()).data[0, 0] += 1e-2
        write(net, *rest)

    monkeypatch.setattr(exporting, f"_write_{to}", wrong)
    with pytest.raises(ConfigError, match=r"--to: the file's logits differ by 0\.\d+; it was not kept"):
        export(checkpoint, path, to)
    assert path.read_text() == "an earlier file"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best.ckpt", f"net.{to}"]


def test_what_cannot_be_exported_leaves_nothing(tmp_path: Path) -> None:
    """Its graph would depend on the images."""
    net = "torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))"
    (tmp_path / "nets.py").write_text(
        "import torch\n\n\nclass Net(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        f"        self.net = {net}\n\n    def forward(self, x):\n"
        "        return self.net(x) if x.is_meta or float(x.sum()) > 0 else -self.net(x)\n"
    )
    target = f"{tmp_path / 'nets.py'}:Net"
    checkpoint = saved(tmp_path, ModuleConfig(target=target))
    with pytest.raises(ConfigError, match=r"--to: the network of .* cannot be exported to pt2: "):
        export(checkpoint, tmp_path / "net.pt2", "pt2", allow=[target])
    assert not list(tmp_path.glob("*.pt2")) + list(tmp_path.glob(".*.pt2"))


def test_code_that_is_not_allowed_is_not_imported(tmp_path: Path) -> None:
    """The module of a file, which says that it was."""
    net, trap, ran = (tmp_path / name for name in ("net.py", "trap.py", "ran"))
    net.write_text(
        "import torch\n\n\nclass Net(torch.nn.Sequential):\n    def __init__(self):\n"
        "        super().__init__(torch.nn.Flatten(), torch.nn.Linear(784, 10))\n"
    )
    trap.write_text(net.read_text() + f"\n\nopen({str(ran)!r}, 'w').close()\n")
    checkpoint = saved(tmp_path, ModuleConfig(target=f"{net}:Net"))
    values = torch.load(checkpoint, weights_only=True)
    values["hyper_parameters"]["model"]["target"] = f"{trap}:Net"
    torch.save(values, checkpoint)
    with pytest.raises(ConfigError, match=f"--allow: .* asks for .*; if you trust its code: --allow {trap}:Net"):
        export(checkpoint, tmp_path / "net.pt2", "pt2")
    assert not ran.exists()
    assert not (tmp_path / "net.pt2").exists()
    assert export(checkpoint, tmp_path / "net.pt2", "pt2", allow=[f"{trap}:Net"]).difference < 1e-4
    assert ran.exists()


def test_a_plugin_that_is_not_allowed_is_not_imported(tmp_path: Path) -> None:
    """Also where only the data are asked for, which lie beside it in the config."""
    checkpoint = saved(tmp_path, SoftmaxConfig())
    values = torch.load(checkpoint, weights_only=True)
    values["hyper_parameters"]["model"]["family"] = "unheard_of"
    values["hyper_parameters"]["extra"]["config"]["plugins"] = ["my_nets.py"]
    torch.save(values, checkpoint)
    with pytest.raises(ConfigError, match=r"--allow: .* asks for my_nets\.py; if you trust"):
        export(checkpoint, tmp_path / "net.pt2", "pt2")
    with pytest.raises(ConfigError, match=r"plugins: my_nets\.py"):
        export(checkpoint, tmp_path / "net.pt2", "pt2", allow=["my_nets.py"])


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "best.ckpt").write_bytes(b"PK no zip")
    with pytest.raises(ConfigError, match=r"--checkpoint: .* is damaged, or no checkpoint"):
        export(tmp_path / "best.ckpt", tmp_path / "net.pt2", "pt2")
    with pytest.raises(ConfigError, match=r"--checkpoint: .*there is no such file"):
        export(tmp_path / "none.ckpt", tmp_path / "net.pt2", "pt2")


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--output: got .*nothing can be written there"):
        export(saved(tmp_path, SoftmaxConfig()), tmp_path / "none" / "net.pt2", "pt2")
