"""Polynomials as vectors of coefficients, the highest power first."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from trueno import functions, linalg
from trueno.ir import promotion
from trueno.np.arguments import adopt, array, host, index
from trueno.np.calculus import convolve
from trueno.np.creation import vander
from trueno.np.manipulation import atleast_1d
from trueno.tensor import Tensor


def polyval(p: Any, x: Any) -> Tensor:
    """Return the values of a polynomial, by Horner's rule.

    Parameters
    ----------
    p : array_like, shape (N,)
        Coefficients, the highest power first.
    x : array_like

    Returns
    -------
    Tensor
        Of the shape of `x`; gradients flow to both.
    """
    coefficients, places = array(p), array(x)
    result = functions.mul(places, 0)
    for k in range(len(coefficients)):
        result = functions.add(functions.mul(result, places), coefficients[k])
    return result


def _vector(name: str, p: Any) -> Tensor:
    x = array(p)
    if x.ndim > 1:
        raise ValueError(f"{name}: input must be a 1-D array of coefficients, not of shape {x.shape}")
    return functions.reshape(x, (-1,))


def _padded(x: Tensor, size: int) -> Tensor:
    return functions.pad(x, ((size - x.size, 0),)) if size > x.size else x


def _aligned(name: str, a1: Any, a2: Any) -> tuple[Tensor, Tensor]:
    """Return coefficients with zeros in front, as many as the other polynomial has more."""
    first, second = atleast_1d(a1), atleast_1d(a2)
    if first.shape[0] == second.shape[0]:
        return first, second
    size = max(first.shape[0], second.shape[0])
    return _padded(_vector(name, first), size), _padded(_vector(name, second), size)


def polyadd(a1: Any, a2: Any) -> Tensor:
    """Return the coefficients of the sum of two polynomials."""
    return functions.add(*_aligned("polyadd", a1, a2))


def polysub(a1: Any, a2: Any) -> Tensor:
    """Return the coefficients of the difference of two polynomials."""
    return functions.sub(*_aligned("polysub", a1, a2))


def polymul(a1: Any, a2: Any) -> Tensor:
    """Return the coefficients of the product of two polynomials, without leading zeros of the factors."""
    return convolve(_trimmed(_vector("polymul", a1)), _trimmed(_vector("polymul", a2)))


def _trimmed(x: Tensor) -> Tensor:
    """Return coefficients without leading zeros; one is left."""
    used = np.flatnonzero(host(x, "polynomial"))
    return x[int(used[0]) :] if used.size else x[-1:]


def polydiv(u: Any, v: Any) -> tuple[Tensor, Tensor]:
    """Return quotient and remainder of two polynomials; they have no gradient."""
    quotient, remainder = np.polydiv(host(_vector("polydiv", u), "polydiv"), host(_vector("polydiv", v), "polydiv"))
    return adopt(quotient), adopt(remainder)


def polyder(p: Any, m: int = 1) -> Tensor:
    """Return the coefficients of the m-th derivative of a polynomial.

    Raises
    ------
    ValueError
        `m` is negative.
    """
    x, times = _vector("polyder", p), index("polyder", m)
    if times < 0:
        raise ValueError(f"polyder: order of derivative must be positive (see polyint), got {m}")
    for _ in range(times):
        powers = adopt(np.arange(max(x.size - 1, 0), 0, -1))
        x = functions.mul(x[:-1], powers)
    return x


def polyint(p: Any, m: int = 1, k: Any = None) -> Tensor:
    """Return the coefficients of an antiderivative of a polynomial.

    Parameters
    ----------
    p : array_like, shape (N,)
    m : int
        How often to integrate.
    k : number or sequence of m numbers, optional
        Constants of integration, in order; 0 by default.

    Raises
    ------
    ValueError
        `m` is negative, or the constants are not m.
    """
    x, times = _vector("polyint", p), index("polyint", m)
    if times < 0:
        raise ValueError(f"polyint: order of integral must be positive (see polyder), got {m}")
    constants = array([0.0] * times) if k is None else functions.reshape(array(k), (-1,))
    if constants.size == 1 and times > 1:
        constants = functions.expand(constants, (times,))
    if constants.size < times:
        raise ValueError(
            f"polyint: k must be a scalar or a rank-1 array of length 1 or >m, got {constants.size} for {m}"
        )
    for one in range(times):
        powers = adopt(np.arange(x.size, 0, -1))
        x = functions.concatenate([functions.div(x, powers), constants[one : one + 1]])
    return x


def roots(p: Any) -> Tensor:
    """Return the roots of a polynomial: the eigenvalues of its companion matrix (Horn and Johnson 1999), no gradient.

    Parameters
    ----------
    p : array_like, shape (N + 1,)
        Coefficients, the highest power first.

    Returns
    -------
    Tensor
        Of shape (N,), complex where a root is.

    Raises
    ------
    ValueError
        For more than one dimension.
    """
    return adopt(np.roots(host(_vector("roots", p), "roots")))


def poly(seq_of_zeros: Any) -> Tensor:
    """Return the coefficients of the polynomial with given roots, or of a square matrix's characteristic polynomial.

    Parameters
    ----------
    seq_of_zeros : array_like, shape (N,) or (N, N)

    Returns
    -------
    Tensor
        Of shape (N + 1,), the highest power first, which is 1; without a gradient.

    Raises
    ------
    ValueError
        For other shapes.
    """
    given = host(seq_of_zeros, "poly")
    if given.ndim > 1 and (given.ndim != 2 or given.shape[0] != given.shape[1] or not given.size):
        raise ValueError(f"poly: input must be 1-D or a non-empty square matrix, not of shape {given.shape}")
    return adopt(np.asarray(np.poly(given)))


def polyfit(
    x: Any, y: Any, deg: int, rcond: float | None = None, full: bool = False, w: Any = None, cov: bool | str = False
) -> Any:
    """Return the coefficients of the polynomial that fits points best in the sense of least squares.

    Parameters
    ----------
    x : array_like, shape (M,)
    y : array_like, shape (M,) or (M, K)
    deg : int
    rcond : float, optional
        Singular values up to `rcond` times the largest count as zero; M times the precision of x by default.
    full : bool
        Return also the sum of squared residuals, the rank and singular values of the scaled Vandermonde matrix, and
        `rcond`.
    w : array_like, shape (M,), optional
        Weights of the residuals, before they are squared.
    cov : bool or "unscaled"
        Return also the covariance matrix of the coefficients, scaled by the residuals unless it is "unscaled".

    Returns
    -------
    Tensor
        Of shape (deg + 1,) or (deg + 1, K), the highest power first; first of a tuple for `full` and `cov`. Gradients
        flow to the arrays.

    Raises
    ------
    ValueError
        `deg` is negative, or there are too few points for a covariance.
    TypeError
        The arrays are empty, have other dimensions or different lengths.

    Warns
    -----
    numpy.exceptions.RankWarning
        The matrix has not full rank, and `full` is false.
    """
    places, values = (functions.add(array(one), 0.0) for one in (x, y))
    order = index("polyfit", deg) + 1
    _check_points(places, values, order, w)
    precision = np.finfo(places.dtype).eps if rcond is None else 0.0
    limit = len(places) * precision if rcond is None else rcond
    powers = vander(places, order)
    if w is not None:
        weights = functions.add(array(w), 0.0)
        powers = functions.mul(powers, functions.reshape(weights, (-1, 1)))
        values = functions.mul(values, weights if values.ndim == 1 else functions.reshape(weights, (-1, 1)))
    # Columns of norm 1 make the matrix less ill-conditioned.
    scale = functions.sqrt(functions.sum(functions.mul(powers, powers), 0))
    powers = functions.div(powers, scale)
    dtype = promotion.common((powers.dtype, values.dtype))
    found, residuals, rank, singular = linalg.lstsq(powers.astype(dtype), values.astype(dtype), rcond=limit)
    fitted = functions.div(found, scale if values.ndim == 1 else functions.reshape(scale, (-1, 1)))
    if full:
        return fitted, residuals, rank, singular, limit
    if int(rank) != order:
        warnings.warn("Polyfit may be poorly conditioned", np.exceptions.RankWarning, stacklevel=2)
    if not cov:
        return fitted
    base = functions.div(linalg.inv(powers.mT @ powers), functions.mul(functions.reshape(scale, (-1, 1)), scale))
    factor: Any = 1.0
    if cov != "unscaled":
        if len(places) <= order:
            raise ValueError(
                f"polyfit: the number of data points must exceed order to scale the covariance; {len(places)}, {order}"
            )
        factor = functions.div(residuals, len(places) - order)
    return fitted, functions.mul(base if values.ndim == 1 else functions.reshape(base, (order, order, 1)), factor)


def _check_points(places: Tensor, values: Tensor, order: int, w: Any) -> None:
    if order < 1:
        raise ValueError(f"polyfit: expected deg >= 0, got {order - 1}")
    if places.ndim != 1 or not places.size:
        raise TypeError(f"polyfit: expected a non-empty 1-D vector for x, got shape {places.shape}")
    if values.ndim not in (1, 2) or values.shape[0] != places.shape[0]:
        raise TypeError(f"polyfit: expected x and y to have same length, got shapes {places.shape} and {values.shape}")
    if w is not None and array(w).shape != places.shape:
        raise TypeError(
            f"polyfit: expected w and y to have same length, got shapes {array(w).shape} and {values.shape}"
        )


__all__ = ["poly", "polyadd", "polyder", "polydiv", "polyfit", "polyint", "polymul", "polysub", "polyval", "roots"]
