"""The optimiser of a network, as OptimConfig names it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from fc2conv.config.parsing import suggest
from fc2conv.config.schema import OptimConfig
from fc2conv.errors import ConfigError

FUSED = ("sgd", "adam", "adamw")
"""Whose steps are made by one kernel for all parameters."""
UNFIT = {
    "lbfgs": "takes all parameters as one group, where biases would decay like weights",
    "sparseadam": "takes sparse gradients only",
}
"""Optimisers of torch that cannot train these networks, and why."""


def optimizer_for(config: OptimConfig, net: nn.Module, fused: bool = True) -> Optimizer:
    """The optimiser that `config` names, on the parameters of `net`; biases and norms do not decay.

    Args:
        fused: let one kernel make a step, where the optimiser is among those that have it

    Raises:
        ConfigError: torch has no such optimiser, or it does not take these arguments or this network
    """
    kind = _kind(config.name)
    called = kind.__name__
    known = [name for name in inspect.signature(kind).parameters if name != "params"]
    ours: dict[str, Any] = {"lr": config.lr}
    if config.name in FUSED:
        ours["fused"] = fused
    if config.name == "sgd":
        ours |= {"momentum": config.momentum, "nesterov": config.nesterov and config.momentum > 0}
    for name in config.arguments:
        if name not in known:
            taken = [k for k in known if k not in ("lr", "weight_decay")]
            raise ConfigError("optim.arguments", f"{called} has no argument {name}{suggest(name, taken)}")
    if config.weight_decay and "weight_decay" not in known:
        raise ConfigError("optim.weight_decay", f"got {config.weight_decay}, but {called} has none; set it to 0")
    decays = "weight_decay" in known
    groups = [
        {"params": parameters, **({"weight_decay": decay} if decays else {})}
        for parameters, decay in zip(_by_decay(net), (config.weight_decay, 0.0), strict=True)
        if parameters
    ]
    arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in config.arguments.items()}
    try:
        return kind(groups, **(ours | arguments))
    except (ValueError, TypeError, RuntimeError) as error:
        raise ConfigError("optim", f"{called} cannot train this network as told: {error}") from error


def _kind(name: str) -> Callable[..., Optimizer]:
    """The class of torch.optim, whose capitals do not matter."""
    classes = {n.lower(): c for n, c in vars(torch.optim).items() if isinstance(c, type) and issubclass(c, Optimizer)}
    del classes["optimizer"]
    if name in UNFIT:
        raise ConfigError("optim.name", f"got {name}, but it {UNFIT[name]}; take another, e.g. adamw")
    if name not in classes:
        fit = sorted(set(classes) - set(UNFIT))
        raise ConfigError("optim.name", f"got {name}, which torch.optim does not have{suggest(name, fit)}")
    return classes[name]


def _by_decay(net: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """(the parameters that decay, the others), each once, since modules may share one."""
    norms = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)
    owner = {p: (m, name) for m in net.modules() for name, p in m.named_parameters(recurse=False)}
    decayed = [p for p, (m, name) in owner.items() if "bias" not in name and not isinstance(m, norms)]
    others = [p for p, (m, name) in owner.items() if "bias" in name or isinstance(m, norms)]
    return decayed, others
