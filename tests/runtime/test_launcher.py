"""The launcher, native and in Python: known calls, the slow path, and everything that decides between them."""

from __future__ import annotations

import pickle
import sys
from typing import Any

import numpy as np
import pytest

from tests.runtime.launcher_support import Bench, X, Y, entry, known, make_add, miss
from trueno.runtime import launcher
from trueno.runtime.entry import ScalarSlot
from trueno.runtime.layout import layout_of

# Known calls and their results ----------------------------------------------------------------------------------------


def test_a_known_call_computes(bench: Bench) -> None:
    add, x, y = make_add(bench)
    result = add(x, y)
    assert type(result) is bench.Tensor
    assert result._layout is x._layout
    assert not hasattr(result, "_autograd")
    assert not hasattr(result, "_version")
    np.testing.assert_array_equal(bench.array(result), X + Y)


def test_an_unknown_call_takes_the_slow_path_with_all_arguments(bench: Bench) -> None:
    seen: list[Any] = []

    def slow(*args: Any, **kwargs: Any) -> str:
        seen.append((args, kwargs))
        return "slow"

    x = bench.tensor(X)
    f = launcher.function("f", 1, slow)
    assert f(x, 3, [1], axis=(0, 1)) == "slow"
    assert f() == "slow"
    assert f(*range(200)) == "slow"
    assert f(x, **{f"k{i}": i for i in range(200)}) == "slow"
    assert seen[0] == ((x, 3, [1]), {"axis": (0, 1)})
    assert seen[1] == ((), {})
    assert len(seen[2][0]) == 200
    assert len(seen[3][1]) == 200


def test_layouts_decide(bench: Bench) -> None:
    add, x, y = make_add(bench)
    assert known(bench, add, y, x)
    assert not known(bench, add, x, bench.tensor(Y[:5]))
    assert not known(bench, add, x, bench.tensor(Y, "f8"))
    assert not known(bench, add, x, bench.window(y, 5, layout_of(np.dtype("f4"), (6,), (-1,))))
    assert not known(bench, add, x)
    assert not known(bench, add, x, y, y)
    assert not known(bench, add, x, object())


def test_installing_again_replaces_the_entry(bench: Bench) -> None:
    add, x, y = make_add(bench)
    for name in ("add", "halves"):
        outputs = (x._layout,) if name == "add" else (x._layout, x._layout)
        new = entry(name, (0, 1) if name == "add" else (0,), outputs, single=len(outputs) == 1)
        assert launcher.install(add, (x, y), {}, new)
    assert isinstance(add(x, y), tuple)
    assert launcher.statistics()["add"]["entries"] == 1


def test_many_entries_of_one_function(bench: Bench) -> None:
    add = launcher.function("add of many", 2, miss)
    operands = [bench.tensor(np.full(n, n)) for n in range(300)]
    for x in operands:
        assert launcher.install(add, (x, x), {}, entry("add", (0, 1), (x._layout,)))
    for n, x in enumerate(operands):
        np.testing.assert_array_equal(bench.array(add(x, x)), np.full(n, 2 * n, "f4"))
    assert launcher.statistics()["add of many"] == {"hits": 300, "misses": 0, "entries": 300}


def test_several_results_come_as_a_tuple(bench: Bench) -> None:
    x = bench.tensor(X)
    f = launcher.function("halves", 1, miss)
    assert launcher.install(f, (x,), {}, entry("halves", (0,), (x._layout, x._layout), single=False))
    first, second = f(x)
    np.testing.assert_array_equal(bench.array(first), X / 2)
    np.testing.assert_array_equal(bench.array(second), X / 2 + 1)


def test_scratch_goes_back_to_the_pool(bench: Bench) -> None:
    x = bench.tensor(X)
    f = launcher.function("negate", 1, miss)
    assert launcher.install(f, (x,), {}, entry("negate", (0,), (x._layout,), scratch=(4096,)))
    active = bench.pool.statistics()["active"]
    np.testing.assert_array_equal(bench.array(f(x)), -X)
    assert bench.pool.statistics()["active"] == active


def test_more_operands_than_any_array_could_hold(bench: Bench) -> None:
    tensors = [bench.tensor(np.full(3, i)) for i in range(100)]
    f = launcher.function("pick", 0, miss, variadic=True)
    assert launcher.install(f, tuple(tensors), {}, entry("add", (41, 99), (tensors[0]._layout,)))
    np.testing.assert_array_equal(bench.array(f(*tensors)), np.full(3, 140, "f4"))
    assert not known(bench, f, tensors)


def test_an_empty_array(bench: Bench) -> None:
    x = bench.tensor(np.empty((0, 3)))
    add = launcher.function("add", 2, miss)
    assert launcher.install(add, (x, x), {}, entry("add", (0, 1), (x._layout,)))
    assert bench.array(add(x, x)).shape == (0, 3)


# Scalars --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [2.5, -0.0, 3, True, False, 2**60])
def test_scalars_of_a_float_slot(bench: Bench, value: Any) -> None:
    x = bench.tensor(X)
    f = launcher.function("scale", 2, miss)
    new = entry("scale", (0,), (x._layout,), scalars=(ScalarSlot(1, "f"),))
    assert launcher.install(f, (x, value), {}, new)
    np.testing.assert_array_equal(bench.array(f(x, value)), X * np.float32(value))


def test_one_entry_serves_all_scalars_of_a_type(bench: Bench) -> None:
    x = bench.tensor(X)
    f = launcher.function("scale by all", 2, miss)
    assert launcher.install(f, (x, 1.0), {}, entry("scale", (0,), (x._layout,), scalars=(ScalarSlot(1, "f"),)))
    for value in np.linspace(-3, 3, 1000):
        np.testing.assert_array_equal(bench.array(f(x, float(value))), X * np.float32(value))
    assert launcher.statistics()["scale by all"] == {"hits": 1000, "misses": 0, "entries": 1}
    assert not known(bench, f, x, 1)
    assert not known(bench, f, x, True)
    assert not known(bench, f, x, None)
    assert not known(bench, f, x, np.float64(1.0))


def test_an_int_that_no_float_can_hold_takes_the_slow_path(bench: Bench) -> None:
    x = bench.tensor(X)
    f = launcher.function("scale", 2, miss)
    assert launcher.install(f, (x, 1), {}, entry("scale", (0,), (x._layout,), scalars=(ScalarSlot(1, "f"),)))
    assert not known(bench, f, x, 10**400)
    assert known(bench, f, x, 7)


def test_scalars_of_an_int_slot_and_their_bounds(bench: Bench) -> None:
    x = bench.tensor([1, 2, 3], "i8")
    f = launcher.function("shift", 2, miss)
    slot = ScalarSlot(1, "i", -128, 127)
    for value in (1, True):
        assert launcher.install(f, (x, value), {}, entry("shift", (0,), (x._layout,), scalars=(slot,)))
    for value in (-128, 0, 127, True, False):
        np.testing.assert_array_equal(bench.array(f(x, value)), np.array([1, 2, 3]) + value)
    for value in (-129, 128, 2**63, -(2**63) - 1, 1.0):
        assert not known(bench, f, x, value)


def test_the_whole_range_of_int64(bench: Bench) -> None:
    x = bench.tensor([0], "i8")
    f = launcher.function("shift", 2, miss)
    assert launcher.install(f, (x, 1), {}, entry("shift", (0,), (x._layout,), scalars=(ScalarSlot(1, "i"),)))
    for value in (2**63 - 1, -(2**63), -1):
        assert bench.array(f(x, value))[0] == value


def test_a_fixed_scalar(bench: Bench) -> None:
    x = bench.tensor([1, 2], "i8")
    f = launcher.function("shift", 1, miss)
    assert launcher.install(f, (x,), {}, entry("shift", (0,), (x._layout,), scalars=(ScalarSlot(-1, "i", bits=40),)))
    np.testing.assert_array_equal(bench.array(f(x)), [41, 42])


def test_none_is_an_operand_of_its_own(bench: Bench) -> None:
    x = bench.tensor([1, 2], "i8")
    f = launcher.function("shift", 2, miss)
    new = entry("shift", (0,), (x._layout,), scalars=(ScalarSlot(-1, "i", bits=1),))
    assert launcher.install(f, (x, None), {}, new)
    assert known(bench, f, x, None)
    assert not known(bench, f, x, 1)


# Static arguments -----------------------------------------------------------------------------------------------------

STATICS = [
    None,
    True,
    False,
    0,
    1,
    -1,
    1000,
    2**62,
    0.0,
    -0.0,
    1.0,
    "axis",
    (),
    (0,),
    (0, 1),
    (1, 0),
    (0, (1,)),
    ((0, 1),),
    (0.0, 1),
    slice(None),
    slice(1, 3),
    slice(3, 1),
    (slice(1, 3), 0),
    (slice(1, 3), None),
    Ellipsis,
    float,
    np.dtype("f4"),
    np.dtype("f8"),
]


@pytest.mark.parametrize("by_keyword", [False, True])
def test_static_arguments_are_told_apart(bench: Bench, by_keyword: bool) -> None:
    x = bench.tensor([100], "i8")
    f = launcher.function("shift", 1, miss)

    def call(value: Any) -> Any:
        return f(x, axis=value) if by_keyword else f(x, value)

    for number, value in enumerate(STATICS):
        assert not known(bench, call, value)
        new = entry("shift", (0,), (x._layout,), scalars=(ScalarSlot(-1, "i", bits=number),))
        args, kwargs = ((x,), {"axis": value}) if by_keyword else ((x, value), {})
        assert launcher.install(f, args, kwargs, new)
    for number, value in enumerate(STATICS):
        again = pickle.loads(pickle.dumps(value)) if isinstance(value, (tuple, slice, float, int)) else value
        assert bench.array(call(again))[0] == 100 + number


def test_keywords_are_told_apart_by_name_number_and_order(bench: Bench) -> None:
    x = bench.tensor([100], "i8")
    f = launcher.function("shift", 1, miss)
    new = entry("shift", (0,), (x._layout,), scalars=(ScalarSlot(-1, "i", bits=1),))
    assert launcher.install(f, (x,), {"axis": 1, "keepdims": True}, new)
    assert known(bench, f, x, axis=1, keepdims=True)
    assert known(bench, f, x, **{"axis": 1, "keepdims": True})
    for kwargs in ({"axis": 1}, {"axis": 1, "keepdim": True}, {"keepdims": True, "axis": 1}, {}):
        assert not known(bench, f, x, **kwargs)
    assert not known(bench, f, x, 1, True)


INTERNED = sys.intern("".join(["not ", "interned"]))  # so that the parameter below is another object


@pytest.mark.parametrize(
    "value", [[0, 1], {}, {1}, 2**63, -(2**63) - 1, (0, [1]), slice([], 2), np.ones(3), "".join(["not ", "interned"])]
)
def test_what_cannot_be_part_of_a_key_is_not_installed(bench: Bench, value: Any) -> None:
    x = bench.tensor([100], "i8")
    f = launcher.function("shift", 1, miss)
    new = entry("shift", (0,), (x._layout,), scalars=(ScalarSlot(-1, "i", bits=1),))
    assert not launcher.install(f, (x, value), {}, new)
    assert not launcher.install(f, (x,), {"axis": value}, new)
    assert not known(bench, f, x, value)
    assert not known(bench, f, x, axis=value)


def test_a_long_or_deep_key_takes_the_slow_path(bench: Bench) -> None:
    x = bench.tensor([100], "i8")
    f = launcher.function("shift", 1, miss)
    new = entry("shift", (0,), (x._layout,), scalars=(ScalarSlot(-1, "i", bits=1),))
    deep: Any = 0
    for _ in range(500):
        deep = (deep,)
    for value in (tuple(range(40)), tuple(range(400)), deep):
        if launcher.install(f, (x, value), {}, new):
            assert known(bench, f, x, value)
        else:
            assert not known(bench, f, x, value)


# The slow path on purpose ---------------------------------------------------------------------------------------------


def test_a_tensor_with_gradient_takes_the_slow_path_while_gradients_are_on(bench: Bench) -> None:
    add, x, y = make_add(bench)
    y._autograd = object()
    assert not known(bench, add, x, y)
    assert launcher.grad_enabled() is True
    assert launcher.set_grad_enabled(False) is True
    assert launcher.grad_enabled() is False
    assert known(bench, add, x, y)
    assert launcher.set_grad_enabled(True) is False
    assert not known(bench, add, x, y)
    del y._autograd
    assert known(bench, add, x, y)


def test_which_operands_take_part_in_autograd_is_part_of_the_key(bench: Bench) -> None:
    add, x, y = make_add(bench)
    told: list[tuple[Any, ...]] = []
    x._autograd = object()
    assert launcher.install(add, (x, y), {}, entry("add", (0, 1), (x._layout,)), lambda *given: told.append(given))
    result = add(x, y)
    np.testing.assert_array_equal(bench.array(result), X + Y)
    assert len(told) == 1
    assert told[0][0] is result
    assert told[0][1] is x
    assert told[0][2] is y
    assert not known(bench, add, y, x)
    assert known(bench, add, y, y)
    launcher.set_grad_enabled(False)
    try:
        assert known(bench, add, x, y)
    finally:
        launcher.set_grad_enabled(True)
    assert len(told) == 1


def test_what_is_told_of_a_call_includes_static_arguments_but_no_keywords(bench: Bench) -> None:
    x = bench.tensor(X)
    f = launcher.function("halves", 1, miss)
    told: list[tuple[Any, ...]] = []
    halves = entry("halves", (0,), (x._layout, x._layout), single=False)
    for args, kwargs in (((x, 3), {}), ((x,), {"axis": 3})):
        assert launcher.install(f, args, kwargs, halves, lambda *given: told.append(given))
        result = f(*args, **kwargs)
        assert told[-1][0] is result
        assert told[-1][1:] == args


def test_an_exception_while_a_call_is_told_of_is_passed_on(bench: Bench) -> None:
    def refuse(*given: Any) -> None:
        launcher.clear()  # nor may the record that is running be forgotten too early
        raise ZeroDivisionError("here")

    add, x, y = make_add(bench)
    assert launcher.install(add, (x, y), {}, entry("add", (0, 1), (x._layout,)), refuse)
    active = bench.pool.statistics()["active"]
    with pytest.raises(ZeroDivisionError, match="here"):
        add(x, y)
    assert bench.pool.statistics()["active"] == active
    assert not known(bench, add, x, y)


def test_an_exception_of_the_slow_path_is_passed_on(bench: Bench) -> None:
    def slow(*args: Any) -> None:
        raise ZeroDivisionError("here")

    f = launcher.function("f", 1, slow)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError, match="here"):
            f(1)


def test_a_tensor_of_another_device_takes_the_slow_path(bench: Bench) -> None:
    add, _, y = make_add(bench)
    far = bench.Tensor()
    far._layout, far._storage = layout_of(np.dtype("f4"), (6,), None, "opencl:0"), object()
    assert not known(bench, add, far, y)
    with pytest.raises(ValueError, match="opencl:0"):
        launcher.install(add, (far, y), {}, entry("add", (0, 1), (y._layout,)))


def test_a_tensor_without_memory_takes_the_slow_path(bench: Bench) -> None:
    add, x, y = make_add(bench)
    bare = bench.Tensor()
    assert not known(bench, add, bare, y)
    bare._layout = x._layout
    assert not known(bench, add, bare, y)
    bare._storage = object()
    assert not known(bench, add, bare, y)
