"""Comparisons of whole arrays, tests of kinds, and elementwise functions that are no ufuncs."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any

import numpy as np

from trueno import dtypes as dt
from trueno import functions
from trueno.functions import operations
from trueno.ir import build
from trueno.np import arguments
from trueno.np.arguments import NOT_GIVEN, finish
from trueno.np.ufuncs import UFUNCS
from trueno.runtime.operation import Operation
from trueno.tensor import Tensor

# --- equality ---------------------------------------------------------------------------------------------------------


def isclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Tensor:
    """Return element by element whether ``|a - b| <= atol + rtol * |b|``.

    Parameters
    ----------
    a, b : array_like
        Broadcast against each other.
    rtol, atol : float or array_like
    equal_nan : bool
        Whether a NaN is close to a NaN.
    """
    given = [float(one) if type(one) in (int, float, bool) else arguments.array(one) for one in (rtol, atol)]
    operands = arguments.array(a), arguments.operand(b)
    return operations["isclose"].call(*operands, *given, equal_nan=bool(equal_nan))


def allclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> bool:
    """Return whether all elements are close; see `isclose`."""
    return bool(isclose(a, b, rtol, atol, equal_nan).all().item())


def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> bool:
    """Return whether two arrays have the same shape and elements; with `equal_nan` NaNs are equal."""
    try:
        first, second = arguments.array(a1), arguments.array(a2)
    except (TypeError, ValueError):
        return False
    return first.shape == second.shape and _all_equal(first, second, equal_nan)


def array_equiv(a1: Any, a2: Any) -> bool:
    """Return whether two arrays have the same elements after broadcasting."""
    try:
        first, second = arguments.array(a1), arguments.array(a2)
        build.broadcast_shape("array_equiv", [first.shape, second.shape])
    except (TypeError, ValueError):
        return False
    return _all_equal(first, second, False)


def _all_equal(a: Tensor, b: Tensor, equal_nan: bool) -> bool:
    same = operations["eq"].call(a, b)
    if equal_nan and dt.is_inexact(a.dtype) and dt.is_inexact(b.dtype):
        same = same | (operations["isnan"].call(a) & operations["isnan"].call(b))
    return bool(same.all().item())


# --- tests of kinds ---------------------------------------------------------------------------------------------------


def _is_complex(x: Any) -> bool:
    kind = getattr(getattr(x, "dtype", None), "kind", None)
    return bool((np.asarray(x).dtype.kind if kind is None else kind) == "c")


def iscomplexobj(x: Any) -> bool:
    """Return whether an array or number is of a complex type."""
    return _is_complex(x)


def isrealobj(x: Any) -> bool:
    """Return whether an array or number is not of a complex type."""
    return not _is_complex(x)


def iscomplex(x: Any) -> Tensor:
    """Return element by element whether the imaginary part differs from zero."""
    if _is_complex(x):
        return arguments.adopt(np.iscomplex(np.asarray(x)))
    return operations["isnan"].call(arguments.array(x)) & False


def isreal(x: Any) -> Tensor:
    """Return element by element whether the imaginary part is zero."""
    return operations["logical_not"].call(iscomplex(x))


def isscalar(element: Any) -> bool:
    """Return whether a value is a number, a string or a NumPy scalar; a 0-d array is none."""
    return isinstance(element, (np.generic, numbers.Number, str, bytes, memoryview))


def isfortran(a: Any) -> bool:
    """Return whether an array lies in Fortran's order and not in C's."""
    x = arguments.array(a)
    return not x.is_contiguous() and functions.permute(x).is_contiguous()


def _infinite(name: str, x: Any, out: Any, negative: bool) -> Any:
    given = arguments.array(x)
    sign = operations["signbit"].call(given)
    found = operations["isinf"].call(given) & (sign if negative else ~sign)
    return finish(found, out, name=name)


def isposinf(x: Any, out: Any = None) -> Any:
    """Return element by element whether a value is positive infinity."""
    return _infinite("isposinf", x, out, False)


def isneginf(x: Any, out: Any = None) -> Any:
    """Return element by element whether a value is negative infinity."""
    return _infinite("isneginf", x, out, True)


# --- elementwise ------------------------------------------------------------------------------------------------------


def clip(
    a: Any, a_min: Any = NOT_GIVEN, a_max: Any = NOT_GIVEN, out: Any = None, *, min: Any = NOT_GIVEN,
    max: Any = NOT_GIVEN, dtype: Any = None, casting: str = "same_kind",
) -> Any:  # fmt: skip
    """Return the values limited to an interval.

    Parameters
    ----------
    a : array_like
    a_min, a_max : array_like, optional
        The bounds; without one (or None), there is no limit on that side. `min` and `max` are other names of them.
    out : array, optional
    dtype : dtype, optional
        Of the result.
    casting : str
        The rule by which the result is cast to `out`.

    Raises
    ------
    ValueError
        For a bound that is given under both names.
    TypeError
        For one bound alone that is given by position.
    """
    if (a_min is not NOT_GIVEN and min is not NOT_GIVEN) or (a_max is not NOT_GIVEN and max is not NOT_GIVEN):
        raise ValueError(
            "clip: passing `min` or `max` keyword argument when `a_min` and `a_max` are provided is forbidden"
        )
    if (a_min is NOT_GIVEN) != (a_max is NOT_GIVEN) and min is NOT_GIVEN and max is NOT_GIVEN:
        missing = "a_max" if a_max is NOT_GIVEN else "a_min"
        raise TypeError(f"clip() missing 1 required positional argument: {missing!r}")
    low, high = (b if a is NOT_GIVEN else a for a, b in ((a_min, min), (a_max, max)))
    x = arguments.array(a)
    given = [
        None if one is None or one is NOT_GIVEN or _beyond(one, x.dtype, sign) else arguments.operand(one)
        for one, sign in ((low, -1), (high, 1))
    ]
    result = functions.positive(x) if all(one is None for one in given) else functions.clip(x, *given)
    if dtype is not None:
        result = result.astype(arguments.dtype(dtype), copy=False)
    return finish(result, out, name="clip", casting=casting)


def _beyond(bound: Any, dtype: np.dtype, sign: int) -> bool:
    """Return whether a Python integer is no bound for a dtype's values, being below all of them or above (`sign`)."""
    if type(bound) is not int or dtype.kind not in "iu":
        return False
    limits = np.iinfo(dtype)
    return bound > limits.max if sign > 0 else bound < limits.min


#: A complex array of its real and imaginary parts.
_joined = Operation("complex", build.pair, 2)


def _by_parts(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return a function of both parts of complex numbers."""
    return _joined.call(function(x.real), function(x.imag))


def real(val: Any) -> Tensor:
    """Return the real parts: a view for complex arrays, the array itself for real ones."""
    x = val if type(val) is Tensor else arguments.array(val)
    return x.real if dt.is_complex(x.dtype) else x


def imag(val: Any) -> Tensor:
    """Return the imaginary parts: a view for complex arrays, zeros for real ones."""
    return arguments.array(val).imag


def angle(z: Any, deg: bool = False) -> Tensor:
    """Return the angles of complex numbers with the positive real axis, in radians or degrees."""
    x = arguments.array(z)
    found = functions.atan2(x.imag, x.real)
    return functions.mul(found, 180 / np.pi) if deg else found


def around(a: Any, decimals: int = 0, out: Any = None) -> Any:
    """Return the values rounded to a number of decimals, halves to even.

    Parameters
    ----------
    a : array_like
    decimals : int
        A negative number rounds to tens, hundreds, ...
    out : array, optional
    """
    x, decimals = arguments.array(a), arguments.index("round", decimals)
    if x.dtype == np.bool_ and decimals:
        raise TypeError(f"round: values of bool have no decimals, {decimals} are asked for")

    def rounded(part: Tensor) -> Tensor:
        return operations["around"].call(part, decimals=decimals)

    result = _by_parts(rounded, x) if dt.is_complex(x.dtype) else rounded(x)
    return finish(result, out, name="round")


round = around


def fix(x: Any, out: Any = None) -> Any:
    """Return the integer parts of the values."""
    return UFUNCS[np.trunc](x, out=out) if out is not None else UFUNCS[np.trunc](x)


def sinc(x: Any) -> Tensor:
    """Return ``sin(pi x) / (pi x)``, which is 1 at 0."""
    return operations["sinc"].call(arguments.array(x))


def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """Return the values with NaN and infinities replaced by numbers.

    Parameters
    ----------
    x : array_like
    copy : bool
        False: change `x` itself, where it is a Tensor or an ndarray.
    nan : float or array_like
    posinf, neginf : float or array_like, optional
        The largest and lowest numbers of the dtype by default.
    """
    if isinstance(copy, str):
        raise ValueError(f"nan_to_num: copy is True or False, not the text {copy!r}")
    given = arguments.array(x)
    if not dt.is_inexact(given.dtype):
        return given.clone() if copy else given
    ends = (np.inf if posinf is None else posinf, -np.inf if neginf is None else neginf)
    replaced = [float(one) if isinstance(one, (int, float)) else arguments.array(one) for one in (nan, *ends)]

    def cleaned(part: Tensor) -> Tensor:
        return operations["nan_to_num"].call(part, *replaced)

    result = _by_parts(cleaned, given) if dt.is_complex(given.dtype) else cleaned(given)
    return result if copy else finish(result, given, name="nan_to_num")


def real_if_close(a: Any, tol: float = 100) -> Tensor:
    """Return the real parts where all imaginary ones are close to zero, else the array itself."""
    if not _is_complex(a):
        return arguments.array(a)
    return arguments.adopt(np.real_if_close(np.asarray(a), tol))


__all__ = [
    "allclose", "angle", "around", "array_equal", "array_equiv", "clip", "fix", "imag", "isclose", "iscomplex",
    "iscomplexobj", "isfortran", "isneginf", "isposinf", "isreal", "isrealobj", "isscalar", "nan_to_num", "real",
    "real_if_close", "round", "sinc",
]  # fmt: skip
