"""Linear algebra with NumPy's names and gradients: LAPACK, through NumPy, on tensors on the CPU."""

from __future__ import annotations

from numpy.linalg import LinAlgError

from trueno.linalg.decompositions import (
    EighResult,
    EigResult,
    QRResult,
    SVDResult,
    eig,
    eigh,
    eigvals,
    eigvalsh,
    qr,
    svd,
    svdvals,
)
from trueno.linalg.solving import LstsqResult, SlogdetResult, cholesky, det, inv, lstsq, pinv, slogdet, solve

__all__ = [
    "EigResult", "EighResult", "LinAlgError", "LstsqResult", "QRResult", "SVDResult", "SlogdetResult", "cholesky",
    "det", "eig", "eigh", "eigvals", "eigvalsh", "inv", "lstsq", "pinv", "qr", "slogdet", "solve", "svd", "svdvals",
]  # fmt: skip
