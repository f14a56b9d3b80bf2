"""The buffer protocol for a class written in Python, where Python itself does not offer it (before 3.12, PEP 688).

The slot ``bf_getbuffer`` of the class is filled with a function of machine code that asks a Python function for the
object whose buffer is exported, and exports that. It cannot be a ctypes callback: those cannot end in an exception.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import Any

_TEXT = """
@exporter = global ptr null
declare ptr @PyObject_CallOneArg(ptr, ptr)
declare i32 @PyObject_GetBuffer(ptr, ptr, i32)
declare void @Py_DecRef(ptr)
define i32 @getbuffer(ptr %self, ptr %view, i32 %flags) {
  store ptr null, ptr %view
  %callable = load ptr, ptr @exporter
  %object = call ptr @PyObject_CallOneArg(ptr %callable, ptr %self)
  %failed = icmp eq ptr %object, null
  br i1 %failed, label %error, label %export
export:
  %code = call i32 @PyObject_GetBuffer(ptr %object, ptr %view, i32 %flags)
  call void @Py_DecRef(ptr %object)
  ret i32 %code
error:
  ret i32 -1
}
"""

#: Offset of ``tp_as_buffer`` in a type object of CPython 3.11: after the variable head, 15 pointers and a pad.
_AS_BUFFER = 160
_kept: list[Any] = []


def fill(cls: type, exporter: Callable[[Any], Any]) -> bool:
    """Give a class the buffer protocol, and return whether it has it now.

    Parameters
    ----------
    cls : type
    exporter : callable
        ``exporter(instance)`` returns an object that has a buffer, or raises BufferError.
    """
    if sys.implementation.name != "cpython" or sys.version_info[:2] != (3, 11) or "t" in sys.abiflags:
        return sys.version_info >= (3, 12)
    trial = type("Trial", (), {"__slots__": ()})
    places = [_slot(trial), _slot(cls)]
    if None in places:
        return False
    function, cell = _linked()
    _kept.append(exporter)
    ctypes.c_int64.from_address(cell).value = id(_same_bytes)
    ctypes.c_int64.from_address(places[0]).value = function  # type: ignore[arg-type]
    try:
        fits = bytes(memoryview(trial())) == _same_bytes(None)
    except (TypeError, BufferError):
        fits = False
    if fits:
        ctypes.c_int64.from_address(cell).value = id(exporter)
        ctypes.c_int64.from_address(places[1]).value = function  # type: ignore[arg-type]
    return fits


def _same_bytes(instance: Any) -> bytes:
    return b"trial"


def _slot(cls: type) -> int | None:
    """Return the address of a class's bf_getbuffer, or None where the class does not look as expected."""
    address = ctypes.c_int64.from_address(id(cls) + _AS_BUFFER).value
    metaclass: Any = type
    inside = id(cls) < address <= id(cls) + metaclass.__basicsize__ - 16
    return address if inside and ctypes.c_int64.from_address(address).value == 0 else None


def _linked() -> tuple[int, int]:
    """Return the addresses of the function and of the cell that holds the exporter, compiled or from the store."""
    import llvmlite.binding as llvm

    from trueno.codegen.objects import linker
    from trueno.runtime.launcher import load_code, save_code
    from trueno.runtime.launcher.link import target_key

    parts = (("kind", "buffer slot"), ("source", _TEXT), *target_key())
    code = load_code(parts)
    # The native launcher has done this already; where Python launches, nobody has.
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(opt=0, jit=True)
    if code is None:
        module = llvm.parse_assembly(_TEXT)
        module.triple = machine.triple
        code = machine.emit_object(module)
        save_code(parts, code, {"name": "buffer slot", "backend": "llvm", "compile_seconds": 0.0})
    jit = linker(machine)
    builder = llvm.JITLibraryBuilder().add_current_process().add_object_img(code)
    library = builder.export_symbol("getbuffer").export_symbol("exporter").link(jit, "trueno.buffer")
    # The slot outlives everything: the code must never be unmapped.
    for owner in (jit, library, machine):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(owner))
    return library["getbuffer"], library["exporter"]
