"""OpenCL C of values: types, literals, and the functions that stand for missing instructions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from trueno import dtypes as dt

_REGISTER = {
    dt.bool_: "bool", dt.int8: "char", dt.uint8: "uchar", dt.int16: "short", dt.uint16: "ushort", dt.int32: "int",
    dt.uint32: "uint", dt.int64: "long", dt.uint64: "ulong", dt.float16: "ushort", dt.bfloat16: "ushort",
    dt.float32: "float", dt.float64: "double",
}  # fmt: skip
UNSIGNED = {1: "uint", 2: "uint", 4: "uint", 8: "ulong"}

#: Functions by name; a program gets those that occur in it.
HELPERS = {
    "half_to_float": "float half_to_float(ushort bits) { return vload_half(0, (const half *)&bits); }",
    "float_to_half": "ushort float_to_half(float x) { ushort bits; vstore_half_rte(x, 0, (half *)&bits); "
    "return bits; }",
    "bfloat16_to_float": "float bfloat16_to_float(ushort bits) { return as_float((uint)bits << 16); }",
    "float_to_bfloat16": """ushort float_to_bfloat16(float x) {
    const uint bits = as_uint(x);
    // To the nearest, halves to even; a NaN stays one.
    return (ushort)((isnan(x) ? bits | 0x400000u : bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}""",
    "wrap_index": """idx wrap_index(long i, idx extent) {
    // A negative index counts from the end; the result is kept inside.
    return (idx)max(min(i < 0 ? i + extent : i, (long)extent - 1), 0L);
}""",
}
_INTEGER_POWER = """{T} int_pow_{T}({T} base, {T} exponent) {{
    {U} result = {start}, factor = ({U})base;
    for (; exponent > 0; exponent >>= 1) {{
        if (exponent & 1) result *= factor;
        factor *= factor;
    }}
    return ({T})result;
}}"""
_COMMON_DIVISOR = """{T} int_gcd_{T}({T} a, {T} b) {{
    {U} x = ({U})a, y = ({U})b;
    while (y) {{
        const {U} rest = x % y;
        x = y;
        y = rest;
    }}
    return ({T})x;
}}"""
for _dtype in (d for d in dt.ALL if dt.kind_class(d) in "iu"):
    HELPERS[f"int_pow_{_REGISTER[_dtype]}"] = _INTEGER_POWER.format(
        T=_REGISTER[_dtype],
        U=UNSIGNED[_dtype.itemsize],
        start="exponent < 0 ? 0 : 1" if dt.kind_class(_dtype) == "i" else "1",
    )
    HELPERS[f"int_gcd_{_REGISTER[_dtype]}"] = _COMMON_DIVISOR.format(T=_REGISTER[_dtype], U=UNSIGNED[_dtype.itemsize])


def register_type(dtype: np.dtype) -> str:
    """Return the C type of a value of this dtype; halves are held as their bits."""
    return _REGISTER[dtype]


def memory_type(dtype: np.dtype) -> str:
    """Return the C type of a value of this dtype in memory."""
    return "uchar" if dtype == dt.bool_ else _REGISTER[dtype]


def literal(value: Any, dtype: np.dtype) -> str:
    """Return a constant as OpenCL C text that has just this type."""
    if dtype == dt.bool_:
        return "true" if value else "false"
    if dtype in dt.HALF:
        with np.errstate(over="ignore"):
            return f"(ushort)0x{int(np.asarray(value, dtype).view(np.uint16)):04x}"
    kind = register_type(dtype)
    if dt.is_floating(dtype):
        with np.errstate(over="ignore"):
            exact = float(np.asarray(value, dtype))
        if math.isfinite(exact):
            digits = f"{exact.hex()}{'f' if kind == 'float' else ''}"
            return f"({digits})" if digits.startswith("-") else digits
        sign = "-" if exact < 0 else ""
        return f"(({kind}){sign}{'NAN' if math.isnan(exact) else 'INFINITY'})"
    whole = int(value)
    if dtype.kind == "i" and whole == np.iinfo(dtype).min:
        # Its magnitude is no number of the type.
        return f"(({kind})({whole + 1}{'L' if kind == 'long' else ''} - 1))"
    suffix = {"uint": "u", "long": "L", "ulong": "UL"}.get(kind, "")
    digits = f"{whole}{suffix}"
    if kind in ("char", "uchar", "short", "ushort"):
        return f"(({kind}){digits})"
    return f"({digits})" if whole < 0 else digits
