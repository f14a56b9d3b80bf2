"""Norms of vectors and matrices, condition numbers, rank."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from trueno import dtypes as dt
from trueno.functions import moveaxis, operations
from trueno.library import host, library
from trueno.linalg.decompositions import svdvals
from trueno.linalg.operands import matrices
from trueno.linalg.products import as_tensor, in_order
from trueno.linalg.solving import inv
from trueno.tensor import Tensor

_rank = library(
    "matrix_rank", lambda a, **options: np.asarray(np.linalg.matrix_rank(a, **options), dtype=np.int64), grad=None,
    domain=matrices((3, 3), (4, 2), (2, 3, 4)), dtypes=(dt.float64, dt.complex128),
    doc="The number of singular values that are not negligible.",
)  # fmt: skip


def _floating(value: Any) -> Tensor:
    x = as_tensor(value)
    return x if dt.is_floating(x.dtype) or dt.is_complex(x.dtype) else x.astype(dt.float64)


def _sizes(x: Tensor) -> Tensor:
    """Return absolute values of complex numbers; rules of real ones take their signs away themselves."""
    return operations["abs"].call(x) if dt.is_complex(x.dtype) else x


def _vector(x: Tensor, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    if isinstance(ord, str) or not isinstance(ord, (int, float, np.number, type(None))):
        raise ValueError(f"norm: invalid norm order {ord!r} for vectors")
    return operations["norm"].call(_sizes(x), ord=2 if ord is None else float(ord), axis=axes, keepdims=keepdims)


def _matrix(x: Tensor, ord: Any, axes: tuple[int, int], keepdims: bool) -> Tensor:
    """Return the norm of the matrices along two axes."""
    rows, columns = axes
    call = {name: operations[name].call for name in ("abs", "sum", "max", "min")}
    if ord in (None, "fro", "f"):
        return operations["norm"].call(_sizes(x), axis=axes, keepdims=keepdims)
    if ord in (1, -1, math.inf, -math.inf):
        along, other = (rows, columns) if abs(ord) == 1 else (columns, rows)
        sums = call["sum"](call["abs"](x), axis=along, keepdims=True)
        result = call["max" if ord > 0 else "min"](sums, axis=other, keepdims=True)
        return result if keepdims else result.squeeze(axes)
    if ord not in (2, -2, "nuc"):
        raise ValueError(
            f"norm: invalid norm order {ord!r} for matrices; there are 1, -1, 2, -2, inf, -inf, 'fro', 'nuc'"
        )
    values = svdvals(moveaxis(x, axes, (-2, -1)))
    result = call["sum" if ord == "nuc" else "max" if ord == 2 else "min"](values, axis=-1)
    for axis in sorted(axes) if keepdims else ():
        result = result.unsqueeze(axis)
    return result


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Return the norm of vectors or matrices.

    Parameters
    ----------
    x : array_like
        Without `axis`, 1-D or 2-D, unless `ord` is None too.
    ord : {None, "fro", "nuc", inf, -inf, 0, 1, -1, 2, -2, p}, optional
        For vectors ``sum(|x|**ord)**(1/ord)``, the largest or smallest absolute value for inf and -inf, the number of
        elements that are not zero for 0. For matrices the largest (smallest) sum of a column for 1 (-1), of a row for
        inf (-inf), singular value for 2 (-2); the root of the sum of squares for "fro", the sum of singular values for
        "nuc". None is the root of the sum of squares.
    axis : int or pair of int, optional
        An int: the vectors along it; a pair: the matrices along them.
    keepdims : bool
        Whether the axes are kept, with extent 1.

    Returns
    -------
    Tensor
        Of the dtype of `x`, of its parts where it is complex, float64 for integers.

    Raises
    ------
    ValueError
        For another order, and for a number of axes other than 1 or 2.
    """
    x, keepdims = _floating(x), bool(operator.index(keepdims))
    if axis is None:
        if ord is None:
            return operations["norm"].call(_sizes(x), keepdims=keepdims)
        axes: tuple[int, ...] = tuple(range(x.ndim))
    else:
        axes = in_order("norm", axis, x.shape)
    if len(axes) == 1:
        return _vector(x, ord, axes, keepdims)
    if len(axes) == 2:
        return _matrix(x, ord, (axes[0], axes[1]), keepdims)
    raise ValueError(
        f"norm: improper number of dimensions: {len(axes)} axes of shape {x.shape}; one or two have a norm"
    )


def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Tensor:
    """Return the norm of vectors along axes; of all elements without `axis`. See `norm` for `ord`."""
    x = _floating(x)
    axes = tuple(range(x.ndim)) if axis is None else in_order("vector_norm", axis, x.shape)
    return _vector(x, ord, axes, keepdims)


def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Tensor:
    """Return the norm of the matrices along the last two axes. See `norm` for `ord`.

    Raises
    ------
    ValueError
        For another order, and (as AxisError) for fewer than two dimensions.
    """
    x = _floating(x)
    if x.ndim < 2:
        raise np.exceptions.AxisError(-2, x.ndim, f"matrix_norm: an array of shape {x.shape} has no matrices; the axis")
    return _matrix(x, ord, (x.ndim - 2, x.ndim - 1), keepdims)


def cond(x: Any, p: Any = None) -> Tensor:
    """Return the condition number of matrices: the norm times the norm of the inverse.

    Parameters
    ----------
    x : array_like of shape (..., m, n)
    p : {None, 1, -1, 2, -2, inf, -inf, "fro"}, optional
        The norm; None and 2 are the ratio of the largest singular value to the smallest.

    Returns
    -------
    Tensor of shape (...)
        Infinite for singular matrices.

    Raises
    ------
    numpy.linalg.LinAlgError
        If an array is empty, or, for norms that need the inverse, not square.
    """
    x = _floating(x)
    if x.size == 0 and 0 in x.shape[-2:]:
        raise np.linalg.LinAlgError("cond is not defined on empty arrays")
    if p in (None, 2, -2):
        values = svdvals(x)
        ratio = values[..., -1] / values[..., 0] if p == -2 else values[..., 0] / values[..., -1]
        # Zeros alone have 0 / 0 here; NaN only stands for matrices that hold one.
        undefined = operations["isnan"].call(ratio) & ~operations["isnan"].call(values[..., 0])
        return operations["where"].call(undefined, math.inf, ratio)
    try:
        return matrix_norm(x, ord=p) * matrix_norm(inv(x), ord=p)
    except np.linalg.LinAlgError:
        if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
            raise
        return host(np.linalg.cond(x.detach().numpy(), p), "cond")


def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Tensor:
    """Return the number of singular values above a bound.

    Parameters
    ----------
    A : array_like of shape (..., m, n)
    tol : float, optional
        The bound; ``S.max() * max(m, n) * eps`` by default.
    hermitian : bool
        Whether the matrices are symmetric.
    rtol : float, optional
        The bound relative to the largest singular value.

    Returns
    -------
    Tensor of shape (...), int64

    Raises
    ------
    ValueError
        If both `tol` and `rtol` are given.
    """
    return _rank(A, tol=tol, hermitian=bool(hermitian), rtol=rtol)
