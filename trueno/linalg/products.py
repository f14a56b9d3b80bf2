"""Products of matrices and vectors, diagonals and traces: kernels of Trueno's own, on every device."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple, cast

import numpy as np

from trueno import dtypes as dt
from trueno import functions
from trueno.creation import from_numpy
from trueno.functions import ViewOperation, operations
from trueno.ir import composites_numpy, matrices
from trueno.ir.build import normalise_axes
from trueno.linalg.algebra import need_square
from trueno.linalg.solving import inv
from trueno.runtime.inplace import is_tensor
from trueno.runtime.operation import Operation
from trueno.tensor import Tensor

#: The cross product of vectors of two or three elements along the last axes.
cross_of_last = Operation("cross", composites_numpy.cross, 2)
_diagonal = ViewOperation("diagonal", matrices.diagonal, matrices.diagonal_layout, readonly=True)


def as_tensor(value: Any) -> Tensor:
    """Return an argument as a tensor on its device; lists are read in float64 and int64."""
    return value if is_tensor(value) else from_numpy(np.asarray(value))


def in_order(name: str, axes: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return one axis or several of a shape as positions, in the order in which they are given.

    Raises
    ------
    numpy.exceptions.AxisError
        For an axis that the array does not have.
    ValueError
        For an axis that is given twice.
    """
    if isinstance(axes, str):
        raise TypeError(f"{name}: axes are integers, not the text {axes!r}")
    # NumPy, too, takes a float for the integer below it here.
    many = tuple(axes) if isinstance(axes, (tuple, list, range)) else (int(axes),)
    found = tuple(normalise_axes(name, int(axis), len(shape), shape)[0] for axis in many)
    if len(set(found)) != len(found):
        raise ValueError(f"{name}: duplicate axes {many} of an array of shape {shape}")
    return found


def matmul(x1: Any, x2: Any, /) -> Tensor:
    """Return the matrix product ``x1 @ x2``; see `trueno.matmul`."""
    return operations["matmul"].call(as_tensor(x1), as_tensor(x2))


def matrix_transpose(x: Any, /) -> Tensor:
    """Return a view with the last two axes exchanged.

    Raises
    ------
    ValueError
        For fewer than two dimensions.
    """
    x = as_tensor(x)
    if x.ndim < 2:
        raise ValueError(f"matrix_transpose: array must be at least 2-dimensional, but has shape {x.shape}")
    return functions.swapaxes(x, -1, -2)


def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Tensor:
    """Return the sums of products along an axis, of conj(x1) and x2; the other axes broadcast.

    Parameters
    ----------
    x1, x2 : array_like of shape (..., n)
    axis : int
        Counted in each array by itself, before they are broadcast.

    Raises
    ------
    ValueError
        If the extents along the axis differ.
    """
    axis = operator.index(axis)
    left, right = (functions.moveaxis(as_tensor(one), axis, -1) for one in (x1, x2))
    if left.shape[-1] != right.shape[-1]:
        raise ValueError(f"vecdot: extents along axis {axis} differ: {left.shape[-1]} and {right.shape[-1]}")
    left = functions.conj(left) if dt.is_complex(left.dtype) else left
    product = operations["matmul"].call(left.unsqueeze(-2), right.unsqueeze(-1))
    return product.squeeze((-2, -1))


def outer(x1: Any, x2: Any, /) -> Tensor:
    """Return the products of each element of one vector with each of another, of shape (n, m).

    Raises
    ------
    ValueError
        If an operand is not 1-D.
    """
    left, right = as_tensor(x1), as_tensor(x2)
    if left.ndim != 1 or right.ndim != 1:
        raise ValueError(f"outer: Input arrays must be one-dimensional, but they are x1.ndim={left.ndim} and "
                         f"x2.ndim={right.ndim}")  # fmt: skip
    return operations["mul"].call(left.unsqueeze(-1), right)


def cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Tensor:
    """Return the cross product of vectors of three elements along an axis; the other axes broadcast.

    Raises
    ------
    ValueError
        If an extent along the axis is not 3.
    """
    axis = operator.index(axis)
    left, right = (functions.moveaxis(as_tensor(one), axis, -1) for one in (x1, x2))
    if left.shape[-1] != 3 or right.shape[-1] != 3:
        raise ValueError(
            f"cross: both input arrays must be vectors of 3 elements along axis {axis}, but have shapes "
            f"{as_tensor(x1).shape} and {as_tensor(x2).shape}"
        )
    return functions.moveaxis(cross_of_last.call(left, right), -1, axis)


def tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Tensor:
    """Return the sum of products over axes of two arrays.

    Parameters
    ----------
    x1, x2 : array_like
    axes : int or pair of sequences of int
        The last `axes` axes of `x1` and the first of `x2`; or the axes of each, which belong together in order.

    Returns
    -------
    Tensor
        The remaining axes of `x1`, then those of `x2`.

    Raises
    ------
    ValueError
        If the extents of axes that belong together differ, or there is another number of axes.
    """
    left, right = as_tensor(x1), as_tensor(x2)
    if isinstance(axes, (int, np.integer)):
        how = _matrices(left.shape, right.shape, int(axes))
    else:
        first, second = (tuple(one) if isinstance(one, (list, range)) else one for one in axes)
        how = _matrices(left.shape, right.shape, (first, second))
    product = operations["matmul"].call(_as_matrix(left, how.left), _as_matrix(right, how.right))
    return product.reshape(how.shape)


class _Matrix(NamedTuple):
    """How an array becomes a factor: the order of its axes, None where they stay, and the shape of the matrix."""

    axes: tuple[int, ...] | None
    shape: tuple[int, int]


class _Matrices(NamedTuple):
    """A sum of products over several axes as a product of two matrices, and the shape of the result."""

    left: _Matrix
    right: _Matrix
    shape: tuple[int, ...]


def _as_matrix(x: Tensor, how: _Matrix) -> Tensor:
    return (x if how.axes is None else x.permute(how.axes)).reshape(how.shape)


@lru_cache(1024)
def _matrices(left: tuple[int, ...], right: tuple[int, ...], axes: int | tuple[Any, Any]) -> _Matrices:
    """Return the matrices that arrays of two shapes become whose axes are summed over in pairs."""
    if isinstance(axes, int):
        if not 0 <= axes <= min(len(left), len(right)):
            raise ValueError(f"tensordot: axes={axes} for arrays of {len(left)} and {len(right)} dimensions")
        pairs = tuple(range(len(left) - axes, len(left))), tuple(range(axes))
    else:
        pairs = in_order("tensordot", axes[0], left), in_order("tensordot", axes[1], right)
    summed = [[shape[axis] for axis in part] for shape, part in zip((left, right), pairs, strict=True)]
    if summed[0] != summed[1]:
        raise ValueError(f"tensordot: shape-mismatch for sum: extents {summed[0]} along axes {pairs[0]} of shape "
                         f"{left} and {summed[1]} along axes {pairs[1]} of shape {right}")  # fmt: skip
    rows = tuple(k for k in range(len(left)) if k not in pairs[0])
    columns = tuple(k for k in range(len(right)) if k not in pairs[1])
    orders = [
        order if order != tuple(range(len(order))) else None for order in ((*rows, *pairs[0]), (*pairs[1], *columns))
    ]
    heights, widths = [left[k] for k in rows], [right[k] for k in columns]
    count = math.prod(summed[0])
    return _Matrices(
        _Matrix(orders[0], (math.prod(heights), count)), _Matrix(orders[1], (count, math.prod(widths))),
        (*heights, *widths),
    )  # fmt: skip


def diagonal(x: Any, /, *, offset: int = 0) -> Tensor:
    """Return a view of the diagonals of matrices, which may only be read.

    Parameters
    ----------
    x : array_like of shape (..., m, n)
    offset : int
        0 is the main diagonal, 1 the one above.

    Raises
    ------
    ValueError
        For fewer than two dimensions.
    """
    x = as_tensor(x)
    if x.ndim < 2:
        raise ValueError(f"diagonal: requires an array of at least two dimensions, not of shape {x.shape}")
    return _diagonal.call(x, offset=int(offset), axis1=x.ndim - 2, axis2=x.ndim - 1)


def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Tensor:
    """Return the sums of the diagonals of matrices.

    Parameters
    ----------
    x : array_like of shape (..., m, n)
    offset : int
        0 is the main diagonal, 1 the one above.
    dtype : optional
        In which to add up.
    """
    found = diagonal(x, offset=offset)
    return (found if dtype is None else found.astype(dtype, copy=False)).sum(axis=-1)


def matrix_power(a: Any, n: int) -> Tensor:
    """Return square matrices to an integer power, by repeated squaring.

    Parameters
    ----------
    a : array_like of shape (..., m, m)
    n : int
        For a negative one the inverse is taken.

    Raises
    ------
    TypeError
        If `n` is no integer.
    numpy.linalg.LinAlgError
        If a matrix is not square, or, for a negative power, is singular.
    """
    a = as_tensor(a)
    need_square("matrix_power", a)
    try:
        n = n.__index__()
    except AttributeError:
        raise TypeError(f"matrix_power: exponent must be an integer, not {n!r}") from None
    if n == 0:
        one = from_numpy(np.eye(a.shape[-1], dtype=a.dtype)).to(a.device)
        return one.expand(*a.shape).contiguous()
    if n == 1:
        return a.clone()
    if n < 0:
        a, n = inv(a), -n
    power, result = a, None
    while n > 1:
        if n & 1:
            result = power if result is None else result @ power
        n >>= 1
        power = power @ power
    return power if result is None else result @ power


def multi_dot(arrays: Sequence[Any], *, out: Any = None) -> Tensor:
    """Return the product of two or more matrices in the order that takes the fewest multiplications.

    Parameters
    ----------
    arrays : sequence of array_like
        2-D; the first and the last may be vectors, a row and a column.
    out : Tensor, optional
        Where to store the result.

    Raises
    ------
    ValueError
        For fewer than two arrays, and where shapes do not fit.
    numpy.linalg.LinAlgError
        If an array has another number of dimensions.

    Notes
    -----
    The order is found by dynamic programming (Cormen et al., Introduction to Algorithms, section 15.2).
    """
    many = [as_tensor(one) for one in arrays]
    if len(many) < 2:
        raise ValueError(f"multi_dot: expected at least two arrays, got {len(many)}")
    row, column = many[0].ndim == 1, many[-1].ndim == 1
    many[0] = many[0].unsqueeze(0) if row else many[0]
    many[-1] = many[-1].unsqueeze(1) if column else many[-1]
    for one in many:
        if one.ndim != 2:
            raise np.linalg.LinAlgError(f"multi_dot: {one.ndim}-dimensional array given; it must be two-dimensional")
    cuts = _best_cuts([many[0].shape[0], *(one.shape[1] for one in many)])

    def product(first: int, last: int) -> Tensor:
        if first == last:
            return many[first]
        cut = cuts[first, last]
        return product(first, cut) @ product(cut + 1, last)

    result = product(0, len(many) - 1)
    shape = (() if row else result.shape[:1]) + (() if column else result.shape[1:])
    result = result.reshape(shape)
    if out is None:
        return result
    if not isinstance(out, (Tensor, np.ndarray)):
        raise TypeError(f"multi_dot: 'out' must be an array, not {type(out).__name__}")
    if tuple(out.shape) != result.shape or out.dtype != result.dtype:
        raise ValueError(
            f"multi_dot: output array of shape {tuple(out.shape)}, {out.dtype} is not acceptable: the result has shape "
            f"{result.shape}, {result.dtype}"
        )
    out[...] = result
    return cast(Tensor, out)


def _best_cuts(extents: Sequence[int]) -> dict[tuple[int, int], int]:
    """Return for each run of matrices after which one to cut it."""
    count = len(extents) - 1
    cost = {(k, k): 0 for k in range(count)}
    cuts: dict[tuple[int, int], int] = {}
    for length in range(1, count):
        for first in range(count - length):
            last = first + length
            ends = extents[first] * extents[last + 1]
            options = {k: cost[first, k] + cost[k + 1, last] + ends * extents[k + 1] for k in range(first, last)}
            cuts[first, last] = min(options, key=options.__getitem__)
            cost[first, last] = options[cuts[first, last]]
    return cuts
