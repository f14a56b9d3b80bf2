"""Storages and the memory pool, native and in Python."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import trueno as tn
from trueno.runtime import launcher, memory
from trueno.runtime.launcher.native import NativePool
from trueno.runtime.launcher.python_pool import capacity_of

MIB = 1 << 20


@pytest.fixture(params=["native", "python"])
def pool(request: pytest.FixtureRequest) -> Any:
    result = launcher.create(request.param).pool
    result.empty_cache()
    result.set_limit(64 * MIB)
    return result


def fill(pool: Any, storage: Any, count: int, value: int) -> None:
    ctypes.memset(pool.pointer(storage), value, count)


def read(pool: Any, storage: Any, count: int) -> bytes:
    return ctypes.string_at(pool.pointer(storage), count)


@pytest.mark.parametrize("nbytes", [0, 1, 63, 64, 65, 400, 4096, 100_000, 2 * MIB - 1, 2 * MIB, 10 * MIB + 7])
def test_memory_is_aligned_writable_and_apart(pool: Any, nbytes: int) -> None:
    storages = [pool.allocate(nbytes) for _ in range(3)]
    for value, storage in enumerate(storages):
        assert pool.pointer(storage) % 64 == 0
        assert pool.pointer(storage) != 0
        fill(pool, storage, nbytes, value)
    for value, storage in enumerate(storages):
        assert read(pool, storage, nbytes) == bytes([value]) * nbytes


def test_large_blocks_start_on_a_huge_page(pool: Any) -> None:
    storage = pool.allocate(8 * MIB)
    if sys.platform == "linux" and isinstance(pool, NativePool):
        assert pool.pointer(storage) % (2 * MIB) == 0
    fill(pool, storage, 8 * MIB, 1)


@pytest.mark.parametrize("nbytes", [1, 1000, 3 * MIB])
def test_a_freed_block_is_used_again(pool: Any, nbytes: int) -> None:
    storage = pool.allocate(nbytes)
    address = pool.pointer(storage)
    before = pool.statistics()
    del storage
    middle = pool.statistics()
    storage = pool.allocate(max(1, nbytes - 10))
    after = pool.statistics()
    assert pool.pointer(storage) == address
    assert middle["cached"] - before["cached"] == before["active"] - middle["active"] == capacity_of(nbytes)
    assert after["reuses"] == before["reuses"] + 1
    assert after["allocations"] == before["allocations"]
    assert after["cached"] == before["cached"]
    assert after["active"] == before["active"]


def test_statistics_follow_what_is_in_use(pool: Any) -> None:
    start = pool.statistics()
    storages = [pool.allocate(MIB) for _ in range(5)]
    used = pool.statistics()
    assert used["active"] == start["active"] + 5 * MIB
    assert used["peak"] >= used["active"]
    assert used["allocations"] == start["allocations"] + 5
    del storages
    freed = pool.statistics()
    assert freed["active"] == start["active"]
    assert freed["peak"] == used["peak"]
    assert freed["cached"] == start["cached"] + 5 * MIB
    pool.reset_statistics()
    assert pool.statistics()["peak"] == freed["active"]
    assert pool.statistics()["allocations"] == pool.statistics()["reuses"] == 0


@pytest.mark.parametrize("name", ["cpu", pytest.param("opencl", marks=pytest.mark.opencl)])
def test_statistics_of_a_device(name: str) -> None:
    device = next(one for one in tn.devices() if one.startswith(name))
    tn.reset_memory_statistics(device)
    start = tn.memory_statistics(device)
    assert start["peak"] == start["active"]
    x = tn.zeros(MIB, device=device)
    used = tn.memory_statistics(device)
    assert used["active"] >= start["active"] + 4 * MIB
    assert used["allocations"] + used["reuses"] > 0
    del x
    freed = tn.memory_statistics(device)
    assert (freed["active"], freed["peak"]) == (start["active"], used["peak"])
    assert freed["cached"] >= 4 * MIB
    assert freed["limit"] > 0
    tn.empty_cache(device)
    assert tn.memory_statistics(device)["cached"] == 0
    with tn.device(device):
        assert tn.memory_statistics()["active"] == start["active"]


def test_statistics_of_no_device() -> None:
    with pytest.raises(ValueError, match="unknown device 'gpu'"):
        tn.memory_statistics("gpu")


def test_capacities_waste_little() -> None:
    for nbytes in [*range(1, 5000), 10**5, 10**6, 40_000_000, 2**40 + 1]:
        capacity = capacity_of(nbytes)
        assert nbytes <= capacity <= max(64 + nbytes, nbytes * 1.125 + 64)
        assert capacity_of(capacity) == capacity


def test_both_pools_have_the_same_capacities(pool: Any) -> None:
    for nbytes in [0, 1, 64, 65, 511, 512, 513, 576, 577, 1024, 1025, 5000, 12345, 10**6, 5 * MIB + 1]:
        before = pool.statistics()["active"]
        storage = pool.allocate(nbytes)
        assert pool.statistics()["active"] - before == capacity_of(nbytes), nbytes
        del storage


def test_the_cache_has_a_cap(pool: Any) -> None:
    pool.set_limit(10 * MIB)
    for size in (1, 2, 3, 4, 5, 6, 7, 8, 9):
        storages = [pool.allocate(size * MIB) for _ in range(2)]
        del storages
        assert pool.statistics()["cached"] <= 10 * MIB
    big = pool.allocate(11 * MIB)
    before = pool.statistics()["cached"]
    del big
    assert pool.statistics()["cached"] == before
    pool.set_limit(0)
    assert pool.statistics()["cached"] == 0
    pool.allocate(100)
    assert pool.statistics()["cached"] == 0


def test_a_full_cache_keeps_blocks_of_the_size_that_is_freed(pool: Any) -> None:
    pool.set_limit(10 * MIB)
    small = [pool.allocate(MIB) for _ in range(4)]
    del small
    many = [pool.allocate(2 * MIB) for _ in range(9)]
    del many
    assert pool.statistics()["cached"] == 10 * MIB  # five blocks, for which the small ones had to go
    pool.reset_statistics()
    many = [pool.allocate(2 * MIB) for _ in range(9)]
    assert (pool.statistics()["reuses"], pool.statistics()["allocations"]) == (5, 4)
    del many
    kept = pool.allocate(3 * MIB)
    del kept
    assert pool.statistics()["cached"] == 9 * MIB  # two of the five are gone
    pool.reset_statistics()
    both = [pool.allocate(2 * MIB) for _ in range(4)], pool.allocate(3 * MIB)
    assert (pool.statistics()["reuses"], pool.statistics()["allocations"]) == (4, 1)
    del both


def test_the_cache_can_be_emptied(pool: Any) -> None:
    kept = pool.allocate(1000)
    fill(pool, kept, 1000, 7)
    for size in (0, 10, 100, 1000, 10_000, 5 * MIB):
        storages = [pool.allocate(size) for _ in range(3)]
        del storages
    assert pool.statistics()["cached"] > 15 * MIB
    pool.empty_cache()
    assert pool.statistics()["cached"] == 0
    assert read(pool, kept, 1000) == bytes([7]) * 1000


def test_emptying_returns_pages_to_the_system(pool: Any) -> None:
    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    storage = pool.allocate(48 * MIB)
    fill(pool, storage, 48 * MIB, 1)
    full = resident()
    del storage
    pool.empty_cache()
    assert full - resident() > 40 * MIB


def test_a_view_keeps_the_memory_alive(pool: Any) -> None:
    storage = pool.allocate(100)
    address = pool.pointer(storage)
    fill(pool, storage, 100, 9)
    view = pool.view(pool.view(storage, 40), 8)
    assert pool.pointer(view) == address + 48
    del storage
    gc.collect()
    others = [pool.allocate(100) for _ in range(4)]
    assert address not in map(pool.pointer, others)
    assert read(pool, view, 10) == bytes([9]) * 10
    del view
    assert pool.pointer(pool.allocate(100)) == address


def test_long_chains_of_views_are_dropped_without_recursion(pool: Any) -> None:
    active = pool.statistics()["active"]
    storage = pool.allocate(64)
    for _ in range(200_000):
        storage = pool.view(storage, 0)
    del storage
    assert pool.statistics()["active"] == active


def test_foreign_memory_is_not_copied_and_its_owner_lives(pool: Any) -> None:
    array = np.arange(10, dtype="i8")
    alive = weakref.ref(array)
    storage = pool.wrap(array.ctypes.data, array)
    view = pool.view(storage, 16)
    assert pool.pointer(storage) == array.ctypes.data
    count = sys.getrefcount(array)
    array[2] = 77
    assert int.from_bytes(read(pool, view, 8), "little") == 77
    del storage
    assert sys.getrefcount(array) == count - 1
    del array
    gc.collect()
    assert alive() is not None
    del view
    gc.collect()
    assert alive() is None


def test_foreign_memory_of_no_bytes(pool: Any) -> None:
    assert pool.pointer(pool.wrap(0, None)) != 0


def test_bad_requests(pool: Any) -> None:
    with pytest.raises(ValueError, match="negative"):
        pool.allocate(-1)
    with pytest.raises(MemoryError):
        pool.allocate(1 << 50)
    with pytest.raises((TypeError, ValueError)):
        pool.pointer("storage")
    with pytest.raises((TypeError, ValueError, AttributeError)):
        pool.view(object(), 1)
    with pytest.raises(TypeError):
        pool.view()
    with pytest.raises(TypeError):
        pool.allocate("many")


def test_memory_that_is_not_there_empties_the_cache_first(pool: Any) -> None:
    storage = pool.allocate(MIB)
    del storage
    granted = []
    with pytest.raises(MemoryError):
        for _ in range(3):  # a system that promises any amount has an address space of 1 << 47
            granted.append(pool.allocate(1 << 46))
    assert pool.statistics()["cached"] == 0
    assert pool.pointer(pool.allocate(MIB))


def test_threads_share_the_pool(pool: Any) -> None:
    failures: list[BaseException] = []

    def work(value: int) -> None:
        try:
            for size in range(1, 600):
                storages = [pool.allocate(size * 64) for _ in range(4)]
                for storage in storages:
                    fill(pool, storage, size * 64, value)
                assert all(read(pool, storage, size * 64) == bytes([value]) * (size * 64) for storage in storages)
        except BaseException as error:
            failures.append(error)

    active = pool.statistics()["active"]
    workers = [threading.Thread(target=work, args=(value,)) for value in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []
    assert pool.statistics()["active"] == active


def test_the_module_serves_the_launcher_in_use() -> None:
    storage = memory.allocate(100)
    assert memory.pointer(memory.view(storage, 36)) == memory.pointer(storage) + 36
    assert memory.statistics()["active"] >= 128
    memory.reset_statistics()
    limit = memory.statistics()["limit"]
    memory.set_limit(limit)
    memory.empty_cache()
    assert memory.statistics()["cached"] == 0
    for wrong, error in ((-1, ValueError), ("1", TypeError), (True, TypeError)):
        with pytest.raises(error, match="set_limit"):
            memory.set_limit(wrong)  # type: ignore[arg-type]
    assert launcher.pool() is memory._pool


# What tensors and kernels take ----------------------------------------------------------------------------------------


def change(record: Callable[[], Any]) -> tuple[int, int, int]:
    """Return by how many bytes a call's result raises what is in use, and the call the peak; and what is kept then."""
    record()  # what it compiles may allocate, too
    gc.collect()
    tn.reset_memory_statistics()
    start = tn.memory_statistics()
    result = record()
    during = tn.memory_statistics()
    del result
    return during["active"] - start["active"], during["peak"] - start["active"], tn.memory_statistics()["cached"]


def test_writes_in_place_and_views_take_no_memory() -> None:
    x, y = tn.zeros(MIB), tn.ones(MIB)

    def in_place() -> None:
        nonlocal x
        x += y
        x *= 2
        x[::2] = 3
        x[1::2] -= 1

    assert change(in_place)[:2] == (0, 0)
    assert change(lambda: (x[::2], x.reshape(2, -1).T, x[None].expand(5, MIB), x.detach(), x.numpy()))[:2] == (0, 0)
    assert change(lambda: x + y)[:2] == (4 * MIB, 4 * MIB)
    assert change(lambda: x * 2 + y)[:2] == (4 * MIB, 8 * MIB)


def test_a_view_counts_as_all_of_its_memory() -> None:
    active, peak, _ = change(lambda: tn.zeros(MIB)[:10])
    assert (active, peak) == (4 * MIB, 4 * MIB)
    active, peak, _ = change(lambda: tn.zeros(MIB).numpy()[:10])
    assert (active, peak) == (4 * MIB, 4 * MIB)


def test_scratch_memory_counts_while_the_kernel_runs() -> None:
    x = tn.ones(1024, 1024)
    kernel = tn.kernel(lambda x: tn.cumsum(x, 1).mT + x)
    active, peak, cached = change(lambda: kernel(x))
    assert (active, peak) == (4 * MIB, 8 * MIB)
    assert cached >= 8 * MIB


def test_threads_leave_nothing_behind() -> None:
    kernel = tn.kernel(lambda x: tn.cumsum(x, 1).mT + x)
    x = tn.ones(256, 256)
    kernel(x)
    gc.collect()
    tn.reset_memory_statistics()
    start = tn.memory_statistics()

    def work() -> None:
        for _ in range(50):
            kernel(x)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    end = tn.memory_statistics()
    assert end["active"] == start["active"]
    assert 512 << 10 <= end["peak"] - start["active"] <= 4 * (512 << 10)
    assert end["allocations"] + end["reuses"] == 2 * 4 * 50


def test_a_child_counts_on_from_its_parent() -> None:
    x = tn.ones(MIB)
    before = tn.memory_statistics()
    child = os.fork()
    if child == 0:
        status = 1
        with contextlib.suppress(BaseException):
            same = tn.memory_statistics() == before
            y = x + 1
            more = tn.memory_statistics()["active"] - before["active"]
            del y
            freed = tn.memory_statistics()["active"] == before["active"]
            tn.empty_cache()
            status = 0 if same and more == 4 * MIB and freed and tn.memory_statistics()["cached"] == 0 else 2
        os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert tn.memory_statistics() == before
