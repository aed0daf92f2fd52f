"""Layers of torch, arranged so that a CPU trains them faster on images with few channels.

With six channels torch's channels-last kernels fill no vector register, and each operation goes through memory: of a
step of `lenet_modern` the first norm and pooling took as long as their convolution. kernels.c does them, a ReLU behind
them, and on images of one channel the convolution in front of them, together. A batch norm that stands alone sees an
image as rows of W*C numbers, so that an instruction spans several pixels. Wherever that is of no use, torch's layers
are called. benchmarks/README.md has the figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any, TypeGuard, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.autograd.function import once_differentiable
from torch.nn.modules import module as every_module

from fc2conv.speed import kernels

Net = TypeVar("Net", bound=nn.Module)


def accelerate(net: Net) -> Net:
    """Let the compiled kernels compute what they can of `net`, which is changed in place and returned.

    Each nn.Sequential in it, itself included, becomes an `Accelerated`. Modules, parameters, buffers and their names
    stay the same, so optimisers and checkpoints of `net` stay good. Nothing changes without compiled kernels, or with a
    torch that does not say whether they may be used (`_names_known`).
    """
    if kernels.library is not None and _names_known():
        for module in net.modules():
            if type(module) is nn.Sequential:
                module.__class__ = Accelerated
    return net


def describe(net: nn.Module) -> str:
    """Which kernels train `net` on the CPU, for the record: "avx2: conv1+norm1+pool1+relu1, norm2+pool2", or "none".

    Layers joined by + are computed together. Images that a kernel does not take, by their size for instance, are left
    to torch all the same.
    """
    groups = [
        "+".join(f"{prefix}.{name}" if prefix else name for name in names)
        for prefix, module in net.named_modules()
        if isinstance(module, Accelerated)
        for names in module.groups()
    ]
    return f"{kernels.instructions}: {', '.join(groups)}" if groups and kernels.library is not None else "none"


class Accelerated(nn.Sequential):
    """nn.Sequential that computes several of its layers at once where kernels.c can.

    The modules, their names and the function are those of nn.Sequential. While one of the layers
    has a hook, or torch compiles, traces, autocasts or computes forward-mode gradients, each layer is called by itself.
    A second derivative through kernels.c is an error.
    """

    def forward(self, input: Any) -> Any:
        if torch.compiler.is_compiling() or not _usable():
            return super().forward(input)  # type: ignore[no-untyped-call]
        x, layers, at = input, list(self._modules.values()), 0
        while at < len(layers):
            result = _together(layers, at, x) if type(layers[at]) in STARTS and type(x) in kernels.PLAIN else None
            if result is None:
                x, at = layers[at](x), at + 1
            else:
                x, at = result
        return x

    def groups(self) -> list[list[str]]:
        """The names of the layers that kernels.c computes in training, those that it computes together in one list."""
        names, layers = list(self._modules), list(self._modules.values())
        found, at = [], 0
        while at < len(layers):
            n = _length(layers, at)
            if n:
                found.append(names[at : at + n])
            at += max(n, 1)
        return found


STARTS = (nn.Conv2d, nn.BatchNorm2d)
"""What the layers that are computed together begin with."""


def _usable() -> bool:
    """Whether nothing is active that needs the layers' own operations. Costs some microseconds a call."""
    return (
        kernels.library is not None
        and not torch.is_autocast_enabled("cpu")
        and not torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        and not _others_active()
    )


def _others_active() -> bool:
    """Whether a transform of torch.func, a dispatch mode or a forward-mode gradient is active, which do not know the
    kernels, or a hook on all modules, which must see each layer. torch tells of them under private names only."""
    return bool(
        torch._C._functorch.peek_interpreter_stack() is not None
        or torch._C._len_torch_dispatch_stack()
        or torch._C._len_torch_function_stack()
        or forward_ad._current_level >= 0
        or every_module._global_forward_hooks
        or every_module._global_forward_pre_hooks
        or every_module._global_backward_hooks
        or every_module._global_backward_pre_hooks
    )


def _names_known() -> bool:
    """Whether this version of torch has those names."""
    try:
        _others_active()
    except AttributeError:
        return False
    return True


Layers = Sequence[nn.Module | None]


def _together(layers: Layers, at: int, x: Tensor) -> tuple[Tensor, int] | None:
    """What the layers from `at` on make of `x`, and the layer that is next; None: call layer `at` itself."""
    layer = layers[at]
    if _is_conv(layer):
        return _stage(layers, at, x) or _convolution(layer, at, x)
    assert _is_norm(layer)
    return _norm_pool(layers, at, x) or _norm(layer, at, x)


def _stage(layers: Layers, at: int, x: Tensor) -> tuple[Tensor, int] | None:
    n = _length_of_stage(layers, at)
    if not n or (x.requires_grad and torch.is_grad_enabled()):
        return None
    conv, norm = cast(nn.Conv2d, layers[at]), cast(nn.BatchNorm2d, layers[at + 1])
    values, padding = _values(norm), cast(tuple[int, int], conv.padding)
    if not (_trains(norm) and kernels.stage_takes(x, conv.weight, padding, values) and _bare(layers, at, n)):
        return None
    y, statistics, _ = kernels.stage(x, conv.weight, padding, cast(list[Tensor], values), norm.eps, n == 4)
    _track(norm, statistics, y)
    return y, at + n


def _norm_pool(layers: Layers, at: int, x: Tensor) -> tuple[Tensor, int] | None:
    n = _length_of_norm_pool(layers, at)
    if not n:
        return None
    norm = cast(nn.BatchNorm2d, layers[at])
    values = _values(norm)
    if not (_trains(norm) and kernels.norm_pool_takes(x, values) and _bare(layers, at, n)):
        return None
    y, statistics, _ = kernels.norm_pool(x, cast(list[Tensor], values), norm.eps, n == 3)
    _track(norm, statistics, y)
    return y, at + n


def _convolution(conv: nn.Conv2d, at: int, x: Tensor) -> tuple[Tensor, int] | None:
    if (
        _is_few_channels_conv(conv)
        and x.requires_grad
        and torch.is_grad_enabled()
        and kernels.conv_takes(x, conv.weight)
        and _bare([conv], 0, 1)
    ):
        return kernels.conv(x, conv.weight, conv.bias), at + 1
    return None


def _norm(norm: nn.BatchNorm2d, at: int, x: Tensor) -> tuple[Tensor, int] | None:
    """By rows: in training, and for fewer channels than a vector register has numbers."""
    values = _values(norm)
    if not (
        norm.training
        and _is_ordinary(norm)
        and norm.num_features < 8
        and kernels.norm_rows_take(x, values)
        and _bare([norm], 0, 1)
    ):
        return None
    y, mean, var = cast(Any, _NormRows).apply(x, *values, norm.eps)
    _move(norm, mean, var, x.numel() / norm.num_features)
    return y, at + 1


# ------------------------------------------------------------------------------- which layers: by what does not change


def _length(layers: Layers, at: int) -> int:
    """How many layers from `at` on are computed together in training, at most."""
    layer = layers[at]
    if _is_conv(layer):
        return _length_of_stage(layers, at) if layer.in_channels == 1 else int(_is_few_channels_conv(layer))
    if _is_norm(layer):
        return _length_of_norm_pool(layers, at) or int(_is_ordinary(layer) and layer.num_features < 8)
    return 0


def _length_of_stage(layers: Layers, at: int) -> int:
    """3 or 4 for a convolution, a norm and a pooling that may be one operation (with a ReLU), else 0."""
    conv = layers[at]
    if not (
        _is_conv(conv)
        and conv.bias is None
        and conv.groups == 1
        and (conv.stride, conv.dilation, conv.padding_mode) == ((1, 1), (1, 1), "zeros")
        and not isinstance(conv.padding, str)
    ):
        return 0
    n = _length_of_norm_pool(layers, at + 1)
    return n + 1 if n else 0


def _length_of_norm_pool(layers: Layers, at: int) -> int:
    """2 or 3 for a norm and a 2x2 pooling that may be one operation (with a ReLU), else 0."""
    norm, pool, relu = (*islice(layers, at, at + 3), None, None, None)[:3]
    if not (
        _is_norm(norm)
        and _is_ordinary(norm)
        and type(pool) is nn.MaxPool2d
        and (pool.kernel_size, pool.stride, pool.padding, pool.dilation) in ((2, 2, 0, 1), ((2, 2), (2, 2), 0, 1))
        and not (pool.ceil_mode or pool.return_indices)
    ):
        return 0
    return 3 if type(relu) is nn.ReLU else 2


def _is_conv(layer: nn.Module | None) -> TypeGuard[nn.Conv2d]:
    return type(layer) is nn.Conv2d


def _is_norm(layer: nn.Module | None) -> TypeGuard[nn.BatchNorm2d]:
    return type(layer) is nn.BatchNorm2d


def _is_few_channels_conv(conv: nn.Conv2d) -> bool:
    """The input gradient of a convolution without stride and padding has a kernel of its own."""
    return (
        (conv.stride, conv.padding, conv.dilation, conv.groups) == ((1, 1), (0, 0), (1, 1), 1)
        and 1 < conv.in_channels < 8
        and conv.in_channels * conv.kernel_size[1] >= 16
    )


def _is_ordinary(norm: nn.BatchNorm2d) -> bool:
    """Whether it has weights, and running statistics with a fixed momentum."""
    values, state = norm._parameters, norm._buffers  # what norm.weight and so on look up, in a tenth of the time
    return (
        norm.momentum is not None
        and values.get("weight") is not None
        and values.get("bias") is not None
        and state.get("running_mean") is not None
        and state.get("running_var") is not None
        and state.get("num_batches_tracked") is not None
    )


# -------------------------------------------------------------------------------------- which layers: by what does


def _trains(norm: nn.BatchNorm2d) -> bool:
    """A norm that uses its running statistics is left to torch if gradients are wanted."""
    return norm.training or not torch.is_grad_enabled()


def _values(norm: nn.BatchNorm2d) -> list[Tensor | None]:
    """Weight and bias, and in evaluation the mean and the variance to normalise by."""
    own: list[Tensor | None] = [norm.weight, norm.bias]
    return own if norm.training else [*own, norm.running_mean, norm.running_var]


def _bare(layers: Layers, at: int, n: int) -> bool:
    """Whether `n` layers from `at` on have no hooks, and no forward set on the instance."""
    for layer in islice(layers, at, at + n):
        own = cast(nn.Module, layer).__dict__
        if (
            own["_forward_hooks"]
            or own["_forward_pre_hooks"]
            or own["_backward_hooks"]
            or own["_backward_pre_hooks"]
            or "forward" in own
            or own.get("_compiled_call_impl") is not None
        ):
            return False
    return True


def _track(norm: nn.BatchNorm2d, statistics: Tensor, pooled: Tensor) -> None:
    if norm.training:
        _move(norm, statistics[0], statistics[1], 4 * pooled.numel() / norm.num_features)


def _move(norm: nn.BatchNorm2d, mean: Tensor, var: Tensor, n: float) -> None:
    """Move the running statistics towards those of a batch of `n` pixels, (C,) each."""
    with torch.no_grad():
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert norm.num_batches_tracked is not None
        assert norm.momentum is not None
        norm.num_batches_tracked.add_(1)
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(var * (n / (n - 1)), norm.momentum)


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
