"""Linear systems: solutions, inverses, determinants, Cholesky factors, least squares."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from trueno import dtypes as dt
from trueno.library import constant, host, library
from trueno.linalg.algebra import adjoint, conjugate, hermitian_part, identity, need_square
from trueno.linalg.operands import hermitian, matrices, overdetermined, systems
from trueno.tensor import Tensor

_SQUARE = ((3, 3), (1, 1), (2, 3, 3))
_BOTH = (dt.float64, dt.complex128)


class SlogdetResult(NamedTuple):
    """Sign and logarithm of the absolute value of determinants."""

    sign: Tensor
    logabsdet: Tensor


class LstsqResult(NamedTuple):
    """Solution of a least-squares problem, its residuals, and rank and singular values of the matrix."""

    x: Tensor
    residuals: Tensor
    rank: Tensor
    s: Tensor


# --- gradient rules ---------------------------------------------------------------------------------------------------


def _inv_gradient(g: Tensor, y: Tensor, _a: Tensor) -> list[Any]:
    """d inv(A) = -inv(A) dA inv(A) (Giles 2008)."""
    turned = adjoint(y)
    return [-(turned @ g @ turned)]


def _solve_gradient(g: Tensor, y: Tensor, a: Tensor, _b: Tensor) -> list[Any]:
    """A dx = db - dA x (Giles 2008); both gradients share one solution."""
    b_gradient = _solve(adjoint(a), g)
    return [lambda: -(b_gradient @ adjoint(y)), b_gradient]


def _cofactors_gradient(g: Tensor, y: Tensor, a: Tensor) -> list[Any]:
    """C = det(A) inv(A)^T, so dC = <C, dA> inv(A)^T - inv(A)^T dA^T C."""
    y = conjugate(y)
    return [((g * y).sum(axis=(-2, -1), keepdims=True) * identity(a) - y @ g.mT) @ adjoint(_inv(a))]


def _slogdet_gradient(g: tuple, y: tuple, a: Tensor) -> list[Any]:
    """With t = tr(inv(A) dA), d logabsdet = Re t and d sign = sign i Im t."""
    (to_sign, to_log), (sign, _) = g, y
    weight = to_log
    if to_sign is not None and dt.is_complex(sign.dtype):
        along = to_sign * conjugate(sign)
        turn = along - along.real
        weight = turn if weight is None else weight + turn
    return [None if weight is None else weight[..., None, None] * adjoint(_inv(a))]


def _cholesky_gradient(g: Tensor, y: Tensor, _a: Tensor) -> list[Any]:
    """The symmetric form of Murray 2016, "Differentiation of the Cholesky decomposition", eq. 10."""
    halved = constant(np.tril(np.ones(y.shape[-2:])) - 0.5 * np.eye(y.shape[-1]), y)
    turned = adjoint(y)
    inner = _solve(turned, (turned @ g) * halved)
    return [hermitian_part(adjoint(_solve(turned, adjoint(inner))))]


def _pinv_gradient(g: Tensor, y: Tensor, a: Tensor, _rcond: Any = None, **_static: Any) -> list[Any]:
    """Golub and Pereyra 1973, theorem 4.3, for a rank that does not change."""
    turned = adjoint(y)
    g_turned = adjoint(g)
    rows = a @ y
    columns = y @ a
    left = g_turned @ y @ turned
    right = turned @ y @ g_turned
    return [-(turned @ g @ turned) + left - rows @ left + right - right @ columns]


def _lstsq_gradient(g: tuple, y: tuple, a: Tensor, b: Tensor, *, rcond: float | None) -> list[Any]:
    """x = pinv(A) b; residuals are squares of b - A x; singular values have the gradient U diag(g) V^H."""
    to_x, to_residuals, _, to_values = g
    for_a: list[Tensor] = []
    for_b: list[Tensor] = []
    if to_x is not None:
        inverse = _pinv(a, rcond=np.finfo(a.dtype).eps * max(a.shape) if rcond is None else rcond)
        for_a += _pinv_gradient(to_x @ adjoint(b), inverse, a)
        for_b.append(adjoint(inverse) @ to_x)
    if to_residuals is not None and y[1].size:
        weighted = (b - a @ y[0]) * to_residuals * 2.0
        for_a.append(-(weighted @ adjoint(y[0])))
        for_b.append(weighted)
    if to_values is not None:
        from trueno.linalg.decompositions import svd

        u, _, vh = svd(a, full_matrices=False)
        for_a.append((u * to_values) @ vh)
    return [sum(for_a[1:], for_a[0]) if for_a else None, sum(for_b[1:], for_b[0]) if for_b else None]


# --- forward functions that are more than one call --------------------------------------------------------------------


def _cofactors_on_host(a: np.ndarray) -> np.ndarray:
    """Compute det(A) inv(A)^T; where A is too near to a singular matrix, from the singular values, without division."""
    try:
        inverse = np.linalg.inv(a)
        norms = [np.abs(one).sum(-2).max(-1, initial=0) for one in (a, inverse)]
        if np.all(norms[0] * norms[1] < np.finfo(inverse.dtype).eps ** -0.5):
            return np.linalg.det(a)[..., None, None] * np.swapaxes(inverse, -1, -2)
    except np.linalg.LinAlgError:
        pass
    u, s, vh = np.linalg.svd(a)
    count = s.shape[-1]
    others = np.where(np.eye(count, dtype=bool), 1, s[..., None, :]).prod(-1)
    return (np.linalg.det(u) * np.linalg.det(vh))[..., None, None] * ((u * others[..., None, :]) @ vh)


# --- rows -------------------------------------------------------------------------------------------------------------

_inv = library(
    "inv", np.linalg.inv, domain=matrices(*_SQUARE), grad=_inv_gradient, doc="The inverse of square matrices.",
    peer=lambda torch, a: torch.linalg.inv(a),
    dtypes=_BOTH,
)  # fmt: skip
_solve = library(
    "solve", np.linalg.solve, operands=2, domain=systems, grad=_solve_gradient, doc="The solution of A X = B.",
    peer=lambda torch, a, b: torch.linalg.solve(a, b),
    dtypes=_BOTH,
)  # fmt: skip
_cofactors = library(
    "cofactors", _cofactors_on_host, domain=matrices(*_SQUARE), grad=_cofactors_gradient,
    doc="The matrix of cofactors, which is the gradient of the determinant, for singular matrices too.",
    dtypes=_BOTH,
)  # fmt: skip
_det = library(
    "det", np.linalg.det, domain=matrices(*_SQUARE), doc="The determinant.",
    grad=lambda g, _y, a: [g[..., None, None] * conjugate(_cofactors(a))], peer=lambda torch, a: torch.linalg.det(a),
    dtypes=_BOTH,
)  # fmt: skip
_slogdet = library(
    "slogdet", lambda a: tuple(np.linalg.slogdet(a)), domain=matrices(*_SQUARE),
    grad=_slogdet_gradient,
    doc="Sign and logarithm of the absolute value of the determinant.",
    peer=lambda torch, a: torch.linalg.slogdet(a),
    dtypes=_BOTH,
)  # fmt: skip
_cholesky = library(
    "cholesky", np.linalg.cholesky, domain=hermitian(*_SQUARE, positive=True), grad=_cholesky_gradient,
    project=hermitian_part, peer=lambda torch, a: torch.linalg.cholesky(a), dtypes=_BOTH,
    doc="The lower triangular L with L L^H = A.",
)  # fmt: skip
_pinv = library(
    "pinv", lambda a, rcond: np.linalg.pinv(a, rcond=rcond), doc="The Moore-Penrose inverse.", grad=_pinv_gradient,
    domain=matrices((3, 3), (4, 2), (2, 4), (2, 4, 3), rcond=1e-15),
    peer=lambda torch, a, rcond: torch.linalg.pinv(a, rtol=rcond),
    dtypes=_BOTH,
)  # fmt: skip
_lstsq = library(
    "lstsq", lambda a, b, rcond: tuple(np.linalg.lstsq(a, b, rcond=rcond)), operands=2, domain=overdetermined,
    grad=_lstsq_gradient, doc="The least-squares solution of A X = B.",
    peer=lambda torch, a, b, rcond: torch.linalg.lstsq(a, b, rcond, driver="gelsd")[:1],
    dtypes=_BOTH,
)  # fmt: skip


# --- the functions ----------------------------------------------------------------------------------------------------


def inv(a: Any) -> Tensor:
    """Return the inverse of a square matrix, or of each of a batch.

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
        If a matrix is singular or not square.
    """
    return _inv(a)


def solve(a: Any, b: Any) -> Tensor:
    """Return the solution x of ``a @ x = b``, by LU decomposition with partial pivoting (LAPACK's gesv).

    Parameters
    ----------
    a : array_like of shape (..., n, n)
    b : array_like of shape (n,) or (..., n, k)
        Batches broadcast. Only a 1-D `b` is a vector.

    Returns
    -------
    Tensor of shape (..., n) or (..., n, k)

    Raises
    ------
    numpy.linalg.LinAlgError
        If a matrix is singular or not square.
    ValueError
        If the shapes do not fit.
    """
    right = host(b, "solve")
    if right.ndim == 1:
        return _solve(a, right.unsqueeze(-1)).squeeze(-1)
    return _solve(a, right)


def det(a: Any) -> Tensor:
    """Return the determinant of square matrices; differentiable at singular ones too (once).

    Parameters
    ----------
    a : array_like of shape (..., n, n)

    Returns
    -------
    Tensor of shape (...)

    Raises
    ------
    numpy.linalg.LinAlgError
        If a matrix is not square.
    """
    return _det(a)


def slogdet(a: Any) -> SlogdetResult:
    """Return sign and logarithm of the absolute value of determinants, which neither overflow nor underflow.

    Parameters
    ----------
    a : array_like of shape (..., n, n)

    Returns
    -------
    SlogdetResult
        ``sign`` (0 for a singular matrix, else of size 1) and ``logabsdet`` (minus infinity then), of shape (...).

    Raises
    ------
    numpy.linalg.LinAlgError
        If a matrix is not square; in backward, if one is singular.
    """
    return SlogdetResult(*_slogdet(a))


def cholesky(a: Any, /, *, upper: bool = False) -> Tensor:
    """Return the Cholesky factor of symmetric (complex: Hermitian) positive-definite matrices.

    Parameters
    ----------
    a : array_like of shape (..., n, n)
        Only the lower triangle is read. The gradient is symmetric (Hermitian).
    upper : bool
        Return the upper factor U with ``U^H @ U = a`` instead of the lower L with ``L @ L^H = a``.

    Returns
    -------
    Tensor of shape (..., n, n)

    Raises
    ------
    numpy.linalg.LinAlgError
        If a matrix is not positive definite or not square.
    """
    if upper:
        # NumPy reads the upper triangle then.
        return adjoint(_cholesky(adjoint(host(a, "cholesky"))))
    return _cholesky(a)


def pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Tensor:
    """Return the Moore-Penrose inverse of matrices, from their singular values.

    Parameters
    ----------
    a : array_like of shape (..., m, n)
    rcond : float, optional
        Singular values up to `rcond` times the largest count as zero; 1e-15 when neither it nor `rtol` is given.
    hermitian : bool
        Whether the matrices are symmetric (complex: Hermitian): only their Hermitian part is used.
    rtol : float, optional
        The same as `rcond`, by the name of the array API standard; None stands for ``max(m, n) * eps``.

    Returns
    -------
    Tensor of shape (..., n, m)
        With a gradient for matrices of constant rank (Golub and Pereyra 1973).
    """
    matrix = host(a, "pinv")
    if rcond is not None and rtol is not None:
        raise ValueError("pinv: rtol and rcond cannot be both given")
    chosen = 1e-15 if rcond is None and rtol is None else rcond if rtol is None else rtol
    if hermitian:
        need_square("pinv", matrix)
        matrix = hermitian_part(matrix)
    return _pinv(matrix, rcond=chosen)


def lstsq(a: Any, b: Any, rcond: float | None = None) -> LstsqResult:
    """Return the x of least norm that minimises ``norm(b - a @ x)`` (LAPACK's gelsd).

    Parameters
    ----------
    a : array_like of shape (m, n)
    b : array_like of shape (m,) or (m, k)
    rcond : float, optional
        Singular values up to `rcond` times the largest count as zero; ``max(m, n) * eps`` by default.

    Returns
    -------
    LstsqResult
        ``x`` of shape (n,) or (n, k); ``residuals``, the sums of squares, empty unless m > n and the rank is n;
        ``rank``; ``s``, the singular values of `a`. x, residuals and s have gradients (for a constant rank).

    Raises
    ------
    numpy.linalg.LinAlgError
        If `a` is not a matrix, the numbers of rows differ, or the computation does not converge.
    """
    right = host(b, "lstsq")
    if right.ndim != 1:
        return LstsqResult(*_lstsq(a, right, rcond=rcond))
    x, residuals, rank, s = _lstsq(a, right.unsqueeze(-1), rcond=rcond)
    return LstsqResult(x.squeeze(-1), residuals, rank, s)
