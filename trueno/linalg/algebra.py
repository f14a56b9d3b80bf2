"""What linear algebra is written in: adjoints, Hermitian parts, diagonals, and the check for square matrices."""

from __future__ import annotations

import numpy as np

from trueno import dtypes as dt
from trueno.library import constant
from trueno.tensor import Tensor


def conjugate(a: Tensor) -> Tensor:
    """Return the conjugate; of real numbers the tensor itself."""
    return a if a.dtype in dt.ALL else a.conj()


def adjoint(a: Tensor) -> Tensor:
    """Return the conjugate transposes of matrices; of real ones a view."""
    return conjugate(a.mT)


def hermitian_part(a: Tensor) -> Tensor:
    """Return half the sum of matrices and their adjoints: the symmetric part of real ones."""
    return (a + adjoint(a)) * 0.5


def identity(a: Tensor) -> Tensor:
    """Return the identity matrix with as many rows as `a` has columns, in its dtype."""
    return constant(np.eye(a.shape[-1]), a)


def differences(values: Tensor) -> Tensor:
    """Return v[j] - v[i] at (i, j), and 1 on the diagonal."""
    return values.unsqueeze(-2) - values.unsqueeze(-1) + identity(values)


def total(terms: list[Tensor]) -> Tensor:
    """Return the sum of one term or more."""
    return sum(terms[1:], terms[0])


def without_phase(name: str, turned: Tensor) -> None:
    """Refuse gradients of complex vectors that depend on their phases, which the decomposition leaves open.

    Parameters
    ----------
    name : str
        The operation.
    turned : Tensor of shape (..., k, k)
        The adjoint of the vectors times their gradient; on its diagonal are the derivatives by the phases.

    Raises
    ------
    RuntimeError
        As PyTorch's, where a derivative by a phase is not 0.
    """
    if not dt.is_complex(turned.dtype):
        return
    given = turned.detach().numpy()
    slopes = np.abs(np.diagonal(given, axis1=-2, axis2=-1).imag)
    limit = 1e-2 if given.dtype == dt.complex64 else 1e-6
    if np.any(slopes > limit * np.maximum(1.0, np.abs(given).max(initial=0.0))):
        raise RuntimeError(
            f"{name}: the function depends on the phase of complex vectors, which the decomposition leaves open "
            f"(derivative {slopes.max():.3g}), so that its gradient is not defined"
        )


def need_square(name: str, a: Tensor) -> None:
    """Raise NumPy's LinAlgError unless the last two axes are equally long."""
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise np.linalg.LinAlgError(f"{name}: last 2 dimensions of the array must be square, not of shape {a.shape}")
