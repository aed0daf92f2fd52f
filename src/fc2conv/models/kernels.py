"""kernels.c from Python: what a small network's step spends most time in, on the CPU.

It is compiled when the project is installed. Where there was no compiler nothing is taken: torch's own layers do it.
"""

from __future__ import annotations

import ctypes
import sysconfig
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def _load() -> ctypes.CDLL | None:
    """The library beside this file. It runs on torch's threads (libgomp), so torch is to be loaded before it."""
    try:
        return ctypes.CDLL(str(Path(__file__).with_name(f"_kernels{sysconfig.get_config_var('EXT_SUFFIX')}")))
    except OSError:  # none, or of another kind of machine
        return None


library = _load()

MOST_CHANNELS = 64  # of a norm, and
LANES = 8  # images in a vector: as in kernels.c
MOST_PIXELS = 90 * 90  # of a padded image: eight of them are 260 kB of a thread's stack
RUN = 32  # numbers that the input gradient's sums come in

Moments = tuple[Tensor, Tensor] | None
"""Mean and variance to normalise by, (C,) each; None: those of the batch."""


def _takes(x: Tensor, weight: Tensor) -> bool:
    """Whether there are kernels for such images; with autocast the dtype says nothing about the next layer's."""
    return (
        library is not None
        and x.device.type == weight.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.dim() == 4
        and x.numel() > 0
        and not torch.is_autocast_enabled("cpu")
    )


def norm_pool_takes(x: Tensor, weight: Tensor) -> bool:
    """Whether `norm_pool` can be used."""
    return _takes(x, weight) and x.shape[1] == len(weight) <= MOST_CHANNELS and _even(*x.shape[2:])


def _even(height: int, width: int) -> bool:
    return height % 2 == width % 2 == 0


def norm_pool(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    moments: Moments,
    relu: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Batch norm, the maximum of 2x2 pixels, and ReLU if wanted, in two passes; of equal pixels the first in reading
    order gets the gradient, as in torch.

    Args:
        x: (B, C, H, W), H and W even
        weight, bias: (C,)
        moments: mean and variance to normalise by, (C,) each; null: those of the batch. Only these have a gradient.

    Returns:
        (B, C, H/2, W/2), and the mean and (biased) variance that were used, (C,) each
    """
    y, statistics = cast(Any, _NormPool).apply(x, weight, bias, eps, moments, relu)
    return y, statistics[0], statistics[1]


def stage_takes(x: Tensor, weight: Tensor, padding: tuple[int, int], norm_weight: Tensor) -> bool:
    """Whether `stage` can be used: images of one channel, whose padded pixels do not take much of a thread's stack."""
    if not (_takes(x, weight) and _takes(x, norm_weight)):
        return False
    maps, channels, *kernel = weight.shape
    padded = [n + 2 * p for n, p in zip(x.shape[2:], padding, strict=True)]
    return (
        x.shape[1] == channels == 1
        and maps == len(norm_weight) <= MOST_CHANNELS
        and padded[0] * padded[1] <= MOST_PIXELS
        and all(k <= n for k, n in zip(kernel, padded, strict=True))
        and _even(*(n - k + 1 for k, n in zip(kernel, padded, strict=True)))
    )


def stage(
    x: Tensor,
    weight: Tensor,
    padding: tuple[int, int],
    norm_weight: Tensor,
    norm_bias: Tensor,
    eps: float,
    moments: Moments,
    relu: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """`norm_pool` of F.conv2d(x, weight, padding=padding), which is stored nowhere. There is no gradient of `x`.

    Args:
        x: (B, 1, H, W); the convolution's height and width are even
        weight: (C, 1, rows, columns)
        the others: as of `norm_pool`

    Returns:
        as `norm_pool`
    """
    y, statistics = cast(Any, _Stage).apply(x, weight, padding, norm_weight, norm_bias, eps, moments, relu)
    return y, statistics[0], statistics[1]


def conv_takes(x: Tensor, weight: Tensor) -> bool:
    """Whether `conv` is of use: few input channels, which torch's channels-last kernels have no vectors for."""
    _, channels, _, columns = weight.shape
    return _takes(x, weight) and channels < 8 and columns * channels >= RUN / 2


def conv(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """F.conv2d with stride 1 and no padding, which finds the gradient of its input faster."""
    return cast(Tensor, cast(Any, _Conv).apply(x, weight, bias))


class _Windows(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_ssize_t) for name in ("images", "rows", "columns", "channels"))


class _NormPool(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, moments: Moments, relu: bool
    ) -> tuple[Tensor, Tensor]:
        pixels = x.permute(0, 2, 3, 1).contiguous()
        b, h, w, c = pixels.shape
        windows = _Windows(b, h // 2, w // 2, c)
        largest = pixels.new_empty(b, h // 2, w // 2, c)
        out, statistics, sums = torch.empty_like(largest), _statistics(moments, weight), pixels.new_empty(b, 2, c)
        assert library is not None
        library.norm_pool_forward(
            ctypes.byref(windows),
            *_addresses(pixels, weight, bias),
            ctypes.c_double(eps),
            int(moments is None),
            int(relu),
            *_addresses(largest, sums, statistics, out),
        )
        ctx.save_for_backward(pixels, weight, largest, statistics, out)
        ctx.mark_non_differentiable(statistics)
        ctx.windows, ctx.relu = windows, relu
        return out.permute(0, 3, 1, 2), statistics

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        pixels, weight, largest, statistics, out = ctx.saved_tensors
        grad = grads[0].permute(0, 2, 3, 1).contiguous()
        dx, dweight, dbias = torch.empty_like(pixels), torch.empty_like(weight), torch.empty_like(weight)
        sums = pixels.new_empty(len(pixels), 2, len(weight))
        assert library is not None
        library.norm_pool_backward(
            ctypes.byref(ctx.windows),
            *_addresses(pixels, weight, largest, statistics, out, grad),
            int(ctx.relu),
            *_addresses(sums, dweight, dbias, dx),
        )
        return dx.permute(0, 3, 1, 2), dweight, dbias, None, None, None


def _statistics(moments: Moments, weight: Tensor) -> Tensor:
    """Room for the mean, the variance and the inverse of the standard deviation: (3, C)."""
    statistics = weight.new_empty(3, len(weight))
    if moments is not None:
        torch.stack(moments, out=statistics[:2])
    return statistics


class _Shapes(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_ssize_t) for name in ("images", "height", "width", "maps", "rows", "columns", "top", "left")
    )


class _Stage(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        padding: tuple[int, int],
        norm_weight: Tensor,
        norm_bias: Tensor,
        eps: float,
        moments: Moments,
        relu: bool,
    ) -> tuple[Tensor, Tensor]:
        (b, _, h, w), (maps, _, rows, columns), (top, left) = x.shape, weight.shape, padding
        high, wide, blocks = (h + 2 * top - rows + 1) // 2, (w + 2 * left - columns + 1) // 2, -(-b // LANES)
        shapes = _Shapes(b, h, w, maps, rows, columns, top, left)
        x, weight = x.contiguous(), weight.contiguous()
        largest, sums = x.new_empty(blocks, high * wide, maps, LANES), x.new_empty(blocks, 2, maps, LANES)
        out, statistics = x.new_empty(b, high, wide, maps), _statistics(moments, norm_weight)
        assert library is not None
        library.stage_forward(
            ctypes.byref(shapes),
            *_addresses(x, weight, norm_weight, norm_bias),
            ctypes.c_double(eps),
            int(moments is None),
            int(relu),
            *_addresses(largest, sums, statistics, out),
        )
        ctx.save_for_backward(x, weight, norm_weight, largest, statistics, out)
        ctx.mark_non_differentiable(statistics)
        ctx.shapes, ctx.relu = shapes, relu
        return out.permute(0, 3, 1, 2), statistics

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, norm_weight, largest, statistics, out = ctx.saved_tensors
        grad = grads[0].permute(0, 2, 3, 1).contiguous()
        passed = torch.empty_like(largest)
        dweight, dnorm, dbias = (torch.empty_like(t) for t in (weight, norm_weight, norm_weight))
        sums, dweights = (
            x.new_empty(len(largest), 2, len(weight), LANES),
            x.new_empty(len(largest), weight.numel(), LANES),
        )
        assert library is not None
        library.stage_backward(
            ctypes.byref(ctx.shapes),
            *_addresses(x, weight, norm_weight, largest, statistics, out, grad),
            int(ctx.relu),
            *_addresses(passed, sums, dweights, dweight, dnorm, dbias),
        )
        return None, dweight, None, dnorm, dbias, None, None, None


class _Convolution(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_ssize_t) for name in ("images", "height", "width", "channels", "maps", "rows", "columns")
    )


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        _, *wanted = ctx.needs_input_grad
        options = ([len(weight)], [1, 1], [0, 0], [1, 1], False, [0, 0], 1)
        _, dw, db = torch.ops.aten.convolution_backward(*grads, x, weight, *options, [False, *wanted])
        b, c, h, w = x.shape
        maps, _, rows, columns = weight.shape
        runs = weight.permute(2, 0, 3, 1).reshape(rows, maps, columns * c)
        runs = F.pad(runs, (0, -columns * c % RUN))
        grad = grads[0].permute(0, 2, 3, 1).contiguous()
        dx = grad.new_empty(b, h, w, c)
        assert library is not None
        library.convolution_input_gradient(
            ctypes.byref(_Convolution(b, h, w, c, maps, rows, columns)),
            ctypes.c_ssize_t(runs.shape[2]),
            *_addresses(grad, runs, dx),
        )
        return dx.permute(0, 3, 1, 2), dw, db


def _addresses(*tensors: Tensor) -> list[ctypes.c_void_p]:
    return [ctypes.c_void_p(t.data_ptr()) for t in tensors]
