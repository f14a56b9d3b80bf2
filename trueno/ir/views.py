"""Views (index maps) and the rows that assemble arrays from pieces."""

from __future__ import annotations

import builtins
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from trueno import dtypes as dt
from trueno.ir import build, pairs, promotion
from trueno.ir.build import as_node, cast, given_type, normalise_axes, reshape
from trueno.ir.node import Node, make
from trueno.ir.op import Op


def _nodes(values: Sequence[Any]) -> list[Node]:
    """Return the values as nodes of their common dtype."""
    dtype = promotion.common(tuple(given_type(one) for one in values))
    return [as_node(one, dtype) for one in values]


# --- views ------------------------------------------------------------------------------------------------------------


def _record_permute(op: Op, x: Node, *, axes: Sequence[int] | None = None) -> Node:
    order = tuple(reversed(range(x.ndim))) if axes is None else tuple(int(axis) for axis in axes)
    normalised = tuple(axis + x.ndim if axis < 0 else axis for axis in order)
    if sorted(normalised) != list(range(x.ndim)):
        raise ValueError(f"permute: axes {order} do not match an array of shape {x.shape}")
    if normalised == tuple(range(x.ndim)):
        return x
    return make(op, (x,), x.dtype, tuple(x.shape[axis] for axis in normalised), normalised)


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(axes.index(k) for k in range(len(axes)))


permute: Op = Op(
    "permute", "view", 1, ref=lambda x, *, axes: np.transpose(x, axes), record=_record_permute,
    grad=lambda g, y, x: [permute(g, axes=_inverse(y.arg))], doc="Axes in another order.",
)  # fmt: skip


def _record_slice(op: Op, x: Node, *, bounds: tuple[tuple[int, int, int], ...]) -> Node:
    if builtins.all((start, step, size) == (0, 1, n) for (start, step, size), n in zip(bounds, x.shape, strict=True)):
        return x
    return make(op, (x,), x.dtype, tuple(size for _, _, size in bounds), bounds)


def _ref_slice(x: np.ndarray, *, bounds: tuple[tuple[int, int, int], ...]) -> np.ndarray:
    for axis, (start, step, size) in enumerate(bounds):
        x = np.take(x, start + step * np.arange(size), axis=axis)
    return x


def _slice_gradient(g: Node, y: Node, x: Node) -> list[Node]:
    return [place(g, shape=x.shape, bounds=y.arg)]


slice_: Op = Op(
    "slice", "view", 1, ref=_ref_slice, record=_record_slice, grad=_slice_gradient, public=False,
    doc="Elements start, start + step, ... along each axis; ``bounds`` is (start, step, size) per axis.",
)  # fmt: skip


def resolve_index(shape: tuple[int, ...], index: Any) -> tuple[list[tuple[int, int, int]], list[int | None]]:
    """Return slice bounds per axis, and the result's axes: an axis of the source, or None for a new one.

    Handles integers, slices of any step, Ellipsis and None.

    Raises
    ------
    IndexError
        As NumPy's, with the shape.
    """
    items = index if isinstance(index, tuple) else (index,)
    used = builtins.sum(1 for item in items if item is not None and item is not Ellipsis)
    if used > len(shape):
        raise IndexError(
            f"too many indices for array: array is {len(shape)}-dimensional, but {used} were indexed; shape {shape}"
        )
    if builtins.sum(1 for item in items if item is Ellipsis) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    if not builtins.any(item is Ellipsis for item in items):
        items = (*items, Ellipsis)
    bounds: list[tuple[int, int, int]] = []
    axes: list[int | None] = []
    for item in items:
        axis = len(bounds)
        if item is None:
            axes.append(None)
        elif item is Ellipsis:
            for extent in shape[axis : len(shape) - (used - axis)]:
                axes.append(len(bounds))
                bounds.append((0, 1, extent))
        elif isinstance(item, slice):
            start, stop, step = item.indices(shape[axis])
            axes.append(axis)
            size = len(range(start, stop, step))
            # A single element has no next one: its step says nothing, and may exceed any stride.
            bounds.append((start if size else 0, step if size > 1 else 1, size))
        elif isinstance(item, (numbers.Integral, np.integer)) and not isinstance(item, (bool, np.bool_)):
            position = int(item)
            if not -shape[axis] <= position < shape[axis]:
                raise IndexError(
                    f"index {position} is out of bounds for axis {axis} with size {shape[axis]}, shape {shape}"
                )
            bounds.append((position % shape[axis], 1, 1))
        else:
            raise IndexError(
                "only integers, slices (`:`), ellipsis (`...`) and None are valid basic indices, got "
                f"{type(item).__name__}"
            )
    return bounds, axes


def getitem(x: Node, index: Any) -> Node:
    """Record basic indexing: integers, slices of any step, Ellipsis and None."""
    bounds, axes = resolve_index(x.shape, index)
    cut = slice_(x, bounds=tuple(bounds))
    return reshape(cut, shape=tuple(1 if axis is None else bounds[axis][2] for axis in axes))


def flip(x: Node, axis: Any = None) -> Node:
    """Record the order of elements reversed along axes."""
    axes = normalise_axes("flip", axis, x.ndim, x.shape)
    bounds = tuple((builtins.max(n - 1, 0), -1, n) if k in axes else (0, 1, n) for k, n in enumerate(x.shape))
    return slice_(x, bounds=bounds)


def squeeze(x: Node, axis: Any = None) -> Node:
    """Record the removal of axes of extent 1 (all of them when axis is None)."""
    if axis is None:
        axes = tuple(k for k, n in enumerate(x.shape) if n == 1)
    else:
        axes = normalise_axes("squeeze", axis, x.ndim, x.shape)
        wide = [k for k in axes if x.shape[k] != 1]
        if wide:
            raise ValueError(f"squeeze: cannot remove axis {wide[0]} of size {x.shape[wide[0]]} from shape {x.shape}")
    return reshape(x, shape=tuple(n for k, n in enumerate(x.shape) if k not in axes))


def unsqueeze(x: Node, axis: Any) -> Node:
    """Record new axes of extent 1 at these positions of the result."""
    count = 1 if isinstance(axis, numbers.Integral) else len(axis)
    axes = normalise_axes("unsqueeze", axis, x.ndim + count, x.shape)
    extents = iter(x.shape)
    return reshape(x, shape=tuple(1 if k in axes else next(extents) for k in range(x.ndim + count)))


# --- assembling -------------------------------------------------------------------------------------------------------


def _record_place(op: Op, x: Node, *, shape: tuple[int, ...], bounds: tuple[tuple[int, int, int], ...]) -> Node:
    return make(op, (x,), x.dtype, tuple(shape), bounds)


def _ref_place(x: np.ndarray, *, shape: tuple[int, ...], bounds: tuple[tuple[int, int, int], ...]) -> np.ndarray:
    result = np.zeros(shape, x.dtype)
    result[np.ix_(*[start + step * np.arange(size) for start, step, size in bounds])] = x
    return result


place: Op = Op(
    "place", "assemble", 1, ref=_ref_place, record=_record_place, public=False,
    grad=lambda g, y, x: [slice_(g, bounds=y.arg)],
    doc="Zeros of a shape with the operand put at a slice of it: the transpose of slice.",
)  # fmt: skip


def _record_concatenate(op: Op, *pieces: Any, axis: int = 0) -> Node:
    if not pieces:
        raise ValueError("concatenate: need at least one array")
    nodes = _nodes(pieces)
    first = nodes[0]
    if first.ndim == 0:
        raise ValueError("concatenate: zero-dimensional arrays cannot be concatenated; use stack")
    axis = normalise_axes("concatenate", axis, first.ndim, first.shape)[0]
    for node in nodes[1:]:
        rest = [n for k, n in enumerate(node.shape) if k != axis]
        if node.ndim != first.ndim or rest != [n for k, n in enumerate(first.shape) if k != axis]:
            shapes = " ".join(str(node.shape) for node in nodes)
            raise ValueError(f"concatenate: all shapes must be equal except along axis {axis}, got {shapes}")
    if len(nodes) == 1:
        return nodes[0]
    extent = builtins.sum(node.shape[axis] for node in nodes)
    shape = tuple(extent if k == axis else n for k, n in enumerate(first.shape))
    return make(op, tuple(nodes), first.dtype, shape, axis)


def _concatenate_gradient(g: Node, y: Node, *pieces: Node) -> list[Node]:
    axis, offset, parts = y.arg, 0, []
    for piece in pieces:
        bounds = tuple((offset, 1, piece.shape[axis]) if k == axis else (0, 1, n) for k, n in enumerate(piece.shape))
        parts.append(slice_(g, bounds=bounds))
        offset += piece.shape[axis]
    return parts


concatenate: Op = Op(
    "concatenate", "assemble", -1, ref=lambda *x, axis: np.concatenate(x, axis), record=_record_concatenate,
    grad=_concatenate_gradient, pair=pairs.concatenate, doc="Arrays joined along an existing axis.",
)  # fmt: skip


def stack(*pieces: Any, axis: int = 0) -> Node:
    """Record arrays of equal shape joined along a new axis."""
    if not pieces:
        raise ValueError("stack: need at least one array")
    nodes = _nodes(pieces)
    if len({node.shape for node in nodes}) > 1:
        raise ValueError(f"stack: all shapes must be equal, got {' '.join(str(node.shape) for node in nodes)}")
    return concatenate(*(unsqueeze(node, axis) for node in nodes), axis=axis)


def pad(x: Node, widths: Any, value: Any = 0) -> Node:
    """Record an array padded with a constant; `widths` is (before, after) per axis, or one int for all."""
    if isinstance(widths, numbers.Integral):
        widths = ((int(widths), int(widths)),) * x.ndim
    elif len(widths) == 2 and builtins.all(isinstance(one, numbers.Integral) for one in widths) and x.ndim != 2:
        widths = (tuple(widths),) * x.ndim
    widths = tuple(
        (int(one), int(one)) if isinstance(one, numbers.Integral) else (int(one[0]), int(one[1])) for one in widths
    )
    if len(widths) != x.ndim:
        raise ValueError(f"pad: {len(widths)} pairs of widths for an array of shape {x.shape}")
    if builtins.any(one < 0 for pair in widths for one in pair):
        raise ValueError(f"pad: widths {widths} cannot be negative")
    for axis, (before, after) in enumerate(widths):
        shapes = [tuple(w if k == axis else n for k, n in enumerate(x.shape)) for w in (before, after)]
        pieces = [build.expand(as_node(value, x.dtype), shape=shape) for shape in shapes]
        parts = ([pieces[0]] if before else []) + [x] + ([pieces[1]] if after else [])
        x = concatenate(*parts, axis=axis)
    return x


# --- gather and scatter -----------------------------------------------------------------------------------------------


def _indices(op: str, index: Any) -> Node:
    if not isinstance(index, Node) or dt.is_floating(index.dtype) or index.dtype == dt.bool_:
        got = index.dtype if isinstance(index, Node) else type(index).__name__
        raise TypeError(f"{op}: indices must be an integer array, got {got}")
    return cast(index, dtype=dt.int64)


def _record_gather(op: Op, x: Node, index: Any, *, axis: int = 0) -> Node:
    index = _indices(op.name, index)
    axis = normalise_axes(op.name, axis, x.ndim, x.shape)[0]
    if index.ndim != x.ndim:
        raise ValueError(f"{op.name}: array of shape {x.shape} and indices of shape {index.shape} differ in dimensions")
    shape = build.broadcast_shape(op.name, [tuple(1 if k == axis else n for k, n in enumerate(x.shape)), index.shape])
    x = build.expand(x, shape=tuple(x.shape[axis] if k == axis else n for k, n in enumerate(shape)))
    return make(op, (x, build.expand(index, shape=shape)), x.dtype, shape, axis)


def _wrapped(index: np.ndarray, extent: int) -> np.ndarray:
    return np.clip(np.where(index < 0, index + extent, index), 0, builtins.max(extent - 1, 0))


gather: Op = Op(
    "gather", "gather", 2, record=_record_gather,
    ref=lambda x, index, *, axis: np.take_along_axis(x, _wrapped(index, x.shape[axis]), axis),
    grad=lambda g, y, x, index: [scatter_add(g, index, extent=x.shape[y.arg], axis=y.arg), None],
    doc="Elements taken along an axis by an index array (take_along_axis); negative indices count from the end.",
)  # fmt: skip


def _record_scatter(op: Op, x: Node, index: Any, *, extent: int, axis: int = 0) -> Node:
    index = _indices(op.name, index)
    axis = normalise_axes(op.name, axis, x.ndim, x.shape)[0]
    shape = build.broadcast_shape(op.name, [x.shape, index.shape])
    x, index = build.expand(x, shape=shape), build.expand(index, shape=shape)
    half = x.dtype in dt.HALF
    source = cast(x, dtype=dt.float32) if half else x
    result = tuple(int(extent) if k == axis else n for k, n in enumerate(shape))
    return cast(make(op, (source, index), source.dtype, result, axis), dtype=x.dtype)


def _ref_scatter(x: np.ndarray, index: np.ndarray, *, shape: tuple[int, ...], axis: int) -> np.ndarray:
    result = np.zeros(shape, x.dtype)
    where_to: list[np.ndarray] = list(np.indices(x.shape, sparse=True))
    where_to[axis] = _wrapped(index, shape[axis])
    np.add.at(result, tuple(where_to), x)
    return result


scatter_add: Op = Op(
    "scatter_add", "scatter", 2, record=_record_scatter, ref=_ref_scatter,
    grad=lambda g, y, x, index: [gather(g, index, axis=y.arg), None],
    doc="Zeros with the elements added at positions along an axis given by an index array: the transpose of gather.",
)  # fmt: skip

# --- contraction ------------------------------------------------------------------------------------------------------


def _record_matmul(op: Op, a: Node, b: Node) -> Node:
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError(f"matmul: operands of shapes {a.shape} and {b.shape}; neither may be 0-d, use * for scalars")
    inner = b.shape[-2] if b.ndim > 1 else b.shape[0]
    if a.shape[-1] != inner:
        raise ValueError(
            f"matmul: shapes {a.shape} and {b.shape} do not match: the last axis of the first has {a.shape[-1]} "
            f"elements, axis {-2 if b.ndim > 1 else -1} of the second {inner}"
        )
    dtype = promotion.common((a.dtype, b.dtype))
    left, right = (
        (reshape(a, shape=(1, *a.shape)) if a.ndim == 1 else a),
        (reshape(b, shape=(*b.shape, 1)) if b.ndim == 1 else b),
    )
    batch = build.broadcast_shape(op.name, [left.shape[:-2], right.shape[:-2]])
    left = build.expand(cast(left, dtype=dtype), shape=(*batch, *left.shape[-2:]))
    right = build.expand(cast(right, dtype=dtype), shape=(*batch, *right.shape[-2:]))
    result = make(op, (left, right), dt.accumulator(dtype), (*batch, left.shape[-2], right.shape[-1]), None)
    shape = batch + ((a.shape[-2],) if a.ndim > 1 else ()) + ((b.shape[-1],) if b.ndim > 1 else ())
    return cast(reshape(result, shape=shape), dtype=dtype)


def swap_last(x: Node) -> Node:
    """Record the last two axes exchanged."""
    return permute(x, axes=(*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


def _ref_matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.dtype == dt.bool_:
        return np.matmul(a, b)
    wide = dt.accumulator(a.dtype)
    return np.matmul(a.astype(wide), b.astype(wide))


matmul: Op = Op(
    "matmul", "contraction", 2, ref=_ref_matmul, result=promotion.promote, record=_record_matmul,
    domain=((-1, 1), (-1, 1)),
    grad=lambda g, y, a, b: [
        matmul(cast(g, dtype=a.dtype), swap_last(b)), matmul(swap_last(a), cast(g, dtype=b.dtype)),
    ],
    pair=pairs.matmul, doc="Matrix product, batched over leading axes, with NumPy's rules for 1-D operands.",
)  # fmt: skip
