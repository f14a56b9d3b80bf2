"""The launcher's functions as users meet them: in place, as methods and operators, as views, prepared."""

from __future__ import annotations

import copy
import gc
import operator
import pickle
import sys
import types
from typing import Any

import numpy as np
import pytest

from tests.runtime.launcher_support import Bench, Version, X, Y, entry, known, make_add, make_iadd, miss
from trueno.runtime import launcher
from trueno.runtime.entry import ScalarSlot
from trueno.runtime.layout import layout_of

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


def test_a_target_whose_changes_are_counted_takes_the_slow_path(bench: Bench) -> None:
    x, y = bench.tensor(X), bench.tensor(Y)
    iadd = make_iadd(bench, x, y)
    y._version = Version(y)
    y._version.counter = None
    assert known(bench, iadd, x, y)
    x._version = Version(x)
    assert known(bench, iadd, x, y)
    for slot in ("counter", "written"):
        setattr(x._version, slot, None)
        assert not known(bench, iadd, x, y)
        delattr(x._version, slot)


def test_a_target_that_is_a_view_of_what_is_recorded_takes_the_slow_path(bench: Bench) -> None:
    x, y, base = bench.tensor(X), bench.tensor(Y), bench.tensor(X)
    iadd = make_iadd(bench, x, y)
    x._version = Version(base)
    assert known(bench, iadd, x, y)
    base._autograd = object()
    assert not known(bench, iadd, x, y)
    del base
    assert known(bench, iadd, x, y)


def test_a_stale_tensor_takes_the_slow_path_while_gradients_are_enabled(bench: Bench) -> None:
    add, x, y = make_add(bench)
    x._version = Version(x)
    assert known(bench, add, x, y)
    assert not bench.launcher.taped(x)
    x._version.next = Version(x)
    assert not known(bench, add, x, y)
    assert bench.launcher.taped(x)
    bench.launcher.set_grad_enabled(False)
    assert known(bench, add, x, y)
    bench.launcher.set_grad_enabled(True)


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
    x._version = Version(x)
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
    x._version = Version(x)
    x._version.counter = None
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
