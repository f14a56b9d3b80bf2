"""Elements and parts of a tensor in loops: nothing depends on the numbers in an index, nothing is lost on the way."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import trueno as tn
from trueno import dtypes as dt
from trueno.runtime import launcher

#: Where the Python launcher is in use, every index takes its slow path.
NATIVE = launcher.status()["launcher"] == "native"


@pytest.fixture
def slow_paths() -> Iterator[Any]:
    """A function that tells how many entries and slow paths of indexing there were since the test began."""

    def count() -> dict[str, int]:
        found = launcher.statistics()
        rows = [found[name] for name in ("getitem", "setitem") if name in found]
        return {key: sum(row[key] for row in rows) for key in ("entries", "misses")}

    start = count()
    return iter([lambda: {key: value - start[key] for key, value in count().items()}])


@pytest.mark.skipif(not NATIVE, reason="the Python launcher indexes on its slow path alone")
def test_loops_over_elements_and_parts_make_no_entries(slow_paths: Iterator[Any]) -> None:
    since = next(slow_paths)
    x = tn.zeros(50, 7, dtype="f8")
    expected = np.zeros((50, 7))
    for a in (x, expected):
        for k in range(50):
            a[k, 3] = k
            a[k] += 1
            a[k, 2:5] = a[-1 - k, 2:5]
            a[:, k % 7] *= 2
            a[k : k + 3] -= k
    np.testing.assert_array_equal(x.numpy(), expected)
    assert [row[3].item() for row in x] == expected[:, 3].tolist()
    found = since()
    assert found["entries"] == 0
    # One for each layout of a view: rows, parts of rows, columns, and blocks of 3, 2 and 1 rows.
    assert found["misses"] <= 10


@pytest.mark.parametrize("dtype", dt.ALL, ids=str)
def test_numbers_are_stored_as_numpy_stores_them(dtype: np.dtype) -> None:
    values: list[Any] = [0, 1, -1, 127, 128, -128, 255, 256, -32769, 2**31, -(2**31), 2**53 + 1, 2**63 - 1, -(2**63)]
    values += [2**63, 2**64 - 1, 2**64, -(2**63) - 1, True, False, 0.5, -2.75, 1e-9, 1e9, 65504.0, 1e39, -1e300]
    values += [float("inf"), float("nan"), 5e-324, 1e-45]
    for value in values:
        x, array = tn.zeros(3, dtype=dtype), np.zeros(3, dtype)
        outcomes = []
        for one in (array, x):
            try:
                with np.errstate(all="ignore"):
                    one[1] = float(value) if one is array and dtype == dt.bfloat16 else value
            except (OverflowError, TypeError, ValueError) as error:
                outcomes.append(type(error))
        assert len(outcomes) in (0, 2), value
        assert len(set(outcomes)) <= 1, value
        np.testing.assert_array_equal(x.numpy().astype("f8"), array.astype("f8"), err_msg=str(value))


def test_a_change_counts_for_whoever_saved_the_memory() -> None:
    for index, value in ((0, 1.5), (slice(1, 3), 2.0), (slice(None), np.ones(4, "f4")), (-1, np.float32(3))):
        x = tn.ones(4, requires_grad=True)
        y = x * 1
        z = (y * y).sum()
        plain = y.detach()
        plain[index] = value
        with pytest.raises(RuntimeError, match=r"changed in place at .*test_element_access\.py:\d+"):
            z.backward()


def test_a_value_that_is_recorded_gives_its_target_a_history() -> None:
    v = tn.tensor([2.0, 3.0], requires_grad=True)
    for _ in range(2):
        y = tn.zeros(4)
        y[0] = v[1]
        y[1:3] = v
        (y * y).sum().backward()
    assert v.grad is not None
    assert v.grad.tolist() == [8, 24]
    with tn.no_grad():
        y = tn.zeros(2)
        y[:] = v
        assert not y.requires_grad


def test_views_of_parameters_and_their_elements_are_plain_tensors() -> None:
    weight = tn.nn.Linear(3, 2).weight
    assert type(weight) is not tn.Tensor
    with tn.no_grad():
        for index in (0, (0, 1), slice(1)):
            assert type(weight[index]) is tn.Tensor
        weight[1] = 2
        weight[0, 2] = 3
    assert weight.tolist()[1] == [2, 2, 2]
    assert weight[0, 2].item() == 3


def test_bounds_of_a_slice_may_run_anything() -> None:
    class Bound:
        def __init__(self, action: Any) -> None:
            self.action = action

        def __index__(self) -> int:
            return self.action()

    def fail() -> int:
        raise KeyError("a bound")

    def replace() -> int:
        x._storage, x._layout = other._storage, other._layout
        return 2

    x, other = tn.arange(6), tn.arange(6) + 10
    for _ in range(2):
        assert x[Bound(lambda: 1) : Bound(lambda: 3)].tolist() == [1, 2]
        with pytest.raises((KeyError, TypeError)):
            x[Bound(fail) :]
        with pytest.raises((KeyError, TypeError)):
            x[Bound(fail) :] = 1
    assert x[Bound(replace) :].shape == (4,)


def test_huge_numbers_are_out_of_bounds() -> None:
    x = tn.arange(3)
    for index in (2**63, -(2**63) - 1, 2**200):
        with pytest.raises(IndexError, match="3,"):
            x[index]
        with pytest.raises(IndexError, match="out of bounds"):
            x[index] = 1
    assert x[: 2**200].tolist() == [0, 1, 2]
    assert x[-(2**200) :: 2**100].tolist() == [0]


def test_references_balance() -> None:
    x, value, index, part = tn.zeros(10), 1.000244140625, int("7"), slice(2, 5)
    row = np.ones(3, "f4")
    watched = [x, x._storage, x._layout, value, index, part, row, None, x[2:5]._layout, x[0]._layout]

    def rounds(n: int) -> None:
        for _ in range(n):
            x[index], x[part]
            x[index] = value
            x[part] = value
            x[part] = row
            for bad in (10, "a"):
                with pytest.raises(IndexError):
                    x[bad]
            list(x)

    rounds(20)
    gc.collect()
    before = [sys.getrefcount(one) for one in watched]
    rounds(300)
    gc.collect()
    after = [sys.getrefcount(one) for one in watched]
    assert all(abs(a - b) < 20 for a, b in zip(after, before, strict=True)), (before, after)
