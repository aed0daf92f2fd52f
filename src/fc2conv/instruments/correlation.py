"""Convolution and cross-correlation: the layer that is called the one computes the other (D2L 7.2.5 and 7.1, last).

For an image X and a kernel K, whole (every position at which they touch):

    cross-correlation    (K * X)[i, j] = sum over a, b of K[a, b] X[i + a, j + b]
    convolution          (K * X)[i, j] = sum over a, b of K[a, b] X[i - a, j - b]

Each is the other with the kernel turned by 180 degrees. So layers of either kind compute the same functions, and where
one learns a kernel, the other learns the turned one. The convolution alone is commutative and associative.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import Tensor, nn

from fc2conv.fields import require


def flipped(kernel: Tensor) -> Tensor:
    """Turned by 180 degrees: (..., kh, kw) -> the same, its rows and columns in reverse order."""
    return kernel.flip(-2, -1)


def convolve(image: Tensor, kernel: Tensor) -> Tensor:
    """The true convolution, as its sum is written: (H, W), (kh, kw) -> (H + kh - 1, W + kw - 1)."""
    _check(image, kernel)
    (h, w), (kh, kw) = image.shape, kernel.shape
    out = image.new_zeros(h + kh - 1, w + kw - 1)
    for a in range(kh):
        for b in range(kw):
            out[a : a + h, b : b + w] += kernel[a, b] * image  # pixel (k, l) meets K[a, b] at (k + a, l + b)
    return out


def correlate(image: Tensor, kernel: Tensor) -> Tensor:
    """The cross-correlation, as its sum is written: (H, W), (kh, kw) -> (H + kh - 1, W + kw - 1).

    Its first value is for the position at which only the kernel's last weight lies on the image's first pixel.
    """
    _check(image, kernel)
    (h, w), (kh, kw) = image.shape, kernel.shape
    out = image.new_zeros(h + kh - 1, w + kw - 1)
    for a in range(kh):
        for b in range(kw):
            out[kh - 1 - a : kh - 1 - a + h, kw - 1 - b : kw - 1 - b + w] += kernel[a, b] * image
    return out


class TrueConv2d(nn.Conv2d):
    """A convolution layer that turns its kernel, and so convolves. Its arguments and weights are Conv2d's."""

    def forward(self, input: Tensor) -> Tensor:
        out: Tensor = self._conv_forward(input, flipped(self.weight), self.bias)
        return out


def true_convolution(layer: nn.Conv2d) -> TrueConv2d:
    """The layer that computes the same as a (trained) Conv2d by true convolution: its kernel is the turned one."""
    new = TrueConv2d(
        layer.in_channels,
        layer.out_channels,
        (layer.kernel_size[0], layer.kernel_size[1]),
        (layer.stride[0], layer.stride[1]),
        layer.padding if isinstance(layer.padding, str) else (layer.padding[0], layer.padding[1]),
        (layer.dilation[0], layer.dilation[1]),
        layer.groups,
        layer.bias is not None,
        cast(Literal["zeros"], layer.padding_mode),
    ).to(layer.weight)
    new.load_state_dict(layer.state_dict() | {"weight": flipped(layer.weight.detach())})
    return new


def laws(image: Tensor, first: Tensor, second: Tensor) -> dict[str, float]:
    """How far both operations are from each law: the largest difference of the two sides over the largest value.

    Args:
        image: (H, W)
        first, second: kernels (kh, kw)

    Returns:
        commutative_convolution, ...: K * X against X * K, and L * (K * X) against (L * K) * X; 0 where the law holds
    """
    found = {}
    for name, operation in (("convolution", convolve), ("correlation", correlate)):
        # an operation takes (image, kernel): operation(x, k) is k * x
        found[f"commutative_{name}"] = _distance(operation(image, first), operation(first, image))
        once = operation(operation(image, first), second)
        found[f"associative_{name}"] = _distance(once, operation(image, operation(first, second)))
    return found


def learn_kernel(layer: nn.Conv2d, images: Tensor, target: Tensor, lr: float = 0.03, steps: int = 10) -> list[float]:
    """Teach a layer its kernel by gradient descent, as D2L 7.2.4 learns the edge detector [1, -1].

    Args:
        layer: it is changed
        images: (B, C, H, W)
        target: (B, O, H', W'): what it should give
        lr: for the summed squared error; the default suits one image of some 50 pixels

    Returns:
        the summed squared error before each step
    """
    errors = []
    for _ in range(steps):
        layer.zero_grad()
        error = (layer(images) - target).square().sum()
        error.backward()
        errors.append(float(error.detach()))
        with torch.no_grad():
            for parameter in layer.parameters():
                assert parameter.grad is not None
                parameter.sub_(lr * parameter.grad)
    return errors


def _distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / a.abs().max())


def _check(image: Tensor, kernel: Tensor) -> None:
    for name, value in (("image", image), ("kernel", kernel)):
        require(value.ndim == 2 and value.numel() > 0, name, list(value.shape), "two axes, (height, width)")
