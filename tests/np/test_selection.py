"""Reading and writing by positions, masks and conditions against NumPy: values, dtypes, exceptions, gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import trueno as tn
import trueno.np as tnp
from tests.np.comparing import compare, gradient

M = np.arange(12.0).reshape(3, 4) % 5
ARRAYS = {
    "2-d": M, "1-d": np.array([3, 0, -2, 5], np.int32), "0-d": np.array(2.0), "strided": M[::-1, ::2],
    "empty": np.zeros((0, 4)), "bool": M > 2, "square": np.arange(9, dtype=np.int64).reshape(3, 3),
    "3-d": np.arange(27, dtype=np.float32).reshape(3, 3, 3),
}  # fmt: skip

READING: dict[str, Callable[..., Any]] = {
    "nonzero": lambda xp, x: xp.nonzero(x),
    "argwhere": lambda xp, x: xp.argwhere(x),
    "flatnonzero": lambda xp, x: xp.flatnonzero(x),
    "where one": lambda xp, x: xp.where(x > 1),
    "where": lambda xp, x: xp.where(x > 1, x, -1),
    "where float": lambda xp, x: xp.where(x > 1, x, 0.5),
    "where truth": lambda xp, x: xp.where(x, 1, 2.0),
    "where broadcast": lambda xp, x: xp.where(x > 1, x, x[..., :1]),
    "where half": lambda xp, x: xp.where(x > 1, x),
    "where wrong": lambda xp, x: xp.where(x > 1, [1, 2, 3, 4, 5, 6, 7], 0),
    "take": lambda xp, x: xp.take(x, [0, -1]),
    "take axis": lambda xp, x: xp.take(x, [[0, 1], [1, -1]], axis=1),
    "take one": lambda xp, x: xp.take(x, 1, axis=0),
    "take last": lambda xp, x: xp.take(x, [1], axis=-1),
    "take nothing": lambda xp, x: xp.take(x, [], axis=0),
    "take wrap": lambda xp, x: xp.take(x, [-7, 9], mode="wrap"),
    "take clip": lambda xp, x: xp.take(x, [-7, 9], axis=0, mode="clip"),
    "take mode": lambda xp, x: xp.take(x, [0], mode="reflect"),
    "take outside": lambda xp, x: xp.take(x, [99]),
    "take below": lambda xp, x: xp.take(x, [-99], axis=0),
    "take float": lambda xp, x: xp.take(x, xp.asarray([0.0])),
    "take bool": lambda xp, x: xp.take(x, [True, False]),
    "take wrong axis": lambda xp, x: xp.take(x, [0], axis=3),
    "take_along_axis": lambda xp, x: xp.take_along_axis(x, xp.argsort(x, axis=-1), axis=-1),
    "take_along_axis default": lambda xp, x: xp.take_along_axis(x, xp.argsort(x)),
    "take_along_axis flat": lambda xp, x: xp.take_along_axis(x, xp.argsort(x, axis=None), axis=None),
    "take_along_axis broadcast": lambda xp, x: xp.take_along_axis(x, xp.asarray([[1], [0]]), axis=0),
    "take_along_axis float": lambda xp, x: xp.take_along_axis(x, x * 1.0, axis=0),
    "take_along_axis outside": lambda xp, x: xp.take_along_axis(x, xp.asarray([[7]]), axis=1),
    "take_along_axis dimensions": lambda xp, x: xp.take_along_axis(x, xp.asarray([[[[0]]]]), axis=0),
    "compress": lambda xp, x: xp.compress([True, False, True], x, axis=0),
    "compress flat": lambda xp, x: xp.compress([0, 1, 1], x),
    "compress far": lambda xp, x: xp.compress([False] * 30 + [True], x),
    "compress matrix": lambda xp, x: xp.compress([[True, False]], x),
    "extract": lambda xp, x: xp.extract(x > 1, x),
    "extract other": lambda xp, x: xp.extract([0, 1, 1], x),
    "choose": lambda xp, x: xp.choose(xp.asarray([0, 1, 0]), [xp.asarray([1, 2, 3]), 10.5]),
    "choose rows": lambda xp, x: xp.choose(xp.asarray([2, 1, 0]), x[:, :3]),
    "choose wrap": lambda xp, x: xp.choose(xp.asarray([-1, 5, 3]), [xp.asarray([1, 2, 3]), 7], mode="wrap"),
    "choose clip": lambda xp, x: xp.choose(xp.asarray([-1, 5, 0]), [xp.asarray([1, 2, 3]), 7], mode="clip"),
    "choose outside": lambda xp, x: xp.choose(xp.asarray([0, 2]), [1, 2]),
    "choose float": lambda xp, x: xp.choose(xp.asarray([0.0, 1.0]), [1, 2]),
    "select": lambda xp, x: xp.select([x > 2, x < 1], [x, x * 10], -1),
    "select first": lambda xp, x: xp.select([x > 0, x > 1], [1, 2]),
    "select types": lambda xp, x: xp.select([x > 2], [x], 0.5),
    "select lengths": lambda xp, x: xp.select([x > 2], [x, x]),
    "select nothing": lambda xp, x: xp.select([], []),
    "select numbers": lambda xp, x: xp.select([x * 1.0], [x]),
    "piecewise": lambda xp, x: xp.piecewise(x, [x < 1, x >= 1], [-1, 1]),
    "piecewise functions": lambda xp, x: xp.piecewise(x, [x < 1, x >= 3], [lambda v: -v, lambda v: v * 2, 7]),
    "piecewise one": lambda xp, x: xp.piecewise(x, x > 1, [lambda v, k: v + k, 0], 5),
    "piecewise lengths": lambda xp, x: xp.piecewise(x, [x < 1], [1, 2, 3]),
    "diagonal": lambda xp, x: xp.diagonal(x),
    "diagonal above": lambda xp, x: xp.diagonal(x, 1),
    "diagonal below": lambda xp, x: xp.diagonal(x, offset=-2),
    "diagonal far": lambda xp, x: xp.diagonal(x, offset=9),
    "diagonal axes": lambda xp, x: xp.diagonal(x, 0, -1, 0),
    "diagonal same": lambda xp, x: xp.diagonal(x, 0, 1, -1),
    "diag_indices": lambda xp, x: xp.diag_indices(3, 3),
    "diag_indices_from": lambda xp, x: xp.diag_indices_from(x),
    "tril_indices": lambda xp, x: xp.tril_indices(3, 1, 4),
    "triu_indices": lambda xp, x: xp.triu_indices(4, -1),
    "tril_indices_from": lambda xp, x: xp.tril_indices_from(x, -1),
    "triu_indices_from": lambda xp, x: xp.triu_indices_from(x),
    "mask_indices": lambda xp, x: xp.mask_indices(3, xp.triu, 1),
    "ix_": lambda xp, x: xp.ix_([0, 2], [True, False, True], []),
    "ix_ matrix": lambda xp, x: xp.ix_([[0, 2]]),
    "indexed by ix_": lambda xp, x: x[xp.ix_([0, 2], [1, 1])],
}  # fmt: skip


@pytest.mark.parametrize("case", READING)
@pytest.mark.parametrize("array", ARRAYS)
def test_reading(case: str, array: str) -> None:
    compare(READING[case], ARRAYS[array], sharing=case.startswith("diagonal"))


def _written(call: Callable[..., Any]) -> Callable[..., Any]:
    def run(xp: Any, x: Any) -> Any:
        assert call(xp, x) is None
        return x

    return run


WRITING: dict[str, Callable[..., Any]] = {
    "put": lambda xp, x: xp.put(x, [0, -1], [7, 8]),
    "put repeats": lambda xp, x: xp.put(x, [0, 1, 2, 3], [7, 8]),
    "put wrap": lambda xp, x: xp.put(x, [40, -7], 7, mode="wrap"),
    "put clip": lambda xp, x: xp.put(x, [40, -7], 7, mode="clip"),
    "put outside": lambda xp, x: xp.put(x, [40], 7),
    "put nothing": lambda xp, x: xp.put(x, [0], []),
    "put float": lambda xp, x: xp.put(x, xp.asarray([0.0]), 1),
    "put list": lambda xp, x: xp.put([1, 2], [0], 1),
    "put_along_axis": lambda xp, x: xp.put_along_axis(x, xp.asarray([[0], [1], [0]]), 9, axis=1),
    "put_along_axis values": lambda xp, x: xp.put_along_axis(x, xp.asarray([[1, 0]]), xp.asarray([[5, 6]]), axis=0),
    "put_along_axis flat": lambda xp, x: xp.put_along_axis(x, xp.asarray([0, 2]), 9, axis=None),
    "put_along_axis float": lambda xp, x: xp.put_along_axis(x, xp.asarray([[0.5]]), 9, axis=0),
    "place": lambda xp, x: xp.place(x, x > 1, [7, 8, 9]),
    "place size": lambda xp, x: xp.place(x, [True, False], [7]),
    "place nothing": lambda xp, x: xp.place(x, x > -9, []),
    "putmask": lambda xp, x: xp.putmask(x, x > 1, -x),
    "putmask repeats": lambda xp, x: xp.putmask(x, x > 0, [7, 8, 9]),
    "putmask number": lambda xp, x: xp.putmask(x, x > 0, 1),
    "putmask size": lambda xp, x: xp.putmask(x, [True], 1),
    "copyto": lambda xp, x: xp.copyto(x, x * 2),
    "copyto number": lambda xp, x: xp.copyto(x, 3),
    "copyto row": lambda xp, x: xp.copyto(x, x[:1]),
    "copyto cast": lambda xp, x: xp.copyto(x, xp.asarray([0.5])),
    "copyto unsafe": lambda xp, x: xp.copyto(x, xp.asarray([1.5]), casting="unsafe"),
    "copyto where": lambda xp, x: xp.copyto(x, 7, where=x > 1),
    "copyto where array": lambda xp, x: xp.copyto(x, x * 3, where=x > 1),
    "copyto shape": lambda xp, x: xp.copyto(x, xp.asarray([[[[1, 2, 3, 4, 5]]]])),
    "fill_diagonal": lambda xp, x: xp.fill_diagonal(x, 7),
    "fill_diagonal values": lambda xp, x: xp.fill_diagonal(x, [7, 8]),
    "fill_diagonal wrap": lambda xp, x: xp.fill_diagonal(x, 7, wrap=True),
}  # fmt: skip


@pytest.mark.parametrize("case", WRITING)
@pytest.mark.parametrize("array", ["2-d", "1-d", "strided", "empty", "bool", "square", "3-d"])
def test_writing(case: str, array: str) -> None:
    compare(_written(WRITING[case]), np.array(ARRAYS[array]))


def test_writing_into_arrays_of_numpy() -> None:
    x = np.arange(6.0)
    tnp.put(x, [1], 9)
    tnp.putmask(x, x > 4, 0)
    np.testing.assert_array_equal(x, [0, 0, 2, 3, 4, 0])
    fixed = np.arange(3)
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        tnp.put(fixed, [0], 1)


def test_wrapped_diagonal_of_a_tall_matrix() -> None:
    compare(_written(lambda xp, x: xp.fill_diagonal(x, 1, wrap=True)), np.zeros((7, 3)))
    compare(_written(lambda xp, x: xp.fill_diagonal(x, 1)), np.zeros((7, 3)))


GRADIENTS: dict[str, Callable[..., Any]] = {
    "take": lambda xp, x: xp.take(x, [0, 2, 2], axis=0),
    "take flat": lambda xp, x: xp.take(x, [5, 5, -1]),
    "take_along_axis": lambda xp, x: xp.take_along_axis(x, xp.asarray([[1, 1], [0, 3], [2, 0]]), axis=1),
    "compress": lambda xp, x: xp.compress([True, False, True], x, axis=0),
    "extract": lambda xp, x: xp.extract(xp.asarray([1, 0, 1, 1]), x),
    "choose": lambda xp, x: xp.choose(xp.asarray([0, 1, 2, 1]), x),
    "where": lambda xp, x: xp.where(x > 0, x * x, 2),
    "select": lambda xp, x: xp.select([x > 0.5, x > -0.5], [x * x, 3 * x], 1),
    "piecewise": lambda xp, x: xp.piecewise(x, [x > 0], [lambda v: v * v, lambda v: -v]),
    "diagonal": lambda xp, x: xp.diagonal(x, 1),
}  # fmt: skip


@pytest.mark.parametrize("case", GRADIENTS)
def test_gradients(case: str) -> None:
    gradient(GRADIENTS[case], np.random.default_rng(0).normal(size=(3, 4)))


def test_out() -> None:
    out = tn.zeros(2, dtype="float64")
    assert tnp.take(tn.tensor([1.0, 2.0, 3.0]), [2, 0], out=out) is out
    assert out.tolist() == [3, 1]
