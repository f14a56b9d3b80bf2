"""NumPy's universal functions that are made of rows: one kernel each, and one for the gradient."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from trueno import dtypes as dt
from trueno.ir import build, promotion
from trueno.ir.build import cast, given_type
from trueno.ir.elementwise import (
    abs,
    bitcast,
    bitwise_and,
    bitwise_or,
    copysign,
    elementwise,
    eq,
    floor_divide,
    ge,
    gt,
    int_div,
    isinf,
    isnan,
    like,
    logical_or,
    lt,
    maximum,
    minimum,
    mul,
    nextafter,
    remainder,
    round,
    shl,
    shr,
    sub,
    trunc,
    where,
)
from trueno.ir.expand.notation import FORMATS
from trueno.ir.node import Node
from trueno.ir.op import Op
from trueno.ir.transcendental import exp2, log1p, pow

int_gcd: Op = elementwise(
    "int_gcd", 2, result=promotion.integral, ref=np.gcd, domain=((1, 60), (1, 60)), llvm={"iu": "int_gcd"},
    opencl={"iu": "int_gcd_{T}({0}, {1})"}, public=False,
)  # fmt: skip
population: Op = elementwise(
    "population", 1, result=promotion.integral, ref=lambda x: np.bitwise_count(x).astype(x.dtype), domain=(0, 99),
    llvm={"iu": "@ctpop"}, opencl={"iu": "(({T})popcount({0}))"}, public=False,
)  # fmt: skip


def _node(x: Any) -> Node:
    return x if isinstance(x, Node) else build.as_node(x, promotion.common((given_type(x),)))


def _float(name: str, *operands: Any) -> tuple[list[Node], np.dtype]:
    """Return operands in the float dtype in which they meet, halves in float32, and the dtype of the result."""
    result = promotion.floating(name, tuple(given_type(one) for one in operands))[0]
    return [cast(build.as_node(one, result), dtype=dt.accumulator(result)) for one in operands], result


def _together(name: str, a: Any, b: Any) -> tuple[Node, Node]:
    """Return two operands in their common dtype and shape."""
    dtype = promotion.common((given_type(a), given_type(b)))
    first, second = build.as_node(a, dtype), build.as_node(b, dtype)
    shape = build.broadcast_shape(name, [first.shape, second.shape])
    return build.expand(first, shape=shape), build.expand(second, shape=shape)


def _integers(name: str, *operands: Any) -> None:
    """Refuse floats and bool, as NumPy does."""
    given = tuple(given_type(one) for one in operands)
    if promotion.common(given).kind not in "iu":
        names = ", ".join(one.__name__ if isinstance(one, type) else str(one) for one in given)
        raise TypeError(f"{name} is not defined for {names}; it takes integers")


# --- choices ----------------------------------------------------------------------------------------------------------


def fmax(a: Any, b: Any) -> Node:
    """The larger of two; the other one where one is NaN."""
    a, b = _together("fmax", a, b)
    return where(logical_or(ge(a, b), isnan(b)), a, b)


def fmin(a: Any, b: Any) -> Node:
    """The smaller of two; the other one where one is NaN."""
    a, b = _together("fmin", a, b)
    return where(logical_or(lt(a, b), logical_or(eq(a, b), isnan(b))), a, b)


def heaviside(x: Any, y: Any) -> Node:
    """0 where x is negative, 1 where it is positive, y where it is 0, NaN where it is NaN."""
    (x, y), result = _float("heaviside", x, y)
    step = where(lt(x, like(x, 0)), like(x, 0), where(gt(x, like(x, 0)), like(x, 1), x * 0))
    return cast(where(eq(x, like(x, 0)), y, step), dtype=result)


# --- floats -----------------------------------------------------------------------------------------------------------


def fabs(x: Any) -> Node:
    """Absolute value as a float."""
    (x,), result = _float("fabs", x)
    return cast(abs(x), dtype=result)


def rint(x: Any) -> Node:
    """Nearest integer as a float, halves to even."""
    (x,), result = _float("rint", x)
    return cast(round(x), dtype=result)


def deg2rad(x: Any) -> Node:
    """An angle in degrees, in radians."""
    (x,), result = _float("deg2rad", x)
    return cast(x * (math.pi / 180), dtype=result)


def rad2deg(x: Any) -> Node:
    """An angle in radians, in degrees."""
    (x,), result = _float("rad2deg", x)
    return cast(x * (180 / math.pi), dtype=result)


def float_power(a: Any, b: Any) -> Node:
    """a to the power b, in float64."""
    return pow(build.as_node(a, dt.float64), build.as_node(b, dt.float64))


def logaddexp2(a: Any, b: Any) -> Node:
    """log2(2**a + 2**b)."""
    (a, b), result = _float("logaddexp2", a, b)
    high, low = where(gt(a, b), a, b), where(gt(a, b), b, a)
    # Equal operands (infinities included) differ by 0, not by NaN.
    gap = where(eq(a, b), low * 0, low - high)
    gap = where(eq(a, b), where(isinf(a), like(a, 0), gap), gap)
    return cast(high + log1p(exp2(gap)) * math.log2(math.e), dtype=result)


def spacing(x: Any) -> Node:
    """Distance to the next float away from 0, with the sign of x."""
    dtype = promotion.wide_float("spacing", (given_type(x),))[0]
    x = build.as_node(x, dtype)
    return nextafter(x, where(lt(x, like(x, 0)), like(x, -math.inf), like(x, math.inf))) - x


def _power_of_two(exponent: Node, dtype: np.dtype) -> Node:
    """Return 2**exponent for exponents of normal numbers, made of its bits."""
    bias, mantissa = FORMATS[dtype].bias, FORMATS[dtype].mantissa
    return bitcast(shl(exponent + bias, like(exponent, mantissa)), dtype=dtype)


def ldexp(x: Any, exponent: Any) -> Node:
    """x * 2**exponent, for integer exponents, with one rounding."""
    if promotion.common((given_type(exponent),)).kind not in "biu":
        raise TypeError(f"ldexp is not defined for exponents of {given_type(exponent)}; it takes integers")
    (x,), result = _float("ldexp", x)
    bias, whole = FORMATS[x.dtype].bias, dt.int_of_same_width(x.dtype)
    limit = 3 * bias
    n = build.as_node(exponent, dt.int64)
    n = cast(maximum(minimum(n, like(n, limit)), like(n, -limit)), dtype=whole)
    # A first step down that is followed by another must not round: it ends where x is a normal number still, or where
    # the whole result is zero.
    down = 1 - bias + FORMATS[x.dtype].mantissa + 1
    for last in (False, False, True):
        step = minimum(n, like(n, bias))
        step = maximum(step, like(n, 1 - bias)) if last else where(lt(step, like(n, 1 - bias)), like(n, down), step)
        x = mul(x, _power_of_two(step, x.dtype))
        n = sub(n, step)
    return cast(x, dtype=result)


# --- integers ---------------------------------------------------------------------------------------------------------


def gcd(a: Any, b: Any) -> Node:
    """Greatest common divisor of integers."""
    _integers("gcd", a, b)
    a, b = _together("gcd", a, b)
    return int_gcd(abs(a), abs(b))


def lcm(a: Any, b: Any) -> Node:
    """Least common multiple of integers."""
    _integers("lcm", a, b)
    a, b = (abs(one) for one in _together("lcm", a, b))
    common = int_gcd(a, b)
    none = eq(common, like(common, 0))
    return where(none, common, int_div(a, where(none, like(common, 1), common)) * b)


def bitwise_count(x: Any) -> Node:
    """Number of 1 bits of the absolute values of integers, as uint8."""
    x = _node(x)
    x = cast(x, dtype=dt.uint8) if x.dtype == dt.bool_ else x
    _integers("bitwise_count", x)
    return cast(population(abs(x)), dtype=dt.uint8)


# --- two results ------------------------------------------------------------------------------------------------------


def divmod(a: Any, b: Any) -> tuple[Node, Node]:
    """The floor of the quotient, and the remainder with the sign of the divisor."""
    return floor_divide(a, b), remainder(a, b)


def modf(x: Any) -> tuple[Node, Node]:
    """The fractional part and the integer part, both with the sign of x."""
    (x,), result = _float("modf", x)
    whole = trunc(x)
    part = copysign(where(isinf(x), like(x, 0), x - whole), x)
    return cast(part, dtype=result), cast(whole, dtype=result)


def frexp(x: Any) -> tuple[Node, Node]:
    """The mantissa m in [0.5, 1) and the int32 exponent e of x = m * 2**e; (x, 0) for 0, infinities and NaN."""
    (x,), result = _float("frexp", x)
    layout, whole = FORMATS[x.dtype], dt.int_of_same_width(x.dtype)
    mask = (1 << (x.dtype.itemsize * 8 - 1 - layout.mantissa)) - 1
    tiny = lt(abs(x), like(x, 2.0 ** (1 - layout.bias)))
    shift = layout.mantissa + 2
    bits = bitcast(where(tiny, x * 2.0**shift, x), dtype=whole)
    field = bitwise_and(shr(bits, like(bits, layout.mantissa)), like(bits, mask))
    rest = bitwise_and(bits, like(bits, ~(mask << layout.mantissa)))
    mantissa = bitcast(bitwise_or(rest, like(bits, (layout.bias - 1) << layout.mantissa)), dtype=x.dtype)
    exponent = field - (layout.bias - 1) - where(tiny, like(bits, shift), like(bits, 0))
    plain = logical_or(eq(x, like(x, 0)), eq(field, like(bits, mask)))
    return (
        cast(where(plain, x, mantissa), dtype=result),
        cast(where(plain, like(bits, 0), exponent), dtype=dt.int32),
    )


COMPOSITES = (
    fmax, fmin, heaviside, fabs, rint, deg2rad, rad2deg, float_power, logaddexp2, spacing, ldexp, gcd, lcm,
    bitwise_count, divmod, modf, frexp,
)  # fmt: skip
