"""Checks, at each start, that the native launcher fits the interpreter it runs in."""

from __future__ import annotations

import ctypes
import sys
import weakref
from typing import Any

import numpy as np

from trueno.runtime.entry import Entry, ScalarSlot
from trueno.runtime.launcher.native import NativeLauncher
from trueno.runtime.layout import layout_of

_WORDS = 4
_ROUNDS = 16


class _Tensor:
    __slots__ = ("__weakref__", "_autograd", "_layout", "_storage", "_version")

    _storage: Any
    _layout: Any
    _autograd: Any
    _version: Any


class _Subclass(_Tensor):
    __slots__ = ()


class _Version(weakref.ref):
    __slots__ = ("counter", "next", "written")


class _Expected(Exception):
    pass


def _miss(*args: Any, **kwargs: Any) -> Any:
    raise _Expected


def run(launcher: NativeLauncher) -> str | None:
    """Return what failed, or None. The launcher is to be bound to its Tensor class afterwards."""
    launcher.bind(_Tensor, (_Subclass,), _Version)
    layout = layout_of(np.dtype(np.int64), (_WORDS,))
    meta = (ctypes.c_int64 * 1)(_WORDS)
    slot = ScalarSlot(1, "i", -100, 100)
    entry = Entry(launcher.selftest_kernel, meta, ctypes.addressof(meta), (0,), (layout,), (-1,), (), (slot,), False)
    add = launcher.function("selftest", 2, _miss, None, __name__)
    x = _make(launcher, _Tensor, layout, [1, 2, 3, 4])
    try:
        return _check(launcher, add, entry, x)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        launcher.clear()
        launcher.pool.reset_statistics()


def _make(launcher: NativeLauncher, cls: type, layout: Any, values: list[int]) -> Any:
    tensor: Any = object.__new__(cls)
    tensor._storage, tensor._layout = launcher.pool.allocate(layout.nbytes), layout
    address = launcher.pool.pointer(tensor._storage)
    ctypes.memmove(address, (ctypes.c_int64 * len(values))(*values), layout.nbytes)
    return tensor


def _values(launcher: NativeLauncher, tensor: Any) -> list[int]:
    address = launcher.pool.pointer(tensor._storage)
    return list((ctypes.c_int64 * _WORDS).from_address(address))


def _raises(call: Any, *args: Any, **kwargs: Any) -> bool:
    try:
        call(*args, **kwargs)
    except _Expected:
        return True
    return False


def _check_arrays(launcher: NativeLauncher, x: Any) -> str | None:
    layout = x._layout
    storage = x._storage
    reverse = layout_of(layout.dtype, (2,), (-2,))
    launcher.host(x)
    before = [sys.getrefcount(obj) for obj in (layout, layout.dtype, storage)]
    array = launcher.host(x)
    if type(array) is not np.ndarray or array.tolist() != [1, 2, 3, 4] or not array.flags.writeable:
        return "an array on a tensor is wrong"
    part = array[::-2]
    if launcher.adopt(part) is not None:
        return "an array is adopted whose layout is not known"
    launcher.learn(part, reverse)
    adopted = launcher.adopt(part)
    if launcher.host(adopted).tolist() != [4, 2] or launcher.adopt(array) is not None:
        return "a tensor on an array is wrong"
    seen: list[Any] = []
    known = launcher.function("arrays", 2, lambda *given: seen.append(given), None, __name__)
    known(part, np.float32(1.5))
    if [type(one) for one in seen[0]] != [_Tensor, _Tensor] or launcher.host(seen[0][1]) != 1.5:
        return "arrays and scalars do not become operands"
    seen.clear()
    del array, part, adopted
    launcher.clear()
    after = [sys.getrefcount(obj) for obj in (layout, layout.dtype, storage)]
    if any(abs(a - b) > 1 for a, b in zip(after, before)):
        return f"references of arrays are lost or kept: {before} became {after}"
    return None


def _check_indexing(launcher: NativeLauncher, x: Any) -> str | None:
    layout = x._layout
    rest = layout_of(layout.dtype, (_WORDS - 1,))
    assigned: list[Any] = []
    changed: list[Any] = []
    get = launcher.getter(launcher.function("part", 1, _miss, None, __name__), _miss)
    assign = launcher.function("assign", 2, lambda *given: assigned.append(given), None, __name__)
    put = launcher.setter(assign, _miss, changed.append)
    if not (_raises(get, x, slice(1, None)) and _raises(get, x, _WORDS) and _raises(get, x, 1.0)):
        return "an index that is not known, or wrong, is taken"
    launcher.learn_view(rest, layout)
    before = [sys.getrefcount(obj) for obj in (layout, rest, x, x._storage)]
    for _ in range(_ROUNDS):
        if launcher.host(get(x, -1)) != 4 or launcher.host(get(x, slice(1, None))).tolist() != [2, 3, 4]:
            return "an index selects other elements"
        x._version.counter = changed
        put(x, 1, 2)
        put(x, slice(1, None), 7)
    if _values(launcher, x) != [1, 2, 3, 4] or assigned[0][0]._layout is not rest or assigned[0][1] != 7:
        return "an assignment goes elsewhere"
    if not (_raises(put, x, 1, 2.5) and _raises(put, x, 1, 1 << 70) and _raises(put, x, _WORDS, 1)):
        return "an assignment that does not fit is made"
    if changed.count(x) != len(changed) or len(changed) != 2 * _ROUNDS:
        return "a change is not told of"
    del x._version.counter
    put(x, 1, 2)
    if len(changed) != 2 * _ROUNDS:
        return "a change that nobody counts is told of"
    del x._version  # of the view that was made above
    assigned.clear()
    changed.clear()
    after = [sys.getrefcount(obj) for obj in (layout, rest, x, x._storage)]
    if any(abs(a - b) > 1 for a, b in zip(after, before)):
        return f"references are lost or kept by indexing: {before} became {after}"
    return None


def _check_picking(launcher: NativeLauncher, x: Any) -> str | None:
    changed: list[Any] = []
    get = launcher.getter(launcher.function("part", 1, _miss, None, __name__), _miss)
    put = launcher.setter(launcher.function("assign", 2, _miss, None, __name__), _miss, changed.append)
    places = _make(launcher, _Tensor, x._layout, [3, -4, 1, 1])
    wrong = _make(launcher, _Tensor, x._layout, [0, 1, 2, _WORDS])
    values = _make(launcher, _Tensor, x._layout, [4, 1, 7, 2])
    mask = _make(launcher, _Tensor, layout_of(np.dtype(bool), (_WORDS,)), [0x01000100])
    get(x, places), get(x, mask), launcher.nonzero(mask), launcher.count(x, None, 0)  # result layouts are learnt
    counted = (x._layout, x, x._storage, places, places._storage, values, values._storage, mask, mask._storage)
    before = [sys.getrefcount(obj) for obj in counted]
    for _ in range(_ROUNDS):
        if launcher.host(get(x, places)).tolist() != [4, 1, 2, 2] or launcher.host(get(x, mask)).tolist() != [2, 4]:
            return "places or a mask select other elements"
        if launcher.host(get(x, (places,))).tolist() != [4, 1, 2, 2] or launcher.host(launcher.nonzero(mask))[1] != 3:
            return "places are other ones"
        if launcher.host(launcher.count(x, None, 0)).tolist() != [0, 1, 1, 1, 1]:
            return "integers are counted wrongly"
        if not launcher.add_at(x, places, values) or _values(launcher, x) != [2, 11, 3, 8]:
            return "additions by places go elsewhere"
        put(x, mask, 9)
        put(x, places, values)
    if _values(launcher, x) != [1, 2, 3, 4] or changed:
        return "an assignment by places or a mask goes elsewhere"
    if launcher.add_at(x, mask, 1) or launcher.add_at(x, wrong, 1) or launcher.count(x, values, -1) is not None:
        return "what cannot be added up is"
    if not (_raises(get, x, wrong) and _raises(put, x, wrong, 5) and _raises(put, x, mask, places)):
        return "places that do not exist are taken"
    after = [sys.getrefcount(obj) for obj in counted]
    if any(abs(a - b) > 1 for a, b in zip(after, before)):
        return f"references are lost or kept by places and masks: {before} became {after}"
    return None


def _check(launcher: NativeLauncher, add: Any, entry: Entry, x: Any) -> str | None:
    layout = entry.outputs[0]
    statics = {"axis": (0, 1.5, slice(None, 2)), "keepdims": True}
    subject = _make(launcher, _Subclass, layout, [10, 20, 30, 40])
    bound = type("Bound", (), {"add": add})
    counted = (x, layout, subject, add)
    before = [sys.getrefcount(obj) for obj in counted]
    if not _raises(add, x, 5):
        return "a call that is not known does not reach the slow path, or an exception is lost"
    if not launcher.install(add, (x, 5), statics, entry) or not launcher.install(add, (x, 5), {}, entry):
        return "an entry cannot be installed"
    for _ in range(_ROUNDS):
        if _values(launcher, add(x, 5)) != [6, 7, 8, 9] or _values(launcher, add(subject, 1)) != [11, 21, 31, 41]:
            return "a call gives wrong values"
        if type(add(subject, -1)) is not _Tensor:
            return "a result has the wrong type"
    if _values(launcher, add(x, 7, axis=(0, 1.5, slice(None, 2)), keepdims=True)) != [8, 9, 10, 11]:
        return "static arguments are not recognised"
    others = ({"axis": (0, 1.5, slice(None, 3)), "keepdims": True}, {"axis": (0, 1.5), "keepdims": True}, {"axis": 1})
    if not all(_raises(add, x, 5, **other) for other in others):
        return "static arguments are confused"
    if not (_raises(add, x, 101) and _raises(add, x, 1 << 70) and _raises(add, x, 1.0) and _raises(add, x, x)):
        return "an operand that does not fit is taken"
    if _raises(bound().add, 5) is not True or add.__get__(x)(5)._layout is not layout:
        return "binding to an instance fails"
    x._autograd = None
    if not _raises(add, x, 5):
        return "a tensor with gradient is taken"
    told: list[Any] = []
    if not launcher.install(add, (x, 5), {}, entry, lambda *given: told.append(given)):
        return "an entry that tells of its calls cannot be installed"
    result = add(x, 7)
    if _values(launcher, result) != [8, 9, 10, 11] or [len(one) for one in told] != [3]:
        return "a call of a tensor with gradient is not told of"
    if told[0][0] is not result or told[0][1] is not x or told[0][2] != 7:
        return "a call of a tensor with gradient is told of wrongly"
    told.clear()
    del x._autograd
    x._version = _Version(x)
    if _raises(add, subject, 5) or launcher.taped(x):
        return "a tensor with a version is not taken"
    x._version.next = None
    if not (_raises(add, x, 5) and launcher.taped(x)):
        return "a stale tensor is taken"
    launcher.set_grad_enabled(False)
    unrecorded = _raises(add, x, 5)
    launcher.set_grad_enabled(True)
    if unrecorded:
        return "a stale tensor is not taken where nothing is recorded"
    del x._version
    launcher.clear()
    if not _raises(add, x, 5):
        return "entries cannot be dropped"
    after = [sys.getrefcount(obj) for obj in counted]
    if any(abs(a - b) > 1 for a, b in zip(after, before)):
        return f"references are lost or kept: {before} became {after}"
    failure = _check_arrays(launcher, x) or _check_indexing(launcher, x) or _check_picking(launcher, x)
    if failure is not None:
        return failure
    if launcher.pool.view(x._storage, 8) is None or launcher.pool.pointer(launcher.pool.wrap(4096, x)) != 4096:
        return "storages fail"
    return None
