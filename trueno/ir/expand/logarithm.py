"""log, log2, log10 and log1p.

Method: ``x = 2**k m`` with m in [sqrt(1/2), sqrt(2)), taken from the bits of x, then ``log x = k ln 2 + log m``. With
``f = m - 1``, float32 uses a minimax polynomial, ``log m = f + f**2 P(f)`` (as Cephes' logf, S. L. Moshier). float64
looks up the inverse c of one of 16 pieces that m lies in, and has a polynomial of ``m c - 1``, which is exact, since c
has six bits (P. T. P. Tang, Table-Driven Implementation of the Logarithm Function, 1990). log1p has the
series in ``s = f / (2 + f)``, whose leading terms are summed so that they cancel exactly (as FDLIBM's e_log.c, Sun
Microsystems).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from trueno import dtypes as dt
from trueno.ir.build import const
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
from trueno.ir.expand.pieces import INVERSES, LOGARITHM_TABLES, LOGARITHMS, BaseTable
from trueno.ir.node import Node

#: (log(1 + f) - f) / f**2, and the same divided by ln 2 and ln 10, on [sqrt(1/2) - 1, sqrt(2) - 1].
_P = (-0.49999988, 0.33333322, -0.25001612, 0.2000211, -0.16608475, 0.14179705, -0.13246095, 0.12916175, -0.076268345)
_P2 = (-0.7213475, 0.4808975, -0.3606858, 0.2885823, -0.23983645, 0.20457235, -0.1895278, 0.18550111, -0.112284265)
_P10 = (
    -0.21714719, 0.1447647, -0.108580954, 0.0868834, -0.07213162, 0.06117334, -0.057060942, 0.058941606, -0.03806899,
)  # fmt: skip
#: (2 artanh(s) / s - 2) / s**2 for s**2 up to 0.0295.
_R = (
    0.6666666666666734, 0.39999999999416547, 0.28571428742063265, 0.22222198600322476, 0.18183563146937284,
    0.15314076153685272, 0.14795730475721913,
)  # fmt: skip
_ROOT_HALF = {dt.float32: 0x3F3504F4, dt.float64: 0x3FE6A09E667F3BCD}


def _split(x: Node) -> tuple[Node, Node]:
    """Return k as an integer and m of a positive normal x."""
    bits = bits_of(x)
    width = number(bits, FORMATS[x.dtype].mantissa)
    k = rows.shr(bits - number(bits, _ROOT_HALF[x.dtype]), width)
    return k, float_of(bits - rows.shl(k, width))


def _as_float(k: Node) -> Node:
    """Return a small integer as a float of the same width."""
    if k.dtype == dt.int32:
        return rows.cast(k, dtype=dt.float32)
    # Few CPUs convert 64-bit integers in vectors: place k in the low bits of a large float instead.
    shift = FORMATS[dt.float64].shift
    return float_of(k + bits_of(const(shift, dt.float64))) - shift


def _finish(x: Node, y: Node, pole: Node) -> Node:
    """Return y with the special values of a logarithm: -inf at the pole, NaN below, inf at infinity."""
    y = rows.where(rows.eq(x, number(x, math.inf)), x, y)
    least = rows.where(rows.eq(x, pole), number(x, -math.inf), number(x, math.nan))
    return rows.where(rows.gt(x, pole), y, least)


def _pieces(f: Node) -> tuple[Node, Node, Node]:
    """Return h, s and w with ``log(1 + f) = f - (h - s * (h + w))`` in float64."""
    s = f / (f + 2.0)
    z = s * s
    return f * f * 0.5, s, z * horner(z, _R)


def _join(f: Node, k: Node, correction: Node | None = None) -> Node:
    """Return ``k ln 2 + log(1 + f)``, plus a small correction, in natural logarithms."""
    high, low = FORMATS[f.dtype].ln2
    rest = k * low if correction is None else rows.fma(k, number(k, low), correction)
    if f.dtype == dt.float32:
        rest = rows.fma(f * f, horner(f, _P), rest)
        return rows.fma(k, number(k, high), f + rest)
    h, s, w = _pieces(f)
    rest = rows.fma(s, h + w, rest)
    return rows.fma(k, number(k, high), f - (h - rest))


def _where_normal(x: Node, rule: Callable[..., Node], split: Callable[[Node], tuple[Node, ...]]) -> Node:
    """Return a rule of what x splits into where x is positive, finite and normal; the others are the rare ones."""
    form = FORMATS[x.dtype]
    small = rows.lt(x, number(x, 2.0 ** (1 - form.bias)))
    lift = form.mantissa + 2
    k, *others = split(rows.where(small, x * 2.0**lift, x))
    any_k = rows.where(small, _as_float(k) - float(lift), _as_float(k))
    normal = rows.logical_and(rows.ge(x, number(x, 2.0 ** (1 - form.bias))), rows.lt(x, number(x, math.inf)))
    rare = _finish(x, rule(any_k, *others), number(x, 0))
    k, *others = split(x)
    return rows.unlikely(rows.logical_not(normal), rare, rule(_as_float(k), *others))


def log(x: Node) -> Node:
    """The natural logarithm."""
    if x.dtype == dt.float64:
        return _in_pieces(x, LOGARITHM_TABLES["natural"])
    return _where_normal(x, lambda k, m: _join(m - 1.0, k), _split)


def normal_log(x: Node) -> Node:
    """The natural logarithm of positive finite normal numbers."""
    k, m = _split(x)
    return _join(m - 1.0, _as_float(k))


def _in_base(
    k: Node, m: Node, factor: tuple[float, float], step: tuple[float, float], polynomial: tuple[float, ...]
) -> Node:
    """Return ``log(2**k m) * factor`` of float32; `step` is log(2) * factor; both are given in two parts."""
    f = m - 1.0
    rest = f * factor[1] if not step[1] else rows.fma(f, number(f, factor[1]), k * step[1])
    tail = rows.fma(f, number(f, factor[0]), rows.fma(f * f, horner(f, polynomial), rest))
    return rows.fma(k, number(k, step[0]), tail)


def _in_pieces(x: Node, table: BaseTable) -> Node:
    """Return the logarithm of float64 as that of a power of two, of a piece's inverse, and of what is left."""

    def rule(k: Node, m: Node, index: Node) -> Node:
        r = rows.fma(m, rows.lookup(index, table=INVERSES), number(m, -1.0))
        # This sum is exact.
        high = rows.fma(k, number(k, table.step[0]), rows.lookup(index, table=table.high))
        rest = rows.lookup(index, table=table.low)
        if table.step[1]:
            rest = rows.fma(k, number(k, table.step[1]), rest)
        if table.factor[1]:
            rest = rows.fma(r, number(r, table.factor[1]), rest)
        rest = rows.fma(r * r, horner(r, table.others), rest)
        return high + (r + rest if table.factor[0] == 1 else rows.fma(r, number(r, table.factor[0]), rest))

    return _where_normal(x, rule, _piece)


#: 1 / ln 2 and 1 / ln 10 in two parts; those of 1 / ln 2, for float32, were fitted together with the polynomial.
_BASE_2 = (1.4426950216293335, 2.7622594e-08)
_BASE_10 = ((0.4342944920063019, -1.0103050052231683e-08), (0.3010300099849701, -1.4320988897559699e-08))


def log2(x: Node) -> Node:
    """The logarithm to base 2."""
    if x.dtype == dt.float64:
        return _in_pieces(x, LOGARITHM_TABLES["binary"])
    return _where_normal(x, lambda k, m: _in_base(k, m, _BASE_2, (1.0, 0.0), _P2), _split)


def log10(x: Node) -> Node:
    """The logarithm to base 10."""
    if x.dtype == dt.float64:
        return _in_pieces(x, LOGARITHM_TABLES["decimal"])
    return _where_normal(x, lambda k, m: _in_base(k, m, *_BASE_10, _P10), _split)


def log1p(x: Node) -> Node:
    """log(1 + x): k comes from the rounded sum, ``f = 2**-k (1 + x) - 1`` from the exact one."""
    form = FORMATS[x.dtype]
    whole, _ = _split(x + 1.0)
    # The factor is 4 * 2**-k, since 2**-k itself is subnormal for the largest x.
    scale = float_of(bits_of(number(x, 4.0)) - rows.shl(whole, number(whole, form.mantissa)))
    quarter = x * 0.25
    base = rows.fma(scale, number(x, 0.25), number(x, -1.0))
    f = rows.fma(quarter, scale, base)
    lost = rows.fma(quarter, scale, base - f)
    unchanged = rows.eq(whole, number(whole, 0))
    f = rows.where(unchanged, x, f)
    correction = rows.where(unchanged, number(x, 0), lost * rows.sub(1.0, f))
    return rows.copysign(_finish(x, _join(f, _as_float(whole), correction), number(x, -1)), x)


#: (log(1 + f) - f) / f**2 to 30 bits.
_BRIEF = (
    -0.4999999975270381, 0.3333331081085546, -0.25000025789117813, 0.20002220076965072, -0.16667686326971518,
    0.14217677504980517, -0.1240736952727415, 0.1190100486356399, -0.11675927038637428, 0.06724833047122289,
)  # fmt: skip


def log_brief(x: Node) -> Node:
    """Return log(x) of a positive finite normal float64."""
    k, m = _split(x)
    f = m - 1.0
    return rows.fma(_as_float(k), number(x, math.log(2)), rows.fma(f * f, horner(f, _BRIEF), f))


def log2_in_parts(x: Node) -> tuple[Node, Node]:
    """Return log2(x) of a positive finite normal number as a sum of two, to some 2**-34 or 2**-64 of its size."""
    k, m, index = _piece(x)
    return _sum_of_logarithms(_as_float(k), m, index)


def log2_in_parts_any(x: Node) -> tuple[Node, Node]:
    """As `log2_in_parts`, of any number that is not negative."""
    form = FORMATS[x.dtype]
    small = rows.lt(x, number(x, 2.0 ** (1 - form.bias)))
    lift = form.mantissa + 2
    k, m, index = _piece(rows.where(small, x * 2.0**lift, x))
    k = _as_float(k)
    high, low = _sum_of_logarithms(rows.where(small, k - float(lift), k), m, index)
    high = rows.where(rows.lt(x, number(x, math.inf)), high, x)
    return rows.where(rows.eq(x, number(x, 0)), number(x, -math.inf), high), low


def _piece(x: Node) -> tuple[Node, Node, Node]:
    """Return k, m and the index of the piece that m lies in, where ``x = 2**k m``."""
    bits = bits_of(x)
    width = FORMATS[x.dtype].mantissa
    # The pieces begin half of one and eight more below 1.
    above = bits - (bits_of(number(x, 1.0)) - number(bits, 17 << width - 5))
    k = rows.shr(above, number(bits, width))
    return k, float_of(bits - rows.shl(k, number(bits, width))), rows.shr(above, number(bits, width - 4))


def _sum_of_logarithms(k: Node, m: Node, index: Node) -> tuple[Node, Node]:
    """Return ``k + log2(m)`` as a sum of two numbers, for m in the piece of this index."""
    table = LOGARITHMS[m.dtype]
    r = rows.fma(m, rows.lookup(index, table=INVERSES), number(m, -1.0))
    (lead, lead_rest), (bend, bend_rest) = table.lead, table.bend

    # Horner's rule, the last three steps in two parts.
    tail = horner(r, table.others)
    slope = rows.fma(tail, r, number(r, bend))
    slope_rest = rows.fma(tail, r, rows.sub(number(r, bend), slope)) + bend_rest
    part, part_rest = two_product(r, slope)
    part_rest = rows.fma(r, slope_rest, part_rest)
    slope, slope_rest = two_sum(number(r, lead), part)
    slope_rest = slope_rest + (part_rest + lead_rest)
    part, part_rest = two_product(r, slope)
    part_rest = rows.fma(r, slope_rest, part_rest)

    high, low = two_sum(k + rows.lookup(index, table=table.high), part)
    return high, low + (part_rest + rows.lookup(index, table=table.low))
