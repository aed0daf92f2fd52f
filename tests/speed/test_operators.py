"""The kernels as operators of torch: their schemas, their shapes without numbers, and that torch can trace them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from fc2conv.speed import kernels

pytestmark = [
    pytest.mark.usefixtures("one_thread", "instructions"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),  # read by opcheck
]

OPERATORS = torch.ops.fc2conv


def arguments(gradients: bool) -> dict[str, tuple[Any, ...]]:
    """Of each operator, for images that are channels_last and for some that are not."""

    def leaf(*shape: int) -> Tensor:
        return torch.randn(shape).requires_grad_(gradients)

    norm = [leaf(6), leaf(6)]
    x, pixels = torch.randn(5, 6, 8, 10), torch.randn(11, 1, 12, 14)
    weight = torch.randn(6, 1, 5, 3)
    out, statistics, largest = kernels.norm_pool(x, [t.detach() for t in norm], 1e-5, True)
    stage_out, stage_statistics, stage_largest = kernels.stage(
        pixels, weight, [2, 1], [t.detach() for t in norm], 1e-5, True
    )
    grad, stage_grad = torch.randn(out.shape), torch.randn(stage_out.shape)
    return {
        "norm_pool": (x.clone().requires_grad_(gradients), norm, 1e-5, True),
        "stage": (pixels, weight.clone().requires_grad_(gradients), [2, 1], norm, 1e-5, False),
        "norm_pool_backward": (grad, [x, norm[0].detach(), largest, statistics, out]),
        "stage_backward": (
            stage_grad,
            [pixels, weight, norm[0].detach(), stage_largest, stage_statistics, stage_out],
            [2, 1],
        ),
        "conv_input_gradient": (torch.randn(4, 16, 5, 6), torch.randn(16, 6, 3, 5), 7, 10),
    }


@pytest.mark.parametrize("name", ["norm_pool", "stage", "norm_pool_backward", "stage_backward", "conv_input_gradient"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_torchs_own_checks(name: str) -> None:
    """Schema, registration of the gradient, shapes without numbers, and tracing; with gradients and without."""
    operator = getattr(OPERATORS, name).default
    for gradients in (True, False):
        checks = torch.library.opcheck(operator, arguments(gradients)[name])
        assert set(checks.values()) == {"SUCCESS"}
        assert len(checks) == 4


@pytest.mark.parametrize("name", ["norm_pool", "stage"])
def test_torchs_own_checks_in_evaluation(name: str) -> None:
    (operator, values) = getattr(OPERATORS, name).default, arguments(False)[name]
    moments = [torch.randn(6), torch.rand(6) + 0.5]
    given = tuple([*v, *moments] if isinstance(v, list) and isinstance(v[0], Tensor) else v for v in values)
    checks = torch.library.opcheck(operator, given)
    assert set(checks.values()) == {"SUCCESS"}


@pytest.mark.parametrize("name", ["norm_pool", "stage"])
def test_a_compiled_call_has_the_same_values_and_gradients(name: str) -> None:
    torch.compiler.reset()
    values = arguments(True)[name]
    leaves = [t for t in torch.utils._pytree.tree_leaves(values) if isinstance(t, Tensor) and t.requires_grad]
    operator = getattr(OPERATORS, name).default

    def call(*values: Any) -> Tensor:
        return operator(*values)[0].square()  # type: ignore[no-any-return]

    results = []
    for function in (call, torch.compile(call, fullgraph=True, backend="aot_eager")):
        out = function(*values)
        results.append((out, *torch.autograd.grad(out.sum(), leaves)))
    for a, b in zip(*results, strict=True):
        assert_close(a, b, atol=0, rtol=0)


def test_no_gradient_rather_than_a_wrong_one() -> None:
    x, weight, norm = torch.randn(2, 1, 6, 6), torch.randn(3, 1, 3, 3), [torch.ones(3), torch.zeros(3)]
    x.requires_grad_()
    with pytest.raises(NotImplementedError, match="of the images"):
        kernels.stage(x, weight, [0, 0], norm, 1e-5, False)[0].sum().backward()  # type: ignore[no-untyped-call]
    maps = torch.randn(2, 3, 4, 4, requires_grad=True)
    with pytest.raises(NotImplementedError, match="mean and variance are given"):
        kernels.norm_pool(maps, [*norm, *norm], 1e-5, False)[0].sum().backward()  # type: ignore[no-untyped-call]


def test_what_has_no_kernel_is_an_error() -> None:
    """kernels.c would read past the end of it."""
    norm = [torch.ones(3), torch.zeros(3)]
    for x, values in (
        (torch.randn(2, 3, 5, 4), norm),
        (torch.randn(0, 3, 4, 4), norm),
        (torch.randn(2, 4, 4, 4), norm),
        (torch.randn(2, 3, 4, 4).double(), norm),
        (torch.randn(2, 3, 4, 4), norm[:1]),
        (torch.randn(2, 65, 4, 4), [torch.ones(65), torch.zeros(65)]),
    ):
        with pytest.raises(ValueError, match="no kernel"):
            kernels.norm_pool(x, values, 1e-5, False)
    weight = torch.randn(3, 1, 3, 3)
    for x, w in (
        (torch.randn(2, 2, 6, 6), weight),
        (torch.randn(2, 1, 7, 6), weight),
        (torch.randn(2, 1, 2, 2), weight),
        (torch.randn(2, 1, 6, 6), torch.randn(4, 1, 3, 3)),
        (torch.randn(2, 1, 92, 92), weight),
    ):
        with pytest.raises(ValueError, match="no kernel"):
            kernels.stage(x, w, [0, 0], norm, 1e-5, False)
    with pytest.raises(ValueError, match="no kernel"):
        OPERATORS.conv_input_gradient(torch.randn(1, 2, 1, 1), torch.randn(2, 6, 3, 3), 2, 3)
    for name in ("norm_pool_backward", "stage_backward", "conv_input_gradient"):
        grad, *rest = arguments(False)[name]
        with pytest.raises(ValueError, match="kernels take"):
            getattr(OPERATORS, name)(grad.double(), *rest)
        with pytest.raises(ValueError, match="kernels take"):
            getattr(OPERATORS, name)(grad[1:], *(rest if name != "conv_input_gradient" else (*rest[:2], 9)))


def test_views_with_a_minus_sign_are_understood() -> None:
    """The imaginary part of a conjugate is a view that says that its numbers are to be negated."""
    x = torch.randn(2, 3, 4, 4, dtype=torch.complex64).conj().imag
    assert x.is_neg()
    norm = [torch.ones(3), torch.zeros(3)]
    assert_close(kernels.norm_pool(x, norm, 1e-5, False)[0], kernels.norm_pool(x.clone(), norm, 1e-5, False)[0])


def test_without_a_library_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "library", None)
    with pytest.raises(NotImplementedError, match="no compiled kernels"):
        kernels.norm_pool(torch.randn(2, 3, 4, 4), [torch.ones(3), torch.zeros(3)], 1e-5, False)


def test_other_layouts_have_no_kernels() -> None:
    """Their numbers do not lie where kernels.c would look for them."""
    x, norm = torch.randn(2, 3, 4, 4), [torch.ones(3), torch.zeros(3)]
    assert kernels.norm_pool_takes(x, norm)
    assert not kernels.norm_pool_takes(x.to_mkldnn(), norm)
