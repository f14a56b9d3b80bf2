"""The type of the native launcher's callables, and builtins, made with CPython's C API.

`trueno.Function` has the vectorcall protocol, so that a call reaches native code without a Python frame, and the flag
of method descriptors, so that ``x.sum()`` calls it with ``x`` in front and makes no bound method.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from trueno.runtime.launcher.abi import CALLABLE

_api = ctypes.pythonapi
_O_FLAG, _FASTCALL_FLAG = 0x08, 0x80

# Numbers of typeslots.h and flags of object.h, part of the stable ABI.
_SLOT = {"call": 50, "clear": 51, "dealloc": 52, "descr_get": 54, "traverse": 71, "members": 72, "getset": 73}
_HAVE_VECTORCALL, _HAVE_GC, _METHOD_DESCRIPTOR, _NO_INSTANTIATION = 1 << 11, 1 << 14, 1 << 17, 1 << 7
_T_PYSSIZET, _READONLY = 19, 1


class _MethodDef(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


class _MemberDef(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("offset", ctypes.c_ssize_t),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


class _GetSetDef(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("get", ctypes.c_void_p),
        ("set", ctypes.c_void_p),
        ("doc", ctypes.c_char_p),
        ("closure", ctypes.c_void_p),
    )


class _Slot(ctypes.Structure):
    _fields_ = (("slot", ctypes.c_int), ("function", ctypes.c_void_p))


class _Spec(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("basicsize", ctypes.c_int),
        ("itemsize", ctypes.c_int),
        ("flags", ctypes.c_uint),
        ("slots", ctypes.POINTER(_Slot)),
    )


_new_builtin = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_void_p, ctypes.py_object)(
    ("PyCFunction_NewEx", _api)
)
_type_from_spec = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p)(("PyType_FromSpec", _api))
_new_object = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object, ctypes.c_ssize_t)(("PyType_GenericAlloc", _api))
_increase = ctypes.PYFUNCTYPE(None, ctypes.py_object)(("Py_IncRef", _api))

_kept: list[Any] = []  # what the C structures above point to, for as long as the process lives


def _address(name: str) -> int | None:
    return ctypes.cast(getattr(_api, name), ctypes.c_void_p).value


def make_builtin(addresses: dict[str, int], name: str, *, one_argument: bool) -> Callable[..., Any]:
    """Return a builtin function of the exported native function `name`."""
    definition = _MethodDef(name.encode(), addresses[name], _O_FLAG if one_argument else _FASTCALL_FLAG, None)
    _kept.append(definition)
    return _new_builtin(ctypes.addressof(definition), None, "trueno.runtime.memory")


class FunctionType:
    """Makes callables of one linked instance of the native code, and reads them."""

    def __init__(self, cls: type, addresses: dict[str, int]) -> None:
        self._cls, self._addresses = cls, addresses

    def make(
        self,
        vectorcall: str,
        target: int,
        miss: Callable[..., Any],
        owner: Any,
        name: str,
        doc: str | None,
        module: str,
    ) -> Any:
        """Return a callable; `owner` keeps the memory at `target` alive."""
        function = _new_object(self._cls, 0)
        words = (ctypes.c_int64 * (CALLABLE["size"] // 8)).from_address(id(function))
        words[CALLABLE["target"] // 8] = target
        for field, obj in (("miss", miss), ("owner", owner)):
            _increase(obj)
            words[CALLABLE[field] // 8] = id(obj)
        words[CALLABLE["vectorcall"] // 8] = self._addresses[vectorcall]
        function.__dict__ = {"__name__": name, "__qualname__": name, "__doc__": doc, "__module__": module}
        return function

    def holds(self, function: Any) -> bool:
        """Tell whether this is a callable made here."""
        return type(function) is self._cls

    def owner(self, function: Any) -> Any:
        """Return what was given to `make` as owner."""
        return self._field(function, "owner")

    def miss(self, function: Any) -> Any:
        """Return the slow path."""
        return self._field(function, "miss")

    def _field(self, function: Any, name: str) -> Any:
        if type(function) is not self._cls:
            raise TypeError(f"expected a function of this launcher, got {type(function).__name__}")
        return ctypes.cast(ctypes.c_void_p.from_address(id(function) + CALLABLE[name]), ctypes.py_object).value


def make_type(addresses: dict[str, int]) -> FunctionType:
    """Make the type ``trueno.Function`` from the exported native functions."""
    members = (_MemberDef * 3)(
        _MemberDef(b"__vectorcalloffset__", _T_PYSSIZET, CALLABLE["vectorcall"], _READONLY, None),
        _MemberDef(b"__dictoffset__", _T_PYSSIZET, CALLABLE["dict"], _READONLY, None),
    )
    getset = (_GetSetDef * 2)(
        _GetSetDef(b"__dict__", _address("PyObject_GenericGetDict"), _address("PyObject_GenericSetDict"), None, None)
    )
    table = {
        "call": _address("PyVectorcall_Call"),
        "clear": addresses["clear"],
        "dealloc": addresses["dealloc"],
        "descr_get": addresses["bind"],
        "traverse": addresses["traverse"],
        "members": ctypes.addressof(members),
        "getset": ctypes.addressof(getset),
    }
    slots = (_Slot * (len(table) + 1))(*(_Slot(_SLOT[name], function) for name, function in table.items()))
    flags = _HAVE_VECTORCALL | _HAVE_GC | _METHOD_DESCRIPTOR | _NO_INSTANTIATION
    spec = _Spec(b"trueno.Function", CALLABLE["size"], 0, flags, slots)
    _kept.append((members, getset, slots, spec))
    cls: Any = _type_from_spec(ctypes.addressof(spec))
    cls.__repr__ = lambda self: f"<function {self.__module__}.{self.__name__}>"
    cls.__reduce__ = lambda self: self.__qualname__
    return FunctionType(cls, addresses)
