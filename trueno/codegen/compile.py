"""Machine code from LLVM IR text: optimise, emit, link into the process."""

from __future__ import annotations

import ctypes
import itertools
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import llvmlite.binding as llvm
from llvmlite.binding import ffi

from trueno.codegen.objects import linker
from trueno.codegen.parts import PART
from trueno.codegen.streaming import MARK, past_caches
from trueno.codegen.target import Target, host_architecture, named, parse

#: LLVM's loop strength reduction takes half the time of code generation and makes loops over several arrays slower: it
#: replaces one index and scaled addresses by a pointer for each array. Where a stride is a run-time number, the
#: vectoriser would guess that it is 1 and leave every other one to a scalar loop: dense operands have code of their own
#: already. Masked vectors of interleaved elements are put together in registers only where LLVM is asked for it. There
#: is no switch for one module.
_OPTIONS = (
    "-disable-lsr",
    "-enable-mem-access-versioning=false",
    "-laa-speculate-unit-stride=false",
    "-enable-masked-interleaved-mem-accesses",
)

#: The line that parts LLVM IR text: what follows is a module of its own, which goes to the code generator as it is.
AS_IS = "; not for LLVM's passes"
#: The attribute of functions among those that are inlined after the passes.
INLINED = "alwaysinline"

#: Triples of the architectures that code can be made for on machines of another one.
_TRIPLES = {"x86-64": "x86_64-unknown-linux-gnu", "aarch64": "aarch64-unknown-linux-gnu"}

_serial = itertools.count()
_loaded: list[Any] = []


@cache
def machine(target: Target) -> Any:
    """Return LLVM's target machine.

    Its code and constants lie together: with the code model that LLVM takes for JIT code, each constant would be
    reached through a 64-bit address of its own.

    Raises
    ------
    ValueError
        When this LLVM makes no code for the architecture.
    """
    for option in _OPTIONS:
        llvm.set_option("trueno", option)
    return _new_machine(target)


def _new_machine(target: Target) -> Any:
    return _back_end(target.architecture).create_target_machine(
        cpu=target.cpu, features=target.features, opt=2, jit=True, codemodel="small", reloc="pic"
    )


def _back_end(architecture: str) -> Any:
    """Return LLVM's back end for an architecture; those of other machines are initialised when one is asked for."""
    if architecture == host_architecture():
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        return llvm.Target.from_default_triple()
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    try:
        return llvm.Target.from_triple(_TRIPLES[architecture])
    except (KeyError, RuntimeError):
        raise ValueError(f"this LLVM makes no code for {architecture}") from None


def optimise(source: str, target: Target) -> Any:
    """Parse LLVM IR text and run LLVM's pipeline on it; return the module, all parts in one."""
    first, *others = source.split(PART)
    module = _optimised(first, target, machine(target))
    for other in others:
        module.link_in(_optimised(other, target, machine(target)))
    return module


def _optimised(source: str, target: Target, tm: Any, context: Any = None) -> Any:
    before, _, as_is = source.partition(AS_IS)
    module = llvm.parse_assembly(before, context)
    builder = None
    if "\ndefine " in before:
        module.verify()
        options = llvm.create_pipeline_tuning_options(speed_level=2)
        options.loop_unrolling = False
        options.loop_vectorization = target.vectorise
        options.slp_vectorization = False
        options.loop_interleaving = target.vectorise
        builder = llvm.create_pass_builder(tm, options)
        _at_once("LLVMPY_RunNewModulePassManager")(builder.getModulePassManager(), module, builder)
    if MARK in source:
        module = llvm.parse_assembly(past_caches(str(module)), context)
    if as_is:
        module.link_in(llvm.parse_assembly(as_is, context))
        module.verify()
    if INLINED in as_is:
        _inline(module, builder)
    return module


def _inline(module: Any, builder: Any) -> None:
    """Inline the functions that ask for it into the loops that are vectors now, and drop what nobody calls."""
    for function in module.functions:
        if not function.is_declaration and function.name != "kernel":
            function.linkage = "internal"
    passes = llvm.create_new_module_pass_manager()
    passes.add_always_inliner_pass()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, builder)


def compile_objects(source: str, target: Target, passes: bool = True) -> list[bytes]:
    """Return the object code of LLVM IR text, as it is or after LLVM's `passes`: an object for each part.

    The parts are compiled at the same time.
    """
    if not passes:
        return [machine(target).emit_object(llvm.parse_assembly(source))]
    machine(target)
    first, *others = source.split(PART)
    found: dict[int, bytes | BaseException] = {}

    def compile_part(number: int, text: str) -> None:
        try:
            found[number] = _compile_part(text, target)
        except BaseException as error:  # raised again by the caller's thread
            found[number] = error

    workers = [threading.Thread(target=compile_part, args=(k, text)) for k, text in enumerate(others, 1)]
    for worker in workers:
        worker.start()
    compile_part(0, first)
    for worker in workers:
        worker.join()
    objects = []
    for number in range(len(found)):
        one = found[number]
        if isinstance(one, BaseException):
            raise one
        objects.append(one)
    return objects


#: Target machines that no thread uses: a new one takes a millisecond to get ready for its first function.
_idle: dict[Target, list[Any]] = {}


def _compile_part(source: str, target: Target) -> bytes:
    """Compile one part; it shares nothing of LLVM with others that are compiled at the same time."""
    idle = _idle.setdefault(target, [])
    try:
        tm = idle.pop()
    except IndexError:
        tm = _new_machine(target)
    made = _emitted(_optimised(source, target, tm, llvm.create_context()), tm)
    idle.append(tm)
    return made


def _emitted(module: Any, tm: Any) -> bytes:
    """Return a module's object code."""
    with ffi.OutputString() as error:
        buffer = _at_once("LLVMPY_TargetMachineEmitToMemory")(tm, module, 1, error)
        if not buffer:
            raise RuntimeError(str(error))
    try:
        return ctypes.string_at(ffi.lib.LLVMPY_GetBufferStart(buffer), ffi.lib.LLVMPY_GetBufferSize(buffer))
    finally:
        ffi.lib.LLVMPY_DisposeMemoryBuffer(buffer)


@cache
def _at_once(name: str) -> Any:
    """Return a function of llvmlite's without the lock that all of them take, for what shares nothing with others.

    The library is opened by its handle, with which llvmlite stands in for a `ctypes.CDLL`; where it does not, the
    function takes the lock.
    """
    locked = getattr(ffi.lib, name)
    try:
        function = ctypes.CDLL(ffi.lib._name, handle=ffi.lib._handle)[name]
        function.argtypes, function.restype = locked.argtypes, locked.restype
    except AttributeError:
        return locked
    return function


def link(
    objects: Sequence[bytes], target: Target, symbol: str = "kernel", imports: Mapping[str, int] | None = None
) -> int:
    """Load object files into the process and return the address of its function.

    Parameters
    ----------
    objects : sequence of bytes
        What `compile_objects` returned.
    target : Target
    symbol : str
        Name of the function.
    imports : mapping of str to int, optional
        Addresses of functions that the code calls besides the C library's.

    The address stays valid for the life of the process. C library functions that the code calls are found in it.

    Raises
    ------
    ValueError
        When the code is for another architecture.
    """
    if target.architecture != host_architecture():
        raise ValueError(f"code for {target.architecture} does not run on this machine ({host_architecture()})")
    jit = _linker(target)
    # Library names must be unique in a process, whatever the code.
    name = f"trueno{next(_serial)}"
    builder = llvm.JITLibraryBuilder().add_current_process().export_symbol(symbol)
    for one in objects:
        builder.add_object_img(one)
    for imported, address in (imports or {}).items():
        builder.import_symbol(imported, address)
    library = builder.link(jit, name)
    _loaded.append(library)
    return int(library[symbol])


_linkers: dict[Target, Any] = {}


def _linker(target: Target) -> Any:
    if target not in _linkers:
        _linkers[target] = linker(machine(target))
    return _linkers[target]


def stages(source: str, description: str, level: str | None = None) -> tuple[str, str]:
    """Return a stored kernel's LLVM IR after optimisation, and its assembly.

    Parameters
    ----------
    source : str
        LLVM IR before optimisation.
    description : str
        The target's description, from the entry's header.
    level : str, optional
        A feature level to compile the same IR for instead, of this machine or another.

    Raises
    ------
    RuntimeError, ValueError
        When the text does not parse, the description names no target, or the IR holds what is for its own target alone.
    """
    target = parse(description)
    if level is not None and named(level) != replace(target, level=level):
        own = re.search(r"@llvm\.x86\.|<\d+ x \w+>", source)
        if own:
            raise ValueError(
                f"the kernel was planned for the vectors of {target.cpu} (its LLVM IR holds {own[0].lstrip('@')}); "
                f"level {level} would be given another plan"
            )
        target = named(level)
    module = optimise(source, target)
    return str(module), machine(target).emit_assembly(module)
