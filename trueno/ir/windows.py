"""Sliding windows over axes, their transpose, and the diagonal view with which the transpose is computed."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from trueno import dtypes as dt
from trueno.ir import build
from trueno.ir.build import cast, normalise_axes, reshape
from trueno.ir.elementwise import eq, like, where
from trueno.ir.node import Node, Shape, make
from trueno.ir.op import Op
from trueno.ir.views import permute, slice_

#: How windows slide along one axis: (axis, size, step, dilation).
Slide = tuple[int, int, int, int]


def positions(extent: int, size: int, step: int, dilation: int) -> int:
    """Return how many windows of `size` elements, `dilation` apart, start every `step` elements of an axis."""
    return max((extent - dilation * (size - 1) - 1) // step + 1, 0)


def windowed_shape(shape: Shape, slides: Sequence[Slide]) -> Shape:
    """Return the shape of the windows: positions in place of the axes, then the windows' own axes."""
    result = list(shape)
    for axis, size, step, dilation in slides:
        result[axis] = positions(shape[axis], size, step, dilation)
    return (*result, *(size for _, size, _, _ in slides))


def _each(name: str, value: Any, count: int) -> tuple[int, ...]:
    """Return a positive integer for each windowed axis, from one for all or a sequence of them."""
    given = tuple(value) if isinstance(value, (tuple, list)) else (value,) * count
    numbers = tuple(operator.index(one) for one in given)
    if len(numbers) != count or min(numbers, default=1) < 1:
        raise ValueError(f"window: {name} must be a positive integer, or one for each of the {count} axes, got {value}")
    return numbers


def _record_window(op: Op, x: Node, axis: Any, size: Any, step: Any = 1, dilation: Any = 1) -> Node:
    axes = [normalise_axes(op.name, one, x.ndim, x.shape)[0] for one in (axis if isinstance(axis, tuple) else (axis,))]
    if len(set(axes)) != len(axes):
        raise ValueError(f"window: repeated axis in {axis}")
    count = len(axes)
    rest = (_each("size", size, count), _each("step", step, count), _each("dilation", dilation, count))
    slides = tuple(zip(axes, *rest, strict=True))
    for one, width, _, apart in slides:
        if apart * (width - 1) + 1 > x.shape[one]:
            raise ValueError(
                f"window: {width} elements {apart} apart do not fit axis {one} of size {x.shape[one]}, shape {x.shape}"
            )
    return make(op, (x,), x.dtype, windowed_shape(x.shape, slides), slides)


def _ref_window(x: np.ndarray, *, slides: tuple[Slide, ...]) -> np.ndarray:
    for axis, size, step, dilation in slides:
        index = step * np.arange(positions(x.shape[axis], size, step, dilation))[:, None] + dilation * np.arange(size)
        x = np.moveaxis(np.take(x, index, axis), axis + 1, -1)
    return x


window: Op = Op(
    "window", "view", 1, ref=_ref_window, record=_record_window, public=False,
    grad=lambda g, y, x: [fold(g, shape=x.shape, slides=y.arg)],
    doc="Windows of elements start, start + dilation, ... every `step` elements of axes, as further axes at the end.",
)  # fmt: skip


def _record_fold(op: Op, x: Node, *, shape: Shape, slides: tuple[Slide, ...]) -> Node:
    if windowed_shape(shape, slides) != x.shape:
        raise ValueError(
            f"fold: windows {slides} of shape {shape} have shape {windowed_shape(shape, slides)}, not {x.shape}"
        )
    wide = cast(x, dtype=dt.accumulator(x.dtype))
    return cast(make(op, (wide,), wide.dtype, tuple(shape), slides), dtype=x.dtype)


def _ref_fold(x: np.ndarray, *, shape: Shape, slides: tuple[Slide, ...]) -> np.ndarray:
    element = np.arange(math.prod(shape)).reshape(shape)
    result = np.zeros(math.prod(shape), x.dtype)
    np.add.at(result, _ref_window(element, slides=slides), x)
    return result.reshape(shape)


fold: Op = Op(
    "fold", "assemble", 1, ref=_ref_fold, record=_record_fold, public=False,
    grad=lambda g, y, x: [make(window, (g,), g.dtype, x.shape, y.arg)],
    doc="Windows added up at the places they were taken from (overlap-add): the transpose of window.",
)  # fmt: skip


def _record_interleave(op: Op, *pieces: Node, steps: tuple[tuple[int, int], ...], shape: Shape) -> Node:
    if len(pieces) == 1:
        return pieces[0]
    return make(op, pieces, pieces[0].dtype, tuple(shape), tuple(steps))


def interleaved_bounds(shape: Shape, steps: Sequence[tuple[int, int]]) -> Iterator[tuple[tuple[int, int, int], ...]]:
    """Yield the slice (start, step, size) of each axis into which the pieces of an interleaving go, in their order."""
    for remainders in product(*(range(step) for _, step in steps)):
        bounds = [(0, 1, n) for n in shape]
        for r, (axis, step) in zip(remainders, steps, strict=True):
            size = max(-(-(shape[axis] - r) // step), 0)
            bounds[axis] = (r if size else 0, step, size)
        yield tuple(bounds)


def _ref_interleave(*pieces: np.ndarray, steps: tuple[tuple[int, int], ...], shape: Shape) -> np.ndarray:
    result = np.empty(shape, pieces[0].dtype)
    for piece, bounds in zip(pieces, interleaved_bounds(shape, steps), strict=True):
        result[tuple(slice(start, None, step) for start, step, _ in bounds)] = piece
    return result


interleave: Op = Op(
    "interleave", "assemble", -1, ref=_ref_interleave, record=_record_interleave, public=False,
    grad=lambda g, y, *pieces: [slice_(g, bounds=bounds) for bounds in interleaved_bounds(y.shape, y.arg)],
    doc="Pieces whose elements lie `step` apart along axes of the result, in the order of their first positions.",
)  # fmt: skip


def _record_diagonal(op: Op, x: Node, *, axis1: int = 0, axis2: int = 1) -> Node:
    first, second = (normalise_axes(op.name, axis, x.ndim, x.shape)[0] for axis in (axis1, axis2))
    if first == second:
        raise ValueError(f"diagonal: axes {axis1} and {axis2} are the same, of shape {x.shape}")
    extent = min(x.shape[first], x.shape[second])
    x = slice_(x, bounds=tuple((0, 1, extent if k in (first, second) else n) for k, n in enumerate(x.shape)))
    shape = (*(n for k, n in enumerate(x.shape) if k not in (first, second)), extent)
    return make(op, (x,), x.dtype, shape, (first, second))


def _diagonal_gradient(g: Node, y: Node, x: Node) -> list[Node]:
    """Return g on the diagonal of the two axes, zeros elsewhere."""
    first, second = y.arg
    others = [k for k in range(x.ndim) if k not in (first, second)]
    order = tuple({**{axis: k for k, axis in enumerate(others)}, first: x.ndim - 2, second: x.ndim - 1}[k]
                  for k in range(x.ndim))  # fmt: skip
    column = build.expand(reshape(g, shape=(*g.shape[:-1], 1, g.shape[-1])), shape=(*g.shape, g.shape[-1]))
    inside = eq(build.iota(column.shape, x.ndim - 2), build.iota(column.shape, x.ndim - 1))
    return [permute(where(inside, column, like(g, 0)), axes=order)]


diagonal: Op = Op(
    "diagonal", "view", 1, record=_record_diagonal, public=False, grad=_diagonal_gradient,
    ref=lambda x, *, axis1, axis2: np.diagonal(x, axis1=axis1, axis2=axis2),
    doc="Elements of equal index along two axes, as one axis at the end.",
)  # fmt: skip
