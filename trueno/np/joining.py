"""Arrays joined, repeated, and cut into parts."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from trueno import dtypes as dt
from trueno import functions
from trueno.ir import movement
from trueno.np.arguments import adopt, are_tensors, array, arrays, can_cast, finish, host, weak
from trueno.np.manipulation import atleast_1d, atleast_2d, atleast_3d, axis_of, moveaxis
from trueno.runtime import launcher
from trueno.runtime.inplace import requires_grad
from trueno.runtime.operation import Operation
from trueno.tensor import Tensor

# --- joining ----------------------------------------------------------------------------------------------------------


def _joined(name: str, pieces: Sequence[Tensor], axis: int, dtype: Any, casting: str, out: Any = None) -> Any:
    """Return arrays joined along an axis, in a dtype or, without one, in their common dtype."""
    can_cast(dt.bool_, dt.bool_, casting)  # refuses a rule that does not exist
    if dtype is not None:
        if out is not None:
            raise TypeError(f"{name}: only takes `out` or `dtype` as an argument, but both were provided")
        wanted = dt.as_dtype(dtype)
        wrong = [one.dtype for one in pieces if not can_cast(one.dtype, wanted, casting)]
        if wrong:
            raise TypeError(f"{name}: cannot cast array data from {wrong[0]} to {wanted} according to rule {casting!r}")
        pieces = [one.astype(wanted, copy=False) for one in pieces]
    return finish(functions.concatenate(list(pieces), axis=axis), out, name=name, casting=casting)


def concatenate(
    arrays: Any, /, axis: int | None = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind"
) -> Any:
    """Return arrays joined along an existing axis.

    Parameters
    ----------
    arrays : sequence of array_like
        Of equal shapes but for `axis`.
    axis : int, optional
        None joins the flattened arrays.
    out : Tensor or ndarray, optional
    dtype, casting : optional
        Dtype of the result, and the rule by which arrays must be castable to it.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        No array, a 0-d one, or shapes that differ.
    TypeError
        `dtype` and `out` are both given, or a cast is not allowed.
    """
    if out is None and dtype is None and casting == "same_kind" and are_tensors(arrays):
        if type(axis) is int:
            return functions.concatenate(arrays, axis)
        if axis is None:
            return functions.concatenate([one if one.ndim == 1 else functions.ravel(one) for one in arrays])
    pieces = _sequence("concatenate", arrays)
    if not pieces:
        raise ValueError("concatenate: need at least one array")
    if axis is None:
        pieces, axis = [functions.ravel(one) for one in weak(arrays)], 0
    axis = operator.index(axis)
    if pieces[0].ndim:
        axis_of("concatenate", axis, pieces[0].ndim, pieces[0].shape)
    if any(not one.ndim for one in pieces):
        raise ValueError("concatenate: zero-dimensional arrays cannot be concatenated; use stack")
    return _joined("concatenate", pieces, axis, dtype, casting, out)


concat = concatenate


def _sequence(name: str, values: Any) -> list[Tensor]:
    return arrays(values, name)


def stack(arrays: Any, axis: int = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Return arrays of equal shape joined along a new axis.

    Parameters
    ----------
    arrays : sequence of array_like
    axis : int
        Position of the new axis in the result.
    out, dtype, casting : optional
        As of `concatenate`.

    Raises
    ------
    ValueError
        No array, or shapes that differ.
    """
    if out is None and dtype is None and type(axis) is int and casting == "same_kind" and are_tensors(arrays):
        return functions.stack(arrays, axis)
    pieces = _sequence("stack", arrays)
    if not pieces:
        raise ValueError("stack: need at least one array to stack")
    shape = pieces[0].shape
    if any(one.shape != shape for one in pieces):
        raise ValueError(f"stack: all input arrays must have the same shape, got {[one.shape for one in pieces]}")
    axis = axis_of("stack", axis, len(shape) + 1, shape)
    wide = (*shape[:axis], 1, *shape[axis:])
    return _joined("stack", [functions.reshape(one, wide) for one in pieces], axis, dtype, casting, out)


def _stacked(name: str, tup: Any, least: Any, axis: int, dtype: Any, casting: str) -> Any:
    pieces = _sequence(name, tup)
    if not pieces:
        raise ValueError(f"{name}: need at least one array")
    pieces = [least(one) for one in pieces]
    # Vectors have no second axis: NumPy joins them along the first.
    return _joined(name, pieces, 0 if name == "hstack" and pieces[0].ndim == 1 else axis, dtype, casting)


def hstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Return arrays joined along the second axis (vectors along the first)."""
    return _stacked("hstack", tup, atleast_1d, 1, dtype, casting)


def vstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Return arrays joined along the first axis; vectors are rows."""
    return _stacked("vstack", tup, atleast_2d, 0, dtype, casting)


def dstack(tup: Any) -> Any:
    """Return arrays joined along the third axis; see `atleast_3d` for what becomes of vectors and matrices."""
    return _stacked("dstack", tup, atleast_3d, 2, None, "same_kind")


def column_stack(tup: Any) -> Any:
    """Return a matrix with vectors as its columns; matrices are joined as they are."""
    pieces = _sequence("column_stack", tup)
    if not pieces:
        raise ValueError("column_stack: need at least one array")
    columns = [one if one.ndim > 1 else functions.reshape(one, (one.size, 1)) for one in pieces]
    return _joined("column_stack", columns, 1, None, "same_kind")


def block(arrays: Any) -> Tensor:
    """Return an array assembled from nested lists of blocks: the innermost are joined along the last axis.

    Raises
    ------
    ValueError
        Lists of unequal depth, an empty list, or shapes that do not fit.
    TypeError
        A tuple among the lists.
    """

    def depth(one: Any) -> int:
        if isinstance(one, tuple):
            raise TypeError("block: arrays is a tuple; only lists can be used to arrange blocks")
        if not isinstance(one, list):
            return 0
        if not one:
            raise ValueError("block: list cannot be empty")
        depths = {depth(part) for part in one}
        if len(depths) > 1:
            raise ValueError(f"block: list depths are mismatched: {sorted(depths)} within one list")
        return 1 + depths.pop()

    def leaves(one: Any) -> list[Tensor]:
        return [leaf for part in one for leaf in leaves(part)] if isinstance(one, list) else [array(one)]

    levels = depth(arrays)
    ndim = max(levels, *(leaf.ndim for leaf in leaves(arrays)))

    def assemble(one: Any, level: int) -> Tensor:
        if not isinstance(one, list):
            made = array(one)
            return functions.reshape(made, (1,) * (ndim - made.ndim) + made.shape)
        return functions.concatenate([assemble(part, level + 1) for part in one], axis=ndim - levels + level)

    result = assemble(arrays, 0)
    return result if levels else functions.copy(result)


def append(arr: Any, values: Any, axis: int | None = None) -> Tensor:
    """Return an array with values joined to its end along an axis (both flattened when None).

    Raises
    ------
    ValueError
        The shapes differ in another axis than `axis`.
    """
    return concatenate([arr, values], axis=axis)


# --- inserting and deleting -------------------------------------------------------------------------------------------


def taken(x: Tensor, index: np.ndarray | Tensor, axis: int) -> Tensor:
    """Return the elements at an array of positions along an axis; the gradient flows."""
    return x[(*(slice(None),) * axis, index)] if axis else x[index]


def _along(name: str, arr: Any, axis: int | None) -> tuple[Tensor, int]:
    x = array(arr)
    if axis is None:
        return functions.ravel(x), 0
    return x, axis_of(name, axis, x.ndim, x.shape)


def _places(obj: Any) -> Any:
    """Return what says where to insert or delete in the form that NumPy takes."""
    return obj.detach().cpu().numpy() if isinstance(obj, Tensor) else obj


def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Tensor:
    """Return an array with values inserted before positions along an axis.

    Parameters
    ----------
    arr : array_like
    obj : int, slice, or sequence of int or bool
        The positions, in terms of `arr`.
    values : array_like
        Cast to the dtype of `arr`; broadcast to what is inserted.
    axis : int, optional
        None inserts into the flattened array.

    Raises
    ------
    IndexError
        A position is out of bounds.
    ValueError
        The values do not broadcast.
    """
    x, axis = _along("insert", arr, axis)
    if not _is_recorded(x, values):
        # Where elements are put changes from call to call: a kernel would be bound for each place.
        new = host(values, "insert") if isinstance(values, Tensor) else values
        return adopt(np.insert(host(x, "insert"), _places(obj), new, axis))
    places, extent = _positions(obj, x.shape[axis]), x.shape[axis]
    new = _leading(array(values).astype(x.dtype, copy=False), x.ndim)
    if places.ndim == 0:
        # For one position, the values' first axis is what is inserted.
        new = functions.moveaxis(new, 0, axis)
    count = new.shape[axis] if places.size == 1 else places.size
    where = int(places.reshape(-1)[0]) if places.size == 1 else places
    # NumPy works out the order: new elements are numbered behind those that there are.
    marks = np.insert(np.arange(extent), where, extent + np.arange(count))
    shape = tuple(count if k == axis else n for k, n in enumerate(x.shape))
    new = functions.broadcast_to(new, shape)
    return taken(functions.concatenate([x, new], axis=axis), marks, axis)


def _positions(obj: Any, extent: int) -> np.ndarray:
    """Return the positions that an integer, a slice, or a sequence of integers or truth values stands for."""
    if isinstance(obj, slice):
        return np.arange(*obj.indices(extent))
    places = np.asarray(_places(obj))
    if places.dtype == np.bool_:
        if places.ndim != 1:
            raise ValueError(f"insert: boolean array argument must be one-dimensional, not of shape {places.shape}")
        return np.flatnonzero(places)
    if places.ndim > 1:
        raise ValueError(f"insert: index array argument must be one-dimensional or scalar, not {places.shape}")
    if places.dtype.kind not in "biufc":
        raise TypeError(f"insert: positions are integers, not {places.dtype}")
    if places.dtype.kind not in "iu" and (places.size or not isinstance(obj, (list, tuple))):
        raise IndexError(f"insert: arrays used as indices must be of integer or boolean type, not {places.dtype}")
    return places.astype(np.int64) if not places.size else places


def _is_recorded(*operands: Any) -> bool:
    """Whether NumPy cannot do it on the memory: gradients are to be recorded, or the memory is another device's."""
    taped = launcher.grad_enabled() and any(map(requires_grad, operands))
    return taped or any(isinstance(one, Tensor) and one._layout.device != "cpu" for one in operands)


def _leading(x: Tensor, ndim: int) -> Tensor:
    return x if x.ndim >= ndim else functions.reshape(x, (1,) * (ndim - x.ndim) + x.shape)


def delete(arr: Any, obj: Any, axis: int | None = None) -> Tensor:
    """Return an array without the elements at positions along an axis (of the flattened array when None).

    Parameters
    ----------
    arr : array_like
    obj : int, slice, or sequence of int or bool
    axis : int, optional

    Raises
    ------
    IndexError
        A position is out of bounds.
    ValueError
        A mask of another length than the axis.
    """
    x, axis = _along("delete", arr, axis)
    if not _is_recorded(x):
        # Where elements are taken out changes from call to call: a kernel would be bound for each place.
        return adopt(np.delete(host(x, "delete"), _places(obj), axis))
    kept = np.delete(np.arange(x.shape[axis]), _places(obj))
    return functions.copy(x) if len(kept) == x.shape[axis] else taken(x, kept, axis)


# --- repeating --------------------------------------------------------------------------------------------------------

_repeated = Operation("repeat", movement.repeated, 1)
_tiled = Operation("tile", movement.tiled, 1)


def repeat(a: Any, repeats: Any, axis: int | None = None) -> Tensor:
    """Return each element repeated, next to itself.

    Parameters
    ----------
    a : array_like
    repeats : int or sequence of int
        How often; one number for each position along `axis`, or one for all.
    axis : int, optional
        None repeats the elements of the flattened array.

    Raises
    ------
    ValueError
        A negative number, or another number of them than positions.
    """
    if type(repeats) is int and repeats >= 0 and type(a) is Tensor and a.ndim == 1 and axis in (None, 0, -1):
        return _repeated.call(a, times=repeats, axis=0)
    x, axis = _along("repeat", atleast_1d(a), axis)
    # NumPy truncates a single Python float, and refuses arrays of floats.
    counts = np.asarray(int(repeats) if isinstance(repeats, float) else _places(repeats))
    if counts.ndim > 1:
        raise ValueError(f"repeat: object too deep for desired array: repeats of shape {counts.shape}")
    untyped = isinstance(repeats, (list, tuple)) and not counts.size
    if not untyped and not np.can_cast(counts.dtype, np.int64, "safe"):
        raise TypeError(f"repeat: cannot cast repeats from {counts.dtype} to int64 according to the rule 'safe'")
    if counts.size and x.shape[axis] and counts.min() < 0:
        raise ValueError("repeat: repeats may not contain negative values")
    if counts.size != 1:
        if counts.size != x.shape[axis]:
            raise ValueError(f"repeat: {counts.size} repeats for axis {axis} of shape {x.shape}")
        if not _is_recorded(x):
            return adopt(np.repeat(host(x, "repeat"), counts, axis))
        return taken(x, np.repeat(np.arange(x.shape[axis]), counts), axis)
    return _repeated.call(x, times=max(int(counts.reshape(-1)[0]), 0), axis=axis)


def tile(A: Any, reps: Any) -> Tensor:
    """Return an array repeated as a whole, `reps` times along each axis.

    Parameters
    ----------
    A : array_like
    reps : int or sequence of int
        The shorter one of `reps` and the array's shape is filled with ones in front.

    Raises
    ------
    ValueError
        A negative number.
    """
    x, times = array(A), tuple(map(operator.index, np.atleast_1d(_places(reps)).tolist()))
    ndim = max(x.ndim, len(times))
    times = (1,) * (ndim - len(times)) + times
    if min(times, default=1) < 0:
        raise ValueError(f"tile: negative dimensions are not allowed, reps {times}")
    return _tiled.call(_leading(x, ndim), times=times)


# --- cutting ----------------------------------------------------------------------------------------------------------


def _cut(x: Tensor, cuts: Sequence[int], axis: int) -> list[Tensor]:
    head = (slice(None),) * axis
    return [x[(*head, slice(low, high))] for low, high in zip([0, *cuts], [*cuts, x.shape[axis]])]


def _sections(name: str, given: Any) -> int:
    """Return the number of parts to cut into; a whole float will do, as in NumPy."""
    if isinstance(given, (float, np.ndarray, np.floating)):
        number = float(given)
        if number != int(number):
            raise ValueError(f"{name}: {number} parts are no equal division")
        return int(number)
    return operator.index(given)


def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    """Return the parts of an array along an axis, as views; parts may differ by one element in size.

    Parameters
    ----------
    ary : array_like
    indices_or_sections : int or sequence of int
        How many parts, or the positions at which to cut.
    axis : int

    Raises
    ------
    ValueError
        The number of parts is not positive.
    """
    x, given = array(ary), _places(indices_or_sections)
    axis = axis_of("array_split", axis, x.ndim, x.shape)
    if hasattr(given, "__len__") and np.ndim(given):
        return _cut(x, [operator.index(one) for one in given], axis)
    parts = _sections("array_split", given)
    if parts <= 0:
        raise ValueError(f"array_split: number sections must be larger than 0, got {parts}")
    each, more = divmod(x.shape[axis], parts)
    return _cut(x, [k * each + min(k, more) for k in range(1, parts)], axis)


def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    """Return the parts of an array along an axis, as views, all of one size where a number of them is given.

    Raises
    ------
    ValueError
        The axis does not divide into so many equal parts.
    """
    x, given = array(ary), _places(indices_or_sections)
    axis = axis_of("split", axis, x.ndim, x.shape)
    if not np.ndim(given) and x.shape[axis] % _sections("split", given):
        raise ValueError(f"split: axis {axis} of shape {x.shape} does not result in {given} equal parts")
    return array_split(x, given, axis)


def _split_along(name: str, ary: Any, given: Any, axis: int, least: int) -> list[Tensor]:
    x = array(ary)
    if x.ndim < least:
        raise ValueError(f"{name}: only works on arrays of {least} or more dimensions, not of shape {x.shape}")
    return split(x, given, axis)


def hsplit(ary: Any, indices_or_sections: Any) -> list[Tensor]:
    """Return the parts of an array along its second axis (a vector's along its first)."""
    x = array(ary)
    return _split_along("hsplit", x, indices_or_sections, 1 if x.ndim > 1 else 0, 1)


def vsplit(ary: Any, indices_or_sections: Any) -> list[Tensor]:
    """Return the parts of an array of two or more dimensions along its first axis."""
    return _split_along("vsplit", ary, indices_or_sections, 0, 2)


def dsplit(ary: Any, indices_or_sections: Any) -> list[Tensor]:
    """Return the parts of an array of three or more dimensions along its third axis."""
    return _split_along("dsplit", ary, indices_or_sections, 2, 3)


def unstack(x: Any, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """Return the slices of an array along an axis, without that axis: views, but of a vector.

    Raises
    ------
    ValueError
        The array is 0-d.
    """
    x = array(x)
    if not x.ndim:
        raise ValueError("unstack: input array must be at least 1-d")
    moved = moveaxis(x, axis, 0)
    return tuple(moved[k] for k in range(moved.shape[0]))


__all__ = [
    "append", "array_split", "block", "column_stack", "concat", "concatenate", "delete", "dsplit", "dstack", "hsplit",
    "hstack", "insert", "repeat", "split", "stack", "tile", "unstack", "vsplit", "vstack",
]  # fmt: skip
