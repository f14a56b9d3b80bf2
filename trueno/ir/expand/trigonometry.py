"""sin, cos and tan.

Angles up to a limit are reduced by W. Cody and W. Waite's method (Software Manual for the Elementary Functions, 1980):
a multiple of pi / 2, in three parts, is subtracted. The others are the rare ones; see angles.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from trueno import dtypes as dt
from trueno.ir.expand.angles import Angle, reduced
from trueno.ir.expand.notation import (
    FORMATS,
    bits_of,
    float_of,
    horner,
    number,
    rows,
    two_product,
    two_sum,
)
from trueno.ir.node import Node


@dataclass(frozen=True, slots=True)
class _Format:
    """What the functions take for a float format.

    Attributes
    ----------
    parts : tuple of float
        pi / 2 in three parts, each the nearest number to what is left.
    far : float
        Angles above this are rare. Up to here what three parts miss of a multiple of pi / 2 does not show in the
        difference of any number and that multiple, and the first part is less than a unit.
    tiny : float
        Below this, sine and tangent are their angle.
    sine, cosine, tangent : tuple of float
        (sin(r) / r - 1) / r**2, (cos(r) - 1 + r**2 / 2) / r**4 and (tan(r) / r - 1) / r**2 in powers of r**2, for
        |r| <= pi / 4 and what rounding adds to it.
    """

    parts: tuple[float, float, float]
    far: float
    tiny: float
    sine: tuple[float, ...]
    cosine: tuple[float, ...]
    tangent: tuple[float, ...]


_FORMATS = {
    dt.float32: _Format(
        (1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15), 2.0**17, 2.0**-12,
        (-0.16666653752326965, 0.00833209790289402, -0.00019506023090798408),
        (0.04166664555668831, -0.0013887290842831135, 2.4428643882856704e-05),
        (0.33333352, 0.1333257, 0.054071, 0.021223756, 0.010989074, -0.00010620300, 0.0044733323),
    ),
    dt.float64: _Format(
        (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591833e-33), 2.0**40, 2.0**-27,
        (-0.16666666666666666, 0.00833333333333095, -0.00019841269836759205, 2.7557316102722404e-06,
         -2.505113185494618e-08, 1.591812854116562e-10),
        (0.041666666666666664, -0.0013888888888887398, 2.4801587298765913e-05, -2.755731727175921e-07,
         2.0876146260368496e-09, -1.1382631029408485e-11),
        (0.33333333333332715, 0.13333333333422706, 0.05396825392302534, 0.021869489691551305, 0.008863218061766594,
         0.003592298534487957, 0.0014547032127695632, 0.0005952849083755858, 0.00022175782508217025,
         0.00013775604847005243, -2.805536528089813e-05, 9.093135081608492e-05, -4.5647554714533685e-05,
         2.1042568303689182e-05),
    ),
}  # fmt: skip


def _near(x: Node, turned: int = 0) -> Angle:
    """Return the angle of x, up to the format's limit, and so many quarter turns.

    The first difference is exact: it is below 1, and a multiple of half of the last bit of numbers just above 1. So is
    what the second sum rounds off, although r may be the smaller part: r is a multiple of the last bit of the product.
    """
    first, second, third = (number(x, -part) for part in _FORMATS[x.dtype].parts)
    shift = number(x, FORMATS[x.dtype].shift + turned)
    shifted = rows.fma(x, number(x, 2 / math.pi), shift)
    q = shifted - shift
    r = rows.fma(q, first, x)
    total = r + q * second
    return total, rows.fma(q, third, rows.fma(q, second, r - total)), bits_of(shifted)


def _sine(r: Node, rest: Node) -> tuple[Node, Node]:
    """Return sin(r + rest) as a sum of two numbers."""
    square = r * r
    series = r * square * horner(square, _FORMATS[r.dtype].sine)
    return two_sum(r, rows.fma(rest, rows.fma(square, number(r, -0.5), number(r, 1.0)), series))


def _cosine(r: Node, rest: Node) -> tuple[Node, Node]:
    """Return cos(r + rest) as a sum of two numbers."""
    square, lost = two_product(r, r)
    main, main_rest = two_sum(number(r, 1.0), square * -0.5)
    series = rows.fma(square * square, horner(square, _FORMATS[r.dtype].cosine), rows.neg(r * rest))
    return two_sum(main, main_rest + rows.fma(lost, number(r, -0.5), series))


def _odd(quarters: Node) -> Node:
    return rows.ne(rows.bitwise_and(quarters, number(quarters, 1)), number(quarters, 0))


def _wave(angle: Angle) -> Node:
    """Return the sine of an angle."""
    r, rest, quarters = angle
    y = rows.where(_odd(quarters), _cosine(r, rest)[0], _sine(r, rest)[0])
    half_turns = rows.bitwise_and(quarters, number(quarters, 2))
    sign = rows.shl(half_turns, number(quarters, 8 * quarters.dtype.itemsize - 2))
    return float_of(rows.bitwise_xor(bits_of(y), sign))


def _tangent_single(angle: Angle) -> Node:
    """Return the tangent of an angle; where r is a quarter turn off it is ``-1 / tan(r)``, with the residual.

    1 + 1.6 r**2 serves for the slope of the tangent, by which the rest is multiplied.
    """
    r, rest, quarters = angle
    square = r * r
    cube = r * square
    bend = horner(square, _FORMATS[r.dtype].tangent)
    high = rows.fma(cube, bend, r)
    low = rows.fma(rest, rows.fma(square, number(r, 1.6), number(r, 1.0)), rows.fma(cube, bend, r - high))
    # Next to multiples of pi / 2 the rest is a large part of the angle.
    high, low = two_sum(high, low)
    inverse = rows.div(number(r, -1.0), high)
    residual = rows.fma(inverse, low, rows.fma(inverse, high, number(r, 1.0)))
    return rows.where(_odd(quarters), rows.fma(inverse, residual, inverse), high)


#: The numerator of tan(r) / r and its denominator in powers of r**2, without their first coefficients, which are 1.
_NUMERATOR = (-0.13337687812804983, 0.0034240841878418276, -1.784823630850492e-05)
_DENOMINATOR = (-0.46671021146138314, 0.02566082134163622, -0.0003116811235903757, 4.975478845371854e-07)


def _tangent_double(angle: Angle) -> Node:
    """Return the tangent of an angle in float64, as a quotient of polynomials, or minus its inverse."""
    r, rest, quarters = angle
    square = r * r
    bend = horner(square, _DENOMINATOR)
    below = rows.fma(square, bend, number(r, 1.0))
    # What the denominator lost is taken off the numerator, in proportion to the tangent.
    lost = rows.fma(square, bend, rows.sub(1.0, below))
    rest = rows.fma(lost, r * -1.2, rows.fma(rest, square, rest))
    above = r + rows.fma(r * square, horner(square, _NUMERATOR), rest)
    odd = _odd(quarters)
    return rows.where(odd, rows.neg(below), above) / rows.where(odd, above, below)


def _far(x: Node) -> Node:
    return rows.gt(rows.abs(x), number(x, _FORMATS[x.dtype].far))


def _tiny(x: Node) -> Node:
    return rows.lt(rows.abs(x), number(x, _FORMATS[x.dtype].tiny))


def _defined(x: Node, y: Node) -> Node:
    """Return y, or NaN where x is infinite or NaN."""
    return rows.where(rows.lt(rows.abs(x), number(x, math.inf)), y, x - x)


def near_sin(x: Node) -> Node:
    """The sine of angles that are not rare; tiny ones stay as they are, minus zero among them."""
    return rows.where(_tiny(x), x, _wave(_near(x)))


def near_cos(x: Node) -> Node:
    """The cosine of angles that are not rare."""
    return _wave(_near(x, 1))


def sin(x: Node) -> Node:
    """The sine."""
    return rows.unlikely(_far(x), _defined(x, _wave(reduced(x))), near_sin(x))


def cos(x: Node) -> Node:
    """The cosine."""
    r, rest, quarters = reduced(x)
    far = _wave((r, rest, quarters + number(quarters, 1)))
    return rows.unlikely(_far(x), _defined(x, far), near_cos(x))


def tan(x: Node) -> Node:
    """The tangent; tiny angles stay as they are."""
    tangent = _tangent_single if x.dtype == dt.float32 else _tangent_double
    near = rows.where(_tiny(x), x, tangent(_near(x)))
    return rows.unlikely(_far(x), _defined(x, tangent(reduced(x))), near)
