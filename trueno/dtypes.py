"""The dtypes, and NumPy's promotion (NEP 50) as the one table for all of them.

A dtype is a `numpy.dtype`; bfloat16 comes from ml_dtypes, which registers its casts and promotion with NumPy.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import ml_dtypes
import numpy as np

bool_ = np.dtype(np.bool_)
int8, int16, int32, int64 = (np.dtype(f"i{n}") for n in (1, 2, 4, 8))
uint8, uint16, uint32, uint64 = (np.dtype(f"u{n}") for n in (1, 2, 4, 8))
float16, float32, float64 = (np.dtype(f"f{n}") for n in (2, 4, 8))
bfloat16 = np.dtype(ml_dtypes.bfloat16)
complex64, complex128 = (np.dtype(f"c{n}") for n in (8, 16))

#: What the rows compute with. Complex numbers are pairs of floats to them; see ir/pairs.py.
ALL = (bool_, int8, int16, int32, int64, uint8, uint16, uint32, uint64, float16, bfloat16, float32, float64)
HALF = (float16, bfloat16)
FLOATING = (float16, bfloat16, float32, float64)
COMPLEX = (complex64, complex128)
#: What arrays may hold.
STORED = (*ALL, *COMPLEX)

_CLASS = {dtype: "f" if dtype in FLOATING else dtype.kind for dtype in STORED}
#: The one object of each dtype: equal ones may be several, and a call's static arguments are known by identity.
_ITSELF = {dtype: dtype for dtype in STORED}
_BY_NAME = {str(dtype): dtype for dtype in STORED} | {
    "half": float16, "float": float32, "double": float64, "bool_": bool_, "cfloat": complex64, "cdouble": complex128,
}  # fmt: skip


def as_dtype(value: Any) -> np.dtype:
    """Return the dtype that a name, a NumPy type, a Python type or a dtype stands for.

    Raises
    ------
    TypeError
        When it is not a dtype, or one that is not supported.
    """
    try:
        return _found(value)
    except TypeError:
        pass
    try:
        dtype = np.dtype(value)
    except TypeError:
        raise TypeError(f"{value!r} is not a dtype; supported are {', '.join(map(str, STORED))}") from None
    raise TypeError(f"dtype {dtype} is not supported; supported are {', '.join(map(str, STORED))}")


@lru_cache(256)
def _found(value: Any) -> np.dtype:
    """Return the one object of the dtype that a value stands for, or raise a TypeError."""
    named = _BY_NAME.get(value) if isinstance(value, str) else None
    dtype = np.dtype(value).newbyteorder("=") if named is None else named
    if dtype not in _ITSELF:
        raise TypeError
    return _ITSELF[dtype]


def kind_class(dtype: np.dtype) -> str:
    """Return ``f`` (float), ``i`` (signed), ``u`` (unsigned), ``b`` (bool) or ``c`` (complex)."""
    return _CLASS[dtype]


def is_floating(dtype: np.dtype) -> bool:
    """Whether the dtype is a floating-point one, halves included."""
    return _CLASS[dtype] == "f"


def is_complex(dtype: np.dtype) -> bool:
    """Whether the dtype is a complex one."""
    return dtype in COMPLEX


def is_inexact(dtype: np.dtype) -> bool:
    """Whether the dtype is a floating-point or complex one: what has gradients."""
    return _CLASS[dtype] in "fc"


def real_of(dtype: np.dtype) -> np.dtype:
    """Return the dtype of a complex dtype's parts; another dtype is its own."""
    return np.dtype(f"f{dtype.itemsize // 2}") if dtype in COMPLEX else dtype


def complex_of(dtype: np.dtype) -> np.dtype:
    """Return the complex dtype that holds the values of a dtype: complex64 for floats of up to 32 bits."""
    return complex64 if dtype in (*HALF, float32, complex64) else complex128


def accumulator(dtype: np.dtype) -> np.dtype:
    """Return the dtype in which sums of this dtype are kept: at least float32 for floats."""
    return float32 if dtype in HALF else dtype


def int_of_same_width(dtype: np.dtype) -> np.dtype:
    """Return the signed integer dtype with this dtype's number of bits."""
    return np.dtype(f"i{dtype.itemsize}")


def lowest(dtype: np.dtype) -> Any:
    """Return the neutral element of max: minus infinity (in both parts) or the smallest integer."""
    if is_complex(dtype):
        return complex("-inf-infj")
    if is_floating(dtype):
        return float("-inf")
    return False if dtype == bool_ else int(np.iinfo(dtype).min)


def highest(dtype: np.dtype) -> Any:
    """Return the neutral element of min: infinity (in both parts) or the largest integer."""
    if is_complex(dtype):
        return complex("inf+infj")
    if is_floating(dtype):
        return float("inf")
    return True if dtype == bool_ else int(np.iinfo(dtype).max)
