"""Mathematics as IR: rows that one machine instruction does not cover, written in rows that it does.

The expansions are applied before code generation, so that LLVM vectorises them like any other arithmetic: there are no
branches and no calls in them, special values are handled by selects. But an expansion may end in `unlikely`, whose rare
part is computed only where it is needed (codegen/branches.py). Operands are nodes of dtype float32 or float64, or
integers where a row takes them; the recorder computes halves in float32.
"""

from __future__ import annotations

from collections.abc import Callable

from trueno.ir.expand import power
from trueno.ir.expand.conversion import bfloat16_to_float, float_to_bfloat16, float_to_half, half_to_float
from trueno.ir.expand.error_function import erf, erfc, normal_cdf
from trueno.ir.expand.exponential import cosh, exp, exp2, expm1, scaleb, sinh, tanh
from trueno.ir.expand.integer import (
    floor_divide,
    fmod,
    fmod_opencl,
    int_div,
    integer_power,
    left_shift,
    next_half,
    nextafter,
    reciprocal,
    remainder,
    right_shift,
    sign,
    signbit,
)
from trueno.ir.expand.inverse_hyperbolic import acosh, asinh, atanh
from trueno.ir.expand.inverse_trigonometry import acos, asin, atan, atan2
from trueno.ir.expand.logarithm import log, log1p, log2, log10, normal_log
from trueno.ir.expand.notation import rows
from trueno.ir.expand.power import cbrt, hypot, rsqrt
from trueno.ir.expand.trigonometry import cos, near_cos, near_sin, sin, tan
from trueno.ir.node import Node

Expansion = Callable[..., Node]


def _libm(name: str) -> Expansion:
    """Return an expansion that calls the C library's function for each element."""

    def call(*operands: Node) -> Node:
        return getattr(rows, f"libm_{name}")(*operands)

    return call


def pow(a: Node, b: Node) -> Node:
    """a to the power b."""
    return power.pow(a, b) if a.dtype.kind == "f" else integer_power(a, b)


def pow_opencl(a: Node, b: Node) -> Node:
    """As `pow`, with OpenCL's own pow for floats."""
    return _libm("pow")(a, b) if a.dtype.kind == "f" else integer_power(a, b)


__all__ = [
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "bfloat16_to_float",
    "cbrt",
    "cos",
    "cosh",
    "erf",
    "erfc",
    "exp",
    "exp2",
    "expm1",
    "float_to_bfloat16",
    "float_to_half",
    "floor_divide",
    "fmod",
    "fmod_opencl",
    "half_to_float",
    "hypot",
    "int_div",
    "integer_power",
    "left_shift",
    "log",
    "log1p",
    "log2",
    "log10",
    "near_cos",
    "near_sin",
    "next_half",
    "nextafter",
    "normal_cdf",
    "normal_log",
    "pow",
    "pow_opencl",
    "reciprocal",
    "remainder",
    "right_shift",
    "rsqrt",
    "scaleb",
    "sign",
    "signbit",
    "sin",
    "sinh",
    "tan",
    "tanh",
]
