"""What is done to a batch: augmentation, canvas, shift, pixel permutation and bands, as whole-batch tensor operations.

Every random draw is a pure function of (seed, epoch, image), by a counter-based hash. So an image's draws do not depend
on the batch or the rank it comes in, and a resumed run repeats them without any generator's state.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fc2conv.architectures.trace import Shape
from fc2conv.config.schema import DataConfig


def mixed_seed(*numbers: int) -> int:
    """A generator's seed that differs wherever the numbers do. The CPU's generator uses the lower 32 bits only, so they
    must be mixed, not shifted beside each other."""
    mixed = 0
    for number in numbers:
        mixed = (mixed + number + 1) * 0x9E3779B97F4A7C15 % 2**64
        mixed ^= mixed >> 29
    return mixed % 2**63


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_MIX = (_signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB))


def _hash(x: Tensor) -> Tensor:
    """SplitMix64's finaliser (Steele et al. 2014) on int64, whose products wrap."""
    for multiplier, shift in zip(_MIX, (30, 27), strict=True):
        x = (x ^ ((x >> shift) & ((1 << (64 - shift)) - 1))) * multiplier
    return x ^ ((x >> 31) & ((1 << 33) - 1))


def draws(indices: Tensor, n: int, *key: int) -> Tensor:
    """`n` uniform numbers in [0, 1) for each image: (B,) image indices -> (B, n) float32.

    Args:
        key: what else decides the draw, e.g. seed, epoch and the purpose
    """
    state = torch.zeros(1, dtype=torch.int64, device=indices.device)
    for number in key:
        state = _hash(state + number + 1) * _GOLDEN
    counter = indices.long()[:, None] * n + torch.arange(n, device=indices.device)
    bits = _hash(_hash(counter * _GOLDEN + state))
    return ((bits >> 40) & 0xFFFFFF).float() * 2.0**-24


def place(images: Tensor, size: tuple[int, int], top: Tensor, left: Tensor) -> Tensor:
    """Put each image on an empty (zero) canvas of `size`, its corner at (top, left), which may lie outside.

    (B, C, H, W), (B,), (B,) -> (B, C, *size)
    """
    b, _, h, w = images.shape
    rows = torch.arange(size[0], device=images.device) - top[:, None]
    columns = torch.arange(size[1], device=images.device) - left[:, None]
    inside = ((rows >= 0) & (rows < h))[:, None, :, None] & ((columns >= 0) & (columns < w))[:, None, None, :]
    at = torch.arange(b, device=images.device)[:, None, None]
    taken = images[at, :, rows.clamp(0, h - 1)[:, :, None], columns.clamp(0, w - 1)[:, None, :]]
    return taken.permute(0, 3, 1, 2) * inside


def fixed_permutation(config: DataConfig, size: tuple[int, int]) -> Tensor | None:
    """The order of the pixels for `permutation=fixed`, `block` and `block_order`: output pixel p is input pixel
    order[p]. (H*W,); None for the others."""
    h, w = size
    generator = torch.Generator().manual_seed(config.known_seed)
    if config.permutation == "fixed":
        return torch.randperm(h * w, generator=generator)
    if config.permutation not in ("block", "block_order"):
        return None
    a, b = config.block_of(h)
    blocks = torch.arange(h * w).view(h // a, a, w // b, b).permute(0, 2, 1, 3).reshape(-1, a * b)
    if config.permutation == "block":
        mixed = blocks.gather(1, torch.rand(blocks.shape, generator=generator).argsort(dim=1))
    else:
        mixed = blocks[torch.randperm(len(blocks), generator=generator)]
    return mixed.view(h // a, w // b, a, b).permute(0, 2, 1, 3).reshape(-1)


def sort_pixels(x: Tensor) -> Tensor:
    """Each image's pixels with the darkest first: by their first band, those that are equal there by the next. So it
    depends on no order that they had, nor on the bands' scale. (B, C, H, W) -> the same."""
    flat = x.flatten(2)
    for band in reversed(range(x.shape[1])):
        order = flat[:, band].argsort(dim=1, stable=True)
        flat = flat.gather(2, order[:, None].expand_as(flat))
    return flat.view_as(x)


class Transforms:
    """Turns gathered images, uint8 or float32, into what the network sees.

    Args:
        config: what to do
        size: (height, width) of the images as published
        mean, std: of the training split as published, per band, in pixel values
    """

    def __init__(self, config: DataConfig, size: tuple[int, int], mean: Tensor, std: Tensor):
        self.config, self.size = config, size
        self.canvas = config.canvas_of((size[0], size[1]))
        self.scale, self.offset = (1 / std).float().view(-1, 1, 1), (-mean / std).float().view(-1, 1, 1)
        self.order = fixed_permutation(config, self.canvas)

    def shape(self, bands: int) -> Shape:
        """(C, H, W) of what comes out."""
        return self.config.bands or bands, *self.canvas

    def __call__(self, images: Tensor, indices: Tensor, split: str, seed: int, epoch: int) -> Tensor:
        """(B, C, H, W) -> (B, C', H', W') float32, normalised, channels_last.

        Args:
            indices: (B,) of the images in the dataset
            split: train, val or test; only train is augmented, and only test is shifted
            seed, epoch: of the run for train; fixed for val and test
        """
        config, training = self.config, split == "train"
        if training and config.flip:
            mirrored = draws(indices, 1, seed, epoch, 1) < 0.5
            images = torch.where(mirrored.view(-1, 1, 1, 1), images.flip(-1), images)
        x = self._normalise(self._placed(images, indices, split, seed, epoch))
        if training and config.erase:
            x = erase(x, draws(indices, 5, seed, epoch, 4), config.erase)
        if config.permutation == "fresh":
            order = draws(indices, x[0, 0].numel(), seed, epoch, 5).argsort(dim=1)
            x = x.flatten(2).gather(2, order[:, None].expand(-1, x.shape[1], -1)).view_as(x)
        elif config.permutation == "sorted":
            x = sort_pixels(x)
        elif self.order is not None:
            self.order = self.order.to(x.device)
            x = x.flatten(2)[:, :, self.order].view_as(x)
        if config.bands and x.shape[1] != config.bands:
            x = x.expand(-1, config.bands, -1, -1)
        return x.contiguous(memory_format=torch.channels_last)

    def _normalise(self, images: Tensor) -> Tensor:
        self.scale, self.offset = self.scale.to(images.device), self.offset.to(images.device)  # copied there once
        return images.to(torch.float32, memory_format=torch.channels_last).mul_(self.scale).add_(self.offset)

    def _placed(self, images: Tensor, indices: Tensor, split: str, seed: int, epoch: int) -> Tensor:
        """Canvas, random translation and test shift: one movement."""
        config = self.config
        spare = [c - s for c, s in zip(self.canvas, self.size, strict=True)]
        moves = config.shift if split == "test" else (0, 0)
        jitter = config.translate if split == "train" else 0
        if not any(spare) and not any(moves) and not jitter:
            return images
        corner = [torch.full_like(indices, s // 2) for s in spare]
        if config.place == "random":
            u = draws(indices, 2, seed, epoch, 2)
            corner = [(u[:, i] * (s + 1)).long() for i, s in enumerate(spare)]
        if jitter:
            u = draws(indices, 2, seed, epoch, 3)
            for i, edge in enumerate(self.canvas):
                if edge > 1:  # a signal moves along itself
                    corner[i] = corner[i] + (u[:, i] * (2 * jitter + 1)).long() - jitter
        return place(images, self.canvas, corner[0] + moves[1], corner[1] + moves[0])


def erase(x: Tensor, u: Tensor, probability: float) -> Tensor:
    """Blank a rectangle of 2 % to 33 % of the area, aspect 0.3 to 3.3, with the mean value (0 once normalised); of a
    signal so much of its length.

    (B, C, H, W), (B, 5) uniform draws -> (B, C, H, W); Zhong et al. 2020, algorithm 1 without rejection.
    """
    h, w = x.shape[2:]
    area = (0.02 + 0.31 * u[:, 1]) * h * w
    aspect = torch.exp((2 * u[:, 2] - 1) * math.log(10 / 3))
    high = (area * aspect).sqrt().round().clamp(1, h)
    wide = (area if h == 1 else (area / aspect).sqrt()).round().clamp(1, w)
    top, left = (u[:, 3] * (h - high + 1)).floor(), (u[:, 4] * (w - wide + 1)).floor()
    rows, columns = torch.arange(h, device=x.device), torch.arange(w, device=x.device)
    in_rows = (rows >= top[:, None]) & (rows < (top + high)[:, None])
    in_columns = (columns >= left[:, None]) & (columns < (left + wide)[:, None])
    hit = (u[:, 0] < probability)[:, None, None] & in_rows[:, :, None] & in_columns[:, None, :]
    return x.masked_fill(hit[:, None], 0.0)
