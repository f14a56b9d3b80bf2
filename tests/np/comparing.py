"""Runs one call on NumPy and on trueno.np and compares what comes of it: values, dtypes, shapes, sharing, errors."""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

import trueno as tn
import trueno.np as tnp


def outcome(call: Callable[..., Any], *args: Any) -> Any:
    """Return what the call returns, or the exception that it raises."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return call(*args)
    except Exception as error:
        return error


def leaves(value: Any) -> list[Any]:
    """Return the arrays in nested lists and tuples, in order."""
    return [leaf for one in value for leaf in leaves(one)] if isinstance(value, (list, tuple)) else [value]


def error_kind(error: BaseException) -> type[BaseException]:
    """Return the type of an exception, of NumPy's own subclasses the built-in one (but AxisError)."""
    kind = type(error)
    while kind.__module__.startswith("numpy._core"):
        kind = kind.__mro__[1]
    return kind


def compare(
    call: Callable[..., Any], *arrays: np.ndarray, rtol: float = 0.0, dtypes: bool = True, sharing: bool = False
) -> None:
    """Check that ``call(namespace, *arrays)`` gives the same for NumPy and for trueno.np.

    Parameters
    ----------
    call : callable
    *arrays : numpy.ndarray
        Copied for each side.
    rtol : float
        Relative tolerance of floating-point results, in units of the largest element.
    dtypes : bool
        Whether dtypes must be equal.
    sharing : bool
        Whether results must share memory with the first array exactly where NumPy's do.
    """
    arrays = tuple(np.asarray(one) for one in arrays)
    ours = [tn.from_numpy(laid_out_as(one)) for one in arrays]
    want, got = outcome(call, np, *arrays), outcome(call, tnp, *ours)
    if isinstance(want, Exception):
        assert isinstance(got, Exception), f"NumPy raises {want!r}, here is a result: {got!r}"
        assert issubclass(type(got), error_kind(want)), f"NumPy raises {want!r}, here is {type(got).__name__}: {got}"
        return
    if isinstance(got, Exception):
        raise AssertionError(f"NumPy gives {want!r}, here is an error") from got
    check_equal(got, want, rtol, dtypes)
    if sharing:
        theirs = [bool(one.size) and np.shares_memory(one, arrays[0]) for one in leaves(want)]
        shares = [bool(one.size) and np.shares_memory(np.asarray(one), np.asarray(ours[0])) for one in leaves(got)]
        assert shares == theirs, f"results share memory: {shares}, NumPy's: {theirs}"


def laid_out_as(array: np.ndarray) -> np.ndarray:
    """Return a copy of an array and of the memory that it spans: with its strides, gaps and repeated elements."""
    low, high = byte_bounds(array)
    memory = np.frombuffer(bytearray(ctypes.string_at(low, high - low)), np.uint8)
    if not array.size:
        return array.copy()
    return np.ndarray(array.shape, array.dtype, memory, array.ctypes.data - low, array.strides)


def check_equal(got: Any, want: Any, rtol: float = 0.0, dtypes: bool = True) -> None:
    """Check results, nested as NumPy's, for equal type of container, shape, dtype and values."""
    if isinstance(want, (list, tuple)):
        assert isinstance(got, type(want)) or isinstance(got, tuple) == isinstance(want, tuple), (got, want)
        assert len(got) == len(want), f"{len(got)} results, NumPy has {len(want)}"
        for ours, theirs in zip(got, want, strict=True):
            check_equal(ours, theirs, rtol, dtypes)
        return
    if not isinstance(want, (np.ndarray, np.generic)):
        assert type(got) is type(want), (got, want)
        assert got == want or repr(got) == repr(want)  # which NaNs have in common
        return
    assert isinstance(got, tn.Tensor), f"{type(got).__name__} instead of a Tensor"
    result = np.asarray(got)
    assert result.shape == want.shape, f"shape {result.shape}, NumPy's is {want.shape}"
    if dtypes:
        assert result.dtype == want.dtype, f"dtype {result.dtype}, NumPy's is {want.dtype}"
    if rtol and want.dtype.kind in "fc":
        scale = float(np.max(np.abs(want[np.isfinite(want)]), initial=0.0))
        np.testing.assert_allclose(result, want, rtol=rtol, atol=rtol * scale)
    else:
        np.testing.assert_array_equal(result, want)


def gradient(call: Callable[..., Any], *arrays: np.ndarray) -> None:
    """Check the gradient of ``sum(w * call(tnp, *arrays))`` against central differences, for fixed weights w."""
    ours = [tn.from_numpy(np.array(one, np.float64)).requires_grad_() for one in arrays]
    result = call(tnp, *ours)
    generator = np.random.default_rng(3)
    weights = generator.normal(size=result.shape)
    (result * tn.from_numpy(weights)).sum().backward()

    def value(points: Sequence[np.ndarray]) -> float:
        return float(np.sum(np.asarray(call(np, *points)) * weights))

    for k, one in enumerate(arrays):
        numeric = np.zeros(one.shape)
        for place in np.ndindex(one.shape):
            moved = [np.array(each, np.float64) for each in arrays]
            step = 1e-6 * max(1.0, abs(moved[k][place]))
            moved[k][place] += step
            above = value(moved)
            moved[k][place] -= 2 * step
            numeric[place] = (above - value(moved)) / (2 * step)
        grad = ours[k].grad
        assert grad is not None, f"operand {k} has no gradient"
        np.testing.assert_allclose(np.asarray(grad), numeric, rtol=1e-5, atol=1e-7)
