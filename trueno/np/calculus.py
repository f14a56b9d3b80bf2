"""Differences, derivatives and integrals of samples, interpolation, and sliding products of vectors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from trueno import dtypes as dt
from trueno import functions
from trueno.ir import composites_numpy, promotion
from trueno.np.arguments import adopt, array, can_cast, host, index, operand
from trueno.np.manipulation import axes_of, axis_of
from trueno.runtime import launcher
from trueno.runtime.inplace import requires_grad
from trueno.runtime.operation import Operation
from trueno.tensor import Tensor

_diff = Operation("diff", composites_numpy.diff, 1)
_gradient = Operation("gradient", composites_numpy.gradient, 2)
_trapezoid = Operation("trapezoid", composites_numpy.trapezoid, 2)
_interpolated = Operation("interp", composites_numpy.interpolated, 5)
_correlate = Operation("correlate", composites_numpy.correlate, 2)
_correlate_in_blocks = Operation("correlate_in_blocks", composites_numpy.correlate_in_blocks, 2)
_correction = Operation("unwrap", composites_numpy.correction, 4)

# --- differences ------------------------------------------------------------------------------------------------------


def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Tensor:
    """Return the n-th differences of neighbours along an axis.

    Parameters
    ----------
    a : array_like
    n : int
    axis : int
    prepend, append : array_like, optional
        Joined to the ends first; a number counts as one slice.

    Returns
    -------
    Tensor
        Of the dtype of `a`, by `n` shorter; of bools, whether neighbours differ.

    Raises
    ------
    ValueError
        `n` is negative, or `a` is 0-d.
    """
    x, times = array(a), index("diff", n)
    if times == 0:
        return x
    if times < 0:
        raise ValueError(f"diff: order must be non-negative but got {times}")
    if not x.ndim:
        raise ValueError("diff: requires input that is at least one dimensional")
    axis = axis_of("diff", axis, x.ndim, x.shape)
    single = tuple(1 if k == axis else n for k, n in enumerate(x.shape))
    parts = [None if one is None else array(one) for one in (prepend, append)]
    ends = [one if one is None or one.ndim else functions.broadcast_to(one, single) for one in parts]
    if any(one is not None for one in ends):
        x = functions.concatenate([one for one in (ends[0], x, ends[1]) if one is not None], axis=axis)
    return _diff.call(x, n=min(times, x.shape[axis]), axis=axis)


def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Tensor:
    """Return the differences of neighbours of the flattened array, between further elements.

    Parameters
    ----------
    ary : array_like
    to_end, to_begin : array_like, optional
        Put after and before the differences.

    Raises
    ------
    TypeError
        Their dtype does not fit that of `ary`.
    """
    x = functions.ravel(array(ary))
    parts = [functions.sub(x[1:], x[:-1])]
    for name, given, at in (("to_begin", to_begin, 0), ("to_end", to_end, 2)):
        if given is not None:
            end = functions.ravel(array(given))
            if not can_cast(end.dtype, x.dtype, "same_kind"):
                raise TypeError(f"ediff1d: dtype of {name}, {end.dtype}, must be compatible with {x.dtype} under the "
                                "same_kind rule")  # fmt: skip
            parts.insert(at, end.astype(x.dtype, copy=False))
    return functions.concatenate(parts) if len(parts) > 1 else parts[0]


def _spacing(f: Tensor, axis: int, given: Any) -> Any:
    """Return the distance of samples along an axis: a number, or a vector of them."""
    distances = operand(given)
    if not isinstance(distances, Tensor) or not distances.ndim:
        return distances
    if distances.ndim != 1:
        raise ValueError(f"gradient: distances must be either scalars or 1d, not of shape {distances.shape}")
    if len(distances) != f.shape[axis]:
        raise ValueError(f"gradient: when 1d, distances must match the length of the corresponding dimension: "
                         f"{len(distances)} for axis {axis} of shape {f.shape}")  # fmt: skip
    if distances.dtype.kind in "iu":
        distances = distances.astype(dt.float64)
    steps = diff(distances)
    if not requires_grad(steps):
        values = host(steps, "gradient")
        if values.size and (values == values[0]).all():
            return steps[0]
    return steps


def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Return the derivatives of samples: second-order central differences inside, one-sided ones at the edges.

    Parameters
    ----------
    f : array_like
    *varargs : number or 1-D array_like
        Distance of samples, or their positions: one number for all axes, or one argument for each. 1 by default.
    axis : int or tuple of int, optional
        None takes all axes.
    edge_order : {1, 2}

    Returns
    -------
    Tensor or tuple of Tensor
        One array for each axis; floats keep their dtype, integers give float64.

    Raises
    ------
    ValueError
        An axis has fewer than ``edge_order + 1`` samples, or positions do not fit it.
    TypeError
        Another number of distances.
    """
    x = array(f)
    axes = tuple(range(x.ndim)) if axis is None else axes_of("gradient", axis, x.ndim, x.shape)
    if not varargs:
        spacing: list[Any] = [1.0] * len(axes)
    elif len(varargs) == 1 and np.ndim(varargs[0]) == 0:
        spacing = [operand(varargs[0])] * len(axes)
    elif len(varargs) == len(axes):
        spacing = [_spacing(x, one, given) for one, given in zip(axes, varargs)]
    else:
        raise TypeError(f"gradient: invalid number of arguments: {len(varargs)} distances for {len(axes)} axes")
    if edge_order > 2:
        raise ValueError(f"gradient: 'edge_order' greater than 2 not supported, got {edge_order}")
    results = []
    for one, dx in zip(axes, spacing):
        if x.shape[one] < edge_order + 1:
            raise ValueError(f"gradient: shape {x.shape} too small to calculate a numerical gradient along axis {one}: "
                             f"at least {edge_order + 1} elements are required")  # fmt: skip
        derivative = _gradient.call(x, dx, axis=one, edge_order=2 if edge_order == 2 else 1)
        results.append(derivative.astype(x.dtype, copy=False) if dt.is_inexact(x.dtype) else derivative)
    return results[0] if len(results) == 1 else tuple(results)


def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Tensor:
    """Return the integral of samples along an axis by the trapezoidal rule.

    Parameters
    ----------
    y : array_like
    x : array_like, optional
        Positions of the samples: 1-D, or of the shape of `y`.
    dx : number
        Distance of samples where `x` is None.
    axis : int

    Raises
    ------
    ValueError
        `x` does not fit `y`.
    """
    values, given = array(y), axis
    axis = axis_of("trapezoid", axis, values.ndim, values.shape)
    if x is None:
        return _trapezoid.call(values, operand(dx), axis=axis)
    places = array(x)
    if not places.ndim:
        raise ValueError("trapezoid: x requires at least one dimension")
    return _trapezoid.call(values, diff(places, axis=0 if places.ndim == 1 else given), axis=axis)


def unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: Any = 2 * math.pi) -> Tensor:
    """Return values with multiples of a period added so that neighbours differ by no more than half of it.

    Parameters
    ----------
    p : array_like
    discont : number, optional
        Steps smaller than this are left alone; half a period by default and at least.
    axis : int
    period : number

    Returns
    -------
    Tensor
        Of the dtype that `p` and `period` promote to.

    Raises
    ------
    OverflowError
        That is an unsigned dtype.
    """
    x = array(p)
    axis = axis_of("unwrap", axis, x.ndim, x.shape)
    dtype = promotion.common((x.dtype, type(period) if type(period) in (int, float) else array(period).dtype))
    whole = not dt.is_floating(dtype)
    half = period // 2 if whole else period / 2
    if dtype.kind == "u":
        raise OverflowError(
            f"unwrap: {-half} is out of bounds for {dtype}, in which differences wrap; cast to a signed dtype"
        )
    steps = diff(x, axis=axis).astype(dtype, copy=False)
    limit = period / 2 if discont is None else discont
    added = _correction.call(steps, half, period, limit, halves=not whole or period % 2 == 0)
    total = functions.cumsum(added, axis=axis)
    head = (slice(None),) * axis
    first, rest = x[(*head, slice(0, 1))], x[(*head, slice(1, None))]
    return functions.concatenate([first.astype(dtype, copy=False), functions.add(rest, total)], axis=axis).astype(
        dtype, copy=False
    )


# --- interpolation ----------------------------------------------------------------------------------------------------


def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Tensor:
    """Return the values at `x` of the lines through the points (xp, fp).

    Parameters
    ----------
    x : array_like
    xp : array_like, shape (N,)
        Increasing, if there is no period.
    fp : array_like, shape (N,)
    left, right : number, optional
        Values before the first and after the last point; those of these points by default.
    period : number, optional
        Of `x` and `xp`; `left` and `right` do not matter then.

    Returns
    -------
    Tensor
        float64, or complex128 for complex `fp`, of the shape of `x`. Gradients flow to `x`, `xp` and `fp`.

    Raises
    ------
    ValueError
        The points are none, not 1-D or of different numbers, or the period is 0.
    """
    places, points, values = array(x), array(xp), array(fp)
    recorded = launcher.grad_enabled() and any(requires_grad(one) for one in (places, points, values))
    if not recorded:
        arrays = (host(one, "interp") for one in (places, points, values))
        return adopt(np.interp(*arrays, left=left, right=right, period=period))  # type: ignore[call-overload]
    places, points = (one.astype(dt.float64, copy=False) for one in (places, points))
    values = values.astype(dt.complex128 if dt.is_complex(values.dtype) else dt.float64, copy=False)
    if points.ndim != 1 or values.ndim != 1:
        raise ValueError(f"interp: data points must be 1-D sequences, not of shapes {points.shape} and {values.shape}")
    if points.shape != values.shape:
        raise ValueError(f"interp: fp and xp are not of the same length, {values.shape} and {points.shape}")
    if not points.size:
        raise ValueError("interp: array of sample points is empty")
    if period is not None:
        if period == 0:
            raise ValueError("interp: period must be a non-zero value")
        period, left, right = abs(period), None, None
        places, points = functions.remainder(places, period), functions.remainder(points, period)
        order = adopt(np.argsort(host(points, "interp")))
        points, values = points[order], values[order]
        points = functions.concatenate([points[-1:] - period, points, points[:1] + period])
        values = functions.concatenate([values[-1:], values, values[:1]])
    last = len(points) - 1
    below = np.searchsorted(host(points, "interp"), host(places, "interp"), "right") - 1
    low = np.clip(below, 0, max(last - 1, 0))
    high = np.minimum(low + 1, last)
    line = _interpolated.call(places, points[low], points[high], values[low], values[high])
    line = functions.where(functions.eq(places, points[-1:]), values[-1:], line)
    line = functions.where(functions.lt(places, points[:1]), values[:1] if left is None else left, line)
    line = functions.where(functions.gt(places, points[-1:]), values[-1:] if right is None else right, line)
    return functions.reshape(line, places.shape)


# --- sliding products -------------------------------------------------------------------------------------------------

_MODES = ("valid", "same", "full")

#: Elements of the shorter vector from which sliding products are computed as a product of matrices, and how many
#: results are a row of it: twice the arithmetic, ten times as fast.
_MANY, _BLOCK = 16, 256


def _mode(mode: Any) -> str:
    """Return the mode's name; NumPy takes its number, too."""
    if mode in _MODES:
        return mode
    if isinstance(mode, (int, np.integer)) and not isinstance(mode, bool):
        if 0 <= mode < 3:
            return _MODES[mode]
        raise ValueError(f"integer mode must be 0, 1, or 2 (got {mode})")
    if not isinstance(mode, str):
        raise TypeError(f"mode must be one of 'valid', 'same', or 'full', not {type(mode).__name__}")
    raise ValueError(f"mode must be one of 'valid', 'same', or 'full' (got {mode!r})")


def _vectors(name: str, a: Any, v: Any) -> tuple[Tensor, Tensor]:
    pair = array(a), array(v)
    for label, one in zip("av", pair):
        if one.ndim > 1:
            raise ValueError(f"{name}: object too deep for desired array: {label} has shape {one.shape}, not (N,)")
        if not one.size:
            raise ValueError(f"{name}: {label} cannot be empty")
    return functions.reshape(pair[0], (-1,)), functions.reshape(pair[1], (-1,))


def _slid(a: Tensor, v: Tensor, mode: str) -> Tensor:
    """Return the products of the shorter vector `v` with windows of `a`."""
    before, after = {"valid": (0, 0), "same": (v.size // 2, v.size - v.size // 2 - 1), "full": (v.size - 1,) * 2}[mode]
    if v.size >= _MANY and a.size >= _MANY * _BLOCK and _finite_floats(a) and _finite_floats(v):
        return _correlate_in_blocks.call(a, v, before=before, after=after, block=_BLOCK)
    return _correlate.call(a, v, before=before, after=after)


def _finite_floats(x: Tensor) -> bool:
    """Whether all elements are finite numbers of float32 or float64; whoever asks has to be worth a pass over them."""
    return x.dtype in (dt.float32, dt.float64) and bool(functions.all(functions.isfinite(x)))


def convolve(a: Any, v: Any, mode: str = "full") -> Tensor:
    """Return the discrete convolution of two vectors: ``sum over m of a[m] * v[n - m]``.

    Parameters
    ----------
    a : array_like, shape (N,)
    v : array_like, shape (M,)
    mode : {"full", "same", "valid"}
        All N + M - 1 places; as many as the longer vector has; or those at which the vectors overlap completely.

    Raises
    ------
    ValueError
        A vector is empty or not 1-D, or an unknown mode.
    """
    long, short = _vectors("convolve", a, v)
    if short.size > long.size:
        long, short = short, long
    return _slid(long, short[::-1], _mode(mode))


def correlate(a: Any, v: Any, mode: str = "valid") -> Tensor:
    """Return the cross-correlation of two vectors: ``sum over n of a[n + k] * conj(v[n])``.

    Parameters
    ----------
    a : array_like, shape (N,)
    v : array_like, shape (M,)
    mode : {"valid", "same", "full"}
        As of `convolve`.

    Raises
    ------
    ValueError
        A vector is empty or not 1-D, or an unknown mode.
    """
    if not np.ndim(a) or not np.ndim(v):
        raise ValueError("correlate: object of too small depth for desired array: a and v must be 1-D")
    first, second = _vectors("correlate", a, v)
    if dt.is_complex(second.dtype):
        second = functions.conj(second)
    if second.size > first.size:
        return _slid(second, first, _mode(mode))[::-1]
    return _slid(first, second, _mode(mode))


__all__ = ["convolve", "correlate", "diff", "ediff1d", "gradient", "interp", "trapezoid", "unwrap"]
