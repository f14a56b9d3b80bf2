"""sin, cos and tan in float64, for arguments of any size.

Angles up to `FAR` are reduced by W. Cody and W. Waite's method (Software Manual for the Elementary Functions, 1980):
a multiple of pi / 2, in three parts, is subtracted. The others are the rare ones, for which there is M. Payne and
R. Hanek's reduction (Radian Reduction for Trigonometric Functions, 1983) in integers. Of the bits of ``1 / (2 pi)``
only those count whose product with the argument is neither a whole number of turns nor too small to matter: a window of
192 bits, placed by the argument's exponent. There is no table look-up: the window's words are selected in steps, from
16 words down to one.
"""

from __future__ import annotations

import math

from trueno import dtypes as dt
from trueno.ir.build import const
from trueno.ir.expand.notation import FORMATS, bits_of, float_of, horner, number, rows, two_product, two_sum
from trueno.ir.node import Node

_WORD = dt.uint64
#: 1 / (2 pi) in words of 64 bits behind the point, after two words of zeros for arguments below 1.
_TURN = (
    0, 0, 0x28BE60DB9391054A, 0x7F09D5F47D4D3770, 0x36D8A5664F10E410, 0x7F9458EAF7AEF158, 0x6DC91B8E909374B8,
    0x01924BBA82746487, 0x3F877AC72C4A69CF, 0xBA208D7D4BAED121, 0x3A671C09AD17DF90, 0x4E64758E60D4CE7D,
    0x272117E2EF7E4A0E, 0xC7FE25FFF7816603, 0xFBCBC462D6829B47, 0xDB4D9FB3C9F2C26D, 0xD3D18FD9A797FA8B,
    0x5D49EEB1FAF97C5E, 0xCF41CE7DE294A4BA, 0x9AFED7EC47E35742, 0x1580CC11BF1EDAEA,
)  # fmt: skip
#: Exponent field of the arguments for which the window begins with the first word; below, the angle is next to nothing.
_FIRST = 947
#: pi / 2 in three parts, each the nearest number to what is left.
PARTS = (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591833e-33)
#: 2 / pi.
QUARTERS = 0.6366197723675814
#: Angles above this are rare. What three parts miss of a multiple of pi / 2 is below 2**-122 up to here, and no float64
#: is nearer than 2**-62 to such a multiple.
FAR = 2.0**40
#: (sin(r) / r - 1) / r**2 and (cos(r) - 1 + r**2 / 2) / r**4 in powers of r**2, for |r| <= pi / 4.
_SIN = (
    -0.16666666666666666, 0.00833333333333095, -0.00019841269836759205, 2.7557316102722404e-06, -2.505113185494618e-08,
    1.591812854116562e-10,
)  # fmt: skip
_COS = (
    0.041666666666666664, -0.0013888888888887398, 2.4801587298765913e-05, -2.755731727175921e-07,
    2.0876146260368496e-09, -1.1382631029408485e-11,
)  # fmt: skip


def _word(value: int) -> Node:
    return const(value, _WORD)


def _left(x: Node, count: int | Node) -> Node:
    return rows.shl(x, _word(count) if isinstance(count, int) else count)


def _right(x: Node, count: int | Node) -> Node:
    return rows.shr(x, _word(count) if isinstance(count, int) else count)


def _low(x: Node, count: int) -> Node:
    """Return the lowest bits of a word."""
    return rows.bitwise_and(x, _word((1 << count) - 1))


def _as_double(x: Node) -> Node:
    """Return a word, taken as a signed number, as float64."""
    return rows.cast(rows.bitcast(x, dtype=dt.int64), dtype=dt.float64)


def _window(place: Node) -> tuple[Node, Node, Node]:
    """Return the three words that begin at a bit of `_TURN`."""
    words = [_word(one) for one in _TURN]
    for step in (16, 8, 4, 2, 1):
        taken = rows.ne(rows.bitwise_and(place, _word(64 * step)), _word(0))
        # Of this many words the steps that follow make four.
        words = [
            rows.where(taken, words[k + step], words[k]) if k + step < len(words) else words[k] for k in range(step + 3)
        ]
    inside = _low(place, 6)
    # The next word enters in two shifts, since one of 64 is not defined.
    complement = rows.bitwise_xor(inside, _word(63))
    first, second, third = (
        rows.bitwise_or(_left(words[k], inside), _right(_right(words[k + 1], 1), complement)) for k in range(3)
    )
    return first, second, third


def _product(mantissa: Node, window: tuple[Node, Node, Node]) -> tuple[Node, Node]:
    """Return the upper two words of the product of a mantissa and a window modulo 2**192, but for the last bits."""
    first, second, third = window
    m0, m1 = _low(mantissa, 32), _right(mantissa, 32)
    a0, a1 = _low(third, 32), _right(third, 32)
    below = m1 * a1 + _right(m1 * a0, 32) + _right(m0 * a1, 32)

    b0, b1 = _low(second, 32), _right(second, 32)
    start = m0 * b0
    one = m0 * b1 + _right(start, 32)
    other = m1 * b0 + _low(one, 32)
    carried = m1 * b1 + _right(one, 32) + _right(other, 32)
    low = rows.bitwise_or(_left(other, 32), _low(start, 32))

    middle = low + below
    top = mantissa * first + carried
    return rows.where(rows.lt(middle, low), top + _word(1), top), middle


def _reduce(x: Node) -> tuple[Node, Node, Node]:
    """Return r, what is missing from it, and the bits of q, with ``|x| = r + q pi / 2`` and ``|r| <= pi / 4``."""
    bits = rows.bitcast(rows.abs(x), dtype=_WORD)
    field = _right(bits, 52)
    field = rows.where(rows.lt(field, _word(_FIRST)), _word(_FIRST), field)
    mantissa = rows.bitwise_or(_low(bits, 52), _word(1 << 52))
    top, middle = _product(mantissa, _window(field - _word(_FIRST)))

    quarters = _right(top + _word(1 << 61), 62)
    # As a signed number the rest is between minus and plus half of a quarter turn.
    upper = rows.bitwise_or(_left(top, 2), _right(middle, 62))
    high = _as_double(rows.bitwise_and(upper, _word((1 << 64) - (1 << 11))))
    low = _as_double(rows.bitwise_or(_left(_low(upper, 11), 52), _right(_left(middle, 2), 12)))
    high, low = two_sum(high, low * 2.0**-52)
    r, rest = two_product(high, number(high, PARTS[0] * 2.0**-64))
    rest = rows.fma(low, number(low, PARTS[0] * 2.0**-64), rest)
    return r, rows.fma(high, number(high, PARTS[1] * 2.0**-64), rest), quarters


def _near(x: Node, quarters: int) -> tuple[Node, Node, Node]:
    """Return r, what is missing from it, and the bits of q, with ``x = r + (q - quarters) pi / 2``, for |x| <= FAR.

    The first difference is exact, since all of it is a multiple of 2**-53. So is what the second sum rounds off,
    although r may be the smaller part: it is a multiple of the last bit of q times the second part.
    """
    first, second, third = (number(x, -part) for part in PARTS)
    shift = number(x, FORMATS[x.dtype].shift + quarters)
    shifted = rows.fma(x, number(x, QUARTERS), shift)
    q = shifted - shift
    r = rows.fma(q, first, x)
    product, lost = two_product(q, second)
    total, rest = two_sum(r, product)
    return total, rows.fma(q, third, rest + lost), bits_of(shifted)


def _sine(r: Node, rest: Node) -> tuple[Node, Node]:
    """Return sin(r + rest) as a sum of two numbers."""
    square = r * r
    tail = rows.fma(rest, rows.fma(square, number(r, -0.5), number(r, 1.0)), r * square * horner(square, _SIN))
    return two_sum(r, tail)


def _cosine(r: Node, rest: Node) -> tuple[Node, Node]:
    """Return cos(r + rest) as a sum of two numbers."""
    square, lost = two_product(r, r)
    main, main_rest = two_sum(number(r, 1.0), square * -0.5)
    tail = rows.fma(lost, number(r, -0.5), rows.fma(square * square, horner(square, _COS), rows.neg(r * rest)))
    return two_sum(main, main_rest + tail)


def _odd(quarters: Node) -> Node:
    return rows.ne(rows.bitwise_and(quarters, number(quarters, 1)), number(quarters, 0))


def _finish(x: Node, y: Node) -> Node:
    """Return y, or NaN where x is infinite or NaN."""
    return rows.where(rows.lt(rows.abs(x), number(x, math.inf)), y, x - x)


def _far(x: Node) -> Node:
    return rows.gt(rows.abs(x), number(x, FAR))


def _signed(x: Node, y: Node) -> Node:
    """Return an odd function's value from its value for the absolute argument."""
    return rows.where(rows.signbit(x), rows.neg(y), y)


def _wave(reduced: tuple[Node, Node, Node]) -> Node:
    """Return the sine of an angle, that is of r and a number of quarter turns."""
    r, rest, quarters = reduced
    y = rows.where(_odd(quarters), _cosine(r, rest)[0], _sine(r, rest)[0])
    sign = rows.shl(rows.bitwise_and(quarters, number(quarters, 2)), number(quarters, 62))
    bits = rows.bitwise_xor(bits_of(y), rows.bitcast(sign, dtype=dt.int64))
    return float_of(bits)


def _tangent(reduced: tuple[Node, Node, Node]) -> Node:
    """Return the tangent of an angle, the quotient of sine and cosine with its residual."""
    r, rest, quarters = reduced
    odd = _odd(quarters)
    sine, cosine = _sine(r, rest), _cosine(r, rest)
    above, above_rest = (rows.where(odd, rows.neg(b), a) for a, b in zip(sine, cosine, strict=True))
    below, below_rest = (rows.where(odd, a, b) for a, b in zip(sine, cosine, strict=True))
    inverse = rows.div(number(r, 1.0), below)
    y = above * inverse
    residual = rows.fma(rows.neg(y), below, above) + (above_rest - y * below_rest)
    return rows.fma(residual, inverse, y)


def _turned(reduced: tuple[Node, Node, Node], quarters: int) -> tuple[Node, Node, Node]:
    r, rest, q = reduced
    return r, rest, q + number(q, quarters)


def _tiny(x: Node) -> Node:
    return rows.lt(rows.abs(x), number(x, 2.0**-27))


def sin(x: Node) -> Node:
    """The sine in float64; tiny angles stay as they are."""
    far = _finish(x, _signed(x, _wave(_reduce(x))))
    return rows.unlikely(_far(x), far, rows.where(_tiny(x), x, _wave(_near(x, 0))))


def cos(x: Node) -> Node:
    """The cosine in float64."""
    return rows.unlikely(_far(x), _finish(x, _wave(_turned(_reduce(x), 1))), _wave(_near(x, 1)))


def tan(x: Node) -> Node:
    """The tangent in float64; tiny angles stay as they are."""
    far = _finish(x, _signed(x, _tangent(_reduce(x))))
    return rows.unlikely(_far(x), far, rows.where(_tiny(x), x, _tangent(_near(x, 0))))
