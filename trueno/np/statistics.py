"""Order statistics, histograms and correlations."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueno import dtypes as dt
from trueno import functions
from trueno.creation import from_numpy
from trueno.ir import composites_numpy
from trueno.np.arguments import adopt, array, finish, host, target
from trueno.np.creation import ascontiguousarray
from trueno.np.joining import concatenate
from trueno.np.manipulation import axes_of, axis_of
from trueno.np.selection import diagonal
from trueno.runtime import launcher, memory
from trueno.runtime.inplace import requires_grad
from trueno.runtime.operation import Operation
from trueno.tensor import Tensor

# --- order statistics -------------------------------------------------------------------------------------------------

_median_of_few = Operation("median_of_few", composites_numpy.median_of_few, 1)
_histogram = Operation("histogram", composites_numpy.histogram, 6)

#: Parts of a vector that are counted apart.
_BLOCKS = 8

#: Up to so many elements a line's median is found by a sorting network, if there are as many lines as that.
_FEW, _LINES = 16, 256

#: Bytes up to which NumPy's own copy of what it reorders is not in fresh memory.
_COPIED = 1 << 16


def _recorded(x: Tensor) -> bool:
    return requires_grad(x) and launcher.grad_enabled()


def _lined_up(name: str, x: Tensor, axis: Any) -> tuple[Tensor, tuple[int, ...]]:
    """Return an array with the axes that a statistic is taken over as one axis at the end, and these axes."""
    over = tuple(range(x.ndim)) if axis is None else axes_of(name, axis, x.ndim, x.shape)
    rest = [k for k in range(x.ndim) if k not in over]
    turned = functions.permute(x, [*rest, *over]) if x.ndim else x
    return functions.reshape(turned, (*(x.shape[k] for k in rest), -1)), over


def _of_lines(name: str, x: Tensor, axis: Any, keepdims: bool, compute: Any, *levels: Any, **options: Any) -> Tensor:
    """Return a statistic that NumPy computes."""
    if x.size * x.dtype.itemsize <= _COPIED:
        return adopt(compute(host(x, name), *levels, axis=axis, keepdims=keepdims, **options))
    return _of_copied_lines(name, x, axis, keepdims, compute, *levels, **options)


def _of_copied_lines(
    name: str, x: Tensor, axis: Any, keepdims: bool, compute: Any, *levels: Any, **options: Any
) -> Tensor:
    """Return a statistic over lines that may be reordered.

    They are laid side by side in memory that has been used before: NumPy would reorder a copy in fresh memory, which
    takes longer than the statistic.
    """
    lined, over = _lined_up(name, x, axis)
    values = host(lined, name)
    if np.may_share_memory(values, host(x, name)):
        values = host(functions.copy(lined), name)
    found = adopt(compute(values, *levels, axis=-1, overwrite_input=True, **options))
    if not keepdims:
        return found
    shape = tuple(1 if k in over else n for k, n in enumerate(x.shape))
    return functions.reshape(found, (*found.shape[: found.ndim - lined.ndim + 1], *shape))


def _quantile(
    name: str,
    a: Any,
    q: Any,
    axis: Any,
    out: Any,
    method: str,
    keepdims: bool,
    weights: Any,
    compute: Any,
    scale: float,
) -> Any:
    """Return quantiles as NumPy's function computes them; for autograd, as weighted means of two elements."""
    x = array(a)
    if dt.is_complex(x.dtype):
        raise TypeError(f"{name}: takes an array of real numbers, not of {x.dtype}, shape {x.shape}")
    # A Python number is weak: the result keeps the dtype of the array.
    levels: Any = q if isinstance(q, (int, float)) else host(q, name)
    if weights is None:
        result = _of_lines(name, x, axis, keepdims, compute, levels, method=method)
    else:
        given = {"axis": axis, "method": method, "keepdims": keepdims, "weights": host(weights, name)}
        result = adopt(compute(host(x, name), levels, **given))
    if not _recorded(x):
        into = target(name, out)
        between = np.asarray(levels).dtype.kind == "f" or scale != 1
        if into is not None and tuple(into.shape) != result.shape and between:
            # What is computed of two elements fills a larger array in NumPy, what is taken does not.
            result = functions.broadcast_to(result, tuple(into.shape))
        return finish(result, into, name=name)
    if method != "linear" or weights is not None or name.startswith("nan"):
        raise ValueError(
            f"{name}: has a gradient for method='linear' without weights only; detach() the array for other results"
        )
    lined, over = _lined_up(name, x, axis)
    count = lined.shape[-1]
    at = np.asarray(levels, np.float64) / scale * (count - 1)
    low = np.asarray(np.floor(at), np.int64)
    order = np.argsort(host(lined, name), axis=-1)
    values = functions.gather(lined, from_numpy(order), axis=-1)
    part = from_numpy(np.asarray(at - low, values.dtype if dt.is_floating(values.dtype) else np.float64))
    below, above = values[..., low], values[..., np.minimum(low + 1, count - 1)]
    found = functions.add(below, functions.mul(functions.sub(above, below), part))
    for k in range(low.ndim):
        found = functions.moveaxis(found, found.ndim - low.ndim + k, k)
    if keepdims:
        shape = tuple(1 if k in over else n for k, n in enumerate(x.shape))
        found = functions.reshape(found, (*low.shape, *shape))
    return finish(found, out, name=name)


def quantile(
    a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, method: str = "linear",
    keepdims: bool = False, *, weights: Any = None,
) -> Any:  # fmt: skip
    """Return the values below which given parts of the elements lie.

    Parameters
    ----------
    a : array_like
    q : number or array_like
        Parts, from 0 to 1.
    axis : int or tuple of int, optional
        All axes when None.
    out : Tensor or ndarray, optional
    overwrite_input : bool
        Accepted; the input is left as it is.
    method : str
        One of NumPy's thirteen; only "linear" has a gradient.
    keepdims : bool
    weights : array_like, optional

    Returns
    -------
    Tensor
        The axes of `q`, then those of `a` that are left.

    Raises
    ------
    ValueError
        A part is outside [0, 1], or an unknown method.
    """
    return _quantile("quantile", a, q, axis, out, method, keepdims, weights, np.quantile, 1.0)


def percentile(
    a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, method: str = "linear",
    keepdims: bool = False, *, weights: Any = None,
) -> Any:  # fmt: skip
    """Return the values below which given percentages of the elements lie; see `quantile`."""
    return _quantile("percentile", a, q, axis, out, method, keepdims, weights, np.percentile, 100.0)


def nanquantile(
    a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, method: str = "linear",
    keepdims: bool = False, *, weights: Any = None,
) -> Any:  # fmt: skip
    """Return quantiles of the elements that are not NaN; see `quantile`. It has no gradient."""
    return _quantile("nanquantile", a, q, axis, out, method, keepdims, weights, np.nanquantile, 1.0)


def nanpercentile(
    a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, method: str = "linear",
    keepdims: bool = False, *, weights: Any = None,
) -> Any:  # fmt: skip
    """Return percentiles of the elements that are not NaN; see `quantile`. It has no gradient."""
    return _quantile("nanpercentile", a, q, axis, out, method, keepdims, weights, np.nanpercentile, 100.0)


def median(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: bool = False) -> Any:
    """Return the middle element, or the mean of the two in the middle, over axes.

    Parameters
    ----------
    a : array_like
    axis : int or tuple of int, optional
        All axes when None.
    out : Tensor or ndarray, optional
    overwrite_input : bool
        Accepted; the input is left as it is.
    keepdims : bool

    Returns
    -------
    Tensor
        Floats keep their dtype, others give float64; NaN where an element is NaN.
    """
    x = array(a)
    if not _recorded(x) or not x.size:
        return finish(_median(x, axis, keepdims), out, name="median")
    lined, over = _lined_up("median", x, axis)
    count = lined.shape[-1]
    order = np.argsort(host(lined, "median"), axis=-1)[..., (count - 1) // 2 : count // 2 + 1]
    middle = functions.gather(lined, from_numpy(np.ascontiguousarray(order)), axis=-1)
    found = functions.mean(middle, axis=-1)
    if keepdims:
        found = functions.reshape(found, tuple(1 if k in over else n for k, n in enumerate(x.shape)))
    return finish(found, out, name="median")


def _median(x: Tensor, axis: Any, keepdims: bool) -> Tensor:
    """Return medians without a gradient."""
    if isinstance(axis, (int, np.integer)) and x.dtype in (dt.float32, dt.float64):
        along = axis_of("median", axis, x.ndim, x.shape)
        count = x.shape[along]
        if 1 < count <= _FEW and x.size >= _LINES * count:
            found = _median_of_few.call(x, axis=along)
            return functions.unsqueeze(found, along) if keepdims else found
    return _of_lines("median", x, axis, keepdims, np.median)


def nanmedian(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = False) -> Any:
    """Return the median of the elements that are not NaN; see `median`. It has no gradient."""
    x = array(a)
    if not x.size or x.dtype not in (dt.float32, dt.float64):
        found = adopt(np.nanmedian(host(x, "nanmedian"), axis=axis, keepdims=keepdims))
        return finish(found, out, name="nanmedian")
    return finish(_of_copied_lines("nanmedian", x, axis, bool(keepdims), _middle_of_sorted), out, name="nanmedian")


def _middle_of_sorted(lines: np.ndarray, axis: int, overwrite_input: bool) -> np.ndarray:
    """Return medians of lines without their NaNs, which sorting in place puts last; NumPy takes line by line."""
    lines.sort(axis=axis)
    count = np.count_nonzero(~np.isnan(lines), axis=axis, keepdims=True)
    places = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, lines.shape[axis] - 1)
    low, high = (np.take_along_axis(lines, place, axis) for place in places)
    return np.where(count % 2, low, (low + high) / 2).squeeze(axis)


# --- histograms -------------------------------------------------------------------------------------------------------


def _plain(value: Any, name: str) -> Any:
    """Return an argument for NumPy: Tensors as arrays, in sequences too."""
    if isinstance(value, Tensor):
        return host(value, name)
    return [_plain(one, name) for one in value] if isinstance(value, (list, tuple)) else value


def bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Tensor:
    """Return how often each of the integers from 0 occurs, or the sum of the weights of its occurrences.

    Parameters
    ----------
    x : array_like of int, shape (N,)
        Not negative.
    weights : array_like, shape (N,), optional
        Gradients flow to them.
    minlength : int

    Returns
    -------
    Tensor
        int64, or float64 with weights.

    Raises
    ------
    ValueError
        A negative element, another shape, or weights of another length.
    """
    known = memory.count(x, weights, minlength)
    if known is not None:
        return known
    recorded = weights is not None and _recorded(array(weights))
    if not recorded and isinstance(x, (Tensor, np.ndarray)) and len(x.shape) == 1 and x.dtype.kind in "iu":
        known = _counted(x, weights, minlength)
        if known is not None:
            return known
    found = np.bincount(_plain(x, "bincount"), None if weights is None else host(weights, "bincount"), minlength)
    if not recorded:
        return adopt(found)
    places = from_numpy(np.array(_plain(x, "bincount"), np.int64))
    return functions.scatter_add(array(weights).astype(dt.float64, copy=False), places, extent=len(found), axis=0)


def _counted(x: Any, weights: Any, minlength: Any) -> Tensor | None:
    """Return what `bincount` does of other integers and weights, by way of copies; None where NumPy has to look."""
    if x.dtype == dt.uint64 or (weights is not None and array(weights).dtype.kind not in "fiu"):
        return None
    weight = None if weights is None else ascontiguousarray(weights, np.float64)
    return memory.count(ascontiguousarray(x, np.int64), weight, minlength)


def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Tensor:
    """Return the edges of the bins that `histogram` would use."""
    found = np.histogram_bin_edges(
        host(a, "histogram_bin_edges"), _plain(bins, "bins"), range, _plain(weights, "weights")
    )
    return adopt(found)


def histogram(
    a: Any, bins: Any = 10, range: Any = None, density: bool | None = None, weights: Any = None
) -> tuple[Tensor, Tensor]:
    """Return how many elements lie in each bin, and the edges of the bins.

    Parameters
    ----------
    a : array_like
    bins : int, 1-D array_like or str
        Number of equal bins, their edges, or NumPy's name of a rule.
    range : (number, number), optional
        Least and largest edge.
    density : bool
        Scale so that the integral is 1.
    weights : array_like, optional

    Raises
    ------
    ValueError
        Edges that do not increase, or a range that is not finite.
    """
    x = array(a)
    fast = _equal_bins_of(x, bins, range) if weights is None and x.dtype == dt.float64 and x.size else None
    if fast is None:
        found = np.histogram(host(x, "histogram"), _plain(bins, "bins"), range, density, _plain(weights, "weights"))
        return adopt(found[0]), adopt(found[1])
    counts, edges = fast
    return adopt(counts / np.diff(edges) / counts.sum() if density else counts), adopt(edges)


def _equal_bins_of(x: Tensor, bins: Any, range: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Return a histogram over bins of equal width and their edges; None where they are not or cannot be."""
    if not isinstance(bins, (int, np.integer)) or isinstance(bins, bool):
        return None
    if range is None:
        low, high = float(functions.min(x)), float(functions.max(x))
        if not (np.isfinite(low) and np.isfinite(high)):
            return None
        range = (low, high)
    edges = np.histogram_bin_edges(np.empty(0), bins, range)
    first, last, width = float(edges[0]), float(edges[-1]), (edges[-1] - edges[0]) / bins
    with np.errstate(all="ignore"):
        scale = bins / (edges[-1] - edges[0])
    # What the kernel takes for the edges has to be what they are.
    if not np.isfinite(scale) or not np.array_equal(edges[:-1], np.arange(bins) * width + first):
        return None
    flat, numbers = functions.ravel(x), (first, last, float(width), float(scale), int(bins))
    main = flat.size - flat.size % _BLOCKS
    counts = np.zeros(bins, np.int64)
    for part, blocks in ((flat[:main], _BLOCKS), (flat[main:], 1)):
        if part.size:
            counts += host(_histogram.call(part, *numbers, extent=bins + 1, blocks=blocks), "histogram")[:-1]
    return counts, edges


def histogram2d(
    x: Any, y: Any, bins: Any = 10, range: Any = None, density: bool | None = None, weights: Any = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return how many points lie in each bin of the plane, and the edges along x and y; see `histogram`."""
    found = np.histogram2d(
        host(x, "histogram2d"), host(y, "histogram2d"), _plain(bins, "bins"), range, density, _plain(weights, "weights")
    )
    return adopt(found[0]), adopt(found[1]), adopt(found[2])


def histogramdd(
    sample: Any, bins: Any = 10, range: Any = None, density: bool | None = None, weights: Any = None
) -> tuple[Tensor, list[Tensor]]:
    """Return how many points lie in each bin of a space, and the edges along each axis; see `histogram`."""
    counts, edges = np.histogramdd(
        _plain(sample, "histogramdd"), _plain(bins, "bins"), range, density, _plain(weights, "weights")
    )
    return adopt(counts), [adopt(one) for one in edges]


# --- correlations -----------------------------------------------------------------------------------------------------


def cov(
    m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: int | None = None, fweights: Any = None,
    aweights: Any = None, *, dtype: Any = None,
) -> Tensor:  # fmt: skip
    """Return the covariances of variables.

    Parameters
    ----------
    m : array_like, 1-D or 2-D
        Rows are variables, columns their observations.
    y : array_like, optional
        More variables.
    rowvar : bool
        False: columns are variables.
    bias : bool
        Divide by N and not by N - 1.
    ddof : int, optional
        Divide by N - ddof.
    fweights : int array_like, optional
        How often each observation counts.
    aweights : array_like, optional
        How much each observation counts.
    dtype : optional
        Of the result; float64 at least by default.

    Returns
    -------
    Tensor
        Square; 0-d for one variable. Gradients flow to `m` and `y`.

    Raises
    ------
    ValueError
        More than two dimensions, or weights of wrong shape or sign.
    """
    if ddof is not None and ddof != int(ddof):
        raise ValueError(f"cov: ddof must be integer, not {ddof}")
    x = array(m)
    other = None if y is None else array(y)
    if x.ndim > 2 or (other is not None and other.ndim > 2):
        raise ValueError(
            f"cov: m and y have at most 2 dimensions, got shapes {x.shape}, {getattr(other, 'shape', None)}"
        )
    wanted = dt.as_dtype(dtype) if dtype is not None else _covariance_dtype(x, other)
    rows = [_variables(x, rowvar, False).astype(wanted, copy=False)]
    rows += [] if other is None else [_variables(other, rowvar, True).astype(wanted, copy=False)]
    table = concatenate(rows) if len(rows) > 1 else rows[0]
    if not table.shape[0]:
        return from_numpy(np.zeros((0, 0)))
    less = (0 if bias else 1) if ddof is None else int(ddof)
    weights = _weights(table.shape[1], fweights, aweights)
    if weights is None:
        mean = functions.mean(table, axis=1, keepdims=True)
        count: float = table.shape[1] - less
        centred = functions.sub(table, mean)
        product = functions.matmul(centred, _conjugate(centred).mT)
    else:
        total = weights.sum()
        scaled = adopt(weights.astype(wanted))
        mean = functions.div(functions.sum(functions.mul(table, scaled), axis=1, keepdims=True), float(total))
        pull = 0.0 if aweights is None or less == 0 else float((weights * host(aweights, "cov")).sum())
        count = total - less if aweights is None or less == 0 else total - less * pull / total
        centred = functions.sub(table, mean)
        product = functions.matmul(centred, _conjugate(functions.mul(centred, scaled)).mT)
    found = functions.div(product, float(max(count, 0)))
    return functions.squeeze(found)


def _conjugate(x: Tensor) -> Tensor:
    return functions.conj(x) if dt.is_complex(x.dtype) else x


def _covariance_dtype(x: Tensor, other: Tensor | None) -> np.dtype:
    """Return the dtype of a covariance: what the operands promote to, float64 at least."""
    return np.result_type(x.dtype, np.float64, *([] if other is None else [other.dtype]))


def _variables(x: Tensor, rowvar: bool, further: bool) -> Tensor:
    """Return variables as rows."""
    if x.ndim < 2:
        return functions.reshape(x, (1, -1))
    return x.mT if not rowvar and (not further or x.shape[0] != 1) else x


def _weights(count: int, fweights: Any, aweights: Any) -> np.ndarray | None:
    """Return the weight of each observation, None where all are 1."""
    result = None
    for name, given in (("fweights", fweights), ("aweights", aweights)):
        if given is None:
            continue
        one = host(given, "cov").astype(np.float64)
        if name == "fweights" and not np.all(one == np.around(one)):
            raise TypeError("cov: fweights must be integer")
        if one.ndim > 1:
            raise RuntimeError(f"cov: cannot handle multidimensional {name}, shape {one.shape}")
        if one.shape[0] != count:
            raise RuntimeError(f"cov: incompatible numbers of samples and {name}: {count} and {one.shape[0]}")
        if (one < 0).any():
            raise ValueError(f"cov: {name} cannot be negative")
        result = one if result is None else result * one
    return result


def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Tensor:
    """Return the correlation coefficients of variables, in [-1, 1]; the parameters are those of `cov`."""
    found = cov(x, y, rowvar, dtype=dtype)
    if not found.ndim:
        return functions.div(found, found)
    spread = functions.sqrt(diagonal(found).real)
    scaled = functions.div(functions.div(found, functions.reshape(spread, (-1, 1))), spread)
    if not dt.is_complex(scaled.dtype):
        return functions.clip(scaled, -1, 1)
    return functions.add(functions.clip(scaled.real, -1, 1), functions.mul(functions.clip(scaled.imag, -1, 1), 1j))


__all__ = [
    "bincount", "corrcoef", "cov", "histogram", "histogram2d", "histogram_bin_edges", "histogramdd", "median",
    "nanmedian", "nanpercentile", "nanquantile", "percentile", "quantile",
]  # fmt: skip
