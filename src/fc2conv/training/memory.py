"""The memory that training takes, estimated from the plan, and what of it there is. Needs no torch, so that a run for
which there is too little is refused at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from math import prod
from pathlib import Path
from typing import Any

from fc2conv.architectures.trace import Geometry
from fc2conv.config.schema import DATASETS, EVALUATED, Config, DataConfig
from fc2conv.data.array_file import describe
from fc2conv.data.folder import listing
from fc2conv.errors import ConfigError
from fc2conv.fields import written

BASE = 650 * 2**20
"""Bytes of a process that has loaded torch and Lightning, and holds neither weights nor images (690 with torch 2.14 for
CUDA, less without)."""
MOMENTS = {"sgd": 1, "adam": 2, "adamw": 2}
"""Values that an optimiser keeps of each weight; sgd without momentum keeps none, others count as two."""


@dataclass(frozen=True)
class Memory:
    """Bytes that a process of a run takes at its most."""

    weights: int
    """With their gradients and what the optimiser keeps of them."""
    batch: int
    """Images, and what the layers keep of them for the backward pass."""
    dataset: int
    """Mapped from its files: processes share it, and the system can take it back."""
    base: int = BASE

    @property
    def total(self) -> int:
        return self.needed + self.dataset + self.base

    @property
    def needed(self) -> int:
        """What depends on the network and the batch, and cannot be done without."""
        return self.weights + self.batch


def processes(config: Config) -> int:
    """How many of them a run starts on this machine."""
    devices = config.trainer.devices
    return devices if config.trainer.strategy == "ddp" and devices != "auto" else 1


def estimate(config: Config, geometry: Geometry, processes: int = 1) -> Memory:
    """What each of `processes` takes that train together."""
    optim, pixels, (train, images) = config.optim, prod(geometry.input), _images(config)
    moments = 0 if optim.name == "sgd" and not optim.momentum else MOMENTS.get(optim.name, 2)
    copies = 2 + moments + (processes > 1)  # DDP sends the gradients from buckets of the same size
    kept = sum(row.layer.kept(row.input) for row in geometry.rows)
    widest = max(prod(row.input) + prod(row.output) for row in geometry.rows)
    size = config.data.batch_size
    trained, evaluated = -(-min(size, train) // processes), min(max(size, EVALUATED // pixels), images)
    # the transforms hold an image twice; both directions have a layer's two sides at hand
    values = max(trained * (2 * pixels + kept + widest), evaluated * (2 * pixels + widest))
    return Memory(4 * copies * geometry.params, 4 * values, images * pixels)


def _images(config: Config) -> tuple[int, int]:
    """(most images in a training batch, images of the dataset)."""
    if config.data.name in DATASETS:
        official = DATASETS[config.data.name].train
        images = official + DATASETS[config.data.name].test
    elif config.data.name == "arrays":
        official = describe(config.data).train
        images = official * 5 // 4  # with the test set, of a fifth unless data.test_size says otherwise
    else:
        images = sum(len(files) for _, classes in listing(config.data) for files in classes)
        official = images
    return config.data.train_size or official, images


def check(config: Config, geometry: Geometry, plan: Callable[[Config], Geometry]) -> None:
    """Refuse a run on the CPU for which this machine has too little memory.

    Args:
        plan: of another config, to find the key that costs most

    Raises:
        ConfigError: naming that key
    """
    n, available = processes(config), available_memory()
    needed = n * estimate(config, geometry, n).needed
    if available is None or needed <= available:
        return

    def left(changed: Config) -> float:
        try:
            return estimate(changed, plan(changed), n).needed
        except ConfigError:  # the rest does not go without it
            return float("inf")

    key, got, _ = min(((key, got, left(changed)) for key, got, changed in _smaller(config)), key=lambda found: found[2])
    raise ConfigError(
        key,
        f"got {written(got)}, and training would need about {spell(needed)} of memory; {spell(available)} are "
        "available, so make it smaller",
    )


def _smaller(config: Config) -> Iterator[tuple[str, Any, Config]]:
    """(key, value, the config without it) for each key that may be why a run needs so much."""
    data, model = config.data, config.model
    defaults = {"batch_size": 1, **{name: getattr(DataConfig(), name) for name in ("canvas", "bands", "size")}}
    for name, default in defaults.items():
        with suppress(ConfigError):  # the rest does not go without it
            yield f"data.{name}", getattr(data, name), replace(config, data=replace(data, **{name: default}))
    standard: Any = type(model)  # has a default for each of its fields
    for field in fields(model):
        if field.name != "family":
            changed = replace(model, **{field.name: getattr(standard(), field.name)})
            yield f"model.{field.name}", getattr(model, field.name), replace(config, model=changed)


def available_memory() -> int | None:
    """Bytes that new processes of ours can have: what the system has left, or less where a control group says so.
    None where the system does not tell."""
    found = []
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        found.append(int(lines["MemAvailable"].split()[0]) * 1024)
    except (OSError, KeyError, ValueError):
        if hasattr(os, "sysconf"):  # macOS: what is free at the moment says little there
            found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min([*found, *_left_in_groups()], default=None)


def _left_in_groups(proc: Path = Path("/proc/self/cgroup"), top: Path = Path("/sys/fs/cgroup")) -> Iterator[int]:
    """Bytes left in each control group that this process is in and that has a limit, of version 1 and 2."""
    try:
        lines = [line.split(":", 2) for line in proc.read_text().splitlines()]
    except OSError:
        return
    for _, controllers, path in lines:
        if controllers == "":
            root, names = top, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            root, names = top / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        inner = root / path.lstrip("/")
        for group in (inner, *inner.parents):  # in a container, the path may be that of outside
            if group == root.parent:
                break
            try:
                limit, used = (int((group / name).read_text()) for name in names[:2])
                stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            except (OSError, ValueError):  # not there, or "max"
                continue
            yield max(0, limit - used + int(stat.get(names[2], 0)))  # the files read last can be read again


def spell(size: float) -> str:
    """Bytes as people read them: 412 MiB, 3.1 GiB."""
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit in ("bytes", "KiB", "MiB") else f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:,.0f} EiB"
