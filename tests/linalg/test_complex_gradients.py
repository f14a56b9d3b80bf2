"""Gradients of linear algebra over complex numbers, against PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import trueno as tn
import trueno.np as tnp
from trueno import linalg

#: By name: ours, PyTorch's, and the shapes of the complex operands.
CASES: dict[str, tuple[Callable[..., Any], Callable[..., Any], tuple[tuple[int, ...], ...]]] = {
    "norm": (linalg.norm, torch.linalg.norm, ((3, 4),)),
    "multi_dot": (lambda *m: linalg.multi_dot(m), lambda *m: torch.linalg.multi_dot(m), ((2, 3), (3, 4), (4, 2))),
    "inv": (linalg.inv, torch.linalg.inv, ((3, 3),)),
    "det": (linalg.det, torch.linalg.det, ((2, 3, 3),)),
    "slogdet": (lambda a: linalg.slogdet(a)[1], lambda a: torch.linalg.slogdet(a)[1], ((3, 3),)),
    "solve": (linalg.solve, torch.linalg.solve, ((3, 3), (3, 2))),
    "trace": (tnp.trace, torch.trace, ((3, 3),)),
    "kron": (tnp.kron, torch.kron, ((2, 3), (3, 2))),
    "outer": (tnp.outer, torch.outer, ((3,), (2,))),
    "dot": (tnp.dot, torch.dot, ((4,), (4,))),
    "inner": (tnp.inner, torch.inner, ((2, 4), (3, 4))),
    "matmul": (tnp.matmul, torch.matmul, ((2, 3, 4), (4, 3))),
    "vdot": (tnp.vdot, torch.vdot, ((4,), (4,))),
    "vdot of matrices": (tnp.vdot, lambda a, b: torch.vdot(a.reshape(-1), b.reshape(-1)), ((2, 3), (2, 3))),
    "vecdot": (tnp.vecdot, torch.linalg.vecdot, ((2, 4), (4,))),
    "vecdot along an axis": (
        lambda a, b: tnp.vecdot(a, b, axis=0), lambda a, b: torch.linalg.vecdot(a, b, dim=0), ((4, 2), (4, 2)),
    ),
    "linalg.vecdot": (linalg.vecdot, torch.linalg.vecdot, ((2, 4), (2, 4))),
    **{
        f"vector_norm {order}": (
            lambda a, p=order: linalg.vector_norm(a, ord=p, axis=1),
            lambda a, p=order: torch.linalg.vector_norm(a, p, 1),
            ((3, 4),),
        )
        for order in (-math.inf, -2, -1, 0.5, 1, 2, 3, math.inf)
    },
    **{
        f"matrix_norm {order}": (
            lambda a, p=order: linalg.matrix_norm(a, ord=p), lambda a, p=order: torch.linalg.matrix_norm(a, p),
            ((2, 3, 4),),
        )
        for order in ("fro", "nuc", -math.inf, -2, -1, 1, 2, math.inf)
    },
    **{
        f"matrix_power {n}": (
            lambda a, n=n: linalg.matrix_power(a, n), lambda a, n=n: torch.linalg.matrix_power(a, n), ((2, 3, 3),),
        )
        for n in (-3, -1, 1, 2, 3, 5)
    },
    **{
        f"cond {p}": (
            lambda a, p=p: linalg.cond(a, p),
            lambda a, p=p: torch.linalg.cond(a, p)
            if p in (None, 2, -2)
            else torch.linalg.matrix_norm(a, p) * torch.linalg.matrix_norm(torch.linalg.inv(a), p),
            ((3, 3),),
        )
        for p in (None, 2, -2, 1, -1, math.inf, -math.inf, "fro")
    },
    "cond of a tall matrix": (linalg.cond, torch.linalg.cond, ((4, 3),)),
    "pinv": (linalg.pinv, torch.linalg.pinv, ((4, 3),)),
    "pinv of wide matrices": (linalg.pinv, torch.linalg.pinv, ((2, 3, 4),)),
    "pinv of Hermitian matrices": (
        lambda a: linalg.pinv(a + a.mT.conj(), hermitian=True), lambda a: torch.linalg.pinv(a + a.mH, hermitian=True),
        ((3, 3),),
    ),
}  # fmt: skip


def weights(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return what the results are weighted by: their gradient, up to conjugation."""
    generator = np.random.default_rng(7)
    made = generator.standard_normal(shape) + (
        1j * generator.standard_normal(shape) if np.dtype(dtype).kind == "c" else 0
    )
    return np.asarray(made)


@pytest.mark.parametrize(
    ("name", "real"),
    [(name, real) for name, case in CASES.items() for real in ((None, 0, 1) if len(case[2]) > 1 else (None,))],
)
def test_gradients(name: str, real: int | None) -> None:
    """`real` is the operand that has no imaginary part, if there is one."""
    ours, theirs, shapes = CASES[name]
    generator = np.random.default_rng(0)
    arrays = [
        generator.standard_normal(shape) + (0 if k == real else 1j * generator.standard_normal(shape))
        for k, shape in enumerate(shapes)
    ]
    mine = [tn.tensor(one, requires_grad=True) for one in arrays]
    peers = [torch.tensor(one, requires_grad=True) for one in arrays]
    result = ours(*mine)
    expected = theirs(*(one.to(torch.complex128) if real is not None else one for one in peers))
    np.testing.assert_allclose(
        result.detach().numpy(), expected.detach().resolve_conj().numpy(), rtol=1e-10, atol=1e-12
    )
    g = weights(result.shape, result.dtype)
    result.backward(tn.from_numpy(g))
    expected.backward(torch.from_numpy(g))
    for one, peer in zip(mine, peers, strict=True):
        if peer.grad is None:
            assert one.grad is None or not one.grad.numpy().any()
            continue
        assert one.grad is not None
        np.testing.assert_allclose(one.grad.detach().numpy(), peer.grad.resolve_conj().numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "name", ["norm", "vector_norm 3", "vector_norm inf", "matrix_norm nuc", "matrix_power -1", "vdot"]
)
def test_gradients_of_second_order(name: str) -> None:
    ours, _, shapes = CASES[name]
    generator = np.random.default_rng(1)
    parts = [tn.tensor(generator.standard_normal(shape), requires_grad=True) for shape in shapes for _ in range(2)]

    def function(*given: tn.Tensor) -> tuple[tn.Tensor, ...]:
        result = ours(*(a + 1j * b for a, b in zip(given[::2], given[1::2], strict=True)))
        return (result.real, result.imag) if result.dtype.kind == "c" else (result,)

    assert tn.gradcheck(function, parts)
    assert tn.gradgradcheck(function, parts)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("order", [-math.inf, -1, 0.5, 1, 1.5, 2, 3, math.inf])
def test_norms_where_elements_are_zero(order: float, dtype: str) -> None:
    for values in ([0, 0, 0], [0, 1, 2]):
        array = np.array(values, dtype)
        x, peer = tn.tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
        result, expected = linalg.vector_norm(x, ord=order), torch.linalg.vector_norm(peer, order)
        assert result.item() == pytest.approx(expected.item())
        result.backward()
        expected.backward()
        assert x.grad is not None
        assert peer.grad is not None
        np.testing.assert_allclose(x.grad.numpy(), peer.grad.numpy(), rtol=1e-12)
