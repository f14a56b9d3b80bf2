"""How many threads kernels run on, and the OpenMP runtime that runs them.

Kernels are given the address of a team: two functions with the meanings of GOMP_parallel and omp_get_thread_num.
Neither the thread count nor the team is compiled into anything: the count and the team's address stand in a cell of two
words that the launcher reads at each launch.

A child made by fork has none of its parent's threads, and OpenMP runtimes wait for them forever: there every kernel
runs on one thread. Children that are spawned start afresh.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trueno.config import settings

# [thread count, address of the team or 0 while none was asked for]
_cell = (ctypes.c_int64 * 2)()
# [GOMP_parallel, omp_get_thread_num]
_team = (ctypes.c_int64 * 2)()
_found: dict[str, Any] = {"library": None, "reason": "no large kernel has run yet", "handle": None}
_forked = False
_SPIN = "10000"  # iterations, as GOMP_SPINCOUNT


def cell_address() -> int:
    """Return the address of two int64: the thread count and the address of the team."""
    return ctypes.addressof(_cell)


def default_num_threads() -> int:
    """Return TRUENO_NUM_THREADS, else OMP_NUM_THREADS, else the number of CPUs this process may use."""
    chosen = settings().num_threads
    if chosen is not None:
        return chosen
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if first.isdecimal() and int(first) > 0:
        return int(first)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def get_num_threads() -> int:
    """Return the number of threads that large kernels are split over."""
    return _cell[0]


def set_num_threads(n: int) -> None:
    """Set the number of threads that large kernels are split over; it holds from the next launch on.

    Parameters
    ----------
    n : int
        At least 1. In a child made by fork it stays 1: its OpenMP runtime has lost its threads.

    Raises
    ------
    TypeError
        If `n` is not an int.
    ValueError
        If `n` is less than 1.
    """
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"set_num_threads: expected an int, got {type(n).__name__}")
    if n < 1:
        raise ValueError(f"set_num_threads: expected at least 1 thread, got {n}")
    _cell[0] = 1 if _forked else n


def team_address() -> int:
    """Return the address of the team: the OpenMP runtime's or, without one, one that runs the bodies in turn."""
    if _cell[1] == 0:
        _team[0], _team[1] = _find() or _serial()
        _cell[1] = ctypes.addressof(_team)
    return _cell[1]


def status() -> dict[str, Any]:
    """Return ``num_threads``, ``library`` (path of the OpenMP runtime or None) and ``reason`` (why there is none)."""
    team_address()
    return {
        "num_threads": get_num_threads(),
        "library": _found["library"],
        "reason": _found["reason"],
        "forked": _forked,
    }


def _find() -> tuple[int, int] | None:
    tried = []
    for name in _candidates():
        try:
            # The handle is kept: the library must stay loaded.
            with _short_spin():
                handle = ctypes.CDLL(name)
            team = (_address(handle.GOMP_parallel), _address(handle.omp_get_thread_num))
        except (OSError, AttributeError) as error:
            tried.append(f"{name}: {error}")
            continue
        _found.update(library=name, reason=None, handle=handle)
        return team
    _found.update(reason="; ".join(tried) or "no candidate was found")
    return None


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


@contextmanager
def _short_spin() -> Iterator[None]:
    """Let the runtime's waiting threads spin for some 30 microseconds, not milliseconds, unless the user has chosen.

    That is long enough for kernels that follow each other; spinning longer takes the core from other processes.
    Training a small network beside a busy process took 80 s with libgomp's own default and 17 s without spinning.
    """
    chosen = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & set(os.environ)
    if not chosen:
        os.environ["GOMP_SPINCOUNT"] = _SPIN  # libgomp reads it while it is loaded
    try:
        yield
    finally:
        if not chosen:
            del os.environ["GOMP_SPINCOUNT"]


def _candidates() -> Iterator[str]:
    """The system's OpenMP runtimes, then those carried by installed wheels (none of which is imported)."""
    if sys.platform.startswith("linux"):
        yield from ("libgomp.so.1", "libomp.so.5", "libiomp5.so")
    elif sys.platform == "darwin":
        yield from ("libomp.dylib", "/opt/homebrew/opt/libomp/lib/libomp.dylib")
    patterns = [
        f"{folder}/lib{stem}*.{suffix}*"
        for folder in ("*/lib", "*.libs", "*/.dylibs", "../../../lib")
        for stem in ("gomp", "omp", "iomp5")
        for suffix in ("so", "dylib")
    ]
    for root in dict.fromkeys(sys.path):
        if root.endswith("-packages"):
            for pattern in patterns:
                yield from sorted(map(str, Path(root).glob(pattern)))


#: LLVM IR of a team whose bodies run one after the other, on the caller's thread.
SERIAL_TEAM = """
define void @serial(ptr %body, ptr %data, i32 %threads, i32 %flags) {
entry:
  br label %head
head:
  %index = phi i32 [0, %entry], [%next, %run]
  %more = icmp ult i32 %index, %threads
  br i1 %more, label %run, label %end
run:
  call void %body(ptr %data)
  %next = add i32 %index, 1
  br label %head
end:
  ret void
}
define i32 @first() {
entry:
  ret i32 0
}
"""


def _serial() -> tuple[int, int]:
    """Make a team whose bodies run one after the other, on the caller's thread."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(SERIAL_TEAM), machine)
    engine.finalize_object()
    _found["handle"] = engine
    return engine.get_function_address("serial"), engine.get_function_address("first")


def _after_fork_in_child() -> None:
    global _forked
    _forked = True
    _cell[0] = 1


_cell[0] = default_num_threads()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
