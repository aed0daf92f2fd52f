"""A checkpoint's network as one file for other programs, ONNX or torch.export's pt2, checked before it counts."""

from __future__ import annotations

import copy
import importlib.util
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fc2conv.architectures import ARCHITECTURES
from fc2conv.architectures.plugins import load_installed
from fc2conv.config.parsing import parse
from fc2conv.config.schema import DataConfig, ExportFormat
from fc2conv.data.image_data import ImageData
from fc2conv.data.sources import is_prepared
from fc2conv.errors import ConfigError, DamagedCheckpoint
from fc2conv.record.checkpoint import load_checkpoint
from fc2conv.training.classifier import Classifier

INPUT, OUTPUT = "images", "logits"
"""Names of the exported network's input (batch, C, H, W) and output (batch, classes)."""
METADATA = "fc2conv.json"
"""The name that the metadata has within a pt2 file. In an ONNX file they are its metadata_props."""
TOLERANCE = 1e-4
"""Largest difference of a logit, relative to the largest one where that exceeds 1."""
BATCHES = (1, 7)
"""Numbers of images that are compared."""


@dataclass(frozen=True)
class Exported:
    """A file that gives the checkpoint's logits."""

    path: Path
    difference: float
    """The largest of a logit."""
    images: str
    """What was compared: test images, or random ones where the data are not prepared."""
    metadata: Mapping[str, str]


def export(checkpoint: Path, path: Path, to: ExportFormat, allow: Iterable[str] = ()) -> Exported:
    """Write the network of `checkpoint` to `path`: float32 images (batch, C, H, W), normalised as in training ->
    logits (batch, classes), for any number of images.

    The file says what whoever feeds it must know: the classes, and mean and std of each band in pixel values from 0 to
    255, where the data are prepared. An earlier file is replaced, once the new one has given the checkpoint's logits.

    Args:
        allow: code that the checkpoint may have imported, as in Classifier.load

    Raises:
        ConfigError: no checkpoint, code that is not allowed, a network that cannot be exported, or a file that does not
            give the same logits; nothing is written then
    """
    if to == "onnx":
        _check_onnx()
    module = _load(checkpoint, frozenset(allow)).eval()
    data = _prepared_data(module)
    images, kind = _images(module, data)
    metadata = _metadata(module, data)
    net = copy.deepcopy(module.net).to(memory_format=torch.contiguous_format)  # as other programs lay tensors out
    aside = _aside(path, to)
    try:
        try:
            {"onnx": _write_onnx, "pt2": _write_pt2}[to](net, aside, metadata, images[: BATCHES[-1]])
            difference = _difference(module, {"onnx": _run_onnx, "pt2": _run_pt2}[to], aside, images)
        except (OSError, ConfigError):
            raise
        except Exception as error:  # torch raises whatever its tracer meets
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ConfigError("--to", f"the network of {checkpoint} cannot be exported to {to}: {reason}") from error
        os.chmod(aside, 0o644)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    return Exported(path, difference, kind, metadata)


def _check_onnx() -> None:
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError("--to", f"onnx needs the package {' and '.join(missing)}: pip install -e '.[onnx]'")


def _aside(path: Path, to: ExportFormat) -> Path:
    """An empty file beside `path`. torch.export wants the name's ending."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.stem[:100]}-", suffix=f".{to}", dir=path.parent)
    except OSError as error:
        raise ConfigError("--output", f"got {path}, but nothing can be written there ({error.strerror})") from error
    os.close(handle)
    return Path(name)


# --- the checkpoint, and what is known of its data


def _load(checkpoint: Path, allowed: frozenset[str]) -> Classifier:
    if not checkpoint.is_file():
        raise ConfigError("--checkpoint", f"got {checkpoint}, but there is no such file")
    try:
        hyper = load_checkpoint(checkpoint)[Classifier.CHECKPOINT_HYPER_PARAMS_KEY]
        model, config = hyper["model"], hyper["extra"].get("config", {})
        load_installed()
        needed = [] if model["family"] in ARCHITECTURES else list(config.get("plugins", []))
        needed += [model["target"]] if model["family"] == "module" else []
    except DamagedCheckpoint as error:
        raise ConfigError("--checkpoint", str(error)) from error
    except Exception as error:
        what = f"{checkpoint} is no checkpoint of this project ({type(error).__name__})"
        raise ConfigError("--checkpoint", what) from error
    if unknown := [name for name in needed if name not in allowed]:
        hint = " ".join(f"--allow {name}" for name in unknown)
        raise ConfigError("--allow", f"{checkpoint} asks for {', '.join(unknown)}; if you trust its code: {hint}")
    return Classifier.load(str(checkpoint), allow=allowed)


def _prepared_data(module: Classifier) -> ImageData | None:
    """The data that it was trained on, if they lie here ready: an export downloads nothing."""
    values = module.hparams["extra"].get("config", {}).get("data")
    if values is None:
        return None
    try:
        config = parse(DataConfig, values, "data")
        if not is_prepared(config):
            return None
        data = ImageData(config)
        data.setup()
    except ConfigError:  # they have changed since, or are damaged
        return None
    return data if data.shape == module.geometry.input and len(data.classes) == module.hparams["classes"] else None


def _images(module: Classifier, data: ImageData | None) -> tuple[Tensor, str]:
    """((n, C, H, W), what they are): enough for each of BATCHES to have its own."""
    if data is not None and len(data.source.test_labels) >= sum(BATCHES):
        indices = torch.arange(sum(BATCHES))
        return data.transformed(data.source.test_images[: sum(BATCHES)], indices, "test"), "test images"
    generator = torch.Generator().manual_seed(0)
    return torch.randn(sum(BATCHES), *module.geometry.input, generator=generator), "random images"


def _metadata(module: Classifier, data: ImageData | None) -> dict[str, str]:
    values: dict[str, Any] = {"model": module.hparams["model"], "input_shape": module.hparams["input_shape"]}
    if config := module.hparams["extra"].get("config"):
        values["data"] = {k: v for k, v in config["data"].items() if k not in ("dir", "path")}
    if data is not None:
        values |= {"classes": data.classes, "mean": data.mean.tolist(), "std": data.std.tolist()}
    return {k: json.dumps(v) for k, v in values.items()}


# --- the formats


def _dynamic_batch() -> tuple[dict[int, Any]]:
    return ({0: torch.export.Dim("batch", min=1)},)


def _write_onnx(net: torch.nn.Module, path: Path, metadata: Mapping[str, str], example: Tensor) -> None:
    program = torch.onnx.export(
        net,
        (example,),
        dynamo=True,
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes=_dynamic_batch(),
        verbose=False,
    )
    assert program is not None
    program.model.metadata_props.update(metadata)
    program.save(str(path), external_data=False)


def _write_pt2(net: torch.nn.Module, path: Path, metadata: Mapping[str, str], example: Tensor) -> None:
    program = torch.export.export(net, (example,), dynamic_shapes=_dynamic_batch())
    torch.export.save(program, path, extra_files={METADATA: json.dumps(metadata)})


def _run_onnx(path: Path, images: Tensor) -> Tensor:
    """The logits, by onnxruntime if it is installed, else by onnx's own interpreter."""
    if importlib.util.find_spec("onnxruntime"):
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {INPUT: images.numpy()})
    else:
        import onnx
        from onnx.reference import ReferenceEvaluator

        (found,) = ReferenceEvaluator(onnx.load(str(path))).run(None, {INPUT: images.numpy()})
    return torch.from_numpy(found)


def _run_pt2(path: Path, images: Tensor) -> Tensor:
    found: Tensor = torch.export.load(path).module()(images)
    return found


def _difference(module: Classifier, run: Any, path: Path, images: Tensor) -> float:
    """The largest of a logit, file against checkpoint.

    Raises:
        ConfigError: it is more than rounding
    """
    largest = 0.0
    for batch in torch.split(images, list(BATCHES)):
        with torch.no_grad():
            want, found = module(batch), run(path, batch.contiguous())
        if want.shape != found.shape:
            raise ConfigError("--to", f"the file gives {tuple(found.shape)} for {tuple(want.shape)}; it was not kept")
        difference = float((want - found).abs().max())
        if not difference <= TOLERANCE * max(1.0, float(want.abs().max())):
            raise ConfigError("--to", f"the file's logits differ by {difference:.2g}; it was not kept")
        largest = max(largest, difference)
    return largest
