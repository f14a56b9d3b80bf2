"""LLVM IR text of types and literals."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from trueno import dtypes as dt

_REGISTER = {
    dt.bool_: "i1", dt.int8: "i8", dt.uint8: "i8", dt.int16: "i16", dt.uint16: "i16", dt.int32: "i32",
    dt.uint32: "i32", dt.int64: "i64", dt.uint64: "i64", dt.float16: "half", dt.bfloat16: "i16",
    dt.float32: "float", dt.float64: "double",
}  # fmt: skip


def register_type(dtype: np.dtype) -> str:
    """Return the LLVM type of a value of this dtype in a register."""
    return _REGISTER[dtype]


def memory_type(dtype: np.dtype) -> str:
    """Return the LLVM type of a value of this dtype in memory."""
    return "i8" if dtype == dt.bool_ else _REGISTER[dtype]


def literal(value: Any, dtype: np.dtype) -> str:
    """Return a constant as LLVM text."""
    if dtype == dt.bool_:
        return "true" if value else "false"
    if dtype == dt.bfloat16:
        return str(int(np.asarray(value, dt.bfloat16).view(np.uint16)))
    if dt.is_floating(dtype):
        if dtype == dt.float16:
            return f"0xH{int(np.asarray(value, np.float16).view(np.uint16)):04X}"
        with np.errstate(over="ignore"):
            exact = float(np.asarray(value, dtype))
        return f"0x{struct.unpack('<Q', struct.pack('<d', exact))[0]:016X}"
    return str(int(value))
