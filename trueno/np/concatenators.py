"""Arrays joined by indexing: ``r_[1:4, 0, x]`` and ``c_[x, y]``."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueno.np.arguments import array
from trueno.np.joining import concatenate
from trueno.np.types import result_type
from trueno.tensor import Tensor


class _Concatenator:
    """What ``r_`` and ``c_`` are: the items of an index, joined along an axis; see `numpy.r_`.

    Parameters
    ----------
    axis : int
        Along which items are joined.
    ndmin : int
        How many axes they get at least.
    first : int
        At which axis of `ndmin` those of an item with fewer begin; -1: they are the last ones.
    """

    def __init__(self, axis: int, ndmin: int, first: int) -> None:
        self._plan = (axis, ndmin, first)

    def __getitem__(self, key: Any) -> Tensor:
        items = list(key) if isinstance(key, tuple) else [key]
        axis, ndmin, first = self._plan
        if items and isinstance(items[0], str):
            axis, ndmin, first = self._directive(items.pop(0))
        made = [_item(one) for one in items]
        # Python's numbers are weak: `r_[x, 0]` keeps the dtype of x.
        common = result_type(*made) if made else None
        return concatenate([_raised(array(one, common), ndmin, first) for one in made], axis=axis)

    def _directive(self, text: str) -> tuple[int, int, int]:
        """Return axis, least number of axes and first axis, as ``"0,2,1"`` says; what it leaves out stays."""
        try:
            numbers = tuple(int(one) for one in text.split(","))
        except ValueError:
            raise ValueError(
                f"r_: unknown special directive {text!r}; up to three integers 'axis,ndmin,first'"
            ) from None
        if len(numbers) > 3:
            raise ValueError(f"r_: unknown special directive {text!r}; up to three integers 'axis,ndmin,first'")
        return (*numbers, *self._plan[len(numbers) :])  # type: ignore[return-value]


def _item(value: Any) -> Any:
    """Return an item as array or Python number: a slice is a range, with an imaginary step a number of points."""
    if isinstance(value, str):
        raise ValueError("r_: special directives must be the first entry.")
    if isinstance(value, slice):
        return array(np.r_[value])
    return value if isinstance(value, (bool, int, float, complex)) else array(value)


def _raised(x: Tensor, ndmin: int, first: int) -> Tensor:
    """Return an array of at least `ndmin` axes, those that it had beginning at `first`."""
    missing = ndmin - x.ndim
    if missing <= 0:
        return x
    if not x.ndim:
        return x.reshape((1,) * ndmin)
    before = missing if first < 0 else min(first, missing)
    return x.reshape((1,) * before + x.shape + (1,) * (missing - before))


r_ = _Concatenator(0, 1, -1)
c_ = _Concatenator(-1, 2, 0)

__all__ = ["c_", "r_"]
