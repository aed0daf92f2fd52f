"""Permuted images as the networks see them: a row an image, a column an order of the pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, get_args

from fc2conv.config.schema import DataConfig
from fc2conv.pictures.sheet import MARGIN, SMALL, TEXT, Sheet
from fc2conv.pictures.style import MUTED, as_rgb, enlarged

if TYPE_CHECKING:
    from PIL.Image import Image

Order = Literal["none", "block", "block_order", "fixed", "fresh", "sorted"]
"""Of `data.permutation`, from what leaves most to what leaves least."""
SAID: dict[Order, str] = {
    "none": "as it is",
    "block": "within blocks",
    "block_order": "blocks themselves",
    "fixed": "all, alike",
    "fresh": "each its own way",
    "sorted": "dark to bright",
}
EDGE, GAP = 140, 22
"""Pixels of an image's longer side, about, and between two."""
SHOWN = (0, 1, 2)
"""An ankle boot, a pullover and trousers among the test images of Fashion-MNIST."""


def permuted_picture(config: DataConfig | None = None, indices: Sequence[int] = SHOWN) -> Image:
    """Test images in each order of their pixels.

    Args:
        config: of the dataset, with its seed, canvas and blocks. None: Fashion-MNIST
        indices: in the test set

    Raises:
        DataError, ConfigError: it cannot be loaded; blocks that do not fit
    """
    import torch

    from fc2conv.data.image_data import ImageData

    config = config or DataConfig()
    orders: tuple[Order, ...] = get_args(Order)
    chosen = torch.tensor(indices)
    columns = [
        enlarged(as_rgb(ImageData(replace(config, permutation=order)).seen(chosen).numpy()), EDGE) for order in orders
    ]
    high, wide = columns[0].shape[1:3]
    step = max(wide, EDGE) + GAP
    top = Sheet.NOTED + TEXT + SMALL + 16
    note = "data.permutation, as the networks see it"
    width, height = 2 * MARGIN + len(orders) * step - GAP, top + len(chosen) * (high + GAP) - GAP + MARGIN
    sheet = Sheet(width, height, "The order of the pixels", note)
    for i, (order, images) in enumerate(zip(orders, columns, strict=True)):
        x = MARGIN + i * step
        sheet.text(x, Sheet.NOTED, order)
        sheet.text(x, Sheet.NOTED + TEXT + 4, SAID[order], SMALL, MUTED)
        for j, image in enumerate(images):
            sheet.tile(x, top + j * (high + GAP), image)
    return sheet.image
