"""Sorting and searching in order: NumPy's algorithms, with gradients through the order that they find."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from trueno import functions
from trueno.creation import empty
from trueno.ir import composites_numpy
from trueno.np.arguments import adopt, array, host, index
from trueno.np.manipulation import atleast_1d, axis_of
from trueno.runtime import launcher, memory
from trueno.runtime.inplace import requires_grad
from trueno.runtime.operation import Operation
from trueno.tensor import Tensor

#: From so many elements on a kernel searches for them, whose code is made for numbers of steps in steps of four.
_SEARCHED, _STEPS = 512, 4
#: Elements from which on a kernel may copy by several threads.
_SPLIT = 1 << 14

_insertion_places = Operation("insertion_places", composites_numpy.insertion_places, 3)
#: NumPy looks at the first letter alone.
_KINDS = ("q", "m", "h", "s")


class TopkResult(NamedTuple):
    """The k largest or smallest elements, and where they are."""

    values: Tensor
    indices: Tensor


def _arranged(name: str, a: Any, axis: int | None) -> tuple[Tensor, int]:
    """Return an array and the axis to sort along; the flattened array when that is None."""
    x = a if isinstance(a, Tensor) else array(a)
    if axis is None:
        return (x if x.ndim == 1 else functions.ravel(x)), 0
    shape = x._layout.shape
    if shape and axis == -1:
        return x, len(shape) - 1
    return x, axis_of(name, axis, len(shape), shape)


def _kind(name: str, kind: Any, order: Any, stable: bool | None) -> Any:
    """Return the algorithm that NumPy is asked for."""
    if order is not None:
        raise ValueError(f"{name}: cannot specify order when the array has no fields")
    if kind is not None and stable is not None:
        raise ValueError(f"{name}: `kind` and `stable` parameters can't be provided at the same time")
    if kind is not None and not isinstance(kind, str):
        raise TypeError(f"{name}: sort kind must be str, not {type(kind).__name__}")
    if kind is not None and not kind.lower().startswith(_KINDS):
        raise ValueError(f"{name}: sort kind must be one of 'quicksort', 'mergesort', 'heapsort', or 'stable' "
                         f"(got {kind!r})")  # fmt: skip
    return "stable" if stable else kind


def _order(x: np.ndarray, axis: int, kind: Any, descending: bool) -> np.ndarray:
    """Return the positions that sort an array; equal elements keep their order where `kind` is stable."""
    if not descending:
        return x.argsort(axis, kind)
    # What is sorted backwards keeps the order of equal elements when it is read backwards.
    backwards = np.flip(np.argsort(np.flip(x, axis), axis=axis, kind=kind), axis)
    return x.shape[axis] - 1 - backwards


def sort(
    a: Any, axis: int | None = -1, kind: str | None = None, order: None = None, *, stable: bool | None = None,
    descending: bool = False,
) -> Tensor:  # fmt: skip
    """Return a sorted copy of an array; NaN is the largest.

    Parameters
    ----------
    a : array_like
    axis : int, optional
        None sorts the flattened array.
    kind : {"quicksort", "mergesort", "heapsort", "stable"}, optional
    stable : bool, optional
        Whether equal elements keep their order, which shows in the gradient.
    descending : bool
        The array API standard's argument: the largest first (NaN before all).

    Returns
    -------
    Tensor
        Its gradient goes to the places that the elements come from.

    Raises
    ------
    AxisError
        The axis is out of bounds; a 0-d array has none.

    Notes
    -----
    Differs from NumPy: `descending` exists, and `order`, which names fields, must be None.
    """
    if axis == -1 and kind is order is stable is None and not descending and type(a) is Tensor and not memory.taped(a):
        result = _copied(a)
        memory.host(result).sort()
        return result
    x, axis = _arranged("sort", a, axis)
    algorithm = None if kind is None and order is None and not stable else _kind("sort", kind, order, stable)
    if requires_grad(x) and launcher.grad_enabled():
        return _along(x, _order(host(x, "sort"), axis, algorithm, descending), axis)
    result = _copied(x)
    memory.host(result).sort(axis, algorithm)
    return functions.flip(result, axis) if descending else result


def _copied(x: Tensor) -> Tensor:
    """Return a copy in C order; a large one is made here: what two threads copied would lie in two cores' caches."""
    if x.size < _SPLIT:
        return functions.copy(x)
    result = empty(x.shape, dtype=x.dtype, device="cpu")
    np.copyto(memory.host(result), memory.host(x))
    return result


def _along(x: Tensor, order: np.ndarray, axis: int) -> Tensor:
    return functions.gather(x, adopt(order), axis=axis) if x.size else functions.copy(x)


def argsort(
    a: Any, axis: int | None = -1, kind: str | None = None, order: None = None, *, stable: bool | None = None,
    descending: bool = False,
) -> Tensor:  # fmt: skip
    """Return the positions, as int64, that sort an array; the parameters are those of `sort`.

    Notes
    -----
    Differs from NumPy: `descending` exists. Equal elements keep their order then unless `stable` is False, as the array
    API standard has it; in ascending order they do if `stable` is True, as in NumPy.
    """
    if axis == -1 and kind is order is stable is None and not descending and type(a) is Tensor and a._layout.shape:
        return adopt(host(a, "argsort").argsort())
    if descending and kind is None and stable is None:
        stable = True
    # Unlike sort, NumPy's argsort takes a 0-d array as one of a single element.
    x = array(a)
    x, axis = _arranged("argsort", x if x.ndim else atleast_1d(x), axis)
    return adopt(_order(host(x, "argsort"), axis, _kind("argsort", kind, order, stable), descending))


def _pivots(name: str, kth: Any, x: Tensor, axis: int) -> Any:
    places = np.asarray(host(kth, name) if isinstance(kth, Tensor) else kth)
    if places.ndim > 1 or places.dtype == np.bool_:
        raise ValueError(
            f"{name}: partition indices are one integer or a sequence of them, not {places.dtype} of shape "
            f"{places.shape}"
        )
    if places.dtype.kind not in "iu":
        raise TypeError(f"{name}: partition index must be integer, not {places.dtype}")
    extent = x.shape[axis]
    wrong = places[(places < -extent) | (places >= extent)]
    if wrong.size and x.size:
        raise ValueError(f"{name}: kth(={int(wrong.reshape(-1)[0])}) out of bounds ({extent}), shape {x.shape}")
    return places


def partition(a: Any, kth: Any, axis: int | None = -1, kind: str = "introselect", order: None = None) -> Tensor:
    """Return a copy in which the element at `kth` is the one that sorting would put there.

    What precedes it is not larger, what follows not smaller.

    Parameters
    ----------
    a : array_like
    kth : int or sequence of int
    axis : int, optional
        None partitions the flattened array.

    Raises
    ------
    ValueError
        A position is out of bounds.
    """
    x, axis = _arranged("partition", a, axis)
    places = _pivots("partition", kth, x, axis)
    _selection("partition", kind, order)
    if requires_grad(x) and launcher.grad_enabled():
        return _along(x, np.argpartition(host(x, "partition"), places, axis=axis), axis)
    result = functions.copy(x)
    host(result, "partition").partition(places, axis=axis)
    return result


def argpartition(a: Any, kth: Any, axis: int | None = -1, kind: str = "introselect", order: None = None) -> Tensor:
    """Return the positions, as int64, that partition an array; see `partition`."""
    x, axis = _arranged("argpartition", a, axis)
    places = _pivots("argpartition", kth, x, axis)
    _selection("argpartition", kind, order)
    return adopt(np.argpartition(host(x, "argpartition"), places, axis=axis))


def _selection(name: str, kind: str, order: Any) -> None:
    if not isinstance(kind, str):
        raise TypeError(f"{name}: select kind must be str, not {type(kind).__name__}")
    if kind != "introselect":
        raise ValueError(f"{name}: select kind must be 'introselect' (got {kind!r})")
    _kind(name, None, order, None)


def topk(a: Any, k: int, axis: int | None = -1, *, largest: bool = True, sorted: bool = True) -> TopkResult:
    """Return the k largest, or smallest, elements along an axis, and their positions.

    Parameters
    ----------
    a : array_like
    k : int
    axis : int, optional
        None looks at the flattened array.
    largest : bool
        NaN counts as larger than all numbers.
    sorted : bool
        Whether the results are in order, the most extreme first; of equal elements the first comes first.

    Returns
    -------
    TopkResult
        `values`, through which gradients flow, and `indices` as int64.

    Raises
    ------
    ValueError
        `k` is negative or exceeds the extent of the axis.

    Notes
    -----
    Differs from NumPy: NumPy has no such function. PyTorch's has the same meaning.
    """
    x, axis = _arranged("topk", a, axis)
    count, extent = index("topk", k), x.shape[axis]
    if not 0 <= count <= extent:
        raise ValueError(f"topk: k={count} is out of range for axis {axis} of shape {x.shape}")
    values = host(x, "topk")
    if 0 < count < extent:
        found = np.argpartition(values, extent - count if largest else count - 1, axis=axis)
        part = slice(extent - count, None) if largest else slice(0, count)
        found = np.sort(found[(*(slice(None),) * axis, part)], axis=axis)
    else:
        found = np.broadcast_to(np.arange(count).reshape([-1 if d == axis else 1 for d in range(x.ndim)]),
                                (*x.shape[:axis], count, *x.shape[axis + 1 :]))  # fmt: skip
    if sorted and count:
        order = _order(np.take_along_axis(values, found, axis), axis, "stable", largest)
        found = np.take_along_axis(found, order, axis)
    chosen = adopt(np.array(found))
    return TopkResult(functions.gather(x, chosen, axis=axis) if chosen.size else functions.copy(x[..., :0]), chosen)


def lexsort(keys: Any, axis: int = -1) -> Tensor:
    """Return the positions, as int64, that sort by several keys, the last of which counts most.

    Parameters
    ----------
    keys : array_like of shape (k, ...), or sequence of k arrays of equal shape
    axis : int

    Raises
    ------
    TypeError
        There is no key.
    ValueError
        The keys differ in shape.
    """
    many = host(keys, "lexsort") if hasattr(keys, "dtype") else tuple(host(one, "lexsort") for one in keys)
    return adopt(np.lexsort(many, axis=index("lexsort", axis)))


def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Tensor:
    """Return where elements would be inserted to keep a vector sorted.

    Parameters
    ----------
    a : array_like, shape (N,)
        In ascending order, or sorted by `sorter`.
    v : array_like or number
    side : {"left", "right"}
        Before or after equal elements.
    sorter : int array_like, optional
        Positions that sort `a`.

    Returns
    -------
    Tensor
        int64, of the shape of `v`.

    Raises
    ------
    ValueError
        `a` is not 1-D, or an unknown side.
    """
    order = None if sorter is None else host(sorter, "searchsorted")
    sequence: Any = host(a, "searchsorted")
    wanted = host(v, "searchsorted")
    if (
        wanted.size >= _SEARCHED
        and order is None
        and side in ("left", "right")
        and sequence.ndim == 1
        and sequence.size
    ):
        known = sequence.dtype == wanted.dtype and sequence.dtype.kind in "iuf" and sequence.dtype.itemsize >= 4
        if known:
            flat = functions.ravel(array(v).detach())
            steps = -(-sequence.size.bit_length() // _STEPS) * _STEPS
            found = _insertion_places.call(array(a).detach(), flat, sequence.size, steps=steps, right=side == "right")
            return functions.reshape(found, wanted.shape)
    return adopt(sequence.searchsorted(wanted, side, order))


def digitize(x: Any, bins: Any, right: bool = False) -> Tensor:
    """Return, as int64, the number of the bin that each element is in.

    Parameters
    ----------
    x : array_like
    bins : array_like, shape (N,)
        Edges, ascending or descending.
    right : bool
        Whether bins hold their right edge in place of the left one.

    Raises
    ------
    ValueError
        The edges are not monotonic.
    """
    return adopt(np.digitize(host(x, "digitize"), host(bins, "digitize"), right))


__all__ = ["argpartition", "argsort", "digitize", "lexsort", "partition", "searchsorted", "sort", "topk"]
