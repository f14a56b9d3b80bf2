"""The memory pool in Python: the twin of code_pool.py."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from trueno.runtime.launcher.records import fork_safe_lock

_ALIGNMENT = 64
_Block = tuple[np.ndarray, int]  # memory, and the first aligned address in it


def capacity_of(nbytes: int) -> int:
    """Return the capacity of the block that serves a request: 4 significant bits, in units of 64 bytes."""
    last = (max(nbytes, 1) - 1) >> 6
    shift = max(last.bit_length(), 4) - 4
    return (((last >> shift) + 1) << shift) << 6


class Storage:
    """Memory of a tensor: an address, and what keeps it valid."""

    __slots__ = ("_capacity", "_pool", "address", "owner")

    def __init__(self, address: int, owner: Any, pool: PythonPool | None = None, capacity: int = 0) -> None:
        self.address, self.owner, self._pool, self._capacity = address, owner, pool, capacity

    def __del__(self) -> None:
        if self._pool is not None:
            self._pool.give(self.owner, self._capacity)


class PythonPool:
    """A pool of blocks by size class with a cap on the bytes that it keeps for reuse."""

    def __init__(self, limit: int) -> None:
        self._lock = fork_safe_lock()
        self._free: defaultdict[int, list[_Block]] = defaultdict(list)
        self._limit = limit
        self._active = self._cached = self._peak = self._allocations = self._reuses = 0

    def _take(self, capacity: int) -> _Block:
        with self._lock:
            blocks = self._free.get(capacity)
            if blocks:
                block = blocks.pop()
                self._cached -= capacity
                self._reuses += 1
            else:
                block = self._new_block(capacity)
                self._allocations += 1
            self._active += capacity
            self._peak = max(self._peak, self._active)
            return block

    def _new_block(self, capacity: int) -> _Block:
        try:
            raw = np.empty(capacity + _ALIGNMENT, np.uint8)
        except (MemoryError, ValueError):
            self.empty_cache()
            try:
                raw = np.empty(capacity + _ALIGNMENT, np.uint8)
            except ValueError as error:
                raise MemoryError(f"cannot allocate {capacity} bytes") from error
        return raw, raw.ctypes.data + -raw.ctypes.data % _ALIGNMENT

    def give(self, block: _Block, capacity: int) -> None:
        """Take a block back."""
        with self._lock:
            self._active -= capacity
            if capacity > self._limit:
                return
            if self._cached + capacity > self._limit:
                self._make_room(capacity)
            if self._cached + capacity <= self._limit:
                self._free[capacity].append(block)
                self._cached += capacity

    def _make_room(self, capacity: int) -> None:
        """Drop blocks of other sizes, large ones first, until the capacity fits.

        What is cached now serves nobody, or it would have been taken. Blocks of this size may come in numbers.
        """
        for other in sorted(self._free, reverse=True):
            while other != capacity and self._free[other] and self._cached + capacity > self._limit:
                self._free[other].pop()
                self._cached -= other

    def allocate(self, nbytes: int) -> Storage:
        if nbytes < 0:
            raise ValueError("memory of a negative number of bytes")
        capacity = capacity_of(nbytes)
        block = self._take(capacity)
        return Storage(block[1], block, self, capacity)

    def pointer(self, storage: Storage) -> int:
        if type(storage) is not Storage:
            raise ValueError(f"expected a storage, got {type(storage).__name__}")
        return storage.address

    def view(self, storage: Storage, byte_offset: int) -> Storage:
        # A view of a view keeps the memory's owner alive, not the chain of views.
        owner = storage if storage._pool is not None else storage.owner
        return Storage(self.pointer(storage) + byte_offset, owner)

    def wrap(self, address: int, owner: Any) -> Storage:
        return Storage(address or _ALIGNMENT, owner)

    def statistics(self) -> dict[str, int]:
        with self._lock:
            return {
                "active": self._active,
                "cached": self._cached,
                "peak": self._peak,
                "limit": self._limit,
                "allocations": self._allocations,
                "reuses": self._reuses,
            }

    def empty_cache(self) -> None:
        with self._lock:
            self._free.clear()
            self._cached = 0

    def reset_statistics(self) -> None:
        with self._lock:
            self._peak = self._active
            self._allocations = self._reuses = 0

    def set_limit(self, nbytes: int) -> None:
        with self._lock:
            self._limit = nbytes
            if self._cached > nbytes:
                self.empty_cache()
