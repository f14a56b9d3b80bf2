"""Every form of index, read and written, against NumPy: values, shapes, dtypes, shared memory and errors."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import trueno as tn

SHAPE = (3, 4, 5)
BASE = np.arange(60, dtype="f8").reshape(SHAPE)
#: The same extents in memory of another order.
LAYOUTS: dict[str, Callable[[np.ndarray], Any]] = {
    "dense": lambda a: a,
    "Fortran": np.asfortranarray,
    "reversed": lambda a: a[::-1, :, ::-1].copy()[::-1, :, ::-1],
    "stepped": lambda a: np.repeat(np.repeat(a, 2, 0), 3, 2)[::2, :, ::3],
}
MASK = BASE % 3 == 0
ROWS = np.array([True, False, True])
GRID = np.array([[0, 2], [1, 1]])


class Index:
    """An integer for Python's protocol alone."""

    def __index__(self) -> int:
        return 2


#: Written indices; arrays stand for tensors too.
INDICES: dict[str, Any] = {
    "integer": 1,
    "negative": -1,
    "numpy integer": np.int64(2),
    "unsigned integer": np.uint8(2),
    "protocol": Index(),
    "integers": (1, -1, 2),
    "one of each": (np.int32(1), 0, Index()),
    "leading integers": (0, 1),
    "slice": slice(1, None),
    "slices": np.s_[::2, 1:3, ::-1],
    "empty slice": slice(5, 9),
    "numpy bounds": slice(np.int64(0), np.uint8(2)),
    "Ellipsis": ...,
    "integers, Ellipsis": (1, 2, 3, ...),
    "Ellipsis in between": (0, ..., 1),
    "None": None,
    "Nones": (None, 0, None, slice(None), None),
    "nothing": (),
    "None, Ellipsis": (..., None),
    "0-d array": np.array(1),
    "0-d arrays": (np.array(1), np.array(2), np.array(-1)),
    "0-d array, slice": (np.array(1), np.s_[1:]),
    "array": np.array([2, 0, 0]),
    "array of 2 axes": GRID,
    "small dtype": np.array([0, 2], "i1"),
    "unsigned": np.array([1, 2], "u4"),
    "empty array": np.array([], "i8"),
    "list": [0, -1],
    "nested list": [[0, 1], [2, 0]],
    "empty list": [],
    "list in a tuple": ([0, 2],),
    "range": range(2),
    "second axis": np.s_[:, [3, 0]],
    "last axis": np.s_[..., [4, 0, 0]],
    "arrays": (GRID, GRID),
    "arrays that broadcast": ([[0], [2]], [1, 3]),
    "three arrays": ([0, 1], [1, 2], [2, 3]),
    "array, slice": (GRID, np.s_[1:3]),
    "slice between": (GRID, np.s_[1:], GRID),
    "slice in front": (np.s_[::-1], GRID, GRID),
    "integer, array": (0, [1, 2]),
    "array, integer": ([1, 2], 0),
    "integer, slice, array": (0, np.s_[1:], [1, 2]),
    "array, None, array": ([0, 1], None, [1, 2]),
    "None, array": (None, [0, 1]),
    "array, Ellipsis": ([0, 1], ..., 1),
    "slice, integer, array": (np.s_[:2], 1, [0, 3]),
    "mask": MASK,
    "mask of rows": ROWS,
    "mask of two axes": MASK[:, :, 0],
    "mask of nothing": np.zeros(SHAPE, bool),
    "list of bools": [True, False, True],
    "mask, slice": (ROWS, np.s_[1:]),
    "slice, mask": np.s_[:, MASK[0, :, 0]],
    "mask, integer": (ROWS, 1),
    "mask, array": (ROWS, [1, 3]),
    "two masks": (ROWS, np.s_[:], np.arange(5) > 2),
    "mask behind Ellipsis": (..., np.arange(5) % 2 == 0),
    "bool": True,
    "no": False,
    "numpy bool": np.True_,
    "bool, integer": (True, 1),
    "bool, array": (True, [0, 1]),
    "0-d mask": np.array(False),
    "None, mask": (None, ROWS),
    "mask, None": (MASK[:, :, 0], None),
}

WRONG: dict[str, Any] = {
    "out of bounds": 3,
    "negative out of bounds": (0, -5),
    "numpy integer out of bounds": np.int64(7),
    "too many": (0, 0, 0, 0),
    "too many with None": (None, 0, 0, 0, 0),
    "two Ellipses": (..., ...),
    "float": 1.0,
    "text": "a",
    "texts": ["a"],
    "floats": [0.5],
    "float array": np.array([1.0]),
    "array out of bounds": [0, 3],
    "array out of bounds, second": np.s_[:, [-5]],
    "shapes": ([0, 1], [0, 1, 2]),
    "mask too short": np.ones(2, bool),
    "mask of another shape": np.ones((3, 5), bool),
    "mask of too many axes": np.ones((3, 4, 5, 1), bool),
    "slice of text": slice("a", None),
    "step of zero": slice(None, None, 0),
    "a dict": {},
    "an object": object(),
    "complex": 1j,
    "empty float array": np.array([]),
}


def as_tensors(index: Any) -> Any:
    """Return an index with tensors in place of arrays."""
    if isinstance(index, tuple):
        return tuple(map(as_tensors, index))
    return tn.from_numpy(index.copy()) if isinstance(index, np.ndarray) else index


def outcome(call: Callable[[], Any]) -> Any:
    """Return what a call gives, or its exception."""
    try:
        return call()
    except Exception as error:
        return error


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", INDICES)
def test_reading(name: str, layout: str) -> None:
    array = LAYOUTS[layout](BASE)
    x, index = tn.from_numpy(array), INDICES[name]
    expected = array[index]
    for key in (index, as_tensors(index)):
        got = x[key]
        assert isinstance(got, tn.Tensor)
        assert (got.shape, got.dtype) == (np.shape(expected), expected.dtype)
        np.testing.assert_array_equal(got.numpy(), expected)
        shares = isinstance(expected, np.ndarray) and np.shares_memory(expected, array)
        assert np.shares_memory(got.numpy(), array) == shares


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", INDICES)
def test_writing(name: str, layout: str) -> None:
    index = INDICES[name]
    shape = BASE[index].shape
    whole = np.asarray(np.arange(np.prod(shape, dtype=int)).reshape(shape) - 0.5)
    values = [-7, 2.5, True, np.float32(-3), np.array(4), whole, whole.tolist(), tn.from_numpy(whole)]
    values += [np.ones((1, *shape), "i4"), np.zeros(shape[1:])]
    for value in values:
        expected, x = (LAYOUTS[layout](BASE.copy()) for _ in range(2))
        plain = value.numpy() if isinstance(value, tn.Tensor) else value
        refused = outcome(lambda array=expected, plain=plain: array.__setitem__(index, plain))
        tensor = tn.from_numpy(x)
        got = outcome(lambda tensor=tensor, value=value: tensor.__setitem__(as_tensors(index), value))
        assert type(got) is type(refused)
        np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize("dtype", ["bool", "i1", "u2", "i8", "f2", "f4", "f8", tn.bfloat16], ids=str)
def test_every_dtype_is_read_and_written(dtype: Any) -> None:
    array = (np.arange(12).reshape(3, 4) % 5).astype(dtype)
    x = tn.tensor(array)
    for index in ((1, 2), [2, 0], array.astype("f8") > 1, np.s_[:, 1:3]):
        assert x[index].dtype == array.dtype
        np.testing.assert_array_equal(x[index].numpy(), array[index])
        x[index] = 1
        array[index] = 1
        np.testing.assert_array_equal(x.numpy(), array)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_indices_are_refused_as_numpy_does(name: str) -> None:
    index = WRONG[name]
    x = tn.tensor(BASE)
    for key in (index, as_tensors(index)):
        for expected, got in (
            (outcome(lambda: BASE[index]), outcome(lambda key=key: x[key])),
            (outcome(lambda: BASE.copy().__setitem__(index, 0)), outcome(lambda key=key: x.__setitem__(key, 0))),
        ):
            assert type(got) is type(expected)
            assert str(expected).partition(":")[0] in str(got)
            if type(expected) is IndexError and "ellipsis" not in str(expected):
                assert str(SHAPE) in str(got)
    np.testing.assert_array_equal(x.numpy(), BASE)


def test_a_0d_tensor_is_indexed() -> None:
    x = tn.tensor(3.0)
    assert (x[()].shape, x[...].shape, x[None].shape, x[True].shape, x[False].shape) == ((), (), (1,), (1,), (0,))
    for index in (0, slice(None), [0]):
        with pytest.raises(IndexError, match="too many indices for array: array is 0-dimensional, but 1 were indexed"):
            x[index]
    x[()] = 4
    x[...] += 1
    x[True] *= 2
    assert x.item() == 10


def test_one_element_is_a_copy_and_a_part_a_view() -> None:
    x = tn.tensor([[1.0, 2.0], [3.0, 4.0]])
    one, row, view = x[1, 0], x[1], x[1, 0, ...]
    one += 10
    assert (one.item(), x[1, 0].item()) == (13, 3)
    row += 10
    view *= 2
    assert x.tolist() == [[1, 2], [26, 14]]
    x[1, 0] += 1
    assert x[1, 0].item() == 27


def test_augmented_assignment_through_an_index_reads_once() -> None:
    array = np.zeros(4)
    x = tn.tensor(array)
    for one in (x, array):
        one[[0, 0, 2]] += 1  # once, as in NumPy
        one[np.array([True, False, False, True])] -= 5
        one[1:] *= 2
    np.testing.assert_array_equal(x.numpy(), array)


@pytest.mark.parametrize("key", [[0, 0, 2], np.array([[0, 1], [1, 0]])], ids=["list", "array"])
def test_the_last_value_stays_where_an_index_repeats(key: Any) -> None:
    x, array = tn.zeros(3, dtype="f8"), np.zeros(3)
    values = np.arange(np.size(key)).reshape(np.shape(key)) + 1.0
    x[key] = values
    array[key] = values
    np.testing.assert_array_equal(x.numpy(), array)


def test_memory_of_the_value_may_be_the_target() -> None:
    x, array = tn.arange(6), np.arange(6)
    for one in (x, array):
        one[[1, 2, 3]] = one[:3]
        one[one > 2] = 0
        one[1:] = one[:-1]
    np.testing.assert_array_equal(x.numpy(), array)


@pytest.mark.parametrize(
    ("index", "value", "error"),
    [
        ([0, 1], np.zeros(3), ValueError), (np.array([True, False, True, True]), np.zeros(2), ValueError),
        (slice(None), np.zeros(3), ValueError), (0, np.zeros(3), ValueError), ([0], 300, OverflowError),
        (0, 300, OverflowError), (slice(None), float("nan"), ValueError), ([1], float("nan"), ValueError),
        (0, float("inf"), OverflowError), (0, "text", ValueError), ([0], 1j, TypeError), (0, 1j, TypeError),
        (0, None, TypeError), (slice(1), object(), TypeError), ([0], -1, OverflowError),
    ],
)  # fmt: skip
def test_values_that_do_not_fit_are_refused(index: Any, value: Any, error: type[Exception]) -> None:
    x = tn.zeros(4, dtype="uint8")
    with pytest.raises(error):
        x[index] = value
    assert x.tolist() == [0, 0, 0, 0]


def test_lists_are_assigned_in_full_precision() -> None:
    x = tn.zeros(2, dtype="f8")
    x[:] = [0.1, 0.7]
    assert x.tolist() == [0.1, 0.7]
    x[[1, 0]] = [0.2, 0.3]
    assert x.tolist() == [0.3, 0.2]


def test_bounds_of_slices_are_read_at_once() -> None:
    x, end = tn.arange(5), tn.tensor(2)
    assert x[:end].tolist() == [0, 1]
    end += 1
    assert x[:end].tolist() == [0, 1, 2]


@pytest.mark.parametrize("index", [0, slice(1, None), [0, 2], np.array([True, False, True])], ids=str)
def test_every_assignment_counts_as_a_change(index: Any) -> None:
    x = tn.ones(3, requires_grad=True)
    y = x * 1
    z = (y * y).sum()
    with tn.no_grad():
        y[index] = 2
    with pytest.raises(RuntimeError, match=r"changed in place at .*test_indexing.py"):
        z.backward()


def test_a_result_outlives_its_source() -> None:
    x = tn.arange(1000)
    parts = [x[[1, 2]], x[x > 997], x[3], x[5:7]]
    del x
    tn.ones(1000, dtype="i8")
    assert [part.tolist() for part in parts] == [[1, 2], [998, 999], 3, [5, 6]]


def test_iteration_gives_copies_of_elements_and_views_of_rows() -> None:
    x = tn.tensor(np.arange(6.0).reshape(2, 3))
    for row in x:
        row.add_(1)
    assert x.tolist() == [[1, 2, 3], [4, 5, 6]]
    for one in x[0]:
        assert one.shape == ()
        one.add_(1)
    assert x.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert 5 in x
    assert 7 not in x


def test_memory_of_results_is_aligned_for_its_dtype() -> None:
    x = tn.from_numpy(np.arange(10.0))[3:]
    part = x[[1, 0]]
    assert part.data_ptr() % ctypes.sizeof(ctypes.c_double) == 0
    assert part.tolist() == [4, 3]


@pytest.mark.parametrize("value", [np.array([3, 4], object), np.array(["3", "4"]), np.array([3, 4], "g")], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_values_of_dtypes_that_no_tensor_has_are_read_in_the_targets(value: np.ndarray, dtype: str) -> None:
    x = tn.zeros(5, dtype=dtype)
    x[0:2] = 1
    for _ in range(3):
        x[0:2] = value
        assert x.tolist() == [3, 4, 0, 0, 0]
        x[1:3] = 0


def test_any_integer_but_zero_is_true() -> None:
    x = tn.zeros(5, dtype="bool")
    x[0:2] = 1
    for value in (2**70, -(2**63) - 1, 2**63):
        x[1:3] = value
        x[4] = value
        assert x.tolist() == [True, True, True, False, True]
        x[1:] = False
