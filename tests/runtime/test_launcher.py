"""The launcher, native and in Python: known calls, the slow path, and everything that decides between them."""

from __future__ import annotations

import contextlib
import copy
import ctypes
import gc
import operator
import os
import pickle
import subprocess
import sys
import threading
import types
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.runtime.launcher_support import Bench, Missed, entry, kernel, miss
from trueno.runtime import launcher, threads
from trueno.runtime.entry import ScalarSlot
from trueno.runtime.launcher import native, records
from trueno.runtime.layout import layout_of

X, Y = np.arange(6, dtype="f4"), np.linspace(3, 8, 6, dtype="f4")


@pytest.fixture(scope="module", params=["native", "python"])
def shared_bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(request.param)


@pytest.fixture
def bench(shared_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A bench whose launcher stands behind the public functions."""
    monkeypatch.setattr(launcher, "_launcher", shared_bench.launcher)
    yield shared_bench
    launcher.set_grad_enabled(True)
    launcher.clear()


def known(bench: Bench, function: Any, *args: Any, **kwargs: Any) -> bool:
    """Tell whether a call runs without the slow path."""
    before = launcher.statistics()["total"]["misses"]
    with contextlib.suppress(Missed):
        function(*args, **kwargs)
    return launcher.statistics()["total"]["misses"] == before


def make_add(bench: Bench) -> tuple[Any, Any, Any]:
    """Return an add with an entry for two vectors, and the vectors."""
    x, y = bench.tensor(X), bench.tensor(Y)
    add = launcher.function("add", 2, miss)
    assert launcher.install(add, (x, y), {}, entry("add", (0, 1), (x._layout,)))
    return add, x, y


def make_iadd(bench: Bench, x: Any, y: Any) -> Any:
    iadd = launcher.function("iadd", 2, miss)
    assert launcher.install(iadd, (x, y), {}, entry("add", (0, 1), (x._layout,), aliases=(0,)))
    return iadd


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
    add = launcher.function("add", 2, miss)
    operands = [bench.tensor(np.full(n, n)) for n in range(300)]
    for x in operands:
        assert launcher.install(add, (x, x), {}, entry("add", (0, 1), (x._layout,)))
    for n, x in enumerate(operands):
        np.testing.assert_array_equal(bench.array(add(x, x)), np.full(n, 2 * n, "f4"))
    assert launcher.statistics()["add"] == {"hits": 300, "misses": 0, "entries": 300}


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
    f = launcher.function("scale", 2, miss)
    assert launcher.install(f, (x, 1.0), {}, entry("scale", (0,), (x._layout,), scalars=(ScalarSlot(1, "f"),)))
    for value in np.linspace(-3, 3, 1000):
        np.testing.assert_array_equal(bench.array(f(x, float(value))), X * np.float32(value))
    assert launcher.statistics()["scale"] == {"hits": 1000, "misses": 0, "entries": 1}
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


# In place -------------------------------------------------------------------------------------------------------------


def test_in_place_writes_to_the_target_and_returns_it(bench: Bench) -> None:
    x, y = bench.tensor(X), bench.tensor(Y)
    iadd = make_iadd(bench, x, y)
    assert iadd(x, y) is x
    np.testing.assert_array_equal(bench.array(x), X + Y)


def test_in_place_with_itself(bench: Bench) -> None:
    x, y = bench.tensor(X), bench.tensor(Y)
    iadd = make_iadd(bench, x, y)
    same = bench.window(x, 0, x._layout)
    assert iadd(x, x) is x
    assert iadd(x, same) is x
    np.testing.assert_array_equal(bench.array(x), X * 4)


@pytest.mark.parametrize("shift", [-6, -5, -1, 1, 5, 6])
def test_in_place_refuses_operands_that_overlap(bench: Bench, shift: int) -> None:
    base = bench.tensor(np.arange(32))
    layout = layout_of(np.dtype("f4"), (6,))
    x, y = bench.window(base, 12, layout), bench.window(base, 12 + shift, layout)
    iadd = make_iadd(bench, x, bench.tensor(Y))
    assert known(bench, iadd, x, y) is (abs(shift) >= 6)
    assert launcher.overlaps(x, y) is (abs(shift) < 6)
    before = np.arange(32, dtype="f4")
    if abs(shift) >= 6:
        before[12:18] += before[12 + shift : 18 + shift]
    np.testing.assert_array_equal(bench.array(base), before)


def test_overlap_counts_strides(bench: Bench) -> None:
    base = bench.tensor(np.arange(32))
    backwards, forwards = layout_of(np.dtype("f4"), (6,), (-1,)), layout_of(np.dtype("f4"), (6,))
    target, other = bench.window(base, 5, backwards), bench.window(base, 6, forwards)
    iadd = make_iadd(bench, target, other)
    assert known(bench, iadd, target, other)
    assert not known(bench, iadd, target, bench.window(base, 5, forwards))
    assert not known(bench, iadd, target, bench.window(base, 0, forwards))
    assert launcher.overlaps(target, bench.window(base, 0, forwards))
    assert not launcher.overlaps(target, bench.tensor(np.empty(0)))


def test_a_target_with_a_version_counter_takes_the_slow_path(bench: Bench) -> None:
    x, y = bench.tensor(X), bench.tensor(Y)
    iadd = make_iadd(bench, x, y)
    y._version = [0]
    assert known(bench, iadd, x, y)
    x._version = [0]
    assert not known(bench, iadd, x, y)


def test_a_target_that_the_kernel_does_not_read(bench: Bench) -> None:
    x, y = bench.tensor(X), bench.tensor(Y)
    f = launcher.function("negate_out", 2, miss)
    new = entry("scale", (0,), (x._layout,), aliases=(1,), scalars=(ScalarSlot(-1, "f", bits=0x4000000000000000),))
    assert launcher.install(f, (x, y), {}, new)
    assert f(x, y) is y
    np.testing.assert_array_equal(bench.array(y), X * 2)
    assert not known(bench, f, x, bench.window(bench.window(x, -2, x._layout), 1, x._layout))


def test_two_targets_may_not_be_one_array(bench: Bench) -> None:
    x, y, z = bench.tensor(X), bench.tensor(Y), bench.tensor(Y)
    f = launcher.function("halves_out", 3, miss)
    new = entry("halves", (0,), (x._layout, x._layout), aliases=(1, 2), single=False)
    assert launcher.install(f, (x, y, z), {}, new)
    assert f(x, y, z) == (y, z)
    np.testing.assert_array_equal(bench.array(z), X / 2 + 1)
    assert not known(bench, f, x, y, y)


# Methods, classes and names -------------------------------------------------------------------------------------------


def test_functions_bind_to_instances_and_serve_operators(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(a: Any, b: Any) -> Any:
        return ("slow", a, b) if not isinstance(b, str) and not isinstance(a, str) else NotImplemented

    x, y = bench.tensor(X), bench.tensor(Y)
    add = launcher.function("add", 2, slow)
    reflected = launcher.method(add, reflected=True)
    for name, value in (("add", add), ("__add__", add), ("__radd__", reflected), ("__iadd__", add)):
        monkeypatch.setattr(bench.Tensor, name, value, raising=False)
    assert launcher.method(add) is add
    assert x + y == ("slow", x, y)
    assert 2.0 + x == ("slow", 2.0, x)
    assert launcher.install(add, (x, y), {}, entry("add", (0, 1), (x._layout,)))
    for result in (x + y, x.add(y), operator.iadd(x, y), x.add.__call__(y), bench.Tensor.add(x, y), reflected(y, x)):
        np.testing.assert_array_equal(bench.array(result), X + Y)
    with pytest.raises(TypeError):
        x + "text"
    with pytest.raises(TypeError):
        "text" + x


def test_reflected_operands_are_swapped(bench: Bench) -> None:
    x = bench.tensor(X)
    f = launcher.function("scale", 2, miss)
    back = launcher.method(f, reflected=True, miss=lambda *args, **kwargs: (args, kwargs))
    assert launcher.install(f, (2.0, x), {}, entry("scale", (1,), (x._layout,), scalars=(ScalarSlot(0, "f"),)))
    np.testing.assert_array_equal(bench.array(back(x, 3.0)), X * 3)
    assert back(1, 2) == ((2, 1), {})
    assert back(1, 2, 3) == ((1, 2, 3), {})
    assert back(1, axis=2) == ((1,), {"axis": 2})


def test_registered_subclasses_are_operands_and_results_are_plain(bench: Bench) -> None:
    class Other(bench.Tensor):  # type: ignore[misc, name-defined]
        __slots__ = ()

    class WithDict(bench.Tensor):  # type: ignore[misc, name-defined]
        pass

    add, x, _ = make_add(bench)
    parameter = bench.tensor(Y, cls=bench.Parameter)
    assert type(add(parameter, parameter)) is bench.Tensor
    np.testing.assert_array_equal(bench.array(add(x, parameter)), X + Y)
    for cls in (Other, WithDict):
        stranger = bench.tensor(Y, cls=cls)
        assert not known(bench, add, x, stranger)
        launcher.bind_subclass(cls)
        launcher.bind_subclass(cls)
        np.testing.assert_array_equal(bench.array(add(x, stranger)), X + Y)


def test_names_and_documentation(bench: Bench) -> None:
    f = launcher.function("sum", 1, miss, doc="Add up.", module="trueno.np")
    for function in (f, launcher.method(f, reflected=True)):
        assert function.__name__ == function.__qualname__ == "sum"
        assert function.__doc__ == "Add up."
        assert function.__module__ == "trueno.np"
        assert "sum" in repr(function)
        assert callable(function)
        assert launcher.is_function(function)
    assert not launcher.is_function(len)
    f.note = "attributes can be added"
    assert f.note == "attributes can be added"


def test_functions_can_be_copied_and_pickled_by_name(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("trueno_test_module")
    f = launcher.function("sum", 1, miss, module="trueno_test_module")
    module.sum = f  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "trueno_test_module", module)
    assert copy.copy(f) is f
    assert copy.deepcopy([f])[0] is f
    assert pickle.loads(pickle.dumps(f)) is f


def test_binding_needs_the_slots(bench: Bench) -> None:
    class Wrong:
        __slots__ = ("_layout",)

    if bench.kind == "native":
        with pytest.raises((AttributeError, TypeError)):
            launcher.create("native").bind(Wrong, (), object)


# Views, prepared entries ----------------------------------------------------------------------------------------------


def test_a_view_entry_shares_memory_and_version(bench: Bench) -> None:
    x = bench.tensor(X)
    layout = layout_of(np.dtype("f4"), (2,), (2,))
    f = launcher.function("slice", 1, miss)
    assert launcher.install(f, (x, slice(1, None, 3)), {}, launcher.View(layout, 4))
    view = f(x, slice(1, None, 3))
    assert type(view) is bench.Tensor
    np.testing.assert_array_equal(bench.array(view), [1, 3])
    assert bench.pool.pointer(view._storage) == bench.pool.pointer(x._storage) + 4
    assert view._version is x._version
    x._version = [7]
    assert f(x, slice(1, None, 3))._version is x._version
    del x
    gc.collect()
    np.testing.assert_array_equal(bench.array(view), [1, 3])


def test_invoke_runs_an_entry_regardless_of_autograd(bench: Bench) -> None:
    x, y = bench.tensor(X), bench.tensor(Y)
    x._autograd = object()
    add = entry("add", (0, 1), (x._layout,))
    for _ in range(3):
        np.testing.assert_array_equal(bench.array(launcher.invoke(add, (x, y))), X + Y)
    assert len(add.keep) == 1
    run = launcher.prepare(add, (x, y))
    np.testing.assert_array_equal(bench.array(run(y, y)), Y + Y)


def test_invoke_refuses_what_does_not_fit(bench: Bench) -> None:
    x, y = bench.tensor(X), bench.tensor(Y)
    run = launcher.prepare(entry("add", (0, 1), (x._layout,), aliases=(0,)), (x, y))
    x._version = [0]
    for args in ((x, y), (y,), (y, bench.tensor(Y[:5])), (y, 1.0), (y, object())):
        with pytest.raises(launcher.LaunchRefused):
            run(*args)
    assert run(y, y) is y
    shift = entry("shift", (0,), (x._layout,), scalars=(ScalarSlot(1, "i", 0, 9),))
    with pytest.raises(launcher.LaunchRefused):
        launcher.invoke(shift, (x, 10))


def test_an_entry_that_does_not_fit_its_call_is_an_error(bench: Bench) -> None:
    x, y = bench.tensor(X), bench.tensor(Y)
    f = launcher.function("f", 2, miss)
    layout = x._layout
    wrong = [
        entry("add", (0, 2), (layout,)),
        entry("add", (0, 1), (layout,), aliases=(5,)),
        entry("add", (0, 1), (layout,), aliases=()),
        entry("add", (0, 1), (layout, layout)),
        entry("halves", (0,), (layout, layout), aliases=(0, 0), single=False),
        entry("scale", (0,), (layout,), scalars=(ScalarSlot(3, "f"),)),
    ]
    for new in wrong:
        with pytest.raises(ValueError, match="entry"):
            launcher.install(f, (x, y), {}, new)
    with pytest.raises(ValueError, match="not a tensor"):
        launcher.install(f, (x, 1.0), {}, entry("add", (0, 1), (layout,)))


# Life and death -------------------------------------------------------------------------------------------------------


def test_references_balance_over_many_calls(bench: Bench) -> None:
    add, x, y = make_add(bench)
    iadd = make_iadd(bench, x, y)
    halves, view = launcher.function("halves", 1, miss), launcher.function("view", 1, miss)
    scale = launcher.function("scale", 2, miss)
    layout = x._layout
    assert launcher.install(halves, (x,), {}, entry("halves", (0,), (layout, layout), single=False))
    seen_through = bench.tensor(X)  # a tensor with views has a version counter: no target for `iadd`
    assert launcher.install(view, (seen_through,), {}, launcher.View(layout))
    assert launcher.install(
        scale, (x, 1.0), {"axis": 1000}, entry("scale", (0,), (layout,), scalars=(ScalarSlot(1, "f"),))
    )
    told = launcher.function("told", 2, miss)
    seen: list[None] = []
    after = lambda *given: seen.clear()  # noqa: E731
    assert launcher.install(told, (x, y), {}, entry("add", (0, 1), (layout,)), after)
    value, axis = 1.000244140625 * len(X) / 6, int("1000")
    watched = [x, y, seen_through, layout, x._storage, y._storage, value, axis, None, True, bench.Tensor, add, after]

    def rounds(n: int) -> None:
        for _ in range(n):
            add(x, y)
            iadd(x, y)
            told(x, y)
            halves(x)
            view(seen_through)
            scale(x, value, axis=axis)
        with pytest.raises(Missed):
            add(x, 1)

    rounds(100)
    gc.collect()
    before = [sys.getrefcount(obj) for obj in watched]
    active = bench.pool.statistics()["active"]
    rounds(10_000)
    gc.collect()
    after = [sys.getrefcount(obj) for obj in watched]
    assert all(abs(a - b) < 50 for a, b in zip(after, before, strict=True)), (before, after)
    assert bench.pool.statistics()["active"] == active


def test_entries_keep_what_their_keys_name(bench: Bench) -> None:
    class Marker:
        pass

    x = bench.tensor([1], "i8")
    f = launcher.function("shift", 1, miss)
    cls = type("Static", (), {})
    alive = weakref.ref(cls)
    new = entry("shift", (0,), (x._layout,), scalars=(ScalarSlot(-1, "i", bits=1),))
    assert launcher.install(f, (x, cls), {}, new)
    del cls
    gc.collect()
    assert alive() is not None
    launcher.clear()
    gc.collect()
    assert alive() is None
    assert not known(bench, f, x, Marker)


def test_functions_are_collected(bench: Bench) -> None:
    class Owner:
        def slow(self, *args: Any) -> str:
            return "slow"

    owner = Owner()
    owner.function = launcher.function("f", 1, owner.slow)  # type: ignore[attr-defined]
    x = bench.tensor(X)
    launcher.install(owner.function, (x,), {}, entry("negate", (0,), (x._layout,), scratch=(4096,)))  # type: ignore[attr-defined]
    alive = weakref.ref(owner)
    del owner
    gc.collect()
    assert alive() is None
    assert "f" not in launcher.statistics()


def test_results_may_outlive_the_function(bench: Bench) -> None:
    add, x, y = make_add(bench)
    result = add(x, y)
    bound = result._layout
    del add
    launcher.clear()
    gc.collect()
    assert result._layout is bound
    np.testing.assert_array_equal(bench.array(result), X + Y)


def test_the_number_of_entries_is_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[type(bench.launcher).__module__], "MAX_ENTRIES", 50)
    x = bench.tensor([1], "i8")
    f = launcher.function("shift", 1, miss)
    for axis in range(120):
        new = entry("shift", (0,), (x._layout,), scalars=(ScalarSlot(-1, "i", bits=axis),))
        assert launcher.install(f, (x, axis), {}, new)
        assert bench.array(f(x, axis))[0] == 1 + axis
        assert launcher.statistics()["total"]["entries"] <= 50


def test_statistics_count_hits_and_misses(bench: Bench) -> None:
    add, x, y = make_add(bench)
    start = launcher.statistics()["add"]
    add(x, y)
    known(bench, add, x, 1)
    add(x, y)
    now = launcher.statistics()["add"]
    assert (now["hits"] - start["hits"], now["misses"] - start["misses"]) == (2, 1)
    assert launcher.statistics()["total"]["hits"] >= now["hits"]


def test_a_failed_allocation_is_a_memory_error(bench: Bench) -> None:
    x = bench.tensor(X)
    huge = layout_of(np.dtype("f4"), (1 << 50,))
    f = launcher.function("f", 1, miss)
    new = entry("halves", (0,), (x._layout, huge), single=False)
    assert launcher.install(f, (x,), {}, new)
    active = bench.pool.statistics()["active"]
    for _ in range(3):
        with pytest.raises(MemoryError):
            f(x)
    gc.collect()
    assert bench.pool.statistics()["active"] == active
    scratched = launcher.function("g", 1, miss)
    assert launcher.install(scratched, (x,), {}, entry("negate", (0,), (x._layout,), scratch=(4096, 1 << 50)))
    with pytest.raises(MemoryError):
        scratched(x)
    gc.collect()
    assert bench.pool.statistics()["active"] == active


# Threads --------------------------------------------------------------------------------------------------------------


def test_a_large_kernel_runs_on_all_threads(bench: Bench) -> None:
    x = bench.tensor(np.arange(1000))
    f = launcher.function("double", 1, miss)
    assert launcher.install(f, (x,), {}, entry("double", (0,), (x._layout,), parallel=True))
    count = threads.get_num_threads()
    try:
        for n in (1, 2, 3):
            threads.set_num_threads(n)
            np.testing.assert_array_equal(bench.array(f(x)), np.arange(1000) * 2)
    finally:
        threads.set_num_threads(count)


def test_a_large_kernel_lets_other_threads_run(bench: Bench) -> None:
    flag = bench.tensor([0], "i8")
    f = launcher.function("wait", 1, miss)
    assert launcher.install(f, (flag,), {}, entry("wait", (0,), (flag._layout,), parallel=True))
    results: list[Any] = []
    waiting = threading.Thread(target=lambda: results.append(f(flag)), daemon=True)
    waiting.start()
    waiting.join(0.05)
    assert waiting.is_alive()
    address = bench.pool.pointer(flag._storage)
    # The operand loses its storage while the kernel reads it: the launcher must keep the memory alive.
    storage, flag._storage = flag._storage, bench.pool.allocate(8)
    launcher.clear()
    ctypes.c_int64.from_address(address).value = 5
    del storage
    waiting.join(10)
    assert not waiting.is_alive()
    assert bench.array(results[0])[0] == 5


def test_threads_call_and_install_at_the_same_time(bench: Bench) -> None:
    add = launcher.function("add", 2, miss)
    failures: list[Any] = []

    def work(seed: int) -> None:
        try:
            for n in range(seed * 100, seed * 100 + 60):
                x = bench.tensor(np.full(n + 1, n))
                launcher.install(add, (x, x), {}, entry("add", (0, 1), (x._layout,)))
                for _ in range(5):
                    result = bench.array(add(x, x))
                    assert (result == 2 * n).all()
                    assert result.shape == (n + 1,)
        except BaseException as error:
            failures.append(error)

    kernel("add")  # the code is made here: threads that each made it would lose all copies but one
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        sys.setswitchinterval(interval)
    assert failures == []


# The choice of implementation -----------------------------------------------------------------------------------------


def _status(**environment: str) -> str:
    code = "from trueno.runtime import launcher; s = launcher.status(); print(s['launcher'], '|', s['reason'])"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return run.stdout.strip()


def test_the_environment_chooses() -> None:
    assert _status(TRUENO_LAUNCHER="python").startswith("python | TRUENO_LAUNCHER")
    assert _status(TRUENO_LAUNCHER="native").startswith("native | TRUENO_LAUNCHER")
    assert _status(TRUENO_LAUNCHER="").startswith("native | ")


def test_the_twin_takes_over_where_the_native_launcher_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "unsupported", lambda: "no global lock")
    with pytest.raises(RuntimeError, match="no global lock"):
        launcher.create("native")
    chosen, reason = launcher._choose()
    assert chosen.kind == "python"
    assert "no global lock" in reason


def test_interpreters_that_do_not_fit_are_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    assert native.unsupported() is None
    with monkeypatch.context() as patch:
        patch.setattr(sys, "implementation", types.SimpleNamespace(name="pypy"))
        assert "pypy" in str(native.unsupported())
    with monkeypatch.context() as patch:
        patch.setattr(sys, "abiflags", "t")
        assert "lock" in str(native.unsupported())
    with monkeypatch.context() as patch:
        patch.setattr(sys, "byteorder", "big")
        assert "little-endian" in str(native.unsupported())


def test_a_failed_self_test_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    from trueno.runtime.launcher import selftest

    monkeypatch.setattr(selftest, "_values", lambda *args: [0, 0, 0, 0])
    with pytest.raises(RuntimeError, match="wrong values"):
        launcher.create("native")


def test_the_object_code_is_stored_once(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[Any, bytes] = {}
    first = native.NativeLauncher(0, kept.get, lambda key, code, header: kept.update({key: code}))
    second = native.NativeLauncher(0, kept.get, lambda key, code, header: pytest.fail("compiled again"))
    assert (first.compiled, second.compiled, len(kept)) == (True, False, 1)
    assert all(isinstance(text, str) for part in next(iter(kept)) for text in part)


def test_extent_of_strided_layouts() -> None:
    f4 = np.dtype("f4")
    assert records.extent(layout_of(f4, (2, 3))) == (0, 24)
    assert records.extent(layout_of(f4, (2, 3), (-3, 1))) == (-12, 12)
    assert records.extent(layout_of(f4, (2, 3), (0, 2))) == (0, 20)
    assert records.extent(layout_of(f4, ())) == (0, 4)
