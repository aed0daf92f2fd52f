"""Layers of torch, arranged so that a CPU trains them faster on images with few channels.

With six channels torch's channels-last kernels fill no vector register: of a step of `lenet_modern` the first norm and
pooling took as long as its convolution. Here an image is rows of W*C numbers, so that an instruction spans several
pixels, and the norm scales what the pooling has left. Wherever that is of no use, torch's own layers are called.
benchmarks/README.md has the figures; tests/test_layers.py compares values and gradients with torch's.
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypeGuard, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class Sequential(nn.Sequential):
    """nn.Sequential that takes a batch norm and the max-pooling behind it as one operation, on few channels.

    With a convolution in front of them it is done on the `_windows` of that. The modules, their names and the function
    are as in nn.Sequential, but hooks of the modules that are taken together are not called.
    """

    def forward(self, input: Tensor) -> Tensor:
        x, rest = input, list(self)
        while rest:
            conv, norm, pool = (*rest[:3], None, None)[:3]
            if _joins(norm, pool, x) and _splits(conv, x):
                x = norm.pooled(_windows(x, conv), split=True)
                del rest[:3]
            elif _joins(conv, norm, x) and min(x.shape[2:]) > 1:
                x = conv.pooled(x, split=False)
                del rest[:2]
            else:
                x = rest.pop(0)(x)
        return x


class Conv2d(nn.Conv2d):
    """nn.Conv2d; on the CPU, for few input channels and no padding, their gradient is found by `_PlanesConv`."""

    def forward(self, input: Tensor) -> Tensor:
        if (
            input.requires_grad
            and torch.is_grad_enabled()
            and _few(input, self.in_channels)
            and (self.stride, self.padding, self.dilation, self.groups) == ((1, 1), (0, 0), (1, 1), 1)
            and not torch.is_autocast_enabled("cpu")
        ):
            return cast(Tensor, cast(Any, _PlanesConv).apply(input, self.weight, self.bias))
        return super().forward(input)


class _PlanesConv(torch.autograd.Function):
    """A convolution, the gradient of whose input is computed with each channel by itself (NCHW).

    torch's channels-last kernel for it fills no vector register with six channels; for all else it is the faster one.
    """

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
        # of the input only the shape matters here, but it would be copied if its layout were another
        planes = (grads[0].contiguous(), x.new_empty(x.shape), weight.contiguous())
        dx, _, _ = torch.ops.aten.convolution_backward(*planes, *options, [True, False, False])
        _, dw, db = torch.ops.aten.convolution_backward(*grads, x, weight, *options, [False, *wanted])
        return dx.contiguous(memory_format=torch.channels_last), dw, db


class BatchNorm2d(nn.BatchNorm2d):
    """nn.BatchNorm2d; on the CPU, in training, for few channels, by `_NormRows` or with a pooling by `_NormPool`."""

    def forward(self, input: Tensor) -> Tensor:
        if not (self.training and _few(input, self.num_features)):
            return super().forward(input)
        y, mean, var = cast(Any, _NormRows).apply(input, self.weight, self.bias, self.eps)
        self._track(mean, var, input.numel() / self.num_features)
        return cast(Tensor, y)

    def pooled(self, x: Tensor, split: bool) -> Tensor:
        """This norm and a 2x2 maximum: (B, C, H, W), or (B, 4C, H/2, W/2) if split, -> (B, C, H//2, W//2)."""
        if not self.training:
            assert self.running_mean is not None
            assert self.running_var is not None
            _, largest = _largest(x.permute(0, 2, 3, 1).contiguous(), self.num_features, split)
            slope = self.weight * (self.running_var + self.eps).rsqrt()
            return _affine(largest, slope, self.bias - self.running_mean * slope).permute(0, 3, 1, 2)
        y, mean, var = cast(Any, _NormPool).apply(x, self.weight, self.bias, self.eps, split)
        self._track(mean, var, x.numel() / self.num_features)
        return cast(Tensor, y)

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


def _joins(norm: nn.Module | None, pool: nn.Module | None, x: Tensor) -> TypeGuard[BatchNorm2d]:
    """Whether the two are a norm of few channels, with all weights positive, and a plain 2x2 pooling.

    Only then is the maximum of the scaled pixels the scaled maximum. The weights start as ones. (Looked at last, since
    on another device it would mean waiting for it.) With autocast `x` says nothing about the norm's input. A norm that
    uses its running statistics is left to torch if gradients are wanted.
    """
    return (
        isinstance(norm, BatchNorm2d)
        and isinstance(pool, nn.MaxPool2d)
        and (norm.training or not torch.is_grad_enabled())
        and x.dim() == 4
        and _few(x, norm.num_features)
        and not torch.is_autocast_enabled("cpu")
        and (pool.kernel_size, pool.stride, pool.padding, pool.dilation) in ((2, 2, 0, 1), ((2, 2), (2, 2), 0, 1))
        and not (pool.ceil_mode or pool.return_indices)
        and bool((norm.weight > 0).all())
    )


def _splits(conv: nn.Module | None, x: Tensor) -> TypeGuard[Conv2d]:
    """Whether the convolution's `_windows` are all of it, and faster: one input channel, odd kernels, even outputs."""
    return (
        type(conv) is Conv2d
        and x.shape[1] == 1
        and not x.requires_grad
        and conv.bias is None
        and (conv.stride, conv.dilation) == ((1, 1), (1, 1))
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
        and all(k % 2 for k in conv.kernel_size)
        and all((n + 2 * p) % 2 == 0 for n, p in zip(x.shape[2:], conv.padding, strict=True))
    )


def _windows(x: Tensor, conv: Conv2d) -> Tensor:
    """The four pixels of each 2x2 window of a convolution, as channels: (B, 1, H, W) -> (B, 2*2*C, H'/2, W'/2).

    Four kernels a map, each shifted by a pixel: those of the upper left pixel come first, then the lower left, the
    upper right and the lower right. They step by 2, so 5x5 ones, now 6x6, are 3x3 ones on the image's own 2x2 windows.
    For six maps 24 channels fill three vector registers, where six leave a part of one empty.
    """
    h, w = cast(tuple[int, int], conv.padding)
    kernels = conv.weight.flatten(1) @ _shifts(*conv.kernel_size)
    rows, columns = ((k + 1) // 2 for k in conv.kernel_size)
    kernels = kernels.view(-1, 4, rows, columns, 4).transpose(0, 1).flatten(0, 1)
    return F.conv2d(_folded(F.pad(x, (w, w, h, h))), kernels.permute(0, 3, 1, 2))


@cache
@torch.inference_mode(False)
def _shifts(height: int, width: int) -> Tensor:
    """The map from a kernel to its four in `_windows`, as a matrix: (H*W, 4 shifts * (H+1)/2 * (W+1)/2 * 2*2)."""
    kernels = torch.eye(height * width, dtype=torch.float32, device="cpu").view(-1, 1, height, width)
    shifted = [_folded(F.pad(kernels, (dx, 1 - dx, dy, 1 - dy))) for dx in (0, 1) for dy in (0, 1)]
    return torch.stack([kernel.permute(0, 2, 3, 1) for kernel in shifted], 1).flatten(1)


def _folded(x: Tensor) -> Tensor:
    """Each 2x2 window as four channels: (B, 1, H, W) -> (B, 2*2, H/2, W/2), channels_last."""
    b, _, h, w = x.shape
    pairs = x.reshape(b, h // 2, 2, w).transpose(2, 3).contiguous()
    return pairs.view(b, h // 2, w // 2, 4).permute(0, 3, 1, 2)


class _NormPool(torch.autograd.Function):
    """Batch norm with positive weights and the maximum of 2x2 pixels, the maximum first. (B, C, H, W) as in `pooled`.

    Returns the output and the batch's mean and (biased) variance, (C,) each. Of equal pixels the first in reading order
    gets the gradient, as in torch: hence columns are compared before rows.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, split: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        pixels, ctx.split = x.permute(0, 2, 3, 1).contiguous(), split
        mean, var = _moments(pixels, len(weight))
        scale = (var + eps).rsqrt()
        slope = scale * weight
        larger, largest = _largest(pixels, len(weight), split)
        ctx.save_for_backward(pixels, larger, largest, mean, scale, slope)
        ctx.mark_non_differentiable(mean, var)
        return _affine(largest, slope, torch.addcmul(bias, mean, slope, value=-1)).permute(0, 3, 1, 2), mean, var

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        pixels, larger, largest, mean, scale, slope = ctx.saved_tensors
        c, n = len(slope), pixels.numel() / len(slope)
        grad = grads[0].permute(0, 2, 3, 1).contiguous()
        for_bias = grad.flatten(0, 1).sum(0).sum(0)
        for_weight = ((grad * largest).flatten(0, 1).sum(0).sum(0) - mean * for_bias) * scale
        share = slope / -n
        tilt = share * scale * for_weight
        dx = _affine(pixels, tilt, share * for_bias - mean * tilt)
        # threshold_backward(g, d, 0) is g where d > 0 and zero elsewhere: a third of the time of torch.where
        only = torch.ops.aten.threshold_backward
        grad = (grad.flatten(2) * _tiled(slope, grad.shape[2])).view(grad.shape)
        top, bottom = larger.unbind(3)
        lower = only(grad, bottom - top, 0)
        both = torch.empty_like(larger)  # in its layout, which torch.stack would not keep
        torch.sub(grad, lower, out=both.select(3, 0))
        both.select(3, 1).copy_(lower)
        left, right = _columns(pixels, c, ctx.split)
        rightmost = only(both, right - left, 0)
        into_left, into_right = _columns(dx, c, ctx.split)
        into_right.add_(rightmost)
        into_left.add_(both.sub_(rightmost))
        return dx.permute(0, 3, 1, 2), for_weight, for_bias, None, None


def _moments(pixels: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of each channel, (C,) each, of (B, H, W, C) or (B, H, W, 4C).

    torch's kernel for the moments takes W*C for the channels; then those of equal C are put together.
    """
    rows = pixels.flatten(2).unsqueeze(2).permute(0, 3, 1, 2)
    mean, var = (t.view(-1, channels) for t in torch.batch_norm_update_stats(rows, None, None, 0.0))
    return mean.mean(0), var.mean(0) + mean.var(0, correction=0)


def _affine(pixels: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """pixels * scale + shift, with (C,) for each channel of (B, H, W, C) or (B, H, W, 4C)."""
    times = pixels[0, 0].numel() // len(scale)
    return torch.addcmul(_tiled(shift, times), pixels.flatten(2), _tiled(scale, times)).view(pixels.shape)


def _tiled(values: Tensor, times: int) -> Tensor:
    """(C,) -> (times * C,), as Tensor.repeat, which takes far longer for as few as these."""
    return values.expand(times, -1).reshape(-1)


def _columns(pixels: Tensor, channels: int, split: bool) -> tuple[Tensor, Tensor]:
    """Views of the left and the right pixels of each 2x2 window, (B, H/2, W/2, 2(dy), C) each."""
    b, h, w, _ = pixels.shape
    if split:
        windows = pixels.view(b, h, w, 2, 2, channels)
    else:  # a last row or column without a partner stays out
        even = pixels[:, : h // 2 * 2, : w // 2 * 2]
        windows = even.view(b, h // 2, 2, w // 2, 2, channels).permute(0, 1, 3, 4, 2, 5)
    return windows.select(3, 0), windows.select(3, 1)


def _largest(pixels: Tensor, channels: int, split: bool) -> tuple[Tensor, Tensor]:
    """The larger pixels of each 2x2 window's two rows, (B, H/2, W/2, 2(dy), C), and the larger of these."""
    larger = torch.maximum(*_columns(pixels, channels, split))
    return larger, torch.maximum(*larger.unbind(3))


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
