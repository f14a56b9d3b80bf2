"""Compiles the launcher's text, or takes its object code from the store, and links it into the process."""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import itertools
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite
import llvmlite.binding as llvm

from trueno.codegen.objects import bundle, linker, unbundle
from trueno.runtime.launcher.abi import STATE, WORD

Key = tuple[tuple[str, str], ...]
Load = Callable[[Key], bytes | None]
Save = Callable[[Key, bytes, dict[str, Any]], object]

_LEVEL = {"hot": 1, "cold": 0}  # of the code generator; the time it takes grows fourfold from 0 to 1
_numbers = itertools.count()
_NAMES = ("pool", "key", "run", "array", "select", "pick", "along", "count", "index", "function")
_CODE = tuple(f"code_{name}" for name in _NAMES)
_PARTS = ("abi", "emit", *_CODE, "link")


class Linked(NamedTuple):
    """The launcher's code in this process.

    Attributes
    ----------
    addresses : dict of str to int
        Addresses of the state and of the exported functions.
    compiled : bool
        Whether the compiler ran; otherwise the object code came from the store.
    """

    addresses: dict[str, int]
    compiled: bool


def source_key() -> Key:
    """Return the named parts that the launcher's object code depends on."""
    digest = hashlib.sha256()
    for part in _PARTS:
        digest.update(Path(__file__).with_name(f"{part}.py").read_bytes())
    return ("kind", "launcher"), ("source", digest.hexdigest()), *target_key()


def target_key() -> Key:
    """Return the named parts that any object code depends on that is linked into this interpreter."""
    return (
        ("python", f"{sys.implementation.cache_tag} {sys.platform}"),
        ("machine", platform.machine()),
        ("llvmlite", llvmlite.__version__),
        ("llvm", ".".join(map(str, llvm.llvm_version_info))),
    )


def exported_names() -> tuple[str, ...]:
    """Return the names of the export table, in order, without emitting the code."""
    return (
        *("state", "empty_cache", "allocate", "pointer", "wrap", "view", "hash_words", "call_key", "host", "adopt"),
        *("taped", "nonzero", "add_at", "count", "call_getitem", "call_setitem"),
        *("call", "call_reflected", "call_record", "bind", "traverse", "clear", "dealloc", "selftest_kernel"),
    )


def emit() -> dict[str, str]:
    """Return the launcher as LLVM text, one module for each tier."""
    from trueno.runtime.launcher.emit import Module

    module = Module(STATE["size"] // WORD)
    for part in _CODE:
        importlib.import_module(f"trueno.runtime.launcher.{part}").emit(module)
    assert module.exports == exported_names()
    return {tier: module.text(tier) for tier in Module.TIERS}


def _compile(tier: str, text: str) -> bytes:
    # A generic CPU: the launcher gains nothing from vector instructions, and its objects serve every machine.
    machine = llvm.Target.from_default_triple().create_target_machine(opt=_LEVEL[tier], jit=True)
    module = llvm.parse_assembly(text)
    module.triple = machine.triple
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=1))
    passes = llvm.create_new_module_pass_manager()
    passes.add_sroa_pass()
    if tier == "hot":
        # What a whole pipeline would do besides takes ten times as long and gains nothing measurable here.
        passes.add_simplify_cfg_pass()
        passes.add_instruction_combine_pass()
        passes.add_simplify_cfg_pass()
    passes.run(module, builder)
    return machine.emit_object(module)


def link(load: Load | None = None, save: Save | None = None) -> Linked:
    """Link a new instance of the launcher's code, with a state of its own.

    Parameters
    ----------
    load : callable, optional
        ``load(key)`` returns the stored object code for the named key parts, or None.
    save : callable, optional
        ``save(key, code, header)`` stores it.
    """
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    key = source_key()
    code = load(key) if load is not None else None
    compiled = code is None
    if code is None:
        started = time.perf_counter()
        code = bundle([_compile(tier, text) for tier, text in emit().items()])
        if save is not None:
            header = {"name": "launcher", "backend": "llvm", "compile_seconds": time.perf_counter() - started}
            save(key, code, header)
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    jit = linker(machine)
    builder = llvm.JITLibraryBuilder().add_current_process().export_symbol("exports")
    for part in unbundle(code):
        builder.add_object_img(part)
    name = f"trueno.launcher.{next(_numbers)}"
    library = builder.link(jit, name)
    # Destructors of storages run until the very end of the process: the code must never be unmapped.
    for owner in (jit, library, machine):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(owner))
    names = exported_names()
    table = (ctypes.c_int64 * len(names)).from_address(library["exports"])
    return Linked(dict(zip(names, table, strict=True)), compiled)
