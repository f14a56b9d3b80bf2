"""Counts of what the store did, in this process and over all processes.

A process appends what happened since its last line to ``statistics.log`` with one write, which the system does not
interleave with others'. There is no lock; `compact` keeps the folder small without ever counting a line twice:

1. a large log is renamed to ``statistics-<random>.old``;
2. at the next sweep, long after a last writer let go of it, it is added to ``statistics.sum``, which names it as
   absorbed. Readers pass over absorbed logs;
3. at a later sweep a log that is named as absorbed is deleted.
"""

from __future__ import annotations

import atexit
import json
import os
import threading
import time
import weakref
from collections.abc import Iterable
from typing import Any

_LOG, _SUM = "statistics.log", "statistics.sum"
_ROTATE_BYTES = 2**16
_SETTLED_SECONDS = 60.0
_FLUSH_SECONDS = 1.0

Flat = dict[str, float]
"""Counts by dotted name, ``backend.counter`` or ``backend.rejected.reason``: what a line of the log holds."""

COUNTERS = ("hits", "misses", "compiled", "compile_seconds", "bytes_read", "bytes_written")


class Statistics:
    """Counters of one store in this process, which are added to the folder's log.

    Attributes
    ----------
    folder : str or None
        Folder of the log; while it is None the counts stay in the process.
    """

    def __init__(self) -> None:
        self.folder: str | None = None
        self._lock = threading.Lock()
        self._all: Flat = {}
        self._pending: Flat = {}
        self._flushed = -_FLUSH_SECONDS
        _live.add(self)

    def count(self, backend: str, **counts: float) -> None:
        """Add to the backend's counters."""
        flat = {f"{backend}.{name}": amount for name, amount in counts.items()}
        with self._lock:
            _add(self._all, flat)
            _add(self._pending, flat)

    def reject(self, backend: str, reason: str) -> None:
        """Count an entry that was there but could not be used."""
        self.count(backend, **{f"rejected.{reason}": 1})

    def flat(self) -> Flat:
        """Return this process's counts."""
        with self._lock:
            return dict(self._all)

    def flush(self, force: bool = False) -> None:
        """Append what is new to the log, at most once a second unless forced; what cannot be written is kept."""
        now = time.monotonic()
        with self._lock:
            if self.folder is None or not self._pending or (not force and now - self._flushed < _FLUSH_SECONDS):
                return
            pending, self._pending, self._flushed = self._pending, {}, now
        try:
            _append(os.path.join(self.folder, _LOG), pending)
        except OSError:
            with self._lock:
                _add(self._pending, pending)

    def reset_after_fork(self) -> None:
        """Forget the parent's counts: the parent writes them itself."""
        self._lock = threading.Lock()
        self._all, self._pending, self._flushed = {}, {}, -_FLUSH_SECONDS


_live: weakref.WeakSet[Statistics] = weakref.WeakSet()


def _reset_all() -> None:
    for statistics in list(_live):
        statistics.reset_after_fork()


@atexit.register
def _flush_all() -> None:
    for statistics in list(_live):
        statistics.flush(force=True)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_all)


def _add(total: Flat, more: Flat) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount


def _append(path: str, counts: Flat) -> None:
    # The newline goes first, so that a line cut off by a full disk spoils no other.
    line = b"\n" + json.dumps(counts).encode()
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, line)
    finally:
        os.close(handle)


def _read_lines(path: str) -> Flat:
    """Sum the lines of a log; a line that was cut off by a full disk is passed over."""
    total: Flat = {}
    with open(path, "rb") as file:
        for line in file:
            try:
                counts = json.loads(line)
                _add(total, {str(name): amount for name, amount in counts.items() if isinstance(amount, int | float)})
            except (ValueError, AttributeError):
                continue
    return total


def _read_sum(folder: str) -> tuple[Flat, list[str]]:
    try:
        with open(os.path.join(folder, _SUM), "rb") as file:
            document = json.loads(file.read())
        return {str(name): float(amount) for name, amount in document["counts"].items()}, list(document["absorbed"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}, []


def _logs(folder: str) -> list[str]:
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return sorted(name for name in names if name == _LOG or (name.startswith("statistics-") and name.endswith(".old")))


def read(folder: str) -> Flat:
    """Return the counts of all processes that used the folder."""
    for _ in range(4):
        # The sum is read last: a log that was absorbed meanwhile is then known to be.
        try:
            logs = {name: _read_lines(os.path.join(folder, name)) for name in _logs(folder)}
        except FileNotFoundError:
            continue
        except OSError:
            logs = {}
        total, absorbed = _read_sum(folder)
        for name in logs.keys() - set(absorbed):
            _add(total, logs[name])
        return total
    return {}


def compact(folder: str) -> None:
    """Bring the logs together, as the module's text says.

    Raises
    ------
    OSError
    """
    old = [name for name in _logs(folder) if name != _LOG]
    now = time.time()
    settled = {}
    for name in old:
        path = os.path.join(folder, name)
        if now - os.stat(path).st_mtime >= _SETTLED_SECONDS:
            settled[name] = _read_lines(path)
    total, absorbed = _read_sum(folder)
    fresh = [name for name in settled if name not in absorbed]
    for name in absorbed:
        if name in old:
            os.unlink(os.path.join(folder, name))
    if fresh:
        for name in fresh:
            _add(total, settled[name])
        temporary = os.path.join(folder, f".statistics.{os.urandom(8).hex()}.tmp")
        with open(temporary, "w", encoding="ascii") as file:
            json.dump({"counts": total, "absorbed": fresh}, file)
        os.replace(temporary, os.path.join(folder, _SUM))
    log = os.path.join(folder, _LOG)
    if os.path.exists(log) and os.path.getsize(log) > _ROTATE_BYTES:
        os.rename(log, os.path.join(folder, f"statistics-{os.urandom(8).hex()}.old"))


def reset(folder: str) -> None:
    """Delete the counts of all processes.

    Raises
    ------
    OSError
    """
    for name in [*_logs(folder), _SUM]:
        try:
            os.unlink(os.path.join(folder, name))
        except FileNotFoundError:
            continue


def nested(flat: Flat, backends: Iterable[str] = ("llvm", "opencl")) -> dict[str, Any]:
    """Return flat counts as totals with a ``"backends"`` item that holds the same for each backend.

    Counters are ints (``compile_seconds`` a float); ``"rejected"`` maps reasons to counts.
    """

    def part(wanted: str | None) -> dict[str, Any]:
        counts: dict[str, Any] = dict.fromkeys(COUNTERS, 0)
        counts["compile_seconds"] = 0.0
        counts["rejected"] = {}
        for name, amount in sorted(flat.items()):
            backend, _, counter = name.partition(".")
            if wanted is not None and backend != wanted:
                continue
            group, _, reason = counter.partition(".")
            if group == "rejected":
                counts["rejected"][reason] = counts["rejected"].get(reason, 0) + int(amount)
            elif counter in COUNTERS:
                counts[counter] += amount if counter == "compile_seconds" else int(amount)
        return counts

    names = sorted({*backends, *(name.partition(".")[0] for name in flat)})
    return {**part(None), "backends": {name: part(name) for name in names}}
