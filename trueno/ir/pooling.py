"""The maximum whose gradient goes to one element: what max pooling is made of."""

from __future__ import annotations

import numpy as np

from trueno import dtypes as dt
from trueno.ir import build, promotion
from trueno.ir.build import expand
from trueno.ir.elementwise import eq, ge, isnan, like, maximum, where
from trueno.ir.node import Node
from trueno.ir.op import Op
from trueno.ir.reductions import min as min_rows
from trueno.ir.reductions import reduction


def _flat_index(x: Node, axes: tuple[int, ...]) -> Node:
    """Return each element's position in C order along axes, as int32."""
    index, stride = expand(build.const(0, dt.int32), shape=x.shape), 1
    for axis in reversed(axes):
        index = index + build.iota(x.shape, axis, dt.int32) * stride
        stride *= x.shape[axis]
    return index


def first_index(x: Node, y: Node, axes: tuple[int, ...]) -> Node:
    """Return the position of the element that is the maximum y of x along axes, as int32; the axes stay.

    The first of equal elements counts, in C order, but the last NaN, as in PyTorch's pooling.
    """
    index = _flat_index(x, axes)
    found = where(eq(x, expand(y, shape=x.shape)), index, build.const(np.iinfo(np.int32).max, dt.int32))
    if not dt.is_floating(x.dtype):
        return min_rows(found, axis=axes, keepdims=True)
    # NaNs are counted downwards from -1, so that the least index is that of the last one.
    least = min_rows(where(isnan(x), -1 - index, found), axis=axes, keepdims=True)
    return where(ge(least, 0), least, -1 - least)


def _first_gradient(g: Node, y: Node, x: Node) -> list[Node]:
    chosen = eq(_flat_index(x, y.arg), expand(first_index(x, y, y.arg), shape=x.shape))
    return [where(chosen, expand(g, shape=x.shape), like(g, 0))]


def _ref_first_max(x: np.ndarray, *, axis: tuple[int, ...]) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.max(x, axis=axis, keepdims=True)


first_max: Op = reduction(
    "first_max", start="lowest", combine=maximum, result=promotion.promote, ref=_ref_first_max, public=False,
    grad=_first_gradient, doc="Largest element over axes, whose gradient goes to the first of equal ones.",
)  # fmt: skip
