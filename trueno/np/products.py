"""Products of arrays that sum over axes, and Einstein summation: one kernel each."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from trueno import dtypes as dt
from trueno import functions
from trueno.ir import composites_numpy, promotion
from trueno.ir import einsum as einstein
from trueno.linalg.products import cross_of_last
from trueno.linalg.products import tensordot as _tensordot
from trueno.np import arguments
from trueno.np.arguments import array, finish, target
from trueno.np.creation import diagonal_view
from trueno.np.manipulation import axis_of, moveaxis
from trueno.np.selection import diagonal
from trueno.runtime.operation import Operation
from trueno.tensor import Tensor

_kron = Operation("kron", composites_numpy.kron, 2)
_einsum = Operation("einsum", einstein.einsum)

# --- products ---------------------------------------------------------------------------------------------------------


def dot(a: Any, b: Any, out: Any = None) -> Any:
    """Return the product of two arrays: of vectors the inner one, of matrices the matrix product.

    Parameters
    ----------
    a, b : array_like
        In general, the sum is over the last axis of `a` and the last but one of `b`; 0-d arrays multiply.
    out : Tensor or ndarray, optional

    Raises
    ------
    ValueError
        The extents of these axes differ, or `out` has not the result's shape and dtype in C order.
    """
    left, right = array(a), array(b)
    if out is not None:
        _need_exact("dot", left, right, out)
    if not left.ndim or not right.ndim:
        made = functions.mul(left, right)
    elif right.ndim <= 2:
        made = functions.matmul(left, right)
    else:
        made = _summed("dot", left, right, -1, -2)
    into = target("dot", out)
    if into is None:
        return made
    if dt.as_dtype(into.dtype) != made.dtype or tuple(into.shape) != made.shape or not into.flags.c_contiguous:
        raise ValueError(
            f"dot: output array is not acceptable, it must be in C order, of shape {made.shape} and dtype "
            f"{made.dtype}; it has the shape {tuple(into.shape)} and the dtype {into.dtype}"
        )
    return finish(made, into, name="dot")


def _need_exact(name: str, a: Tensor, b: Tensor, out: Any) -> None:
    """Refuse an `out` of another dtype than the product's, as NumPy does here: nothing is cast."""
    wanted = promotion.common((a.dtype, b.dtype))
    if isinstance(out, (Tensor, np.ndarray)) and out.dtype != wanted:
        raise ValueError(f"{name}: output array is not acceptable: it has dtype {out.dtype}, the product {wanted}")


def _summed(name: str, a: Tensor, b: Tensor, axis: int, other: int) -> Tensor:
    if a.shape[axis] != b.shape[other]:
        raise ValueError(f"{name}: shapes {a.shape} and {b.shape} not aligned: {a.shape[axis]} (axis {axis}) and "
                         f"{b.shape[other]} (axis {other})")  # fmt: skip
    return _tensordot(a, b, axes=((axis,), (other,)))


def vdot(a: Any, b: Any, /) -> Tensor:
    """Return the inner product of two arrays, flattened: the sum of conj(a) * b.

    Raises
    ------
    ValueError
        They have different numbers of elements.
    """
    left, right = functions.ravel(array(a)), functions.ravel(array(b))
    if left.size != right.size:
        raise ValueError(f"vdot: cannot multiply arrays of {left.size} and {right.size} elements")
    return functions.matmul(functions.conj(left) if dt.is_complex(left.dtype) else left, right)


def inner(a: Any, b: Any, /) -> Tensor:
    """Return the sums of products over the last axes of two arrays; 0-d arrays multiply.

    Raises
    ------
    ValueError
        The last extents differ.
    """
    left, right = array(a), array(b)
    if not left.ndim or not right.ndim:
        return functions.mul(left, right)
    return _summed("inner", left, right, -1, -1)


def outer(a: Any, b: Any, out: Any = None) -> Any:
    """Return the products of all elements of one array, flattened, with all of another: shape (a.size, b.size)."""
    left, right = functions.ravel(array(a)), functions.ravel(array(b))
    return finish(functions.mul(functions.reshape(left, (left.size, 1)), right), out, name="outer")


def tensordot(a: Any, b: Any, axes: Any = 2) -> Tensor:
    """Return the sum of products over axes of two arrays.

    Parameters
    ----------
    a, b : array_like
    axes : int or pair of int or sequence of int
        The last `axes` axes of `a` and the first of `b`; or the axes of each, which belong together in order.

    Returns
    -------
    Tensor
        The remaining axes of `a`, then those of `b`.

    Raises
    ------
    ValueError
        The extents of axes that belong together differ, or there is another number of axes.
    AxisError
        An array has not so many axes.
    """
    if isinstance(axes, (Tensor, np.ndarray)):
        axes = axes.tolist()
    left, right = array(a), array(b)
    if isinstance(axes, (int, np.integer)) and axes > min(left.ndim, right.ndim):
        raise np.exceptions.AxisError(
            f"tensordot: axes={axes} is out of bounds for arrays of shapes {left.shape} and {right.shape}"
        )
    return _tensordot(left, right, axes=axes)


def kron(a: Any, b: Any) -> Tensor:
    """Return the Kronecker product: copies of `b`, multiplied by the elements of `a`, in the place of these."""
    return _kron.call(array(a), array(b))


def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Tensor:
    """Return the cross product of vectors along an axis; the other axes broadcast.

    Parameters
    ----------
    a, b : array_like
        Vectors of two or three elements; a missing third one is 0.
    axisa, axisb, axisc : int
        Where the vectors lie in `a`, in `b` and in the result.
    axis : int, optional
        All three of them.

    Returns
    -------
    Tensor
        Of vectors of two elements, the third element of the product alone.

    Raises
    ------
    ValueError
        The vectors have another number of elements.
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    left, right = array(a), array(b)
    if not left.ndim or not right.ndim:
        raise ValueError(f"cross: at least one array has zero dimension, shapes {left.shape} and {right.shape}")
    left = moveaxis(left, axis_of("cross", axisa, left.ndim, left.shape), -1)
    right = moveaxis(right, axis_of("cross", axisb, right.ndim, right.shape), -1)
    if left.shape[-1] not in (2, 3) or right.shape[-1] not in (2, 3):
        raise ValueError(f"cross: incompatible dimensions for cross product (dimension must be 2 or 3), shapes "
                         f"{left.shape} and {right.shape}")  # fmt: skip
    result = cross_of_last.call(left, right)
    planar = left.shape[-1] == right.shape[-1] == 2
    return result if planar or axisc == -1 else moveaxis(result, -1, axis_of("cross", axisc, result.ndim, result.shape))


def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Any:
    """Return the sums of the diagonals of the matrices along two axes.

    Parameters
    ----------
    a : array_like
        Of two dimensions at least.
    offset, axis1, axis2 : int
        As of `diagonal`.
    dtype : optional
        In which to add up; integers in int64 or uint64 by default.
    out : Tensor or ndarray, optional

    Raises
    ------
    ValueError
        The array has fewer axes, or the two are the same.
    """
    line = diagonal(a, offset, axis1, axis2)
    wanted = arguments.dtype(dtype)
    total = functions.sum(line if wanted is None else line.astype(wanted, copy=False), axis=-1)
    return finish(total if wanted is None else total.astype(wanted, copy=False), out, name="trace")


# --- Einstein summation -----------------------------------------------------------------------------------------------


def _formula(name: str, operands: Sequence[Any]) -> tuple[Any, list[Tensor]]:
    """Return subscripts in a form that can be hashed, and the arrays.

    The form is the string, or for alternating arrays and lists of axes a tuple of these lists.
    """
    if not operands:
        raise ValueError(f"{name}: must specify the einstein sum subscripts string and at least one operand")
    if isinstance(operands[0], str):
        return operands[0].replace(" ", ""), [array(one) for one in operands[1:]]
    many = list(operands)
    output = (tuple(many.pop()),) if len(many) % 2 else ()
    lists = tuple(tuple(one) for one in many[1::2])
    wrong = [one for each in (*lists, *output) for one in each if one is not Ellipsis and not 0 <= one < 52]
    if wrong:
        raise ValueError(f"{name}: subscript {wrong[0]} is not within the valid range [0, 52)")
    return (lists, output), [array(one) for one in many[::2]]


def _path(form: Any, shapes: Sequence[tuple[int, ...]], optimize: Any, calls: bool) -> Any:
    """Return what NumPy finds for operands of these shapes: the contractions, or path and description."""
    shaped = [np.broadcast_to(np.float64(0), shape) for shape in shapes]
    find: Any = np.einsum_path
    if isinstance(form, str):
        return find(form, *shaped, optimize=optimize, einsum_call=calls)
    lists, output = form
    pairs = [part for pair in zip(shaped, map(list, lists)) for part in pair]
    return find(*pairs, *map(list, output), optimize=optimize, einsum_call=calls)


@functools.lru_cache(maxsize=1024)
def _steps(form: Any, shapes: tuple[tuple[int, ...], ...], optimize: Any) -> tuple[einstein.Step, ...]:
    chosen = list(optimize) if isinstance(optimize, tuple) and isinstance(optimize[0], str) else optimize
    contractions = _path(form, shapes, chosen, True)[1]
    return tuple((tuple(places), subscripts) for places, subscripts, *_ in contractions)


_CASTING = ("no", "equiv", "safe", "same_kind", "unsafe")


def einsum(
    *operands: Any, out: Any = None, dtype: Any = None, order: str = "K", casting: str = "safe", optimize: Any = False
) -> Any:
    """Return the sum of products that Einstein's notation describes.

    Parameters
    ----------
    *operands : str and array_like
        Subscripts ("ij,jk->ik") and arrays; or arrays and lists of axes in turn, and the list of the result.
    out : Tensor or ndarray, optional
    dtype : optional
        In which to compute.
    order : {"C", "F", "A", "K"}
        Accepted; the result is in C order.
    casting : str
        The rule by which arrays must be castable to `dtype`.
    optimize : {False, True, "greedy", "optimal"} or list
        How to choose the order of products, or the path that `einsum_path` gave.

    Returns
    -------
    Tensor
        In the dtype that the arrays promote to. A view where nothing is summed: "ij->ji", "ii->i".

    Raises
    ------
    ValueError
        The subscripts do not fit the arrays, or for an unknown order or rule of casting.
    TypeError
        For arrays that the rule does not allow to be cast, and for an `out` that is no array.

    Notes
    -----
    Differs from NumPy: without `optimize`, three and more arrays are multiplied in pairs, too, in the order that is
    found for "greedy"; all of it is one kernel.
    """
    arguments.target("einsum", out)
    arguments.order("einsum", order)
    if casting not in _CASTING:
        raise ValueError(f"einsum: casting must be one of {', '.join(map(repr, _CASTING))}, not {casting!r}")
    form, many = _formula("einsum", operands)
    if not many:
        raise ValueError("einsum: must provide at least an operand and a subscripts list to sum over")
    wanted = functools.reduce(np.promote_types, [one.dtype for one in many]) if dtype is None else dt.as_dtype(dtype)
    wrong = [one.dtype for one in many if not arguments.can_cast(one.dtype, wanted, casting)]
    if wrong:
        raise TypeError(f"einsum: cannot cast operand from {wrong[0]} to {wanted} according to the rule {casting!r}")
    many = [one.astype(wanted, copy=False) for one in many]
    how: Any = tuple(optimize) if isinstance(optimize, list) else optimize or "greedy"
    steps = _steps(form, tuple(one.shape for one in many), how)
    if len(many) == 1:
        view = _view(many[0], steps[-1][1])
        if view is not None:
            return finish(view, out, name="einsum", casting=casting)
    return finish(_einsum.call(*many, steps=steps), out, name="einsum", casting=casting)


def _view(x: Tensor, subscripts: str) -> Tensor | None:
    """Return the view that an expression of one array stands for, None if it sums."""
    letters, _, output = subscripts.partition("->")
    if set(letters) != set(output):
        return None
    for letter in dict.fromkeys(letters):
        while letters.count(letter) > 1:
            first, second = letters.index(letter), letters.rindex(letter)
            if x.shape[first] != x.shape[second]:
                return None
            x = diagonal_view.call(x, axis1=first, axis2=second)
            letters = letters[:first] + letters[first + 1 : second] + letters[second + 1 :] + letter
    order = [letters.index(letter) for letter in output]
    return functions.permute(x, order) if order != sorted(order) else x[...]


def einsum_path(*operands: Any, optimize: Any = "greedy") -> tuple[list[Any], str]:
    """Return the order of products that einsum would take for these operands, and a description of its cost.

    Parameters
    ----------
    *operands
        As of `einsum`.
    optimize : {True, False, "greedy", "optimal"} or (str, int)

    Returns
    -------
    path : list
        For `einsum`'s `optimize`.
    description : str
    """
    form, many = _formula("einsum_path", operands)
    return _path(form, [one.shape for one in many], optimize, False)


__all__ = ["cross", "dot", "einsum", "einsum_path", "inner", "kron", "outer", "tensordot", "trace", "vdot"]
