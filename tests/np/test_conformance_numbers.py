"""Random elementwise functions, broadcasting, promotion and reductions: all as in NumPy."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, note
from hypothesis import strategies as st

import trueno as tn
import trueno.np as tnp
from tests.np import strategies
from tests.np.comparing import check_equal, laid_out_as, outcome
from tests.np.test_conformance_indexing import agree
from trueno.np.ufuncs import UFUNCS

#: Units in the last place that results may differ by; sums are compared on the scale of what is added.
_ULP = {"float16": 2.0, "float32": 8.0, "float64": 16.0}
_ELEMENTWISE = sorted((one for one in UFUNCS if one.signature is None), key=lambda one: one.__name__)
_UNARY = [one for one in _ELEMENTWISE if one.nin == 1]
_BINARY = [one for one in _ELEMENTWISE if one.nin == 2]
_SHIFTS = (np.left_shift, np.right_shift)
_OPERATORS = (
    "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and_", "or_", "xor", "lshift", "rshift",
    "eq", "ne", "lt", "le", "gt", "ge", "matmul",
)  # fmt: skip


def tolerance(dtype: np.dtype) -> float:
    """Return the relative error that is allowed for a dtype; of complex numbers, relative to their distance from 0."""
    name = {"complex64": "float32", "complex128": "float64"}.get(str(dtype), str(dtype))
    return _ULP[name] * float(np.finfo(dtype).eps) if dtype.kind in "fc" else 0.0


def check_close(got: Any, want: Any, scale: float = 0.0, among: np.dtype | None = None) -> None:
    """Check shape, dtype and, within a few units in the last place, values; of several results each.

    `among` is a dtype that the values have passed through.
    """
    if isinstance(want, tuple):
        assert isinstance(got, tuple) and len(got) == len(want)
        for ours, theirs in zip(got, want, strict=True):
            check_close(ours, theirs, scale, among)
        return
    dtype = np.asarray(want).dtype
    if dtype.kind not in "fc":
        check_equal(got, want)
        return
    result = np.asarray(got)
    assert isinstance(got, tn.Tensor)
    assert (result.shape, result.dtype) == (np.shape(want), dtype), f"{result.shape} {result.dtype}, NumPy: {want!r}"
    allowed = max(tolerance(dtype), 0.0 if among is None else tolerance(among))
    np.testing.assert_allclose(result, want, rtol=allowed, atol=allowed * scale + float(np.finfo(dtype).tiny))


def _operand(data: st.DataObject, shape: tuple[int, ...], small: bool) -> Any:
    """Draw an array, or now and then a number; `small` are what shifts and powers can take."""
    if data.draw(st.integers(0, 5)) == 0:
        made = data.draw(strategies.numbers())
        return int(abs(made)) % 8 if small else made
    made = data.draw(strategies.arrays(shape=shape, special=not small, repeated=True))
    return np.abs(made) % np.asarray(4, made.dtype) if small and made.dtype.kind not in "bc" else made


def _tensor(operand: Any) -> Any:
    return tn.from_numpy(laid_out_as(operand)) if isinstance(operand, np.ndarray) else operand


@strategies.cases(0.1)
@given(st.data())
def test_binary_functions(data: st.DataObject) -> None:
    like = data.draw(st.sampled_from(_BINARY))
    small = like in _SHIFTS or like is np.power
    first, second = data.draw(strategies.broadcastable())
    a, b = _operand(data, first, small), _operand(data, second, small)
    note(f"{like.__name__}({a!r}, {b!r})")
    want, got = outcome(like, a, b), outcome(UFUNCS[like], _tensor(a), _tensor(b))
    if not agree(want, got):
        check_close(got, want)


@strategies.cases(0.05)
@given(st.data())
def test_operators(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(_OPERATORS))
    call = plain = getattr(operator, name)
    augmented = getattr(operator, "i" + name.rstrip("_"), None)
    small = name in ("pow", "lshift", "rshift")
    first, second = data.draw(strategies.broadcastable())
    a = data.draw(strategies.arrays(shape=first, special=not small))
    b = _operand(data, second, small)
    if name == "pow" and data.draw(st.booleans()):
        b = data.draw(st.sampled_from([2, 2.0, 0.5, 1.0, 0, -1, -1.0, -2, -3.0, 300, -300]))
        a = np.where(a == 0, np.asarray(1, a.dtype), a)  # infinite parts of complex numbers depend on the formula
    elif not isinstance(b, np.ndarray) and data.draw(st.booleans()):
        a, b = b, a
    # The error of exp(b log a) grows with b.
    assume(
        name != "pow" or not (isinstance(a, np.ndarray) and a.dtype.kind == "c" and np.max(np.abs(b), initial=0) > 9)
    )
    # A number is no matrix, and may be out of range as well: two errors at once.
    assume(name != "matmul" or (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)))
    # NumPy drops axes of extent 1 in front of a product where its target has fewer, and refuses any other.
    assume(name != "matmul" or np.ndim(b) <= 2 or np.ndim(a) >= np.ndim(b))
    if isinstance(a, np.ndarray) and augmented is not None and data.draw(st.booleans()):
        call = augmented
    note(f"{call.__name__}({a!r}, {b!r})")
    theirs = laid_out_as(a) if isinstance(a, np.ndarray) else a
    want, got = outcome(call, theirs, b), outcome(call, _tensor(a), _tensor(b))
    if call is augmented and isinstance(want, Exception) and isinstance(outcome(plain, a, b), Exception):
        # The target's dtype may be wrong, too, and which of two errors is found first is nobody's promise.
        assert isinstance(got, Exception)
    elif not agree(want, got):
        # Sums cancel, and the error of exp(b log a) is that of its argument.
        wide = name == "matmul" or (name == "pow" and np.asarray(want).dtype.kind == "c")
        finite = np.abs(want)[np.isfinite(want)] if wide else 0.0
        check_close(got, want, 4 * float(np.max(finite, initial=0.0)))


@strategies.cases(0.04)
@given(st.data())
def test_unary_functions(data: st.DataObject) -> None:
    like = data.draw(st.sampled_from(_UNARY))
    x = data.draw(strategies.arrays(special=True, repeated=True))
    note(f"{like.__name__}({x!r})")
    if like is np.spacing and x.dtype.kind != "c":
        # Of negative halves NumPy gives the distance to the next one above, of other floats to the next one below.
        x = np.abs(x)
    # What an integer divided by zero is, C leaves open: NumPy's reciprocal gives what the processor does.
    assume(like is not np.reciprocal or x.dtype.kind not in "iu" or np.all(x != 0))
    want, got = outcome(like, x), outcome(UFUNCS[like], _tensor(x))
    if not agree(want, got):
        check_close(got, want)


@strategies.cases(0.06)
@given(st.data())
def test_out_where_and_dtype(data: st.DataObject) -> None:
    like = data.draw(st.sampled_from([np.add, np.multiply, np.maximum, np.less, np.divide, np.subtract, np.hypot]))
    first, second, third = data.draw(strategies.broadcastable(3))
    a, b = (data.draw(strategies.arrays(shape=shape)) for shape in (first, second))
    shape = outcome(np.broadcast_shapes, first, second)
    out = laid_out_as(data.draw(strategies.arrays(shape=third if isinstance(shape, Exception) else shape)))
    mask = data.draw(strategies.arrays(dtypes=("bool",), shape=third)) if data.draw(st.booleans()) else True
    options: dict[str, Any] = {"casting": data.draw(st.sampled_from(["same_kind", "unsafe", "safe"]))}
    if data.draw(st.integers(0, 3)) == 0:
        options["dtype"] = data.draw(st.sampled_from(strategies.DTYPES))
    note(f"{like.__name__}({a!r}, {b!r}, out={out!r}, where={mask!r}, {options})")
    ours = _tensor(out)
    want = outcome(lambda: like(a, b, out=out, where=mask, **options))
    got = outcome(lambda: UFUNCS[like](_tensor(a), _tensor(b), out=ours, where=_tensor(mask), **options))
    if isinstance(shape, Exception) and isinstance(want, Exception):
        # Which of several errors is found first is nobody's promise.
        assert isinstance(got, Exception)
    elif not agree(want, got):
        assert got is ours
        # Floats out of an integer's range saturate here; C, and so NumPy, leaves them open.
        through = np.dtype(options.get("dtype", out.dtype))
        plain = outcome(like, a, b)
        natural = through if isinstance(plain, Exception) else plain.dtype
        sources, targets = [a.dtype, b.dtype, natural, through], [through, out.dtype]
        if all(one.kind not in "fc" for one in sources) or all(one.kind in "fc" for one in targets):
            # What a kernel computes in halves it keeps in float32, which NumPy rounds between function and cast.
            check_close(ours, out, among=np.dtype(options["dtype"]) if "dtype" in options else natural)


_REDUCTIONS = (
    "sum", "prod", "max", "min", "any", "all", "mean", "std", "var", "argmax", "argmin", "count_nonzero", "cumsum",
    "cumprod", "ptp", "nansum", "nanmax", "nanmin", "nanmean", "nanstd", "nanprod",
)  # fmt: skip
_OURS = {one: getattr(tnp, one) for one in _REDUCTIONS if hasattr(tnp, one)}
_ONE_AXIS = ("argmax", "argmin", "cumsum", "cumprod")


@pytest.mark.skipif(not _OURS, reason="trueno.np has no reductions")
@strategies.cases(0.1)
@given(st.data())
def test_reductions(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(_OURS)))
    x = data.draw(strategies.arrays(special=name.startswith(("nan", "max", "min", "arg")), repeated=True))
    if "prod" in name and (x.dtype.kind == "c" or x.dtype == np.float16):
        # Where a part of a complex product overflows, and whether it is NaN then, depends on the last digit; products
        # of halves are kept in float32, which overflows later.
        x = (x / np.where(x == 0, 1, np.abs(x))).astype(x.dtype)
    options: dict[str, Any] = {"axis": data.draw(strategies.axes(x.ndim, many=name not in _ONE_AXIS))}
    if not name.startswith("cum") and data.draw(st.booleans()):
        options["keepdims"] = True
    if name in ("sum", "prod", "max", "min") and data.draw(st.integers(0, 3)) == 0:
        options["initial"] = data.draw(st.sampled_from([0, 1, 3]))
    note(f"{name}({x!r}, {options})")
    want = outcome(lambda: getattr(np, name)(x, **options))
    got = outcome(lambda: _OURS[name](_tensor(x), **options))
    if agree(want, got):
        return
    finite = np.abs(x).astype(np.float64)
    scale = float(np.sum(finite[np.isfinite(finite)]))
    check_close(got, want, scale * (scale if name in ("var", "nanstd") else 1.0))
