"""Distinct elements and operations of sets on arrays. NumPy computes them; what is found has no gradient."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from trueno import functions
from trueno.creation import from_numpy
from trueno.ir import composites_numpy
from trueno.np.arguments import adopt, array, host
from trueno.np.sorting import sort
from trueno.runtime import launcher
from trueno.runtime.inplace import requires_grad
from trueno.runtime.operation import Operation
from trueno.tensor import Tensor

_chosen_by = Operation("chosen_by", composites_numpy.chosen_by, 4)
_LEAST = -(1 << 63)


class UniqueAllResult(NamedTuple):
    """Distinct values, where each is first, which of them each element is, and how often each occurs."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCountsResult(NamedTuple):
    """Distinct values and how often each occurs."""

    values: Tensor
    counts: Tensor


class UniqueInverseResult(NamedTuple):
    """Distinct values and which of them each element is."""

    values: Tensor
    inverse_indices: Tensor


def _adopted(found: Any) -> Any:
    return tuple(adopt(one) for one in found) if isinstance(found, tuple) else adopt(found)


def unique(
    ar: Any, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False,
    axis: int | None = None, *, equal_nan: bool = True, sorted: bool = True,
) -> Any:  # fmt: skip
    """Return the distinct elements of an array, in ascending order.

    Parameters
    ----------
    ar : array_like
    return_index : bool
        Also return where each value is first.
    return_inverse : bool
        Also return which of the values each element is.
    return_counts : bool
        Also return how often each value occurs.
    axis : int, optional
        Compare slices along this axis in place of elements.
    equal_nan : bool
        Whether all NaNs are one value.
    sorted : bool
        False allows any order.

    Returns
    -------
    Tensor or tuple of Tensor
        The gradient of the values goes to the first element that has each value.
    """
    x = array(ar)
    recorded = requires_grad(x) and launcher.grad_enabled()
    plain = not (return_index or return_inverse or return_counts or recorded) and axis is None
    if plain and x.size and x.dtype.kind in "biuf":
        return _distinct(x, equal_nan)
    find: Any = np.unique
    found = find(
        host(x, "unique"), return_index or recorded, return_inverse, return_counts, axis, equal_nan=equal_nan,
        sorted=sorted,
    )  # fmt: skip
    if not recorded:
        return _adopted(found)
    values, first, *rest = _adopted(found)
    along = functions.ravel(x) if axis is None else x
    values = along[(*(slice(None),) * (0 if axis is None else axis % x.ndim), first)]
    results = (values, *((first,) if return_index else ()), *rest)
    return results if len(results) > 1 else values


def _distinct(x: Tensor, equal_nan: bool) -> Tensor:
    """Return the distinct elements: of the sorted ones those that differ from what is before them."""
    ordered = sort(x if x.ndim == 1 else functions.ravel(x))
    values = host(ordered, "unique")
    first = np.empty(values.shape, np.bool_)
    first[0] = True
    np.not_equal(values[1:], values[:-1], first[1:])
    if equal_nan and values[-1] != values[-1]:
        first[values.searchsorted(values[-1]) + 1 :] = False  # NaNs are at the end, and none equals another
    return ordered[adopt(first)]


def unique_all(x: Any, /) -> UniqueAllResult:
    """Return distinct values, their first positions, inverse positions and counts; each NaN is a value of its own."""
    return UniqueAllResult(*unique(x, True, True, True, equal_nan=False))


def unique_counts(x: Any, /) -> UniqueCountsResult:
    """Return distinct values and their counts; each NaN is a value of its own."""
    return UniqueCountsResult(*unique(x, return_counts=True, equal_nan=False))


def unique_inverse(x: Any, /) -> UniqueInverseResult:
    """Return distinct values and inverse positions; each NaN is a value of its own."""
    return UniqueInverseResult(*unique(x, return_inverse=True, equal_nan=False))


def unique_values(x: Any, /) -> Tensor:
    """Return distinct values in ascending order; each NaN is a value of its own.

    Notes
    -----
    Differs from NumPy: the values are sorted, as the array API standard allows but does not ask for.
    """
    return unique(x, equal_nan=False)


def isin(
    element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False, *, kind: str | None = None
) -> Tensor:
    """Return for each element whether it is among others, as bool of the shape of `element`.

    Parameters
    ----------
    element, test_elements : array_like or number
    assume_unique : bool
        Whether both are known to hold each value once.
    invert : bool
        Return whether it is not among them.
    kind : {"sort", "table"}, optional
        NumPy's choice of algorithm.
    """
    known = _looked_up(element, test_elements, invert) if kind is None else None
    if known is not None:
        return known
    options: Any = {"kind": kind}
    return adopt(np.isin(host(element, "isin"), host(test_elements, "isin"), assume_unique, invert, **options))


def _looked_up(element: Any, test_elements: Any, invert: bool) -> Tensor | None:
    """Return what `isin` does of integers by a table of their range; None where it is too long, or there is none."""
    given = [one if isinstance(one, Tensor) else np.asarray(one) for one in (element, test_elements)]
    if any(one.dtype.kind not in "iu" or one.dtype == np.uint64 or not one.size for one in given):
        return None
    x, among = (array(one) for one in given)
    first, last = among.min().item() - 1, among.max().item() + 1
    # NumPy's rule, by which a table takes no more memory than sorting would.
    if x._layout.device != "cpu" or last - first > 6 * (x.size + among.size) or first < _LEAST:
        return None
    table = from_numpy(np.full(last - first + 1, invert))
    table[functions.ravel(among).astype(np.int64, copy=False) - first] = not invert
    return functions.reshape(_chosen_by.call(functions.ravel(x), table, first, last - first), x.shape)


def intersect1d(ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False) -> Any:
    """Return the sorted values that two arrays share; with `return_indices` also where each has them first."""
    find: Any = np.intersect1d
    return _adopted(find(host(ar1, "intersect1d"), host(ar2, "intersect1d"), assume_unique, return_indices))


def union1d(ar1: Any, ar2: Any) -> Tensor:
    """Return the sorted values that are in one of two arrays."""
    return adopt(np.union1d(host(ar1, "union1d"), host(ar2, "union1d")))


def setdiff1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Tensor:
    """Return the values of the first array that are not in the second, sorted unless assumed to be unique."""
    return adopt(np.setdiff1d(host(ar1, "setdiff1d"), host(ar2, "setdiff1d"), assume_unique))


def setxor1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Tensor:
    """Return the sorted values that are in exactly one of two arrays."""
    return adopt(np.setxor1d(host(ar1, "setxor1d"), host(ar2, "setxor1d"), assume_unique))


__all__ = [
    "intersect1d", "isin", "setdiff1d", "setxor1d", "union1d", "unique", "unique_all", "unique_counts",
    "unique_inverse", "unique_values",
]  # fmt: skip
