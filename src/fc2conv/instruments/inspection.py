"""inspect(network, data, folder): all instruments on a trained network, as numbers, arrays and pictures."""

from __future__ import annotations

import json
import math
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor, nn

from fc2conv.architectures import plan
from fc2conv.architectures.trace import Shape
from fc2conv.data.image_data import ImageData
from fc2conv.instruments import matrix, structure
from fc2conv.instruments.correlation import laws
from fc2conv.instruments.drawing import tiles
from fc2conv.instruments.equivariance import equivariance
from fc2conv.instruments.layers import Output, copied, layers_of, place_of, watched
from fc2conv.instruments.matrix import LinearLayer, connections, matrix_of
from fc2conv.instruments.receptive_field import at_initialisation, effective, theoretical
from fc2conv.instruments.release import Constraint, imposed
from fc2conv.instruments.shift import shift_curve, shifted_test
from fc2conv.nets.modules import DenseImage, LocallyConnected, SharedImage

if TYPE_CHECKING:
    from altair import Chart

FOLDER = "instruments"
NUMBERS, ARRAYS = "numbers.json", "arrays.npz"
SHIFT = 8
"""Pixels that images are moved by, at most."""
FEW, MANY = 64, 2000
"""Images for what looks at every unit, and for predictions."""
LARGEST = 2**25
"""Entries of a matrix that is looked at; a few hundred MB are worked with then."""
WINDOW = 5
"""Edge of the windows in which a dense layer may be local, in pixels: that of LeNet's kernels."""

Numbers = dict[str, Any]
"""For JSON: numbers, names, lists and dicts."""
Arrays = dict[str, NDArray[Any]]
Pictures = dict[str, "Image | Chart"]


def inspect(model: nn.Module, data: ImageData, folder: Path, images: int = MANY) -> Numbers:
    """Measure a trained network with every instrument that fits it, on test images.

    Writes FOLDER in `folder`: numbers.json, which is what is returned; arrays.npz; and a picture of each.

    Args:
        model: a Classifier, or any module (B, C, H, W) -> (B, classes)
        data: what it was trained on
        folder: e.g. that of its run
        images: for predictions under shift, from the first on

    Returns:
        {equivariance, shift, receptive_field, matrix, structure, correlation}; null where a number is not finite, and
        without what the network has no layer for
    """
    net = copied(model)
    few = _test_images(data, FEW)
    with watched(net) as outputs, torch.no_grad():
        net(few[:1].to(**place_of(net)))
    pictures: Pictures = {}
    arrays: Arrays = {}
    numbers: Numbers = {
        "images": {"few": len(few), "many": min(images, len(data.source.test_labels))},
        "equivariance": _equivariance(net, few, arrays, pictures),
        "shift": _shift(net, data, images, arrays, pictures),
        "receptive_field": _receptive_fields(model, few, dict(outputs), arrays, pictures),
        "matrix": _matrices(net, data.shape, pictures),
        "structure": _structure(net, data.shape, arrays, pictures),
        "correlation": _correlation(net, few),
    }
    numbers = _finite({name: value for name, value in numbers.items() if value})
    place = folder / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        path = str(place / f"{name}.png")
        if isinstance(picture, Image):
            picture.save(path)
        else:
            picture.save(path, scale_factor=2)
    np.savez_compressed(place / ARRAYS, **arrays)  # type: ignore[arg-type]
    (place / NUMBERS).write_text(json.dumps(numbers, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return numbers


def _test_images(data: ImageData, n: int) -> Tensor:
    """The first `n` as the network sees them."""
    found = [batch for batch, _ in shifted_test(data, n)(0, 0)]
    return torch.cat(found)


def _equivariance(net: nn.Module, images: Tensor, arrays: Arrays, pictures: Pictures) -> Numbers:
    shifts = [(0, dx) for dx in range(min(SHIFT + 1, images.shape[3]))]
    numbers: Numbers = {"shifts": [list(shift) for shift in shifts], "strides": {}}
    edges: Literal["wrap", "inside"]
    for edges in ("wrap", "inside"):
        found = equivariance(net, images, shifts, edges)
        numbers["strides"] = {name: list(s) for name, s in zip(found.layers, found.strides, strict=True)}
        numbers[edges] = {name: row.tolist() for name, row in zip(found.layers, found.errors, strict=True)}
        arrays[f"equivariance_{edges}"] = found.errors
        pictures[f"equivariance_{edges}"] = found.chart()
    return numbers


def _shift(net: nn.Module, data: ImageData, images: int, arrays: Arrays, pictures: Pictures) -> Numbers:
    edge = min(n for n in data.transforms.size if n > 1)
    found = shift_curve(net, shifted_test(data, images), range(min(SHIFT + 1, edge)))
    arrays["shift_accuracies"], arrays["shift_consistencies"] = found.accuracies, found.consistencies
    pictures["shift"] = found.chart()
    return {
        "shifts": found.shifts,
        "directions": found.directions,
        "accuracy": found.accuracy.tolist(),
        "relative": found.relative.tolist(),
        "consistency": found.consistency.tolist(),
    }


def _receptive_fields(
    model: nn.Module, images: Tensor, outputs: dict[str, Output], arrays: Arrays, pictures: Pictures
) -> Numbers:
    """Of each layer that gives maps; at initialisation, too, where it is known how the network was initialised."""
    shape = tuple(images.shape[1:])
    whole = theoretical(model, shape)
    nets = {"trained": model}
    if hasattr(model, "config") and hasattr(model, "geometry"):
        classes = next(reversed(outputs.values())).value.shape[1]
        nets["initial"] = at_initialisation(model.config, plan(model.config, shape, classes))  # type: ignore[arg-type]
    numbers: Numbers = {}
    fields: dict[str, list[NDArray[np.float64]]] = {state: [] for state in nets}
    for layer, output in outputs.items():
        if not output.is_map:
            continue
        numbers[layer] = {"theoretical": list(whole[layer].size)}
        for state, net in nets.items():
            field = effective(net, images, layer)
            numbers[layer][state] = {"size": field.size, "deviation": list(field.deviation)}
            arrays[f"receptive_field_{layer}_{state}"] = field.weights
            fields[state].append(field.weights)
    if numbers:
        pictures["receptive_field"] = tiles(np.array(list(fields.values())))  # a row a state, a column a layer
    return numbers


def _matrices(net: nn.Module, shape: Shape, pictures: Pictures) -> Numbers:
    """Of each convolution, local and shared layer, and each dense one that sees an image; a picture of the first."""
    numbers: Numbers = {}
    for name, layer, given, made in _linear_layers(net, shape):
        if prod(given) * prod(made) > LARGEST:
            continue
        found = connections(layer, given)
        numbers[name] = {"shape": list(found.shape), "nonzeros": found.nonzeros, "weights": found.distinct}
        if len(numbers) == 1:
            pictures[f"matrix_{name}"] = matrix.picture(found.matrix(layer.weight))
    return numbers


def _structure(net: nn.Module, shape: Shape, arrays: Arrays, pictures: Pictures) -> Numbers:
    """Of the first layer, if it is dense: its units see the image."""
    layers = _linear_layers(net, shape)
    if not layers:
        return {}
    name, layer, given, made = layers[0]
    if not isinstance(layer, nn.Linear) or len(layer.weight) < 2 or prod(given) * prod(made) > LARGEST:
        return {}
    units = structure.units_of(layer.weight, given)
    found = structure.structure(units, WINDOW)
    numbers: Numbers = {"layer": name, "window": WINDOW, **found.figures()}
    if isinstance(layer, DenseImage):  # its units stand over pixels
        own = matrix_of(layer, given)
        for constraint in get_args(Constraint):
            nearest = connections(imposed(layer, given, constraint, WINDOW // 2), given)
            numbers[f"explained_{constraint}"] = structure.explained(own, nearest)
            numbers[f"explained_{constraint}_null"] = structure.explained_by_chance(nearest)
    arrays["structure_null_locality"] = found.null_locality
    arrays["structure_null_similarity"] = found.null_similarity
    pictures["structure"] = structure.picture(units)
    return numbers


def _correlation(net: nn.Module, images: Tensor) -> Numbers:
    """The laws, on an image and two kernels of the first convolution."""
    for layer in layers_of(net).values():
        if type(layer) is nn.Conv2d:
            kernels = layer.weight.detach().cpu().double().flatten(0, 1)
            return laws(images[0, 0].double(), kernels[0], kernels[-1])
    return {}


def _linear_layers(net: nn.Module, shape: Shape) -> list[tuple[str, LinearLayer, Shape, Shape]]:
    """(name, layer, shape of its input, shape of its output) of those that see an image, flattened or not."""
    found: list[tuple[str, LinearLayer, Shape, Shape]] = []
    image: list[Shape] = [shape]
    handles = []

    def watch(name: str, layer: nn.Module) -> None:
        def after(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if inputs[0].ndim == 4:
                image.append(tuple(inputs[0].shape[1:]))
            given = image[-1]  # features that are as many as the last image's values are that image, flattened
            if isinstance(layer, kinds) and inputs[0][0].numel() == prod(given):
                found.append((name, layer, given, tuple(output.shape[1:])))

        handles.append(layer.register_forward_hook(after))

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
