"""The maximum whose gradient goes to one element: what max pooling is made of."""

from __future__ import annotations

import math
from itertools import product

import numpy as np

from trueno import dtypes as dt
from trueno.ir import build, promotion
from trueno.ir.build import expand
from trueno.ir.elementwise import eq, ge, gt, isnan, like, maximum, where
from trueno.ir.node import Node, make
from trueno.ir.op import Op
from trueno.ir.reductions import max as max_rows
from trueno.ir.reductions import min as min_rows
from trueno.ir.reductions import reduction
from trueno.ir.views import scatter_add, slice_

#: Windows of up to that many elements are searched element by element, which is elementwise code over the positions.
COMPARED_IN_TURN = 64


def _flat_index(x: Node, axes: tuple[int, ...], dtype: np.dtype) -> Node:
    """Return each element's position in C order along axes."""
    index, stride = expand(build.const(0, dtype), shape=x.shape), 1
    for axis in reversed(axes):
        index = index + build.iota(x.shape, axis, dtype) * stride
        stride *= x.shape[axis]
    return index


def first_index(x: Node, axes: tuple[int, ...]) -> Node:
    """Return the position of the largest element of x along axes; they stay with extent 1.

    The first of equal elements counts, in C order, but the last NaN, as in PyTorch's pooling. The dtype is uint8 for
    windows of few elements, else int32.
    """
    if _few(x, axes):
        return _in_turn(x, axes)[1]
    index = _flat_index(x, axes, dt.int32)
    top = max_rows(x, axis=axes, keepdims=True)
    found = where(eq(x, expand(top, shape=x.shape)), index, build.const(np.iinfo(np.int32).max, dt.int32))
    if not dt.is_floating(x.dtype):
        return min_rows(found, axis=axes, keepdims=True)
    # NaNs are counted downwards from -1, so that the least index is that of the last one.
    least = min_rows(where(isnan(x), -1 - index, found), axis=axes, keepdims=True)
    return where(ge(least, 0), least, -1 - least)


def _few(x: Node, axes: tuple[int, ...]) -> bool:
    return math.prod(x.shape[axis] for axis in axes) <= COMPARED_IN_TURN


def _in_turn(x: Node, axes: tuple[int, ...]) -> tuple[Node, Node]:
    """Return the largest elements and their positions by comparing one element after the other with the best so far."""
    best = place = None
    for number, index in enumerate(product(*(range(x.shape[axis]) for axis in axes))):
        at = dict(zip(axes, index, strict=True))
        one = slice_(x, bounds=tuple((at[k], 1, 1) if k in at else (0, 1, n) for k, n in enumerate(x.shape)))
        here = expand(build.const(number, dt.uint8), shape=one.shape)
        if best is None or place is None:
            best, place = one, here
            continue
        better = gt(one, best)
        if dt.is_floating(x.dtype):
            better = better | isnan(one)
        best, place = where(better, one, best), where(better, here, place)
    assert best is not None and place is not None
    return best, place


def largest(x: Node, axes: tuple[int, ...]) -> tuple[Node, Node]:
    """Return the largest elements along axes, which stay, and their positions as `first_index` has them."""
    return _in_turn(x, axes) if _few(x, axes) else (max_rows(x, axis=axes, keepdims=True), first_index(x, axes))


def _to_place(g: Node, x: Node, place: Node, axes: tuple[int, ...]) -> Node:
    if place.shape[axes[-1]] != 1:
        (axis,) = axes
        return scatter_add(g, place, extent=x.shape[axis], axis=axis)
    chosen = eq(_flat_index(x, axes, place.dtype), expand(place, shape=x.shape))
    return where(chosen, expand(g, shape=x.shape), like(g, 0))


def _first_gradient(g: Node, y: Node, x: Node) -> list[Node]:
    return [_to_place(g, x, first_index(x, y.arg), y.arg)]


def _ref_first_max(x: np.ndarray, *, axis: tuple[int, ...]) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.max(x, axis=axis, keepdims=True)


first_max: Op = reduction(
    "first_max", start="lowest", combine=maximum, result=promotion.promote, ref=_ref_first_max, public=False,
    grad=_first_gradient, doc="Largest element over axes, whose gradient goes to the first of equal ones.",
)  # fmt: skip


def _record_picked(op: Op, best: Node, x: Node, place: Node, *, axes: tuple[int, ...]) -> Node:
    return make(op, (best, x, place), best.dtype, best.shape, axes)


picked: Op = Op(
    "picked", "assemble", 3, ref=lambda best, x, place: best, record=_record_picked, public=False,
    grad=lambda g, y, best, x, place: [None, _to_place(g, x, place, y.arg), None],
    doc="Elements of x along axes that are known already, at places among those: the gradient goes there. Of several "
    "axes, which count as one, there is one element; along a single axis there may be more.",
)  # fmt: skip
