"""Polynomials as vectors of coefficients, the highest power first."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueno import functions, linalg
from trueno.np.arguments import adopt, array, host, index
from trueno.np.calculus import convolve
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


def polyadd(a1: Any, a2: Any) -> Tensor:
    """Return the coefficients of the sum of two polynomials."""
    first, second = _vector("polyadd", a1), _vector("polyadd", a2)
    size = max(first.size, second.size)
    return functions.add(_padded(first, size), _padded(second, size))


def polysub(a1: Any, a2: Any) -> Tensor:
    """Return the coefficients of the difference of two polynomials."""
    first, second = _vector("polysub", a1), _vector("polysub", a2)
    size = max(first.size, second.size)
    return functions.sub(_padded(first, size), _padded(second, size))


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


def polyfit(x: Any, y: Any, deg: int) -> Tensor:
    """Return the coefficients of the polynomial that fits points best in the sense of least squares.

    Parameters
    ----------
    x : array_like, shape (M,)
    y : array_like, shape (M,) or (M, K)
    deg : int

    Returns
    -------
    Tensor
        Of shape (deg + 1,) or (deg + 1, K), the highest power first. Gradients flow to `y`.

    Raises
    ------
    ValueError
        `deg` is negative.
    TypeError
        The arrays are empty, have other dimensions or different lengths.

    Notes
    -----
    Differs from NumPy: there is no `rcond`, `full`, `w` or `cov`. Columns are scaled to norm 1 first, as in NumPy.
    """
    places, values, degree = array(x), array(y), index("polyfit", deg)
    if degree < 0:
        raise ValueError(f"polyfit: expected deg >= 0, got {deg}")
    if places.ndim != 1 or not places.size:
        raise TypeError(f"polyfit: expected a non-empty 1-D vector for x, got shape {places.shape}")
    if values.ndim not in (1, 2) or values.shape[0] != places.shape[0]:
        raise TypeError(f"polyfit: expected x and y to have same length, got shapes {places.shape} and {values.shape}")
    matrix = np.vander(host(places, "polyfit").astype(np.float64), degree + 1)
    scale = np.sqrt((matrix * matrix).sum(axis=0))
    inverse = linalg.pinv(adopt(matrix / scale), rcond=len(matrix) * np.finfo(np.float64).eps)
    fitted = functions.matmul(inverse, values.astype("float64", copy=False))
    return functions.div(fitted, adopt(scale if values.ndim == 1 else scale[:, None]))


__all__ = ["polyadd", "polyder", "polydiv", "polyfit", "polyint", "polymul", "polysub", "polyval"]
