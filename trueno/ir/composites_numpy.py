"""Functions of NumPy that are made of rows: differences, integrals, interpolation, sliding products."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from typing import Any

from trueno import dtypes as dt
from trueno.ir import build, promotion, views, windows
from trueno.ir.build import cast, expand, reshape
from trueno.ir.elementwise import (
    abs,
    add,
    eq,
    ge,
    gt,
    isnan,
    le,
    like,
    logical_and,
    logical_not,
    logical_or,
    lt,
    maximum,
    minimum,
    mul,
    ne,
    remainder,
    sub,
    where,
)
from trueno.ir.node import Node
from trueno.ir.reductions import sum


def _part(x: Node, axis: int, start: int | None, stop: int | None) -> Node:
    return views.getitem(x, (*(slice(None),) * axis, slice(start, stop)))


def _along(x: Node, ndim: int, axis: int) -> Node:
    """Return a vector as an array that lies along one of several axes; a number as it is."""
    return reshape(x, shape=tuple(x.size if k == axis else 1 for k in range(ndim))) if x.ndim == 1 else x


def diff(x: Node, *, n: int, axis: int) -> Node:
    """The n-th differences of neighbours; of bools, whether they differ."""
    for _ in range(n):
        late, early = _part(x, axis, 1, None), _part(x, axis, None, -1)
        x = ne(late, early) if x.dtype == dt.bool_ else sub(late, early)
    return x


def gradient(f: Node, dx: Any, *, axis: int, edge_order: int) -> Node:
    """Second-order differences inside, differences of order 1 or 2 at the edges (Quarteroni et al. 2007).

    `dx` is the distance of neighbours, one number or n - 1 of them.
    """
    f = cast(f, dtype=dt.float64) if f.dtype.kind in "iu" else f
    low, mid, high = _part(f, axis, None, -2), _part(f, axis, 1, -1), _part(f, axis, 2, None)
    first, last = _part(f, axis, 0, 1), _part(f, axis, -1, None)
    second, before = _part(f, axis, 1, 2), _part(f, axis, -2, -1)
    even = not isinstance(dx, Node) or dx.ndim == 0
    if even:
        inside = (high - low) / (dx * 2.0)
        left = right = dx
    else:
        one, two = (_along(_part(dx, 0, *cut), f.ndim, axis) for cut in ((None, -1), (1, None)))
        inside = low * (-two / (one * (one + two))) + mid * ((two - one) / (one * two)) + high * (
            one / (two * (one + two)))  # fmt: skip
        left, right = (_along(_part(dx, 0, *cut), f.ndim, axis) for cut in ((0, 1), (-1, None)))
    if edge_order == 1:
        ends = (second - first) / left, (last - before) / right
    else:
        third, earlier = _part(f, axis, 2, 3), _part(f, axis, -3, -2)
        if even:
            ends = (
                (first * -1.5 + second * 2.0 - third * 0.5) / dx,
                (earlier * 0.5 - before * 2.0 + last * 1.5) / dx,
            )
        else:
            next_, previous = (_along(_part(dx, 0, *cut), f.ndim, axis) for cut in ((1, 2), (-2, -1)))
            ends = (
                first * (-(left * 2.0 + next_) / (left * (left + next_)))
                + second * ((left + next_) / (left * next_))
                - third * (left / (next_ * (left + next_))),
                earlier * (right / (previous * (previous + right)))
                - before * ((right + previous) / (previous * right))
                + last * ((right * 2.0 + previous) / (right * (previous + right))),
            )
    return views.concatenate(ends[0], inside, ends[1], axis=axis)


def trapezoid(y: Node, d: Any, *, axis: int) -> Node:
    """The sum of the areas of trapezoids of widths `d` (a number, or an array that broadcasts along the axis)."""
    heights = _part(y, axis, 1, None) + _part(y, axis, None, -1)
    width = _along(d, y.ndim, axis) if isinstance(d, Node) else d
    return sum(width * heights / 2.0, axis=axis)


def interpolated(x: Node, x0: Node, x1: Node, y0: Node, y1: Node) -> Node:
    """The line through (x0, y0) and (x1, y1) at x; y0 where it is hit, also when the line is not finite."""
    slope = (y1 - y0) / (x1 - x0)
    value = slope * (x - x0) + y0
    # As NumPy does: where infinities meet, from the other end; and between equal values that value.
    value = where(isnan(value), slope * (x - x1) + y1, value)
    value = where(logical_and(isnan(value), eq(y0, y1)), y0, value)
    return where(eq(x, x0), y0, where(isnan(x), x, value))


def correlate(a: Node, v: Node, *, before: int, after: int) -> Node:
    """The products of a vector with each window of another one, which is padded with zeros."""
    dtype = promotion.common((a.dtype, v.dtype))
    padded = views.pad(cast(a, dtype=dtype), ((before, after),))
    return views.matmul(windows.window(padded, 0, v.size, 1, 1), cast(v, dtype=dtype))


def correlate_in_blocks(a: Node, v: Node, *, before: int, after: int, block: int) -> Node:
    """`correlate` as a product of matrices: `block` neighbouring results are a row.

    The second matrix holds the vector once in each column, one place further down each time, and zeros. So what is
    infinite or NaN in `a` spreads to its neighbours: elements have to be finite.
    """
    dtype = promotion.common((a.dtype, v.dtype))
    count = a.size + before + after - v.size + 1
    blocks = -(-count // block)
    padded = views.pad(cast(a, dtype=dtype), ((before, after + blocks * block - count),))
    banded = windows.window(views.pad(cast(v, dtype=dtype), ((block - 1, block - 1),)), 0, block, 1, 1)
    rows = windows.window(padded, 0, block + v.size - 1, block, 1)
    product = views.matmul(rows, views.getitem(banded, (slice(None), slice(None, None, -1))))
    return views.getitem(reshape(product, shape=(blocks * block,)), (slice(0, count),))


def _comparators(n: int) -> Iterator[tuple[int, int]]:
    """Yield the comparisons that sort n numbers: Batcher's merge exchange (Knuth, volume 3, algorithm 5.2.2M)."""
    p = 1
    while p < n:
        k = p
        while k >= 1:
            for j in range(k % p, n - k, 2 * k):
                for i in range(j, builtins.min(j + k, n - k)):
                    if i // (2 * p) == (i + k) // (2 * p):
                        yield i, i + k
            k //= 2
        p *= 2


def median_of_few(x: Node, *, axis: int) -> Node:
    """The middle element, or the mean of two, of a few floats along an axis: a sorting network, for all lines at once.

    NaN spreads to both results of a comparison, and the place in the middle depends on all elements: it is NaN then.
    """
    count = x.shape[axis]
    wires = [views.getitem(x, (*(slice(None),) * axis, k)) for k in range(count)]
    for low, high in _comparators(count):
        wires[low], wires[high] = minimum(wires[low], wires[high]), maximum(wires[low], wires[high])
    middle = wires[count // 2]
    return middle if count % 2 else mul(add(wires[count // 2 - 1], middle), like(middle, 0.5))


def equal_bins(x: Node, first: Any, last: Any, width: Any, scale: Any, count: Any) -> Node:
    """The numbers of the bins of equal width that floats lie in; `count` for those outside and for NaN.

    The estimate ``(x - first) * scale`` may be one off; the edges ``first + k * width``, of which the last is `last`,
    decide.
    """
    top = build.cast(like(x, 0) + count, dtype=dt.int64) - 1
    place = maximum(minimum(build.cast((x - first) * scale, dtype=dt.int64), top), like(top, 0))
    place = place - build.cast(lt(x, build.cast(place, dtype=x.dtype) * width + first), dtype=dt.int64)
    above = place + 1
    beyond = logical_and(ne(place, top), ge(x, build.cast(above, dtype=x.dtype) * width + first))
    inside = logical_and(ge(x, first), le(x, last))
    return where(inside, where(beyond, above, place), top + 1)


def sizes_of_groups(group: Node, *, extent: int, blocks: int) -> Node:
    """How often each number occurs in a vector: the counts of its blocks, which threads take, are added up."""
    rows = (blocks, group.size // blocks)
    ones = expand(build.const(1, dt.int64), shape=rows)
    return sum(views.scatter_add(ones, reshape(group, shape=rows), extent=extent, axis=1), axis=0)


def histogram(x: Node, first: Any, last: Any, width: Any, scale: Any, count: Any, *, extent: int, blocks: int) -> Node:
    """How many elements of a vector lie in each of `equal_bins`, and at the end how many in none."""
    return sizes_of_groups(equal_bins(x, first, last, width, scale, count), extent=extent, blocks=blocks)


def chosen_by(x: Node, table: Node, first: Any, last: Any) -> Node:
    """The elements of a table at the places that integers count from `first`; its outermost ones stand for all beyond.

    `last` is the last place: given as a number, it is no part of the code.
    A difference that 64 bits do not hold comes out beyond the other end of a table shorter than 2^63.
    """
    place = cast(x, dtype=dt.int64) - first
    return views.gather(table, maximum(minimum(place, last), like(place, 0)), axis=0)


def insertion_places(a: Node, v: Node, size: Any, *, steps: int, right: bool) -> Node:
    """Where the elements of a vector would be inserted into a sorted one of `size` < 2^`steps`; NaN is the largest.

    A binary search that has no branches, so that several elements are searched for at a time: the place is made of
    powers of two, of which each is kept if what precedes the place it leads to belongs before the element.
    """
    place = expand(build.const(0, dt.int64), shape=v.shape)
    for step in reversed(range(steps)):
        beyond = place + (1 << step)
        found = views.gather(a, beyond - 1, axis=0)
        precedes = logical_not(_sorts_before(v, found)) if right else _sorts_before(found, v)
        place = where(logical_and(le(beyond, size), precedes), beyond, place)
    return place


def _sorts_before(a: Node, b: Node) -> Node:
    """Whether elements come before others where NaN is behind all numbers."""
    before = lt(a, b)
    return logical_or(before, logical_and(isnan(b), logical_not(isnan(a)))) if dt.is_floating(a.dtype) else before


def kron(a: Node, b: Node) -> Node:
    """The products of all elements of one array with all of another, as blocks."""
    ndim = a.ndim if a.ndim > b.ndim else b.ndim
    a, b = (reshape(one, shape=(1,) * (ndim - one.ndim) + one.shape) for one in (a, b))
    outer = reshape(a, shape=[extent for n in a.shape for extent in (n, 1)])
    inner = reshape(b, shape=[extent for n in b.shape for extent in (1, n)])
    return reshape(mul(outer, inner), shape=tuple(n * m for n, m in zip(a.shape, b.shape)))


def cross(a: Node, b: Node) -> Node:
    """The cross products of vectors of two or three elements along the last axis; of two and two, a number."""
    shape = build.broadcast_shape("cross", [a.shape[:-1], b.shape[:-1]])
    x, y = ([expand(views.getitem(one, (..., k)), shape=shape) for k in range(one.shape[-1])] for one in (a, b))
    third = sub(mul(x[0], y[1]), mul(x[1], y[0]))
    if len(x) == len(y) == 2:
        return third
    # A vector of two elements has the third element 0.
    if len(x) == 2:
        return views.stack(mul(x[1], y[2]), -mul(x[0], y[2]), third, axis=-1)
    if len(y) == 2:
        return views.stack(-mul(x[2], y[1]), mul(x[2], y[0]), third, axis=-1)
    return views.stack(sub(mul(x[1], y[2]), mul(x[2], y[1])), sub(mul(x[2], y[0]), mul(x[0], y[2])), third, axis=-1)


def correction(step: Node, half: Any, period: Any, discont: Any, *, halves: bool) -> Node:
    """What must be added to differences of neighbours so that none exceeds half a period.

    `halves` says whether `half` is exactly half a period: a step of that size keeps its sign.
    """
    centred = remainder(step + half, period) - half
    if halves:
        centred = where(logical_and(eq(centred, -half), gt(step, 0)), half, centred)
    return where(lt(abs(step), discont), like(step, 0), centred - step)
