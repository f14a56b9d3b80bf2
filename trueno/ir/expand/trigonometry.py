"""sin, cos and tan; here in float32, computed in float64."""

from __future__ import annotations

import math

from trueno import dtypes as dt
from trueno.ir.build import const
from trueno.ir.expand import trigonometry_double
from trueno.ir.expand.notation import FORMATS, bits_of, float_of, horner, narrow, number, reciprocal_of, rows, widen
from trueno.ir.node import Node

#: 1 / (2 pi) in pieces of 29 bits: the product of each with a float32 is exact in float64.
_TURN = (
    0.15915494272485375, 3.6704158115630214e-10, 5.690025167992954e-19, 1.4703036846932608e-27, 2.5867171752090537e-36,
    9.458140877728297e-46, 9.301187196294348e-54,
)  # fmt: skip
#: Those of them whose product with the largest float32 can exceed half a turn.
_WHOLE_TURNS = 5
#: sin(r) / r and cos(r) as polynomials in r**2, for |r| <= pi / 4: those of the angle in turns, scaled.
_SIN = tuple(
    c / math.tau ** (2 * k + 1)
    for k, c in enumerate((6.283185287855873, -41.341662614955276, 81.59254958456285, -75.40186303346836))
)
_COS = tuple(
    c / math.tau ** (2 * k)
    for k, c in enumerate(
        (0.9999999999525665, -19.73920865026511, 64.93931617159336, -85.44284765365776, 59.220242780874756)
    )
)


def _turns(x: Node) -> tuple[Node, Node]:
    """Return the angle of a float32 in turns, in float64 and within about [-1/2, 1/2], for x of any size, and its rest.

    Whole turns are dropped after each piece of 1 / (2 pi). The sums are exact while they cancel: each product has 53
    bits, and its lowest bit lies 29 below that of the product before. What later sums lose matters next to the zeros of
    sine and cosine. This is M. Payne and R. Hanek's reduction (Radian Reduction for Trigonometric Functions, 1983) with
    floats in the place of integers.
    """
    wide = widen(x)
    first, *others = _TURN
    turns = wide * first
    turns = turns - rows.round(turns)
    rest = number(wide, 0.0)
    for index, piece in enumerate(others, 1):
        factor = const(piece, dt.float64)
        total = rows.fma(wide, factor, turns)
        rest = rest + rows.fma(wide, factor, turns - total)
        turns = total - rows.round(total) if index < _WHOLE_TURNS else total
    return turns, rest


def _octant(x: Node, quarters: int) -> tuple[Node, Node]:
    """Return r in [-pi/4, pi/4] and the bits of q, where the angle of x is ``r + (q - quarters) pi / 2``; any x."""
    turns, rest = _turns(x)
    shift = const(FORMATS[dt.float64].shift + quarters, dt.float64)
    shifted = rows.fma(turns, const(4.0, dt.float64), shift)
    t = rows.fma(shifted - shift, const(-0.25, dt.float64), turns)
    return (t + rest) * math.tau, bits_of(shifted)


def _near_octant(x: Node, quarters: int) -> tuple[Node, Node]:
    """As `_octant`, for the angles below `FAR`."""
    wide = widen(x)
    shift = const(FORMATS[dt.float64].shift + quarters, dt.float64)
    shifted = rows.fma(wide, const(trigonometry_double.QUARTERS, dt.float64), shift)
    q = shifted - shift
    first, second, _ = trigonometry_double.PARTS
    r = rows.fma(q, const(-first, dt.float64), wide)
    return rows.fma(q, const(-second, dt.float64), r), bits_of(shifted)


def _odd(bits: Node) -> Node:
    return rows.ne(rows.bitwise_and(bits, number(bits, 1)), number(bits, 0))


def _wave(octant: tuple[Node, Node]) -> Node:
    """Return the sine of an angle."""
    r, bits = octant
    square = r * r
    y = rows.where(_odd(bits), horner(square, _COS), r * horner(square, _SIN))
    sign = rows.shl(rows.bitwise_and(bits, number(bits, 2)), number(bits, 62))
    return narrow(float_of(rows.bitwise_xor(bits_of(y), sign)))


def _tangent(octant: tuple[Node, Node]) -> Node:
    """Return the tangent of an angle, as the quotient of sine and cosine."""
    r, bits = octant
    square = r * r
    sine, cosine = r * horner(square, _SIN), horner(square, _COS)
    odd = _odd(bits)
    return narrow(rows.where(odd, rows.neg(cosine), sine) * reciprocal_of(rows.where(odd, sine, cosine)))


def _far(x: Node) -> Node:
    return rows.gt(rows.abs(x), number(x, trigonometry_double.FAR))


def sin(x: Node) -> Node:
    """The sine; tiny angles stay as they are, minus zero among them."""
    if x.dtype == dt.float64:
        return trigonometry_double.sin(x)
    near = rows.where(rows.lt(rows.abs(x), number(x, 2.0**-12)), x, _wave(_near_octant(x, 0)))
    return rows.unlikely(_far(x), _wave(_octant(x, 0)), near)


def cos(x: Node) -> Node:
    """The cosine."""
    if x.dtype == dt.float64:
        return trigonometry_double.cos(x)
    return rows.unlikely(_far(x), _wave(_octant(x, 1)), _wave(_near_octant(x, 1)))


def tan(x: Node) -> Node:
    """The tangent; tiny angles stay as they are."""
    if x.dtype == dt.float64:
        return trigonometry_double.tan(x)
    near = rows.where(rows.lt(rows.abs(x), number(x, 2.0**-13)), x, _tangent(_near_octant(x, 0)))
    return rows.unlikely(_far(x), _tangent(_octant(x, 0)), near)
