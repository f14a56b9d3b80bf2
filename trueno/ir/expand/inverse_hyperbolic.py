"""asinh, acosh and atanh.

In float32 they are ``k ln 2 + 2 artanh(s)``: with the power of two next to the argument of the logarithm taken out, s
is small, and an odd polynomial of four terms serves. What a root, a sum or a quotient loses is added to the smaller
part of the result. float64 goes through log1p.
"""

from __future__ import annotations

import math

from trueno import dtypes as dt
from trueno.ir.expand.logarithm import log1p, log_brief
from trueno.ir.expand.notation import (
    at_least,
    at_most,
    bits_of,
    float_of,
    horner,
    narrow,
    number,
    rough_reciprocal,
    rows,
    two_sum,
    widen,
)
from trueno.ir.node import Node

#: (artanh(s) / s - 1) / s**2 in powers of s**2, for |s| <= 0.27.
_ARTANH = (0.3333331, 0.20002991, 0.14166178, 0.12953585)
#: (asinh(x) / x - 1) / x**2 in powers of x**2, for |x| <= 1/2.
_ASINH_NEAR = (-0.16666643, 0.07498641, -0.0443832, 0.02816292, -0.01322747)
#: Up to here the squares of float32 are finite.
_FAR = 2.0**60
#: Above these, artanh of a float32 is that of one of the two last numbers below 1.
_LAST = (1 - 2.0**-23, 1 - 2.0**-24)
_ONE, _FIELD = 0x3F800000, -1 << 23
_LN2 = 0.693147182464599609375
_LN2_REST = -1.904654299957768e-09


def _artanh_tail(s: Node, times: float) -> Node:
    """Return ``times artanh(s / times) - s`` for a float32."""
    square = s * s
    return s * square * horner(square, [one / times ** (2 * k + 2) for k, one in enumerate(_ARTANH)])


def _logarithm(part: Node, other: Node, rest: Node, near: bool) -> Node:
    """Return ``log(part + other + rest)`` of float32 for a sum of at least 1, all but 1 of which is `other` if near.

    It is ``k ln 2 + 2 artanh((m - 1) / (m + 1))``, where ``2**k m`` is the sum and m between 0.8 and 1.6.
    """
    total, lost = two_sum(other, part)
    whole = rows.bitwise_and(bits_of(total) - (_ONE - int(0.4 * 2**23)), number(bits_of(total), _FIELD))
    scale, k = float_of(rows.sub(_ONE, whole)), rows.cast(whole, dtype=dt.float32)
    if near:
        above, lost = two_sum(other * scale, rows.fma(part, scale, number(part, -1.0)))
        above_rest = rows.fma(rest, scale, lost)
    else:
        above = rows.fma(total, scale, number(total, -1.0))
        above_rest = (lost + rest) * scale
    below, below_rest = two_sum(number(above, 2.0), above)
    inverse = rows.div(2.0, below)
    w = above * inverse
    below_rest = below_rest + above_rest
    residual = rows.fma(w, below * -0.5, above) + rows.fma(w, below_rest * -0.5, above_rest)
    tail = rows.fma(residual, inverse, rows.fma(k, number(k, _LN2_REST * 2.0**-23), _artanh_tail(w, 2.0)))
    return rows.fma(k, number(k, _LN2 * 2.0**-23), w + tail)


def _root(square: Node, rest: Node) -> tuple[Node, Node]:
    """Return the root of a float32 and a small rest as a sum of two numbers."""
    root = rows.sqrt(square)
    return root, (rows.fma(rows.neg(root), root, square) + rest) * rough_reciprocal(root, 0.5)


#: Beyond this, ``sqrt(x**2 + 1)`` and ``sqrt(x**2 - 1)`` round to x in float64.
_HUGE = 2.0**60


def _log1p_or_twice(above: Node, x: Node) -> Node:
    """Return ``log(1 + above)``, or ``log(2 x)`` for huge x."""
    huge = rows.gt(x, number(x, _HUGE))
    return log1p(rows.where(huge, x, above)) + rows.where(huge, number(x, math.log(2)), number(x, 0))


def _asinh_single(size: Node) -> Node:
    square = size * size
    near = rows.fma(size * square, horner(square, _ASINH_NEAR), size)
    above = rows.fma(size, size, number(size, 1.0))
    root, rest = _root(above, rows.fma(size, size, rows.sub(1.0, above)))
    return rows.where(rows.lt(size, number(size, 0.5)), near, _logarithm(size, root, rest, False))


def asinh(x: Node) -> Node:
    """asinh as ``log(|x| + sqrt(x**2 + 1))``; in float32 an odd polynomial near 0."""
    size = rows.abs(x)
    if x.dtype == dt.float64:
        near = at_most(size, _HUGE)
        square = near * near
        above = near + square / (rows.sqrt(square + 1.0) + 1.0)
        return rows.copysign(_log1p_or_twice(above, size), x)
    wide = widen(size)
    far = rows.copysign(narrow(log_brief(wide + rows.sqrt(rows.fma(wide, wide, number(wide, 1.0))))), x)
    far = rows.where(rows.lt(size, number(x, math.inf)), far, x)
    usual = rows.lt(size, number(x, _FAR))
    return rows.unlikely(rows.logical_not(usual), far, rows.copysign(_asinh_single(size), x))


def _acosh_double(x: Node) -> Node:
    """acosh in float64, with what the square, its root and their sum lost: near 1 the root makes up the result."""
    t = at_most(x, _HUGE) - 1.0
    square = rows.fma(t, t, t * 2.0)
    root = rows.sqrt(square)
    above = t + root
    twice = at_least(root, 2.0**-60) * 2.0
    lost = rows.fma(rows.neg(root), root, square) + rows.fma(t, t, t * 2.0 - square)
    lost = rows.fma(twice, t - (above - root), lost) / (twice * (above + 1.0))
    return _log1p_or_twice(above, x) + lost


def _acosh_single(x: Node) -> Node:
    t = x - 1.0
    twice = t + t
    square = rows.fma(t, t, twice)
    root, rest = _root(square, rows.fma(t, t, twice - square))
    return _logarithm(x, root, rest, True)


def acosh(x: Node) -> Node:
    """acosh as ``log(x + sqrt(x**2 - 1))``."""
    if x.dtype == dt.float64:
        return rows.where(rows.lt(x, number(x, 1.0)), number(x, math.nan), _acosh_double(x))
    wide = widen(x)
    far = narrow(log_brief(wide + rows.sqrt(rows.fma(wide, wide, number(wide, -1.0)))))
    far = rows.where(rows.lt(x, number(x, math.inf)), far, x)
    far = rows.where(rows.lt(x, number(x, 1.0)), number(x, math.nan), far)
    usual = rows.logical_and(rows.ge(x, number(x, 1.0)), rows.lt(x, number(x, _FAR)))
    return rows.unlikely(rows.logical_not(usual), far, _acosh_single(x))


def _atanh_double(size: Node) -> Node:
    """atanh of |x| in float64 as ``log(1 + t) / 2``, where ``t = 2 x / (1 - x)`` and what its rounding lost."""
    below = rows.sub(1.0, size)
    t = size * 2.0 / below
    lost = rows.fma(t, rows.neg(rows.sub(1.0, below) - size), rows.fma(rows.neg(t), below, size * 2.0))
    lost = lost / (size + 1.0)
    y = log1p(t) * 0.5
    # At 1 and beyond t is infinite or NaN, or 1 + t below 0.
    return rows.where(rows.lt(size, number(size, 1.0)), rows.fma(lost, number(y, 0.5), y), y)


def _atanh_single(size: Node) -> Node:
    """atanh of |x| in float32 as ``k ln(2) / 2 + artanh(s)``, up to the first of `_LAST`.

    With ``2**k`` next to (1 + x) / (1 - x), s is ``(x (2**k + 1) - (2**k - 1)) / (2 + (1 - x) (2**k - 1))``; the
    numerator is exact.
    """
    below = rows.sub(1.0, size)
    bits = bits_of(size + 1.0)
    whole = rows.bitwise_and(bits - bits_of(below) + (1 << 21), number(bits, _FIELD))
    power, k = float_of(whole + _ONE), rows.cast(whole, dtype=dt.float32)
    less = power - 1.0
    above = rows.fma(size, power + 1.0, rows.neg(less))
    total = rows.fma(below, less, number(size, 2.0))
    lost = rows.fma(below, less, rows.sub(2.0, total))
    inverse = rows.div(1.0, total)
    s = above * inverse
    residual = rows.fma(rows.neg(s), lost, rows.fma(rows.neg(s), total, above))
    tail = rows.fma(residual, inverse, _artanh_tail(s, 1.0))
    return rows.fma(k, number(k, _LN2 * 2.0**-24), s + tail)


def atanh(x: Node) -> Node:
    """atanh as ``log((1 + x) / (1 - x)) / 2``."""
    size = rows.abs(x)
    if x.dtype == dt.float64:
        return rows.copysign(_atanh_double(size), x)
    one = number(x, 1.0)
    last = rows.where(rows.eq(size, number(x, _LAST[1])), number(x, math.atanh(_LAST[1])), math.atanh(_LAST[0]))
    pole = rows.where(rows.eq(size, one), number(x, math.inf), number(x, math.nan))
    far = rows.copysign(rows.where(rows.lt(size, one), last, pole), x)
    usual = rows.lt(size, number(x, _LAST[0]))
    return rows.unlikely(rows.logical_not(usual), far, rows.copysign(_atanh_single(size), x))
