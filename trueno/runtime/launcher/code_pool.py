"""Native code of the memory pool and of storages, as text.

A storage is a capsule named "trueno.storage" whose pointer is the data's address. A block of the pool has the size that
was asked for as the capsule's context; any other memory has the object that owns it there.
"""

from __future__ import annotations

import sys

from trueno.runtime.launcher.abi import (
    CAPSULE_CONTEXT,
    CAPSULE_DESTRUCTOR,
    CAPSULE_POINTER,
    CLASSES,
    LARGE,
    STATE,
    WORD,
)
from trueno.runtime.launcher.emit import Function, Module, Word

STORAGE_NAME = "trueno.storage"

# Linux; elsewhere large blocks come from posix_memalign like all others.
_READ_WRITE, _PRIVATE_ANONYMOUS, _HUGE_PAGES = 3, 0x22, 14


def emit(module: Module) -> None:
    """Add the pool's functions: take, give, empty_cache, and the builtins of runtime/memory.py."""
    module.string("storage_name", STORAGE_NAME)
    _system(module)
    _empty_cache(module)
    _make_room(module)
    _take(module)
    _give(module)
    _destructors(module)
    _storages(module)
    _builtins(module)


def size_class(f: Function, nbytes: Word) -> tuple[str, str]:
    """Emit the size class and the capacity of a request: capacities have 4 significant bits, in units of 64 bytes."""
    last = f.shift_right(f.sub(f.select(f.compare("eq", nbytes, 0), 1, nbytes), 1), 6)
    shift = f.sub(60, f.leading_zeros(f.either(last, 8)))
    high = f.shift_right(last, shift)
    capacity = f.shift_left(f.shift_left(f.add(high, 1), shift), 6)
    return f.add(high, f.shift_left(shift, 3)), capacity


def _capacity(f: Function, index: str) -> str:
    """Emit the capacity of a class, the inverse of `size_class`: the bits below the shift's are its leading digits."""
    shift = f.shift_right(f.select(f.compare("slt", index, 8), 0, f.sub(index, 8)), 3)
    high = f.sub(index, f.shift_left(shift, 3))
    return f.shift_left(f.add(high, 1), f.add(shift, 6))


def _system(module: Module) -> None:
    linux = sys.platform.startswith("linux")
    f = module.function("system_take", "capacity", cold=True)
    (capacity,) = f.parameters
    if linux:
        with f.when(f.compare("uge", capacity, LARGE)):
            length = f.add(capacity, LARGE)
            base = f.call("mmap", 0, length, _READ_WRITE, _PRIVATE_ANONYMOUS, -1, 0)
            with f.when(f.compare("eq", base, -1)):
                f.ret(0)
            address = f.both(f.add(base, LARGE - 1), -LARGE)
            before = f.sub(address, base)
            with f.when(f.compare("ne", before, 0)):
                f.call_int("munmap", base, before)
            after = f.sub(f.sub(length, before), capacity)
            with f.when(f.compare("ne", after, 0)):
                f.call_int("munmap", f.add(address, capacity), after)
            f.call_int("madvise", address, capacity, _HUGE_PAGES)
            f.ret(address)
    found = f.words(1)
    with f.when(f.compare("ne", f.call_int("posix_memalign", found, 64, capacity), 0)):
        f.ret(0)
    f.ret(f.load(found))
    f.end()

    f = module.function("system_give", "address", "capacity", cold=True)
    address, capacity = f.parameters
    if linux:
        with f.when(f.compare("uge", capacity, LARGE)):
            f.call_int("munmap", address, capacity)
            f.ret(0)
    f.call("free", address)
    f.ret(0)
    f.end()


def _empty_cache(module: Module) -> None:
    f = module.function("empty_cache", cold=True, export=True)
    with f.loop(CLASSES) as index:
        heads = f.add(f.address_of("state"), STATE["free"])
        with f.forever() as loop:
            block = f.element(heads, index)
            loop.leave_when(f.compare("eq", block, 0))
            f.set_element(f.load(block), heads, index)
            f.call("system_give", block, _capacity(f, index))
    f.set_state(STATE["cached"], 0)
    f.ret(0)
    f.end()


def _make_room(module: Module) -> None:
    """``make_room(capacity, own)``: give back blocks of other classes, large ones first, until the capacity fits."""
    f = module.function("make_room", "capacity", "own", cold=True)
    capacity, own = f.parameters
    heads = f.add(f.address_of("state"), STATE["free"])
    with f.loop(CLASSES) as place:
        index = f.sub(CLASSES - 1, place)
        with f.when(f.compare("ne", index, own)), f.forever() as loop:
            block = f.element(heads, index)
            loop.leave_when(f.compare("eq", block, 0))
            loop.leave_when(f.compare("sle", f.add(f.state(STATE["cached"]), capacity), f.state(STATE["limit"])))
            f.set_element(f.load(block), heads, index)
            other = _capacity(f, index)
            f.increase_state(STATE["cached"], f.sub(0, other))
            f.call("system_give", block, other)
    f.ret(0)
    f.end()


def _take(module: Module) -> None:
    f = module.function("take", "nbytes")
    (nbytes,) = f.parameters
    with f.when(f.compare("ugt", nbytes, 1 << 46)):
        f.ret(0)
    index, capacity = size_class(f, nbytes)
    head = f.add(f.add(f.address_of("state"), STATE["free"]), f.shift_left(index, 3))
    block = f.variable(f.load(head))
    with f.when(f.compare("ne", block.get(), 0)):
        f.store(f.load(block.get()), head)
        f.increase_state(STATE["cached"], f.sub(0, capacity))
        f.increase_state(STATE["reuses"], 1)
    with f.when(f.compare("eq", block.get(), 0)):
        block.set(f.call("system_take", capacity))
        with f.when(f.compare("eq", block.get(), 0)):
            f.call("empty_cache")
            block.set(f.call("system_take", capacity))
            with f.when(f.compare("eq", block.get(), 0)):
                f.ret(0)
        f.increase_state(STATE["allocations"], 1)
    active = f.increase_state(STATE["active"], capacity)
    peak = f.state(STATE["peak"])
    f.set_state(STATE["peak"], f.select(f.compare("sgt", active, peak), active, peak))
    f.ret(block.get())
    f.end()


def _give(module: Module) -> None:
    f = module.function("give", "address", "nbytes")
    address, nbytes = f.parameters
    index, capacity = size_class(f, nbytes)
    f.increase_state(STATE["active"], f.sub(0, capacity))
    limit = f.state(STATE["limit"])
    with f.when(f.compare("sgt", capacity, limit)):
        f.call("system_give", address, capacity)
        f.ret(0)
    with f.when(f.compare("sgt", f.add(f.state(STATE["cached"]), capacity), limit)):
        # Full: what is cached now serves nobody, or it would have been taken. Blocks of this size may come in numbers.
        f.call("make_room", capacity, index)
        with f.when(f.compare("sgt", f.add(f.state(STATE["cached"]), capacity), limit)):
            f.call("system_give", address, capacity)
            f.ret(0)
    head = f.add(f.add(f.address_of("state"), STATE["free"]), f.shift_left(index, 3))
    f.store(f.load(head), address)
    f.store(address, head)
    f.increase_state(STATE["cached"], capacity)
    f.ret(0)
    f.end()


def _destructors(module: Module) -> None:
    f = module.function("drop_block", "capsule")
    (capsule,) = f.parameters
    f.call("give", f.load(capsule, CAPSULE_POINTER), f.load(capsule, CAPSULE_CONTEXT))
    f.ret(0)
    f.end()

    f = module.function("drop_owner", "capsule", cold=True)
    (capsule,) = f.parameters
    f.call("Py_DecRef", f.load(capsule, CAPSULE_CONTEXT))
    f.ret(0)
    f.end()


def _storages(module: Module) -> None:
    name = "ptrtoint (ptr @storage_name to i64)"
    f = module.function("new_storage", "nbytes")
    (nbytes,) = f.parameters
    address = f.call("take", nbytes)
    with f.when(f.compare("eq", address, 0)):
        f.call("PyErr_NoMemory")
        f.ret(0)
    capsule = f.call("PyCapsule_New", address, name, f.address_of("drop_block"))
    with f.when(f.compare("eq", capsule, 0)):
        f.call("give", address, nbytes)
        f.ret(0)
    f.store(nbytes, capsule, CAPSULE_CONTEXT)
    f.ret(capsule)
    f.end()

    f = module.function("new_wrapper", "address", "owner", cold=True)
    address, owner = f.parameters
    # A capsule cannot hold a null pointer; memory of no bytes may have any address.
    data = f.select(f.compare("eq", address, 0), 64, address)
    capsule = f.call("PyCapsule_New", data, name, f.address_of("drop_owner"))
    with f.when(f.compare("eq", capsule, 0)):
        f.ret(0)
    f.call("Py_IncRef", owner)
    f.store(owner, capsule, CAPSULE_CONTEXT)
    f.ret(capsule)
    f.end()

    f = module.function("new_view", "storage", "offset", cold=True)
    storage, offset = f.parameters
    keeper = f.variable(storage)
    # A view of a view keeps the memory's owner alive, not the chain of views.
    with f.when(f.compare("eq", f.load(storage, CAPSULE_DESTRUCTOR), f.address_of("drop_owner"))):
        keeper.set(f.load(storage, CAPSULE_CONTEXT))
    f.ret(f.call("new_wrapper", f.add(f.load(storage, CAPSULE_POINTER), offset), keeper.get()))
    f.end()


def _builtins(module: Module) -> None:
    """Functions that ctypes calls with the GIL held; they return objects, or 0 with an exception set."""
    f = module.function("allocate", "module", "size", cold=True, export=True)
    _, size = f.parameters
    nbytes = f.call("PyLong_AsSsize_t", size)
    with f.when(f.compare("slt", nbytes, 0)):
        with f.when(f.compare("eq", f.call("PyErr_Occurred"), 0)):
            message = module.string("negative", "memory of a negative number of bytes")
            f.call("PyErr_SetString", f.load(module.external_data("PyExc_ValueError")), message)
        f.ret(0)
    f.ret(f.call("new_storage", nbytes))
    f.end()

    f = module.function("pointer", "module", "storage", cold=True, export=True)
    _, storage = f.parameters
    address = f.call("PyCapsule_GetPointer", storage, "ptrtoint (ptr @storage_name to i64)")
    with f.when(f.compare("eq", address, 0)):
        f.ret(0)
    f.ret(f.call("PyLong_FromSsize_t", address))
    f.end()

    f = module.function("wrap", "module", "arguments", "count", cold=True, export=True)
    _, arguments, count = f.parameters
    address = _two_arguments(f, arguments, count, 0)
    f.ret(f.call("new_wrapper", address, f.load(arguments, WORD)))
    f.end()

    f = module.function("view", "module", "arguments", "count", cold=True, export=True)
    _, arguments, count = f.parameters
    offset = _two_arguments(f, arguments, count, 1)
    storage = f.load(arguments)
    with f.when(f.compare("eq", f.call("PyCapsule_GetPointer", storage, "ptrtoint (ptr @storage_name to i64)"), 0)):
        f.ret(0)
    f.ret(f.call("new_view", storage, offset))
    f.end()


def _two_arguments(f: Function, arguments: str, count: str, number: int) -> str:
    """Emit the check for two arguments and return the one at `number` as an integer."""
    with f.when(f.compare("ne", count, 2)):
        f.call("PyErr_BadArgument")
        f.ret(0)
    value = f.call("PyLong_AsSsize_t", f.load(arguments, number * WORD))
    with f.when(f.all(f.compare("eq", value, -1), f.compare("ne", f.call("PyErr_Occurred"), 0))):
        f.ret(0)
    return value
