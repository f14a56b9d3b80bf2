"""What the expansions are written in: rows by name, literals, polynomials and the layout of the float formats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trueno import dtypes as dt
from trueno.ir.build import const
from trueno.ir.node import Node
from trueno.ir.op import Op, registry


class _Rows:
    """The op table by attribute: ``rows.fma(a, b, c)``.

    The rows are made from the expansions, so they are looked up when an expansion runs, not when it is imported.
    """

    def __getattr__(self, name: str) -> Op:
        return registry[name]


rows = _Rows()

#: The bits of 1.0, twice, less what makes errors of both signs equal in `rough_reciprocal`.
_RECIPROCAL_BITS = 0x7EF4FB9D


def number(x: Node, value: float) -> Node:
    """Return a literal of x's dtype."""
    return const(value, x.dtype)


def bits_of(x: Node) -> Node:
    """Return the bits of a float as a signed integer of the same width."""
    return rows.bitcast(x, dtype=dt.int_of_same_width(x.dtype))


def float_of(bits: Node) -> Node:
    """Return the float that has these bits."""
    return rows.bitcast(bits, dtype=np.dtype(f"f{bits.dtype.itemsize}"))


def horner(x: Node, coefficients: Sequence[float], *, start: Node | None = None) -> Node:
    """Return ``c[0] + c[1] x + c[2] x**2 + ...`` by Horner's rule, one fma for each step.

    `start`, if given, is the factor of the next power after the last coefficient.
    """
    *rest, last = coefficients
    result = number(x, last) if start is None else rows.fma(start, x, number(x, last))
    for coefficient in reversed(rest):
        result = rows.fma(result, x, number(x, coefficient))
    return result


def piecewise(t: Node, tables: Sequence[Sequence[float]], index: Node) -> Node:
    """Return ``c[0] + c[1] t + c[2] t**2 + ...``, where c[k] is what table k holds at the low bits of the index.

    Neighbours are joined before Horner's rule takes them by the square of t: its chain is half as long, and no more
    instructions than that wait for each other. The first two coefficients, whose errors count, stay alone.
    """
    first, second, *others = (rows.lookup(index, table=one) for one in tables)
    pairs = [rows.fma(high, t, low) for low, high in zip(others[::2], others[1::2], strict=False)]
    if len(others) % 2:
        pairs.append(others[-1])
    square, tail = t * t, pairs[-1]
    for pair in reversed(pairs[:-1]):
        tail = rows.fma(tail, square, pair)
    return rows.fma(rows.fma(tail, t, second), t, first)


def at_most(x: Node, limit: float) -> Node:
    """Return min(x, limit), NaN for NaN: a single instruction, where `minimum` takes several."""
    bound = number(x, limit)
    return rows.where(rows.gt(x, bound), bound, x)


def at_least(x: Node, limit: float) -> Node:
    """Return max(x, limit), NaN for NaN."""
    bound = number(x, limit)
    return rows.where(rows.lt(x, bound), bound, x)


def widen(x: Node) -> Node:
    """Return x as float64."""
    return rows.cast(x, dtype=dt.float64)


def narrow(x: Node) -> Node:
    """Return x rounded to float32."""
    return rows.cast(x, dtype=dt.float32)


def reciprocal_of(x: Node) -> Node:
    """Return 1 / x of a float64 to some 46 bits; x must lie in float32's range.

    That is enough for a float32 result, or for a quotient that its residual corrects.

    A division in float32 and a Newton step cost half of a division in float64.
    """
    guess = widen(rows.div(const(1.0, dt.float32), narrow(x)))
    return rows.fma(guess, rows.fma(rows.neg(x), guess, number(x, 1.0)), guess)


def rough_reciprocal(x: Node, times: float = 1.0) -> Node:
    """Return ``times / x`` of a float32 to some 8 percent, for factors of corrections: one subtraction of the bits."""
    bits = bits_of(x)
    return float_of(rows.sub(number(bits, _RECIPROCAL_BITS + round(math.log2(times) * 2**23)), bits))


def two_sum(a: Node, b: Node) -> tuple[Node, Node]:
    """Return a + b as the nearest number and what its rounding lost, for |a| >= |b| or a = 0 (Dekker, 1971)."""
    total = a + b
    return total, b - (total - a)


def two_product(a: Node, b: Node) -> tuple[Node, Node]:
    """Return a * b as the nearest number and what its rounding lost."""
    product = a * b
    return product, rows.fma(a, b, rows.neg(product))


@dataclass(frozen=True, slots=True)
class Format:
    """A binary float format, and the number that rounds to an integer when it is added.

    Attributes
    ----------
    mantissa : int
        Bits behind the point.
    bias : int
        Exponent field of 1.0.
    shift : float
        ``1.5 * 2**mantissa``: adding it to a small value rounds that value to an integer, halves to even, and leaves
        the integer in the low bits of the sum, so that no conversion between float and integer is needed.
    ln2 : tuple of float
        ln(2) in two parts, of which the first is the nearest number of the format.
    """

    mantissa: int
    bias: int
    shift: float
    ln2: tuple[float, float]


FORMATS = {
    dt.float32: Format(23, 127, 1.5 * 2**23, (0.693147182464599609375, -1.904654299957768e-09)),
    dt.float64: Format(52, 1023, 1.5 * 2**52, (0.6931471805599453, 2.3190468138462996e-17)),
}


def power_of_two(shifted: Node) -> Node:
    """Return ``2**n`` for a value ``n + bias + shift``: its low bits, moved into the exponent field."""
    bits = bits_of(shifted)
    return float_of(rows.shl(bits, number(bits, FORMATS[shifted.dtype].mantissa)))
