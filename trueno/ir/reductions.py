"""Reductions and scans. A reduction node keeps its axes with extent 1; dropping them is a reshape."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from trueno import dtypes as dt
from trueno.ir import build, pairs, promotion
from trueno.ir.build import cast, expand, normalise_axes, reshape
from trueno.ir.elementwise import (
    add,
    bitwise_and,
    bitwise_or,
    bitwise_xor,
    eq,
    like,
    logical_and,
    logical_or,
    maximum,
    minimum,
    mul,
    where,
)
from trueno.ir.elementwise import where as select
from trueno.ir.node import Node, make
from trueno.ir.op import Op


def wrap_axis(op: str, axis: int, x: Node) -> int:
    """Return one non-negative axis."""
    return normalise_axes(op, axis, x.ndim, x.shape)[0]


def reduced_axes(op: str, axis: Any, x: Node) -> tuple[int, ...]:
    """Return the axes of a reduction; to NumPy's a 0-d array has the axes 0 and -1, over which nothing is reduced."""
    return () if not x.ndim and axis in (0, -1) else normalise_axes(op, axis, x.ndim, x.shape)


def drop_axes(x: Node, axes: tuple[int, ...]) -> Node:
    """Reshape away axes of extent 1."""
    return reshape(x, shape=tuple(extent for k, extent in enumerate(x.shape) if k not in axes))


def _record_reduction(op: Op, x: Any, axis: Any = None, *, keepdims: bool = False, dtype: Any = None) -> Node:
    if not isinstance(x, Node):
        x = build.as_node(x, promotion.common((build.given_type(x),)))
    axes = reduced_axes(op.name, axis, x)
    assert op.result is not None
    wanted, result = op.result(op.name, (build.given_type(x),))
    if dtype is not None:
        wanted = result = dt.as_dtype(dtype)
    if op.start in ("lowest", "highest") and builtins.any(x.shape[axis] == 0 for axis in axes):
        raise ValueError(f"{op.name}: zero-size array of shape {x.shape} has no identity along axis {axes}")
    x = cast(x, dtype=dt.accumulator(wanted))
    if axes:
        x = make(op, (x,), x.dtype, tuple(1 if k in axes else n for k, n in enumerate(x.shape)), axes)
    return cast(x if keepdims else drop_axes(x, axes), dtype=result)


def neutral(op: Op, dtype: np.dtype) -> Any:
    """Return what changes nothing when a reduction or scan joins it, as a Python number."""
    if not isinstance(op.start, str):
        return op.start
    if op.start == "ones":
        return True if dtype == dt.bool_ else int(np.iinfo(dtype).max) if dtype.kind == "u" else -1
    return {"lowest": dt.lowest, "highest": dt.highest}[op.start](dtype)


def reduced(
    op: Op, x: Any, where: Any = None, initial: Any = None, axis: Any = None, *, keepdims: bool = False,
    dtype: Any = None,
) -> Node:  # fmt: skip
    """Record a reduction of the elements where a mask holds, joined with an initial value.

    Without an initial value, a row of no chosen elements gives the neutral element.
    """
    x = x if isinstance(x, Node) else build.as_node(x, promotion.common((build.given_type(x),)))
    assert op.result is not None and op.combine is not None
    wanted = op.result(op.name, (build.given_type(x),))[1] if dtype is None else dt.as_dtype(dtype)
    x = cast(x, dtype=wanted)
    if where is not None:
        # At run time: LLVM makes a maximum with a known -inf a choice, which it does not vectorise.
        number = build.param if dt.is_floating(wanted) and isinstance(op.start, str) else build.const
        x = select(cast(where, dtype=dt.bool_), x, number(neutral(op, wanted), wanted))
    if initial is None:
        return op(x, axis=axis, keepdims=keepdims, dtype=dtype)
    start = build.as_node(initial, wanted)
    axes = reduced_axes(op.name, axis, x)
    if builtins.any(x.shape[k] == 0 for k in axes):
        kept = tuple(1 if k in axes else n for k, n in enumerate(x.shape))
        empty = expand(start, shape=kept)
        return empty if keepdims else drop_axes(empty, axes)
    return cast(op.combine(op(x, axis=axis, keepdims=keepdims, dtype=dtype), start), dtype=wanted)


def reduction(name: str, **obligations: Any) -> Op:
    """Make one reduction row; it takes ``axis`` (int, tuple or None), ``keepdims`` and ``dtype``."""
    obligations.setdefault("record", _record_reduction)
    obligations.setdefault("domain", ((-2, 2),))
    return Op(name, "reduction", 1, **obligations)


def equal_share(g: Node, y: Node, x: Node) -> list[Node]:
    """Return the gradient of max or min: shared equally among the elements that reach it (see `tie_shares`)."""
    chosen = cast(eq(x, expand(y, shape=x.shape)), dtype=x.dtype)
    # Counted in the accumulator's float32 at least, never in a half type, which overflows at 65504 ties.
    count = sum(chosen, axis=y_axes(y, x), keepdims=True)
    return [expand(g / count, shape=x.shape) * chosen]


def y_axes(y: Node, x: Node) -> tuple[int, ...]:
    """Return the axes that a keepdims reduction of x to y's shape has reduced."""
    return y.arg if y.op.kind == "reduction" else tuple(k for k in range(x.ndim) if y.shape[k] != x.shape[k])


def _prod_gradient(g: Node, y: Node, x: Node) -> list[Node]:
    """Return g times the product of the other elements, right where elements are zero too."""
    axes = y_axes(y, x)
    moved = tuple(k for k in range(x.ndim) if k not in axes) + axes
    kept = tuple(x.shape[k] for k in moved[: x.ndim - len(axes)])
    rows = reshape(permute(x, axes=moved), shape=(*kept, -1)) if x.size else x
    if not x.size:
        return [expand(g, shape=x.shape) * like(x, 0)]
    last = len(kept)
    n = rows.shape[last]
    ones = expand(like(x, 1), shape=(*kept, 1))
    head = (slice(None),) * last
    before = concatenate(ones, getitem(cumprod(rows, axis=last), (*head, slice(0, n - 1))), axis=last)
    reverse = getitem(rows, (*head, slice(None, None, -1)))
    after = concatenate(ones, getitem(cumprod(reverse, axis=last), (*head, slice(0, n - 1))), axis=last)
    others = before * getitem(after, (*head, slice(None, None, -1)))
    back = reshape(others, shape=tuple(x.shape[k] for k in moved))
    inverse = tuple(moved.index(k) for k in range(x.ndim))
    return [expand(g, shape=x.shape) * permute(back, axes=inverse)]


def _axes_ref(function: Any) -> Any:
    def ref(x: np.ndarray, *, axis: tuple[int, ...]) -> np.ndarray:
        with np.errstate(all="ignore"):
            return function(x, axis=axis, keepdims=True)

    return ref


sum: Op = reduction(
    "sum", start=0, combine=add, result=promotion.accumulate,
    ref=_axes_ref(lambda x, **k: np.sum(x, dtype=x.dtype, **k)),
    grad=lambda g, y, x: [expand(g, shape=x.shape)], pair=pairs.partwise("sum"), doc="Sum over axes.",
)  # fmt: skip
prod: Op = reduction(
    "prod", start=1, combine=mul, result=promotion.accumulate,
    ref=_axes_ref(lambda x, **k: np.prod(x, dtype=x.dtype, **k)), grad=_prod_gradient,
    pair=pairs.halving("prod"), doc="Product over axes.",
)  # fmt: skip
max: Op = reduction(
    "max", start="lowest", combine=maximum, result=promotion.promote, ref=_axes_ref(np.max),
    grad=equal_share, pair=pairs.halving("max"), doc="Largest element over axes; NaN where there is one.",
)  # fmt: skip
min: Op = reduction(
    "min", start="highest", combine=minimum, result=promotion.promote, ref=_axes_ref(np.min),
    grad=equal_share, pair=pairs.halving("min"), doc="Smallest element over axes; NaN where there is one.",
)  # fmt: skip
first: Op = reduction(
    "first", start="highest", combine=minimum, result=promotion.promote, ref=_axes_ref(np.min), public=False,
    doc="Least of the indices of chosen elements; others stand for no index, with a number as large as the extent.",
)  # fmt: skip
any: Op = reduction(
    "any", start=False, absorbing=True, combine=logical_or, result=promotion.truth, ref=_axes_ref(np.any),
    pair=pairs.truth("any"), doc="Whether an element is true, over axes.",
)  # fmt: skip
all: Op = reduction(
    "all", start=True, absorbing=False, combine=logical_and, result=promotion.truth, ref=_axes_ref(np.all),
    pair=pairs.truth("all"), doc="Whether all elements are true, over axes.",
)  # fmt: skip

_BITS: dict[str, Any] = {"result": promotion.integral, "domain": ((-9, 9),), "public": False}
common_bits: Op = reduction(
    "common_bits", start="ones", combine=bitwise_and, ref=_axes_ref(np.bitwise_and.reduce),
    doc="Bits set in all elements, over axes.", **_BITS,
)  # fmt: skip
united_bits: Op = reduction(
    "united_bits", start=0, combine=bitwise_or, ref=_axes_ref(np.bitwise_or.reduce),
    doc="Bits set in any element, over axes.", **_BITS,
)  # fmt: skip
parity_bits: Op = reduction(
    "parity_bits", start=0, combine=bitwise_xor, ref=_axes_ref(np.bitwise_xor.reduce),
    doc="Bits set in an odd number of elements, over axes.", **_BITS,
)  # fmt: skip


def _record_scan(op: Op, x: Any, axis: int | None = None, *, dtype: Any = None) -> Node:
    x = x if isinstance(x, Node) else build.as_node(x, promotion.common((build.given_type(x),)))
    if axis is None or (not x.ndim and axis in (0, -1)):
        x, axis = reshape(x, shape=(x.size,)), 0
    axis = wrap_axis(op.name, axis, x)
    assert op.result is not None
    _, result = op.result(op.name, (x.dtype,))
    result = result if dtype is None else dt.as_dtype(dtype)
    x = cast(x, dtype=dt.accumulator(result))
    return cast(make(op, (x,), x.dtype, x.shape, axis), dtype=result)


def scan(name: str, **obligations: Any) -> Op:
    """Make one scan row; it takes ``axis`` (None: over the flattened array) and ``dtype``."""
    obligations.setdefault("result", promotion.accumulate)
    obligations.setdefault("domain", ((0.5, 1.5),))
    return Op(name, "scan", 1, record=_record_scan, **obligations)


def _flip(x: Node, axis: int) -> Node:
    return getitem(x, (slice(None),) * axis + (slice(None, None, -1),))


def _cumprod_gradient(g: Node, y: Node, x: Node) -> list[Node]:
    """Return sum over i >= j of g_i * (product of x_k, k <= i, k != j), through division where x is not zero.

    Zeros are handled as in PyTorch: products of the elements before and after the first zero.
    """
    axis = y.arg
    zero = eq(x, like(x, 0))
    seen = cumsum(cast(zero, dtype=dt.int32), axis=axis)  # zeros up to here
    first = logical_and(zero, eq(seen, const_int(seen, 1)))
    safe = where(zero, like(x, 1), x)
    before = eq(seen, const_int(seen, 0))
    tail = lambda v: _flip(cumsum(_flip(v, axis), axis=axis), axis)  # noqa: E731
    plain = tail(where(before, g * y, like(g, 0))) / safe
    # At the first zero the product of the others, with that zero replaced by one.
    patched = cumprod(where(first, like(x, 1), x), axis=axis)
    at_zero = tail(where(ge_one(seen), g * patched, like(g, 0)))
    return [where(first, at_zero, where(before, plain, like(g, 0)))]


def const_int(x: Node, value: int) -> Node:
    """Return an integer literal of x's dtype."""
    return build.const(value, x.dtype)


def ge_one(x: Node) -> Node:
    """Whether an integer is at least one."""
    from trueno.ir.elementwise import ge

    return ge(x, const_int(x, 1))


cumsum: Op = scan(
    "cumsum", start=0, combine=add, ref=lambda x, *, axis: np.cumsum(x, axis=axis, dtype=x.dtype),
    grad=lambda g, y, x: [_flip(cumsum(_flip(g, y.arg), axis=y.arg), y.arg)],
    pair=pairs.partwise("cumsum"), doc="Running sum along an axis.",
)  # fmt: skip
cumprod: Op = scan(
    "cumprod", start=1, combine=mul, ref=lambda x, *, axis: np.cumprod(x, axis=axis, dtype=x.dtype),
    grad=_cumprod_gradient, pair=pairs.doubling, doc="Running product along an axis.",
)  # fmt: skip


def _to_last_extreme(g: Node, y: Node, x: Node) -> list[Node]:
    """Return the gradient of a running extreme: each goes to the last element that reaches it, as in PyTorch."""
    place = where(eq(x, y), build.iota(x.shape, y.arg), const_int(build.iota(x.shape, y.arg), 0))
    return [scatter_add(g, cummax(place, axis=y.arg), extent=x.shape[y.arg], axis=y.arg)]


cummax: Op = scan(
    "cummax", start="lowest", combine=maximum, result=promotion.promote, domain=((-4, 4),),
    ref=lambda x, *, axis: np.maximum.accumulate(x, axis=axis), grad=_to_last_extreme,
    doc="Running maximum along an axis; NaN from the first NaN on.",
)  # fmt: skip
cummin: Op = scan(
    "cummin", start="highest", combine=minimum, result=promotion.promote, domain=((-4, 4),),
    ref=lambda x, *, axis: np.minimum.accumulate(x, axis=axis), grad=_to_last_extreme,
    doc="Running minimum along an axis; NaN from the first NaN on.",
)  # fmt: skip

from trueno.ir.views import concatenate, getitem, permute, scatter_add  # noqa: E402 - gradient rules above need the views
