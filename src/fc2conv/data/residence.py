"""Images on an accelerator: a split is copied there once, where it fits, so that its batches are gathered there."""

from __future__ import annotations

import torch
from torch import Tensor

SHARE = 0.25
"""Of the device's free memory, what a split may take at most: the network, its activations and other jobs come too."""
PIECE = 4096
"""Images copied at a time, so that the host holds no second copy of them all."""


def free_memory(device: torch.device) -> int:
    """Bytes that are free on an accelerator. 0 on the CPU, which has the images already, and where it is not known."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return max(0, torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return 0


def copy_selected(tensor: Tensor, indices: Tensor, device: torch.device) -> Tensor | None:
    """`tensor[indices]` on `device`; None if it is too large for that."""
    shape = (len(indices), *tensor.shape[1:])
    if tensor.element_size() * torch.Size(shape).numel() > SHARE * free_memory(device):
        return None
    there = torch.empty(shape, dtype=tensor.dtype, device=device)
    for target, chosen in zip(torch.split(there, PIECE), torch.split(indices, PIECE), strict=True):
        target.copy_(tensor.index_select(0, chosen))
    return there
