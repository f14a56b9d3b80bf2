"""Thread count and OpenMP runtime: choice, use from several threads, fork and spawn."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.runtime.launcher_support import Bench, entry, miss
from trueno import config
from trueno.runtime import threads
from trueno.runtime.layout import layout_of


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    cell, found = list(threads._cell), dict(threads._found)
    yield
    threads._cell[:] = cell
    threads._found.update(found)


def run_bodies(team: int, count: int) -> tuple[list[int], list[int]]:
    """Run a parallel region of `count` bodies that each note the thread they run on, and its number in the team."""
    region, number = (ctypes.c_int64 * 2).from_address(team)
    number_of_thread = ctypes.CFUNCTYPE(ctypes.c_int)(number)
    seen: list[int] = []
    numbers: list[int] = []

    def note(data: Any) -> None:
        seen.append(threading.get_native_id())
        numbers.append(number_of_thread())

    body = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(note)
    parallel = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)(region)
    parallel(ctypes.cast(body, ctypes.c_void_p), None, count, 0)
    return seen, numbers


def test_the_count_is_set_and_read() -> None:
    for n in (3, 1, 64):
        threads.set_num_threads(n)
        assert threads.get_num_threads() == n
        assert ctypes.c_int64.from_address(threads.cell_address()).value == n


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (-2, ValueError), (1.5, TypeError), (True, TypeError)])
def test_a_bad_count_is_an_error(value: Any, error: type[Exception]) -> None:
    before = threads.get_num_threads()
    with pytest.raises(error, match="set_num_threads"):
        threads.set_num_threads(value)
    assert threads.get_num_threads() == before


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"TRUENO_NUM_THREADS": "3", "OMP_NUM_THREADS": "5"}, 3),
        ({"OMP_NUM_THREADS": "5"}, 5),
        ({"OMP_NUM_THREADS": "4,2"}, 4),
        ({"OMP_NUM_THREADS": "many"}, len(os.sched_getaffinity(0))),
        ({}, len(os.sched_getaffinity(0))),
    ],
)
def test_the_default_count(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: int) -> None:
    for name in ("TRUENO_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(config, "_current", None)
    assert threads.default_num_threads() == expected


def test_bodies_run_on_that_many_threads() -> None:
    for count in (1, 2, 4):
        seen, numbers = run_bodies(threads.team_address(), count)
        assert len(seen) == count
        if threads.status()["library"] is not None:
            assert len(set(seen)) == count
            assert sorted(numbers) == list(range(count))


def test_without_a_runtime_the_bodies_run_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_candidates", lambda: iter(["libnothing.so.0"]))
    monkeypatch.setattr(threads, "_found", {"library": None, "reason": None, "handle": None})
    threads._cell[1] = 0
    seen, numbers = run_bodies(threads.team_address(), 5)
    assert seen == [threading.get_native_id()] * 5
    assert numbers == [0] * 5
    status = threads.status()
    assert status["library"] is None
    assert "libnothing" in status["reason"]


def test_a_library_that_is_no_openmp_runtime_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_candidates", lambda: iter(["libm.so.6", "libgomp.so.1"]))
    threads._cell[1] = 0
    assert threads.team_address() != 0
    assert threads.status()["library"] in ("libgomp.so.1", None)


def test_runtimes_carried_by_wheels_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    packages = tmp_path / "site-packages"
    for name in ("torch/lib/libgomp-1.so.1", "scikit_learn.libs/libgomp-a34.so.1", "other/lib/libz.so"):
        (packages / name).parent.mkdir(parents=True)
        (packages / name).touch()
    monkeypatch.setattr(sys, "path", [str(packages)])
    found = list(threads._candidates())
    assert found[0].startswith("libgomp") or sys.platform != "linux"
    assert {Path(path).name for path in found} >= {"libgomp-1.so.1", "libgomp-a34.so.1"}
    assert not any("libz" in path for path in found)


@pytest.fixture(scope="module", params=["native", "python"])
def doubler(request: pytest.FixtureRequest) -> Any:
    """A function with one large kernel, as ``double() -> bool``: whether the values are right."""
    bench = Bench(request.param)
    x = bench.tensor(np.arange(1000))
    function = bench.launcher.function("double", 1, miss, None, __name__)
    layout = layout_of(np.dtype("f4"), (1000,))
    assert bench.launcher.install(function, (x,), {}, entry("double", (0,), (layout,), parallel=True))

    def double() -> bool:
        return bool((bench.array(function(x)) == np.arange(1000) * 2).all())

    return double


def test_several_threads_launch_at_once(doubler: Any) -> None:
    threads.set_num_threads(2)
    results: list[bool] = []
    workers = [threading.Thread(target=lambda: results.extend(doubler() for _ in range(50))) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert results == [True] * 150


def test_a_forked_child_works(doubler: Any) -> None:
    """It has lost the runtime's threads, and must not wait for them."""
    threads.set_num_threads(2)
    assert doubler()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        threads.set_num_threads(2)
        results = [doubler() for _ in range(3)]
        os.write(writer, repr((results, threads.get_num_threads(), threads.status()["forked"])).encode())
        os._exit(0)
    os.close(writer)
    done = threading.Event()
    killer = threading.Timer(20, lambda: None if done.is_set() else os.kill(child, 9))
    killer.start()
    with os.fdopen(reader) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    done.set()
    killer.cancel()
    assert answer == "([True, True, True], 1, True)"
    assert threads.get_num_threads() == 2
    assert doubler()


def test_a_spawned_child_works(doubler: Any) -> None:
    threads.set_num_threads(2)
    assert doubler()
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        assert pool.apply(threads.get_num_threads) == threads.default_num_threads()


def test_importing_loads_no_runtime() -> None:
    code = """
        from trueno.runtime import threads
        assert threads._cell[1] == 0
        with open("/proc/self/maps") as maps:
            assert "libgomp" not in maps.read()
        threads.team_address()
        print(threads.status()["num_threads"])
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "TRUENO_NUM_THREADS": "7"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (run.stdout.strip(), run.returncode) == ("7", 0), run.stderr
