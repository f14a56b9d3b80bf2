"""Reductions of the elements that a mask chooses, and those that skip NaNs."""

from __future__ import annotations

from typing import Any

from trueno import dtypes as dt
from trueno.ir import build, promotion
from trueno.ir.build import cast, expand, normalise_axes
from trueno.ir.composites import argmax, argmin, squared_size
from trueno.ir.elementwise import isnan, like, logical_and, logical_not, sqrt
from trueno.ir.elementwise import where as select
from trueno.ir.node import Node
from trueno.ir.op import Op
from trueno.ir.reductions import any, cumprod, cumsum, drop_axes, neutral, reduced, reduced_axes, sum


def _chosen(x: Node, where: Any, skip: bool) -> Node | None:
    """Return which elements take part: those of the mask, without NaNs where these are skipped; None for all."""
    mask = None if where is None else cast(where, dtype=dt.bool_)
    if skip and dt.is_inexact(x.dtype):
        plain = logical_not(isnan(x))
        mask = plain if mask is None else logical_and(mask, plain)
    return mask


def _shaped(x: Node, mask: Node) -> tuple[Node, Node]:
    shape = build.broadcast_shape("where", [x.shape, mask.shape])
    return expand(x, shape=shape), expand(mask, shape=shape)


def extreme(
    op: Op, x: Node, where: Any = None, initial: Any = None, axis: Any = None, *, keepdims: bool = False,
    dtype: Any = None,
) -> Node:  # fmt: skip
    """The largest or smallest element that is not NaN; NaN where there is none and no initial value."""
    mask = _chosen(x, where, True)
    found = reduced(op, x, mask, initial, axis, keepdims=keepdims, dtype=dtype)
    if mask is None or initial is not None:
        return found
    x, mask = _shaped(x, mask)
    return select(any(mask, axis=axis, keepdims=keepdims), found, like(found, float("nan")))


def without_nan(
    op: Op, x: Node, where: Any = None, initial: Any = None, axis: Any = None, *, keepdims: bool = False,
    dtype: Any = None,
) -> Node:  # fmt: skip
    """A sum or product of the elements that are not NaN."""
    return reduced(op, x, _chosen(x, where, True), initial, axis, keepdims=keepdims, dtype=dtype)


def _float(x: Node, name: str, dtype: Any) -> tuple[Node, Any]:
    """Return the operand in the dtype that it is averaged in, and the dtype of the result."""
    wanted = x.dtype if dtype is None else dt.as_dtype(dtype)
    computed = promotion.averaged(name, (wanted,))[0]
    return cast(cast(x, dtype=wanted), dtype=dt.accumulator(computed)), computed if dtype is None else wanted


def _axes(name: str, axis: Any, x: Node, skip: bool) -> tuple[int, ...]:
    """Return the axes of an average: as NumPy, a 0-d array has none, unless NaNs are skipped."""
    return reduced_axes(name, axis, x) if skip else normalise_axes(name, axis, x.ndim, x.shape)


def _count(x: Node, mask: Node, axes: tuple[int, ...]) -> Node:
    return cast(sum(cast(mask, dtype=dt.int64), axis=axes, keepdims=True), dtype=dt.real_of(x.dtype))


def mean(
    x: Node, where: Any = None, axis: Any = None, *, keepdims: bool = False, dtype: Any = None, skip: bool = False
) -> Node:
    """Mean of the chosen elements; NaN where there is none."""
    mask = _chosen(x, where, skip)
    skip = skip and dt.is_inexact(x.dtype)
    x, result = _float(x, "mean", dtype)
    x, mask = _shaped(x, build.const(True, dt.bool_) if mask is None else mask)
    axes = _axes("mean", axis, x, skip)
    value = reduced(sum, x, mask, None, axes, keepdims=True) / _count(x, mask, axes)
    return cast(value if keepdims else drop_axes(value, axes), dtype=result)


def var(
    x: Node, where: Any = None, centre: Any = None, ddof: float = 0.0, axis: Any = None, *, keepdims: bool = False,
    dtype: Any = None, skip: bool = False, root: bool = False,
) -> Node:  # fmt: skip
    """Variance of the chosen elements, or its root; NaN where `skip` leaves no more than ddof of them."""
    mask = _chosen(x, where, skip)
    skip = skip and dt.is_inexact(x.dtype)
    x, result = _float(x, "var", dtype)
    x, mask = _shaped(x, build.const(True, dt.bool_) if mask is None else mask)
    # What is left out must not get into the gradient as NaN * 0.
    x = select(mask, x, like(x, 0))
    axes = _axes("var", axis, x, skip)
    count = _count(x, mask, axes)
    if centre is None:
        centre = reduced(sum, x, mask, None, axes, keepdims=True) / count
    total = reduced(sum, squared_size(x - cast(centre, dtype=x.dtype)), mask, None, axes, keepdims=True)
    freedom = count - cast(build.as_node(ddof, count.dtype), dtype=count.dtype)
    positive = freedom > like(freedom, 0)
    none = like(freedom, float("nan")) if skip else like(freedom, 0)
    value = total / select(positive, freedom, none)
    value = sqrt(value) if root else value
    return cast(value if keepdims else drop_axes(value, axes), dtype=dt.real_of(result))


def std(
    x: Node, where: Any = None, centre: Any = None, ddof: float = 0.0, axis: Any = None, *, keepdims: bool = False,
    dtype: Any = None, skip: bool = False,
) -> Node:  # fmt: skip
    """Standard deviation of the chosen elements: the root of `var`."""
    return var(x, where, centre, ddof, axis, keepdims=keepdims, dtype=dtype, skip=skip, root=True)


def _plain(x: Node, value: Any) -> Node:
    """Return the elements with NaNs replaced by a number."""
    return select(isnan(x), build.const(value, x.dtype), x) if dt.is_inexact(x.dtype) else x


def nancumsum(x: Node, axis: Any = None, *, dtype: Any = None) -> Node:
    """Running sum along an axis that takes NaN for 0."""
    return cumsum(_plain(x, 0), axis=axis, dtype=dtype)


def nancumprod(x: Node, axis: Any = None, *, dtype: Any = None) -> Node:
    """Running product along an axis that takes NaN for 1."""
    return cumprod(_plain(x, 1), axis=axis, dtype=dtype)


def place(x: Node, axis: Any = None, *, keepdims: bool = False, largest: bool = True) -> Node:
    """Index of the first extreme along an axis that is not NaN; of the first element where there is none."""
    from trueno.ir.reductions import max, min

    number = neutral(max if largest else min, x.dtype)
    if dt.is_floating(x.dtype):
        # A number of run time: see `reductions.reduced`.
        x = select(isnan(x), build.param(number, x.dtype), x)
    else:
        x = _plain(x, number)
    return (argmax if largest else argmin)(x, axis, keepdims=keepdims)
