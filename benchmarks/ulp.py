"""Errors in units in the last place, and the inputs to look for them at."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Reference = Callable[[np.ndarray], np.ndarray]


def errors(got: np.ndarray, want: np.ndarray) -> np.ndarray:
    """Return how far results are from the exact ones, in units in the last place of the exact ones.

    Parameters
    ----------
    got : numpy.ndarray
        Results of dtype float32 or float64.
    want : numpy.ndarray
        The exact results in a wider dtype: float64 or long double.

    Returns
    -------
    numpy.ndarray
        Errors in `want`'s dtype. An infinite result counts as the number that follows the largest one, so that it may
        stand for an exact result beyond that. Infinite where NaN, an infinity or the sign of a zero is wrong.
    """
    info = np.finfo(got.dtype)
    wide = want.dtype
    with np.errstate(all="ignore"):
        beyond = wide.type(2) ** info.maxexp
        value = np.where(np.isinf(got), np.copysign(beyond, got.astype(wide)), got.astype(wide))
        # An exact result that rounds to infinity is as good as infinity.
        limit = np.where(np.isinf(want.astype(got.dtype)), np.copysign(beyond, want), want)
        off = np.abs(value - limit) / _unit(limit, info)
        wrong = np.isnan(off) | (np.isinf(want) & ~np.isinf(got))
        wrong |= (got == 0) & (np.signbit(got) != np.signbit(want))
        off[wrong] = np.inf
        off[np.isnan(got) & np.isnan(want)] = 0
    return off


def _unit(value: np.ndarray, info: np.finfo) -> np.ndarray:
    """Return the unit in the last place that a format has at each value."""
    if value.dtype != np.float64 or info.minexp <= -1022:
        exponent = np.clip(np.frexp(value)[1] - 1, info.minexp, info.maxexp - 1)
        return np.ldexp(value.dtype.type(1), exponent - info.nmant)
    # The same from the bits: frexp takes half of the time of a search over all numbers.
    field = (value.view(np.int64) >> 52) & 0x7FF
    np.clip(field, info.minexp + 1023, info.maxexp - 1 + 1023, out=field)
    field -= info.nmant
    return (field << 52).view(np.float64)


def stratified(dtype: type | np.dtype, count: int, seed: int = 3) -> np.ndarray:
    """Return `count` random numbers, the two ends and a neighbour of the first in each binade of both signs.

    Subnormal numbers and zero are one binade, infinity and NaN another.
    """
    rng = np.random.default_rng(seed)
    info = np.finfo(dtype)
    whole = np.dtype(f"u{info.bits // 8}")
    fields = np.arange(1 << info.iexp, dtype=whole)[:, None] << whole.type(info.nmant)
    mantissas = rng.integers(0, 1 << info.nmant, (len(fields), count), dtype=whole)
    ends = np.array([0, 1, (1 << info.nmant) - 1], whole)
    positive = np.concatenate([(fields | mantissas).ravel(), (fields | ends).ravel()]).view(dtype)
    return np.concatenate([positive, -positive])
