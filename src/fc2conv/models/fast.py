"""Batch norm as torch's, arranged so that a CPU computes it faster on images with few channels.

With six channels torch's channels-last kernel fills no vector register, and took more than half of a step of
`lenet_modern`. benchmarks/README.md has the figures; tests/test_layers.py compares values and gradients with torch's.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn


class BatchNorm2d(nn.BatchNorm2d):
    """nn.BatchNorm2d; on the CPU, in training, with fewer channels than a vector register holds, by `_NormRows`."""

    def forward(self, input: Tensor) -> Tensor:
        fast = self.training and input.device.type == "cpu" and input.dtype == torch.float32 and self.num_features < 8
        if not fast:
            return super().forward(input)
        y, mean, var = cast(Any, _NormRows).apply(input, self.weight, self.bias, self.eps)
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            assert self.momentum is not None
            n = input.numel() / self.num_features
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * (n / (n - 1)), self.momentum)
        return cast(Tensor, y)


class _NormRows(torch.autograd.Function):
    """Batch norm over (B, C, H, W) as rows of W*C numbers, so that a vector instruction spans several pixels.

    Returns the output and the batch's mean and (biased) variance, (C,) each.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        b, c, h, w = ctx.shape = x.shape
        rows, n = _rows(x), b * h * w
        mean = rows.sum(0).view(w, c).sum(0) / n
        centred = rows - mean.repeat(w)
        var = centred.square().sum(0).view(w, c).sum(0) / n
        scale = (var + eps).rsqrt()
        ctx.save_for_backward(centred, scale, weight)
        ctx.mark_non_differentiable(mean, var)
        return _image(torch.addcmul(bias.repeat(w), centred, (scale * weight).repeat(w)), x.shape), mean, var

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        centred, scale, weight = ctx.saved_tensors
        b, c, h, w = ctx.shape
        grad, n = _rows(grads[0]), b * h * w
        for_bias = grad.sum(0).view(w, c).sum(0)
        for_weight = (grad * centred).sum(0).view(w, c).sum(0) * scale
        slope = weight * scale
        dx = torch.addcmul((-slope * for_bias / n).repeat(w), grad, slope.repeat(w))
        dx.addcmul_(centred, (-slope * scale * for_weight / n).repeat(w))
        return _image(dx, ctx.shape), for_weight, for_bias, None


def _rows(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B*H, W*C), a view if x is channels_last."""
    b, c, h, w = x.shape
    return x.permute(0, 2, 3, 1).reshape(b * h, w * c)


def _image(rows: Tensor, shape: torch.Size) -> Tensor:
    """The reverse of `_rows`."""
    b, c, h, w = shape
    return rows.view(b, h, w, c).permute(0, 3, 1, 2)
