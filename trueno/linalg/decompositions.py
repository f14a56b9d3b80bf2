"""Decompositions: QR, singular values and vectors, eigenvalues and eigenvectors."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from trueno import dtypes as dt
from trueno.library import constant, host, library
from trueno.linalg.algebra import adjoint, conjugate, differences, hermitian_part, identity, total, without_phase
from trueno.linalg.operands import eigenvalues_apart, hermitian, matrices
from trueno.linalg.solving import solve
from trueno.tensor import Tensor


class QRResult(NamedTuple):
    """An orthogonal and an upper triangular factor."""

    Q: Tensor
    R: Tensor


class SVDResult(NamedTuple):
    """Left singular vectors, singular values, and right singular vectors as rows."""

    U: Tensor
    S: Tensor
    Vh: Tensor


class EighResult(NamedTuple):
    """Eigenvalues in ascending order, and orthonormal eigenvectors as columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class EigResult(NamedTuple):
    """Eigenvalues, in no order, and eigenvectors of norm 1 as columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


# --- gradient rules ---------------------------------------------------------------------------------------------------


def _qr_gradient(g: tuple, y: tuple, a: Tensor, *, mode: str) -> list[Any]:
    """Walter and Lehmann 2018 for M >= N; Roberts and Roberts 2020, arXiv:2009.10071, for M < N."""
    (to_q, to_r), (q, r) = g, y
    rows, columns = a.shape[-2:]
    if mode == "complete" and rows > columns:
        raise RuntimeError(
            f"qr: with mode='complete', Q is not a differentiable function of a matrix of shape {a.shape} with more "
            "rows than columns; use mode='reduced'"
        )
    if rows >= columns:
        return [_qr_square_gradient(to_q, to_r, q, r)]
    # A = [X | Y], R = [U | Q^H Y]: X = Q U is square, and Y has a gradient through Q too.
    rest = a[..., rows:]
    pieces = []
    to_u = None
    if to_r is not None:
        to_v, to_u = to_r[..., rows:], to_r[..., :rows]
        through = rest @ adjoint(to_v)
        to_q = through if to_q is None else to_q + through
        pieces.append(q @ to_v)
    else:
        pieces.append(rest * 0.0)
    from trueno.functions import concatenate

    return [concatenate([_qr_square_gradient(to_q, to_u, q, r[..., :rows]), *pieces], axis=-1)]


def _qr_square_gradient(to_q: Tensor | None, to_r: Tensor | None, q: Tensor, r: Tensor) -> Tensor:
    terms = ([] if to_r is None else [r @ adjoint(to_r)]) + ([] if to_q is None else [-(adjoint(to_q) @ q)])
    middle = total(terms)
    lower = middle * constant(np.tril(np.ones(middle.shape[-2:]), -1), middle)
    # R's diagonal is real.
    mirrored = lower + adjoint(lower) + hermitian_part(middle * identity(middle))
    inner = q @ mirrored
    if to_q is not None:
        inner = to_q + inner
    return adjoint(solve(r, adjoint(inner)))


def _svd_gradient(g: tuple, y: tuple, _a: Tensor, *, full_matrices: bool) -> list[Any]:
    """Townsend 2016, "Differentiating the singular value decomposition", for distinct singular values."""
    (to_u, to_s, to_vh), (u, s, vh) = g, y
    if u.shape[-1] != vh.shape[-2]:
        if to_u is not None or to_vh is not None:
            raise RuntimeError(
                "svd: with full_matrices=True, the vectors beyond the singular values are no differentiable function "
                f"of a matrix of shape {(*u.shape[:-1], vh.shape[-1])}; use full_matrices=False"
            )
        u, vh = u[..., : s.shape[-1]], vh[..., : s.shape[-1], :]
    along = s.unsqueeze(-2)
    inner: list[Tensor] = []
    outer: list[Tensor] = []
    apart = differences(s * s)
    one = identity(s)
    if to_s is not None:
        inner.append(to_s.unsqueeze(-2) * one)
    phases = []
    if to_u is not None:
        turned = adjoint(u) @ to_u
        phases.append(turned)
        skew = turned - adjoint(turned)
        inner.append((skew - skew * one) / apart * along)
        if dt.is_complex(u.dtype):
            inner.append(skew * one / (along * 2.0))
        if u.shape[-2] > u.shape[-1]:
            outer.append(((to_u - u @ turned) / along) @ vh)
    if to_vh is not None:
        turned = vh @ adjoint(to_vh)
        phases.append(turned)
        skew = turned - adjoint(turned)
        inner.append((skew - skew * one) / apart * s.unsqueeze(-1))
        if vh.shape[-1] > vh.shape[-2]:
            outer.append((u / along) @ (to_vh - adjoint(turned) @ vh))
    if phases:
        without_phase("svd", total(phases))
    return [total([(u @ total(inner)) @ vh, *outer])]


def _eigh_gradient(g: tuple, y: tuple, _a: Tensor) -> list[Any]:
    """Giles 2008, section 3.1, for distinct eigenvalues; Hermitian."""
    (to_w, to_v), (w, v) = g, y
    middle: list[Tensor] = []
    if to_w is not None:
        middle.append(to_w.unsqueeze(-2) * identity(v))
    if to_v is not None:
        turned = adjoint(v) @ to_v
        without_phase("eigh", turned)
        middle.append((turned - turned * identity(v)) / differences(w))
    return [hermitian_part(v @ total(middle) @ adjoint(v))]


def _eig_gradient(g: tuple, y: tuple, _a: Tensor) -> list[Any]:
    """Boeddeker et al. 2017, arXiv:1701.00392, eq. 4.77, for distinct eigenvalues and eigenvectors of norm 1."""
    (to_w, to_v), (w, v) = g, y
    turned_v = adjoint(v)
    middle: list[Tensor] = []
    if to_w is not None:
        middle.append(to_w.unsqueeze(-2) * identity(v))
    if to_v is not None:
        turned = turned_v @ to_v
        without_phase("eig", turned)
        diagonal = (turned * identity(v)).sum(axis=-2, keepdims=True)
        off = (turned - (turned_v @ v) * diagonal) / conjugate(differences(w))
        middle.append(off - off * identity(v))
    return [solve(turned_v, total(middle) @ turned_v)]


def _svdvals_gradient(g: Tensor, _y: Tensor, a: Tensor) -> list[Any]:
    u, _, vh = _svd(a, full_matrices=False)
    return [(u * g.unsqueeze(-2)) @ vh]


def _eigvalsh_gradient(g: Tensor, _y: Tensor, a: Tensor) -> list[Any]:
    _, v = _eigh(a)
    return [(v * g.unsqueeze(-2)) @ adjoint(v)]


def _eigvals_gradient(g: Tensor, _y: Tensor, a: Tensor) -> list[Any]:
    turned = adjoint(_eig(a)[1])
    return [solve(turned, g.unsqueeze(-1) * turned)]


def _as_numpy(a: Any, *results: Any) -> tuple[Any, ...]:
    """Return what PyTorch finds as NumPy gives it: real where the matrices and all eigenvalues are."""
    real = not a.is_complex() and not results[0].imag.any()
    return tuple(one.real for one in results) if real else results


def _sizes(*vectors: Tensor) -> tuple[Tensor, ...]:
    """Return what of vectors does not depend on their signs or phases."""
    return tuple((one * one.conj()).real for one in vectors)


# --- rows -------------------------------------------------------------------------------------------------------------

_SHAPES = ((3, 3), (4, 2), (2, 3), (2, 4, 3))
_BOTH = (dt.float64, dt.complex128)

_qr = library(
    "qr", lambda a, mode: tuple(np.linalg.qr(a, mode)), domain=matrices(*_SHAPES, mode="reduced"), grad=_qr_gradient,
    doc="Factors Q R with Q orthogonal and R upper triangular.",
    peer=lambda torch, a, mode: torch.linalg.qr(a, mode),
    dtypes=_BOTH,
)  # fmt: skip
_svd = library(
    "svd", lambda a, full_matrices: tuple(np.linalg.svd(a, full_matrices)), grad=_svd_gradient,
    domain=matrices(*_SHAPES, full_matrices=False), observe=lambda u, s, vh: (*_sizes(u, vh), s),
    doc="Singular value decomposition.", peer=lambda torch, a, full_matrices: torch.linalg.svd(a, full_matrices),
    dtypes=_BOTH,
)  # fmt: skip
_svdvals = library(
    "svdvals", lambda a: np.linalg.svd(a, compute_uv=False), domain=matrices(*_SHAPES), grad=_svdvals_gradient,
    doc="Singular values in descending order.", peer=lambda torch, a: torch.linalg.svdvals(a),
    dtypes=_BOTH,
)  # fmt: skip
_eigh = library(
    "eigh", lambda a: tuple(np.linalg.eigh(a)), domain=hermitian((3, 3), (2, 4, 4)), grad=_eigh_gradient,
    project=hermitian_part, observe=lambda w, v: (w, *_sizes(v)), peer=lambda torch, a: torch.linalg.eigh(a),
    doc="Eigenvalues and eigenvectors of symmetric or Hermitian matrices.",
    dtypes=_BOTH,
)  # fmt: skip
_eigvalsh = library(
    "eigvalsh", np.linalg.eigvalsh, domain=hermitian((3, 3), (2, 4, 4)), grad=_eigvalsh_gradient,
    project=hermitian_part, peer=lambda torch, a: torch.linalg.eigvalsh(a), dtypes=_BOTH,
    doc="Eigenvalues of symmetric or Hermitian matrices in ascending order.",
)  # fmt: skip
_eig = library(
    "eig", lambda a: tuple(np.linalg.eig(a)), domain=eigenvalues_apart, grad=_eig_gradient,
    observe=lambda w, v: (w, *_sizes(v)),
    doc="Eigenvalues and eigenvectors; real ones of real matrices if all of them are.",
    peer=lambda torch, a: _as_numpy(a, *torch.linalg.eig(a)),
    dtypes=_BOTH,
)  # fmt: skip
_eigvals = library(
    "eigvals", np.linalg.eigvals, domain=eigenvalues_apart, grad=_eigvals_gradient,
    doc="Eigenvalues; real ones of real matrices if all of them are.",
    peer=lambda torch, a: _as_numpy(a, torch.linalg.eigvals(a)),
    dtypes=_BOTH,
)  # fmt: skip


# --- the functions ----------------------------------------------------------------------------------------------------


def qr(a: Any, mode: str = "reduced") -> Any:
    """Return the factors Q and R of matrices, by Householder reflections (LAPACK's geqrf).

    Parameters
    ----------
    a : array_like of shape (..., m, n)
    mode : {"reduced", "complete", "r", "raw"}
        With k = min(m, n): Q of shape (..., m, k) and R (..., k, n); Q (..., m, m) and R (..., m, n); R alone; LAPACK's
        own result, which is the transposed reflectors with R, of shape (..., n, m), and their factors (..., k).

    Returns
    -------
    QRResult or Tensor
        The gradient is defined where the first k columns are independent, not for "complete" with m > n and "raw".

    Raises
    ------
    ValueError
        For another mode.
    """
    if mode not in ("reduced", "complete", "r", "raw"):
        raise ValueError(f"qr: mode {mode!r} is not one of 'reduced', 'complete', 'r' and 'raw'")
    if mode == "raw":
        return _raw_qr(a)
    made = QRResult(*_qr(a, mode="reduced" if mode == "r" else mode))
    return made.R if mode == "r" else made


def _raw_qr(a: Any) -> tuple[Tensor, Tensor]:
    made = np.linalg.qr(host(a, "qr").detach().numpy(), "raw")
    return host(made[0], "qr"), host(made[1], "qr")


def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    """Return the singular value decomposition ``a = (U * S[..., None, :]) @ Vh`` (LAPACK's gesdd).

    Parameters
    ----------
    a : array_like of shape (..., m, n)
    full_matrices : bool
        Whether U and Vh are square; else U has the shape (..., m, k) and Vh (..., k, n), with k = min(m, n).
    compute_uv : bool
        Whether to return U and Vh, too.
    hermitian : bool
        Whether the matrices are symmetric: then the decomposition is made of their eigenvectors.

    Returns
    -------
    SVDResult or Tensor
        Without `compute_uv` the singular values, descending. The gradients of U and Vh are defined for distinct
        singular values and where only what does not depend on the vectors' signs is used; else they are infinite
        or NaN.
    """
    matrix = host(a, "svd")
    if hermitian:
        return _symmetric_svd(matrix, compute_uv)
    return SVDResult(*_svd(matrix, full_matrices=bool(full_matrices))) if compute_uv else _svdvals(matrix)


def _symmetric_svd(a: Tensor, compute_uv: bool) -> Any:
    """Return the decomposition of symmetric matrices: singular values are absolute values of eigenvalues."""
    from trueno.functions import gather, operations

    values, vectors = _eigh(a)
    sizes = operations["abs"].call(values)
    order = constant_indices(np.argsort(-sizes.detach().numpy(), axis=-1, kind="stable"))
    s = gather(sizes, order, axis=-1)
    if not compute_uv:
        return s
    across = order.unsqueeze(-2).expand(*vectors.shape).contiguous()
    u = gather(vectors, across, axis=-1)
    signs = gather(operations["sign"].call(values.detach()), order, axis=-1)
    return SVDResult(u, s, adjoint(u * operations["where"].call(signs == 0, 1.0, signs).unsqueeze(-2)))


def constant_indices(array: np.ndarray) -> Tensor:
    """Return indices as a tensor of int64."""
    from trueno.creation import from_numpy

    return from_numpy(np.ascontiguousarray(array, dtype=np.int64))


def svdvals(x: Any, /) -> Tensor:
    """Return the singular values of matrices in descending order.

    Parameters
    ----------
    x : array_like of shape (..., m, n)

    Returns
    -------
    Tensor of shape (..., min(m, n))
    """
    return _svdvals(x)


def _lower(a: Any, UPLO: str, name: str) -> Tensor:
    matrix = host(a, name)
    if str(UPLO).upper() not in ("L", "U"):
        raise ValueError(f"{name}: UPLO argument must be 'L' or 'U', got {UPLO!r}")
    return matrix if UPLO.upper() == "L" or matrix.ndim < 2 else adjoint(matrix)


def eigh(a: Any, UPLO: Literal["L", "U", "l", "u"] = "L") -> EighResult:
    """Return eigenvalues and eigenvectors of symmetric matrices (LAPACK's syevd).

    Parameters
    ----------
    a : array_like of shape (..., n, n)
    UPLO : {"L", "U"}
        Which triangle is read. The gradient is symmetric.

    Returns
    -------
    EighResult
        ``eigenvalues`` of shape (..., n), ascending; ``eigenvectors`` (..., n, n), columns, whose gradient is defined
        for distinct eigenvalues and where only what does not depend on their signs is used.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a matrix is not square or the computation does not converge.
    """
    return EighResult(*_eigh(_lower(a, UPLO, "eigh")))


def eigvalsh(a: Any, UPLO: Literal["L", "U", "l", "u"] = "L") -> Tensor:
    """Return the eigenvalues of symmetric matrices in ascending order; see `eigh`."""
    return _eigvalsh(_lower(a, UPLO, "eigvalsh"))


def eig(a: Any) -> EigResult:
    """Return eigenvalues and eigenvectors of square matrices (LAPACK's geev).

    Parameters
    ----------
    a : array_like of shape (..., n, n)

    Returns
    -------
    EigResult
        ``eigenvalues`` of shape (..., n) in no order, ``eigenvectors`` (..., n, n) as columns of norm 1. The gradient
        is defined for distinct eigenvalues.

    Raises
    ------
    TypeError
        If there are complex eigenvalues.
    numpy.linalg.LinAlgError
        If a matrix is not square or the computation does not converge.
    """
    return EigResult(*_eig(a))


def eigvals(a: Any) -> Tensor:
    """Return the eigenvalues of square matrices; see `eig`."""
    return _eigvals(a)
