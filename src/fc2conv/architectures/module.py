"""Any importable torch.nn.Module: of torchvision, of timm, of one's own file. Planned by running it without data."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from fc2conv.architectures.layers import NormLayer
from fc2conv.architectures.registry import ModelConfig, register
from fc2conv.architectures.targets import import_target, source_of_target
from fc2conv.architectures.trace import Geometry, Layer, Row, Shape
from fc2conv.errors import ConfigError, GeometryError

if TYPE_CHECKING:
    from torch import nn

TARGET = "model.target"


@dataclass(frozen=True)
class ModuleConfig(ModelConfig):
    """Any importable torch.nn.Module, (B, C, H, W) -> (B, classes). It keeps its own initialisation."""

    family: Literal["module"] = "module"
    target: str | None = None
    """A class or function that gives the module: `torchvision.models.squeezenet1_1`, or `FILE.py:NAME`."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """What it is called with, e.g. `{num_classes: 10}`."""


def plan(config: ModuleConfig, shape: Shape, classes: int) -> Geometry:
    """A row for each module that has no others inside, in the order of their first call, and one for the rest.

    MACs are half of what torch's FlopCounterMode counts for one image; receptive fields are not known.

    Raises:
        ConfigError: there is no such module, its forward depends on the images' values, or gives no (B, classes)
        GeometryError: it does not take images of `shape`
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they come again when the network is made
        net = _on_meta(config)
        rows: dict[str, Row] = {}
        hooks = []
        counter = FlopCounterMode(display=False)
        for name, module in net.named_modules():
            if next(module.children(), None) is None:
                hooks += _watch(name or "net", module, rows, counter)
        with counter:
            _run(net.eval(), config, (1, *shape), classes)
        for hook in hooks:
            hook.remove()
        _run(net.train(), config, (2, *shape), classes)  # some give more than one output in training only

    owners = dict(net.named_modules())
    counted: set[int] = set()
    found = []
    for name, row in rows.items():
        own = [p for p in owners["" if name == "net" else name].parameters(recurse=False) if p.requires_grad]
        found.append(replace(row, params=sum(p.numel() for p in own if id(p) not in counted)))
        counted |= {id(p) for p in own}
    total = sum(p.numel() for p in net.parameters() if p.requires_grad)
    if not total:
        raise ConfigError(TARGET, f"{config.target} has no parameters to train")
    params = total - sum(row.params for row in found)
    macs = counter.get_total_flops() // 2 - sum(row.macs for row in found)
    if params or macs or not found:
        found.append(Row(Layer("(rest)"), shape, (classes,), params, macs, None, 1))
    return Geometry(shape, found)


def net(config: ModuleConfig, geometry: Geometry) -> nn.Module:
    """The module. It gets contiguous images, as its author expected (`view` needs that)."""
    import torch

    module = _called(config)
    if any(isinstance(p, torch.nn.UninitializedParameter) for p in module.parameters()):
        with torch.no_grad():  # lazy modules learn their sizes from a first batch
            module.eval()(torch.zeros(1, *geometry.input))
    module.register_forward_pre_hook(_contiguous)
    return module.train()


def source(config: ModuleConfig) -> str | None:
    """As source_of_target, of `model.target`."""
    return source_of_target(config.target, TARGET) if config.target is not None else None


def _callable(target: str | None) -> Callable[..., Any]:
    """What `target` names."""
    if target is None:
        raise ConfigError(TARGET, "got null, expected what makes the network, e.g. torchvision.models.squeezenet1_1")
    return import_target(target, TARGET)


def _called(config: ModuleConfig, device: str | None = None) -> nn.Module:
    import torch

    make = _callable(config.target)
    try:
        with torch.device(device) if device else nullcontext():
            module = make(**config.arguments)
    except Exception as error:
        key = "model.arguments" if isinstance(error, TypeError) else TARGET
        raise ConfigError(key, f"{config.target} cannot be made ({type(error).__name__}: {error})") from error
    if not isinstance(module, torch.nn.Module):
        raise ConfigError(
            TARGET, f"{config.target} gives an object of type {type(module).__name__}, expected a torch.nn.Module"
        )
    return module


def _on_meta(config: ModuleConfig) -> nn.Module:
    """The module without memory for its weights, if need be made with it first."""
    try:
        return _called(config, "meta")
    except ConfigError:
        return _called(config).to("meta")


def _run(net: nn.Module, config: ModuleConfig, shape: Shape, classes: int) -> None:
    """A batch of `shape` through `net`, which is on the meta device."""
    import torch

    batch = torch.empty(shape, device="meta")
    try:
        outputs = net(batch)
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        if re.search(r"\bmeta\b", reason, re.IGNORECASE):
            what = "depends on the values of the images in its forward, so that it cannot be planned"
            if re.search(r"\bcpu\b", reason):
                what = "makes tensors on the CPU in its forward; make them on the device of its input"
            raise ConfigError(TARGET, f"{config.target} {what} ({reason})") from error
        hint = "; data.bands=3 repeats a grey image into three bands" if shape[1] == 1 else ""
        size = "x".join(map(str, shape[1:]))
        raise GeometryError(str(config.target), f"does not take {size} images ({reason}){hint}", TARGET) from error
    if not isinstance(outputs, torch.Tensor):
        mode = "in training" if net.training else "in evaluation"
        given = f"gives a {type(outputs).__name__} {mode}, expected one tensor (images, classes)"
        raise ConfigError(TARGET, f"{config.target} {given}")
    if outputs.shape != (shape[0], classes):
        size = "x".join(map(str, outputs.shape[1:])) or "no"
        raise ConfigError(
            TARGET,
            f"{config.target} gives {size} outputs for an image, expected one for each of the {classes} classes, e.g. "
            f"'model.arguments={{num_classes: {classes}}}' where it takes that",
        )


def _watch(name: str, module: nn.Module, rows: dict[str, Row], counter: Any) -> list[Any]:
    """Have `module` add what it does to `rows`, over all its calls."""
    import torch

    def shape_of(value: Any) -> Shape:
        return tuple(value.shape[1:]) if isinstance(value, torch.Tensor) else ()

    began = [0]

    def before(_: Any, inputs: Any) -> None:
        began[0] = counter.get_total_flops()

    def after(_: Any, inputs: Any, output: Any) -> None:
        macs = (counter.get_total_flops() - began[0]) // 2
        if name in rows:
            rows[name] = replace(rows[name], macs=rows[name].macs + macs)
        else:
            taken = shape_of(inputs[0]) if inputs else ()
            is_norm = isinstance(module, torch.nn.modules.batchnorm._BatchNorm)  # what it needs is checked
            layer = NormLayer(name, "batch") if is_norm else Layer(name)
            rows[name] = Row(layer, taken, shape_of(output), 0, macs, None, 1)

    return [module.register_forward_pre_hook(before), module.register_forward_hook(after)]


def _contiguous(_: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Images whose strides say so, too: contiguous() leaves those of a single channel as they are."""
    images, *others = inputs
    return (images.flatten(1).view(images.shape), *others)


register(ModuleConfig, plan=plan, net=net, source=source)
