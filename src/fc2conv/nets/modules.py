"""The layers that torch does not have, as torch modules."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fc2conv.architectures.trace import Shape
from fc2conv.fields import Pair, pair


class ScaledTanh(nn.Module):
    """1.7159 tanh(2a/3): f(1) = 1 and f(-1) = -1 (LeCun et al. 1998, appendix A)."""

    def forward(self, x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(x * (2 / 3))


class TableConv(nn.Conv2d):
    """Convolution whose output map o takes only the input maps table[o].

    Stores the weights it uses, packed map by map: shape (connections, kh, kw). (B, C, H, W) -> (B, len(table), H', W').
    """

    where: Tensor

    def __init__(self, channels: int, table: tuple[tuple[int, ...], ...], kernel: tuple[int, int], **options: Any):
        super().__init__(channels, len(table), kernel, **options)
        full = self.weight
        where = torch.tensor([[o, i] for o, maps in enumerate(table) for i in maps]).T.contiguous()
        self.register_buffer("where", where, persistent=False)
        self.weight = nn.Parameter(torch.empty(where.shape[1], *kernel))
        self.shape = full.shape
        window = kernel[0] * kernel[1]
        self.fans = (window * where.shape[1] / len(table), window * where.shape[1] / channels)
        for w, o in zip(self.weight, where[0].tolist(), strict=True):
            nn.init.uniform_(w, -1, 1).data.mul_((len(table[o]) * w.numel()) ** -0.5)

    def forward(self, input: Tensor) -> Tensor:
        full = self.weight.new_zeros(self.shape).index_put((self.where[0], self.where[1]), self.weight)
        out: Tensor = self._conv_forward(input, full, self.bias)
        return out


class LocallyConnected(nn.Module):
    """D2L equation 7.1.3: H[o,i,j] = U[o,i,j] + sum over |a|,|b| <= D and c of V[o,c,i,j,a,b] X[c,i+a,j+b].

    Has no weight that would fall outside the image: for each offset (a, b) there is one block of (n-|a|)(m-|b|)
    positions, and `weight` holds the blocks one behind the other. (B, C, H, W) -> (B, O, H, W).

    On small images it is one product with the matrix that has these weights, and zeros for what is far: more than ten
    times faster than block by block, which multiplies less. On large ones that matrix would not fit into memory.
    """

    LARGEST = 2**24
    """Entries of the matrix: 64 MiB."""
    where: Tensor | None

    def __init__(self, shape: Shape, out_channels: int, half_width: int):
        super().__init__()
        c, h, w = shape
        self.out_shape = (out_channels, h, w)
        reach = [range(-min(half_width, n - 1), min(half_width, n - 1) + 1) for n in (h, w)]
        self.offsets = [(a, b) for a in reach[0] for b in reach[1]]
        self.blocks = [(out_channels, c, h - abs(a), w - abs(b)) for a, b in self.offsets]
        self.sizes = [o * c * m * n for o, c, m, n in self.blocks]
        self.fans = (c * len(self.offsets), out_channels * len(self.offsets))
        bound = (c * len(self.offsets)) ** -0.5
        self.weight = nn.Parameter(torch.empty(sum(self.sizes)).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(out_channels, h, w).uniform_(-bound, bound))
        self.matrix = (self.bias.numel(), c * h * w)
        fits = self.matrix[0] * self.matrix[1] <= self.LARGEST
        self.register_buffer("where", self._entries(c, h, w) if fits else None, persistent=False)

    def _entries(self, c: int, h: int, w: int) -> Tensor:
        """Index in the flattened matrix of each weight."""
        image = torch.arange(h * w).view(h, w)
        maps, bands = torch.arange(self.out_shape[0])[:, None, None, None], torch.arange(c)[:, None, None]
        found = []
        for a, b in self.offsets:
            unit = image[max(-a, 0) : h - max(a, 0), max(-b, 0) : w - max(b, 0)]
            seen = image[max(a, 0) : h + min(a, 0), max(b, 0) : w + min(b, 0)]
            found.append(((maps * h * w + unit) * (c * h * w) + bands * h * w + seen).flatten())
        return torch.cat(found)

    def forward(self, x: Tensor) -> Tensor:
        if self.where is None:
            return self._by_blocks(x)
        entries = self.weight.new_zeros(self.matrix[0] * self.matrix[1]).index_copy(0, self.where, self.weight)
        return F.linear(x.flatten(1), entries.view(self.matrix), self.bias.flatten()).view(-1, *self.out_shape)

    def _by_blocks(self, x: Tensor) -> Tensor:
        out = self.bias.expand(x.shape[0], *self.out_shape).clone()  # len(x) would be a constant in an exported graph
        h, w = x.shape[2:]
        for (a, b), block, flat in zip(self.offsets, self.blocks, torch.split(self.weight, self.sizes), strict=True):
            seen = x[:, :, max(a, 0) : h + min(a, 0), max(b, 0) : w + min(b, 0)]
            weight = flat.view(block)
            product = seen * weight[0, 0] if block[:2] == (1, 1) else torch.einsum("bchw,ochw->bohw", seen, weight)
            out[:, :, max(-a, 0) : h - max(a, 0), max(-b, 0) : w - max(b, 0)] += product
        return out


class DenseImage(nn.Linear):
    """D2L equation 7.1.1: every hidden unit sees every pixel. (B, C, H, W) -> (B, O, H, W)."""

    def __init__(self, shape: Shape, out_channels: int):
        c, h, w = shape
        super().__init__(c * h * w, out_channels * h * w)
        self.out_shape = (out_channels, h, w)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.flatten(1)).view(-1, *self.out_shape)


class SharedImage(nn.Module):
    """D2L equation 7.1.2: H[o,i,j] = u[o] + sum over c,k,l of V[o,c,k-i,l-j] X[c,k,l].

    The same function as a convolution with the (2h-1) x (2w-1) `weight` and zero padding, but as one matrix product
    with tied weights, which skips the padding and is some fifty times faster here. (B, C, H, W) -> (B, O, H, W).
    """

    def __init__(self, shape: Shape, out_channels: int):
        super().__init__()
        c, h, w = shape
        self.fans = (c * h * w, out_channels * h * w)
        bound = (c * h * w) ** -0.5  # a unit has that many inputs: the rest of the kernel lies outside the image
        self.weight = nn.Parameter(torch.empty(out_channels, c, 2 * h - 1, 2 * w - 1).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(out_channels).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        c, h, w = x.shape[1:]
        windows = self.weight.unfold(2, h, 1).unfold(3, w, 1).flip(2, 3)  # (O, C, i, j, k, l)
        matrix = windows.permute(0, 2, 3, 1, 4, 5).reshape(-1, c * h * w)
        out = F.linear(x.flatten(1), matrix, self.bias.repeat_interleave(h * w))
        return out.view(-1, len(self.weight), h, w)


class Subsample(nn.Module):
    """Sum of each window, 2x2 if not said otherwise, times a trained coefficient plus a trained bias.

    (B, C, H, W) -> (B, C, H//2, W//2), by the window.
    """

    def __init__(self, channels: int, size: Pair = (2, 2)):
        super().__init__()
        self.size, self.inputs = size, size[0] * size[1]
        self.weight = nn.Parameter(torch.full((channels, 1, 1), 1 / self.inputs))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        # torch's ONNX export drops a divisor
        return F.avg_pool2d(x, self.size) * (self.inputs * self.weight) + self.bias


class MaxBlurPool(nn.Module):
    """Maximum with stride 1, then a fixed 3x3 binomial filter with the stride (Zhang 2019, figure 2); 1x3 where the
    window is one pixel high.

    (B, C, H, W) -> (B, C, H//2, W//2) for size and stride 2.
    """

    kernel: Tensor

    def __init__(self, channels: int, size: int | Pair, stride: int | Pair):
        super().__init__()
        self.size, self.stride = pair(size), pair(stride)
        column, row = (torch.tensor([0.25, 0.5, 0.25] if n > 1 else [1.0]) for n in self.size)
        self.border = [n // 2 for n in (len(row), len(row), len(column), len(column))]
        self.register_buffer("kernel", (column[:, None] * row).repeat(channels, 1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(F.max_pool2d(x, self.size, 1), self.border, mode="replicate")
        return F.conv2d(x, self.kernel, stride=self.stride, groups=x.shape[1])


class Coordinates(nn.Module):
    """Append each pixel's x and y in [-1, 1]. (B, C, H, W) -> (B, C + 2, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        b, _, h, w = x.shape
        ys = torch.linspace(-1, 1, h, device=x.device, dtype=x.dtype).view(1, 1, h, 1).expand(b, 1, h, w)
        xs = torch.linspace(-1, 1, w, device=x.device, dtype=x.dtype).view(1, 1, 1, w).expand(b, 1, h, w)
        return torch.cat([x, xs, ys], dim=1)


class Residual(nn.Module):
    """body(x) + x; x is subsampled and filled up with zero channels where the body changes the shape (option A)."""

    def __init__(self, body: nn.Module, shape: Shape, out_shape: Shape):
        super().__init__()
        self.body = body
        self.strides = tuple(-(-n // m) for n, m in zip(shape[1:], out_shape[1:], strict=True))
        self.extra = out_shape[0] - shape[0]

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        if max(self.strides) > 1:
            x = x[:, :, :: self.strides[0], :: self.strides[1]]
        if self.extra:
            x = F.pad(x, (0, 0, 0, 0, 0, self.extra))
        return y + x


DIGITS = (
    ".#####. ##...## ##...## ##...## ##...## ##...## ##...## ##...## ##...## ##...## ##...## .#####.",
    "...##.. ..###.. .####.. ...##.. ...##.. ...##.. ...##.. ...##.. ...##.. ...##.. ...##.. .######",
    ".#####. ##...## .....## .....## ....##. ...##.. ..##... .##.... ##..... ##..... ##..... #######",
    ".#####. ##...## .....## .....## .....## ..####. .....## .....## .....## .....## ##...## .#####.",
    "....##. ...###. ..####. .##.##. ##..##. ##..##. ##..##. ####### ....##. ....##. ....##. ....##.",
    "####### ##..... ##..... ##..... ######. .....## .....## .....## .....## .....## ##...## .#####.",
    "..####. .##.... ##..... ##..... ##..... ######. ##...## ##...## ##...## ##...## ##...## .#####.",
    "####### .....## .....## ....##. ....##. ...##.. ...##.. ..##... ..##... .##.... .##.... .##....",
    ".#####. ##...## ##...## ##...## ##...## .#####. ##...## ##...## ##...## ##...## ##...## .#####.",
    ".#####. ##...## ##...## ##...## ##...## ##...## .###### .....## .....## .....## ....##. .####..",
)
"""7x12 drawings of the ten digits, row by row: the codes of LeNet-5's output units, in the manner of its figure 3."""


class RBF(nn.Module):
    """Minus the squared distance of the features to each class's code: (B, 84) -> (B, classes), largest is nearest.

    Ten classes have the bitmaps of the digits; other numbers of classes or features have random codes of +1 and -1.
    """

    def __init__(self, features: int, classes: int, trained: bool):
        super().__init__()
        if features == 84 and classes == len(DIGITS):
            codes = torch.tensor([[1.0 if p == "#" else -1.0 for p in d.replace(" ", "")] for d in DIGITS])
        else:
            generator = torch.Generator().manual_seed(0)
            codes = torch.randint(2, (classes, features), generator=generator) * 2.0 - 1
        if trained:
            self.codes = nn.Parameter(codes)
        else:
            self.register_buffer("codes", codes)

    def forward(self, x: Tensor) -> Tensor:
        return -(x[:, None, :] - self.codes).square().sum(-1)
