"""The launcher over time: references, limits, failures, threads, and the choice between its two implementations."""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
import threading
import types
import weakref
from typing import Any

import numpy as np
import pytest

from tests.runtime.launcher_support import Bench, Missed, X, Y, entry, kernel, known, make_add, make_iadd, miss
from trueno.runtime import launcher, threads
from trueno.runtime.entry import ScalarSlot
from trueno.runtime.launcher import native, records
from trueno.runtime.layout import layout_of

# Life and death -------------------------------------------------------------------------------------------------------


def test_counts_of_functions_that_are_gone_are_kept(bench: Bench) -> None:
    _, x, y = make_add(bench)
    before = launcher.statistics()
    for round in range(3):
        short_lived = launcher.function("short lived", 2, miss)
        assert launcher.install(short_lived, (x, y), {}, entry("add", (0, 1), (x._layout,)))
        for _ in range(5):
            short_lived(x, y)
        with pytest.raises(Missed):
            short_lived(x, 1)
        assert launcher.statistics()["short lived"] == {"hits": 5 * round + 5, "misses": round + 1, "entries": 1}
        del short_lived
        gc.collect()
        now = launcher.statistics()
        assert now["short lived"] == {"hits": 5 * round + 5, "misses": round + 1, "entries": 0}
        assert now["total"]["hits"] == before["total"]["hits"] + 5 * round + 5
        assert now["total"]["misses"] == before["total"]["misses"] + round + 1


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
