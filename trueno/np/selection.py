"""Elements chosen by positions, masks and conditions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from trueno import dtypes as dt
from trueno import functions
from trueno.ir import build
from trueno.np.arguments import adopt, array, can_cast, finish, host, index, operand, weak
from trueno.np.creation import fixed_diagonal, ones, zeros_like
from trueno.np.joining import taken
from trueno.np.manipulation import axis_of
from trueno.runtime import memory
from trueno.tensor import Tensor
from trueno.viewing import viewing

# --- places -----------------------------------------------------------------------------------------------------------


def nonzero(a: Any) -> tuple[Tensor, ...]:
    """Return where elements differ from zero: for each axis an int64 array of positions, in C order.

    Raises
    ------
    ValueError
        The array is 0-d.
    """
    found = memory.nonzero(a)
    if found is not None:
        return (found,)
    x = host(a, "nonzero")
    if not x.ndim:
        raise ValueError("nonzero: calling nonzero on 0-d arrays is not allowed; use atleast_1d(a) first")
    return tuple([adopt(one) for one in x.nonzero()])


def argwhere(a: Any) -> Tensor:
    """Return where elements differ from zero: an int64 array of shape (count, ndim)."""
    return adopt(np.argwhere(host(a, "argwhere")))


def flatnonzero(a: Any) -> Tensor:
    """Return the positions, in the flattened array, of elements that differ from zero."""
    found = memory.nonzero(a)
    return adopt(np.flatnonzero(host(a, "flatnonzero"))) if found is None else found


def ix_(*args: Any) -> tuple[Tensor, ...]:
    """Return index arrays that select the product of several sets of positions.

    Parameters
    ----------
    *args : 1-D array_like of int or bool

    Raises
    ------
    ValueError
        One of them is not 1-D.
    """
    # An empty list is an array of floats, which NumPy takes for one of positions; an array of floats it does not.
    return tuple(
        adopt(one) for one in np.ix_(*(one if isinstance(one, (list, tuple)) else host(one, "ix_") for one in args))
    )


def diag_indices(n: int, ndim: int = 2) -> tuple[Tensor, ...]:
    """Return the index arrays of the main diagonal of an array with `ndim` axes of extent `n`."""
    return (adopt(np.arange(index("diag_indices", n))),) * index("diag_indices", ndim)


def diag_indices_from(arr: Any) -> tuple[Tensor, ...]:
    """Return the index arrays of the main diagonal of an array.

    Raises
    ------
    ValueError
        Fewer than two axes, or axes of different extents.
    """
    x = array(arr)
    if x.ndim < 2:
        raise ValueError(f"diag_indices_from: input array must be at least 2-d, not of shape {x.shape}")
    if len(set(x.shape)) > 1:
        raise ValueError(f"diag_indices_from: all dimensions must be of equal length, not {x.shape}")
    return diag_indices(x.shape[0], x.ndim)


def tril_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Tensor, ...]:
    """Return the index arrays of the lower triangle of an n × m matrix, up to its k-th diagonal."""
    return tuple(adopt(one) for one in np.tril_indices(n, k, m))


def triu_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Tensor, ...]:
    """Return the index arrays of the upper triangle of an n × m matrix, from its k-th diagonal on."""
    return tuple(adopt(one) for one in np.triu_indices(n, k, m))


def _matrix_shape(name: str, arr: Any) -> tuple[int, int]:
    x = array(arr)
    if x.ndim != 2:
        raise ValueError(f"{name}: input array must be 2-d, not of shape {x.shape}")
    return x.shape[0], x.shape[1]


def tril_indices_from(arr: Any, k: int = 0) -> tuple[Tensor, ...]:
    """Return the index arrays of the lower triangle of a matrix; ValueError for other numbers of axes."""
    rows, columns = _matrix_shape("tril_indices_from", arr)
    return tril_indices(rows, k, columns)


def triu_indices_from(arr: Any, k: int = 0) -> tuple[Tensor, ...]:
    """Return the index arrays of the upper triangle of a matrix; ValueError for other numbers of axes."""
    rows, columns = _matrix_shape("triu_indices_from", arr)
    return triu_indices(rows, k, columns)


def mask_indices(n: int, mask_func: Callable[..., Any], k: Any = 0) -> tuple[Tensor, ...]:
    """Return the index arrays of what ``mask_func(matrix, k)``, `triu` say, leaves of an n × n matrix of ones."""
    return nonzero(array(mask_func(ones((n, n), int), k)) != 0)


# --- reading ----------------------------------------------------------------------------------------------------------


#: The numbers that stand for modes in NumPy's C code.
_MODES = {0: "clip", 1: "wrap", 2: "raise"}


def positions(name: str, indices: Any, extent: int, mode: str, casting: str = "safe") -> np.ndarray:
    """Return positions as int64, wrapped or clipped where the mode asks for it; given ones may be shared."""
    found = host(indices, name) if isinstance(indices, Tensor) else np.asarray(indices)
    if found.size == 0 and not hasattr(indices, "dtype"):
        found = found.astype(np.int64)
    if found.dtype not in dt.ALL or not can_cast(found.dtype, dt.int64, casting):
        raise TypeError(f"{name}: cannot cast indices from {found.dtype} to int64 by the rule {casting!r}")
    found = found.astype(np.int64, copy=False)
    if not isinstance(mode, (str, int)):
        raise TypeError(f"{name}: clipmode is a text, not {type(mode).__name__}")
    mode = mode if isinstance(mode, str) else _MODES.get(mode, str(mode))
    if mode == "wrap":
        return found % extent if extent else found
    if mode == "clip":
        return np.clip(found, 0, max(extent - 1, 0))
    if mode != "raise":
        raise ValueError(f"{name}: clipmode must be one of 'clip', 'raise', or 'wrap' (got {mode!r})")
    return found


def take(a: Any, indices: Any, axis: int | None = None, out: Any = None, mode: str = "raise") -> Any:
    """Return the elements at positions along an axis.

    Parameters
    ----------
    a : array_like
    indices : int array_like
    axis : int, optional
        None takes from the flattened array.
    out : Tensor or ndarray, optional
    mode : {"raise", "wrap", "clip"}
        What becomes of positions out of bounds.

    Returns
    -------
    Tensor
        The shape of `a` with the axis replaced by the shape of `indices`.

    Raises
    ------
    IndexError
        A position is out of bounds.
    TypeError
        The indices are not integers.

    Notes
    -----
    Differs from NumPy: lists of floats are refused, as arrays of floats are, and not truncated.
    """
    x = array(a)
    if axis is None or not x.ndim:
        x, axis = x if x.ndim == 1 else functions.ravel(x), 0 if axis is None else axis_of("take", axis, 1, (1,))
    axis = axis_of("take", axis, x.ndim, x.shape)
    if type(indices) is Tensor and indices.dtype == dt.int64 and mode == "raise" and indices.size and x.size:
        return finish(taken(x, indices, axis), out, name="take")
    places = positions("take", indices, x.shape[axis], mode, "same_kind")
    if places.size and not x.shape[axis] and x.size == 0:
        raise IndexError(f"take: cannot do a non-empty take from axis {axis} of shape {x.shape}")
    return finish(taken(x, places, axis), out, name="take")


def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Tensor:
    """Return the elements at positions along an axis, given for each place of the result.

    Parameters
    ----------
    arr : array_like
    indices : int array_like
        As many axes as `arr`; broadcast with it along all axes but `axis`.
    axis : int, optional
        None takes from the flattened array, by 1-D indices.

    Raises
    ------
    IndexError
        The indices are not integers, or a position is out of bounds.
    ValueError
        The numbers of axes differ.
    """
    x, places, axis = aligned("take_along_axis", arr, indices, axis)
    try:
        build.broadcast_shape("take_along_axis", [(*s[:axis], 1, *s[axis + 1 :]) for s in (x.shape, places.shape)])
    except ValueError as error:
        raise IndexError(f"shape mismatch: {error}") from None
    if x.size and places.size:
        return functions.gather(x, places, axis=axis)
    # NumPy's words for what does not broadcast, and for positions on an axis without elements.
    return adopt(np.take_along_axis(host(x, "take_along_axis"), host(places, "take_along_axis"), axis))


def aligned(name: str, arr: Any, indices: Any, axis: int | None) -> tuple[Tensor, Tensor, int]:
    """Return an array, integer positions and the axis that they are on: both flat and axis 0 where it is None."""
    x, places = array(arr), array(indices)
    axis = None if axis is None else axis_of(name, axis, x.ndim, x.shape)
    if places.dtype.kind not in "iu":
        raise IndexError(f"{name}: `indices` must be an integer array, not of dtype {places.dtype}")
    if axis is None:
        if places.ndim != 1:
            raise ValueError(
                f"{name}: when axis=None, `indices` must have a single dimension, not shape {places.shape}"
            )
        x, axis = functions.ravel(x), 0
    if x.ndim != places.ndim:
        raise ValueError(f"{name}: `indices` and `arr` must have the same number of dimensions, "
                         f"got shapes {places.shape} and {x.shape}")  # fmt: skip
    return x, places, axis


def compress(condition: Any, a: Any, axis: int | None = None, out: Any = None) -> Any:
    """Return the slices along an axis for which a condition holds (elements of the flattened array when None).

    Parameters
    ----------
    condition : 1-D array_like of bool
        May be shorter than the axis.
    a : array_like
    axis : int, optional
    out : Tensor or ndarray, optional

    Raises
    ------
    ValueError
        The condition is not 1-D.
    IndexError
        It holds beyond the end of the axis.
    """
    chosen = host(condition, "compress")
    if chosen.ndim != 1:
        raise ValueError(f"compress: condition must be a 1-d array, not of shape {chosen.shape}")
    return _where_true("compress", array(a), chosen, axis, out)


def _where_true(name: str, x: Tensor, chosen: np.ndarray, axis: int | None, out: Any = None) -> Any:
    """Return the slices along an axis, of the flattened array when None, for which a vector holds true."""
    x = functions.ravel(x) if axis is None else x
    if chosen.dtype == np.bool_ and x.shape[:1] == chosen.shape and axis in (None, 0):
        return finish(x[chosen], out, name=name)
    return take(x, np.flatnonzero(chosen), axis, out)


def extract(condition: Any, arr: Any) -> Tensor:
    """Return the elements of an array where a condition of its size holds, as one axis."""
    return _where_true("extract", array(arr), host(condition, "extract").reshape(-1), None)


def choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    """Return for each place the element of the array that an index names.

    Parameters
    ----------
    a : int array_like
        For each place, the number of the array to take from.
    choices : sequence of array_like
        Broadcast with each other and with `a`.
    out : Tensor or ndarray, optional
    mode : {"raise", "wrap", "clip"}

    Raises
    ------
    ValueError
        A number has no array, or shapes do not broadcast.
    TypeError
        `a` does not hold integers.
    """
    many = weak(choices)
    places = positions("choose", a, len(many), mode)
    if places.size and (places.min() < 0 or places.max() >= len(many)):
        raise ValueError(f"choose: invalid entry in choice array: {places.min()} to {places.max()}, "
                         f"there are {len(many)} choices")  # fmt: skip
    shape = build.broadcast_shape("choose", [places.shape, *(one.shape for one in many)])
    if isinstance(out, (Tensor, np.ndarray)) and tuple(out.shape) != shape:
        raise TypeError(f"choose: output array has shape {tuple(out.shape)}, the result {shape}; they must be equal")
    stacked = functions.stack([functions.broadcast_to(one, shape) for one in many])
    places = np.broadcast_to(places, shape)[None]
    return finish(functions.gather(stacked, adopt(places.copy()), axis=0)[0, ...], out, name="choose", casting="unsafe")


def where(condition: Any, x: Any = None, y: Any = None, /) -> Any:
    """Return `x` where a condition holds, else `y`; without them, the positions where it holds, as `nonzero`.

    Parameters
    ----------
    condition : array_like
    x, y : array_like or number, optional
        Broadcast with the condition; Python numbers take the other one's dtype.

    Raises
    ------
    ValueError
        Only one of `x` and `y` is given.
    """
    if x is None and y is None:
        return nonzero(condition)
    if x is None or y is None:
        raise ValueError("where: either both or neither of x and y should be given")
    return functions.where(array(condition), operand(x), operand(y))


def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Tensor:
    """Return for each place the first choice whose condition holds, `default` where none does.

    Parameters
    ----------
    condlist : sequence of bool array_like
    choicelist : sequence of array_like
        As many; all are broadcast with each other.
    default : number or array_like

    Raises
    ------
    ValueError
        The lists are empty or of different lengths.
    TypeError
        A condition is not of bools.
    """
    if len(condlist) != len(choicelist):
        raise ValueError(f"select: {len(condlist)} conditions, {len(choicelist)} choices: must be of the same length")
    if not len(condlist):
        raise ValueError("select: with an empty condition list is not possible")
    conditions = [array(one) for one in condlist]
    wrong = [k for k, one in enumerate(conditions) if one.dtype != dt.bool_]
    if wrong:
        raise TypeError(
            f"select: invalid entry {wrong[0]} in condlist: should be boolean, not {conditions[wrong[0]].dtype}"
        )
    result, choices = operand(default), [operand(one) for one in choicelist]
    shape = build.broadcast_shape("select", [getattr(one, "shape", ()) for one in (*conditions, *choices, result)])
    result = functions.where(functions.broadcast_to(conditions[-1], shape), choices[-1], result)
    for condition, choice in zip(conditions[-2::-1], choices[-2::-1]):
        result = functions.where(condition, choice, result)
    return result


def piecewise(x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **kw: Any) -> Tensor:
    """Return functions evaluated where their conditions hold.

    Parameters
    ----------
    x : array_like
    condlist : list of bool array_like, or one
    funclist : list of callable or number
        One for each condition; one more is for all other places, which are 0 otherwise.
    *args, **kw
        Passed to the functions.

    Returns
    -------
    Tensor
        Of the shape and dtype of `x`.

    Raises
    ------
    ValueError
        The numbers of conditions and functions do not fit.
    """
    given = array(x)
    if isinstance(condlist, (Tensor, np.ndarray)) and condlist.ndim:
        single = given.ndim != 0 and condlist[0].ndim == 0
    else:
        single = np.ndim(condlist) == 0 or (given.ndim != 0 and not isinstance(condlist[0], (list, np.ndarray, Tensor)))
    conditions = [array(one).astype(dt.bool_, copy=False) for one in ([condlist] if single else condlist)]
    if len(funclist) == len(conditions) + 1:
        others = conditions[0]
        for one in conditions[1:]:
            others = functions.logical_or(others, one)
        conditions.append(functions.logical_not(others))
    elif len(funclist) != len(conditions):
        raise ValueError(f"piecewise: with {len(conditions)} condition(s), either {len(conditions)} or "
                         f"{len(conditions) + 1} functions are expected, got {len(funclist)}")  # fmt: skip
    result = zeros_like(given)
    for condition, function in zip(conditions, funclist):
        if not callable(function):
            result[condition] = function
        else:
            part = given[condition]
            if part.size:
                result[condition] = function(part, *args, **kw)
    return result


@viewing
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """Return the diagonals of the matrices along two axes, as the last axis: a view that may only be read.

    Parameters
    ----------
    a : array_like
        Of two dimensions at least.
    offset : int
        0 is the main diagonal, 1 the one above.
    axis1, axis2 : int

    Raises
    ------
    ValueError
        The array has fewer axes, or the two are the same.
    """
    x = array(a)
    if x.ndim < 2:
        raise ValueError(f"diagonal: requires an array of at least two dimensions, not of shape {x.shape}")
    first, second = (axis_of("diagonal", one, x.ndim, x.shape) for one in (axis1, axis2))
    if first == second:
        raise ValueError(f"diagonal: axis1 and axis2 cannot be the same, {axis1} and {axis2} of shape {x.shape}")
    return fixed_diagonal.call(x, offset=index("diagonal", offset), axis1=first, axis2=second)


__all__ = [
    "argwhere", "choose", "compress", "diag_indices", "diag_indices_from", "diagonal", "extract",
    "flatnonzero", "ix_", "mask_indices", "nonzero", "piecewise",
    "select", "take", "take_along_axis", "tril_indices", "tril_indices_from", "triu_indices",
    "triu_indices_from", "where",
]  # fmt: skip
