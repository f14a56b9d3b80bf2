"""pow, rsqrt, cbrt and hypot; in float32 hypot is computed in float64, with one rounding at the end."""

from __future__ import annotations

import math

from trueno import dtypes as dt
from trueno.ir.expand.exponential import exp2_of_normal_sum, exp2_of_sum
from trueno.ir.expand.logarithm import log2_in_parts, log2_in_parts_any
from trueno.ir.expand.notation import (
    FORMATS,
    bits_of,
    float_of,
    horner,
    narrow,
    number,
    rows,
    two_product,
    widen,
)
from trueno.ir.node import Node


def _power(size: Node, b: Node) -> Node:
    """Return ``2 ** (b log2 size)`` for size >= 0, whatever comes out where C has a special value."""
    high, low = log2_in_parts_any(size)
    exponent, rest = two_product(b, high)
    rest = rows.fma(b, low, rest)
    # Beyond this bound every result is 0 or infinite; an exponent that overflows has no rest.
    return exp2_of_sum(exponent, rows.where(rows.lt(rows.abs(exponent), number(b, 1100.0)), rest, number(b, 0)))


def _usual_power(a: Node, b: Node) -> tuple[Node, Node]:
    """Return ``2 ** (b log2 a)`` and whether it is that: where a and the result are positive, finite and normal."""
    high, low = log2_in_parts(a)
    exponent, rest = two_product(b, high)
    y = exp2_of_normal_sum(exponent, rows.fma(b, low, rest))
    least, limit = (2.0**-126, 126.0) if a.dtype == dt.float32 else (2.0**-1022, 1020.0)
    inside = rows.logical_and(rows.ge(a, number(a, least)), rows.lt(a, number(a, math.inf)))
    return y, rows.logical_and(inside, rows.lt(rows.abs(exponent), number(exponent, limit)))


def pow(a: Node, b: Node) -> Node:
    """a to the power b."""
    y, usual = _usual_power(a, b)
    return rows.unlikely(rows.logical_not(usual), _any_power(a, b), y)


def _any_power(a: Node, b: Node) -> Node:
    """``2 ** (b log2 |a|)``, negative where a is and b is an odd integer, with C's special values."""
    size = rows.abs(a)
    y = _power(size, b)
    y = rows.where(rows.eq(size, number(a, 1.0)), rows.where(rows.isnan(b), b, number(a, 1.0)), y)
    whole = rows.eq(rows.floor(b), b)
    odd = rows.logical_and(whole, rows.ne(rows.floor(b * 0.5) * 2.0, b))
    negative = rows.signbit(a)
    y = rows.where(rows.logical_and(negative, odd), rows.neg(y), y)
    finite = rows.lt(size, number(a, math.inf))
    imaginary = rows.logical_and(rows.logical_and(rows.lt(a, number(a, 0)), finite), rows.logical_not(whole))
    y = rows.where(imaginary, number(a, math.nan), y)
    one = rows.logical_or(rows.eq(b, number(b, 0)), rows.eq(a, number(a, 1.0)))
    return rows.where(one, number(a, 1.0), y)


def hypot(a: Node, b: Node) -> Node:
    """``sqrt(a**2 + b**2)``; infinite if one operand is, even beside NaN."""
    first, second = rows.abs(a), rows.abs(b)
    infinity = number(a, math.inf)
    infinite = rows.logical_or(rows.eq(first, infinity), rows.eq(second, infinity))
    if a.dtype == dt.float32:
        wide, other = widen(a), widen(b)
        y = narrow(rows.sqrt(rows.fma(wide, wide, other * other)))
    else:
        high = rows.where(rows.gt(first, second), first, second)
        low = rows.where(rows.gt(first, second), second, first)
        # The squares stay clear of overflow and of subnormals.
        large, small = rows.gt(high, number(high, 2.0**500)), rows.lt(high, number(high, 2.0**-450))
        one, up, down = number(high, 1.0), number(high, 2.0**600), number(high, 2.0**-600)
        scale = rows.where(large, down, rows.where(small, up, one))
        high, low = high * scale, low * scale
        y = rows.sqrt(rows.fma(high, high, low * low)) * rows.where(large, up, rows.where(small, down, one))
    return rows.where(infinite, infinity, y)


def rsqrt(x: Node) -> Node:
    """1 / sqrt(x) with one Newton step on the exact residual, since both roundings together can exceed a unit."""
    y = rows.div(1.0, rows.sqrt(x))
    product = x * y
    lost = rows.fma(x, y, rows.neg(product))
    residual = rows.fma(rows.neg(lost), y, rows.fma(rows.neg(product), y, number(x, 1.0)))
    # The residual of 0 and infinity is NaN.
    return rows.where(rows.lt(rows.abs(residual), number(x, 1.0)), rows.fma(y * 0.5, residual, y), y)


#: Bits of the guess of ``x ** (-1/3)``, in float64 its upper half: 4/3 of the bias, tuned for the least error.
_CBRT_GUESS = {dt.float32: 0x54A232A2, dt.float64: 0x553EF0FF}
#: Which numbers are lifted, by what cube, and what lowers their root.
_CBRT_TINY = {dt.float32: (2.0**-100, 2.0**48, 2.0**-16), dt.float64: (2.0**-1000, 2.0**60, 2.0**-20)}


def _cbrt_guess(size: Node) -> Node:
    """Return ``size ** (-1/3)`` to some 3 percent: a third of the exponent, taken off the bits."""
    bits, guess = bits_of(size), _CBRT_GUESS[size.dtype]
    if size.dtype == dt.float32:
        # A third of the upper 24 bits, in the last bits of a float; the shift constant's own leave 1 << 30 behind.
        upper = rows.cast(rows.shr(bits, number(bits, 8)), dtype=size.dtype)
        third = rows.fma(upper, number(size, 1 / 3), number(size, FORMATS[size.dtype].shift))
        return float_of(
            rows.sub(number(bits, guess + (1 << 30) - (1 << 32)), rows.shl(bits_of(third), number(bits, 8)))
        )
    high = rows.bitwise_and(rows.shr(bits, number(bits, 32)), number(bits, 0x7FFFFFFF))
    third = rows.shr(high * 0x55555556, number(bits, 32))
    return float_of(rows.shl(rows.sub(number(bits, guess), third), number(bits, 32)))


def cbrt(x: Node) -> Node:
    """The cube root as ``x y**2``, with ``y = x ** (-1/3)`` from a third of the exponent and steps of high order.

    The steps take the first terms of ``(1 - e) ** (-1/3)``, where ``e = 1 - x y**3``.
    """
    magnitude = rows.abs(x)
    border, lift, lower = _CBRT_TINY[x.dtype]
    tiny = rows.lt(magnitude, number(x, border))
    size = rows.where(tiny, magnitude * lift, magnitude)
    y = _cbrt_guess(size)
    steps = ((1 / 3, 2 / 9, 14 / 81), (1 / 3, 2 / 9)) if x.dtype == dt.float64 else ((1 / 3, 2 / 9, 14 / 81),)
    for terms in steps:
        error = rows.fma(rows.neg(size * y), y * y, number(size, 1.0))
        y = rows.fma(y * error, horner(error, terms), y)
    slope = y * y
    root = size * slope
    square = root * root
    lost = rows.fma(root, root, rows.neg(square))
    excess = rows.fma(square, root, rows.neg(size)) + lost * root
    root = rows.fma(excess * slope, number(root, -1 / 3), root)
    root = rows.where(tiny, root * lower, root)
    regular = rows.logical_and(rows.gt(magnitude, number(x, 0)), rows.lt(magnitude, number(x, math.inf)))
    return rows.where(regular, rows.copysign(root, x), x)
