"""Result dtypes of the rows: NumPy's rules (NEP 50), by category.

Each rule has the form ``rule(op, dtypes) -> (operand dtype, result dtype)``, where `dtypes` holds a `numpy.dtype` for
an array and one of the Python types bool, int, float, complex for a Python scalar, which is weak: it takes part by kind
only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from trueno import dtypes as dt

Given = np.dtype | type

_WEAK_DEFAULT = {bool: dt.bool_, int: dt.int64, float: dt.float64, complex: dt.complex128}
_FLOAT_FOR_SIZE = {1: dt.float16, 2: dt.float32, 4: dt.float64, 8: dt.float64}


def _join(first: np.dtype, second: np.dtype) -> np.dtype:
    if first == second:
        return first
    if dt.bfloat16 in (first, second):
        # ml_dtypes leaves these pairs open; bfloat16 wins over integers as in PyTorch, and meets float16 in float32.
        other = second if first == dt.bfloat16 else first
        if other == dt.float16:
            return dt.float32
        return other if other in (dt.float32, dt.float64, *dt.COMPLEX) else dt.bfloat16
    return np.promote_types(first, second)


def _join_all(dtypes: Sequence[np.dtype]) -> np.dtype:
    if dt.bfloat16 not in dtypes:
        # For three and more this is not a chain of pairs: int8, uint8 and float16 meet in float16.
        return np.result_type(*dtypes)
    result = dtypes[0]
    for one in dtypes[1:]:
        result = _join(result, one)
    return result


def common(given: tuple[Given, ...]) -> np.dtype:
    """Return the dtype in which arrays and Python scalars of these types meet."""
    strong = [one for one in given if not isinstance(one, type)]
    weak = [one for one in given if isinstance(one, type)]
    if not strong:
        return _WEAK_DEFAULT[max(weak, key=(bool, int, float, complex).index)]
    result = _join_all(strong)
    for scalar in weak:
        if scalar is complex:
            result = dt.complex_of(result)
        elif scalar is float and not dt.is_inexact(result):
            result = dt.float64
        elif scalar is int and result == dt.bool_:
            result = dt.int64
    return result


def _float_for(dtype: np.dtype) -> np.dtype:
    return dtype if dt.is_inexact(dtype) else _FLOAT_FOR_SIZE[dtype.itemsize]


def _refuse(op: str, given: tuple[Given, ...], want: str) -> TypeError:
    names = ", ".join(one.__name__ if isinstance(one, type) else str(one) for one in given)
    return TypeError(f"{op} is not defined for {names}; it takes {want}")


def promote(op: str, given: tuple[Given, ...]) -> tuple[np.dtype, np.dtype]:
    """Operands and result in the common dtype."""
    dtype = common(given)
    return dtype, dtype


def numeric(op: str, given: tuple[Given, ...]) -> tuple[np.dtype, np.dtype]:
    """As `promote`, but bool is refused, as NumPy refuses to subtract or negate it."""
    dtype = common(given)
    if dtype == dt.bool_:
        raise _refuse(op, given, "numbers; use logical_not or logical_xor for bool")
    return dtype, dtype


def widened(op: str, given: tuple[Given, ...]) -> tuple[np.dtype, np.dtype]:
    """As `promote`, with bool computed as int8 (NumPy's square, power, remainder, conjugate)."""
    dtype = common(given)
    return (dt.int8, dt.int8) if dtype == dt.bool_ else (dtype, dtype)


def rounded(op: str, given: tuple[Given, ...]) -> tuple[np.dtype, np.dtype]:
    """As `promote`, with bool as float16 (NumPy's round)."""
    dtype = common(given)
    return (dt.float16, dt.float16) if dtype == dt.bool_ else (dtype, dtype)


def floating(op: str, given: tuple[Given, ...]) -> tuple[np.dtype, np.dtype]:
    """The common dtype, integers as the float that holds them: 8 bits float16, 16 bits float32, else float64."""
    strong = [one for one in given if not isinstance(one, type)]
    if len(strong) == len(given):
        # The smallest float that holds each operand, which may be smaller than the float of their common integer.
        dtype = _join_all([_float_for(one) for one in strong])
    else:
        dtype = _float_for(common(given))
    return dtype, dtype


def real_float(op: str, given: tuple[Given, ...]) -> tuple[np.dtype, np.dtype]:
    """As `floating`, for functions that NumPy has for real numbers only."""
    dtype = floating(op, given)[0]
    if dt.is_complex(dtype):
        raise _refuse(op, given, "real numbers")
    return dtype, dtype


def angular(op: str, given: tuple[Given, ...]) -> tuple[np.dtype, np.dtype]:
    """As `floating`, but for bool, whose angle is a float64 in NumPy."""
    dtype = dt.float64 if common(given) == dt.bool_ else floating(op, given)[0]
    return dtype, dtype


def quotient(op: str, given: tuple[Given, ...]) -> tuple[np.dtype, np.dtype]:
    """True division: floats and complex numbers stay, all integers give float64."""
    dtype = common(given)
    dtype = dtype if dt.is_inexact(dtype) else dt.float64
    return dtype, dtype


def whole(op: str, given: tuple[Given, ...]) -> tuple[np.dtype, np.dtype]:
    """A float32 or float64; the result is the signed integer of its width."""
    dtype = common(given)
    if dtype not in (dt.float32, dt.float64):
        raise _refuse(op, given, "float32 and float64")
    return dtype, dt.int_of_same_width(dtype)


def comparison(op: str, given: tuple[Given, ...]) -> tuple[np.dtype, np.dtype]:
    """Compared in the common dtype; bool result."""
    return common(given), dt.bool_


def holds(dtype: np.dtype, value: Any) -> bool:
    """Whether a dtype can stand for an operand; only a Python integer can be out of an integer dtype's range."""
    if type(value) is not int or dtype.kind not in "iu":
        return True
    info = np.iinfo(dtype)
    return info.min <= value <= info.max


def comparable(value: Any, other: Given) -> Any:
    """Return a Python integer that an integer dtype does not hold as an infinity: it compares alike."""
    if isinstance(other, type) or holds(other, value):
        return value
    return math.copysign(math.inf, value)


def truth(op: str, given: tuple[Given, ...]) -> tuple[np.dtype, np.dtype]:
    """Operands taken as true or false; bool result."""
    common(given)
    return dt.bool_, dt.bool_


def integral(op: str, given: tuple[Given, ...]) -> tuple[np.dtype, np.dtype]:
    """Integers and bool only."""
    dtype = common(given)
    if dt.is_floating(dtype):
        raise _refuse(op, given, "integers or bool")
    return dtype, dtype


def shift(op: str, given: tuple[Given, ...]) -> tuple[np.dtype, np.dtype]:
    """Integers; bool is shifted as int8."""
    dtype = integral(op, given)[0]
    return (dt.int8, dt.int8) if dtype == dt.bool_ else (dtype, dtype)


def predicate(op: str, given: tuple[Given, ...]) -> tuple[np.dtype, np.dtype]:
    """A test of one operand in its own dtype; bool result."""
    return common(given), dt.bool_


def accumulate(op: str, given: tuple[Given, ...]) -> tuple[np.dtype, np.dtype]:
    """Sums and products: integers narrower than 64 bits widen to int64 or uint64, as NumPy does."""
    dtype = common(given)
    if dtype.kind in "bi" and not dt.is_floating(dtype):
        dtype = dt.int64
    elif dtype.kind == "u":
        dtype = dt.uint64
    return dtype, dtype


def averaged(op: str, given: tuple[Given, ...]) -> tuple[np.dtype, np.dtype]:
    """Means: floats stay, everything else is averaged in float64."""
    return quotient(op, given)


_CASTINGS = ("no", "equiv", "safe", "same_kind", "unsafe")


def can_cast(source: np.dtype, target: np.dtype, casting: str = "safe") -> bool:
    """Whether values of one dtype may be cast to another under a rule of NumPy's; bfloat16 is a float of 16 bits.

    Raises
    ------
    ValueError
        For a rule that does not exist.
    """
    if casting not in _CASTINGS:
        raise ValueError(f"casting must be one of {', '.join(map(repr, _CASTINGS))}, not {casting!r}")
    if dt.bfloat16 not in (source, target) or casting in ("no", "equiv", "unsafe"):
        rule: Any = casting
        return source == target or bool(np.can_cast(source, target, rule))
    if source == target:
        return True
    if casting == "same_kind":
        source, target = (dt.float16 if one == dt.bfloat16 else one for one in (source, target))
        return bool(np.can_cast(source, target, "same_kind"))
    if target == dt.bfloat16:
        # 8 bits of significand: what int8 and uint8 need, and no more.
        return source in (dt.bool_, dt.int8, dt.uint8)
    return target != dt.float16 and can_cast(dt.float32, target, casting)
