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

MOST_CHANNELS = 64  # of a norm: as in kernels.c
RUN = 32  # numbers that the input gradient's sums come in


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


def norm_pool_takes(x: Tensor, maps: int, weight: Tensor, split: bool) -> bool:
    """Whether `norm_pool` can be used on `x`, or if `split` on what a convolution of `x` to `maps` maps gives."""
    even = split or not (x.dim() == 4 and (x.shape[2] % 2 or x.shape[3] % 2))
    return _takes(x, weight) and maps == len(weight) <= MOST_CHANNELS and even


def norm_pool(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    moments: tuple[Tensor, Tensor] | None,
    split: bool,
    relu: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Batch norm, the maximum of 2x2 pixels, and ReLU if wanted, in two passes; of equal pixels the first in reading
    order gets the gradient, as in torch.

    Args:
        x: (B, C, H, W), H and W even, or if `split` (B, 4C, H/2, W/2): the channels of each window's four pixels one
            behind the other, column by column
        weight, bias: (C,)
        moments: mean and variance to normalise by, (C,) each; null: those of the batch. Only these have a gradient.

    Returns:
        (B, C, H/2, W/2), and the mean and (biased) variance that were used, (C,) each
    """
    y, statistics = cast(Any, _NormPool).apply(x, weight, bias, eps, moments, split, relu)
    return y, statistics[0], statistics[1]


def conv_takes(x: Tensor, weight: Tensor) -> bool:
    """Whether `conv` is of use: few input channels, which torch's channels-last kernels have no vectors for."""
    _, channels, _, columns = weight.shape
    return _takes(x, weight) and channels < 8 and columns * channels >= RUN / 2


def conv(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """F.conv2d with stride 1 and no padding, which finds the gradient of its input faster."""
    return cast(Tensor, cast(Any, _Conv).apply(x, weight, bias))


class _Windows(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_ssize_t) for name in ("images", "rows", "columns", "channels", "image", "row", "column")),
        ("pixel", ctypes.c_ssize_t * 4),
    )

    @classmethod
    def of(cls, shape: torch.Size, c: int, split: bool) -> _Windows:
        """The windows of (B, H, W, C), or if `split` of (B, H/2, W/2, 4C)."""
        b, h, w, _ = shape
        if split:
            return cls(b, h, w, c, h * w * 4 * c, w * 4 * c, 4 * c, (0, 2 * c, c, 3 * c))
        return cls(b, h // 2, w // 2, c, h * w * c, 2 * w * c, 2 * c, (0, c, w * c, w * c + c))


class _NormPool(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        eps: float,
        moments: tuple[Tensor, Tensor] | None,
        split: bool,
        relu: bool,
    ) -> tuple[Tensor, Tensor]:
        pixels, c = x.permute(0, 2, 3, 1).contiguous(), len(weight)
        windows = _Windows.of(pixels.shape, c, split)
        largest = pixels.new_empty(len(pixels), windows.rows, windows.columns, c)
        out, statistics = torch.empty_like(largest), pixels.new_empty(3, c)
        if moments is not None:
            torch.stack(moments, out=statistics[:2])
        sums = pixels.new_empty(len(pixels), 2, c)
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
        return dx.permute(0, 3, 1, 2), dweight, dbias, None, None, None, None


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
