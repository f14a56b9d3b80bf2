"""Functions made of the others: the matrix exponential, equations of tensors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from trueno import dtypes as dt
from trueno.functions import operations
from trueno.library import constant, host
from trueno.linalg.algebra import need_square
from trueno.linalg.products import in_order
from trueno.linalg.solving import inv, solve
from trueno.tensor import Tensor

#: Coefficients of the [13/13] Padé approximant of exp, from the constant on, and the norm up to which it is exact in
#: double precision: Higham 2005, table 2.3 and eq. 2.5.
_PADE = (
    64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0, 129060195264000.0,
    10559470521600.0, 670442572800.0, 33522128640.0, 1323241920.0, 40840800.0, 960960.0, 16380.0, 182.0, 1.0,
)  # fmt: skip
_PADE_NORM = 5.371920351148152


def expm(a: Any) -> Tensor:
    """Return the matrix exponential of square matrices.

    Parameters
    ----------
    a : array_like of shape (..., n, n)
        float32, float64, complex64 or complex128; integers are computed in float64.

    Returns
    -------
    Tensor of shape (..., n, n)

    Raises
    ------
    numpy.linalg.LinAlgError
        If a matrix is not square.

    Notes
    -----
    Scaling and squaring with a Padé approximant of degree 13: N. J. Higham, "The scaling and squaring method for the
    matrix exponential revisited", SIAM J. Matrix Anal. Appl. 26 (2005). Each matrix of a batch is scaled by its own
    norm.
    """
    x = host(a, "expm")
    need_square("expm", x)
    if not dt.is_inexact(x.dtype):
        x = x.astype(dt.float64)
    if not x.size:
        return x.clone()
    norms = np.abs(x.detach().numpy()).sum(-2).max(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        halvings = np.maximum(np.ceil(np.log2(norms / _PADE_NORM)), 0)
    halvings = np.where(np.isfinite(halvings), halvings, 0)[..., None, None]
    result = _pade(x * constant(0.5**halvings, x))
    for k in range(int(halvings.max())):
        squared = result @ result
        more = halvings > k
        result = squared if more.all() else operations["where"].call(host(more, "expm"), squared, result)
    return result


def _pade(x: Tensor) -> Tensor:
    """Return the Padé approximant of exp(x): numerator and denominator differ in the sign of odd powers."""
    c = _PADE
    one = constant(np.eye(x.shape[-1]), x)
    x2 = x @ x
    x4 = x2 @ x2
    x6 = x4 @ x2
    odd = x @ (x6 @ (x6 * c[13] + x4 * c[11] + x2 * c[9]) + x6 * c[7] + x4 * c[5] + x2 * c[3] + one * c[1])
    even = x6 @ (x6 * c[12] + x4 * c[10] + x2 * c[8]) + x6 * c[6] + x4 * c[4] + x2 * c[2] + one * c[0]
    return solve(even - odd, even + odd)


def tensorsolve(a: Any, b: Any, axes: Any = None) -> Tensor:
    """Return the x of ``tensordot(a, x, x.ndim) = b``.

    Parameters
    ----------
    a : array_like of shape (*b.shape, *x.shape)
        With as many elements in b as in x.
    b : array_like
    axes : sequence of int, optional
        Axes of `a` to move to the end first.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the numbers of elements differ or the matrix is singular.
    """
    a, b = host(a, "tensorsolve"), host(b, "tensorsolve")
    if axes is not None:
        chosen = in_order("tensorsolve", axes, a.shape)
        a = a.permute(*(k for k in range(a.ndim) if k not in chosen), *chosen)
    shape = a.shape[b.ndim :]
    count = math.prod(shape)
    if a.size != count**2:
        raise np.linalg.LinAlgError(
            f"tensorsolve: the input arrays must satisfy prod(a.shape[b.ndim:]) == prod(a.shape[:b.ndim]); a has shape "
            f"{a.shape}, b {b.shape}"
        )
    return solve(a.reshape(count, count), b.reshape(-1)).reshape(shape)


def tensorinv(a: Any, ind: int = 2) -> Tensor:
    """Return the inverse of a tensor: ``tensordot(tensorinv(a, ind), a, ind)`` is the identity.

    Parameters
    ----------
    a : array_like
        ``prod(a.shape[:ind]) == prod(a.shape[ind:])``.
    ind : int
        Number of first axes that belong to the result's last.

    Raises
    ------
    ValueError
        If `ind` is not positive.
    numpy.linalg.LinAlgError
        If the numbers of elements differ or the matrix is singular.
    """
    a = host(a, "tensorinv")
    if ind <= 0:
        raise ValueError(f"tensorinv: invalid ind argument {ind}; it must be positive")
    first, last = a.shape[:ind], a.shape[ind:]
    return inv(a.reshape(math.prod(first), math.prod(last))).reshape((*last, *first))
