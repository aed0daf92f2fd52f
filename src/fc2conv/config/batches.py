"""How training images are cut into batches, and whether a network can learn from the smallest of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fc2conv.architectures.layers import NormLayer, Residual
from fc2conv.architectures.trace import Geometry, Row, trace
from fc2conv.errors import ConfigError


def count_batches(images: int, batch_size: int) -> int:
    """Batches in an epoch, as few as there can be; they are of nearly equal size."""
    return -(-images // batch_size)


def smallest_batch(images: int, batch_size: int, processes: int = 1) -> int:
    """Images that a process gets at least in a training step.

    Example:
        >>> smallest_batch(129, 128)  # 65 and 64
        64
    """
    return images // count_batches(images, batch_size) // processes


def check_batch_norm(geometry: Geometry, images: int, batch_size: int, processes: int = 1) -> None:
    """Refuse a training in which a batch norm gets one value a channel, whose variance nobody knows.

    Args:
        geometry: the network's plan
        images: training images of an epoch
        batch_size: over all processes

    Raises:
        ConfigError: a process gets a single image in some step, and a batch norm a single pixel of it
    """
    norm = next(_single_valued(geometry.rows), None)
    if norm is None or smallest_batch(images, batch_size, processes) != 1:
        return
    enough = (size for size in range(batch_size + 1, images + 1) if smallest_batch(images, size, processes) > 1)
    size = next(enough, None)
    raise ConfigError(
        "data.batch_size" if size else "data.train_size",
        f"got {batch_size if size else images}, so that "
        + (f"one of the {processes} processes" if processes > 1 else "a training step")
        + f" sees a single image, and {norm}, a batch norm, one value a channel, which has no variance; use "
        + (f"data.batch_size={size}" if size else f"{2 * processes} images or more"),
    )


def has_single_valued_norm(geometry: Geometry) -> bool:
    """Whether a batch norm gets one value a channel of an image."""
    return any(_single_valued(geometry.rows))


def _single_valued(rows: Iterable[Row]) -> Iterator[str]:
    """The names of such batch norms, those in a residual body behind its own."""
    for row in rows:
        if isinstance(row.layer, Residual):
            yield from (f"{row.name}.{name}" for name in _single_valued(trace(row.layer.body, row.input).rows))
        elif isinstance(row.layer, NormLayer) and row.layer.kind == "batch" and set(row.input[1:]) <= {1}:
            yield row.name
