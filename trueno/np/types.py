"""Types: NumPy's own scalar types and dtypes, constants, and the rules of promotion and casting for them."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from trueno import dtypes as dt
from trueno.ir import promotion
from trueno.np import arguments
from trueno.tensor import Tensor

ndarray = Tensor
dtype = np.dtype

# Scalar types are NumPy's: callable, and equal to the dtype of the same name.
_SCALARS = (
    "bool", "bool_", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32",
    "float64", "complex64", "complex128", "intp", "uintp", "int_", "uint", "intc", "uintc", "byte", "ubyte", "short",
    "ushort", "long", "ulong", "longlong", "ulonglong", "half", "single", "double", "csingle", "cdouble",
)  # fmt: skip
_ABSTRACT = (
    "generic", "number", "integer", "signedinteger", "unsignedinteger", "inexact", "floating", "complexfloating",
)  # fmt: skip
_CONSTANTS = ("e", "euler_gamma", "inf", "nan", "newaxis", "pi", "True_", "False_", "little_endian")
#: What concerns no array and is NumPy's as it is.
_OTHERS = ("mintypecode", "typecodes", "typename", "sctypeDict", "index_exp", "s_", "exceptions")
_PYTHON = (bool, int, float, complex)  # before NumPy's bool takes the name
for _name in (*_SCALARS, *_ABSTRACT, *_CONSTANTS, *_OTHERS):
    globals()[_name] = getattr(np, _name)
bfloat16 = ml_dtypes.bfloat16

_SIGNED, _UNSIGNED = (dt.int8, dt.int16, dt.int32, dt.int64), (dt.uint8, dt.uint16, dt.uint32, dt.uint64)
_COMPLEX = (np.dtype(np.complex64), np.dtype(np.complex128))
#: The kinds of dtypes that the array API standard names.
KINDS: dict[str, tuple[np.dtype, ...]] = {
    "bool": (dt.bool_,),
    "signed integer": _SIGNED,
    "unsigned integer": _UNSIGNED,
    "integral": _SIGNED + _UNSIGNED,
    "real floating": dt.FLOATING,
    "complex floating": _COMPLEX,
    "numeric": _SIGNED + _UNSIGNED + dt.FLOATING + _COMPLEX,
}


def _given(value: Any) -> Any:
    """Return what an argument means to promotion: a dtype, or for a Python scalar its value, which is weak."""
    if isinstance(value, (Tensor, np.ndarray, np.generic)):
        return np.dtype(value.dtype)
    if type(value) in _PYTHON:
        return value
    if isinstance(value, (list, tuple)):
        return arguments.array(value).dtype
    return np.dtype(value)


def result_type(*arrays_and_dtypes: Any) -> np.dtype:
    """Return the dtype in which arrays, dtypes and Python scalars meet (NEP 50).

    Parameters
    ----------
    *arrays_and_dtypes : array_like, dtype or Python number
        Arrays stand for their dtypes, 0-d ones too; Python numbers take part by kind only.

    Returns
    -------
    dtype

    Raises
    ------
    ValueError
        Without arguments.
    """
    given = [_given(one) for one in arrays_and_dtypes]
    if dt.bfloat16 in [one for one in given if isinstance(one, np.dtype)]:
        return promotion.common(tuple(one if isinstance(one, np.dtype) else type(one) for one in given))
    return np.result_type(*given)


def promote_types(type1: Any, type2: Any) -> np.dtype:
    """Return the smallest dtype to which both may be cast safely; bfloat16 and float16 meet in float32.

    Raises
    ------
    TypeError
        Where there is none.
    """
    return result_type(np.dtype(type1), np.dtype(type2))


def can_cast(from_: Any, to: Any, casting: str = "safe") -> bool:
    """Return whether values of a dtype (or of an array) may be cast to another under a casting rule.

    Parameters
    ----------
    from_ : dtype, array or NumPy scalar
    to : dtype
    casting : {"no", "equiv", "safe", "same_kind", "unsafe"}

    Raises
    ------
    TypeError
        For a Python number, whose dtype is open.
    """
    if type(from_) in _PYTHON:
        raise TypeError("can_cast: Python int, float and complex are not supported, since their dtype is open; "
                        "use result_type or a NumPy scalar")  # fmt: skip
    if from_ is None or to is None:
        raise TypeError("can_cast: did not understand one of the types; None not accepted")
    return arguments.can_cast(_given(from_), _given(to), casting)


def min_scalar_type(a: Any) -> np.dtype:
    """Return the smallest dtype that holds a number; for an array with axes, its dtype."""
    if isinstance(a, Tensor):
        return a.dtype if a.ndim or a.dtype == dt.bfloat16 else np.min_scalar_type(arguments.host(a, "min_scalar_type"))
    return np.min_scalar_type(a)


def common_type(*arrays: Any) -> np.dtype | type:
    """Return the floating-point type that all arrays can be cast to; integers count as float64.

    Raises
    ------
    TypeError
        For an array of bool.
    """
    given = [arguments.array(one).dtype for one in arrays]
    if dt.bfloat16 in given:
        return result_type(*(dt.float64 if one.kind in "iu" else one for one in given)).type
    return np.common_type(*(np.empty(0, one) for one in given))


def finfo(dtype: Any) -> Any:
    """Return the limits of a floating-point dtype, or of an array's: bits, eps, max, min, smallest_normal, dtype.

    Raises
    ------
    ValueError
        For integers and bool.
    """
    given = dtype.dtype if isinstance(dtype, (Tensor, np.ndarray)) else dtype
    return ml_dtypes.finfo(given) if np.dtype(given) == dt.bfloat16 else np.finfo(given)


def iinfo(type: Any) -> np.iinfo:
    """Return the limits of an integer dtype, or of an array's: bits, max, min, dtype.

    Raises
    ------
    ValueError
        For other dtypes.
    """
    return np.iinfo(type.dtype if isinstance(type, (Tensor, np.ndarray)) else type)


def issubdtype(arg1: Any, arg2: Any) -> bool:
    """Return whether a dtype lies below another in NumPy's hierarchy of types; bfloat16 is a `floating`."""
    if arg1 in (dt.bfloat16, bfloat16) and isinstance(arg2, type) and arg2 != bfloat16:
        arg1 = np.floating
    return np.issubdtype(arg1, arg2)


def isdtype(dtype: Any, kind: Any) -> bool:
    """Return whether a dtype is of a kind, as the array API standard defines them.

    Parameters
    ----------
    dtype : dtype
    kind : str, dtype or tuple of them
        ``"bool"``, ``"signed integer"``, ``"unsigned integer"``, ``"integral"``, ``"real floating"``,
        ``"complex floating"``, ``"numeric"``, or a dtype that must be equal.

    Raises
    ------
    TypeError
        For what is not a dtype.
    ValueError
        For a kind that does not exist.
    """
    if not isinstance(dtype, (np.dtype, type)):
        raise TypeError(f"isdtype: dtype argument must be a NumPy dtype, got {type(dtype).__name__}")
    if isinstance(kind, tuple):
        return any(isdtype(dtype, one) for one in kind)
    if isinstance(kind, str):
        if kind not in KINDS:
            raise ValueError(f"isdtype: kind argument is a string, but {kind!r} is not a known kind: {list(KINDS)}")
        return np.dtype(dtype) in KINDS[kind]
    if not isinstance(kind, (np.dtype, type)):
        raise TypeError(f"isdtype: kind must be a str, a dtype or a tuple of them, not {type(kind).__name__}")
    return np.dtype(dtype) == np.dtype(kind)


def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Tensor:
    """Return an array in another dtype.

    Parameters
    ----------
    x : Tensor or ndarray
    dtype : dtype
    copy : bool
        Whether to copy where the dtype does not change.
    device : optional
        Where the result is to be; by default where `x` is.

    Raises
    ------
    TypeError
        For an `x` that is not an array.
    """
    if not isinstance(x, (Tensor, np.ndarray, np.generic)):
        raise TypeError(f"astype: input should be an array, not {type(x).__name__}")
    given = arguments.array(x)
    result = given.astype(dtype, copy=copy)
    return result if device is None else result.to(device=device)


__all__ = [
    "astype", "bfloat16", "can_cast", "common_type", "dtype", "finfo", "iinfo", "isdtype", "issubdtype",
    "min_scalar_type", "ndarray", "promote_types", "result_type",
]  # fmt: skip
__all__ += [*_SCALARS, *_ABSTRACT, *_CONSTANTS, *_OTHERS]  # noqa: PLE0604 - strings all of them
