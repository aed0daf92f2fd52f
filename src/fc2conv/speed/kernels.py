"""kernels.c as operators of torch: torch.ops.fc2conv.norm_pool, stage, conv_input_gradient, and the backward passes.

The library is compiled when the project is installed, once for AVX2 and once for AVX-512. Where there was no compiler,
or the processor has neither, `library` is None.
"""

from __future__ import annotations

import ctypes
import sys
import sysconfig
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

Instructions = Literal["avx512", "avx2", "none"]

SOURCE = Path(__file__).with_name("kernels.c")
PLAIN = (Tensor, torch.nn.Parameter)  # not their subclasses, which can mean something else by the same numbers
MOST_CHANNELS = 64  # most channels that a norm kernel handles
LANES = 8  # images in one vector, as in kernels.c
MOST_PIXELS = 90 * 90  # most pixels of a padded image: eight of them take 260 kB, which fits a core's cache
RUN = 16  # the input gradient's sums come in multiples of so many numbers


class _Windows(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_ssize_t) for name in ("images", "rows", "columns", "channels"))


class _Stage(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_ssize_t) for name in ("images", "height", "width", "maps", "rows", "columns", "top", "left")
    )


class _Convolution(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_ssize_t) for name in ("images", "height", "width", "channels", "maps", "rows", "columns")
    )


# --------------------------------------------------------------------------------------------------------- the library


@cache
def load(instructions: Instructions) -> ctypes.CDLL | None:
    """The library for these instructions; None where it was not compiled, or was from another kernels.c.

    It runs on torch's threads (libgomp), so torch is loaded before it.
    """
    try:
        loaded = ctypes.CDLL(str(SOURCE.with_name(f"_{instructions}{sysconfig.get_config_var('EXT_SUFFIX')}")))
    except OSError:  # none, or of another kind of machine
        return None
    if not _is_current(loaded):
        _warn_of_another_version()
        return None
    pointer, size, number, real = ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int, ctypes.c_double
    for name, arguments in {
        "norm_pool_forward": (*[pointer] * 4, real, number, number, *[pointer] * 4),
        "norm_pool_backward": (*[pointer] * 7, number, *[pointer] * 4),
        "stage_forward": (*[pointer] * 5, real, number, number, *[pointer] * 4),
        "stage_backward": (*[pointer] * 8, number, *[pointer] * 6),
        "convolution_input_gradient": (pointer, size, *[pointer] * 3),
    }.items():
        getattr(loaded, name).argtypes = arguments
    return loaded


@cache
def _warn_of_another_version() -> None:
    message = "the compiled kernels were made from another kernels.c and are not used; make setup compiles this one"
    print(message, file=sys.stderr)  # nobody may be listening to a log


def _is_current(loaded: ctypes.CDLL) -> bool:
    """Whether it was compiled from the kernels.c beside this file; an installation without that file has only one."""
    try:
        text = ctypes.string_at(ctypes.addressof(ctypes.c_char.in_dll(loaded, "kernels_source")))
    except ValueError:  # of a time when libraries did not contain their text
        return False
    return not SOURCE.exists() or text == SOURCE.read_bytes()


def use(wanted: Instructions) -> bool:
    """Compute with these instructions from now on; returns whether there is a library for them, or nothing changes."""
    global library, instructions
    loaded = load(wanted)
    if loaded is None:
        return False
    library, instructions = loaded, wanted
    return True


def possible() -> list[Instructions]:
    """What the processor has, the fastest first; torch's ATEN_CPU_CAPABILITY=avx2 leaves AVX-512 out."""
    found = torch.backends.cpu.get_cpu_capability()
    if found.startswith(("AVX512", "AVX10")):
        return ["avx512", "avx2"]
    return ["avx2"] if found == "AVX2" else []


library: ctypes.CDLL | None = None
instructions: Instructions = "none"
any(use(wanted) for wanted in possible())


# ------------------------------------------------------------------------------------------------ when they can be used


def _takes(x: Tensor, *weights: Tensor | None) -> bool:
    """Whether `x` is a plain float32 batch of images on the CPU, and all `weights` are there and plain."""
    return _is_plain(x) and x.dim() == 4 and x.numel() > 0 and all(w is not None and _is_plain(w) for w in weights)


def _is_plain(x: Tensor) -> bool:
    return type(x) in PLAIN and x.is_cpu and x.dtype is torch.float32 and x.layout is torch.strided


def norm_pool_takes(x: Tensor, norm: Sequence[Tensor | None]) -> bool:
    """Whether `norm_pool` can be used."""
    if not _takes(x, *norm):
        return False
    _, channels, height, width = x.shape
    return (
        channels <= MOST_CHANNELS
        and all(cast(Tensor, values).shape == (channels,) for values in norm)
        and height % 2 == width % 2 == 0
    )


def stage_takes(x: Tensor, weight: Tensor, padding: Sequence[int], norm: Sequence[Tensor | None]) -> bool:
    """Whether `stage` can be used: images of one channel, and not too large."""
    if not _takes(x, weight, *norm) or weight.dim() != 4:
        return False
    maps, channels, rows, columns = weight.shape
    height, width = x.shape[2] + 2 * padding[0], x.shape[3] + 2 * padding[1]
    return (
        x.shape[1] == channels == 1
        and 0 < maps <= MOST_CHANNELS
        and all(cast(Tensor, values).shape == (maps,) for values in norm)
        and height * width <= MOST_PIXELS
        and height > rows > 0
        and width > columns > 0
        and (height - rows) % 2 == (width - columns) % 2 == 1
    )


def norm_rows_take(x: Tensor, norm: Sequence[Tensor | None]) -> bool:
    """Whether a norm can be computed by rows; torch has an error for one value a channel."""
    return _takes(x, *norm) and all(cast(Tensor, t).shape == x.shape[1:2] for t in norm) and x.numel() > x.shape[1]


def conv_takes(x: Tensor, weight: Tensor) -> bool:
    """Whether `conv` is of use: few input channels, which torch's channels-last kernels have no vectors for."""
    if not _takes(x, weight) or weight.dim() != 4:
        return False
    _, channels, _, columns = weight.shape
    return channels < 8 and columns * channels >= 16


# ---------------------------------------------------------------------------------------------------- what they compute

_operators = cast(Any, torch.library.Library)("fc2conv", "DEF")
_operators.define("norm_pool(Tensor x, Tensor[] norm, float eps, bool relu) -> (Tensor, Tensor, Tensor)")
_operators.define("norm_pool_backward(Tensor grad, Tensor[] saved) -> (Tensor, Tensor, Tensor)")
_operators.define(
    "stage(Tensor x, Tensor weight, int[2] padding, Tensor[] norm, float eps, bool relu) -> (Tensor, Tensor, Tensor)"
)
_operators.define("stage_backward(Tensor grad, Tensor[] saved, int[2] padding) -> (Tensor, Tensor, Tensor)")
_operators.define("conv_input_gradient(Tensor grad, Tensor weight, SymInt height, SymInt width) -> Tensor")

Three = tuple[Tensor, Tensor, Tensor]


def norm_pool(x: Tensor, norm: Sequence[Tensor], eps: float, relu: bool) -> Three:
    """Batch norm, the maximum of 2x2 pixels, and ReLU if wanted, in two passes; of equal pixels the first in reading
    order gets the gradient, as in torch.

    Args:
        x: (B, C, H, W), H and W even
        norm: weight and bias, (C,) each; in evaluation, which has no gradient, also the mean and variance to normalise
          by; else they are those of the batch

    Returns:
        (B, C, H/2, W/2); (3, C): the mean and (biased) variance that were used, and the inverse of the deviation; in
        training, the largest pixels
    """
    return cast(Three, cast(Any, _NormPool).apply(x, eps, relu, *norm))


def stage(x: Tensor, weight: Tensor, padding: Sequence[int], norm: Sequence[Tensor], eps: float, relu: bool) -> Three:
    """`norm_pool` of F.conv2d(x, weight, padding=padding), which is never stored. `x` gets no gradient.

    Args:
        x: (B, 1, H, W); the convolution's height and width are even
        weight: (C, 1, rows, columns)
        norm, eps, relu: of `norm_pool`

    Returns:
        as `norm_pool`; the largest pixels lie as kernels.c likes them
    """
    return cast(Three, cast(Any, _StageNode).apply(x, weight, padding, eps, relu, *norm))


def conv(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """F.conv2d with stride 1 and no padding, which finds the gradient of its input faster."""
    return cast(Tensor, cast(Any, _Conv).apply(x, weight, bias))


def _pointer(tensor: Tensor, count: int) -> int:
    """Where the numbers of a tensor lie, if they are as many as kernels.c will read."""
    if tensor.dtype is not torch.float32 or not tensor.is_cpu or tensor.numel() != count:
        raise ValueError(f"kernels take {count} numbers of float32 on the CPU here, got {tuple(tensor.shape)}")
    return tensor.data_ptr()


def _call(name: str, *arguments: Any) -> None:
    if library is None:
        raise NotImplementedError("there are no compiled kernels here")
    if not getattr(library, name)(*arguments):
        raise MemoryError(name)


def _channels_last(b: int, c: int, h: int, w: int, like: Tensor) -> Tensor:
    return torch.empty(b, c, h, w, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


def _images(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _statistics(norm: Sequence[Tensor]) -> Tensor:
    """Room for the mean, the variance and the inverse of the standard deviation: (3, C), with those that are given."""
    statistics = norm[0].new_empty(3, len(norm[0]))
    if len(norm) > 2:
        torch.stack((norm[2], norm[3]), out=statistics[:2])
    return statistics


def _norm_pool_room(x: Tensor, norm: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Unwritten: the output, and the largest pixels, which there are none of in evaluation."""
    b, c, h, w = x.shape
    out = _channels_last(b, c, h // 2, w // 2, x)
    return out, torch.empty_like(out) if len(norm) == 2 else x.new_empty(0)


def _norm_pool(x: Tensor, norm: Sequence[Tensor], eps: float, relu: bool) -> Three:
    if len(norm) not in (2, 4) or not norm_pool_takes(x, norm):
        raise ValueError(f"norm_pool has no kernel for {tuple(x.shape)} and {[tuple(t.shape) for t in norm]}")
    (b, c, h, w), x, weight, bias = x.shape, _images(x), norm[0].contiguous(), norm[1].contiguous()
    (out, largest), statistics, sums = _norm_pool_room(x, norm), _statistics(norm), x.new_empty(b, 2, c)
    _call(
        "norm_pool_forward",
        ctypes.byref(_Windows(b, h // 2, w // 2, c)),
        *(x.data_ptr(), weight.data_ptr(), bias.data_ptr(), eps, len(norm) == 2, relu),
        *(largest.data_ptr(), sums.data_ptr(), statistics.data_ptr(), out.data_ptr()),
    )
    return out, statistics, largest


def _norm_pool_fake(x: Tensor, norm: Sequence[Tensor], eps: float, relu: bool) -> Three:
    out, largest = _norm_pool_room(x, norm)
    return out, x.new_empty(3, x.shape[1]), largest


def _norm_pool_backward(grad: Tensor, saved: Sequence[Tensor]) -> Three:
    x, weight, largest, statistics = _images(saved[0]), saved[1].contiguous(), _images(saved[2]), saved[3].contiguous()
    (b, c, h, w), grad, out = x.shape, _images(grad), _images(saved[-1]) if len(saved) > 4 else largest
    (dx, dweight, dbias), sums, size = _norm_pool_backward_fake(grad, saved), x.new_empty(b, 2, c), b * c * h * w
    _call(
        "norm_pool_backward",
        ctypes.byref(_Windows(b, h // 2, w // 2, c)),
        *(_pointer(x, size), _pointer(weight, c), _pointer(largest, size // 4), _pointer(statistics, 3 * c)),
        *(_pointer(out, size // 4), _pointer(grad, size // 4), len(saved) > 4),
        *(sums.data_ptr(), dweight.data_ptr(), dbias.data_ptr(), dx.data_ptr()),
    )
    return dx, dweight, dbias


def _norm_pool_backward_fake(grad: Tensor, saved: Sequence[Tensor]) -> Three:
    b, c, h, w = saved[0].shape
    return _channels_last(b, c, h, w, grad), grad.new_empty(c), grad.new_empty(c)


def _stage_room(x: Tensor, weight: Tensor, padding: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Unwritten: the output, and the largest pixels, of eight images side by side."""
    (b, _, h, w), (maps, _, rows, columns), (top, left) = x.shape, weight.shape, padding
    high, wide, blocks = (h + 2 * top - rows + 1) // 2, (w + 2 * left - columns + 1) // 2, (b + LANES - 1) // LANES
    return _channels_last(b, maps, high, wide, x), x.new_empty(blocks, high * wide, maps, LANES)


def _stage(x: Tensor, weight: Tensor, padding: Sequence[int], norm: Sequence[Tensor], eps: float, relu: bool) -> Three:
    if len(norm) not in (2, 4) or not stage_takes(x, weight, padding, norm):
        raise ValueError(f"stage has no kernel for {tuple(x.shape)} and {[tuple(t.shape) for t in (weight, *norm)]}")
    (b, _, h, w), (maps, _, rows, columns) = x.shape, weight.shape
    x, weight, norm_weight, norm_bias = x.contiguous(), weight.contiguous(), norm[0].contiguous(), norm[1].contiguous()
    (out, largest), statistics = _stage_room(x, weight, padding), _statistics(norm)
    sums = x.new_empty(len(largest), 2, maps, LANES)
    _call(
        "stage_forward",
        ctypes.byref(_Stage(b, h, w, maps, rows, columns, *padding)),
        *(x.data_ptr(), weight.data_ptr(), norm_weight.data_ptr(), norm_bias.data_ptr(), eps, len(norm) == 2, relu),
        *(largest.data_ptr(), sums.data_ptr(), statistics.data_ptr(), out.data_ptr()),
    )
    return out, statistics, largest if len(norm) == 2 else x.new_empty(0)


def _stage_fake(
    x: Tensor, weight: Tensor, padding: Sequence[int], norm: Sequence[Tensor], eps: float, relu: bool
) -> Three:
    out, largest = _stage_room(x, weight, padding)
    return out, x.new_empty(3, len(weight)), largest if len(norm) == 2 else x.new_empty(0)


def _stage_backward(grad: Tensor, saved: Sequence[Tensor], padding: Sequence[int]) -> Three:
    x, weight, norm_weight, largest, statistics = (t.contiguous() for t in saved[:5])
    (b, _, h, w), (maps, _, rows, columns), (_, _, high, wide) = x.shape, weight.shape, grad.shape
    grad = _images(grad)
    out = _images(saved[5]) if len(saved) > 5 else grad
    blocks, size, taps = (b + LANES - 1) // LANES, maps * high * wide, maps * rows * columns
    passed, sums = x.new_empty(blocks * size * LANES), x.new_empty(blocks * 2 * maps * LANES)
    (dweight, dnorm, dbias), dweights = _stage_backward_fake(grad, saved, padding), x.new_empty(blocks * taps * LANES)
    _call(
        "stage_backward",
        ctypes.byref(_Stage(b, h, w, maps, rows, columns, *padding)),
        *(_pointer(x, b * h * w), _pointer(weight, taps), _pointer(norm_weight, maps)),
        *(_pointer(largest, blocks * size * LANES), _pointer(statistics, 3 * maps)),
        *(_pointer(out, b * size), _pointer(grad, b * size), len(saved) > 5),
        *(passed.data_ptr(), sums.data_ptr(), dweights.data_ptr()),
        *(dweight.data_ptr(), dnorm.data_ptr(), dbias.data_ptr()),
    )
    return dweight, dnorm, dbias


def _stage_backward_fake(grad: Tensor, saved: Sequence[Tensor], padding: Sequence[int]) -> Three:
    weight = saved[1]
    return grad.new_empty(weight.shape), grad.new_empty(len(weight)), grad.new_empty(len(weight))


def _conv_input_gradient(grad: Tensor, weight: Tensor, height: int, width: int) -> Tensor:
    maps, channels, rows, columns = weight.shape
    b, out = len(grad), (height - rows + 1) * (width - columns + 1) * maps
    if min(height - rows, width - columns) < 0 or min(b, maps, channels, rows, columns) < 1:
        raise ValueError(f"conv_input_gradient has no kernel for {tuple(weight.shape)} and {height}x{width} pixels")
    size = columns * channels
    run = size + -size % RUN
    # One contiguous run for each kernel row. F.pad by 0 returns a view that may keep weight's strides: contiguous().
    runs = F.pad(weight.permute(2, 0, 3, 1).reshape(rows, maps, size), (0, run - size)).contiguous()
    dx, grad = _channels_last(b, channels, height, width, grad), _images(grad)
    _call(
        "convolution_input_gradient",
        ctypes.byref(_Convolution(b, height, width, channels, maps, rows, columns)),
        run,
        *(_pointer(grad, b * out), _pointer(runs, rows * maps * run), dx.data_ptr()),
    )
    return dx


def _conv_input_gradient_fake(grad: Tensor, weight: Tensor, height: int, width: int) -> Tensor:
    return _channels_last(grad.shape[0], weight.shape[1], height, width, grad)


# ------------------------------------------------------------------------------------------------------ their gradients


class _NormPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float, relu: bool, *norm: Tensor) -> Three:
        x = _images(x)
        with torch._C._AutoDispatchBelowAutograd():
            out, statistics, largest = torch.ops.fc2conv.norm_pool.default(x, norm, eps, relu)
        # without a ReLU the output is not needed, and others may write to it, as to that of torch's pooling
        ctx.save_for_backward(x, norm[0], largest, statistics, *((out,) if relu else ()))
        ctx.mark_non_differentiable(statistics, largest)
        ctx.given = len(norm) - 2
        return out, statistics, largest

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        _refuse(ctx.given, "where the mean and variance are given")
        dx, dweight, dbias = torch.ops.fc2conv.norm_pool_backward.default(grads[0], ctx.saved_tensors)
        return dx, None, None, dweight, dbias


class _StageNode(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, padding: Sequence[int], *rest: Any) -> Three:
        x = x.contiguous()
        eps, relu, *norm = rest
        with torch._C._AutoDispatchBelowAutograd():
            out, statistics, largest = torch.ops.fc2conv.stage.default(x, weight, padding, norm, eps, relu)
        ctx.save_for_backward(x, weight, norm[0], largest, statistics, *((out,) if relu else ()))
        ctx.mark_non_differentiable(statistics, largest)
        ctx.padding, ctx.given = padding, len(norm) - 2
        return out, statistics, largest

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        _refuse(ctx.given, "where the mean and variance are given")
        _refuse(ctx.needs_input_grad[0], "of the images")
        dweight, dnorm, dbias = torch.ops.fc2conv.stage_backward.default(grads[0], ctx.saved_tensors, ctx.padding)
        return None, dweight, None, None, None, dnorm, dbias


def _refuse(wanted: object, what: str) -> None:
    if wanted:
        raise NotImplementedError(f"there is no gradient {what}")


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        wanted, *others = ctx.needs_input_grad
        options = ([len(weight)], [1, 1], [0, 0], [1, 1], False, [0, 0], 1)
        _, dweight, dbias = torch.ops.aten.convolution_backward(*grads, x, weight, *options, [False, *others])
        gradient = torch.ops.fc2conv.conv_input_gradient.default
        return gradient(*grads, weight, x.shape[2], x.shape[3]) if wanted else None, dweight, dbias


for _name, _kernel, _fake in (
    ("norm_pool", _norm_pool, _norm_pool_fake),
    ("norm_pool_backward", _norm_pool_backward, _norm_pool_backward_fake),
    ("stage", _stage, _stage_fake),
    ("stage_backward", _stage_backward, _stage_backward_fake),
    ("conv_input_gradient", _conv_input_gradient, _conv_input_gradient_fake),
):
    _operators.impl(_name, _kernel, "CPU")
    torch.library.register_fake(f"fc2conv::{_name}", _fake, lib=_operators)
_operators.impl("norm_pool", norm_pool, "Autograd")
_operators.impl("stage", stage, "Autograd")
