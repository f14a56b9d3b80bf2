"""erf, erfc and the normal distribution."""

from __future__ import annotations

import math
from dataclasses import dataclass

from trueno import dtypes as dt
from trueno.ir.expand.error_function_tables import ERF, ERFC
from trueno.ir.expand.exponential import exp2_of_product, exp_of_negative_square
from trueno.ir.expand.notation import (
    FORMATS,
    at_most,
    bits_of,
    horner,
    number,
    piecewise,
    rows,
    two_product,
)
from trueno.ir.node import Node


@dataclass(frozen=True, slots=True)
class _Tables:
    """Polynomials of erf in one float format.

    Attributes
    ----------
    border : float
        Where the second form takes over.
    limit : float
        From here on erf(x) rounds to 1.
    near : tuple of float
        ``erf(x) / x - 1`` in powers of ``x**2``, up to the border.
    far : tuple of float
        ``log2(1 - erf(x)) / x`` in powers of x, beyond it.
    """

    border: float
    limit: float
    near: tuple[float, ...]
    far: tuple[float, ...]


_TABLES = {
    dt.float32: _Tables(
        1.0, 4.0,
        (0.12837917, -0.3761263, 0.11283616, -0.026854912, 0.0051901257, -0.0008023964, 7.8939884e-05),
        (-1.6282847, -0.9163733, -0.15319616, 0.03422085, -0.0052267066, 0.00045885146, -1.5527214e-05),
    ),
    dt.float64: _Tables(
        1.0, 5.95,
        (0.1283791670955126, -0.376126389031841, 0.11283791670971091, -0.0268661706480286, 0.0052239776526566755,
         -0.0008548328533137868, 0.00012055386075892312, -1.492687818074613e-05, 1.6480999292885289e-06,
         -1.6556429542659522e-07, 1.6008090487216527e-08, -1.6443334930169259e-09, 1.4304902861084395e-10),
        (-1.6279066229043033, -0.9184519602920164, -0.14825340727453512, 0.027554711003974847, 0.0003747751313151574,
         -0.0025363410188036506, 0.0009271927250359234, -7.75539098419595e-05, -8.79700539729027e-05,
         5.610651346550664e-05, -1.9673569874709674e-05, 4.7974159120378015e-06, -8.498820474296463e-07,
         1.0829663626136698e-07, -9.458016456664964e-09, 5.081508412029762e-10, -1.2678302257701479e-11),
    ),
}  # fmt: skip


def erf(x: Node) -> Node:
    """The error function: an odd polynomial near 0, elsewhere ``1 - 2**p(x)``.

    The second form is N. Juffa's: the logarithm of erfc is smooth, and what it misses is scaled down by erfc.
    """
    if x.dtype == dt.float64:
        return _erf_double(x)
    table = _TABLES[x.dtype]
    size = rows.abs(x)
    near = rows.fma(x, horner(x * x, table.near), x)
    capped = at_most(size, table.limit)
    far = rows.sub(number(x, 1.0), exp2_of_product(capped, horner(capped, table.far)))
    return rows.where(rows.lt(size, number(x, table.border)), near, rows.copysign(far, x))


#: How far the centres of the pieces of `ERF` are apart: so that erf of the first ones is next to a float64.
_STEP = 1615 / 4096


def _erf_double(x: Node) -> Node:
    """erf in float64 by a polynomial around the nearest of 16 numbers; from the last piece's end on it rounds to 1."""
    size = at_most(rows.abs(x), 5.95)
    shifted = rows.fma(size, number(x, 1 / _STEP), number(x, FORMATS[x.dtype].shift))
    t = rows.fma(shifted - FORMATS[x.dtype].shift, number(x, -_STEP), size)
    return rows.copysign(piecewise(t, ERF, bits_of(shifted)), x)


def erfc(x: Node) -> Node:
    """1 - erf(x): ``exp(-a**2)`` times a function that changes slowly, in pieces, for ``a = |x|``."""
    table = ERFC[x.dtype]
    a = at_most(rows.abs(x), table.limit)
    above = bits_of(a + table.before)
    # The pieces are the quarters, or eighths, of four binades of this sum.
    index = rows.shr(above, number(above, FORMATS[x.dtype].mantissa + 3 - len(table.values).bit_length()))
    t = a - rows.lookup(index, table=table.centres)
    # The values at the centres are next to numbers of the format, so that only the rest and its product are rounded.
    main, rest = rows.lookup(index, table=table.values), t * piecewise(t, table.slopes, index)
    root, q, n = exp_of_negative_square(a)
    rest = rows.fma(main, q, rows.fma(rest, q, rest))
    if x.dtype == dt.float64:
        # Both roundings stay within two units.
        y = (main + rest) * root
    else:
        high, low = two_product(main, root)
        y = high + rows.fma(root, rest, low)
    y = rows.scaleb(y, n)
    return rows.where(rows.lt(x, number(x, 0)), rows.sub(2.0, y), y)


#: (log2(Phi(-a)) + 1) / a in powers of a, for 0 <= a <= 13: the weights ask for the last place of Phi near 0, for three
#: digits where Phi is below 1e-4.
_TAIL = (
    -1.1511067, -0.4591917, -0.052551772, 0.007141887, -0.00018349457, -0.00018193232, 4.657991e-05, -5.8699256e-06,
    4.203452e-07, -1.6236816e-08, 2.626297e-10,
)  # fmt: skip
#: At this bound the exponent of Phi(-a) rounds to -127, whose field is that of 0.
_TAIL_END = 13.0


def normal_cdf(x: Node) -> Node:
    """Phi(x), the normal distribution's share below x; in float32 as ``2**p(|x|)``, or 1 minus it above 0.

    The logarithm of the tail is so smooth that one polynomial serves for all x, in half of the instructions of erf.
    """
    if x.dtype == dt.float64:
        return erfc(x * -math.sqrt(0.5)) * 0.5
    size = at_most(rows.abs(x), _TAIL_END)
    tail = exp2_of_product(size, horner(size, _TAIL), -1)
    return rows.where(rows.lt(x, number(x, 0)), tail, rows.sub(1.0, tail))
