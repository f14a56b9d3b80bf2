"""Thread count and team of threads: choice, launches, use from several threads, signals, fork, spawn and exit."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tests.runtime.launcher_support import Bench, entry, miss
from trueno import config
from trueno.runtime import team, threads
from trueno.runtime.layout import layout_of

LAUNCH = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
BODY = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = threads.get_num_threads()
    yield
    threads.set_num_threads(before)


def launch(count: int, work: Callable[[], None]) -> list[tuple[int, int]]:
    """Launch a body that does some work, on up to `count` threads; return the threads it ran on, and their numbers."""
    team = threads.team_address()
    seen: list[tuple[int, int]] = []

    def note(_: Any, number: int) -> None:
        seen.append((threading.get_native_id(), number))
        work()

    body = BODY(note)
    LAUNCH(ctypes.c_void_p.from_address(team).value or 0)(team, ctypes.cast(body, ctypes.c_void_p), None, count)
    return seen


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


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


@pytest.mark.parametrize("count", [1, 2, 4])
def test_bodies_run_on_that_many_threads(count: int) -> None:
    threads.set_num_threads(4)
    assert threads.status()["workers"] >= 3
    meeting = threading.Barrier(count)
    seen = launch(count, lambda: meeting.wait(30) and None)
    assert len({thread for thread, _ in seen}) == count
    assert (threading.get_native_id(), 0) in seen
    assert len({number for _, number in seen}) == count


def test_threads_that_sleep_are_woken() -> None:
    threads.set_num_threads(2)
    for _ in range(3):
        time.sleep(0.05)
        meeting = threading.Barrier(2)
        assert len(launch(2, lambda meeting=meeting: meeting.wait(30) and None)) == 2


def test_the_caller_waits_for_nobody_who_has_not_begun() -> None:
    """More bodies are offered than there are threads: those that nobody takes are taken back."""
    threads.set_num_threads(2)
    assert 1 <= len(launch(1000, lambda: None)) <= 1000


def test_a_launch_within_a_launch_runs_on_its_caller() -> None:
    threads.set_num_threads(2)
    inner: list[list[tuple[int, int]]] = []
    launch(1, lambda: inner.append(launch(2, lambda: None)))
    assert inner == [[(threading.get_native_id(), 0)]]


def test_signals_are_left_to_the_interpreter() -> None:
    threads.set_num_threads(2)
    meeting = threading.Barrier(2)
    masks: dict[int, set[int]] = {}

    def ask() -> None:
        masks[threading.get_native_id()] = set(signal.pthread_sigmask(signal.SIG_BLOCK, []))
        meeting.wait(30)

    launch(2, ask)
    del masks[threading.get_native_id()]
    (blocked,) = masks.values()
    assert {signal.SIGINT, signal.SIGTERM, signal.SIGCHLD} <= blocked


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs a choice of cores")
def test_a_thread_that_slept_may_use_every_core_again() -> None:
    """While it sleeps it keeps off the caller's core."""
    threads.set_num_threads(2)
    meeting = threading.Barrier(2)
    allowed: list[set[int]] = []

    def ask() -> None:
        allowed.append(os.sched_getaffinity(0))
        meeting.wait(30)

    launch(2, ask)
    time.sleep(0.05)
    launch(2, ask)
    assert allowed == [os.sched_getaffinity(0)] * 4


def test_without_posix_threads_kernels_run_on_one(monkeypatch: pytest.MonkeyPatch, doubler: Any) -> None:
    cell = list(threads._cell)
    monkeypatch.setattr(threads, "_team", None)
    monkeypatch.setattr(threads, "_reason", None)
    monkeypatch.setattr(team.ctypes, "CDLL", lambda _: object())
    threads._cell[:] = [2, 0]
    try:
        status = threads.status()
        assert (status["num_threads"], status["workers"]) == (1, 0)
        assert "POSIX" in status["reason"]
        threads.set_num_threads(8)
        assert threads.get_num_threads() == 1
        assert doubler()
    finally:
        threads._cell[:] = cell


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
    """It has none of its parent's threads, and must not wait for them; asked for threads, it makes its own."""
    threads.set_num_threads(2)
    assert doubler()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        count, results = threads.get_num_threads(), [doubler() for _ in range(3)]
        threads.set_num_threads(2)
        results += [doubler() for _ in range(3)]
        status = threads.status()
        os.write(writer, repr((count, all(results), status["workers"], status["forked"])).encode())
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
    assert answer == "(1, True, 1, True)"
    assert threads.get_num_threads() == 2
    assert doubler()


def test_a_spawned_child_works(doubler: Any) -> None:
    threads.set_num_threads(2)
    assert doubler()
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        assert pool.apply(threads.get_num_threads) == threads.default_num_threads()


def test_importing_starts_no_thread() -> None:
    run = run_python(
        """
        from trueno.runtime import team, threads
        assert threads._cell[1] == 0 and threads._team is None
        print(threads.status()["num_threads"], threads.status()["workers"])
        """,
        TRUENO_NUM_THREADS="7",
    )
    assert (run.stdout.strip(), run.returncode) == ("7 6", 0), run.stderr


@pytest.mark.parametrize("ending", ["pass", "raise SystemExit(0)", "import os, signal; signal.raise_signal(2)"])
def test_a_process_with_threads_ends(ending: str) -> None:
    """Threads are joined before the interpreter unloads their code; what is launched later runs on its caller."""
    run = run_python(
        f"""
        import atexit
        import trueno as tn
        x = tn.ones(1_000_000)
        atexit.register(lambda: print(float((x + x).sum())))
        print(float((x + x).sum()))
        {ending}
        """,
        TRUENO_NUM_THREADS="3",
    )
    assert run.stdout.split() == ["2000000.0", "2000000.0"], run.stderr
    assert run.returncode == (0 if "signal" not in ending else -2), run.stderr
