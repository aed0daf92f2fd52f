"""What a run leaves as numbers, for its pictures and for who compares predictions: arrays.npz in its folder. Read
without torch, and without pickle."""

from __future__ import annotations

import io
import os
import tempfile
import zipfile
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FILE = "arrays.npz"
UNTESTED = -1
"""Among the predictions, an image that trainer.limit_test_batches left out."""
FEATURES = "features/"
"""Begins the names of feature maps in the file."""


def _none(*shape: int, dtype: type = np.uint8) -> NDArray[np.generic]:
    return np.zeros(shape, dtype)


@dataclass(frozen=True)
class Arrays:
    """Each is empty where a run has none. Images are as the network sees them, before they are normalised."""

    filters: NDArray[np.generic] = field(default_factory=lambda: _none(0, 1, 1, 1, dtype=np.float32))
    """(out_channels, in_channels, height, width) float32: the first convolution's weights; of a network whose first
    layer is dense, the weights of its first hidden units, as images."""
    examples: NDArray[np.generic] = field(default_factory=lambda: _none(0, 1, 1, 1))
    """(n, channels, height, width) uint8: the most confidently misclassified test images, the most confident first."""
    example_indices: NDArray[np.generic] = field(default_factory=lambda: _none(0, dtype=np.int64))
    """Where they lie in the test set."""
    example_labels: NDArray[np.generic] = field(default_factory=lambda: _none(0, dtype=np.int64))
    example_predictions: NDArray[np.generic] = field(default_factory=lambda: _none(0, dtype=np.int64))
    example_confidences: NDArray[np.generic] = field(default_factory=lambda: _none(0, dtype=np.float32))
    """The probability given to the prediction."""
    samples: NDArray[np.generic] = field(default_factory=lambda: _none(0, 1, 1, 1))
    """(3, channels, height, width) uint8: the first test images, those of the feature maps."""
    sample_labels: NDArray[np.generic] = field(default_factory=lambda: _none(0, dtype=np.int64))
    test_labels: NDArray[np.generic] = field(default_factory=lambda: _none(0, dtype=np.int16))
    """(N,) of all test images, in their order."""
    test_predictions: NDArray[np.generic] = field(default_factory=lambda: _none(0, dtype=np.int16))
    """(N,) the class that the tested weights gave to each; UNTESTED where there is none."""
    features: dict[str, NDArray[np.generic]] = field(default_factory=dict)
    """Convolution -> its output (3, channels, height, width) float16 for the samples, in the network's order."""

    def write(self, folder: Path) -> None:
        """Put them into `folder`, whole or not at all."""
        values = {name: value for name, value in vars(self).items() if name != "features"}
        values |= {FEATURES + name: value for name, value in self.features.items()}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **values)
        handle, aside = tempfile.mkstemp(prefix=f".{FILE}-", dir=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(buffer.getbuffer())
            os.chmod(aside, 0o644)
            os.replace(aside, folder / FILE)
        except BaseException:
            os.unlink(aside)
            raise

    @classmethod
    def read(cls, folder: Path, only: Collection[str] | None = None) -> Arrays | None:
        """Those of the run in `folder`; None if it has left none, or what is there cannot be read.

        Args:
            only: the names of those wanted, e.g. {"filters"}; the others stay empty, and cost no time
        """
        try:
            with open(folder / FILE, "rb") as raw, np.load(raw, allow_pickle=False) as file:
                values = {name: file[name] for name in file.files if only is None or name in only}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
            return None
        features = {k.removeprefix(FEATURES): v for k, v in values.items() if k.startswith(FEATURES)}
        known = {name for name in cls.__dataclass_fields__ if name != "features"}
        return cls(**{k: v for k, v in values.items() if k in known}, features=features)
