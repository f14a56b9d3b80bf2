"""Every library operation: values against the library's, layouts, and gradients against differences and PyTorch."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

import trueno as tn
from trueno import dtypes as dt
from trueno.errors import KernelError
from trueno.library import LibraryOperation, library, rows

for _module in ("trueno.linalg", "trueno.fft"):
    importlib.import_module(_module)

ROWS = rows()
DIFFERENTIABLE = [row for row in ROWS if row.grad is not None]
#: The dtypes in which a domain is given, and those that values are compared in.
NARROW = {np.dtype("f8"): np.dtype("f4"), np.dtype("c16"): np.dtype("c8")}


def with_dtypes(rows: list[LibraryOperation]) -> list[Any]:
    return [pytest.param(row, dtype, id=f"{row.name}-{dtype.name}") for row in rows for dtype in row.dtypes]


def cases(row: LibraryOperation, dtype: np.dtype | None = None) -> list[tuple[tuple[np.ndarray, ...], dict[str, Any]]]:
    return list(row.domain(np.random.default_rng(7), row.dtypes[0] if dtype is None else dtype))


def listed(value: Any) -> tuple:
    return value if isinstance(value, tuple) else (value,)


def observed(row: LibraryOperation, *operands: Any, **static: Any) -> tuple:
    return listed(row.observe(*listed(row(*operands, **static))))


def same(got: Any, want: Any, rtol: float = 1e-12) -> None:
    for one, other in zip(listed(got), map(np.asarray, listed(want)), strict=True):
        array = one.detach().numpy()
        assert array.dtype == other.dtype
        assert array.shape == other.shape
        np.testing.assert_allclose(array, other, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("narrow", [False, True], ids=["double", "single"])
@pytest.mark.parametrize(("row", "dtype"), with_dtypes(ROWS))
def test_values(row: LibraryOperation, dtype: np.dtype, narrow: bool) -> None:
    for operands, static in cases(row, dtype):
        arrays = [one.astype(NARROW.get(one.dtype, one.dtype)) if narrow else one for one in operands]
        before = [one.copy() for one in arrays]
        same(row(*map(tn.from_numpy, arrays), **static), row.forward(*before, **static), 1e-4 if narrow else 1e-12)
        assert all(np.array_equal(one, other) for one, other in zip(arrays, before, strict=True))


@pytest.mark.parametrize(("row", "dtype"), with_dtypes(ROWS))
def test_layouts(row: LibraryOperation, dtype: np.dtype) -> None:
    """Operands that are transposed, backwards, parts of others or read-only give what dense ones give."""
    layouts = [
        np.asfortranarray,
        lambda x: np.ascontiguousarray(x[..., ::-1])[..., ::-1],
        lambda x: np.repeat(x, 2, axis=-1)[..., ::2] if x.ndim else x,
        lambda x: (x.setflags(write=False), x)[1],
    ]
    for operands, static in cases(row, dtype):
        want = row.forward(*operands, **static)
        for layout in layouts:
            same(row(*(layout(one.copy()) for one in operands), **static), want, 1e-9)


def leaves(operands: tuple[np.ndarray, ...]) -> list[tn.Tensor]:
    tensors = [tn.from_numpy(one.copy()) for one in operands]
    return [one.requires_grad_() if dt.is_inexact(one.dtype) else one for one in tensors]


def parts(*values: Any) -> tuple:
    """Return values with the complex ones as two real ones each."""
    return tuple(part for one in values for part in ((one.real, one.imag) if dt.is_complex(one.dtype) else (one,)))


@pytest.mark.parametrize(("row", "dtype"), with_dtypes(DIFFERENTIABLE))
def test_gradients(row: LibraryOperation, dtype: np.dtype) -> None:
    for operands, static in cases(row, dtype):
        complexes = [dt.is_complex(one.dtype) for one in operands]

        def function(*tensors: tn.Tensor, static: dict = static, complexes: list = complexes) -> tuple:
            left = iter(tensors)
            whole = [next(left) + next(left) * 1j if split else next(left) for split in complexes]
            results = parts(*observed(row, *listed(row.project(*whole)), **static))
            return tuple(one for one in results if one.dtype == tn.float64 and one.size)

        assert tn.gradcheck(function, leaves(parts(*operands)))
        assert tn.gradgradcheck(function, leaves(parts(*operands)), atol=1e-4)


@pytest.mark.parametrize(
    ("row", "dtype"), with_dtypes([row for row in DIFFERENTIABLE if row.peer and row.grad is not None])
)
def test_gradients_against_pytorch(row: LibraryOperation, dtype: np.dtype) -> None:
    torch = pytest.importorskip("torch")
    assert row.peer is not None
    for operands, static in cases(row, dtype):
        ours = leaves(operands)
        theirs = [torch.tensor(one, requires_grad=dt.is_inexact(one.dtype)) for one in operands]
        mine = observed(row, *listed(row.project(*ours)), **static)
        given = row.peer(torch, *listed(row.project(*theirs)), **static)
        peers = listed(row.observe(*(tuple(given) if isinstance(given, (tuple, list)) else (given,))))
        total, total_peer = tn.tensor(0.0, dtype=tn.float64), torch.tensor(0.0, dtype=torch.float64)
        for k, (one, other) in enumerate(zip(mine, peers, strict=False)):
            if dt.is_inexact(one.dtype) and one.requires_grad:
                assert one.detach().numpy().dtype == other.detach().numpy().dtype
                np.testing.assert_allclose(one.detach().numpy(), other.detach().numpy(), rtol=1e-9, atol=1e-9)
                # Of a complex result, a function that is not holomorphic.
                weights = np.random.default_rng(k).uniform(0.5, 1.5, one.shape)
                of = (lambda x: x * x.conj() * (1 + 2j) + x * 3j) if dt.is_complex(one.dtype) else lambda x: x
                total, total_peer = (
                    total + (of(one) * tn.from_numpy(weights)).sum().real,
                    total_peer + (of(other) * torch.from_numpy(weights)).sum().real,
                )
        total.backward()
        total_peer.backward()
        for one, other in zip(ours, theirs, strict=True):
            if other.grad is not None:
                assert one.grad.dtype == one.dtype
                np.testing.assert_allclose(one.grad.numpy(), other.grad.numpy(), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_without_gradient_nothing_is_recorded(row: LibraryOperation) -> None:
    operands, static = cases(row)[0]
    with tn.no_grad():
        assert not any(one.requires_grad for one in listed(row(*leaves(operands), **static)))
    if row.grad is None:
        assert not any(one.requires_grad for one in listed(row(*leaves(operands), **static)))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_kernel_refuses_it_with_the_line(row: LibraryOperation) -> None:
    operands, static = cases(row)[0]

    @tn.kernel
    def inside(*arrays):  # type: ignore[no-untyped-def]
        return listed(row(*arrays, **static))[0]

    with pytest.raises(KernelError, match=rf"test_library.py:\d+: {row.name} is called inside a kernel"):
        inside(*map(tn.from_numpy, operands))


# --- the declaration itself -------------------------------------------------------------------------------------------


def declare(**changes: Any) -> LibraryOperation:
    given: dict[str, Any] = {
        "name": "declared_here", "forward": np.sinh, "domain": lambda generator, dtype: iter(()), "doc": "For a test.",
        "grad": lambda g, _y, x: [g * tn.cosh(x)],
    }  # fmt: skip
    given |= changes
    return library(given.pop("name"), given.pop("forward"), **given)


@pytest.fixture(autouse=True)
def undeclared(monkeypatch: pytest.MonkeyPatch) -> None:
    from trueno import library as module

    monkeypatch.setattr(module, "_rows", dict(module._rows))


def test_a_declaration_is_all_that_a_function_needs() -> None:
    sinh = declare()
    assert sinh in rows()
    x = tn.tensor([0.5, 1.5], dtype=tn.float64, requires_grad=True)
    assert tn.gradcheck(sinh, [x])
    assert tn.gradgradcheck(sinh, [x])


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"doc": ""}, "lacks its doc"),
        ({"domain": None}, "lacks its domain"),
        ({"grad": lambda g, y: [g]}, "not g, y and 1 operands"),
    ],
)
def test_a_missing_obligation_fails_at_once(changes: dict, match: str) -> None:
    with pytest.raises(TypeError, match=match):
        declare(**changes)


def test_a_name_is_given_once() -> None:
    declare()
    with pytest.raises(ValueError, match="already"):
        declare()


def test_only_what_the_rule_needs_is_kept() -> None:
    x = tn.tensor([0.5, 1.5], dtype=tn.float64, requires_grad=True)
    identity = declare(forward=np.positive, grad=lambda g, _y, _x: [g])
    y = identity(x)
    assert y.grad_fn.saved == [None]
    with tn.no_grad():
        x[0] = 3.0
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]


def test_a_saved_operand_that_changed_is_an_error() -> None:
    x = tn.tensor([0.5, 1.5], dtype=tn.float64, requires_grad=True)
    y = declare()(x * 1.0)
    again = x * 1.0
    z = declare(name="declared_here_too")(again)
    again.detach()[0] = 3.0
    y.sum().backward()
    with pytest.raises(RuntimeError, match="changed in place"):
        z.sum().backward()


def test_gradients_take_dtype_and_shape_of_the_operand() -> None:
    outer = declare(
        forward=np.multiply, operands=2, grad=lambda g, _y, a, b: [lambda: g * b, lambda: g * a],
    )  # fmt: skip
    a = tn.ones(3, 1, dtype=tn.float32).requires_grad_()
    b = tn.ones(2, 3, 4, dtype=tn.float64).requires_grad_()
    outer(a, b).sum().backward()
    assert (a.grad.dtype, a.grad.shape, a.grad.tolist()) == (tn.float32, (3, 1), [[8.0]] * 3)
    assert (b.grad.dtype, b.grad.shape) == (tn.float64, (2, 3, 4))


def test_results_that_no_gradient_arrives_at_give_none() -> None:
    seen: list[Any] = []

    def rule(g: tuple, _y: Any, _x: Any) -> list[Any]:
        seen.append(g)
        return [g[1]]

    both = declare(forward=lambda x: (x + 1, x + 2), grad=rule)
    x = tn.ones(2, dtype=tn.float64).requires_grad_()
    both(x)[1].sum().backward()
    assert seen[0][0] is None
    assert seen[0][1].tolist() == [1.0, 1.0]
    assert x.grad.tolist() == [1.0, 1.0]


def test_bad_operands() -> None:
    call = declare()
    with pytest.raises(TypeError, match="dtype"):
        call(["text"])
    with pytest.raises(TypeError, match="dtype"):
        call(np.array(["2020-01-01"], "datetime64[D]"))
    assert call([0.0]).dtype == tn.float64
