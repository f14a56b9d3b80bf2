"""asin, acos, atan and atan2.

Method: the reductions of FDLIBM (Sun Microsystems) with minimax polynomials fitted by Remez' exchange.
"""

from __future__ import annotations

import math

import numpy as np

from trueno import dtypes as dt
from trueno.ir.expand.notation import horner, number, rough_reciprocal, rows, widen
from trueno.ir.node import Node

#: (asin(x) / x - 1) / x**2 as a polynomial in x**2, for |x| <= 1/2, by the dtype of the result.
_ASIN = {
    dt.float32: (
        0.16666659870795653, 0.0750051100350163, 0.04451570056509249, 0.03181779760324491, 0.014401834870829376,
        0.03756636583246205,
    ),
    dt.float64: (
        0.16666666666666763, 0.07499999999970128, 0.04464285717525625, 0.03038194267681559, 0.02237221585958604,
        0.017351596385509947, 0.013981007308867923, 0.011397389653697776, 0.01078875453177442, 0.0036744153261276135,
        0.021785012513506508, -0.021108463795307238, 0.0326968302556567,
    ),
}  # fmt: skip
#: (atan(x) / x - 1) / x**2 as a polynomial in x**2, for |x| <= 1.
_ATAN = {
    dt.float32: (
        -0.3333332690008199, 0.19999671126226098, -0.14279832980824894, 0.11058222807014903, -0.08811087212907492,
        0.06741586423485899, -0.04468977884737581, 0.022539720419162215, -0.007317884054687436, 0.001113773565396472,
    ),
    dt.float64: (
        -0.33333333333333093, 0.19999999999955437, -0.14285714282801323, 0.11111111013605968, -0.09090907118199545,
        0.07692281171101617, -0.06666414837121783, 0.05880591375124939, -0.05253799175839146, 0.047232675518286776,
        -0.04221638598982666, 0.036691667107464375, -0.029982218756913724, 0.02208052921960418, -0.013990155849770945,
        0.007259598473609086, -0.0029172332402495472, 0.0008426791867279488, -0.0001546096345441741,
        1.3469238130296492e-05,
    ),
}  # fmt: skip
#: What is missing from pi / 2 in float64.
_HALF_PI_REST = 6.123233995736766e-17
#: pi / 2 in two parts.
_HALF_PI = {
    dt.float32: (1.5707963705062866, -4.371139000186241e-08), dt.float64: (1.5707963267948966, _HALF_PI_REST),
}  # fmt: skip


def _arc(size: Node, dtype: np.dtype) -> tuple[Node, Node, Node]:
    """Return whether |x| > 1/2, and asin(|x|) or, for larger x, ``asin(sqrt((1 - |x|) / 2))`` as a sum of two numbers.

    Both are NaN beyond 1. In float32 the second one has what the root's rounding lost, too.
    """
    large = rows.gt(size, number(size, 0.5))
    square = rows.where(large, rows.fma(size, number(size, -0.5), number(size, 0.5)), size * size)
    root = rows.where(large, rows.sqrt(square), size)
    bend = root * square * horner(square, _ASIN[dtype])
    if size.dtype == dt.float32:
        lost = rows.fma(rows.neg(root), root, square)
        bend = rows.where(large, rows.fma(lost, rough_reciprocal(root, 0.5), bend), bend)
    return large, root, bend


def asin(x: Node) -> Node:
    """The inverse sine; ``pi/2 - 2 asin(sqrt((1 - x) / 2))`` above 1/2."""
    high, low = _HALF_PI[x.dtype]
    large, root, bend = _arc(rows.abs(x), x.dtype)
    main = rows.fma(root, number(root, -2.0), number(root, high))
    rest = rows.fma(bend, number(bend, -2.0), number(bend, low))
    rest = rest + rows.fma(root, number(root, -2.0), rows.sub(high, main))
    return rows.copysign(rows.where(large, main, root) + rows.where(large, rest, bend), x)


def acos(x: Node) -> Node:
    """The inverse cosine."""
    if x.dtype == dt.float32:
        return _acos_single(x)
    large, root, bend = _arc(rows.abs(x), x.dtype)
    arc = root + bend
    negative = rows.lt(x, number(x, 0))
    signed = rows.where(negative, rows.neg(arc), arc)
    near = rows.sub(math.pi / 2, signed - _HALF_PI_REST)
    zero = number(arc, 0)
    rest = rows.fma(signed, number(arc, 2.0), rows.where(negative, number(arc, 2 * _HALF_PI_REST), zero))
    far = rest + rows.where(negative, number(arc, math.pi), zero)
    return rows.where(large, far, near)


def _acos_single(x: Node) -> Node:
    """acos in float32 as a multiple of pi/2, 0 to 2, minus the arc or twice the arc, all of them in two parts."""
    high, low = _HALF_PI[x.dtype]
    large, root, bend = _arc(rows.abs(x), x.dtype)
    zero = number(x, 0)
    negative = rows.lt(x, zero)
    times = rows.where(large, number(x, -2.0), number(x, 1.0))
    times = rows.where(negative, rows.neg(times), times)
    turn = root * times
    base = rows.where(large, rows.where(negative, number(x, 2 * high), zero), number(x, high))
    base_rest = rows.where(large, rows.where(negative, number(x, 2 * low), zero), number(x, low))
    main = base - turn
    return main + (((base - main) - turn) + rows.fma(rows.neg(bend), times, base_rest))


def _angle(y: Node, x: Node, dtype: np.dtype) -> Node:
    """Return the angle of the point (x, y) in the first quadrant."""
    steep = rows.gt(y, x)
    low, high = rows.where(steep, x, y), rows.where(steep, y, x)
    ratio = low / high
    square = ratio * ratio
    bend = ratio * square * horner(square, _ATAN[dtype])
    flat = ratio + bend
    return rows.where(steep, rows.sub(math.pi / 2, ratio) - (bend - _HALF_PI_REST), flat)


def atan(x: Node) -> Node:
    """The inverse tangent."""
    size = rows.abs(x)
    if x.dtype == dt.float64:
        return rows.copysign(_angle(size, number(size, 1.0), x.dtype), x)
    high, low = _HALF_PI[x.dtype]
    far = rows.sub(high, rows.div(1.0, size) - low)
    is_far = rows.gt(size, number(x, _ATAN_FAR))
    return rows.unlikely(is_far, rows.copysign(far, x), rows.copysign(_atan_single(size), x))


#: As `_ATAN`, for |x| <= 2/3.
_ATAN_SHORT = (-0.3333332, 0.19999187, -0.14269447, 0.10953953, -0.0825183, 0.050655931, -0.0171375776)
#: atan(3/2) in two parts, and from where on it is taken off: there the result exceeds 1/2.
_ATAN_BASE = (0.9827937483787537, -2.5131424592413664e-08)
_ATAN_BORDER, _ATAN_FAR = 0.547, 2.0**21
#: The same for |x| <= 1/2.
_ATAN_HALF = (-0.33333334, 0.1999988, -0.14279918, 0.11008177, -0.082413316, 0.042348634)


def _atan_single(x: Node) -> Node:
    """atan of x >= 0 in float32: that of x or, above the border, atan(3/2) plus that of (x - 3/2) / (1 + 3/2 x).

    The numerator is exact up to `_ATAN_FAR`.
    """
    one, zero = number(x, 1.0), number(x, 0.0)
    turned = rows.gt(x, number(x, _ATAN_BORDER))
    whole = rows.fma(x, number(x, 1.5), one)
    above = rows.where(turned, x - 1.5, x)
    below = rows.where(turned, whole, one)
    below_rest = rows.where(turned, rows.fma(x, number(x, 1.5), rows.sub(1.0, whole)), zero)
    base, base_rest = (rows.where(turned, number(x, part), zero) for part in _ATAN_BASE)
    ratio = above / below
    lost = rows.fma(rows.neg(ratio), below_rest, rows.fma(rows.neg(ratio), below, above))
    square = ratio * ratio
    main = base + ratio
    rest = rows.fma(lost, rough_reciprocal(below), ((base - main) + ratio) + base_rest)
    return main + rows.fma(ratio * square, horner(square, _ATAN_SHORT), rest)


#: pi / 4 in two parts.
_EIGHTH = (0.7853981852531433, -2.185569500120621e-08)
#: Where `_atan2_single` holds: between these for the larger operand, sums and residuals lose nothing.
_ATAN2_RANGE = (2.0**-90, 2.0**120)


def _atan2_single(y: Node, x: Node) -> tuple[Node, Node]:
    """Return atan2 in float32, and whether it is that: where the larger operand is neither tiny nor huge.

    The angle is 0 to 4 times pi / 4 plus or minus the atan of a quotient of at most 1/2.
    """
    rise, run = rows.abs(y), rows.abs(x)
    steep, left = rows.gt(rise, run), rows.lt(x, number(x, 0))
    low, high = rows.where(steep, run, rise), rows.where(steep, rise, run)
    middle = rows.gt(low + low, high)
    total = low + high
    above = rows.where(middle, low - high, low)
    below = rows.where(middle, total, high)
    below_rest = rows.where(middle, low - (total - high), number(x, 0))
    times = rows.where(middle, number(x, 1.0), number(x, 0))
    times = rows.where(steep, rows.sub(2.0, times), times)
    times = rows.where(left, rows.sub(4.0, times), times)
    above = rows.where(rows.ne(steep, left), rows.neg(above), above)

    # Where the residual underflows, the quotient still is the nearest number.
    ratio = above / below
    lost = rows.fma(rows.neg(ratio), below_rest, rows.fma(rows.neg(ratio), below, above))
    square = ratio * ratio
    bend = rows.fma(lost, rough_reciprocal(below), ratio * square * horner(square, _ATAN_HALF))
    main = rows.fma(times, number(x, _EIGHTH[0]), ratio)
    rest = rows.fma(times, number(x, _EIGHTH[0]), rows.neg(main)) + ratio
    angle = main + (rest + rows.fma(times, number(x, _EIGHTH[1]), bend))
    least, most = _ATAN2_RANGE
    usual = rows.logical_and(rows.ge(high, number(x, least)), rows.le(high, number(x, most)))
    return rows.copysign(angle, y), usual


def atan2(y: Node, x: Node) -> Node:
    """The angle of the point (x, y), signed zeros and infinities as C's atan2 has them."""
    if x.dtype == dt.float64:
        return _any_atan2(y, x)
    angle, usual = _atan2_single(y, x)
    return rows.unlikely(rows.logical_not(usual), _any_atan2(y, x), angle)


def _any_atan2(y: Node, x: Node) -> Node:
    """Return atan2 of any operands, computed in float64."""
    rise, run = widen(rows.abs(y)), widen(rows.abs(x))
    infinite = rows.logical_and(rows.eq(rise, number(rise, math.inf)), rows.eq(run, number(run, math.inf)))
    one = number(run, 1.0)
    # Any run serves where the rise is 0, so that 0/0 cannot occur; inf/inf becomes 1/1.
    run = rows.where(rows.logical_or(infinite, rows.eq(rise, number(rise, 0))), one, run)
    angle = _angle(rows.where(infinite, one, rise), run, y.dtype)
    angle = rows.where(rows.signbit(x), rows.sub(math.pi, angle - 2 * _HALF_PI_REST), angle)
    unordered = rows.logical_or(rows.isnan(x), rows.isnan(y))
    return rows.where(unordered, x + y, rows.copysign(rows.cast(angle, dtype=y.dtype), y))
