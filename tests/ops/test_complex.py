"""Complex numbers: each row that takes them against NumPy, gradients against PyTorch's."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
import torch

import trueno as tn
from trueno import dtypes as dt
from trueno.ir.op import Op, rows

TAKING = [row for row in rows() if row.pair is not None and row.public and row.name != "cast"]
MAPS = [row for row in TAKING if row.kind == "elementwise"]
TOLERANCE = {"complex64": 2e-5, "complex128": 1e-12}


def numbers(dtype: np.dtype, shape: tuple[int, ...], seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return (generator.uniform(-2, 2, shape) + 1j * generator.uniform(-2, 2, shape)).astype(dtype)


def operands(row: Op, dtype: np.dtype, shape: tuple[int, ...] = (5, 7)) -> list[np.ndarray]:
    found = [numbers(dtype, shape, seed) for seed in range(row.arity)]
    return [found[0].real > 0, *found[1:]] if row.name == "where" else found


def call(row: Op, given: list[np.ndarray]) -> tn.Tensor:
    return getattr(tn, row.name)(*map(tn.from_numpy, given))


@pytest.mark.parametrize("dtype", dt.COMPLEX, ids=str)
@pytest.mark.parametrize("row", MAPS, ids=lambda row: row.name)
def test_rows_mean_what_numpy_means(row: Op, dtype: np.dtype) -> None:
    given = operands(row, dtype)
    reference = {"exp2": np.exp2, "log2": np.log2}.get(row.name, row.ref)
    expected = reference(*given)
    for views in (given, [one.T.copy().T for one in given], [np.repeat(one, 2, axis=1)[:, ::2] for one in given]):
        found = call(row, views).numpy()
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
        scale = TOLERANCE[dtype.name]
        np.testing.assert_allclose(found, expected, rtol=scale, atol=scale)


@pytest.mark.parametrize("name", ["sum", "prod", "cumsum", "cumprod", "mean", "std", "var", "any", "all"])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_reductions_and_scans(name: str, axis: int | None) -> None:
    x = numbers(dt.complex128, (4, 7), 3)
    expected = getattr(np, name)(x, axis=axis)
    found = getattr(tn, name)(tn.from_numpy(x), axis=axis).numpy()
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_reductions_over_several_axes_keep_them_and_take_a_dtype() -> None:
    x = numbers(dt.complex64, (3, 4, 5), 4)
    own = tn.from_numpy(x)
    for name in ("sum", "prod"):
        found = getattr(tn, name)(own, axis=(0, 2), keepdims=True)
        np.testing.assert_allclose(found.numpy(), getattr(np, name)(x, axis=(0, 2), keepdims=True), rtol=1e-4)
        assert getattr(tn, name)(own, dtype=dt.complex128).dtype == dt.complex128
    assert tn.sum(own.real, dtype=dt.complex64).dtype == dt.complex64
    assert tn.prod(tn.zeros(0, dtype=dt.complex64)).item() == 1


@pytest.mark.parametrize(
    "shapes", [((3, 4), (4, 5)), ((2, 3, 4), (4, 2)), ((4,), (4, 3)), ((3, 4), (4,)), ((4,), (4,))]
)
def test_matmul(shapes: tuple) -> None:
    a, b = (numbers(dt.complex128, shape, k) for k, shape in enumerate(shapes))
    np.testing.assert_allclose((tn.from_numpy(a) @ tn.from_numpy(b)).numpy(), a @ b, rtol=1e-12)
    np.testing.assert_allclose((tn.from_numpy(a) @ tn.from_numpy(b.real.copy())).numpy(), a @ b.real, rtol=1e-12)


SPECIAL = [complex(*parts) for parts in itertools.product((0.0, -0.0, 1.0, -2.5, np.inf, -np.inf, np.nan), repeat=2)]
#: What C99 and NumPy leave open: the sign of a zero or infinity next to a NaN, and products with infinities.
SETTLED = (
    "exp", "log", "log10", "sqrt", "abs", "angle", "conj", "isnan", "isinf", "isfinite", "neg", "eq", "ne", "real",
    "imag", "logical_not", "add", "sub",
)  # fmt: skip


@pytest.mark.parametrize("name", SETTLED)
def test_special_values_are_numpys(name: str) -> None:
    (row,) = (row for row in MAPS if row.name == name)
    x = np.array(SPECIAL)
    given = [x] if row.arity == 1 else [np.repeat(x, len(x)), np.tile(x, len(x))]
    with np.errstate(all="ignore"):
        expected = row.ref(*given)
    found = call(row, given).numpy()
    for part in ("real", "imag"):
        own, theirs = np.asarray(getattr(found, part)), np.asarray(getattr(expected, part))
        wrong = ~np.isclose(own, theirs, rtol=1e-14, atol=0, equal_nan=True)
        assert not wrong.any(), [
            (one, a, b) for *one, a, b in zip(*given, own, theirs) if not np.isclose(a, b, equal_nan=True)
        ]


@pytest.mark.parametrize(
    "name", ["sinh", "cosh", "tanh", "sin", "cos", "tan", "asin", "acos", "atan", "asinh", "acosh", "atanh"]
)
def test_both_sides_of_branch_cuts_and_large_numbers(name: str) -> None:
    (row,) = (row for row in MAPS if row.name == name)
    parts = (0.0, -0.0, 0.25, -0.25, 1.5, -1.5, 30.0, -30.0)
    x = np.array([complex(a, b) for a in parts for b in parts if abs(complex(a, b)) not in (1.0,)])
    with np.errstate(all="ignore"):
        expected = row.ref(x)
    np.testing.assert_allclose(call(row, [x]).numpy(), expected, rtol=1e-9, atol=1e-13)


DIFFERENTIABLE = [
    row.name for row in MAPS if row.name not in ("isnan", "isinf", "isfinite", "logical_not", "logical_and",
                                                 "logical_or", "logical_xor", "eq", "ne", "where",
                                                 "lt", "le", "gt", "ge", "maximum", "minimum", "clip", "round")
]  # fmt: skip
TORCH = {
    "neg": "neg", "conj": "conj_physical", "abs": "abs", "sign": "sgn", "div": "div", "positive": "positive",
    "real": "real", "imag": "imag", "angle": "angle",
}  # fmt: skip


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_are_pytorchs(name: str) -> None:
    (row,) = (row for row in MAPS if row.name == name)
    given = operands(row, np.dtype(np.complex128), (6,))
    theirs = [torch.tensor(one, requires_grad=True) for one in given]
    y = getattr(torch, TORCH.get(name, name))(*theirs)
    g = numbers(dt.complex128, (6,), 9)
    g = g if y.is_complex() else g.real.copy()
    y.backward(torch.tensor(g))
    own = [tn.from_numpy(one).requires_grad_() for one in given]
    getattr(tn, name)(*own).backward(tn.from_numpy(g))
    for mine, other in zip(own, theirs, strict=True):
        assert mine.grad is not None
        assert mine.grad.dtype == dt.complex128
        np.testing.assert_allclose(mine.grad.numpy(), other.grad.numpy(), rtol=1e-9, atol=1e-12)


#: On the axes, at 0 and at 1, where formulas choose between cases.
ON_AXES = np.array([2.5, -2.5, 0.5, -0.5, 2j, -2j, 0.5j, -0.5j, 0, 1 + 1e-9j, 3 + 3j, -0.25 + 0.25j])


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_on_the_axes_are_pytorchs(name: str) -> None:
    """Where PyTorch's are finite: not at poles and branch points."""
    (row,) = (row for row in MAPS if row.name == name)
    count = len(ON_AXES)
    given = [ON_AXES] if row.arity == 1 else [np.repeat(ON_AXES, count), np.tile(ON_AXES, count)]
    theirs = [torch.tensor(one, requires_grad=True) for one in given]
    y = getattr(torch, TORCH.get(name, name))(*theirs)
    g = numbers(dt.complex128, given[0].shape, 9)
    g = g if y.is_complex() else g.real.copy()
    y.backward(torch.tensor(g))
    own = [tn.from_numpy(one).requires_grad_() for one in given]
    getattr(tn, name)(*own).backward(tn.from_numpy(g))
    for mine, other in zip(own, theirs, strict=True):
        finite = np.isfinite(other.grad.numpy())
        assert finite.sum() >= len(finite) // 2
        np.testing.assert_allclose(mine.grad.numpy()[finite], other.grad.numpy()[finite], rtol=1e-9, atol=1e-9)


def test_second_derivatives_on_the_axes() -> None:
    for name in ("exp", "sin", "tanh", "sqrt", "log1p", "atan"):
        results = []
        for library, make in ((tn, tn.tensor), (torch, torch.tensor)):
            z = make(np.array([0.5, -0.25j, 2.0]), requires_grad=True)
            y = getattr(library, name)(z)
            first = (tn if library is tn else torch.autograd).grad((y * (1 + 2j)).real.sum(), z, create_graph=True)[0]
            (first.real * 2 - first.imag).sum().backward()
            results.append(np.array(z.grad.tolist()))
        np.testing.assert_allclose(*results, rtol=1e-9, atol=1e-12)


def test_gradients_through_real_operands_views_and_reductions() -> None:
    z, r = numbers(dt.complex128, (3, 4), 1), np.random.default_rng(2).random((3, 4))
    results = []
    for library, make in ((tn, tn.tensor), (torch, torch.tensor)):
        a, b = make(z, requires_grad=True), make(r, requires_grad=True)
        y = (a * b).sum(0) @ a.T + a[:, 1].conj().sum() * 2j
        loss = (y.real**2).sum() + abs(y).sum() + y.imag.sum()
        loss.backward()
        results.append([one.grad.numpy() for one in (a, b)])
        assert library is tn or results
    for own, theirs in zip(*results, strict=True):
        assert own.dtype == theirs.dtype
        np.testing.assert_allclose(own, theirs, rtol=1e-10)


def test_second_derivatives() -> None:
    z = tn.tensor([1 + 2j, -0.5 + 0.25j]).requires_grad_()
    (first,) = tn.grad((z**3).real.sum(), z, create_graph=True)
    (second,) = tn.grad(first.imag.sum(), z)
    other = torch.tensor(z.detach().numpy(), requires_grad=True)
    (theirs,) = torch.autograd.grad((other**3).real.sum(), other, create_graph=True)
    (theirs,) = torch.autograd.grad(theirs.imag.sum(), other)
    np.testing.assert_allclose(second.numpy(), theirs.numpy(), rtol=1e-10)


def test_a_complex_result_needs_a_gradient() -> None:
    z = tn.tensor([1 + 2j]).requires_grad_()
    with pytest.raises(RuntimeError, match="only for real numbers"):
        (z * z).backward()


def test_parts_are_views() -> None:
    x = tn.zeros(2, 3, dtype=dt.complex64)
    x.real[0] = 1
    x.imag[:, 1] = 2
    assert x.tolist() == [[1, 1 + 2j, 1], [0, 2j, 0]]
    assert tn.real(x).data_ptr() == x.data_ptr()
    assert tn.imag(x).data_ptr() == x.data_ptr() + 4
    plain = tn.ones(3)
    assert tn.real(plain).data_ptr() == plain.data_ptr()
    assert plain.imag.tolist() == [0, 0, 0]


def test_comparisons_with_python_numbers() -> None:
    z = tn.tensor([1 + 0j, 2j, 0])
    assert (z == 0).tolist() == [False, False, True]
    assert (z != 1).tolist() == [False, True, True]
    assert (z == 2j).tolist() == [False, True, False]


def test_python_complex_numbers_are_weak() -> None:
    assert (tn.ones(2) * 2j).dtype == dt.complex64
    assert (tn.ones(2, dtype=dt.float64) + 1j).dtype == dt.complex128
    assert (2j * tn.ones(2, dtype=dt.int32)).dtype == dt.complex128
    assert (tn.ones(2, dtype=dt.bfloat16) * 1j).dtype == dt.complex64
    assert (tn.ones(2, dtype=dt.complex64) * 2.5).dtype == dt.complex64
    assert tn.tensor([1j, 2]).dtype == dt.complex128
    assert tn.where(tn.tensor([True, False]), tn.ones(2), 1j).tolist() == [1, 1j]


@pytest.mark.parametrize("first", dt.STORED, ids=str)
@pytest.mark.parametrize("second", dt.COMPLEX, ids=str)
def test_promotion_is_numpys(first: np.dtype, second: np.dtype) -> None:
    expected = (
        dt.complex64
        if first == dt.bfloat16 and second == dt.complex64
        else (dt.complex128 if first == dt.bfloat16 else np.result_type(first, second))
    )
    assert (tn.ones(2, dtype=first) + tn.ones(2, dtype=second)).dtype == expected
    assert (tn.ones(2, dtype=second) * tn.ones(2, dtype=first)).dtype == expected


def test_in_place_and_assignment() -> None:
    x = tn.from_numpy(numbers(dt.complex128, (3, 4), 5))
    expected = x.numpy().copy()
    x += 1j
    x *= x.clone()
    x[1] = 3 - 1j
    x[:, 2] = tn.arange(3)
    expected += 1j
    expected *= expected.copy()
    expected[1] = 3 - 1j
    expected[:, 2] = np.arange(3)
    np.testing.assert_allclose(x.numpy(), expected, rtol=1e-14)
    real = tn.ones(3)
    with pytest.raises(TypeError, match="complex"):
        real += 1j


def test_casts() -> None:
    z = tn.tensor([1.5 + 2j, 0, 3j])
    assert z.astype(dt.complex64).dtype == dt.complex64
    assert z.astype(bool).tolist() == [True, False, True]
    with pytest.warns(np.exceptions.ComplexWarning):
        assert z.astype(dt.float64).tolist() == [1.5, 0, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tn.ones(2, dtype=dt.int8).astype(dt.complex64).tolist() == [1, 1]


@pytest.mark.parametrize("name", ["floor", "erf", "relu", "remainder", "cbrt", "bitwise_and", "nextafter"])
def test_rows_without_a_meaning_refuse(name: str) -> None:
    z = tn.tensor([1 + 1j, 2])
    row = tn.functions.operations[name].record
    arity = getattr(row, "arity", 1)
    with pytest.raises(TypeError, match="complex128"):
        getattr(tn, name)(*[z] * arity)


def test_printing_pickling_and_numbers() -> None:
    import copy
    import pickle

    z = tn.tensor([1 + 2j, 0.5])
    assert repr(z) == "tensor([1. +2.j, 0.5+0.j], dtype=complex128)"
    assert pickle.loads(pickle.dumps(z)).tolist() == z.tolist()
    assert copy.deepcopy(z).tolist() == z.tolist()
    assert complex(z[0]) == 1 + 2j
    assert z[0].item() == 1 + 2j
    with pytest.raises(TypeError):
        float(z[0])


def test_kernels_take_complex_arrays() -> None:
    @tn.kernel
    def mandelbrot(c):
        z = c * 0
        for _ in range(4):
            z = z * z + c
        return tn.abs(z)

    c = numbers(dt.complex64, (50, 60), 8)
    z = np.zeros_like(c)
    for _ in range(4):
        z = z * z + c
    np.testing.assert_allclose(mandelbrot(tn.from_numpy(c)).numpy(), abs(z), rtol=1e-4)


@pytest.mark.opencl
@pytest.mark.parametrize("name", ["mul", "exp", "sqrt", "abs", "div"])
def test_opencl(name: str) -> None:
    (row,) = (row for row in MAPS if row.name == name)
    device = next(str(one) for one in tn.devices() if str(one).startswith("opencl"))
    given = operands(row, dt.complex64)
    moved = [tn.from_numpy(one).to(device) for one in given]
    found = getattr(tn, name)(*moved)
    assert str(found.device) == device
    np.testing.assert_allclose(found.cpu().numpy(), row.ref(*given), rtol=3e-5, atol=3e-5)
    (g,) = tn.grad(tn.abs(getattr(tn, name)(moved[0].requires_grad_(), *moved[1:])).sum(), moved[0])
    assert g.dtype == dt.complex64
