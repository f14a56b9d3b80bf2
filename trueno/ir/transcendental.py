"""The elementwise rows of mathematical functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from trueno import dtypes as dt
from trueno.ir import complex_functions, expand, promotion
from trueno.ir.build import cast
from trueno.ir.elementwise import (
    abs,
    add,
    elementwise,
    eq,
    gt,
    le,
    like,
    mul,
    neg,
    quiet,
    reciprocal,
    rsqrt,
    sign,
    sqrt,
    square,
    sub,
    where,
)
from trueno.ir.node import Node
from trueno.ir.op import Op

_UNARY: dict[str, Any] = {"arity": 1, "result": promotion.floating}
TWO_OVER_SQRT_PI = 2 / math.sqrt(math.pi)


def _scalar_ref(function: Callable[[float], float]) -> Callable[[np.ndarray], np.ndarray]:
    vectorised = np.vectorize(function, otypes=[np.float64])
    return lambda x: vectorised(x.astype(np.float64)).astype(x.dtype)


exp: Op = elementwise(
    "exp", ref=quiet(np.exp), domain=(-5, 5), llvm=expand.exp, opencl="exp({0})",
    grad=lambda g, y, x: [g * y], pair=complex_functions.exp, doc="e to the power x.", **_UNARY,
)  # fmt: skip
exp2: Op = elementwise(
    "exp2", ref=quiet(np.exp2), domain=(-5, 5), llvm=expand.exp2, opencl="exp2({0})",
    grad=lambda g, y, x: [g * y * math.log(2)], pair=complex_functions.exp2, doc="2 to the power x.", **_UNARY,
)  # fmt: skip
expm1: Op = elementwise(
    "expm1", ref=quiet(np.expm1), domain=(-3, 3), llvm=expand.expm1, opencl="expm1({0})",
    grad=lambda g, y, x: [g * (y + 1.0)], pair=complex_functions.expm1, doc="exp(x) - 1, accurate near 0.", **_UNARY,
)  # fmt: skip
log: Op = elementwise(
    "log", ref=quiet(np.log), domain=(0.1, 9), llvm=expand.log, opencl="log({0})",
    grad=lambda g, y, x: [g / x], pair=complex_functions.log, doc="Natural logarithm.", **_UNARY,
)  # fmt: skip
log2: Op = elementwise(
    "log2", ref=quiet(np.log2), domain=(0.1, 9), llvm=expand.log2, opencl="log2({0})",
    grad=lambda g, y, x: [g / (x * math.log(2))], pair=complex_functions.log2, doc="Logarithm to base 2.", **_UNARY,
)  # fmt: skip
log10: Op = elementwise(
    "log10", ref=quiet(np.log10), domain=(0.1, 9), llvm=expand.log10, opencl="log10({0})",
    grad=lambda g, y, x: [g / (x * math.log(10))], pair=complex_functions.log10, doc="Logarithm to base 10.", **_UNARY,
)  # fmt: skip
log1p: Op = elementwise(
    "log1p", ref=quiet(np.log1p), domain=(-0.8, 5), llvm=expand.log1p, opencl="log1p({0})",
    grad=lambda g, y, x: [g / (x + 1.0)], pair=complex_functions.log1p, doc="log(1 + x), accurate near 0.", **_UNARY,
)  # fmt: skip
cbrt: Op = elementwise(
    "cbrt", ref=quiet(np.cbrt), domain=(0.2, 9), llvm=expand.cbrt, opencl="cbrt({0})",
    grad=lambda g, y, x: [g / (y * y * 3.0)], doc="Cube root.", **_UNARY,
)  # fmt: skip
sin: Op = elementwise(
    "sin", ref=quiet(np.sin), domain=(-7, 7), llvm=expand.sin, opencl="sin({0})",
    grad=lambda g, y, x: [g * cos(x)], pair=complex_functions.sin, doc="Sine of an angle in radians.", **_UNARY,
)  # fmt: skip
cos: Op = elementwise(
    "cos", ref=quiet(np.cos), domain=(-7, 7), llvm=expand.cos, opencl="cos({0})",
    grad=lambda g, y, x: [neg(g * sin(x))], pair=complex_functions.cos, doc="Cosine of an angle in radians.", **_UNARY,
)  # fmt: skip
tan: Op = elementwise(
    "tan", ref=quiet(np.tan), domain=(-1.3, 1.3), llvm=expand.tan, opencl="tan({0})",
    grad=lambda g, y, x: [g * (y * y + 1.0)],
    pair=complex_functions.tan, doc="Tangent of an angle in radians.", **_UNARY,
)  # fmt: skip
asin: Op = elementwise(
    "asin", ref=quiet(np.arcsin), domain=(-0.9, 0.9), llvm=expand.asin, opencl="asin({0})",
    grad=lambda g, y, x: [g / (sqrt(sub(1.0, x)) * sqrt(x + 1.0))],
    pair=complex_functions.asin, doc="Inverse sine, in radians.", **_UNARY,
)  # fmt: skip
acos: Op = elementwise(
    "acos", ref=quiet(np.arccos), domain=(-0.9, 0.9), llvm=expand.acos, opencl="acos({0})",
    grad=lambda g, y, x: [neg(g / (sqrt(sub(1.0, x)) * sqrt(x + 1.0)))],
    pair=complex_functions.acos, doc="Inverse cosine, in radians.", **_UNARY,
)  # fmt: skip
atan: Op = elementwise(
    "atan", ref=quiet(np.arctan), domain=(-4, 4), llvm=expand.atan, opencl="atan({0})",
    grad=lambda g, y, x: [g / (x * x + 1.0)],
    pair=complex_functions.atan, doc="Inverse tangent, in radians.", **_UNARY,
)  # fmt: skip
sinh: Op = elementwise(
    "sinh", ref=quiet(np.sinh), domain=(-3, 3), llvm=expand.sinh, opencl="sinh({0})",
    grad=lambda g, y, x: [g * cosh(x)], pair=complex_functions.sinh, doc="Hyperbolic sine.", **_UNARY,
)  # fmt: skip
cosh: Op = elementwise(
    "cosh", ref=quiet(np.cosh), domain=(-3, 3), llvm=expand.cosh, opencl="cosh({0})",
    grad=lambda g, y, x: [g * sinh(x)], pair=complex_functions.cosh, doc="Hyperbolic cosine.", **_UNARY,
)  # fmt: skip
tanh: Op = elementwise(
    "tanh", ref=quiet(np.tanh), domain=(-3, 3), llvm=expand.tanh, opencl="tanh({0})",
    grad=lambda g, y, x: [g * sub(1.0, y * y)], pair=complex_functions.tanh, doc="Hyperbolic tangent.", **_UNARY,
)  # fmt: skip
asinh: Op = elementwise(
    "asinh", ref=quiet(np.arcsinh), domain=(-3, 3), llvm=expand.asinh, opencl="asinh({0})",
    grad=lambda g, y, x: [g * rsqrt(x * x + 1.0)],
    pair=complex_functions.asinh, doc="Inverse hyperbolic sine.", **_UNARY,
)  # fmt: skip
acosh: Op = elementwise(
    "acosh", ref=quiet(np.arccosh), domain=(1.2, 5), llvm=expand.acosh, opencl="acosh({0})",
    grad=lambda g, y, x: [g / (sqrt(x - 1.0) * sqrt(x + 1.0))],
    pair=complex_functions.acosh, doc="Inverse hyperbolic cosine.", **_UNARY,
)  # fmt: skip
atanh: Op = elementwise(
    "atanh", ref=quiet(np.arctanh), domain=(-0.9, 0.9), llvm=expand.atanh, opencl="atanh({0})",
    grad=lambda g, y, x: [g / ((sub(1.0, x)) * (x + 1.0))],
    pair=complex_functions.atanh, doc="Inverse hyperbolic tangent.", **_UNARY,
)  # fmt: skip
erf: Op = elementwise(
    "erf", ref=_scalar_ref(math.erf), domain=(-2, 2), llvm=expand.erf, opencl="erf({0})",
    grad=lambda g, y, x: [g * TWO_OVER_SQRT_PI * exp(neg(x * x))], doc="Error function.", **_UNARY,
)  # fmt: skip
erfc: Op = elementwise(
    "erfc", ref=_scalar_ref(math.erfc), domain=(-2, 2), llvm=expand.erfc, opencl="erfc({0})",
    grad=lambda g, y, x: [g * -TWO_OVER_SQRT_PI * exp(neg(x * x))], doc="1 - erf(x), accurate for large x.", **_UNARY,
)  # fmt: skip
normal_cdf: Op = elementwise(
    "normal_cdf", ref=_scalar_ref(lambda x: math.erfc(-x * math.sqrt(0.5)) / 2), domain=(-3, 3), public=False,
    llvm=expand.normal_cdf, opencl=expand.normal_cdf,
    grad=lambda g, y, x: [g * (1 / math.sqrt(2 * math.pi)) * exp(x * x * -0.5)],
    doc="The share of the normal distribution below x.", **_UNARY,
)  # fmt: skip

_BINARY: dict[str, Any] = {"arity": 2, "result": promotion.floating}


def _ref_pow(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if dt.is_inexact(a.dtype):
        return quiet(np.power)(a, b)
    # Integer powers wrap; a negative exponent gives 0 here and is refused before the launch, as NumPy refuses it.
    return np.where(b < 0, 0, np.power(a, np.where(b < 0, 0, b))).astype(a.dtype)


pow: Op = elementwise(
    "pow", 2, result=promotion.widened, ref=_ref_pow, domain=((0.2, 3), (-2, 3)),
    llvm=expand.pow, opencl=expand.pow_opencl,
    grad=lambda g, y, a, b: [
        g * b * pow(a, b - 1.0),
        g * where(le(a, like(a, 0)), like(a, 0), y * log(where(gt(a, like(a, 0)), a, like(a, 1)))),
    ],
    pair=complex_functions.pow, doc="a to the power b.",
)  # fmt: skip


def _not_zero(x: Node) -> Node:
    """Return x with 1 for 0: at the origin, the gradients of angle and distance are 0, as that of abs is."""
    return where(eq(x, like(x, 0)), like(x, 1), x)


atan2: Op = elementwise(
    "atan2", ref=quiet(np.arctan2), domain=((0.5, 3), (0.5, 3)), llvm=expand.atan2, opencl="atan2({0}, {1})",
    grad=lambda g, y, a, b: [g * b / _not_zero(a * a + b * b), neg(g * a / _not_zero(a * a + b * b))],
    doc="Angle of the point (second, first), in radians.", **_BINARY,
)  # fmt: skip
hypot: Op = elementwise(
    "hypot", ref=quiet(np.hypot), domain=((0.5, 3), (0.5, 3)), llvm=expand.hypot, opencl="hypot({0}, {1})",
    grad=lambda g, y, a, b: [g * a / _not_zero(y), g * b / _not_zero(y)],
    doc="sqrt(a*a + b*b) without overflow.", **_BINARY,
)  # fmt: skip


def _expand_logaddexp(a: Node, b: Node) -> Node:
    high, low = where(gt(a, b), a, b), where(gt(a, b), b, a)
    # Equal operands (infinities included) differ by 0, not by NaN.
    gap = where(eq(a, b), like(a, 0), low - high)
    return high + log1p(exp(gap))


logaddexp: Op = elementwise(
    "logaddexp", ref=quiet(np.logaddexp), domain=(-3, 3), llvm=_expand_logaddexp, opencl=_expand_logaddexp,
    grad=lambda g, y, a, b: [g * exp(a - y), g * exp(b - y)], doc="log(exp(a) + exp(b)).", **_BINARY,
)  # fmt: skip

__all__ = ["abs", "add", "cast", "mul", "reciprocal", "sign", "square"]
