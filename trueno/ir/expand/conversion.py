"""Conversions between the half types and float32 in integer arithmetic, for targets that lack the instructions.

The halves are given and returned as their bits, in int16. The methods are F. Giesen's: a subnormal becomes normal by a
multiplication, and is rounded by an addition that puts its last bit at the end of the float32 mantissa.
"""

from __future__ import annotations

from trueno import dtypes as dt
from trueno.ir.build import const
from trueno.ir.expand.notation import bits_of, float_of, number, rows
from trueno.ir.node import Node

_SIGN = 0x8000
_HALF_INFINITY = 0x7C00
_FLOAT_INFINITY = 0x7F800000


def _masked(bits: Node, mask: int) -> Node:
    return rows.bitwise_and(bits, number(bits, mask))


def _upper(bits: Node, count: int) -> Node:
    return rows.shr(bits, number(bits, count))


def _magnitude_and_sign(x: Node) -> tuple[Node, Node]:
    """Return the bits of |x| and the sign bit in the place that it has in 16 bits, of a float32."""
    bits = bits_of(x)
    return _masked(bits, 0x7FFFFFFF), _masked(_upper(bits, 16), _SIGN)


def half_to_float(x: Node) -> Node:
    """float16 bits (int16) to float32; exact, NaN keeps its payload."""
    bits = rows.cast(x, dtype=dt.int32)
    size = _masked(bits, 0x7FFF)
    moved = rows.shl(size, number(bits, 13))
    # The exponent field holds the smaller bias until this multiplication, which is exact for subnormals too.
    value = bits_of(float_of(moved) * 2.0**112)
    special = rows.ge(size, number(size, _HALF_INFINITY))
    value = rows.where(special, rows.bitwise_or(moved, number(bits, _FLOAT_INFINITY)), value)
    sign = rows.shl(_masked(bits, _SIGN), number(bits, 16))
    return float_of(rows.bitwise_or(value, sign))


def float_to_half(x: Node) -> Node:
    """float32 to float16 bits (int16), rounded to nearest even; NaN stays a quiet NaN with its leading payload."""
    size, sign = _magnitude_and_sign(x)
    odd = _masked(_upper(size, 13), 1)
    normal = _upper(size + odd - ((112 << 23) - 0xFFF), 13)
    # Adding 1/2 leaves multiples of 2**-24, float16's least subnormal, at the end of the mantissa.
    subnormal = bits_of(float_of(size) + 0.5) - 0x3F000000
    value = rows.where(rows.lt(size, number(size, 113 << 23)), subnormal, normal)
    value = rows.where(rows.ge(size, number(size, 143 << 23)), number(size, _HALF_INFINITY), value)
    nan = rows.bitwise_or(_masked(_upper(size, 13), 0x3FF), number(size, 0x7E00))
    value = rows.where(rows.gt(size, number(size, _FLOAT_INFINITY)), nan, value)
    return rows.cast(rows.bitwise_or(value, sign), dtype=dt.int16)


def bfloat16_to_float(x: Node) -> Node:
    """bfloat16 bits (int16) to float32; exact."""
    return float_of(rows.shl(rows.cast(x, dtype=dt.int32), const(16, dt.int32)))


def float_to_bfloat16(x: Node) -> Node:
    """float32 to bfloat16 bits (int16), rounded to nearest even; NaN stays a quiet NaN with its leading payload."""
    size, sign = _magnitude_and_sign(x)
    upper = _upper(size, 16)
    value = _upper(size + _masked(upper, 1) + 0x7FFF, 16)
    nan = rows.bitwise_or(upper, number(size, 0x40))
    value = rows.where(rows.gt(size, number(size, _FLOAT_INFINITY)), nan, value)
    return rows.cast(rows.bitwise_or(value, sign), dtype=dt.int16)
