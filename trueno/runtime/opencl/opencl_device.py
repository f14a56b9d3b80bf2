"""An OpenCL device: its context, its one queue, its memory, and the programs built for it."""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from trueno import config
from trueno.runtime.opencl.errors import OpenCLBuildError, OpenCLError, OpenCLForkError, OpenCLUnsupportedError
from trueno.runtime.opencl.limits import from_report
from trueno.runtime.opencl.memory import Block, OpenCLStorage, Pool, size_class
from trueno.runtime.opencl.program import OpenCLProgram, alive, words

if TYPE_CHECKING:
    from trueno.runtime.opencl.limits import Profile

STAGED_BYTES = 4 << 20
"""Uploads up to this size are copied and left to the queue, larger ones are waited for."""

STAGED_TOTAL = 64 << 20
"""Bytes of such copies that may wait at a time."""


class OpenCLDevice:
    """One device. Obtained from `devices()` or `device(index)`; context and queue are made when first needed.

    All commands go through one in-order queue. They run after one another in the order in which they were given, so
    that memory may be given back, and handed out again, while commands that use it are still waiting.

    Attributes
    ----------
    index : int
        Its number among `devices()`; -1 for a simulated device.
    handle : pyopencl.Device
    record : dict
        What the probe found out about it.
    limits : Limits
    features : Features
    profile : Profile or None
        The profile of a simulated device.
    """

    def __init__(self, index: int, handle: Any, record: dict[str, Any], profile: Profile | None = None) -> None:
        self.index, self.handle, self.record, self.profile = index, handle, record, profile
        self.limits, self.features = from_report(record)
        if profile is not None:
            self.limits, self.features = profile.limit(self.limits), profile.restrict(self.features)
        self._lock = threading.RLock()
        self._context: Any = None
        self._queue: Any = None
        self._staged: deque[tuple[Any, int]] = deque()
        self._staged_bytes = 0
        self.pool = Pool(self._create, self._pool_cap())
        _known.add(self)

    @property
    def name(self) -> str:
        """The device's name, as the driver gives it."""
        return self.record["name"]

    def __repr__(self) -> str:
        number = f"opencl:{self.index}" if self.index >= 0 else "opencl (simulated)"
        return f"{number} ({self.name}{f', as {self.profile.name}' if self.profile else ''})"

    def simulate(self, profile: Profile) -> OpenCLDevice:
        """Return a device that runs on this one but shows, and enforces, the lower limits of a profile.

        It has a context, a queue and a pool of its own. Building a program that uses what the profile lacks fails as it
        would on a real device of that kind.
        """
        return OpenCLDevice(-1, self.handle, self.record, profile)

    def _pool_cap(self) -> int:
        """Return the bytes that may be kept unused: TRUENO_POOL_BYTES where memory is the host's, or where it is set.

        A card's own memory is there for arrays alone, so that half of it may be kept; it is given up when an allocation
        fails.
        """
        chosen, default = config.settings().pool_bytes, config.rows()["pool_bytes"].default
        return chosen if self.record["type"] == "CPU" or chosen != default else self.limits.global_memory // 2

    # Context and queue

    @property
    def context(self) -> Any:
        """The `pyopencl.Context`."""
        if self._context is None:
            self._open()
        return self._context

    @property
    def queue(self) -> Any:
        """The one in-order `pyopencl.CommandQueue`."""
        if self._queue is None:
            self._open()
        return self._queue

    def _open(self) -> None:
        import pyopencl as cl

        with self._lock:
            if _forked:
                raise OpenCLForkError(
                    f"{self} was in use when this process was forked, and no OpenCL driver works in a fork's child; "
                    "start workers with multiprocessing's 'spawn' or 'forkserver' method instead"
                )
            if self._queue is None:
                try:
                    context = cl.Context([self.handle])
                    self._queue = cl.CommandQueue(context)
                except cl.Error as error:
                    raise OpenCLError(f"{self} cannot be opened: {error}") from error
                self._context = context

    def abandon(self, keep: list[Any]) -> None:
        """Let go of the driver without calling it, in the child of a fork; `keep` takes what must never be released."""
        keep.append((self._context, self._queue, self._staged))
        self.pool.abandon(keep)
        self._context = self._queue = None
        self._lock = threading.RLock()
        self._staged = deque()
        self._staged_bytes = 0

    def synchronize(self) -> None:
        """Wait until everything in the queue is done.

        Raises
        ------
        OpenCLError
            A command failed, an earlier one perhaps.
        """
        import pyopencl as cl

        if self._queue is None and not _forked:
            return
        try:
            self.queue.finish()
        except cl.Error as error:
            raise OpenCLError(f"a command failed on {self}: {error}") from error
        with self._lock:
            self._staged.clear()
            self._staged_bytes = 0

    # Identity

    def key_parts(self, options: tuple[str, ...] = ()) -> tuple[tuple[str, str], ...]:
        """Return, named and in order, all that a binary built on this device depends on besides its source.

        Parameters
        ----------
        options : tuple of str
            The options it is built with.
        """
        record = self.record
        # pyopencl appends what this variable holds to the options of every build.
        forced = os.environ.get("PYOPENCL_BUILD_OPTIONS", "")
        return (
            ("platform", record["platform"]),
            ("platform version", record["platform_version"]),
            ("device", record["name"]),
            ("device version", record["version"]),
            ("driver", record["driver"]),
            ("OpenCL C", " ".join(record["opencl_c"])),
            ("address bits", str(self.limits.address_bits)),
            ("profile", self.profile.name if self.profile else ""),
            ("options", " ".join((*options, forced)).strip()),
        )

    def require(self, feature: str, op: str) -> None:
        """Raise unless the device has a feature that an operation needs.

        Parameters
        ----------
        feature : str
            A field of `Features`, such as ``"fp64"``.
        op : str
            The operation, for the message.

        Raises
        ------
        OpenCLUnsupportedError
            A TypeError, as NumPy raises for an unsupported dtype.
        """
        if getattr(self.features, feature):
            return
        what, instead = {
            "fp64": ("float64 (cl_khr_fp64)", "; use float32 here, or the CPU"),
            "fp16": ("float16 arithmetic (cl_khr_fp16)", "; compute in float32 and store float16"),
            "subgroups": ("subgroup functions", ""),
            "int64_atomics": ("64-bit atomic operations", ""),
        }[feature]
        raise OpenCLUnsupportedError(f"{op}: {self} has no {what}{instead}")

    # Memory

    def allocate(self, nbytes: int) -> OpenCLStorage:
        """Return memory of at least `nbytes` bytes (0 is allowed), uninitialised.

        Raises
        ------
        MemoryError
            More than the device allows in one buffer, or its memory is full even after unused buffers were given up.
        """
        size, most = size_class(nbytes), self.limits.max_allocation
        if size > most:
            if nbytes > most:
                raise MemoryError(f"{nbytes} bytes in one array; {self} allows {most} at most")
            size = most
        return OpenCLStorage(Block(self.pool, size), self)

    def _create(self, nbytes: int) -> Any:
        import pyopencl as cl

        # Some drivers promise more than there is and fail at a later command, where the cause is hard to tell.
        held = self.pool.statistics.active + self.pool.statistics.cached
        error = "its memory is full" if held + nbytes > self.limits.global_memory else ""
        if not error:
            try:
                return cl.Buffer(self.context, cl.mem_flags.READ_WRITE, nbytes)
            except cl.Error as reason:
                if reason.code not in _no_memory_codes():
                    raise OpenCLError(f"{nbytes} bytes on {self}: {reason}") from reason
                error = str(reason)
        raise MemoryError(f"{nbytes} bytes on {self}: {error}; {self.memory_text()}")

    def memory_text(self) -> str:
        """Return in words how much memory is in use, for messages."""
        counts = self.pool.statistics
        return f"{counts.active} bytes are in use, {counts.cached} kept for reuse, of {self.limits.global_memory}"

    def upload(self, storage: OpenCLStorage, array: np.ndarray) -> None:
        """Copy an array's elements, in C order, to the storage's beginning.

        The array may be changed once this has returned. Small arrays are copied and not waited for.

        Raises
        ------
        ValueError
            The storage is too small or lies on another device.
        """
        source = _as_bytes(np.ascontiguousarray(array))
        self._check_range("upload", storage, source.nbytes)
        if not source.nbytes:
            return
        import pyopencl as cl

        staged = source.nbytes <= STAGED_BYTES
        if staged:
            self._make_room(source.nbytes)
            source = source.copy() if np.may_share_memory(source, array) else source
        try:
            event = cl.enqueue_copy(
                self.queue, storage.buffer, source, dst_offset=storage.offset, is_blocking=not staged
            )
        except cl.Error as error:
            raise self._failed(f"upload of {source.nbytes} bytes", error) from error
        if staged:
            with self._lock:
                # The event holds the copy, and waits for the transfer when it is dropped.
                self._staged.append((event, source.nbytes))
                self._staged_bytes += source.nbytes

    def _make_room(self, nbytes: int) -> None:
        """Drop the staged copies that have been transferred, and wait for the oldest if too many are left."""
        import pyopencl as cl

        done = cl.command_execution_status.COMPLETE
        with self._lock:
            staged = self._staged
            while staged and (
                self._staged_bytes + nbytes > STAGED_TOTAL or staged[0][0].command_execution_status == done
            ):
                event, size = staged.popleft()
                self._staged_bytes -= size
                event.wait()

    def download(self, storage: OpenCLStorage, target: int | np.ndarray) -> np.ndarray:
        """Copy from the storage's beginning to the host, after everything in the queue.

        Parameters
        ----------
        storage : OpenCLStorage
        target : int or numpy.ndarray
            A number of bytes, or a writable C-contiguous array to fill.

        Returns
        -------
        numpy.ndarray
            The array that was given, else a new one of uint8.

        Raises
        ------
        ValueError
            The storage is too small or lies on another device, or the array is read-only or not contiguous.
        """
        array = np.empty(target, np.uint8) if isinstance(target, int) else target
        if not (array.flags.c_contiguous and array.flags.writeable):
            raise ValueError("download: the array to fill must be writable and C-contiguous")
        data = _as_bytes(array)
        self._check_range("download", storage, data.nbytes)
        if data.nbytes:
            import pyopencl as cl

            try:
                cl.enqueue_copy(self.queue, data, storage.buffer, src_offset=storage.offset, is_blocking=True)
            except cl.Error as error:
                raise self._failed(f"download of {data.nbytes} bytes", error) from error
        return array

    def copy(self, target: OpenCLStorage, source: OpenCLStorage, nbytes: int) -> None:
        """Copy `nbytes` bytes to a storage on this device, from one on this or another device.

        Ranges of one buffer may overlap. From another device it goes through the host.

        Raises
        ------
        ValueError
            A storage is too small, or the target lies on another device.
        """
        self._check_range("copy", target, nbytes)
        if source.device is not self:
            self.upload(target, source.device.download(source, nbytes))
            return
        self._check_range("copy", source, nbytes)
        if not nbytes or (target.shares(source) and target.offset == source.offset):
            return
        if target.shares(source) and abs(target.offset - source.offset) < nbytes:
            between = self.allocate(nbytes)
            self.copy(between, source, nbytes)
            source = between
        import pyopencl as cl

        try:
            cl.enqueue_copy(
                self.queue,
                target.buffer,
                source.buffer,
                byte_count=nbytes,
                src_offset=source.offset,
                dst_offset=target.offset,
            )
        except cl.Error as error:
            raise self._failed(f"copy of {nbytes} bytes", error) from error

    def _check_range(self, what: str, storage: OpenCLStorage, nbytes: int) -> None:
        if storage.device is not self:
            raise ValueError(f"{what}: the storage lies on {storage.device}, not on {self}")
        if nbytes > storage.nbytes or nbytes < 0:
            raise ValueError(f"{what}: {nbytes} bytes do not fit the {storage.nbytes} bytes of {storage}")

    def _failed(self, what: str, error: Any) -> Exception:
        """Return the exception to raise for a failed transfer."""
        message = f"{what} on {self}: {error}"
        return (
            MemoryError(f"{message}; {self.memory_text()}")
            if error.code in _no_memory_codes()
            else OpenCLError(message)
        )

    # Programs

    def build(self, source: str, options: tuple[str, ...] = ()) -> OpenCLProgram:
        """Compile a program.

        Raises
        ------
        OpenCLBuildError
            With device, options, numbered source and the compiler's log.
        """
        if not source:
            raise ValueError("build: the source is empty")
        return OpenCLProgram(self, source, b"", tuple(options))

    def load(self, binary: bytes, options: tuple[str, ...] = ()) -> OpenCLProgram:
        """Load a program from the `binary` of one that was built on an equal device with the same options.

        The binary must be whole, as it is when it comes from the store, which checks: PoCL 3.1 crashes on half of one.

        Raises
        ------
        OpenCLBuildError
            The driver does not accept it, another version of it perhaps.
        """
        return OpenCLProgram(self, "", bytes(binary), tuple(options))

    def check_source(self, source: str, options: tuple[str, ...]) -> None:
        """On a simulated device, refuse a source that uses what the profile lacks; the real driver would accept it."""
        if self.profile is None or not source:
            return
        used = words(source)
        lacking = [
            name for name, has in (("double", self.features.fp64), ("cl_khr_fp16", self.features.fp16)) if not has
        ]
        found = [name for name in lacking if name in used]
        if found:
            log = f"error: use of {', '.join(found)} on a device without it (profile {self.profile.name})"
            raise OpenCLBuildError(str(self), options, source, log)


_known: weakref.WeakSet[OpenCLDevice] = weakref.WeakSet()
_forked = False
"""Whether this process is the child of a fork, and its parent had loaded drivers."""


def _after_fork() -> None:
    """Guard the child of a fork. Listing devices has loaded their drivers, whose threads are not there any more.

    Nor may what was inherited be released, not even when the interpreter ends: NVIDIA's driver crashes on it. A list
    that has one reference too many keeps it alive for ever.
    """
    global _forked
    if not _known:
        return
    _forked = True
    inherited: list[Any] = list(alive)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(inherited))
    for device in _known:
        device.abandon(inherited)


os.register_at_fork(after_in_child=_after_fork)


def _no_memory_codes() -> tuple[int, ...]:
    import pyopencl as cl

    status = cl.status_code
    return (status.MEM_OBJECT_ALLOCATION_FAILURE, status.OUT_OF_RESOURCES, status.OUT_OF_HOST_MEMORY)


def _as_bytes(array: np.ndarray) -> np.ndarray:
    """Return a C-contiguous array's memory as uint8. (bfloat16 arrays offer no buffer themselves.)"""
    return array.reshape(-1).view(np.uint8)
