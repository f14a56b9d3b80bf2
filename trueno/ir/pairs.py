"""Complex numbers while a kernel is recorded: pairs of real nodes, to which the rows give their meaning.

An operand of complex dtype and shape S is an array of real numbers of shape S + (2,) in the same memory, and so is a
result. In between, a value is a node of the row `pair`, whose sources are its two parts; a row that is called with one
records what it means for the parts (its obligation `pair`, mostly a function of this module). So the plan, the code
generators and differentiation know real numbers only. A gradient is what PyTorch's is, dL/dre + i dL/dim.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from trueno import dtypes as dt
from trueno.ir import promotion
from trueno.ir.op import Op, is_complex, registry

if TYPE_CHECKING:
    from trueno.ir.node import Node

    Parts = tuple[Node, Node]


class _Rows:
    """The op table by attribute; the rows refer to this module, so they are looked up when they are needed."""

    def __getattr__(self, name: str) -> Op:
        return registry[name]


rows = _Rows()


def _build() -> Any:
    from trueno.ir import build

    return build


# --- at the edges of a kernel -----------------------------------------------------------------------------------------


def split(parts: Node) -> Node:
    """Return the complex numbers that a real array with a last axis of 2 holds."""
    shape = parts.shape[:-1]
    whole = tuple((0, 1, extent) for extent in shape)
    re, im = (rows.reshape(rows.slice(parts, bounds=(*whole, (k, 1, 1))), shape=shape) for k in (0, 1))
    return _build().pair(re, im)


def joined(z: Node) -> Node:
    """Return the real array with a last axis of 2 that holds complex numbers: the inverse of `split`."""
    re, im = z.src
    found = re.src[0].src[0] if re.op is rows.reshape and re.src[0].op is rows.slice else None
    if found is not None and found.shape == (*z.shape, 2) and split(found).src == z.src:
        return found
    parts = [rows.reshape(one, shape=(*z.shape, 1)) for one in (re, im)]
    return rows.concatenate(*parts, axis=z.ndim)


def parts_of(value: Any, dtype: np.dtype) -> Parts:
    """Return the real nodes of a value in a complex dtype; the second is 0 where the value is real."""
    build, real = _build(), dt.real_of(dtype)
    if getattr(value, "op", None) is build.PAIR:
        re, im = value.src
        return rows.cast(re, dtype=real), rows.cast(im, dtype=real)
    if not hasattr(value, "op"):
        return build.const(value.real, real), build.const(value.imag, real)
    return rows.cast(value, dtype=real), rows.expand(build.const(0, real), shape=value.shape)


def record(op: Op, *operands: Any, **static: Any) -> Node:
    """Record a row one of whose operands, or whose dtype, is complex."""
    if op.pair is not None:
        return op.pair(*operands, **static)
    if op.kind in ("view", "assemble", "gather", "scatter"):
        first, *rest = operands
        return _build().pair(*(op(part, *rest, **static) for part in parts_of(first, first.dtype)))
    given = [_build().given_type(one) for one in operands]
    names = ", ".join(one.__name__ if isinstance(one, type) else str(one) for one in given)
    if "dtype" in static and not any(map(is_complex, operands)):
        names += f" with dtype {static['dtype']}"
    raise TypeError(f"{op.name} is not defined for {names}; it takes real numbers")


def common(*values: Any, result: Any = promotion.promote) -> np.dtype:
    """Return the complex dtype in which a row takes values."""
    dtype: np.dtype = result("", tuple(_build().given_type(one) for one in values))[0]
    return dt.complex_of(dtype)


def binary(rule: Callable[..., Parts]) -> Callable[..., Node]:
    """Return a row's `pair` from a function of the parts of its two operands in their common dtype."""

    def call(a: Any, b: Any) -> Node:
        dtype = common(a, b)
        return _paired(*rule(*parts_of(a, dtype), *parts_of(b, dtype)))

    return call


def unary(rule: Callable[..., Parts]) -> Callable[..., Node]:
    """Return a row's `pair` from a function of its operand's parts."""

    def call(z: Any) -> Node:
        return _paired(*rule(*parts_of(z, common(z))))

    return call


def _paired(re: Node, im: Node) -> Node:
    build = _build()
    shape = build.broadcast_shape("pair", [re.shape, im.shape])
    return build.pair(rows.expand(re, shape=shape), rows.expand(im, shape=shape))


def test(rule: Callable[[Node, Node], Node]) -> Callable[..., Node]:
    """Return a row's `pair` from a function of the parts of one operand that gives real numbers or bool."""
    return lambda z: rule(*parts_of(z, common(z)))


def truth(op: str) -> Callable[..., Node]:
    """Return the `pair` of a row that takes its operands as true or false."""

    def call(*operands: Any, **static: Any) -> Node:
        return registry[op](*(rows.cast(one, dtype=dt.bool_) if hasattr(one, "op") else bool(one) for one in operands),
                            **static)  # fmt: skip

    return call


def partwise(op: str) -> Callable[..., Node]:
    """Return the `pair` of a reduction or scan that treats the parts alike."""

    def call(z: Any, axis: Any = None, *, dtype: Any = None, **static: Any) -> Node:
        wanted = common(z) if dtype is None else dt.as_dtype(dtype)
        if not dt.is_complex(wanted):
            z, wanted = rows.cast(z, dtype=wanted), dt.complex_of(wanted)
            return registry[op](z, axis, **static)
        return _build().pair(*(registry[op](part, axis, **static) for part in parts_of(z, wanted)))

    return call


def halving(op: str) -> Callable[..., Node]:
    """Return the `pair` of a reduction that joins halves until one element is left."""

    def call(z: Any, axis: Any = None, *, keepdims: bool = False, dtype: Any = None) -> Node:
        from trueno.ir.reductions import reduced_axes
        from trueno.ir.views import unsqueeze

        build = _build()
        join: Any = registry[op].combine
        if dtype is not None and not dt.is_complex(dt.as_dtype(dtype)):
            return registry[op](rows.cast(z, dtype=dtype), axis, keepdims=keepdims)
        z = rows.cast(z, dtype=common(z) if dtype is None else dtype)
        axes = reduced_axes(op, axis, z)
        kept = tuple(k for k in range(z.ndim) if k not in axes)
        shape = tuple(z.shape[k] for k in kept)
        z = rows.reshape(rows.permute(z, axes=(*kept, *axes)), shape=(*shape, math.prod(z.shape[k] for k in axes)))
        cut = tuple((0, 1, n) for n in shape)
        while z.shape[-1] > 1:
            half, odd = divmod(z.shape[-1], 2)
            low, high = (rows.slice(z, bounds=(*cut, (start, 1, half))) for start in (0, half))
            rest = [rows.slice(z, bounds=(*cut, (2 * half, 1, 1)))] if odd else []
            z = rows.concatenate(join(low, high), *rest, axis=len(shape))
        if z.shape[-1] == 0:
            if isinstance(registry[op].start, str):
                raise ValueError(f"{op}: zero-size array has no identity along axis {axes}")
            z = rows.expand(build.const(1, z.dtype), shape=(*shape, 1))
        result = rows.reshape(z, shape=shape)
        return unsqueeze(result, axes) if keepdims and axes else result

    return call


def doubling(z: Any, axis: Any = None, *, dtype: Any = None) -> Node:
    """Return running products by doubling (Hillis, Steele 1986): step k makes products of up to 2^k elements."""
    build = _build()
    z = rows.cast(z, dtype=common(z) if dtype is None else dtype)
    if axis is None or (not z.ndim and axis in (0, -1)):
        z, axis = rows.reshape(z, shape=(z.size,)), 0
    (axis,) = build.normalise_axes("cumprod", axis, z.ndim, z.shape)
    extent, step = z.shape[axis], 1
    while step < extent:
        parts = []
        for start, size in ((0, step), (step, extent - step), (0, extent - step)):
            bounds = tuple((start, 1, size) if k == axis else (0, 1, n) for k, n in enumerate(z.shape))
            parts.append(rows.slice(z, bounds=bounds))
        z = rows.concatenate(parts[0], parts[1] * parts[2], axis=axis)
        step *= 2
    return z


# --- rows that only move or choose ------------------------------------------------------------------------------------


def cast(x: Any, dtype: Any = None) -> Node:
    """Record a cast from or to a complex dtype."""
    build, dtype = _build(), dt.as_dtype(dtype)
    if dt.is_complex(dtype):
        return x if getattr(x, "dtype", None) == dtype and is_complex(x) else build.pair(*parts_of(x, dtype))
    re, im = x.src
    if dtype == dt.bool_:
        return rows.logical_or(rows.cast(re, dtype=dtype), rows.cast(im, dtype=dtype))
    warnings.warn("Casting complex values to real discards the imaginary part", np.exceptions.ComplexWarning, 6)
    return rows.cast(re, dtype=dtype)


def where(condition: Any, x: Any, y: Any) -> Node:
    """Record a choice of complex numbers."""
    condition = rows.cast(condition, dtype=dt.bool_) if is_complex(condition) else condition
    if not is_complex(x) and not is_complex(y):
        return rows.where(condition, x, y)
    dtype = common(x, y)
    pairs = zip(parts_of(x, dtype), parts_of(y, dtype), strict=True)
    return _build().pair(*(rows.where(condition, first, second) for first, second in pairs))


def concatenate(*pieces: Any, axis: int = 0) -> Node:
    """Record complex arrays joined along an axis."""
    dtype = common(*pieces)
    pairs = zip(*(parts_of(one, dtype) for one in pieces), strict=True)
    return _build().pair(*(rows.concatenate(*parts, axis=axis) for parts in pairs))


# --- arithmetic -------------------------------------------------------------------------------------------------------


@binary
def add(a: Node, b: Node, c: Node, d: Node) -> Parts:
    """(a + ib) + (c + id)."""
    return a + c, b + d


@binary
def sub(a: Node, b: Node, c: Node, d: Node) -> Parts:
    """(a + ib) - (c + id)."""
    return a - c, b - d


def product(a: Node, b: Node, c: Node, d: Node) -> Parts:
    """Return the parts of (a + ib) (c + id)."""
    return a * c - b * d, a * d + b * c


mul = binary(product)


@binary
def div(a: Node, b: Node, c: Node, d: Node) -> Parts:
    """(a + ib) / (c + id), divided by the divisor's larger part first (R. L. Smith, 1962)."""
    wide = rows.ge(rows.abs(c), rows.abs(d))
    large, small = rows.where(wide, c, d), rows.where(wide, d, c)
    ratio = rows.where(rows.eq(large, 0.0), large, small / large)
    scale = 1.0 / (large + small * ratio)
    x, y = rows.where(wide, a, b), rows.where(wide, b, a)
    re, im = (x + y * ratio) * scale, (y - x * ratio) * scale
    # By zero: what the parts divided by it are. Another divisor is 1 there, so that its gradient is finite.
    zero = rows.logical_and(rows.eq(c, 0.0), rows.eq(d, 0.0))
    size = rows.where(zero, rows.abs(c), _build().const(1, c.dtype))
    re, im = rows.where(zero, a / size, re), rows.where(zero, b / size, rows.where(wide, im, -im))
    return re, im


@unary
def square(a: Node, b: Node) -> Parts:
    """(a + ib)²."""
    return a * a - b * b, a * b + b * a


@unary
def neg(a: Node, b: Node) -> Parts:
    """-(a + ib)."""
    return -a, -b


@unary
def same(a: Node, b: Node) -> Parts:
    """The number itself."""
    return a, b


@unary
def conj(a: Node, b: Node) -> Parts:
    """The conjugate."""
    return a, -b


@unary
def rounded(a: Node, b: Node) -> Parts:
    """Both parts rounded."""
    return rows.round(a), rows.round(b)


def reciprocal(z: Node) -> Node:
    """1 / z."""
    return rows.div(_build().const(1, z.dtype), z)


def rsqrt(z: Node) -> Node:
    """1 / sqrt(z)."""
    return reciprocal(rows.sqrt(z))


def absolute(a: Node, b: Node) -> Node:
    """The distance from 0."""
    return rows.hypot(a, b)


def phase(a: Node, b: Node) -> Node:
    """The angle of the point, in radians."""
    return rows.atan2(b, a)


@unary
def sign(a: Node, b: Node) -> Parts:
    """z / |z|, and 0 for 0; of an infinite part its sign, of two, and of what is no number, NaN in both parts."""
    one, size = _build().const(1, a.dtype), rows.hypot(a, b)
    # 0 divided by infinity has the gradient 0, too.
    size = rows.where(rows.eq(size, 0.0), _build().const(math.inf, a.dtype), size)
    none = rows.logical_or(rows.isnan(a), rows.isnan(b))
    none = rows.logical_or(none, rows.logical_and(rows.isinf(a), rows.isinf(b)))

    def part(x: Node) -> Node:
        found = rows.where(rows.isinf(x), rows.copysign(one, x), x / size)
        return rows.where(none, _build().const(math.nan, x.dtype), found)

    return part(a), part(b)


def equal(a: Any, b: Any) -> Node:
    """Whether both parts are equal."""
    dtype = common(a, b)
    first, second = zip(parts_of(a, dtype), parts_of(b, dtype), strict=True)
    return rows.logical_and(rows.eq(*first), rows.eq(*second))


def different(a: Any, b: Any) -> Node:
    """Whether a part differs."""
    return rows.logical_not(equal(a, b))


# --- order: by the real part, and by the imaginary part where that is equal, as NumPy's -------------------------------


def _ordered(first: str, last: str) -> Callable[..., Node]:
    """Return the `pair` of a comparison: rows that compare the real parts, and the imaginary ones where those tie."""

    def call(a: Any, b: Any) -> Node:
        dtype = common(a, b)
        (x, u), (y, v) = parts_of(a, dtype), parts_of(b, dtype)
        numbers = rows.logical_not(rows.logical_or(rows.isnan(u), rows.isnan(v)))
        apart = rows.logical_and(registry[first](x, y), numbers)
        return rows.logical_or(apart, rows.logical_and(rows.eq(x, y), registry[last](u, v)))

    return call


less, less_equal = _ordered("lt", "lt"), _ordered("lt", "le")
greater, greater_equal = _ordered("gt", "gt"), _ordered("gt", "ge")


def _extreme(reaches: str) -> Callable[..., Node]:
    """Return the `pair` of a choice between two numbers: the first where it reaches the second, or is no number."""

    def call(a: Any, b: Any) -> Node:
        dtype, build = common(a, b), _build()
        a, b = (build.pair(*parts_of(one, dtype)) for one in (a, b))
        return rows.where(rows.logical_or(rows.isnan(a), registry[reaches](a, b)), a, b)

    return call


maximum, minimum = _extreme("ge"), _extreme("le")


def matmul(a: Node, b: Node) -> Node:
    """Four real products."""
    dtype = common(a, b)
    (p, q), (r, s) = parts_of(a, dtype), parts_of(b, dtype)
    return _build().pair(rows.matmul(p, r) - rows.matmul(q, s), rows.matmul(p, s) + rows.matmul(q, r))
