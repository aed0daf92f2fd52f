"""The network that the kernels were written for, and gradients that tell its outputs apart."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

FORWARD = ["stage_forward", "norm_pool_forward"]
BACKWARD = ["norm_pool_backward", "convolution_input_gradient", "stage_backward"]


def lenet(seed: int = 0) -> nn.Sequential:
    """`lenet_modern`, of torch's own modules."""
    torch.manual_seed(seed)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 6, 5, padding=2, bias=False),
            norm1=nn.BatchNorm2d(6),
            pool1=nn.MaxPool2d(2),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(6, 16, 5, bias=False),
            norm2=nn.BatchNorm2d(16),
            pool2=nn.MaxPool2d(2),
            relu2=nn.ReLU(),
            flatten=nn.Flatten(),
            output=nn.Linear(400, 10),
        )
    ).to(memory_format=torch.channels_last)


def gradients(out: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Of a sum with weights that differ from output to output, so that no two gradients can be swapped unseen."""
    return torch.autograd.grad((out * torch.linspace(-1, 2, out.numel()).view(out.shape).to(out)).sum(), inputs)
