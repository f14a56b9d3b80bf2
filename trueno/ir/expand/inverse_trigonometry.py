"""asin, acos, atan and atan2 in float32, computed in float64: one rounding, at the end.

Method: the reductions of FDLIBM (Sun Microsystems) with minimax polynomials fitted by Remez' exchange.
"""

from __future__ import annotations

import math

from trueno.ir.expand.notation import at_least, at_most, horner, narrow, number, rows, widen
from trueno.ir.node import Node

#: (asin(x) / x - 1) / x**2 as a polynomial in x**2, for |x| <= 1/2.
_ASIN = (
    0.16666659870795653, 0.0750051100350163, 0.04451570056509249, 0.03181779760324491, 0.014401834870829376,
    0.03756636583246205,
)  # fmt: skip
#: (atan(x) / x - 1) / x**2 as a polynomial in x**2, for |x| <= 1.
_ATAN = (
    -0.3333332690008199, 0.19999671126226098, -0.14279832980824894, 0.11058222807014903, -0.08811087212907492,
    0.06741586423485899, -0.04468977884737581, 0.022539720419162215, -0.007317884054687436, 0.001113773565396472,
)  # fmt: skip


def _arc(size: Node) -> tuple[Node, Node]:
    """Return whether |x| > 1/2, and asin(|x|) or, for the larger, ``asin(sqrt((1 - |x|) / 2))``; NaN beyond 1."""
    large = rows.gt(size, number(size, 0.5))
    square = rows.where(large, rows.fma(size, number(size, -0.5), number(size, 0.5)), size * size)
    root = rows.where(large, rows.sqrt(square), size)
    return large, rows.fma(root * square, horner(square, _ASIN), root)


def asin(x: Node) -> Node:
    """The inverse sine; ``pi/2 - 2 asin(sqrt((1 - x) / 2))`` above 1/2."""
    large, arc = _arc(widen(rows.abs(x)))
    y = rows.where(large, rows.fma(arc, number(arc, -2.0), number(arc, math.pi / 2)), arc)
    return rows.copysign(narrow(y), x)


def acos(x: Node) -> Node:
    """The inverse cosine."""
    wide = widen(x)
    large, arc = _arc(rows.abs(wide))
    negative = rows.lt(wide, number(wide, 0))
    signed = rows.where(negative, rows.neg(arc), arc)
    near = rows.sub(math.pi / 2, signed)
    far = rows.fma(signed, number(arc, 2.0), rows.where(negative, number(arc, math.pi), number(arc, 0)))
    return narrow(rows.where(large, far, near))


def _angle(y: Node, x: Node) -> tuple[Node, Node]:
    """Return whether y > x, and the angle below 45 degrees of the triangle with these legs, both not negative."""
    steep = rows.gt(y, x)
    low, high = rows.where(steep, x, y), rows.where(steep, y, x)
    ratio = low / high
    square = ratio * ratio
    return steep, rows.fma(ratio * square, horner(square, _ATAN), ratio)


def atan(x: Node) -> Node:
    """The inverse tangent."""
    size = widen(rows.abs(x))
    steep, angle = _angle(size, number(size, 1.0))
    return rows.copysign(narrow(rows.where(steep, rows.sub(math.pi / 2, angle), angle)), x)


def atan2(y: Node, x: Node) -> Node:
    """The angle of the point (x, y), signed zeros and infinities as C's atan2 has them."""
    # Bounds that float32 values cannot reach make 0/0 zero and inf/inf one, and leave all other quotients alone.
    rise = at_most(widen(rows.abs(y)), 2.0**500)
    run = at_least(at_most(widen(rows.abs(x)), 2.0**500), 2.0**-500)
    steep, angle = _angle(rise, run)
    angle = rows.where(steep, rows.sub(math.pi / 2, angle), angle)
    angle = rows.where(rows.signbit(x), rows.sub(math.pi, angle), angle)
    unordered = rows.logical_or(rows.isnan(x), rows.isnan(y))
    return rows.where(unordered, x + y, rows.copysign(narrow(angle), y))
