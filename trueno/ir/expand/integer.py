"""Rows on integers and on the bits of floats: division, remainder, shifts, integer powers, signs and neighbours."""

from __future__ import annotations

import math

import numpy as np

from trueno import dtypes as dt
from trueno.ir.build import const
from trueno.ir.expand.notation import FORMATS, number, rows
from trueno.ir.node import Node


def sign(x: Node) -> Node:
    """-1, 0, 1 or NaN."""
    zero = number(x, 0)
    if x.dtype.kind == "u":
        return rows.where(rows.gt(x, zero), number(x, 1), zero)
    rest = zero if x.dtype.kind == "i" else rows.where(rows.isnan(x), x, zero)
    return rows.where(rows.gt(x, zero), number(x, 1), rows.where(rows.lt(x, zero), number(x, -1), rest))


def signbit(x: Node) -> Node:
    """The sign bit of a float, or whether an integer is negative."""
    if x.dtype.kind in "ub":
        return const(False, dt.bool_)
    bits = rows.bitcast(x, dtype=dt.int_of_same_width(x.dtype)) if x.dtype.kind == "f" else x
    return rows.lt(bits, number(bits, 0))


def reciprocal(x: Node) -> Node:
    """1 / x; integers divide as integers, towards zero, and 1 / 0 is 0."""
    one, zero = number(x, 1), number(x, 0)
    if x.dtype.kind == "f":
        return rows.div(one, x)
    none = rows.eq(x, zero)
    return rows.where(none, zero, rows.int_div(one, rows.where(none, one, x)))


def _safe_divisor(a: Node, b: Node) -> tuple[Node, Node]:
    """Return a divisor that cannot trap (never 0, never INT_MIN / -1), and where it stands in for b."""
    bad = rows.eq(b, number(b, 0))
    if a.dtype.kind == "i":
        low = dt.lowest(a.dtype)
        bad = rows.logical_or(bad, rows.logical_and(rows.eq(a, number(a, low)), rows.eq(b, number(b, -1))))
    return rows.where(bad, number(b, 1), b), bad


def floor_divide(a: Node, b: Node) -> Node:
    """NumPy's floor division: x // 0 is 0 for integers, INT_MIN // -1 wraps to INT_MIN."""
    zero = number(a, 0)
    if a.dtype.kind == "f":
        return _float_divmod(a, b)[0]
    divisor, _ = _safe_divisor(a, b)
    quotient = rows.int_div(a, divisor)
    if a.dtype.kind == "i":
        rest = rows.sub(a, quotient * divisor)
        inexact = rows.logical_and(rows.ne(rest, zero), rows.logical_xor(rows.lt(rest, zero), rows.lt(divisor, zero)))
        quotient = rows.where(inexact, quotient - number(a, 1), quotient)
    return rows.where(rows.eq(b, zero), zero, quotient)


def remainder(a: Node, b: Node) -> Node:
    """The remainder that has the sign of the divisor; x % 0 is 0 for integers, NaN for floats."""
    zero = number(a, 0)
    if a.dtype.kind == "f":
        return _float_divmod(a, b)[1]
    divisor, _ = _safe_divisor(a, b)
    rest = rows.sub(a, rows.int_div(a, divisor) * divisor)
    if a.dtype.kind == "i":
        wrong = rows.logical_and(rows.ne(rest, zero), rows.logical_xor(rows.lt(rest, zero), rows.lt(divisor, zero)))
        rest = rows.where(wrong, rest + divisor, rest)
        minus_one = rows.eq(b, number(b, -1))
        rest = rows.where(minus_one, zero, rest)
    return rows.where(rows.eq(b, zero), zero, rest)


def fmod(a: Node, b: Node) -> Node:
    """The remainder that has the sign of the first; x % 0 is 0 for integers, NaN for floats."""
    return _float_fmod(a, b) if a.dtype.kind == "f" else _integer_fmod(a, b)


def fmod_opencl(a: Node, b: Node) -> Node:
    """As `fmod`, with OpenCL's own for floats."""
    return rows.libm_fmod(a, b) if a.dtype.kind == "f" else _integer_fmod(a, b)


def _integer_fmod(a: Node, b: Node) -> Node:
    divisor, bad = _safe_divisor(a, b)
    return rows.where(bad, number(a, 0), rows.sub(a, rows.int_div(a, divisor) * divisor))


def _float_fmod(a: Node, b: Node) -> Node:
    """The remainder of floats that has the sign of the first, exact.

    The quotient, rounded and cut off, is the right integer or the next one. Either multiple of b differs from a by no
    more than b, and by a multiple of the last bit of b: one fma gives the difference exactly. The rare quotients are
    those that are no exact integers, of infinities and zeros too.
    """
    size, divisor = rows.abs(a), rows.abs(b)
    quotient = rows.div(size, divisor)
    rest = rows.fma(rows.neg(rows.trunc(quotient)), divisor, size)
    rest = rows.where(rows.lt(rest, number(a, 0)), rest + divisor, rest)
    exact = rows.lt(quotient, number(a, 2.0 ** (FORMATS[a.dtype].mantissa + 1)))
    usual = rows.logical_and(exact, rows.lt(divisor, number(a, math.inf)))
    return rows.unlikely(rows.logical_not(usual), rows.libm_fmod(a, b), rows.copysign(rest, a))


def _float_divmod(a: Node, b: Node) -> tuple[Node, Node]:
    """Python's float divmod, as NumPy computes it from the exact remainder of fmod."""
    zero = number(a, 0)
    rest = rows.fmod(a, b)
    flip = rows.logical_and(rows.ne(rest, zero), rows.logical_xor(rows.lt(b, zero), rows.lt(rest, zero)))
    signed = rows.where(flip, rest + b, rest)
    signed = rows.where(rows.eq(signed, zero), rows.copysign(zero, b), signed)
    quotient = (a - rest) / b
    quotient = rows.where(flip, quotient - number(a, 1), quotient)
    down = rows.floor(quotient)
    down = rows.where(rows.gt(quotient - down, number(a, 0.5)), down + number(a, 1), down)
    down = rows.where(rows.eq(quotient, zero), rows.copysign(zero, a / b), down)
    return rows.where(rows.eq(b, zero), a / b, down), signed


def _shift_in_range(a: Node, b: Node) -> Node:
    bits = 8 * a.dtype.itemsize
    limit = number(b, bits - 1)
    return rows.where(rows.logical_or(rows.gt(b, limit), rows.lt(b, number(b, 0))), limit, b)


def left_shift(a: Node, b: Node) -> Node:
    """Shift left; 0 once the count reaches the width (a negative count counts as too large, as in NumPy)."""
    count = _shift_in_range(a, b)
    return rows.where(rows.eq(count, b), rows.shl(a, count), number(a, 0))


def right_shift(a: Node, b: Node) -> Node:
    """Shift right, arithmetic for signed integers; the sign alone once the count reaches the width."""
    count = _shift_in_range(a, b)
    rest = number(a, 0) if a.dtype.kind == "u" else rows.shr(a, number(a, 8 * a.dtype.itemsize - 1))
    return rows.where(rows.eq(count, b), rows.shr(a, count), rest)


def nextafter(a: Node, b: Node) -> Node:
    """The neighbour of a towards b, by stepping the float's bits as an integer."""
    whole = dt.int_of_same_width(a.dtype)
    return _towards(a, b, _stepped(a, b, 1), rows.bitcast(const(1, whole), dtype=a.dtype))


def next_half(dtype: np.dtype, a: Node, b: Node) -> Node:
    """The neighbour of a towards b among the values of a half type, all of them given in float32."""
    if dtype == dt.bfloat16:
        # Its bits are the upper half of a float32's.
        return _towards(a, b, _stepped(a, b, 1 << 16), rows.bitcast(const(1 << 16, dt.int32), dtype=a.dtype))
    size, tiny = rows.abs(a), number(a, 2.0**-24)
    # Up to the least normal number the distance is that of the subnormal ones; next to infinity is the largest.
    up = rows.where(rows.lt(a, b), tiny, -tiny)
    below = rows.logical_or(rows.lt(size, number(a, 2.0**-14)), rows.eq(size, number(a, 2.0**-14)))
    stepped = rows.where(below, rows.copysign(a + up, a), _stepped(a, b, 1 << 13))
    stepped = rows.where(rows.isinf(a), rows.copysign(number(a, 65504), a), stepped)
    # What no half holds must not be rounded later: inside a kernel halves stay float32.
    stepped = rows.where(rows.gt(rows.abs(stepped), number(a, 65504)), rows.copysign(number(a, math.inf), a), stepped)
    return rows.where(rows.eq(a, b), a, _towards(a, b, stepped, tiny))


def _stepped(a: Node, b: Node, step: int) -> Node:
    """Return a with its bits, taken as an integer, moved by a step towards b."""
    whole = dt.int_of_same_width(a.dtype)
    bits = rows.bitcast(a, dtype=whole)
    away = rows.eq(rows.lt(a, b), rows.gt(a, number(a, 0)))
    return rows.bitcast(rows.where(away, bits + const(step, whole), bits - const(step, whole)), dtype=a.dtype)


def _towards(a: Node, b: Node, stepped: Node, smallest: Node) -> Node:
    """Return the neighbour of a towards b: `stepped`, but for 0, NaN and equal numbers."""
    result = rows.where(rows.eq(a, number(a, 0)), rows.copysign(smallest, b), stepped)
    return rows.where(rows.logical_or(rows.isnan(a), rows.isnan(b)), a + b, rows.where(rows.eq(a, b), b, result))


def integer_power(a: Node, b: Node) -> Node:
    """a to the power b, wrapping on overflow; negative exponents give 0."""
    return rows.int_pow(a, b)
