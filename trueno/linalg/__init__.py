"""Linear algebra with NumPy's names and gradients: LAPACK, through NumPy, on tensors on the CPU."""

from __future__ import annotations

from numpy.linalg import LinAlgError

from trueno.errors import explain_all
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
from trueno.linalg.functions import expm, tensorinv, tensorsolve
from trueno.linalg.norms import cond, matrix_norm, matrix_rank, norm, vector_norm
from trueno.linalg.products import (
    cross,
    diagonal,
    matmul,
    matrix_power,
    matrix_transpose,
    multi_dot,
    outer,
    tensordot,
    trace,
    vecdot,
)
from trueno.linalg.solving import LstsqResult, SlogdetResult, cholesky, det, inv, lstsq, pinv, slogdet, solve

__all__ = [
    "EigResult", "EighResult", "LinAlgError", "LstsqResult", "QRResult", "SVDResult", "SlogdetResult", "cholesky",
    "cond", "cross", "det", "diagonal", "eig", "eigh", "eigvals", "eigvalsh", "expm", "inv", "lstsq", "matmul",
    "matrix_norm", "matrix_power", "matrix_rank", "matrix_transpose", "multi_dot", "norm", "outer", "pinv", "qr",
    "slogdet", "solve", "svd", "svdvals", "tensordot", "tensorinv", "tensorsolve", "trace", "vecdot", "vector_norm",
]  # fmt: skip

explain_all(globals())
