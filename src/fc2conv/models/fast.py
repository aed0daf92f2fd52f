"""Layers of torch, arranged so that a CPU trains them faster on images with few channels.

With six channels torch's channels-last kernels fill no vector register, and each operation goes through memory: of a
step of `lenet_modern` the first norm and pooling took as long as their convolution. kernels.c does them, a ReLU behind
them, and on images of one channel the convolution in front of them, together. A batch norm that stands alone sees an
image as rows of W*C numbers, so that an instruction spans several pixels. Wherever that is of no use, torch's layers
are called. benchmarks/README.md has the figures; tests/test_fast.py compares values and gradients with torch's.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

import fc2conv.models.kernels as kernels


class Sequential(nn.Sequential):
    """nn.Sequential that takes a batch norm, the max-pooling behind it and a ReLU behind that as one operation, and a
    convolution of one input channel in front of them as a part of it.

    The modules, their names and the function are as in nn.Sequential, but hooks of the modules that are taken together
    are not called.
    """

    def forward(self, input: Tensor) -> Tensor:
        x, rest = input, list(self)
        while rest:
            first, second, third = (*rest[:3], None, None)[:3]
            conv = cast(Conv2d, first) if _starts(first, second, third, x) else None
            if conv is not None:
                del rest[0]
            elif not _joins(first, second, x):
                x = rest.pop(0)(x)
                continue
            norm = cast(BatchNorm2d, rest[0])
            relu = len(rest) > 2 and type(rest[2]) is nn.ReLU
            x = norm.pooled(x, relu, conv)
            del rest[: 3 if relu else 2]
        return x


class Conv2d(nn.Conv2d):
    """nn.Conv2d; on the CPU, for few input channels and no padding, their gradient is found by kernels.c."""

    def forward(self, input: Tensor) -> Tensor:
        if (
            input.requires_grad
            and torch.is_grad_enabled()
            and (self.stride, self.padding, self.dilation, self.groups) == ((1, 1), (0, 0), (1, 1), 1)
            and kernels.conv_takes(input, self.weight)
        ):
            return kernels.conv(input, self.weight, self.bias)
        return super().forward(input)


class BatchNorm2d(nn.BatchNorm2d):
    """nn.BatchNorm2d; on the CPU, in training, for few channels, by `_NormRows`, or with a pooling by kernels.c."""

    def forward(self, input: Tensor) -> Tensor:
        if not (self.training and _few(input, self.num_features)):
            return super().forward(input)
        y, mean, var = cast(Any, _NormRows).apply(input, self.weight, self.bias, self.eps)
        self._track(mean, var, input.numel() / self.num_features)
        return cast(Tensor, y)

    def pooled(self, x: Tensor, relu: bool, conv: Conv2d | None = None) -> Tensor:
        """(The convolution,) this norm, a 2x2 maximum and ReLU if wanted."""
        assert self.running_mean is not None
        assert self.running_var is not None
        norm = (self.weight, self.bias, self.eps, None if self.training else (self.running_mean, self.running_var))
        if conv is None:
            y, mean, var = kernels.norm_pool(x, *norm, relu)
        else:
            y, mean, var = kernels.stage(x, conv.weight, cast(tuple[int, int], conv.padding), *norm, relu)
        if self.training:
            self._track(mean, var, 4 * y.numel() / self.num_features)
        return y

    def _track(self, mean: Tensor, var: Tensor, n: float) -> None:
        """Move the running statistics towards those of a batch of `n` pixels, (C,) each."""
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            assert self.momentum is not None
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * (n / (n - 1)), self.momentum)


def _few(x: Tensor, channels: int) -> bool:
    """Whether a vector register for `x`, on the CPU, has more floats than there are channels."""
    return x.device.type == "cpu" and x.dtype == torch.float32 and channels < 8


def _joins(norm: nn.Module | None, pool: nn.Module | None, x: Tensor) -> bool:
    """Whether the two are a batch norm and a plain 2x2 pooling that kernels.c can do on `x`."""
    return _poolable(norm, pool) and kernels.norm_pool_takes(x, cast(BatchNorm2d, norm).weight)


def _starts(conv: nn.Module | None, norm: nn.Module | None, pool: nn.Module | None, x: Tensor) -> bool:
    """Whether kernels.c can do the three on `x`, which are images of one channel."""
    return (
        type(conv) is Conv2d
        and not x.requires_grad
        and conv.bias is None
        and (conv.stride, conv.dilation, conv.padding_mode) == ((1, 1), (1, 1), "zeros")
        and not isinstance(conv.padding, str)
        and _poolable(norm, pool)
        and kernels.stage_takes(x, conv.weight, cast(tuple[int, int], conv.padding), cast(BatchNorm2d, norm).weight)
    )


def _poolable(norm: nn.Module | None, pool: nn.Module | None) -> bool:
    """Whether the two are a batch norm and a plain 2x2 pooling.

    A norm that uses its running statistics is left to torch if gradients are wanted.
    """
    return (
        isinstance(norm, BatchNorm2d)
        and isinstance(pool, nn.MaxPool2d)
        and (norm.training or not torch.is_grad_enabled())
        and (pool.kernel_size, pool.stride, pool.padding, pool.dilation) in ((2, 2, 0, 1), ((2, 2), (2, 2), 0, 1))
        and not (pool.ceil_mode or pool.return_indices)
    )


def _tiled(values: Tensor, times: int) -> Tensor:
    """(C,) -> (times * C,), as Tensor.repeat, which takes far longer for as few as these."""
    return values.expand(times, -1).reshape(-1)


class _NormRows(torch.autograd.Function):
    """Batch norm over (B, C, H, W) as rows of W*C numbers, so that a vector instruction spans several pixels.

    Returns the output and the batch's mean and (biased) variance, (C,) each.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        b, c, h, w = ctx.shape = x.shape
        rows, n = _rows(x), b * h * w
        mean = rows.sum(0).view(w, c).sum(0) / n
        centred = rows - _tiled(mean, w)
        var = centred.square().sum(0).view(w, c).sum(0) / n
        scale = (var + eps).rsqrt()
        ctx.save_for_backward(centred, scale, weight)
        ctx.mark_non_differentiable(mean, var)
        return _image(torch.addcmul(_tiled(bias, w), centred, _tiled(scale * weight, w)), x.shape), mean, var

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        centred, scale, weight = ctx.saved_tensors
        b, c, h, w = ctx.shape
        grad, n = _rows(grads[0]), b * h * w
        for_bias = grad.sum(0).view(w, c).sum(0)
        for_weight = (grad * centred).sum(0).view(w, c).sum(0) * scale
        slope = weight * scale
        dx = torch.addcmul(_tiled(-slope * for_bias / n, w), grad, _tiled(slope, w))
        dx.addcmul_(centred, _tiled(-slope * scale * for_weight / n, w))
        return _image(dx, ctx.shape), for_weight, for_bias, None


def _rows(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B*H, W*C), a view if x is channels_last."""
    b, c, h, w = x.shape
    return x.permute(0, 2, 3, 1).reshape(b * h, w * c)


def _image(rows: Tensor, shape: torch.Size) -> Tensor:
    """The reverse of `_rows`."""
    b, c, h, w = shape
    return rows.view(b, h, w, c).permute(0, 3, 1, 2)
