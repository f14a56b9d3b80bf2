"""How many threads kernels run on, and the team that runs their tasks.

Neither the thread count nor the team is compiled into anything: the count and the team's address stand in a cell of two
words that the launcher reads at each launch. The team (runtime/team.py) is made when a large kernel is first run.

A child made by fork has none of its parent's threads, and is often one of many: there kernels run on one thread until
`set_num_threads` asks for more. Children that are spawned start afresh.
"""

from __future__ import annotations

import ctypes
import os
import threading
from typing import TYPE_CHECKING, Any

from trueno.config import settings

if TYPE_CHECKING:
    from trueno.runtime.team import Team

# [thread count, address of the team or 0 while none was asked for]
_cell = (ctypes.c_int64 * 2)()
_team: Team | None = None
#: Why there can be no team.
_reason: str | None = None
_forked = False
_lock = threading.Lock()


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
        At least 1. A child made by fork begins with 1.

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
    with _lock:
        # Kernels that are known already do not ask for the team once more.
        if _cell[1] or (_forked and n > 1):
            _make(n)
        _cell[0] = n if _reason is None else 1


def team_address() -> int:
    """Return the address of the team, which is made when it is first asked for; 0 where there can be no threads."""
    if _cell[1] == 0:
        with _lock:
            _make(_cell[0])
    return _cell[1]


def _make(n: int) -> None:
    """Make the team if there is none, and give it `n` threads, the caller among them."""
    global _team, _reason
    if _team is None:
        # Imported where it is needed: a process that runs small kernels only has no team.
        from trueno.runtime import cpu
        from trueno.runtime.team import Team

        try:
            _team, _reason = Team(cpu.team_setup), None
        except OSError as error:
            _cell[0], _reason = 1, str(error)
            return
    _team.grow(n - 1)
    _cell[1] = _team.address


def status() -> dict[str, Any]:
    """Return ``num_threads``, ``workers`` (threads besides the caller), ``reason`` (why there are none), ``forked``."""
    team_address()
    workers = 0 if _team is None else _team.workers
    return {"num_threads": get_num_threads(), "workers": workers, "reason": _reason, "forked": _forked}


def _after_fork_in_child() -> None:
    global _forked, _lock, _team
    _forked, _lock, _team = True, threading.Lock(), None
    _cell[:] = [1, 0]


_cell[0] = default_num_threads()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
