"""Device memory: buffers that are used again, and the storage objects that share them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trueno.runtime.opencl.opencl_device import OpenCLDevice

SMALLEST = 256
"""Bytes of the smallest buffer, and the granularity of all."""


def size_class(nbytes: int) -> int:
    """Return the bytes to allocate for `nbytes`: the next of four steps between powers of two, 256 at least.

    At most a fifth of a buffer is waste (a half would be with powers of two alone), and buffers of nearly equal sizes
    can stand in for one another.
    """
    if nbytes <= SMALLEST:
        return SMALLEST
    step = max(1 << (nbytes - 1).bit_length() - 3, SMALLEST)
    return -(-nbytes // step) * step


@dataclass(slots=True)
class PoolStatistics:
    """Bytes and counts of a `Pool`.

    Attributes
    ----------
    active : int
        Bytes of buffers in use.
    cached : int
        Bytes of buffers kept to be used again.
    peak : int
        The most that `active` has been.
    cap : int
        The most that `cached` may be.
    reused, allocated : int
        How many requests were met from the pool, and how many by the driver.
    """

    active: int = 0
    cached: int = 0
    peak: int = 0
    cap: int = 0
    reused: int = 0
    allocated: int = 0

    def as_dict(self) -> dict[str, int]:
        """Return the numbers under the names that `trueno.memory_statistics` has for all devices."""
        return {
            "active": self.active, "cached": self.cached, "peak": self.peak, "limit": self.cap,
            "allocations": self.allocated, "reuses": self.reused,
        }  # fmt: skip


class Pool:
    """Buffers of one device, kept for later requests of the same size class.

    A buffer may be handed out while commands that use it still wait in the queue: every command on the buffer goes
    through the device's one in-order queue, so that its new user's commands run after those of the old.

    Parameters
    ----------
    create : callable
        Makes a buffer of so many bytes. Raises MemoryError when there is no memory.
    cap : int
        Bytes that may be kept unused. The buffers kept longest are given up first.
    """

    def __init__(self, create: Callable[[int], Any], cap: int) -> None:
        self._create = create
        self._free: dict[int, list[Any]] = {}
        # Re-entrant: collecting garbage may return a buffer from within any of the methods below.
        self._lock = threading.RLock()
        self._abandoned: list[Any] | None = None
        self.statistics = PoolStatistics(cap=cap)

    def take(self, size: int) -> Any:
        """Return a buffer of a size class.

        Raises
        ------
        MemoryError
            The driver has no memory even after all kept buffers were given up.
        """
        counts = self.statistics
        with self._lock:
            kept = self._free.get(size)
            if kept:
                buffer = kept.pop()
                counts.cached -= size
                counts.reused += 1
            else:
                try:
                    buffer = self._create(size)
                except MemoryError:
                    if not counts.cached:
                        raise
                    self.trim(0)
                    buffer = self._create(size)
                counts.allocated += 1
            counts.active += size
            counts.peak = max(counts.peak, counts.active)
        return buffer

    def give(self, size: int, buffer: Any) -> None:
        """Take a buffer back."""
        counts = self.statistics
        with self._lock:
            counts.active -= size
            if self._abandoned is not None:
                self._abandoned.append(buffer)
                return
            if size > counts.cap:
                return
            # Moved to the end, so that `trim` meets the size classes that were idle longest first.
            kept = self._free.pop(size, [])
            kept.append(buffer)
            self._free[size] = kept
            counts.cached += size
            if counts.cached > counts.cap:
                self.trim(counts.cap)

    def trim(self, nbytes: int = 0) -> None:
        """Give kept buffers back to the driver until at most `nbytes` are kept.

        The driver itself waits for commands that still use them (clReleaseMemObject).
        """
        counts = self.statistics
        with self._lock:
            while counts.cached > nbytes:
                size = next(iter(self._free))
                kept = self._free[size]
                if kept:
                    kept.pop(0)
                    counts.cached -= size
                if not kept:
                    del self._free[size]

    def empty_cache(self) -> None:
        """Give all kept buffers back to the driver."""
        self.trim(0)

    def reset_statistics(self) -> None:
        """Count allocations and reuses anew, and the peak from what is active now."""
        with self._lock:
            counts = self.statistics
            counts.peak, counts.reused, counts.allocated = counts.active, 0, 0

    def abandon(self, keep: list[Any]) -> None:
        """Release nothing any more, in the child of a fork: buffers that are kept, or come back later, go to `keep`."""
        self._lock = threading.RLock()
        keep.extend(buffer for buffers in self._free.values() for buffer in buffers)
        self._free = {}
        self.statistics.cached = 0
        self._abandoned = keep

    @property
    def cap(self) -> int:
        """Bytes that may be kept unused; may be set."""
        return self.statistics.cap

    @cap.setter
    def cap(self, nbytes: int) -> None:
        self.statistics.cap = nbytes
        self.trim(nbytes)


class Block:
    """A buffer in use. It goes back to its pool when no storage holds it any more."""

    __slots__ = ("__weakref__", "buffer", "nbytes", "pool")

    def __init__(self, pool: Pool, nbytes: int) -> None:
        self.nbytes = nbytes
        self.buffer = pool.take(nbytes)
        self.pool = pool

    def __del__(self) -> None:
        # `pool` is missing where take() failed.
        pool = getattr(self, "pool", None)
        if pool is not None:
            pool.give(self.nbytes, self.buffer)


class OpenCLStorage:
    """Memory of an array on an OpenCL device; views share the buffer.

    Attributes
    ----------
    buffer : pyopencl.Buffer
    offset : int
        Bytes from the buffer's beginning to the first element.
    device : OpenCLDevice
    """

    __slots__ = ("__weakref__", "_block", "buffer", "device", "offset")

    def __init__(self, block: Block, device: OpenCLDevice, offset: int = 0) -> None:
        self._block = block
        self.buffer = block.buffer
        self.device = device
        self.offset = offset

    @property
    def nbytes(self) -> int:
        """Bytes from the first element to the buffer's end: at least as many as were asked for."""
        return self._block.nbytes - self.offset

    def view(self, byte_offset: int) -> OpenCLStorage:
        """Return a storage that begins `byte_offset` bytes after this one (before it, if negative) in the same memory.

        Raises
        ------
        ValueError
            That lies outside the buffer.
        """
        offset = self.offset + byte_offset
        if not 0 <= offset <= self._block.nbytes:
            raise ValueError(f"a view at byte {offset} of a buffer of {self._block.nbytes} bytes lies outside of it")
        return OpenCLStorage(self._block, self.device, offset)

    def shares(self, other: OpenCLStorage) -> bool:
        """Return whether both lie in one buffer."""
        return self._block is other._block

    def __repr__(self) -> str:
        return f"OpenCLStorage({self.nbytes} bytes at offset {self.offset} on {self.device})"
