"""What the elementary functions mean for the parts of a complex number; see ir/pairs.py.

Branch cuts and special values are those of C99's Annex G as far as W. Kahan's formulas have them ("Branch cuts for
complex elementary functions", 1987). The formulas choose between cases, some of which have no finite derivative on an
axis, so they are not differentiated: the gradient is made of the row's own rule, which holds for complex numbers, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from trueno import dtypes as dt
from trueno.ir import promotion
from trueno.ir.node import make
from trueno.ir.op import Op, registry
from trueno.ir.pairs import common, parts_of, product, reciprocal, rows

if TYPE_CHECKING:
    from trueno.ir.node import Node
    from trueno.ir.pairs import Parts


def _number(x: Node, value: float) -> Node:
    from trueno.ir.build import const

    return const(value, x.dtype)


def _times(x: Node, y: Node) -> Node:
    """x * y with 0 times anything being 0."""
    zero = rows.logical_or(rows.eq(x, 0.0), rows.eq(y, 0.0))
    return rows.where(zero, rows.copysign(_number(x, 0), x) * rows.copysign(_number(y, 1), y), x * y)


def _log_size(a: Node, b: Node) -> Node:
    """log |a + ib|, accurate where that is near 0."""
    x, y = rows.abs(a), rows.abs(b)
    large, small = rows.where(rows.gt(x, y), x, y), rows.where(rows.gt(x, y), y, x)
    near = rows.logical_and(rows.gt(large, 0.5), rows.lt(large, 2.0))
    return rows.where(near, rows.log1p((large - 1.0) * (large + 1.0) + small * small) * 0.5, rows.log(rows.hypot(a, b)))


def _exp(a: Node, b: Node) -> Parts:
    # Beyond exp's range the cosine may bring the product back, so two halves are multiplied one after the other.
    half = rows.exp(a * 0.5)
    endless = rows.logical_and(rows.eq(a, math.inf), rows.logical_not(rows.isfinite(b)))
    re = rows.where(endless, a, _times(_times(half, rows.cos(b)), half))
    return re, _times(_times(half, rows.sin(b)), half)


def _log(a: Node, b: Node) -> Parts:
    return _log_size(a, b), rows.atan2(b, a)


def _sqrt(a: Node, b: Node) -> Parts:
    """The root in the right half plane; scaled, so that the size of large numbers does not overflow."""
    limit = 2.0**1020 if a.dtype == dt.float64 else 2.0**124
    large = rows.logical_or(rows.gt(rows.abs(a), limit), rows.gt(rows.abs(b), limit))
    scale = rows.where(large, _number(a, 0.0625), _number(a, 1))
    x, y = a * scale, b * scale
    root = rows.sqrt((rows.abs(x) + rows.hypot(x, y)) * 0.5)
    other = rows.where(rows.eq(root, 0.0), _number(a, 0), rows.abs(y) / (root * 2.0))
    right = rows.logical_not(rows.signbit(a))
    re, im = rows.where(right, root, other), rows.copysign(rows.where(right, other, root), b)
    re, im = rows.where(large, re * 4.0, re), rows.where(large, im * 4.0, im)
    # An infinite part decides.
    infinite = rows.logical_and(rows.isinf(a), rows.isfinite(b))
    re = rows.where(infinite, rows.where(right, a, _number(a, 0)), re)
    im = rows.where(infinite, rows.copysign(rows.where(right, _number(a, 0), rows.abs(a)), b), im)
    return rows.where(rows.isinf(b), rows.abs(b), re), rows.where(rows.isinf(b), b, im)


def _endless(a: Node, b: Node) -> Node:
    """Whether a is infinite and the angle b is none."""
    return rows.logical_and(rows.isinf(a), rows.logical_not(rows.isfinite(b)))


def _sinh(a: Node, b: Node) -> Parts:
    re = rows.where(_endless(a, b), a, _times(rows.sinh(a), rows.cos(b)))
    return re, _times(rows.cosh(a), rows.sin(b))


def _cosh(a: Node, b: Node) -> Parts:
    re = rows.where(_endless(a, b), rows.abs(a), _times(rows.cosh(a), rows.cos(b)))
    return re, _times(rows.sinh(a), rows.sin(b))


def _tanh(a: Node, b: Node) -> Parts:
    """Kahan's ctanh: no overflow of sinh and cosh, whose quotient it is."""
    tangent, s = rows.tan(b), rows.sinh(a)
    beta, rho = tangent * tangent + 1.0, rows.sqrt(s * s + 1.0)
    scale = 1.0 / (beta * s * s + 1.0)
    far = rows.gt(rows.abs(a), 350.0 if a.dtype == dt.float64 else 40.0)
    sides = rows.copysign(_number(a, 1), a), rows.copysign(_number(a, 0), rows.where(rows.isfinite(b), tangent, b))
    on_axis = rows.eq(b, 0.0)
    re, im = beta * rho * s * scale, rows.where(on_axis, b, tangent * scale)
    re = rows.where(on_axis, rows.tanh(a), rows.where(rows.eq(a, 0.0), a, re))
    return rows.where(far, sides[0], re), rows.where(far, sides[1], im)


def _infinite(a: Node, b: Node) -> Node:
    return rows.logical_or(rows.isinf(a), rows.isinf(b))


def _on_axis(a: Node, b: Node) -> Node:
    """Whether a number is imaginary, but not a number: 0 + NaN i."""
    return rows.logical_and(rows.eq(a, 0.0), rows.isnan(b))


def _asin(a: Node, b: Node) -> Parts:
    (p, q), (r, s) = _sqrt(1.0 - a, -b), _sqrt(a + 1.0, b)
    endless, size = _infinite(a, b), rows.copysign(_number(a, math.inf), b)
    re = rows.where(endless, rows.atan2(a, rows.abs(b)), rows.atan2(a, p * r - q * s))
    return rows.where(_on_axis(a, b), a, re), rows.where(endless, size, rows.asinh(p * s - q * r))


def _acos(a: Node, b: Node) -> Parts:
    (p, q), (r, s) = _sqrt(1.0 - a, -b), _sqrt(a + 1.0, b)
    endless, size = _infinite(a, b), rows.copysign(_number(a, math.inf), -b)
    re = rows.where(endless, rows.atan2(rows.abs(b), a), rows.atan2(p, r) * 2.0)
    re = rows.where(_on_axis(a, b), _number(a, math.pi / 2), re)
    return re, rows.where(endless, size, rows.asinh(r * q - s * p))


def _acosh(a: Node, b: Node) -> Parts:
    (p, q), (r, s) = _sqrt(a - 1.0, b), _sqrt(a + 1.0, b)
    endless = _infinite(a, b)
    im = rows.where(endless, rows.atan2(b, a), rows.atan2(q, r) * 2.0)
    im = rows.where(_on_axis(a, b), _number(a, math.pi / 2), im)
    return rows.where(endless, _number(a, math.inf), rows.asinh(p * r + q * s)), im


def _atanh(a: Node, b: Node) -> Parts:
    # The function is odd. Of |a| the quotient is positive; of a negative part it comes close to -1 and loses digits.
    size = rows.abs(a)
    x, y = 1.0 - size, b * b
    re = rows.copysign(rows.log1p(size * 4.0 / (x * x + y)) * 0.25, a)
    im = rows.atan2(b * 2.0, x * (size + 1.0) - y) * 0.5
    endless = _infinite(a, b)
    right = rows.where(rows.isnan(b), b, rows.copysign(_number(a, math.pi / 2), b))
    re = rows.where(_on_axis(a, b), a, re)
    return rows.where(endless, rows.copysign(_number(a, 0), a), re), rows.where(endless, right, im)


def _turned(function: Callable[[Node, Node], Parts]) -> Callable[[Node, Node], Parts]:
    """Return -i f(iz) for a function f: the trigonometric twin of a hyperbolic function, or the other way round."""

    def call(a: Node, b: Node) -> Parts:
        re, im = function(-b, a)
        return im, -re

    return call


def _scaled(function: Callable[[Node, Node], Parts], factor: float) -> Callable[[Node, Node], Parts]:
    return lambda a, b: tuple(part * factor for part in function(a, b))  # type: ignore[return-value]


def _expm1(a: Node, b: Node) -> Parts:
    """exp(z) - 1, accurate near 0."""
    half = rows.sin(b * 0.5)
    re = _times(rows.expm1(a), rows.cos(b)) - 2.0 * half * half
    im = _times(rows.exp(a), rows.sin(b))
    return rows.where(rows.eq(a, -math.inf), _number(a, -1), rows.where(_endless(a, b), a, re)), im


def _log1p(a: Node, b: Node) -> Parts:
    """log(1 + z), accurate near 0."""
    near = rows.logical_and(rows.lt(rows.abs(a), 0.5), rows.lt(rows.abs(b), 0.5))
    small = rows.log1p(a * (a + 2.0) + b * b) * 0.5
    return rows.where(near, small, _log_size(a + 1.0, b)), rows.atan2(b, a + 1.0)


def _product_of(times: Node, a: Node, b: Node) -> Parts:
    """z multiplied with itself so many times, less than 128, by squaring: real numbers stay real."""
    left = rows.floor(times * 0.5)
    begun = rows.ne(left * 2.0, times)
    re, im = rows.where(begun, a, _number(a, 1)), rows.where(begun, b, _number(b, 0))
    for _ in range(6):
        (a, b), times = product(a, b, a, b), left
        left = rows.floor(times * 0.5)
        odd = rows.ne(left * 2.0, times)
        p, q = product(re, im, a, b)
        # 1 times an infinite number would be NaN.
        re = rows.where(odd, rows.where(begun, p, a), re)
        im = rows.where(odd, rows.where(begun, q, b), im)
        begun = rows.logical_or(begun, odd)
    return re, im


def _pow(a: Node, b: Node, c: Node, d: Node) -> Parts:
    """exp(w log z), 1 for w = 0; z = 0 gives 0 to a power with a positive real part, NaN to any other, as in NumPy.

    Powers by whole numbers of less than 100 are products, as in NumPy.
    """
    from trueno.ir.build import pair

    size, angle = _log(a, b)
    re, im = _exp(*product(c, d, size, angle))
    zero = rows.logical_and(rows.eq(a, 0.0), rows.eq(b, 0.0))
    real = rows.eq(d, 0.0)
    one = rows.logical_and(real, rows.eq(c, 0.0))
    none = rows.logical_and(zero, rows.gt(c, 0.0))
    undefined = rows.logical_and(zero, rows.logical_not(rows.gt(c, 0.0)))
    times = rows.abs(c)
    whole = rows.logical_and(real, rows.logical_and(rows.lt(times, 100.0), rows.eq(rows.floor(c), c)))
    p, q = _product_of(rows.where(whole, times, _number(c, 0)), a, b)
    s, t = parts_of(reciprocal(pair(p, q)), a.dtype)
    inverse = rows.lt(c, 0.0)

    def chosen(unit: float, power: Node, inverted: Node, usual: Node) -> Node:
        usual = rows.where(whole, rows.where(inverse, inverted, power), usual)
        usual = rows.where(undefined, _number(a, math.nan), rows.where(none, _number(a, 0), usual))
        return rows.where(one, _number(a, unit), usual)

    return chosen(1, p, s, re), chosen(0, q, t, im)


def _pow_slopes(g: Node, y: Node, z: Node, w: Node) -> list[Node]:
    """As the real row's rule, with 0 where a factor of the other's infinity is 0."""
    zero, one = _number(z, 0), _number(z, 1)
    by_z = rows.where(rows.eq(w, zero), zero, g * w * rows.pow(z, w - one))
    nowhere = rows.eq(z, zero)
    return [by_z, g * rows.where(nowhere, zero, y * rows.log(rows.where(nowhere, one, z)))]


# --- the functions ----------------------------------------------------------------------------------------------------


def _by_rule(g: Node, y: Node, _value: Node, *parts: Node) -> list[Node | None]:
    """The Cauchy-Riemann equations: for f' = s + it, the real part has the slopes s and -t, the imaginary t and s."""
    from trueno.ir.build import pair

    name, part = y.arg
    row, given = registry[name], [pair(*parts[k : k + 2]) for k in range(0, len(parts), 2)]
    rule = _SLOPES.get(name, row.grad)
    assert rule is not None
    found: list[Node | None] = [None]
    for slope in rule(_number(given[0], 1), row(*given), *given):
        s, t = parts_of(slope, given[0].dtype)
        found += [g * t, g * s] if part else [g * s, -(g * t)]
    return found


_SLOPES: dict[str, Callable[..., list[Node]]] = {"pow": _pow_slopes}

#: A part of a function's value, with the parts of its operands: the value, with the gradient of the row named.
ANALYTIC: Op = Op(
    "analytic", "elementwise", -1, ref=lambda value, *_parts: value, result=promotion.promote, domain=((-2, 2),),
    llvm=lambda value, *_parts: value, opencl=lambda value, *_parts: value, grad=_by_rule, public=False,
    record=lambda op, value, *parts, name, part: make(op, (value, *parts), value.dtype, value.shape, (name, part)),
)  # fmt: skip


def _analytic(name: str, function: Callable[..., Parts]) -> Callable[..., Node]:
    """Return a row's `pair` from a function of the parts of its operands, in their common dtype and shape."""

    def call(*operands: Any) -> Node:
        from trueno.ir import build

        dtype = common(*operands)
        parts = [part for one in operands for part in parts_of(one, dtype)]
        shape = build.broadcast_shape(name, [part.shape for part in parts])
        parts = [rows.expand(part, shape=shape) for part in parts]
        return build.pair(*(ANALYTIC(one, *parts, name=name, part=k) for k, one in enumerate(function(*parts))))

    return call


exp, exp2, expm1 = (
    _analytic("exp", _exp), _analytic("exp2", lambda a, b: _exp(a * math.log(2), b * math.log(2))),
    _analytic("expm1", _expm1),
)  # fmt: skip
log, log2, log10, log1p = (
    _analytic("log", _log), _analytic("log2", _scaled(_log, 1 / math.log(2))),
    _analytic("log10", _scaled(_log, 1 / math.log(10))), _analytic("log1p", _log1p),
)  # fmt: skip
sqrt, pow = _analytic("sqrt", _sqrt), _analytic("pow", _pow)
sin, cos, tan = (
    _analytic("sin", _turned(_sinh)), _analytic("cos", lambda a, b: _cosh(-b, a)), _analytic("tan", _turned(_tanh)),
)  # fmt: skip
sinh, cosh, tanh = _analytic("sinh", _sinh), _analytic("cosh", _cosh), _analytic("tanh", _tanh)
asin, acos, atan = _analytic("asin", _asin), _analytic("acos", _acos), _analytic("atan", _turned(_atanh))
asinh, acosh, atanh = _analytic("asinh", _turned(_asin)), _analytic("acosh", _acosh), _analytic("atanh", _atanh)
