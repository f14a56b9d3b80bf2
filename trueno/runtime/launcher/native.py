"""The native launcher: Python around the generated code of code_*.py.

Python writes what a miss learns (records, tables: native_table.py) into memory that the native code reads. A record or
table is complete before its address is stored, and that is one aligned 8-byte write under the GIL.
"""

from __future__ import annotations

import ctypes
import functools
import struct
import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from trueno.runtime import threads
from trueno.runtime.entry import Entry
from trueno.runtime.launcher import arrays, function_type, link
from trueno.runtime.launcher.abi import MAX_DIMENSIONS, MAX_SCALAR_TYPES, MAX_SUBCLASSES, STATE, WORD
from trueno.runtime.launcher.native_table import ArrayRecord, Record, Shared
from trueno.runtime.launcher.records import MAX_ENTRIES, Functions, LaunchRefused, View, fork_safe_lock, may_be_key
from trueno.runtime.layout import Layout, layout_of

_SLOTS = ("storage", "layout", "autograd", "version")


def unsupported() -> str | None:
    """Return why this interpreter cannot run the native launcher, or None."""
    if sys.implementation.name != "cpython":
        return f"the interpreter is {sys.implementation.name}, not CPython"
    if not (3, 11) <= sys.version_info[:2] <= (3, 14):
        return f"CPython {sys.version_info.major}.{sys.version_info.minor} is not one it was checked on"
    if ctypes.sizeof(ctypes.c_void_p) != WORD or sys.byteorder != "little" or sys.platform == "win32":
        return "the platform is not a 64-bit little-endian Unix"
    if "t" in sys.abiflags or not getattr(sys, "_is_gil_enabled", lambda: True)():
        return "the interpreter runs without a global lock"
    if hasattr(sys, "getobjects"):  # built with Py_TRACE_REFS
        return "objects of this interpreter have another layout"
    return None


def slot_offset(cls: type, name: str) -> int:
    """Return the offset of a slot in the instances of a class, from its member descriptor."""
    descriptor = getattr(cls, name)
    if type(descriptor).__name__ != "member_descriptor":
        raise TypeError(f"{cls.__name__}.{name} is not a slot")
    # PyMemberDescrObject: object header, type, name, qualified name, PyMemberDef* {name, type, offset, ...}
    member = ctypes.c_int64.from_address(id(descriptor) + 5 * WORD).value
    return ctypes.c_int64.from_address(member + 2 * WORD).value


class NativePool:
    """The native memory pool; see trueno.runtime.memory for the meaning of the functions."""

    def __init__(self, addresses: dict[str, int], limit: int) -> None:
        self._state = addresses["state"]
        builtin = functools.partial(function_type.make_builtin, addresses)
        self.allocate: Callable[[int], Any] = builtin("allocate", one_argument=True)
        self.pointer: Callable[[Any], int] = builtin("pointer", one_argument=True)
        self.view: Callable[[Any, int], Any] = builtin("view", one_argument=False)
        self.wrap: Callable[[int, Any], Any] = builtin("wrap", one_argument=False)
        self._empty_cache = ctypes.PYFUNCTYPE(ctypes.c_int64)(addresses["empty_cache"])
        self.set_limit(limit)

    def _word(self, name: str) -> ctypes.c_int64:
        return ctypes.c_int64.from_address(self._state + STATE[name])

    def statistics(self) -> dict[str, int]:
        return {name: self._word(name).value for name in ("active", "cached", "peak", "limit", "allocations", "reuses")}

    def empty_cache(self) -> None:
        self._empty_cache()

    def reset_statistics(self) -> None:
        self._word("peak").value = self._word("active").value
        self._word("allocations").value = self._word("reuses").value = 0

    def set_limit(self, nbytes: int) -> None:
        self._word("limit").value = nbytes
        if self._word("cached").value > nbytes:
            self.empty_cache()


class NativeLauncher:
    """See trueno.runtime.launcher for the meaning of the methods."""

    kind = "native"

    def __init__(self, pool_limit: int, load: link.Load | None = None, save: link.Save | None = None) -> None:
        linked = link.link(load, save)
        self.compiled = linked.compiled
        self.selftest_kernel = linked.addresses["selftest_kernel"]
        self._state = linked.addresses["state"]
        self._hash_words = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64)(
            linked.addresses["hash_words"]
        )
        self._functions = Functions()
        self._classes: list[type] = []
        self._entries = 0
        self._lock = fork_safe_lock()
        for name, obj in (
            *(("float_type", float), ("int_type", int), ("bool_type", bool), ("tuple_type", tuple)),
            *(("slice_type", slice), ("none", None)),
        ):
            self._set(name, id(obj))
        self._set("tuple_items", tuple.__basicsize__)
        self._set("threads", threads.cell_address())
        self._gradients = ctypes.c_int64.from_address(self._state + STATE["grad_enabled"])
        self._gradients.value = 1
        self.pool = NativePool(linked.addresses, pool_limit)
        self._set("capsule_type", id(type(self.pool.allocate(0))))
        self._type = function_type.make_type(linked.addresses)
        self._bind_arrays(linked.addresses)

    def _set(self, name: str, value: int) -> None:
        ctypes.c_int64.from_address(self._state + STATE[name]).value = value

    def _bind_arrays(self, addresses: dict[str, int]) -> None:
        self._arrays = Shared("arrays", 0)
        new_array, set_base = arrays.functions()
        self._scalars = arrays.scalar_types()[:MAX_SCALAR_TYPES]
        places = layout_of(np.dtype(np.int64), ())
        self._kept = (self._learn_result, threads.team_address, places)
        for name, value in (
            *(("learn_result", id(self._kept[0])), ("make_team", id(self._kept[1]))),
            *(("place_dtype", id(places.dtype)), ("place_layout", id(places))),
            *(("array_type", id(np.ndarray)), ("new_array", new_array), ("set_base", set_base)),
            *(("describe", id(arrays.describe)), ("description", slot_offset(Layout, "description"))),
            *(("bytes_items", bytes.__basicsize__ - 1), ("arrays", ctypes.addressof(self._arrays.words))),
            *(("scalar_count", len(self._scalars)), ("ellipsis", id(Ellipsis))),
        ):
            self._set(name, value)
        table = (ctypes.c_int64 * (2 * MAX_SCALAR_TYPES)).from_address(self._state + STATE["scalars"])
        words = [id(one) for pair in self._scalars for one in pair]
        table[: len(words)] = words  # type: ignore[assignment]
        builtin = functools.partial(function_type.make_builtin, addresses, one_argument=True)
        self.host: Callable[[Any], np.ndarray] = builtin("host")
        self.adopt: Callable[[Any], Any] = builtin("adopt")
        self.taped: Callable[[Any], bool] = builtin("taped")
        self.nonzero: Callable[[Any], Any] = builtin("nonzero")
        self.add_at: Callable[[Any, Any, Any], bool] = builtin("add_at", one_argument=False)
        self.count: Callable[[Any, Any, Any], Any] = builtin("count", one_argument=False)

    def learn(self, array: np.ndarray, layout: Layout) -> None:
        key = arrays.key_of_array(array)
        if key is None:
            return
        self._learn(key, layout, array.dtype)

    def learn_view(self, layout: Layout, source: Layout) -> None:
        if layout.device == "cpu" and len(layout.shape) <= MAX_DIMENSIONS:
            self._learn(arrays.key_of_view(layout, source), layout, source)

    def _learn_result(self, given: tuple[Layout, bytes]) -> None:
        """Learn the layout of a dense array in the dtype of another layout, from its key."""
        source, key = given
        words = struct.unpack(f"={len(key) // WORD}q", key)
        self.learn_view(layout_of(source.dtype, words[2 : 2 + (len(words) - 2) // 2]), source)

    def _learn(self, key: tuple[int, ...], layout: Layout, keep: Any) -> None:
        record = ArrayRecord(struct.pack(f"={len(key)}q", *key), layout, self._hash_words, keep)
        with self._lock:
            if len(self._arrays.records) >= MAX_ENTRIES:
                self._arrays.clear()
            self._arrays.add(record)

    def bind(self, tensor_class: type, subclasses: Iterable[type], version_class: type) -> None:
        for slot in _SLOTS:
            self._set(slot, slot_offset(tensor_class, f"_{slot}"))
        self._set("subclass_count", 0)
        self._set("tensor_type", id(tensor_class))
        self._set("version_type", id(version_class))
        for slot in ("next", "written", "counter"):
            self._set("next_version" if slot == "next" else slot, slot_offset(version_class, slot))
        self._classes, self._version_class = [tensor_class], version_class
        self.clear()
        for cls in subclasses:
            self.bind_subclass(cls)

    def bind_subclass(self, cls: type) -> None:
        if cls in self._classes:
            return
        count = len(self._classes) - 1
        if count >= MAX_SUBCLASSES:
            raise ValueError(f"launcher: at most {MAX_SUBCLASSES} subclasses of the tensor class can be registered")
        self._classes.append(cls)
        ctypes.c_int64.from_address(self._state + STATE["subclasses"] + count * WORD).value = id(cls)
        self._set("subclass_count", count + 1)

    def function(self, name: str, operands: int, miss: Callable[..., Any], doc: str | None, module: str) -> Any:
        shared = Shared(name, operands)
        self._functions.add(shared)
        target = ctypes.addressof(shared.words)
        shared.probe = self._type.make("call_key", target, miss, shared.words, name, doc, module)
        return self._type.make("call", target, miss, shared, name, doc, module)

    def variant(self, function: Any, miss: Callable[..., Any] | None, reflected: bool) -> Any:
        shared = self._type.owner(function)
        return self._type.make(
            "call_reflected" if reflected else "call",
            ctypes.addressof(shared.words),
            miss or self._type.miss(function),
            shared,
            function.__name__,
            function.__doc__,
            function.__module__,
        )

    def getter(self, view: Any, miss: Callable[..., Any]) -> Any:
        return self._indexing("call_getitem", self._type.owner(view), miss)

    def setter(self, assign: Any, miss: Callable[..., Any], changed: Callable[[Any], None]) -> Any:
        shared = Shared("setitem", 3)
        self._functions.add(shared)
        self._assign, self._changed = assign, changed
        self._set("assign", id(assign))
        self._set("changed", id(changed))
        return self._indexing("call_setitem", shared, miss)

    def _indexing(self, vectorcall: str, shared: Shared, miss: Callable[..., Any]) -> Any:
        target = ctypes.addressof(shared.words)
        return self._type.make(vectorcall, target, miss, shared, miss.__name__, miss.__doc__, miss.__module__)

    def owns(self, function: Any) -> bool:
        return self._type.holds(function) and isinstance(self._type.owner(function), Shared)

    def install(
        self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], entry: Entry | View,
        after: Callable[..., None] | None = None,
    ) -> bool:  # fmt: skip
        shared: Shared = self._type.owner(function)
        if not may_be_key(shared.operands, args, kwargs):
            return False
        key = shared.probe(*args, **kwargs)
        if key is None:
            return False
        layouts = [getattr(arg, "_layout", None) for arg in args[: shared.operands]]
        record = Record(entry, args, key, self._hash_words, (layouts, args[shared.operands :], kwargs), after)
        if isinstance(entry, Entry) and entry.parallel:
            threads.team_address()
        with self._lock:
            if self._entries >= MAX_ENTRIES:
                self.clear()
            self._entries += key not in shared.records
            shared.add(record)
        return True

    def prepare(self, entry: Entry | View, args: tuple[Any, ...]) -> Callable[..., Any]:
        if isinstance(entry, Entry) and entry.parallel:
            threads.team_address()
        record = Record(entry, args, b"", self._hash_words, None)
        return self._type.make("call_record", record.address, _refuse, record, "launch", None, __name__)

    def set_grad_enabled(self, enabled: bool) -> bool:
        previous = self._gradients.value == 1
        self._gradients.value = bool(enabled)
        return previous

    def grad_enabled(self) -> bool:
        return self._gradients.value == 1

    def clear(self) -> None:
        with self._lock:
            for shared in [*self._functions.alive(), self._arrays]:
                shared.clear()
            self._entries = 0

    def counters(self) -> list[tuple[str, int, int, int]]:
        return self._functions.counters()


def _refuse(*args: Any, **kwargs: Any) -> Any:
    raise LaunchRefused(
        "the entry cannot run on these arguments: their layouts are not those it was made for, a scalar is out of "
        "range, or the target of an in-place operation is versioned or overlaps another operand"
    )
