"""Speed on the CPU, and nothing else: the rest of the package works without this folder, only slower.

process()        settings of a process, before torch is loaded
accelerate(net)  the same network, some of its layers computed together by compiled kernels
describe(net)    which kernels these are, for the record
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from fc2conv.speed.settings import process

if TYPE_CHECKING:
    from torch import nn

    Net = TypeVar("Net", bound=nn.Module)

__all__ = ["accelerate", "describe", "process"]


def accelerate(net: Net) -> Net:
    """Let the compiled kernels compute what they can of `net`, which is changed in place and returned.

    Its parameters, buffers and their names stay the same objects and the same names. Without kernels nothing changes.
    """
    from fc2conv.speed import accelerated

    return accelerated.accelerate(net)


def describe(net: nn.Module) -> str:
    """Which kernels train `net` on the CPU: "avx2: conv1+norm1+pool1+relu1, conv2, norm2+pool2+relu2", or "none"."""
    from fc2conv.speed import accelerated

    return accelerated.describe(net)
