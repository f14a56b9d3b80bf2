"""The elementwise rows that map to a few machine instructions: arithmetic, rounding, comparison, logic, bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from trueno import dtypes as dt
from trueno.ir import complex_functions, expand, pairs, promotion
from trueno.ir.build import as_node, cast, const, given_type, record_elementwise, record_select
from trueno.ir.build import expand as broadcast
from trueno.ir.node import Node, make
from trueno.ir.op import Op

Interval = tuple[float, float]


def elementwise(name: str, arity: int, *, domain: Interval | tuple[Interval, ...], **obligations: Any) -> Op:
    """Make one elementwise row; `domain` is one interval for all operands or one for each."""
    intervals = domain if isinstance(domain[0], tuple) else (domain,) * arity
    obligations.setdefault("record", record_elementwise)
    return Op(name, "elementwise", arity, domain=intervals, **obligations)


def like(x: Node, value: float) -> Node:
    """Return a literal of x's dtype."""
    return const(value, x.dtype)


def _no_slope(g: Node, y: Node, x: Node) -> list[Node]:
    """Return the gradient of a step function: 0, which is not the same as none."""
    return [broadcast(like(g, 0), shape=x.shape)]


def quiet(function: Callable) -> Callable:
    """Return a NumPy function without its floating-point warnings: the IR has IEEE results, not warnings."""

    def call(*operands: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return function(*operands)

    return call


# --- bits of a value: what the expansions in ir/expand.py are made of -------------------------------------------------

bitcast: Op = Op(
    "bitcast", "elementwise", 1, ref=lambda x, *, dtype: np.ascontiguousarray(x).view(dtype).reshape(np.shape(x)),
    result=promotion.promote, domain=((-100, 100),), llvm={}, opencl={}, public=False,
    record=lambda op, x, dtype: Node(op, (x,), np.dtype(dtype), x.shape, np.dtype(dtype)),
)  # fmt: skip

whole: Op = elementwise(
    "whole", 1, ref=lambda x: x.astype(dt.int_of_same_width(x.dtype)), result=promotion.whole, domain=(-100, 100),
    llvm={"f": "fptosi"}, opencl=lambda x: cast(x, dtype=dt.int_of_same_width(x.dtype)), public=False,
    doc="The integer towards zero, of the float's width. Anything beyond its range, where `cast` saturates.",
)  # fmt: skip


def _record_lookup(op: Op, index: Node, table: Sequence[float]) -> Node:
    return make(op, (index,), np.dtype(f"f{index.dtype.itemsize}"), index.shape, tuple(map(float, table)))


lookup: Op = Op(
    "lookup", "elementwise", 1, result=promotion.integral, domain=((0, 50),), llvm={}, opencl={}, public=False,
    ref=lambda x, *, table: np.asarray(table, f"f{x.itemsize}")[x & (len(table) - 1)], record=_record_lookup,
    doc="The elements of a table, whose length is a power of two, at the places that the low bits of integers say.",
)  # fmt: skip

scaleb: Op = elementwise(
    "scaleb", 2, result=promotion.floating, domain=((0.5, 4), (-90, 90)), llvm=expand.scaleb, opencl=expand.scaleb,
    ref=lambda x, n: np.ldexp(x, np.nan_to_num(np.floor(n)).astype(np.int32)), public=False,
)  # fmt: skip

# --- arithmetic -------------------------------------------------------------------------------------------------------

add: Op = elementwise(
    "add", 2, result=promotion.promote, ref=np.add, domain=(-4, 4),
    llvm={"f": "fadd", "i": "add", "u": "add", "b": "or"}, opencl={"fiu": "({0} + {1})", "b": "({0} || {1})"},
    grad=lambda g, y, a, b: [g, g], pair=pairs.add, doc="Sum of two arrays.",
)  # fmt: skip
sub: Op = elementwise(
    "sub", 2, result=promotion.numeric, ref=np.subtract, domain=(-4, 4),
    llvm={"f": "fsub", "i": "sub", "u": "sub"}, opencl={"fiu": "({0} - {1})"},
    grad=lambda g, y, a, b: [g, neg(g)], pair=pairs.sub, doc="Difference of two arrays.",
)  # fmt: skip
mul: Op = elementwise(
    "mul", 2, result=promotion.promote, ref=np.multiply, domain=(-4, 4),
    llvm={"f": "fmul", "i": "mul", "u": "mul", "b": "and"}, opencl={"fiu": "({0} * {1})", "b": "({0} && {1})"},
    grad=lambda g, y, a, b: [g * b, g * a], pair=pairs.mul, doc="Product of two arrays.",
)  # fmt: skip
div: Op = elementwise(
    "div", 2, result=promotion.quotient, ref=quiet(np.true_divide), domain=((-4, 4), (0.5, 4)),
    llvm={"f": "fdiv"}, opencl={"f": "({0} / {1})"},
    grad=lambda g, y, a, b: [g / b, neg(g * y / b)],
    pair=pairs.div, doc="True quotient of two arrays; integers give float64.",
)  # fmt: skip
int_div: Op = elementwise(
    "int_div", 2, result=promotion.integral,
    ref=lambda a, b: (a - np.fmod(a, b)) // b, domain=((-50, 50), (2, 9)),
    llvm=expand.int_div, opencl={"iu": "({0} / {1})"}, public=False,
    doc="The quotient of integers, cut off towards zero. Divisors of -1, 0 and 1 give anything; see `floor_divide`.",
)  # fmt: skip
int_pow: Op = elementwise(
    "int_pow", 2, result=promotion.integral,
    ref=lambda a, b: np.where(b < 0, 0, np.power(a, np.where(b < 0, 0, b))).astype(a.dtype),
    domain=((-3, 3), (0, 5)), llvm={"iu": "int_pow"}, opencl={"iu": "int_pow_{T}({0}, {1})"}, public=False,
)  # fmt: skip
floor_divide: Op = elementwise(
    "floor_divide", 2, result=promotion.widened, ref=quiet(np.floor_divide), domain=((-20, 20), (1, 5)),
    llvm=expand.floor_divide, opencl=expand.floor_divide, doc="Largest integer not above the quotient.",
    grad=None,
)  # fmt: skip
remainder: Op = elementwise(
    "remainder", 2, result=promotion.widened, ref=quiet(np.remainder), domain=((-20, 20), (1, 5)),
    llvm=expand.remainder, opencl=expand.remainder,
    grad=lambda g, y, a, b: [g, neg(g * floor(a / b))],
    doc="Remainder with the sign of the divisor, as Python's %.",
)  # fmt: skip
neg: Op = elementwise(
    "neg", 1, result=promotion.numeric, ref=quiet(np.negative), domain=(-4, 4),
    llvm={"f": "fneg", "i": "0 sub", "u": "0 sub"}, opencl={"fiu": "(-{0})"},
    grad=lambda g, y, x: [neg(g)], pair=pairs.neg, doc="Negative of each element.",
)  # fmt: skip
positive: Op = elementwise(
    "positive", 1, result=promotion.numeric, ref=np.positive, domain=(-4, 4),
    llvm=lambda x: x, opencl=lambda x: x, grad=lambda g, y, x: [g], pair=pairs.same, doc="The elements unchanged.",
)  # fmt: skip
abs: Op = elementwise(
    "abs", 1, result=promotion.promote, ref=quiet(np.absolute), domain=(-4, 4),
    llvm={"f": "@fabs", "i": "@abs", "u": "", "b": ""}, opencl={"f": "fabs({0})", "i": "({T})abs({0})", "ub": "{0}"},
    grad=lambda g, y, x: [g * sign(x)], pair=pairs.test(pairs.absolute), doc="Absolute value.",
)  # fmt: skip
sign: Op = elementwise(
    "sign", 1, result=promotion.numeric, ref=quiet(np.sign), domain=(-4, 4),
    llvm=expand.sign, opencl=expand.sign, grad=_no_slope, pair=pairs.sign, doc="-1, 0 or 1 by the sign; NaN for NaN.",
)  # fmt: skip
square: Op = elementwise(
    "square", 1, result=promotion.widened, ref=np.square, domain=(-4, 4),
    llvm=lambda x: mul(x, x), opencl=lambda x: mul(x, x), grad=lambda g, y, x: [g * 2.0 * x],
    pair=pairs.square, doc="x * x.",
)  # fmt: skip


conj: Op = elementwise(
    "conj", 1, result=promotion.widened, ref=np.conjugate, domain=(-4, 4), llvm=lambda x: x, opencl=lambda x: x,
    grad=lambda g, y, x: [g], pair=pairs.conj, doc="Complex conjugate; real numbers are their own.",
)  # fmt: skip
real: Op = elementwise(
    "real", 1, result=promotion.promote, ref=np.real, domain=(-4, 4), llvm=lambda x: x, opencl=lambda x: x,
    grad=lambda g, y, x: [g], pair=pairs.test(lambda a, b: a), doc="The real part: a view.",
)  # fmt: skip
imag: Op = elementwise(
    "imag", 1, result=promotion.promote, ref=np.imag, domain=(-4, 4), llvm=lambda x: like(x, 0),
    opencl=lambda x: like(x, 0), grad=_no_slope, pair=pairs.test(lambda a, b: b),
    doc="The imaginary part: a view of complex numbers, zeros for real ones.",
)  # fmt: skip


def _expand_angle(x: Node) -> Node:
    negative = signbit(x)
    return where(isnan(x), x, where(negative, like(x, np.pi), like(x, 0)))


angle: Op = elementwise(
    "angle", 1, result=promotion.angular, ref=quiet(np.angle), domain=(-4, 4), llvm=_expand_angle,
    opencl=_expand_angle, grad=_no_slope, pair=pairs.test(pairs.phase),
    doc="Angle of each number in the complex plane, in radians.",
)  # fmt: skip


def _ref_reciprocal(x: np.ndarray) -> np.ndarray:
    if dt.is_floating(x.dtype):
        return quiet(np.reciprocal)(x)
    return np.where(x == 0, 0, np.reciprocal(np.where(x == 0, 1, x))).astype(x.dtype)


reciprocal: Op = elementwise(
    "reciprocal", 1, result=promotion.widened, ref=_ref_reciprocal, domain=(0.5, 4),
    llvm=expand.reciprocal, opencl=expand.reciprocal, grad=lambda g, y, x: [neg(g * y * y)],
    pair=pairs.reciprocal, doc="1 / x; integers divide as integers, and 1 / 0 is 0 for them.",
)  # fmt: skip
sqrt: Op = elementwise(
    "sqrt", 1, result=promotion.floating, ref=quiet(np.sqrt), domain=(0.1, 9),
    llvm={"f": "@sqrt"}, opencl="sqrt({0})", grad=lambda g, y, x: [g * 0.5 / y],
    pair=complex_functions.sqrt, doc="Square root.",
)  # fmt: skip
rsqrt: Op = elementwise(
    "rsqrt", 1, result=promotion.floating, ref=quiet(lambda x: (1 / np.sqrt(x)).astype(x.dtype)), domain=(0.1, 9),
    llvm=expand.rsqrt, opencl=expand.rsqrt,
    grad=lambda g, y, x: [g * -0.5 * y / x], pair=pairs.rsqrt, doc="1 / sqrt(x).",
)  # fmt: skip


def _halves(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a float64 as a sum of two numbers of half as many bits (Veltkamp, 1968)."""
    scaled = x * 134217729.0
    upper = scaled - (scaled - x)
    return upper, x - upper


def _ref_fma(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return a * b + c with what the product's rounding loses: what cancels in the sum is exact."""
    if a.dtype.kind != "f":
        return a * b + c
    plain = (a.astype(np.longdouble) * b + c).astype(a.dtype)
    if a.dtype != np.float64:
        return plain
    (x, m), (y, n) = np.frexp(a), np.frexp(b)
    (x1, x2), (y1, y2) = _halves(x), _halves(y)
    product = x * y
    lost = ((x1 * y1 - product) + x1 * y2 + x2 * y1) + x2 * y2
    scaled = np.ldexp(c.astype(np.longdouble), -(m + n))
    total = scaled + product
    part = total - product
    exact = np.ldexp(total + ((product - (total - part)) + (scaled - part) + lost), m + n).astype(a.dtype)
    return np.where(np.isfinite(exact) & (exact != 0), exact, plain)


fma: Op = elementwise(
    "fma", 3, result=promotion.promote, domain=(-4, 4), ref=quiet(_ref_fma),
    llvm={"f": "@fma", "iu": "mul_add", "b": "mul_add"},
    opencl={"f": "fma({0}, {1}, {2})", "iu": "({0} * {1} + {2})", "b": "(({0} && {1}) || {2})"},
    grad=lambda g, y, a, b, c: [g * b, g * a, g], doc="a * b + c with one rounding.",
)  # fmt: skip

# --- rounding ---------------------------------------------------------------------------------------------------------

_ROUNDING: dict[str, Any] = {"result": promotion.promote, "domain": (-4, 4), "grad": _no_slope}
floor: Op = elementwise(
    "floor", 1, ref=np.floor, llvm={"f": "@floor", "iub": ""}, opencl={"f": "floor({0})", "iub": "{0}"},
    doc="Largest integer not above.", **_ROUNDING,
)  # fmt: skip
ceil: Op = elementwise(
    "ceil", 1, ref=np.ceil, llvm={"f": "@ceil", "iub": ""}, opencl={"f": "ceil({0})", "iub": "{0}"},
    doc="Smallest integer not below.", **_ROUNDING,
)  # fmt: skip
trunc: Op = elementwise(
    "trunc", 1, ref=np.trunc, llvm={"f": "@trunc", "iub": ""}, opencl={"f": "trunc({0})", "iub": "{0}"},
    doc="The integer part.", **_ROUNDING,
)  # fmt: skip
round: Op = elementwise(
    "round", 1, ref=lambda x: np.rint(x) if dt.is_inexact(x.dtype) else x, llvm={"f": "@rint", "iu": ""},
    opencl={"f": "rint({0})", "iu": "{0}"}, doc="Nearest integer, halves to even.",
    pair=pairs.rounded, **_ROUNDING | {"result": promotion.rounded},
)  # fmt: skip

# --- tests of one operand ---------------------------------------------------------------------------------------------

_TEST: dict[str, Any] = {"result": promotion.predicate, "domain": (-4, 4)}
isnan: Op = elementwise(
    "isnan", 1, ref=np.isnan, llvm={"f": "isnan", "iub": "false"},
    opencl={"f": "(bool)isnan({0})", "iub": "false"},
    pair=pairs.test(lambda a, b: logical_or(isnan(a), isnan(b))), doc="Whether NaN.", **_TEST,
)  # fmt: skip
isinf: Op = elementwise(
    "isinf", 1, ref=np.isinf, llvm=lambda x: eq(abs(x), np.inf) if x.dtype.kind == "f" else const(False, dt.bool_),
    opencl={"f": "(bool)isinf({0})", "iub": "false"},
    pair=pairs.test(lambda a, b: logical_or(isinf(a), isinf(b))), doc="Whether an infinity.", **_TEST,
)  # fmt: skip
isfinite: Op = elementwise(
    "isfinite", 1, ref=np.isfinite, llvm=lambda x: lt(abs(x), np.inf) if x.dtype.kind == "f" else const(True, dt.bool_),
    opencl={"f": "(bool)isfinite({0})", "iub": "true"},
    pair=pairs.test(lambda a, b: logical_and(isfinite(a), isfinite(b))),
    doc="Whether neither NaN nor an infinity.", **_TEST,
)  # fmt: skip
signbit: Op = elementwise(
    "signbit", 1, ref=lambda x: np.signbit(x) if x.dtype.kind == "f" else x < 0,
    llvm=expand.signbit, opencl={"f": "(bool)signbit({0})", "i": "({0} < 0)", "ub": "false"},
    doc="Whether the sign bit is set (it is for -0.0).", **_TEST,
)  # fmt: skip
logical_not: Op = elementwise(
    "logical_not", 1, result=promotion.truth, ref=np.logical_not, domain=(-1, 1),
    llvm={"b": "not"}, opencl="(!{0})", pair=pairs.truth("logical_not"), doc="Whether zero.",
)  # fmt: skip

# --- comparisons ------------------------------------------------------------------------------------------------------


def _record_comparison(op: Op, a: Any, b: Any) -> Node:
    first, second = given_type(a), given_type(b)
    if dt.uint64 in (first, second) and "i" in (getattr(first, "kind", ""), getattr(second, "kind", "")):
        return _compare_as_integers(op, a, b, first)
    return record_elementwise(op, promotion.comparable(a, second), promotion.comparable(b, first))


def _compare_as_integers(op: Op, a: Any, b: Any, first: Any) -> Node:
    """Compare signed integers with uint64, as NumPy: in the float64 that both meet in, large ones would be equal."""
    negative = lt(a, 0) if first.kind == "i" else lt(b, 0)
    compared = record_elementwise(op, cast(a, dtype=dt.uint64), cast(b, dtype=dt.uint64))
    holds = op is ne or op in ((lt, le) if first.kind == "i" else (gt, ge))
    return logical_or(negative, compared) if holds else logical_and(logical_not(negative), compared)


def _comparison(
    name: str, ref: Callable, ordered: str, integer: str, symbol: str, doc: str, pair: Callable | None = None
) -> Op:
    unsigned = integer if integer in ("eq", "ne") else f"u{integer}"
    signed = integer if integer in ("eq", "ne") else f"s{integer}"
    return elementwise(
        name, 2, result=promotion.comparison, ref=ref, domain=(-2, 2), record=_record_comparison,
        llvm={"f": f"fcmp {ordered}", "i": f"icmp {signed}", "ub": f"icmp {unsigned}"},
        opencl=f"({{0}} {symbol} {{1}})", pair=pair, doc=doc,
    )  # fmt: skip


eq: Op = _comparison("eq", np.equal, "oeq", "eq", "==", "Whether equal.", pairs.equal)
ne: Op = _comparison(
    "ne", np.not_equal, "une", "ne", "!=", "Whether different (NaN differs from itself).", pairs.different
)
lt: Op = _comparison("lt", np.less, "olt", "lt", "<", "Whether less.", pairs.less)
le: Op = _comparison("le", np.less_equal, "ole", "le", "<=", "Whether less or equal.", pairs.less_equal)
gt: Op = _comparison("gt", np.greater, "ogt", "gt", ">", "Whether greater.", pairs.greater)
ge: Op = _comparison("ge", np.greater_equal, "oge", "ge", ">=", "Whether greater or equal.", pairs.greater_equal)

# --- logic and bits ---------------------------------------------------------------------------------------------------

_TRUTH: dict[str, Any] = {"result": promotion.truth, "domain": (-1, 1)}
logical_and: Op = elementwise(
    "logical_and",
    2,
    ref=np.logical_and,
    llvm={"b": "and"},
    opencl="({0} && {1})",
    pair=pairs.truth("logical_and"),
    doc="Whether both are true.",
    **_TRUTH,
)
logical_or: Op = elementwise(
    "logical_or",
    2,
    ref=np.logical_or,
    llvm={"b": "or"},
    opencl="({0} || {1})",
    pair=pairs.truth("logical_or"),
    doc="Whether one is true.",
    **_TRUTH,
)
logical_xor: Op = elementwise(
    "logical_xor", 2, ref=np.logical_xor, llvm={"b": "xor"}, opencl="({0} != {1})",
    pair=pairs.truth("logical_xor"), doc="Whether just one is true.", **_TRUTH,
)  # fmt: skip
_BITS: dict[str, Any] = {"result": promotion.integral, "domain": (-9, 9)}
bitwise_and: Op = elementwise(
    "bitwise_and", 2, ref=np.bitwise_and, llvm={"iub": "and"}, opencl="({0} & {1})", doc="Bits set in both.", **_BITS
)
bitwise_or: Op = elementwise(
    "bitwise_or", 2, ref=np.bitwise_or, llvm={"iub": "or"}, opencl="({0} | {1})", doc="Bits set in one.", **_BITS
)
bitwise_xor: Op = elementwise(
    "bitwise_xor", 2, ref=np.bitwise_xor, llvm={"iub": "xor"}, opencl="({0} ^ {1})", doc="Bits that differ.", **_BITS
)
bitwise_not: Op = elementwise(
    "bitwise_not", 1, ref=np.bitwise_not, llvm={"iub": "not"}, opencl={"iu": "(~{0})", "b": "(!{0})"},
    doc="All bits flipped.", **_BITS,
)  # fmt: skip
_SHIFT: dict[str, Any] = {"result": promotion.shift, "domain": ((-9, 9), (0, 6)), "public": False}
shl: Op = elementwise("shl", 2, ref=np.left_shift, llvm={"iu": "shl"}, opencl="({0} << {1})", **_SHIFT)
shr: Op = elementwise("shr", 2, ref=np.right_shift, llvm={"i": "ashr", "u": "lshr"}, opencl="({0} >> {1})", **_SHIFT)
left_shift: Op = elementwise(
    "left_shift", 2, result=promotion.shift, ref=np.left_shift, domain=((-9, 9), (0, 6)),
    llvm=expand.left_shift, opencl=expand.left_shift, doc="Bits shifted left; 0 beyond the width.",
)  # fmt: skip
right_shift: Op = elementwise(
    "right_shift", 2, result=promotion.shift, ref=np.right_shift, domain=((-99, 99), (0, 6)),
    llvm=expand.right_shift, opencl=expand.right_shift, doc="Bits shifted right, the sign kept.",
)  # fmt: skip

# --- selection --------------------------------------------------------------------------------------------------------

where: Op = elementwise(
    "where", 3, result=promotion.promote, ref=np.where, domain=((-1, 1), (-4, 4), (-4, 4)),
    record=record_select, llvm={"fiub": "select"}, opencl="({0} ? {1} : {2})",
    grad=lambda g, y, c, a, b: [None, where(c, g, like(g, 0)), where(c, like(g, 0), g)],
    pair=pairs.where, doc="x where the condition holds, else y.",
)  # fmt: skip

unlikely: Op = elementwise(
    "unlikely", 3, result=promotion.promote, ref=np.where, domain=((-1, 1), (-4, 4), (-4, 4)), record=record_select,
    llvm={"fiub": "select"}, opencl="({0} ? {1} : {2})", public=False,
    grad=lambda g, y, c, a, b: [None, where(c, g, like(g, 0)), where(c, like(g, 0), g)],
    doc="As `where`, for conditions that hardly ever hold: an expansion that ends in it computes x only then.",
)  # fmt: skip


def tie_shares(g: Node, a: Node, b: Node, first: Op) -> list[Node]:
    """Return the gradients of a choice between a and b: all to the chosen one, half to each at a tie.

    This is the one tie rule of the library: the subgradient of least norm, which PyTorch documents too. So max and min
    share equally among equal elements, maximum and minimum give half to each operand, relu gives 0 at 0, and clip gives
    0 at its bounds.
    """
    zero = like(g, 0)
    half = g * 0.5
    tie = eq(a, b)
    return [where(first(a, b), g, where(tie, half, zero)), where(first(b, a), g, where(tie, half, zero))]


maximum: Op = elementwise(
    "maximum", 2, result=promotion.promote, ref=np.maximum, domain=(-4, 4),
    llvm={"f": "@maximum", "i": "@smax", "u": "@umax", "b": "or"},
    opencl={"f": "(isnan({0}) ? {0} : (isnan({1}) ? {1} : fmax({0}, {1})))",
            "iu": "max({0}, {1})", "b": "({0} || {1})"},
    grad=lambda g, y, a, b: tie_shares(g, a, b, gt), pair=pairs.maximum,
    doc="The larger of two; NaN where one is NaN.",
)  # fmt: skip
minimum: Op = elementwise(
    "minimum", 2, result=promotion.promote, ref=np.minimum, domain=(-4, 4),
    llvm={"f": "@minimum", "i": "@smin", "u": "@umin", "b": "and"},
    opencl={"f": "(isnan({0}) ? {0} : (isnan({1}) ? {1} : fmin({0}, {1})))",
            "iu": "min({0}, {1})", "b": "({0} && {1})"},
    grad=lambda g, y, a, b: tie_shares(g, a, b, lt), pair=pairs.minimum,
    doc="The smaller of two; NaN where one is NaN.",
)  # fmt: skip
clip: Op = elementwise(
    "clip", 3, result=promotion.promote, ref=lambda x, low, high: np.minimum(np.maximum(x, low), high),
    domain=((-4, 4), (-2, -1), (1, 2)),
    llvm=lambda x, low, high: minimum(maximum(x, low), high),
    opencl=lambda x, low, high: minimum(maximum(x, low), high),
    grad=lambda g, y, x, low, high: [
        where(logical_and(gt(x, low), lt(x, high)), g, like(g, 0)),
        where(logical_and(lt(x, low), le(low, high)), g, like(g, 0)),
        where(logical_or(gt(x, high), gt(low, high)), g, like(g, 0)),
    ],
    pair=lambda x, low, high: minimum(maximum(x, low), high),
    doc="The values limited to [low, high].",
)  # fmt: skip
relu: Op = elementwise(
    "relu", 1, result=promotion.promote, ref=lambda x: np.maximum(x, x.dtype.type(0)), domain=(-4, 4),
    llvm=lambda x: maximum(x, like(x, 0)), opencl=lambda x: maximum(x, like(x, 0)),
    grad=lambda g, y, x: [where(gt(x, like(x, 0)), g, like(g, 0))], doc="max(x, 0).",
)  # fmt: skip
copysign: Op = elementwise(
    "copysign", 2, result=promotion.floating, ref=np.copysign, domain=(-4, 4),
    llvm={"f": "@copysign"}, opencl="copysign({0}, {1})",
    grad=lambda g, y, a, b: [g * copysign(like(a, 1), a) * copysign(like(b, 1), b), None],
    doc="The magnitude of the first with the sign of the second.",
)  # fmt: skip


def _ref_next_half(dtype: np.dtype) -> Callable:
    """Return the meaning of a neighbour among the values of a half type, which are given in float32."""
    return lambda a, b: np.nextafter(a.astype(dtype), b.astype(dtype)).astype(np.float32)


#: Halves are computed in float32, where their neighbours are some floats away.
_NEXT_HALF: dict[np.dtype, Op] = {
    dtype: elementwise(
        f"nextafter_{dtype}", 2, result=promotion.promote, ref=_ref_next_half(dtype), domain=(-4, 4),
        llvm=partial(expand.next_half, dtype), opencl=partial(expand.next_half, dtype),
        grad=lambda g, y, a, b: [g, None], public=False,
    )
    for dtype in dt.HALF
}  # fmt: skip


def _record_nextafter(op: Op, a: Any, b: Any) -> Node:
    dtype = promotion.floating(op.name, (given_type(a), given_type(b)))[0]
    if dtype not in dt.HALF:
        return record_elementwise(op, a, b)
    # Both are rounded to the half type first.
    first, second = (cast(as_node(one, dtype), dtype=dt.float32) for one in (a, b))
    return cast(_NEXT_HALF[dtype](first, second), dtype=dtype)


nextafter: Op = elementwise(
    "nextafter", 2, result=promotion.floating, ref=np.nextafter, domain=(-4, 4), record=_record_nextafter,
    llvm=expand.nextafter, opencl="nextafter({0}, {1})", grad=lambda g, y, a, b: [g, None],
    doc="The next float after the first towards the second.",
)  # fmt: skip


# --- Python operators on nodes ----------------------------------------------------------------------------------------


def _install_operators() -> None:
    pairs = {
        "add": add, "sub": sub, "mul": mul, "truediv": div, "floordiv": floor_divide, "mod": remainder,
        "and": bitwise_and, "or": bitwise_or, "xor": bitwise_xor, "lshift": left_shift, "rshift": right_shift,
    }  # fmt: skip
    for name, row in pairs.items():
        setattr(Node, f"__{name}__", lambda a, b, row=row: row(a, b))
        setattr(Node, f"__r{name}__", lambda a, b, row=row: row(b, a))
    for name, row in {"lt": lt, "le": le, "gt": gt, "ge": ge}.items():
        setattr(Node, f"__{name}__", lambda a, b, row=row: row(a, b))
    for name, row in {"neg": neg, "pos": positive, "abs": abs, "invert": bitwise_not}.items():
        setattr(Node, f"__{name}__", lambda a, row=row: row(a))


_install_operators()
__all__ = ["as_node", "cast", "elementwise", "like"]
