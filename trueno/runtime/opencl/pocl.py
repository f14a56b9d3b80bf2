"""The kernel cache that PoCL keeps by itself: where it lies and how it is kept small."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path

MOST_BYTES = 256 << 20
KEPT_SECONDS = 30 * 24 * 3600
SWEEP_SECONDS = 24 * 3600


def variables(state: Path | None) -> dict[str, str]:
    """Return the environment that PoCL is to start with.

    PoCL compiles a kernel again for each work-group size it is launched with, and keeps what it made in a cache of its
    own. Without that cache a new process would spend 0.1 s at the first launch of every kernel whose code for that size
    is not in Trueno's store. So it stays on, but inside Trueno's folder, where clearing the one clears the other, and
    swept, since PoCL never does that.

    Parameters
    ----------
    state : pathlib.Path or None
        Trueno's folder for OpenCL. With None, or if the user set POCL_CACHE_DIR, PoCL decides.
    """
    if state is None or "POCL_CACHE_DIR" in os.environ:
        return {}
    folder = state / "pocl"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        sweep(folder)
    except OSError:
        return {}
    return {"POCL_CACHE_DIR": str(folder)}


def sweep(folder: Path, now: float | None = None) -> None:
    """Remove programs that were not used for a month, and the least recently used beyond a total size; once a day at
    most.

    Parameters
    ----------
    folder : pathlib.Path
        POCL_CACHE_DIR: programs lie two levels down, each with a file ``last_accessed``.
    now : float, optional
        The time to reckon with.
    """
    now = time.time() if now is None else now
    stamp = folder / ".swept"
    with contextlib.suppress(OSError):
        if now - stamp.stat().st_mtime < SWEEP_SECONDS:
            return
    stamp.touch()
    os.utime(stamp, (now, now))
    programs = []
    for used in folder.glob("*/*/last_accessed"):
        with contextlib.suppress(OSError):
            size = sum(path.stat().st_size for path in used.parent.rglob("*") if path.is_file())
            programs.append((used.stat().st_mtime, size, used.parent))
    total = 0
    for last, size, program in sorted(programs, reverse=True):
        total += size
        if now - last > KEPT_SECONDS or total > MOST_BYTES:
            shutil.rmtree(program, ignore_errors=True)
