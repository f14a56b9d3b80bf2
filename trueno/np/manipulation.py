"""Shapes and axes: views where NumPy has views, and what is made of them."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import broadcast_shapes

from trueno import functions
from trueno.creation import from_numpy
from trueno.ir import build, movement
from trueno.np import arguments
from trueno.np.arguments import adopt, array, host
from trueno.runtime.operation import Operation
from trueno.tensor import Tensor
from trueno.viewing import viewing


def axis_of(name: str, axis: Any, ndim: int, shape: Sequence[int]) -> int:
    """Return one axis as a non-negative number; AxisError names the function and the shape."""
    if type(axis) is int and -ndim <= axis < ndim:
        return axis + ndim if axis < 0 else axis
    return build.normalise_axes(name, arguments.position(name, axis), ndim, tuple(shape))[0]


def axes_of(name: str, axes: Any, ndim: int, shape: Sequence[int]) -> tuple[int, ...]:
    """Return axes, one or several, in the order given; ValueError for a repeated one."""
    many = tuple(axes) if isinstance(axes, (tuple, list, range)) else (axes,)
    result = tuple(axis_of(name, axis, ndim, shape) for axis in many)
    if len(set(result)) != len(result):
        raise ValueError(f"{name}: repeated axis in {many} for an array of shape {tuple(shape)}")
    return result


def extents(name: str, shape: Any) -> tuple[int, ...]:
    """Return the argument of a function that is a shape, an integer or a sequence of them, as a tuple."""
    many = (shape,) if not hasattr(shape, "__iter__") else tuple(shape)
    return tuple(arguments.position(name, one) for one in many)


# --- shapes -----------------------------------------------------------------------------------------------------------


def _memory_order(name: str, x: Tensor, order: Any, allowed: str) -> str:
    """Return "C" or "F" for one of NumPy's four letters."""
    found = arguments.order(name, order, allowed) or "C"
    if found == "A":
        return "F" if x.ndim > 1 and not x.is_contiguous() and functions.permute(x).is_contiguous() else "C"
    return found


@viewing
def reshape(a: Any, shape: Any, order: str = "C", *, copy: bool | None = None) -> Tensor:
    """Return the same elements under another shape, a view where the strides allow it.

    Parameters
    ----------
    a : array_like
    shape : int or tuple of int
        One extent may be -1: what is left.
    order : {"C", "F", "A"}
        The order in which elements are read and put.
    copy : bool, optional
        True always copies; False raises where a copy would be needed.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        The sizes differ, or `copy` is False and strides do not allow a view.
    """
    x, wanted = array(a), extents("reshape", shape)
    if copy:
        x = functions.copy(x)
    if _memory_order("reshape", x, order, "CFA") == "F":
        result = functions.permute(functions.reshape(functions.permute(x), wanted[::-1]))
    else:
        result = functions.reshape(x, wanted)
    if copy is False and not np.may_share_memory(host(result, "reshape"), host(x, "reshape")) and x.size:
        raise ValueError(f"reshape: unable to avoid a copy from shape {x.shape}, strides {x.strides}, to {wanted}")
    return result


@viewing
def ravel(a: Any, order: str = "C") -> Tensor:
    """Return the elements as one axis: a view where they follow each other in memory, else a copy.

    Parameters
    ----------
    a : array_like
    order : {"C", "F", "A", "K"}
        "K": in the order in which they lie in memory.

    Returns
    -------
    Tensor
        Of shape ``(size,)``.
    """
    x = array(a)
    if _memory_order("ravel", x, order, "CFAK") == "K":
        steps = x._layout.strides
        # Longest steps first; equal steps keep their order, as in NumPy.
        x = functions.permute(x, sorted(range(x.ndim), key=lambda axis: -abs(steps[axis])))
    elif _memory_order("ravel", x, order, "CFA") == "F":
        x = functions.permute(x)
    return functions.contiguous(functions.ravel(x))


@viewing
def transpose(a: Any, axes: Any = None) -> Tensor:
    """Return a view with the axes in another order, reversed when none is given.

    Raises
    ------
    ValueError
        `axes` is no permutation of the array's axes.
    """
    x = array(a)
    if axes is None:
        return functions.permute(x)
    order = extents("transpose", axes)
    if len(order) != x.ndim:
        raise ValueError(f"transpose: axes {order} do not match an array of shape {x.shape}")
    return functions.permute(x, axes_of("transpose", order, x.ndim, x.shape)) if order else x[...]


@viewing
def permute_dims(a: Any, axes: Any = None) -> Tensor:
    """Return a view with the axes in another order: `transpose` under the array API standard's name."""
    return transpose(a, axes)


@viewing
def matrix_transpose(x: Any, /) -> Tensor:
    """Return a view with the last two axes exchanged.

    Raises
    ------
    ValueError
        The array has fewer than two dimensions.
    """
    x = array(x)
    if x.ndim < 2:
        raise ValueError(f"matrix_transpose: array must be at least 2-dimensional, but has shape {x.shape}")
    return functions.swapaxes(x, -1, -2)


@viewing
def moveaxis(a: Any, source: Any, destination: Any) -> Tensor:
    """Return a view with axes moved to other positions; the others keep their order.

    Raises
    ------
    ValueError
        `source` and `destination` differ in number, or an axis is repeated or out of bounds (AxisError).
    """
    x = array(a)
    start = axes_of("moveaxis", source, x.ndim, x.shape)
    end = axes_of("moveaxis", destination, x.ndim, x.shape)
    if len(start) != len(end):
        raise ValueError(f"moveaxis: source {source} and destination {destination} must have equally many axes")
    order = [axis for axis in range(x.ndim) if axis not in start]
    for to, axis in sorted(zip(end, start, strict=True)):
        order.insert(to, axis)
    return functions.permute(x, order) if order else x[...]


@viewing
def rollaxis(a: Any, axis: int, start: int = 0) -> Tensor:
    """Return a view with an axis moved in front of the axis `start` (prefer `moveaxis`)."""
    x = array(a)
    axis = axis_of("rollaxis", axis, x.ndim, x.shape)
    before = operator.index(start)
    if not -x.ndim <= before <= x.ndim:
        raise np.exceptions.AxisError(f"rollaxis: start {start} is out of bounds for an array of shape {x.shape}")
    before += x.ndim if before < 0 else 0
    return moveaxis(x, axis, before - 1 if axis < before else before)


@viewing
def swapaxes(a: Any, axis1: int, axis2: int) -> Tensor:
    """Return a view with two axes exchanged."""
    x = array(a)
    first, second = (axis_of("swapaxes", axis, x.ndim, x.shape) for axis in (axis1, axis2))
    return functions.swapaxes(x, first, second)


@viewing
def expand_dims(a: Any, axis: Any) -> Tensor:
    """Return a view with new axes of extent 1 at these positions of the result.

    Parameters
    ----------
    a : array_like
    axis : int or tuple of int
    """
    x = array(a)
    count = len(axis) if isinstance(axis, (tuple, list)) else 1
    new = axes_of("expand_dims", axis, x.ndim + count, x.shape)
    rest = iter(x.shape)
    return functions.reshape(x, tuple(1 if k in new else next(rest) for k in range(x.ndim + count)))


@viewing
def squeeze(a: Any, axis: Any = None) -> Tensor:
    """Return a view without axes of extent 1: all of them, or those named.

    Raises
    ------
    ValueError
        A named axis has another extent.
    """
    x = array(a)
    if axis is None or (x.ndim == 0 and axis in (0, -1)):
        gone: tuple[int, ...] = tuple(k for k, extent in enumerate(x.shape) if extent == 1)
    else:
        gone = axes_of("squeeze", axis, x.ndim, x.shape)
    wide = [k for k in gone if x.shape[k] != 1]
    if wide:
        raise ValueError(f"squeeze: cannot remove axis {wide[0]} of size {x.shape[wide[0]]} from shape {x.shape}")
    return functions.reshape(x, tuple(extent for k, extent in enumerate(x.shape) if k not in gone))


def _at_least(x: Any, ndim: int) -> Tensor:
    x = array(x)
    if x.ndim >= ndim:
        return x
    shape = (1,) * (ndim - x.ndim) + x.shape
    if ndim == 3 and x.ndim:
        # NumPy puts the new axis of a matrix last, and a vector in the middle.
        shape = (1, x.shape[0], 1) if x.ndim == 1 else (*x.shape, 1)
    return functions.reshape(x, shape)


def _each_at_least(arys: tuple[Any, ...], ndim: int) -> Any:
    result = tuple(_at_least(one, ndim) for one in arys)
    return result[0] if len(result) == 1 else result


def atleast_1d(*arys: Any) -> Any:
    """Return arrays as views of at least one dimension: one Tensor, or a tuple of them for several arguments."""
    return _each_at_least(arys, 1)


def atleast_2d(*arys: Any) -> Any:
    """Return arrays as views of at least two dimensions; new axes come first."""
    return _each_at_least(arys, 2)


def atleast_3d(*arys: Any) -> Any:
    """Return arrays as views of at least three dimensions: ``(N,)`` is ``(1, N, 1)``, ``(M, N)`` is ``(M, N, 1)``."""
    return _each_at_least(arys, 3)


_broadcast = functions.ViewOperation("broadcast_to", build.expand, functions.expand_layout, readonly=True)


@viewing
def broadcast_to(array: Any, shape: Any) -> Tensor:
    """Return a view broadcast to a shape, which may only be read.

    Raises
    ------
    ValueError
        The array's shape does not broadcast to this one.
    """
    x, wanted = arguments.array(array), extents("broadcast_to", shape)
    fits = len(wanted) >= x.ndim and all(a in (1, b) for a, b in zip(x.shape[::-1], wanted[::-1]))
    if not fits or min(wanted, default=0) < 0:
        raise ValueError(f"broadcast_to: an array of shape {x.shape} cannot be broadcast to shape {wanted}")
    return _broadcast.call(x, shape=wanted)


def broadcast_arrays(*args: Any) -> tuple[Tensor, ...]:
    """Return views of the arrays, broadcast against each other.

    Raises
    ------
    ValueError
        The shapes do not broadcast.
    """
    many = [array(one) for one in args]
    shape = build.broadcast_shape("broadcast_arrays", [one.shape for one in many])
    return tuple(one if one.shape == shape else functions.expand(one, shape) for one in many)


# --- order of elements ------------------------------------------------------------------------------------------------


@viewing
def flip(m: Any, axis: Any = None) -> Tensor:
    """Return a view with the order of elements reversed along axes (all of them when None)."""
    x = array(m)
    chosen = range(x.ndim) if axis is None else axes_of("flip", axis, x.ndim, x.shape)
    return x[tuple(slice(None, None, -1) if k in chosen else slice(None) for k in range(x.ndim))] if x.ndim else x[...]


@viewing
def fliplr(m: Any) -> Tensor:
    """Return a view reversed along axis 1 (left and right); ValueError below two dimensions."""
    return flip(_of_dimensions("fliplr", m, 2), 1)


@viewing
def flipud(m: Any) -> Tensor:
    """Return a view reversed along axis 0 (up and down); ValueError for a 0-d array."""
    return flip(_of_dimensions("flipud", m, 1), 0)


def _of_dimensions(name: str, m: Any, least: int) -> Tensor:
    x = array(m)
    if x.ndim < least:
        raise ValueError(f"{name}: input must have at least {least} dimensions, not shape {x.shape}")
    return x


@viewing
def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Tensor:
    """Return a view rotated by ``k`` quarter turns in the plane of two axes, from the first towards the second.

    Raises
    ------
    ValueError
        `axes` are not two different axes of the array.
    """
    x, plane = array(m), tuple(axes)
    if len(plane) != 2:
        raise ValueError(f"rot90: len(axes) must be 2, got {plane}")
    if not all(-x.ndim <= axis < x.ndim for axis in plane):
        raise ValueError(f"rot90: axes {plane} are out of range for an array of shape {x.shape}")
    first, second = (axis % x.ndim for axis in plane)
    if first == second:
        raise ValueError(f"rot90: axes must be different, got {plane}")
    turns = operator.index(k) % 4
    if turns == 0:
        return x[...]
    if turns == 2:
        return flip(x, (first, second))
    return functions.swapaxes(flip(x, second), first, second) if turns == 1 else flip(
        functions.swapaxes(x, first, second), second
    )  # fmt: skip


_rolled = Operation("roll", movement.rolled, 1)


def roll(a: Any, shift: Any, axis: Any = None) -> Tensor:
    """Return the elements shifted along axes; what leaves at the end enters at the start.

    Parameters
    ----------
    a : array_like
    shift : int or tuple of int
        By how many places; broadcast with `axis`.
    axis : int or tuple of int, optional
        None shifts the flattened array.

    Returns
    -------
    Tensor
        Of the shape of `a`: a copy.
    """
    x = array(a)
    if axis is None:
        return functions.reshape(roll(functions.ravel(x), shift, 0), x.shape)
    chosen = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    chosen = tuple(axis_of("roll", one, x.ndim, x.shape) for one in chosen)
    counts = host(shift, "roll") if isinstance(shift, Tensor) else np.asarray(shift)
    pairs = np.broadcast(counts, chosen)
    if counts.ndim > 1 or pairs.ndim > 1:
        raise ValueError(f"roll: shift {shift} and axis {axis} must be numbers or 1-D sequences")
    by = dict.fromkeys(chosen, 0)
    for count, one in pairs:
        by[one] += int(count)
    cuts = [-by.get(k, 0) % extent if extent else 0 for k, extent in enumerate(x.shape)]
    return _rolled.call(x, cuts=tuple(cuts))


_tiled = Operation("resize", movement.tiled, 1)


def resize(a: Any, new_shape: Any) -> Tensor:
    """Return an array of a shape, filled with the elements of `a`, repeated in C order as often as needed.

    An empty `a` gives zeros.

    Raises
    ------
    ValueError
        An extent is negative.
    """
    x, shape = functions.ravel(array(a)), extents("resize", new_shape)
    if any(extent < 0 for extent in shape):
        raise ValueError(f"resize: all elements of the new shape must be non-negative, got {shape}")
    size = math.prod(shape)
    if not x.size or not size:
        return from_numpy(np.zeros(shape, x.dtype))
    times = -(-size // x.size)
    return functions.reshape(_tiled.call(x, times=(times,))[:size], shape)


def trim_zeros(filt: Any, trim: str = "fb", axis: Any = None) -> Any:
    """Return the part of an array that is left without its outer zeros: a view; of a list, as in NumPy, a list.

    Parameters
    ----------
    filt : array_like
    trim : {"fb", "f", "b"}
        Whether zeros are taken from the front, the back or both.
    axis : int or tuple of int, optional
        Axes that are cut; all of them when None.
    """
    x = array(filt)
    letters = trim.lower() if isinstance(trim, str) else ""
    if letters not in ("fb", "bf", "f", "b"):
        raise ValueError(f"trim_zeros: trim must be 'f', 'b' or 'fb', got {trim!r}")
    chosen = range(x.ndim) if axis is None else axes_of("trim_zeros", axis, x.ndim, x.shape)
    places = np.argwhere(host(x, "trim_zeros"))
    cuts = [slice(None)] * x.ndim
    for one in chosen:
        if len(places):
            low, high = int(places[:, one].min()), int(places[:, one].max()) + 1
        else:
            # Only zeros: both ends meet, at the end that is cut first.
            low, high = (0, 0) if "f" not in letters else (x.shape[one], x.shape[one])
        cuts[one] = slice(low if "f" in letters else 0, high if "b" in letters else x.shape[one])
    trimmed = x[tuple(cuts)] if x.ndim else x
    return type(filt)(trimmed.tolist()) if type(filt) in (list, tuple) and x.ndim == 1 else trimmed


# --- positions --------------------------------------------------------------------------------------------------------


def ravel_multi_index(multi_index: Any, dims: Any, mode: Any = "raise", order: str = "C") -> Tensor:
    """Return flat positions for coordinates, as `numpy.ravel_multi_index`.

    Parameters
    ----------
    multi_index : sequence of int array_like
        One array for each axis.
    dims : tuple of int
        The shape that the coordinates are of.
    mode : {"raise", "wrap", "clip"}, or one of them for each axis
    order : {"C", "F"}

    Returns
    -------
    Tensor
        int64, of the broadcast shape of the coordinates.

    Raises
    ------
    ValueError
        A coordinate is out of bounds (with ``mode="raise"``).
    """
    places = tuple(host(one, "ravel_multi_index") for one in multi_index)
    return adopt(np.ravel_multi_index(places, extents("ravel_multi_index", dims), mode=mode, order=order))  # type: ignore[call-overload]


def unravel_index(indices: Any, shape: Any, order: str = "C") -> tuple[Tensor, ...]:
    """Return coordinates, one int64 array for each axis, for flat positions, as `numpy.unravel_index`.

    Raises
    ------
    ValueError
        A position is out of bounds for the shape.
    """
    found = np.unravel_index(host(indices, "unravel_index"), extents("unravel_index", shape), order=order)  # type: ignore[call-overload]
    return tuple(adopt(np.array(one)) for one in found)


__all__ = [
    "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_arrays", "broadcast_shapes", "broadcast_to", "expand_dims",
    "flip", "fliplr", "flipud", "matrix_transpose", "moveaxis", "permute_dims", "ravel", "ravel_multi_index", "reshape",
    "resize", "roll", "rollaxis", "rot90", "squeeze", "swapaxes", "transpose", "trim_zeros", "unravel_index",
]  # fmt: skip
