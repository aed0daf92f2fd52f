"""How long a network takes and what it keeps, on this machine's CPU: what the claims about cost are timed with.

The suite's layers as torch computes them, without compiled kernels; images of noise. A training step is one of AdamW.
Arms alternate within each repetition, so that a machine that slows down slows all of them.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fc2conv.architectures import ModelConfig, plan
from fc2conv.architectures.trace import Geometry
from fc2conv.claims.claim import Observation
from fc2conv.compose import compose_config, parse_composed

if TYPE_CHECKING:
    from torch import Tensor, nn

REPETITIONS = 11
"""The second smallest and largest of so many cover the median with 98.8 %: one outlier on each side does no harm."""
SHAPE, CLASSES = (1, 28, 28), 10
BATCH = 128
LEAST = 0.03
"""Seconds that a timing takes at least, in as many steps as that needs."""
SHARED = 4096
"""Images of a timing with several processes."""


@cache
def planned(model: str) -> tuple[ModelConfig, Geometry]:
    """A model's config and plan on images of 28x28; `model` as on the command line."""
    composed, _, _ = compose_config(tuple(model.split()))
    config = parse_composed(composed).model
    return config, plan(config, SHAPE, CLASSES)


@dataclass(frozen=True)
class Cost:
    """Of one model."""

    params: int
    macs: int
    """For one image."""
    weights: int
    """Bytes of the parameters, their gradients, and AdamW's two moments."""
    kept: int
    """Bytes that the forward pass keeps of an image for the backward pass, the image among them."""


def cost(model: str) -> Cost:
    """Counted from the modules, but for the MACs, which are the plan's."""
    net, geometry = _network(model), planned(model)[1]
    params = sum(p.numel() for p in net.parameters() if p.requires_grad)
    return Cost(params, geometry.macs, 4 * 4 * params, kept_bytes(net) // BATCH)


def kept_bytes(net: nn.Module, batch: int = BATCH) -> int:
    """Bytes of all tensors but the parameters that a forward pass keeps for the backward pass, each counted once."""
    import torch

    own = {p.untyped_storage().data_ptr() for p in net.parameters()}
    found: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    images, labels = _batch(batch)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = torch.nn.functional.cross_entropy(net(images), labels)  # its graph holds what it kept until here
    del loss
    return sum(found.values())


def time_models(models: Sequence[str]) -> list[Observation]:
    """Microseconds an image of a training step (`train`) and of a prediction (`predict`), by one thread in batches of
    128; and what each model's Cost counts."""
    timings = []
    with threads(1):
        for model in models:
            images, labels = _batch(BATCH)
            steps = {
                "train": training_step(_network(model), images, labels),
                "predict": prediction(_network(model).eval(), images),
            }
            timings.append((model, cost(model), {name: (step, _steps(step)) for name, step in steps.items()}))
        found = []
        for repetition in range(REPETITIONS):
            for model, counted, each in timings:
                taken = {name: 1e6 * seconds(step, n) / (n * BATCH) for name, (step, n) in each.items()}
                found.append(Observation(model, repetition, {**vars(counted), **taken}))
    return found


def time_processes(models: Sequence[str], batches: Sequence[int]) -> list[Observation]:
    """Images per second of training by one process and by two that share each batch (DDP over gloo), a thread each."""
    from torch.multiprocessing.spawn import spawn

    from fc2conv.training.distributed import main_hidden

    for model in models:
        planned(model)  # a mistake is told here
    with tempfile.TemporaryDirectory() as folder, main_hidden():
        spawn(_rank, (Path(folder), list(models), list(batches)), nprocs=PROCESSES)  # type: ignore[no-untyped-call]
        return [Observation(**values) for values in json.loads((Path(folder) / FOUND).read_text())]


PROCESSES = 2
FOUND = "found.json"


def _rank(rank: int, folder: Path, models: list[str], batches: list[int]) -> None:
    """One of the processes. The first times; the other takes part, or waits while the first one trains alone."""
    import torch
    from torch import distributed

    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{folder / 'meet'}", rank=rank, world_size=PROCESSES)
    alone = {model: _network(model) for model in models}
    # with less than 25 MB a network's gradients go in one message
    together = {model: torch.nn.parallel.DistributedDataParallel(_network(model)) for model in models}
    arms = [(model, batch) for model in models for batch in batches]
    found = []
    for repetition in range(-1, REPETITIONS):  # the first warms up
        for model, batch in arms:
            images, labels = _batch(batch)
            one = training_step(alone[model], images, labels)
            part = slice(rank, None, PROCESSES)
            both = training_step(together[model], images[part], labels[part])
            n = max(1, SHARED // batch)
            taken = {}
            for processes, step in ((1, one), (PROCESSES, both)):
                distributed.barrier()
                taken[processes] = seconds(step, n) if processes > 1 or rank == 0 else 0.0
                distributed.barrier()
            if rank == 0 and repetition >= 0:
                rate = {processes: n * batch / time for processes, time in taken.items()}
                for processes in rate:
                    arm = f"{model} data.batch_size={batch} trainer.devices={processes}"
                    figures = {"images_per_second": rate[processes], "speedup": rate[processes] / rate[1]}
                    found.append({"arm": arm, "repetition": repetition, "figures": figures})
    if rank == 0:
        (folder / FOUND).write_text(json.dumps(found))
    distributed.destroy_process_group()


# --- steps


def training_step(net: nn.Module, images: Tensor, labels: Tensor) -> Callable[[], Any]:
    """What trains `net` by one step of AdamW."""
    import torch

    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def prediction(net: nn.Module, images: Tensor) -> Callable[[], Any]:
    """What has `net` classify images."""
    import torch

    return torch.inference_mode()(partial(net, images))


def seconds(step: Callable[[], Any], n: int) -> float:
    """What n calls take."""
    start = time.perf_counter()
    for _ in range(n):
        step()
    return time.perf_counter() - start


def _steps(step: Callable[[], Any]) -> int:
    """How many calls take LEAST; the first ones, which warm up, are not counted."""
    seconds(step, 2)
    return max(1, round(LEAST / seconds(step, 2) * 2))


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Torch uses so many in here."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _network(model: str) -> nn.Module:
    """Of torch's own layers, as it trains here: channels last."""
    import torch

    from fc2conv.nets.build import net_of

    config, geometry = planned(model)
    net: nn.Module = net_of(config, geometry).to(memory_format=torch.channels_last)
    return net


@cache
def _batch(n: int) -> tuple[Tensor, Tensor]:
    import torch

    generator = torch.Generator().manual_seed(0)
    images = torch.randn(n, *SHAPE, generator=generator).to(memory_format=torch.channels_last)
    return images, torch.randint(0, CLASSES, (n,), generator=generator)
