"""Elements written in place, by positions and masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueno import dtypes as dt
from trueno import functions
from trueno.ir import promotion
from trueno.np.arguments import array, can_cast, host, mask, operand
from trueno.np.selection import aligned, positions
from trueno.tensor import Tensor


def _target(name: str, a: Any) -> Tensor:
    """Return an array that is written to as a Tensor on its memory."""
    if not isinstance(a, (Tensor, np.ndarray)):
        raise TypeError(f"{name}: argument 1 must be an array, not {type(a).__name__}")
    if isinstance(a, np.ndarray) and not a.flags.writeable:
        raise ValueError(f"{name}: assignment destination is read-only")
    return array(a)


def _write(x: Tensor, places: np.ndarray, values: Tensor) -> None:
    """Write values, repeated as often as needed, to positions of the flattened array."""
    if not places.size:
        return
    flat = functions.ravel(values)
    numbers = np.arange(places.size) % max(flat.size, 1)
    x[np.unravel_index(places, x.shape)] = flat if flat.size == places.size else flat[numbers]


def _fits(name: str, x: Tensor, values: Any, casting: str = "unsafe") -> Tensor:
    """Return values in the dtype of the target, cast by a rule; Python numbers must be in its range."""
    if isinstance(values, (Tensor, np.ndarray)) and not can_cast(array(values).dtype, x.dtype, casting):
        raise TypeError(f"{name}: cannot cast array data from {values.dtype} to {x.dtype} by the rule {casting!r}")
    return array(values, x.dtype) if not hasattr(values, "dtype") else array(values).astype(x.dtype, copy=False)


def put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    """Write values to positions of the flattened array, in place.

    Parameters
    ----------
    a : Tensor or ndarray
    ind : int array_like
    v : array_like
        Repeated if shorter than `ind`.
    mode : {"raise", "wrap", "clip"}

    Raises
    ------
    IndexError
        A position is out of bounds.
    """
    x = _target("put", a)
    whole = type(ind) is Tensor and ind.dtype == dt.int64 and mode == "raise" and ind.size and x.is_contiguous()
    if whole and x.size and (type(v) in (bool, int, float) or (type(v) is Tensor and v.shape == ind.shape)):
        flat = functions.reshape(x, (x.size,))
        flat[functions.ravel(ind)] = functions.ravel(_fits("put", x, v)) if type(v) is Tensor else v
        return
    places = positions("put", ind, x.size, mode).reshape(-1)
    wrong = places[(places < -x.size) | (places >= x.size)]
    if len(wrong):
        raise IndexError(f"put: index {wrong[0]} is out of bounds for an array of size {x.size}, shape {x.shape}")
    if places.size and not x.size:
        raise IndexError(f"put: cannot replace elements of an empty array, shape {x.shape}")
    values = _fits("put", x, v)
    if values.size:
        _write(x, np.where(places < 0, places + x.size, places), values)


def put_along_axis(arr: Any, indices: Any, values: Any, axis: int | None) -> None:
    """Write values to positions along an axis, in place: the counterpart of `take_along_axis`.

    Raises
    ------
    IndexError
        The indices are not integers, or a position is out of bounds.
    ValueError
        The numbers of axes differ.
    """
    x = _target("put_along_axis", arr)
    flat, places, along = aligned("put_along_axis", x, indices, axis)
    if axis is None:
        put(x, places, np.broadcast_to(host(values, "put_along_axis"), places.shape))
        return
    where_to: list[Any] = [
        np.arange(n).reshape([-1 if k == other else 1 for k in range(x.ndim)]) for other, n in enumerate(flat.shape)
    ]
    where_to[along] = places
    x[tuple(where_to)] = values


def _mask(name: str, x: Tensor, mask: Any) -> np.ndarray:
    found = host(mask, name).astype(np.bool_)
    if found.size != x.size:
        raise ValueError(f"{name}: mask and data must be the same size, shapes {found.shape} and {x.shape}")
    return np.flatnonzero(found)


def place(arr: Any, mask: Any, vals: Any) -> None:
    """Write values, one after the other and repeated, to the places of a mask, in place.

    Raises
    ------
    ValueError
        The mask is of another size, or there is no value for a place.
    """
    x = _target("place", arr)
    places, values = _mask("place", x, mask), _fits("place", x, vals, "safe")
    if places.size and not values.size:
        raise ValueError("place: cannot insert from an empty array")
    _write(x, places, values)


def putmask(a: Any, /, mask: Any, values: Any) -> None:
    """Write to the places of a mask, in place, the values at the same positions (repeated to the array's size).

    Raises
    ------
    ValueError
        The mask is of another size.
    """
    x = _target("putmask", a)
    places, flat = _mask("putmask", x, mask), functions.ravel(_fits("putmask", x, values, "safe"))
    if places.size and flat.size:
        _write(x, places, flat[places % flat.size])


def copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    """Copy values into an array, where a condition holds.

    Parameters
    ----------
    dst : Tensor or ndarray
    src : array_like
        Broadcasts to `dst`.
    casting : str
        The rule by which `src` must be castable.
    where : bool array_like

    Raises
    ------
    TypeError
        The cast is not allowed.
    ValueError
        `src` or `where` does not broadcast.
    """
    x = _target("copyto", dst)
    can_cast(x.dtype, x.dtype, casting)  # refuses a rule that does not exist
    value = operand(src)
    if isinstance(value, Tensor) and not can_cast(value.dtype, x.dtype, casting):
        raise TypeError(f"copyto: cannot cast array data from {value.dtype} to {x.dtype} according to rule {casting!r}")
    weak = not isinstance(value, Tensor) and casting != "unsafe"
    if weak and promotion.common((x.dtype, type(value))) != x.dtype:
        raise TypeError(f"copyto: cannot cast a Python {type(value).__name__} to {x.dtype} by the rule {casting!r}")
    if where is True:
        x[...] = value
        return
    chosen = np.broadcast_to(host(mask("copyto", where), "copyto"), x.shape)
    x[chosen] = functions.broadcast_to(value, x.shape)[chosen] if isinstance(value, Tensor) else value


def fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    """Write values to the main diagonal, in place.

    Parameters
    ----------
    a : Tensor or ndarray
        Of two dimensions at least; all of one extent if more than two.
    val : array_like
        Repeated if shorter than the diagonal.
    wrap : bool
        Whether the diagonal of a tall matrix begins again below.

    Raises
    ------
    ValueError
        The array has no such diagonal.
    """
    x = _target("fill_diagonal", a)
    if x.ndim < 2:
        raise ValueError(f"fill_diagonal: array must be at least 2-d, not of shape {x.shape}")
    end = x.size
    if x.ndim == 2:
        step = x.shape[1] + 1
        end = end if wrap else x.shape[1] * x.shape[1]
    else:
        if len(set(x.shape)) > 1:
            raise ValueError(f"fill_diagonal: all dimensions of input must be of equal length, not {x.shape}")
        step = 1 + sum(x.shape[0] ** k for k in range(1, x.ndim))
    _write(x, np.arange(0, min(end, x.size), step), _fits("fill_diagonal", x, val))


__all__ = ["copyto", "fill_diagonal", "place", "put", "put_along_axis", "putmask"]
