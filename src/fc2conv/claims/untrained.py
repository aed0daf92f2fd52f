"""Networks and images of seed 0 that identities are shown on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fc2conv.architectures import ModelConfig, Shape


def network(config: ModelConfig, shape: Shape) -> nn.Module:
    """A network with the initial weights of seed 0, in float64 and in evaluation."""
    import torch

    from fc2conv.architectures import plan
    from fc2conv.nets.build import net_of

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return net_of(config, plan(config, shape, 10)).double().eval()


def random_images(n: int, shape: Shape) -> Tensor:
    """(n, *shape) uint8, of seed 0."""
    import torch

    return torch.randint(256, (n, *shape), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
