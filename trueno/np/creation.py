"""Making arrays, with NumPy's defaults: Python floats become float64."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from trueno import creation, functions
from trueno import dtypes as dt
from trueno.interop import from_dlpack
from trueno.ir import matrices, promotion
from trueno.np import arguments
from trueno.np.arguments import adopt, index
from trueno.runtime import device as devices
from trueno.runtime.operation import Operation
from trueno.tensor import Tensor
from trueno.viewing import viewing

_PLAIN: dict[type, np.dtype] = {bool: dt.bool_, int: dt.int64, float: dt.float64}
"""What Python's numbers become."""


def _is_reversed(x: Tensor) -> bool:
    """Whether an array lies in Fortran's order and not in C's."""
    return not x.is_contiguous() and functions.permute(x).is_contiguous()


def _fortran(name: str, order: Any, like: Any = None) -> bool:
    """Return whether an ``order`` argument asks for Fortran's order of the elements."""
    if order is None or order == "C":
        return False
    order = arguments.order(name, order)
    return order == "F" or (order in ("A", "K") and isinstance(like, Tensor) and _is_reversed(like))


def _made(name: str, shape: Any, dtype: np.dtype, fortran: bool, device: Any) -> Tensor:
    """Return an array of a shape whose elements are not set."""
    extents = arguments.shape(name, shape)
    if fortran:
        return functions.permute(creation.empty(extents[::-1], dtype=dtype, device=device))
    return creation.empty(extents, dtype=dtype, device=device)


def _ordered(x: Tensor, fortran: bool, copy: bool | None) -> Tensor:
    """Return an array in an order, without a copy where it already is and none is asked for."""
    turned = functions.permute(x) if fortran else x
    turned = turned.clone() if copy else functions.contiguous(turned)
    return functions.permute(turned) if fortran else turned


# --- from data --------------------------------------------------------------------------------------------------------


def array(
    object: Any, dtype: Any = None, *, copy: bool | None = True, order: Any = "K", subok: bool = False, ndmin: int = 0,
    device: Any = None,
) -> Tensor:  # fmt: skip
    """Return an array of the data.

    Parameters
    ----------
    object : array_like
        A Tensor, an ndarray, a number, or nested lists of them; Python floats become float64, ints int64.
    dtype : dtype, optional
    copy : bool, optional
        True: always copy. None: where needed. False: never.
    order : {"K", "A", "C", "F"}
    subok : bool
        Accepted; there are no subclasses to pass through.
    ndmin : int
        Least number of axes; new ones of extent 1 are put in front.
    device : optional
        Where the result is to be.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        `copy` is False and a copy is needed; or lists of unequal lengths.
    TypeError
        For dtypes that are not supported.
    """
    result = arguments.array(object, dtype)
    result = result if device is None else result.to(device=device)
    if order in ("C", "F"):
        result = _ordered(result, order == "F", None)
    _fortran("array", order)
    if copy is False and _is_new(result, object):
        raise ValueError(
            "Unable to avoid copy while creating an array as requested; use copy=None to copy where needed"
        )
    if copy and not _is_new(result, object):
        # Also where the memory is the ndarray's own, and not this Tensor's.
        result = _ordered(result, _fortran("array", order, result), True)
    missing = index("array", ndmin) - result.ndim
    return functions.reshape(result, (1,) * missing + result.shape) if missing > 0 else result


def _is_new(result: Tensor, given: Any) -> bool:
    """Whether a result lies in other memory than what it was made from."""
    if isinstance(given, Tensor):
        if result is given or result._storage is given._storage:
            return False
        # A view that turns the axes over has a storage of its own on the same memory.
        return not result._layout.device == given._layout.device == "cpu" or result.data_ptr() != given.data_ptr()
    return not (
        isinstance(given, (np.ndarray, memoryview)) and np.shares_memory(arguments.host(result, "array"), given)
    )


def asarray(a: Any, dtype: Any = None, order: Any = None, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """Return the data as an array, without a copy where none is needed; see `array`.

    Raises
    ------
    ValueError
        `copy` is False and a copy is needed.
    """
    if isinstance(a, Tensor) and dtype is None and order is None and device is None and not copy:
        return a
    return array(a, dtype, copy=copy, order=order or "K", device=device)


def asanyarray(a: Any, dtype: Any = None, order: Any = None, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """Return the data as an array: `asarray`, since there are no subclasses to pass through."""
    return asarray(a, dtype, order, device=device, copy=copy)


def ascontiguousarray(a: Any, dtype: Any = None) -> Tensor:
    """Return the data as an array in C order with at least one axis."""
    return array(a, dtype, copy=None, order="C", ndmin=1)


def asfortranarray(a: Any, dtype: Any = None) -> Tensor:
    """Return the data as an array in Fortran's order with at least one axis."""
    return array(a, dtype, copy=None, order="F", ndmin=1)


def asarray_chkfinite(a: Any, dtype: Any = None, order: Any = None) -> Tensor:
    """Return the data as an array, after a look whether all of it is finite.

    Raises
    ------
    ValueError
        It holds a NaN or an infinity.
    """
    result = asarray(a, dtype, order)
    if dt.is_inexact(result.dtype) and not functions.operations["isfinite"].call(result).all().item():
        raise ValueError("array must not contain infs or NaNs")
    return result


def copy(a: Any, order: Any = "K", subok: bool = False) -> Tensor:
    """Return a copy of an array; one in Fortran's order stays so, unless `order` says otherwise."""
    return array(a, order=order, copy=True)


def frombuffer(buffer: Any, dtype: Any = float, count: int = -1, offset: int = 0) -> Tensor:
    """Return a one-dimensional array of a buffer's bytes; it shares a writable buffer's memory.

    Raises
    ------
    ValueError
        For a buffer that does not hold whole elements, or fewer than `count`.
    """
    return adopt(np.frombuffer(buffer, dt.as_dtype(dtype), count, offset))


def fromiter(iter: Iterable[Any], dtype: Any, count: int = -1) -> Tensor:
    """Return a one-dimensional array of the numbers that an iterable gives.

    Raises
    ------
    ValueError
        The iterable gives fewer than `count`.
    """
    return adopt(np.fromiter(iter, dt.as_dtype(dtype), count))


def fromfunction(function: Callable[..., Any], shape: Any, *, dtype: Any = float, **kwargs: Any) -> Any:
    """Return what a function gives for the arrays of each element's coordinates; see `indices`."""
    return function(*indices(tuple(shape), dtype=dtype), **kwargs)


# --- filled -----------------------------------------------------------------------------------------------------------


def empty(shape: Any, dtype: Any = float, order: Any = "C", *, device: Any = None) -> Tensor:
    """Return an array of a shape whose elements are not set; float64 by default."""
    return _made("empty", shape, arguments.dtype(dtype) or dt.float64, _fortran("empty", order), device)


def zeros(shape: Any, dtype: Any = float, order: Any = "C", *, device: Any = None) -> Tensor:
    """Return an array of zeros; float64 by default."""
    return _filled("zeros", shape, dtype, order, device, 0)


def ones(shape: Any, dtype: Any = None, order: Any = "C", *, device: Any = None) -> Tensor:
    """Return an array of ones; float64 by default."""
    return _filled("ones", shape, dtype, order, device, 1)


def _filled(name: str, shape: Any, dtype: Any, order: Any, device: Any, value: int) -> Tensor:
    wanted, fortran = arguments.dtype(dtype) or dt.float64, _fortran(name, order)
    extents = arguments.shape(name, shape)
    small = creation.filled(extents, value, wanted, device, fortran)
    return _made(name, extents, wanted, fortran, device).fill_(value) if small is None else small


def full(shape: Any, fill_value: Any, dtype: Any = None, order: Any = "C", *, device: Any = None) -> Tensor:
    """Return an array filled with a value, or with an array that broadcasts to the shape.

    Parameters
    ----------
    shape : int or tuple of int
    fill_value : number or array_like
    dtype : dtype, optional
        That of `fill_value` by default.
    order : {"C", "F"}
    device : optional
    """
    if type(fill_value) in _PLAIN:
        wanted = arguments.dtype(dtype) or _PLAIN[type(fill_value)]
        small = creation.filled(arguments.shape("full", shape), fill_value, wanted, device, _fortran("full", order))
        if small is not None:
            return small
    value = arguments.array(fill_value)
    wanted = arguments.dtype(dtype) or value.dtype
    # A Python integer that the dtype does not hold is an error, an array's is cast.
    filling = fill_value if type(fill_value) is int else value
    return _made("full", shape, wanted, _fortran("full", order), device).fill_(filling)


def _like(name: str, a: Any, dtype: Any, order: Any, shape: Any, device: Any) -> Tensor:
    other = a if isinstance(a, Tensor) else arguments.array(a)
    extents = other.shape if shape is None else arguments.shape(name, shape)
    if order == "K" and len(extents) != other.ndim:
        order = "C"
    fortran = _fortran(name, order, other)
    if order == "K" and not fortran and not other.is_contiguous() and other.ndim > 1:
        # NumPy keeps the order of the axes by their strides.
        by_stride = sorted(range(other.ndim), key=lambda axis: -abs(other._layout.strides[axis]))
        dense = _made(name, [extents[axis] for axis in by_stride], arguments.dtype(dtype) or other.dtype, False,
                      other.device if device is None else device)  # fmt: skip
        return functions.permute(dense, [by_stride.index(axis) for axis in range(other.ndim)])
    return _made(
        name, extents, arguments.dtype(dtype) or other.dtype, fortran, other.device if device is None else device
    )


def empty_like(
    prototype: Any, dtype: Any = None, order: Any = "K", subok: bool = True, shape: Any = None, *, device: Any = None
) -> Tensor:
    """Return an array of another's shape, dtype, order and device whose elements are not set."""
    return _like("empty_like", prototype, dtype, order, shape, device)


def zeros_like(
    a: Any, dtype: Any = None, order: Any = "K", subok: bool = True, shape: Any = None, *, device: Any = None
) -> Tensor:
    """Return an array of zeros of another's shape, dtype, order and device."""
    return _like("zeros_like", a, dtype, order, shape, device).zero_()


def ones_like(
    a: Any, dtype: Any = None, order: Any = "K", subok: bool = True, shape: Any = None, *, device: Any = None
) -> Tensor:
    """Return an array of ones of another's shape, dtype, order and device."""
    return _like("ones_like", a, dtype, order, shape, device).fill_(1)


def full_like(
    a: Any, fill_value: Any, dtype: Any = None, order: Any = "K", subok: bool = True, shape: Any = None, *,
    device: Any = None,
) -> Tensor:  # fmt: skip
    """Return an array of another's shape, dtype, order and device, filled with a value."""
    return _like("full_like", a, dtype, order, shape, device).fill_(
        fill_value if type(fill_value) is int else arguments.array(fill_value)
    )


# --- regular values ---------------------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    """Return an argument for NumPy: a Tensor as ndarray."""
    return arguments.host(value, "range") if isinstance(value, Tensor) else value


def _placed(made: np.ndarray, device: Any) -> Tensor:
    result = adopt(made)
    return result.to(device=devices.current_device() if device is None else str(device))


def arange(start: Any = None, stop: Any = None, step: Any = None, dtype: Any = None, *, device: Any = None) -> Tensor:
    """Return evenly spaced values in [start, stop): ``arange(stop)``, ``arange(start, stop)``.

    Parameters
    ----------
    start, stop, step : number
        From 0 by default, in steps of 1.
    dtype : dtype, optional
        int64 by default, or float64 where a number is a float.
    device : optional

    Raises
    ------
    ZeroDivisionError
        For a step of 0.
    TypeError
        Without a stop.
    """
    start, stop, step = (_plain(one) for one in (start, stop, step))
    if start is None and stop is None:
        raise TypeError("arange: requires stop to be specified")
    given = (
        (start,) if stop is None and step is None else (0, start, step) if stop is None else (start or 0, stop, step)
    )
    return _placed(np.arange(*given, dtype=arguments.dtype(dtype)), device)


def linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None,
    axis: int = 0, *, device: Any = None,
) -> Any:  # fmt: skip
    """Return `num` evenly spaced values from start to stop; with `retstep` the distance of two of them as well.

    Parameters
    ----------
    start, stop : number or array_like
        Arrays give one row of values for each pair of elements, along a new axis.
    num : int
    endpoint : bool
        Whether `stop` is the last value.
    retstep : bool
    dtype : dtype, optional
        float64 by default.
    axis : int
        Of the result, along which the values lie.
    device : optional

    Raises
    ------
    ValueError
        For a negative `num`.
    """
    given: Any = _plain(start), _plain(stop), num, endpoint, True, arguments.dtype(dtype), axis
    made, step = np.linspace(*given)
    result = _placed(made, device)
    return (result, adopt(step)) if retstep else result


def logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0, dtype: Any = None, axis: int = 0
) -> Tensor:
    """Return `num` values from base**start to base**stop whose logarithms are evenly spaced; see `linspace`."""
    made = np.logspace(_plain(start), _plain(stop), num, endpoint, _plain(base), arguments.dtype(dtype), axis)
    return _placed(made, None)


def geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0) -> Tensor:
    """Return `num` values from start to stop, each the same multiple of the one before.

    Raises
    ------
    ValueError
        Start or stop is zero.
    """
    return _placed(np.geomspace(_plain(start), _plain(stop), num, endpoint, arguments.dtype(dtype), axis), None)


def indices(dimensions: Any, dtype: Any = int, sparse: bool = False) -> Any:
    """Return the coordinates of an array's elements: one array of the shape for each axis, stacked.

    Parameters
    ----------
    dimensions : tuple of int
    dtype : dtype
    sparse : bool
        Return a tuple of arrays that broadcast to the shape in place of the stack.
    """
    extents = arguments.shape("indices", dimensions)
    wanted = arguments.dtype(dtype) or dt.int64
    lines = [
        functions.reshape(arange(n, dtype=wanted), tuple(n if k == axis else 1 for k in range(len(extents))))
        for axis, n in enumerate(extents)
    ]
    if sparse:
        return tuple(lines)
    result = empty((len(extents), *extents), wanted)
    for axis, line in enumerate(lines):
        result[axis] = line
    return result


def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> tuple[Tensor, ...]:
    """Return arrays of coordinates from vectors of them.

    Parameters
    ----------
    *xi : array_like
        The coordinates along each axis.
    copy : bool
        Return arrays of their own, not views that broadcast.
    sparse : bool
        Return arrays that broadcast to the grid.
    indexing : {"xy", "ij"}
        Whether the first vector runs along the second axis or the first.

    Raises
    ------
    ValueError
        For another `indexing`.
    """
    if indexing not in ("xy", "ij"):
        raise ValueError("Valid values for `indexing` are 'xy' and 'ij'.")
    count = len(xi)
    order = list(range(count))
    if indexing == "xy" and count > 1:
        order[:2] = 1, 0
    lines = [arguments.array(one) for one in xi]
    grid = [
        functions.reshape(one, tuple(-1 if k == order[place] else 1 for k in range(count))) if one.size
        else functions.reshape(one, tuple(0 if k == order[place] else 1 for k in range(count)))
        for place, one in enumerate(lines)
    ]  # fmt: skip
    if not sparse:
        extents = [0] * count
        for place, one in enumerate(lines):
            extents[order[place]] = one.size
        grid = [functions.broadcast_to(one, tuple(extents)) for one in grid]
    return tuple(functions.copy(one) for one in grid) if copy else tuple(grid)


# --- matrices ---------------------------------------------------------------------------------------------------------

_tril = Operation("tril", matrices.tril, 1)
_triu = Operation("triu", matrices.triu, 1)
_diagonal_matrix = Operation("diagonal_matrix", matrices.diagonal_matrix, 1)
_vander = Operation("vander", matrices.vander, 1)
diagonal_view = functions.ViewOperation("diagonal", matrices.diagonal, matrices.diagonal_layout)
#: The same, that NumPy's functions give: it may only be read.
fixed_diagonal = functions.ViewOperation("diagonal", matrices.diagonal, matrices.diagonal_layout, readonly=True)


def eye(
    N: int, M: int | None = None, k: int = 0, dtype: Any = float, order: Any = "C", *, device: Any = None
) -> Tensor:
    """Return an N × M matrix with ones on the k-th diagonal and zeros elsewhere; float64 by default."""
    rows = index("eye", N)
    columns = rows if M is None else index("eye", M)
    result = zeros((rows, columns), dtype, order, device=device)
    if max(-rows, -columns) < index("eye", k) < columns or -rows < k <= 0:
        diagonal_view.call(result, offset=index("eye", k)).fill_(1)
    return result


def identity(n: int, dtype: Any = None) -> Tensor:
    """Return the n × n matrix with ones on the diagonal and zeros elsewhere."""
    return eye(n, dtype=dtype)


def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = float) -> Tensor:
    """Return an N × M matrix with ones on the k-th diagonal and below, zeros above."""
    rows = index("tri", N)
    columns = rows if M is None else index("tri", M)
    return tril(ones((max(rows, 0), max(columns, 0)), dtype), k)


def tril(m: Any, k: int = 0) -> Tensor:
    """Return the matrices with zeros above the k-th diagonal.

    Parameters
    ----------
    m : array_like, shape (..., M, N)
        A vector stands for equal rows.
    k : int
        0 is the main diagonal, 1 the one above.

    Returns
    -------
    Tensor
        A copy, of the same shape and dtype.
    """
    return _tril.call(_matrix("tril", m), k=index("tril", k))


def triu(m: Any, k: int = 0) -> Tensor:
    """Return the matrices with zeros below the k-th diagonal; see `tril`."""
    return _triu.call(_matrix("triu", m), k=index("triu", k))


def _matrix(name: str, m: Any) -> Tensor:
    given = arguments.array(m)
    if given.ndim == 0:
        raise TypeError(f"{name}: a 0-d array has no triangle; it takes arrays of shape (..., M, N)")
    return functions.broadcast_to(given, (given.size, given.size)) if given.ndim == 1 else given


@viewing
def diag(v: Any, k: int = 0) -> Tensor:
    """Return a matrix with a vector on its k-th diagonal, or a matrix's k-th diagonal.

    Parameters
    ----------
    v : array_like, shape (N,) or (M, N)
    k : int
        0 is the main diagonal, 1 the one above.

    Returns
    -------
    Tensor
        A new matrix of shape (N + |k|, N + |k|); or a view of the diagonal.

    Raises
    ------
    ValueError
        For other numbers of axes.

    """
    given, offset = arguments.array(v), index("diag", k)
    if given.ndim == 1:
        return _diagonal_matrix.call(given, k=offset)
    if given.ndim != 2:
        raise ValueError(f"Input must be 1- or 2-d, not of shape {given.shape}")
    return fixed_diagonal.call(given, offset=offset)


def diagflat(v: Any, k: int = 0) -> Tensor:
    """Return a matrix with an array's elements, in C order, on its k-th diagonal."""
    return _diagonal_matrix.call(functions.ravel(arguments.array(v)), k=index("diagflat", k))


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Tensor:
    """Return the matrix of powers of a vector's elements, N columns of them, the highest first.

    Raises
    ------
    ValueError
        `x` is not a vector.
    """
    given = arguments.array(x)
    if given.ndim != 1:
        raise ValueError(f"x must be a one-dimensional array or sequence, not of shape {given.shape}")
    columns = given.size if N is None else index("vander", N)
    given = given.astype(promotion.common((given.dtype, dt.int64)), copy=False)
    if columns < 1 or not given.size:
        return empty((given.size, columns), given.dtype)
    return _vander.call(given, columns=columns, increasing=bool(increasing))


class _Grid:
    """What ``mgrid`` and ``ogrid`` are: indexed with slices, they give the coordinates of a grid."""

    def __init__(self, sparse: bool) -> None:
        self._sparse = sparse

    def __getitem__(self, key: slice | Sequence[slice]) -> Any:
        made = (np.ogrid if self._sparse else np.mgrid)[key]
        return tuple(adopt(one) for one in made) if isinstance(made, tuple) else adopt(made)


mgrid, ogrid = _Grid(False), _Grid(True)

__all__ = [
    "arange", "array", "asanyarray", "asarray", "asarray_chkfinite", "ascontiguousarray", "asfortranarray", "copy",
    "diag", "diagflat", "empty", "empty_like", "eye", "from_dlpack", "frombuffer", "fromfunction", "fromiter", "full",
    "full_like", "geomspace", "identity", "indices", "linspace", "logspace", "meshgrid", "mgrid", "ogrid", "ones",
    "ones_like", "tri", "tril", "triu", "vander", "zeros", "zeros_like",
]  # fmt: skip
