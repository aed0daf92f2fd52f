"""A trained network as plain values, from which the page builds it again: what it sees of an image, and its layers with
their weights as 16-bit floats, base64."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn

from fc2conv.architectures import layers
from fc2conv.architectures.trace import Layer, Row
from fc2conv.config.parsing import parse
from fc2conv.config.schema import DataConfig
from fc2conv.data.image_data import ImageData
from fc2conv.errors import ConfigError, DamagedCheckpoint, DamagedResult
from fc2conv.fields import pair
from fc2conv.record.result import Result
from fc2conv.training.classifier import Classifier

Description = dict[str, Any]
"""JSON values."""
CKPT = "CKPT"
"""What an error names that a checkpoint ends."""
DATASET = "fashion_mnist"
"""Whose images the page has."""
FUNCTIONS = tuple(kind for kind in get_args(layers.Activation) if kind != "gelu")
"""Activations that a page computes."""
ORDERS = ("none", "fixed", "block", "block_order")
"""Of `data.permutation`, those that are the same for all images."""
RUNNABLE = (
    "convolutions, the layers of the ladder, linear layers, average and max pooling, global averages, batch norm, and "
    f"activations ({', '.join(FUNCTIONS)})"
)


def read(checkpoint: Path) -> tuple[Classifier, ImageData]:
    """The network of a checkpoint, in evaluation, and the data that it was trained on.

    Raises:
        ConfigError: there is no such file, it is no checkpoint, it asks for code that is not ours, or it was trained on
            images that the page does not have
    """
    if not checkpoint.is_file():
        raise ConfigError(CKPT, f"got {checkpoint}, but there is no such file")
    try:
        module = Classifier.load(str(checkpoint))
        values = module.hparams["extra"].get("config", {}).get("data")
    except DamagedCheckpoint as error:
        raise ConfigError(CKPT, str(error)) from error
    except ConfigError as error:
        raise ConfigError(CKPT, f"{checkpoint}: {error}") from error
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise ConfigError(CKPT, f"{checkpoint} is no checkpoint of this project ({type(error).__name__})") from error
    if values is None:
        raise ConfigError(CKPT, f"{checkpoint} does not say on which images it was trained; train it with train.py")
    config = parse(DataConfig, {**values, "dir": DataConfig().dir}, "data")
    _check_data(checkpoint, config)
    return module.eval(), _prepared(config)


@cache
def _prepared(config: DataConfig) -> ImageData:
    """Networks that are compared share their data, and to average them down takes seconds."""
    data = ImageData(config)
    data.setup()
    return data


def _check_data(checkpoint: Path, config: DataConfig) -> None:
    """Raises ConfigError for images that the page does not have, or cannot prepare likewise."""

    def refuse(key: str, got: object, hint: str) -> ConfigError:
        return ConfigError(CKPT, f"{checkpoint} was trained with data.{key}={got}; {hint}")

    if config.name != DATASET:
        raise refuse("name", config.name, f"the page has images of {DATASET}: give a network that was trained on them")
    if config.permutation not in ORDERS:
        raise refuse("permutation", config.permutation, f"a page has one order for all images: {', '.join(ORDERS)}")
    if config.bands not in (None, 1):
        raise refuse("bands", config.bands, "the page's images have one band: train it without data.bands")


def describe(checkpoint: Path, module: Classifier, data: ImageData) -> Description:
    """A network as the page builds it; what it is called is left to the caller.

    Raises:
        ConfigError: a layer that a page cannot run, or a weight that 16 bits cannot hold
    """
    found = [describe_layer(checkpoint, row, module.net) for row in _rows(checkpoint, module)]
    order = data.transforms.order
    return {
        "input": list(data.shape),
        "image": [1, *data.transforms.size],
        "mean": float(data.mean[0]) / 255,
        "std": float(data.std[0]) / 255,
        "fill": 0,  # of the canvas around the image, see data/transforms.py
        "permutation": None if order is None else encoded(order.numpy().astype("<u2")),
        "params": sum(layer["params"] for layer in found),
        "macs": sum(layer["macs"] for layer in found),
        "test": _tested(checkpoint),
        "layers": found,
    }


def encoded(array: np.ndarray[Any, Any]) -> str:
    """Base64 of its bytes, row by row."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")


def _tested(checkpoint: Path) -> Description | None:
    """Test accuracy and number of images, as the record of the checkpoint's run has them of its best.ckpt."""
    if checkpoint.name != "best.ckpt":
        return None
    try:
        found = Result.read(checkpoint.parent.parent).test
    except (OSError, DamagedResult):
        return None
    return {"acc": found["acc"], "n": int(found["n"])} if found else None


# --- layers


def _rows(checkpoint: Path, module: Classifier) -> Iterator[Row]:
    """The layers that do anything in evaluation."""
    if not isinstance(module.net, nn.Sequential):
        family = module.config.family
        raise ConfigError(CKPT, f"{checkpoint} holds a {family}, a module of its own; a page can run {RUNNABLE}")
    for row in module.geometry.rows:
        if not isinstance(row.layer, layers.DropoutLayer):
            yield row


def describe_layer(checkpoint: Path, row: Row, net: nn.Module) -> Description:
    """A layer of a plan, with the weights of its module in `net`. Raises ConfigError, as `describe`."""
    module = net.get_submodule(row.name)
    said = _said(row.layer)
    if said is None:
        what = f"{type(row.layer).__name__} {row.name}"
        raise ConfigError(CKPT, f"{checkpoint}: the layer {what} cannot be run; a page can run {RUNNABLE}")
    weights = {}
    for part, values in _weights(row.layer, module):
        half = values.detach().half()
        if not bool(half.isfinite().all()):
            raise ConfigError(CKPT, f"{checkpoint}: the {part} of {row.name} has values beyond 65504, or none at all")
        weights[part] = {"shape": list(half.shape), "data": encoded(half.contiguous().numpy().astype("<f2"))}
    seen = row.receptive_field
    return {
        "name": row.name,
        **said,
        "input": list(row.input),
        "output": list(row.output),
        "params": row.params,
        "macs": row.macs,
        "receptive_field": list(seen) if isinstance(seen, tuple) else seen,
        **weights,
    }


def _said(layer: Layer) -> Mapping[str, Any] | None:
    """Kind and attributes; None for what a page cannot run."""
    match layer:
        case layers.Conv(table=None):
            return {
                "kind": "conv",
                "kernel_size": list(layer.kernel),
                "stride": list(pair(layer.stride)),
                "padding": [list(pads) for pads in layer.pads],
                "padding_mode": layer.padding_mode,
                "dilation": list(pair(layer.dilation)),
                "depthwise": layer.depthwise,
            }
        case layers.Local():
            return {"kind": "local", "half_width": layer.half_width}
        case layers.DenseImage():
            return {"kind": "dense_image"}
        case layers.SharedImage():
            return {"kind": "shared_image"}
        case layers.Linear():
            return {"kind": "linear"}
        case layers.PoolLayer(kind="average" | "max"):
            return {"kind": "pool", "mode": layer.kind, "size": _both(layer.size), "stride": _both(layer.stride)}
        case layers.ActivationLayer() if layer.kind in FUNCTIONS:
            return {"kind": "activation", "function": layer.kind}
        case layers.NormLayer(kind="batch"):
            return {"kind": "affine"}
        case layers.Flatten():
            return {"kind": "flatten"}
        case layers.GlobalAverage():
            return {"kind": "global_average"}
    return None


def _both(value: int | tuple[int, int]) -> list[int]:
    return list(pair(value))


def _weights(layer: Layer, module: nn.Module) -> Iterable[tuple[str, Tensor]]:
    """(weight or bias, its values in the layout of the torch module), of the layers that have any.

    Convolutions: (O, C, h, w), depthwise (C, 1, h, w). Linear and dense image: (out, in), images row by row. Shared:
    (O, C, 2H-1, 2W-1). Local: the blocks of its offsets, one behind the other.
    """
    if isinstance(layer, layers.NormLayer):
        assert isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d))
        assert module.running_mean is not None
        assert module.running_var is not None
        scale = module.weight / torch.sqrt(module.running_var + module.eps)
        return [("weight", scale), ("bias", module.bias - module.running_mean * scale)]
    return list(module.named_parameters(recurse=False))
