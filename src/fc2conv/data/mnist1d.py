"""MNIST-1D (Greydanus & Kobak 2020, arXiv 2011.14439): ten digits as signals of 40 values, made by its authors' code.

Each is a template of 12 points, padded, scaled, shifted, sheared and with noise: 4,000 for training, 1,000 for the
test.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fc2conv.config.schema import DataConfig
from fc2conv.errors import ConfigError

CLASSES = [str(digit) for digit in range(10)]


def check(config: DataConfig) -> None:
    """Raise ConfigError if the data are to be these, are not prepared, and the package that makes them is missing."""
    prepared = (Path(config.dir) / "mnist1d" / "meta.json").exists()
    if config.name == "mnist1d" and not prepared and find_spec("mnist1d") is None:
        raise ConfigError("data.name", "got mnist1d, whose package is not installed; pip install -e '.[mnist1d]'")


def make() -> dict[str, npt.NDArray[Any]]:
    """The published dataset: the package's own settings and seed, nothing downloaded.

    Returns:
        train_images and test_images (N, 1, 1, 40) float32, train_labels and test_labels (N,) uint8
    """
    from mnist1d.data import get_dataset_args, make_dataset

    state = np.random.get_state()  # it seeds numpy's generator, which is everybody's
    try:
        made = make_dataset(get_dataset_args())
    finally:
        np.random.set_state(state)
    arrays = {}
    for split, suffix in (("train", ""), ("test", "_test")):
        arrays[f"{split}_images"] = made[f"x{suffix}"].astype(np.float32)[:, None, None]
        arrays[f"{split}_labels"] = made[f"y{suffix}"].astype(np.uint8)
    return arrays
