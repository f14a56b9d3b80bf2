"""The launcher in Python: the native launcher's twin, for interpreters that it does not fit and for debugging."""

from __future__ import annotations

import ctypes
import functools
import operator
import struct
import types
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from trueno.runtime import threads
from trueno.runtime.entry import Entry, ScalarSlot
from trueno.runtime.launcher import arrays
from trueno.runtime.launcher.python_pool import PythonPool, Storage
from trueno.runtime.launcher.records import (
    MAX_ENTRIES,
    Description,
    Functions,
    LaunchRefused,
    View,
    describe,
    fork_safe_lock,
    may_be_key,
    python_key,
    stale,
    watched,
)
from trueno.runtime.layout import Layout

_ARGUMENTS = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
# CFUNCTYPE lets go of the GIL during the call, PYFUNCTYPE keeps it: cheaper for small kernels.
_kernel_type = functools.cache(
    lambda parallel: (ctypes.CFUNCTYPE if parallel else ctypes.PYFUNCTYPE)(None, *_ARGUMENTS)
)


class _Refused(Exception):
    """A known call has to take the slow path all the same."""


class _Record:
    """An entry with what a call of it needs. `keep` holds what the key names by identity."""

    __slots__ = ("after", "buffers", "call", "description", "entry", "in_place", "keep", "positions")

    def __init__(
        self, entry: Entry | View, description: Description, keep: Any = None, after: Callable[..., None] | None = None
    ) -> None:
        self.entry, self.description, self.keep, self.after = entry, description, keep, after
        self.positions = [operand.position for operand in description.operands]
        self.in_place = any(operand.target for operand in description.operands)
        self.call: Any = None
        if not isinstance(entry, View):
            self.call = _kernel_type(entry.parallel)(entry.function)
            self.buffers = ctypes.c_void_p * (len(entry.tensors) + len(entry.outputs) + len(entry.scratch))


class _Shared:
    """What the callables of one function share."""

    __slots__ = ("__weakref__", "functions", "hits", "misses", "name", "operands", "records")
    functions: Functions

    def __init__(self, name: str, operands: int) -> None:
        self.name, self.operands = name, operands
        self.counts = (0, 0)
        self.records: dict[tuple[Any, ...], _Record] = {}

    def __del__(self) -> None:
        self.functions.retire(self)

    @property
    def counts(self) -> tuple[int, int]:
        """Hits and misses."""
        return self.hits, self.misses

    @counts.setter
    def counts(self, counts: tuple[int, int]) -> None:
        self.hits, self.misses = counts


class PythonFunction:
    """A callable that runs a known entry, or its slow path. In a class it binds like a Python function."""

    def __init__(
        self,
        launcher: PythonLauncher,
        shared: _Shared,
        miss: Callable[..., Any],
        reflected: bool = False,
    ) -> None:
        self._launcher, self._shared, self._miss, self._reflected = launcher, shared, miss, reflected

    def __repr__(self) -> str:
        return f"<function trueno.{self._shared.name}>"

    def __reduce__(self) -> str:
        return self._shared.name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._reflected and len(args) == 2 and not kwargs:
            args = (args[1], args[0])
        return self._call(args, kwargs)

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        launcher, shared = self._launcher, self._shared
        key = python_key(shared.operands, args, kwargs, launcher.classes, launcher.gradients)
        record = shared.records.get(key) if key is not None else None
        if record is not None:
            try:
                result = launcher.run(record, args)
            except _Refused:
                pass
            else:
                if record.after is not None:
                    record.after(result, *args)
                shared.hits += 1
                return result
        if key is None:
            adopted = launcher.adopted(args, shared.operands)
            if adopted is not None:
                return self._call(adopted, kwargs)
        shared.misses += 1
        return self._miss(*args, **kwargs)


class PythonLauncher:
    """See trueno.runtime.launcher for the meaning of the methods."""

    kind = "python"

    def __init__(self, pool_limit: int) -> None:
        self.pool = PythonPool(pool_limit)
        self.classes: set[type] = set()
        self.gradients = True
        self._tensor_class: type[Any] = object
        self._version_class: type[Any] = object
        self._functions = Functions()
        self._entries = 0
        self._lock = fork_safe_lock()
        self._layouts: dict[tuple[int, ...], tuple[Layout, np.dtype]] = {}
        self._scalars: dict[type, Layout] = dict(arrays.scalar_types())

    def host(self, tensor: Any) -> np.ndarray:
        storage = getattr(tensor, "_storage", None)
        if type(tensor) not in self.classes or type(storage) is not Storage:
            raise TypeError("expected a tensor on the CPU; move it with .cpu() first")
        return arrays.array_on(tensor._layout, storage.address, storage)

    def adopt(self, array: Any) -> Any:
        known = self._layouts.get(arrays.key_of_array(array) or ()) if type(array) is np.ndarray else None
        if known is None:
            return None
        return self._new(self.pool.wrap(array.__array_interface__["data"][0], array), known[0])

    def taped(self, value: Any) -> bool:
        return hasattr(value, "_autograd") or stale(value)

    def nonzero(self, mask: Any) -> None:
        """Leave it to NumPy."""

    def add_at(self, x: Any, places: Any, value: Any) -> bool:
        """Leave it to NumPy."""
        return False

    def count(self, groups: Any, weights: Any, extent: Any) -> None:
        """Leave it to NumPy."""

    def learn(self, array: np.ndarray, layout: Layout) -> None:
        key = arrays.key_of_array(array)
        if key is None:
            return
        with self._lock:
            if len(self._layouts) >= MAX_ENTRIES:
                self._layouts.clear()
            self._layouts[key] = layout, array.dtype

    def learn_view(self, layout: Layout, source: Layout) -> None:
        """Do nothing: the slow path of indexing is the only one here."""

    def getter(self, view: PythonFunction, miss: Callable[..., Any]) -> PythonFunction:
        return self._named(PythonFunction(self, view._shared, miss), miss.__name__, miss.__doc__, miss.__module__)

    def setter(
        self, assign: PythonFunction, miss: Callable[..., Any], changed: Callable[[Any], None]
    ) -> PythonFunction:
        shared = _Shared("setitem", 3)
        self._functions.add(shared)
        return self._named(PythonFunction(self, shared, miss), miss.__name__, miss.__doc__, miss.__module__)

    def adopted(self, args: tuple[Any, ...], operands: int) -> tuple[Any, ...] | None:
        """Return the arguments with tensors in place of arrays and NumPy's scalars; None where there are none."""
        given = list(args)
        for k, one in enumerate(args[:operands]):
            if type(one) is np.ndarray:
                tensor = self.adopt(one)
                given[k] = one if tensor is None else tensor
            elif type(one) in self._scalars:
                layout = self._scalars[type(one)]
                given[k] = self._new(self.pool.allocate(layout.nbytes), layout)
                ctypes.memmove(given[k]._storage.address, np.asarray(one).tobytes(), layout.nbytes)
        return tuple(given) if any(map(operator.is_not, given, args)) else None

    def bind(self, tensor_class: type, subclasses: Iterable[type], version_class: type) -> None:
        self._tensor_class, self._version_class = tensor_class, version_class
        self.classes = {tensor_class, *subclasses}
        self.clear()

    def bind_subclass(self, cls: type) -> None:
        self.classes.add(cls)

    def function(
        self, name: str, operands: int, miss: Callable[..., Any], doc: str | None, module: str
    ) -> PythonFunction:
        shared = _Shared(name, operands)
        self._functions.add(shared)
        return self._named(PythonFunction(self, shared, miss), name, doc, module)

    def variant(self, function: PythonFunction, miss: Callable[..., Any] | None, reflected: bool) -> PythonFunction:
        made = PythonFunction(self, function._shared, miss or function._miss, reflected)
        return self._named(made, function._shared.name, function.__doc__, function.__module__)

    @staticmethod
    def _named(function: PythonFunction, name: str, doc: str | None, module: str) -> PythonFunction:
        function.__dict__.update(__name__=name, __qualname__=name, __doc__=doc, __module__=module)
        return function

    def owns(self, function: Any) -> bool:
        return type(function) is PythonFunction and function._launcher is self

    def install(
        self, function: PythonFunction, args: tuple[Any, ...], kwargs: dict[str, Any], entry: Entry | View,
        after: Callable[..., None] | None = None,
    ) -> bool:  # fmt: skip
        shared = function._shared
        key = python_key(shared.operands, args, kwargs, self.classes, self.gradients)
        if key is None or not may_be_key(shared.operands, args, kwargs):
            return False
        layouts = [getattr(arg, "_layout", None) for arg in args[: shared.operands]]
        record = _Record(entry, describe(entry, args), (layouts, args[shared.operands :], kwargs), after)
        with self._lock:
            if self._entries >= MAX_ENTRIES:
                self.clear()
            self._entries += key not in shared.records
            shared.records[key] = record
        return True

    def prepare(self, entry: Entry | View, args: tuple[Any, ...]) -> Callable[..., Any]:
        record = _Record(entry, describe(entry, args))

        def launch(*given: Any) -> Any:
            operands, arity = record.description
            fits = len(given) >= arity and all(
                type(given[o.position]) in self.classes and given[o.position]._layout is o.layout for o in operands
            )
            if not fits:
                raise LaunchRefused("the arguments are not those that the entry was made for")
            try:
                return self.run(record, given)
            except _Refused as reason:
                raise LaunchRefused(str(reason)) from None

        return launch

    def run(self, record: _Record, args: tuple[Any, ...]) -> Any:
        entry = record.entry
        if isinstance(entry, View):
            return self._run_view(entry, args)
        storages = [_storage_of(args[position]) for position in record.positions]
        if record.in_place:
            _check_targets(record.description, args, storages)
        scalars = b"".join([_scalar_bytes(slot, args) for slot in entry.scalars])
        results = [
            self._new(self.pool.allocate(layout.nbytes), layout) if alias < 0 else args[alias]
            for layout, alias in zip(entry.outputs, entry.aliases)
        ]
        del storages[len(entry.tensors) :]
        storages += [result._storage for result in results]
        storages += [self.pool.allocate(size) for size in entry.scratch]
        buffers = record.buffers(*[storage.address for storage in storages])
        if entry.parallel:
            count, team = threads.get_num_threads(), threads.team_address()
            record.call(buffers, entry.meta_address, scalars, count, team)
        else:
            record.call(buffers, entry.meta_address, scalars, 1, 0)
        return results[0] if entry.single else tuple(results)

    def _run_view(self, entry: View, args: tuple[Any, ...]) -> Any:
        source = args[entry.operand]
        result = self._new(self.pool.view(_storage_of(source), entry.byte_offset), entry.layout)
        if not hasattr(source, "_version"):
            source._version = self._version_class(source)
        result._version = source._version
        return result

    def _new(self, storage: Storage, layout: Any) -> Any:
        tensor = object.__new__(self._tensor_class)
        tensor._storage, tensor._layout = storage, layout
        return tensor

    def set_grad_enabled(self, enabled: bool) -> bool:
        previous, self.gradients = self.gradients, bool(enabled)
        return previous

    def grad_enabled(self) -> bool:
        return self.gradients

    def clear(self) -> None:
        with self._lock:
            for shared in self._functions.alive():
                shared.records = {}
            self._layouts.clear()
            self._entries = 0

    def counters(self) -> list[tuple[str, int, int, int]]:
        return self._functions.counters()


def _storage_of(tensor: Any) -> Storage:
    storage = getattr(tensor, "_storage", None)
    if type(storage) is not Storage:
        raise _Refused("an operand has no storage in CPU memory")
    return storage


def _check_targets(description: Description, args: tuple[Any, ...], storages: list[Storage]) -> None:
    """Refuse a target that has a version counter, or shares memory with another operand that is not the same array."""
    for target, storage in zip(description.operands, storages, strict=True):
        if not target.target:
            continue
        if watched(args[target.position]):
            raise _Refused("changes of the target of an in-place operation are watched")
        for other, others in zip(description.operands, storages, strict=True):
            meet = storage.address + target.low < others.address + other.high
            meet = meet and others.address + other.low < storage.address + target.high
            same = storage.address == others.address and target.layout is other.layout and not other.target
            if meet and other is not target and not same:
                raise _Refused("the target of an in-place operation overlaps another operand")


def _scalar_bytes(slot: ScalarSlot, args: tuple[Any, ...]) -> bytes:
    if slot.operand < 0:
        return struct.pack("=q", slot.bits)
    value = args[slot.operand]
    kind = type(value)
    if slot.kind == "f" and kind in (float, int, bool):
        try:
            return struct.pack("=d", float(value))
        except OverflowError:
            raise _Refused("an int is too large for a float") from None
    if slot.kind == "i" and kind in (int, bool) and slot.low <= value <= slot.high:
        return struct.pack("=q", value)
    raise _Refused(f"argument {slot.operand} does not fit the kernel's scalar")
