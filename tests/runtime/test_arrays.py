"""The bridge between tensors and NumPy's arrays, in both launchers: memory, lifetimes, operands that are arrays."""

from __future__ import annotations

import gc
import sys
import weakref
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tests.runtime.launcher_support import Bench, Missed, X, Y, entry, make_add, miss
from trueno import dtypes as dt
from trueno.runtime import launcher
from trueno.runtime.launcher import arrays
from trueno.runtime.layout import Layout, layout_of


def layout_on(array: np.ndarray) -> Layout:
    """Return the layout of a tensor on an array."""
    strides = tuple(step // array.itemsize for step in array.strides)
    return layout_of(array.dtype, array.shape, strides, "cpu", not array.flags.writeable)


def test_an_array_shares_the_tensors_memory_and_keeps_it(bench: Bench) -> None:
    x = bench.tensor(X)
    array = bench.launcher.host(x)
    assert type(array) is np.ndarray
    assert (array.dtype, array.shape, array.strides) == (X.dtype, X.shape, X.strides)
    assert (array.flags.writeable, array.flags.aligned, array.flags.owndata) == (True, True, False)
    assert array.ctypes.data == bench.pool.pointer(x._storage)
    array[0] = 50
    assert bench.array(x)[0] == 50
    active = bench.pool.statistics()["active"]
    del x
    assert bench.pool.statistics()["active"] == active
    assert array[0] == 50
    del array
    assert bench.pool.statistics()["active"] < active


@pytest.mark.parametrize("dtype", dt.ALL, ids=str)
@pytest.mark.parametrize("index", [(), np.s_[::-1, 1::2], (1,), (1, 2), np.s_[:0,], np.s_[None, :, 0]])
def test_there_and_back(bench: Bench, dtype: np.dtype, index: Any) -> None:
    whole = (np.arange(12).reshape(3, 4) % 3).astype(dtype)
    array = whole[(..., *index)]
    assert bench.launcher.adopt(array) is None
    bench.launcher.learn(array, layout_on(array))
    tensor = bench.launcher.adopt(array)
    assert type(tensor) is bench.Tensor
    assert tensor._layout is layout_on(array)
    back = bench.launcher.host(tensor)
    assert (back.dtype, back.shape) == (dtype, array.shape)
    assert back.size == 0 or (np.shares_memory(back, whole) and back.strides == array.strides)
    np.testing.assert_array_equal(back, array)


def test_a_tensor_keeps_the_array_it_is_on(bench: Bench) -> None:
    class Owner(np.ndarray):
        pass

    owner = np.arange(6.0).view(Owner)
    array = owner[1:].view(np.ndarray)
    bench.launcher.learn(array, layout_on(array))
    tensor = bench.launcher.adopt(array)
    alive = weakref.ref(owner)
    del owner, array
    gc.collect()
    assert alive() is not None
    assert bench.launcher.host(tensor).tolist() == [1, 2, 3, 4, 5]
    del tensor
    gc.collect()
    assert alive() is None


def test_arrays_of_other_layouts_are_not_known(bench: Bench) -> None:
    array = np.arange(12.0).reshape(3, 4)
    bench.launcher.learn(array, layout_on(array))
    fixed = array.copy()
    fixed.flags.writeable = False
    others = [
        array.T,
        array[:2],
        array[:, ::2],
        array.astype("f4"),
        array.astype(">f8"),
        fixed,
        array.view(np.recarray),
    ]
    assert [bench.launcher.adopt(one) for one in others] == [None] * len(others)
    assert [bench.launcher.adopt(one) for one in ([1, 2], 3.0, None)] == [None] * 3
    assert bench.launcher.adopt(array.copy())._layout is layout_on(array)
    bench.launcher.clear()
    assert bench.launcher.adopt(array) is None


def test_read_only_arrays_stay_so(bench: Bench) -> None:
    fixed = np.arange(3.0)
    fixed.flags.writeable = False
    bench.launcher.learn(fixed, layout_on(fixed))
    tensor = bench.launcher.adopt(fixed)
    assert tensor._layout.readonly
    assert not bench.launcher.host(tensor).flags.writeable


def test_what_is_no_tensor_on_the_cpu_is_refused(bench: Bench) -> None:
    without = bench.Tensor()
    elsewhere = bench.tensor(X)
    elsewhere._storage = object()
    for one in (without, elsewhere, X, None):
        with pytest.raises(TypeError, match="expected a tensor on the CPU"):
            bench.launcher.host(one)


def test_arrays_and_scalars_are_operands_of_known_calls(bench: Bench) -> None:
    add, x, _ = make_add(bench)
    bench.launcher.learn(Y, layout_on(Y))
    for _ in range(3):
        np.testing.assert_array_equal(bench.array(add(x, Y)), X + Y)
    np.testing.assert_array_equal(bench.array(add(X, Y)), X + Y)
    one = launcher.function("first", 1, lambda first: first)(np.float32(2))
    assert one._layout is layout_of(dt.float32, ())
    launcher.install(add, (one, one), {}, entry("add", (0, 1), (one._layout,)))
    assert bench.array(add(one, np.float32(1.5))) == 3.5
    assert bench.array(add(np.float32(0.25), np.float32(1.5))) == 1.75
    reflected = launcher.method(add, reflected=True)
    assert bench.array(reflected(np.float32(1.5), one)) == 3.5


@pytest.mark.parametrize("dtype", dt.ALL, ids=str)
def test_the_slow_path_gets_tensors_for_scalars_and_known_arrays(bench: Bench, dtype: np.dtype) -> None:
    seen: list[Any] = []
    function = launcher.function("seen", 2, lambda *args, **kwargs: seen.append((args, kwargs)))
    scalar = np.array(1).astype(dtype)[()]
    function(scalar, "other", scalar, axis=scalar)
    (made, other, static), named = seen[0]
    assert made._layout is layout_of(dtype, ())
    assert bench.launcher.host(made) == scalar
    assert (other, static, named) == ("other", scalar, {"axis": scalar})
    assert type(static) is type(scalar)


def test_what_is_neither_reaches_the_slow_path_as_it_is(bench: Bench) -> None:
    function = launcher.function("seen", 2, lambda *args: args)
    for args in (
        ([1, 2], np.arange(3)),
        (ml_dtypes.int4(1), None),
        (np.datetime64(0, "s"), np.longdouble(1)),
        (1j, "a"),
    ):
        assert all(one is given for one, given in zip(function(*args), args, strict=True))


def test_an_exception_of_a_call_with_arrays_is_passed_on(bench: Bench) -> None:
    function = launcher.function("raising", 2, miss)
    with pytest.raises(Missed):
        function(np.float64(1), np.float64(2))


def test_references_balance(bench: Bench) -> None:
    add, x, _ = make_add(bench)
    array, scalar = Y.copy(), np.float32(2)
    bench.launcher.learn(array, layout_on(array))
    known = launcher.function("known", 2, lambda *args: None)
    watched = [x, array, scalar, array.dtype, x._layout, x._storage, np.ndarray, bench.Tensor, None]

    def rounds(n: int) -> None:
        for _ in range(n):
            bench.launcher.host(x)
            bench.launcher.adopt(array)
            bench.launcher.adopt(X[::2])
            add(x, array)
            known(scalar, array)
            with pytest.raises(TypeError):
                bench.launcher.host(None)

    rounds(50)
    gc.collect()
    before, active = [sys.getrefcount(one) for one in watched], bench.pool.statistics()["active"]
    rounds(2_000)
    gc.collect()
    after = [sys.getrefcount(one) for one in watched]
    assert all(abs(a - b) < 50 for a, b in zip(after, before, strict=True)), (before, after)
    assert bench.pool.statistics()["active"] == active


def test_a_layout_that_is_described_twice_keeps_the_first_description() -> None:
    # Another thread's native code may be reading it.
    layout = layout_of(dt.float32, (3, 17, 5))
    assert arrays.describe(layout) is arrays.describe(layout) is layout.description
