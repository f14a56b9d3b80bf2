"""Arrays joined by indexing."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

from tests.np.support import same
from trueno import np

ROW, TABLE = [1, 2, 3], [[1.5, 2.5, 3.5], [4.5, 5.5, 6.5]]


def calls(space: Any) -> list[Any]:
    """Return what a namespace makes of one index after the other."""
    row, table = space.array(ROW), space.array(TABLE)
    half = space.array([1, 2], dtype=space.float32)
    return [
        space.r_[row, 9, row], space.r_[1:4, 0, row], space.r_[-1:1:5j, [7.0] * 2], space.r_[half, 0.5],
        space.r_["1", table, table], space.r_["0,2", row, row], space.r_["0,2,0", row, row],
        space.r_["1,2,0", row, row],
        space.r_["1,3,1", row, row], space.c_[row, row], space.c_[table, [7, 8]], space.c_[1:4], space.r_[table, table],
        space.r_[True, False], space.c_[row, row * 1j],
    ]  # fmt: skip


@pytest.mark.parametrize("which", range(len(calls(numpy))))
def test_joins_as_numpy_does(which: int) -> None:
    same(calls(np)[which], calls(numpy)[which])


def test_joining_has_a_gradient() -> None:
    x = np.array([1.0, 2.0]).requires_grad_()
    (np.r_[0, x, x] * np.arange(5)).sum().backward()
    same(x.grad, numpy.array([4.0, 6.0]))


def test_bad_directives_are_numpys_errors() -> None:
    for bad in (lambda: np.r_["x", [1]], lambda: np.r_["0,1,2,3", [1]], lambda: np.r_[[1], "0"]):
        with pytest.raises(ValueError, match="directive"):
            bad()
