"""Storages of CPU memory, from a pool that keeps freed blocks for reuse.

A storage is an opaque object: the launcher's native code and its Python twin have one each. Its memory is aligned to 64
bytes and not cleared. It lives as long as the storage, or a view of it, does; then it goes back to the pool, which
keeps at most TRUENO_POOL_BYTES, and gives the next array of about that size pages that are already mapped. Large blocks
ask for huge pages.
"""

from __future__ import annotations

from trueno.runtime import launcher

_pool = launcher.pool()

# Bound once: the native functions are called without a Python frame.
allocate = _pool.allocate
"""``allocate(nbytes)``: a new storage; ValueError if negative, MemoryError if there is no memory."""

pointer = _pool.pointer
"""``pointer(storage)``: the address of its first byte; ValueError if it is no storage."""

view = _pool.view
"""``view(storage, byte_offset)``: a storage that starts elsewhere in the same memory and keeps it alive."""

wrap = _pool.wrap
"""``wrap(address, owner)``: a storage on foreign memory, valid as long as `owner` lives, which it keeps alive."""


_bridge = launcher.bridge()

host = _bridge.host
"""``host(tensor)``: the NumPy array on a tensor's memory, which it keeps alive; TypeError for one not on the CPU."""

adopt = _bridge.adopt
"""``adopt(array)``: a tensor on a NumPy array's memory, which keeps the array; None for what `learn` has not seen."""

taped = _bridge.taped
"""``taped(value)``: whether it is a tensor that takes part in autograd, or one that is stale (runtime/inplace)."""

nonzero = _bridge.nonzero
"""``nonzero(mask)``: the places where a vector of bools is true, an int64 tensor; None for what it does not serve."""

add_at = _bridge.add_at
"""``add_at(x, places, value)``: add to elements of a vector, as often as each is named; False where not served."""

count = _bridge.count
"""``count(groups, weights, extent)``: how often each int64 of a vector occurs, or the sums of their float64 weights.

A tensor of at least that extent; None for what it does not serve."""

learn = _bridge.learn
"""``learn(array, layout)``: let `adopt`, and calls with arrays among their operands, know the layout of such arrays."""


learn_view = _bridge.learn_view
"""``learn_view(layout, source)``: let indexing know the layout of views of tensors on the CPU with another layout."""


def statistics() -> dict[str, int]:
    """Return the state of the pool.

    Returns
    -------
    dict of str to int
        ``active``: bytes of blocks in use, rounded up as they are allocated; ``cached``: bytes kept for reuse;
        ``peak``: most active bytes so far; ``limit``: most bytes that are kept; ``allocations`` and ``reuses``: blocks
        that came from the system and from the pool. Foreign memory is not counted; a kernel's scratch memory is, while
        it runs.
    """
    return _pool.statistics()


def reset_statistics() -> None:
    """Start counting allocations and reuses anew, and the peak from what is active now."""
    _pool.reset_statistics()


def empty_cache() -> None:
    """Give all blocks that are kept for reuse back to the system."""
    _pool.empty_cache()


def set_limit(nbytes: int) -> None:
    """Set how many bytes are kept for reuse.

    Raises
    ------
    TypeError
        If `nbytes` is not an int.
    ValueError
        If it is negative.
    """
    if isinstance(nbytes, bool) or not isinstance(nbytes, int):
        raise TypeError(f"set_limit: expected an int, got {type(nbytes).__name__}")
    if nbytes < 0:
        raise ValueError(f"set_limit: expected at least 0 bytes, got {nbytes}")
    _pool.set_limit(nbytes)
