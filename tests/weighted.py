"""Gradients that tell outputs apart."""

import torch
from torch import Tensor


def gradients(out: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Of a sum with weights that differ from output to output, so that no two gradients can be swapped unseen."""
    return torch.autograd.grad((out * torch.linspace(-1, 2, out.numel()).view(out.shape).to(out)).sum(), inputs)
