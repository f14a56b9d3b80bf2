"""exp, exp2, expm1 and the hyperbolic functions.

Method: Cody and Waite's reduction ``x = n ln 2 + r``, a minimax polynomial on ``|r| <= ln(2)/2``, and a multiplication
by ``2**n`` made in the exponent field (W. J. Cody and W. Waite, Software Manual for the Elementary Functions, 1980; the
rounding by a large constant is Hecker's). The polynomials were fitted by Remez' exchange, their coefficients rounded to
the format one by one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from trueno import dtypes as dt
from trueno.ir.build import const
from trueno.ir.expand.notation import (
    FORMATS,
    at_least,
    at_most,
    bits_of,
    float_of,
    horner,
    number,
    power_of_two,
    rows,
    two_product,
    two_sum,
)
from trueno.ir.expand.pieces import POWERS
from trueno.ir.node import Node

_LOG2_E = 1 / math.log(2)


@dataclass(frozen=True, slots=True)
class _Tables:
    """Ranges and polynomials of one float format.

    Attributes
    ----------
    low, high : float
        Beyond these exp is 0 and infinite; `low2` and `high2` for exp2.
    vanish : float
        Above this the smaller of exp(x) and exp(-x) does not change their sum or difference.
    tiny : float
        Below this expm1(x) and sinh(x) round to x.
    exp, exp2 : tuple of float
        Coefficients of ``exp(r)`` and ``2**r``.
    expm1 : tuple of float
        Coefficients of ``(exp(r) - 1 - r) / r**2``.
    """

    low: float
    high: float
    low2: float
    high2: float
    vanish: float
    tiny: float
    exp: tuple[float, ...]
    exp2: tuple[float, ...]
    expm1: tuple[float, ...]


_TABLES = {
    dt.float32: _Tables(
        -104.0, 89.0, -151.0, 129.0, 10.0, 2.0**-25,
        (1.0, 1.0, 0.49999994, 0.16666517, 0.041668247, 0.008369081, 0.0013820967),
        (1.0, 0.6931472, 0.24022594, 0.055503663, 0.009625444, 0.0013387902, 0.0001333241),
        (0.5, 0.16666636, 0.04166651, 0.008341604, 0.0013930576, 0.00014932896),
    ),
    dt.float64: _Tables(
        -746.0, 710.0, -1076.0, 1025.0, 22.0, 2.0**-54,
        (1.0, 1.0, 0.5, 0.16666666666666688, 0.041666666666666824, 0.008333333333313896, 0.0013888888888778407,
         0.0001984126990335042, 2.480158755699022e-05, 2.755722870222638e-06, 2.7557070566933516e-07,
         2.5113932666791083e-08, 2.0976788637692516e-09),
        (1.0, 0.6931471805599453, 0.24022650695910172, 0.055504108664824574, 0.00961812910757709, 0.0013333558145567064,
         0.00015403530478824977, 1.5252734738686192e-05, 1.3215424498976702e-06, 1.0177655721842494e-07,
         7.075613905474783e-09, 4.519374331099805e-10),
        (0.5, 0.16666666666666677, 0.041666666666666685, 0.008333333333321747, 0.0013888888888890921,
         0.0001984126988554826, 2.4801587290078743e-05, 2.7557244883527206e-06, 2.75573154088134e-07,
         2.5108797809434913e-08, 2.0899650674212385e-09),
    ),
}  # fmt: skip


def _reduce(x: Node, shift: Node) -> tuple[Node, Node]:
    """Return ``n + shift`` and r, where ``x = n ln 2 + r``."""
    high, low = FORMATS[x.dtype].ln2
    shifted = rows.fma(x, number(x, _LOG2_E), shift)
    n = rows.sub(shifted, shift)
    r = rows.fma(n, number(x, -high), x)
    return shifted, rows.fma(n, number(x, -low), r)


#: Where the results turn large; any border serves that keeps both factors of `_scaled` finite and normal.
_LARGE = 64.0


def _lift(x: Node) -> int:
    """Return by how many exponents the factor ``2**n`` is raised, so that it stays normal for subnormal results."""
    return FORMATS[x.dtype].mantissa + 2


def _lowered(x: Node, coefficients: Sequence[float]) -> list[float]:
    """Return the coefficients of a polynomial, lowered as `_scaled` takes its value."""
    return [one * 2.0 ** -_lift(x) for one in coefficients]


def _scaled(x: Node, shifted: Node, y: Node) -> Node:
    """Return ``2**n`` times a value given as ``y 2**-_lift``, rounded once; `shifted` holds ``n + _lift``.

    The exponents of all results, from the least subnormal to infinity, exceed what one factor can hold. So the value
    is lowered by as much as the factor is raised, and where the result is large both go the other way: two masked
    instructions. x tells that, being the exponent of the result to whatever base.
    """
    form, lift = FORMATS[x.dtype], _lift(x)
    large = rows.gt(x, number(x, _LARGE))
    y = rows.where(large, y * 2.0 ** (2 * lift), y)
    bits = rows.shl(bits_of(shifted), const(form.mantissa, dt.int_of_same_width(x.dtype)))
    bits = rows.where(large, bits - number(bits, 2 * lift << form.mantissa), bits)
    return y * float_of(bits)


def scaleb(x: Node, n: Node) -> Node:
    """``x 2**floor(n)``, rounded once, for x from 1/2 to 4 and n of which no more than a subnormal number is left."""
    whole, lift = rows.floor(n), _lift(x)
    return _scaled(whole, whole + _shift(x, lift), x * 2.0**-lift)


#: (exp(r) - 1) / r for a 32nd of ln 2.
_IN_PIECES = {
    dt.float32: (1.0, 0.50001466, 0.1666696),
    dt.float64: (1.0000000000000007, 0.5000000000000001, 0.16666666664200094, 0.04166666666358346, 0.008333473247823941,
                 0.0013889063781745215),
}  # fmt: skip


def _from_sixteenths(shifted: Node, n: Node, r: Node, others: tuple[float, ...]) -> Node:
    """Return 2**n, where `shifted` has its sixteenths in the lowest bits, times ``1 + r (c[0] + c[1] r + ...)``."""
    index, main = bits_of(shifted), POWERS[r.dtype].roots
    error = rows.fma(r, horner(r, others), rows.lookup(index, table=POWERS[r.dtype].rest))
    root = rows.lookup(index, table=main)
    return rows.scaleb(rows.fma(root, error, root), n)


def exp(x: Node) -> Node:
    """e to the power x; in float64 there is a table of powers of two for sixteenths."""
    table = _TABLES[x.dtype]
    x = at_most(at_least(x, table.low), table.high)
    if x.dtype == dt.float64:
        high, low = FORMATS[x.dtype].ln2
        shifted = rows.fma(x, number(x, _LOG2_E), _sixteenths(x))
        n = shifted - _sixteenths(x)
        r = rows.fma(n, number(x, -low), rows.fma(n, number(x, -high), x))
        return _from_sixteenths(shifted, n, r, _IN_PIECES[x.dtype])
    shifted, r = _reduce(x, _shift(x, _lift(x)))
    return _scaled(x, shifted, horner(r, _lowered(x, table.exp)))


def exp2(x: Node) -> Node:
    """2 to the power x; the reduction is exact."""
    table = _TABLES[x.dtype]
    x = at_most(at_least(x, table.low2), table.high2)
    if x.dtype == dt.float64:
        shifted = x + _sixteenths(x)
        n = shifted - _sixteenths(x)
        return _from_sixteenths(shifted, n, x - n, POWERS[x.dtype].others)
    shift = _shift(x, _lift(x))
    shifted = x + shift
    return _scaled(x, shifted, horner(x - rows.sub(shifted, shift), _lowered(x, table.exp2)))


def exp2_of_sum(x: Node, rest: Node) -> Node:
    """2 to the power of x and a small rest, to some 0.6 units: exact where the result is a number."""
    table = _TABLES[x.dtype]
    x = at_most(at_least(x, table.low2), table.high2)
    shifted, y, error = _exp2_in_pieces(x, rest)
    whole = rows.floor(shifted - _sixteenths(x))
    # All sixteenths go into the mantissa, and the exponent is that of 1.
    bits = bits_of(y) - rows.shl(
        rows.cast(whole, dtype=bits_of(y).dtype), number(bits_of(y), FORMATS[x.dtype].mantissa)
    )
    y = float_of(bits)
    y = rows.fma(y, error, y)
    return _scaled(x, whole + _shift(x, _lift(x)), y * 2.0 ** -_lift(x))


def exp2_of_normal_sum(x: Node, rest: Node) -> Node:
    """As `exp2_of_sum`, for x from -1020 to 1020, or -126 to 126 in float32."""
    _, y, error = _exp2_in_pieces(x, rest)
    return rows.fma(y, error, y)


def _sixteenths(x: Node) -> Node:
    """Return the number that rounds to sixteenths when it is added."""
    return number(x, FORMATS[x.dtype].shift / 16)


def _exp2_in_pieces(x: Node, rest: Node) -> tuple[Node, Node, Node]:
    """Return a number next to x in sixteenths, 2 to its power, and what is missing as a share of that."""
    table = POWERS[x.dtype]
    # The rest may be as large as a 32nd.
    shifted = x + rest + _sixteenths(x)
    f = x - rows.sub(shifted, _sixteenths(x)) + rest
    index = bits_of(shifted)
    error = rows.fma(f, horner(f, table.others), rows.lookup(index, table=table.rest))
    main = bits_of(rows.lookup(index, table=table.main))
    return shifted, float_of(main + rows.shl(index, number(index, FORMATS[x.dtype].mantissa - 4))), error


def _shift(x: Node, extra: int = 0) -> Node:
    """Return the shift constant for a single factor ``2**(n + extra)``."""
    form = FORMATS[x.dtype]
    return number(x, form.shift + form.bias + extra)


def exp_nonpositive(x: Node, factor: float) -> Node:
    """exp(factor * x) from -87 to 0, where an absolute error of some units in the last place of 1/4 is no harm.

    The factor, a power of two with any sign, costs nothing: it is part of the constants.
    """
    shift = _shift(x)
    shifted = rows.fma(x, number(x, factor * _LOG2_E), shift)
    r = rows.fma(rows.sub(shifted, shift), number(x, -math.log(2) / factor), x)
    return horner(r, [one * factor**k for k, one in enumerate(_TABLES[x.dtype].exp)]) * power_of_two(shifted)


def exp2_of_product(a: Node, b: Node, extra: int = 0) -> Node:
    """2 to the power ``a b + extra``, from -127 (0 in float32) to 0; the product is rounded when it is reduced."""
    shift = _shift(a, extra)
    shifted = rows.fma(a, b, shift)
    f = rows.fma(a, b, rows.sub(shift, shifted))
    return horner(f, _TABLES[a.dtype].exp2) * power_of_two(shifted)


def _expm1_reduced(r: Node) -> tuple[Node, Node]:
    """Return exp(r) - 1 for reduced r as the nearest number and what its rounding lost."""
    return two_sum(r, r * r * horner(r, _TABLES[r.dtype].expm1))


def exp_of_negative_square(a: Node) -> tuple[Node, Node, Node]:
    """Return s, a small q and n with ``exp(-a**2) = s (1 + q) 2**floor(n)``, where s is 1 or more and below 2."""
    table = POWERS[a.dtype]
    high, low = FORMATS[a.dtype].ln2
    square, lost = two_product(a, a)
    shifted = rows.fma(square, number(a, -_LOG2_E), _sixteenths(a))
    n = rows.sub(shifted, _sixteenths(a))
    # The first difference is exact.
    r = rows.fma(n, number(a, -high), rows.neg(square)) + rows.fma(n, number(a, -low), rows.neg(lost))
    index = bits_of(shifted)
    q = rows.fma(r, horner(r, _IN_PIECES[a.dtype]), rows.lookup(index, table=table.rest))
    return rows.lookup(index, table=table.roots), q, n


def expm1(x: Node) -> Node:
    """exp(x) - 1 as ``2**n (exp(r) - 1) + (2**n - 1)``, halved so that ``2**n`` cannot overflow on its own."""
    table = _TABLES[x.dtype]
    y = at_most(at_least(x, -4 * table.vanish), table.high)
    shifted, r = _reduce(y, _shift(x, -1))
    part, part_rest = _expm1_reduced(r)
    scale = power_of_two(shifted)
    base = scale - 0.5
    half = rows.fma(scale, part, base)
    # All that these sums round off: of 2**n - 1/2, of `half`, and of the reduced value.
    rest = rows.fma(scale, part, base - half) + ((scale - base) - 0.5)
    y = (half + rows.fma(scale, part_rest, rest)) * 2.0
    return rows.where(rows.lt(rows.abs(x), number(x, table.tiny)), x, y)


#: (tanh(x) / x - 1) / x**2 as a polynomial in x**2, for |x| <= 0.7.
_TANH_NEAR = (-0.33333215, 0.13329546, -0.053584877, 0.020154472, -0.0051905694)
#: -2 / (1 + e) for e up to exp(-1.4).
_TANH_FAR = (-1.9999985, 1.9998724, -1.9964918, 1.955012, -1.6986003, 0.92081606)


def tanh(x: Node) -> Node:
    """tanh; in float32 an odd polynomial near 0, elsewhere ``1 - 2 e / (1 + e)`` with ``e = exp(-2 |x|)``.

    There e is so small that a short polynomial takes the place of the division, at half of its cost.
    """
    if x.dtype == dt.float64:
        return _tanh_double(x)
    size = rows.abs(x)
    square = x * x
    near = rows.fma(x * square, horner(square, _TANH_NEAR), x)
    power = exp_nonpositive(at_most(size, _TABLES[x.dtype].vanish), -2.0)
    far = rows.fma(power, horner(power, _TANH_FAR), number(x, 1.0))
    return rows.copysign(rows.where(rows.lt(size, number(x, 0.7)), near, far), x)


def _tanh_double(x: Node) -> Node:
    """tanh in float64 as ``-t / (2 + t)`` with ``t = exp(-2 |x|) - 1``.

    t and the quotient carry a second, smaller part each (the quotient by Markstein's fma residual), so that just the
    last rounding counts.
    """
    table = _TABLES[x.dtype]
    y = at_most(rows.abs(x), table.vanish) * -2.0
    shifted, r = _reduce(y, _shift(x))
    scale = power_of_two(shifted)
    part, part_rest = _expm1_reduced(r)
    base = scale - 1.0
    t = rows.fma(scale, part, base)
    rest = rows.fma(scale, part, base - t) + (scale - (base + 1.0))
    rest = rows.fma(scale, part_rest, rest)
    below = t + 2.0
    below_rest = (t - (below - 2.0)) + rest
    inverse = rows.div(number(x, -1.0), below)
    quotient = t * inverse
    residual = rows.fma(quotient, below, t) + rows.fma(quotient, below_rest, rest)
    return rows.copysign(rows.fma(residual, inverse, quotient), x)


#: (exp(r) - 1 - r) / r**2 in float64 for float32 results.
_EXPM1_BRIEF = (
    0.500000004419891, 0.16666662835449417, 0.041666360827878716, 0.008334319244685636, 0.0013940073210224797,
    0.0001931408101906331,
)  # fmt: skip


def expm1_brief(x: Node) -> tuple[Node, Node]:
    """Return ``(exp(x) - 1) / 2`` of a float64 to some 30 bits, and ``exp(x) / 2``; x must lie within -700 and 700."""
    shift = _shift(x, -1)
    shifted = rows.fma(x, number(x, _LOG2_E), shift)
    r = rows.fma(rows.sub(shifted, shift), number(x, -math.log(2)), x)
    part = rows.fma(r * r, horner(r, _EXPM1_BRIEF), r)
    scale = power_of_two(shifted)
    return rows.fma(part, scale, scale - 0.5), rows.fma(part, scale, scale)


def _quarters(size: Node) -> tuple[Node, Node, Node]:
    """Return for x >= 0 in float64 the numbers ``(exp(x) - 1) / 4`` in two parts and ``exp(x) / 4``.

    They are finite wherever sinh(x) and cosh(x) are.
    """
    shifted, r = _reduce(at_most(size, 710.5), _shift(size, -2))
    part, part_rest = _expm1_reduced(r)
    scale = power_of_two(shifted)
    base = scale - 0.25
    t = rows.fma(scale, part, base)
    rest = rows.fma(scale, part, base - t) + ((scale - base) - 0.25)
    return t, rows.fma(scale, part_rest, rest), rows.fma(scale, part, scale)


#: (cosh(r) - 1) / r**2 and (sinh(r) - r) / r**3 in powers of r**2, for |r| <= ln(2) / 2.
_EVEN = (0.5, 0.041666463, 0.0013933823)
_ODD = (0.16666667, 0.0083333105, 0.00019891182)
#: Above this sinh and cosh exceed float32.
_HYPERBOLIC_HIGH = 89.5


def _hyperbolic(size: Node, even: bool) -> Node:
    """cosh (even) or sinh of x >= 0 in float32, without a division and with one rounding that counts.

    With ``x = n ln 2 + r``, ``A = (2**n + 2**-n) / 2`` and ``B = (2**n - 2**-n) / 2`` they are ``A cosh r + B sinh r``
    and ``B cosh r + A sinh r``. A and B are halved, since ``2**n`` may overflow.
    """
    form = FORMATS[size.dtype]
    x = at_most(size, _HYPERBOLIC_HIGH)
    shifted = rows.fma(x, number(x, _LOG2_E), _shift(x, -2))
    n = rows.sub(shifted, _shift(x, -2))
    first = rows.fma(n, number(x, -form.ln2[0]), x)
    r = rows.fma(n, number(x, -form.ln2[1]), first)
    r_rest = rows.fma(n, number(x, -form.ln2[1]), first - r)

    up = power_of_two(shifted)
    fields = rows.sub((2 * form.bias - 4) << form.mantissa, bits_of(up))
    down = float_of(rows.maximum(fields, number(fields, 0)))
    total, gap = up + down, up - down
    one, other = (total, gap) if even else (gap, total)
    one_rest = (up - one) + (down if even else rows.neg(down))

    square = r * r
    main = rows.fma(other, r, one)
    rest = rows.fma(other, r, one - main) + rows.fma(one, square * horner(square, _EVEN), one_rest)
    return (main + rows.fma(other, rows.fma(r * square, horner(square, _ODD), r_rest), rest)) * 2.0


def sinh(x: Node) -> Node:
    """sinh; in float64 as ``(t + t / (t + 1)) / 2`` with ``t = exp(|x|) - 1``."""
    size = rows.abs(x)
    if x.dtype == dt.float32:
        y = _hyperbolic(size, False)
    else:
        t, rest, power = _quarters(size)
        other = t / (power * 4.0)
        y = (t + (rest + other)) * 2.0
    tiny = rows.lt(size, number(x, _TABLES[x.dtype].tiny))
    return rows.where(tiny, x, rows.copysign(y, x))


def cosh(x: Node) -> Node:
    """cosh; in float64 as ``e / 2 + 1 / (2 e)`` with ``e = exp(|x|)``."""
    size = rows.abs(x)
    if x.dtype == dt.float32:
        return _hyperbolic(size, True)
    _, _, power = _quarters(size)
    return (power + rows.div(number(x, 0.0625), power)) * 2.0
