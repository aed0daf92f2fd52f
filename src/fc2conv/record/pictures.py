"""Pictures of a trained network, for its trackers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor


def filter_picture(weight: Tensor, scale: int = 16) -> Image:
    """The filters (O, C, H, W) side by side, one row an input channel, each from its least (black) to its largest
    weight (white)."""
    from PIL.Image import fromarray
    from torchvision.utils import make_grid

    maps = weight.detach().float().cpu().transpose(0, 1).flatten(0, 1)[:, None]
    big = maps.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    grid = make_grid(big, nrow=weight.shape[0], normalize=True, scale_each=True, padding=2, pad_value=0.5)
    return fromarray((grid * 255).byte().permute(1, 2, 0).numpy())


def confusion_picture(confusion: Tensor, classes: list[str]) -> Image:
    """Rows are the true classes, columns the predicted; darker is a larger fraction of the row. Up to 50 classes have
    their names, more smaller squares."""
    import torch
    from PIL import ImageDraw
    from PIL.Image import fromarray, new

    n, left = len(classes), 110
    edge = max(1, min(40, 2000 // n))
    shades = (255 * (1 - confusion / confusion.sum(1, keepdim=True).clamp_min(1))).byte()
    squares = torch.stack([shades, shades, torch.full_like(shades, 255)], -1)
    squares = squares.repeat_interleave(edge, 0).repeat_interleave(edge, 1)
    picture = new("RGB", (left + n * edge, n * edge + 20), "white")
    picture.paste(fromarray(squares.numpy()), (left, 0))
    draw = ImageDraw.Draw(picture)
    for row in range(n if n <= 50 else 0):
        draw.text((4, row * edge + edge // 2 - 6), classes[row][:16], fill="black")
        draw.text((left + row * edge + 4, n * edge + 4), classes[row][:5], fill="black")
        for column in range(n if n <= 20 else 0):
            if count := int(confusion[row, column]):
                fill = "white" if shades[row, column] < 128 else "black"
                draw.text((left + column * edge + 6, row * edge + edge // 2 - 6), str(count), fill=fill)
    return picture


def first_filters(state: Mapping[str, Tensor]) -> Tensor | None:
    """The first convolution's weights (O, C, H, W) among a network's tensors, if they are worth a look."""
    first = next((tensor for tensor in state.values() if tensor.ndim == 4), None)
    return first if first is not None and max(first.shape[2:]) > 1 else None
