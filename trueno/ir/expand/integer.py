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
    itself = rows.eq(x, one)
    if x.dtype.kind == "i":
        itself = rows.logical_or(itself, rows.eq(x, number(x, -1)))
    return rows.where(itself, x, zero)


def _divisor(b: Node) -> tuple[Node, Node]:
    """Return a divisor of at least 2 in size, and where it stands in for b: for 1, 0 and -1, where a // b is a * b."""
    small = rows.lt(b, number(b, 2))
    if b.dtype.kind == "i":
        small = rows.logical_and(small, rows.gt(b, number(b, -2)))
    return rows.where(small, number(b, 2), b), small


def floor_divide(a: Node, b: Node) -> Node:
    """NumPy's floor division: x // 0 is 0 for integers, INT_MIN // -1 wraps to INT_MIN."""
    if a.dtype.kind == "f":
        return _float_divmod(a, b)[0]
    zero = number(a, 0)
    divisor, small = _divisor(b)
    quotient = rows.int_div(a, divisor)
    if a.dtype.kind == "i":
        rest = rows.sub(a, quotient * divisor)
        inexact = rows.logical_and(rows.ne(rest, zero), rows.logical_xor(rows.lt(rest, zero), rows.lt(divisor, zero)))
        quotient = rows.where(inexact, quotient - number(a, 1), quotient)
    return rows.where(small, a * b, quotient)


def remainder(a: Node, b: Node) -> Node:
    """The remainder that has the sign of the divisor; x % 0 is 0 for integers, NaN for floats."""
    if a.dtype.kind == "f":
        return _float_divmod(a, b)[1]
    zero = number(a, 0)
    divisor, small = _divisor(b)
    rest = rows.sub(a, rows.int_div(a, divisor) * divisor)
    if a.dtype.kind == "i":
        wrong = rows.logical_and(rows.ne(rest, zero), rows.logical_xor(rows.lt(rest, zero), rows.lt(divisor, zero)))
        rest = rows.where(wrong, rest + divisor, rest)
    return rows.where(small, zero, rest)


def int_div(a: Node, b: Node) -> Node:
    """The quotient of integers towards zero, for divisors of at least 2 in size.

    No CPU divides vectors of integers, and one division takes 10 to 40 cycles. The reciprocal of a divisor that all
    elements share is computed once.

    Up to 32 bits, the quotient of floats of twice the width errs by less than half of 1 / b. The exact one, of a and a
    half, is at least as far from each integer, so that it is never cut off on the wrong side.
    """
    if a.dtype == dt.uint64:
        return _unsigned_quotient(a, b)
    if a.dtype == dt.int64:
        return _wide_quotient(a, b)
    kind = dt.float32 if a.dtype.itemsize < 4 else dt.float64
    x, y = rows.cast(a, dtype=kind), rows.cast(b, dtype=kind)
    beyond = x + rows.copysign(number(x, 0.5), x)
    return rows.cast(rows.whole(beyond * (number(y, 1) / y)), dtype=a.dtype)


def _wide_quotient(a: Node, b: Node) -> Node:
    """The quotient of int64, from two quotients of float64.

    The first is off by up to 2**-52 of itself, and by half for its rounding; the second is that of what it leaves.
    Both are rounded to nearest, so that about half of b is left, never more than b: only the sign may be wrong.
    """
    inverse = const(1.0, dt.float64) / rows.cast(b, dtype=dt.float64)
    quotient = rows.whole(rows.round(rows.cast(a, dtype=dt.float64) * inverse))
    rest = rows.sub(a, quotient * b)
    more = rows.whole(rows.round(rows.cast(rest, dtype=dt.float64) * inverse))
    quotient, rest = quotient + more, rows.sub(rest, more * b)
    zero, one = number(a, 0), number(a, 1)
    negative = rows.lt(a, zero)
    wrong = rows.logical_and(rows.ne(rest, zero), rows.logical_xor(rows.lt(rest, zero), negative))
    nearer = rows.where(rows.logical_xor(negative, rows.lt(b, zero)), quotient + one, quotient - one)
    return rows.where(wrong, nearer, quotient)


def _unsigned_quotient(a: Node, b: Node) -> Node:
    """The quotient of uint64, from that of a // 2 in int64, where b is in that range; else it is 0 or 1."""
    one = number(a, 1)
    signed = rows.cast(b, dtype=dt.int64)
    large = rows.lt(signed, number(signed, 0))
    divisor = rows.where(large, number(signed, 2), signed)
    half = rows.cast(rows.shr(a, one), dtype=dt.int64)
    quotient = _wide_quotient(half, divisor)
    rest = rows.cast(rows.sub(half, quotient * divisor), dtype=dt.uint64)
    rest, quotient = rest + rest + rows.bitwise_and(a, one), rows.cast(quotient, dtype=dt.uint64)
    last = rows.logical_not(rows.lt(rest, b))
    quotient = quotient + quotient + rows.where(last, one, number(a, 0))
    return rows.where(large, rows.where(rows.lt(a, b), number(a, 0), one), quotient)


def fmod(a: Node, b: Node) -> Node:
    """The remainder that has the sign of the first; x % 0 is 0 for integers, NaN for floats."""
    return _float_fmod(a, b) if a.dtype.kind == "f" else _integer_fmod(a, b)


def fmod_opencl(a: Node, b: Node) -> Node:
    """As `fmod`, with OpenCL's own for floats."""
    return rows.libm_fmod(a, b) if a.dtype.kind == "f" else _integer_fmod(a, b)


def _integer_fmod(a: Node, b: Node) -> Node:
    divisor, small = _divisor(b)
    return rows.where(small, number(a, 0), rows.sub(a, rows.int_div(a, divisor) * divisor))


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
    """a to the power b, wrapping on overflow; negative exponents give 0. Up to 7, by squares that any lane may take."""
    square = a
    result = rows.where(rows.eq(rows.bitwise_and(b, number(b, 1)), number(b, 0)), number(a, 1), a)
    for bit in (2, 4):
        square = square * square
        unset = rows.eq(rows.bitwise_and(b, number(b, bit)), number(b, 0))
        result = rows.where(unset, result, result * square)
    usual = rows.eq(
        rows.bitwise_and(b, number(b, ~7 if b.dtype.kind == "i" else np.iinfo(b.dtype).max - 7)), number(b, 0)
    )
    return rows.unlikely(rows.logical_not(usual), rows.int_pow(a, b), result)
