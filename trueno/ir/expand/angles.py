"""The reduction of angles of any size to the nearest multiple of pi / 2, for those that are too large for subtraction.

It is M. Payne and R. Hanek's (Radian Reduction for Trigonometric Functions, 1983): of the bits of ``1 / (2 pi)`` only
those count whose product with the argument is neither a whole number of turns nor too small to matter. float64 takes
them as integers: a window of 192 bits, placed by the argument's exponent. There is no table look-up: the window's words
are selected in steps, from 16 words down to one. float32 takes all of them, as floats.
"""

from __future__ import annotations

import math

from trueno import dtypes as dt
from trueno.ir.build import const
from trueno.ir.expand.notation import FORMATS, bits_of, narrow, number, rows, two_product, two_sum, widen
from trueno.ir.node import Node

#: An angle: r, what is missing from it, and bits of q, where the angle is ``r + q pi / 2`` and ``|r| <= pi / 4``.
Angle = tuple[Node, Node, Node]

#: pi / 2 in two parts.
_QUARTER = (1.5707963267948966, 6.123233995736766e-17)
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
#: 1 / (2 pi) in pieces of 29 bits: the product of each with a float32 is exact in float64.
_PIECES = (
    0.15915494272485375, 3.6704158115630214e-10, 5.690025167992954e-19, 1.4703036846932608e-27, 2.5867171752090537e-36,
    9.458140877728297e-46, 9.301187196294348e-54,
)  # fmt: skip
#: Those of them whose product with the largest float32 can exceed half a turn.
_WHOLE_TURNS = 5


def reduced(x: Node) -> Angle:
    """Return the angle of x, of any size; for infinities and NaN the bits of some angle."""
    return _reduced_double(x) if x.dtype == dt.float64 else _reduced_single(x)


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


def _reduced_double(x: Node) -> Angle:
    negative = rows.signbit(x)
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
    r, rest = two_product(high, number(high, _QUARTER[0] * 2.0**-64))
    rest = rows.fma(low, number(low, _QUARTER[0] * 2.0**-64), rest)
    rest = rows.fma(high, number(high, _QUARTER[1] * 2.0**-64), rest)
    r, rest = (rows.where(negative, rows.neg(one), one) for one in (r, rest))
    quarters = rows.bitcast(quarters, dtype=dt.int64)
    return r, rest, rows.where(negative, rows.neg(quarters), quarters)


def _turns(x: Node) -> tuple[Node, Node]:
    """Return the angle of a float32 in turns, in float64 and within about [-1/2, 1/2], for x of any size, and its rest.

    Whole turns are dropped after each piece of 1 / (2 pi). The sums are exact while they cancel: each product has 53
    bits, and its lowest bit lies 29 below that of the product before. What later sums lose matters next to the zeros of
    sine and cosine.
    """
    wide = widen(x)
    first, *others = _PIECES
    turns = wide * first
    turns = turns - rows.round(turns)
    rest = number(wide, 0.0)
    for index, piece in enumerate(others, 1):
        factor = const(piece, dt.float64)
        total = rows.fma(wide, factor, turns)
        rest = rest + rows.fma(wide, factor, turns - total)
        turns = total - rows.round(total) if index < _WHOLE_TURNS else total
    return turns, rest


def _reduced_single(x: Node) -> Angle:
    turns, rest = _turns(x)
    shift = const(FORMATS[dt.float64].shift, dt.float64)
    shifted = rows.fma(turns, const(4.0, dt.float64), shift)
    t = rows.fma(shifted - shift, const(-0.25, dt.float64), turns)
    angle = (t + rest) * math.tau
    r = narrow(angle)
    return r, narrow(angle - widen(r)), rows.cast(bits_of(shifted), dtype=dt.int32)
