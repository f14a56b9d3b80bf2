"""Matrices made of others: triangles, diagonals, powers."""

from __future__ import annotations

from typing import Any

from trueno import dtypes as dt
from trueno.ir import build, views
from trueno.ir.build import iota
from trueno.ir.elementwise import ge, gt, like, where
from trueno.ir.node import Node
from trueno.ir.reductions import cumprod


def _distance(x: Node, k: int) -> Node:
    """Return for each element how far it lies below the k-th diagonal of its matrix."""
    row, column = iota(x.shape, x.ndim - 2), iota(x.shape, x.ndim - 1)
    return row + build.param(k, dt.int64) - column


def tril(x: Node, *, k: int) -> Node:
    """The matrices with zeros above the k-th diagonal."""
    distance = _distance(x, k)
    return where(ge(distance, like(distance, 0)), x, like(x, 0))


def triu(x: Node, *, k: int) -> Node:
    """The matrices with zeros below the k-th diagonal."""
    distance = _distance(x, k)
    return where(gt(distance, like(distance, 0)), like(x, 0), x)


def _run(rows: int, columns: int, offset: int) -> tuple[int, int, int]:
    """Return row and column of a diagonal's first element, and its length."""
    row, column = max(-offset, 0), max(offset, 0)
    return row, column, max(min(rows - row, columns - column), 0)


def diagonal_matrix(x: Node, *, k: int) -> Node:
    """The matrix with a vector on its k-th diagonal: every (n + 1)-th of its elements in C order."""
    (count,) = x.shape
    n = count + abs(k)
    row, column, _ = _run(n, n, k)
    start = row * n + column if count else 0
    return build.reshape(views.place(x, shape=(n * n,), bounds=((start, n + 1, count),)), shape=(n, n))


def _moved(ndim: int, axis1: int, axis2: int) -> list[int]:
    return [k for k in range(ndim) if k not in (axis1, axis2)] + [axis1, axis2]


def diagonal(x: Node, *, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Node:
    """The diagonal of the matrices along two axes, as the last axis."""
    x = views.permute(x, axes=_moved(x.ndim, axis1, axis2))
    *batch, rows, columns = x.shape
    row, column, count = _run(rows, columns, offset)
    bounds = tuple((0, 1, n) for n in batch)
    if not count:
        return build.reshape(views.slice_(x, bounds=(*bounds, (0, 1, 0), (0, 1, columns))), shape=(*batch, 0))
    line = build.reshape(x, shape=(*batch, rows * columns))
    return views.slice_(line, bounds=(*bounds, (row * columns + column, columns + 1, count)))


def diagonal_layout(x: Any, *, offset: int = 0, axis1: int = 0, axis2: int = 1) -> tuple:
    """Return shape, strides and offset of the view that `diagonal` is."""
    strides = x._layout.strides
    row, column, count = _run(x.shape[axis1], x.shape[axis2], offset)
    rest = _moved(x.ndim, axis1, axis2)[:-2]
    start = row * strides[axis1] + column * strides[axis2] if count else 0
    return (
        (*(x.shape[k] for k in rest), count),
        (*(strides[k] for k in rest), strides[axis1] + strides[axis2]),
        start,
    )


def vander(x: Node, *, columns: int, increasing: bool) -> Node:
    """The powers 0, 1, ..., columns - 1 of a vector's elements as columns; the highest first, unless increasing."""
    (count,) = x.shape
    ones = build.expand(like(x, 1), shape=(count, 1))
    base = build.expand(build.reshape(x, shape=(count, 1)), shape=(count, columns - 1))
    powers = views.concatenate(ones, cumprod(base, axis=1), axis=1) if columns > 1 else ones
    return powers if increasing else views.flip(powers, 1)
