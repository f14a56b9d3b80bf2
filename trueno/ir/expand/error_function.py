"""erf and erfc."""

from __future__ import annotations

from trueno.ir.expand.exponential import exp_nonpositive, expm1_brief
from trueno.ir.expand.notation import at_most, horner, narrow, number, reciprocal_of, rows, widen
from trueno.ir.node import Node

#: erf(x) / x - 1 as a polynomial in x**2, for |x| <= 0.92.
_NEAR = (0.12837917, -0.37612632, 0.11283699, -0.026860364, 0.005204338, -0.00081849075, 8.5563945e-05)
#: log(1 - erf(x)) / x, for 0.92 <= x <= 3.95.
_FAR = (-1.1285143, -0.6357186, -0.105261445, 0.022889676, -0.0032148538, 0.00021397092)


def erf(x: Node) -> Node:
    """The error function in float32: an odd polynomial near 0, elsewhere ``1 - exp(p(x))``.

    The second form is N. Juffa's: the logarithm of erfc is smooth, and what it misses is scaled down by erfc.
    """
    size = rows.abs(x)
    square = x * x
    near = rows.fma(x, horner(square, _NEAR), x)
    capped = at_most(size, 4.0)
    far = rows.sub(number(x, 1.0), exp_nonpositive(capped * horner(capped, _FAR)))
    return rows.where(rows.lt(size, number(x, 0.92)), near, rows.copysign(far, x))


#: exp(a**2) erfc(a) (1 + 2 a) as a polynomial in (a - 3) / (a + 3), for 0 <= a <= 10.2.
_SCALED = (
    1.2530080589465327, -0.13562111270054322, -0.047562384279854784, 0.12964541501125715, -0.11927162059959545,
    0.06830594032735804, -0.023787751923275275, 0.002529827133113644, 0.001950416316095651, -0.0007416205907594529,
    -0.00018306636153516632, 3.520354523896109e-05,
)  # fmt: skip


def erfc(x: Node) -> Node:
    """1 - erf(x) in float32, computed in float64, where the square of a float32 is exact.

    The form is M. Shepherd's and J. Laframboise's (Chebyshev Approximation of (1 + 2x) exp(x**2) erfc(x), 1981).
    """
    a = widen(at_most(rows.abs(x), 10.2))
    # One quotient serves both 1 / (a + 3) and 1 / (1 + 2 a).
    above, twice = a + 3.0, a * 2.0 + 1.0
    inverse = reciprocal_of(above * twice)
    scaled = horner((a - 3.0) * (twice * inverse), _SCALED) * (above * inverse)
    _, half = expm1_brief(rows.neg(a * a))
    y = scaled * half * 2.0
    return narrow(rows.where(rows.lt(x, number(x, 0)), rows.sub(2.0, y), y))
