"""A layer as the matrix that it is: which unit is connected with which input, and which connections share a weight.

A convolution is a fully connected layer most of whose entries are zero and whose others repeat (D2L 7.1.2 and 7.1.3):
LeNet's first one is a 4,704 x 784 matrix with 107,736 entries that may differ from zero, and 150 weights. Here that is
written out from the definition, without torch's convolution:

    H[o, i, j] = u[o] + sum over c, a, b of V[o, c, a, b] X[c, s i + d a - p, s j + d b - p]

for stride s, dilation d and padding p; an index outside the image is no connection (zeros), or another pixel (circular,
reflect, replicate).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fc2conv.architectures.trace import Shape
from fc2conv.errors import ConfigError
from fc2conv.fields import pair, spelled
from fc2conv.instruments.drawing import heat
from fc2conv.nets.modules import DenseImage, LocallyConnected, SharedImage, TableConv

if TYPE_CHECKING:
    from PIL.Image import Image

OUTSIDE = -1
"""In place of an input's index: beyond the image, where zeros are."""


@dataclass(frozen=True)
class Connections:
    """The structure of a linear layer, whatever its weights: N connections of an output unit with an input."""

    rows: Tensor
    """(N,) int64: the output unit of each, counted through (O, H', W')."""
    columns: Tensor
    """(N,) int64: the input, counted through (C, H, W)."""
    weights: Tensor
    """(N,) int64: where its weight lies in the layer's flattened `weight`."""
    shape: tuple[int, int]
    """(output units, inputs): of the matrix."""
    out_shape: Shape
    """(O, H', W'), or (features,)."""
    n_weights: int
    """Weights of the layer. Some may be without a connection: those that meet nothing but padding."""

    @property
    def nonzeros(self) -> int:
        """Entries of the matrix that may differ from zero."""
        return int((self.matrix(torch.ones(self.n_weights, device=self.rows.device)) > 0).sum())

    @property
    def distinct(self) -> int:
        """Weights that the matrix is made of."""
        return int((torch.bincount(self.weights) > 0).sum())

    def matrix(self, weight: Tensor) -> Tensor:
        """(output units, inputs), differentiable in the layer's `weight`. Weights that meet in one entry add up."""
        zeros = weight.new_zeros(self.shape)
        return zeros.index_put((self.rows, self.columns), weight.flatten()[self.weights], accumulate=True)


class TiedLinear(nn.Module):
    """A linear layer of any connections, as one product with the matrix that they make. (B, C, H, W) -> (B, O, H', W').

    Args:
        connections: their structure
        biases: one for each output unit (`unit`), one for each map (`map`), or none
    """

    rows: Tensor
    columns: Tensor
    where: Tensor

    def __init__(self, connections: Connections, biases: Literal["unit", "map", "none"] = "unit"):
        super().__init__()
        self.shape, self.out_shape = connections.shape, connections.out_shape
        for name, value in (("rows", connections.rows), ("columns", connections.columns)):
            self.register_buffer(name, value, persistent=False)
        self.register_buffer("where", connections.weights, persistent=False)
        bound = (len(connections.rows) / connections.shape[0]) ** -0.5  # 1 / sqrt(inputs of a unit), as torch has it
        self.weight = nn.Parameter(torch.empty(connections.n_weights).uniform_(-bound, bound))
        size = {"unit": self.out_shape, "map": self.out_shape[:1], "none": None}[biases]
        self.bias = nn.Parameter(torch.empty(size).uniform_(-bound, bound)) if size else None

    @property
    def connections(self) -> Connections:
        return Connections(self.rows, self.columns, self.where, self.shape, self.out_shape, self.weight.numel())

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else spread(self.bias, self.shape[0])
        return F.linear(x.flatten(1), self.connections.matrix(self.weight), bias).view(-1, *self.out_shape)


LinearLayer: TypeAlias = nn.Conv2d | nn.Linear | LocallyConnected | SharedImage | TiedLinear
"""What has a matrix; TableConv and DenseImage are among them."""


def spread(bias: Tensor, units: int) -> Tensor:
    """A bias for each map, or each unit already, as (units,)."""
    return bias.flatten().repeat_interleave(units // bias.numel())


def connections(layer: LinearLayer, shape: Shape) -> Connections:
    """The connections of a layer on inputs of `shape`, (C, H, W).

    Convolutions may be rectangular, strided, padded in any way, dilated, grouped or with a table.

    Raises:
        ConfigError: a layer that has no such matrix, or an input that it does not take
    """
    match layer:
        case LocallyConnected():
            return _local(layer, shape)
        case SharedImage():
            return everywhere(None, (len(layer.weight), *shape[1:]), shape)
        case TiedLinear():
            return layer.connections
        case nn.Linear():
            return _dense(layer, shape)
        case nn.Conv2d():
            return _conv(layer, shape)
    raise ConfigError(
        "layer", f"got a {type(layer).__name__}, expected a convolution, or a dense, local or shared layer"
    )


def matrix_of(layer: LinearLayer, shape: Shape) -> Tensor:
    """The layer's matrix, (output units, inputs), in its own precision. Errors as `connections`."""
    return connections(layer, shape).matrix(layer.weight.detach())


def bias_of(layer: LinearLayer, out_shape: Shape) -> Tensor:
    """What each output unit adds, (output units,); zeros for a layer without a bias."""
    if layer.bias is None:
        return layer.weight.detach().new_zeros(prod(out_shape))
    return spread(layer.bias.detach(), prod(out_shape))


def picture(matrix: Tensor) -> Image:
    """The matrix as an image, each row an output unit: a convolution's repeated diagonals."""
    return heat(matrix.detach().cpu().double().numpy())


# ------------------------------------------------------------------------------------------- the layers' connections


def _conv(conv: nn.Conv2d, shape: Shape) -> Connections:
    """As the sum at the top of this file has it."""
    c, h, w = _image(shape, conv.in_channels)
    down, across = _taken(conv, 0, h), _taken(conv, 1, w)  # (H', kh), (W', kw): which row and column a weight meets
    outputs, inputs = pairs(conv)
    pixels = torch.where(
        (down[:, None, :, None] == OUTSIDE) | (across[None, :, None, :] == OUTSIDE),
        OUTSIDE,
        down[:, None, :, None] * w + across[None, :, None, :],
    )  # (H', W', kh, kw)
    n, m = pixels.shape[:2]
    units = torch.arange(n * m).view(n, m, 1, 1)
    taps = torch.arange(prod(conv.kernel_size)).view(1, 1, *conv.kernel_size)
    each = torch.arange(len(outputs)).view(-1, 1, 1, 1, 1)
    rows, columns, weights = torch.broadcast_tensors(  # type: ignore[no-untyped-call]
        outputs.view(-1, 1, 1, 1, 1) * (n * m) + units,
        torch.where(pixels == OUTSIDE, OUTSIDE, inputs.view(-1, 1, 1, 1, 1) * (h * w) + pixels),
        each * taps.numel() + taps,
    )
    inside = columns != OUTSIDE
    out_shape = (conv.out_channels, n, m)
    return Connections(
        rows[inside], columns[inside], weights[inside], (prod(out_shape), c * h * w), out_shape, conv.weight.numel()
    )


def pairs(conv: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """(output maps, input maps), each (P,): those that a convolution connects, in the order of its weights."""
    if isinstance(conv, TableConv):
        return conv.where[0].cpu(), conv.where[1].cpu()
    each = conv.in_channels // conv.groups
    outputs = torch.arange(conv.out_channels).repeat_interleave(each)
    group = outputs // (conv.out_channels // conv.groups)
    return outputs, group * each + torch.arange(each).repeat(conv.out_channels)


def pads(conv: nn.Conv2d, axis: int) -> tuple[int, int]:
    """(before, after): pixels of padding on an axis, 0 down and 1 across."""
    if conv.padding == "valid":
        return 0, 0
    if conv.padding == "same":
        total = conv.dilation[axis] * (conv.kernel_size[axis] - 1)
        return total // 2, total - total // 2
    assert isinstance(conv.padding, tuple)
    return conv.padding[axis], conv.padding[axis]


def _taken(conv: nn.Conv2d, axis: int, n: int) -> Tensor:
    """(output positions, kernel): the index on an axis of `n` pixels that each weight meets at each position."""
    stride, dilation, kernel = conv.stride[axis], conv.dilation[axis], conv.kernel_size[axis]
    before, after = pads(conv, axis)
    positions = (n + before + after - dilation * (kernel - 1) - 1) // stride + 1
    if positions < 1:
        raise ConfigError("shape", f"got {n} pixels, which the kernel {spelled(pair(conv.kernel_size))} does not fit")  # type: ignore[arg-type]
    at = torch.arange(positions)[:, None] * stride + torch.arange(kernel) * dilation - before
    match conv.padding_mode:
        case "circular":
            return at % n
        case "replicate":
            return at.clamp(0, n - 1)
        case "reflect":
            return n - 1 - (n - 1 - at.abs()).abs()
    return torch.where((at >= 0) & (at < n), at, OUTSIDE)


def everywhere(conv: nn.Conv2d | None, out_shape: Shape, shape: Shape) -> Connections:
    """Every unit of (O, H', W') with every input of (C, H, W), under weights that depend on their offset only, as
    SharedImage has them: V[o, c, k - s i, l - s j], the smallest offset first (D2L equation 7.1.2).

    Args:
        conv: whose maps are connected, whose strides are taken, and on a torus if it pads circularly. None: all maps,
            1, and no
    """
    (o, n, m), (channels, h, w) = out_shape, shape
    if conv is None:
        outputs, inputs = torch.arange(o).repeat_interleave(channels), torch.arange(channels).repeat(o)
    else:
        outputs, inputs = pairs(conv)
    down, high = _offsets(conv, 0, n, h)
    across, wide = _offsets(conv, 1, m, w)  # (W', W)
    p, i, j, k, l = torch.meshgrid(*(torch.arange(x) for x in (len(outputs), n, m, h, w)), indexing="ij")  # noqa: E741
    return Connections(
        ((outputs[p] * n + i) * m + j).flatten(),
        ((inputs[p] * h + k) * w + l).flatten(),
        ((p * high + down[i, k]) * wide + across[j, l]).flatten(),
        (o * n * m, channels * h * w),
        out_shape,
        len(outputs) * high * wide,
    )


def _offsets(conv: nn.Conv2d | None, axis: int, units: int, n: int) -> tuple[Tensor, int]:
    """((units, n): which offset on an axis a unit and a pixel have, counted from 0; how many there are)."""
    stride = conv.stride[axis] if conv else 1
    offset = torch.arange(n) - stride * torch.arange(units)[:, None]
    if conv and conv.padding_mode == "circular":
        return offset % n, n
    return offset + stride * (units - 1), n + stride * (units - 1)


def _local(layer: LocallyConnected, shape: Shape) -> Connections:
    """Block by block, as the layer stores its weights."""
    _, h, w = shape
    rows, columns = [], []
    for (a, b), block in zip(layer.offsets, layer.blocks, strict=True):
        o, c, i, j = torch.meshgrid(*(torch.arange(n) for n in block), indexing="ij")
        i, j = i + max(-a, 0), j + max(-b, 0)
        rows.append(((o * h + i) * w + j).flatten())
        columns.append(((c * h + i + a) * w + j + b).flatten())
    n = layer.weight.numel()
    matrix = prod(layer.out_shape), prod(shape)
    return Connections(torch.cat(rows), torch.cat(columns), torch.arange(n), matrix, layer.out_shape, n)


def _dense(layer: nn.Linear, shape: Shape) -> Connections:
    if prod(shape) != layer.in_features:
        raise ConfigError("shape", f"got {list(shape)}, expected one of {layer.in_features} inputs in all")
    n, m = layer.out_features, layer.in_features
    out_shape = layer.out_shape if isinstance(layer, DenseImage) else (n,)
    every = torch.arange(n * m)
    return Connections(every // m, every % m, every, (n, m), out_shape, n * m)


def _image(shape: Shape, channels: int) -> tuple[int, int, int]:
    if len(shape) != 3 or shape[0] != channels:
        raise ConfigError("shape", f"got {list(shape)}, expected [{channels},height,width]")
    return shape[0], shape[1], shape[2]
