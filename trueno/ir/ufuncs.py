"""NumPy's elementwise functions that are made of rows: one kernel each, and one for the gradient."""

from __future__ import annotations

import builtins
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
    conj,
    copysign,
    elementwise,
    eq,
    floor_divide,
    ge,
    gt,
    imag,
    isfinite,
    isinf,
    isnan,
    le,
    like,
    logical_and,
    logical_or,
    lt,
    maximum,
    minimum,
    mul,
    neg,
    nextafter,
    real,
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
from trueno.ir.op import Op, is_complex
from trueno.ir.reductions import sum
from trueno.ir.transcendental import exp2, log1p, pow, sin
from trueno.ir.views import matmul

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


def _float(name: str, *operands: Any, rule: Any = promotion.real_float) -> tuple[list[Node], np.dtype]:
    """Return operands in the float dtype in which they meet, halves in float32, and the dtype of the result."""
    result = rule(name, tuple(given_type(one) for one in operands))[0]
    return [cast(build.as_node(one, result), dtype=dt.accumulator(result)) for one in operands], result


def _real(name: str, x: Any) -> Any:
    """Return an operand that must not be complex."""
    if is_complex(x):
        raise TypeError(f"{name} is not defined for {given_type(x)}; it takes real numbers")
    return x


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
    (x,), result = _float("fabs", _real("fabs", x))
    return cast(abs(x), dtype=result)


def rint(x: Any) -> Node:
    """Nearest integer as a float, halves to even."""
    (x,), result = _float("rint", x, rule=promotion.floating)
    if dt.is_complex(result):
        return build.pair(round(real(x)), round(imag(x)))
    return cast(round(x), dtype=result)


def deg2rad(x: Any) -> Node:
    """An angle in degrees, in radians."""
    (x,), result = _float("deg2rad", _real("deg2rad", x))
    return cast(x * (math.pi / 180), dtype=result)


def rad2deg(x: Any) -> Node:
    """An angle in radians, in degrees."""
    (x,), result = _float("rad2deg", _real("rad2deg", x))
    return cast(x * (180 / math.pi), dtype=result)


def float_power(a: Any, b: Any) -> Node:
    """a to the power b, in float64."""
    dtype = promotion.common((given_type(a), given_type(b), float))
    wide = dt.complex128 if dt.is_complex(dtype) else dt.float64
    return pow(build.as_node(a, wide), build.as_node(b, wide))


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
    x = build.as_node(x, promotion.real_float("spacing", (given_type(x),))[0])
    return nextafter(x, where(lt(x, like(x, 0)), like(x, -math.inf), like(x, math.inf))) - x


def _power_of_two(exponent: Node, dtype: np.dtype) -> Node:
    """Return 2**exponent for exponents of normal numbers, made of its bits."""
    bias, mantissa = FORMATS[dtype].bias, FORMATS[dtype].mantissa
    return bitcast(shl(exponent + bias, like(exponent, mantissa)), dtype=dtype)


def ldexp(x: Any, exponent: Any) -> Node:
    """x * 2**exponent, for integer exponents, with one rounding."""
    kinds = given_type(x), given_type(exponent)
    if not promotion.can_cast(promotion.common(kinds[1:]), dt.int64):
        raise TypeError(f"ldexp is not defined for exponents of {kinds[1]}; it takes integers that int64 holds")
    typed = isinstance(kinds[1], np.dtype) and kinds[1] != dt.bool_
    if kinds[0] is bool or (kinds[0] is int and typed):
        # NumPy's choice: a bool and a weak integer are the least numbers, whatever they are multiplied by.
        x = build.as_node(x, dt.float16)
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
    return floor_divide(a, int_gcd(a, b)) * b


def bitwise_count(x: Any) -> Node:
    """Number of 1 bits of the absolute values of integers, as uint8."""
    x = _node(x)
    x = cast(x, dtype=dt.uint8) if x.dtype == dt.bool_ else x
    _integers("bitwise_count", x)
    counted = population(abs(x))
    # A cast of a Python number would compute all of it in uint8.
    return build.make(build.cast, (counted,), dt.uint8, counted.shape, dt.uint8)


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


# --- products of vectors and matrices ---------------------------------------------------------------------------------


def vecdot(a: Any, b: Any) -> Node:
    """Sum over the last axis of the products of two arrays of vectors; the first is conjugated where it is complex."""
    a, b = _node(a), _node(b)
    if not a.ndim or not b.ndim or a.shape[-1] != b.shape[-1]:
        raise ValueError(f"vecdot: the last axes of shapes {a.shape} and {b.shape} must be equal")
    a, b = _together("vecdot", a, b)
    return sum(mul(_conjugated(a), b), axis=-1, dtype=a.dtype)


def _conjugated(x: Node) -> Node:
    return conj(x) if dt.is_complex(x.dtype) else x


def matvec(a: Any, b: Any) -> Node:
    """Products of matrices (the last two axes of a) and vectors (the last axis of b)."""
    if a.ndim < 2 or not b.ndim:
        raise ValueError(f"matvec: operands of shapes {a.shape} and {b.shape}; it takes matrices and vectors")
    made = matmul(a, build.reshape(b, shape=(*b.shape, 1)))
    return build.reshape(made, shape=made.shape[:-1])


def vecmat(a: Any, b: Any) -> Node:
    """Products of vectors (the last axis of a, conjugated where complex) and matrices (the last two axes of b)."""
    if not a.ndim or b.ndim < 2:
        raise ValueError(f"vecmat: operands of shapes {a.shape} and {b.shape}; it takes vectors and matrices")
    made = matmul(build.reshape(_conjugated(a), shape=(*a.shape[:-1], 1, a.shape[-1])), b)
    return build.reshape(made, shape=(*made.shape[:-2], made.shape[-1]))


# --- elementwise functions that are no ufuncs -------------------------------------------------------------------------


def around(x: Any, *, decimals: int = 0) -> Node:
    """The values rounded to a number of decimals, halves to even; a negative number rounds to tens, hundreds, ..."""
    x = _node(x)
    if is_complex(x):
        return build.pair(*(around(part, decimals=decimals) for part in x.src))
    if x.dtype == dt.bool_ or not decimals or (not dt.is_floating(x.dtype) and decimals > 0):
        return round(x)
    wide = cast(x, dtype=dt.accumulator(x.dtype) if dt.is_floating(x.dtype) else dt.float64)
    scale = build.const(10.0 ** builtins.abs(decimals), wide.dtype)
    scaled = round(wide * scale) / scale if decimals > 0 else round(wide / scale) * scale
    return cast(scaled, dtype=x.dtype)


def isclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, *, equal_nan: bool = False) -> Node:
    """Whether |a - b| <= atol + rtol * |b|; equal infinities are close, NaNs if asked for."""
    given = promotion.common((given_type(b), float))
    b = cast(build.as_node(b, given), dtype=dt.accumulator(given))
    a = _node(a) if not isinstance(a, Node) else a
    near = le(abs(a - b), atol + rtol * abs(b))
    found = logical_or(logical_and(near, isfinite(b)), eq(a, b))
    return logical_or(found, logical_and(isnan(a), isnan(b))) if equal_nan else found


def sinc(x: Any) -> Node:
    """sin(pi x) / (pi x), 1 at 0."""
    (x,), result = _float("sinc", x, rule=promotion.quotient)
    zero = eq(x, like(x, 0))
    angle = where(zero, like(x, 1), x) * math.pi
    return cast(where(zero, like(x, 1), sin(angle) / angle), dtype=result)


def nan_to_num(x: Any, nan: Any = 0.0, posinf: Any = math.inf, neginf: Any = -math.inf) -> Node:
    """The values with NaN and infinities replaced; infinite replacements stand for the dtype's largest numbers."""
    x = _node(x)
    if dt.is_complex(x.dtype):
        return build.pair(*(nan_to_num(part(x), nan, posinf, neginf) for part in (real, imag)))
    if not dt.is_floating(x.dtype):
        return x
    high = build.const(_LARGEST[x.dtype], x.dtype)
    top = where(isinf(posinf), high, posinf) if isinstance(posinf, Node) else high
    low = where(isinf(neginf), neg(high), neginf) if isinstance(neginf, Node) else neg(high)
    infinite = where(gt(x, like(x, 0)), cast(top, dtype=x.dtype), cast(low, dtype=x.dtype))
    plain = where(isinf(x), infinite, x)
    return where(isnan(x), build.as_node(nan, x.dtype), plain)


_LARGEST = {
    dt.float16: 65504.0, dt.bfloat16: 3.3895313892515355e38, dt.float32: 3.4028234663852886e38,
    dt.float64: 1.7976931348623157e308,
}  # fmt: skip

COMPOSITES = (
    fmax, fmin, heaviside, fabs, rint, deg2rad, rad2deg, float_power, logaddexp2, spacing, ldexp, gcd, lcm,
    bitwise_count, divmod, modf, frexp, vecdot, matvec, vecmat, around, isclose, sinc, nan_to_num,
)  # fmt: skip
