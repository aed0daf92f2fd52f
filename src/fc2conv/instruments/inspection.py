"""All instruments on a trained network: numbers, arrays and pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from fc2conv.architectures import ModelConfig, plan
from fc2conv.architectures.trace import Shape
from fc2conv.data.image_data import ImageData
from fc2conv.instruments import matrix, structure
from fc2conv.instruments.correlation import laws
from fc2conv.instruments.drawing import named_tiles, rendered
from fc2conv.instruments.equivariance import equivariance
from fc2conv.instruments.layers import copied, layers_of, place_of, watched
from fc2conv.instruments.matrix import LinearLayer, connections, matrix_of
from fc2conv.instruments.receptive_field import at_initialisation, effective, theoretical
from fc2conv.instruments.release import Constraint, imposed
from fc2conv.instruments.shift import shift_curve, shifted_test
from fc2conv.nets.modules import DenseImage, LocallyConnected, SharedImage

if TYPE_CHECKING:
    from altair import Chart

NUMBERS, ARRAYS = "numbers.json", "arrays.npz"
SHIFT = 8
"""Pixels that images are moved by, at most."""
FEW, MANY = 64, 2000
"""Images for what looks at every unit, and for predictions."""
LARGEST = 2**25
"""Entries of a matrix that is looked at; a few hundred MB are worked with then."""
WINDOW = 5
"""Edge of the windows in which a dense layer may be local, in pixels: that of LeNet's kernels."""

_Seen: TypeAlias = tuple[str, LinearLayer, Shape]
"""A layer's name, itself, and the shape of the image or maps that it sees."""
Numbers = dict[str, Any]
"""For JSON: numbers, names, lists and dicts; null where a number is not finite."""


@dataclass(frozen=True)
class Measurements:
    """What instruments found."""

    numbers: Numbers = field(default_factory=dict)
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    pictures: dict[str, Image | Chart] = field(default_factory=dict)

    def images(self) -> dict[str, Image]:
        """The pictures, all of them as images."""
        return {
            name: picture if isinstance(picture, Image) else rendered(picture)
            for name, picture in self.pictures.items()
        }

    def write(self, folder: Path) -> None:
        """Put numbers.json, arrays.npz and a PNG of each picture into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, image in self.images().items():
            image.save(folder / f"{name}.png")
        self.write_numbers(folder)

    def write_numbers(self, folder: Path) -> list[Path]:
        """Put numbers.json and arrays.npz into `folder`, which is there; their paths."""
        numbers, arrays = folder / NUMBERS, folder / ARRAYS
        text = json.dumps(self.numbers, indent=1, allow_nan=False)
        numbers.write_text(text + "\n", encoding="utf-8")
        np.savez_compressed(arrays, **self.arrays)  # type: ignore[arg-type]
        return [numbers, arrays]


def inspect(model: nn.Module, data: ImageData, folder: Path, images: int = MANY) -> Numbers:
    """`measure`, and leave what is found in `folder`: numbers.json, arrays.npz, pictures.

    Returns:
        the numbers
    """
    found = measure(model, data, images)
    found.write(folder)
    return found.numbers


def measure(model: nn.Module, data: ImageData, images: int = MANY) -> Measurements:
    """Measure a trained network with every instrument that fits it, on test images.

    Args:
        model: a Classifier, or any module (B, C, H, W) -> (B, classes)
        data: what it was trained on
        images: for predictions under shift, from the first on

    Returns:
        its numbers are {images, equivariance, shift, receptive_field, matrix, structure, correlation}, without what the
        network has no layer for
    """
    net = copied(model)
    few = torch.cat([batch for batch, _ in shifted_test(data, FEW)(0, 0)])  # as the network sees them
    layers = _linear_layers(net, data.shape)
    parts = {
        "equivariance": _equivariance(net, few),
        "shift": _shift(net, data, images),
        "receptive_field": _receptive_fields(model, few),
        "matrix": _matrices(layers),
        "structure": _structure(layers),
        "correlation": _correlation(net, few),
    }
    found = Measurements({"images": {"few": len(few), "many": min(images, len(data.source.test_labels))}})
    for name, part in parts.items():
        if part.numbers:
            found.numbers[name] = _finite(part.numbers)
        found.arrays.update(part.arrays)
        found.pictures.update(part.pictures)
    return found


def _equivariance(net: nn.Module, images: Tensor) -> Measurements:
    shifts = [(0, dx) for dx in range(min(SHIFT + 1, images.shape[3]))]
    part = Measurements({"shifts": [list(shift) for shift in shifts]})
    edges: Literal["wrap", "inside"]
    for edges in ("wrap", "inside"):
        found = equivariance(net, images, shifts, edges)
        part.numbers["strides"] = {name: list(s) for name, s in zip(found.layers, found.strides, strict=True)}
        part.numbers[edges] = {name: row.tolist() for name, row in zip(found.layers, found.errors, strict=True)}
        part.arrays[f"equivariance_{edges}"] = found.errors
        part.pictures[f"equivariance_{edges}"] = found.chart()
    return part


def _shift(net: nn.Module, data: ImageData, images: int) -> Measurements:
    edge = min(n for n in data.transforms.size if n > 1)
    found = shift_curve(net, shifted_test(data, images), range(min(SHIFT + 1, edge)))
    return Measurements(
        {
            "shifts": found.shifts,
            "directions": found.directions,
            "accuracy": found.accuracy.tolist(),
            "relative": found.relative.tolist(),
            "consistency": found.consistency.tolist(),
        },
        {"shift_accuracies": found.accuracies, "shift_consistencies": found.consistencies},
        {"shift": found.chart()},
    )


def _receptive_fields(model: nn.Module, images: Tensor) -> Measurements:
    """Of each layer that gives maps; at initialisation, too, where it is known how the network was initialised. The
    picture has a row for each state, and a column for each layer."""
    shape = tuple(images.shape[1:])
    net = copied(model)
    with watched(net) as outputs, torch.no_grad():
        logits = net(images[:1].to(**place_of(net)))
    maps = [name for name, output in outputs.items() if output.is_map]
    states = {"trained": model}
    if hasattr(model, "config") and hasattr(model, "geometry"):
        config = cast(ModelConfig, model.config)
        states["initial"] = at_initialisation(config, plan(config, shape, logits.shape[1]))
    whole, part = theoretical(model, shape), Measurements()
    for layer in maps:
        part.numbers[layer] = {"theoretical": list(whole[layer].size)}
        for state, of in states.items():
            found = effective(of, images, layer)
            part.numbers[layer][state] = {"size": found.size, "deviation": list(found.deviation)}
            part.arrays[f"receptive_field_{layer}_{state}"] = found.weights
    if maps:
        part.pictures["receptive_field"] = named_tiles(
            {state: {layer: part.arrays[f"receptive_field_{layer}_{state}"] for layer in maps} for state in states}
        )
    return part


def _matrices(layers: Sequence[_Seen]) -> Measurements:
    """Of each convolution, local and shared layer, and each dense one that sees an image; a picture of the first."""
    part = Measurements()
    for name, layer, given in layers:
        found = connections(layer, given)
        part.numbers[name] = {"shape": list(found.shape), "nonzeros": found.nonzeros, "weights": found.distinct}
        if not part.pictures:
            part.pictures[f"matrix_{name}"] = matrix.picture(found.matrix(layer.weight))
    return part


def _structure(layers: Sequence[_Seen]) -> Measurements:
    """Of the first layer, if it is dense: its units see the image."""
    if not layers or not isinstance(layers[0][1], nn.Linear) or len(layers[0][1].weight) < 2:
        return Measurements()
    name, layer, given = layers[0]
    units = structure.units_of(layer.weight, given)
    found = structure.structure(units, WINDOW)
    part = Measurements(
        {"layer": name, "window": WINDOW, **found.figures()},
        {"structure_null_locality": found.null_locality, "structure_null_similarity": found.null_similarity},
        {"structure": structure.picture(units)},
    )
    if isinstance(layer, DenseImage):  # its units stand over pixels
        own = matrix_of(layer, given)
        for constraint in get_args(Constraint):
            nearest = connections(imposed(layer, given, constraint, WINDOW // 2), given)
            part.numbers[f"explained_{constraint}"] = structure.explained(own, nearest)
            part.numbers[f"explained_{constraint}_null"] = structure.explained_by_chance(nearest)
    return part


def _correlation(net: nn.Module, images: Tensor) -> Measurements:
    """The laws, on an image and two kernels of the first convolution."""
    for layer in layers_of(net).values():
        if type(layer) is nn.Conv2d:
            kernels = layer.weight.detach().cpu().double().flatten(0, 1)
            return Measurements(dict(laws(images[0, 0].double(), kernels[0], kernels[-1])))
    return Measurements()


def _linear_layers(net: nn.Module, shape: Shape) -> list[_Seen]:
    """Those that see an image or maps, flattened or not, and are no larger than LARGEST."""
    found: list[_Seen] = []
    maps = [shape]  # those that a layer got last
    handles: list[RemovableHandle] = []

    def watch(name: str, layer: nn.Module) -> None:
        def before(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if inputs[0].ndim == 4:
                maps[:] = [tuple(inputs[0].shape[1:])]

        def after(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            # features that are as many as the values of the last maps are these, flattened
            sees = isinstance(layer, kinds) and inputs[0].numel() == prod(maps[0])
            if sees and inputs[0].numel() * output.numel() <= LARGEST:
                found.append((name, cast(LinearLayer, layer), maps[0]))
            if isinstance(layer, nn.Linear) and output.ndim == 2:
                maps[:] = [(0,)]  # what comes next sees no maps

        handles.extend((layer.register_forward_pre_hook(before), layer.register_forward_hook(after)))

    kinds = (nn.Conv2d, nn.Linear, LocallyConnected, SharedImage)
    for name, layer in layers_of(net).items():
        watch(name, layer)
    with torch.no_grad():
        net(torch.zeros(1, *shape).to(**place_of(net)))
    for handle in handles:
        handle.remove()
    return found


def _finite(value: Any) -> Any:
    """The same for JSON, which has no NaN."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
