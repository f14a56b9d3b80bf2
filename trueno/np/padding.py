"""Arrays with more elements around them."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from trueno import dtypes as dt
from trueno import functions
from trueno.creation import from_numpy
from trueno.ir import movement
from trueno.np.arguments import adopt, array, host
from trueno.np.joining import taken
from trueno.runtime.operation import Operation
from trueno.tensor import Tensor

#: What each mode takes beyond array, widths and mode itself.
_KEYWORDS = {
    "empty": (), "edge": (), "wrap": (), "constant": ("constant_values",), "linear_ramp": ("end_values",),
    "maximum": ("stat_length",), "mean": ("stat_length",), "median": ("stat_length",), "minimum": ("stat_length",),
    "reflect": ("reflect_type",), "symmetric": ("reflect_type",),
}  # fmt: skip


def pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Tensor:
    """Return an array with elements added at the ends of its axes.

    Parameters
    ----------
    array : array_like
    pad_width : int, (before, after), sequence of such pairs, or dict from axis to one of them
    mode : str or callable
        "constant" (`constant_values`), "edge", "empty", "linear_ramp" (`end_values`), "maximum", "mean", "median",
        "minimum" (`stat_length`), "reflect", "symmetric" (`reflect_type`), "wrap"; or a function, as in `numpy.pad`.
    constant_values, end_values : number or pairs of them for each axis
    stat_length : int or pairs of them for each axis, optional
        How many elements at the edge a statistic is of; all of them when None.
    reflect_type : {"even", "odd"}

    Returns
    -------
    Tensor
        Of the dtype of `array`.

    Raises
    ------
    ValueError
        An unknown mode, a keyword that the mode does not take, a negative width, or an empty axis that is extended by
        elements of its own.
    TypeError
        Widths that are not integers.

    Notes
    -----
    Differs from NumPy: "empty" pads with zeros. Functions as mode and "median" give constants to autograd.
    """
    x = _array(array)
    widths = _widths(pad_width, x.ndim)
    if callable(mode) and x.ndim:
        padded: Any = np.pad(host(x, "pad"), np.array(widths), mode, **kwargs)
        return adopt(padded)
    if callable(mode):
        return functions.copy(x)
    if mode not in _KEYWORDS:
        raise ValueError(f"pad: mode {mode!r} is not supported; modes are {', '.join(_KEYWORDS)}")
    unknown = set(kwargs) - set(_KEYWORDS[mode])
    if unknown:
        raise ValueError(f"pad: unsupported keyword arguments for mode {mode!r}: {unknown}")
    for axis, (before, after) in enumerate(widths):
        if mode not in ("constant", "empty") and not x.shape[axis] and before + after:
            raise ValueError(f"pad: can't extend empty axis {axis} of shape {x.shape} using modes other than "
                             "'constant' or 'empty'")  # fmt: skip
    if mode in ("constant", "empty", "linear_ramp"):
        x = _filled(x, widths, mode, _pairs(next(iter(kwargs.values()), 0), x.ndim))
    elif mode in _STATISTICS:
        lengths = _lengths(kwargs.get("stat_length"), x, mode)
        x = _summarised(x, widths, mode, lengths)
    else:
        x = _mirrored(x, widths, mode, kwargs.get("reflect_type", "even"))
    return functions.copy(x) if widths.count((0, 0)) == len(widths) else x


_array = array


def _pairs(value: Any, ndim: int) -> list[tuple[Any, Any]]:
    """Return (before, after) for each axis from what NumPy broadcasts to pairs."""
    if type(value) in (int, float):
        return [(value, value)] * ndim
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    return [tuple(pair) for pair in np.broadcast_to(np.asarray(value), (ndim, 2)).tolist()]


def _widths(pad_width: Any, ndim: int) -> list[tuple[int, int]]:
    if type(pad_width) is int and pad_width >= 0:
        return [(pad_width, pad_width)] * ndim
    if isinstance(pad_width, dict):
        chosen: list[Any] = [(0, 0)] * ndim
        for axis, width in pad_width.items():
            chosen[operator.index(axis)] = (width, width) if np.ndim(width) == 0 else tuple(width)
        pad_width = chosen
    given = np.asarray(pad_width.tolist() if isinstance(pad_width, Tensor) else pad_width)
    if given.dtype.kind not in "iu":
        raise TypeError(f"pad: pad_width must be of integral type, not {given.dtype}")
    if (given < 0).any():
        raise ValueError(f"pad: index can't contain negative values, pad_width {pad_width}")
    return _pairs(given, ndim)


def _extended(x: Tensor, axis: int, before: Tensor | None, after: Tensor | None) -> Tensor:
    parts = [one for one in (before, x, after) if one is not None]
    return functions.concatenate(parts, axis=axis) if len(parts) > 1 else x


def _spread(edge: Tensor, width: int, axis: int) -> Tensor:
    return functions.expand(edge, tuple(width if k == axis else n for k, n in enumerate(edge.shape)))


def _edge(x: Tensor, axis: int, position: int) -> Tensor:
    return x[(*(slice(None),) * axis, slice(position, position + 1))]


def _filled(x: Tensor, widths: list[tuple[int, int]], mode: str, values: list[tuple[Any, Any]]) -> Tensor:
    """Return an array padded with constants, or with ramps from its edges to constants."""
    constants = {value for pair in values for value in pair}
    if mode != "linear_ramp" and len(constants) == 1 and not dt.is_complex(x.dtype):
        value = constants.pop()
        value = value if value == 0 else np.asarray(value).astype(x.dtype).item()
        return functions.pad(x, tuple(widths), value) if x.ndim else x

    def piece(axis: int, side: int) -> Tensor | None:
        width, value = widths[axis][side], values[axis][side]
        if not width:
            return None
        if mode != "linear_ramp":
            shape = tuple(width if k == axis else n for k, n in enumerate(x.shape))
            return from_numpy(np.full(shape, value, x.dtype) if dt.is_inexact(x.dtype) else np.full(
                shape, np.asarray(value).astype(x.dtype)))  # fmt: skip
        steps = np.arange(width) / width
        steps = (steps if side == 0 else steps[::-1]).reshape([-1 if k == axis else 1 for k in range(x.ndim)])
        wide = x.dtype if dt.is_inexact(x.dtype) else dt.float64
        edge = _edge(x, axis, 0 if side == 0 else x.shape[axis] - 1).astype(wide, copy=False)
        ramp = (edge - value) * from_numpy(steps.astype(wide)) + value
        return ramp if wide == x.dtype else functions.floor(ramp).astype(x.dtype)

    for axis in range(x.ndim):
        x = _extended(x, axis, piece(axis, 0), piece(axis, 1))
    return x


def _lengths(stat_length: Any, x: Tensor, mode: str) -> list[tuple[int, int]]:
    if stat_length is None:
        return [(n, n) for n in x.shape]
    pairs = [tuple(map(operator.index, pair)) for pair in _pairs(stat_length, x.ndim)]
    if any(one < 0 for pair in pairs for one in pair):
        raise ValueError(f"pad: index can't contain negative values, stat_length {stat_length}")
    if mode in ("maximum", "minimum") and any(one == 0 for pair in pairs for one in pair):
        raise ValueError(f"pad: stat_length of 0 yields no value for mode {mode!r}")
    return [(min(a, n), min(b, n)) for (a, b), n in zip(pairs, x.shape)]


def _median(x: Tensor, axis: int) -> Tensor:
    return adopt(np.median(host(x, "pad"), axis=axis, keepdims=True))


_STATISTICS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "maximum": lambda x, axis: x.max(axis=axis, keepdims=True),
    "minimum": lambda x, axis: x.min(axis=axis, keepdims=True),
    "mean": lambda x, axis: x.mean(axis=axis, keepdims=True),
    "median": _median,
}


def _summarised(x: Tensor, widths: list[tuple[int, int]], mode: str, lengths: list[tuple[int, int]]) -> Tensor:
    """Return an array padded with a statistic of the elements at its ends."""
    for axis, (before, after) in enumerate(widths):
        if not before and not after:
            continue
        head = (slice(None),) * axis
        extent = x.shape[axis]
        parts = (x[(*head, slice(0, lengths[axis][0]))], x[(*head, slice(extent - lengths[axis][1], extent))])
        found = []
        for part, width in zip(parts, (before, after)):
            value = _STATISTICS[mode](part, axis)
            if value.dtype != x.dtype:
                value = (value if dt.is_inexact(x.dtype) else functions.round(value)).astype(x.dtype)
            found.append(_spread(value, width, axis) if width else None)
        x = _extended(x, axis, *found)
    return x


_continued = Operation("pad", movement.continued, 1)


def _mirrored(x: Tensor, widths: list[tuple[int, int]], mode: str, kind: str) -> Tensor:
    """Return an array padded with elements of its own; several axes by one kernel, where there are few pieces."""
    padded = [axis for axis, pair in enumerate(widths) if pair != (0, 0)]
    simple = all(movement.is_simple(x.shape[axis], widths[axis], mode) for axis in padded)
    if kind != "odd" and simple and 0 < len(padded) <= movement.MOST_AXES:
        return _continued.call(x, widths=tuple(widths), mode=mode)
    for axis in padded:
        x = _mirrored_oddly(x, widths[axis], mode, axis) if kind == "odd" else _indexed(x, widths[axis], mode, axis)
    return x


def _indexed(x: Tensor, pair: tuple[int, int], mode: Any, axis: int) -> Tensor:
    """Return an array padded with elements of its own: NumPy pads the positions, the elements are taken."""
    if movement.is_simple(x.shape[axis], pair, mode):
        return _continued.call(x, widths=tuple(pair if k == axis else (0, 0) for k in range(x.ndim)), mode=mode)
    return taken(x, np.pad(np.arange(x.shape[axis]), pair, mode), axis)


def _mirrored_oddly(x: Tensor, pair: tuple[int, int], mode: str, axis: int) -> Tensor:
    """Return an array continued by point reflection at its ends.

    With an even reflection of period P the continuation at position p is ``x[r]`` or ``2 * last - x[...]``, plus
    ``2 * (last - first)`` for each period between.
    """
    extent = x.shape[axis]
    if extent == 1:
        return _indexed(x, pair, "edge", axis)
    last = extent - 1
    period = 2 * last if mode == "reflect" else 2 * extent
    turns, rest = np.divmod(np.arange(-pair[0], extent + pair[1]), period)
    mirrored = rest > last
    place = np.where(mirrored, period - rest - (mode == "symmetric"), rest)
    shape = [-1 if k == axis else 1 for k in range(x.ndim)]
    sign, ends, first = (
        from_numpy(np.asarray(one).astype(x.dtype).reshape(shape))
        for one in (np.where(mirrored, -1, 1), 2 * turns + 2 * mirrored, 2 * turns)
    )
    return taken(x, place, axis) * sign + _edge(x, axis, last) * ends - _edge(x, axis, 0) * first


__all__ = ["pad"]
